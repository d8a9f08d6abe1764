//! The click log on disk: final records in checksummed, bounded segments, read by another process.
//!
//! One owner appends; a lock in the folder sees to that. A batch is written with one `write` into one segment, so that
//! what an earlier process wrote last is in the newest segment (see [`Accounted`]). The bytes become durable when
//! [`Log::sync`] is called, which the owner does on an interval: the ring absorbs what a slow disk takes.
//!
//! Bounded in bytes. A segment goes when its reader has acknowledged all of it; while there is no room, [`Log::append`]
//! says so and the caller keeps its visits where they are. After an error the partial batch is cut off before anything
//! else is written. The formats are those of [`schemas::click_log`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod accounted;
mod segment;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use schemas::click_log::{ACK_FILE, SEGMENT_HEADER_BYTES, decode_ack, segment_base, segment_name};

pub use self::accounted::Accounted;

/// Largest segment, in bytes: small enough to be freed often, large enough that files stay few.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// A bound of the log is split into at least this many segments, since only whole ones are freed.
const SEGMENTS_IN_BOUND: u64 = 8;

const LOCK_FILE: &str = "lock";
/// Extension of a segment that has no header yet.
const UNFINISHED: &str = "new";

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The bound is reached and the reader has acknowledged no whole segment.
    #[error("click log is full: {bytes} bytes, at most {bound} are allowed")]
    Full {
        /// What is there.
        bytes: u64,
        /// What is allowed.
        bound: u64,
    },
    /// The system refused.
    #[error("click log {path}: {source}")]
    Io {
        /// Folder or segment.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process appends to this folder.
    #[error("click log {0} is in use by another process")]
    Locked(PathBuf),
}

impl LogError {
    /// The reason that books and metrics give for visits lost because of it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Full { .. } => "log_full",
            Self::Io { .. } | Self::Locked(_) => "log_error",
        }
    }
}

/// A segment that is no longer written to.
#[derive(Debug, Clone, Copy)]
struct Sealed {
    base: u64,
    /// Offset behind its last record.
    end: u64,
}

/// The segment being written.
#[derive(Debug)]
struct Current {
    file: File,
    base: u64,
    end: u64,
    /// An earlier write failed and its bytes could not be cut off.
    torn: bool,
    unsynced: bool,
}

impl Current {
    fn length(&self) -> u64 {
        SEGMENT_HEADER_BYTES as u64 + self.end - self.base
    }
}

/// The appending end of a click log.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    bound: u64,
    segment_bytes: u64,
    sealed: VecDeque<Sealed>,
    current: Option<Current>,
    /// Offset of the next record.
    end: u64,
    cut_bytes: u64,
    _lock: File,
}

