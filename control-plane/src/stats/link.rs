//! Everything about one link in a range.
//!
//! A link that was never busy is read raw, once, and counted here: some 20,000 short rows at most. A busy one adds two
//! things that the server works out at the same time: clicks by value from `clicks_by_day`, and visitors from its states.

use std::collections::{BTreeMap, HashMap, HashSet};

use clickhouse::Row;
use serde::Deserialize;

use super::server::{ANSWER_TIMEOUT, Server};
use super::span::{Span, label};
use super::text::{Raw, lossy};
use super::{Bucket, ByValue, Dimensions, LinkStats, OTHERS, Of, StatsError, Step, Totals};

/// Values of a dimension that are named in an answer. Referrers and UTM values are for visitors to make up: an answer
/// must not grow with their imagination.
const MAX_VALUES: usize = 1_000;

/// Values of a dimension that are taken from the roll-up: more than are named, since raw clicks are still to be added.
const MAX_ROLLED_UP_VALUES: u64 = 4_000;

/// Dimensions by their names in `clicks_by_day`, with what they are in `clicks`. As ingest rolls them up.
const DIMENSIONS: [(&str, &str); 13] = [
    ("country", "country"),
    ("region", "region"),
    ("city", "city"),
    ("device", "device"),
    ("os", OS),
    ("browser", "browser"),
    ("language", "language"),
    ("referrer_host", "referrer_host"),
    ("utm_source", "utm_source"),
    ("utm_medium", "utm_medium"),
    ("utm_campaign", "utm_campaign"),
    ("utm_term", "utm_term"),
    ("utm_content", "utm_content"),
];

/// The operating system with its version, where both are known.
pub(super) const OS: &str = "if(os = '', '', trimRight(concat(os, ' ', os_version)))";

/// How many clicks a link has, of all time and with bots, in the two halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub(super) struct Version {
    pub(super) rolled_up: u64,
    pub(super) raw: u64,
}

impl Version {
    /// Whether any of its clicks are rolled up.
    pub(super) fn is_busy(self) -> bool {
        self.rolled_up > 0
    }
}

/// See [`Version`].
pub(super) async fn version(server: &Server, of: Of) -> Result<Version, StatsError> {
    let link = Of::LINK;
    let sql = format!(
        "SELECT sum(rolled_up_clicks) AS rolled_up, sum(raw_clicks) AS raw FROM (
            SELECT sum(clicks) AS rolled_up_clicks, toUInt64(0) AS raw_clicks
            FROM signpost.clicks_by_day WHERE {link} AND dimension = 'total'
            UNION ALL
            SELECT toUInt64(0), count() FROM signpost.clicks WHERE {link} AND NOT rolled_up
         )"
    );
    let query = of.bind(server.query(&sql, ANSWER_TIMEOUT)?);
    server.answer(ANSWER_TIMEOUT, query.fetch_one()).await
}

/// Everything, fresh.
pub(super) async fn stats(
    server: &Server,
    of: Of,
    span: &Span,
    step: Step,
    version: Version,
) -> Result<LinkStats, StatsError> {
    if !version.is_busy() {
        return Ok(read_raw(server, of, span, step, false).await?.counted(step));
    }
    let (tally, rolled_up, visitors) = tokio::try_join!(
        read_raw(server, of, span, step, true),
        read_rolled_up(server, of, span),
        read_visitors(server, of, span, step),
    )?;
    Ok(tally.with(rolled_up, visitors, step))
}

/// Clicks as they are read, one by one or many alike.
#[derive(Debug, Row, Deserialize)]
struct Clicks<'a> {
    clicks: u64,
    time_ms: i64,
    visitor: Option<u64>,
    #[serde(borrow)]
    values: Vec<Raw<'a>>,
}

/// Raw clicks of the span; of a busy link also those of days that the span cuts, counted by their values.
async fn read_raw(
    server: &Server,
    of: Of,
    span: &Span,
    step: Step,
    is_busy: bool,
) -> Result<Tally, StatsError> {
    let conditions = of.conditions();
    let time = Span::TIME;
    let values = DIMENSIONS
        .map(|(_, sql)| format!("toString({sql})"))
        .join(", ");
    let mut sql = format!(
        "SELECT toUInt64(1) AS clicks, toUnixTimestamp64Milli(time) AS time_ms, visitor, [{values}] AS values
         FROM signpost.clicks WHERE {conditions} AND {time} AND NOT rolled_up"
    );
    if let Some(cut_days) = span.cut_days().filter(|_| is_busy) {
        sql += &format!(
            " UNION ALL SELECT count(), toInt64(0), CAST(NULL, 'Nullable(UInt64)'), [{values}] AS values
             FROM signpost.clicks WHERE {conditions} AND {cut_days} GROUP BY values"
        );
    }
    let query = span.bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?));
    let read = async {
        let mut tally = Tally::default();
        let mut rows = query.fetch::<Clicks<'_>>()?;
        while let Some(row) = rows.next().await? {
            tally.add(&row, span.bucket(row.time_ms, step));
        }
        Ok(tally)
    };
    server.answer(ANSWER_TIMEOUT, read).await
}

