//! Dates as clients write and read them.
//!
//! Taken: `2026-05-01`, `2026-05-01 13:00`, `2026-05-01T13:00:00.5`, each of the latter with `Z`, `+02:00`, `+0200` or
//! `+02` behind; without an offset UTC is meant. Sent: `2026-05-01 13:00:00`, UTC.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use super::field::FieldError;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * 3_600_000;

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A day without time.
    Day(Date),
    /// An instant, milliseconds since 1970.
    Instant(i64),
}

impl When {
    /// Reads any of the forms.
    ///
    /// # Errors
    /// Another form, or a date that does not exist.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        read(text.trim()).ok_or_else(|| {
            FieldError::new(
                field,
                "must be a date that exists: YYYY-MM-DD, YYYY-MM-DD HH:MM:SS or ISO 8601 with or without offset",
            )
        })
    }

    /// The instant at which something ends that ends then: of a day 23:59:59 UTC.
    pub fn end_ms(self) -> i64 {
        match self {
            Self::Day(date) => civil_ms(date.at(23, 59, 59, 0)).unwrap_or(i64::MAX),
            Self::Instant(ms) => ms,
        }
    }

    /// The instant at which something begins that begins then: of a day 00:00:00 UTC.
    pub fn start_ms(self) -> i64 {
        match self {
            Self::Day(date) => civil_ms(date.at(0, 0, 0, 0)).unwrap_or(i64::MIN),
            Self::Instant(ms) => ms,
        }
    }
}

/// `YYYY-MM-DD HH:MM:SS`, UTC.
pub fn format(ms: i64) -> String {
    shown(ms, "%Y-%m-%d %H:%M:%S")
}

/// `YYYY-MM-DD`, UTC.
pub fn format_day(ms: i64) -> String {
    shown(ms, "%Y-%m-%d")
}

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub fn format_iso(ms: i64) -> String {
    shown(ms, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// In another form of `strftime`, UTC, for people.
pub fn worded(ms: i64, form: &str) -> String {
    shown(ms, form)
}

fn shown(ms: i64, form: &str) -> String {
    Timestamp::from_millisecond(ms)
        .unwrap_or(if ms < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
        .to_zoned(TimeZone::UTC)
        .strftime(form)
        .to_string()
}

fn read(text: &str) -> Option<When> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = text.split_at_checked(10)?;
    let date = read_date(date)?;
    if rest.is_empty() {
        return Some(When::Day(date));
    }
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let (time, offset_seconds) = split_offset(time)?;
    let local = civil_ms(date.to_datetime(read_time(time.trim_end())?))?;
    Some(When::Instant(local - offset_seconds * 1000))
}

fn read_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2)?;
    let day = digits(parts.next()?, 2)?;
    if parts.next().is_some() {
        return None;
    }
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn read_time(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut parts = whole.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let second = parts.next().map_or(Some(0), |s| digits(s, 2))?;
    if parts.next().is_some()
        || fraction.is_empty()
        || fraction.len() > 9
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    let part = |n: i16| i8::try_from(n).ok();
    Time::new(part(hour)?, part(minute)?, part(second)?, nanos).ok()
}

/// Cuts the offset off; its seconds, 0 without one.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, 0));
    };
    let (time, offset) = text.split_at_checked(at)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let compact: String = offset.get(1..)?.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = match compact.len() {
        2 => (digits(&compact, 2)?, 0),
        4 => (digits(compact.get(..2)?, 2)?, digits(compact.get(2..)?, 2)?),
        _ => return None,
    };
    (hours <= 18 && minutes <= 59).then(|| {
        (
            time,
            sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60),
        )
    })
}

fn digits(text: &str, count: usize) -> Option<i16> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn civil_ms(at: DateTime) -> Option<i64> {
    at.to_zoned(TimeZone::UTC)
        .ok()
        .map(|z| z.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Option<&str>) {
        let got = When::parse("expiry", input)
            .ok()
            .map(|w| format(w.end_ms()));
        assert_eq!(got.as_deref(), expected, "{input:?}");
    }

    #[test]
    fn every_usual_form_is_read() {
        check("2026-05-01", Some("2026-05-01 23:59:59"));
        check(" 2021-09-28 ", Some("2021-09-28 23:59:59"));
        check("2026-05-01 13:14:15", Some("2026-05-01 13:14:15"));
        check("2026-05-01 13:14", Some("2026-05-01 13:14:00"));
        check("2026-05-01T13:14:15Z", Some("2026-05-01 13:14:15"));
        check("2026-05-01T13:14:15.999+02:00", Some("2026-05-01 11:14:15"));
        check("2026-05-01T13:14:15+0200", Some("2026-05-01 11:14:15"));
        check("2026-05-01T13:14:15-05", Some("2026-05-01 18:14:15"));
        check("2026-05-01 23:14:15 -0530", Some("2026-05-02 04:44:15"));
        check("2024-02-29", Some("2024-02-29 23:59:59"));
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for bad in [
            "",
            "tomorrow",
            "2026-02-30",
            "2025-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-1-1",
            "01/02/2026",
            "2026-05-01T24:00:00",
            "2026-05-01T12:60",
            "2026-05-01T12:00:61",
            "2026-05-01T12:00:00+99:00",
            "2026-05-01T",
            "20260501",
            "2026-05-01-02",
            "２026-05-01",
            "2026-05-01 12:00:00.",
            "-026-05-01",
            "1767225600",
            "2026-05-01T12:00:00+",
            "2026-05-01\0",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn iso_instants_carry_milliseconds() {
        assert_eq!(format_iso(1_777_593_600_123), "2026-05-01T00:00:00.123Z");
    }
}
