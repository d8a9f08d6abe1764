//! A range of time as the tables have it: whole UTC days, the pieces of days before and after them, and the offsets of
//! its time zone.

use clickhouse::query::Query;
use jiff::Timestamp;
use jiff::civil::Date;

use super::{Range, Step};

const DAY_MS: i64 = 86_400_000;
const DAY_SECONDS: i64 = 86_400;
const HOUR_SECONDS: i64 = 3_600;

/// 2106-01-01, the last whole year that ClickHouse's DateTime holds; no click is later.
const END_MS: i64 = 4_291_747_200_000;

/// A range that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Span {
    from_ms: i64,
    to_ms: i64,
    /// Whole UTC days in it, as days since 1970; the second is the first one after. None when not `first < last`.
    first_day: i64,
    last_day: i64,
    offsets: Offsets,
}

/// Seconds east of UTC, from each instant (seconds since 1970) to the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Offsets {
    at: Vec<i64>,
    offset: Vec<i64>,
}

impl Span {
    /// `None`: nothing can be in it.
    pub(super) fn new(range: &Range) -> Option<Self> {
        let from_ms = range.from_ms.unwrap_or(0).max(0);
        let to_ms = range.to_ms.unwrap_or(END_MS).min(END_MS);
        (from_ms < to_ms).then(|| Self {
            from_ms,
            to_ms,
            first_day: from_ms.div_euclid(DAY_MS) + i64::from(from_ms % DAY_MS != 0),
            last_day: to_ms.div_euclid(DAY_MS),
            offsets: Offsets::new(range, from_ms, to_ms),
        })
    }

    /// First instant, milliseconds since 1970.
    pub(super) fn start_ms(&self) -> i64 {
        self.from_ms
    }

    /// Whether it is made of whole UTC days.
    pub(super) fn is_whole_days(&self) -> bool {
        self.from_ms % DAY_MS == 0 && self.to_ms % DAY_MS == 0
    }

    /// Whether its zone's days are UTC's.
    pub(super) fn is_utc(&self) -> bool {
        self.offsets.offset.iter().all(|offset| *offset == 0)
    }

    /// In `clicks_by_day`: its whole days.
    pub(super) const DAYS: &'static str = "day >= {first_day:Date} AND day < {last_day:Date}";

    /// In `clicks`: all of it.
    pub(super) const TIME: &'static str = "time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";

    /// In `clicks`: what its whole days leave over. With [`Self::TIME`].
    const EDGES: &'static str = "(time < fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC') OR time >= fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC'))";

    /// In `clicks`: what `clicks_by_day` does not count within the span.
    pub(super) fn not_rolled_up(&self) -> String {
        if self.is_whole_days() {
            format!("{} AND NOT rolled_up", Self::TIME)
        } else {
            format!("{} AND (NOT rolled_up OR {})", Self::TIME, Self::EDGES)
        }
    }

    /// In `clicks`: the flagged clicks of days that the span cuts; `None` when it cuts none.
    pub(super) fn cut_days(&self) -> Option<String> {
        (!self.is_whole_days()).then(|| format!("{} AND rolled_up AND {}", Self::TIME, Self::EDGES))
    }

    /// Gives the parameters that the conditions name.
    pub(super) fn bind(&self, query: Query) -> Query {
        // A span within one day has no whole one: both bounds fall together and every click is on an edge.
        let (first, last) = if self.first_day < self.last_day {
            (self.first_day, self.last_day)
        } else {
            (self.last_day, self.last_day)
        };
        query
            .param("from", self.from_ms)
            .param("to", self.to_ms)
            .param("first_ms", first * DAY_MS)
            .param("last_ms", last * DAY_MS)
            .param("first_day", label(first, Step::Day))
            .param("last_day", label(last, Step::Day))
    }

    /// Gives the parameters of [`Self::LOCAL`].
    pub(super) fn bind_local(&self, query: Query, step: Step) -> Query {
        query
            .param("step", seconds(step))
            .param("changes", &self.offsets.at)
            .param("offsets", &self.offsets.offset)
    }

    /// In `clicks`: number of the bucket a click falls into, as [`Self::bucket`].
    pub(super) const LOCAL: &'static str = "intDiv(toInt64(toUnixTimestamp(time)) + transform(roundDown(toInt64(toUnixTimestamp(time)), {changes:Array(Int64)}), {changes:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0)), {step:Int64})";

    /// Number of the day or hour since 1970 that an instant falls into, by the zone's clocks. An hour that a change of
    /// clocks repeats is one.
    pub(super) fn bucket(&self, time_ms: i64, step: Step) -> i64 {
        let at = time_ms.div_euclid(1000);
        let known = self.offsets.at.partition_point(|change| *change <= at);
        let offset = self.offsets.offset.get(known.saturating_sub(1));
        (at + offset.copied().unwrap_or(0)).div_euclid(seconds(step))
    }
}

