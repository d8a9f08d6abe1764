//! Tags of links. Visitors do not see them, so nothing here is in the feed.

use std::collections::HashMap;

use sqlx::{AnyConnection, AssertSqlSafe};

use super::Store;
use super::folders::NameError;
use crate::domain::channel::DEFAULT_COLOR;
use crate::domain::tag::{Edit, MAX_TAGS};

/// A tag: id, name, colour, and how many links have it.
pub type Tag = (i64, String, String, i64);

/// Number of tags of a workspace.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store, workspace: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM tags WHERE workspace_id = $1")
        .bind(workspace)
        .fetch_one(store.readers())
        .await?;
    Ok(count)
}

/// Tags of a workspace, newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<Vec<Tag>> {
    sqlx::query_as(
        "SELECT t.id, t.name, t.color, (SELECT COUNT(*) FROM link_tags l WHERE l.tag_id = t.id) AS links \
         FROM tags t WHERE t.workspace_id = $1 ORDER BY t.id DESC LIMIT $2 OFFSET $3",
    )
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await
}

/// Whether a workspace has this tag.
///
/// # Errors
/// The database's.
pub async fn exists(store: &Store, workspace: i64, id: i64) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT 1 FROM tags WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .fetch_optional(store.readers())
        .await?;
    Ok(row.is_some())
}

/// Adds a tag and returns its id.
///
/// # Errors
/// See [`NameError`].
pub async fn insert(
    store: &Store,
    workspace: i64,
    (name, color): (&str, &str),
    now_ms: i64,
) -> Result<i64, NameError> {
    let mut tx = store.begin().await?;
    let row: Option<(i64,)> = sqlx::query_as(
        "INSERT INTO tags (workspace_id, name, color, created_at) \
         SELECT w.id, $1, $2, $3 FROM workspaces w WHERE w.id = $4 \
         AND (SELECT COUNT(*) FROM tags t WHERE t.workspace_id = w.id) < $5 \
         ON CONFLICT (workspace_id, name) DO NOTHING RETURNING id",
    )
    .bind(name.to_owned())
    .bind(color.to_owned())
    .bind(now_ms)
    .bind(workspace)
    .bind(MAX_TAGS)
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    match row {
        Some((id,)) => Ok(id),
        None if count(store, workspace).await? >= MAX_TAGS => Err(NameError::TooMany(MAX_TAGS)),
        None => Err(NameError::Taken),
    }
}

/// Changes a tag; `None` leaves a column as it is.
///
/// # Errors
/// See [`NameError`].
pub async fn update(
    store: &Store,
    (workspace, id): (i64, i64),
    edit: &Edit,
) -> Result<(), NameError> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE tags SET name = COALESCE($1, name), color = COALESCE($2, color) WHERE id = $3 AND workspace_id = $4",
    )
    .bind(edit.name.clone())
    .bind(edit.color.clone())
    .bind(id)
    .bind(workspace)
    .execute(&mut *tx)
    .await;
    match done {
        Ok(done) if done.rows_affected() == 0 => Err(NameError::NotFound),
        Ok(_) => Ok(tx.commit().await?),
        Err(error) if super::is_unique_violation(&error) => Err(NameError::Taken),
        Err(error) => Err(error.into()),
    }
}

/// Deletes a tag; links that had it stay. `false`: there is none.
///
/// # Errors
/// The database's.
pub async fn delete(store: &Store, (workspace, id): (i64, i64)) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("DELETE FROM tags WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Gives a link a tag, once however often it is called. That the link is the workspace's is the caller's to know. `false`:
/// there is no such tag.
///
/// # Errors
/// The database's.
pub async fn assign(
    connection: &mut AnyConnection,
    (workspace, tag): (i64, i64),
    link: i64,
) -> sqlx::Result<bool> {
    // Changes nothing, so that the row counts whether the tag is new to the link or not.
    let done = sqlx::query(
        "INSERT INTO link_tags (link_id, tag_id) SELECT $1, id FROM tags WHERE id = $2 AND workspace_id = $3 \
         ON CONFLICT (link_id, tag_id) DO UPDATE SET tag_id = excluded.tag_id",
    )
    .bind(link)
    .bind(tag)
    .bind(workspace)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes a tag off a link. `false`: it did not have it.
///
/// # Errors
/// The database's.
pub async fn unassign(
    connection: &mut AnyConnection,
    (workspace, tag): (i64, i64),
    link: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "DELETE FROM link_tags WHERE link_id = $1 AND tag_id = $2 \
         AND tag_id IN (SELECT id FROM tags WHERE workspace_id = $3)",
    )
    .bind(link)
    .bind(tag)
    .bind(workspace)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Number of tags of a link.
///
/// # Errors
/// The database's.
pub async fn count_of_link(connection: &mut AnyConnection, link: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM link_tags WHERE link_id = $1")
        .bind(link)
        .fetch_one(connection)
        .await?;
    Ok(count)
}

/// Takes all tags off a link.
///
/// # Errors
/// The database's.
pub async fn clear(connection: &mut AnyConnection, link: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM link_tags WHERE link_id = $1")
        .bind(link)
        .execute(connection)
        .await?;
    Ok(())
}

/// The tag of this name in a workspace, made when there is none: for calls that name tags. The name is checked already.
///
/// # Errors
/// See [`NameError`].
pub async fn by_name(
    connection: &mut AnyConnection,
    workspace: i64,
    name: &str,
    now_ms: i64,
) -> Result<i64, NameError> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM tags WHERE workspace_id = $1 AND name <> $2")
            .bind(workspace)
            .bind(name.to_owned())
            .fetch_one(&mut *connection)
            .await?;
    if count >= MAX_TAGS {
        return Err(NameError::TooMany(MAX_TAGS));
    }
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO tags (workspace_id, name, color, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (workspace_id, name) DO UPDATE SET name = excluded.name RETURNING id",
    )
    .bind(workspace)
    .bind(name.to_owned())
    .bind(DEFAULT_COLOR)
    .bind(now_ms)
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// Ids and names of the tags of each of these links (of the caller's workspace), by link.
///
/// # Errors
/// The database's.
pub async fn of_links(
    store: &Store,
    links: &[i64],
) -> sqlx::Result<HashMap<i64, Vec<(i64, String)>>> {
    let mut found: HashMap<i64, Vec<(i64, String)>> = HashMap::new();
    for chunk in links.chunks(super::LIST) {
        let list = super::placeholders(1, chunk.len());
        let sql = format!(
            "SELECT l.link_id, t.id, t.name FROM link_tags l JOIN tags t ON t.id = l.tag_id \
             WHERE l.link_id IN ({list}) ORDER BY t.id"
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
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
