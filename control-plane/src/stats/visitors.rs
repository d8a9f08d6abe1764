//! Distinct visitors of busy links, from `visitors_by_month`.
//!
//! A link's visitors of a month (hashes differ between the periods of a salt, which are months or days) are rows with the
//! days on which each came. Up to [`EXACT`] of them are read and counted. Of more, those with the smallest hashes are:
//! hashes are uniform and keyed by a secret, so that is a fair sample that nobody can steer, the same one for every
//! question about the month, and each visitor in it stands for 2, 4, 8 … others. What a question costs is so bounded by
//! the months of its range, and a day, a range and the whole month are estimates of one kind.
//!
//! How many there are, to choose the sample, comes from a rough state beside each month's total. That choice is kept for a
//! while, unlike answers: an old one is as right as a new one, and reads more rows where a month has grown since.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use clickhouse::error::Error;
use serde::Deserialize;

use super::server::{ANSWER_TIMEOUT, Server};
use super::span::{Span, month_and_day, month_end};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// A month in which a link has clicks that are rolled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Month {
    /// Its first day, as days since 1970.
    pub(super) start: u16,
    /// Which of its visitors are counted.
    pub(super) level: Level,
}

#[derive(Debug, Row, Deserialize)]
struct MonthRow {
    month: u16,
    visitors: u64,
}

/// Months of busy links, as they were when they were last asked for.
#[derive(Debug)]
pub(super) struct KnownMonths(moka::sync::Cache<Of, Arc<[Month]>>);

impl Default for KnownMonths {
    fn default() -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(MAX_KNOWN)
            .time_to_live(KNOWN_FOR);
        Self(cache.build())
    }
}

/// Links whose months are kept: some kilobytes each at most.
const MAX_KNOWN: u64 = 10_000;

/// How long they are: within it a month does not grow so much that reading all of what came since would be felt.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// The months in which clicks of a link were rolled up a short while ago, in order. None: all its clicks are raw. There may
/// be more by now.
pub(super) async fn months(server: &Server, of: Of) -> Result<Arc<[Month]>, StatsError> {
    if let Some(months) = server.months.0.get(&of) {
        return Ok(months);
    }
    let conditions = of.conditions();
    let sql = format!(
        "SELECT toUInt16(start) AS month, ifNull(uniqCombined64Merge(12)(visitors), 0) AS visitors
         FROM signpost.clicks_by_period WHERE {conditions} AND period = 'month' AND dimension = 'total'
         GROUP BY month ORDER BY month"
    );
    let query = of.bind(server.query(&sql, ANSWER_TIMEOUT)?);
    let rows = server
        .answer(ANSWER_TIMEOUT, query.fetch_all::<MonthRow>())
        .await?;
    let month = |row: MonthRow| Month {
        start: row.month,
        level: Level::of(row.visitors),
    };
    let months: Arc<[Month]> = rows.into_iter().map(month).collect();
    // A link that is not busy may be so at any moment.
    if !months.is_empty() {
        server.months.0.insert(of, Arc::clone(&months));
    }
    Ok(months)
}

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

/// Reads the visitors of a busy link, but for those of raw clicks.
pub(super) async fn read(
    server: &Server,
    of: Of,
    span: &Span,
    months: &[Month],
) -> Result<Vec<Came>, StatsError> {
    let conditions = of.conditions();
    // No aliases: one would hide the column of its name in the condition.
    let mut halves = Vec::new();
    if let Some(cut_days) = span.cut_days() {
        halves.push(format!(
            "SELECT assumeNotNull(visitor), bitShiftLeft(toUInt64(toUInt16(toStartOfMonth(time))), 32)
                + bitShiftLeft(toUInt64(1), toUInt8(toDayOfMonth(time) - 1)) + {CAME}
             FROM signpost.clicks WHERE {conditions} AND {cut_days} AND visitor IS NOT NULL"
        ));
    }
    let runs = runs(months, span);
    if !runs.is_empty() {
        let which: Vec<String> = runs
            .into_iter()
            .map(|(run, level)| {
                format!(
                    "month >= toDate({}) AND month <= toDate({}) AND visitor <= {}",
                    run.start(),
                    run.end(),
                    level.largest()
                )
            })
            .collect();
        halves.push(format!(
            "SELECT visitor, bitShiftLeft(toUInt64(toUInt16(month)), 32) + days
             FROM signpost.visitors_by_month WHERE {conditions} AND ({})",
            which.join(" OR ")
        ));
    }
    if halves.is_empty() {
        return Ok(Vec::new());
    }
    let sql = halves.join(" UNION ALL ");
    let query = span.bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?));
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
                // The month is above the days: two numbers a row are decoded faster than three.
                came.push(((when >> 32) as u16, visitor?, when as u32));
            }
        }
        Ok(came)
    };
    server.answer(ANSWER_TIMEOUT, fetched).await
}

