//! Where a file's bytes come from: the uploads folder, the cache on disk, the control plane.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use metrics::counter;
use schemas::feed::paths;
use schemas::names::files::upload_path;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Wanted;
use crate::blobs::Blobs;
use crate::feed::Caller;
use crate::metrics as names;
use crate::pages::BlobHash;

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// Longest silence of the control plane within an answer.
const SILENCE: Duration = Duration::from_secs(20);

/// Share of the cache that one file may take: a few large ones must not push out everything else.
const CACHE_SHARE: u64 = 4;

/// Copies on their way into the cache at the same time, so that beside the cache there is never more than its bound once
/// more. Downloads beyond that pass through without a copy.
const FILLS: usize = CACHE_SHARE as usize;

/// Opens files.
#[derive(Debug)]
pub(super) struct Opener {
    folder: Option<PathBuf>,
    blobs: Arc<Blobs>,
    caller: Caller,
    fills: Arc<Semaphore>,
}

/// A file that is open.
#[derive(Debug)]
pub(super) enum Source {
    /// On this machine: the file at its place, and bytes left.
    Disk(Option<File>, u64),
    /// On its way from the control plane.
    Remote(Box<Remote>),
}

/// Bytes on their way from the control plane.
#[derive(Debug)]
pub(super) struct Remote {
    body: Incoming,
    left: u64,
    fill: Option<Fill>,
}

impl Opener {
    pub(super) fn new(folder: Option<PathBuf>, blobs: Arc<Blobs>, caller: Caller) -> Self {
        Self {
            folder,
            blobs,
            caller,
            fills: Arc::new(Semaphore::new(FILLS)),
        }
    }

    pub(super) async fn open(&self, wanted: &Wanted) -> Option<Source> {
        if let Some(place) = self
            .folder
            .as_deref()
            .and_then(|f| upload_path(f, &wanted.key))
            && let Some(source) = on_disk(place, wanted).await
        {
            return Some(source);
        }
        if let Some(place) = self.blobs.locate(wanted.hash).await
            && let Some(source) = on_disk(place, wanted).await
        {
            return Some(source);
        }
        self.remote(wanted).await
    }

    async fn remote(&self, wanted: &Wanted) -> Option<Source> {
        let is_whole = wanted.range == (0..wanted.size);
        let mut headers = HeaderMap::new();
        if !is_whole {
            let last = wanted.range.end.checked_sub(1)?;
            let range = format!("bytes={}-{last}", wanted.range.start);
            headers.insert(header::RANGE, HeaderValue::from_str(&range).ok()?);
        }
        let path = format!("{}/{}", paths::BLOBS, hex::encode(wanted.hash));
        let answer = self.caller.open((Method::GET, &path), headers).await?;
        let status = match is_whole {
            true => StatusCode::OK,
            false => StatusCode::PARTIAL_CONTENT,
        };
        let left = wanted.range.end.checked_sub(wanted.range.start)?;
        let length = answer.headers().get(header::CONTENT_LENGTH)?;
        if answer.status() != status || length.to_str().ok()?.parse() != Ok(left) {
            return None;
        }
        let fill = match is_whole {
            true => self.fill(wanted).await,
            false => None,
        };
        Some(Source::Remote(Box::new(Remote {
            body: answer.into_body(),
            left,
            fill,
        })))
    }

    /// Begins a copy of a file, if there is room for it.
    async fn fill(&self, wanted: &Wanted) -> Option<Fill> {
        let (place, bound) = self.blobs.place_of(&wanted.hash)?;
        if wanted.size > bound / CACHE_SHARE {
            return None;
        }
        let turn = Arc::clone(&self.fills).try_acquire_owned().ok()?;
        Fill::begin(Arc::clone(&self.blobs), wanted.hash, place, turn).await
    }
}

/// A file of the right length, at the right place.
async fn on_disk(path: PathBuf, wanted: &Wanted) -> Option<Source> {
    let (size, range) = (wanted.size, wanted.range.clone());
    let opening = tokio::task::spawn_blocking(move || {
        let mut file = File::open(path).ok()?;
        let facts = file.metadata().ok()?;
        if !facts.is_file() || facts.len() != size {
            return None;
        }
        file.seek(SeekFrom::Start(range.start)).ok()?;
        Some(Source::Disk(
            Some(file),
            range.end.checked_sub(range.start)?,
        ))
    });
    opening.await.ok()?
}

