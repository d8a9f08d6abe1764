//! What part of a file a request wants (RFC 9110, 13.1.5 and 14).
//!
//! One range of bytes is served as such; several at once are answered with the whole, which the RFC allows and which keeps
//! one request from wanting a thousand pieces.

use std::ops::Range;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// These bytes.
    Bytes(Range<u64>),
    /// Bytes that it does not have.
    Unsatisfiable,
}

/// Reads `Range` of a file of `size` bytes; `if_range` and `tag` decide whether it is heard: `tag` is the entity tag with
/// its quotes.
pub(crate) fn part(range: &[u8], if_range: &[u8], tag: &[u8], size: u64) -> Part {
    if range.is_empty() || (!if_range.is_empty() && if_range.trim_ascii() != tag) {
        return Part::Whole;
    }
    match one(range, size) {
        Some(Some(range)) => Part::Bytes(range),
        Some(None) => Part::Unsatisfiable,
        // What is not understood is not heard.
        None => Part::Whole,
    }
}

/// `None`: not one range of bytes. `Some(None)`: none that the file has.
fn one(range: &[u8], size: u64) -> Option<Option<Range<u64>>> {
    let text = std::str::from_utf8(range).ok()?.trim();
    let (unit, set) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    if first.is_empty() {
        let length = number(last)?.min(size);
        return Some((length > 0).then(|| size - length..size));
    }
    let first = number(first)?;
    let end = match last {
        "" => size,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            size.min(last.saturating_add(1))
        }
    };
    Some((first < size).then_some(first..end))
}

/// Digits alone. More than fit are as good as the largest number that does.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(range: &str, expected: Part) {
        assert_eq!(
            part(range.as_bytes(), b"", b"\"t\"", 10),
            expected,
            "{range}"
        );
    }

    #[test]
    fn one_range_is_served_within_the_file() {
        check("", Part::Whole);
        check("bytes=0-", Part::Bytes(0..10));
        check("bytes=0-0", Part::Bytes(0..1));
        check("Bytes=3-5", Part::Bytes(3..6));
        check("bytes= 3-", Part::Bytes(3..10));
        check("bytes=9-99999999999999999999999", Part::Bytes(9..10));
        check("bytes=-3", Part::Bytes(7..10));
        check("bytes=-30", Part::Bytes(0..10));
    }

    #[test]
    fn what_the_file_does_not_have_is_refused() {
        check("bytes=10-", Part::Unsatisfiable);
        check("bytes=99999999999999999999999-", Part::Unsatisfiable);
        check("bytes=-0", Part::Unsatisfiable);
        assert_eq!(part(b"bytes=0-", b"", b"", 0), Part::Unsatisfiable);
        assert_eq!(part(b"bytes=-5", b"", b"", 0), Part::Unsatisfiable);
    }

    #[test]
    fn what_is_not_one_range_of_bytes_is_the_whole() {
        for other in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1",
            "bytes=1--2",
            "=0-1",
            "bytes=0x1-",
        ] {
            check(other, Part::Whole);
        }
        assert_eq!(part(b"bytes=\xff-", b"", b"", 10), Part::Whole);
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        let of = |if_range: &[u8]| part(b"bytes=5-", if_range, b"\"t\"", 10);
        assert_eq!(of(b"\"t\""), Part::Bytes(5..10));
        // A weak tag and a date say nothing about single bytes.
        for other in [
            &b"\"u\""[..],
            b"W/\"t\"",
            b"t",
            b"Sat, 21 Nov 2026 00:00:00 GMT",
            b"*",
        ] {
            assert_eq!(of(other), Part::Whole);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_lies_within(range in "(bytes=)?[0-9,-]{0,12}", size in 0u64..20) {
            if let Part::Bytes(range) = part(range.as_bytes(), b"", b"", size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