/// Counts visitors that came, those of raw clicks included.
pub(super) async fn count(
    came: Vec<Came>,
    months: Arc<[Month]>,
    span: &Span,
) -> Result<Visitors, StatsError> {
    let span = span.clone();
    // Some milliseconds of sorting: not on a thread that serves others.
    tokio::task::spawn_blocking(move || counted(came, &months, &span))
        .await
        .map_err(|error| StatsError::Unavailable(error.to_string()))
}

/// The span's months, those with the same level in one piece: first and last day. Of months that nothing is known of,
/// perhaps since they are new, all visitors are read.
fn runs(months: &[Month], span: &Span) -> Vec<(RangeInclusive<u16>, Level)> {
    let mut runs: Vec<(RangeInclusive<u16>, Level)> = Vec::new();
    let Some((first, last)) = span.whole_months() else {
        return runs;
    };
    let mut add = |from: u16, to: u16, level| match runs.last_mut() {
        _ if from > to => {}
        Some((run, same)) if *same == level => *run = *run.start()..=to,
        _ => runs.push((from..=to, level)),
    };
    let mut next = first;
    for month in months {
        if (first..=last).contains(&month.start) && month.level.weight() > 1 {
            add(next, month.start.saturating_sub(1), Level(0));
            let end = month_end(month.start);
            add(month.start, end, month.level);
            next = end.saturating_add(1);
        }
    }
    add(next, month_end(last), Level(0));
    runs
}

/// Counts each visitor of a month once, whatever the number of rows that name it.
fn counted(mut came: Vec<Came>, months: &[Month], span: &Span) -> Visitors {
    // Rows come in a few sorted runs, which this sort finds.
    came.sort_by_key(|(month, visitor, _)| (*month, *visitor));
    let mut visitors = Visitors::default();
    for of_month in came.chunk_by(|a, b| a.0 == b.0) {
        let Some((start, ..)) = of_month.first() else {
            continue;
        };
        let level = months
            .iter()
            .find(|month| month.start == *start)
            .map_or(Level(0), |month| month.level);
        let within = span.days_within(*start) | CAME;
        let (mut total, mut by_day) = (0, [0_u64; 31]);
        // Raw clicks are not sampled by the server.
        let sampled = of_month
            .chunk_by(|a, b| a.1 == b.1)
            .take_while(|same| same.first().is_some_and(|(_, v, _)| *v <= level.largest()));
        for same in sampled {
            let days = same.iter().fold(0, |days, (.., more)| days | more) & within;
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
        for (day, count) in (i64::from(*start)..).zip(by_day) {
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

    #[test]
    fn a_visitor_counts_once_a_month_and_once_a_day() {
        let october = i64::from(OCTOBER);
        let came = vec![
            (OCTOBER, 7, 0b0110),
            (OCTOBER + 31, 7, 0b0001),
            (OCTOBER, 7, 0b1010),
            (OCTOBER, 9, 0b1_0000_0000),
            (OCTOBER, 3, CAME),
        ];
        let seen = counted(came, &[], &span(october + 1, october + 40));
        assert_eq!(seen.total, 4);
        let mut by_day: Vec<_> = seen.by_day.into_iter().collect();
        by_day.sort_unstable();
        let days = [(1, 1), (2, 1), (3, 1), (8, 1), (31, 1)];
        assert_eq!(by_day, days.map(|(day, n)| (october + day, n)));
    }

    #[test]
    fn of_a_sampled_month_raw_visitors_are_sampled_too() {
        let october = Month {
            start: OCTOBER,
            level: Level(1),
        };
        let came = vec![(OCTOBER, 5, 1), (OCTOBER, u64::MAX, CAME | 1)];
        let start = i64::from(OCTOBER);
        let seen = counted(came, &[october], &span(start, start + 31));
        assert_eq!((seen.total, seen.by_day.get(&start)), (2, Some(&2)));
    }

    #[test]
    fn months_of_one_level_are_asked_for_together() {
        let month = |start, level| Month {
            start,
            level: Level(level),
        };
        // September to December.
        let months = [(20_697, 0), (20_727, 1), (20_758, 1), (20_788, 0)];
        let months = months.map(|(start, level)| month(start, level));
        assert_eq!(
            runs(&months, &span(20_700, 20_790)),
            [
                (20_697..=20_726, Level(0)),
                (20_727..=20_787, Level(1)),
                (20_788..=20_818, Level(0))
            ]
        );
        let november = span(20_759, 20_760);
        assert_eq!(runs(&months, &november), [(20_758..=20_787, Level(1))]);
        // What is not known is read whole.
        assert_eq!(runs(&[], &november), [(20_758..=20_787, Level(0))]);
        assert_eq!(
            runs(&[month(20_788, 2)], &span(20_700, 20_760)),
            [(20_697..=20_787, Level(0))]
        );
        assert!(runs(&months, &span(20_700, 20_700 + 1)).len() == 1);
    }
}
