//! What of a plan is used, and how each of its limits holds.
//!
//! | limit | where it is counted | refused |
//! | --- | --- | --- |
//! | links, domains, members, QR codes | [`plans::check`]`(connection, workspace, limit, more, now_ms)` in the transaction that makes them | by the call |
//! | bytes of files | `plans::allowance(connection, workspace, Limit::FileBytes, now_ms).await?.take(used, more)?`, and `used` counted after it in the same transaction: from there on the workspace is locked | by the upload |
//! | features | [`plans::need`]`(connection, workspace, feature, now_ms)` | by the call |
//! | calls a minute | [`crate::rate`], a number that comes with the key | 429 |
//! | clicks a month | here | by `/stats` |
//!
//! What was there before the plan became smaller stays.
//!
//! Clicks are counted in ClickHouse when somebody asks and the last count is older than [`COUNT_EVERY_MS`]: a workspace that
//! nobody looks at costs nothing, and a limit is noticed within that time. Beyond the limit links go on redirecting and
//! clicks are stored as ever; `/stats` is closed until the month or the plan changes, and then shows everything.

use dashmap::DashMap;

use crate::app::App;
use crate::domain::plan::{Limit, Plan};
use crate::domain::user::month_begin;
use crate::error::ApiError;
use crate::store::plans;

/// How old a count may be, in milliseconds.
const COUNT_EVERY_MS: i64 = 5 * 60_000;

/// Counts kept; the next one empties the table. Some megabytes.
const MAX_COUNTS: usize = 100_000;

#[derive(Debug, Clone, Copy)]
struct Count {
    month: i64,
    counted_at: i64,
    clicks: i64,
}

/// Counts by workspace.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    counts: DashMap<i64, Count>,
}

/// Clicks of a workspace this month, bots left out, at most [`COUNT_EVERY_MS`] old.
///
/// # Errors
/// ClickHouse is not there.
pub(crate) async fn clicks(app: &App, workspace: i64) -> Result<i64, ApiError> {
    let now_ms = app.clock.now_ms();
    let month = month_begin(now_ms);
    let known = app.usage.counts.get(&workspace).map(|count| *count);
    if let Some(count) = known
        && count.month == month
        && (0..COUNT_EVERY_MS).contains(&(now_ms - count.counted_at))
    {
        return Ok(count.clicks);
    }
    let clicks = app
        .stats
        .clicks_since(workspace.cast_unsigned(), month)
        .await?;
    let clicks = i64::try_from(clicks).unwrap_or(i64::MAX);
    if app.usage.counts.len() >= MAX_COUNTS {
        app.usage.counts.clear();
    }
    app.usage.counts.insert(
        workspace,
        Count {
            month,
            counted_at: now_ms,
            clicks,
        },
    );
    Ok(clicks)
}

/// Refuses statistics to a workspace that is beyond its plan's clicks.
///
/// # Errors
/// It is; ClickHouse or the database is not there.
pub(crate) async fn check_statistics(app: &App, workspace: i64) -> Result<(), ApiError> {
    let plan = plan(app, workspace).await?;
    let allowance = plan.allowance(Limit::ClicksPerMonth);
    if allowance.is_unlimited() {
        return Ok(());
    }
    // The limit itself is still allowed: what is beyond it is not.
    let used = clicks(app, workspace).await?;
    Ok(allowance.take(used, 0)?)
}

/// The plan in force.
///
/// # Errors
/// The database's.
pub(crate) async fn plan(app: &App, workspace: i64) -> Result<Plan, ApiError> {
    let mut connection = app.store.readers().acquire().await?;
    Ok(plans::in_force(&mut connection, workspace, app.clock.now_ms()).await?)
}
