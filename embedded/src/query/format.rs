//! How the pieces of a streamed result become one answer.
//!
//! The engine writes each piece as a document of its own, with the format's beginning and end. For formats that have
//! neither, the pieces are the answer; for those that begin with the columns' names, the later pieces lose their header
//! here; all others must come from the engine in one piece. A format is streamed only if it is known, under its exact
//! name, to be of the first two sorts (seen with chDB 26.7, and compared by the tests): a wrong guess here would be a
//! broken answer, one that is too careful only a limit on its size.
//!
//! Deliberately streamed by no one: `RawBLOB` (a piece of empty strings has no bytes, which the engine takes for the end:
//! seen), `Values` (commas between rows), `TSVRawWithNames` (a name's line break cannot be told from the header's end).

use std::ops::Range;

/// What the engine makes of a result's pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    /// They are the answer, one behind the other.
    Join,
    /// Each begins with the same header.
    Headed(Header),
    /// Each would be a document: the result must be made in one.
    Whole,
}

/// What a piece begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// So many lines; a line break in a name is escaped.
    Lines(usize),
    /// So many records of quoted fields; a line break in a name is inside quotes.
    Records(usize),
    /// The number of columns as a varint, then so many lists of that many strings, each behind its length.
    Binary(usize),
}

impl Pieces {
    /// Of the format with this exact name.
    pub(super) fn of(format: &str) -> Self {
        match format {
            "TabSeparated"
            | "TSV"
            | "TabSeparatedRaw"
            | "TSVRaw"
            | "TSKV"
            | "CSV"
            | "JSONEachRow"
            | "JSONLines"
            | "NDJSON"
            | "JSONStringsEachRow"
            | "JSONCompactEachRow"
            | "JSONCompactStringsEachRow"
            | "RowBinary"
            | "Native"
            | "LineAsString" => Self::Join,
            "TabSeparatedWithNames"
            | "TSVWithNames"
            | "JSONCompactEachRowWithNames"
            | "JSONCompactStringsEachRowWithNames" => Self::Headed(Header::Lines(1)),
            "TabSeparatedWithNamesAndTypes"
            | "TSVWithNamesAndTypes"
            | "JSONCompactEachRowWithNamesAndTypes"
            | "JSONCompactStringsEachRowWithNamesAndTypes" => Self::Headed(Header::Lines(2)),
            "CSVWithNames" => Self::Headed(Header::Records(1)),
            "CSVWithNamesAndTypes" => Self::Headed(Header::Records(2)),
            "RowBinaryWithNames" => Self::Headed(Header::Binary(1)),
            "RowBinaryWithNamesAndTypes" => Self::Headed(Header::Binary(2)),
            _ => Self::Whole,
        }
    }
}

impl Header {
    /// Its length at the beginning of a piece, in bytes; `None` if the piece does not begin with one.
    fn length(self, piece: &[u8]) -> Option<usize> {
        match self {
            Self::Lines(lines) => {
                let mut breaks = piece.iter().enumerate().filter(|(_, b)| **b == b'\n');
                breaks.nth(lines.checked_sub(1)?).map(|(at, _)| at + 1)
            }
            Self::Records(records) => {
                let mut quoted = false;
                let mut breaks = piece.iter().enumerate().filter(|(_, b)| {
                    // A doubled quote closes and opens again.
                    quoted ^= **b == b'"';
                    **b == b'\n' && !quoted
                });
                breaks.nth(records.checked_sub(1)?).map(|(at, _)| at + 1)
            }
            Self::Binary(lists) => {
                let mut at = 0;
                let columns = varint(piece, &mut at)?;
                for _ in 0..lists {
                    for _ in 0..columns {
                        let length = usize::try_from(varint(piece, &mut at)?).ok()?;
                        at = at.checked_add(length).filter(|end| *end <= piece.len())?;
                    }
                }
                Some(at)
            }
        }
    }
}

/// LEB128, up to 64 bits, as ClickHouse writes lengths.
fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Joins the pieces of one result.
#[derive(Debug)]
pub(super) struct Joiner {
    header: Option<Header>,
    /// The first piece's; kept to be sure that the others have the same.
    seen: Option<Vec<u8>>,
}

