//! The block list in force: read at start, read again when its file changes, and applied to what is there already.
//!
//! A list that cannot be read at start ends the process, for it would serve unprotected; later it leaves the one before it in
//! force, which a log line and a metric say. After a change every row of `links` is looked at once, in the background and a
//! bounded number at a time (`store::blocked`), and those that newly lead, or no longer lead, to what is listed are
//! switched off or on; the database keeps which list was applied last, so a start with the same list looks at nothing.
//!
//! A little later every row is looked at once more: a write that began with the list before may be committed behind the first
//! look, and another control plane of the same database may read its file a moment later.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::app::App;
use crate::domain::blocklist::{Blocklist, MAX_BYTES};
use crate::metrics;
use crate::store::blocked;

/// Time between looks whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Time between the two looks at all rows: longer than a write takes, and than other control planes need to see a new file.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// What the database keeps while rows are brought to a list: whichever list is in force at the next start, it is not this.
const UNDER_WAY: &str = "under way";

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

/// How far a list is applied.
#[derive(Debug)]
enum Applied {
    /// By this process not at all.
    Unknown,
    /// Every row was looked at once, and is to be looked at again at this instant.
    Once(String, Instant),
    /// Nothing is left to do.
    Whole(String),
}

/// Keeps the list in force as its file is, and the rows as the list is. Never ends.
pub(crate) async fn keep(app: Arc<App>) {
    let mut stamp = None;
    let mut applied = Applied::Unknown;
    metrics::blocklist(app.store.guard().blocklist().len());
    loop {
        if let Some(path) = &app.config.blocklist {
            stamp = refresh(&app, path, stamp).await;
        }
        let wanted = app.store.guard().blocklist();
        match apply(&app, wanted.fingerprint(), &applied).await {
            Ok(None) => {}
            Ok(Some(done)) => applied = done,
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "cannot apply the block list, trying again"
                );
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

/// Does what is due next of bringing all rows to the list in force; `None`: nothing is.
async fn apply(app: &App, fingerprint: &str, applied: &Applied) -> anyhow::Result<Option<Applied>> {
    match applied {
        Applied::Whole(done) if done == fingerprint => Ok(None),
        Applied::Once(done, again) if done == fingerprint => {
            if Instant::now() < *again {
                return Ok(None);
            }
            look_at_all(app).await?;
            blocked::note_applied(&app.store, fingerprint).await?;
            Ok(Some(Applied::Whole(fingerprint.to_owned())))
        }
        Applied::Unknown if blocked::applied(&app.store).await? == fingerprint => {
            Ok(Some(Applied::Whole(fingerprint.to_owned())))
        }
        _ => {
            blocked::note_applied(&app.store, UNDER_WAY).await?;
            look_at_all(app).await?;
            let again = Instant::now() + SETTLED_AFTER;
            Ok(Some(Applied::Once(fingerprint.to_owned(), again)))
        }
    }
}

async fn look_at_all(app: &App) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let stepped = blocked::step(&app.store, after, app.clock.now_ms()).await?;
        metrics::links_blocked(stepped.blocked, stepped.freed);
        match stepped.last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}
