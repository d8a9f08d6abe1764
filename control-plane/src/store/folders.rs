//! Folders of links. Visitors do not see them, so nothing here is in the feed.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow, Row as _};

use super::Store;
use crate::domain::folder::MAX_FOLDERS;

/// A folder: id, name, and how many links are in it.
pub type Folder = (i64, String, i64);

/// A folder with what dialects have of it that nest folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nested {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Id of the folder it is in.
    pub parent_id: Option<i64>,
    /// Name of the folder it is in.
    pub parent_name: Option<String>,
    /// A word; empty: none.
    pub color: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970; `None`: never changed.
    pub updated_at: Option<i64>,
}

impl<'r> FromRow<'r, AnyRow> for Nested {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            parent_id: row.try_get("parent_id")?,
            parent_name: row.try_get("parent_name")?,
            color: row.try_get("color")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

/// A folder to be.
#[derive(Debug, Clone, Copy)]
pub struct NewFolder<'a> {
    /// Its name.
    pub name: &'a str,
    /// Id of the folder it is in, of the same workspace.
    pub parent: Option<i64>,
    /// A word; empty: none.
    pub color: &'a str,
}

/// Why a folder or tag was not written.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// There is none of this id in the workspace.
    #[error("no such folder or tag")]
    NotFound,
    /// Another of the workspace has this name.
    #[error("the name is taken")]
    Taken,
    /// The workspace has as many as it may.
    #[error("at most {0}")]
    TooMany(i64),
    /// The database's.
    #[error(transparent)]
    Failed(#[from] sqlx::Error),
}

/// Number of folders of a workspace.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store, workspace: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM folders WHERE workspace_id = $1")
        .bind(workspace)
        .fetch_one(store.readers())
        .await?;
    Ok(count)
}

/// Folders of a workspace, newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<Vec<Folder>> {
    sqlx::query_as(
        "SELECT f.id, f.name, (SELECT COUNT(*) FROM folder_links l WHERE l.folder_id = f.id) AS links \
         FROM folders f WHERE f.workspace_id = $1 ORDER BY f.id DESC LIMIT $2 OFFSET $3",
    )
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await
}

/// The query of nested folders of a workspace, newest first.
const NESTED: &str = "SELECT f.id, f.name, f.parent_id, p.name AS parent_name, f.color, f.created_at, f.updated_at \
     FROM folders f LEFT JOIN folders p ON p.id = f.parent_id WHERE f.workspace_id = $1";

/// All folders of a workspace, newest first: [`MAX_FOLDERS`] at most.
///
/// # Errors
/// The database's.
pub async fn all_nested(store: &Store, workspace: i64) -> sqlx::Result<Vec<Nested>> {
    sqlx::query_as(AssertSqlSafe(format!("{NESTED} ORDER BY f.id DESC")))
        .bind(workspace)
        .fetch_all(store.readers())
        .await
}

/// The folder of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn nested(store: &Store, workspace: i64, id: i64) -> sqlx::Result<Option<Nested>> {
    sqlx::query_as(AssertSqlSafe(format!("{NESTED} AND f.id = $2")))
        .bind(workspace)
        .bind(id)
        .fetch_optional(store.readers())
        .await
}

/// Whether a workspace has this folder.
///
/// # Errors
/// The database's.
pub async fn exists(store: &Store, workspace: i64, id: i64) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT 1 FROM folders WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .fetch_optional(store.readers())
        .await?;
    Ok(row.is_some())
}

/// Adds a folder and returns its id.
///
/// # Errors
/// See [`NameError`].
pub async fn insert(
    store: &Store,
    workspace: i64,
    name: &str,
    now_ms: i64,
) -> Result<i64, NameError> {
    let new = NewFolder {
        name,
        parent: None,
        color: "",
    };
    insert_nested(store, workspace, new, now_ms).await
}

