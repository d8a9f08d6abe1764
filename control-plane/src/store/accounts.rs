//! Workspaces, users and plans.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use super::Store;

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

/// The user of this id.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, user: i64) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "SELECT u.id, u.workspace_id, u.email, u.username, u.is_admin, u.plan_ends_at, u.created_at, \
         p.id AS plan_id, p.name AS plan \
         FROM users u JOIN workspaces w ON w.id = u.workspace_id JOIN plans p ON p.id = w.plan_id WHERE u.id = $1",
    )
    .bind(user)
    .fetch_optional(store.readers())
    .await
}

/// Changes a user's address and password; `None` leaves it. `false`: the address is another user's.
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
        Ok(_) => tx.commit().await.map(|()| true),
        Err(error) if super::is_unique_violation(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Puts a workspace on another plan. `false`: no such workspace or plan.
///
/// # Errors
/// The database's.
pub async fn set_plan(store: &Store, workspace: i64, plan: &str) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE workspaces SET plan_id = (SELECT id FROM plans WHERE name = $1) \
         WHERE id = $2 AND EXISTS (SELECT 1 FROM plans WHERE name = $1)",
    )
    .bind(plan)
    .bind(workspace)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}
