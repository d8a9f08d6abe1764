//! The link table on disk, so that a proxy starts and serves with everything else down.
//!
//! ```text
//! links/manifest, links/manifest.copy   what there is: version, groups with length and checksum, domains, salts
//! links/<file>-<generation>.links       the encoded entries of a range of groups, end to end
//! links/changes-<generation>.log        the feed's frames since then, as they came
//! ```
//!
//! A snapshot is written beside the old one and becomes valid with the manifest's rename; files whose groups have not
//! changed are used again. Each change is appended to the log as it is applied. Neither waits for the other side: a
//! thread of its own takes both from a bounded queue, and when the queue or the disk fails, the next whole snapshot
//! makes it good. The log is not synced: what a power failure takes comes by the feed again.
//!
//! Nothing read from disk is believed: groups whose checksum differs are left out, answered with 503 and fetched again;
//! a log is believed up to its first damaged frame.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod load;
mod manifest;
mod store;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;

use crate::metrics::SNAPSHOT_ERRORS;
use crate::table::Current;

pub use load::load;
use store::{Inbox, Store};

/// Changes that may wait for the disk. With frames of a few hundred bytes that is a second of a busy feed.
const QUEUE: usize = 4096;

/// Bytes of changes that may wait for the disk: one frame of the largest size always fits.
const QUEUE_BYTES: usize = 64 << 20;

/// How long the last writes may take at the end.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum Message {
    Change(u64, Bytes),
    Everything,
}

/// What was found on disk, before its thread is started.
#[derive(Debug)]
pub struct Opened {
    store: Store,
}

/// The feed's end of the disk.
#[derive(Debug)]
pub struct Disk {
    queue: SyncSender<Message>,
    waiting: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    /// Something did not fit into the queue: a whole snapshot is due.
    behind: bool,
    finished: Receiver<()>,
}

impl Opened {
    /// Starts the thread that writes. `table` is where it finds the newest table; `ended` is dropped when it ends.
    ///
    /// # Errors
    /// No thread.
    pub fn start(mut self, table: Current, ended: impl Send + 'static) -> io::Result<Disk> {
        let (queue, inbox) = sync_channel(QUEUE);
        let (done, finished) = sync_channel(0);
        let waiting = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
        let taken = std::sync::Arc::clone(&waiting);
        thread::Builder::new()
            .name("links-disk".to_owned())
            .spawn(move || {
                let _ended = ended;
                let _done = done;
                let inbox = Inbox {
                    messages: &inbox,
                    waiting: &taken,
                };
                self.store.run(&inbox, &table);
            })?;
        Ok(Disk {
            queue,
            waiting,
            behind: false,
            finished,
        })
    }
}

impl Disk {
    /// A change was applied; `frame` is how the feed sent it. Never waits.
    pub fn change(&mut self, seq: u64, frame: Bytes) {
        use std::sync::atomic::Ordering::Relaxed;
        let length = frame.len();
        if !self.behind && self.waiting.load(Relaxed) + length <= QUEUE_BYTES {
            self.waiting.fetch_add(length, Relaxed);
            match self.queue.try_send(Message::Change(seq, frame)) {
                Ok(()) => return,
                Err(_) => self.waiting.fetch_sub(length, Relaxed),
            };
        }
        if !self.behind {
            counter!(SNAPSHOT_ERRORS, "kind" => "queue_full").increment(1);
        }
        self.everything();
    }

    /// The whole table is new. Never waits.
    pub fn everything(&mut self) {
        self.behind = matches!(
            self.queue.try_send(Message::Everything),
            Err(TrySendError::Full(_))
        );
    }

    /// Lets the thread write what is left, for at most [`STOP_DEADLINE`].
    ///
    /// # Errors
    /// It takes longer. What is on disk is a valid state all the same.
    pub fn stop(self) -> anyhow::Result<()> {
        drop(self.queue);
        match self.finished.recv_timeout(STOP_DEADLINE) {
            Err(RecvTimeoutError::Timeout) => {
                anyhow::bail!("the disk is too slow for the snapshot of the links")
            }
            _ => Ok(()),
        }
    }
}