#[derive(Debug, Row, Deserialize)]
struct RolledUp {
    clicks: u64,
    #[serde(deserialize_with = "lossy")]
    dimension: String,
    #[serde(deserialize_with = "lossy")]
    value: String,
    is_rest: u8,
}

/// Clicks by value of the span's whole days.
async fn read_rolled_up(server: &Server, of: Of, span: &Span) -> Result<Vec<RolledUp>, StatsError> {
    let conditions = of.conditions();
    let days = Span::DAYS;
    let names = DIMENSIONS.map(|(name, _)| format!("'{name}'")).join(", ");
    let sql = format!(
        "SELECT sum(part) AS clicks, dimension, if(place > {MAX_ROLLED_UP_VALUES}, '', value) AS value,
            toUInt8(place > {MAX_ROLLED_UP_VALUES}) AS is_rest
         FROM (
            SELECT toString(dimension) AS dimension, value, sum(clicks) AS part,
                row_number() OVER (PARTITION BY dimension ORDER BY sum(clicks) DESC, value) AS place
            FROM signpost.clicks_by_day
            WHERE {conditions} AND dimension IN ({names}) AND {days}
            GROUP BY dimension, value
         )
         GROUP BY dimension, value, is_rest"
    );
    let query = span.bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?));
    server.answer(ANSWER_TIMEOUT, query.fetch_all()).await
}

#[derive(Debug, Row, Deserialize)]
struct Visitors {
    /// Number of the bucket; meaningless in the row of the whole span.
    bucket: i64,
    is_total: u8,
    clicks: u64,
    unique_clicks: u64,
}

/// Clicks and visitors of a busy link: of the whole span, and by bucket.
async fn read_visitors(
    server: &Server,
    of: Of,
    span: &Span,
    step: Step,
) -> Result<Vec<Visitors>, StatsError> {
    let conditions = of.conditions();
    let days = Span::DAYS;
    let raw = span.not_rolled_up();
    // Only whole UTC days can be told apart in the states of the roll-up.
    let by_day = step == Step::Day && span.is_utc() && span.is_whole_days();
    let sets = if by_day { "(number), ()" } else { "()" };
    let bucket = if by_day { "number" } else { "toInt64(0)" };
    let mut sql = format!(
        "SELECT {bucket} AS bucket, {is_total} AS is_total, sum(part) AS clicks,
            ifNull(uniqCombined64Merge(17)(state), 0) AS unique_clicks
         FROM (
            SELECT toInt64(day) AS number, clicks AS part, visitors AS state
            FROM signpost.clicks_by_day WHERE {conditions} AND dimension = 'total' AND {days}
            UNION ALL
            SELECT toInt64(toDate(time)) AS number, count() AS part, uniqCombined64State(17)(visitor) AS state
            FROM signpost.clicks WHERE {conditions} AND {raw} GROUP BY number
         )
         GROUP BY GROUPING SETS ({sets})",
        is_total = if by_day { "toUInt8(grouping(number))" } else { "toUInt8(1)" },
    );
    if !by_day {
        let (local, time) = (Span::LOCAL, Span::TIME);
        sql += &format!(
            " UNION ALL SELECT {local} AS bucket, toUInt8(0) AS is_total, count() AS clicks,
                ifNull(uniqCombined64(17)(visitor), 0) AS unique_clicks
             FROM signpost.clicks WHERE {conditions} AND {time} GROUP BY bucket"
        );
    }
    let query = span.bind_local(
        span.bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?)),
        step,
    );
    server.answer(ANSWER_TIMEOUT, query.fetch_all()).await
}

/// Clicks counted one by one.
#[derive(Debug, Default)]
struct Tally {
    clicks: u64,
    visitors: HashSet<u64>,
    buckets: BTreeMap<i64, (u64, HashSet<u64>)>,
    by: [HashMap<Vec<u8>, u64>; DIMENSIONS.len()],
}

