//! Record → click, book, or the reason why it is neither. Cannot fail otherwise, and does no I/O.
//!
//! A record here has passed its checksum, so a bad one is a bug or a foreign writer, never a torn write. What is absurd
//! is refused rather than bent: a click stored under a wrong number is worse than a dead letter.

use kafka::{Key, KeyError};
use prost::Message as _;
use schemas::click::{Book, Click, ClickId, Stream};
use schemas::click_log::Kind;

use crate::source::{Claim, Record};

/// Earliest and latest instant a click may have, in milliseconds: 2000-01-01 to 2106-01-01. Imported logs are old;
/// anything outside is a broken clock or a broken writer, and would not fit the columns: a DateTime ends in February 2106.
const TIME_MS: std::ops::Range<i64> = 946_684_800_000..4_291_747_200_000;

/// Positions at or above this are absurd: a stream would need 100,000 visits a second for 350 years. One such record
/// would lift the high-water mark over everything that follows.
pub(crate) const MAX_POSITION: u64 = 1 << 50;

/// Drops in one book at most. A proxy's own fit into 64 KiB, and so are no more than some thousands.
const MAX_DROPS: usize = 10_000;

/// What a record turned out to be.
#[derive(Debug)]
pub(crate) enum Decoded {
    Click(ClickId, Box<Click>),
    Book(Stream, Book),
    Dead(Reject, Option<ClickId>),
}

/// Why a record cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reject {
    /// Not the message its kind claims.
    Undecodable,
    /// A worker number above 65,535.
    Worker,
    /// A position that no stream can reach.
    Position,
    /// A time outside [`TIME_MS`].
    Time,
    /// Link or workspace 0: no such row, and receipts use it.
    Link,
    /// A status, rule or variant above 65,535.
    Field,
    /// The key is none of ours, or not the one of this payload.
    Key,
    /// Of a version that this program does not know.
    Version,
}

impl Reject {
    /// Label of the metric and value of the column `reason`.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Worker => "worker",
            Self::Position => "position",
            Self::Time => "time",
            Self::Link => "link",
            Self::Field => "field",
            Self::Key => "key",
            Self::Version => "version",
        }
    }
}

/// Decodes one record.
pub(crate) fn decode(record: &Record) -> Decoded {
    let decoded = match (&record.claim, record.kind) {
        (Claim::Bad(KeyError::Foreign, _), _) => return Decoded::Dead(Reject::Key, None),
        (Claim::Bad(KeyError::Version(unread), _), _) => {
            return Decoded::Dead(Reject::Version, unread.id.filter(is_sane));
        }
        (_, Kind::Click) => click(record),
        (_, Kind::Book) => book(record),
    };
    match (&record.claim, decoded) {
        (Claim::Key(Key::Click(id)), Decoded::Click(found, _)) if *id != found => {
            Decoded::Dead(Reject::Key, None)
        }
        (Claim::Key(Key::Click(id)), Decoded::Dead(_, Some(found))) if *id != found => {
            Decoded::Dead(Reject::Key, None)
        }
        (Claim::Key(Key::Book(stream)), Decoded::Book(found, _)) if *stream != found => {
            Decoded::Dead(Reject::Key, None)
        }
        // The key still says whose place it is.
        (Claim::Key(Key::Click(id)), Decoded::Dead(Reject::Undecodable, None)) => {
            Decoded::Dead(Reject::Undecodable, Some(*id).filter(is_sane))
        }
        (_, decoded) => decoded,
    }
}

fn is_sane(id: &ClickId) -> bool {
    id.position < MAX_POSITION
}

fn click(record: &Record) -> Decoded {
    let Ok(click) = Click::decode(record.payload.as_ref()) else {
        return Decoded::Dead(Reject::Undecodable, None);
    };
    let Some(id) = click.id() else {
        return Decoded::Dead(Reject::Worker, None);
    };
    if id.position >= MAX_POSITION {
        return Decoded::Dead(Reject::Position, None);
    }
    let fits = |n: u32| u16::try_from(n).is_ok();
    let reject = if !TIME_MS.contains(&click.time_ms) {
        Reject::Time
    } else if click.link == 0 || click.workspace == 0 {
        Reject::Link
    } else if !(fits(click.status) && fits(click.rule) && fits(click.variant)) {
        Reject::Field
    } else {
        return Decoded::Click(id, Box::new(click));
    };
    Decoded::Dead(reject, Some(id))
}

fn book(record: &Record) -> Decoded {
    let Ok(book) = Book::decode(record.payload.as_ref()) else {
        return Decoded::Dead(Reject::Undecodable, None);
    };
    let Some(stream) = book.stream() else {
        return Decoded::Dead(Reject::Worker, None);
    };
    let sane = book.written <= MAX_POSITION
        && book.dropped.len() <= MAX_DROPS
        && book
            .dropped
            .iter()
            .all(|d| d.from < d.to && d.to <= MAX_POSITION);
    if !sane {
        return Decoded::Dead(Reject::Position, None);
    }
    if !TIME_MS.contains(&book.time_ms) {
        return Decoded::Dead(Reject::Time, None);
    }
    Decoded::Book(stream, book)
}

