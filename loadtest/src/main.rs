//! `loadtest`: traffic for a running Signpost, and the check of every number it leaves. See `loadtest help`.
//!
//! Exit status: 0 all right, 1 something differs, 2 the run could not be made.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use loadtest::agents::Agents;
use loadtest::http_client::Server;
use loadtest::report::Report;
use loadtest::sender::Plan;
use loadtest::traffic::Traffic;
use loadtest::{imported, links, replay};

/// Exit status of a run that could not be made.
const CANNOT_RUN: u8 = 2;

/// Traffic for a running Signpost, and the check of every number it leaves.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    load: Load,
}

#[derive(Debug, Subcommand)]
enum Load {
    /// Send a real log through fresh links and compare every number with the log.
    ///
    /// Signpost must believe the replay's X-Forwarded-For: start it with SIGNPOST_TRUSTED_PROXIES=127.0.0.0/8.
    Replay(Replay),
    /// Make the links of the log's targets, for a later import.
    ReplayLinks {
        #[command(flatten)]
        product: Product,
        /// What all slugs begin with (letters, digits, '-').
        #[arg(long)]
        prefix: String,
        /// Another log than the checked-in one (combined format, plain or gzip).
        #[arg(long)]
        log: Option<PathBuf>,
    },
    /// Write the log with the links' paths as targets, to feed to 'signpost clicks import'.
    ReplayLog {
        /// What all slugs begin with, as given to replay-links.
        #[arg(long)]
        prefix: String,
        /// Another log than the checked-in one (combined format, plain or gzip).
        #[arg(long)]
        log: Option<PathBuf>,
        /// File to write.
        #[arg(long)]
        output: PathBuf,
    },
}

/// Where the product is.
#[derive(Debug, Args)]
struct Product {
    /// The REST API.
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    api_url: String,
    /// The visitors' side.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    proxy_url: String,
    /// ClickHouse over HTTP.
    #[arg(long, default_value = "http://127.0.0.1:8123")]
    clickhouse_url: String,
    /// Data folder of 'signpost up': where key and password are when no file is named.
    #[arg(long, default_value = "data")]
    data_dir: PathBuf,
    /// File with the API key [default: admin.key in the data folder].
    #[arg(long)]
    api_key_file: Option<PathBuf>,
    /// ClickHouse user.
    #[arg(long, default_value = "signpost")]
    clickhouse_user: String,
    /// File with its password [default: clickhouse.password in the data folder].
    #[arg(long)]
    clickhouse_password_file: Option<PathBuf>,
    /// Seconds to wait for the books, then for the stats.
    #[arg(long, default_value_t = 120)]
    deadline_seconds: u64,
    /// Seconds in which nothing may be added to full books.
    #[arg(long, default_value_t = 2)]
    settle_seconds: u64,
}

#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    product: Product,
    /// What all slugs begin with (letters, digits, '-') [default: replay- and the time]. Links under it must be new.
    #[arg(long)]
    prefix: Option<String>,
    /// Another log than the checked-in one (combined format, plain or gzip).
    #[arg(long)]
    log: Option<PathBuf>,
    /// Give each attempt its own id in the query, and repeat what was not answered as a new attempt.
    #[arg(long)]
    attempt_ids: bool,
    /// Send nothing: compare what 'signpost clicks import' brought in. Needs --prefix.
    #[arg(long, requires = "prefix", conflicts_with_all = ["attempt_ids", "seed", "rate", "pace"])]
    imported: bool,
    /// Shuffle the lines; the same number gives the same order.
    #[arg(long)]
    seed: Option<u64>,
    /// Requests a second over all connections.
    #[arg(long, conflicts_with = "pace")]
    rate: Option<f64>,
    /// Seconds over which the whole log is spread.
    #[arg(long)]
    pace: Option<f64>,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 6)]
    connections: usize,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    match arguments.load {
        Load::Replay(args) => {
            let traffic = traffic(args.log.as_ref())?;
            let agents = Agents::embedded()?;
            let settings = args.product.settings()?;
            let prefix = args
                .prefix
                .clone()
                .unwrap_or_else(|| format!("replay-{:x}", jiff::Timestamp::now().as_millisecond()));
            let report = if args.imported {
                runtime.block_on(imported::run(&settings, &traffic, &agents, &prefix))?
            } else {
                let plan = args.plan(traffic.lines.len(), settings.deadline)?;
                runtime.block_on(replay::run(&settings, &traffic, &agents, &prefix, &plan))?
            };
            print(&report, args.json)?;
            Ok(report.is_clean())
        }
        Load::ReplayLinks {
            product,
            prefix,
            log,
        } => {
            let traffic = traffic(log.as_ref())?;
            let made = runtime.block_on(async {
                links::make(&mut product.settings()?.connect_api()?, &traffic, &prefix).await
            })?;
            eprintln!("replay: {} links under '{prefix}'", made.len());
            Ok(true)
        }
        Load::ReplayLog {
            prefix,
            log,
            output,
        } => {
            loadtest::slug_map::check_prefix(&prefix)?;
            let bytes = imported::rewrite(&traffic(log.as_ref())?, &prefix);
            std::fs::write(&output, bytes)
                .with_context(|| format!("writing '{}'", output.display()))?;
            Ok(true)
        }
    }
}

impl Product {
    fn settings(&self) -> anyhow::Result<replay::Settings> {
        let secret = |file: &Option<PathBuf>, name: &str| -> anyhow::Result<String> {
            let path = file.clone().unwrap_or_else(|| self.data_dir.join(name));
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("reading '{}'", path.display()))?;
            Ok(text.trim().to_owned())
        };
        Ok(replay::Settings {
            api: Server::parse(&self.api_url)?,
            proxy: Server::parse(&self.proxy_url)?,
            clickhouse: Server::parse(&self.clickhouse_url)?,
            api_key: secret(&self.api_key_file, "admin.key")?,
            clickhouse_user: self.clickhouse_user.clone(),
            clickhouse_password: secret(&self.clickhouse_password_file, "clickhouse.password")?,
            deadline: Duration::from_secs(self.deadline_seconds),
            settle: Duration::from_secs(self.settle_seconds),
        })
    }
}

impl Replay {
    fn plan(&self, lines: usize, patience: Duration) -> anyhow::Result<Plan> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a log has far fewer than 2^52 lines"
        )]
        let per_second = self
            .rate
            .or_else(|| self.pace.map(|seconds| lines as f64 / seconds));
        if let Some(rate) = per_second {
            anyhow::ensure!(
                rate.is_finite() && rate > 0.0,
                "--rate and --pace must be above 0"
            );
        }
        Ok(Plan {
            connections: self.connections,
            per_second,
            seed: self.seed,
            attempt_ids: self.attempt_ids,
            patience,
        })
    }
}

fn traffic(log: Option<&PathBuf>) -> anyhow::Result<Traffic> {
    log.map_or_else(Traffic::embedded, |path| Traffic::open(path))
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{:#}", report.to_json())
    } else {
        report.print(&mut out)
    }
    .context("writing the report")?;
    // The verdict is for whoever watches, whatever reads the JSON.
    if json {
        eprintln!("{}", report.verdict());
    }
    Ok(())
}
