//! Objects in a folder: `<first two hex digits>/<SHA-256 in hex>-<random>`, made in `part/`, synced, and renamed into
//! place. What has a name is whole, and survives a power failure.
//!
//! The random end makes a key unique, see [`crate::store::objects`]; the hash before it lets an operator check a folder
//! with `sha256sum` alone. A proxy of the same machine reads these files itself.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use schemas::names::files::upload_path;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::{Reading, StorageError, random_name};
use crate::store::objects::{Hash, KEEP_STRAY_MS};

/// Folder of what is not whole yet.
const PART: &str = "part";

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// Bytes handed to the disk at once: fewer calls of the blocking pool than pieces come in.
const WRITE_BUFFER: usize = 256 << 10;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.join(PART))
            .or_else(|error| {
                // Full or read-only: files cannot come in, and those that are there are served.
                if path.is_dir() { Ok(()) } else { Err(error) }
            })
            .with_context(|| format!("cannot make SIGNPOST_FILES={}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    pub(super) async fn begin(&self) -> Result<Temporary, StorageError> {
        let path = self.path.join(PART).join(random_name()?);
        let making = path.clone();
        let file = blocking(move || {
            let open = || {
                OpenOptions::new()
                    .create_new(true)
                    .write(true)
                    .mode(0o600)
                    .open(&making)
            };
            open().or_else(|error| match making.parent() {
                // Whoever cleans the folder up by hand takes it away.
                Some(part) if error.kind() == ErrorKind::NotFound => {
                    std::fs::create_dir_all(part)?;
                    open()
                }
                _ => Err(error),
            })
        })
        .await?;
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(WRITE_BUFFER);
        Ok(Temporary {
            folder: self.clone(),
            file,
            path: Some(path),
        })
    }

    pub(super) async fn read(&self, key: &str, range: Range<u64>) -> Result<Reading, StorageError> {
        let mut file = tokio::fs::File::open(self.place(key)?)
            .await
            .map_err(judge)?;
        file.seek(io::SeekFrom::Start(range.start))
            .await
            .map_err(judge)?;
        let left = range.end.saturating_sub(range.start);
        let pieces = stream::try_unfold((file, left), |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let mut piece = BytesMut::with_capacity(PIECE);
            let got = (&mut file)
                .take(left.min(PIECE as u64))
                .read_buf(&mut piece)
                .await
                .map_err(judge)?;
            if got == 0 {
                return Err(StorageError::failed(anyhow::anyhow!("a file is too short")));
            }
            Ok(Some((piece.freeze(), (file, left - got as u64))))
        });
        Ok(Box::pin(pieces))
    }

    pub(super) async fn has(&self, key: &str) -> Result<bool, StorageError> {
        match tokio::fs::metadata(self.place(key)?).await {
            Ok(meta) => Ok(meta.is_file()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(judge(error)),
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), StorageError> {
        // What is no key of ours lies nowhere.
        let Ok(place) = self.place(key) else {
            return Ok(());
        };
        match tokio::fs::remove_file(place).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(judge(error)),
            _ => Ok(()),
        }
    }

    /// Deletes what was begun and left by processes that were killed, once it cannot be an upload under way any more.
    pub(super) async fn clean(&self) -> Result<u64, StorageError> {
        let part = self.path.join(PART);
        blocking(move || {
            let mut deleted = 0;
            let entries = match std::fs::read_dir(&part) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let age = entry.metadata()?.modified()?.elapsed();
                // A time in the future is no age.
                if age.is_ok_and(|age| age >= Duration::from_millis(KEEP_STRAY_MS.unsigned_abs())) {
                    std::fs::remove_file(entry.path())?;
                    deleted += 1;
                }
            }
            Ok(deleted)
        })
        .await
    }

    /// Where a key of ours lies.
    fn place(&self, key: &str) -> Result<PathBuf, StorageError> {
        upload_path(&self.path, key).ok_or(StorageError::Missing)
    }
}

/// A file that has no name yet. Deleted when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: Folder,
    file: tokio::fs::File,
    path: Option<PathBuf>,
}

impl Temporary {
    pub(super) async fn write(&mut self, piece: &Bytes) -> Result<(), StorageError> {
        self.file.write_all(piece).await.map_err(judge)
    }

    /// A key for these bytes.
    pub(super) fn key(&self, hash: &Hash) -> Result<String, StorageError> {
        let hash = hex::encode(hash);
        let random = random_name()?;
        let (two, random) = (hash.get(..2), random.get(..8));
        Ok(format!(
            "{}/{hash}-{}",
            two.unwrap_or_default(),
            random.unwrap_or_default()
        ))
    }

    pub(super) async fn finish(mut self, key: &str) -> Result<(), StorageError> {
        self.file.flush().await.map_err(judge)?;
        let place = self.folder.place(key)?;
        let Some(path) = self.path.clone() else {
            return Ok(());
        };
        let file = self.file.try_clone().await.map_err(judge)?.into_std().await;
        blocking(move || {
            file.sync_all()?;
            if let Some(folder) = place.parent() {
                let is_new = !folder.is_dir();
                std::fs::create_dir_all(folder)?;
                std::fs::rename(&path, &place)?;
                // The name too must survive a power failure, and that of the folder it is in.
                File::open(folder)?.sync_all()?;
                if let (true, Some(above)) = (is_new, folder.parent()) {
                    File::open(above)?.sync_all()?;
                }
            }
            Ok(())
        })
        .await?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // Else the sweep finds it.
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(StorageError::failed)?
        .map_err(judge)
}

fn judge(error: io::Error) -> StorageError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StorageError::Full
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StorageError::ReadOnly,
        ErrorKind::NotFound => StorageError::Missing,
        _ => StorageError::failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_without_room_is_said_to_be_full_and_its_half_is_deleted() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(dir.path()).expect("opens");
        let half = dir.path().join(PART).join("half");
        std::fs::write(&half, b"what fitted").expect("written");
        // The one disk that every Linux has and that is always full.
        let full = OpenOptions::new().write(true).open("/dev/full");
        let mut file = Temporary {
            folder,
            file: tokio::fs::File::from_std(full.expect("opens")),
            path: Some(half.clone()),
        };
        let piece = Bytes::from(vec![0; 1 << 20]);
        let mut result = Ok(());
        for _ in 0..4 {
            result = result.and(file.write(&piece).await);
        }
        assert!(matches!(result, Err(StorageError::Full)), "{result:?}");
        drop(file);
        assert!(!half.exists());
    }

    #[tokio::test]
    async fn no_key_leads_out_of_the_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("secret"), b"x").expect("written");
        let folder = Folder::open(&dir.path().join("files")).expect("opens");
        for bad in [
            "",
            "ab",
            "../secret",
            "ab/../../secret",
            "ab/cd/ef",
            "/etc/passwd",
            "part/x",
            "ab/",
        ] {
            assert!(!folder.has(bad).await.unwrap_or(false), "{bad}");
            assert!(matches!(
                folder.read(bad, 0..1).await,
                Err(StorageError::Missing)
            ));
            assert!(folder.delete(bad).await.is_ok());
        }
        assert!(dir.path().join("secret").exists());
    }
}
