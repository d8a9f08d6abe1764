//! Roll-ups: one `INSERT … SELECT` per table over a stored range, with its receipt in the same part.
//!
//! Not by materialized views: a crash leaves a view's part without the raw one, or the reverse, and nothing can tell.
//! Each statement also carries a *fence*: it adds nothing where a receipt already reaches into its range. So a statement
//! that an earlier process left behind somewhere, and that runs late, does not count anything twice.
//!
//! Two statements that run at one time do not see each other's receipts. So each carries a *token* made of its table and of
//! where its streams stand, and of nothing else: of all statements that go on from there the engine takes the first, and the
//! others do nothing, however far they reach. Killed between noting a token and putting the part in place, the engine has
//! noted it and has nothing: so after each statement the receipts are asked, and whoever finds one missing takes a new token,
//! after all that ran before has ended (`pipeline::catch_up_from_receipts`).
//!
//! Dimensions of a busy link's clicks come from one pass with GROUPING SETS: of a million clicks, 150,000 of them
//! flagged, that took 0.12 to 0.15 s; one SELECT per dimension 0.23 s, ARRAY JOIN 0.33 s.

use std::collections::BTreeMap;
use std::time::Instant;

use clickhouse::Row;
use metrics::histogram;
use schemas::click::Stream;
use schemas::names::{DATABASE, tables};
use serde::Deserialize;

use crate::batch::{Batch, Span};
use crate::metrics as m;
use crate::receipt::RollUp;
use crate::store::{Store, StoreError};

/// Clicks rolled up by one statement at most, give or take a batch. Its result is one block in memory: all dimensions of
/// so many clicks that share nothing would be 21 million rows, about 2 GB.
pub(crate) const MAX_CLICKS: u64 = 500_000;

/// Streams in one statement at most: each adds a condition to it.
pub(crate) const MAX_STREAMS: usize = 100;

/// Dimensions of `clicks_by_period`, and how each is worked out from a click. Empty values are left out.
pub(crate) const DIMENSIONS: [(&str, &str); 14] = [
    ("country", "country"),
    ("region", "region"),
    ("city", "city"),
    ("device", "device"),
    (
        "os",
        "if(os = '', '', trimRight(concat(os, ' ', os_version)))",
    ),
    ("browser", "browser"),
    ("language", "language"),
    ("referrer_host", "referrer_host"),
    ("utm_source", "utm_source"),
    ("utm_medium", "utm_medium"),
    ("utm_campaign", "utm_campaign"),
    ("utm_term", "utm_term"),
    ("utm_content", "utm_content"),
    ("variant", "if(variant = 0, '', toString(variant))"),
];

/// The dimension of all clicks of a month.
pub(crate) const TOTAL: &str = "total";

/// The dimension of a month that is its days.
pub(crate) const DAY: &str = "day";

/// SQL: the five days that a day is in, by their first; those from the 26th on reach to the end of the month. Periods of
/// a few sizes, so that a range is made of few of them.
pub(crate) fn five_days(day: &str) -> String {
    format!("addDays(toStartOfMonth({day}), least(5, intDiv(toDayOfMonth({day}) - 1, 5)) * 5)")
}

#[derive(Row, Deserialize)]
struct Table {
    name: String,
}

/// Stored clicks of one month of ingest, to be rolled up together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Range {
    /// `toYYYYMM(ingested)` of all of them.
    pub(crate) month: u32,
    /// Earliest `ingested`, in seconds since 1970: lets the engine leave out older parts.
    pub(crate) since: u32,
    /// Positions per stream, the last one not included.
    pub(crate) streams: BTreeMap<Stream, (u64, u64)>,
    /// Clicks in it, or an upper bound.
    pub(crate) clicks: u64,
}

