//! The books of one stream: how far it has been written, and what was lost, for the records that say so.

use std::time::{Duration, Instant};

use prost::Message as _;
use schemas::click::{Book, Drop, Stream};
use schemas::click_log::{Kind, RecordTooLong, append_record};

/// How often a stream that only goes on says how far it is: the age of the numbers in an audit.
const INTERVAL: Duration = Duration::from_secs(1);

/// Ranges in one record: far below the longest record, and a ring read at once seldom has more.
const RANGES_A_RECORD: usize = 500;

/// What the books say of a stream, and what they will say next.
#[derive(Debug)]
pub(crate) struct Books {
    stream: Stream,
    /// What the last record in the log says, and when it was written.
    last: Option<(u64, Instant)>,
    /// What a record not yet known to be in the log says.
    pending: Option<(u64, Instant)>,
    /// Found since the last record.
    dropped: Vec<Drop>,
}

impl Books {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            last: None,
            pending: None,
            dropped: Vec::new(),
        }
    }

    /// Positions `from..to` are lost.
    pub(crate) fn lose(&mut self, from: u64, to: u64, reason: &'static str) {
        match self.dropped.last_mut() {
            Some(last) if last.to == from && last.reason == reason => last.to = to,
            _ => self.dropped.push(Drop {
                from,
                to,
                reason: reason.to_owned(),
            }),
        }
    }

    /// Appends what there is to say behind the stream's clicks: losses at once, progress now and then, the end at once.
    ///
    /// # Errors
    /// Never in practice: the number of ranges in a record is bounded.
    pub(crate) fn write(
        &mut self,
        out: &mut Vec<u8>,
        written: u64,
        closed: bool,
        now: Instant,
        now_ms: i64,
    ) -> Result<(), RecordTooLong> {
        let due = self
            .last
            .is_none_or(|(said, at)| said != written && now - at >= INTERVAL);
        if self.dropped.is_empty() && !closed && !due {
            return Ok(());
        }
        let mut rest = &self.dropped[..];
        while let Some((chunk, more)) = rest.split_at_checked(RANGES_A_RECORD) {
            if more.is_empty() {
                break;
            }
            // Says no more than is true at this place of the log.
            let written = chunk.last().map_or(0, |d| d.to);
            self.append(out, written, chunk, false, now_ms)?;
            rest = more;
        }
        self.append(out, written, rest, closed, now_ms)?;
        self.pending = Some((written, now));
        Ok(())
    }

    /// What [`Self::write`] appended is in the log. Returns what it said was lost.
    pub(crate) fn commit(&mut self) -> Vec<Drop> {
        if let Some(pending) = self.pending.take() {
            self.last = Some(pending);
        }
        std::mem::take(&mut self.dropped)
    }

    /// What [`Self::write`] appended did not get into the log, and the ring will be read again.
    pub(crate) fn rewind(&mut self) {
        self.pending = None;
        self.dropped.clear();
    }

    fn append(
        &self,
        out: &mut Vec<u8>,
        written: u64,
        dropped: &[Drop],
        closed: bool,
        now_ms: i64,
    ) -> Result<(), RecordTooLong> {
        let book = Book {
            epoch: self.stream.epoch,
            worker: u32::from(self.stream.worker),
            written,
            time_ms: now_ms,
            dropped: dropped.to_vec(),
            closed,
        };
        append_record(out, Kind::Book, &book.encode_to_vec())
    }
}

#[cfg(test)]
mod tests {
    use schemas::click_log::{Next, next_record};

    use super::*;

    fn books() -> Books {
        Books::new(Stream {
            epoch: 1,
            worker: 2,
        })
    }

    fn written(books: &mut Books, to: u64, closed: bool, now: Instant) -> Vec<Book> {
        let mut out = Vec::new();
        books.write(&mut out, to, closed, now, 5).expect("short");
        let mut found = Vec::new();
        let mut rest = &out[..];
        while let Next::Record {
            payload, length, ..
        } = next_record(rest)
        {
            found.push(Book::decode(payload).expect("own bytes"));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        found
    }

    #[test]
    fn progress_is_said_now_and_then_and_losses_and_the_end_at_once() {
        let (mut books, start) = (books(), Instant::now());
        assert_eq!(written(&mut books, 0, false, start).len(), 1);
        books.commit();
        assert!(written(&mut books, 5, false, start).is_empty());
        assert!(written(&mut books, 0, false, start + INTERVAL).is_empty());
        assert_eq!(
            written(&mut books, 5, false, start + INTERVAL)[0].written,
            5
        );
        books.commit();
        books.lose(5, 7, "a");
        books.lose(7, 8, "a");
        books.lose(8, 9, "b");
        let said = written(&mut books, 9, false, start + INTERVAL);
        assert_eq!(said[0].dropped.len(), 2);
        assert_eq!((said[0].dropped[0].from, said[0].dropped[0].to), (5, 8));
        assert_eq!(books.commit().len(), 2);
        assert!(written(&mut books, 9, true, start + INTERVAL)[0].closed);
    }

    #[test]
    fn what_did_not_reach_the_log_is_said_again() {
        let (mut books, start) = (books(), Instant::now());
        books.lose(0, 3, "a");
        assert_eq!(written(&mut books, 3, false, start).len(), 1);
        books.rewind();
        books.lose(0, 3, "a");
        assert_eq!(written(&mut books, 3, false, start)[0].dropped.len(), 1);
    }

    #[test]
    fn many_losses_are_split_and_each_record_is_true_where_it_stands() {
        let mut books = books();
        for i in 0..1200 {
            books.lose(2 * i, 2 * i + 1, "a");
        }
        let said = written(&mut books, 3000, true, Instant::now());
        assert_eq!(
            said.iter().map(|b| b.dropped.len()).collect::<Vec<_>>(),
            [500, 500, 200]
        );
        assert_eq!(
            said.iter().map(|b| b.written).collect::<Vec<_>>(),
            [999, 1999, 3000]
        );
        assert_eq!(
            said.iter().map(|b| b.closed).collect::<Vec<_>>(),
            [false, false, true]
        );
    }
}
