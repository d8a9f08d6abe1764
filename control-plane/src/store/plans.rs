//! Plans, and the check of a workspace's limits inside the transaction that makes a thing.
//!
//! ```text
//! let mut tx = store.begin().await?;
//! plans::check(&mut tx, workspace, Limit::Domains, 1, now_ms).await?;
//! plans::need(&mut tx, workspace, Feature::Qr, now_ms).await?;
//! …the INSERT…
//! ```
//!
//! Call it before any other statement of the transaction that locks rows: where a plan limits something, the check locks
//! the workspace's row until the transaction ends, so that two calls cannot both take the last place. Where the plan
//! limits nothing, nothing is locked or counted.
//!
//! Of a thing whose amount this file cannot count (bytes of files) the caller takes [`allowance`] and counts itself:
//! `plans::allowance(…, Limit::FileBytes, …).await?.take(used, more)?`.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow, Row as _};

use super::Store;
use crate::domain::plan::{
    Allowance, FREE, Feature, Features, Limit, Limits, Plan, PlanRefusal, Prices,
};

/// The plan does not allow it, or the database failed.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The plan's.
    #[error(transparent)]
    Refused(#[from] PlanRefusal),
    /// The database's.
    #[error(transparent)]
    Failed(#[from] sqlx::Error),
}

impl<'r> FromRow<'r, AnyRow> for Plan {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let features: String = row.try_get("features")?;
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            is_free: row.try_get::<i64, _>("is_free")? != 0,
            prices: Prices {
                monthly: row.try_get("price_monthly")?,
                yearly: row.try_get("price_yearly")?,
                lifetime: row.try_get("price_lifetime")?,
            },
            limits: Limits {
                rate_per_minute: row.try_get("rate_per_minute")?,
                links: row.try_get("max_links")?,
                clicks: row.try_get("max_clicks")?,
                domains: row.try_get("max_domains")?,
                members: row.try_get("max_members")?,
                qr_codes: row.try_get("max_qr_codes")?,
                file_bytes: row.try_get("max_file_bytes")?,
                file_size: row.try_get("max_file_size")?,
                features: Features::stored(&features),
            },
        })
    }
}

/// SQL for the plan in force of workspace `w`, as table `p`: the free one after the end of its own. `$now` names the
/// parameter that holds the time.
pub(super) fn join_in_force(now: &str) -> String {
    format!(
        "JOIN plans p ON p.id = CASE WHEN w.plan_ends_at <= {now} THEN {FREE} ELSE w.plan_id END"
    )
}

/// The plan in force of a workspace.
///
/// # Errors
/// The database's; there is no such workspace.
pub async fn in_force(
    connection: &mut AnyConnection,
    workspace: i64,
    now_ms: i64,
) -> sqlx::Result<Plan> {
    let sql = format!(
        "SELECT p.* FROM workspaces w {} WHERE w.id = $1",
        join_in_force("$2")
    );
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(workspace)
        .bind(now_ms)
        .fetch_one(connection)
        .await
}

/// The plan in force and, where it limits it, how many of what `limit` counts the workspace has, which is locked then until
/// the transaction ends; else 0.
///
/// # Errors
/// The database's; there is no such workspace.
pub(super) async fn counted(
    connection: &mut AnyConnection,
    workspace: i64,
    limit: Limit,
    now_ms: i64,
) -> sqlx::Result<(Plan, i64)> {
    let plan = in_force(connection, workspace, now_ms).await?;
    if plan.allowance(limit).is_unlimited() {
        return Ok((plan, 0));
    }
    lock(connection, workspace).await?;
    let used = used(connection, workspace, limit, now_ms).await?;
    Ok((plan, used))
}

/// Both engines lock a row that is written, and neither minds that nothing changes.
async fn lock(connection: &mut AnyConnection, workspace: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE workspaces SET plan_id = plan_id WHERE id = $1")
        .bind(workspace)
        .execute(connection)
        .await?;
    Ok(())
}

