//! Finished pages that links show, and with each write the feed's change: one row however many links show it.
//!
//! A page is found again by its kind and key in its workspace. Pages of links ([`Kind::Link`], keyed by
//! [`crate::domain::page::PageSpec::key`], and [`Kind::Expired`], keyed by what is on them) come and go with links: [`show`]
//! notes which links show them, and one that has been shown by none and asked for by nobody for [`KEEP_UNUSED_MS`] is
//! swept. Pages of other kinds stay until [`delete`].

use schemas::feed::Page;
use schemas::link::plan::MAX_INLINE_BODY_BYTES;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::blobs::{self, BlobHash};
use super::{Store, feed};
use crate::domain::page::Rendered;

/// How long a page that no link shows is kept, in milliseconds: far longer than the transaction that is about to use it.
pub const KEEP_UNUSED_MS: i64 = 24 * 3_600_000;

/// Age after which asking for a page notes that it was asked for, in milliseconds: not each of many links writes its row.
const TOUCH_AFTER_MS: i64 = KEEP_UNUSED_MS / 24;

/// Most pages that one sweep deletes, so that its transaction stays short.
const SWEPT_AT_ONCE: i64 = 100;

/// What a page is made of. Numbers are in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A link's surface and pixels.
    Link = 0,
    /// What visitors of expired links read.
    Expired = 1,
    /// A bio page.
    Bio = 2,
    /// A campaign's public list.
    List = 3,
}

/// The page of this kind and key, if there is one. It will not be swept before the caller's transaction has ended.
///
/// # Errors
/// The database's.
pub async fn find(
    write: &mut feed::Write,
    (workspace, kind, key): (i64, Kind, &str),
    now_ms: i64,
) -> sqlx::Result<Option<i64>> {
    let row: Option<(i64, i64)> = sqlx::query_as(
        "SELECT id, touched_at FROM pages WHERE workspace_id = $1 AND kind = $2 AND key = $3",
    )
    .bind(workspace)
    .bind(kind as i64)
    .bind(key.to_owned())
    .fetch_optional(write.connection())
    .await?;
    match row {
        Some((id, touched)) if touched < now_ms - TOUCH_AFTER_MS => {
            let done = sqlx::query("UPDATE pages SET touched_at = $1 WHERE id = $2")
                .bind(now_ms)
                .bind(id)
                .execute(write.connection())
                .await?;
            // None: swept between the two.
            Ok((done.rows_affected() > 0).then_some(id))
        }
        row => Ok(row.map(|(id, _)| id)),
    }
}

/// Pages of a workspace and kind: ids and keys.
///
/// # Errors
/// The database's.
pub async fn of_kind(
    write: &mut feed::Write,
    workspace: i64,
    kind: Kind,
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as("SELECT id, key FROM pages WHERE workspace_id = $1 AND kind = $2 ORDER BY id")
        .bind(workspace)
        .bind(kind as i64)
        .fetch_all(write.connection())
        .await
}

/// How many pages of a kind a workspace has.
///
/// # Errors
/// The database's.
pub async fn count(write: &mut feed::Write, workspace: i64, kind: Kind) -> sqlx::Result<i64> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM pages WHERE workspace_id = $1 AND kind = $2")
            .bind(workspace)
            .bind(kind as i64)
            .fetch_one(write.connection())
            .await?;
    Ok(count)
}

/// Holds the workspace's row until the transaction ends: nobody else makes pages of links, or changes what they are made
/// of, meanwhile. (On SQLite the whole database is held already.)
///
/// # Errors
/// The database's.
pub async fn lock(write: &mut feed::Write, workspace: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE workspaces SET name = name WHERE id = $1")
        .bind(workspace)
        .execute(write.connection())
        .await?;
    Ok(())
}

