//! Everything about one link in a range.
//!
//! Clicks that are not rolled up are read and counted here: some 5,000 short rows at most. What the server works out at the
//! same time is added: clicks by value and by day from `clicks_by_period`, and the visitors. Of a link that was not busy
//! in the range there is none.

use std::collections::{BTreeMap, HashSet};

use clickhouse::Row;
use serde::Deserialize;

use super::dimensions::{Counts, Dimension, OTHERS};
use super::kept::{self, Ask, Click, RawClicks, WholeDays};
use super::server::{ANSWER_TIMEOUT, Server};
use super::span::{Span, Summands, day_number, label};
use super::text::{Raw, lossy};
use super::visitors::{self, Came, Visitors};
use super::{Bucket, LinkStats, Of, StatsError, Step, Totals};

/// Values of a dimension that are taken from the roll-up: more than are named, since raw clicks are still to be added.
const MAX_ROLLED_UP_VALUES: u64 = 4_000;

/// Values of all dimensions that are taken from the roll-up as they are.
const MAX_ROLLED_UP_ROWS: usize = 20_000;

/// Everything. What is asked of the roll-ups is asked only when there is something: most links never were busy, and what a
/// query means costs the server more to work out than such a link's rows to read.
pub(super) async fn stats(
    server: &Server,
    of: Of,
    span: &Span,
    step: Step,
) -> Result<LinkStats, StatsError> {
    let (marks, raw) = if server.kept.is_busy(of) {
        (kept::marks(server, of, Ask::All(span)).await?, None)
    } else {
        let (marks, raw) = tokio::try_join!(
            kept::marks(server, of, Ask::Months),
            read_raw(server, of, span, step)
        )?;
        (marks, Some(raw))
    };
    let raw = async {
        if let Some(read) = raw {
            return Ok(read);
        }
        match kept::raw(server, of, &marks).await? {
            Some(clicks) => Ok(Tally::of(&clicks, span, step)),
            None => read_raw(server, of, span, step).await,
        }
    };
    if marks.months.is_empty() {
        return Ok(raw.await?.counted(step));
    }
    // Only whole UTC days can be told apart in the roll-ups.
    let by_day = step == Step::Day && span.is_utc() && span.is_whole_days();
    let cut_days = async {
        match span.cut_days() {
            Some(cut_days) => read_cut_days(server, of, span, &cut_days).await,
            None => Ok(Tally::default()),
        }
    };
    let series = async {
        if by_day {
            return Ok(Vec::new());
        }
        read_series(server, of, span, step).await
    };
    let whole_days = async {
        match kept::whole_days(server, of, span, &marks).await? {
            Some(whole_days) => Ok(whole_days),
            None => read_whole_days(server, of, span).await,
        }
    };
    let (mut tally, whole_days, months, came, cut_days, series) = tokio::try_join!(
        raw,
        whole_days,
        visitors::by_month(server, of, span, &marks),
        visitors::of_cut_days(server, of, span),
        cut_days,
        series
    )?;
    tally.came.extend(came);
    let visitors = visitors::count(months, std::mem::take(&mut tally.came), span).await?;
    tally.clicks += cut_days.clicks;
    tally.by.append(cut_days.by);
    let mut stats = tally.with(whole_days, &visitors, step);
    if !by_day {
        stats.series = series;
    }
    Ok(stats)
}

/// Raw clicks of the span.
async fn read_raw(server: &Server, of: Of, span: &Span, step: Step) -> Result<Tally, StatsError> {
    let sql = format!("{} AND {}", Click::sql(of), Span::TIME);
    let query = span.bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?));
    let read = async {
        let mut tally = Tally::default();
        let mut rows = query.fetch::<Click<'_>>()?;
        while let Some(row) = rows.next().await? {
            tally.came(row.time_ms, row.visitor, span.bucket(row.time_ms, step));
            tally.add_alike(1, &row.values);
        }
        Ok(tally)
    };
    server.answer(ANSWER_TIMEOUT, read).await
}

