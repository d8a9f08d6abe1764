//! Where records come from. The click log is one source, a partition of Kafka another (`crate::topic`). A source gives records in order, each
//! with an offset that only grows, can give a stretch again, and is told what is stored for good.
//!
//! A source deliberately knows nothing of clicks: it does not decode payloads.

use std::io;
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use kafka::{Key, KeyError};
use schemas::click_log::Kind;

pub(crate) mod click_log;

/// One record, not yet decoded.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Its offset in the partition.
    pub(crate) offset: u64,
    pub(crate) kind: Kind,
    pub(crate) claim: Claim,
    pub(crate) payload: Bytes,
}

impl Record {
    /// Bytes of memory that it takes, about.
    pub(crate) fn size(&self) -> u64 {
        let key = match &self.claim {
            Claim::Bad(_, key) => key.len(),
            Claim::None | Claim::Key(_) => 0,
        };
        (size_of::<Self>() + key + self.payload.len()) as u64
    }
}

/// What a record's key says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Records of a click log have no keys.
    None,
    /// A key of ours.
    Key(Key),
    /// A key that says that the payload cannot be read, as it is.
    Bad(KeyError, Bytes),
}

/// Bytes that held no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// Label of the metric.
    pub(crate) reason: &'static str,
}

/// What one call gave.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// Offset at which the next fetch begins; all below it is in here, known damage included.
    pub(crate) to: u64,
    /// Offset at which this one began.
    pub(crate) from: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) damage: Vec<Damage>,
    /// A limit was reached: there is more.
    pub(crate) more: bool,
}

/// How much one fetch may give.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Records.
    pub(crate) records: usize,
    /// Bytes of the log.
    pub(crate) bytes: u64,
}

/// A partition that is read from the front.
pub(crate) trait Source: Send + 'static {
    /// Its number, kept with every click.
    fn partition(&self) -> u32;

    /// The next records; none when there are none yet. Blocks on the disk only.
    fn fetch(&mut self, limits: Limits, now: Instant) -> io::Result<Fetched>;

    /// A stretch once more, without moving; what is no longer there is missing from it.
    fn reread(&mut self, offsets: Range<u64>) -> io::Result<Fetched>;

    /// Goes back to what is acknowledged.
    fn rewind(&mut self) -> io::Result<()>;

    /// All below this is acknowledged.
    fn acknowledged(&self) -> u64;

    /// All below `to` is stored for good.
    fn acknowledge(&mut self, to: u64) -> io::Result<()>;

    /// Bytes not acknowledged.
    fn lag(&self) -> io::Result<u64>;
}
