//! Where a partition goes on that has come to us, and what of it may be in flight.
//!
//! The position is taken from the mark beside the committed offset, else from `clicks`, else it is the beginning. Each of
//! the first two is believed only while the topic still holds the very record it names: a topic that was made anew has
//! other ones, and is read from its beginning; what is stored already is known by its ids.

use std::ops::Range;

use kafka::{Key, raw};
use metrics::counter;
use tokio::task::block_in_place;

use super::group::Group;
use super::mark::{Last, Mark, Planned, offsets};
use super::{Reader, fingerprint, log_partition};
use crate::busy::Busy;
use crate::failure::Failure;
use crate::intent::{Intent, Ledger};
use crate::known::Known;
use crate::metrics as m;
use crate::pipeline::catch_up_from_receipts;
use crate::recover;
use crate::source::{Claim, Fetched};
use crate::store::Store;

/// A partition that can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: i32,
    /// Offset at which it goes on: all below is stored or accounted for.
    pub(super) next: u64,
    /// Offsets before it that were deleted unread.
    pub(super) lost: Option<Range<u64>>,
    /// The record before it, where that is known.
    pub(super) last: Option<Last>,
}

/// Notes intents beside the offset of a partition.
pub(super) struct Notes<'a> {
    pub(super) group: &'a Group,
    pub(super) partition: i32,
    /// The record before the next insert.
    pub(super) last: Option<Last>,
}

impl Ledger for Notes<'_> {
    fn note(&self, intent: &Intent) -> Result<(), Failure> {
        let mark = Mark::of(intent, self.last);
        self.group
            .commit(self.partition, intent.offsets.start, &mark)
    }
}

/// What partitions need before they can go on.
pub(super) struct Settler<'a> {
    pub(super) store: &'a Store,
    pub(super) group: &'a Group,
    pub(super) reader: Reader,
}

