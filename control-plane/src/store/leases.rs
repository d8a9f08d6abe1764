//! Visits of click-limited links, handed out to proxies.
//!
//! `leases.granted` is what is out or spent. It rises with what is handed out, falls with what comes back unspent, and is
//! never above the limit in the link's entry: rows are locked one at a time, in the order of links. Handing out moves
//! nothing that visitors see, so there is no change in the feed.
//!
//! What a proxy held when it died stays handed out: the link serves fewer then, never more.

use std::collections::{BTreeMap, BTreeSet};

use schemas::feed::{Lease, LeaseReply, LeaseRequest};
use schemas::link::Entry;
use schemas::link::view::View;

use super::Store;

/// Most visits in one lease: what a proxy that dies can take with it.
const MAX_VISITS: u64 = 1000;

/// Takes back what is unused and hands out what is asked for, in one transaction. `proxies`: how many share the limits.
///
/// # Errors
/// The database's; nothing has happened then.
pub async fn lease(
    store: &Store,
    request: &LeaseRequest,
    proxies: u64,
) -> Result<LeaseReply, sqlx::Error> {
    let mut tx = store.begin().await?;
    let mut unused: BTreeMap<u64, u64> = BTreeMap::new();
    for lease in &request.unused {
        let visits = unused.entry(lease.link).or_default();
        *visits = visits.saturating_add(lease.visits);
    }
    let asked: BTreeSet<u64> = request.ask.iter().copied().collect();
    let mut granted = BTreeMap::new();
    // In the order of links, so that two calls never wait for each other.
    let links: BTreeSet<u64> = unused.keys().chain(&asked).copied().collect();
    for link in links {
        if let Some(visits) = unused.get(&link) {
            sqlx::query(
                "UPDATE leases SET granted = CASE WHEN granted > $2 THEN granted - $2 ELSE 0 END WHERE link_id = $1",
            )
            .bind(link.cast_signed())
            .bind(i64::try_from(*visits).unwrap_or(i64::MAX))
            .execute(&mut *tx)
            .await?;
        }
        if asked.contains(&link) {
            granted.insert(link, grant(&mut tx, link, proxies).await?);
        }
    }
    tx.commit().await?;
    let lease = request.ask.iter().map(|link| {
        // Asked for twice in one call: given once.
        let (visits, max) = granted
            .get_mut(link)
            .map(|(visits, max)| (std::mem::take(visits), *max))
            .unwrap_or_default();
        Lease {
            link: *link,
            visits,
            max,
        }
    });
    Ok(LeaseReply {
        lease: lease.collect(),
    })
}

/// Visits handed out now, and the link's limit.
async fn grant(
    connection: &mut sqlx::AnyConnection,
    link: u64,
    proxies: u64,
) -> Result<(u64, u64), sqlx::Error> {
    let row: Option<(Vec<u8>,)> = sqlx::query_as("SELECT entry FROM links WHERE id = $1")
        .bind(link.cast_signed())
        .fetch_optional(&mut *connection)
        .await?;
    // Gone, or without a limit by now: the proxy's table will know in a moment.
    let Some(max) = row.and_then(|(entry,)| limit_of(&entry)) else {
        return Ok((0, 0));
    };
    sqlx::query(
        "INSERT INTO leases (link_id, granted) VALUES ($1, 0) ON CONFLICT (link_id) DO NOTHING",
    )
    .bind(link.cast_signed())
    .execute(&mut *connection)
    .await?;
    // Locks the row on PostgreSQL; SQLite has one writer.
    let (granted,): (i64,) =
        sqlx::query_as("UPDATE leases SET granted = granted WHERE link_id = $1 RETURNING granted")
            .bind(link.cast_signed())
            .fetch_one(&mut *connection)
            .await?;
    let granted = u64::try_from(granted).unwrap_or(0);
    let visits = share(max.saturating_sub(granted), proxies);
    sqlx::query("UPDATE leases SET granted = $2 WHERE link_id = $1")
        .bind(link.cast_signed())
        .bind(i64::try_from(granted.saturating_add(visits)).unwrap_or(i64::MAX))
        .execute(&mut *connection)
        .await?;
    Ok((visits, max))
}

fn limit_of(entry: &[u8]) -> Option<u64> {
    let entry = Entry::parse(entry).ok()?;
    let (max, _) = View::read(entry.plan).ok()?.click_limit?;
    // What the column can hold.
    Some(max.min(i64::MAX.cast_unsigned()))
}

/// One proxy's share of what remains: half of an equal part, so that there is something left for whoever asks next.
fn share(remaining: u64, proxies: u64) -> u64 {
    let part = remaining / proxies.max(1).saturating_mul(2);
    part.clamp(1, MAX_VISITS).min(remaining)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_more_than_remains_and_never_nothing_before_the_end() {
        for (remaining, proxies, expected) in [
            (0, 1, 0),
            (1, 1, 1),
            (1, 5, 1),
            (10, 1, 5),
            (10, 2, 2),
            (10, 100, 1),
            (10, 0, 5),
            (u64::MAX, 1, MAX_VISITS),
            (3, u64::MAX, 1),
        ] {
            assert_eq!(share(remaining, proxies), expected, "{remaining} {proxies}");
        }
    }
}
