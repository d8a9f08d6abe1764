//! Bodies that are too large for the link table: pages and images, named by their SHA-256.
//!
//! Serving threads ask [`Blobs::get`], a look into memory that never waits. A thread of their own fetches what the link
//! table names as soon as a change names it, keeps it on disk (bounded, so that a start without a control plane serves
//! pages too) and brings what is asked for from disk into memory (bounded, least recently used out first). Bytes are
//! checked against their hash when they come from the network and when they come from disk.
//!
//! A visitor who is faster than the fetch waits for it for a moment ([`Blobs::load`]); then, or when there is no control
//! plane to ask, the answer is 503 with `Retry-After`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod disk;
mod keeper;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use foldhash::fast::RandomState;
use schemas::feed::{self, Change};
use schemas::link::Entry;
use schemas::link::view::{Content, Target, View};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::keeper::Keeper;
use crate::feed::Caller;
use crate::pages::{BlobHash, PageBody};
use crate::table::Current;

/// Blobs in memory, in bytes. A few hundred pages, or some ten images of the largest size.
const MEMORY_BYTES: usize = if cfg!(test) { 100_000 } else { 64 << 20 };

/// How long a visitor waits for a blob that is not in memory.
const LOAD_DEADLINE: Duration = Duration::from_secs(1);

/// What is told to the thread.
#[derive(Debug)]
enum Message {
    /// The link table names these now.
    Wanted(Vec<BlobHash>),
    /// The link table is a new one.
    LookAtAll,
    /// A visitor waits for this one.
    Load(BlobHash, oneshot::Sender<Option<Bytes>>),
    /// Whether this one lies on disk; it is used then.
    Locate(BlobHash, oneshot::Sender<bool>),
    /// This one was put on disk, so many bytes.
    Adopted(BlobHash, u64),
}

#[derive(Debug)]
struct Held {
    bytes: Bytes,
    /// The turn of its last use.
    used: AtomicU64,
}

type Memory = HashMap<BlobHash, Arc<Held>, RandomState>;

/// All blobs there are, as serving threads see them.
#[derive(Debug, Default)]
pub struct Blobs {
    memory: ArcSwap<Memory>,
    turn: AtomicU64,
    keeper: Option<mpsc::UnboundedSender<Message>>,
    /// The folder of copies, and its bound in bytes.
    place: Option<(PathBuf, u64)>,
}

impl Blobs {
    /// A blob that is in memory.
    pub fn get(&self, hash: &BlobHash) -> Option<Bytes> {
        let memory = self.memory.load();
        let held = memory.get(hash)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        held.used.store(turn, Ordering::Relaxed);
        Some(held.bytes.clone())
    }

    /// A blob from wherever it is, within a second.
    pub async fn load(&self, hash: BlobHash) -> Option<Bytes> {
        let (answer, answered) = oneshot::channel();
        self.keeper
            .as_ref()?
            .send(Message::Load(hash, answer))
            .ok()?;
        timeout(LOAD_DEADLINE, answered).await.ok()?.ok()?
    }

    /// Where a blob's copy lies, if there is one. For files: those are read from there, and never come into memory.
    pub(crate) async fn locate(&self, hash: BlobHash) -> Option<PathBuf> {
        let (answer, answered) = oneshot::channel();
        let keeper = self.keeper.as_ref()?;
        keeper.send(Message::Locate(hash, answer)).ok()?;
        let is_there = timeout(LOAD_DEADLINE, answered).await.ok()?.ok()?;
        is_there
            .then(|| self.place_of(&hash))
            .flatten()
            .map(|(place, _)| place)
    }

    /// Where a blob's copy would lie, and the bound of all of them in bytes.
    pub(crate) fn place_of(&self, hash: &BlobHash) -> Option<(PathBuf, u64)> {
        let (dir, bound) = self.place.as_ref()?;
        Some((disk::path_in(dir, hash), *bound))
    }

    /// A copy has been put in its place by others, whole.
    pub(crate) fn adopted(&self, hash: BlobHash, bytes: u64) {
        self.tell(Message::Adopted(hash, bytes));
    }

    /// A transaction was applied.
    pub(crate) fn changed(&self, change: &Change) {
        let mut wanted = Vec::new();
        for page in change.shared.iter().flat_map(|shared| &shared.page) {
            wanted.extend(BlobHash::try_from(&*page.blob));
        }
        for bytes in &change.upsert {
            if let Ok((entry, _)) = Entry::read(bytes) {
                named(&entry, &mut wanted);
            }
        }
        if !wanted.is_empty() {
            self.tell(Message::Wanted(wanted));
        }
    }

    /// The link table is a new one.
    pub(crate) fn replaced(&self) {
        self.tell(Message::LookAtAll);
    }

