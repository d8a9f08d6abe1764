//! Pixels of a workspace.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow, Row as _};

use super::Store;
use crate::domain::pixel::{Pixel, Tag, Vendor};
use crate::domain::plan::Feature;
use crate::store::plans::{self, PlanError};

/// A pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PixelRow {
    /// Its id.
    pub id: i64,
    /// What is set of it.
    pub pixel: Pixel,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for PixelRow {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let (vendor, tag): (String, String) = (row.try_get("type")?, row.try_get("tag")?);
        let wrong = |error| sqlx::Error::Decode(Box::new(error));
        Ok(Self {
            id: row.try_get("id")?,
            pixel: Pixel {
                vendor: Vendor::parse("type", &vendor).map_err(wrong)?,
                name: row.try_get("name")?,
                tag: Tag::parse("tag", &tag).map_err(wrong)?,
            },
            created_at: row.try_get("created_at")?,
        })
    }
}

/// A page of a workspace's pixels, newest first, and how many there are.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<(Vec<PixelRow>, i64)> {
    let rows = sqlx::query_as(
        "SELECT * FROM pixels WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await?;
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM pixels WHERE workspace_id = $1")
        .bind(workspace)
        .fetch_one(store.readers())
        .await?;
    Ok((rows, count))
}

/// Those of these pixels that are the workspace's. At most a few dozen ids.
///
/// # Errors
/// The database's.
pub async fn by_ids(
    connection: &mut AnyConnection,
    workspace: i64,
    ids: &[i64],
) -> sqlx::Result<Vec<PixelRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let list = super::placeholders(2, ids.len());
    let sql =
        format!("SELECT * FROM pixels WHERE workspace_id = $1 AND id IN ({list}) ORDER BY id");
    let mut query = sqlx::query_as(AssertSqlSafe(sql)).bind(workspace);
    for id in ids {
        query = query.bind(*id);
    }
    query.fetch_all(connection).await
}

/// Adds a pixel and returns its id.
///
/// # Errors
/// The plan does not include them; the database's.
pub async fn insert(
    store: &Store,
    workspace: i64,
    pixel: &Pixel,
    now_ms: i64,
) -> Result<i64, PlanError> {
    let mut tx = store.begin().await?;
    plans::need(&mut tx, workspace, Feature::Pixels, now_ms).await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO pixels (workspace_id, type, name, tag, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id",
    )
    .bind(workspace)
    .bind(pixel.vendor.name())
    .bind(pixel.name.clone())
    .bind(pixel.tag.as_str().to_owned())
    .bind(now_ms)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// Changes name and tag.
///
/// # Errors
/// The database's.
pub async fn update(connection: &mut AnyConnection, id: i64, pixel: &Pixel) -> sqlx::Result<()> {
    sqlx::query("UPDATE pixels SET name = $1, tag = $2 WHERE id = $3")
        .bind(pixel.name.clone())
        .bind(pixel.tag.as_str().to_owned())
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes a pixel. `false`: there is none of this id in the workspace.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &mut AnyConnection, workspace: i64, id: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM pixels WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}
