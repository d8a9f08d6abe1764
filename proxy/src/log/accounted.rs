//! Which positions the newest segment accounts for.
//!
//! A process that dies between writing a batch and telling the ring so leaves visits in both. Whoever drains that ring
//! next asks here, so that the log holds each visit and each drop range once. (Ingest would drop a repeated click by its
//! id; a repeated drop range that differs from the first would be counted twice.)

use std::collections::HashMap;

use prost::Message as _;
use schemas::click::{Book, Stream};
use schemas::click_log::Kind;

/// The id of a click without the rest of it.
#[derive(Clone, PartialEq, prost::Message)]
struct Id {
    #[prost(fixed64, tag = "1")]
    epoch: u64,
    #[prost(uint32, tag = "2")]
    worker: u32,
    #[prost(uint64, tag = "3")]
    position: u64,
}

/// Positions by stream.
#[derive(Debug, Default)]
pub struct Accounted {
    /// Ranges `from..to`, in the order of the log.
    streams: HashMap<Stream, Vec<(u64, u64)>>,
}

impl Accounted {
    pub(super) fn of<'a>(records: impl Iterator<Item = (Kind, &'a [u8])>) -> Self {
        let mut accounted = Self::default();
        for (kind, payload) in records {
            match kind {
                Kind::Click => {
                    let Ok(id) = Id::decode(payload) else {
                        continue;
                    };
                    let Ok(worker) = u16::try_from(id.worker) else {
                        continue;
                    };
                    let stream = Stream {
                        epoch: id.epoch,
                        worker,
                    };
                    accounted.add(stream, id.position, id.position.saturating_add(1));
                }
                Kind::Book => {
                    let Ok(book) = Book::decode(payload) else {
                        continue;
                    };
                    let Some(stream) = book.stream() else {
                        continue;
                    };
                    for drop in book.dropped {
                        accounted.add(stream, drop.from, drop.to);
                    }
                }
            }
        }
        accounted
    }

    fn add(&mut self, stream: Stream, from: u64, to: u64) {
        let ranges = self.streams.entry(stream).or_default();
        match ranges.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => ranges.push((from, to)),
        }
    }

    /// Whether there is anything of this stream.
    pub fn knows(&self, stream: Stream) -> bool {
        self.streams.contains_key(&stream)
    }

    /// The first position at or above `from` that is not accounted for.
    pub fn first_open(&self, stream: Stream, from: u64) -> u64 {
        let mut ranges = self.streams.get(&stream).cloned().unwrap_or_default();
        ranges.sort_unstable();
        ranges.into_iter().fold(
            from,
            |open, (from, to)| if from <= open { open.max(to) } else { open },
        )
    }
}