    fn tell(&self, message: Message) {
        // Gone only at the end of the process.
        if let Some(keeper) = &self.keeper {
            let _ = keeper.send(message);
        }
    }

    /// Puts a blob into memory, and what was used least recently out of it.
    fn keep(&self, hash: BlobHash, bytes: &Bytes) {
        let mut memory = Memory::clone(&self.memory.load());
        let used = AtomicU64::new(self.turn.fetch_add(1, Ordering::Relaxed));
        let held = Held {
            bytes: bytes.clone(),
            used,
        };
        memory.insert(hash, Arc::new(held));
        let mut total: usize = memory.values().map(|held| held.bytes.len()).sum();
        if total > MEMORY_BYTES {
            let mut oldest: Vec<_> = memory
                .iter()
                .filter(|(other, _)| **other != hash)
                .map(|(other, held)| (held.used.load(Ordering::Relaxed), *other, held.bytes.len()))
                .collect();
            oldest.sort_unstable();
            for (_, other, length) in oldest {
                if total <= MEMORY_BYTES / 4 * 3 {
                    break;
                }
                memory.remove(&other);
                total -= length;
            }
        }
        self.memory.store(Arc::new(memory));
    }
}

/// Adds the blobs that a link names.
fn named(entry: &Entry<'_>, wanted: &mut Vec<BlobHash>) {
    if entry.plan.is_empty() {
        return;
    }
    let Ok(view) = View::read(entry.plan) else {
        return;
    };
    let variants = view.variants().into_iter().flat_map(|v| v.list);
    let targets = view
        .rules()
        .map(|rule| rule.target)
        .chain(variants.map(|(_, target)| target))
        .chain(view.target());
    wanted.extend(targets.filter_map(|target| match target {
        Target::Body(body) => match body.content {
            Content::Blob(hash, _) => Some(*hash),
            Content::Inline(_) => None,
        },
        _ => None,
    }));
}

/// Adds the blobs that pages name.
fn named_by_pages<'a>(
    pages: impl Iterator<Item = &'a Arc<crate::pages::Page>>,
    wanted: &mut Vec<BlobHash>,
) {
    wanted.extend(pages.filter_map(|page| match page.body {
        PageBody::Blob(hash, _) => Some(hash),
        PageBody::Inline(_) => None,
    }));
}

/// The thread that fetches and keeps them.
#[derive(Debug)]
pub struct Fetcher {
    stop: tokio_util::sync::CancellationToken,
    thread: JoinHandle<()>,
}

impl Fetcher {
    /// Starts the thread. `dir` holds the copies, `bytes` bounds them. A folder that cannot be written to is counted and
    /// logged, and what is fetched lives in memory then. `ended` is dropped when the thread ends, however it does.
    ///
    /// # Errors
    /// No runtime or no thread.
    pub(crate) fn start(
        (dir, bytes): (PathBuf, u64),
        caller: Caller,
        table: Current,
        ended: impl Send + 'static,
    ) -> io::Result<(Self, Arc<Blobs>)> {
        let (send, receive) = mpsc::unbounded_channel();
        let blobs = Arc::new(Blobs {
            keeper: Some(send),
            place: Some((dir.clone(), bytes)),
            ..Blobs::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stop = tokio_util::sync::CancellationToken::new();
        let stopped = stop.clone();
        let shared = Arc::clone(&blobs);
        let thread = std::thread::Builder::new()
            .name("blobs".to_owned())
            .spawn(move || {
                let _ended = ended;
                let disk = disk::Disk::open(dir, bytes);
                let keeper = Keeper::new(disk, caller, table, shared);
                runtime.block_on(async {
                    tokio::select! {
                        () = stopped.cancelled() => {}
                        () = keeper.run(receive) => {}
                    }
                });
            })?;
        blobs.replaced();
        Ok((Self { stop, thread }, blobs))
    }

    /// Ends the thread.
    ///
    /// # Errors
    /// It has panicked.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the blobs' thread has panicked"))
    }
}

/// A blob of the feed is named by its hash in lower-case hex.
fn path_of(hash: &BlobHash) -> String {
    format!("{}/{}", feed::paths::BLOBS, hex::encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_keeps_what_is_used() {
        let blobs = Blobs::default();
        let bytes = Bytes::from(vec![0; MEMORY_BYTES / 10]);
        for n in 0..30 {
            blobs.keep([n; 32], &bytes);
            assert!(blobs.get(&[0; 32]).is_some(), "used each time");
            let total: usize = blobs.memory.load().values().map(|h| h.bytes.len()).sum();
            assert!(total <= MEMORY_BYTES);
        }
        assert!(blobs.get(&[29; 32]).is_some());
        assert!(blobs.get(&[1; 32]).is_none());
    }
}
