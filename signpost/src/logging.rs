//! One log stream for all roles, on standard error: text for people, JSON for machines.
//!
//! Standard output stays free for what commands print. No addresses of visitors, no full URLs and no secrets are logged.

use std::io::{IsTerminal as _, Write as _};

use schemas::settings::Settings;
use tracing_subscriber::EnvFilter;

/// Installs the log as `SIGNPOST_LOG_FORMAT` (`text`, `json`) and `SIGNPOST_LOG` (a filter such as `info` or
/// `info,proxy=debug`) say.
pub(crate) fn install(settings: &mut Settings) {
    let json = settings
        .parsed_with("SIGNPOST_LOG_FORMAT", "text or json", |text| match text {
            "text" => Some(false),
            "json" => Some(true),
            _ => None,
        })
        .unwrap_or(false);
    let filter = settings
        .parsed_with(
            "SIGNPOST_LOG",
            "a filter such as info or info,proxy=debug",
            |text| EnvFilter::try_new(text).ok(),
        )
        .unwrap_or_else(|| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        log.json().flatten_event(true).init();
    } else {
        log.compact().init();
    }
}

/// Says why the program ends, one line a mistake, readable without the log's format.
pub(crate) fn fatal(error: &anyhow::Error) {
    let text = format!("{error:#}");
    for line in text.lines() {
        // The terminal may be gone; there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "signpost: {line}");
    }
}
