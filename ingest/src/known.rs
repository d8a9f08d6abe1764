//! What is known of each stream: its high-water mark, below which every click is stored already, and which positions
//! should have come and did not.
//!
//! A click at or below the mark is a duplicate and dropped, counted. Order in the log is order in the stream, so a
//! position that is passed over will not come later; it is a *gap*. A gap may be explained later, since a book can
//! report a drop after the clicks that followed it: it stays open until a book of the stream says that everything below
//! some position is in the log or dropped. What no drop range explains then is an alarm.
//!
//! After damage in the log, or a record that could not be decoded, the gap has its explanation at once: positions that
//! the log lost are written to `drops` under a reason of ours.
//!
//! No I/O and no clock. Gaps that were open when the process ended are not remembered; `audit` finds them in the tables.

use std::collections::HashMap;
use std::ops::Range;

use schemas::click::{ClickId, Stream};

/// Open gaps remembered per stream. More means a stream that lost much without a word; the oldest are judged then.
const MAX_OPEN_GAPS: usize = 1_000;

/// Reported drops remembered per stream, ahead of the gaps they explain.
const MAX_DROPS: usize = 1_000;

/// All streams.
#[derive(Debug, Default, Clone)]
pub(crate) struct Known {
    streams: HashMap<Stream, State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// Positions below are stored, or never will be.
    mark: u64,
    /// The position that comes next; unknown until the first record after a start, which may lie below the mark.
    expected: Option<u64>,
    /// Where passed-over positions begin at the earliest, for a first record above the mark.
    accounted: u64,
    gaps: Vec<Range<u64>>,
    drops: Vec<Range<u64>>,
}

/// What to do with a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Store,
    Duplicate,
}

impl Known {
    /// Notes what the tables say: positions below `mark` are stored. Called before any record is seen.
    pub(crate) fn stored_below(&mut self, stream: Stream, mark: u64) {
        let state = self.streams.entry(stream).or_default();
        state.mark = state.mark.max(mark);
        state.accounted = state.accounted.max(mark);
    }

    /// Notes what the tables say: positions below `end` are accounted for otherwise (dead letters, drops).
    pub(crate) fn accounted_below(&mut self, stream: Stream, end: u64) {
        let state = self.streams.entry(stream).or_default();
        state.accounted = state.accounted.max(end);
    }

    /// Positions below this are stored.
    pub(crate) fn mark(&self, stream: Stream) -> u64 {
        self.streams.get(&stream).map_or(0, |s| s.mark)
    }

    /// Whether anything is known of a stream.
    pub(crate) fn knows(&self, stream: Stream) -> bool {
        self.streams.contains_key(&stream)
    }

    /// The position up to which anything is known of a stream.
    pub(crate) fn reached(&self, stream: Stream) -> u64 {
        self.streams.get(&stream).map_or(0, |state| {
            let expected = state.expected.unwrap_or_default();
            state.mark.max(state.accounted).max(expected)
        })
    }

    /// Streams and their marks.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (Stream, u64)> + '_ {
        self.streams
            .iter()
            .map(|(stream, state)| (*stream, state.mark))
    }

    /// A record of this click has come. Returns what to do with it, and the positions passed over before it.
    pub(crate) fn click(&mut self, id: ClickId) -> (Verdict, Vec<Range<u64>>) {
        let state = self.streams.entry(id.stream).or_default();
        let gap = state.reach(id.position);
        state.expected = state.expected.max(Some(id.position + 1));
        if id.position < state.mark {
            return (Verdict::Duplicate, gap);
        }
        state.mark = id.position + 1;
        (Verdict::Store, gap)
    }

    /// A click has come that will never be stored.
    pub(crate) fn dead(&mut self, id: ClickId) -> Vec<Range<u64>> {
        let state = self.streams.entry(id.stream).or_default();
        let gap = state.reach(id.position);
        state.expected = state.expected.max(Some(id.position + 1));
        gap
    }

    /// A book says that `range` was dropped.
    pub(crate) fn dropped(&mut self, stream: Stream, range: Range<u64>) {
        let state = self.streams.entry(stream).or_default();
        state.gaps = state
            .gaps
            .drain(..)
            .flat_map(|gap| without(gap, &range))
            .collect();
        // Drops of single positions cut a gap into as many pieces. What is forgotten here is in the books all the same.
        let forgotten = state.gaps.len().saturating_sub(MAX_OPEN_GAPS);
        state.gaps.drain(..forgotten);
        state.drops.push(range);
        if state.drops.len() > MAX_DROPS {
            state.drops.remove(0);
        }
    }

    /// A book says that all positions below `written` are in the log or dropped; its drops are noted already. Returns
    /// the positions passed over since the last record, if any: they are missing.
    pub(crate) fn written(&mut self, stream: Stream, written: u64) -> Vec<Range<u64>> {
        let state = self.streams.entry(stream).or_default();
        let gap = state.reach(written);
        state.expected = state.expected.max(Some(written));
        gap
    }

    /// Keeps a gap open until a book decides. Returns what had to be judged now because too many are open.
    pub(crate) fn keep_open(&mut self, stream: Stream, gap: Range<u64>) -> Option<Range<u64>> {
        let state = self.streams.entry(stream).or_default();
        state.gaps.push(gap);
        (state.gaps.len() > MAX_OPEN_GAPS).then(|| state.gaps.remove(0))
    }

    /// Open gaps below `written`, which nothing has explained; they are closed.
    pub(crate) fn unexplained_below(&mut self, stream: Stream, written: u64) -> Vec<Range<u64>> {
        let Some(state) = self.streams.get_mut(&stream) else {
            return Vec::new();
        };
        let (judged, open) = state.gaps.drain(..).partition(|gap| gap.end <= written);
        state.gaps = open;
        judged
    }
}

