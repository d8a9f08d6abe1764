//! What was read of busy links, kept as long as it is what the tables hold.
//!
//! Half of what a question costs the server is working out what it means, whatever it reads. So one short question is
//! asked first, for the link's [`Marks`]: how many raw clicks it has, and how many each month. Numbers of a month only grow,
//! so what was read of a month that still has as many is still right, and only what has changed, or was never asked for, is
//! read. Nothing is answered that was not checked against the tables when it was asked for.
//!
//! Kept are pieces, not answers: the raw clicks, the values of a day, of five days or of a month, the visitors of a month.
//! Any range is made of them. A month's pieces of one mark agree, since ingest writes them by one insert. Visitors are
//! another table, which is filled before the one that has the marks: visitors read after a mark are not behind it.
//! Replicas are: where a server that is behind another answers the second question, what it lacks is missing until the next
//! visit or for [`KEPT_FOR`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use moka::sync::Cache;
use serde::Deserialize;

use super::dimensions::{Counts, Dimension};
use super::server::{ANSWER_TIMEOUT, Server};
use super::span::{Kind, Period, Span, day_number, label};
use super::text::Raw;
use super::visitors::MonthVisitors;
use super::{Of, StatsError, Step};

/// Memory for each of the three kinds of pieces, in bytes: the raw clicks of some 50 links, or the values or the visitors
/// of some 30 link's months.
const MAX_BYTES: u64 = 32 << 20;

/// How long a piece is kept at most.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// How long a link is remembered to be busy, after it was last asked for.
const BUSY_FOR: Duration = Duration::from_secs(3_600);

/// Links that are remembered so.
const MAX_BUSY: u64 = 10_000;

/// Raw clicks that are kept of a link: more than one has that became busy in its time.
const MAX_RAW: u64 = 20_000;

/// Rows of values that are read at once to be kept. Of a link with more, sums are read, each time.
const MAX_ROWS: usize = 100_000;

/// How far the tables are with a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Marks {
    /// Clicks that are not rolled up; `None` where it was not asked for.
    raw: Option<u64>,
    /// Clicks that are, by months, which are their first days since 1970. None: all are raw.
    pub(super) months: BTreeMap<u16, u64>,
}

/// Pieces of busy links.
#[derive(Debug)]
pub(super) struct Kept {
    busy: Cache<Of, Values>,
    raw: Cache<Of, Marked<RawClicks>>,
    values: Cache<(Of, Period), Marked<PeriodValues>>,
    visitors: Cache<(Of, u16), Marked<MonthVisitors>>,
}

/// Of a busy link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    Few,
    /// Too many to keep.
    Many,
}

/// What was read, and the clicks that the tables had then, or before.
#[derive(Debug)]
struct Marked<T> {
    mark: u64,
    piece: Arc<T>,
}

impl<T> Clone for Marked<T> {
    fn clone(&self) -> Self {
        Self {
            mark: self.mark,
            piece: Arc::clone(&self.piece),
        }
    }
}

/// What takes memory.
pub(super) trait Weighed {
    /// About how much, in bytes.
    fn bytes(&self) -> usize;
}

fn cache<K, T>() -> Cache<K, Marked<T>>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    T: Weighed + Send + Sync + 'static,
{
    Cache::builder()
        .weigher(|_, kept: &Marked<T>| {
            // 200 for the entry itself.
            u32::try_from(kept.piece.bytes() + 200).unwrap_or(u32::MAX)
        })
        .max_capacity(MAX_BYTES)
        .time_to_live(KEPT_FOR)
        .build()
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            busy: Cache::builder()
                .max_capacity(MAX_BUSY)
                .time_to_idle(BUSY_FOR)
                .build(),
            raw: cache(),
            values: cache(),
            visitors: cache(),
        }
    }
}

impl Kept {
    /// Whether the link was busy when it was last asked for: then all of it is probably here.
    pub(super) fn is_busy(&self, of: Of) -> bool {
        self.busy.contains_key(&of)
    }

    /// The raw clicks, if they are those of the marks.
    fn raw(&self, of: Of, marks: &Marks) -> Option<Arc<RawClicks>> {
        let kept = self.raw.get(&of)?;
        (Some(kept.mark) == marks.raw).then_some(kept.piece)
    }

    /// A month's visitors, if they are those of its mark.
    pub(super) fn visitors(&self, of: Of, month: u16, mark: u64) -> Option<Arc<MonthVisitors>> {
        let kept = self.visitors.get(&(of, month))?;
        (kept.mark == mark).then_some(kept.piece)
    }

    /// Keeps a month's visitors that were read after its mark.
    pub(super) fn keep_visitors(&self, of: Of, month: u16, mark: u64, piece: &Arc<MonthVisitors>) {
        let piece = Arc::clone(piece);
        self.visitors.insert((of, month), Marked { mark, piece });
    }
}