/// What the plan in force says of one limit; where it limits, the workspace is locked until the transaction ends.
///
/// # Errors
/// The database's; there is no such workspace.
pub async fn allowance(
    connection: &mut AnyConnection,
    workspace: i64,
    limit: Limit,
    now_ms: i64,
) -> sqlx::Result<Allowance> {
    let allowance = in_force(connection, workspace, now_ms)
        .await?
        .allowance(limit);
    if allowance.is_unlimited() {
        return Ok(allowance);
    }
    lock(connection, workspace).await?;
    Ok(allowance)
}

/// Whether the workspace may have `more` of what `limit` counts (links, domains, members, QR codes).
///
/// # Errors
/// [`PlanError::Refused`] when that is more than the plan in force allows.
pub async fn check(
    connection: &mut AnyConnection,
    workspace: i64,
    limit: Limit,
    more: i64,
    now_ms: i64,
) -> Result<(), PlanError> {
    let allowance = allowance(connection, workspace, limit, now_ms).await?;
    if allowance.is_unlimited() {
        return Ok(());
    }
    let used = used(connection, workspace, limit, now_ms).await?;
    Ok(allowance.take(used, more)?)
}

/// Whether the plan in force includes `feature`.
///
/// # Errors
/// [`PlanError::Refused`] when it does not.
pub async fn need(
    connection: &mut AnyConnection,
    workspace: i64,
    feature: Feature,
    now_ms: i64,
) -> Result<(), PlanError> {
    let plan = in_force(connection, workspace, now_ms).await?;
    Ok(plan.need(feature)?)
}

/// Whether the plan in force allows a file of this many bytes.
///
/// # Errors
/// [`PlanError::Refused`] when it allows smaller ones only.
pub async fn check_file(
    connection: &mut AnyConnection,
    workspace: i64,
    bytes: u64,
    now_ms: i64,
) -> Result<(), PlanError> {
    let plan = in_force(connection, workspace, now_ms).await?;
    Ok(plan.take_file(bytes)?)
}

/// How many links, domains, members or QR codes a workspace has; an invitation that is open takes a member's place.
///
/// # Errors
/// The database's; a limit that is not counted here.
pub(crate) async fn used(
    connection: &mut AnyConnection,
    workspace: i64,
    limit: Limit,
    now_ms: i64,
) -> sqlx::Result<i64> {
    let sql = match limit {
        Limit::Links => "SELECT COUNT(*) FROM links WHERE workspace_id = $1 AND kind = 0",
        Limit::QrCodes => "SELECT COUNT(*) FROM qr_codes WHERE workspace_id = $1",
        Limit::Domains => {
            "SELECT COUNT(*) FROM domains WHERE workspace_id = $1 AND deleted_at IS NULL"
        }
        Limit::Members => {
            "SELECT (SELECT COUNT(*) FROM members WHERE workspace_id = $1) \
             + (SELECT COUNT(*) FROM invitations WHERE workspace_id = $1 AND expires_at > $2)"
        }
        Limit::ClicksPerMonth | Limit::FileBytes => {
            return Err(sqlx::Error::Protocol(format!(
                "{} are not counted here, see `allowance`",
                limit.unit()
            )));
        }
    };
    let mut query = sqlx::query_as(sql).bind(workspace);
    if limit == Limit::Members {
        query = query.bind(now_ms);
    }
    let (count,): (i64,) = query.fetch_one(connection).await?;
    Ok(count)
}

/// All plans, by id.
///
/// # Errors
/// The database's.
pub async fn all(store: &Store) -> sqlx::Result<Vec<Plan>> {
    sqlx::query_as("SELECT * FROM plans ORDER BY id")
        .fetch_all(store.readers())
        .await
}

/// The plan of this id.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, id: i64) -> sqlx::Result<Option<Plan>> {
    sqlx::query_as("SELECT * FROM plans WHERE id = $1")
        .bind(id)
        .fetch_optional(store.readers())
        .await
}

/// Why a plan was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another plan has the name.
    #[error("another plan has this name")]
    NameTaken,
    /// Workspaces have it.
    #[error("{0} workspaces have this plan")]
    InUse(i64),
    /// No such plan.
    #[error("no such plan")]
    NotFound,
    /// The database's.
    #[error(transparent)]
    Failed(#[from] sqlx::Error),
}

