//! Records that do not come: what was done about each stretch of missing offsets.
//!
//! Offsets are dense: our topics are neither compacted nor written in transactions. A batch that was damaged on its way, or that
//! librdkafka cannot unpack, is passed over by it, so the first sight of a hole ends the attempt, and the stretch is read again.
//! A hole that is still there after that is in the broker's copy. The stream goes on then: what was in the hole is told like
//! damage in a click log, and the gaps in its streams are drops with a reason.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use metrics::counter;

use crate::failure::Failure;
use crate::metrics as m;

/// Why positions are missing whose records Kafka did not give; a value of `drops.reason`.
pub(super) const MISSING: &str = crate::batch::MISSING_RECORDS;

/// How often a stretch is read again.
const READ_AGAIN: u32 = 2;

/// Damaged fetches that are so far apart have nothing to do with each other.
const IN_A_ROW: Duration = Duration::from_secs(120);

/// Holes remembered. With more, all of them are tried again.
const MAX_HOLES: usize = 1_000;

/// Holes seen since the process began; they outlive memberships.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    seen: BTreeMap<(i32, u64), u32>,
    /// Damaged fetches in a row, and the last of them.
    damaged: u32,
    damaged_at: Option<Instant>,
}

impl Holes {
    /// Records behind a hole have come.
    ///
    /// # Errors
    /// It is to be read again.
    pub(super) fn seen(&mut self, partition: i32, hole: &Range<u64>) -> Result<(), Failure> {
        if self.seen.len() >= MAX_HOLES {
            self.seen.clear();
        }
        let times = self.seen.entry((partition, hole.start)).or_default();
        *times += 1;
        if *times <= READ_AGAIN {
            return Err(Failure::Kafka(format!(
                "records {} to {} of partition {partition} did not come; reading them again",
                hole.start, hole.end
            )));
        }
        counter!(m::MISSING_RECORDS).increment(hole.end - hole.start);
        tracing::error!(
            partition,
            from = hole.start,
            to = hole.end,
            "kafka does not give records that it should have; clicks in them are lost"
        );
        Ok(())
    }

    /// Records have come that are not what was sent.
    ///
    /// # Errors
    /// They are to be read again. If that is of no use, what comes behind them shows the hole.
    pub(super) fn damaged(&mut self, why: String) -> Result<(), Failure> {
        if self.damaged_at.is_none_or(|at| at.elapsed() > IN_A_ROW) {
            self.damaged = 0;
        }
        self.damaged_at = Some(Instant::now());
        self.damaged += 1;
        if self.damaged <= READ_AGAIN {
            return Err(Failure::Kafka(format!(
                "records came damaged ({why}); reading them again"
            )));
        }
        tracing::error!(why, "kafka gives damaged records again and again");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_read_again_before_it_is_passed_over() {
        let mut holes = Holes::default();
        for _ in 0..READ_AGAIN {
            assert!(holes.seen(1, &(5..9)).is_err());
        }
        assert!(holes.seen(1, &(5..9)).is_ok());
        assert!(holes.seen(2, &(5..9)).is_err());
        for _ in 0..READ_AGAIN {
            assert!(holes.damaged(String::new()).is_err());
        }
        assert!(holes.damaged(String::new()).is_ok());
    }
}