#[derive(Debug, Row, Deserialize)]
struct MonthRow {
    month: u16,
    clicks: u64,
}

/// What of a link is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Its months: most links have none.
    Months,
    /// Also how many raw clicks it has.
    All,
}

/// Asks how far the tables are with a link. Numbers of clicks and nothing else: the states of visitors beside them doubled
/// what the question costs.
pub(super) async fn marks(server: &Server, of: Of, ask: Ask) -> Result<Marks, StatsError> {
    let conditions = of.conditions();
    let months = async {
        let sql = format!(
            "SELECT toUInt16(start), sum(clicks) FROM signpost.clicks_by_period
             WHERE {conditions} AND period = 'month' AND dimension = 'total' GROUP BY start"
        );
        let query = of.bind(server.query(&sql, ANSWER_TIMEOUT)?);
        server
            .answer(ANSWER_TIMEOUT, query.fetch_all::<MonthRow>())
            .await
    };
    let raw = async {
        if ask == Ask::Months {
            return Ok(None);
        }
        let sql =
            format!("SELECT count() FROM signpost.clicks WHERE {conditions} AND NOT rolled_up");
        let query = of.bind(server.query(&sql, ANSWER_TIMEOUT)?);
        let count = server.answer(ANSWER_TIMEOUT, query.fetch_one::<u64>());
        Ok(Some(count.await?))
    };
    let (months, raw) = tokio::try_join!(months, raw)?;
    let months: BTreeMap<u16, u64> = months
        .into_iter()
        .filter(|row| row.clicks > 0)
        .map(|row| (row.month, row.clicks))
        .collect();
    if !months.is_empty() && !server.kept.busy.contains_key(&of) {
        server.kept.busy.insert(of, Values::Few);
    }
    Ok(Marks { raw, months })
}

/// Raw clicks of a busy link, of all time: each value once, and clicks by their numbers.
#[derive(Debug, Default)]
pub(super) struct RawClicks {
    pub(super) clicks: Vec<RawClick>,
    /// By dimension; a click's value is a place in it.
    pub(super) values: [Vec<Vec<u8>>; Dimension::ALL.len()],
}

/// One of them.
#[derive(Debug)]
pub(super) struct RawClick {
    pub(super) time_ms: i64,
    pub(super) visitor: Option<u64>,
    pub(super) values: [u32; Dimension::ALL.len()],
}

impl Weighed for RawClicks {
    fn bytes(&self) -> usize {
        let texts = self.values.iter().flatten();
        self.clicks.len() * size_of::<RawClick>()
            + texts
                .map(|text| text.capacity() + size_of::<Vec<u8>>())
                .sum::<usize>()
    }
}

/// A click as it is read.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Click<'a> {
    pub(super) time_ms: i64,
    pub(super) visitor: Option<u64>,
    /// A column each, in the order of [`Dimension::ALL`].
    #[serde(borrow)]
    pub(super) values: [Raw<'a>; Dimension::ALL.len()],
}

impl Click<'_> {
    /// SQL: the raw clicks of a link as such rows. Takes an `AND`.
    pub(super) fn sql(of: Of) -> String {
        let conditions = of.conditions();
        // Columns and no array of them: to work out what thirteen conversions mean took the server 4 ms.
        let values = Dimension::ALL.map(Dimension::of_click).join(", ");
        format!(
            "SELECT toUnixTimestamp64Milli(time) AS time_ms, visitor, {values}
             FROM signpost.clicks WHERE {conditions} AND NOT rolled_up"
        )
    }
}

/// The raw clicks of a busy link; `None` when it has too many to keep, or nobody asked how many.
pub(super) async fn raw(
    server: &Server,
    of: Of,
    marks: &Marks,
) -> Result<Option<Arc<RawClicks>>, StatsError> {
    let mark = match marks.raw {
        Some(mark) if mark <= MAX_RAW => mark,
        _ => return Ok(None),
    };
    if let Some(kept) = server.kept.raw(of, marks) {
        return Ok(Some(kept));
    }
    if mark == 0 {
        return Ok(Some(Arc::default()));
    }
    let query = of.bind(server.query(&Click::sql(of), ANSWER_TIMEOUT)?);
    let read = async {
        let mut raw = RawClicks::default();
        let mut known: [HashMap<Vec<u8>, u32>; Dimension::ALL.len()] = Default::default();
        let mut rows = query.fetch::<Click<'_>>()?;
        while let Some(row) = rows.next().await? {
            let mut places = [0; Dimension::ALL.len()];
            let dimensions = known.iter_mut().zip(&mut raw.values).zip(&mut places);
            for (((known, values), place), Raw(value)) in dimensions.zip(row.values) {
                *place = match known.get(value) {
                    Some(place) => *place,
                    None => {
                        // Far below: a link has at most some thousands of such clicks.
                        let new = u32::try_from(values.len()).unwrap_or(u32::MAX);
                        known.insert(value.to_vec(), new);
                        values.push(value.to_vec());
                        new
                    }
                };
            }
            raw.clicks.push(RawClick {
                time_ms: row.time_ms,
                visitor: row.visitor,
                values: places,
            });
        }
        Ok(raw)
    };
    let piece = Arc::new(server.answer(ANSWER_TIMEOUT, read).await?);
    let kept = Arc::clone(&piece);
    server.kept.raw.insert(of, Marked { mark, piece: kept });
    Ok(Some(piece))
}

