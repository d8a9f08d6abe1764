//! What the roll-ups have not got yet, by their receipts.

use clickhouse::Row;
use schemas::click::Stream;
use schemas::names::{DATABASE, tables};
use serde::Deserialize;

use super::STREAMS_A_QUESTION;
use crate::receipt::{self, RollUp};
use crate::roll_up::{MAX_CLICKS, Range};
use crate::store::{Store, StoreError};

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
    marks: &[(Stream, u64)],
) -> Result<Vec<Range>, StoreError> {
    let receipts = receipt::load(store, roll_up).await?;
    let open: Vec<(Stream, u64)> = marks
        .iter()
        .map(|(stream, mark)| (*stream, receipts.get(stream).copied().unwrap_or(0), *mark))
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
