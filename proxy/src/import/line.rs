//! One line of an access log: Apache's and nginx's combined format, with or without the virtual host in front.
//!
//! `[vhost[:port] ]addr ident user [time] "method target version" status bytes "referrer" "agent"`. What follows is
//! ignored, a last quote may be missing (lines that a server cut off), escapes (`\"`, `\\`, `\xHH`) are turned back, and a
//! lone `-` is an absent field.

use std::net::IpAddr;

/// What a click needs of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) host: Option<String>,
    pub(super) ip: IpAddr,
    pub(super) time_ms: i64,
    pub(super) method: &'a [u8],
    /// From its first `/` on.
    pub(super) path: String,
    /// Without `?`.
    pub(super) query: &'a [u8],
    pub(super) status: u16,
    pub(super) referrer: Vec<u8>,
    pub(super) user_agent: Vec<u8>,
}

impl<'a> Line<'a> {
    /// Takes a line apart; `None` when it is not of the format.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut rest = line;
        let mut first = word(&mut rest)?;
        let mut host = None;
        if parsed::<IpAddr>(first).is_none() {
            let text = std::str::from_utf8(first).ok()?;
            host = Some(text.split(':').next()?.to_owned());
            first = word(&mut rest)?;
        }
        let ip = parsed::<IpAddr>(first)?.to_canonical();
        word(&mut rest)?;
        // A user name may hold blanks; the time's bracket is what comes next for sure.
        let bracket = rest.iter().position(|b| *b == b'[')?;
        rest = rest.get(bracket + 1..)?;
        let end = rest.iter().position(|b| *b == b']')?;
        let time_ms = time_ms(std::str::from_utf8(rest.get(..end)?).ok()?)?;
        rest = rest.get(end + 1..)?;
        let request = quoted(&mut rest)?;
        let status = parsed::<u16>(word(&mut rest)?).filter(|s| (100..600).contains(s))?;
        word(&mut rest)?;
        let referrer = header(quoted(&mut rest)?);
        let user_agent = header(quoted(&mut rest)?);

        let mut words = request.split(|b| *b == b' ').filter(|w| !w.is_empty());
        let (method, target) = (words.next()?, words.next()?);
        let mut parts = target.splitn(2, |b| *b == b'?');
        let (place, query) = (parts.next()?, parts.next().unwrap_or_default());
        let place = std::str::from_utf8(place).ok()?;
        let path = match place.split_once("://") {
            Some((_, rest)) if !place.starts_with('/') => {
                let at = rest.find('/').unwrap_or(rest.len());
                let (authority, path) = rest.split_at(at);
                host = Some(authority.split(':').next()?.to_ascii_lowercase());
                if path.is_empty() { "/" } else { path }
            }
            _ => place,
        };
        Some(Self {
            host,
            ip,
            time_ms,
            method,
            path: path.to_owned(),
            query,
            status,
            referrer,
            user_agent,
        })
    }
}

fn parsed<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The text up to the next blank.
fn word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    *rest = rest.trim_ascii_start();
    let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
    let (word, more) = rest.split_at_checked(end)?;
    *rest = more;
    (!word.is_empty()).then_some(word)
}

/// What stands between quotes, escapes untouched; to the end where the second quote is missing.
fn quoted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let text = rest.trim_ascii_start().strip_prefix(b"\"")?;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                *rest = text.get(at + 1..)?;
                return text.get(..at);
            }
            _ => {}
        }
    }
    *rest = &[];
    Some(text)
}

/// A header as it was sent; empty for a lone `-`.
fn header(field: &[u8]) -> Vec<u8> {
    if field == b"-" {
        return Vec::new();
    }
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        match more {
            [b'x', hi, lo, more @ ..] if hi.is_ascii_hexdigit() && lo.is_ascii_hexdigit() => {
                let digit = |b: u8| (b as char).to_digit(16).unwrap_or_default() as u8;
                out.push(digit(*hi) << 4 | digit(*lo));
                rest = more;
            }
            [escaped, more @ ..] => {
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'b' => 0x08,
                    other => *other,
                });
                rest = more;
            }
            [] => out.push(b'\\'),
        }
    }
    out
}

