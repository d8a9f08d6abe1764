//! The folder of rings: made, locked, and looked through for what an earlier process left behind.
//!
//! One folder belongs to one data folder and is named after its id. A lock in it keeps a second process (a copied data
//! folder, say) from draining rings that are still being written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use schemas::click::Stream;

use super::Writer;
use super::layout::{self, Cell, HEADER_BYTES};
use super::map::Mapping;
use super::read::Reader;

const LOCK_FILE: &str = "lock";
const EXTENSION: &str = "ring";
/// How often a folder that vanishes while it is being locked is made again. Each time takes a process that ends just then.
const ATTEMPTS: u32 = 5;
/// `f_type` of tmpfs and ramfs, from linux/magic.h.
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// Why there are no rings.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder cannot be made or used.
    #[error("ring folder {path}: {source}")]
    Io {
        /// Which folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process holds it.
    #[error("ring folder {0} is in use by another process")]
    Locked(PathBuf),
}

/// The locked folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    in_memory: bool,
    /// Held for as long as the process lives; the system lets go of it whatever happens.
    _lock: File,
}

/// A ring that an earlier process left, not yet read.
#[derive(Debug)]
pub struct Leftover {
    pub(super) path: PathBuf,
    stream: Stream,
}

impl Leftover {
    /// The stream it belongs to.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Reads the file. `None` when it was never written to (it is deleted).
    ///
    /// # Errors
    /// It cannot be read, or has the format of another version; the file is left for that one.
    pub fn open(&self) -> io::Result<Option<Reader>> {
        let reader = Reader::leftover(&self.path, self.stream)?;
        if reader.is_none() {
            fs::remove_file(&self.path)?;
        }
        Ok(reader)
    }
}

impl Folder {
    /// Makes `<parent>/signpost-<folder id>` if need be, and locks it.
    ///
    /// # Errors
    /// It cannot be made, or is locked.
    pub fn open(parent: &Path, folder_id: &str) -> Result<Self, FolderError> {
        let path = parent.join(format!("signpost-{folder_id}"));
        let fail = |source| FolderError::Io {
            path: path.clone(),
            source,
        };
        let mut attempts = 0;
        let lock = loop {
            match make_and_lock(&path) {
                Ok(lock) => break lock,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    return Err(FolderError::Locked(path));
                }
                // Its last user cleared it away between two steps of ours.
                Err(e) if e.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => {
                    attempts += 1;
                }
                Err(e) => return Err(fail(e)),
            }
        };
        let in_memory = rustix::fs::statfs(&path)
            .is_ok_and(|s| [TMPFS, RAMFS].contains(&(s.f_type as u64 & 0xffff_ffff)));
        Ok(Self {
            path,
            in_memory,
            _lock: lock,
        })
    }

    /// Whether the folder is in memory. Rings on a disk work, but make redirects wait for it now and then.
    pub fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a stream's ring with all its memory, so that a full tmpfs shows now and not later as SIGBUS.
    ///
    /// # Errors
    /// No room, or what else the system says; nothing is left behind then.
    pub fn create(
        &self,
        stream: Stream,
        capacity: usize,
        now_ms: i64,
    ) -> Result<(Writer, Reader), FolderError> {
        let path = self.ring_path(stream);
        let capacity = capacity
            .max(layout::MIN_CAPACITY)
            .next_multiple_of(layout::UNIT);
        let make = || {
            let mut file = OpenOptions::new()
                .create_new(true)
                .read(true)
                .write(true)
                .mode(0o600)
                .open(&path)?;
            allocate(&mut file, (HEADER_BYTES + capacity) as u64)?;
            let mapping = Mapping::new(&file, capacity)?;
            for cell in Cell::ALL {
                mapping.store(cell, 0);
            }
            // Last: a ring without this was never used.
            write_at(
                &file,
                &layout::fixed_header(stream, capacity as u64, now_ms),
                0,
            )?;
            Ok((file, mapping))
        };
        match make() {
            Ok((file, mapping)) => {
                let (writer, mut reader) = Writer::with(stream, Some(mapping));
                reader.set_file(file, path);
                Ok((writer, reader))
            }
            Err(source) => {
                let _ = fs::remove_file(&path);
                Err(FolderError::Io { path, source })
            }
        }
    }

    /// Both ends of a stream without a ring: its visits are counted and lost.
    pub fn without_ring(stream: Stream) -> (Writer, Reader) {
        Writer::with(stream, None)
    }

    /// The rings that earlier processes left behind, oldest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn leftovers(&self) -> Result<Vec<Leftover>, FolderError> {
        let fail = |source| FolderError::Io {
            path: self.path.clone(),
            source,
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Some(stream) = entry.file_name().to_str().and_then(stream_of) else {
                continue;
            };
            let modified = entry.metadata().and_then(|m| m.modified()).ok();
            found.push((modified, stream, entry.path()));
        }
        found.sort();
        Ok(found
            .into_iter()
            .map(|(_, stream, path)| Leftover { path, stream })
            .collect())
    }

    fn ring_path(&self, stream: Stream) -> PathBuf {
        self.path.join(format!("{stream}.{EXTENSION}"))
    }
}

impl Drop for Folder {
    /// A folder without rings goes; data folders come and go, and nobody else clears up in memory.
    fn drop(&mut self) {
        if self.leftovers().is_ok_and(|rings| rings.is_empty()) {
            let _ = fs::remove_file(self.path.join(LOCK_FILE));
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Makes the folder and takes its lock. `NotFound` when it was deleted meanwhile, `WouldBlock` when it is locked.
fn make_and_lock(path: &Path) -> io::Result<File> {
    // Visits hold addresses: nobody else may read them.
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path.join(LOCK_FILE))?;
    lock.try_lock()?;
    if lock.metadata()?.nlink() == 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(lock)
}

fn stream_of(file_name: &str) -> Option<Stream> {
    let (epoch, worker) = file_name
        .strip_suffix(EXTENSION)?
        .strip_suffix('.')?
        .split_once('-')?;
    let stream = Stream {
        epoch: u64::from_str_radix(epoch, 16).ok()?,
        worker: worker.parse().ok()?,
    };
    (format!("{stream}.{EXTENSION}") == file_name).then_some(stream)
}

/// Gives the file all its bytes. Where the file system cannot (no tmpfs), zeros are written.
fn allocate(file: &mut File, length: u64) -> io::Result<()> {
    match rustix::fs::fallocate(&*file, rustix::fs::FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = vec![0; 1 << 20];
            let mut left = length;
            while left > 0 {
                let part = left.min(zeros.len() as u64);
                file.write_all(zeros.get(..part as usize).unwrap_or_default())?;
                left -= part;
            }
            Ok(())
        }
        Err(e) => Err(e.into()),
    }
}

fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}
