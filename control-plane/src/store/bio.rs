//! Bio pages. A page is a row of `links` (title, description, password and expiry stand there), a row of its own, its
//! blocks, and a finished page in `pages`. Beside it lie entries at `u/bio/…`: one for each way out, whose clicks are so
//! counted by themselves, and one for each picture. All of it changes in one transaction with the feed: see [`write`].

use schemas::slug::Slug;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow, Row as _};

use super::Store;
use super::blobs::BlobHash;
use super::links::Link;
use crate::domain::bio::{Block, Look};
use crate::domain::page::Rendered;
use crate::render::bio::Shown;

pub mod entries;
mod entry;
mod parts;
mod write;

pub use write::{
    BioError, Change, Fetched, NewBio, add_block, change_block, delete, delete_block, insert,
    update,
};

/// A bio page.
#[derive(Debug, Clone, PartialEq)]
pub struct Bio {
    /// Its id.
    pub id: i64,
    /// Its entry: alias, domain, title, description, password, expiry.
    pub link: Link,
    /// How it looks.
    pub look: Look,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for Bio {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let look: String = row.try_get("bio_content")?;
        Ok(Self {
            id: row.try_get("bio_id")?,
            link: Link::from_row(row)?,
            look: serde_json::from_str(&look).map_err(|e| sqlx::Error::Decode(e.into()))?,
            created_at: row.try_get("bio_created_at")?,
        })
    }
}

/// A block of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockRow {
    /// Its id.
    pub id: i64,
    /// Its place, from 1.
    pub position: i64,
    /// What it holds.
    pub block: Block,
}

impl<'r> FromRow<'r, AnyRow> for BlockRow {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let (kind, payload): (String, String) = (row.try_get("type")?, row.try_get("payload")?);
        Ok(Self {
            id: row.try_get("id")?,
            position: row.try_get("position")?,
            block: Block::from_json(&kind, &payload).map_err(|e| sqlx::Error::Decode(e.into()))?,
        })
    }
}

/// A way out of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// Whose it is.
    pub block_id: i64,
    /// Which of its block's.
    pub part: String,
    /// What its clicks are counted under.
    pub link_id: i64,
    /// Its path.
    pub slug: String,
    /// SHA-256 of its entry.
    mark: Vec<u8>,
    /// Its file, where that is a blob.
    hash: Option<BlobHash>,
}

impl<'r> FromRow<'r, AnyRow> for TargetRow {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let hash: Option<Vec<u8>> = row.try_get("hash")?;
        Ok(Self {
            block_id: row.try_get("block_id")?,
            part: row.try_get("part")?,
            link_id: row.try_get("link_id")?,
            slug: row.try_get("slug")?,
            mark: row.try_get("mark")?,
            hash: hash.map(to_hash).transpose()?,
        })
    }
}

/// A picture of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureRow {
    /// Where it was fetched from.
    pub url: String,
    hash: BlobHash,
    size: u64,
    content_type: String,
    width: u32,
    height: u32,
    link_id: i64,
    slug: String,
    mark: Vec<u8>,
}

impl PictureRow {
    /// As a page shows it.
    fn shown(&self) -> Shown {
        Shown {
            slug: self.slug.clone(),
            width: self.width,
            height: self.height,
        }
    }
}

impl<'r> FromRow<'r, AnyRow> for PictureRow {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let number = |column: &str| {
            let number: i64 = row.try_get(column)?;
            u32::try_from(number).map_err(|e| sqlx::Error::Decode(e.into()))
        };
        Ok(Self {
            url: row.try_get("url")?,
            hash: to_hash(row.try_get("hash")?)?,
            size: u64::from(number("size")?),
            content_type: row.try_get("content_type")?,
            width: number("width")?,
            height: number("height")?,
            link_id: row.try_get("link_id")?,
            slug: row.try_get("slug")?,
            mark: row.try_get("mark")?,
        })
    }
}

fn to_hash(bytes: Vec<u8>) -> sqlx::Result<BlobHash> {
    let hash = bytes.try_into().map(BlobHash);
    hash.map_err(|_| sqlx::Error::Decode("a blob's hash has another length".into()))
}

