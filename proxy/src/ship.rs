//! The shipper: click log → Kafka, one record a record, on one thread of low priority.
//!
//! A stream is bound to one partition for its life ([`Places`]), and the producer is idempotent without gaps, so order in
//! a partition is order in the stream. What the brokers have not acknowledged stays in the log: the acknowledgement
//! beside it moves over whole stretches only, and after a restart or a failed delivery everything above it is sent again.
//! Such duplicates are ingest's to drop, by their ids.
//!
//! While no broker answers, a bounded number of records waits in memory and the rest in the log. Catching up afterwards
//! is paced, so that other proxies' clicks find room on the brokers.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod flight;
mod link;
mod pace;
mod places;
mod reader;
mod report;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use kafka::Kafka;
use schemas::health::Health;
use tokio_util::sync::DropGuard;

use self::places::Places;
use self::work::Work;
use crate::enrich::lower_priority;

/// How long [`Shipper::stop`] may take while brokers answer. What is not acknowledged by then is sent by the next start.
pub const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// How long an import may wait for the brokers without any progress.
const IMPORT_PATIENCE: Duration = Duration::from_secs(60);

/// What is shipped, and where to.
#[derive(Debug, Clone)]
pub struct Route {
    /// The brokers.
    pub kafka: Kafka,
    /// Folder of the click log.
    pub folder: PathBuf,
    /// Offset behind the last record of the log; 0 until it is open.
    pub end: Arc<AtomicU64>,
    /// Bytes a second at most.
    pub bytes_per_second: u64,
}

/// The running shipper.
#[derive(Debug)]
pub struct Shipper {
    thread: JoinHandle<()>,
    /// Dropped to stop the thread.
    stop: mpsc::Sender<()>,
}

impl Shipper {
    /// Starts the thread. `ended` is dropped when it ends, asked to or not.
    ///
    /// # Errors
    /// No thread, or librdkafka refuses the settings.
    pub fn start(route: Route, health: &Health, ended: DropGuard) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let health = health.clone();
        let mut work = Work::new(route, health);
        let thread = std::thread::Builder::new()
            .name("shipper".to_owned())
            .spawn(move || {
                let _ended = ended;
                // librdkafka's threads are made by this one and inherit it.
                lower_priority();
                work.run(&stopped);
            })
            .context("starting the shipper's thread")?;
        Ok(Self { thread, stop })
    }

    /// Ships what is left, within [`STOP_DEADLINE`], and ends. Call it when nothing is written to the log any more.
    ///
    /// # Errors
    /// The thread has panicked. What was not shipped is in the log.
    pub fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the shipper's thread has panicked"))
    }
}

/// Ships a whole log that nobody writes to any more; blocks until the brokers have it.
///
/// # Errors
/// The brokers made no progress for a minute. What they have not acknowledged stays in the log.
pub fn ship_all(
    kafka: &Kafka,
    folder: &Path,
    end: u64,
    bytes_per_second: u64,
) -> anyhow::Result<()> {
    let route = Route {
        kafka: kafka.clone(),
        folder: folder.to_owned(),
        end: Arc::new(AtomicU64::new(end)),
        bytes_per_second,
    };
    let health = Health::new();
    anyhow::ensure!(
        Work::new(route, health.clone()).run_to_end(IMPORT_PATIENCE),
        "kafka does not take the clicks ({}); they wait in {} for the next import",
        health
            .report()
            .into_values()
            .flatten()
            .next()
            .unwrap_or_else(|| "no reason is known".to_owned()),
        folder.display()
    );
    Ok(())
}
