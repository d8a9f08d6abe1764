//! Bytes that proxies fetch by their SHA-256: bodies of pages, images. The same bytes are stored once.
//!
//! A blob is counted by those that use it: [`hold`] and [`release`] stand in the transaction of the row that names it.
//! One that nobody uses stays for [`KEEP_UNUSED_MS`], since a proxy that is behind may still ask for it, and is then
//! swept. Deliberately absent: files that people upload, which lie on disk.

use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;

use super::Store;

/// Largest blob in bytes.
pub const MAX_BLOB_BYTES: usize = schemas::link::plan::MAX_BLOB_BYTES as usize;

/// How long an unused blob is kept, in milliseconds: longer than any proxy takes to follow the feed.
pub const KEEP_UNUSED_MS: i64 = 24 * 3_600_000;

/// Most blobs that one sweep deletes, so that its transaction stays short.
const SWEPT_AT_ONCE: i64 = 100;

/// SHA-256 of a blob: its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From 64 hex digits, as in the path of a call.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        Some(Self(hash))
    }
}

/// Stores bytes for one more user, who lets go of them by [`release`].
///
/// # Errors
/// More than [`MAX_BLOB_BYTES`]; the database's.
pub async fn hold(connection: &mut AnyConnection, bytes: &[u8]) -> anyhow::Result<BlobHash> {
    anyhow::ensure!(
        bytes.len() <= MAX_BLOB_BYTES,
        "a blob of {} bytes, at most {MAX_BLOB_BYTES} are allowed",
        bytes.len()
    );
    let hash = BlobHash::of(bytes);
    // Most of the time it is there already, and need not be sent.
    let found =
        sqlx::query("UPDATE blobs SET refs = refs + 1, unused_since = NULL WHERE hash = $1")
            .bind(hash.0.to_vec())
            .execute(&mut *connection)
            .await?;
    if found.rows_affected() == 0 {
        sqlx::query(
            "INSERT INTO blobs (hash, size, refs, bytes) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (hash) DO UPDATE SET refs = blobs.refs + 1, unused_since = NULL",
        )
        .bind(hash.0.to_vec())
        .bind(bytes.len() as i64)
        .bind(bytes.to_vec())
        .execute(&mut *connection)
        .await?;
    }
    Ok(hash)
}

/// One user less.
///
/// # Errors
/// The database's.
pub async fn release(
    connection: &mut AnyConnection,
    hash: BlobHash,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE blobs SET refs = refs - 1, unused_since = CASE WHEN refs = 1 THEN $1 ELSE unused_since END \
         WHERE hash = $2 AND refs > 0",
    )
    .bind(now_ms)
    .bind(hash.0.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// The bytes of this name, unused ones too until they are swept.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, hash: BlobHash) -> sqlx::Result<Option<Vec<u8>>> {
    let row: Option<(Vec<u8>,)> = sqlx::query_as("SELECT bytes FROM blobs WHERE hash = $1")
        .bind(hash.0.to_vec())
        .fetch_optional(store.readers())
        .await?;
    Ok(row.map(|(bytes,)| bytes))
}

/// Deletes blobs that have been unused for [`KEEP_UNUSED_MS`], a bounded number at a time, and says how many.
///
/// # Errors
/// The database's.
pub async fn sweep(store: &Store, now_ms: i64) -> sqlx::Result<u64> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "DELETE FROM blobs WHERE refs = 0 AND unused_since <= $1 AND hash IN \
         (SELECT hash FROM blobs WHERE unused_since <= $1 ORDER BY unused_since LIMIT $2)",
    )
    .bind(now_ms - KEEP_UNUSED_MS)
    .bind(SWEPT_AT_ONCE)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