impl Log {
    /// Opens a log, making its folder if need be: locks it, cuts a torn tail off the newest segment, and goes on behind
    /// everything that was ever written or acknowledged.
    ///
    /// # Errors
    /// The folder cannot be made, read or locked.
    pub fn open(folder: &Path, bound: u64) -> Result<Self, LogError> {
        let fail = |source| LogError::Io {
            path: folder.to_owned(),
            source,
        };
        make_folder(folder).map_err(fail)?;
        let lock = lock(folder)?;
        let mut bases = Vec::new();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|e| e == UNFINISHED) {
                fs::remove_file(&path).map_err(fail)?;
            } else if let Some(base) = path.file_name().and_then(|n| segment_base(n.to_str()?)) {
                bases.push(base);
            }
        }
        bases.sort_unstable();
        let mut log = Self {
            folder: folder.to_owned(),
            bound,
            segment_bytes: SEGMENT_BYTES.min(bound / SEGMENTS_IN_BOUND),
            sealed: VecDeque::new(),
            current: None,
            end: 0,
            cut_bytes: 0,
            _lock: lock,
        };
        // Only the last process can have left a tail torn or a segment empty, so only the newest segment is looked at.
        while let Some(base) = bases.pop() {
            let path = log.path(base);
            let (end, cut) = segment::close(&path, base).map_err(fail)?;
            log.cut_bytes += cut;
            if end > base {
                log.sealed.push_back(Sealed { base, end });
                break;
            }
            fs::remove_file(&path).map_err(fail)?;
        }
        while let Some(base) = bases.pop() {
            let length = fs::metadata(log.path(base)).map_err(fail)?.len();
            let end = base + length.saturating_sub(SEGMENT_HEADER_BYTES as u64);
            log.sealed.push_front(Sealed { base, end });
        }
        let written = log.sealed.iter().map(|s| s.end).max().unwrap_or(0);
        log.end = written.max(log.acknowledged());
        Ok(log)
    }

    /// Offset behind the last record.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        let sealed = self
            .sealed
            .iter()
            .map(|s| SEGMENT_HEADER_BYTES as u64 + s.end - s.base);
        sealed.sum::<u64>() + self.current.as_ref().map_or(0, Current::length)
    }

    /// Bytes of a torn tail that were cut off when the log was opened.
    pub fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// Everything below this offset is stored for good, as the reader says; 0 when it has said nothing legible.
    pub fn acknowledged(&self) -> u64 {
        fs::read_to_string(self.folder.join(ACK_FILE))
            .ok()
            .and_then(|text| decode_ack(&text))
            .unwrap_or(0)
    }

    /// What the newest segment says of the streams in it. For rings of an earlier process, before anything is appended.
    ///
    /// # Errors
    /// The segment cannot be read.
    pub fn accounted(&self) -> Result<Accounted, LogError> {
        let Some(newest) = self.sealed.back() else {
            return Ok(Accounted::default());
        };
        let path = self.path(newest.base);
        match fs::read(&path) {
            Ok(bytes) => Ok(Accounted::of(segment::records(&bytes))),
            Err(source) => Err(LogError::Io { path, source }),
        }
    }

    /// Appends whole records; all of them or none.
    ///
    /// # Errors
    /// No room within the bound, or the system refuses. Nothing of the batch is in the log then, and the next call may
    /// well succeed.
    pub fn append(&mut self, batch: &[u8]) -> Result<(), LogError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.make_room(batch.len() as u64)?;
        let base = self.segment_for(batch.len() as u64)?;
        let path = self.path(base);
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let written = (|| {
            if current.torn {
                current.file.set_len(current.length())?;
                current.torn = false;
            }
            current.file.write_all_at(batch, current.length())
        })();
        if let Err(source) = written {
            current.torn = current.file.set_len(current.length()).is_err();
            return Err(LogError::Io { path, source });
        }
        current.end += batch.len() as u64;
        current.unsynced = true;
        self.end = current.end;
        Ok(())
    }

    /// Brings to disk what has been appended.
    ///
    /// # Errors
    /// What the system says. What was written may be lost by a power failure then.
    pub fn sync(&mut self) -> Result<(), LogError> {
        let Some(current) = self.current.as_mut().filter(|c| c.unsynced) else {
            return Ok(());
        };
        match current.file.sync_data() {
            Ok(()) => {
                current.unsynced = false;
                Ok(())
            }
            Err(source) => {
                let path = self.folder.join(segment_name(current.base));
                Err(LogError::Io { path, source })
            }
        }
    }

    /// Deletes segments that are wholly acknowledged, save the one being written. Returns how many.
    ///
    /// # Errors
    /// A segment cannot be deleted; it is tried again next time.
    pub fn reclaim(&mut self) -> Result<usize, LogError> {
        let acknowledged = self.acknowledged();
        let mut deleted = 0;
        while let Some(front) = self.sealed.front().copied() {
            // The newest records must stay as long as the rings may hold them too (see `Accounted`).
            let newest = self.sealed.len() == 1 && self.current.is_none();
            if front.end > acknowledged || newest {
                break;
            }
            let path = self.path(front.base);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(LogError::Io { path, source });
                }
                _ => {}
            }
            self.sealed.pop_front();
            deleted += 1;
        }
        Ok(deleted)
    }

    /// Sees that `more` bytes stay within the bound.
    fn make_room(&mut self, more: u64) -> Result<(), LogError> {
        let wanted = more + SEGMENT_HEADER_BYTES as u64;
        if self.bytes() + wanted <= self.bound {
            return Ok(());
        }
        self.reclaim()?;
        if self.bytes() + wanted <= self.bound {
            return Ok(());
        }
        Err(LogError::Full {
            bytes: self.bytes(),
            bound: self.bound,
        })
    }

    /// Sees that a segment is open that takes `more` bytes; its base.
    fn segment_for(&mut self, more: u64) -> Result<u64, LogError> {
        if let Some(current) = &self.current {
            // Deleted under us: what goes in there is lost.
            let gone = current.file.metadata().is_ok_and(|m| m.nlink() == 0);
            let fits = current.length() + more <= self.segment_bytes || current.end == current.base;
            if !gone && fits {
                return Ok(current.base);
            }
            if gone {
                tracing::error!(
                    base = current.base,
                    "a segment of the click log was deleted while it was written to"
                );
                self.current = None;
            }
        }
        if self.current.is_some() {
            self.sync()?;
        }
        if let Some(Current { base, end, .. }) = self.current.take() {
            self.sealed.push_back(Sealed { base, end });
        }
        let base = self.end;
        let path = self.path(base);
        let file = make_folder(&self.folder)
            .and_then(|()| segment::create(&path, &path.with_extension(UNFINISHED), base))
            .map_err(|source| LogError::Io { path, source })?;
        self.current = Some(Current {
            file,
            base,
            end: base,
            torn: false,
            unsynced: false,
        });
        Ok(base)
    }

    fn path(&self, base: u64) -> PathBuf {
        self.folder.join(segment_name(base))
    }
}

/// Clicks are nobody else's business.
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn lock(folder: &Path) -> Result<File, LogError> {
    let path = folder.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| LogError::Io { path, source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LogError::Locked(folder.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(LogError::Io {
            path: folder.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests;
