//! What stands beside a committed offset: the intent, so that whoever takes the partition over makes the same insert, and
//! the record before the offset, so that a topic that was made anew is noticed.
//!
//! One line of text with a checksum; the broker takes up to 4,096 bytes, this needs some 150. Anything else is foreign.
//!
//! ```text
//! signpost/1 last <offset>:<fingerprint>|- [insert <to> <clicks> <ingested> <token>] <crc32c, 8 hex digits>
//! ```

use std::ops::Range;

use crate::intent::Intent;

const TITLE: &str = "signpost/1";

/// Longest token taken for one.
const MAX_TOKEN_BYTES: usize = 200;

/// A record that was read: its offset and a hash of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) offset: u64,
    pub(crate) fingerprint: u64,
}

/// An insert that was about to be made, of records from the committed offset on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Offset behind its last record.
    pub(crate) to: u64,
    pub(crate) clicks: u64,
    /// The column `ingested` of all its clicks.
    pub(crate) ingested: u32,
    pub(crate) token: String,
}

/// What stands beside a committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub(crate) last: Option<Last>,
    pub(crate) planned: Option<Planned>,
}

impl Mark {
    /// The mark of a batch that is about to be inserted.
    pub(crate) fn of(intent: &Intent, last: Option<Last>) -> Self {
        Self {
            last,
            planned: Some(Planned {
                to: intent.offsets.end,
                clicks: intent.clicks(),
                ingested: intent.ingested,
                token: intent.token.clone(),
            }),
        }
    }

    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{TITLE} last ");
        match self.last {
            Some(last) => text += &format!("{}:{:016x}", last.offset, last.fingerprint),
            None => text += "-",
        }
        if let Some(Planned {
            to,
            clicks,
            ingested,
            token,
        }) = &self.planned
        {
            text += &format!(" insert {to} {clicks} {ingested} {token}");
        }
        let sum = crc32c::crc32c(text.as_bytes());
        format!("{text} {sum:08x}")
    }

    /// Reads a mark; `None` for anything that is none of ours. Of an insert from `from` on.
    pub(crate) fn decode(bytes: &[u8], from: u64) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (text, sum) = text.rsplit_once(' ')?;
        if sum.len() != 8 || u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(text.as_bytes()) {
            return None;
        }
        let mut words = text.split(' ');
        if (words.next()?, words.next()?) != (TITLE, "last") {
            return None;
        }
        let last = match words.next()? {
            "-" => None,
            word => {
                let (offset, fingerprint) = word.split_once(':')?;
                Some(Last {
                    offset: offset.parse().ok()?,
                    fingerprint: u64::from_str_radix(fingerprint, 16).ok()?,
                })
            }
        };
        let planned = match words.next() {
            None => None,
            Some("insert") => Some(Planned {
                to: words.next()?.parse().ok().filter(|to| *to > from)?,
                clicks: words.next()?.parse().ok()?,
                ingested: words.next()?.parse().ok()?,
                token: words
                    .next()
                    .filter(|token| token.len() <= MAX_TOKEN_BYTES)?
                    .to_owned(),
            }),
            Some(_) => return None,
        };
        words.next().is_none().then_some(Self { last, planned })
    }
}

/// The offsets of an insert.
pub(crate) fn offsets(from: u64, planned: &Planned) -> Range<u64> {
    from..planned.to
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks() -> [Mark; 4] {
        let last = Some(Last {
            offset: 41,
            fingerprint: u64::MAX,
        });
        let planned = Some(Planned {
            to: 99,
            clicks: 7,
            ingested: 1_790_000_000,
            token: "0123abcd-ef".to_owned(),
        });
        [
            Mark::default(),
            Mark {
                last,
                planned: None,
            },
            Mark {
                last: None,
                planned: planned.clone(),
            },
            Mark { last, planned },
        ]
    }

    #[test]
    fn a_mark_survives_its_text() {
        for mark in marks() {
            let text = mark.encode();
            assert!(text.len() < 200);
            assert_eq!(Mark::decode(text.as_bytes(), 42), Some(mark));
        }
        // An insert that ends before it begins is none.
        assert_eq!(Mark::decode(marks()[3].encode().as_bytes(), 99), None);
    }

    #[test]
    fn foreign_metadata_is_no_mark() {
        for foreign in [
            &b""[..],
            b"x",
            b"\xff\xfe\x00",
            b"signpost/1 last - 00000000",
            b"NO_METADATA",
        ] {
            assert_eq!(Mark::decode(foreign, 0), None);
        }
    }

    proptest! {
        #[test]
        fn a_cut_or_flipped_mark_is_none(n in 0usize..4, at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<bool>()) {
            let mark = &marks()[n];
            let mut bytes = mark.encode().into_bytes();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at); } else { bytes[at] ^= flip; }
            let read = Mark::decode(&bytes, 42);
            // Hex digits of the sum read the same in either case.
            prop_assert!(read.is_none() || read.as_ref() == Some(mark));
        }
    }
}
