//! Where the bytes of files lie: a folder of this machine, or a bucket that speaks S3.
//!
//! Bytes come in through [`Writing`], a piece at a time, and are hashed on the way; nothing is ever held whole. What is
//! written lies under a key of its own that was never used before and never will be again, so deleting one object can
//! never take away another. Keys, and what is used of them, are the business of [`crate::store::objects`]; before anything
//! can lie under a key, it is noted there.
//!
//! Deliberately absent: what the bytes mean. An archive is never opened.

mod bucket;
mod connector;
mod folder;

use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use sha2::{Digest as _, Sha256};

pub use self::bucket::BucketConfig;
use self::bucket::{Bucket, Parts};
use self::folder::{Folder, Temporary};
use crate::clock::Clock;
use crate::config::FilesPlace;
use crate::metrics;
use crate::store::Store;
use crate::store::objects::{self, Object, Stray};

/// Deletions that may fail in one sweep: each may take as long as a server that does not answer.
const MAX_FAILED: usize = 10;

/// Bytes on their way out.
pub(crate) type Reading = Pin<Box<dyn Stream<Item = Result<Bytes, StorageError>> + Send>>;

/// Why bytes cannot be stored or read. What each says is sent to callers; what [`Self::Failed`] holds is logged only.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No room.
    #[error("the file storage is full, nothing was stored")]
    Full,
    /// May not be written to.
    #[error("the file storage cannot be written to, nothing was stored")]
    ReadOnly,
    /// Nothing lies there.
    #[error("the file is not in the storage")]
    Missing,
    /// Anything else: a server that does not answer, a disk that fails.
    #[error("the file storage does not work at the moment, try again later")]
    Failed(#[source] anyhow::Error),
}

impl StorageError {
    fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(error.into())
    }

    /// For the metric.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Missing => "missing",
            Self::Failed(_) => "failed",
        }
    }
}

/// The storage.
#[derive(Debug)]
pub struct Storage {
    place: Place,
    store: Store,
    clock: Clock,
}

#[derive(Debug)]
enum Place {
    Folder(Folder),
    Bucket(Bucket),
}

impl Storage {
    /// The storage of the settings. A bucket is not asked for anything yet: without it everything else works.
    ///
    /// # Errors
    /// The folder cannot be made; the bucket's settings make no sense together.
    pub fn open(place: &FilesPlace, store: Store, clock: Clock) -> anyhow::Result<Self> {
        let place = match place {
            FilesPlace::Folder(path) => Place::Folder(Folder::open(path)?),
            FilesPlace::Bucket(config) => Place::Bucket(Bucket::open(config)?),
        };
        Ok(Self {
            place,
            store,
            clock,
        })
    }