/// Clicks by value of a period, or by day of a month.
#[derive(Debug, Default)]
pub(super) struct PeriodValues {
    /// All values, one behind the other.
    text: Vec<u8>,
    /// Where each ends, and of what.
    rows: Vec<(u32, u8, u64)>,
    /// Days since 1970.
    days: Vec<(i64, u64)>,
}

impl Weighed for PeriodValues {
    fn bytes(&self) -> usize {
        self.text.capacity()
            + self.rows.capacity() * size_of::<(u32, u8, u64)>()
            + self.days.capacity() * size_of::<(i64, u64)>()
    }
}

impl PeriodValues {
    fn push(&mut self, dimension: Dimension, value: &[u8], clicks: u64) {
        self.text.extend_from_slice(value);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.rows.push((end, dimension as u8, clicks));
    }

    fn rows(&self) -> impl Iterator<Item = (u8, &[u8], u64)> {
        let mut begin = 0;
        self.rows.iter().map(move |(end, dimension, clicks)| {
            let end = *end as usize;
            let value = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            (*dimension, value, *clicks)
        })
    }
}

#[derive(Debug, Row, Deserialize)]
struct ValueRow<'a> {
    period: i8,
    start: u16,
    #[serde(borrow)]
    dimension: Raw<'a>,
    #[serde(borrow)]
    value: Raw<'a>,
    clicks: u64,
}

/// The dimension of months that is all their clicks.
const TOTAL: &[u8] = b"total";

/// The dimension of months that is their days.
const DAY: &[u8] = b"day";

/// Clicks of a span's whole days.
#[derive(Debug, Default)]
pub(super) struct WholeDays {
    /// By value.
    pub(super) by: Counts,
    /// By day, in days since 1970.
    pub(super) days: BTreeMap<i64, u64>,
}

/// Reads what clicks by value and by day of a span's whole days are made of, and adds it up; `None` for a link with more
/// values than are kept.
pub(super) async fn whole_days(
    server: &Server,
    of: Of,
    span: &Span,
    marks: &Marks,
) -> Result<Option<WholeDays>, StatsError> {
    if server.kept.busy.get(&of) == Some(Values::Many) {
        return Ok(None);
    }
    let within = span.whole_months();
    let months: Vec<u16> = match within {
        Some((first, last)) => marks.months.range(first..=last).map(|(m, _)| *m).collect(),
        None => Vec::new(),
    };
    let wanted = span.periods(&months);
    let mut marked: HashMap<u16, u64> = months
        .iter()
        .filter_map(|start| Some((*start, *marks.months.get(start)?)))
        .collect();
    let mut pieces: HashMap<Period, Arc<PeriodValues>> = HashMap::new();
    // Once for what is not here. While it is read a month may grow: then once more for all pieces of such months, which
    // agree since they come by one question.
    for is_last in [false, true] {
        let mut missing = Vec::new();
        for (period, _) in &wanted {
            let mark = marked.get(&period.month()).copied().unwrap_or_default();
            match server.kept.values.get(&(of, *period)) {
                Some(kept) if kept.mark == mark => _ = pieces.insert(*period, kept.piece),
                _ => missing.push(*period),
            }
        }
        if is_last {
            let grown: Vec<u16> = missing.iter().map(|period| period.month()).collect();
            missing = wanted.iter().map(|(period, _)| *period).collect();
            missing.retain(|period| grown.contains(&period.month()));
        }
        if missing.is_empty() {
            break;
        }
        let Some(read) = read_periods(server, of, &missing).await? else {
            server.kept.busy.insert(of, Values::Many);
            return Ok(None);
        };
        for (period, kept) in read {
            marked.insert(period.month(), kept.mark);
            pieces.insert(period, Arc::clone(&kept.piece));
            server.kept.values.insert((of, period), kept);
        }
    }
    Ok(Some(sum(span, &wanted, &pieces)))
}

