//! Slugs that rest: who gave one up may take it back, nobody else gets it before its time, since the links that were printed
//! and sent would lead their readers to a stranger. Written and asked by [`super::entries`], for rows of every kind.

use std::collections::BTreeMap;

use schemas::slug::Slug;
use sqlx::AssertSqlSafe;

use super::{Store, feed};

/// Slugs asked about by one statement: two parameters each, far below every engine's limit.
const PLACES_PER_STATEMENT: usize = 64;

/// Slugs that one [`purge`] lets go.
const PURGED_AT_ONCE: i64 = 1000;

/// Notes that a workspace has given up a slug.
pub(super) async fn begin(
    write: &mut feed::Write,
    (domain, slug): (i64, &str),
    workspace: i64,
) -> sqlx::Result<()> {
    let rest = write.guard().quarantine_ms();
    if rest == 0 {
        return Ok(());
    }
    let now_ms = write.guard().now_ms();
    sqlx::query(
        "INSERT INTO resting_slugs (domain_id, slug, workspace_id, free_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (domain_id, slug) DO UPDATE SET workspace_id = excluded.workspace_id, free_at = excluded.free_at",
    )
    .bind(domain)
    .bind(slug.to_owned())
    .bind(workspace)
    .bind(now_ms.saturating_add(rest))
    .execute(write.connection())
    .await?;
    Ok(())
}

/// Whether a slug that this transaction has just written rests for others. To be asked after the row is there: whoever
/// gave the slug up has committed by then, so that the note is seen.
pub(super) async fn holds(
    write: &mut feed::Write,
    place: (i64, &str),
    workspace: i64,
) -> sqlx::Result<bool> {
    let resting = resting(write, &[place]).await?;
    Ok(resting.values().any(|owner| *owner != workspace))
}

/// Which of these slugs rest, each with the workspace that may take it back. As [`holds`], to be asked after the rows are
/// there.
pub(super) async fn resting(
    write: &mut feed::Write,
    places: &[(i64, &str)],
) -> sqlx::Result<BTreeMap<(i64, String), i64>> {
    let mut resting = BTreeMap::new();
    if write.guard().quarantine_ms() == 0 {
        return Ok(resting);
    }
    let now_ms = write.guard().now_ms();
    for places in places.chunks(PLACES_PER_STATEMENT) {
        let places = super::padded(places.to_vec());
        let pairs =
            (0..places.len()).map(|place| format!("({})", super::placeholders(place * 2 + 2, 2)));
        let pairs = pairs.collect::<Vec<_>>().join(", ");
        let mut query = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT domain_id, slug, workspace_id FROM resting_slugs WHERE free_at > $1 \
             AND (domain_id, slug) IN (VALUES {pairs})"
        )))
        .bind(now_ms);
        for (domain, slug) in places {
            query = query.bind(domain).bind(slug.to_owned());
        }
        let rows: Vec<(i64, String, i64)> = query.fetch_all(write.connection()).await?;
        resting.extend(
            rows.into_iter()
                .map(|(domain, slug, by)| ((domain, slug), by)),
        );
    }
    Ok(resting)
}

/// From when on, in milliseconds since 1970, others than the workspace that gave it up may have this slug; `None`: it does
/// not rest, or answers again.
///
/// # Errors
/// The database's.
pub async fn free_at(
    store: &Store,
    (domain, slug): (i64, &Slug),
    workspace: i64,
) -> sqlx::Result<Option<i64>> {
    if store.guard().quarantine_ms() == 0 {
        return Ok(None);
    }
    let now_ms = store.guard().now_ms();
    let row: Option<(i64,)> = sqlx::query_as(
        "SELECT free_at FROM resting_slugs r WHERE domain_id = $1 AND slug = $2 AND workspace_id <> $3 AND free_at > $4 \
         AND NOT EXISTS (SELECT 1 FROM links l WHERE l.domain_id = r.domain_id AND l.slug = r.slug)",
    )
    .bind(domain)
    .bind(slug.as_str().to_owned())
    .bind(workspace)
    .bind(now_ms)
    .fetch_optional(store.readers())
    .await?;
    Ok(row.map(|(at,)| at))
}

/// Forgets slugs whose time is over, a bounded number at a time, and says how many.
///
/// # Errors
/// The database's.
pub async fn purge(store: &Store, now_ms: i64) -> sqlx::Result<u64> {
    let mut tx = store.begin().await?;
    let done = sqlx::query(
        "DELETE FROM resting_slugs WHERE free_at <= $1 AND (domain_id, slug) IN (SELECT domain_id, slug FROM \
         resting_slugs WHERE free_at <= $1 ORDER BY free_at LIMIT $2)",
    )
    .bind(now_ms)
    .bind(PURGED_AT_ONCE)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}
