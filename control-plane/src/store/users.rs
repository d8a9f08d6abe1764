//! Users of the whole installation: lists, new ones with a workspace of their own or in another's, and their end.

use schemas::feed::Workspace;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow, Row as _};

use super::accounts::{self, Account};
use super::entries;
use super::keys::{self, KeyChoice};
use super::members::{self, Invitation, MemberError};
use super::plans;
use super::{Store, feed};
use crate::domain::key::{NewKey, Scopes};
use crate::domain::plan::{FREE, Limit};
use crate::domain::role::Role;

/// Which users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Every one.
    All,
    /// Administrators.
    Admin,
    /// Those on a free plan.
    Free,
    /// Those on any other.
    Pro,
}

impl Filter {
    const fn condition(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Admin => " AND u.is_admin = 1",
            Self::Free => " AND p.is_free = 1",
            Self::Pro => " AND p.is_free = 0",
        }
    }
}

/// A user as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The account.
    pub account: Account,
    /// First characters of its oldest key in force.
    pub key_prefix: Option<String>,
}

impl<'r> FromRow<'r, AnyRow> for Listed {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            account: Account::from_row(row)?,
            key_prefix: row.try_get("key_prefix")?,
        })
    }
}

const KEY_PREFIX: &str = "(SELECT k.prefix FROM api_keys k WHERE k.user_id = u.id AND k.revoked_at IS NULL ORDER BY k.id LIMIT 1) AS key_prefix";

/// Users, newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    filter: Filter,
    email: Option<&str>,
    (limit, offset): (i64, i64),
    now_ms: i64,
) -> sqlx::Result<Vec<Listed>> {
    let which = format!(
        "WHERE u.deleted_at IS NULL AND u.email = COALESCE($1, u.email){} ORDER BY u.id DESC LIMIT $3 OFFSET $4",
        filter.condition()
    );
    sqlx::query_as(AssertSqlSafe(accounts::select("$2", KEY_PREFIX, &which)))
        .bind(email.map(str::to_owned))
        .bind(now_ms)
        .bind(limit)
        .bind(offset)
        .fetch_all(store.readers())
        .await
}

/// The user of this id.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, id: i64, now_ms: i64) -> sqlx::Result<Option<Listed>> {
    let which = "WHERE u.id = $1 AND u.deleted_at IS NULL";
    sqlx::query_as(AssertSqlSafe(accounts::select("$2", KEY_PREFIX, which)))
        .bind(id)
        .bind(now_ms)
        .fetch_optional(store.readers())
        .await
}

/// What is known of a new user.
#[derive(Debug, Clone, Copy)]
pub struct NewUser<'a> {
    /// Address.
    pub email: &'a str,
    /// Name.
    pub username: &'a str,
    /// The argon2id hash of its password.
    pub password_hash: &'a str,
}

/// Where a new user goes.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// Into a workspace of its own.
    Own {
        /// Id of its plan.
        plan: i64,
        /// When that ends.
        plan_ends_at: Option<i64>,
    },
    /// Into a workspace that exists.
    Member {
        /// Which.
        workspace: i64,
        /// As what.
        role: Role,
    },
    /// Where it was invited to.
    Invited(&'a Invitation),
}

/// Why a user was not made.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Another user has the address.
    #[error("email belongs to another account")]
    EmailTaken,
    /// Another user has the name.
    #[error("username belongs to another account")]
    NameTaken,
    /// No such plan.
    #[error("no such plan")]
    NoPlan,
    /// The workspace does not take it in.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// Ours.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<sqlx::Error> for UserError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Makes a user with its first key, and returns its id.
