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

    /// Whether an instant is in it.
    pub(super) fn has(&self, time_ms: i64) -> bool {
        (self.from_ms..self.to_ms).contains(&time_ms)
    }

    /// Whether it is made of whole UTC days.
    pub(super) fn is_whole_days(&self) -> bool {
        self.from_ms % DAY_MS == 0 && self.to_ms % DAY_MS == 0
    }

    /// Whether its zone's days are UTC's.
    pub(super) fn is_utc(&self) -> bool {
        self.offsets.offset.iter().all(|offset| *offset == 0)
    }

    /// In `clicks_by_period`: the clicks of each of its months' days; some days may be outside.
    pub(super) const DAYS: &'static str =
        "period = 'month' AND start >= {head:Date} AND start <= {tail:Date} AND dimension = 'day'";

    /// In `clicks_by_period`, with [`Self::DAYS`]: those of its whole days.
    pub(super) const WHOLE_DAYS: &'static str =
        "value >= {first_day:String} AND value < {last_day:String}";

    /// In `clicks_by_period`: a condition for its whole days, as months, and five days and days to add or to take away
    /// again, and what the clicks of a row count. Lists and few comparisons: the engine spends more time on what a
    /// condition of many ranges means than on reading its rows (12 of 18 ms; so it takes 14).
    pub(super) fn cover(&self) -> Summands {
        let (first, last) = self.whole_days();
        let cover = Cover::of(first, last);
        let date = |day| label(day, Step::Day);
        let periods: Vec<String> = [cover.left, cover.right]
            .into_iter()
            .flat_map(Edge::periods)
            .map(|(kind, start)| format!("('{}', '{}')", kind.name(), date(start)))
            .collect();
        let (from, to) = (date(cover.months.0), date(cover.months.1));
        let months = format!("period = 'month' AND start >= '{from}' AND start < '{to}'");
        let rows = if periods.is_empty() {
            months
        } else {
            format!("((period, start) IN ({}) OR {months})", periods.join(", "))
        };
        let (border, left, right) = (date(cover.left.to), cover.left.sign, cover.right.sign);
        let clicks = format!(
            "toInt64(clicks) * multiIf(period = 'month', 1, start < '{border}', {left}, {right})"
        );
        Summands { rows, clicks }
    }

    /// What the clicks of its whole days are made of, as far as these months have any: by value, each to be added (1) or
    /// taken away (-1), and by day.
    pub(super) fn periods(&self, months: &[u16]) -> Vec<(Period, i64)> {
        let (first, last) = self.whole_days();
        let cover = Cover::of(first, last);
        let edges = [cover.left, cover.right].into_iter().flat_map(|edge| {
            let sign = i64::from(edge.sign);
            edge.periods()
                .filter_map(move |(kind, start)| Some((Period::new(kind, start)?, sign)))
        });
        let (begin, end) = cover.months;
        let whole = months.iter().filter(|month| {
            let start = i64::from(**month);
            begin <= start && start < end
        });
        let of = |kind| {
            move |start: &u16| {
                (
                    Period {
                        kind,
                        start: *start,
                    },
                    1,
                )
            }
        };
        edges
            .filter(|(period, _)| months.contains(&period.month()))
            .chain(whole.map(of(Kind::Month)))
            .chain(months.iter().map(of(Kind::Days)))
            .collect()
    }

    /// The months of its whole days, first and last, by their first days since 1970; `None` when it has no whole day.
    pub(super) fn whole_months(&self) -> Option<(u16, u16)> {
        let (first, last) = self.whole_days();
        let month = |day| u16::try_from(month_of(day)).ok();
        (first < last).then_some(())?;
        Some((month(first)?, month(last - 1)?))
    }

    /// Whether a day, in days since 1970, is one of its whole ones.
    pub(super) fn has_day(&self, day: i64) -> bool {
        let (first, last) = self.whole_days();
        (first..last).contains(&day)
    }

    /// Which days of a month are in its whole days: bit 0 is the first.
    pub(super) fn days_within(&self, month: u16) -> u32 {
        let (month, (first, last)) = (i64::from(month), self.whole_days());
        let bits = |days: i64| u32::try_from((1_u64 << days.clamp(0, 31)) - 1).unwrap_or(0);
        bits((last - month).min(days_of(month))) & !bits(first - month)
    }

    /// Its whole days, as days since 1970; the second is the first one after.
    fn whole_days(&self) -> (i64, i64) {
        // A span within one day has no whole one: both bounds fall together and every click is on an edge.
        (self.first_day.min(self.last_day), self.last_day)
    }

    /// In `clicks`: all of it.
    pub(super) const TIME: &'static str = "time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";

    /// In `clicks`: what its whole days leave over. With [`Self::TIME`].
    const EDGES: &'static str = "(time < fromUnixTimestamp64Milli({first_ms:Int64}, 'UTC') OR time >= fromUnixTimestamp64Milli({last_ms:Int64}, 'UTC'))";

    /// In `clicks`: the flagged clicks of days that the span cuts; `None` when it cuts none.
    pub(super) fn cut_days(&self) -> Option<String> {
        (!self.is_whole_days()).then(|| format!("{} AND rolled_up AND {}", Self::TIME, Self::EDGES))
    }

    /// Gives the parameters that the conditions name.
    pub(super) fn bind(&self, query: Query) -> Query {
        let (first, last) = self.whole_days();
        query
            .param("from", self.from_ms)
            .param("to", self.to_ms)
            .param("first_ms", first * DAY_MS)
            .param("last_ms", last * DAY_MS)
            .param("first_day", label(first, Step::Day))
            .param("last_day", label(last, Step::Day))
            .param("head", label(month_of(first), Step::Day))
            .param("tail", label(month_of(last), Step::Day))
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

/// A piece of time that `clicks_by_period` has rows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Period {
    pub(super) kind: Kind,
    /// Its first day, as days since 1970.
    pub(super) start: u16,
}

