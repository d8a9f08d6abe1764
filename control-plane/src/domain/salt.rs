//! Salts of the visitor hash: which exist at a given time.
//!
//! A salt serves one calendar month (or day) of UTC. The present one and the next always exist, so that a proxy that
//! hears nothing for a while still hashes right across the boundary. A salt is deleted once no click of its time can
//! come any more: then nobody can tell whose visits were the same.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};

/// Greatest age of a click that still waits in a log to be hashed: ring and click log are drained at start, so this is
/// how long a proxy's machine may be down, in milliseconds (14 days).
pub const GREATEST_AGE_MS: i64 = 14 * 24 * 3600 * 1000;

/// How long a visitor counts as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A day of UTC.
    Day,
    /// A month of UTC.
    Month,
}

impl FromStr for Period {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "day" => Ok(Self::Day),
            "month" => Ok(Self::Month),
            _ => Err(()),
        }
    }
}

/// A salt without its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First instant, milliseconds since 1970.
    pub starts_at: i64,
    /// First instant after it.
    pub ends_at: i64,
}

/// What to do so that the present and the next salt exist and none is kept too long.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Spans that need a new salt.
    pub create: Vec<Span>,
    /// Delete those that end at or before this instant.
    pub delete_until: i64,
}

/// The plan at `now_ms`, given the spans that exist in order of time. Existing spans are never moved: where the period
/// was changed, new ones follow the last.
pub fn plan(now_ms: i64, period: Period, existing: &[Span]) -> Plan {
    let mut spans = existing.to_vec();
    let mut create = Vec::new();
    loop {
        let covers_now = spans
            .iter()
            .any(|s| s.starts_at <= now_ms && now_ms < s.ends_at);
        let next = spans.iter().any(|s| s.starts_at > now_ms);
        if covers_now && next {
            break;
        }
        let from = match spans.last() {
            // After a long pause there is a hole: begin with the present period.
            Some(last) if last.ends_at > now_ms => last.ends_at,
            _ => now_ms,
        };
        let (mut starts_at, ends_at) = period_around(from, period);
        if let Some(last) = spans.last() {
            starts_at = starts_at.max(last.ends_at);
        }
        let span = Span { starts_at, ends_at };
        if ends_at <= starts_at {
            // Only at the end of time, where the calendar stops.
            break;
        }
        spans.push(span);
        create.push(span);
    }
    Plan {
        create,
        delete_until: now_ms.saturating_sub(GREATEST_AGE_MS),
    }
}

/// First instant of the period that holds `at_ms`, and of the one after it.
fn period_around(at_ms: i64, period: Period) -> (i64, i64) {
    let date = Timestamp::from_millisecond(at_ms)
        .unwrap_or(Timestamp::MAX)
        .to_zoned(TimeZone::UTC)
        .date();
    let (first, after) = match period {
        Period::Day => (date, date.checked_add(1.day())),
        Period::Month => (
            date.first_of_month(),
            date.first_of_month().checked_add(1.month()),
        ),
    };
    (midnight_ms(first), midnight_ms(after.unwrap_or(Date::MAX)))
}

fn midnight_ms(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC)
        .map_or(i64::MAX, |z| z.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("instant").as_millisecond()
    }

    fn span(from: &str, to: &str) -> Span {
        Span {
            starts_at: ms(from),
            ends_at: ms(to),
        }
    }

    #[test]
    fn the_first_start_makes_this_month_and_the_next() {
        let plan = plan(ms("2026-12-15T10:00:00Z"), Period::Month, &[]);
        assert_eq!(
            plan.create,
            [
                span("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
                span("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z")
            ]
        );
    }

    #[test]
    fn the_turn_of_the_month_makes_one_more_and_later_drops_the_old() {
        let have = [
            span("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            span("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"),
        ];
        assert_eq!(
            plan(ms("2026-12-31T23:59:59Z"), Period::Month, &have).create,
            []
        );
        let turn = plan(ms("2027-01-01T00:00:00Z"), Period::Month, &have);
        assert_eq!(
            turn.create,
            [span("2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z")]
        );
        assert!(turn.delete_until < have[0].ends_at);
        assert!(
            plan(ms("2027-01-15T00:00:00Z"), Period::Month, &have).delete_until >= have[0].ends_at
        );
    }

    #[test]
    fn a_changed_period_follows_the_last_salt_without_overlap() {
        let have = [span("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")];
        assert_eq!(
            plan(ms("2026-12-15T00:00:00Z"), Period::Day, &have).create,
            [span("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z")]
        );
    }

    #[test]
    fn after_a_long_pause_the_present_period_is_covered() {
        let have = [span("2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z")];
        assert_eq!(
            plan(ms("2026-12-15T00:00:00Z"), Period::Month, &have)
                .create
                .len(),
            2
        );
    }
}
