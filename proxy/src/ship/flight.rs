//! What the brokers have been given and have not all acknowledged. Deliveries are told in any order; the log's
//! acknowledgement moves over whole stretches only.

use std::collections::VecDeque;

/// Records under way at most. librdkafka's own queue is larger, so it never refuses.
pub(super) const MAX_RECORDS: usize = 50_000;

/// Bytes of records under way at most: what an outage costs in memory.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// One record under way.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Offset of the log behind it.
    end: u64,
    bytes: u64,
    time_ms: i64,
    done: bool,
}

/// Records under way, in the order of the log.
#[derive(Debug)]
pub(super) struct Flight {
    /// Number of the first entry.
    first: usize,
    sent: VecDeque<Sent>,
    bytes: u64,
    acknowledged: u64,
    delivered: u64,
}

impl Flight {
    /// Nothing is under way, and all below `acknowledged` has arrived.
    pub(super) fn new(acknowledged: u64) -> Self {
        Self {
            first: 0,
            sent: VecDeque::new(),
            bytes: 0,
            acknowledged,
            delivered: 0,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.sent.len() < MAX_RECORDS && self.bytes < MAX_BYTES
    }

    /// Number that the next record will have.
    pub(super) fn next(&self) -> usize {
        self.first + self.sent.len()
    }

    /// A record went out.
    pub(super) fn add(&mut self, end: u64, bytes: u64, time_ms: i64) {
        self.sent.push_back(Sent {
            end,
            bytes,
            time_ms,
            done: false,
        });
        self.bytes += bytes;
    }

    /// A stretch without a record: it counts as arrived when all before it has.
    pub(super) fn pass_over(&mut self, end: u64) {
        match self.sent.back_mut() {
            Some(last) => last.end = end,
            None => self.acknowledged = end,
        }
    }

    /// The brokers have this record.
    pub(super) fn arrived(&mut self, number: usize) {
        if let Some(sent) = number
            .checked_sub(self.first)
            .and_then(|index| self.sent.get_mut(index))
        {
            sent.done = true;
        }
        while let Some(sent) = self.sent.front().copied().filter(|sent| sent.done) {
            self.sent.pop_front();
            self.first += 1;
            self.bytes -= sent.bytes;
            self.acknowledged = sent.end;
            self.delivered += 1;
        }
    }

    /// All of the log below this has arrived.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Offset behind the last record that went out.
    pub(super) fn last_end(&self) -> u64 {
        self.sent.back().map_or(self.acknowledged, |sent| sent.end)
    }

    /// Records that have arrived since the last call.
    pub(super) fn take_delivered(&mut self) -> u64 {
        std::mem::take(&mut self.delivered)
    }

    pub(super) fn records(&self) -> usize {
        self.sent.len()
    }

    /// Time of the oldest record under way.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.sent.front().map(|sent| sent.time_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_acknowledgement_moves_over_whole_stretches_only() {
        let mut flight = Flight::new(100);
        for end in [110, 120, 130] {
            flight.add(end, 10, 5);
        }
        flight.arrived(1);
        flight.arrived(2);
        assert_eq!((flight.acknowledged(), flight.records()), (100, 3));
        flight.arrived(0);
        assert_eq!((flight.acknowledged(), flight.records()), (130, 0));
        assert_eq!(flight.take_delivered(), 3);
        flight.arrived(0);
        flight.arrived(99);
        flight.add(140, 10, 5);
        flight.arrived(3);
        assert_eq!((flight.acknowledged(), flight.bytes), (140, 0));
    }

    #[test]
    fn what_holds_no_record_is_acknowledged_with_what_is_before_it() {
        let mut flight = Flight::new(0);
        flight.pass_over(50);
        assert_eq!(flight.acknowledged(), 50);
        flight.add(60, 10, 0);
        flight.pass_over(90);
        assert_eq!(flight.acknowledged(), 50);
        flight.arrived(0);
        assert_eq!(flight.acknowledged(), 90);
    }

    #[test]
    fn there_is_no_room_beyond_the_bounds() {
        let mut flight = Flight::new(0);
        flight.add(1, MAX_BYTES, 0);
        assert!(!flight.has_room());
        flight.arrived(0);
        assert!(flight.has_room());
        for end in 0..MAX_RECORDS as u64 {
            flight.add(end, 1, 0);
        }
        assert!(!flight.has_room());
    }
}
