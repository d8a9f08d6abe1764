//! Apps that are registered.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use super::stored_scopes;
use crate::domain::key::{NewKey, Scopes};
use crate::store::Store;

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: i64,
    /// Its public name, random.
    pub client_id: String,
    /// Whose it is.
    pub workspace_id: i64,
    /// Who registered it; with client credentials it acts as that user.
    pub user_id: i64,
    /// What people read when they are asked.
    pub name: String,
    /// Hash of its secret; `None`: a public client.
    pub secret_hash: Option<Vec<u8>>,
    /// Where codes may go, compared byte by byte.
    pub redirect_uris: Vec<String>,
    /// The most it may ask for.
    pub scopes: Scopes,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for Client {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let uris: String = row.try_get("redirect_uris")?;
        Ok(Self {
            id: row.try_get("id")?,
            client_id: row.try_get("client_id")?,
            workspace_id: row.try_get("workspace_id")?,
            user_id: row.try_get("user_id")?,
            name: row.try_get("name")?,
            secret_hash: row.try_get("secret_hash")?,
            redirect_uris: serde_json::from_str(&uris).map_err(|error| {
                sqlx::Error::ColumnDecode {
                    index: "redirect_uris".to_owned(),
                    source: Box::new(error),
                }
            })?,
            scopes: stored_scopes(&row.try_get::<String, _>("scopes")?),
            created_at: row.try_get("created_at")?,
        })
    }
}

/// An app that is to be registered.
#[derive(Debug, Clone, Copy)]
pub struct NewClient<'a> {
    /// See [`Client`].
    pub client_id: &'a str,
    /// See [`Client`].
    pub name: &'a str,
    /// `None`: a public client.
    pub secret: Option<&'a NewKey>,
    /// See [`Client`].
    pub redirect_uris: &'a [String],
    /// See [`Client`].
    pub scopes: &'a Scopes,
}

/// Registers an app and returns its id.
///
/// # Errors
/// The database's.
pub async fn add_client(
    store: &Store,
    (workspace, user): (i64, i64),
    client: NewClient<'_>,
    now_ms: i64,
) -> sqlx::Result<i64> {
    let mut tx = store.begin().await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO oauth_clients (client_id, workspace_id, user_id, name, secret_hash, redirect_uris, scopes, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
    )
    .bind(client.client_id.to_owned())
    .bind(workspace)
    .bind(user)
    .bind(client.name.to_owned())
    .bind(client.secret.map(|secret| secret.hash.to_vec()))
    .bind(serde_json::json!(client.redirect_uris).to_string())
    .bind(client.scopes.names().join(","))
    .bind(now_ms)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// Apps of a workspace, newest first, and how many there are.
///
/// # Errors
/// The database's.
pub async fn clients(
    store: &Store,
    workspace: i64,
    limit: i64,
    offset: i64,
) -> sqlx::Result<(Vec<Client>, i64)> {
    let rows = sqlx::query_as(
        "SELECT * FROM oauth_clients WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await?;
    let (count,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM oauth_clients WHERE workspace_id = $1 AND deleted_at IS NULL",
    )
    .bind(workspace)
    .fetch_one(store.readers())
    .await?;
    Ok((rows, count))
}

/// The app of this public name.
///
/// # Errors
/// The database's.
pub async fn find_client(store: &Store, client_id: &str) -> sqlx::Result<Option<Client>> {
    sqlx::query_as("SELECT * FROM oauth_clients WHERE client_id = $1 AND deleted_at IS NULL")
        .bind(client_id.to_owned())
        .fetch_optional(store.readers())
        .await
}

/// Gives an app another secret. `false`: no such app in the workspace, or a public one.
///
/// # Errors
/// The database's.
pub async fn rotate_secret(
    store: &Store,
    (workspace, id): (i64, i64),
    secret: &NewKey,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE oauth_clients SET secret_hash = $1 \
         WHERE id = $2 AND workspace_id = $3 AND deleted_at IS NULL AND secret_hash IS NOT NULL",
    )
    .bind(secret.hash.to_vec())
    .bind(id)
    .bind(workspace)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Ends an app and every token it has. `false`: no such app in the workspace.
///
/// # Errors
/// The database's.
pub async fn delete_client(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE oauth_clients SET deleted_at = $1 WHERE id = $2 AND workspace_id = $3 AND deleted_at IS NULL",
    )
    .bind(now_ms)
    .bind(id)
    .bind(workspace)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE oauth_grants SET revoked_at = $1 WHERE oauth_client = $2 AND revoked_at IS NULL",
    )
    .bind(now_ms)
    .bind(id)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}
