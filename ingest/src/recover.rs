//! Doubt: after a start or any error, what is in which table is unknown. Here it becomes known, by asking.
//!
//! Order: tables as this program needs them → no insert of an earlier life still running → what the intent says was
//! about to be inserted is in, or is inserted now → marks of all streams → roll-ups catch up with `clicks`.
//!
//! ClickHouse's own word is not enough: it notes a deduplication token before the part is renamed into place, so killed
//! between the two, it takes the repeated insert for a duplicate, says yes and has nothing. So the table is asked which
//! clicks it has, before and after.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use clickhouse::Row;
use metrics::counter;
use schemas::click::{ClickId, Stream};
use schemas::names::{DATABASE, tables};
use serde::Deserialize;

use crate::batch::{Judge, Span};
use crate::busy::{self, Busy};
use crate::decode::{Decoded, decode};
use crate::intent::{Found, Intent, IntentFile, token};
use crate::known::Known;
use crate::metrics as m;
use crate::pipeline::Failure;
use crate::receipt::{self, RollUp, StreamPosition};
use crate::roll_up::{MAX_CLICKS, Range};
use crate::row::{self, Accepted};
use crate::source::{Fetched, Limits, Source};
use crate::store::{Store, StoreError};

/// Pause between two looks at what still runs.
const QUIESCE_PAUSE: Duration = Duration::from_millis(50);

/// Inserts of what is missing, each under a fresh token, before the matter is given up for this time.
const MAX_ATTEMPTS: u32 = 3;

/// Streams asked about in one question: each adds a condition to it.
const STREAMS_A_QUESTION: usize = 100;

#[derive(Row, Deserialize)]
struct Count {
    n: u64,
}

/// Waits until no insert into our tables is running. One may outlive the process that sent it.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn quiesce(store: &Store) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT count() AS n FROM system.processes WHERE query_kind IN ('Insert', 'AsyncInsertFlush') \
         AND (current_database = '{DATABASE}' OR position(query, '{DATABASE}.') > 0)"
    );
    let mut said = false;
    loop {
        if store
            .rows::<Count>(&sql)
            .await?
            .first()
            .is_none_or(|c| c.n == 0)
        {
            return Ok(());
        }
        if !said {
            tracing::info!("waiting for an insert of an earlier process to end");
            said = true;
        }
        tokio::time::sleep(QUIESCE_PAUSE).await;
    }
}

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
struct Newest {
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
        .rows::<Newest>(&sql)
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
    judge: &mut Judge,
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
                inserted |= settle_range(
                    store,
                    file,
                    source.partition(),
                    fetched,
                    Some(intent.clone()),
                    judge,
                )
                .await?;
            }
            // Which range it was is not known. It began at the acknowledgement and was at most one batch.
            None => {
                let from = source.acknowledged();
                let fetched = source.reread(from..from.saturating_add(limits.bytes))?;
                inserted |=
                    settle_range(store, file, source.partition(), fetched, None, judge).await?;
            }
        }
    }
    Ok(inserted)
}

