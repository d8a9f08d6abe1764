//! Channels: lists of links, bio pages and QR codes that an owner puts together. Visitors do not see them, so nothing here
//! is in the feed.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow, Row as _};

use super::Store;
use crate::domain::channel::{Content, ItemKind};
use crate::domain::plan::Feature;
use crate::store::plans::{self, PlanError};

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its id.
    pub id: i64,
    /// What its owner set.
    pub content: Content,
}

impl<'r> FromRow<'r, AnyRow> for Channel {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            content: Content {
                name: row.try_get("name")?,
                description: row.try_get("description")?,
                color: row.try_get("color")?,
                is_starred: row.try_get::<i64, _>("is_starred")? != 0,
            },
        })
    }
}

/// Something assigned to a channel, by its id in the table of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Where its id counts.
    pub kind: ItemKind,
    /// Its id there.
    pub item: i64,
}

/// Number of channels of a workspace.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store, workspace: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM channels WHERE workspace_id = $1")
        .bind(workspace)
        .fetch_one(store.readers())
        .await?;
    Ok(count)
}

/// Channels of a workspace, newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<Vec<Channel>> {
    sqlx::query_as(
        "SELECT * FROM channels WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await
}

/// The channel of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, workspace: i64, id: i64) -> sqlx::Result<Option<Channel>> {
    sqlx::query_as("SELECT * FROM channels WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .fetch_optional(store.readers())
        .await
}

/// Adds a channel and returns its id.
///
/// # Errors
/// The plan does not include them; the database's.
pub async fn insert(
    store: &Store,
    workspace: i64,
    content: &Content,
    now_ms: i64,
) -> Result<i64, PlanError> {
    let mut tx = store.begin().await?;
    plans::need(&mut tx, workspace, Feature::Channels, now_ms).await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO channels (workspace_id, name, description, color, is_starred, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
    )
    .bind(workspace)
    .bind(content.name.clone())
    .bind(content.description.clone())
    .bind(content.color.clone())
    .bind(i64::from(content.is_starred))
    .bind(now_ms)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// Changes a channel; `None` leaves a column as it is. `false`: there is no such channel.
///
/// # Errors
/// The database's.
pub async fn update(
    store: &Store,
    (workspace, id): (i64, i64),
    edit: &crate::domain::channel::Edit,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE channels SET name = COALESCE($1, name), description = COALESCE($2, description), \
         color = COALESCE($3, color), is_starred = COALESCE($4, is_starred) WHERE id = $5 AND workspace_id = $6",
    )
    .bind(edit.name.clone())
    .bind(edit.description.clone())
    .bind(edit.color.clone())
    .bind(edit.is_starred.map(i64::from))
    .bind(id)
    .bind(workspace)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes a channel; what was in it stays. `false`: there is no such channel.
///
/// # Errors
/// The database's.
pub async fn delete(store: &Store, (workspace, id): (i64, i64)) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("DELETE FROM channels WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Puts something into a channel, once however often it is called. That the item is the workspace's is the caller's to
/// know. `false`: there is no such channel.
///
/// # Errors
/// The database's.
pub async fn assign(
    connection: &mut AnyConnection,
    (workspace, channel): (i64, i64),
    item: Item,
    now_ms: i64,
) -> sqlx::Result<bool> {
    // Changes nothing, so that the row counts whether the item is new or not.
    let done = sqlx::query(
        "INSERT INTO channel_items (channel_id, kind, item_id, created_at) \
         SELECT id, $1, $2, $3 FROM channels WHERE id = $4 AND workspace_id = $5 \
         ON CONFLICT (channel_id, kind, item_id) DO UPDATE SET kind = excluded.kind",
    )
    .bind(item.kind.number())
    .bind(item.item)
    .bind(now_ms)
    .bind(channel)
    .bind(workspace)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes something out of a channel. `false`: it was not in it.
///
/// # Errors
/// The database's.
pub async fn unassign(
    connection: &mut AnyConnection,
    (workspace, channel): (i64, i64),
    item: Item,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "DELETE FROM channel_items WHERE channel_id = $1 AND kind = $2 AND item_id = $3 \
         AND channel_id IN (SELECT id FROM channels WHERE workspace_id = $4)",
    )
    .bind(channel)
    .bind(item.kind.number())
    .bind(item.item)
    .bind(workspace)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Number of items of a channel, which is the workspace's.
///
/// # Errors
/// The database's.
pub async fn count_items(store: &Store, channel: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM channel_items WHERE channel_id = $1")
            .bind(channel)
            .fetch_one(store.readers())
            .await?;
    Ok(count)
}

/// Items of a channel, which is the workspace's: the one assigned last first.
///
/// # Errors
/// The database's.
pub async fn items(
    store: &Store,
    channel: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<Vec<Item>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT kind, item_id FROM channel_items WHERE channel_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(channel)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await?;
    let item = |(kind, item)| {
        let kind = ItemKind::from_number(kind)?;
        Some(Item { kind, item })
    };
    Ok(rows.into_iter().filter_map(item).collect())
}

/// Whether a workspace has this link, bio page or QR code.
///
/// # Errors
/// The database's.
pub async fn has_item(
    connection: &mut AnyConnection,
    workspace: i64,
    item: Item,
) -> sqlx::Result<bool> {
    let sql = match item.kind {
        ItemKind::Link => "SELECT 1 FROM links WHERE id = $1 AND workspace_id = $2 AND kind = 0",
        ItemKind::Bio => "SELECT 1 FROM bio_pages WHERE id = $1 AND workspace_id = $2",
        ItemKind::Qr => "SELECT 1 FROM qr_codes WHERE id = $1 AND workspace_id = $2",
    };
    let row = sqlx::query(sql)
        .bind(item.item)
        .bind(workspace)
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// Takes something out of all channels, because it is deleted: whoever deletes a link, bio page or QR code calls this in
/// the same transaction.
///
/// # Errors
/// The database's.
pub async fn forget(connection: &mut AnyConnection, item: Item) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM channel_items WHERE kind = $1 AND item_id = $2")
        .bind(item.kind.number())
        .bind(item.item)
        .execute(connection)
        .await?;
    Ok(())
}

/// Ids and names of the channels of each of these links (of the caller's workspace), by link.
///
/// # Errors
/// The database's.
pub async fn of_links(
    store: &Store,
    links: &[i64],
) -> sqlx::Result<HashMap<i64, Vec<(i64, String)>>> {
    let mut found: HashMap<i64, Vec<(i64, String)>> = HashMap::new();
    for chunk in links.chunks(super::LIST) {
        let list = super::placeholders(2, chunk.len());
        let sql = format!(
            "SELECT i.item_id, c.id, c.name FROM channel_items i JOIN channels c ON c.id = i.channel_id \
             WHERE i.kind = $1 AND i.item_id IN ({list}) ORDER BY c.id"
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(ItemKind::Link.number());
        for link in chunk {
            query = query.bind(*link);
        }
        let rows: Vec<(i64, i64, String)> = query.fetch_all(store.readers()).await?;
        for (link, id, name) in rows {
            found.entry(link).or_default().push((id, name));
        }
    }
    Ok(found)
}