/// Clicks that are alike.
#[derive(Debug, Row, Deserialize)]
struct Alike<'a> {
    clicks: u64,
    #[serde(borrow)]
    values: Vec<Raw<'a>>,
}

/// Flagged clicks of days that the span cuts, by their values.
async fn read_cut_days(
    server: &Server,
    of: Of,
    span: &Span,
    cut_days: &str,
) -> Result<Tally, StatsError> {
    let conditions = of.conditions();
    let values = Dimension::ALL.map(|dimension| format!("toString({})", dimension.of_click()));
    let values = format!("[{}] AS values", values.join(", "));
    let sql = format!(
        "SELECT count() AS clicks, {values} FROM signpost.clicks WHERE {conditions} AND {cut_days} GROUP BY values"
    );
    let query = span.bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?));
    let read = async {
        let mut tally = Tally::default();
        let mut rows = query.fetch::<Alike<'_>>()?;
        while let Some(row) = rows.next().await? {
            tally.add_alike(row.clicks, &row.values);
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

/// The dimension of months that is their days: all clicks by day.
const DAY: &str = "day";

/// Clicks by value, and by day, of the span's whole days, for a link with more values than are kept. In one reading, so that
/// they agree.
async fn read_whole_days(server: &Server, of: Of, span: &Span) -> Result<WholeDays, StatsError> {
    let mut whole_days = WholeDays::default();
    for row in read_rolled_up(server, of, span).await? {
        if row.dimension == DAY {
            if let Some(day) = day_number(&row.value).filter(|day| span.has_day(*day)) {
                *whole_days.days.entry(day).or_default() += row.clicks;
            }
        } else if let Some(dimension) = Dimension::named(&row.dimension) {
            let value = if row.is_rest == 0 { &row.value } else { OTHERS };
            whole_days.by.add(dimension, value.as_bytes(), row.clicks);
        }
    }
    Ok(whole_days)
}

async fn read_rolled_up(server: &Server, of: Of, span: &Span) -> Result<Vec<RolledUp>, StatsError> {
    let conditions = of.conditions();
    let (Summands { rows, clicks }, days) = (span.cover(), Span::DAYS);
    let sums = format!(
        "SELECT sum({clicks}) AS part, dimension, value
         FROM signpost.clicks_by_period WHERE {conditions} AND ({rows} OR {days})
         GROUP BY dimension, value HAVING part != 0"
    );
    let ask = async |sql: &str| {
        let query = span.bind(of.bind(server.query(sql, ANSWER_TIMEOUT)?));
        server
            .answer(ANSWER_TIMEOUT, query.fetch_all::<RolledUp>())
            .await
    };
    // Few links have so many values, and a question without places costs the server 10 ms less.
    let all = format!(
        "SELECT toUInt64(part), dimension, value, toUInt8(0) FROM ({sums} LIMIT {})",
        MAX_ROLLED_UP_ROWS + 1
    );
    let rows = ask(&all).await?;
    if rows.len() <= MAX_ROLLED_UP_ROWS {
        return Ok(rows);
    }
    let frequent = format!(
        "SELECT toUInt64(sum(part)) AS clicks, dimension, if(place > {MAX_ROLLED_UP_VALUES}, '', value) AS value,
            toUInt8(place > {MAX_ROLLED_UP_VALUES}) AS is_rest
         FROM (
            SELECT part, dimension, value,
                if(dimension = '{DAY}', 0, row_number() OVER (PARTITION BY dimension ORDER BY part DESC, value)) AS place
            FROM ({sums})
         )
         GROUP BY dimension, value, is_rest"
    );
    ask(&frequent).await
}

#[derive(Debug, Row, Deserialize)]
struct BucketRow {
    bucket: i64,
    clicks: u64,
    unique_clicks: u64,
}

/// A series whose buckets are no UTC days: all clicks of the span, by bucket.
async fn read_series(
    server: &Server,
    of: Of,
    span: &Span,
    step: Step,
) -> Result<Vec<Bucket>, StatsError> {
    let conditions = of.conditions();
    let (local, time) = (Span::LOCAL, Span::TIME);
    let sql = format!(
        "SELECT {local} AS bucket, count() AS clicks, ifNull(uniqCombined64(17)(visitor), 0) AS unique_clicks
         FROM signpost.clicks WHERE {conditions} AND {time} GROUP BY bucket ORDER BY bucket"
    );
    let query = span.bind_local(
        span.bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?)),
        step,
    );
    let rows = server
        .answer(ANSWER_TIMEOUT, query.fetch_all::<BucketRow>())
        .await?;
    let bucket = |row: BucketRow| Bucket {
        start: label(row.bucket, step),
        totals: Totals {
            clicks: row.clicks,
            unique_clicks: row.unique_clicks,
        },
    };
    Ok(rows.into_iter().map(bucket).collect())
}