async fn settle_range(
    store: &Store,
    file: &IntentFile,
    partition: u32,
    fetched: Fetched,
    intent: Option<Intent>,
    judge: &mut Judge,
) -> Result<bool, Failure> {
    let offsets = fetched.from..fetched.to;
    let clicks = in_flight(fetched, intent.as_ref().map(|i| &i.spans), &judge.known);
    if clicks.is_empty() {
        return Ok(false);
    }
    let summed_up = receipt::load(store, RollUp::Streams).await?;
    let mut intent = intent.map_or_else(|| fresh_intent(partition, offsets, &clicks), Ok)?;
    let mut missing = missing(store, &summed_up, clicks).await?;
    let mut inserted = false;
    for attempt in 0..MAX_ATTEMPTS {
        if missing.is_empty() {
            return Ok(inserted);
        }
        let planned: u64 = intent.spans.values().map(|span| span.clicks).sum();
        let whole = missing.len() as u64 == planned;
        if attempt > 0 || !whole {
            // The table does not have what its deduplication may say it has: the old token is worth nothing.
            tracing::warn!(
                clicks = missing.len(),
                planned,
                "clickhouse does not have clicks that it may say it has"
            );
            intent.token = token(missing.iter().map(|click| click.id));
            file.save(&intent)?;
        }
        let flagged = judge
            .busy
            .decide(missing.iter().map(|c| (c.click.workspace, c.click.link)));
        for click in &mut missing {
            click.rolled_up = flagged.contains((click.click.workspace, click.click.link));
        }
        tracing::info!(
            clicks = missing.len(),
            token = intent.token,
            "inserting what an unfinished insert left out"
        );
        let block = row::block(&missing, partition, intent.ingested).map_err(StoreError::from)?;
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
fn fresh_intent(
    partition: u32,
    offsets: std::ops::Range<u64>,
    clicks: &[Accepted],
) -> Result<Intent, Failure> {
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
    Ok(Intent {
        partition,
        offsets,
        ingested: crate::pipeline::now_seconds(),
        token: token(clicks.iter().map(|click| click.id)),
        spans,
    })
}

/// The clicks of a stretch of the log that an insert was about to store: those of the intent, or, without one, those
/// that the marks take for stored.
fn in_flight(
    fetched: Fetched,
    spans: Option<&BTreeMap<Stream, Span>>,
    known: &Known,
) -> Vec<Accepted> {
    let mut seen = HashSet::new();
    let mut clicks = Vec::new();
    for record in fetched.records {
        let Decoded::Click(id, click) = decode(&record) else {
            continue;
        };
        let wanted = match spans {
            Some(spans) => spans
                .get(&id.stream)
                .is_some_and(|span| (span.first..=span.last).contains(&id.position)),
            None => id.position < known.mark(id.stream),
        };
        if wanted && seen.insert(id) {
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

#[derive(Row, Deserialize)]
struct Stretch {
    month: u32,
    since: u32,
    epoch: u64,
    worker: u16,
    first: u64,
    end: u64,
}

/// What one roll-up has not got yet, as ranges that a statement can take, oldest first.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn behind(
    store: &Store,
    roll_up: RollUp,
    known: &Known,
) -> Result<Vec<Range>, StoreError> {
    let receipts = receipt::load(store, roll_up).await?;
    let open: Vec<(Stream, u64)> = known
        .marks()
        .map(|(stream, mark)| (stream, receipts.get(&stream).copied().unwrap_or(0), mark))
        .filter(|(_, have, mark)| have < mark)
        .map(|(stream, have, _)| (stream, have))
        .collect();
    let mut stretches = Vec::new();
    for some in open.chunks(STREAMS_A_QUESTION) {
        let condition = |(stream, from): &(Stream, u64)| {
            format!(
                "epoch = {} AND worker = {} AND position >= {from}",
                stream.epoch, stream.worker
            )
        };
        let sql = format!(
            "SELECT toUInt32(toYYYYMM(ingested)) AS month, toUInt32(min(ingested)) AS since, epoch, worker, \
             min(position) AS first, max(position) + 1 AS end FROM {DATABASE}.{} WHERE {} \
             GROUP BY month, epoch, worker",
            tables::CLICKS,
            some.iter().map(condition).collect::<Vec<_>>().join(" OR ")
        );
        stretches.extend(store.rows::<Stretch>(&sql).await?);
    }
    stretches.sort_by_key(|s| (s.month, s.first));
    let mut ranges: Vec<Range> = Vec::new();
    for stretch in stretches {
        for piece in pieces(&stretch) {
            let joined = ranges
                .last_mut()
                .is_some_and(|last| follows(last, &piece) && last.join(&piece));
            if !joined {
                ranges.push(piece);
            }
        }
    }
    Ok(ranges)
}

/// A stretch in pieces of at most [`MAX_CLICKS`] positions.
fn pieces(stretch: &Stretch) -> impl Iterator<Item = Range> + '_ {
    let stream = Stream {
        epoch: stretch.epoch,
        worker: stretch.worker,
    };
    let step = usize::try_from(MAX_CLICKS).unwrap_or(usize::MAX);
    (stretch.first..stretch.end).step_by(step).map(move |from| {
        let to = stretch.end.min(from + MAX_CLICKS);
        Range {
            month: stretch.month,
            since: stretch.since,
            streams: [(stream, (from, to))].into(),
            clicks: to - from,
        }
    })
}

/// Whether the pieces of each stream stay in order when `next` joins `last`.
fn follows(last: &Range, next: &Range) -> bool {
    next.streams
        .iter()
        .all(|(stream, (from, _))| last.streams.get(stream).is_none_or(|(_, to)| to == from))
}
