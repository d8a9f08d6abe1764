//! Browsers that are signed in, and one-time URLs that sign one in. Cookies and URLs are here as their hash.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use super::Store;
use crate::domain::key::NewKey;

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Id of the user.
    pub user: i64,
    /// Its name.
    pub username: String,
    /// Its address.
    pub email: String,
}

impl<'r> FromRow<'r, AnyRow> for SignedIn {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            user: row.try_get("id")?,
            username: row.try_get("username")?,
            email: row.try_get("email")?,
        })
    }
}

/// Notes a sign-in, and forgets those that are over.
///
/// # Errors
/// The database's.
pub async fn add(
    store: &Store,
    user: i64,
    secret: &NewKey,
    (now_ms, expires_at): (i64, i64),
) -> sqlx::Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query("DELETE FROM sign_ins WHERE expires_at <= $1")
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "INSERT INTO sign_ins (hash, user_id, expires_at, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(secret.hash.to_vec())
    .bind(user)
    .bind(expires_at)
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Who is signed in with the cookie of this hash.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, hash: &[u8; 32], now_ms: i64) -> sqlx::Result<Option<SignedIn>> {
    sqlx::query_as(
        "SELECT u.id, u.username, u.email FROM sign_ins s JOIN users u ON u.id = s.user_id \
         WHERE s.hash = $1 AND s.expires_at > $2 AND u.deleted_at IS NULL",
    )
    .bind(hash.to_vec())
    .bind(now_ms)
    .fetch_optional(store.readers())
    .await
}

/// Ends a sign-in.
///
/// # Errors
/// The database's.
pub async fn end(store: &Store, hash: &[u8; 32]) -> sqlx::Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query("DELETE FROM sign_ins WHERE hash = $1")
        .bind(hash.to_vec())
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Stores a one-time URL in place of the user's older ones. `false`: no such user.
///
/// # Errors
/// The database's.
pub async fn add_link(
    store: &Store,
    user: i64,
    secret: &NewKey,
    expires_at: i64,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    sqlx::query("DELETE FROM sign_in_links WHERE user_id = $1")
        .bind(user)
        .execute(&mut *tx)
        .await?;
    let done = sqlx::query(
        "INSERT INTO sign_in_links (hash, user_id, expires_at) \
         SELECT $1, id, $2 FROM users WHERE id = $3 AND deleted_at IS NULL",
    )
    .bind(secret.hash.to_vec())
    .bind(expires_at)
    .bind(user)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Uses a one-time URL up: the user it signs in.
///
/// # Errors
/// The database's.
pub async fn take_link(store: &Store, hash: &[u8; 32], now_ms: i64) -> sqlx::Result<Option<i64>> {
    let mut tx = store.begin().await?;
    let row: Option<(i64, i64)> =
        sqlx::query_as("DELETE FROM sign_in_links WHERE hash = $1 RETURNING user_id, expires_at")
            .bind(hash.to_vec())
            .fetch_optional(&mut *tx)
            .await?;
    tx.commit().await?;
    Ok(row
        .filter(|(_, expires_at)| *expires_at > now_ms)
        .map(|(user, _)| user))
}
