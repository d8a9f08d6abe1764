//! Doubt: after a start or any error, what is in which table is unknown. Here it becomes known, by asking.
//!
//! Order: tables as this program needs them → no insert of an earlier life still running → what the intent says was
//! about to be inserted is in, or is inserted now → marks of all streams → roll-ups catch up with `clicks`.
//!
//! ClickHouse's own word is not enough: it notes a deduplication token before the part is renamed into place, so killed
//! between the two, it takes the repeated insert for a duplicate, says yes and has nothing. So the table is asked which
//! clicks it has, before and after.

use std::collections::{BTreeMap, HashMap, HashSet};

use clickhouse::Row;
use metrics::counter;
use schemas::click::{ClickId, Stream};
use schemas::names::topics::FIRST_LOG_PARTITION;
use schemas::names::{DATABASE, tables};
use serde::Deserialize;

use crate::batch::Span;
use crate::busy::{self, Busy};
use crate::decode::{Decoded, decode};
use crate::failure::Failure;
use crate::intent::{Found, Intent, IntentFile, Ledger, token};
use crate::known::Known;
use crate::metrics as m;
use crate::receipt::{self, RollUp, StreamPosition};
use crate::row::{self, Accepted};
use crate::source::{Fetched, Limits, Source};
use crate::store::{Store, StoreError};

mod behind;
mod quiesce;

pub(crate) use self::behind::behind;
pub(crate) use self::quiesce::quiesce;

/// Inserts of what is missing, each under a fresh token, before the matter is given up for this time.
const MAX_ATTEMPTS: u32 = 3;

/// Streams asked about in one question: each adds a condition to it.
const STREAMS_A_QUESTION: usize = 100;

/// Reads what the tables know of each stream.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn known(store: &Store) -> Result<Known, StoreError> {
    let mut known = Known::default();
    let clicks = format!(
        "SELECT epoch, worker, max(position) + 1 AS position FROM {DATABASE}.{} GROUP BY epoch, worker",
        tables::CLICKS
    );
    // Together with what is summed up per stream and day, which stays when clicks expire.
    for sql in [clicks, RollUp::Streams.receipts_sql()] {
        for row in store.rows::<StreamPosition>(&sql).await? {
            known.stored_below(row.stream(), row.position);
        }
    }
    // Qualified, since an alias would hide the column in the condition.
    let dead = format!(
        "SELECT assumeNotNull(d.epoch) AS epoch, assumeNotNull(d.worker) AS worker, \
         assumeNotNull(max(d.position)) + 1 AS position FROM {DATABASE}.{} AS d WHERE d.position IS NOT NULL \
         GROUP BY d.epoch, d.worker",
        tables::DEAD_LETTERS
    );
    let drops = format!(
        "SELECT epoch, worker, max(to_position) AS position FROM {DATABASE}.{} GROUP BY epoch, worker",
        tables::DROPS
    );
    for sql in [dead, drops] {
        for row in store.rows::<StreamPosition>(&sql).await? {
            known.accounted_below(row.stream(), row.position);
        }
    }
    Ok(known)
}

/// Reads how far the streams are stored that came by these partitions.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn marks_of(
    store: &Store,
    log_partitions: &[u32],
) -> Result<Vec<(Stream, u64)>, StoreError> {
    let list: Vec<String> = log_partitions.iter().map(u32::to_string).collect();
    // What came by click logs before there was Kafka goes with the first partition.
    let logs = if log_partitions.contains(&FIRST_LOG_PARTITION) {
        format!("OR log_partition < {FIRST_LOG_PARTITION}")
    } else {
        String::new()
    };
    let sql = format!(
        "SELECT epoch, worker, max(position) + 1 AS position FROM {DATABASE}.{} WHERE log_partition IN ({}) {logs} \
         GROUP BY epoch, worker",
        tables::CLICKS,
        list.join(", ")
    );
    let rows = store.rows::<StreamPosition>(&sql).await?;
    Ok(rows
        .iter()
        .map(|row| (row.stream(), row.position))
        .collect())
}

/// Reads how far these streams are stored; of those with nothing stored there is no word.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn stored_of(
    store: &Store,
    streams: &[Stream],
) -> Result<Vec<(Stream, u64)>, StoreError> {
    let mut stored = Vec::new();
    for some in streams.chunks(STREAMS_A_QUESTION) {
        let condition =
            |stream: &Stream| format!("epoch = {} AND worker = {}", stream.epoch, stream.worker);
        let condition = some.iter().map(condition).collect::<Vec<_>>().join(" OR ");
        let clicks = format!(
            "SELECT epoch, worker, max(position) + 1 AS position FROM {DATABASE}.{} WHERE {condition} \
             GROUP BY epoch, worker",
            tables::CLICKS
        );
        let summed_up = format!(
            "SELECT epoch, worker, position FROM ({}) WHERE {condition}",
            RollUp::Streams.receipts_sql()
        );
        for sql in [clicks, summed_up] {
            let rows = store.rows::<StreamPosition>(&sql).await?;
            stored.extend(rows.iter().map(|row| (row.stream(), row.position)));
        }
    }
    Ok(stored)
}

