//! One line of Apache's combined log format, taken apart.
//!
//! `addr ident user [time] "method target version" status bytes "referrer" "agent"`. A missing referrer or agent is logged
//! as `-`. Apache writes bytes that are not printable ASCII, quotes and backslashes as escapes; they are turned back, so
//! referrer and agent are bytes and not text. The last field may lack its closing quote: the log has one such line,
//! cut off by the server itself.
//!
//! It does not judge whether address, method or target make sense to the product; it only takes what can be sent again.

use std::net::IpAddr;
use std::ops::Range;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Address of the client.
    pub address: IpAddr,
    /// When the request was received, seconds since 1970-01-01 UTC.
    pub time: i64,
    /// Request method as logged.
    pub method: String,
    /// Request target as logged: visible ASCII only.
    pub target: String,
    /// `Referer` header as it was on the wire; `None` when there was none.
    pub referrer: Option<Vec<u8>>,
    /// `User-Agent` header as it was on the wire; `None` when there was none.
    pub agent: Option<Vec<u8>>,
    /// Where the target stands in the line, for writing the line anew with another one.
    pub target_at: Range<usize>,
}

/// Why a line was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line ended before this field, or the field is not delimited as it should be.
    #[error("has no {0}")]
    Missing(&'static str),
    /// The field is there and makes no sense.
    #[error("has a bad {0}")]
    Bad(&'static str),
    /// Something follows the user agent.
    #[error("goes on after the user agent")]
    TrailingText,
}

impl Line {
    /// Takes one line apart, without its line end.
    ///
    /// # Errors
    /// The first field that is missing or makes no sense.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let mut rest = Rest { line, at: 0 };
        let address = text(rest.word("address")?, "address")?
            .parse()
            .map_err(|_| LineError::Bad("address"))?;
        rest.word("identity")?;
        rest.word("user")?;
        let time = parse_time(rest.bracketed("time")?)?;
        let request = rest.quoted("request", Closing::Required)?;
        let (method, target_at) = split_request(line, request)?;
        let status = text(rest.word("status")?, "status")?;
        if status.len() != 3 || !status.bytes().all(|b| b.is_ascii_digit()) {
            return Err(LineError::Bad("status"));
        }
        let size = rest.word("size")?;
        if size != b"-" && !size.iter().all(u8::is_ascii_digit) {
            return Err(LineError::Bad("size"));
        }
        let referrer = rest.quoted("referrer", Closing::Required)?;
        let agent = rest.quoted("user agent", Closing::MayBeCut)?;
        if rest.at < line.len() {
            return Err(LineError::TrailingText);
        }
        let field = |range: Range<usize>| line.get(range).unwrap_or_default();
        Ok(Self {
            address,
            time,
            method,
            target: text(field(target_at.clone()), "target")?.to_owned(),
            referrer: header(field(referrer), "referrer")?,
            agent: header(field(agent), "user agent")?,
            target_at,
        })
    }

    /// The line with `target` in the place of its own.
    pub fn with_target(&self, line: &[u8], target: &str) -> Vec<u8> {
        let mut out = line
            .get(..self.target_at.start)
            .unwrap_or_default()
            .to_vec();
        out.extend_from_slice(target.as_bytes());
        out.extend_from_slice(line.get(self.target_at.end..).unwrap_or_default());
        out
    }
}

/// Whether a quoted field needs its closing quote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    Required,
    MayBeCut,
}

/// What is left of a line.
struct Rest<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn word(&mut self, what: &'static str) -> Result<&'a [u8], LineError> {
        let rest = self.line.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        if len == 0 {
            return Err(LineError::Missing(what));
        }
        self.at = (self.at + len + 1).min(self.line.len());
        Ok(rest.get(..len).unwrap_or_default())
    }

    fn bracketed(&mut self, what: &'static str) -> Result<&'a [u8], LineError> {
        let rest = self.line.get(self.at..).unwrap_or_default();
        let inner = rest.strip_prefix(b"[").ok_or(LineError::Missing(what))?;
        let len = inner
            .iter()
            .position(|b| *b == b']')
            .ok_or(LineError::Missing(what))?;
        if inner.get(len + 1) != Some(&b' ') {
            return Err(LineError::Bad(what));
        }
        self.at += len + 3;
        Ok(inner.get(..len).unwrap_or_default())
    }

    /// A quoted field: the range of what is between the quotes, escapes and all.
    fn quoted(&mut self, what: &'static str, closing: Closing) -> Result<Range<usize>, LineError> {
        if self.line.get(self.at) != Some(&b'"') {
            return Err(LineError::Missing(what));
        }
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.line.get(at) {
                None if closing == Closing::MayBeCut => {
                    self.at = self.line.len();
                    return Ok(start..self.line.len());
                }
                None => return Err(LineError::Missing(what)),
                Some(b'\\') => at += 2,
                Some(b'"') => break,
                Some(_) => at += 1,
            }
        }
        match self.line.get(at + 1) {
            Some(b' ') => self.at = at + 2,
            None => self.at = at + 1,
            Some(_) => return Err(LineError::Bad(what)),
        }
        Ok(start..at)
    }
}