impl Settler<'_> {
    /// Settles partitions: what is in flight is in the table and rolled up when this returns.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) async fn settle(
        &self,
        partitions: &[i32],
        busy: &mut Busy,
    ) -> Result<(Known, Vec<Place>), Failure> {
        recover::quiesce(self.store).await?;
        // What is stored, before more is: then our statements go on from where those of a worker do that is not dead, and of
        // each two with the same token one alone does anything.
        self.catch_up(partitions).await?;
        let committed = block_in_place(|| self.group.committed(partitions))?;
        let (mut places, mut inserted) = (Vec::new(), false);
        for partition in partitions {
            let committed = committed.get(partition);
            let (place, some) = self.settle_one(*partition, committed, busy).await?;
            inserted |= some;
            places.push(place);
        }
        if inserted {
            tracing::info!("what was in flight is stored");
            self.catch_up(partitions).await?;
        }
        let known = recover::known(self.store).await?;
        Ok((known, places))
    }

    /// Brings the roll-ups to where `clicks` is, of each partition by itself, as workers do. Other workers see to those of
    /// theirs.
    async fn catch_up(&self, partitions: &[i32]) -> Result<(), Failure> {
        for partition in partitions {
            let marks = recover::marks_of(self.store, &[log_partition(*partition)]).await?;
            catch_up_from_receipts(self.store, &marks).await?;
        }
        Ok(())
    }

    async fn settle_one(
        &self,
        partition: i32,
        committed: Option<&raw::Committed>,
        busy: &mut Busy,
    ) -> Result<(Place, bool), Failure> {
        let there = block_in_place(|| self.reader.watermarks(partition))?;
        let Some((at, metadata)) = committed.and_then(|c| Some((c.offset?, &c.metadata))) else {
            return Ok((self.behind_newest(partition, &there).await?, false));
        };
        let Some(mark) = Mark::decode(metadata, at) else {
            counter!(m::INTENT_CORRUPT).increment(1);
            tracing::error!(
                partition,
                offset = at,
                "what stands beside the committed offset is not ours; asking the table how far it is"
            );
            return Ok((self.behind_newest(partition, &there).await?, false));
        };
        if at > there.end || !self.is_there(partition, &there, mark.last)? {
            return Ok((begin_again(partition, &there), false));
        }
        let Some(planned) = mark.planned else {
            let last = mark.last;
            return Ok((go_on(partition, at, &there, last), false));
        };
        let range = offsets(at, &planned);
        let to = range.end.min(there.end).max(at);
        let stretch = block_in_place(|| self.reader.stretch(partition, range.clone()))?;
        if stretch.to < to {
            // Whatever is not read would count as settled.
            return Err(Failure::Kafka(format!(
                "partition {partition} gives no records from {} to {to}, which may be in flight",
                stretch.to
            )));
        }
        let last = stretch.records.last().map(|record| Last {
            offset: record.offset,
            fingerprint: fingerprint(record),
        });
        let fetched = Fetched {
            from: range.start,
            to,
            records: stretch.records,
            ..Fetched::default()
        };
        let notes = Notes {
            group: self.group,
            partition,
            last: mark.last,
        };
        let some = self.settle_range(&notes, fetched, &planned, busy).await?;
        let place = go_on(partition, at, &there, last.or(mark.last));
        let next = to.max(place.next);
        Ok((Place { next, ..place }, some))
    }

    /// Sees that all clicks of an insert that was planned are stored.
    async fn settle_range(
        &self,
        notes: &Notes<'_>,
        fetched: Fetched,
        planned: &Planned,
        busy: &mut Busy,
    ) -> Result<bool, Failure> {
        let offsets = fetched.from..fetched.to;
        // Whatever is in the stretch must be in the table: what the plan left out as a duplicate was there already.
        let clicks = recover::all_clicks(fetched);
        let intent = Intent {
            ingested: planned.ingested,
            token: planned.token.clone(),
            ..recover::fresh_intent(log_partition(notes.partition), offsets, &clicks)
        };
        recover::settle_range(self.store, notes, clicks, (intent, planned.clicks), busy).await
    }

    /// Whether the topic still holds the record that was read last. One that is deleted by its age cannot be asked for.
    fn is_there(
        &self,
        partition: i32,
        there: &Range<u64>,
        last: Option<Last>,
    ) -> Result<bool, Failure> {
        let Some(last) = last.filter(|last| last.offset >= there.start) else {
            return Ok(true);
        };
        let stretch =
            block_in_place(|| self.reader.stretch(partition, last.offset..last.offset + 1))?;
        if let Some(record) = stretch.records.first() {
            return Ok(fingerprint(record) == last.fingerprint);
        }
        // Deleted meanwhile, or not given: silence is no other topic.
        match block_in_place(|| self.reader.watermarks(partition))?.start > last.offset {
            true => Ok(true),
            false => Err(Failure::Kafka(format!(
                "partition {partition} does not give the record at {}",
                last.offset
            ))),
        }
    }

    /// The place behind the newest click of the partition that is stored.
    async fn behind_newest(&self, partition: i32, there: &Range<u64>) -> Result<Place, Failure> {
        let newest = recover::newest_of(self.store, log_partition(partition)).await?;
        let Some(newest) = newest else {
            return Ok(go_on(partition, 0, there, None));
        };
        let at = newest.offset();
        if at < there.start {
            return Ok(go_on(partition, at + 1, there, None));
        }
        let stretch = block_in_place(|| self.reader.stretch(partition, at..at + 1))?;
        match stretch.records.first() {
            Some(record) if record.claim == Claim::Key(Key::Click(newest.id())) => {
                let last = Last {
                    offset: at,
                    fingerprint: fingerprint(record),
                };
                Ok(go_on(partition, at + 1, there, Some(last)))
            }
            _ => Ok(begin_again(partition, there)),
        }
    }
}

/// Goes on at `at`, or where the partition begins when that was deleted.
fn go_on(partition: i32, at: u64, there: &Range<u64>, last: Option<Last>) -> Place {
    let lost = (at < there.start).then_some(at..there.start);
    if let Some(lost) = &lost {
        counter!(m::NOT_RETAINED).increment(lost.end - lost.start);
        tracing::error!(
            partition,
            from = lost.start,
            to = lost.end,
            "kafka has deleted records that were not read yet; clicks in them are lost"
        );
    }
    Place {
        partition,
        next: at.max(there.start),
        lost,
        last,
    }
}

fn begin_again(partition: i32, there: &Range<u64>) -> Place {
    counter!(m::RESTARTS).increment(1);
    tracing::warn!(
        partition,
        from = there.start,
        "the topic is not the one that was read before; reading it from its beginning"
    );
    Place {
        partition,
        next: there.start,
        lost: None,
        last: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_was_deleted_moves_to_what_is_left_and_says_what_is_lost() {
        let there = 100..200;
        let place = |next, lost| Place {
            partition: 3,
            next,
            lost,
            last: None,
        };
        assert_eq!(go_on(3, 150, &there, None), place(150, None));
        assert_eq!(go_on(3, 100, &there, None), place(100, None));
        assert_eq!(go_on(3, 42, &there, None), place(100, Some(42..100)));
    }
}
