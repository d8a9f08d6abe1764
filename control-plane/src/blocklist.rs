//! The block list in force: read at start, read again when its file changes, and applied to what is there already.
//!
//! A list that cannot be read at start ends the process, for it would serve unprotected; later it leaves the one before it in
//! force, which a log line and a metric say. After a change every row of `links` is looked at once, in the background and a
//! bounded number at a time (`store::blocked`), and those that newly lead, or no longer lead, to what is listed are
//! switched off or on; the database keeps which list was applied last, so a start with the same list looks at nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::app::App;
use crate::domain::blocklist::{Blocklist, MAX_BYTES};
use crate::metrics;
use crate::store::blocked;

/// Time between looks whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified_ns: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> std::io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            length: meta.len(),
            modified_ns: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

/// Reads the list at this path; without one, nothing is blocked. For the start and for operator commands.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(path: Option<&Path>) -> anyhow::Result<Blocklist> {
    let Some(path) = path else {
        return Ok(Blocklist::default());
    };
    let what = || format!("SIGNPOST_BLOCKLIST={}", path.display());
    let length = fs::metadata(path).with_context(what)?.len();
    anyhow::ensure!(
        length <= MAX_BYTES as u64,
        "{} is longer than {MAX_BYTES} bytes",
        what()
    );
    let bytes = fs::read(path).with_context(what)?;
    Blocklist::parse(&bytes).with_context(what)
}

/// Keeps the list in force as its file is, and the rows as the list is. Never ends.
pub(crate) async fn keep(app: Arc<App>) {
    let mut stamp = None;
    let mut applied = None;
    metrics::blocklist(app.store.guard().blocklist().len());
    loop {
        if let Some(path) = &app.config.blocklist {
            stamp = refresh(&app, path, stamp).await;
        }
        let wanted = app.store.guard().blocklist();
        if applied.as_deref() != Some(wanted.fingerprint()) {
            match apply(&app, wanted.fingerprint()).await {
                Ok(()) => applied = Some(wanted.fingerprint().to_owned()),
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "cannot apply the block list, trying again"
                    );
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Reads the file again if it is another one than at the time of `before`.
async fn refresh(app: &App, path: &Path, before: Option<Stamp>) -> Option<Stamp> {
    let stamp = Stamp::of(path).ok();
    if stamp.is_some() && stamp == before {
        return stamp;
    }
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read(Some(&owned))).await;
    match read.map_err(anyhow::Error::new).and_then(|read| read) {
        Ok(list) => {
            metrics::blocklist_read(true);
            if list.fingerprint() != app.store.guard().blocklist().fingerprint() {
                tracing::info!(rules = list.len(), "the block list has changed");
                metrics::blocklist(list.len());
                app.store.guard().replace(list);
            }
        }
        Err(error) => {
            metrics::blocklist_read(false);
            // A file that is not there is looked for again each time, and complained of once.
            if before.is_some() || stamp.is_some() {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the block list cannot be read, the one before it stays in force"
                );
            }
        }
    }
    stamp
}

/// Brings all rows to what the list in force says.
async fn apply(app: &App, fingerprint: &str) -> anyhow::Result<()> {
    if blocked::applied(&app.store).await? == fingerprint {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let stepped = blocked::step(&app.store, after, app.clock.now_ms()).await?;
        metrics::links_blocked(stepped.blocked, stepped.freed);
        match stepped.last {
            Some(last) => after = last,
            None => break,
        }
    }
    // Put into force meanwhile, another list is applied next and noted then.
    blocked::note_applied(&app.store, fingerprint).await?;
    Ok(())
}