/// The click of a partition with the highest offset that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub(crate) struct Newest {
    n: u64,
    offset: u64,
    epoch: u64,
    worker: u16,
    position: u64,
}

impl Newest {
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn id(&self) -> ClickId {
        ClickId {
            stream: Stream {
                epoch: self.epoch,
                worker: self.worker,
            },
            position: self.position,
        }
    }
}

/// Reads it; `None` when nothing of the partition is stored.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn newest_of(
    store: &Store,
    log_partition: u32,
) -> Result<Option<Newest>, StoreError> {
    let sql = format!(
        "SELECT count() AS n, max(log_offset) AS offset, argMax(epoch, log_offset) AS epoch, \
         argMax(worker, log_offset) AS worker, argMax(position, log_offset) AS position \
         FROM {DATABASE}.{} WHERE log_partition = {log_partition}",
        tables::CLICKS
    );
    let rows = store.rows::<Newest>(&sql).await?;
    Ok(rows.first().copied().filter(|row| row.n > 0))
}

#[derive(Row, Deserialize)]
struct LinkClicks {
    workspace: u64,
    link: u64,
    n: u64,
}

/// Reads which links have many clicks that are not rolled up by dimension.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn busy(store: &Store) -> Result<Busy, StoreError> {
    let mut busy = Busy::new();
    let sql = format!(
        "SELECT workspace, link, count() AS n FROM {DATABASE}.{} WHERE NOT rolled_up GROUP BY workspace, link \
         HAVING n >= {}",
        tables::CLICKS,
        busy::SEED_FROM
    );
    for row in store.rows::<LinkClicks>(&sql).await? {
        busy.seed(
            (row.workspace, row.link),
            u32::try_from(row.n).unwrap_or(u32::MAX),
        );
    }
    Ok(busy)
}

#[derive(Row, Deserialize)]
struct Ingested {
    ingested: u32,
}

/// The newest `ingested` in `clicks`, in seconds since 1970; 0 when there are none.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn newest_ingested(store: &Store) -> Result<u32, StoreError> {
    let sql = format!(
        "SELECT toUInt32(max(ingested)) AS ingested FROM {DATABASE}.{}",
        tables::CLICKS
    );
    Ok(store
        .rows::<Ingested>(&sql)
        .await?
        .first()
        .map_or(0, |row| row.ingested))
}

/// Settles what was in flight when the last process or the last attempt ended: every click of it is in the table when
/// this returns.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn settle<S: Source>(
    store: &Store,
    file: &IntentFile,
    sources: &mut [S],
    limits: Limits,
    known: &Known,
    busy: &mut Busy,
) -> Result<bool, Failure> {
    let intent = match file.load()? {
        Found::Intent(intent) => Some(intent),
        Found::Nothing => None,
        Found::Corrupt => {
            counter!(m::INTENT_CORRUPT).increment(1);
            tracing::error!(
                "the intent file is corrupt; asking the table about all that may have been in flight"
            );
            None
        }
    };
    let mut inserted = false;
    for source in sources {
        match &intent {
            Some(intent) if intent.partition != source.partition() => {}
            // Acknowledged: it was in.
            Some(intent) if intent.offsets.end <= source.acknowledged() => {}
            Some(intent) => {
                let fetched = source.reread(intent.offsets.clone())?;
                let clicks = in_flight(fetched, Some(&intent.spans), known);
                let planned = intent.clicks();
                inserted |=
                    settle_range(store, file, clicks, (intent.clone(), planned), busy).await?;
            }
            // Which range it was is not known. It began at the acknowledgement and was at most one batch.
            None => {
                let from = source.acknowledged();
                let fetched = source.reread(from..from.saturating_add(limits.bytes))?;
                let offsets = fetched.from..fetched.to;
                let clicks = in_flight(fetched, None, known);
                let intent = fresh_intent(source.partition(), offsets, &clicks);
                let planned = intent.clicks();
                inserted |= settle_range(store, file, clicks, (intent, planned), busy).await?;
            }
        }
    }
    Ok(inserted)
}

