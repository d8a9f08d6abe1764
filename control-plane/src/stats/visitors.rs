//! Distinct visitors of busy links, from `visitors_by_month`.
//!
//! A link's visitors of a month (hashes differ between the periods of a salt, which are months or days) are rows with the
//! days on which each came. Up to [`EXACT`] of them are read and counted. Of more, those with the smallest hashes are:
//! hashes are uniform and keyed by a secret, so that is a fair sample that nobody can steer, the same one for every
//! question about the month, and each visitor in it stands for 2, 4, 8 … others. What a question costs is so bounded by
//! the months of its range, and a day, a range and the whole month are estimates of one kind.
//!
//! How many there are, to choose the sample, comes from a rough state beside each month's total. What was read of a month
//! is kept as long as the month has no more clicks (see `kept`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use clickhouse::Row;
use clickhouse::error::Error;
use clickhouse::query::Query;
use serde::Deserialize;

use super::kept::{Marks, Weighed};
use super::server::{ANSWER_TIMEOUT, Server};
use super::span::{Span, month_and_day};
use super::{Of, StatsError};

/// Visitors of a link and month up to which every one is counted.
pub(super) const EXACT: u64 = 65_536;

/// Of more visitors so many are counted at most, and half as many at least: standard error 0.55 to 0.8 % for the month,
/// and for a part of it that has a share `s` of the visitors, `1 / sqrt(s)` times as much. Four months of twice as many
/// took 23 ms instead of 14.
const SAMPLE: u64 = 32_768;

/// By the rough state's count, which has a standard error of 1.6 %: so far above [`EXACT`] that it never samples fewer.
const READ_ALL: u64 = EXACT + EXACT / 10;

/// In `days`: the visitor came within the range, whatever the day. Bits 0 to 30 are days of the month.
const CAME: u32 = 1 << 31;

/// Which of a month's visitors are counted: all at 0, and half as many with each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Level(u32);

impl Level {
    /// For about so many visitors.
    pub(super) fn of(visitors: u64) -> Self {
        if visitors <= READ_ALL {
            return Self(0);
        }
        let halves = |level: &u32| visitors >> level <= SAMPLE;
        Self((0..u64::BITS).find(halves).unwrap_or(u64::BITS - 1))
    }

    /// The largest hash in the sample.
    pub(super) fn largest(self) -> u64 {
        u64::MAX >> self.0
    }

    /// How many visitors one in the sample stands for.
    pub(super) fn weight(self) -> u64 {
        1 << self.0
    }
}

/// The visitors of a month who are counted, each once, by their hashes; and the days on which each came.
#[derive(Debug, Default)]
pub(super) struct MonthVisitors {
    /// Which those are.
    pub(super) level: Level,
    came: Vec<(u64, u32)>,
}

impl Weighed for MonthVisitors {
    fn bytes(&self) -> usize {
        self.came.capacity() * size_of::<(u64, u32)>()
    }
}

/// Visitors by the first day of their month, since 1970.
pub(super) type ByMonth = BTreeMap<u16, Arc<MonthVisitors>>;

/// Distinct visitors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Visitors {
    /// Of the whole span.
    pub(super) total: u64,
    /// Of each UTC day, where the span is made of whole ones; as days since 1970.
    pub(super) by_day: HashMap<i64, u64>,
}

/// A visitor, and when it came: month, hash, days.
pub(super) type Came = (u16, u64, u32);

/// A visitor that came within the range, at this time.
pub(super) fn came(visitor: u64, time_ms: i64) -> Came {
    let (month, day) = month_and_day(time_ms);
    (month, visitor, CAME | 1 << day)
}

