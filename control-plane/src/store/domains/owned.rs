//! Domains of workspaces: claimed, proved, changed, deleted. The states are at the top of [`super`].

use sqlx::Row as _;

use super::Domain;
use crate::domain::domain_name::DomainName;
use crate::domain::plan::{Limit, PlanRefusal};
use crate::store::plans::{self, PlanError};
use crate::store::{Store, feed};

/// A domain to be added.
#[derive(Debug, Clone)]
pub struct NewClaim<'a> {
    /// Its name and base URL.
    pub name: &'a DomainName,
    /// 302 from `/`; empty: our page.
    pub root_url: &'a str,
    /// 302 from an unknown path; empty: our page.
    pub not_found_url: &'a str,
    /// A token, if the workspace has none for this name yet.
    pub token: &'a str,
    /// No proof is asked for: it is live at once.
    pub live: bool,
}

/// What became of a new domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adding {
    /// It is there.
    Added(Box<Domain>),
    /// The workspace has it already.
    Has,
    /// It is another's, and proved.
    Taken,
    /// The plan allows no more.
    Refused(PlanRefusal),
}

/// What became of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// It is live.
    Live(Box<Domain>),
    /// There is no such domain any more.
    Gone,
    /// Another workspace has proved it before.
    HeldByAnother,
}

/// Number of domains of a workspace.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store, workspace: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM domains WHERE workspace_id = $1 AND deleted_at IS NULL",
    )
    .bind(workspace)
    .fetch_one(store.readers())
    .await?;
    Ok(count)
}

/// Domains of a workspace, newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<Vec<Domain>> {
    sqlx::query_as(
        "SELECT * FROM domains WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await
}

/// The domain of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, workspace: i64, id: i64) -> sqlx::Result<Option<Domain>> {
    sqlx::query_as(
        "SELECT * FROM domains WHERE id = $1 AND workspace_id = $2 AND deleted_at IS NULL",
    )
    .bind(id)
    .bind(workspace)
    .fetch_optional(store.readers())
    .await
}

/// Claims whose next look is due, the longest due first.
///
/// # Errors
/// The database's.
pub async fn due(store: &Store, now_ms: i64, limit: i64) -> sqlx::Result<Vec<Domain>> {
    sqlx::query_as("SELECT * FROM domains WHERE check_at <= $1 ORDER BY check_at LIMIT $2")
        .bind(now_ms)
        .bind(limit)
        .fetch_all(store.readers())
        .await
}

/// Puts off the next look at a claim that is due, unless somebody else, another control plane perhaps, was first. `false`: so
/// it was, and looks at it.
///
/// # Errors
/// The database's.
pub async fn claim_look(store: &Store, due: &Domain, next_ms: i64) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("UPDATE domains SET check_at = $1 WHERE id = $2 AND check_at = $3")
        .bind(next_ms)
        .bind(due.id)
        .bind(due.claim.check_at)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// Adds a domain, or brings back one that the workspace deleted, with its links and its token.
///
/// # Errors
/// The database's.
pub async fn add(
    store: &Store,
    workspace: i64,
    new: &NewClaim<'_>,
    now_ms: i64,
) -> anyhow::Result<Adding> {
    let mut write = feed::Write::begin(store).await?;
    let held = sqlx::query("SELECT workspace_id FROM domains WHERE host = $1")
        .bind(new.name.host.clone())
        .fetch_optional(write.connection())
        .await?;
    if let Some(row) = held {
        let owner: Option<i64> = row.try_get("workspace_id")?;
        return Ok(if owner == Some(workspace) {
            Adding::Has
        } else {
            Adding::Taken
        });
    }
    match plans::check(write.connection(), workspace, Limit::Domains, 1, now_ms).await {
        Ok(()) => {}
        Err(PlanError::Refused(refusal)) => return Ok(Adding::Refused(refusal)),
        Err(PlanError::Failed(error)) => return Err(error.into()),
    }
    let deleted: Option<(i64,)> = sqlx::query_as(
        "UPDATE domains SET deleted_at = NULL, base_url = $1, root_url = $2, not_found_url = $3, check_at = $4, \
         checked_at = NULL, check_failures = 0, check_error = '' \
         WHERE workspace_id = $5 AND name = $6 AND deleted_at IS NOT NULL RETURNING id",
    )
    .bind(new.name.base_url.clone())
    .bind(new.root_url.to_owned())
    .bind(new.not_found_url.to_owned())
    .bind(now_ms)
    .bind(workspace)
    .bind(new.name.host.clone())
    .fetch_optional(write.connection())
    .await?;
    let id = match deleted {
        Some((id,)) => id,
        None => match insert(&mut write, workspace, new, now_ms).await? {
            Some(id) => id,
            None => return Ok(Adding::Has),
        },
    };
    let domain = if new.live {
        match take_name(&mut write, id, now_ms).await? {
            Verified::Live(domain) => *domain,
            Verified::Gone | Verified::HeldByAnother => return Ok(Adding::Taken),
        }
    } else {
        sqlx::query_as("SELECT * FROM domains WHERE id = $1")
            .bind(id)
            .fetch_one(write.connection())
            .await?
    };
    write.commit(now_ms).await?;
    Ok(Adding::Added(Box::new(domain)))
}

