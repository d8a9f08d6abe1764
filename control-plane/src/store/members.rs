//! Who belongs to a workspace, and who is invited.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row as _};

use super::Store;
use super::plans::{self, PlanError};
use crate::domain::key::NewKey;
use crate::domain::plan::Limit;
use crate::domain::role::Role;

/// A member of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Id of the user.
    pub id: i64,
    /// Address.
    pub email: String,
    /// Name.
    pub username: String,
    /// What it is; `None`: a role of a newer version, which gives no right.
    pub role: Option<Role>,
    /// Since when, milliseconds since 1970.
    pub created_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for Member {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            email: row.try_get("email")?,
            username: row.try_get("username")?,
            role: Role::stored(row.try_get::<String, _>("role")?.as_str()),
            created_at: row.try_get("created_at")?,
        })
    }
}

/// An invitation nobody has taken yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: i64,
    /// Into which workspace.
    pub workspace_id: i64,
    /// Whom.
    pub email: String,
    /// As what.
    pub role: Option<Role>,
    /// Until when, milliseconds since 1970.
    pub expires_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for Invitation {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            workspace_id: row.try_get("workspace_id")?,
            email: row.try_get("email")?,
            role: Role::stored(row.try_get::<String, _>("role")?.as_str()),
            expires_at: row.try_get("expires_at")?,
        })
    }
}

/// Why a membership was not written.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// No such member.
    #[error("no such member")]
    NotFound,
    /// Somebody must stay.
    #[error("the last owner")]
    LastOwner,
    /// It is one already, or is invited.
    #[error("a member already")]
    Already,
    /// The plan does not allow it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The database's.
    #[error(transparent)]
    Failed(#[from] sqlx::Error),
}

/// Members of a workspace, in the order they came.
///
/// # Errors
/// The database's.
pub async fn all(store: &Store, workspace: i64) -> sqlx::Result<Vec<Member>> {
    sqlx::query_as(
        "SELECT u.id, u.email, u.username, m.role, m.created_at FROM members m JOIN users u ON u.id = m.user_id \
         WHERE m.workspace_id = $1 ORDER BY m.created_at, u.id",
    )
    .bind(workspace)
    .fetch_all(store.readers())
    .await
}

/// Open invitations of a workspace, those that have run out left out.
///
/// # Errors
/// The database's.
pub async fn invited(store: &Store, workspace: i64, now_ms: i64) -> sqlx::Result<Vec<Invitation>> {
    sqlx::query_as(
        "SELECT id, workspace_id, email, role, expires_at FROM invitations \
         WHERE workspace_id = $1 AND expires_at > $2 ORDER BY id",
    )
    .bind(workspace)
    .bind(now_ms)
    .fetch_all(store.readers())
    .await
}

/// Workspaces of a user with their names and its roles, its own first.
///
/// # Errors
/// The database's.
pub async fn workspaces(store: &Store, user: i64) -> sqlx::Result<Vec<(i64, String, String)>> {
    sqlx::query_as(
        "SELECT w.id, w.name, m.role FROM members m JOIN workspaces w ON w.id = m.workspace_id \
         JOIN users u ON u.id = m.user_id WHERE m.user_id = $1 AND w.deleted_at IS NULL \
         ORDER BY CASE WHEN w.id = u.workspace_id THEN 0 ELSE 1 END, w.id",
    )
    .bind(user)
    .fetch_all(store.readers())
    .await
}

/// Name and first instant of a workspace, and the name of its first owner.
///
/// # Errors
/// The database's.
pub async fn workspace(store: &Store, id: i64) -> sqlx::Result<Option<(String, i64, String)>> {
    sqlx::query_as(
        "SELECT w.name, w.created_at, u.username FROM workspaces w JOIN members m ON m.workspace_id = w.id \
         JOIN users u ON u.id = m.user_id WHERE w.id = $1 AND w.deleted_at IS NULL \
         ORDER BY CASE WHEN m.role = 'owner' THEN 0 ELSE 1 END, m.created_at, m.user_id LIMIT 1",
    )
    .bind(id)
    .fetch_optional(store.readers())
    .await
}

/// Invites an address in place of an older invitation of it, and returns the invitation's id.
///
/// # Errors
/// It is a member; the plan; the database's.
pub async fn invite(
    store: &Store,
    workspace: i64,
    (email, role): (&str, Role),
    secret: &NewKey,
    (now_ms, expires_at): (i64, i64),
) -> Result<i64, MemberError> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "DELETE FROM invitations WHERE workspace_id = $1 AND (email = $2 OR expires_at <= $3)",
    )
    .bind(workspace)
    .bind(email.to_owned())
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    plans::check(&mut tx, workspace, Limit::Members, 1, now_ms).await?;
    let member: Option<(i64,)> = sqlx::query_as(
        "SELECT u.id FROM members m JOIN users u ON u.id = m.user_id WHERE m.workspace_id = $1 AND u.email = $2",
    )
    .bind(workspace)
    .bind(email.to_owned())
    .fetch_optional(&mut *tx)
    .await?;
    if member.is_some() {
        return Err(MemberError::Already);
    }
    let added: sqlx::Result<(i64,)> = sqlx::query_as(
        "INSERT INTO invitations (workspace_id, email, role, hash, expires_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
    )
    .bind(workspace)
    .bind(email.to_owned())
    .bind(role.name())
    .bind(secret.hash.to_vec())
    .bind(expires_at)
    .bind(now_ms)
    .fetch_one(&mut *tx)
    .await;
    let (id,) = added.map_err(already)?;
    tx.commit().await?;
    Ok(id)
}