#[cfg(test)]
mod tests {
    use schemas::click::Drop;

    use super::*;

    fn good() -> Click {
        Click {
            epoch: 7,
            worker: 1,
            position: 3,
            time_ms: 1_700_000_000_000,
            workspace: 1,
            link: 1,
            ..Click::default()
        }
    }

    #[track_caller]
    fn check(kind: Kind, payload: Vec<u8>, expected: Result<(), Reject>) {
        let record = Record {
            offset: 0,
            kind,
            claim: Claim::None,
            payload: payload.into(),
        };
        let got = match decode(&record) {
            Decoded::Dead(reject, _) => Err(reject),
            Decoded::Click(..) | Decoded::Book(..) => Ok(()),
        };
        assert_eq!(got, expected);
    }

    #[track_caller]
    fn check_click(change: impl FnOnce(&mut Click), expected: Result<(), Reject>) {
        let mut click = good();
        change(&mut click);
        check(Kind::Click, click.encode_to_vec(), expected);
    }

    #[test]
    fn absurd_clicks_are_refused_with_a_reason() {
        check_click(|_| {}, Ok(()));
        check_click(|c| c.worker = 65_536, Err(Reject::Worker));
        check_click(|c| c.position = u64::MAX, Err(Reject::Position));
        check_click(|c| c.time_ms = i64::MIN, Err(Reject::Time));
        check_click(|c| c.time_ms = i64::MAX, Err(Reject::Time));
        check_click(|c| c.time_ms = 0, Err(Reject::Time));
        check_click(|c| c.time_ms = 4_291_747_200_000, Err(Reject::Time));
        check_click(|c| c.time_ms = 4_291_747_199_999, Ok(()));
        check_click(|c| c.link = 0, Err(Reject::Link));
        check_click(|c| c.workspace = 0, Err(Reject::Link));
        check_click(|c| c.status = 70_000, Err(Reject::Field));
        check_click(|c| c.rule = u32::MAX, Err(Reject::Field));
        check_click(|c| c.slug = "\0'\"<b>\u{202e}".to_owned(), Ok(()));
        check(Kind::Click, vec![0xff; 40], Err(Reject::Undecodable));
        check(
            Kind::Click,
            b"\x42\x02\xff\xfe".to_vec(),
            Err(Reject::Undecodable),
        );
        check(Kind::Click, Vec::new(), Err(Reject::Time));
    }

    #[track_caller]
    fn check_claim(claim: Claim, payload: Vec<u8>, expected: (Option<Reject>, Option<u64>)) {
        let record = Record {
            offset: 0,
            kind: Kind::Click,
            claim,
            payload: payload.into(),
        };
        let got = match decode(&record) {
            Decoded::Dead(reject, id) => (Some(reject), id.map(|id| id.position)),
            Decoded::Click(id, _) => (None, Some(id.position)),
            Decoded::Book(..) => (None, None),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn a_key_must_be_that_of_its_payload_and_names_what_cannot_be_read() {
        let id = good().id().expect("sane");
        let payload = good().encode_to_vec();
        let key = |position| Claim::Key(Key::Click(ClickId { position, ..id }));
        check_claim(key(3), payload.clone(), (None, Some(3)));
        check_claim(key(4), payload.clone(), (Some(Reject::Key), None));
        check_claim(key(3), vec![0xff], (Some(Reject::Undecodable), Some(3)));
        check_claim(
            key(MAX_POSITION),
            vec![0xff],
            (Some(Reject::Undecodable), None),
        );
        let absurd = Click { link: 0, ..good() };
        check_claim(
            key(3),
            absurd.encode_to_vec(),
            (Some(Reject::Link), Some(3)),
        );
        check_claim(key(9), absurd.encode_to_vec(), (Some(Reject::Key), None));
        let newer = |position| {
            let id = Some(ClickId { position, ..id });
            Claim::Bad(
                KeyError::Version(kafka::Unread { version: 2, id }),
                bytes::Bytes::new(),
            )
        };
        check_claim(newer(7), payload.clone(), (Some(Reject::Version), Some(7)));
        check_claim(
            newer(u64::MAX),
            payload.clone(),
            (Some(Reject::Version), None),
        );
        let foreign = Claim::Bad(KeyError::Foreign, bytes::Bytes::new());
        check_claim(foreign, payload, (Some(Reject::Key), None));
    }

    #[test]
    fn absurd_books_are_refused_with_a_reason() {
        let book = |written, from, to| Book {
            epoch: 1,
            written,
            time_ms: 1_700_000_000_000,
            dropped: vec![Drop {
                from,
                to,
                reason: "ring_full".to_owned(),
            }],
            ..Book::default()
        };
        check(Kind::Book, book(10, 3, 5).encode_to_vec(), Ok(()));
        check(
            Kind::Book,
            book(10, 5, 5).encode_to_vec(),
            Err(Reject::Position),
        );
        check(
            Kind::Book,
            book(u64::MAX, 3, 5).encode_to_vec(),
            Err(Reject::Position),
        );
        check(
            Kind::Book,
            book(10, 3, u64::MAX).encode_to_vec(),
            Err(Reject::Position),
        );
        check(Kind::Book, vec![8], Err(Reject::Undecodable));
    }
}
