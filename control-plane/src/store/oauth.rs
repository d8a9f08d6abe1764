//! Apps and what users allowed them. Codes, tokens and secrets are here as their hash.
//!
//! A grant is what a user allowed once. The code and every token that comes of it name it, so a code or a refresh token
//! that is used twice ends all of them with one update: one of the two users stole it, and nobody can tell which.

use sqlx::{AnyConnection, AssertSqlSafe, FromRow as _, Row as _};

use super::keys::KeyRow;
use super::{Store, plans};
use crate::domain::key::{NewKey, Scopes};

mod allowed;
mod clients;

pub use allowed::{Allowed, allowed, disallow};
pub use clients::{
    Client, NewClient, add_client, clients, delete_client, find_client, rotate_secret,
};

/// What a user allows.
#[derive(Debug, Clone)]
pub struct Permission<'a> {
    /// [`Client::id`]
    pub client: i64,
    /// Who allows it.
    pub user: i64,
    /// In which workspace.
    pub workspace: i64,
    /// What.
    pub scopes: &'a Scopes,
}

/// A code that is to be exchanged.
#[derive(Debug, Clone, Copy)]
pub struct NewCode<'a> {
    /// The code.
    pub secret: &'a NewKey,
    /// Where it goes, if the request said so.
    pub redirect_uri: &'a str,
    /// PKCE.
    pub challenge: Option<&'a str>,
    /// Until when, milliseconds since 1970.
    pub expires_at: i64,
}

/// A token that is to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// The token.
    pub secret: &'a NewKey,
    /// Until when, milliseconds since 1970.
    pub expires_at: i64,
}

/// What became of a code or refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// New tokens are stored, with these scopes.
    Done(Scopes),
    /// Unknown, expired, revoked, or another client's.
    Unknown,
    /// Used before: everything that came of it is revoked now.
    Replayed,
    /// The caller's check failed. A code is used up by that, a refresh token is not.
    Refused,
}

/// The tokens that come of an exchange.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// For calls.
    pub access: NewToken<'a>,
    /// For the next exchange.
    pub refresh: NewToken<'a>,
}

