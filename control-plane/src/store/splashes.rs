//! Splash pages of a workspace.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row as _};

use super::Store;
use crate::domain::plan::Feature;
use crate::domain::splash::Splash;
use crate::store::plans::{self, PlanError};

/// A splash page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplashRow {
    /// Its id.
    pub id: i64,
    /// What is set of it.
    pub splash: Splash,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for SplashRow {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let counter: i64 = row.try_get("counter")?;
        Ok(Self {
            id: row.try_get("id")?,
            splash: Splash {
                name: row.try_get("name")?,
                title: row.try_get("title")?,
                message: row.try_get("message")?,
                image: row.try_get("image")?,
                button: row.try_get("button")?,
                link: row.try_get("link")?,
                counter: u32::try_from(counter).unwrap_or(0),
            },
            created_at: row.try_get("created_at")?,
        })
    }
}

/// A page of a workspace's splash pages, newest first, and how many there are.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<(Vec<SplashRow>, i64)> {
    let rows = sqlx::query_as(
        "SELECT * FROM splashes WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await?;
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM splashes WHERE workspace_id = $1")
        .bind(workspace)
        .fetch_one(store.readers())
        .await?;
    Ok((rows, count))
}

/// The splash page of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn get(
    connection: &mut AnyConnection,
    workspace: i64,
    id: i64,
) -> sqlx::Result<Option<SplashRow>> {
    sqlx::query_as("SELECT * FROM splashes WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .fetch_optional(connection)
        .await
}

/// Adds a splash page and returns its id.
///
/// # Errors
/// The plan does not include them; the database's.
pub async fn insert(
    store: &Store,
    workspace: i64,
    splash: &Splash,
    now_ms: i64,
) -> Result<i64, PlanError> {
    let mut tx = store.begin().await?;
    plans::need(&mut tx, workspace, Feature::Splash, now_ms).await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO splashes (name, title, message, image, button, link, counter, workspace_id, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
    )
    .bind(splash.name.clone())
    .bind(splash.title.clone())
    .bind(splash.message.clone())
    .bind(splash.image.clone())
    .bind(splash.button.clone())
    .bind(splash.link.clone())
    .bind(i64::from(splash.counter))
    .bind(workspace)
    .bind(now_ms)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// Gives it another content.
///
/// # Errors
/// The database's.
pub async fn update(connection: &mut AnyConnection, id: i64, splash: &Splash) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE splashes SET name = $1, title = $2, message = $3, image = $4, button = $5, link = $6, counter = $7 \
         WHERE id = $8",
    )
    .bind(splash.name.clone())
    .bind(splash.title.clone())
    .bind(splash.message.clone())
    .bind(splash.image.clone())
    .bind(splash.button.clone())
    .bind(splash.link.clone())
    .bind(i64::from(splash.counter))
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes it. `false`: there is none of this id in the workspace.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &mut AnyConnection, workspace: i64, id: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM splashes WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}
