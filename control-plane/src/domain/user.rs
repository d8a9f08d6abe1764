//! Users: what a name and an address look like, and when a bought plan ends.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::field::{self, FieldError};

/// Longest e-mail address, in characters (RFC 3696 erratum 1690).
const MAX_EMAIL: usize = 254;

/// Longest user name, in characters: it stands in URLs of public lists.
const MAX_USERNAME: usize = 50;

/// How long a one-time sign-in URL works, in milliseconds.
pub const SIGN_IN_LINK_MS: i64 = 3_600_000;

/// How long an invitation can be taken, in milliseconds.
pub const INVITATION_MS: i64 = 7 * 86_400_000;

/// How long a browser stays signed in, in milliseconds.
pub const SIGN_IN_MS: i64 = 12 * 3_600_000;

/// Takes an e-mail address as its owner writes it. Whether it exists only a mail can tell.
///
/// # Errors
/// A rule it breaks.
pub fn email(text: &str) -> Result<String, FieldError> {
    let email = field::line("email", text, MAX_EMAIL)?;
    let sound = email.rsplit_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !email.contains(char::is_whitespace)
    });
    if sound {
        Ok(email)
    } else {
        Err(FieldError::new(
            "email",
            "must be an address like name@example.com",
        ))
    }
}

/// Takes a user name: letters and digits of any script, `-`, `_` and `.`, which need no escaping in a URL's path and
/// cannot be taken for an address.
///
/// # Errors
/// A rule it breaks.
pub fn username(text: &str) -> Result<String, FieldError> {
    let name = field::line("username", text, MAX_USERNAME)?;
    let legal = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let dots = name.chars().all(|c| c == '.');
    if !dots && name.chars().all(legal) {
        Ok(name)
    } else {
        Err(FieldError::new(
            "username",
            "must be letters, digits, '-', '_' and '.'",
        ))
    }
}

/// How a plan was bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// For a month.
    Monthly,
    /// For a year.
    Yearly,
    /// For good.
    Lifetime,
}

impl Term {
    /// From its name.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        match text.trim() {
            "monthly" => Ok(Self::Monthly),
            "yearly" => Ok(Self::Yearly),
            "lifetime" => Ok(Self::Lifetime),
            _ => Err(FieldError::new(
                "type",
                "must be monthly, yearly or lifetime",
            )),
        }
    }

    /// When it ends, by the calendar: a month from 31 January ends on the last of February.
    pub fn ends_at(self, now_ms: i64) -> Option<i64> {
        let span = match self {
            Self::Monthly => Span::new().months(1),
            Self::Yearly => Span::new().years(1),
            Self::Lifetime => return None,
        };
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        let end = now.to_zoned(TimeZone::UTC).checked_add(span).ok()?;
        Some(end.timestamp().as_millisecond())
    }
}

/// First instant of the calendar month (UTC) of `now_ms`.
pub fn month_begin(now_ms: i64) -> i64 {
    let first = Timestamp::from_millisecond(now_ms).ok().and_then(|now| {
        let day = now.to_zoned(TimeZone::UTC).first_of_month().ok()?;
        Some(day.start_of_day().ok()?.timestamp().as_millisecond())
    });
    first.unwrap_or(now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a time").as_millisecond()
    }

    #[test]
    fn names_fit_into_urls_and_addresses_look_like_some() {
        for good in ["ana", "josé.99", "a-b_c", "漢字"] {
            assert_eq!(username(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            " ",
            "a b",
            "a/b",
            "..",
            "a@b",
            "<b>",
            "a\0b",
            "a%41",
            "\u{202e}a",
        ] {
            assert!(username(bad).is_err(), "{bad:?}");
        }
        assert_eq!(email(" a@b.test "), Ok("a@b.test".to_owned()));
        for bad in ["", "nobody", "@x", "a b@c", "a@", "a\0@b", "a@b c"] {
            assert!(email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn terms_end_by_the_calendar() {
        let january = ms("2026-01-31T10:00:00Z");
        assert_eq!(
            Term::Monthly.ends_at(january),
            Some(ms("2026-02-28T10:00:00Z"))
        );
        assert_eq!(
            Term::Yearly.ends_at(january),
            Some(ms("2027-01-31T10:00:00Z"))
        );
        assert_eq!(Term::Lifetime.ends_at(january), None);
        assert_eq!(month_begin(january), ms("2026-01-01T00:00:00Z"));
        assert_eq!(
            month_begin(ms("2026-01-01T00:00:00Z")),
            ms("2026-01-01T00:00:00Z")
        );
        assert!(Term::parse("weekly").is_err());
    }
}