/// Makes the page of this kind and key, or gives it another content; returns its id.
///
/// # Errors
/// Larger than a blob may be; the database's.
pub async fn put(
    write: &mut feed::Write,
    (workspace, kind, key): (i64, Kind, &str),
    page: &Rendered,
    now_ms: i64,
) -> anyhow::Result<i64> {
    let hash = blobs::hold(write.connection(), &page.body).await?;
    let added: Option<(i64,)> = sqlx::query_as(
        "INSERT INTO pages (workspace_id, kind, key, status, content_type, csp, hash, size, touched_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (workspace_id, kind, key) DO NOTHING RETURNING id",
    )
    .bind(workspace)
    .bind(kind as i64)
    .bind(key.to_owned())
    .bind(i64::from(page.status))
    .bind(page.content_type)
    .bind(page.csp.clone())
    .bind(hash.0.to_vec())
    .bind(page.body.len() as i64)
    .bind(now_ms)
    .fetch_optional(write.connection())
    .await?;
    if let Some((id,)) = added {
        write.shared().page.push(to_feed(id, page, hash));
        return Ok(id);
    }
    // The row that was in the way, or that another transaction has just written.
    blobs::release(write.connection(), hash, now_ms).await?;
    let (id,): (i64,) = sqlx::query_as(
        "UPDATE pages SET touched_at = $1 WHERE workspace_id = $2 AND kind = $3 AND key = $4 RETURNING id",
    )
    .bind(now_ms)
    .bind(workspace)
    .bind(kind as i64)
    .bind(key.to_owned())
    .fetch_one(write.connection())
    .await?;
    replace(write, id, page, now_ms).await?;
    Ok(id)
}

/// Gives a page another content: every link that shows it follows. `false`: no such page, or no change.
///
/// # Errors
/// Larger than a blob may be; the database's.
pub async fn replace(
    write: &mut feed::Write,
    id: i64,
    page: &Rendered,
    now_ms: i64,
) -> anyhow::Result<bool> {
    let old = sqlx::query("SELECT hash, status, content_type, csp FROM pages WHERE id = $1")
        .bind(id)
        .fetch_optional(write.connection())
        .await?;
    let Some(old) = old else {
        return Ok(false);
    };
    let old_hash = hash_of(&old)?;
    let same = old_hash == BlobHash::of(&page.body)
        && old.try_get::<i64, _>("status")? == i64::from(page.status)
        && old.try_get::<String, _>("content_type")? == page.content_type
        && old.try_get::<String, _>("csp")? == page.csp;
    if same {
        return Ok(false);
    }
    let hash = blobs::hold(write.connection(), &page.body).await?;
    sqlx::query(
        "UPDATE pages SET status = $1, content_type = $2, csp = $3, hash = $4, size = $5 WHERE id = $6",
    )
    .bind(i64::from(page.status))
    .bind(page.content_type)
    .bind(page.csp.clone())
    .bind(hash.0.to_vec())
    .bind(page.body.len() as i64)
    .bind(id)
    .execute(write.connection())
    .await?;
    blobs::release(write.connection(), old_hash, now_ms).await?;
    write.shared().page.push(to_feed(id, page, hash));
    Ok(true)
}

/// Deletes a page. Links that still name it redirect.
///
/// # Errors
/// The database's.
pub async fn delete(write: &mut feed::Write, id: i64, now_ms: i64) -> anyhow::Result<()> {
    sqlx::query("DELETE FROM page_links WHERE page_id = $1")
        .bind(id)
        .execute(write.connection())
        .await?;
    let old = sqlx::query("DELETE FROM pages WHERE id = $1 RETURNING hash")
        .bind(id)
        .fetch_optional(write.connection())
        .await?;
    if let Some(old) = old {
        blobs::release(write.connection(), hash_of(&old)?, now_ms).await?;
        write.shared().page_delete.push(id.cast_unsigned());
    }
    Ok(())
}