impl Source {
    /// The next piece; `Some` of nothing: that was all; `None`: the rest cannot be had.
    pub(super) async fn piece(&mut self) -> Option<Bytes> {
        match self {
            Self::Disk(_, 0) => Some(Bytes::new()),
            Self::Disk(place, left) => {
                let mut file = place.take()?;
                let wanted = usize::try_from(*left).unwrap_or(PIECE).min(PIECE);
                let reading = tokio::task::spawn_blocking(move || {
                    let mut piece = vec![0; wanted];
                    let got = file.read(&mut piece).ok().filter(|got| *got > 0)?;
                    piece.truncate(got);
                    Some((file, Bytes::from(piece)))
                });
                let (file, piece) = reading.await.ok()??;
                *place = Some(file);
                *left -= piece.len() as u64;
                Some(piece)
            }
            Self::Remote(remote) => remote.piece().await,
        }
    }
}

impl Remote {
    async fn piece(&mut self) -> Option<Bytes> {
        while self.left > 0 {
            let frame = timeout(SILENCE, self.body.frame()).await.ok()??.ok()?;
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if piece.is_empty() {
                continue;
            }
            // More than was said is an answer to something else.
            self.left = self.left.checked_sub(piece.len() as u64)?;
            if let Some(fill) = self.fill.take() {
                self.fill = fill.take(piece.clone()).await;
            }
            if self.left == 0
                && let Some(fill) = self.fill.take()
            {
                fill.finish().await;
            }
            return Some(piece);
        }
        Some(Bytes::new())
    }
}

/// A copy on its way into the cache. Given up at the first error, and when its visitor goes away.
#[derive(Debug)]
struct Fill {
    blobs: Arc<Blobs>,
    hash: BlobHash,
    place: PathBuf,
    part: PathBuf,
    file: Option<File>,
    sum: Sha256,
    bytes: u64,
    _turn: OwnedSemaphorePermit,
}

impl Fill {
    async fn begin(
        blobs: Arc<Blobs>,
        hash: BlobHash,
        place: PathBuf,
        turn: OwnedSemaphorePermit,
    ) -> Option<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).ok()?;
        let part = place.with_extension(format!("{}.part", hex::encode(random)));
        let path = part.clone();
        let making = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(path.parent()?).ok()?;
            File::options()
                .create_new(true)
                .write(true)
                .open(&path)
                .ok()
        });
        let file = making.await.ok()?;
        if file.is_none() {
            counter!(names::BLOB_ERRORS, "kind" => "write").increment(1);
        }
        Some(Self {
            blobs,
            hash,
            place,
            part,
            file: Some(file?),
            sum: Sha256::new(),
            bytes: 0,
            _turn: turn,
        })
    }

    async fn take(mut self, piece: Bytes) -> Option<Self> {
        let mut file = self.file.take()?;
        self.bytes += piece.len() as u64;
        self.sum.update(&piece);
        let writing = tokio::task::spawn_blocking(move || {
            std::io::Write::write_all(&mut file, &piece).map(|()| file)
        });
        match writing.await {
            Ok(Ok(file)) => {
                self.file = Some(file);
                Some(self)
            }
            _ => {
                counter!(names::BLOB_ERRORS, "kind" => "write").increment(1);
                None
            }
        }
    }

    async fn finish(mut self) {
        let sum: BlobHash = std::mem::take(&mut self.sum).finalize().into();
        if sum != self.hash {
            counter!(names::BLOB_ERRORS, "kind" => "damaged").increment(1);
            return;
        }
        let (part, place) = (self.part.clone(), self.place.clone());
        let renaming = tokio::task::spawn_blocking(move || std::fs::rename(part, place));
        if matches!(renaming.await, Ok(Ok(()))) {
            self.blobs.adopted(self.hash, self.bytes);
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        // Renamed by now, or of no use.
        let _ = std::fs::remove_file(&self.part);
    }
}