impl Range {
    /// The ranges of a batch that is stored: more than one where it has clicks of very many streams.
    pub(crate) fn of(batch: &Batch, month: u32, ingested: u32) -> Vec<Self> {
        let spans: Vec<_> = batch.spans.iter().collect();
        let range = |spans: &[(&Stream, &Span)]| Self {
            month,
            since: ingested,
            streams: spans
                .iter()
                .map(|(stream, span)| (**stream, (span.first, span.last + 1)))
                .collect(),
            clicks: spans.iter().map(|(_, span)| span.clicks).sum(),
        };
        spans.chunks(MAX_STREAMS).map(range).collect()
    }

    /// The token of the statement that fills one table: the same for all that go on from where the streams stand now.
    pub(crate) fn token(&self, roll_up: RollUp) -> String {
        let mut hash = xxhash_rust::xxh3::Xxh3Default::new();
        hash.update(roll_up.table().as_bytes());
        hash.update(&self.month.to_le_bytes());
        for (stream, (from, _)) in &self.streams {
            hash.update(&stream.epoch.to_le_bytes());
            hash.update(&stream.worker.to_le_bytes());
            hash.update(&from.to_le_bytes());
        }
        format!("{}-{:032x}", roll_up.table(), hash.digest128())
    }

    /// SQL: each table in which a stream of it does not stand at its end.
    fn not_in(&self) -> String {
        let one = |roll_up: RollUp| {
            let streams =
                self.each(|epoch, worker, _, _| format!("epoch = {epoch} AND worker = {worker}"));
            let ends = self.receipts();
            format!(
                "SELECT '{}' AS name FROM (SELECT r.1 AS e, r.2 AS w, r.3 AS p FROM (SELECT arrayJoin([{ends}]) AS r)) AS ends \
                 LEFT JOIN (SELECT epoch, worker, position FROM ({}) WHERE {streams}) AS have \
                 ON have.epoch = ends.e AND have.worker = ends.w WHERE have.position != ends.p",
                roll_up.table(),
                roll_up.receipts_sql(),
            )
        };
        RollUp::ALL.map(one).join(" UNION ALL ")
    }

    /// Takes the range that follows; `false` when it must be rolled up by itself.
    pub(crate) fn join(&mut self, next: &Self) -> bool {
        if self.streams.is_empty() {
            self.clone_from(next);
            return true;
        }
        let added = next
            .streams
            .keys()
            .filter(|stream| !self.streams.contains_key(stream))
            .count();
        let fits = self.month == next.month
            && self.clicks + next.clicks <= MAX_CLICKS
            && self.streams.len() + added <= MAX_STREAMS;
        if fits {
            for (stream, (from, to)) in &next.streams {
                self.streams.entry(*stream).or_insert((*from, *to)).1 = *to;
            }
            self.clicks += next.clicks;
            self.since = self.since.min(next.since);
        }
        fits
    }

    /// SQL: whether a row of `clicks` is in it.
    pub(crate) fn condition(&self) -> String {
        format!(
            "toYYYYMM(ingested) = {} AND ingested >= toDateTime({}, 'UTC') AND ({})",
            self.month,
            self.since,
            self.each(|epoch, worker, from, to| format!(
                "epoch = {epoch} AND worker = {worker} AND position >= {from} AND position < {to}"
            ))
        )
    }

    fn each(&self, condition: impl Fn(u64, u16, u64, u64) -> String) -> String {
        let one = |(stream, (from, to)): (&Stream, &(u64, u64))| {
            condition(stream.epoch, stream.worker, *from, *to)
        };
        self.streams
            .iter()
            .map(one)
            .collect::<Vec<_>>()
            .join(" OR ")
    }

    /// SQL: true while no receipt reaches into the range.
    fn fence(&self, roll_up: RollUp) -> String {
        let table = roll_up.table();
        match roll_up {
            RollUp::Quarters | RollUp::Periods | RollUp::Visitors => format!(
                "(SELECT count() = 0 FROM {DATABASE}.{table} WHERE workspace = 0 AND link = 0 AND ({}))",
                self.each(|epoch, worker, from, _| format!(
                    "epoch = {epoch} AND worker = {worker} AND rolled_to > {from}"
                ))
            ),
            RollUp::Streams => format!(
                "(SELECT count() = 0 FROM {DATABASE}.{table} WHERE {})",
                self.each(|epoch, worker, from, _| format!(
                    "epoch = {epoch} AND worker = {worker} AND last >= {from}"
                ))
            ),
        }
    }