/// Notes what a user allows, with the code for it. `false`: it is no member of the workspace.
///
/// # Errors
/// The database's.
pub async fn allow(
    store: &Store,
    permission: &Permission<'_>,
    code: NewCode<'_>,
    now_ms: i64,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let Some(grant) = insert_grant(&mut tx, permission, now_ms).await? else {
        return Ok(false);
    };
    sqlx::query(
        "INSERT INTO oauth_codes (hash, grant_id, redirect_uri, challenge, expires_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(code.secret.hash.to_vec())
    .bind(grant)
    .bind(code.redirect_uri.to_owned())
    .bind(code.challenge.map(str::to_owned))
    .bind(code.expires_at)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Exchanges a code of this client once. `check` is asked about the redirect URI and challenge that came with it.
///
/// # Errors
/// The database's.
pub async fn redeem(
    store: &Store,
    client: i64,
    code: &[u8; 32],
    check: impl FnOnce(&str, Option<&str>) -> bool,
    tokens: Tokens<'_>,
    now_ms: i64,
) -> sqlx::Result<Exchange> {
    let mut tx = store.begin().await?;
    let row: Option<(i64, String, Option<String>, i64)> = sqlx::query_as(
        "UPDATE oauth_codes SET used_at = $1 WHERE hash = $2 AND used_at IS NULL \
         AND grant_id IN (SELECT id FROM oauth_grants WHERE oauth_client = $3 AND revoked_at IS NULL) \
         RETURNING grant_id, redirect_uri, challenge, expires_at",
    )
    .bind(now_ms)
    .bind(code.to_vec())
    .bind(client)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((grant, redirect_uri, challenge, expires_at)) = row else {
        let used: Option<(i64,)> = sqlx::query_as(
            "SELECT g.id FROM oauth_codes c JOIN oauth_grants g ON g.id = c.grant_id \
             WHERE c.hash = $1 AND c.used_at IS NOT NULL AND g.oauth_client = $2",
        )
        .bind(code.to_vec())
        .bind(client)
        .fetch_optional(&mut *tx)
        .await?;
        return replayed(tx, used, now_ms).await;
    };
    let outcome = if expires_at <= now_ms {
        Exchange::Unknown
    } else if check(&redirect_uri, challenge.as_deref()) {
        let scopes = scopes_of(&mut tx, grant).await?;
        insert_token(
            &mut tx,
            grant,
            &scopes,
            tokens.access,
            IsRefresh::No,
            now_ms,
        )
        .await?;
        insert_token(
            &mut tx,
            grant,
            &scopes,
            tokens.refresh,
            IsRefresh::Yes,
            now_ms,
        )
        .await?;
        Exchange::Done(scopes)
    } else {
        Exchange::Refused
    };
    tx.commit().await?;
    Ok(outcome)
}

/// Exchanges a refresh token of this client once. `narrow` makes the new access token's scopes of the grant's; `None`
/// refuses.
///
/// # Errors
/// The database's.
pub async fn refresh(
    store: &Store,
    client: i64,
    token: &[u8; 32],
    narrow: impl FnOnce(&Scopes) -> Option<Scopes>,
    tokens: Tokens<'_>,
    now_ms: i64,
) -> sqlx::Result<Exchange> {
    let mut tx = store.begin().await?;
    let row: Option<(i64, Option<i64>)> = sqlx::query_as(
        "SELECT g.id, t.used_at FROM oauth_tokens t JOIN oauth_grants g ON g.id = t.grant_id \
         WHERE t.hash = $1 AND t.is_refresh = 1 AND t.revoked_at IS NULL AND t.expires_at > $2 \
         AND g.oauth_client = $3 AND g.revoked_at IS NULL",
    )
    .bind(token.to_vec())
    .bind(now_ms)
    .bind(client)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((grant, None)) = row else {
        return replayed(tx, row.map(|(grant, _)| (grant,)), now_ms).await;
    };
    let whole = scopes_of(&mut tx, grant).await?;
    let Some(scopes) = narrow(&whole) else {
        return Ok(Exchange::Refused);
    };
    // Of two at once one finds it used.
    let done =
        sqlx::query("UPDATE oauth_tokens SET used_at = $1 WHERE hash = $2 AND used_at IS NULL")
            .bind(now_ms)
            .bind(token.to_vec())
            .execute(&mut *tx)
            .await?;
    if done.rows_affected() == 0 {
        return replayed(tx, Some((grant,)), now_ms).await;
    }
    insert_token(
        &mut tx,
        grant,
        &scopes,
        tokens.access,
        IsRefresh::No,
        now_ms,
    )
    .await?;
    insert_token(
        &mut tx,
        grant,
        &whole,
        tokens.refresh,
        IsRefresh::Yes,
        now_ms,
    )
    .await?;
    tx.commit().await?;
    Ok(Exchange::Done(scopes))
}

/// An access token for a client itself: it acts as the user who registered it. `false`: that user is no member any more.
///
/// # Errors
/// The database's.
pub async fn issue(
    store: &Store,
    permission: &Permission<'_>,
    token: NewToken<'_>,
    now_ms: i64,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let Some(grant) = insert_grant(&mut tx, permission, now_ms).await? else {
        return Ok(false);
    };
    insert_token(
        &mut tx,
        grant,
        permission.scopes,
        token,
        IsRefresh::No,
        now_ms,
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// The id of the app and, as the row of a key, the access token with this hash.
///
/// # Errors
/// The database's.
pub async fn by_access_token(
    store: &Store,
    hash: &[u8; 32],
    now_ms: i64,
) -> sqlx::Result<Option<(i64, KeyRow)>> {
    let plan = plans::join_in_force("$2");
    let sql = format!(
        "SELECT CAST(0 AS BIGINT) AS id, g.workspace_id, g.user_id, c.name, '' AS prefix, t.scopes, \
         CAST(NULL AS BIGINT) AS rate_per_minute, t.expires_at, \
         COALESCE(t.revoked_at, g.revoked_at, c.deleted_at) AS revoked_at, t.created_at, p.id AS plan_id, \
         p.is_free AS plan_is_free, p.rate_per_minute AS plan_rate, m.role, CAST(0 AS BIGINT) AS is_admin, c.id AS client \
         FROM oauth_tokens t JOIN oauth_grants g ON g.id = t.grant_id JOIN oauth_clients c ON c.id = g.oauth_client \
         JOIN workspaces w ON w.id = g.workspace_id \
         LEFT JOIN members m ON m.workspace_id = g.workspace_id AND m.user_id = g.user_id {plan} \
         WHERE t.hash = $1 AND t.is_refresh = 0"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(hash.to_vec())
        .bind(now_ms)
        .fetch_optional(store.readers())
        .await?;
    row.map(|row| Ok((row.try_get("client")?, KeyRow::from_row(&row)?)))
        .transpose()
}

/// Whose token a client wants to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// It is revoked, or was never one.
    Done,
    /// Another client's; nothing has happened.
    Foreign,
}

/// Revokes a token of this client: an access token alone, with a refresh token everything of its grant.
///
/// # Errors
/// The database's.
pub async fn revoke(
    store: &Store,
    client: i64,
    token: &[u8; 32],
    now_ms: i64,
) -> sqlx::Result<Revocation> {
    let mut tx = store.begin().await?;
    let row: Option<(i64, i64, i64)> = sqlx::query_as(
        "SELECT g.id, g.oauth_client, t.is_refresh FROM oauth_tokens t JOIN oauth_grants g ON g.id = t.grant_id \
         WHERE t.hash = $1",
    )
    .bind(token.to_vec())
    .fetch_optional(&mut *tx)
    .await?;
    match row {
        None => return Ok(Revocation::Done),
        Some((_, owner, _)) if owner != client => return Ok(Revocation::Foreign),
        Some((grant, _, 1)) => end_grant(&mut tx, grant, now_ms).await?,
        Some(_) => {
            sqlx::query("UPDATE oauth_tokens SET revoked_at = $1 WHERE hash = $2")
                .bind(now_ms)
                .bind(token.to_vec())
                .execute(&mut *tx)
                .await?;
        }
    }
    tx.commit().await?;
    Ok(Revocation::Done)
}

/// Forgets codes and tokens that are over, and grants that nothing is left of; how many rows that were.
///
/// # Errors
/// The database's.
pub async fn clean(store: &Store, now_ms: i64) -> sqlx::Result<u64> {
    let mut tx = store.begin().await?;
    let mut rows = 0;
    for sql in [
        // A code outlives its minute as long as tokens of it may work: so a second use is noticed.
        "DELETE FROM oauth_tokens WHERE expires_at <= $1",
        "DELETE FROM oauth_codes WHERE expires_at <= $1 AND NOT EXISTS (SELECT 1 FROM oauth_tokens t WHERE t.grant_id = oauth_codes.grant_id)",
        "DELETE FROM oauth_grants WHERE created_at < $1 AND NOT EXISTS (SELECT 1 FROM oauth_tokens t WHERE t.grant_id = oauth_grants.id) \
         AND NOT EXISTS (SELECT 1 FROM oauth_codes c WHERE c.grant_id = oauth_grants.id)",
    ] {
        let done = sqlx::query(sql).bind(now_ms).execute(&mut *tx).await?;
        rows += done.rows_affected();
    }
    tx.commit().await?;
    Ok(rows)
}

/// A used code or refresh token ends its grant, and that is committed.
async fn replayed(
    mut tx: sqlx::Transaction<'static, sqlx::Any>,
    grant: Option<(i64,)>,
    now_ms: i64,
) -> sqlx::Result<Exchange> {
    let Some((grant,)) = grant else {
        return Ok(Exchange::Unknown);
    };
    end_grant(&mut tx, grant, now_ms).await?;
    tx.commit().await?;
    Ok(Exchange::Replayed)
}

async fn end_grant(connection: &mut AnyConnection, grant: i64, now_ms: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE oauth_grants SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
        .bind(now_ms)
        .bind(grant)
        .execute(connection)
        .await?;
    Ok(())
}

/// `None`: the user is no member of the workspace.
async fn insert_grant(
    connection: &mut AnyConnection,
    permission: &Permission<'_>,
    now_ms: i64,
) -> sqlx::Result<Option<i64>> {
    let row: Option<(i64,)> = sqlx::query_as(
        "INSERT INTO oauth_grants (oauth_client, workspace_id, user_id, scopes, created_at) \
         SELECT $1, workspace_id, user_id, $2, $3 FROM members WHERE workspace_id = $4 AND user_id = $5 RETURNING id",
    )
    .bind(permission.client)
    .bind(permission.scopes.names().join(","))
    .bind(now_ms)
    .bind(permission.workspace)
    .bind(permission.user)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(id,)| id))
}

#[derive(Debug, Clone, Copy)]
enum IsRefresh {
    No,
    Yes,
}

async fn insert_token(
    connection: &mut AnyConnection,
    grant: i64,
    scopes: &Scopes,
    token: NewToken<'_>,
    is_refresh: IsRefresh,
    now_ms: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO oauth_tokens (hash, grant_id, is_refresh, scopes, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(token.secret.hash.to_vec())
    .bind(grant)
    .bind(is_refresh as i64)
    .bind(scopes.names().join(","))
    .bind(token.expires_at)
    .bind(now_ms)
    .execute(connection)
    .await?;
    Ok(())
}

async fn scopes_of(connection: &mut AnyConnection, grant: i64) -> sqlx::Result<Scopes> {
    let (scopes,): (String,) = sqlx::query_as("SELECT scopes FROM oauth_grants WHERE id = $1")
        .bind(grant)
        .fetch_one(connection)
        .await?;
    Ok(stored_scopes(&scopes))
}

/// What this version does not know gives no right.
fn stored_scopes(text: &str) -> Scopes {
    Scopes::parse(text.split(',')).unwrap_or_default()
}
