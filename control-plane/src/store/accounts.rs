//! Workspaces, users and plans.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};

use super::{Store, plans};

/// A user with its workspace and plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Id of the user.
    pub id: i64,
    /// Its workspace.
    pub workspace_id: i64,
    /// Address, unique.
    pub email: String,
    /// Name, unique.
    pub username: String,
    /// Whether it administers the installation.
    pub is_admin: bool,
    /// End of the plan, milliseconds since 1970; `None`: without end.
    pub plan_ends_at: Option<i64>,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// Id of the plan.
    pub plan_id: i64,
    /// Name of the plan.
    pub plan: String,
}

impl<'r> FromRow<'r, AnyRow> for Account {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            workspace_id: row.try_get("workspace_id")?,
            email: row.try_get("email")?,
            username: row.try_get("username")?,
            is_admin: row.try_get::<i64, _>("is_admin")? != 0,
            plan_ends_at: row.try_get("plan_ends_at")?,
            created_at: row.try_get("created_at")?,
            plan_id: row.try_get("plan_id")?,
            plan: row.try_get("plan")?,
        })
    }
}

/// The user of this id, with the plan in force of its own workspace.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, user: i64, now_ms: i64) -> sqlx::Result<Option<Account>> {
    let which = "WHERE u.id = $1 AND u.deleted_at IS NULL";
    sqlx::query_as(AssertSqlSafe(select("$2", "u.id AS user_id", which)))
        .bind(user)
        .bind(now_ms)
        .fetch_optional(store.readers())
        .await
}

/// The query of accounts with one more column; `now` names the parameter that holds the time.
pub(super) fn select(now: &str, more: &str, which: &str) -> String {
    let plan = plans::join_in_force(now);
    format!(
        "SELECT u.id, u.workspace_id, u.email, u.username, u.is_admin, w.plan_ends_at, u.created_at, \
         p.id AS plan_id, p.name AS plan, {more} FROM users u JOIN workspaces w ON w.id = u.workspace_id {plan} {which}"
    )
}

/// Changes a user's address and password; `None` leaves it. A new password signs out every browser; keys and apps stay.
/// `false`: the address is another user's.
///
/// # Errors
/// The database's.
pub async fn update(
    store: &Store,
    user: i64,
    email: Option<&str>,
    password_hash: Option<&str>,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE users SET email = COALESCE($1, email), password_hash = COALESCE($2, password_hash) WHERE id = $3",
    )
    .bind(email.map(str::to_owned))
    .bind(password_hash.map(str::to_owned))
    .bind(user)
    .execute(&mut *tx)
    .await;
    match done {
        Ok(_) => {}
        Err(error) if super::is_unique_violation(&error) => return Ok(false),
        Err(error) => return Err(error),
    }
    if password_hash.is_some() {
        for sql in [
            "DELETE FROM sign_ins WHERE user_id = $1",
            "DELETE FROM sign_in_links WHERE user_id = $1",
        ] {
            sqlx::query(sql).bind(user).execute(&mut *tx).await?;
        }
    }
    tx.commit().await.map(|()| true)
}
