//! Stored files on their way to visitors, on threads of their own.
//!
//! A download takes as long as its visitor does, so no serving thread has anything to do with one: once a request is
//! decided and its visit recorded, its connection leaves the worker that took it, and is served here to its end, which is
//! also the connection's. A slow reader costs a task and a piece of memory; many fast ones share two threads of low
//! priority. Redirects notice neither.
//!
//! Where the bytes come from, in this order: the uploads folder of this machine, if there is one; the bounded cache on
//! disk ([`crate::blobs`]); the control plane, which fills that cache on the way.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub(crate) mod range;
mod send;
mod source;

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use metrics::counter;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::source::{Opener, Source};
use crate::blobs::Blobs;
use crate::client_ip::network;
use crate::enrich::lower_priority;
use crate::feed::Caller;
use crate::metrics as names;
use crate::pages::BlobHash;
use crate::transport::Detached;

/// Downloads at the same time: a file descriptor or two and some 100 KiB each.
const DOWNLOADS: usize = 1000;

/// Downloads of one address at the same time, of a /64 with IPv6: a tenth, so that nobody takes all places.
const OF_ONE_ADDRESS: usize = 100;

/// Threads that move bytes.
const THREADS: usize = 2;

/// Threads that wait for disks.
const DISK_THREADS: usize = 16;

/// Pieces of a file that are read ahead of a connection with HTTP/2.
const AHEAD: usize = 2;

/// How long a visitor waits for the first byte to be found.
const OPEN_DEADLINE: Duration = Duration::from_secs(2);

/// What is wanted of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it lies in the uploads folder.
    pub key: Box<str>,
    /// SHA-256 of the whole.
    pub hash: BlobHash,
    /// Length of the whole, in bytes.
    pub size: u64,
    /// The part that is wanted.
    pub range: Range<u64>,
}

/// A file that can be sent now.
#[derive(Debug)]
pub struct Opened {
    pub(crate) wanted: Wanted,
    source: Source,
    _turn: Turn,
}

/// A place among the downloads, given back when dropped.
#[derive(Debug)]
struct Turn {
    of: IpAddr,
    inner: Arc<Inner>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let addresses = &self.inner.addresses;
        if let Some(mut held) = addresses.get_mut(&self.of) {
            *held = held.saturating_sub(1);
        }
        addresses.remove_if(&self.of, |_, held| *held == 0);
    }
}

/// Why a file cannot be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// There are too many downloads.
    Busy,
    /// Its bytes cannot be had.
    Missing,
}

/// What serving threads know of downloads. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Files(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    opener: Opener,
    turns: Arc<Semaphore>,
    /// Downloads by address.
    addresses: DashMap<IpAddr, usize>,
    sending: TaskTracker,
    end: CancellationToken,
    stall: Duration,
}

impl Files {
    /// Opens a file for a client at this address.
    ///
    /// # Errors
    /// It cannot be sent now.
    pub async fn open(&self, wanted: Wanted, client: IpAddr) -> Result<Opened, Closed> {
        let inner = self.0.clone().ok_or(Closed::Missing)?;
        let turn = inner.turn(network(client)).ok_or(Closed::Busy)?;
        let opening = {
            let inner = Arc::clone(&inner);
            let wanted = wanted.clone();
            let runtime = inner.runtime.clone();
            // Given up when its visitor is told that it cannot be had.
            AbortOnDropHandle::new(runtime.spawn(async move { inner.opener.open(&wanted).await }))
        };
        match timeout(OPEN_DEADLINE, opening).await {
            Ok(Ok(Some(source))) => Ok(Opened {
                wanted,
                source,
                _turn: turn,
            }),
            _ => {
                counter!(names::DOWNLOADS, "result" => "missing").increment(1);
                Err(Closed::Missing)
            }
        }
    }

    /// Sends `head` and the file on this connection, and ends it.
    pub(crate) fn send(&self, stream: Detached, head: Vec<u8>, opened: Opened) {
        let Some(inner) = self.0.clone() else {
            return;
        };
        let end = inner.end.clone();
        let stall = inner.stall;
        let sending = async move {
            let result = tokio::select! {
                result = send::send(stream, head, opened, stall) => result,
                () = end.cancelled() => send::Sent::Ended,
            };
            counter!(names::DOWNLOADS, "result" => result.name()).increment(1);
        };
        inner.sending.spawn_on(sending, &inner.runtime);
    }
}