/// `17/May/2015:10:05:03 +0000` as milliseconds since 1970.
fn time_ms(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (instant, zone) = text.split_once(' ')?;
    let mut parts = instant.split([':', '/']);
    let mut number = |low: i64, high: i64| {
        let n: i64 = parts.next()?.parse().ok()?;
        (low..=high).contains(&n).then_some(n)
    };
    let day = number(1, 31)?;
    let mut parts = instant.split([':', '/']).skip(1);
    let name = parts.next()?;
    let month = 1 + MONTHS.iter().position(|m| m.eq_ignore_ascii_case(name))? as i64;
    let mut number = |low: i64, high: i64| {
        let n: i64 = parts.next()?.parse().ok()?;
        (low..=high).contains(&n).then_some(n)
    };
    // A second of 60 is a leap second; it counts as the next one.
    let (year, hour, minute, second) = (
        number(1970, 9999)?,
        number(0, 23)?,
        number(0, 59)?,
        number(0, 60)?,
    );
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day > length || parts.next().is_some() {
        return None;
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits =
        (digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits)?;
    let offset: i64 = digits.parse().ok()?;
    let offset = sign * (offset / 100 * 60 + offset % 100) * 60;
    // Days since 1970 of the proleptic Gregorian calendar, years counted from March (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let march_year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400 + day_of_year
            - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second - offset) * 1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a/b.png?x=1 HTTP/1.1" 200 203023 "http://from.test/\"q\"" "Moz\\illa \xe4""#;

    #[test]
    fn a_line_is_taken_apart() {
        let line = Line::parse(LINE.as_bytes()).expect("legal");
        assert_eq!(line.ip, IpAddr::from([83, 149, 9, 216]));
        assert_eq!(line.time_ms, 1_431_857_103_000);
        assert_eq!(
            (line.method, line.path.as_str(), line.query, line.status),
            (&b"GET"[..], "/a/b.png", &b"x=1"[..], 200)
        );
        assert_eq!(line.referrer, b"http://from.test/\"q\"");
        assert_eq!(line.user_agent, b"Moz\\illa \xe4");
        assert_eq!(line.host, None);
    }

    #[test]
    fn other_shapes_are_taken() {
        let parse =
            |text: &str| Line::parse(text.as_bytes()).map(|l| (l.host, l.path, l.user_agent));
        let agent = b"x".to_vec();
        assert_eq!(
            parse(
                r#"go.test:443 ::1 - a b [17/May/2015:10:05:03 +0200] "GET /p HTTP/1.1" 302 - "-" "x" 123"#
            ),
            Some((Some("go.test".into()), "/p".into(), agent.clone()))
        );
        assert_eq!(
            parse(
                r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET http://Go.Test:80/p?q HTTP/1.1" 302 0 "-" "x"#
            ),
            Some((Some("go.test".into()), "/p".into(), agent))
        );
        assert_eq!(
            parse(r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 302 0 "-" "-""#),
            Some((None, "/".into(), Vec::new()))
        );
        for bad in [
            "",
            "nonsense",
            r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET" 302 0 "-" "-""#,
            r#"10.0.0.1 - - [17/Mai/2015:10:05:03 +0000] "GET / HTTP/1.1" 302 0 "-" "-""#,
            r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 99 0 "-" "-""#,
            r#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 302 0 "-""#,
            r#"x y z [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 302 0 "-" "-""#,
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn instants_are_right_and_days_that_do_not_exist_are_none() {
        for (text, expected) in [
            ("01/Jan/1970:00:00:00 +0000", Some(0)),
            ("29/Feb/2000:12:00:00 +0000", Some(951_825_600_000)),
            ("31/Dec/1999:23:59:60 +0000", Some(946_684_800_000)),
            ("01/Mar/2024:00:00:00 +0530", Some(1_709_231_400_000)),
            ("01/Mar/2024:00:00:00 -0800", Some(1_709_280_000_000)),
            ("29/Feb/2023:00:00:00 +0000", None),
            ("31/Apr/2023:00:00:00 +0000", None),
            ("01/Jan/2023:24:00:00 +0000", None),
            ("01/Jan/2023:00:00:00", None),
            ("01/Jan/2023:00:00:00 +00é", None),
            ("01/Jan/2023:00:00:00 0000", None),
        ] {
            assert_eq!(time_ms(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_taken_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, with: u8) {
            let _ = Line::parse(&bytes);
            let mut line = LINE.as_bytes().to_vec();
            let at = at.index(line.len());
            line[at] = with;
            let _ = Line::parse(&line);
        }
    }
}
