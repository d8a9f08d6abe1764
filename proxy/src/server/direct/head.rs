//! Reads the one form of request head that nearly every visitor sends, and leaves every other to hyper.
//!
//! Taken here is a GET in origin form on HTTP/1.1 that has no body, asks for nothing of the connection and is written
//! without any liberty: CRLF line ends, names of token characters with the colon right behind, no folded lines, no
//! control characters. Whatever differs, be it by one byte, is [`Read::Other`] and read by hyper from its first byte: so
//! there is one place that says what a malformed request is. A property test holds that what is taken here means the
//! same to httparse, hyper's own parser.
//!
//! Formats: RFC 9112 (messages), RFC 9110 5.6.2 (tokens), RFC 3986 (targets).

use crate::request::Line;

/// Most header lines taken. Browsers send a dozen; hyper takes 100.
pub(super) const MAX_LINES: usize = 32;

const START: &[u8] = b"GET ";
const VERSION: &[u8] = b" HTTP/1.1\r\n";

/// What the front of a connection's bytes is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// A whole head.
    Plain {
        /// Path of the target, beginning with `/`.
        path: &'a str,
        /// Query of the target without `?`; empty when there is none.
        query: &'a [u8],
        /// Number of header lines put into the array.
        lines: usize,
        /// What follows the head.
        rest: &'a [u8],
    },
    /// Nothing wrong so far, and not whole.
    Incomplete,
    /// Not for us.
    Other,
}

/// Reads the head at the front of `bytes`.
#[inline]
pub(super) fn read<'a>(bytes: &'a [u8], lines: &mut [Line<'a>; MAX_LINES]) -> Read<'a> {
    let Some(after) = bytes.strip_prefix(START) else {
        return incomplete_if(START.starts_with(bytes));
    };
    let Some(end) = memchr::memchr(b' ', after) else {
        return incomplete_if(is_target(after));
    };
    let (target, after) = after.split_at(end);
    if !is_target(target) {
        return Read::Other;
    }
    let Ok(target) = std::str::from_utf8(target) else {
        return Read::Other;
    };
    let Some(mut rest) = after.strip_prefix(VERSION) else {
        return incomplete_if(VERSION.starts_with(after));
    };
    let mut count = 0;
    loop {
        let Some(end) = memchr::memchr(b'\r', rest) else {
            return incomplete_if(is_part(rest));
        };
        let (line, after) = rest.split_at(end);
        match after {
            [b'\r', b'\n', after @ ..] => rest = after,
            [_] => return Read::Incomplete,
            _ => return Read::Other,
        }
        if line.is_empty() {
            break;
        }
        let (Some(line), Some(place)) = (header(line), lines.get_mut(count)) else {
            return Read::Other;
        };
        *place = line;
        count += 1;
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, query.as_bytes()),
        None => (target, &[][..]),
    };
    Read::Plain {
        path,
        query,
        lines: count,
        rest,
    }
}

fn incomplete_if<'a>(so_far_good: bool) -> Read<'a> {
    if so_far_good {
        Read::Incomplete
    } else {
        Read::Other
    }
}

/// Whether every byte may stand in a path or query, and the first is `/`.
#[inline]
fn is_target(target: &[u8]) -> bool {
    target.first().is_none_or(|first| *first == b'/')
        && target.iter().all(|b| class(*b) & TARGET != 0)
}

/// Whether the beginning of a line can become one: without control characters.
fn is_part(line: &[u8]) -> bool {
    line.iter().all(|b| is_text(*b))
}

#[inline]
fn header(line: &[u8]) -> Option<Line<'_>> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    let value = value.get(1..)?;
    // No early end: so the compiler takes many bytes at a time.
    let good_value = value.iter().fold(true, |good, b| good & is_text(*b));
    let good_name = name
        .iter()
        .fold(true, |good, b| good & (class(*b) & TOKEN != 0));
    if !good_value || !good_name || name.is_empty() {
        return None;
    }
    let value = trim(value);
    (!concerns_connection(name, value)).then_some((name, value))
}

/// Whether the line says something that hyper has to know: how long the body is, what is to become of the connection.
#[inline]
fn concerns_connection(name: &[u8], value: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        6 => is("expect"),
        7 => is("upgrade") || is("trailer"),
        10 => is("connection") && !value.eq_ignore_ascii_case(b"keep-alive"),
        14 => is("content-length") || is("http2-settings"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        _ => false,
    }
}

#[inline]
fn trim(value: &[u8]) -> &[u8] {
    let is_space = |b: &u8| *b == b' ' || *b == b'\t';
    let start = value
        .iter()
        .position(|b| !is_space(b))
        .unwrap_or(value.len());
    let value = value.get(start..).unwrap_or_default();
    let end = value
        .iter()
        .rposition(|b| !is_space(b))
        .map_or(0, |last| last + 1);
    value.get(..end).unwrap_or_default()
}

/// Whether a byte may stand in a header's value.
#[inline]
fn is_text(byte: u8) -> bool {
    (byte >= 0x20 && byte != 0x7f) || byte == b'\t'
}

/// May stand in a name.
const TOKEN: u8 = 1;
/// May stand in a path or query. A little less than hyper takes, for it also takes what RFC 3986 has no place for.
const TARGET: u8 = 2;

static CLASSES: [u8; 256] = {
    const ALPHANUMERIC: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let classes = with([0; 256], ALPHANUMERIC, TOKEN | TARGET);
    let classes = with(classes, b"!#$%&'*+-.^_`|~", TOKEN);
    with(classes, b"-._~!$&'()*+,;=:@/%?", TARGET)
};

#[allow(
    clippy::indexing_slicing,
    reason = "at compile time, where a panic is a build error"
)]
const fn with(mut classes: [u8; 256], bytes: &[u8], class: u8) -> [u8; 256] {
    let mut i = 0;
    while i < bytes.len() {
        classes[bytes[i] as usize] |= class;
        i += 1;
    }
    classes
}

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "no hostile bytes reach a test"
)]
mod tests;