/// Splits `method target version` and says where the target is in the line.
fn split_request(line: &[u8], request: Range<usize>) -> Result<(String, Range<usize>), LineError> {
    const BAD: LineError = LineError::Bad("request");
    let text = line.get(request.clone()).unwrap_or_default();
    let first = text.iter().position(|b| *b == b' ').ok_or(BAD)?;
    let last = text.iter().rposition(|b| *b == b' ').ok_or(BAD)?;
    let method = text.get(..first).unwrap_or_default();
    let target = text.get(first + 1..last).ok_or(BAD)?;
    let version = text.get(last + 1..).unwrap_or_default();
    if method.is_empty()
        || !method.iter().all(u8::is_ascii_uppercase)
        || !version.starts_with(b"HTTP/")
    {
        return Err(BAD);
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(LineError::Bad("target"));
    }
    let start = request.start + first + 1;
    Ok((
        String::from_utf8_lossy(method).into_owned(),
        start..start + target.len(),
    ))
}

fn text<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, LineError> {
    std::str::from_utf8(bytes).map_err(|_| LineError::Bad(what))
}

/// `17/May/2015:10:05:03 +0000` in seconds since 1970.
fn parse_time(bytes: &[u8]) -> Result<i64, LineError> {
    const BAD: LineError = LineError::Bad("time");
    let parsed = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", bytes).map_err(|_| BAD)?;
    Ok(parsed.to_timestamp().map_err(|_| BAD)?.as_second())
}