/// The visitors of a busy link in the months of a span's whole days, but for those of raw clicks.
pub(super) async fn by_month(
    server: &Server,
    of: Of,
    span: &Span,
    marks: &Marks,
) -> Result<ByMonth, StatsError> {
    let mut all = ByMonth::new();
    let Some((first, last)) = span.whole_months() else {
        return Ok(all);
    };
    let mut missing: BTreeMap<u16, u64> = BTreeMap::new();
    for (month, mark) in marks.months.range(first..=last) {
        match server.kept.visitors(of, *month, *mark) {
            Some(kept) => _ = all.insert(*month, kept),
            None => _ = missing.insert(*month, *mark),
        }
    }
    if missing.is_empty() {
        return Ok(all);
    }
    let chosen = choose(server, of, missing.keys()).await?;
    let mut levels: BTreeMap<Level, Vec<String>> = BTreeMap::new();
    for month in missing.keys() {
        let level = chosen.get(month).copied().unwrap_or_default();
        let months = levels.entry(level).or_default();
        months.push(format!("toDate({month})"));
    }
    let which = levels.into_iter().map(|(level, months)| {
        let (months, largest) = (months.join(", "), level.largest());
        format!("month IN ({months}) AND visitor <= {largest}")
    });
    let sql = format!(
        "SELECT visitor, bitShiftLeft(toUInt64(toUInt16(month)), 32) + days
         FROM signpost.visitors_by_month WHERE {} AND ({})",
        of.conditions(),
        which.collect::<Vec<_>>().join(" OR ")
    );
    let came = read(server, of.bind(server.query(&sql, ANSWER_TIMEOUT)?)).await?;
    let read = tokio::task::spawn_blocking(move || {
        let mut read: BTreeMap<u16, MonthVisitors> = BTreeMap::new();
        for (month, visitor, days) in came {
            read.entry(month).or_default().came.push((visitor, days));
        }
        for month in read.values_mut() {
            // They come in a few sorted runs, which this sort finds.
            month.came.sort_by_key(|(visitor, _)| *visitor);
            month.came.dedup_by(|next, one| {
                let is_same = next.0 == one.0;
                one.1 |= if is_same { next.1 } else { 0 };
                is_same
            });
            month.came.shrink_to_fit();
        }
        read
    });
    let mut read = read.await.map_err(unavailable)?;
    for (month, mark) in missing {
        let mut piece = read.remove(&month).unwrap_or_default();
        piece.level = chosen.get(&month).copied().unwrap_or_default();
        let piece = Arc::new(piece);
        server.kept.keep_visitors(of, month, mark, &piece);
        all.insert(month, piece);
    }
    Ok(all)
}

#[derive(Debug, Row, Deserialize)]
struct MonthRow {
    month: u16,
    visitors: u64,
}

/// Which visitors of these months are to be counted.
async fn choose(
    server: &Server,
    of: Of,
    months: impl Iterator<Item = &u16>,
) -> Result<BTreeMap<u16, Level>, StatsError> {
    let months: Vec<String> = months.map(|month| format!("toDate({month})")).collect();
    let sql = format!(
        "SELECT toUInt16(start), ifNull(uniqCombined64Merge(12)(visitors), 0) FROM signpost.clicks_by_period
         WHERE {} AND period = 'month' AND dimension = 'total' AND start IN ({}) GROUP BY start",
        of.conditions(),
        months.join(", ")
    );
    let query = of.bind(server.query(&sql, ANSWER_TIMEOUT)?);
    let rows = server
        .answer(ANSWER_TIMEOUT, query.fetch_all::<MonthRow>())
        .await?;
    let level = |row: MonthRow| (row.month, Level::of(row.visitors));
    Ok(rows.into_iter().map(level).collect())
}

/// The visitors of flagged clicks in the days that a span cuts.
pub(super) async fn of_cut_days(
    server: &Server,
    of: Of,
    span: &Span,
) -> Result<Vec<Came>, StatsError> {
    let Some(cut_days) = span.cut_days() else {
        return Ok(Vec::new());
    };
    // No aliases: one would hide the column of its name in the condition.
    let sql = format!(
        "SELECT assumeNotNull(visitor), bitShiftLeft(toUInt64(toUInt16(toStartOfMonth(time))), 32)
            + bitShiftLeft(toUInt64(1), toUInt8(toDayOfMonth(time) - 1)) + {CAME}
         FROM signpost.clicks WHERE {} AND {cut_days} AND visitor IS NOT NULL",
        of.conditions()
    );
    read(
        server,
        span.bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?)),
    )
    .await
}

/// Reads hashes, and when they came: the month above the days, since two numbers a row are decoded faster than three.
async fn read(server: &Server, query: Query) -> Result<Vec<Came>, StatsError> {
    let fetched = async {
        let mut came: Vec<Came> = Vec::new();
        let mut blocks = query.fetch_native()?;
        while let Some(block) = blocks.next().await? {
            let [visitor, when] = block.columns() else {
                return Err(Error::Custom("not the columns asked for".to_owned()));
            };
            came.reserve(block.num_rows());
            for (visitor, when) in visitor.iter::<u64>()?.zip(when.iter::<u64>()?) {
                let when = when?;
                came.push(((when >> 32) as u16, visitor?, when as u32));
            }
        }
        Ok(came)
    };
    server.answer(ANSWER_TIMEOUT, fetched).await
}

/// Counts visitors: those of months, and others that came, which are those of raw clicks and of days that are cut.
pub(super) async fn count(
    months: ByMonth,
    came: Vec<Came>,
    span: &Span,
) -> Result<Visitors, StatsError> {
    let span = span.clone();
    // Some milliseconds: not on a thread that serves others.
    tokio::task::spawn_blocking(move || counted(&months, came, &span))
        .await
        .map_err(unavailable)
}