impl Files {
    /// The file in pieces, for a connection that carries other answers beside it (HTTP/2). They are read on the threads of
    /// downloads, a few ahead; who takes none for too long gets no more.
    pub(crate) fn pieces(&self, mut opened: Opened) -> Receiver<Piece> {
        let (sender, receiver) = channel(AHEAD);
        let Some(inner) = self.0.clone() else {
            return receiver;
        };
        let (end, stall) = (inner.end.clone(), inner.stall);
        let sending = async move {
            let pumping = async {
                loop {
                    let piece = opened.source.piece().await;
                    let result = match &piece {
                        Some(bytes) if bytes.is_empty() => return send::Sent::Done,
                        Some(_) => None,
                        None => Some(send::Sent::Broken),
                    };
                    let piece = piece.ok_or(Broken);
                    match (timeout(stall, sender.send(piece)).await, result) {
                        (_, Some(result)) => return result,
                        (Ok(Ok(())), None) => {}
                        (Ok(Err(_)), None) => return send::Sent::Gone,
                        (Err(_), None) => return send::Sent::Slow,
                    }
                }
            };
            let result = tokio::select! {
                result = pumping => result,
                () = end.cancelled() => send::Sent::Ended,
            };
            if !matches!(result, send::Sent::Done) {
                // Its visitor must not take it for whole.
                let _ = sender.try_send(Err(Broken));
            }
            counter!(names::DOWNLOADS, "result" => result.name()).increment(1);
        };
        inner.sending.spawn_on(sending, &inner.runtime);
        receiver
    }
}

/// A piece of a file on its way, or the news that no more comes.
pub(crate) type Piece = Result<Bytes, Broken>;

/// A file broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the file broke off")]
pub(crate) struct Broken;

impl Inner {
    fn turn(self: &Arc<Self>, of: IpAddr) -> Option<Turn> {
        let permit = Arc::clone(&self.turns).try_acquire_owned().ok()?;
        let mut held = self.addresses.entry(of).or_insert(0);
        if *held >= OF_ONE_ADDRESS {
            return None;
        }
        *held += 1;
        drop(held);
        Some(Turn {
            of,
            inner: Arc::clone(self),
            _permit: permit,
        })
    }
}

/// The threads.
#[derive(Debug)]
pub struct Sender {
    runtime: Runtime,
    files: Files,
    drain: Duration,
}

impl Sender {
    /// Starts them. `folder`: the uploads folder, if this machine has it. `stall`: how long a client may take none of its
    /// bytes. `drain`: how long downloads may take to finish at the end.
    ///
    /// # Errors
    /// No threads.
    pub(crate) fn start(
        folder: Option<PathBuf>,
        blobs: Arc<Blobs>,
        caller: Caller,
        (stall, drain): (Duration, Duration),
    ) -> io::Result<(Self, Files)> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(DISK_THREADS)
            .thread_name("files")
            .on_thread_start(lower_priority)
            .enable_all()
            .build()?;
        let files = Files(Some(Arc::new(Inner {
            runtime: runtime.handle().clone(),
            opener: Opener::new(folder, blobs, caller),
            turns: Arc::new(Semaphore::new(DOWNLOADS)),
            addresses: DashMap::new(),
            sending: TaskTracker::new(),
            end: CancellationToken::new(),
            stall,
        })));
        let sender = Self {
            runtime,
            files: files.clone(),
            drain,
        };
        Ok((sender, files))
    }

    /// Lets downloads finish for a while, and ends the threads. Call it when no more can begin.
    pub fn stop(self) {
        if let Some(inner) = &self.files.0 {
            inner.sending.close();
            let finished = async { timeout(self.drain, inner.sending.wait()).await };
            if self.runtime.block_on(finished).is_err() {
                inner.end.cancel();
                self.runtime.block_on(inner.sending.wait());
            }
        }
        // A disk that does not answer must not keep the process.
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}
