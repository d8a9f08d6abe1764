//! Clicks by value and by day.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use clickhouse::Row;
use serde::Deserialize;

use super::super::dimensions::{Counts, Dimension};
use super::super::server::{ANSWER_TIMEOUT, Server};
use super::super::span::{Kind, Period, Span, day_number, label};
use super::super::text::Raw;
use super::super::{Of, StatsError, Step};
use super::{MAX_ROWS, Marked, Marks, Weighed};

/// Clicks by value of a period, or by day of a month.
#[derive(Debug, Default)]
pub(in crate::stats) struct PeriodValues {
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
pub(in crate::stats) struct WholeDays {
    /// By value.
    pub(in crate::stats) by: Counts,
    /// By day, in days since 1970.
    pub(in crate::stats) days: BTreeMap<i64, u64>,
}

/// Reads what clicks by value and by day of a span's whole days are made of, and adds it up; `None` for a link with more
/// values than are kept.
pub(in crate::stats) async fn whole_days(
    server: &Server,
    of: Of,
    span: &Span,
    marks: &Marks,
) -> Result<Option<WholeDays>, StatsError> {
    if server.kept.has_many_values(of) {
        return Ok(None);
    }
    let months = within(span, marks.months.keys());
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
            return Ok(None);
        };
        marked.extend(read.months);
        pieces.extend(read.pieces);
    }
    Ok(Some(sum(span, &wanted, &pieces)))
}

/// What of a busy link a span needs and was never read.
pub(super) fn never_read(server: &Server, of: Of, span: &Span) -> Vec<Period> {
    let Some(busy) = server
        .kept
        .busy
        .get(&of)
        .filter(|busy| !busy.has_many_values)
    else {
        return Vec::new();
    };
    let months = within(span, busy.marks.months.keys());
    let periods = span.periods(&months).into_iter();
    periods
        .map(|(period, _)| period)
        .filter(|period| !server.kept.values.contains_key(&(of, *period)))
        .collect()
}

/// Those of a link's months that a span has whole days of.
fn within<'a>(span: &Span, months: impl Iterator<Item = &'a u16>) -> Vec<u16> {
    let Some((first, last)) = span.whole_months() else {
        return Vec::new();
    };
    let is_within = |month: &u16| (first..=last).contains(month);
    months.copied().filter(is_within).collect()
}

/// What was read of one instant.
pub(super) struct Read {
    /// Clicks of all months that have any.
    pub(super) months: BTreeMap<u16, u64>,
    pieces: HashMap<Period, Arc<PeriodValues>>,
}

/// Reads pieces and keeps them with the marks of that instant. The days of all months are among them. `None`, which is
/// remembered: there are too many values.
pub(super) async fn read_periods(
    server: &Server,
    of: Of,
    missing: &[Period],
) -> Result<Option<Read>, StatsError> {
    let date = |day: u16| format!("'{}'", label(i64::from(day), Step::Day));
    let list = |texts: Vec<String>| texts.join(", ");
    let whole = missing.iter().filter(|period| period.kind != Kind::Days);
    let whole = list(
        whole
            .map(|period| format!("('{}', {})", period.kind.name(), date(period.start)))
            .collect(),
    );
    let days = "period = 'month' AND dimension IN ('day', 'total')";
    let rows = if whole.is_empty() {
        days.to_owned()
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
        let mut months: BTreeMap<u16, u64> = BTreeMap::new();
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
                TOTAL => *months.entry(row.start).or_default() += row.clicks,
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
        Ok((count, months, pieces))
    };
    let (count, mut months, mut read) = server.answer(ANSWER_TIMEOUT, read).await?;
    if count > MAX_ROWS {
        server.kept.remember(of, |busy| busy.has_many_values = true);
        return Ok(None);
    }
    months.retain(|_, clicks| *clicks > 0);
    // What has no rows is known to be empty.
    for period in missing {
        read.entry(*period).or_default();
    }
    let mut pieces = HashMap::new();
    for (period, mut piece) in read {
        piece.text.shrink_to_fit();
        piece.rows.shrink_to_fit();
        let piece = Arc::new(piece);
        pieces.insert(period, Arc::clone(&piece));
        let mark = months.get(&period.month()).copied().unwrap_or_default();
        let kept = Marked { mark, piece };
        server.kept.values.insert((of, period), kept);
    }
    Ok(Some(Read { months, pieces }))
}

fn sum(
    span: &Span,
    wanted: &[(Period, i64)],
    pieces: &HashMap<Period, Arc<PeriodValues>>,
) -> WholeDays {
    let mut sums: HashMap<(u8, &[u8]), i64, foldhash::fast::RandomState> = HashMap::default();
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
