//! The books: whether everything that was handed out is stored, on its way, or accounted for, and whether every roll-up
//! agrees with the raw clicks. Reads ClickHouse, the click logs of this machine behind their acknowledgement, and Kafka
//! behind the committed offsets; changes nothing.
//!
//! Per stream: handed out = stored + in flight + dead letters + dropped. What is left over is `missing`; below what a
//! book of the stream says was written it is an error, above it only unsettled, since a drop may be reported later.
//!
//! Roll-ups are compared as a whole, by a sum over all rows of a hash of their key times their clicks: it is the same
//! number for the roll-up and for the raw clicks below its receipts, and any row too many, too few or in the wrong place
//! changes it. Each side is read in one statement, so that ingest may run meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Instant;

use anyhow::Context as _;
use clickhouse::Row;
use schemas::click::Stream;
use schemas::names::{DATABASE, tables};
use serde::Deserialize;

use crate::app::connect;
use crate::config::Config;
use crate::decode::{Decoded, decode};
use crate::receipt::RollUp;
use crate::source::click_log::ClickLog;
use crate::source::{Limits, Record, Source as _};
use crate::store::Store;
use crate::topic::in_flight;

mod compare;
mod repair;

pub use repair::{Repaired, repair};

/// Records of the log read at a time.
const CHUNK: Limits = Limits {
    records: 50_000,
    bytes: 32 << 20,
};

/// The books of one stream. All numbers are positions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamBooks {
    /// Handed out, as far as anything says: a book, or the highest position seen anywhere.
    pub written: u64,
    /// In ClickHouse, clicks that have expired since included.
    pub stored: u64,
    /// In the click log, not stored yet.
    pub in_flight: u64,
    /// In `dead_letters`.
    pub dead: u64,
    /// Reported as lost, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Accounted for by nothing, although a book says that all below is written.
    pub missing: u64,
    /// Accounted for by nothing yet, above what the last book says.
    pub unsettled: u64,
    /// Rows of `clicks` with an id that another row has.
    pub doubled: u64,
    /// The stream has ended: nothing will be added.
    pub closed: bool,
}

impl StreamBooks {
    /// Whether nothing is missing and nothing is doubled.
    pub fn balanced(&self) -> bool {
        self.missing == 0 && self.doubled == 0
    }
}

/// Whether one roll-up agrees with the raw clicks of one month of ingest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollUpBooks {
    /// The table.
    pub table: &'static str,
    /// Month of ingest, e.g. 202611.
    pub month: u32,
    /// Clicks in the roll-up.
    pub rolled_up: u64,
    /// Clicks in `clicks` that should be.
    pub raw: u64,
    /// What the comparison found.
    pub verdict: Verdict,
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Row by row the same.
    Agrees,
    /// Not the same.
    Differs,
    /// Raw clicks of that month have expired or been erased: it cannot be told.
    Unknown,
}

/// What `audit` found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// By stream.
    pub streams: BTreeMap<Stream, StreamBooks>,
    /// By table and month.
    pub roll_ups: Vec<RollUpBooks>,
    /// Records in `dead_letters` whose click is not known.
    pub dead_unknown: u64,
    /// Bytes of the log that are no records, behind the acknowledgement.
    pub damaged_bytes: u64,
}

impl Report {
    /// Whether all books balance and no roll-up differs.
    pub fn balanced(&self) -> bool {
        self.streams.values().all(StreamBooks::balanced)
            && self.roll_ups.iter().all(|r| r.verdict != Verdict::Differs)
    }
}

/// Checks the books.
///
/// # Errors
/// ClickHouse cannot be asked, or the log cannot be read. Books that don't balance are not an error but the report's.
pub async fn audit(config: &Config) -> anyhow::Result<Report> {
    let store = connect(&config.clickhouse)?;
    audit_store(config, &store)
        .await
        .context("cannot check the books")
}

