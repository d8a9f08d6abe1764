//! One log stream for all roles, on standard error: text for people, JSON for machines.
//!
//! Standard output stays free for what commands print. No addresses of visitors, no full URLs and no secrets are logged.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemas::settings::Settings;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::reload;

/// What a filter looks like.
const ALLOWED: &str = "a filter such as info or info,proxy=debug";

/// How often the filter's file is looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// The log, whose filter can be changed while it runs.
#[derive(Clone)]
pub(crate) struct Log {
    file: Option<PathBuf>,
    set: Arc<dyn Fn(EnvFilter) + Send + Sync>,
    /// What the file held when it was read last.
    read: Arc<std::sync::Mutex<String>>,
}

impl Log {
    /// Reads the filter's file again, if there is one and it has changed. One that is gone or is no filter leaves the one
    /// before in use.
    pub(crate) fn reload(&self) {
        let Some(file) = &self.file else {
            return;
        };
        let Ok(text) = std::fs::read_to_string(file) else {
            return;
        };
        let mut read = self
            .read
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // An editor may have emptied it for a moment.
        if *read == text || text.trim().is_empty() {
            return;
        }
        read.clone_from(&text);
        drop(read);
        match EnvFilter::try_new(text.trim()) {
            Ok(filter) => {
                (self.set)(filter);
                tracing::info!(filter = text.trim(), "log filter read");
            }
            Err(error) => tracing::warn!(%error, "the log filter's file holds none"),
        }
    }
}

/// Installs the log as `SIGNPOST_LOG_FORMAT` (`text`, `json`) and `SIGNPOST_LOG` (a filter such as `info` or
/// `info,proxy=debug`) say; a filter in the file `SIGNPOST_LOG_FILTER_FILE` wins, and may change.
pub(crate) fn install(settings: &mut Settings) -> Log {
    let json = settings
        .parsed_with("SIGNPOST_LOG_FORMAT", "text or json", |text| match text {
            "text" => Some(false),
            "json" => Some(true),
            _ => None,
        })
        .unwrap_or(false);
    let filter = settings
        .parsed_with("SIGNPOST_LOG", ALLOWED, |text| {
            EnvFilter::try_new(text).ok()
        })
        .unwrap_or_else(|| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal());
    let set = if json {
        let log = log.json().flatten_event(true).with_filter_reloading();
        let set = setter(log.reload_handle());
        log.init();
        set
    } else {
        let log = log.compact().with_filter_reloading();
        let set = setter(log.reload_handle());
        log.init();
        set
    };
    let log = Log {
        file: settings.text("SIGNPOST_LOG_FILTER_FILE").map(PathBuf::from),
        set,
        read: Arc::default(),
    };
    log.reload();
    log
}

fn setter<S: 'static>(
    handle: reload::Handle<EnvFilter, S>,
) -> Arc<dyn Fn(EnvFilter) + Send + Sync> {
    Arc::new(move |filter| {
        // Fails when the log is gone, that is, never.
        let _ = handle.reload(filter);
    })
}

/// Says why the program ends, one line a mistake, readable without the log's format.
pub(crate) fn fatal(error: &anyhow::Error) {
    let text = format!("{error:#}");
    for line in text.lines() {
        // The terminal may be gone; there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "signpost: {line}");
    }
}