/// The open invitation with this hash.
///
/// # Errors
/// The database's.
pub async fn invitation(
    store: &Store,
    hash: &[u8; 32],
    now_ms: i64,
) -> sqlx::Result<Option<Invitation>> {
    sqlx::query_as(
        "SELECT i.id, i.workspace_id, i.email, i.role, i.expires_at FROM invitations i \
         JOIN workspaces w ON w.id = i.workspace_id \
         WHERE i.hash = $1 AND i.expires_at > $2 AND w.deleted_at IS NULL",
    )
    .bind(hash.to_vec())
    .bind(now_ms)
    .fetch_optional(store.readers())
    .await
}

/// Takes an invitation back. `false`: no such invitation.
///
/// # Errors
/// The database's.
pub async fn uninvite(store: &Store, workspace: i64, id: i64) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("DELETE FROM invitations WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

/// Makes the user of an invitation a member, in a transaction of the caller's. The invitation held its place in the plan.
///
/// # Errors
/// Somebody else took it; it is a member already; the database's.
pub(super) async fn take_in(
    connection: &mut AnyConnection,
    invitation: &Invitation,
    user: i64,
    now_ms: i64,
) -> Result<(), MemberError> {
    let role = invitation.role.ok_or(MemberError::NotFound)?;
    let done = sqlx::query("DELETE FROM invitations WHERE id = $1 AND expires_at > $2")
        .bind(invitation.id)
        .bind(now_ms)
        .execute(&mut *connection)
        .await?;
    if done.rows_affected() == 0 {
        return Err(MemberError::NotFound);
    }
    insert_in(connection, (invitation.workspace_id, user), role, now_ms).await?;
    Ok(())
}

/// Puts a user into a workspace, in a transaction of the caller's.
///
/// # Errors
/// It is a member already; the database's.
pub(super) async fn insert_in(
    connection: &mut AnyConnection,
    (workspace, user): (i64, i64),
    role: Role,
    now_ms: i64,
) -> Result<(), MemberError> {
    sqlx::query(
        "INSERT INTO members (workspace_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(workspace)
    .bind(user)
    .bind(role.name())
    .bind(now_ms)
    .execute(connection)
    .await
    .map_err(already)?;
    Ok(())
}

/// Gives a member another role.
///
/// # Errors
/// No such member, the last owner; the database's.
pub async fn set_role(
    store: &Store,
    (workspace, user): (i64, i64),
    role: Role,
) -> Result<(), MemberError> {
    let mut tx = store.begin().await?;
    lock(&mut tx, workspace).await?;
    let done = sqlx::query("UPDATE members SET role = $1 WHERE workspace_id = $2 AND user_id = $3")
        .bind(role.name())
        .bind(workspace)
        .bind(user)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        return Err(MemberError::NotFound);
    }
    if owners(&mut tx, workspace).await? == 0 {
        return Err(MemberError::LastOwner);
    }
    tx.commit().await?;
    Ok(())
}

/// Takes a member out of a workspace, with its keys and apps there. The user and its other workspaces stay.
///
/// # Errors
/// No such member, the last owner; the database's.
pub async fn remove(
    store: &Store,
    (workspace, user): (i64, i64),
    now_ms: i64,
) -> Result<(), MemberError> {
    let mut tx = store.begin().await?;
    lock(&mut tx, workspace).await?;
    let done = sqlx::query("DELETE FROM members WHERE workspace_id = $1 AND user_id = $2")
        .bind(workspace)
        .bind(user)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        return Err(MemberError::NotFound);
    }
    if owners(&mut tx, workspace).await? == 0 {
        return Err(MemberError::LastOwner);
    }
    for table in [
        "UPDATE api_keys SET revoked_at = $1 WHERE workspace_id = $2 AND user_id = $3 AND revoked_at IS NULL",
        "UPDATE oauth_grants SET revoked_at = $1 WHERE workspace_id = $2 AND user_id = $3 AND revoked_at IS NULL",
    ] {
        sqlx::query(table)
            .bind(now_ms)
            .bind(workspace)
            .bind(user)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Two owners who take each other's role at once would leave none.
pub(super) async fn lock(connection: &mut AnyConnection, workspace: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE workspaces SET plan_id = plan_id WHERE id = $1")
        .bind(workspace)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn owners(connection: &mut AnyConnection, workspace: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM members WHERE workspace_id = $1 AND role = 'owner'")
            .bind(workspace)
            .fetch_one(connection)
            .await?;
    Ok(count)
}

fn already(error: sqlx::Error) -> MemberError {
    if super::is_unique_violation(&error) {
        MemberError::Already
    } else {
        error.into()
    }
}