/// Clicks counted one by one.
#[derive(Debug, Default)]
struct Tally {
    clicks: u64,
    came: Vec<Came>,
    visitors: HashSet<u64>,
    buckets: BTreeMap<i64, (u64, HashSet<u64>)>,
    by: Counts,
}

impl Tally {
    /// Counts clicks of all time as far as they are in the span.
    fn of(raw: &RawClicks, span: &Span, step: Step) -> Self {
        let mut tally = Self::default();
        let mut counts = raw.values.each_ref().map(|values| vec![0; values.len()]);
        for click in raw.clicks.iter().filter(|c| span.has(c.time_ms)) {
            tally.clicks += 1;
            tally.came(
                click.time_ms,
                click.visitor,
                span.bucket(click.time_ms, step),
            );
            for (counts, place) in counts.iter_mut().zip(click.values) {
                if let Some(count) = counts.get_mut(place as usize) {
                    *count += 1;
                }
            }
        }
        for ((dimension, values), counts) in Dimension::ALL.into_iter().zip(&raw.values).zip(counts)
        {
            for (value, count) in values.iter().zip(counts).filter(|(_, count)| *count > 0) {
                tally.by.add(dimension, value, count);
            }
        }
        tally
    }

    /// Counts one click's visitor, and the click in its bucket.
    fn came(&mut self, time_ms: i64, visitor: Option<u64>, bucket: i64) {
        let (clicks, visitors) = self.buckets.entry(bucket).or_default();
        *clicks += 1;
        if let Some(visitor) = visitor {
            self.came.push(visitors::came(visitor, time_ms));
            self.visitors.insert(visitor);
            visitors.insert(visitor);
        }
    }

    fn add_alike(&mut self, clicks: u64, values: &[Raw<'_>]) {
        self.clicks += clicks;
        for (dimension, Raw(value)) in Dimension::ALL.into_iter().zip(values) {
            self.by.add(dimension, value, clicks);
        }
    }

    /// The numbers of a link that has nothing else.
    fn counted(self, step: Step) -> LinkStats {
        let bucket = |(number, (clicks, visitors)): (i64, (u64, HashSet<u64>))| Bucket {
            start: label(number, step),
            totals: Totals {
                clicks,
                unique_clicks: visitors.len() as u64,
            },
        };
        LinkStats {
            totals: Totals {
                clicks: self.clicks,
                unique_clicks: self.visitors.len() as u64,
            },
            series: self.buckets.into_iter().map(bucket).collect(),
            by: self.by.named(self.clicks),
        }
    }

    /// The numbers of a busy link. The series is by UTC days.
    fn with(mut self, whole_days: WholeDays, visitors: &Visitors, step: Step) -> LinkStats {
        let mut days = whole_days.days;
        let total = self.clicks + days.values().sum::<u64>();
        for (day, (clicks, _)) in &self.buckets {
            *days.entry(*day).or_default() += clicks;
        }
        self.by.append(whole_days.by);
        let bucket = |(day, clicks)| Bucket {
            start: label(day, step),
            totals: Totals {
                clicks,
                unique_clicks: visitors.by_day.get(&day).copied().unwrap_or_default(),
            },
        };
        LinkStats {
            totals: Totals {
                clicks: total,
                unique_clicks: visitors.total,
            },
            series: days.into_iter().map(bucket).collect(),
            by: self.by.named(total),
        }
    }
}
