//! `signpost clicks import`: an access log in combined log format becomes clicks of links that exist.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use control_plane::resolve::{Found, Resolver};
use schemas::settings::Settings;

use crate::cli::ClicksCommand;

/// Largest log taken at once, in bytes: it is held in memory, so that its content can name its clicks.
const MAX_LOG_BYTES: u64 = 4 << 30;

/// Host that means the default domain.
const DEFAULT_HOST: &str = "localhost";

/// Runs one of the commands.
pub(crate) fn run(mut settings: Settings, command: ClicksCommand) -> anyhow::Result<ExitCode> {
    let proxy_config = proxy::Config::from_settings(&mut settings);
    let control_config = control_plane::Config::from_settings(&mut settings);
    settings.check()?;
    let ClicksCommand::Import { file, host } = command;
    let content = read(&file)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let resolver = runtime.block_on(Resolver::open(&control_config))?;
    // A log names few paths many times.
    let mut known: HashMap<(String, String), Option<Found>> = HashMap::new();
    let host = host.unwrap_or_else(|| DEFAULT_HOST.to_owned());
    let report = proxy::import::import(&proxy_config, &content, &host, |host, path| {
        let key = (host.to_owned(), path.to_owned());
        let found = match known.get(&key) {
            Some(found) => found.clone(),
            None => {
                let found = find(&runtime, &resolver, host, path)?;
                known.insert(key, found.clone());
                found
            }
        };
        Ok(found.map(|found| proxy::import::Answered {
            link: found.link,
            workspace: found.workspace,
            domain: found.domain,
            slug: found.slug,
        }))
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} lines: {} clicks, {} other requests than GET, {} without a link, {} unreadable",
        report.lines, report.clicks, report.not_visits, report.no_link, report.unreadable
    )?;
    if std::io::stderr().is_terminal() {
        writeln!(
            std::io::stderr(),
            "signpost: ingest stores them as it runs; the same log again adds nothing"
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn find(
    runtime: &tokio::runtime::Runtime,
    resolver: &Resolver,
    host: &str,
    path: &str,
) -> anyhow::Result<Option<Found>> {
    let Some(Ok(slug)) = path.strip_prefix('/').map(schemas::slug::lookup_key) else {
        return Ok(None);
    };
    runtime
        .block_on(resolver.find(host, &slug))
        .context("cannot look a link up")
}

fn read(file: &str) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut limited: Box<dyn std::io::Read> = if file == "-" {
        Box::new(std::io::stdin().lock().take(MAX_LOG_BYTES + 1))
    } else {
        let file = std::fs::File::open(file).with_context(|| format!("cannot open '{file}'"))?;
        Box::new(file.take(MAX_LOG_BYTES + 1))
    };
    limited
        .read_to_end(&mut content)
        .with_context(|| format!("cannot read '{file}'"))?;
    anyhow::ensure!(
        content.len() as u64 <= MAX_LOG_BYTES,
        "'{file}' is larger than {} GiB: split it",
        MAX_LOG_BYTES >> 30
    );
    Ok(content)
}