///
/// # Errors
/// See [`UserError`]; nothing was made then.
pub async fn add(
    store: &Store,
    user: NewUser<'_>,
    place: Place<'_>,
    key: &NewKey,
    now_ms: i64,
) -> Result<i64, UserError> {
    let mut write = feed::Write::begin(store).await?;
    let connection = write.connection();
    let (workspace, role) = match place {
        Place::Own { plan, plan_ends_at } => {
            let own = workspace(connection, user.username, plan, plan_ends_at, now_ms).await?;
            (own.ok_or(UserError::NoPlan)?, Role::Owner)
        }
        Place::Member { workspace, role } => {
            plans::check(connection, workspace, Limit::Members, 1, now_ms)
                .await
                .map_err(MemberError::from)?;
            (workspace, role)
        }
        Place::Invited(invitation) => {
            let role = invitation.role.ok_or(MemberError::NotFound)?;
            (invitation.workspace_id, role)
        }
    };
    for (column, value, taken) in [
        ("email", user.email, UserError::EmailTaken),
        ("username", user.username, UserError::NameTaken),
    ] {
        let sql = format!("SELECT id FROM users WHERE {column} = $1");
        let row: Option<(i64,)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(value.to_owned())
            .fetch_optional(&mut *connection)
            .await?;
        if row.is_some() {
            return Err(taken);
        }
    }
    let added: sqlx::Result<(i64,)> = sqlx::query_as(
        "INSERT INTO users (workspace_id, email, username, password_hash, is_admin, created_at) \
         VALUES ($1, $2, $3, $4, 0, $5) RETURNING id",
    )
    .bind(workspace)
    .bind(user.email.to_owned())
    .bind(user.username.to_owned())
    .bind(user.password_hash.to_owned())
    .bind(now_ms)
    .fetch_one(&mut *connection)
    .await;
    let id = match added {
        Ok((id,)) => id,
        // In a race of two of the same name; which of the two columns it was makes no difference to the second try.
        Err(error) if super::is_unique_violation(&error) => return Err(UserError::NameTaken),
        Err(error) => return Err(error.into()),
    };
    match place {
        Place::Invited(invitation) => members::take_in(connection, invitation, id, now_ms).await?,
        _ => members::insert_in(connection, (workspace, id), role, now_ms).await?,
    }
    keys::insert_in(connection, (workspace, id), &first_key(), key, now_ms).await?;
    if matches!(place, Place::Own { .. }) {
        write.shared().workspace.push(Workspace {
            id: workspace.cast_unsigned(),
            suspended: false,
        });
    }
    write.commit(now_ms).await?;
    Ok(id)
}

/// Makes a user who exists a member of where it was invited to, with a key for it.
///
/// # Errors
/// Somebody took the invitation; it is a member already; the database's.
pub async fn join(
    store: &Store,
    invitation: &Invitation,
    user: i64,
    key: &NewKey,
    now_ms: i64,
) -> Result<(), MemberError> {
    let mut tx = store.begin().await?;
    members::take_in(&mut tx, invitation, user, now_ms).await?;
    let owner = (invitation.workspace_id, user);
    keys::insert_in(&mut tx, owner, &first_key(), key, now_ms).await?;
    tx.commit().await?;
    Ok(())
}

fn first_key() -> KeyChoice {
    KeyChoice {
        name: "first key".to_owned(),
        scopes: Scopes::usual(),
        rate_per_minute: None,
        expires_at: None,
    }
}

/// A new workspace; `None`: no such plan.
async fn workspace(
    connection: &mut AnyConnection,
    name: &str,
    plan: i64,
    plan_ends_at: Option<i64>,
    now_ms: i64,
) -> sqlx::Result<Option<i64>> {
    let row: Option<(i64,)> = sqlx::query_as(
        "INSERT INTO workspaces (name, plan_id, plan_ends_at, suspended, created_at) \
         SELECT $1, id, $2, 0, $3 FROM plans WHERE id = $4 RETURNING id",
    )
    .bind(name.to_owned())
    .bind(plan_ends_at)
    .bind(now_ms)
    .bind(plan)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(id,)| id))
}