fn unavailable(error: tokio::task::JoinError) -> StatsError {
    StatsError::Unavailable(error.to_string())
}

/// Counts each visitor of a month once, in whichever of both it is and however often.
fn counted(months: &ByMonth, came: Vec<Came>, span: &Span) -> Visitors {
    let mut others: BTreeMap<u16, Vec<(u64, u32)>> = BTreeMap::new();
    for (month, visitor, days) in came {
        others.entry(month).or_default().push((visitor, days));
    }
    for month in months.keys() {
        others.entry(*month).or_default();
    }
    let mut visitors = Visitors::default();
    for (start, mut others) in others {
        others.sort_unstable_by_key(|(visitor, _)| *visitor);
        let (level, known) = months
            .get(&start)
            .map_or((Level(0), [].as_slice()), |month| {
                (month.level, &month.came)
            });
        // Others are not sampled by the server.
        let sampled = others.partition_point(|(visitor, _)| *visitor <= level.largest());
        others.truncate(sampled);
        let within = span.days_within(start) | CAME;
        let (mut total, mut by_day) = (0, [0_u64; 31]);
        let (mut known, mut others) = (known, others.as_slice());
        while let Some(next) = [known.first(), others.first()].into_iter().flatten().min() {
            let (visitor, mut days) = (next.0, 0);
            for list in [&mut known, &mut others] {
                while let Some(((_, more), rest)) =
                    list.split_first().filter(|(c, _)| c.0 == visitor)
                {
                    days |= more;
                    *list = rest;
                }
            }
            days &= within;
            total += u64::from(days != 0);
            let mut left = days & !CAME;
            while left != 0 {
                if let Some(day) = by_day.get_mut(left.trailing_zeros() as usize) {
                    *day += 1;
                }
                left &= left - 1;
            }
        }
        visitors.total += total * level.weight();
        for (day, count) in (i64::from(start)..).zip(by_day) {
            if count > 0 {
                visitors.by_day.insert(day, count * level.weight());
            }
        }
    }
    visitors
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::Range;
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    /// 2026-10-01.
    const OCTOBER: u16 = 20_727;

    fn span(from_day: i64, to_day: i64) -> Span {
        Span::new(&Range {
            from_ms: Some(from_day * DAY_MS),
            to_ms: Some(to_day * DAY_MS),
            tz: TimeZone::UTC,
        })
        .expect("not empty")
    }

    #[test]
    fn a_month_is_counted_whole_or_by_a_sample_of_known_size() {
        assert_eq!(Level::of(0), Level(0));
        // Never sampled, even if the rough count is 6 % above.
        assert_eq!(Level::of(EXACT * 106 / 100), Level(0));
        for visitors in [100_000, 1_000_000, 300_000_000, u64::MAX] {
            let level = Level::of(visitors);
            let sample = visitors / level.weight();
            assert!((SAMPLE / 2..=SAMPLE).contains(&sample), "{visitors}");
        }
        assert_eq!(Level(3).largest(), u64::MAX / 8);
    }

    fn of_month(level: u32, came: &[(u64, u32)]) -> Arc<MonthVisitors> {
        Arc::new(MonthVisitors {
            level: Level(level),
            came: came.to_vec(),
        })
    }

    #[test]
    fn a_visitor_counts_once_a_month_and_once_a_day() {
        let october = i64::from(OCTOBER);
        let months = ByMonth::from([
            (OCTOBER, of_month(0, &[(7, 0b0110), (9, 0b1_0000_0000)])),
            (OCTOBER + 31, of_month(0, &[(7, 0b0001)])),
        ]);
        let came = vec![
            (OCTOBER, 7, 0b1000),
            (OCTOBER, 3, CAME),
            (OCTOBER, 7, 0b0010),
        ];
        let seen = counted(&months, came, &span(october + 1, october + 40));
        assert_eq!(seen.total, 4);
        let mut by_day: Vec<_> = seen.by_day.into_iter().collect();
        by_day.sort_unstable();
        let days = [(1, 1), (2, 1), (3, 1), (8, 1), (31, 1)];
        assert_eq!(by_day, days.map(|(day, n)| (october + day, n)));
    }

    #[test]
    fn of_a_sampled_month_raw_visitors_are_sampled_too() {
        let months = ByMonth::from([(OCTOBER, of_month(1, &[]))]);
        let came = vec![(OCTOBER, 5, 1), (OCTOBER, u64::MAX, CAME | 1)];
        let start = i64::from(OCTOBER);
        let seen = counted(&months, came, &span(start, start + 31));
        assert_eq!((seen.total, seen.by_day.get(&start)), (2, Some(&2)));
    }
}
