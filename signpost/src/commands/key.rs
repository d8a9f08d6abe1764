//! `signpost key create|list|revoke`: API keys straight in the database, for when no key is at hand.

use std::io::Write as _;
use std::process::ExitCode;

use schemas::settings::Settings;

use crate::cli::KeyCommand;

/// Runs one of the commands. What a script wants goes to standard output, words about it to standard error.
pub(crate) fn run(mut settings: Settings, command: KeyCommand) -> anyhow::Result<ExitCode> {
    let config = control_plane::Config::from_settings(&mut settings);
    settings.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut out = std::io::stdout().lock();
    match command {
        KeyCommand::Create {
            name,
            expires_at,
            rate,
        } => {
            let created = control_plane::keys::create(&config, &name, expires_at.as_deref(), rate);
            let (id, key) = runtime.block_on(created)?;
            writeln!(out, "{key}")?;
            writeln!(
                std::io::stderr(),
                "signpost: key {id} ('{name}') made; it is not shown again"
            )?;
        }
        KeyCommand::List => {
            let keys = runtime.block_on(control_plane::keys::list(&config))?;
            writeln!(
                out,
                "{:<6} {:<14} {:<8} {:>8}  {:<19}  {:<20} NAME",
                "ID", "PREFIX", "STATE", "CALLS/MIN", "EXPIRES", "SCOPES"
            )?;
            for key in keys {
                let rate = if key.rate == 0 {
                    "no limit".to_owned()
                } else {
                    key.rate.to_string()
                };
                let expires = key.expires_at.unwrap_or_else(|| "never".to_owned());
                writeln!(
                    out,
                    "{:<6} {:<14} {:<8} {rate:>9}  {expires:<19}  {:<20} {}",
                    key.id, key.prefix, key.state, key.scopes, key.name
                )?;
            }
        }
        KeyCommand::Revoke { id } => {
            if !runtime.block_on(control_plane::keys::revoke(&config, id))? {
                anyhow::bail!(
                    "key {id}: there is no such key, or it was revoked before (signpost key list)"
                );
            }
            writeln!(std::io::stderr(), "signpost: key {id} revoked")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
