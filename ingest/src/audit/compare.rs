//! One roll-up against raw clicks, month by month.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clickhouse::Row;
use schemas::click::Stream;
use schemas::names::{DATABASE, tables};
use serde::Deserialize;

use super::{RollUpBooks, Verdict};
use crate::receipt::{RollUp, StreamPosition};
use crate::roll_up::{DAY, DIMENSIONS, TOTAL, five_days};
use crate::store::{Store, StoreError};

#[derive(Row, Deserialize)]
struct Have {
    month: u32,
    clicks: u64,
    sum: u64,
    receipts: Vec<(u64, u16, u64)>,
}

#[derive(Row, Deserialize)]
struct Raw {
    month: u32,
    clicks: u64,
    sum: u64,
}

#[derive(Row, Deserialize)]
struct Month {
    month: u32,
    clicks: u64,
}

/// Compares. `open` are streams to which clicks may be added meanwhile.
pub(super) async fn compare(
    store: &Store,
    roll_up: RollUp,
    open: &BTreeSet<Stream>,
) -> Result<Vec<RollUpBooks>, StoreError> {
    // Sums and receipts in one statement, so of one instant.
    let have = store.rows::<Have>(&have_sql(roll_up)).await?;
    let mut receipts: HashMap<Stream, u64> = HashMap::new();
    for (epoch, worker, to) in have.iter().flat_map(|h| &h.receipts) {
        let stream = Stream {
            epoch: *epoch,
            worker: *worker,
        };
        let place = receipts.entry(stream).or_default();
        *place = (*place).max(*to);
    }
    let marks = format!(
        "SELECT epoch, worker, max(position) + 1 AS position FROM {DATABASE}.{} GROUP BY epoch, worker",
        tables::CLICKS
    );
    // What the receipts do not vouch for is left out; streams that are complete need not be named.
    let mut ahead = Vec::new();
    for mark in store.rows::<StreamPosition>(&marks).await? {
        let stream = mark.stream();
        let to = receipts.get(&stream).copied().unwrap_or(0);
        if to < mark.position || open.contains(&stream) {
            ahead.push(format!(
                "(epoch = {} AND worker = {} AND position >= {to})",
                stream.epoch, stream.worker
            ));
        }
    }
    let below = if ahead.is_empty() {
        "true".to_owned()
    } else {
        format!("NOT ({})", ahead.join(" OR "))
    };
    let raw: BTreeMap<u32, Raw> = store
        .rows::<Raw>(&raw_sql(roll_up, &below))
        .await?
        .into_iter()
        .map(|raw| (raw.month, raw))
        .collect();
    let expired = expired_months(store).await?;

    let have: BTreeMap<u32, Have> = have.into_iter().map(|have| (have.month, have)).collect();
    let months: BTreeSet<u32> = have.keys().chain(raw.keys()).copied().collect();
    let line = |month: u32| {
        let (rolled_up, left) = have.get(&month).map_or((0, 0), |h| (h.clicks, h.sum));
        let (clicks, right) = raw.get(&month).map_or((0, 0), |r| (r.clicks, r.sum));
        let verdict = if (rolled_up, left) == (clicks, right) {
            Verdict::Agrees
        } else if expired.contains(&month) {
            Verdict::Unknown
        } else {
            Verdict::Differs
        };
        RollUpBooks {
            table: roll_up.table(),
            month,
            rolled_up,
            raw: clicks,
            verdict,
        }
    };
    Ok(months.into_iter().map(line).collect())
}

/// Months of ingest of which `clicks` holds fewer rows than were stored.
pub(super) async fn expired_months(store: &Store) -> Result<BTreeSet<u32>, StoreError> {
    let sql = format!(
        "SELECT month, toUInt64(sum(missing)) AS clicks FROM (\
         SELECT toUInt32(toYYYYMM(day)) AS month, toInt64(sum(stored)) AS missing FROM {DATABASE}.{} GROUP BY month \
         UNION ALL SELECT toUInt32(toYYYYMM(ingested)), -toInt64(count()) FROM {DATABASE}.{} GROUP BY 1) \
         GROUP BY month HAVING sum(missing) > 0",
        tables::STREAM_DAYS,
        tables::CLICKS
    );
    let months = store.rows::<Month>(&sql).await?;
    Ok(months
        .into_iter()
        .filter(|m| m.clicks > 0)
        .map(|m| m.month)
        .collect())
}

fn have_sql(roll_up: RollUp) -> String {
    let table = roll_up.table();
    let (counted, key) = match roll_up {
        RollUp::Periods => (
            format!("link != 0 AND dimension = '{TOTAL}'"),
            "workspace, link, toString(period), start, toString(dimension), value, is_bot",
        ),
        RollUp::Visitors => (
            "link != 0".to_owned(),
            // Qualified: an alias of the statement has the name, too.
            "workspace, link, t.month, is_bot, visitor",
        ),
        RollUp::Quarters | RollUp::Streams => {
            ("link != 0".to_owned(), "workspace, link, bucket, is_bot")
        }
    };
    format!(
        "SELECT t.ingested_month AS month, toUInt64(sumIf(t.clicks, {counted})) AS clicks, \
         toUInt64(sumIf(cityHash64({key}) * t.clicks, link != 0)) AS sum, \
         groupArrayIf((t.epoch, t.worker, t.rolled_to), link = 0) AS receipts \
         FROM {DATABASE}.{table} AS t GROUP BY t.ingested_month"
    )
}

fn raw_sql(roll_up: RollUp, below: &str) -> String {
    let clicks = tables::CLICKS;
    match roll_up {
        RollUp::Periods => {
            let five_days = five_days("toDate(time)");
            let dimensions = DIMENSIONS
                .map(|(name, sql)| {
                    format!(
                        "('day', toDate(time), '{name}', toString({sql})), \
                         ('five_days', {five_days}, '{name}', toString({sql})), \
                         ('month', toStartOfMonth(time), '{name}', toString({sql}))"
                    )
                })
                .join(", ");
            format!(
                "SELECT toUInt32(toYYYYMM(ingested)) AS month, countIf(d.3 = '{TOTAL}') AS clicks, \
                 toUInt64(sum(cityHash64(workspace, link, d.1, d.2, d.3, d.4, is_bot))) AS sum \
                 FROM {DATABASE}.{clicks} ARRAY JOIN [('month', toStartOfMonth(time), '{TOTAL}', ''), \
                 ('month', toStartOfMonth(time), '{DAY}', toString(toDate(time))), {dimensions}] AS d \
                 WHERE rolled_up AND {below} AND (d.4 != '' OR d.3 = '{TOTAL}') GROUP BY month"
            )
        }
        RollUp::Visitors => format!(
            "SELECT toUInt32(toYYYYMM(ingested)) AS month, count() AS clicks, \
             toUInt64(sum(cityHash64(workspace, link, toStartOfMonth(time), is_bot, assumeNotNull(visitor)))) AS sum \
             FROM {DATABASE}.{clicks} WHERE rolled_up AND visitor IS NOT NULL AND {below} GROUP BY month"
        ),
        RollUp::Quarters | RollUp::Streams => format!(
            "SELECT toUInt32(toYYYYMM(ingested)) AS month, count() AS clicks, \
             toUInt64(sum(cityHash64(workspace, link, toDateTime(toStartOfFifteenMinutes(time), 'UTC'), is_bot))) AS sum \
             FROM {DATABASE}.{clicks} WHERE {below} GROUP BY month"
        ),
    }
}
