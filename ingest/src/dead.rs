//! Rows of the side tables: dead letters, books and drops. All three are idempotent: a row written twice is one row, so
//! they need neither intent nor token.

use std::ops::Range;

use clickhouse::native::Block;
use clickhouse::native::builder::BlockBuilder;
use schemas::click::{ClickId, Stream};

use crate::row::{BlockError, Millis, Raw, column, finish};
use crate::source::Record;

/// Bytes of a dead letter's payload that are kept. Enough to see what it was; the log had no bound but a record's.
const MAX_DEAD_PAYLOAD_BYTES: usize = 8 << 10;

/// Longest reason of a drop, in bytes; reasons are short words, so a longer one is hostile.
const MAX_REASON_BYTES: usize = 64;

/// A record that could not be stored.
#[derive(Debug, Clone)]
pub(crate) struct DeadRow {
    pub(crate) record: Record,
    pub(crate) reason: &'static str,
    pub(crate) id: Option<ClickId>,
}

impl DeadRow {
    pub(crate) fn new(record: &Record, reason: &'static str, id: Option<ClickId>) -> Self {
        Self {
            record: record.clone(),
            reason,
            id,
        }
    }

    /// What of the payload is kept in the table.
    fn payload(&self) -> bytes::Bytes {
        let payload = &self.record.payload;
        payload.slice(..payload.len().min(MAX_DEAD_PAYLOAD_BYTES))
    }
}

/// What a stream says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BookRow {
    pub(crate) stream: Stream,
    pub(crate) written: u64,
    pub(crate) closed: bool,
    pub(crate) time_ms: i64,
}

impl BookRow {
    pub(crate) fn merge(&mut self, later: &Self) {
        self.written = self.written.max(later.written);
        self.closed |= later.closed;
        self.time_ms = self.time_ms.max(later.time_ms);
    }
}

/// Positions handed out and lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DropRow {
    pub(crate) stream: Stream,
    pub(crate) range: Range<u64>,
    pub(crate) reason: String,
}

/// A reason from a book, cut to what is kept.
pub(crate) fn bounded(reason: &str) -> String {
    reason
        .get(..reason.floor_char_boundary(MAX_REASON_BYTES))
        .unwrap_or_default()
        .to_owned()
}

/// Dead letters as a block; there must be some.
///
/// # Errors
/// [`BlockError`], a bug.
pub(crate) fn dead_block(partition: u32, rows: &[DeadRow]) -> Result<Block, BlockError> {
    let mut b = BlockBuilder::new();
    let all = || rows.iter();
    column(&mut b, "log_partition", all().map(|_| partition))?;
    column(&mut b, "log_offset", all().map(|r| r.record.offset))?;
    column(&mut b, "reason", all().map(|r| r.reason))?;
    column(
        &mut b,
        "epoch",
        all().map(|r| r.id.map(|id| id.stream.epoch)),
    )?;
    column(
        &mut b,
        "worker",
        all().map(|r| r.id.map(|id| id.stream.worker)),
    )?;
    column(
        &mut b,
        "position",
        all().map(|r| r.id.map(|id| id.position)),
    )?;
    column(&mut b, "payload", all().map(|r| Raw(r.payload())))?;
    finish(b)
}

/// Books as a block; there must be some.
///
/// # Errors
/// [`BlockError`], a bug.
pub(crate) fn book_block(rows: &[BookRow]) -> Result<Block, BlockError> {
    let mut b = BlockBuilder::new();
    let all = || rows.iter();
    column(&mut b, "epoch", all().map(|r| r.stream.epoch))?;
    column(&mut b, "worker", all().map(|r| r.stream.worker))?;
    column(&mut b, "written", all().map(|r| r.written))?;
    column(&mut b, "closed", all().map(|r| u8::from(r.closed)))?;
    column(&mut b, "time", all().map(|r| Millis(r.time_ms)))?;
    finish(b)
}

/// Drops as a block; there must be some.
///
/// # Errors
/// [`BlockError`], a bug.
pub(crate) fn drop_block(rows: &[DropRow]) -> Result<Block, BlockError> {
    let mut b = BlockBuilder::new();
    let all = || rows.iter();
    column(&mut b, "epoch", all().map(|r| r.stream.epoch))?;
    column(&mut b, "worker", all().map(|r| r.stream.worker))?;
    column(&mut b, "from_position", all().map(|r| r.range.start))?;
    column(&mut b, "to_position", all().map(|r| r.range.end))?;
    column(&mut b, "reason", all().map(|r| r.reason.as_str()))?;
    finish(b)
}
