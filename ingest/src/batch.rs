//! Fetched records → one batch: the clicks to store, and what goes to the side tables.
//!
//! Here every record gets its verdict: stored, duplicate, dead letter or book. No I/O; time is passed in.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

use metrics::counter;
use schemas::click::{ClickId, Stream};
use xxhash_rust::xxh3::xxh3_64;

use crate::busy::Busy;
use crate::dead::{BookRow, DeadRow, DropRow, bounded};
use crate::decode::{Decoded, Reject, decode};
use crate::known::{Known, Verdict};
use crate::metrics as m;
use crate::row::Accepted;
use crate::source::{Fetched, Record};

/// Bad stretches of the log remembered to explain gaps.
const MAX_BAD_STRETCHES: usize = 1_000;

/// Why positions are missing that a damaged stretch of the log held; a value of `drops.reason`.
const LOG_DAMAGE: &str = "log_damage";

/// Why positions are missing that records held which do not decode; a value of `drops.reason`.
const UNDECODABLE: &str = "undecodable";

/// Why positions are missing that were deleted before they were read; a value of `drops.reason`.
pub(crate) const NOT_RETAINED: &str = "not_retained";

/// Why positions are missing whose records did not come; a value of `drops.reason`.
pub(crate) const MISSING_RECORDS: &str = "missing_records";

/// Most positions that a record may lie above all that is known of its stream. Rings and logs are bounded, so no proxy ever
/// leaves out so many without a word; a record that says so is forged or broken, and would make every click that follows a
/// duplicate.
const MAX_JUMP: u64 = 1 << 32;

/// Why a record is a dead letter that has the id of a stored click and another content.
const CONFLICT: &str = "conflict";

/// Clicks whose content is remembered per partition, to tell a repeated record from a different one.
const MAX_RECENT: usize = 8_192;

/// First and last position of a stream in a batch, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) clicks: u64,
}

/// What one insert stores.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) partition: u32,
    /// Offsets of the log it covers.
    pub(crate) offsets: Range<u64>,
    pub(crate) clicks: Vec<Accepted>,
    pub(crate) spans: BTreeMap<Stream, Span>,
    pub(crate) dead: Vec<DeadRow>,
    pub(crate) books: Vec<BookRow>,
    /// Where in `books` each stream's is.
    pub(crate) book_of: HashMap<Stream, usize>,
    pub(crate) drops: Vec<DropRow>,
    pub(crate) duplicates: u64,
    /// A limit cut it: there is more in the log.
    pub(crate) more: bool,
}

/// What gives batches their meaning: streams, and bad stretches of the log.
pub(crate) struct Judge {
    pub(crate) known: Known,
    recent: Recent,
    bad: VecDeque<(u64, &'static str)>,
    /// Offset of the last record of each stream in the partition being read.
    last_seen: BTreeMap<(u32, Stream), u64>,
}

impl Judge {
    pub(crate) fn new(known: Known) -> Self {
        Self {
            known,
            recent: Recent::default(),
            bad: VecDeque::new(),
            last_seen: BTreeMap::new(),
        }
    }

    /// Judges all records of a fetch.
    pub(crate) fn batch(&mut self, partition: u32, fetched: Fetched, busy: &mut Busy) -> Batch {
        let mut batch = Batch {
            partition,
            offsets: fetched.from..fetched.to,
            more: fetched.more,
            ..Batch::default()
        };
        for damage in &fetched.damage {
            let reason = match damage.reason {
                told @ (NOT_RETAINED | MISSING_RECORDS) => told,
                _ => LOG_DAMAGE,
            };
            self.bad_stretch(damage.offset, reason);
        }
        for record in fetched.records {
            match decode(&record) {
                // Without its id: that place is another's.
                Decoded::Click(id, _) if self.is_far(id.stream, id.position) => {
                    self.reject(&mut batch, &record, Reject::Position, None);
                }
                Decoded::Book(stream, book) if self.is_far(stream, book.written) => {
                    self.reject(&mut batch, &record, Reject::Position, None);
                }
                Decoded::Click(id, click) => {
                    let (verdict, gaps) = self.known.click(id);
                    self.gaps(&mut batch, id.stream, gaps, record.offset);
                    match verdict {
                        Verdict::Duplicate => {
                            batch.duplicates += 1;
                            if self.recent.differs(id, &record.payload) {
                                // Counted for nobody's position: the click itself is stored.
                                counter!(m::DEAD, "reason" => CONFLICT).increment(1);
                                batch.dead.push(DeadRow::new(&record, CONFLICT, None));
                            }
                        }
                        Verdict::Store => {
                            self.recent.note(id, &record.payload);
                            batch.accept(Accepted {
                                id,
                                offset: record.offset,
                                rolled_up: false,
                                click,
                            });
                        }
                    }
                }
                Decoded::Book(stream, book) => self.book(&mut batch, stream, book, record.offset),
                Decoded::Dead(reject, id) => self.reject(&mut batch, &record, reject, id),
            }
        }
        let flagged = busy.decide(batch.clicks.iter().map(link_of));
        for click in &mut batch.clicks {
            click.rolled_up = flagged.contains(link_of(click));
        }
        batch
    }

