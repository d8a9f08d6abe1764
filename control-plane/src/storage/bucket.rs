//! Objects in a bucket: `<prefix>/<random>`. A small one is one request; a larger one goes in parts, of which one at a time
//! is held in memory.
//!
//! An upload in parts that nobody completes costs money and is seen in no listing, so its id is noted before its first
//! part, and the sweep aborts it. Between the server's id and our note lies a moment in which a crash leaves an upload
//! without parts; a lifecycle rule of the bucket (`AbortIncompleteMultipartUpload`) takes care of that one.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _, PutPayload,
    RetryConfig,
};
use schemas::settings::Secret;

use super::connector::Connector;
use super::{Reading, StorageError, random_name};
use crate::store::objects::Stray;

/// Bytes from which a part is sent: above the 5 MiB that S3 asks for, and ten thousand of them, the most it takes, are
/// 78 GiB. An upload holds this much memory.
const PART_BYTES: usize = 8 << 20;

/// Tries of a request beside the first one, and the time for all of them. Clients wait meanwhile.
const RETRIES: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        base: 2.0,
    },
    max_retries: 3,
    retry_timeout: Duration::from_secs(30),
};

/// What is needed to reach a bucket.
#[derive(Debug, Clone)]
pub struct BucketConfig {
    /// Its name.
    pub bucket: String,
    /// Put before each key; empty, or without slashes at both ends.
    pub prefix: String,
    /// Address of the server; `None`: Amazon's of the region.
    pub endpoint: Option<String>,
    /// Certificates of authorities that its server may have its own from, beside the public ones: a PEM file.
    pub ca_file: Option<PathBuf>,
    /// Region.
    pub region: String,
    /// Access key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Secret,
}

/// The bucket.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    store: AmazonS3,
    prefix: String,
}

impl Bucket {
    pub(super) fn open(config: &BucketConfig) -> anyhow::Result<Self> {
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.access_key)
            .with_secret_access_key(&config.secret_key.0)
            .with_retry(RETRIES)
            .with_http_connector(Connector::trusting(config.ca_file.as_deref())?);
        if let Some(endpoint) = &config.endpoint {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        Ok(Self {
            store: builder.build().context("SIGNPOST_FILES cannot be used")?,
            prefix: config.prefix.clone(),
        })
    }

    pub(super) fn begin(&self) -> Result<Parts, StorageError> {
        let name = random_name()?;
        let key = match self.prefix.as_str() {
            "" => name,
            prefix => format!("{prefix}/{name}"),
        };
        Ok(Parts {
            store: self.store.clone(),
            path: Path::from(key.as_str()),
            key,
            waiting: Vec::new(),
            waiting_bytes: 0,
            multipart: String::new(),
            parts: Vec::new(),
            is_done: false,
        })
    }

    pub(super) async fn read(&self, key: &str, range: Range<u64>) -> Result<Reading, StorageError> {
        if range.is_empty() {
            // No server has a range without bytes.
            return Ok(Box::pin(futures_util::stream::empty()));
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let got = self
            .store
            .get_opts(&Path::from(key), options)
            .await
            .map_err(judge)?;
        if got.range != range {
            return Err(StorageError::failed(anyhow::anyhow!(
                "an object is shorter than it was"
            )));
        }
        Ok(Box::pin(
            got.into_stream().map(|piece| piece.map_err(judge)),
        ))
    }

    pub(super) async fn has(&self, key: &str) -> Result<bool, StorageError> {
        match self.store.head(&Path::from(key)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(judge(error)),
        }
    }

    pub(super) async fn delete(&self, stray: &Stray) -> Result<(), StorageError> {
        let path = Path::from(stray.storage_key.as_str());
        if !stray.multipart_id.is_empty() {
            missing_is_fine(self.store.abort_multipart(&path, &stray.multipart_id).await)?;
        }
        missing_is_fine(self.store.delete(&path).await)
    }
}

/// An object on its way in. Dropped before its end, its parts are given up.
#[derive(Debug)]
pub(super) struct Parts {
    store: AmazonS3,
    path: Path,
    key: String,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    multipart: String,
    parts: Vec<PartId>,
    is_done: bool,
}

impl Parts {
    /// Its key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Id of the upload in parts; empty: there is none.
    pub(super) fn multipart(&self) -> &str {
        &self.multipart
    }

    /// Whether the next piece begins another part.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_bytes >= PART_BYTES
    }

    /// Begins the upload in parts; false when it has begun before.
    pub(super) async fn begin(&mut self) -> Result<bool, StorageError> {
        if !self.multipart.is_empty() {
            return Ok(false);
        }
        self.multipart = self
            .store
            .create_multipart(&self.path)
            .await
            .map_err(judge)?;
        Ok(true)
    }

    pub(super) async fn write(&mut self, piece: Bytes) -> Result<(), StorageError> {
        if self.is_full() {
            self.send().await?;
        }
        self.waiting_bytes += piece.len();
        self.waiting.push(piece);
        Ok(())
    }

    async fn send(&mut self) -> Result<(), StorageError> {
        self.waiting_bytes = 0;
        let payload = PutPayload::from_iter(std::mem::take(&mut self.waiting));
        let number = self.parts.len();
        let part = self
            .store
            .put_part(&self.path, &self.multipart, number, payload)
            .await
            .map_err(judge)?;
        self.parts.push(part);
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> Result<(), StorageError> {
        if self.multipart.is_empty() {
            let payload = PutPayload::from_iter(std::mem::take(&mut self.waiting));
            self.store.put(&self.path, payload).await.map_err(judge)?;
        } else {
            self.send().await?;
            let parts = std::mem::take(&mut self.parts);
            self.store
                .complete_multipart(&self.path, &self.multipart, parts)
                .await
                .map_err(judge)?;
        }
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.is_done || self.multipart.is_empty() {
            return;
        }
        let (store, path) = (self.store.clone(), self.path.clone());
        let multipart = std::mem::take(&mut self.multipart);
        // Else the sweep finds it: it is noted.
        runtime.spawn(async move {
            if let Err(error) = store.abort_multipart(&path, &multipart).await {
                tracing::debug!(%error, "an upload in parts cannot be given up now");
            }
        });
    }
}

fn missing_is_fine(result: object_store::Result<()>) -> Result<(), StorageError> {
    match result {
        Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
        Err(error) => Err(judge(error)),
    }
}

fn judge(error: object_store::Error) -> StorageError {
    match error {
        object_store::Error::NotFound { .. } => StorageError::Missing,
        object_store::Error::PermissionDenied { .. } => {
            tracing::error!(%error, "the bucket refuses our key");
            StorageError::ReadOnly
        }
        error => StorageError::failed(error),
    }
}