/// As [`insert`], in another folder.
///
/// # Errors
/// See [`NameError`]; there is no such parent.
pub async fn insert_nested(
    store: &Store,
    workspace: i64,
    NewFolder {
        name,
        parent,
        color,
    }: NewFolder<'_>,
    now_ms: i64,
) -> Result<i64, NameError> {
    let mut tx = store.begin().await?;
    if let Some(parent) = parent {
        sqlx::query("SELECT 1 FROM folders WHERE id = $1 AND workspace_id = $2")
            .bind(parent)
            .bind(workspace)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(NameError::NotFound)?;
    }
    let row: Option<(i64,)> = sqlx::query_as(
        "INSERT INTO folders (workspace_id, name, created_at, parent_id, color) \
         SELECT w.id, $1, $2, CAST($5 AS BIGINT), CAST($6 AS TEXT) FROM workspaces w WHERE w.id = $3 \
         AND (SELECT COUNT(*) FROM folders f WHERE f.workspace_id = w.id) < $4 \
         ON CONFLICT (workspace_id, name) DO NOTHING RETURNING id",
    )
    .bind(name.to_owned())
    .bind(now_ms)
    .bind(workspace)
    .bind(MAX_FOLDERS)
    .bind(parent)
    .bind(color.to_owned())
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    match row {
        Some((id,)) => Ok(id),
        None if count(store, workspace).await? >= MAX_FOLDERS => {
            Err(NameError::TooMany(MAX_FOLDERS))
        }
        None => Err(NameError::Taken),
    }
}

/// Gives a folder another name.
///
/// # Errors
/// See [`NameError`].
pub async fn rename(
    store: &Store,
    (workspace, id): (i64, i64),
    name: &str,
) -> Result<(), NameError> {
    let mut tx = store.begin().await?;
    let sql = "UPDATE folders SET name = $1, updated_at = $4 WHERE id = $2 AND workspace_id = $3";
    let done = sqlx::query(sql)
        .bind(name.to_owned())
        .bind(id)
        .bind(workspace)
        .bind(store.guard().now_ms())
        .execute(&mut *tx)
        .await;
    match done {
        Ok(done) if done.rows_affected() == 0 => Err(NameError::NotFound),
        Ok(_) => Ok(tx.commit().await?),
        Err(error) if super::is_unique_violation(&error) => Err(NameError::Taken),
        Err(error) => Err(error.into()),
    }
}

/// Deletes a folder; its links stay. `false`: there is none.
///
/// # Errors
/// The database's.
pub async fn delete(store: &Store, (workspace, id): (i64, i64)) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("DELETE FROM folders WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Puts a link into a folder, out of the one it was in. That the link is the workspace's is the caller's to know. `false`:
/// there is no such folder.
///
/// # Errors
/// The database's.
pub async fn assign(
    connection: &mut AnyConnection,
    (workspace, folder): (i64, i64),
    link: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO folder_links (link_id, folder_id) SELECT $1, id FROM folders WHERE id = $2 AND workspace_id = $3 \
         ON CONFLICT (link_id) DO UPDATE SET folder_id = excluded.folder_id",
    )
    .bind(link)
    .bind(folder)
    .bind(workspace)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes a link out of a folder. `false`: it was not in it.
///
/// # Errors
/// The database's.
pub async fn take_out(
    connection: &mut AnyConnection,
    (workspace, folder): (i64, i64),
    link: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "DELETE FROM folder_links WHERE link_id = $1 AND folder_id = $2 \
         AND folder_id IN (SELECT id FROM folders WHERE workspace_id = $3)",
    )
    .bind(link)
    .bind(folder)
    .bind(workspace)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes a link out of whatever folder it is in. That it is the workspace's is the caller's to know. `false`: it was in none.
///
/// # Errors
/// The database's.
pub async fn unassign(connection: &mut AnyConnection, link: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM folder_links WHERE link_id = $1")
        .bind(link)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Id and name of the folder of each of these links (of the caller's workspace), by link.
///
/// # Errors
/// The database's.
pub async fn of_links(store: &Store, links: &[i64]) -> sqlx::Result<HashMap<i64, (i64, String)>> {
    let mut found = HashMap::new();
    for chunk in links.chunks(super::LIST) {
        let list = super::placeholders(1, chunk.len());
        let sql = format!(
            "SELECT l.link_id, f.id, f.name FROM folder_links l JOIN folders f ON f.id = l.folder_id \
             WHERE l.link_id IN ({list})"
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for link in chunk {
            query = query.bind(*link);
        }
        let rows: Vec<(i64, i64, String)> = query.fetch_all(store.readers()).await?;
        found.extend(rows.into_iter().map(|(link, id, name)| (link, (id, name))));
    }
    Ok(found)
}