impl State {
    /// Moves to `position`; the positions passed over, less those known to be dropped.
    fn reach(&mut self, position: u64) -> Vec<Range<u64>> {
        // The first record after a start: below what is accounted for, reading again has begun there.
        let expected = self.expected.unwrap_or(self.accounted.min(position));
        if expected >= position {
            return Vec::new();
        }
        let mut gaps = Vec::from_iter(std::iter::once(expected..position));
        for drop in &self.drops {
            gaps = gaps
                .into_iter()
                .flat_map(|gap| without(gap, drop))
                .collect();
        }
        self.drops.retain(|drop| drop.end > position);
        gaps
    }
}

/// `gap` without `cut`.
fn without(gap: Range<u64>, cut: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let front = gap.start..gap.end.min(cut.start);
    let back = gap.start.max(cut.end)..gap.end;
    [front, back]
        .into_iter()
        .filter(|range| range.start < range.end)
}

#[cfg(test)]
#[allow(
    clippy::single_range_in_vec_init,
    reason = "lists of ranges are what is tested"
)]
mod tests {
    use super::*;

    const S: Stream = Stream {
        epoch: 1,
        worker: 0,
    };

    fn id(position: u64) -> ClickId {
        ClickId {
            stream: S,
            position,
        }
    }

    #[test]
    fn what_is_at_or_below_the_mark_is_a_duplicate() {
        let mut known = Known::default();
        known.stored_below(S, 3);
        assert_eq!(known.click(id(1)), (Verdict::Duplicate, vec![]));
        assert_eq!(known.click(id(2)), (Verdict::Duplicate, vec![]));
        assert_eq!(known.click(id(3)), (Verdict::Store, vec![]));
        assert_eq!(known.click(id(3)), (Verdict::Duplicate, vec![]));
        assert_eq!(known.mark(S), 4);
    }

    #[test]
    fn a_first_record_above_the_mark_shows_a_gap_and_one_below_does_not() {
        let mut known = Known::default();
        known.stored_below(S, 3);
        assert_eq!(known.click(id(5)), (Verdict::Store, vec![3..5]));
        let mut known = Known::default();
        assert_eq!(known.click(id(2)), (Verdict::Store, vec![0..2]));
        let mut known = Known::default();
        known.stored_below(S, 3);
        known.accounted_below(S, 5);
        assert_eq!(known.click(id(5)), (Verdict::Store, vec![]));
    }

    #[test]
    fn a_drop_explains_a_gap_before_and_after_it_is_seen() {
        let mut known = Known::default();
        known.click(id(0));
        known.dropped(S, 1..4);
        assert_eq!(known.click(id(4)), (Verdict::Store, vec![]));

        assert_eq!(known.click(id(10)), (Verdict::Store, vec![5..10]));
        known.keep_open(S, 5..10);
        known.dropped(S, 6..9);
        assert_eq!(known.unexplained_below(S, 9), [5..6]);
        assert_eq!(known.unexplained_below(S, 11), [9..10]);
        assert!(known.unexplained_below(S, 99).is_empty());
    }

    #[test]
    fn a_book_shows_what_is_missing_at_the_end_of_a_stream() {
        let mut known = Known::default();
        known.click(id(0));
        known.dropped(S, 4..6);
        known.dropped(S, 2..3);
        assert_eq!(known.written(S, 6), [1..2, 3..4]);
        assert!(known.written(S, 6).is_empty());
        assert!(known.dead(id(6)).is_empty());
        assert_eq!(known.click(id(7)), (Verdict::Store, vec![]));
    }

    #[test]
    fn drops_that_cut_a_gap_into_very_many_pieces_cost_little() {
        let mut known = Known::default();
        known.click(id(0));
        known.keep_open(S, 1..1 << 49);
        for n in 1..20_000 {
            known.dropped(S, n * 2..n * 2 + 1);
            assert!(known.streams[&S].gaps.len() <= MAX_OPEN_GAPS);
        }
        assert_eq!(known.reached(S), 1);
    }

    #[test]
    fn a_click_below_a_book_is_stored_all_the_same() {
        let mut known = Known::default();
        known.click(id(0));
        known.written(S, 5);
        assert_eq!(known.click(id(3)), (Verdict::Store, vec![]));
    }
}
