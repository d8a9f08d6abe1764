//! What visitors wrote into forms of bio pages, and how they voted.

use sqlx::Row as _;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow};

use super::Bio;
use crate::domain::bio::Block;
use crate::domain::bio::form::Sent;
use crate::store::Store;

/// Most entries kept of one block. Visitors are strangers: beyond it, more are refused until the owner deletes some.
pub const MAX_ENTRIES: i64 = 10_000;

/// What a visitor wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Its id.
    pub id: i64,
    /// The block it was written into; it may be gone.
    pub block_id: i64,
    /// That block's type.
    pub kind: String,
    /// Names of fields and what was written into them.
    pub fields: Vec<(String, String)>,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for EntryRow {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let fields: String = row.try_get("fields")?;
        Ok(Self {
            id: row.try_get("id")?,
            block_id: row.try_get("block_id")?,
            kind: row.try_get("type")?,
            fields: serde_json::from_str(&fields).map_err(|e| sqlx::Error::Decode(e.into()))?,
            created_at: row.try_get("created_at")?,
        })
    }
}

/// The page that answers under this link, and its block of this id.
///
/// # Errors
/// The database's.
pub async fn addressed(
    connection: &mut AnyConnection,
    (link, block): (i64, i64),
) -> sqlx::Result<Option<(Bio, Block)>> {
    let sql = format!("{} WHERE b.link_id = $1", super::SELECT);
    let bio: Option<Bio> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(link)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(bio) = bio else {
        return Ok(None);
    };
    let row: Option<super::BlockRow> = sqlx::query_as(
        "SELECT id, position, type, payload FROM bio_blocks WHERE id = $1 AND bio_id = $2",
    )
    .bind(block)
    .bind(bio.id)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (bio, row.block)))
}

/// Keeps what a visitor sent to a block of a page. `false`: [`MAX_ENTRIES`] are there.
///
/// # Errors
/// The database's, among them that the block is gone.
pub async fn keep(
    store: &Store,
    (bio, block, kind): (i64, i64, &'static str),
    sent: &Sent,
    now_ms: i64,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    match sent {
        Sent::Vote(_, choice) => {
            sqlx::query(
                "INSERT INTO bio_votes (block_id, choice, votes) VALUES ($1, $2, 1) \
                 ON CONFLICT (block_id, choice) DO UPDATE SET votes = bio_votes.votes + 1",
            )
            .bind(block)
            .bind(choice.clone())
            .execute(&mut *tx)
            .await?;
        }
        Sent::Entry(fields) => {
            let (count,): (i64,) = sqlx::query_as(
                "SELECT COUNT(*) FROM (SELECT 1 FROM bio_entries WHERE block_id = $1 LIMIT $2) AS counted",
            )
            .bind(block)
            .bind(MAX_ENTRIES)
            .fetch_one(&mut *tx)
            .await?;
            if count >= MAX_ENTRIES {
                return Ok(false);
            }
            sqlx::query(
                "INSERT INTO bio_entries (bio_id, block_id, type, fields, created_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(bio)
            .bind(block)
            .bind(kind)
            .bind(serde_json::json!(fields).to_string())
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        }
    }
    tx.commit().await?;
    Ok(true)
}

/// Entries of a page, of one block where `block` says so: newest first, and how many there are.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    (bio, block): (i64, Option<i64>),
    (limit, offset): (i64, i64),
) -> sqlx::Result<(Vec<EntryRow>, i64)> {
    let rows = sqlx::query_as(
        "SELECT * FROM bio_entries WHERE bio_id = $1 AND (block_id = $2 OR $2 = 0) ORDER BY id DESC LIMIT $3 OFFSET $4",
    )
    .bind(bio)
    .bind(block.unwrap_or(0))
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await?;
    let (count,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM bio_entries WHERE bio_id = $1 AND (block_id = $2 OR $2 = 0)",
    )
    .bind(bio)
    .bind(block.unwrap_or(0))
    .fetch_one(store.readers())
    .await?;
    Ok((rows, count))
}

/// Entries of a page with an id below `before`, newest first: for exports.
///
/// # Errors
/// The database's.
pub async fn before(
    store: &Store,
    (bio, block): (i64, Option<i64>),
    before: i64,
    limit: i64,
) -> sqlx::Result<Vec<EntryRow>> {
    sqlx::query_as(
        "SELECT * FROM bio_entries WHERE bio_id = $1 AND (block_id = $2 OR $2 = 0) AND id < $3 ORDER BY id DESC LIMIT $4",
    )
    .bind(bio)
    .bind(block.unwrap_or(0))
    .bind(before)
    .bind(limit)
    .fetch_all(store.readers())
    .await
}

/// Deletes an entry of a page. `false`: there is none of this id.
///
/// # Errors
/// The database's.
pub async fn delete(store: &Store, bio: i64, id: i64) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("DELETE FROM bio_entries WHERE id = $1 AND bio_id = $2")
        .bind(id)
        .bind(bio)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Votes of a page's polls: block, words of the option, number.
///
/// # Errors
/// The database's.
pub async fn votes(
    connection: &mut AnyConnection,
    bio: i64,
) -> sqlx::Result<Vec<(i64, String, i64)>> {
    sqlx::query_as(
        "SELECT v.block_id, v.choice, v.votes FROM bio_votes v JOIN bio_blocks b ON b.id = v.block_id WHERE b.bio_id = $1",
    )
    .bind(bio)
    .fetch_all(connection)
    .await
}

/// Votes for the options of a poll, in their order.
pub fn tally(block: (i64, &Block), votes: &[(i64, String, i64)]) -> Vec<(String, i64)> {
    let (id, Block::Poll(poll)) = block else {
        return Vec::new();
    };
    let count = |option: &str| {
        let found = votes
            .iter()
            .find(|(of, choice, _)| *of == id && choice == option);
        found.map_or(0, |(_, _, votes)| *votes)
    };
    let options = poll.options.iter().map(|option| option.as_str());
    options
        .map(|option| (option.to_owned(), count(option)))
        .collect()
}