impl Tally {
    fn add(&mut self, row: &Clicks<'_>, bucket: i64) {
        self.clicks += row.clicks;
        let (clicks, visitors) = self.buckets.entry(bucket).or_default();
        *clicks += row.clicks;
        if let Some(visitor) = row.visitor {
            self.visitors.insert(visitor);
            visitors.insert(visitor);
        }
        for (by, Raw(value)) in self.by.iter_mut().zip(&row.values) {
            if value.is_empty() {
                continue;
            }
            match by.get_mut(*value) {
                Some(clicks) => *clicks += row.clicks,
                None => _ = by.insert(value.to_vec(), row.clicks),
            }
        }
    }

    /// The numbers of a link that has nothing else.
    fn counted(self, step: Step) -> LinkStats {
        let buckets = self.buckets.into_iter();
        LinkStats {
            totals: Totals {
                clicks: self.clicks,
                unique_clicks: self.visitors.len() as u64,
            },
            series: buckets
                .map(|(number, (clicks, visitors))| Bucket {
                    start: label(number, step),
                    totals: Totals {
                        clicks,
                        unique_clicks: visitors.len() as u64,
                    },
                })
                .collect(),
            by: dimensions(self.by, self.clicks),
        }
    }

    /// The numbers of a busy link.
    fn with(self, rolled_up: Vec<RolledUp>, visitors: Vec<Visitors>, step: Step) -> LinkStats {
        let mut totals = Totals::default();
        let mut series = BTreeMap::new();
        for row in visitors {
            let found = Totals {
                clicks: row.clicks,
                unique_clicks: row.unique_clicks,
            };
            if row.is_total != 0 {
                totals = found;
            } else {
                series.insert(row.bucket, found);
            }
        }
        let mut by = self.by;
        let mut rest: [u64; DIMENSIONS.len()] = Default::default();
        for row in rolled_up {
            let place = DIMENSIONS
                .iter()
                .position(|(name, _)| *name == row.dimension);
            let Some((by, rest)) = place.and_then(|at| Some((by.get_mut(at)?, rest.get_mut(at)?)))
            else {
                // A dimension that a newer version rolls up.
                continue;
            };
            if row.is_rest != 0 {
                *rest += row.clicks;
            } else {
                *by.entry(row.value.into_bytes()).or_default() += row.clicks;
            }
        }
        for (by, rest) in by.iter_mut().zip(rest) {
            if rest > 0 {
                *by.entry(OTHERS.into()).or_default() += rest;
            }
        }
        LinkStats {
            totals,
            series: series
                .into_iter()
                .map(|(number, totals)| Bucket {
                    start: label(number, step),
                    totals,
                })
                .collect(),
            by: dimensions(by, totals.clicks),
        }
    }
}

/// Names the most frequent values, and what is not known.
fn dimensions(by: [HashMap<Vec<u8>, u64>; DIMENSIONS.len()], total: u64) -> Dimensions {
    let [
        country,
        region,
        city,
        device,
        os,
        browser,
        language,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
    ] = by.map(|by| named(by, total));
    Dimensions {
        country,
        region,
        city,
        device,
        os,
        browser,
        language,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
    }
}

fn named(by: HashMap<Vec<u8>, u64>, total: u64) -> ByValue {
    let mut values: Vec<(Vec<u8>, u64)> = by.into_iter().collect();
    values.sort_unstable_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
    let known: u64 = values.iter().map(|(_, clicks)| clicks).sum();
    let rest: u64 = values
        .iter()
        .skip(MAX_VALUES)
        .map(|(_, clicks)| clicks)
        .sum();
    values.truncate(MAX_VALUES);
    let mut named = ByValue::new();
    for (value, clicks) in values {
        *named
            .entry(String::from_utf8_lossy(&value).into_owned())
            .or_default() += clicks;
    }
    for (name, clicks) in [(OTHERS, rest), ("", total.saturating_sub(known))] {
        if clicks > 0 {
            *named.entry(name.to_owned()).or_default() += clicks;
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_sum_to_the_total_whatever_visitors_send() {
        let many = (0..MAX_VALUES as u64 + 500).map(|n| (n.to_string().into_bytes(), n + 1));
        let by: HashMap<Vec<u8>, u64> = many.chain([(b"\xff\xfe".to_vec(), 9_000)]).collect();
        let total = by.values().sum::<u64>() + 77;
        let named = named(by, total);
        assert_eq!(named.values().sum::<u64>(), total);
        assert_eq!(named.len(), MAX_VALUES + 2);
        assert_eq!(named.get(""), Some(&77));
        assert_eq!(named.get("\u{fffd}\u{fffd}"), Some(&9_000));
        assert_eq!(named.get(OTHERS), Some(&(1..=501).sum::<u64>()));
    }
}