const SELECT: &str = "SELECT l.*, d.base_url, b.id AS bio_id, b.content AS bio_content, b.created_at AS bio_created_at \
     FROM bio_pages b JOIN links l ON l.id = b.link_id JOIN domains d ON d.id = l.domain_id";

/// The page of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn get(
    connection: &mut AnyConnection,
    workspace: i64,
    id: i64,
) -> sqlx::Result<Option<Bio>> {
    let sql = format!("{SELECT} WHERE b.id = $1 AND b.workspace_id = $2");
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(id)
        .bind(workspace)
        .fetch_optional(connection)
        .await
}

/// Pages of a workspace, newest first, each with the number of its blocks, and how many pages there are.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<(Vec<(Bio, i64)>, i64)> {
    let sql = format!("{SELECT} WHERE b.workspace_id = $1 ORDER BY b.id DESC LIMIT $2 OFFSET $3");
    let bios: Vec<Bio> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(workspace)
        .bind(limit)
        .bind(offset)
        .fetch_all(store.readers())
        .await?;
    let blocks: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT k.bio_id, COUNT(*) FROM bio_blocks k JOIN bio_pages b ON b.id = k.bio_id \
         WHERE b.workspace_id = $1 GROUP BY k.bio_id",
    )
    .bind(workspace)
    .fetch_all(store.readers())
    .await?;
    let count_of = |id: i64| {
        let found = blocks.iter().find(|(bio, _)| *bio == id);
        found.map_or(0, |(_, count)| *count)
    };
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM bio_pages WHERE workspace_id = $1")
        .bind(workspace)
        .fetch_one(store.readers())
        .await?;
    let bios = bios.into_iter().map(|bio| {
        let blocks = count_of(bio.id);
        (bio, blocks)
    });
    Ok((bios.collect(), count))
}

/// Pages with these ids in a workspace, in any order.
///
/// # Errors
/// The database's.
pub async fn by_ids(store: &Store, workspace: i64, ids: &[i64]) -> sqlx::Result<Vec<Bio>> {
    let mut found = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(super::LIST) {
        let list = super::placeholders(2, chunk.len());
        let sql = format!("{SELECT} WHERE b.workspace_id = $1 AND b.id IN ({list})");
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(workspace);
        for id in chunk {
            query = query.bind(*id);
        }
        let rows: Vec<Bio> = query.fetch_all(store.readers()).await?;
        found.extend(rows);
    }
    Ok(found)
}

/// Blocks of a page in their order.
///
/// # Errors
/// The database's.
pub async fn blocks(connection: &mut AnyConnection, bio: i64) -> sqlx::Result<Vec<BlockRow>> {
    sqlx::query_as(
        "SELECT id, position, type, payload FROM bio_blocks WHERE bio_id = $1 ORDER BY position, id",
    )
    .bind(bio)
    .fetch_all(connection)
    .await
}

/// Ways out of a page.
///
/// # Errors
/// The database's.
pub async fn targets(connection: &mut AnyConnection, bio: i64) -> sqlx::Result<Vec<TargetRow>> {
    sqlx::query_as(
        "SELECT block_id, part, link_id, slug, mark, hash FROM bio_targets WHERE bio_id = $1 ORDER BY link_id",
    )
    .bind(bio)
    .fetch_all(connection)
    .await
}

/// Pictures of a page.
///
/// # Errors
/// The database's.
pub async fn pictures(connection: &mut AnyConnection, bio: i64) -> sqlx::Result<Vec<PictureRow>> {
    sqlx::query_as("SELECT * FROM bio_pictures WHERE bio_id = $1")
        .bind(bio)
        .fetch_all(connection)
        .await
}

/// What visitors of a page read whose form was taken.
pub fn sent(bio: &Bio, text: &str, votes: &[(String, i64)]) -> Rendered {
    let url = bio.link.short_url();
    let page = crate::render::bio::Page {
        title: &bio.link.content.title,
        description: "",
        url: &url,
        base_url: &bio.link.base_url,
        look: &bio.look,
        blocks: &[],
    };
    crate::render::bio::sent(&page, text, votes)
}

fn slug_of(text: &str) -> sqlx::Result<Slug> {
    Slug::parse(text).map_err(|e| sqlx::Error::Decode(e.into()))
}
