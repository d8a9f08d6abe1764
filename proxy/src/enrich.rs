//! The enricher: from the rings to final records in the click log, on one thread of low priority.
//!
//! [`Enricher::start`] makes a ring for each worker and starts the thread; the workers append, the thread drains: geo,
//! user agent, referrer, UTM fields, language, visitor hash, bot verdict. Rings that an earlier process left are drained
//! too and then deleted. A visit stays in its ring until its record is in the log, so nothing is lost between the two
//! and a log that cannot be written to only lets the rings fill up.
//!
//! Never fails a start for want of a ring, a log or a geo file: redirects go on, [`Health`] says what is missing, and
//! what is lost is counted.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod agent;
mod books;
mod click;
mod geo;
mod language;
mod pipeline;
mod query;
mod referrer;
mod text;
mod visitor;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use schemas::click::Stream;
use schemas::health::Health;
use tokio_util::sync::CancellationToken;

pub use self::agent::{Agent, Agents, Bot, Device, is_unfurler};
pub(crate) use self::books::Books;
pub use self::click::Known;
pub(crate) use self::click::{Clicks, Clock, is_prefetch};
pub(crate) use self::geo::Stamp;
pub use self::geo::{Databases, Geo, Place};
pub(crate) use self::language::{preferred_tag, primary};
use self::pipeline::Pipeline;
pub(crate) use self::pipeline::now_ms;
pub(crate) use self::text::form_decoded;
use crate::config::Config;
use crate::data_folder;
use crate::ring::{Folder, Leftover, Reader, Writer};
use crate::salts::Salts;

/// The part of `/ready` that speaks of rings.
const RINGS: &str = "rings";

/// How long [`Enricher::stop`] may take. What is not in the log by then stays in the rings for the next start.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// The running enricher.
#[derive(Debug)]
pub struct Enricher {
    thread: JoinHandle<()>,
    /// Dropped to stop the thread.
    stop: mpsc::Sender<()>,
    ended: CancellationToken,
    epoch: u64,
    log_end: Arc<AtomicU64>,
}

impl Enricher {
    /// Draws the epoch, makes the rings, one a worker, and starts the thread. Returns beside them what it knows of
    /// visitors, kept fresh by it. The caller holds the data folder's lock.
    ///
    /// # Errors
    /// No random numbers, no thread, or a broken built-in list. Missing folders and files are no errors.
    pub fn start(
        config: &Config,
        salts: Salts,
        health: &Health,
    ) -> anyhow::Result<(Self, Vec<Writer>, Known)> {
        let epoch = getrandom::u64().context("drawing a random epoch")?;
        let now_ms = now_ms();
        let (folder, leftovers) = open_folder(config, health);
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for worker in 0..config.workers {
            let worker = u16::try_from(worker).context("numbering the workers")?;
            let (writer, reader) = ring(
                folder.as_ref(),
                Stream { epoch, worker },
                config.ring_bytes,
                now_ms,
                health,
            );
            writers.push(writer);
            readers.push(reader);
        }
        let clicks = Clicks::new(
            Geo::new(&config.geo_db),
            config.ip_policy,
            config.unique_period,
        )?;
        let known = clicks.known();
        let (stop, stopped) = mpsc::channel();
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let pipeline = Pipeline::new(config, clicks, salts, health.clone(), readers, leftovers);
        let log_end = pipeline.log_end();
        let thread = std::thread::Builder::new()
            .name("enricher".to_owned())
            .spawn(move || {
                // Whatever ends the thread, a panic too, the owner learns of it.
                let _guard = guard;
                // Keeps the folder locked for as long as its rings are in use.
                let _folder = folder;
                lower_priority();
                pipeline.run(&stopped);
            })
            .context("starting the enricher's thread")?;
        let enricher = Self {
            thread,
            stop,
            ended,
            epoch,
            log_end,
        };
        Ok((enricher, writers, known))
    }

    /// The number drawn for this process; (epoch, worker) names a stream.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Offset behind the last record of the click log; 0 until it is open.
    pub fn log_end(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.log_end)
    }

    /// Cancelled when the thread has ended, asked to or not.
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Drains all rings, closes the books and syncs the log. Call it when all writers are dropped; it blocks for at most
    /// about [`STOP_DEADLINE`].
    ///
    /// # Errors
    /// The thread has panicked. What was in the rings is still there.
    pub fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the enricher's thread has panicked"))
    }
}

/// The ring folder, if it can be had, and what is in it.
fn open_folder(config: &Config, health: &Health) -> (Option<Folder>, Vec<Leftover>) {
    let opened = data_folder::id(&config.data_dir).and_then(|id| {
        let folder = Folder::open(&config.ring_dir, &id)?;
        let leftovers = folder.leftovers()?;
        Ok((folder, leftovers))
    });
    match opened {
        Ok((folder, leftovers)) => {
            if !folder.is_in_memory() {
                tracing::warn!(
                    folder = %folder.path().display(),
                    "the rings are not in memory (tmpfs): redirects will wait for the disk now and then"
                );
            }
            health.ready(RINGS);
            (Some(folder), leftovers)
        }
        Err(e) => {
            tracing::error!(
                error = format!("{e:#}"),
                "no rings: visits are answered and lost"
            );
            health.not_ready(RINGS, format!("{e:#}"));
            (None, Vec::new())
        }
    }
}

fn ring(
    folder: Option<&Folder>,
    stream: Stream,
    bytes: u64,
    now_ms: i64,
    health: &Health,
) -> (Writer, Reader) {
    let Some(folder) = folder else {
        return Folder::without_ring(stream);
    };
    let capacity = usize::try_from(bytes).unwrap_or(usize::MAX);
    folder.create(stream, capacity, now_ms).unwrap_or_else(|e| {
        tracing::error!(error = %e, "no ring for a worker: its visits are answered and lost");
        health.not_ready(RINGS, e.to_string());
        Folder::without_ring(stream)
    })
}

/// Redirects come first: the thread takes what processor time they leave. Best effort.
pub(crate) fn lower_priority() {
    const NICE: i32 = 10;
    // On Linux "this process" means this thread.
    if let Err(e) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(error = %e, "a thread keeps its priority");
    }
}