/// Sees that these clicks are in the table. `planned` is how many the intent was about to insert: when all of them are
/// missing, the same insert is made again.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn settle_range<L: Ledger>(
    store: &Store,
    ledger: &L,
    clicks: Vec<Accepted>,
    (mut intent, planned): (Intent, u64),
    busy: &mut Busy,
) -> Result<bool, Failure> {
    if clicks.is_empty() {
        return Ok(false);
    }
    let summed_up = receipt::load(store, RollUp::Streams).await?;
    let mut missing = missing(store, &summed_up, clicks).await?;
    let mut inserted = false;
    for attempt in 0..MAX_ATTEMPTS {
        if missing.is_empty() {
            return Ok(inserted);
        }
        // First under the token of the intent, also when less is missing than was planned: whoever noted it may still insert
        // under it, and only one of us must.
        if attempt > 0 {
            // The table does not have what its deduplication may say it has: the old token is worth nothing.
            tracing::warn!(
                clicks = missing.len(),
                planned,
                "clickhouse does not have clicks that it may say it has"
            );
            intent.token = token(missing.iter().map(|click| click.id));
            ledger.note(&intent)?;
        }
        let flagged = busy.decide(missing.iter().map(|c| (c.click.workspace, c.click.link)));
        for click in &mut missing {
            click.rolled_up = flagged.contains((click.click.workspace, click.click.link));
        }
        tracing::info!(
            clicks = missing.len(),
            token = intent.token,
            "inserting what an unfinished insert left out"
        );
        let block =
            row::block(&missing, intent.partition, intent.ingested).map_err(StoreError::from)?;
        store
            .insert(tables::CLICKS, &block, Some(&intent.token))
            .await?;
        counter!(m::REPAIRED).increment(missing.len() as u64);
        inserted = true;
        missing = self::missing(store, &summed_up, missing).await?;
    }
    if missing.is_empty() {
        return Ok(inserted);
    }
    Err(Failure::Store(StoreError::Refused(format!(
        "{} clicks are not in the table after {MAX_ATTEMPTS} inserts that it called done",
        missing.len()
    ))))
}

/// A corrupt or lost intent leaves no stamp and no token; these are as good, since the table is asked first.
pub(crate) fn fresh_intent(
    partition: u32,
    offsets: std::ops::Range<u64>,
    clicks: &[Accepted],
) -> Intent {
    let mut spans: BTreeMap<Stream, Span> = BTreeMap::new();
    for click in clicks {
        let position = click.id.position;
        let span = spans.entry(click.id.stream).or_insert(Span {
            first: position,
            last: position,
            clicks: 0,
        });
        span.last = span.last.max(position);
        span.clicks += 1;
    }
    Intent {
        partition,
        offsets,
        ingested: crate::writer::now_seconds(),
        token: token(clicks.iter().map(|click| click.id)),
        spans,
    }
}

/// All clicks of a stretch, each once.
pub(crate) fn all_clicks(fetched: Fetched) -> Vec<Accepted> {
    clicks_where(fetched, |_| true)
}

/// The clicks of a stretch of the log that an insert was about to store: those of the intent, or, without one, those
/// that the marks take for stored.
fn in_flight(
    fetched: Fetched,
    spans: Option<&BTreeMap<Stream, Span>>,
    known: &Known,
) -> Vec<Accepted> {
    clicks_where(fetched, |id| match spans {
        Some(spans) => spans
            .get(&id.stream)
            .is_some_and(|span| (span.first..=span.last).contains(&id.position)),
        None => id.position < known.mark(id.stream),
    })
}

fn clicks_where(fetched: Fetched, wanted: impl Fn(ClickId) -> bool) -> Vec<Accepted> {
    let mut seen = HashSet::new();
    let mut clicks = Vec::new();
    for record in fetched.records {
        let Decoded::Click(id, click) = decode(&record) else {
            continue;
        };
        if wanted(id) && seen.insert(id) {
            clicks.push(Accepted {
                id,
                offset: record.offset,
                rolled_up: false,
                click,
            });
        }
    }
    clicks
}

/// Those of the clicks that the table does not have. What is summed up per stream and day was there once and has
/// expired or been erased since: it is not missing.
async fn missing(
    store: &Store,
    summed_up: &HashMap<Stream, u64>,
    clicks: Vec<Accepted>,
) -> Result<Vec<Accepted>, StoreError> {
    let mut spans: BTreeMap<Stream, (u64, u64)> = BTreeMap::new();
    for click in &clicks {
        let position = click.id.position;
        let (first, last) = spans.entry(click.id.stream).or_insert((position, position));
        *first = (*first).min(position);
        *last = (*last).max(position);
    }
    let mut present: HashSet<ClickId> = HashSet::new();
    let spans: Vec<_> = spans.into_iter().collect();
    for some in spans.chunks(STREAMS_A_QUESTION) {
        let condition = |(stream, (first, last)): &(Stream, (u64, u64))| {
            format!(
                "epoch = {} AND worker = {} AND position BETWEEN {first} AND {last}",
                stream.epoch, stream.worker
            )
        };
        let sql = format!(
            "SELECT epoch, worker, position FROM {DATABASE}.{} WHERE {}",
            tables::CLICKS,
            some.iter().map(condition).collect::<Vec<_>>().join(" OR ")
        );
        let rows = store.rows::<StreamPosition>(&sql).await?;
        present.extend(rows.iter().map(|row| ClickId {
            stream: row.stream(),
            position: row.position,
        }));
    }
    let gone = |id: ClickId| {
        summed_up
            .get(&id.stream)
            .is_some_and(|below| id.position < *below)
    };
    Ok(clicks
        .into_iter()
        .filter(|click| !present.contains(&click.id) && !gone(click.id))
        .collect())
}
