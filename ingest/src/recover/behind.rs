//! What the roll-ups have not got yet, by their receipts.

use clickhouse::Row;
use schemas::click::Stream;
use schemas::names::{DATABASE, tables};
use serde::Deserialize;

use super::STREAMS_A_QUESTION;
use crate::receipt::{self, RollUp};
use crate::roll_up::{MAX_CLICKS, Range};
use crate::store::{Store, StoreError};

/// Positions that are there, of one stream and month.
#[derive(Row, Deserialize)]
struct Piece {
    month: u32,
    since: u32,
    epoch: u64,
    worker: u16,
    first: u64,
    end: u64,
    n: u64,
}

impl Piece {
    fn range(&self) -> Range {
        let stream = Stream {
            epoch: self.epoch,
            worker: self.worker,
        };
        Range {
            month: self.month,
            since: self.since,
            streams: [(stream, (self.first, self.end))].into(),
            clicks: self.n,
        }
    }
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
    let mut pieces = Vec::new();
    for some in open.chunks(STREAMS_A_QUESTION) {
        let condition = |(stream, from): &(Stream, u64)| {
            format!(
                "epoch = {} AND worker = {} AND position >= {from}",
                stream.epoch, stream.worker
            )
        };
        let sql = format!(
            "SELECT toUInt32(toYYYYMM(ingested)) AS month, toUInt32(min(ingested)) AS since, epoch, worker, \
             min(position) AS first, max(position) + 1 AS end, count() AS n FROM {DATABASE}.{} WHERE {} \
             GROUP BY month, epoch, worker, intDiv(position, {MAX_CLICKS})",
            tables::CLICKS,
            some.iter().map(condition).collect::<Vec<_>>().join(" OR ")
        );
        pieces.extend(store.rows::<Piece>(&sql).await?);
    }
    Ok(joined(pieces))
}

/// Pieces, each of which a statement can take, as few ranges. They are pieces of what is there: a stream may have any
/// positions, and a forged click must not have us count through all that lie below it.
fn joined(mut pieces: Vec<Piece>) -> Vec<Range> {
    pieces.sort_by_key(|piece| (piece.month, piece.first));
    let mut ranges: Vec<Range> = Vec::new();
    for piece in &pieces {
        let piece = piece.range();
        let joined = ranges
            .last_mut()
            .is_some_and(|last| follows(last, &piece) && last.join(&piece));
        if !joined {
            ranges.push(piece);
        }
    }
    ranges
}

/// Whether the pieces of each stream stay in order when `next` joins `last`. Positions between them are not there.
fn follows(last: &Range, next: &Range) -> bool {
    next.streams
        .iter()
        .all(|(stream, (from, _))| last.streams.get(stream).is_none_or(|(_, to)| to <= from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(epoch: u64, first: u64, end: u64) -> Piece {
        Piece {
            month: 202_611,
            since: 1,
            epoch,
            worker: 0,
            first,
            end,
            n: end - first,
        }
    }

    #[test]
    fn a_position_far_above_the_others_costs_nothing() {
        let top = (1 << 50) - 1;
        let pieces = vec![
            piece(1, top, top + 1),
            piece(1, 0, 1),
            piece(2, 0, MAX_CLICKS - 2),
        ];
        let ranges = joined(pieces);
        let [range] = &ranges[..] else {
            panic!("{ranges:?}");
        };
        let stream = |epoch| Stream { epoch, worker: 0 };
        assert_eq!(range.streams[&stream(1)], (0, top + 1));
        assert_eq!(range.clicks, MAX_CLICKS);
        // What does not fit is another statement, in order.
        let next = piece(1, MAX_CLICKS, MAX_CLICKS + 1);
        let ranges = joined(vec![next, piece(1, 0, MAX_CLICKS)]);
        let froms: Vec<_> = ranges.iter().map(|r| r.streams[&stream(1)].0).collect();
        assert_eq!(froms, [0, MAX_CLICKS]);
    }
}