impl Joiner {
    pub(super) fn new(header: Option<Header>) -> Self {
        Self { header, seen: None }
    }

    /// Which part of the next piece belongs to the answer; `None` if its header is not the first one's.
    pub(super) fn part(&mut self, piece: &[u8]) -> Option<Range<usize>> {
        let Some(header) = self.header else {
            return Some(0..piece.len());
        };
        let start = match &self.seen {
            Some(seen) => piece.starts_with(seen).then_some(seen.len())?,
            None => {
                let length = header.length(piece)?;
                self.seen = Some(piece.get(..length)?.to_vec());
                0
            }
        };
        Some(start..piece.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(format: &str, piece: &[u8], header: Option<&[u8]>) {
        let Pieces::Headed(kind) = Pieces::of(format) else {
            panic!("{format} has no header");
        };
        assert_eq!(
            kind.length(piece).map(|n| &piece[..n]),
            header,
            "{format} {piece:?}"
        );
    }

    #[test]
    fn header_is_found_to_the_byte() {
        check("TSVWithNames", b"a\\n\tb\n1\t2\n", Some(b"a\\n\tb\n"));
        check(
            "TSVWithNamesAndTypes",
            b"a\r\nUInt8\r\n1\r\n",
            Some(b"a\r\nUInt8\r\n"),
        );
        check(
            "CSVWithNames",
            b"\"a\"\"\n\",\"b\"\n1\n",
            Some(b"\"a\"\"\n\",\"b\"\n"),
        );
        check(
            "CSVWithNamesAndTypes",
            b"\"\n\"\n\"Enum8('\"\"\n' = 1)\"\n\"x\"\n",
            Some(b"\"\n\"\n\"Enum8('\"\"\n' = 1)\"\n"),
        );
        check(
            "JSONCompactEachRowWithNames",
            b"[\"a\\n\"]\n[1]\n",
            Some(b"[\"a\\n\"]\n"),
        );
        check(
            "RowBinaryWithNames",
            b"\x02\x01a\x00rest",
            Some(b"\x02\x01a\x00"),
        );
        check(
            "RowBinaryWithNamesAndTypes",
            b"\x01\x01a\x05UInt8\x07",
            Some(b"\x01\x01a\x05UInt8"),
        );
        let mut long = b"\x01\x80\x01".to_vec();
        long.extend([b'x'; 128]);
        check("RowBinaryWithNames", &long, Some(&long));
    }

    #[test]
    fn a_piece_without_a_whole_header_is_none() {
        check("TSVWithNames", b"a\tb", None);
        check("TSVWithNamesAndTypes", b"a\n", None);
        check("CSVWithNames", b"\"a\n", None);
        for piece in [
            &b""[..],
            b"\x80",
            b"\x02\x01a",
            b"\x01\x05a",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01a",
        ] {
            check("RowBinaryWithNames", piece, None);
        }
    }

    #[test]
    fn later_pieces_lose_the_header_and_must_have_it() {
        let mut joiner = Joiner::new(Some(Header::Lines(1)));
        assert_eq!(joiner.part(b"a\n1\n"), Some(0..4));
        assert_eq!(joiner.part(b"a\n2\n"), Some(2..4));
        assert_eq!(joiner.part(b"a\n"), Some(2..2));
        assert_eq!(joiner.part(b"b\n3\n"), None);
        assert_eq!(Joiner::new(None).part(b"a\n"), Some(0..2));
    }

    #[test]
    fn a_name_that_is_not_exactly_known_is_made_whole() {
        for format in [
            "csv",
            "CSVWithnames",
            "JSON",
            "Values",
            "RawBLOB",
            "Parquet",
            "",
            "CSV ",
        ] {
            assert_eq!(Pieces::of(format), Pieces::Whole, "{format}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_header_longer_than_the_piece(
            piece in proptest::collection::vec(any::<u8>(), 0..40), kind in 0_usize..3, count in 1_usize..3,
        ) {
            let header = [Header::Lines(count), Header::Records(count), Header::Binary(count)][kind];
            if let Some(length) = header.length(&piece) {
                prop_assert!(length <= piece.len());
            }
        }
    }
}