/// Ends a user, and each workspace whose last owner it was: its links stop answering at once, all in one change; its
/// domains are free for others. Rows stay, without personal data: clicks name them, and a slug that was printed somewhere
/// must not become somebody else's. `false`: no such user.
///
/// # Errors
/// The database's.
pub async fn delete(store: &Store, user: i64, now_ms: i64) -> anyhow::Result<bool> {
    let mut write = feed::Write::begin(store).await?;
    let connection = write.connection();
    let done = sqlx::query(
        "UPDATE users SET deleted_at = $1, email = 'deleted-' || id || '@invalid', username = 'deleted-' || id, \
         password_hash = NULL, is_admin = 0 WHERE id = $2 AND deleted_at IS NULL",
    )
    .bind(now_ms)
    .bind(user)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    let places: Vec<(i64,)> =
        sqlx::query_as("SELECT workspace_id FROM members WHERE user_id = $1 ORDER BY workspace_id")
            .bind(user)
            .fetch_all(&mut *connection)
            .await?;
    for (workspace,) in places {
        let connection = write.connection();
        members::lock(connection, workspace).await?;
        sqlx::query("DELETE FROM members WHERE workspace_id = $1 AND user_id = $2")
            .bind(workspace)
            .bind(user)
            .execute(&mut *connection)
            .await?;
        if members::owners(connection, workspace).await? == 0 {
            end_workspace(&mut write, workspace, now_ms).await?;
        }
    }
    let connection = write.connection();
    for sql in [
        "UPDATE api_keys SET revoked_at = $1 WHERE user_id = $2 AND revoked_at IS NULL",
        "UPDATE oauth_grants SET revoked_at = $1 WHERE user_id = $2 AND revoked_at IS NULL",
    ] {
        sqlx::query(sql)
            .bind(now_ms)
            .bind(user)
            .execute(&mut *connection)
            .await?;
    }
    for sql in [
        "DELETE FROM sign_ins WHERE user_id = $1",
        "DELETE FROM sign_in_links WHERE user_id = $1",
    ] {
        sqlx::query(sql)
            .bind(user)
            .execute(&mut *connection)
            .await?;
    }
    write.commit(now_ms).await?;
    Ok(true)
}

async fn end_workspace(write: &mut feed::Write, workspace: i64, now_ms: i64) -> anyhow::Result<()> {
    let connection = write.connection();
    for sql in [
        "UPDATE workspaces SET deleted_at = $1, suspended = 1 WHERE id = $2",
        "UPDATE api_keys SET revoked_at = $1 WHERE workspace_id = $2 AND revoked_at IS NULL",
        "UPDATE oauth_clients SET deleted_at = $1 WHERE workspace_id = $2 AND deleted_at IS NULL",
        "UPDATE oauth_grants SET revoked_at = $1 WHERE revoked_at IS NULL AND (workspace_id = $2 \
         OR oauth_client IN (SELECT id FROM oauth_clients WHERE workspace_id = $2))",
    ] {
        sqlx::query(sql)
            .bind(now_ms)
            .bind(workspace)
            .execute(&mut *connection)
            .await?;
    }
    // As a domain is deleted: its name is free for another workspace, and nobody looks for its proof any more.
    let domains: Vec<(i64,)> = sqlx::query_as(
        "UPDATE domains SET host = name || '#' || CAST(id AS TEXT), is_live = 0, deleted_at = $1, check_at = NULL, \
         verified_at = NULL WHERE workspace_id = $2 AND deleted_at IS NULL RETURNING id",
    )
    .bind(now_ms)
    .bind(workspace)
    .fetch_all(&mut *connection)
    .await?;
    for sql in [
        "DELETE FROM invitations WHERE workspace_id = $1",
        // Editors and viewers who are left: it is nobody's any more.
        "DELETE FROM members WHERE workspace_id = $1",
    ] {
        sqlx::query(sql)
            .bind(workspace)
            .execute(&mut *connection)
            .await?;
    }
    let shared = write.shared();
    shared
        .domain_delete
        .extend(domains.iter().map(|(id,)| entries::domain_number(*id)));
    shared.workspace.push(Workspace {
        id: workspace.cast_unsigned(),
        suspended: true,
    });
    Ok(())
}

/// Who signs in with this address or name: its id and the hash of its password.
///
/// # Errors
/// The database's.
pub async fn credentials(
    store: &Store,
    login: &str,
) -> sqlx::Result<Option<(i64, Option<String>)>> {
    // Names hold no `@`, so no text is one user's name and another's address.
    sqlx::query_as(
        "SELECT id, password_hash FROM users WHERE (email = $1 OR username = $1) AND deleted_at IS NULL",
    )
    .bind(login.to_owned())
    .fetch_optional(store.readers())
    .await
}

/// The plan that new users get when none is named.
pub const DEFAULT_PLAN: i64 = FREE;