async fn audit_store(config: &Config, store: &Store) -> anyhow::Result<Report> {
    // Books before the log and the log before the tables: what moves on meanwhile is then seen at its later place.
    let books = store.rows::<BookLine>(&sql::books()).await?;
    let mut report = Report::default();
    let mut logged: HashMap<Stream, Logged> = HashMap::new();
    for (partition, folder) in (0..).zip(&config.click_logs) {
        let mut log = ClickLog::open(partition, folder.clone())
            .with_context(|| format!("cannot read the click log in {}", folder.display()))?;
        report.damaged_bytes += tokio::task::block_in_place(|| read_log(&mut log, &mut logged))?;
    }
    if let Some(kafka) = &config.kafka {
        tokio::task::block_in_place(|| in_flight(kafka, |record| note(&record, &mut logged)))
            .context("cannot read what is in flight in kafka")?;
    }
    let stored = store.rows::<StoredLine>(&sql::stored()).await?;
    let dead = store.rows::<DeadLine>(&sql::dead()).await?;
    let drops = store.rows::<DropLine>(&sql::drops()).await?;

    let mut streams: BTreeMap<Stream, Gathered> = BTreeMap::new();
    for line in books {
        let g = streams.entry(stream(line.epoch, line.worker)).or_default();
        (g.book, g.closed) = (line.written, line.closed > 0);
    }
    for line in stored {
        let g = streams.entry(stream(line.epoch, line.worker)).or_default();
        (g.stored, g.doubled, g.mark) = (line.stored, line.doubled, line.mark);
    }
    for line in dead {
        match line.position {
            Some(position) => streams
                .entry(stream(line.epoch, line.worker))
                .or_default()
                .dead
                .push(position),
            None => report.dead_unknown += line.n,
        }
    }
    for line in drops {
        let g = streams.entry(stream(line.epoch, line.worker)).or_default();
        g.drops
            .push((line.from_position..line.to_position, line.reason));
    }
    for (stream, logged) in logged {
        streams.entry(stream).or_default().logged = logged;
    }
    report.streams = streams
        .into_iter()
        .map(|(stream, gathered)| (stream, gathered.settle()))
        .collect();
    let open = report
        .streams
        .iter()
        .filter(|(_, books)| !books.closed)
        .map(|(stream, _)| *stream)
        .collect();
    for roll_up in [RollUp::Quarters, RollUp::Periods, RollUp::Visitors] {
        report
            .roll_ups
            .extend(compare::compare(store, roll_up, &open).await?);
    }
    Ok(report)
}

/// What is known of a stream before it is added up.
#[derive(Default)]
struct Gathered {
    book: u64,
    closed: bool,
    stored: u64,
    doubled: u64,
    mark: u64,
    dead: Vec<u64>,
    drops: Vec<(Range<u64>, String)>,
    logged: Logged,
}

/// Clicks of a stream in the log behind the acknowledgement.
#[derive(Default)]
struct Logged {
    positions: Vec<u64>,
}

impl Gathered {
    fn settle(mut self) -> StreamBooks {
        self.logged.positions.sort_unstable();
        self.logged.positions.dedup();
        let in_flight: Vec<u64> = self
            .logged
            .positions
            .into_iter()
            .filter(|p| *p >= self.mark)
            .collect();
        // A dead letter that is also in the log is in flight no more.
        let in_flight: Vec<u64> = in_flight
            .into_iter()
            .filter(|p| self.dead.binary_search(p).is_err())
            .collect();
        let mut out = StreamBooks {
            stored: self.stored,
            in_flight: in_flight.len() as u64,
            dead: self.dead.len() as u64,
            doubled: self.doubled,
            closed: self.closed,
            ..StreamBooks::default()
        };
        // Each position is dropped once, whoever says so how often.
        self.drops
            .sort_unstable_by_key(|(range, _)| (range.start, range.end));
        let mut below = 0;
        for (range, reason) in self.drops {
            let from = range.start.max(below);
            if from < range.end {
                *out.dropped.entry(reason).or_default() += range.end - from;
                below = range.end;
            }
        }
        let seen = [
            self.mark,
            in_flight.last().map_or(0, |p| p + 1),
            self.dead.last().map_or(0, |p| p + 1),
            below,
        ];
        out.written = seen.into_iter().fold(self.book, u64::max);
        let accounted = out.stored + out.in_flight + out.dead + out.dropped.values().sum::<u64>();
        let left = out.written.saturating_sub(accounted);
        // Only what lies above the last book may still find its explanation.
        let above = out.written - self.book;
        if self.closed {
            out.missing = left;
        } else {
            out.unsettled = left.min(above);
            out.missing = left - out.unsettled;
        }
        out
    }
}