impl Offsets {
    fn new(range: &Range, from_ms: i64, to_ms: i64) -> Self {
        let from = Timestamp::from_millisecond(from_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut at = vec![from.as_second()];
        let mut offset = vec![i64::from(range.tz.to_offset(from).seconds())];
        for change in range.tz.following(from) {
            if change.timestamp().as_millisecond() >= to_ms {
                break;
            }
            at.push(change.timestamp().as_second());
            offset.push(i64::from(change.offset().seconds()));
        }
        Self { at, offset }
    }
}

const fn seconds(step: Step) -> i64 {
    match step {
        Step::Day => DAY_SECONDS,
        Step::Hour => HOUR_SECONDS,
    }
}

/// The name of a bucket: `2026-05-01` or `2026-05-01 13:00:00`.
pub(super) fn label(bucket: i64, step: Step) -> String {
    let seconds = bucket.saturating_mul(seconds(step));
    let day = i32::try_from(seconds.div_euclid(DAY_SECONDS)).unwrap_or(i32::MAX);
    let date = Date::constant(1970, 1, 1)
        .checked_add(jiff::Span::new().days(day.clamp(-700_000, 2_900_000)))
        .unwrap_or(Date::MAX);
    match step {
        Step::Day => date.to_string(),
        Step::Hour => format!(
            "{date} {:02}:00:00",
            seconds.rem_euclid(DAY_SECONDS) / HOUR_SECONDS
        ),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("time").as_millisecond()
    }

    fn span(from: &str, to: &str, tz: &str) -> Span {
        Span::new(&Range {
            from_ms: Some(ms(from)),
            to_ms: Some(ms(to)),
            tz: TimeZone::get(tz).expect("zone"),
        })
        .expect("not empty")
    }

    #[test]
    fn a_span_knows_its_whole_days() {
        let s = span("2026-05-01T00:00:00Z", "2026-05-03T00:00:00Z", "UTC");
        assert!(s.is_whole_days() && s.is_utc());
        assert_eq!((s.first_day, s.last_day), (20_574, 20_576));
        let s = span(
            "2026-04-30T18:30:00Z",
            "2026-05-03T18:30:00Z",
            "Asia/Kolkata",
        );
        assert!(!s.is_whole_days() && !s.is_utc());
        assert_eq!((s.first_day, s.last_day), (20_574, 20_576));
        let within = span("2026-05-01T08:00:00Z", "2026-05-01T09:00:00Z", "UTC");
        assert!(within.first_day > within.last_day);
    }

    #[test]
    fn empty_ranges_are_none_and_open_ones_are_whole() {
        let range = |from_ms, to_ms| Range {
            from_ms,
            to_ms,
            tz: TimeZone::UTC,
        };
        assert_eq!(Span::new(&range(Some(5), Some(5))), None);
        assert_eq!(Span::new(&range(Some(i64::MAX), None)), None);
        assert_eq!(Span::new(&range(None, Some(i64::MIN))), None);
        assert!(Span::new(&range(None, None)).is_some_and(|s| s.is_whole_days()));
        assert!(Span::new(&range(Some(i64::MIN), Some(i64::MAX))).is_some());
    }

    #[test]
    fn buckets_follow_the_clocks_of_the_zone() {
        // Berlin put its clocks back at 01:00 UTC on 25 October 2026 and forward on 29 March.
        let s = span(
            "2026-01-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
            "Europe/Berlin",
        );
        let day = |text| label(s.bucket(ms(text), Step::Day), Step::Day);
        let hour = |text| label(s.bucket(ms(text), Step::Hour), Step::Hour);
        assert_eq!(day("2026-03-28T22:59:59Z"), "2026-03-28");
        assert_eq!(day("2026-03-28T23:00:00Z"), "2026-03-29");
        assert_eq!(day("2026-03-29T21:59:59Z"), "2026-03-29");
        assert_eq!(day("2026-03-29T22:00:00Z"), "2026-03-30");
        assert_eq!(hour("2026-10-25T00:59:59Z"), "2026-10-25 02:00:00");
        assert_eq!(hour("2026-10-25T01:00:00Z"), "2026-10-25 02:00:00");
        assert_eq!(hour("2026-10-25T02:00:00Z"), "2026-10-25 03:00:00");
        assert_eq!(hour("2026-03-29T01:00:00Z"), "2026-03-29 03:00:00");
    }

    #[test]
    fn labels_of_any_number_exist() {
        for bucket in [i64::MIN, -1, 0, 20_574, i64::MAX] {
            let _ = (label(bucket, Step::Day), label(bucket, Step::Hour));
        }
        assert_eq!(label(-1, Step::Day), "1969-12-31");
        assert_eq!(label(20_574 * 24 + 13, Step::Hour), "2026-05-01 13:00:00");
    }
}
