//! What users allow apps, as they see it, and its end.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use super::stored_scopes;
use crate::domain::key::Scopes;
use crate::store::Store;

/// An app that a user allowed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Id of the grant.
    pub id: i64,
    /// Name of the app.
    pub name: String,
    /// Its public name.
    pub client_id: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Since when, milliseconds since 1970.
    pub created_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for Allowed {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            client_id: row.try_get("client_id")?,
            scopes: stored_scopes(&row.try_get::<String, _>("scopes")?),
            created_at: row.try_get("created_at")?,
        })
    }
}

/// What a user allows in a workspace and has a token that works, newest first.
///
/// # Errors
/// The database's.
pub async fn allowed(
    store: &Store,
    (workspace, user): (i64, i64),
    now_ms: i64,
) -> sqlx::Result<Vec<Allowed>> {
    sqlx::query_as(
        "SELECT g.id, c.name, c.client_id, g.scopes, g.created_at FROM oauth_grants g \
         JOIN oauth_clients c ON c.id = g.oauth_client \
         WHERE g.workspace_id = $1 AND g.user_id = $2 AND g.revoked_at IS NULL AND EXISTS (SELECT 1 FROM oauth_tokens t \
         WHERE t.grant_id = g.id AND t.revoked_at IS NULL AND t.used_at IS NULL AND t.expires_at > $3) ORDER BY g.id DESC",
    )
    .bind(workspace)
    .bind(user)
    .bind(now_ms)
    .fetch_all(store.readers())
    .await
}

/// Takes back what a user allowed. `false`: nothing of the kind.
///
/// # Errors
/// The database's.
pub async fn disallow(
    store: &Store,
    (workspace, user): (i64, i64),
    grant: i64,
    now_ms: i64,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE oauth_grants SET revoked_at = $1 WHERE id = $2 AND workspace_id = $3 AND user_id = $4 AND revoked_at IS NULL",
    )
    .bind(now_ms)
    .bind(grant)
    .bind(workspace)
    .bind(user)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}
