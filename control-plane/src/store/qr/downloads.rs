//! Images of a code in other formats than its own: some dialects name several addresses.

use bytes::Bytes;
use schemas::slug::Slug;
use sqlx::Row as _;
use uuid::Uuid;

use super::image_path;
use super::rows::Ids;
use super::write::QrWriteError;
use crate::domain::link::Content as LinkContent;
use crate::domain::qr::entry;
use crate::domain::qr::style::Format;
use crate::store::blobs::{self, BlobHash};
use crate::store::entries::{self, Kind, Row, Taken};
use crate::store::{Store, feed};

/// An image in another format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Its format.
    pub format: Format,
    /// Its bytes.
    pub image: Bytes,
}

/// A row of `qr_downloads`.
#[derive(Debug, Clone, Copy)]
struct Stored {
    format: Format,
    link_id: i64,
    hash: BlobHash,
}

/// Formats in which a code's image is served beside its own, with the bytes' names.
///
/// # Errors
/// The database's.
pub async fn downloads(store: &Store, code: i64) -> anyhow::Result<Vec<(Format, BlobHash)>> {
    let rows = sqlx::query(SELECT)
        .bind(code)
        .fetch_all(store.readers())
        .await?;
    let stored = rows.iter().map(read);
    stored
        .map(|row| row.map(|row| (row.format, row.hash)))
        .collect()
}

const SELECT: &str =
    "SELECT format, link_id, image_hash FROM qr_downloads WHERE qr_id = $1 ORDER BY format";

fn read(row: &sqlx::any::AnyRow) -> anyhow::Result<Stored> {
    let format: String = row.try_get("format")?;
    let hash: Vec<u8> = row.try_get("image_hash")?;
    let hash = hash.try_into().map(BlobHash);
    Ok(Stored {
        format: Format::parse("format", &format)?,
        link_id: row.try_get("link_id")?,
        hash: hash.map_err(|_| anyhow::anyhow!("a download's hash is no SHA-256"))?,
    })
}

async fn stored(write: &mut feed::Write, code: i64) -> Result<Vec<Stored>, QrWriteError> {
    let rows = sqlx::query(SELECT)
        .bind(code)
        .fetch_all(write.connection())
        .await?;
    let stored: anyhow::Result<Vec<Stored>> = rows.iter().map(read).collect();
    Ok(stored?)
}

/// Takes away all but these.
pub(super) async fn drop_others(
    write: &mut feed::Write,
    (workspace, code): (i64, i64),
    wanted: &[Download],
    now_ms: i64,
) -> Result<(), QrWriteError> {
    for old in stored(write, code).await? {
        if wanted.iter().any(|new| new.format == old.format) {
            continue;
        }
        sqlx::query("DELETE FROM qr_downloads WHERE qr_id = $1 AND format = $2")
            .bind(code)
            .bind(old.format.name())
            .execute(write.connection())
            .await?;
        entries::delete(write, (workspace, Kind::Body, old.link_id)).await?;
        blobs::release(write.connection(), old.hash, now_ms).await?;
    }
    Ok(())
}

/// Writes these, whether they were there or not.
pub(super) async fn put(
    write: &mut feed::Write,
    ids: &Ids<'_>,
    wanted: &[Download],
    now_ms: i64,
) -> Result<(), QrWriteError> {
    let known = stored(write, ids.id).await?;
    for new in wanted {
        let hash = blobs::hold(write.connection(), &new.image).await?;
        let old = known.iter().find(|old| old.format == new.format);
        let link_id = match old {
            Some(old) => old.link_id,
            None => entries::reserve_ids(write, 1).await?,
        };
        let slug = Slug::parse(&image_path(ids.id, new.format)).map_err(anyhow::Error::new)?;
        let body = entry::body(ids.id, new.format, &new.image);
        let entry = entry::image(ids.key(link_id, &slug), ids.token, body);
        let entry = entry.map_err(anyhow::Error::new)?;
        let content = LinkContent::default();
        let row = Row {
            id: link_id,
            kind: Kind::Body,
            workspace: ids.workspace,
            domain: ids.domain,
            slug: &slug,
            content: &content,
            entry: &entry,
        };
        match old {
            Some(old) => {
                sqlx::query("UPDATE qr_downloads SET image_hash = $1 WHERE link_id = $2")
                    .bind(hash.0.to_vec())
                    .bind(link_id)
                    .execute(write.connection())
                    .await?;
                blobs::release(write.connection(), old.hash, now_ms).await?;
                let key = (ids.workspace, Kind::Body, link_id);
                let locked = entries::lock(write, key, now_ms).await?;
                let locked = locked.ok_or(QrWriteError::NotFound)?;
                if let Err(Taken) = entries::update(write, &locked, &row).await? {
                    return Err(QrWriteError::Taken);
                }
            }
            None => {
                let uuid = Uuid::new_v4().to_string();
                if !entries::insert(write, &row, &uuid, now_ms).await? {
                    return Err(QrWriteError::Taken);
                }
                sqlx::query(
                    "INSERT INTO qr_downloads (qr_id, format, link_id, image_hash) VALUES ($1, $2, $3, $4)",
                )
                .bind(ids.id)
                .bind(new.format.name())
                .bind(link_id)
                .bind(hash.0.to_vec())
                .execute(write.connection())
                .await?;
            }
        }
    }
    Ok(())
}