/// Notes which pages a link shows from now on, all others no longer. The link's row must be there; deleting it undoes
/// this.
///
/// # Errors
/// The database's.
pub async fn show(write: &mut feed::Write, link: i64, pages: &[i64]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM page_links WHERE link_id = $1")
        .bind(link)
        .execute(write.connection())
        .await?;
    for page in pages {
        sqlx::query(
            "INSERT INTO page_links (link_id, page_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(link)
        .bind(*page)
        .execute(write.connection())
        .await?;
    }
    Ok(())
}

/// Deletes pages of links that no link shows, a bounded number at a time, and says how many.
///
/// # Errors
/// The database's.
pub async fn sweep(store: &Store, now_ms: i64) -> anyhow::Result<u64> {
    let mut write = feed::Write::begin(store).await?;
    // Asked for again meanwhile, a row is left alone: the statement looks at its newest state.
    let rows = sqlx::query(
        "DELETE FROM pages WHERE touched_at < $1 AND id IN (SELECT p.id FROM pages p WHERE p.kind IN ($2, $4) \
         AND p.touched_at < $1 AND NOT EXISTS (SELECT 1 FROM page_links l WHERE l.page_id = p.id) \
         ORDER BY p.touched_at LIMIT $3) RETURNING id, hash",
    )
    .bind(now_ms - KEEP_UNUSED_MS)
    .bind(Kind::Link as i64)
    .bind(SWEPT_AT_ONCE)
    .bind(Kind::Expired as i64)
    .fetch_all(write.connection())
    .await?;
    for row in &rows {
        blobs::release(write.connection(), hash_of(row)?, now_ms).await?;
        let id: i64 = row.try_get("id")?;
        write.shared().page_delete.push(id.cast_unsigned());
    }
    write.commit(now_ms).await?;
    Ok(rows.len() as u64)
}

/// Pages with an id above `after`, as proxies get them, at most `limit`; each with its id.
///
/// # Errors
/// The database's.
pub async fn after(
    connection: &mut AnyConnection,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<(i64, Page)>> {
    let rows = sqlx::query(
        "SELECT p.id, p.status, p.content_type, p.csp, p.hash, p.size, \
         CASE WHEN p.size <= $1 THEN b.bytes END AS body \
         FROM pages p JOIN blobs b ON b.hash = p.hash WHERE p.id > $2 ORDER BY p.id LIMIT $3",
    )
    .bind(MAX_INLINE_BODY_BYTES as i64)
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let page = |row: &AnyRow| -> sqlx::Result<(i64, Page)> {
        let id: i64 = row.try_get("id")?;
        let status: i64 = row.try_get("status")?;
        let size: i64 = row.try_get("size")?;
        let body: Option<Vec<u8>> = row.try_get("body")?;
        let page = Page {
            id: id.cast_unsigned(),
            // Written from a u16.
            status: status as u32,
            content_type: row.try_get("content_type")?,
            csp: row.try_get("csp")?,
            ..Page::default()
        };
        Ok((
            id,
            with_body(page, body, row.try_get("hash")?, size.cast_unsigned()),
        ))
    };
    rows.iter().map(page).collect()
}

/// What proxies get of a page that is being written.
fn to_feed(id: i64, page: &Rendered, hash: BlobHash) -> Page {
    let inline = page.body.len() <= MAX_INLINE_BODY_BYTES;
    let wire = Page {
        id: id.cast_unsigned(),
        status: u32::from(page.status),
        content_type: page.content_type.to_owned(),
        csp: page.csp.clone(),
        ..Page::default()
    };
    let size = page.body.len() as u64;
    with_body(
        wire,
        inline.then(|| page.body.clone()),
        hash.0.to_vec(),
        size,
    )
}

/// Short bodies travel in the feed, others are fetched.
fn with_body(mut page: Page, body: Option<Vec<u8>>, hash: Vec<u8>, size: u64) -> Page {
    match body {
        Some(body) => page.body = body.into(),
        None => {
            page.blob = hash.into();
            page.blob_size = size;
        }
    }
    page
}

fn hash_of(row: &AnyRow) -> sqlx::Result<BlobHash> {
    let bytes: Vec<u8> = row.try_get("hash")?;
    let hash = bytes.try_into();
    let hash = hash.map_err(|_| sqlx::Error::Decode("a blob's hash has another length".into()))?;
    Ok(BlobHash(hash))
}