/// The header behind a logged field: `-` is none, escapes become the bytes they stand for.
fn header(field: &[u8], what: &'static str) -> Result<Option<Vec<u8>>, LineError> {
    if field == b"-" {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let byte = match bytes.next() {
            Some(quoted @ (b'"' | b'\\')) => quoted,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'v') => 0x0b,
            Some(b'x') => {
                let mut digit = || {
                    bytes
                        .next()
                        .and_then(|d| char::from(d).to_digit(16))
                        .ok_or(LineError::Bad(what))
                };
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).map_err(|_| LineError::Bad(what))?
            }
            _ => return Err(LineError::Bad(what)),
        };
        // Neither could have arrived in a header, and neither can be sent again.
        if matches!(byte, b'\n' | b'\r' | 0) {
            return Err(LineError::Bad(what));
        }
        out.push(byte);
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "1.2.3.4 - - [17/May/2015:10:05:03 +0000]";

    /// Method, target, referrer and agent.
    type Parts<'a> = (&'a str, &'a str, Option<&'a [u8]>, Option<&'a [u8]>);

    #[track_caller]
    fn check(tail: &str, expected: Result<Parts<'_>, LineError>) {
        let line = format!("{HEAD}{tail}");
        let got = Line::parse(line.as_bytes());
        let got = got.as_ref().map(|l| {
            (
                l.method.as_str(),
                l.target.as_str(),
                l.referrer.as_deref(),
                l.agent.as_deref(),
            )
        });
        assert_eq!(got.map_err(|e| *e), expected, "{line}");
    }

    #[test]
    fn a_line_is_taken_apart() {
        check(
            r#" "GET /a?b=c HTTP/1.1" 200 123 "http://x.test/" "Mozilla/5.0 (X11; \"q\")""#,
            Ok((
                "GET",
                "/a?b=c",
                Some(b"http://x.test/"),
                Some(b"Mozilla/5.0 (X11; \"q\")"),
            )),
        );
        check(
            r#" "HEAD /a HTTP/1.0" 304 - "-" "-""#,
            Ok(("HEAD", "/a", None, None)),
        );
        check(
            r#" "GET /a HTTP/1.0" 200 1 "http://\xe4\xFF/" "a\\b\tc""#,
            Ok(("GET", "/a", Some(b"http://\xe4\xff/"), Some(b"a\\b\tc"))),
        );
        check(
            r#" "GET /a HTTP/1.0" 200 1 "-" "cut off (here"#,
            Ok(("GET", "/a", None, Some(b"cut off (here"))),
        );
        check(
            r#" "GET /a HTTP/1.0" 200 1 "" """#,
            Ok(("GET", "/a", Some(b""), Some(b""))),
        );
    }

    #[test]
    fn time_is_read_with_its_zone() {
        let line = |zone: &str| {
            format!(r#"::1 - - [17/May/2015:10:05:03 {zone}] "GET / HTTP/1.1" 200 1 "-" "-""#)
        };
        assert_eq!(
            Line::parse(line("+0000").as_bytes()).map(|l| l.time),
            Ok(1_431_857_103)
        );
        assert_eq!(
            Line::parse(line("+0200").as_bytes()).map(|l| l.time),
            Ok(1_431_857_103 - 7200)
        );
    }

    #[test]
    fn hostile_lines_are_refused() {
        check("", Err(LineError::Bad("time")));
        check(
            " GET / HTTP/1.1 200 1 - -",
            Err(LineError::Missing("request")),
        );
        check(r#" "GET / HTTP/1.1"#, Err(LineError::Missing("request")));
        check(r#" "GET / HTTP/1.1\"#, Err(LineError::Missing("request")));
        check(r#" "GET" 200 1 "-" "-""#, Err(LineError::Bad("request")));
        check(r#" "GET /" 200 1 "-" "-""#, Err(LineError::Bad("request")));
        check(
            r#" "GET  HTTP/1.1" 200 1 "-" "-""#,
            Err(LineError::Bad("target")),
        );
        check(
            r#" "GET /a b HTTP/1.1" 200 1 "-" "-""#,
            Err(LineError::Bad("target")),
        );
        check(
            " \"GET /\u{e4} HTTP/1.1\" 200 1 \"-\" \"-\"",
            Err(LineError::Bad("target")),
        );
        check(
            r#" "\x16\x03\x01" 400 1 "-" "-""#,
            Err(LineError::Bad("request")),
        );
        check(
            r#" "get / HTTP/1.1" 200 1 "-" "-""#,
            Err(LineError::Bad("request")),
        );
        check(
            r#" "GET / HTTP/1.1" 20x 1 "-" "-""#,
            Err(LineError::Bad("status")),
        );
        check(
            r#" "GET / HTTP/1.1" 200 1k "-" "-""#,
            Err(LineError::Bad("size")),
        );
        check(
            r#" "GET / HTTP/1.1" 200 1"#,
            Err(LineError::Missing("referrer")),
        );
        check(
            r#" "GET / HTTP/1.1" 200 1 "-""#,
            Err(LineError::Missing("user agent")),
        );
        check(
            r#" "GET / HTTP/1.1" 200 1 "a"b" "-""#,
            Err(LineError::Bad("referrer")),
        );
        check(
            r#" "GET / HTTP/1.1" 200 1 "\xzz" "-""#,
            Err(LineError::Bad("referrer")),
        );
        check(
            r#" "GET / HTTP/1.1" 200 1 "-" "a\r\nX-Injected: 1""#,
            Err(LineError::Bad("user agent")),
        );
        check(
            r#" "GET / HTTP/1.1" 200 1 "-" "\x0d""#,
            Err(LineError::Bad("user agent")),
        );
        check(
            r#" "GET / HTTP/1.1" 200 1 "-" "-" extra"#,
            Err(LineError::TrailingText),
        );
        assert_eq!(
            Line::parse(b"").map(|_| ()),
            Err(LineError::Missing("address"))
        );
        assert_eq!(
            Line::parse(b"999.1.1.1 - - [").map(|_| ()),
            Err(LineError::Bad("address"))
        );
        assert_eq!(
            Line::parse(b"1.1.1.1 - - [31/Foo/2015:10:05:03 +0000] ").map(|_| ()),
            Err(LineError::Bad("time"))
        );
        assert_eq!(
            Line::parse(b"1.1.1.1 - - [31/Feb/2015:10:05:03 +0000] ").map(|_| ()),
            Err(LineError::Bad("time"))
        );
        assert_eq!(
            Line::parse(b"\xff\xff - - ").map(|_| ()),
            Err(LineError::Bad("address"))
        );
    }

    #[test]
    fn a_line_is_written_with_another_target() {
        let raw = format!(r#"{HEAD} "GET /old?x HTTP/1.1" 200 1 "http://a/old" "agent /old""#);
        let line = Line::parse(raw.as_bytes()).expect("legal");
        let new = line.with_target(raw.as_bytes(), "/new");
        assert_eq!(
            String::from_utf8_lossy(&new),
            raw.replacen("/old?x", "/new", 1)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Line::parse(&bytes);
            let mut line = format!("{HEAD} ").into_bytes();
            line.extend_from_slice(&bytes);
            let _ = Line::parse(&line);
        }
    }
}