    /// Begins an object.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(crate) async fn begin(&self) -> Result<Writing<'_>, StorageError> {
        let to = match &self.place {
            Place::Folder(folder) => To::Folder(folder.begin().await?),
            Place::Bucket(bucket) => To::Bucket(Box::new(bucket.begin()?)),
        };
        Ok(Writing {
            storage: self,
            to,
            hash: Sha256::new(),
            size: 0,
        })
    }

    /// The bytes `range` of an object, which must lie within it.
    ///
    /// # Errors
    /// Nothing lies there; it cannot be read.
    pub(crate) async fn read(&self, key: &str, range: Range<u64>) -> Result<Reading, StorageError> {
        match &self.place {
            Place::Folder(folder) => folder.read(key, range).await,
            Place::Bucket(bucket) => bucket.read(key, range).await,
        }
    }

    /// Whether an object lies there.
    ///
    /// # Errors
    /// The storage cannot be asked.
    pub(crate) async fn has(&self, key: &str) -> Result<bool, StorageError> {
        match &self.place {
            Place::Folder(folder) => folder.has(key).await,
            Place::Bucket(bucket) => bucket.has(key).await,
        }
    }

    /// Deletes what lies at a stray's key, and the note of it. What is not there is deleted.
    ///
    /// # Errors
    /// The storage's, the database's; the note stays.
    pub(crate) async fn discard(&self, stray: &Stray) -> anyhow::Result<()> {
        match &self.place {
            Place::Folder(folder) => folder.delete(&stray.storage_key).await?,
            Place::Bucket(bucket) => bucket.delete(stray).await?,
        }
        objects::forget_stray(&self.store, &stray.storage_key).await?;
        Ok(())
    }

    /// Deletes what crashes have left that no note can name. Returns how many.
    async fn clean(&self) -> Result<u64, StorageError> {
        match &self.place {
            Place::Folder(folder) => folder.clean().await,
            Place::Bucket(_) => Ok(0),
        }
    }

    /// Deletes bytes that nothing uses any more and what crashes have left, a bounded number at a time. Returns how many.
    /// What cannot be deleted goes to the end of the line: one that stays so holds up nothing else.
    ///
    /// # Errors
    /// The database's. A storage that fails is logged, counted and left for the next time.
    pub async fn sweep(&self) -> anyhow::Result<u64> {
        let now_ms = self.clock.now_ms();
        objects::give_up_unused(&self.store, now_ms).await?;
        let (mut swept, mut failed) = (0, 0);
        for stray in objects::strays(&self.store, now_ms).await? {
            match self.discard(&stray).await {
                Ok(()) => swept += 1,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "bytes cannot be deleted, trying again later"
                    );
                    metrics::storage_failed("delete");
                    objects::postpone_stray(&self.store, &stray.storage_key, now_ms).await?;
                    failed += 1;
                    if failed == MAX_FAILED {
                        return Ok(swept);
                    }
                }
            }
        }
        match self.clean().await {
            Ok(cleaned) => Ok(swept + cleaned),
            Err(error) => {
                tracing::warn!(%error, "the file storage cannot be cleaned");
                Ok(swept)
            }
        }
    }

    async fn note(&self, key: &str, multipart: &str) -> Result<(), StorageError> {
        let stray = Stray {
            storage_key: key.to_owned(),
            multipart_id: multipart.to_owned(),
        };
        objects::note_stray(&self.store, &stray, self.clock.now_ms())
            .await
            .map_err(StorageError::failed)
    }
}

/// An object on its way in. Dropped before its end, it leaves nothing behind that a note does not name.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    storage: &'a Storage,
    to: To,
    hash: Sha256,
    size: u64,
}

#[derive(Debug)]
enum To {
    Folder(Temporary),
    Bucket(Box<Parts>),
}

impl Writing<'_> {
    /// Takes the next piece.
    ///
    /// # Errors
    /// It cannot be stored; nothing more can be written then.
    pub(crate) async fn write(&mut self, piece: Bytes) -> Result<(), StorageError> {
        self.hash.update(&piece);
        self.size += piece.len() as u64;
        match &mut self.to {
            To::Folder(file) => file.write(&piece).await,
            To::Bucket(parts) => {
                if parts.is_full() && parts.begin().await? {
                    self.storage.note(parts.key(), parts.multipart()).await?;
                }
                parts.write(piece).await
            }
        }
    }

    /// Ends it: from now on it lies there for good, noted as a stray until it is used.
    ///
    /// # Errors
    /// It cannot be stored; nothing is left behind.
    pub(crate) async fn finish(self) -> Result<Object, StorageError> {
        let hash = self.hash.finalize().into();
        let storage = self.storage;
        let storage_key = match self.to {
            To::Folder(file) => {
                let key = file.key(&hash)?;
                storage.note(&key, "").await?;
                file.finish(&key).await?;
                key
            }
            To::Bucket(mut parts) => {
                if parts.multipart().is_empty() {
                    storage.note(parts.key(), "").await?;
                }
                parts.finish().await?;
                parts.key().to_owned()
            }
        };
        Ok(Object {
            hash,
            storage_key,
            size: self.size,
        })
    }
}

/// Whether a bucket lets our key in: asks for an object that is not there.
///
/// # Errors
/// The settings make no sense together; it does not answer, or refuses.
pub async fn ask(config: &BucketConfig) -> anyhow::Result<()> {
    match Bucket::open(config)?.has("signpost-check").await {
        Ok(_) => Ok(()),
        Err(StorageError::Failed(error)) => Err(error),
        Err(_) => anyhow::bail!("the bucket refuses the access key"),
    }
}

/// Random hex digits for a name nobody had before.
fn random_name() -> Result<String, StorageError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| StorageError::failed(anyhow::anyhow!("{e}")))?;
    Ok(hex::encode(bytes))
}
