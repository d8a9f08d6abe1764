//! What lies in the file storage: one row for equal bytes, counted by the files that use them, and a list of strays.
//!
//! Storage and database cannot change together, so what is in the storage is first noted as a *stray*: a key under which
//! something may lie that nobody uses. The note goes away in the transaction that begins to use the bytes, and comes back
//! in the one that gives them up for good. So a crash at any instant leaves a note, and the sweep
//! ([`crate::files::sweep`]) needs to list nothing.
//!
//! **Invariant:** a key is used once. Bytes that are uploaded again while the old ones are being deleted lie under another
//! key, so neither can take the other away.

use sqlx::AnyConnection;

use super::Store;

/// How long unused bytes are kept, in milliseconds: longer than any proxy takes to follow the feed.
pub const KEEP_UNUSED_MS: i64 = 24 * 3_600_000;

/// How long a stray is left alone, in milliseconds: far longer than an upload may take.
pub const KEEP_STRAY_MS: i64 = 24 * 3_600_000;

/// Most rows that one step of the sweep takes, so that its transaction stays short.
const SWEPT_AT_ONCE: i64 = 100;

/// SHA-256 of an object's bytes.
pub type Hash = [u8; 32];

/// An object in the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// SHA-256 of its bytes.
    pub hash: Hash,
    /// Where it lies.
    pub storage_key: String,
    /// Length in bytes.
    pub size: u64,
}

/// What may lie in the storage without being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Where.
    pub storage_key: String,
    /// Of an upload in parts that was not completed; empty: none.
    pub multipart_id: String,
}

/// Notes that something may lie at a key from now on.
///
/// # Errors
/// The database's.
pub async fn note_stray(store: &Store, stray: &Stray, now_ms: i64) -> sqlx::Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "INSERT INTO stray_objects (storage_key, multipart_id, since) VALUES ($1, $2, $3) \
         ON CONFLICT (storage_key) DO UPDATE SET multipart_id = excluded.multipart_id",
    )
    .bind(stray.storage_key.clone())
    .bind(stray.multipart_id.clone())
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Puts a stray that cannot be deleted behind all others that are due.
///
/// # Errors
/// The database's.
pub async fn postpone_stray(store: &Store, storage_key: &str, now_ms: i64) -> sqlx::Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query("UPDATE stray_objects SET since = $1 WHERE storage_key = $2")
        .bind(now_ms - KEEP_STRAY_MS)
        .bind(storage_key.to_owned())
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Nothing lies at a key any more.
///
/// # Errors
/// The database's.
pub async fn forget_stray(store: &Store, storage_key: &str) -> sqlx::Result<()> {
    let mut tx = store.begin().await?;
    adopt(&mut tx, storage_key).await?;
    tx.commit().await
}

async fn adopt(connection: &mut AnyConnection, storage_key: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM stray_objects WHERE storage_key = $1")
        .bind(storage_key.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// The object of these bytes, unused ones too until they are swept.
///
/// # Errors
/// The database's.
pub async fn find(store: &Store, hash: &Hash) -> sqlx::Result<Option<Object>> {
    let row: Option<(String, i64)> =
        sqlx::query_as("SELECT storage_key, size FROM stored_objects WHERE hash = $1")
            .bind(hash.to_vec())
            .fetch_optional(store.readers())
            .await?;
    Ok(row.map(|(storage_key, size)| Object {
        hash: *hash,
        storage_key,
        size: size.cast_unsigned(),
    }))
}

/// Uses an object that has just been stored for one more file. Returns the key it is used under: another one when equal
/// bytes were there before; what has just been stored then stays a stray. `lost`: a key whose bytes are known to be gone;
/// the new ones take its place.
///
/// # Errors
/// The database's.
pub async fn hold(
    connection: &mut AnyConnection,
    object: &Object,
    lost: Option<&str>,
) -> sqlx::Result<String> {
    if let Some(lost) = lost {
        sqlx::query(
            "UPDATE stored_objects SET storage_key = $1 WHERE hash = $2 AND storage_key = $3",
        )
        .bind(object.storage_key.clone())
        .bind(object.hash.to_vec())
        .bind(lost.to_owned())
        .execute(&mut *connection)
        .await?;
    }
    let (key,): (String,) = sqlx::query_as(
        "INSERT INTO stored_objects (hash, storage_key, size, refs) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (hash) DO UPDATE SET refs = stored_objects.refs + 1, unused_since = NULL \
         RETURNING storage_key",
    )
    .bind(object.hash.to_vec())
    .bind(object.storage_key.clone())
    .bind(object.size.cast_signed())
    .fetch_one(&mut *connection)
    .await?;
    if key == object.storage_key {
        adopt(connection, &key).await?;
    }
    Ok(key)
}

/// One file less uses these bytes.
///
/// # Errors
/// The database's.
pub async fn release(connection: &mut AnyConnection, hash: &Hash, now_ms: i64) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE stored_objects SET refs = refs - 1, \
         unused_since = CASE WHEN refs = 1 THEN $1 ELSE unused_since END WHERE hash = $2 AND refs > 0",
    )
    .bind(now_ms)
    .bind(hash.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// Turns objects that have been unused for [`KEEP_UNUSED_MS`] into strays, to be deleted at once. Returns how many.
///
/// # Errors
/// The database's.
pub async fn give_up_unused(store: &Store, now_ms: i64) -> sqlx::Result<u64> {
    let mut tx = store.begin().await?;
    let rows: Vec<(String,)> = sqlx::query_as(
        "DELETE FROM stored_objects WHERE refs = 0 AND unused_since <= $1 AND hash IN \
         (SELECT hash FROM stored_objects WHERE unused_since <= $1 ORDER BY unused_since LIMIT $2) \
         RETURNING storage_key",
    )
    .bind(now_ms - KEEP_UNUSED_MS)
    .bind(SWEPT_AT_ONCE)
    .fetch_all(&mut *tx)
    .await?;
    for (storage_key,) in &rows {
        sqlx::query(
            "INSERT INTO stray_objects (storage_key, multipart_id, since) VALUES ($1, '', 0)",
        )
        .bind(storage_key.clone())
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(rows.len() as u64)
}

/// Strays that have been left alone for long enough, the oldest first, a bounded number.
///
/// # Errors
/// The database's.
pub async fn strays(store: &Store, now_ms: i64) -> sqlx::Result<Vec<Stray>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT storage_key, multipart_id FROM stray_objects WHERE since <= $1 ORDER BY since LIMIT $2",
    )
    .bind(now_ms - KEEP_STRAY_MS)
    .bind(SWEPT_AT_ONCE)
    .fetch_all(store.readers())
    .await?;
    let stray = |(storage_key, multipart_id)| Stray {
        storage_key,
        multipart_id,
    };
    Ok(rows.into_iter().map(stray).collect())
}