    /// SQL: one (epoch, worker, rolled_to) a stream.
    fn receipts(&self) -> String {
        let one = |(stream, (_, to)): (&Stream, &(u64, u64))| {
            format!(
                "(toUInt64({}), toUInt16({}), toUInt64({to}))",
                stream.epoch, stream.worker
            )
        };
        self.streams.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// The statement that fills one table.
    pub(crate) fn sql(&self, roll_up: RollUp) -> String {
        let fence = self.fence(roll_up);
        let month = self.month;
        let clicks = self.condition();
        let receipts = self.receipts();
        match roll_up {
            RollUp::Quarters => format!("{} WHERE {fence}", quarters(month, &clicks, &receipts)),
            RollUp::Periods => format!("{} WHERE {fence}", periods(month, &clicks, &receipts)),
            RollUp::Visitors => format!("{} WHERE {fence}", visitors(month, &clicks, &receipts)),
            RollUp::Streams => format!(
                "INSERT INTO {DATABASE}.{} (epoch, worker, day, stored, first, last) \
                 SELECT epoch, worker, toDate(ingested), count(), min(position), max(position) \
                 FROM {DATABASE}.{} WHERE {fence} AND ({clicks}) GROUP BY epoch, worker, toDate(ingested)",
                tables::STREAM_DAYS,
                tables::CLICKS
            ),
        }
    }
}

/// SQL that fills `clicks_15m` from the clicks that meet a condition; takes a `WHERE`. `receipts` is a list of tuples.
///
/// Names of columns inside differ from those of `clicks`: an alias would hide the column in the condition.
pub(crate) fn quarters(month: u32, clicks: &str, receipts: &str) -> String {
    format!(
        "INSERT INTO {DATABASE}.{} \
         (ingested_month, workspace, link, bucket, is_bot, epoch, worker, clicks, scans, rolled_to) \
         SELECT toUInt32({month}), o_workspace, o_link, o_bucket, o_bot, o_epoch, o_worker, o_clicks, o_scans, o_to \
         FROM (SELECT workspace AS o_workspace, link AS o_link, toStartOfFifteenMinutes(time) AS o_bucket, \
         is_bot AS o_bot, toUInt64(0) AS o_epoch, toUInt16(0) AS o_worker, count() AS o_clicks, \
         countIf(is_scan) AS o_scans, toUInt64(0) AS o_to \
         FROM {DATABASE}.{} WHERE {clicks} GROUP BY workspace, link, o_bucket, is_bot \
         UNION ALL SELECT toUInt64(0), toUInt64(0), toDateTime(0, 'UTC'), false, r.1, r.2, toUInt64(0), toUInt64(0), r.3 \
         FROM (SELECT arrayJoin([{receipts}]) AS r))",
        tables::CLICKS_15M,
        tables::CLICKS
    )
}

/// SQL that fills `clicks_by_period` from the clicks that meet a condition; takes a `WHERE`.
///
/// Rows of a month, and of five days, are their days' rows written once more. Where a range holds clicks of several days, as
/// after a long outage, they are added up before they are written (`optimize_on_insert`): 17 rows for each month's value
/// instead of one made statistics wait three times as long until merges came. Of one day it costs nothing, since there is
/// nothing to add; of 45 days half as much again.
pub(crate) fn periods(month: u32, clicks: &str, receipts: &str) -> String {
    let list =
        |f: &dyn Fn(&str, &str) -> String| DIMENSIONS.map(|(name, sql)| f(name, sql)).join(", ");
    let values = list(&|name, sql| format!("toString({sql}) AS v_{name}"));
    let sets = list(&|name, _| format!("(workspace, link, o_day, is_bot, v_{name})"));
    let grouped = list(&|name, _| format!("grouping(v_{name}) = 0, '{name}'"));
    let value = list(&|name, _| format!("v_{name}"));
    let empty = "(SELECT uniqCombined64State(12)(CAST(NULL, 'Nullable(UInt64)')) FROM numbers(0))";
    let clicks = format!(
        "FROM {DATABASE}.{} WHERE rolled_up AND {clicks}",
        tables::CLICKS
    );
    format!(
        "INSERT INTO {DATABASE}.{} (ingested_month, workspace, link, period, start, dimension, value, is_bot, epoch, \
         worker, clicks, scans, visitors, rolled_to) SETTINGS optimize_on_insert = 1 \
         SELECT toUInt32({month}), o_workspace, o_link, o_period, o_start, o_dimension, o_value, o_bot, o_epoch, \
         o_worker, o_clicks, o_scans, o_visitors, o_to FROM (\
         SELECT o_workspace, o_link, p.1 AS o_period, p.2 AS o_start, o_dimension, o_value, o_bot, toUInt64(0) AS o_epoch, \
         toUInt16(0) AS o_worker, o_clicks, o_scans, {empty} AS o_visitors, toUInt64(0) AS o_to FROM (\
         SELECT workspace AS o_workspace, link AS o_link, multiIf({grouped}, '') AS o_dimension, o_day, \
         concat({value}) AS o_value, is_bot AS o_bot, count() AS o_clicks, countIf(is_scan) AS o_scans \
         FROM (SELECT workspace, link, toDate(time) AS o_day, is_bot, is_scan, {values} {clicks}) \
         GROUP BY GROUPING SETS ({sets}) HAVING o_value != '') \
         ARRAY JOIN [('day', o_day), ('five_days', {five_days}), ('month', toStartOfMonth(o_day))] AS p \
         UNION ALL SELECT workspace, link, 'month', toStartOfMonth(time), '{DAY}', toString(toDate(time)), is_bot, \
         toUInt64(0), toUInt16(0), count(), countIf(is_scan), {empty}, toUInt64(0) \
         {clicks} GROUP BY workspace, link, toStartOfMonth(time), toDate(time), is_bot \
         UNION ALL SELECT workspace, link, 'month', toStartOfMonth(time), '{TOTAL}', '', is_bot, \
         toUInt64(0), toUInt16(0), count(), countIf(is_scan), uniqCombined64State(12)(visitor), toUInt64(0) \
         {clicks} GROUP BY workspace, link, toStartOfMonth(time), is_bot \
         UNION ALL SELECT toUInt64(0), toUInt64(0), 'day', toDate(0), '', '', false, r.1, r.2, toUInt64(0), toUInt64(0), \
         {empty}, r.3 FROM (SELECT arrayJoin([{receipts}]) AS r))",
        tables::CLICKS_BY_PERIOD,
        five_days = five_days("o_day"),
    )
}

/// SQL that fills `visitors_by_month` from the clicks that meet a condition; takes a `WHERE`.
pub(crate) fn visitors(month: u32, clicks: &str, receipts: &str) -> String {
    format!(
        "INSERT INTO {DATABASE}.{} (ingested_month, workspace, link, month, is_bot, visitor, epoch, worker, days, clicks, \
         rolled_to) \
         SELECT toUInt32({month}), o_workspace, o_link, o_month, o_bot, o_visitor, o_epoch, o_worker, o_days, o_clicks, o_to \
         FROM (SELECT workspace AS o_workspace, link AS o_link, toStartOfMonth(time) AS o_month, is_bot AS o_bot, \
         assumeNotNull(visitor) AS o_visitor, toUInt64(0) AS o_epoch, toUInt16(0) AS o_worker, \
         groupBitOr(bitShiftLeft(toUInt32(1), toDayOfMonth(time) - 1)) AS o_days, count() AS o_clicks, \
         toUInt64(0) AS o_to FROM {DATABASE}.{} WHERE rolled_up AND visitor IS NOT NULL AND {clicks} \
         GROUP BY workspace, link, o_month, is_bot, o_visitor \
         UNION ALL SELECT toUInt64(0), toUInt64(0), toDate(0), false, toUInt64(0), r.1, r.2, toUInt32(0), toUInt64(0), r.3 \
         FROM (SELECT arrayJoin([{receipts}]) AS r))",
        tables::VISITORS_BY_MONTH,
        tables::CLICKS
    )
}

/// Rolls up one range into all tables, at once but for the periods: whoever finds its clicks in a month of `clicks_by_period`
/// finds their visitors too.
///
/// # Errors
/// [`StoreError`]; what is in which table is unknown then, and the receipts tell.
pub(crate) async fn roll_up(store: &Store, range: &Range) -> Result<(), StoreError> {
    let began = Instant::now();
    let [quarters, visitors, periods, streams] =
        RollUp::ALL.map(|roll_up| (range.sql(roll_up), range.token(roll_up)));
    let busy_links = async {
        store.insert_select(&visitors.0, &visitors.1).await?;
        store.insert_select(&periods.0, &periods.1).await
    };
    tokio::try_join!(
        busy_links,
        store.insert_select(&quarters.0, &quarters.1),
        store.insert_select(&streams.0, &streams.1)
    )?;
    // A fence or a token may have said no: of all streams of the range, though one of them was the reason.
    if let Some(table) = store.rows::<Table>(&range.not_in()).await?.first() {
        return Err(StoreError::Refused(format!(
            "{} did not take a range of stored clicks; asking it how far it is",
            table.name
        )));
    }
    histogram!(m::ROLL_UP_SECONDS).record(began.elapsed());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(month: u32, epoch: u64, from: u64, to: u64) -> Range {
        let stream = Stream { epoch, worker: 0 };
        Range {
            month,
            since: 100,
            streams: [(stream, (from, to))].into(),
            clicks: to - from,
        }
    }

    #[test]
    fn a_token_says_where_streams_stand_and_not_how_far_a_statement_reaches() {
        let token = |range: &Range| range.token(RollUp::Quarters);
        let one = range(202_611, 1, 5, 10);
        assert_eq!(token(&one), token(&range(202_611, 1, 5, 99)));
        for other in [
            range(202_611, 1, 6, 10),
            range(202_611, 2, 5, 10),
            range(202_612, 1, 5, 10),
        ] {
            assert_ne!(token(&one), token(&other));
        }
        assert_ne!(token(&one), one.token(RollUp::Periods));
    }

    #[test]
    fn a_batch_of_very_many_streams_is_several_ranges() {
        let span = |position| Span {
            first: position,
            last: position,
            clicks: 1,
        };
        let spans = (0..5_000).map(|epoch| (Stream { epoch, worker: 0 }, span(epoch)));
        let batch = Batch {
            spans: spans.collect(),
            ..Batch::default()
        };
        let ranges = Range::of(&batch, 202_611, 7);
        assert_eq!(ranges.len(), 5_000 / MAX_STREAMS);
        assert!(ranges.iter().all(|r| r.clicks == MAX_STREAMS as u64));
        // Below what a server takes by default.
        assert!(
            ranges
                .iter()
                .all(|r| r.sql(RollUp::Periods).len() < 200 << 10)
        );
    }

    #[test]
    fn ranges_join_within_a_month_and_a_size() {
        let mut sum = Range::default();
        assert!(sum.join(&range(202_611, 1, 0, 10)));
        assert!(sum.join(&range(202_611, 1, 12, 20)));
        assert!(sum.join(&range(202_611, 2, 0, 5)));
        assert_eq!(
            sum.streams.values().collect::<Vec<_>>(),
            [&(0, 20), &(0, 5)]
        );
        assert_eq!(sum.clicks, 23);
        assert!(!sum.join(&range(202_612, 1, 20, 21)));
        assert!(!sum.join(&range(202_611, 1, 20, 20 + MAX_CLICKS)));
        for epoch in 3..=MAX_STREAMS as u64 {
            assert!(sum.join(&range(202_611, epoch, 0, 1)));
        }
        assert!(!sum.join(&range(202_611, 1_000, 0, 1)));
    }
}