/// Adds a plan and returns its id; `plan.id` is not looked at.
///
/// # Errors
/// Its name is taken; the database's.
pub async fn add(store: &Store, plan: &Plan) -> Result<i64, WriteError> {
    let mut tx = store.begin().await?;
    // Ids are not drawn by the database: two at once wait here for each other.
    sqlx::query("UPDATE plans SET id = id WHERE id = $1")
        .bind(FREE)
        .execute(&mut *tx)
        .await?;
    let query = sqlx::query_as(
        "INSERT INTO plans (name, is_free, price_monthly, price_yearly, price_lifetime, rate_per_minute, max_links, \
         max_clicks, max_domains, max_members, max_file_bytes, features, max_qr_codes, max_file_size, id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, (SELECT MAX(id) + 1 FROM plans)) RETURNING id",
    );
    let limits = &plan.limits;
    let added: sqlx::Result<(i64,)> = query
        .bind(plan.name.clone())
        .bind(i64::from(plan.is_free))
        .bind(plan.prices.monthly)
        .bind(plan.prices.yearly)
        .bind(plan.prices.lifetime)
        .bind(limits.rate_per_minute)
        .bind(limits.links)
        .bind(limits.clicks)
        .bind(limits.domains)
        .bind(limits.members)
        .bind(limits.file_bytes)
        .bind(limits.features.to_text())
        .bind(limits.qr_codes)
        .bind(limits.file_size)
        .fetch_one(&mut *tx)
        .await;
    let (id,) = added.map_err(name_taken)?;
    tx.commit().await?;
    Ok(id)
}

/// Writes a plan over the one of its id. It holds for every workspace that has it, at once.
///
/// # Errors
/// No such plan; its name is taken; the database's.
pub async fn update(store: &Store, plan: &Plan) -> Result<(), WriteError> {
    let mut tx = store.begin().await?;
    let limits = &plan.limits;
    let done = sqlx::query(
        "UPDATE plans SET name = $1, is_free = $2, price_monthly = $3, price_yearly = $4, price_lifetime = $5, \
         rate_per_minute = $6, max_links = $7, max_clicks = $8, max_domains = $9, max_members = $10, \
         max_file_bytes = $11, features = $12, max_qr_codes = $13, max_file_size = $14 WHERE id = $15",
    )
    .bind(plan.name.clone())
    .bind(i64::from(plan.is_free))
    .bind(plan.prices.monthly)
    .bind(plan.prices.yearly)
    .bind(plan.prices.lifetime)
    .bind(limits.rate_per_minute)
    .bind(limits.links)
    .bind(limits.clicks)
    .bind(limits.domains)
    .bind(limits.members)
    .bind(limits.file_bytes)
    .bind(limits.features.to_text())
    .bind(limits.qr_codes)
    .bind(limits.file_size)
    .bind(plan.id)
    .execute(&mut *tx)
    .await
    .map_err(name_taken)?;
    if done.rows_affected() == 0 {
        return Err(WriteError::NotFound);
    }
    tx.commit().await?;
    Ok(())
}

/// Deletes a plan that no workspace has.
///
/// # Errors
/// It is the free one or workspaces have it; no such plan; the database's.
pub async fn delete(store: &Store, id: i64) -> Result<(), WriteError> {
    let mut tx = store.begin().await?;
    let (having,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM workspaces WHERE plan_id = $1")
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
    if having > 0 {
        return Err(WriteError::InUse(having));
    }
    let done = sqlx::query("DELETE FROM plans WHERE id = $1")
        .bind(id)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        return Err(WriteError::NotFound);
    }
    tx.commit().await?;
    Ok(())
}

/// Puts a workspace on a plan until `ends_at` (milliseconds since 1970; `None`: without end). `false`: no such workspace or
/// plan.
///
/// # Errors
/// The database's.
pub async fn assign(
    store: &Store,
    workspace: i64,
    plan: i64,
    ends_at: Option<i64>,
) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "UPDATE workspaces SET plan_id = $1, plan_ends_at = $2 \
         WHERE id = $3 AND EXISTS (SELECT 1 FROM plans WHERE id = $1)",
    )
    .bind(plan)
    .bind(ends_at)
    .bind(workspace)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}

fn name_taken(error: sqlx::Error) -> WriteError {
    if super::is_unique_violation(&error) {
        WriteError::NameTaken
    } else {
        error.into()
    }
}