/// What rows a period has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A day by value.
    Day,
    /// Five days by value.
    FiveDays,
    /// A month by value.
    Month,
    /// A month by day.
    Days,
}

impl Kind {
    /// Its name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::FiveDays => "five_days",
            Self::Month | Self::Days => "month",
        }
    }

    /// That of a number in the table.
    pub(super) const fn numbered(number: i8) -> Option<Self> {
        match number {
            1 => Some(Self::Day),
            2 => Some(Self::FiveDays),
            3 => Some(Self::Month),
            _ => None,
        }
    }
}

impl Period {
    fn new(kind: Kind, start: i64) -> Option<Self> {
        let start = u16::try_from(start).ok()?;
        Some(Self { kind, start })
    }

    /// The month it is in, by its first day since 1970.
    pub(super) fn month(self) -> u16 {
        u16::try_from(month_of(i64::from(self.start))).unwrap_or_default()
    }
}

/// Rows of `clicks_by_period` that add up to the clicks of a span's whole days. SQL, made of constants and dates.
#[derive(Debug)]
pub(super) struct Summands {
    /// A condition: which rows.
    pub(super) rows: String,
    /// An expression: what each counts, signed.
    pub(super) clicks: String,
}

/// Whole days as months, and at most half a month at each end that is added or taken away, in fives and single days.
/// Clicks add up, so this is exact, and it reads a sixth of the rows that the days of a quarter have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cover {
    /// First month, and the first one after; days since 1970.
    months: (i64, i64),
    left: Edge,
    /// Behind the left one.
    right: Edge,
}

/// Days of a month, and whether their clicks are added (1) or taken away (-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edge {
    from: i64,
    /// From here to `rest` they are whole times five days; `to` where there are none.
    fives: i64,
    rest: i64,
    to: i64,
    sign: i8,
}

impl Edge {
    fn of(from: i64, to: i64, sign: i8) -> Self {
        let head = month_of(from);
        // The last five days reach to the end of the month.
        let starts = [0, 5, 10, 15, 20, 25, days_of(head)].map(|days| head + days);
        let fives = starts.into_iter().find(|start| *start >= from);
        let rest = starts.into_iter().rev().find(|start| *start <= to);
        let (fives, rest) = match (fives, rest) {
            (Some(fives), Some(rest)) if fives < rest => (fives, rest),
            _ => (to, to),
        };
        Self {
            from,
            fives,
            rest,
            to,
            sign,
        }
    }

    /// Its periods by name and first day, as days since 1970.
    fn periods(self) -> impl Iterator<Item = (Kind, i64)> {
        let day = |day| (Kind::Day, day);
        let fives = (self.fives..self.rest).filter(|day| {
            let of_month = date(*day).day();
            of_month % 5 == 1 && of_month <= 26
        });
        (self.from..self.fives)
            .map(day)
            .chain(fives.map(|first| (Kind::FiveDays, first)))
            .chain((self.rest..self.to).map(day))
    }
}

