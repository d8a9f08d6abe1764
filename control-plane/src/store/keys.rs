//! API keys. Never the key itself: its SHA-256.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};

use super::{Store, plans};
use crate::domain::key::{NewKey, Scopes};
use crate::domain::role::Role;

/// A key as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id.
    pub id: i64,
    /// Workspace it opens.
    pub workspace_id: i64,
    /// User it speaks for.
    pub user_id: i64,
    /// What it is for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Calls a minute; 0: no limit; `None`: the plan's.
    pub rate_per_minute: Option<i64>,
    /// The workspace's plan.
    pub plan_id: i64,
    /// Whether it counts as free.
    pub plan_is_free: bool,
    /// Its rate.
    pub plan_rate: i64,
    /// Milliseconds since 1970; `None`: never.
    pub expires_at: Option<i64>,
    /// Milliseconds since 1970; `None`: in force.
    pub revoked_at: Option<i64>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// What its user is in the workspace; `None`: no member.
    pub role: Option<Role>,
    /// Whether its user administers the installation.
    pub is_admin: bool,
}

impl<'r> FromRow<'r, AnyRow> for KeyRow {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let scopes: String = row.try_get("scopes")?;
        Ok(Self {
            id: row.try_get("id")?,
            workspace_id: row.try_get("workspace_id")?,
            user_id: row.try_get("user_id")?,
            name: row.try_get("name")?,
            prefix: row.try_get("prefix")?,
            // An unknown name (of a newer version) gives no right.
            scopes: Scopes::parse(scopes.split(',')).unwrap_or_default(),
            rate_per_minute: row.try_get("rate_per_minute")?,
            plan_id: row.try_get("plan_id")?,
            plan_is_free: row.try_get::<i64, _>("plan_is_free")? != 0,
            plan_rate: row.try_get("plan_rate")?,
            expires_at: row.try_get("expires_at")?,
            revoked_at: row.try_get("revoked_at")?,
            created_at: row.try_get("created_at")?,
            role: row
                .try_get::<Option<String>, _>("role")?
                .and_then(|role| Role::stored(&role)),
            is_admin: row.try_get::<i64, _>("is_admin")? != 0,
        })
    }
}

/// What is chosen of a new key.
#[derive(Debug, Clone)]
pub struct KeyChoice {
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Calls a minute; 0: no limit; `None`: the plan's.
    pub rate_per_minute: Option<i64>,
    /// Milliseconds since 1970; `None`: never.
    pub expires_at: Option<i64>,
}

/// The query of a key with the rate of the plan in force; `now` names the parameter that holds the time.
fn select(now: &str, which: &str) -> String {
    let plan = plans::join_in_force(now);
    format!(
        "SELECT k.id, k.workspace_id, k.user_id, k.name, k.prefix, k.scopes, k.rate_per_minute, k.expires_at, \
         k.revoked_at, k.created_at, p.id AS plan_id, p.is_free AS plan_is_free, p.rate_per_minute AS plan_rate, m.role, u.is_admin \
         FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id JOIN users u ON u.id = k.user_id \
         LEFT JOIN members m ON m.workspace_id = k.workspace_id AND m.user_id = k.user_id {plan} {which}"
    )
}

/// The key with this hash.
///
/// # Errors
/// The database's.
pub async fn by_hash(store: &Store, hash: &[u8; 32], now_ms: i64) -> sqlx::Result<Option<KeyRow>> {
    sqlx::query_as(AssertSqlSafe(select("$2", "WHERE k.hash = $1")))
        .bind(hash.to_vec())
        .bind(now_ms)
        .fetch_optional(store.readers())
        .await
}

/// Keys of a workspace, or of one user in it, newest first, revoked ones left out; and how many there are.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    user: Option<i64>,
    (limit, offset): (i64, i64),
    now_ms: i64,
) -> sqlx::Result<(Vec<KeyRow>, i64)> {
    let rows = sqlx::query_as(AssertSqlSafe(select(
        "$4",
        "WHERE k.workspace_id = $1 AND k.user_id = COALESCE($5, k.user_id) AND k.revoked_at IS NULL ORDER BY k.id DESC LIMIT $2 OFFSET $3",
    )))
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .bind(now_ms)
    .bind(user)
    .fetch_all(store.readers())
    .await?;
    let (count,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM api_keys WHERE workspace_id = $1 AND user_id = COALESCE($2, user_id) AND revoked_at IS NULL",
    )
    .bind(workspace)
    .bind(user)
    .fetch_one(store.readers())
    .await?;
    Ok((rows, count))
}

/// Every key of every workspace, revoked ones too, oldest first.
///
/// # Errors
/// The database's.
pub async fn all(store: &Store, now_ms: i64) -> sqlx::Result<Vec<KeyRow>> {
    sqlx::query_as(AssertSqlSafe(select("$1", "ORDER BY k.id")))
        .bind(now_ms)
        .fetch_all(store.readers())
        .await
}

/// The key of this id in a workspace, if it is in force or expired, not revoked.
///
/// # Errors
/// The database's.
pub async fn get(
    store: &Store,
    workspace: i64,
    id: i64,
    now_ms: i64,
) -> sqlx::Result<Option<KeyRow>> {
    sqlx::query_as(AssertSqlSafe(select(
        "$3",
        "WHERE k.id = $1 AND k.workspace_id = $2 AND k.revoked_at IS NULL",
    )))
    .bind(id)
    .bind(workspace)
    .bind(now_ms)
    .fetch_optional(store.readers())
    .await
}

/// Stores a key of a user and returns its id.
///
/// # Errors
/// The database's.
pub async fn insert(
    store: &Store,
    (workspace, user): (i64, i64),
    choice: &KeyChoice,
    key: &NewKey,
    now_ms: i64,
) -> sqlx::Result<i64> {
    let mut tx = store.begin().await?;
    let id = insert_in(&mut tx, (workspace, user), choice, key, now_ms).await?;
    tx.commit().await?;
    Ok(id)
}

/// As [`insert`], in a transaction of the caller's.
pub(super) async fn insert_in(
    connection: &mut sqlx::AnyConnection,
    (workspace, user): (i64, i64),
    choice: &KeyChoice,
    key: &NewKey,
    now_ms: i64,
) -> sqlx::Result<i64> {
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO api_keys (workspace_id, user_id, name, prefix, hash, scopes, rate_per_minute, expires_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
    )
    .bind(workspace)
    .bind(user)
    .bind(choice.name.clone())
    .bind(key.prefix.clone())
    .bind(key.hash.to_vec())
    .bind(choice.scopes.names().join(","))
    .bind(choice.rate_per_minute)
    .bind(choice.expires_at)
    .bind(now_ms)
    .fetch_one(connection)
    .await?;
    Ok(id)
}

/// Gives a key in force another secret. `false`: no such key.
///
/// # Errors
/// The database's.
pub async fn rotate(store: &Store, workspace: i64, id: i64, key: &NewKey) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE api_keys SET hash = $1, prefix = $2 WHERE id = $3 AND workspace_id = $4 AND revoked_at IS NULL",
    )
    .bind(key.hash.to_vec())
    .bind(key.prefix.clone())
    .bind(id)
    .bind(workspace)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Revokes a key, of any workspace when `workspace` is `None`. `false`: no such key, or revoked before.
///
/// # Errors
/// The database's.
pub async fn revoke(
    store: &Store,
    workspace: Option<i64>,
    id: i64,
    now_ms: i64,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND workspace_id = COALESCE($3, workspace_id) AND revoked_at IS NULL",
    )
    .bind(now_ms)
    .bind(id)
    .bind(workspace)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}