/// `None`: the workspace claims the name already.
async fn insert(
    write: &mut feed::Write,
    workspace: i64,
    new: &NewClaim<'_>,
    now_ms: i64,
) -> sqlx::Result<Option<i64>> {
    // The token stands in for the id until there is one: neither is part of any host.
    let row: Option<(i64,)> = sqlx::query_as(
        "INSERT INTO domains (workspace_id, host, name, base_url, root_url, not_found_url, is_live, is_default, \
         created_at, check_token, check_at) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, $8, $7) \
         ON CONFLICT (workspace_id, name) DO NOTHING RETURNING id",
    )
    .bind(workspace)
    .bind(format!("{}#{}", new.name.host, new.token))
    .bind(new.name.host.clone())
    .bind(new.name.base_url.clone())
    .bind(new.root_url.to_owned())
    .bind(new.not_found_url.to_owned())
    .bind(now_ms)
    .bind(new.token.to_owned())
    .fetch_optional(write.connection())
    .await?;
    let Some((id,)) = row else {
        return Ok(None);
    };
    sqlx::query("UPDATE domains SET host = $1 WHERE id = $2")
        .bind(format!("{}#{id}", new.name.host))
        .bind(id)
        .execute(write.connection())
        .await?;
    Ok(Some(id))
}

/// Makes a claimed domain live: its proof was seen. Proxies hear of it at once.
///
/// # Errors
/// The database's.
pub async fn make_live(store: &Store, id: i64, now_ms: i64) -> anyhow::Result<Verified> {
    let mut write = feed::Write::begin(store).await?;
    let verified = take_name(&mut write, id, now_ms).await?;
    if matches!(verified, Verified::Live(_)) {
        write.commit(now_ms).await?;
    }
    Ok(verified)
}

/// After anything but [`Verified::Live`] the transaction is of no more use.
async fn take_name(write: &mut feed::Write, id: i64, now_ms: i64) -> sqlx::Result<Verified> {
    let row: sqlx::Result<Option<Domain>> = sqlx::query_as(
        "UPDATE domains SET host = name, is_live = 1, verified_at = $1, checked_at = $1, check_at = NULL, \
         check_failures = 0, check_error = '' WHERE id = $2 AND deleted_at IS NULL RETURNING *",
    )
    .bind(now_ms)
    .bind(id)
    .fetch_optional(write.connection())
    .await;
    match row {
        Ok(Some(domain)) => {
            write.shared().domain.push(domain.to_feed());
            Ok(Verified::Live(Box::new(domain)))
        }
        Ok(None) => Ok(Verified::Gone),
        Err(error) if crate::store::is_unique_violation(&error) => Ok(Verified::HeldByAnother),
        Err(error) => Err(error),
    }
}

/// Notes a look that found no proof.
///
/// # Errors
/// The database's.
pub async fn note_look(store: &Store, id: i64, claim: &super::Claim) -> sqlx::Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "UPDATE domains SET check_at = $1, checked_at = $2, check_failures = $3, check_error = $4 \
         WHERE id = $5 AND is_live = 0 AND deleted_at IS NULL",
    )
    .bind(claim.check_at)
    .bind(claim.checked_at)
    .bind(claim.failures)
    .bind(claim.error.clone())
    .bind(id)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Changes where `/` and unknown paths lead; `None` leaves it. Visitors of a live domain go there at once. `false`: there
/// is no such domain.
///
/// # Errors
/// The database's.
pub async fn update(
    store: &Store,
    (workspace, id): (i64, i64),
    root_url: Option<&str>,
    not_found_url: Option<&str>,
    now_ms: i64,
) -> anyhow::Result<bool> {
    let mut write = feed::Write::begin(store).await?;
    let row: Option<Domain> = sqlx::query_as(
        "UPDATE domains SET root_url = COALESCE($1, root_url), not_found_url = COALESCE($2, not_found_url), \
         updated_at = $5 WHERE id = $3 AND workspace_id = $4 AND deleted_at IS NULL RETURNING *",
    )
    .bind(root_url.map(str::to_owned))
    .bind(not_found_url.map(str::to_owned))
    .bind(id)
    .bind(workspace)
    .bind(now_ms)
    .fetch_optional(write.connection())
    .await?;
    let Some(domain) = row else {
        return Ok(false);
    };
    if domain.is_live {
        write.shared().domain.push(domain.to_feed());
    }
    write.commit(now_ms).await?;
    Ok(true)
}

/// Deletes a domain: visitors on it get 404 from now on, its links stay. However many links it has, this is one row.
/// `false`: there is none.
///
/// # Errors
/// The database's.
pub async fn delete(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> anyhow::Result<bool> {
    let mut write = feed::Write::begin(store).await?;
    let row = sqlx::query(
        "UPDATE domains SET host = name || '#' || CAST(id AS TEXT), is_live = 0, deleted_at = $1, check_at = NULL, \
         verified_at = NULL WHERE id = $2 AND workspace_id = $3 AND deleted_at IS NULL AND is_default = 0 RETURNING id",
    )
    .bind(now_ms)
    .bind(id)
    .bind(workspace)
    .fetch_optional(write.connection())
    .await?;
    if row.is_none() {
        return Ok(false);
    }
    // A claim was never there, but to say so again is harmless.
    write
        .shared()
        .domain_delete
        .push(u32::try_from(id).unwrap_or(u32::MAX));
    write.commit(now_ms).await?;
    Ok(true)
}