/// Reads pieces, each with the mark that its month has at that instant. Each month's days are among them.
async fn read_periods(
    server: &Server,
    of: Of,
    missing: &[Period],
) -> Result<Option<HashMap<Period, Marked<PeriodValues>>>, StatsError> {
    let mut months: Vec<u16> = missing.iter().map(|period| period.month()).collect();
    months.sort_unstable();
    months.dedup();
    let date = |day: u16| format!("'{}'", label(i64::from(day), Step::Day));
    let list = |texts: Vec<String>| texts.join(", ");
    let whole = missing.iter().filter(|period| period.kind != Kind::Days);
    let whole = list(
        whole
            .map(|period| format!("('{}', {})", period.kind.name(), date(period.start)))
            .collect(),
    );
    let days = format!(
        "period = 'month' AND start IN ({}) AND dimension IN ('day', 'total')",
        list(months.iter().copied().map(date).collect())
    );
    let rows = if whole.is_empty() {
        days
    } else {
        format!("((period, start) IN ({whole}) OR {days})")
    };
    let sql = format!(
        "SELECT toInt8(period), toUInt16(start), dimension, value, sum(clicks)
         FROM signpost.clicks_by_period WHERE {} AND {rows}
         GROUP BY period, start, dimension, value LIMIT {}",
        of.conditions(),
        MAX_ROWS + 1
    );
    let query = of.bind(server.query(&sql, ANSWER_TIMEOUT)?);
    let read = async {
        let mut marks: HashMap<u16, u64> = HashMap::new();
        let mut pieces: HashMap<Period, PeriodValues> = HashMap::new();
        let mut count = 0;
        let mut rows = query.fetch::<ValueRow<'_>>()?;
        while let Some(row) = rows.next().await? {
            count += 1;
            let of_row = |kind| Period {
                kind,
                start: row.start,
            };
            match row.dimension.0 {
                TOTAL => *marks.entry(row.start).or_default() += row.clicks,
                DAY => {
                    let day = std::str::from_utf8(row.value.0).ok().and_then(day_number);
                    if let Some(day) = day {
                        let days = pieces.entry(of_row(Kind::Days)).or_default();
                        days.days.push((day, row.clicks));
                    }
                }
                name => {
                    // Others are those of a newer version.
                    let dimension = std::str::from_utf8(name).ok().and_then(Dimension::named);
                    if let (Some(dimension), Some(kind)) = (dimension, Kind::numbered(row.period)) {
                        let values = pieces.entry(of_row(kind)).or_default();
                        values.push(dimension, row.value.0, row.clicks);
                    }
                }
            }
        }
        Ok((count, marks, pieces))
    };
    let (count, marks, mut pieces) = server.answer(ANSWER_TIMEOUT, read).await?;
    if count > MAX_ROWS {
        return Ok(None);
    }
    let days = months.into_iter().map(|start| Period {
        kind: Kind::Days,
        start,
    });
    // What has no rows is known to be empty.
    let read: HashMap<Period, _> = missing
        .iter()
        .copied()
        .chain(days)
        .map(|period| {
            let mark = marks.get(&period.month()).copied().unwrap_or_default();
            let mut piece = pieces.remove(&period).unwrap_or_default();
            piece.text.shrink_to_fit();
            piece.rows.shrink_to_fit();
            let piece = Arc::new(piece);
            (period, Marked { mark, piece })
        })
        .fold(HashMap::new(), |mut all, (period, kept)| {
            // A month's days may be asked for and come anyway: the first has them.
            all.entry(period).or_insert(kept);
            all
        });
    Ok(Some(read))
}

fn sum(
    span: &Span,
    wanted: &[(Period, i64)],
    pieces: &HashMap<Period, Arc<PeriodValues>>,
) -> WholeDays {
    let mut sums: HashMap<(u8, &[u8]), i64> = HashMap::new();
    let mut days: BTreeMap<i64, u64> = BTreeMap::new();
    for (period, sign) in wanted {
        let Some(piece) = pieces.get(period) else {
            continue;
        };
        for (dimension, value, clicks) in piece.rows() {
            let clicks = i64::try_from(clicks).unwrap_or(i64::MAX);
            *sums.entry((dimension, value)).or_default() += sign * clicks;
        }
        for (day, clicks) in &piece.days {
            if span.has_day(*day) {
                *days.entry(*day).or_default() += clicks;
            }
        }
    }
    let mut by = Counts::default();
    for ((dimension, value), clicks) in sums {
        let dimension = Dimension::ALL.get(usize::from(dimension));
        if let (Some(dimension), Ok(clicks @ 1..)) = (dimension, u64::try_from(clicks)) {
            by.add(*dimension, value, clicks);
        }
    }
    WholeDays { by, days }
}
