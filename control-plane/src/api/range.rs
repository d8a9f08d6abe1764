//! The range of a statistics call, named in all dialects by `from` and `to`, and read here for all of them: so the same words
//! are the same visits, to the click, in whichever dialect they are asked for.
//!
//! Both ends are part of the range: a day wholly, from its beginning to its end in the call's time zone (UTC but where a
//! dialect has a parameter for it); an instant with its whole second, since dates are shown to the second. What is absent
//! leaves its side open.

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::request::Query;
use crate::domain::date::When;
use crate::domain::field::FieldError;
use crate::stats::Range;

/// Milliseconds of a second.
const SECOND_MS: i64 = 1000;

/// Reads `from` and `to`.
///
/// # Errors
/// No dates, or in the wrong order.
pub(super) fn read(query: &Query, tz: TimeZone) -> Result<Range, FieldError> {
    range((when(query, "from")?, when(query, "to")?), tz)
}

fn range((from, to): (Option<When>, Option<When>), tz: TimeZone) -> Result<Range, FieldError> {
    let from_ms = match from {
        None => None,
        Some(When::Instant(ms)) => Some(second(ms)),
        Some(When::Day(day)) => {
            let start = start_of(day, &tz);
            Some(start.ok_or_else(|| FieldError::new("from", "is too far away"))?)
        }
    };
    // Nothing is after the last second and the last day there are: an end beyond is open.
    let to_ms = to.and_then(|to| match to {
        When::Instant(ms) => second(ms).checked_add(SECOND_MS),
        When::Day(day) => start_of(day.checked_add(1.day()).ok()?, &tz),
    });
    if let (Some(from), Some(to)) = (from_ms, to_ms)
        && from >= to
    {
        return Err(FieldError::new("from", "must not be after to"));
    }
    Ok(Range { from_ms, to_ms, tz })
}

/// The beginning of an instant's second.
fn second(ms: i64) -> i64 {
    ms.div_euclid(SECOND_MS) * SECOND_MS
}

fn start_of(day: Date, tz: &TimeZone) -> Option<i64> {
    let start = day.to_zoned(tz.clone()).ok()?;
    Some(start.timestamp().as_millisecond())
}

/// A `+` of an offset that was not escaped has become a space.
fn when(query: &Query, name: &str) -> Result<Option<When>, FieldError> {
    let Some(text) = query.text(name) else {
        return Ok(None);
    };
    let offset = text
        .get(10..)
        .and_then(|time| time.get(1..))
        .is_some_and(|time| time.contains(' '));
    let text = if offset {
        let (start, end) = text.rsplit_once(' ').unwrap_or((text, ""));
        format!("{start}+{end}")
    } else {
        text.to_owned()
    };
    When::parse(name, &text).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::date::format;

    #[track_caller]
    fn check(from: &str, to: &str, zone: &str, expected: (&str, &str)) {
        let when = |text: &str| (!text.is_empty()).then(|| When::parse("", text).expect("a date"));
        let tz = TimeZone::get(zone).expect("a zone");
        let range = range((when(from), when(to)), tz).expect("a range");
        let shown = |ms: Option<i64>| ms.map(format).unwrap_or_default();
        let found = (shown(range.from_ms), shown(range.to_ms));
        assert_eq!((&*found.0, &*found.1), expected, "{from} {to} {zone}");
    }

    #[test]
    fn both_ends_are_part_of_a_range() {
        let may = ("2026-05-01 00:00:00", "2026-06-01 00:00:00");
        check("2026-05-01", "2026-05-31", "UTC", may);
        check("2026-05-01T00:00:00Z", "2026-05-31T23:59:59Z", "UTC", may);
        check("2026-05-01T00:00:00.9", "2026-05-31T23:59:59.1", "UTC", may);
        let there = ("2026-04-30 22:00:00", "2026-05-31 22:00:00");
        check("2026-05-01", "2026-05-31", "Europe/Berlin", there);
        check("2026-05-01", "", "UTC", (may.0, ""));
        check("", "2026-05-31", "UTC", ("", may.1));
        let second = ("2026-05-01 10:00:00", "2026-05-01 10:00:01");
        check("2026-05-01 10:00:00", "2026-05-01 10:00:00", "UTC", second);
        check("", "9999-12-31", "UTC", ("", ""));
    }

    #[test]
    fn an_end_before_the_beginning_is_refused() {
        for (from, to) in [
            ("2026-05-02", "2026-05-01"),
            ("2026-05-01T10:00:01Z", "2026-05-01T10:00:00Z"),
        ] {
            let when = |text: &str| Some(When::parse("", text).expect("a date"));
            let error = range((when(from), when(to)), TimeZone::UTC).expect_err("none");
            assert_eq!(error.to_string(), "from must not be after to");
        }
        let far = When::Day(Date::MAX);
        let error = range((Some(far), None), TimeZone::UTC).expect_err("none");
        assert_eq!(error.to_string(), "from is too far away");
    }
}