/// Reads the log behind its acknowledgement. Returns bytes that are no records.
fn read_log(log: &mut ClickLog, logged: &mut HashMap<Stream, Logged>) -> std::io::Result<u64> {
    let mut damaged = 0;
    loop {
        let fetched = log.fetch(CHUNK, Instant::now())?;
        damaged += fetched.damage.iter().map(|d| d.bytes).sum::<u64>();
        for record in &fetched.records {
            note(record, logged);
        }
        if !fetched.more {
            return Ok(damaged);
        }
    }
}

/// Takes a record on its way in.
fn note(record: &Record, logged: &mut HashMap<Stream, Logged>) {
    if let Decoded::Click(id, _) | Decoded::Dead(_, Some(id)) = decode(record) {
        let positions = &mut logged.entry(id.stream).or_default().positions;
        positions.push(id.position);
    }
}

const fn stream(epoch: u64, worker: u16) -> Stream {
    Stream { epoch, worker }
}

#[derive(Row, Deserialize)]
struct BookLine {
    epoch: u64,
    worker: u16,
    written: u64,
    closed: u8,
}

#[derive(Row, Deserialize)]
struct StoredLine {
    epoch: u64,
    worker: u16,
    stored: u64,
    doubled: u64,
    mark: u64,
}

#[derive(Row, Deserialize)]
struct DeadLine {
    epoch: u64,
    worker: u16,
    position: Option<u64>,
    n: u64,
}

#[derive(Row, Deserialize)]
struct DropLine {
    epoch: u64,
    worker: u16,
    from_position: u64,
    to_position: u64,
    reason: String,
}

/// The questions about streams.
mod sql {
    use super::{DATABASE, tables};

    pub(super) fn books() -> String {
        format!(
            "SELECT epoch, worker, max(b.written) AS written, max(b.closed) AS closed FROM {DATABASE}.{} AS b \
             GROUP BY epoch, worker",
            tables::BOOKS
        )
    }

    /// What is summed up per day counts where raw clicks are fewer, since they expire; what is stored after it counts
    /// as it is.
    pub(super) fn stored() -> String {
        format!(
            "SELECT epoch, worker, \
             toUInt64(greatest(sum(raw_below), sum(summed)) + sum(raw_above)) AS stored, \
             toUInt64(sum(raw) - sum(ids)) AS doubled, toUInt64(max(top)) AS mark FROM (\
             SELECT c.epoch AS epoch, c.worker AS worker, countIf(c.position < s.below) AS raw_below, \
             countIf(c.position >= s.below) AS raw_above, count() AS raw, uniqExact(c.position) AS ids, 0 AS summed, \
             max(c.position) + 1 AS top FROM {DATABASE}.{clicks} AS c LEFT JOIN (\
             SELECT epoch, worker, max(last) + 1 AS below FROM {DATABASE}.{days} GROUP BY epoch, worker) AS s \
             ON c.epoch = s.epoch AND c.worker = s.worker GROUP BY epoch, worker \
             UNION ALL SELECT d.epoch, d.worker, 0, 0, 0, 0, sum(d.stored), max(d.last) + 1 FROM {DATABASE}.{days} AS d \
             GROUP BY d.epoch, d.worker) GROUP BY epoch, worker",
            clicks = tables::CLICKS,
            days = tables::STREAM_DAYS
        )
    }

    pub(super) fn dead() -> String {
        format!(
            "SELECT ifNull(d.epoch, 0) AS epoch, ifNull(d.worker, 0) AS worker, d.position AS position, count() AS n \
             FROM {DATABASE}.{} AS d FINAL GROUP BY d.epoch, d.worker, d.position ORDER BY epoch, worker, position",
            tables::DEAD_LETTERS
        )
    }

    pub(super) fn drops() -> String {
        format!(
            "SELECT epoch, worker, from_position, to_position, toString(reason) AS reason FROM {DATABASE}.{} FINAL",
            tables::DROPS
        )
    }
}
