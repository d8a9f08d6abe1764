//! `signpost`: one program, one subcommand a role, and the operator's commands.
//!
//! This crate reads arguments and the environment, once, and wires roles to it. It holds no logic of a role: those are
//! in `proxy`, `control-plane`, `ingest` and `embedded`, which never see each other.

mod admin;
mod cli;
mod commands;
mod logging;
mod notify;
mod roles;
mod settings;
mod up;

use std::process::ExitCode;

/// Exit status of a wrong command line or setting (`EX_USAGE` of sysexits).
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = cli::parse();
    let mut settings = settings::read(&cli);
    let log = logging::install(&mut settings);
    let result = match cli.command {
        cli::Command::Up => up::run(settings, log),
        cli::Command::Proxy => roles::proxy(settings, log),
        cli::Command::ControlPlane => roles::control_plane(settings, log),
        cli::Command::Ingest => roles::ingest(settings, log),
        cli::Command::Clickhouse => roles::clickhouse(settings, log),
        cli::Command::Key { command } => commands::key::run(settings, command),
        cli::Command::Audit(options) => commands::audit::run(settings, &options),
        cli::Command::Check => commands::check::run(settings),
        cli::Command::Clicks { command } => commands::clicks::run(settings, command),
        cli::Command::Dead { command } => commands::dead::run(settings, command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            logging::fatal(&error);
            if error.is::<schemas::settings::SettingErrors>() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