    /// Whether no stream gets from where this one is to this position.
    fn is_far(&self, stream: Stream, position: u64) -> bool {
        // Where one begins that is met for the first time is unknown: the tables may be younger than the proxy.
        self.known.knows(stream) && position > self.known.reached(stream).saturating_add(MAX_JUMP)
    }

    fn book(&mut self, batch: &mut Batch, stream: Stream, book: schemas::click::Book, offset: u64) {
        for drop in &book.dropped {
            let range = drop.from..drop.to;
            self.known.dropped(stream, range.clone());
            let reason = bounded(&drop.reason);
            counter!(m::DROPPED, "reason" => "proxy").increment(range.end - range.start);
            batch.drops.push(DropRow {
                stream,
                range,
                reason,
            });
        }
        let missing = self.known.written(stream, book.written);
        self.gaps(batch, stream, missing, offset);
        for gap in self.known.unexplained_below(stream, book.written) {
            alarm(stream, &gap);
        }
        let row = BookRow {
            stream,
            written: book.written,
            closed: book.closed,
            time_ms: book.time_ms,
        };
        // Each says all that the earlier ones said.
        match batch.book_of.entry(stream) {
            Entry::Occupied(at) => {
                if let Some(earlier) = batch.books.get_mut(*at.get()) {
                    earlier.merge(&row);
                }
            }
            Entry::Vacant(place) => {
                place.insert(batch.books.len());
                batch.books.push(row);
            }
        }
    }

    fn reject(&mut self, batch: &mut Batch, record: &Record, reject: Reject, id: Option<ClickId>) {
        match id {
            Some(id) => {
                let gaps = self.known.dead(id);
                self.gaps(batch, id.stream, gaps, record.offset);
            }
            None => self.bad_stretch(record.offset, UNDECODABLE),
        }
        counter!(m::DEAD, "reason" => reject.label()).increment(1);
        batch.dead.push(DeadRow::new(record, reject.label(), id));
    }

    fn bad_stretch(&mut self, offset: u64, reason: &'static str) {
        self.bad.push_back((offset, reason));
        if self.bad.len() > MAX_BAD_STRETCHES {
            self.bad.pop_front();
        }
    }

    /// Positions passed over before the record at `offset`: lost by the log where it is bad between the stream's last
    /// record and this one, else open until a book decides.
    fn gaps(&mut self, batch: &mut Batch, stream: Stream, gaps: Vec<Range<u64>>, offset: u64) {
        let before = self.last_seen.insert((batch.partition, stream), offset);
        if gaps.is_empty() {
            return;
        }
        let after = before.unwrap_or(0);
        let bad = self
            .bad
            .iter()
            .rev()
            .find(|(at, _)| (after..offset).contains(at))
            .map(|(_, reason)| *reason);
        for range in gaps {
            match bad {
                Some(reason) => {
                    tracing::warn!(%stream, from = range.start, to = range.end, reason, "clicks are lost");
                    counter!(m::DROPPED, "reason" => reason).increment(range.end - range.start);
                    batch.drops.push(DropRow {
                        stream,
                        range,
                        reason: reason.to_owned(),
                    });
                }
                None => {
                    if let Some(judged) = self.known.keep_open(stream, range) {
                        alarm(stream, &judged);
                    }
                }
            }
        }
    }
}

/// Content of the clicks stored last, as hashes.
#[derive(Default)]
struct Recent {
    hashes: HashMap<ClickId, u64>,
    order: VecDeque<ClickId>,
}

impl Recent {
    fn note(&mut self, id: ClickId, payload: &[u8]) {
        self.hashes.insert(id, xxh3_64(payload));
        self.order.push_back(id);
        if self.order.len() > MAX_RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
    }

    /// Whether the click is remembered with another content.
    fn differs(&self, id: ClickId, payload: &[u8]) -> bool {
        self.hashes
            .get(&id)
            .is_some_and(|hash| *hash != xxh3_64(payload))
    }
}

impl Batch {
    fn accept(&mut self, click: Accepted) {
        let position = click.id.position;
        let span = self.spans.entry(click.id.stream).or_insert(Span {
            first: position,
            last: position,
            clicks: 0,
        });
        span.last = position;
        span.clicks += 1;
        self.clicks.push(click);
    }
}

fn link_of(accepted: &Accepted) -> (u64, u64) {
    (accepted.click.workspace, accepted.click.link)
}

/// Positions that were handed out and that nobody accounts for.
fn alarm(stream: Stream, gap: &Range<u64>) {
    counter!(m::GAPS).increment(gap.end - gap.start);
    tracing::error!(%stream, from = gap.start, to = gap.end, "clicks are missing and no book says why");
}