impl Cover {
    fn of(first: i64, last: i64) -> Self {
        let (head, tail) = (month_of(first), month_of(last));
        let edge = Edge::of;
        if head == tail {
            // Within a month.
            return Self {
                months: (head, head),
                left: edge(first, last, 1),
                right: edge(last, last, 1),
            };
        }
        let (begin, left) = if first - head <= days_of(head) / 2 {
            (head, edge(head, first, -1))
        } else {
            let next = head + days_of(head);
            (next, edge(first, next, 1))
        };
        let (end, right) = if last - tail <= days_of(tail) / 2 {
            (tail, edge(tail, last, 1))
        } else {
            let next = tail + days_of(tail);
            (next, edge(last, next, -1))
        };
        Self {
            months: (begin, end),
            left,
            right,
        }
    }
}

/// The month of an instant, by its first day since 1970, and the day in it, the first is 0.
pub(super) fn month_and_day(time_ms: i64) -> (u16, u8) {
    let day = time_ms.div_euclid(DAY_MS);
    let month = month_of(day);
    (
        u16::try_from(month).unwrap_or_default(),
        u8::try_from(day - month).unwrap_or_default().min(30),
    )
}

/// The first day of the month that a day is in; both as days since 1970.
fn month_of(day: i64) -> i64 {
    day - i64::from(date(day).day()) + 1
}

/// The number of days of the month that a day is in.
fn days_of(day: i64) -> i64 {
    i64::from(date(day).days_in_month())
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

/// A day since 1970 in the calendar.
fn date(day: i64) -> Date {
    Date::constant(1970, 1, 1)
        .checked_add(jiff::Span::new().days(day.clamp(-700_000, 2_900_000)))
        .unwrap_or(Date::MAX)
}

/// The number of a day by its name, `2026-05-01`.
pub(super) fn day_number(name: &str) -> Option<i64> {
    let date: Date = name.parse().ok()?;
    let epoch = Date::constant(1970, 1, 1);
    Some(i64::from(epoch.until(date).ok()?.get_days()))
}

/// The name of a bucket: `2026-05-01` or `2026-05-01 13:00:00`.
pub(super) fn label(bucket: i64, step: Step) -> String {
    let seconds = bucket.saturating_mul(seconds(step));
    let date = date(seconds.div_euclid(DAY_SECONDS));
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
    fn months_and_edges_are_the_days() {
        // 2026-01-01 to 2027-03-01.
        let days = 20_454..20_878;
        for first in days.clone() {
            for last in [1, 2, 20, 31, 45, 61, 90, 365].map(|n| first + n) {
                let cover = Cover::of(first, last);
                assert!(cover.left.to <= cover.right.from, "{cover:?}");
                let mut counted = std::collections::BTreeMap::new();
                let mut add = |from, to, sign| {
                    (from..to).for_each(|day: i64| *counted.entry(day).or_insert(0) += sign);
                };
                add(cover.months.0, cover.months.1, 1);
                for edge in [cover.left, cover.right] {
                    for (period, start) in edge.periods() {
                        let month = month_of(start);
                        let to = match (period, start - month) {
                            (Kind::Day, _) => start + 1,
                            (_, 25) => month + days_of(start),
                            _ => start + 5,
                        };
                        add(start, to, i32::from(edge.sign));
                    }
                    let periods = edge.periods().count();
                    assert!(periods <= 7 || month_of(first) == month_of(last) && periods <= 13);
                }
                counted.retain(|_, n| *n != 0);
                assert!(counted.values().all(|n| *n == 1), "{first}..{last}");
                assert!(counted.into_keys().eq(first..last), "{first}..{last}");
            }
        }
        let empty = Cover::of(20_574, 20_574);
        assert_eq!(
            (empty.months, empty.left.from),
            ((20_574, 20_574), empty.left.to)
        );
    }

    #[test]
    fn a_month_knows_its_days_in_a_span() {
        let s = span("2026-05-03T00:00:00Z", "2026-07-02T00:00:00Z", "UTC");
        let days = |day: i64| s.days_within(u16::try_from(day).expect("a day"));
        assert_eq!(days(20_574 - 30), 0);
        assert_eq!(days(20_574), (1 << 31) - 1 - 0b11);
        assert_eq!(days(20_605), (1 << 30) - 1);
        assert_eq!(days(20_635), 1);
        assert_eq!(days(20_666), 0);
        let within = span("2026-05-01T08:00:00Z", "2026-05-01T09:00:00Z", "UTC");
        assert_eq!(within.days_within(20_574), 0);
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
        for day in [0, 1, 20_574, 49_674] {
            assert_eq!(day_number(&label(day, Step::Day)), Some(day));
        }
        assert_eq!(day_number("yesterday"), None);
    }
}
