//! Which clicks are rolled up by dimension.
//!
//! A link with few clicks gains nothing from a roll-up: the raw table answers it in milliseconds. So a click is flagged
//! `rolled_up` only when its link is busy, and a stats call adds the two disjoint halves: `clicks_by_period`, and raw
//! clicks without the flag. The rule keeps the raw half bounded: a link never has more than about [`RAW_LIMIT`] clicks
//! without the flag.
//!
//! Counting is a count-min sketch: fixed memory whatever the number of links, and it errs only upwards, so the bound
//! holds and a link may merely be flagged a little early. No clock, no I/O.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Clicks of one link left to the raw table. A statistics call reads all their dimensions, which takes 11 ms for 5,000 rows
/// and 16 ms for 20,000, half of it whatever their number.
pub(crate) const RAW_LIMIT: u32 = 5_000;

/// A link with so many clicks in one batch is flagged at once: their rows share days and values, so rolling them up is
/// cheap, and a link that comes so fast would reach the limit within minutes anyway.
const BUSY_IN_BATCH: u32 = 1_000;

/// Links with fewer raw clicks than this are not read at start. The bound is missed by at most as much.
pub(crate) const SEED_FROM: u32 = 200;

/// Counters a row. Two rows of a million take 8 MiB; links seldom share both cells while there are fewer than that.
const CELLS: usize = 1 << 20;

/// A link, with its workspace.
pub(crate) type LinkKey = (u64, u64);

/// Counts raw clicks per link.
pub(crate) struct Busy {
    rows: [Vec<u32>; 2],
}

impl Busy {
    pub(crate) fn new() -> Self {
        Self {
            rows: [vec![0; CELLS], vec![0; CELLS]],
        }
    }

    /// Notes raw clicks that are in the table already.
    pub(crate) fn seed(&mut self, link: LinkKey, clicks: u32) {
        for (row, cell) in self.rows.iter_mut().zip(cells(link)) {
            if let Some(count) = row.get_mut(cell) {
                *count = count.saturating_add(clicks);
            }
        }
    }

    /// Decides for all clicks of a batch at once: the links whose clicks are flagged. Others are counted as raw.
    pub(crate) fn decide(&mut self, links: impl Iterator<Item = LinkKey>) -> Flagged {
        let mut counts: HashMap<LinkKey, u32> = HashMap::new();
        for link in links {
            let count = counts.entry(link).or_default();
            *count = count.saturating_add(1);
        }
        counts.retain(|link, count| {
            let flagged =
                *count >= BUSY_IN_BATCH || self.raw(*link).saturating_add(*count) > RAW_LIMIT;
            if !flagged {
                self.seed(*link, *count);
            }
            flagged
        });
        Flagged(counts)
    }

    fn raw(&self, link: LinkKey) -> u32 {
        let cell = |(row, cell): (&Vec<u32>, usize)| row.get(cell).copied().unwrap_or(u32::MAX);
        self.rows
            .iter()
            .zip(cells(link))
            .map(cell)
            .min()
            .unwrap_or(u32::MAX)
    }
}

/// Links whose clicks of one batch are flagged.
pub(crate) struct Flagged(HashMap<LinkKey, u32>);

impl Flagged {
    pub(crate) fn contains(&self, link: LinkKey) -> bool {
        self.0.contains_key(&link)
    }
}

fn cells((workspace, link): LinkKey) -> [usize; 2] {
    let mut key = [0; 16];
    let (front, back) = key.split_at_mut(8);
    front.copy_from_slice(&workspace.to_le_bytes());
    back.copy_from_slice(&link.to_le_bytes());
    [0, 1].map(|seed| (xxh3_64_with_seed(&key, seed) % CELLS as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(link: u64, clicks: u32) -> impl Iterator<Item = LinkKey> {
        (0..clicks).map(move |_| (1, link))
    }

    #[test]
    fn raw_clicks_of_a_link_stay_bounded() {
        let mut busy = Busy::new();
        let mut raw = 0;
        for _ in 0..1_000 {
            if !busy.decide(batch(7, 99)).contains((1, 7)) {
                raw += 99;
            }
        }
        assert!(raw <= RAW_LIMIT && raw > RAW_LIMIT - 99, "{raw}");
    }

    #[test]
    fn a_very_busy_batch_is_flagged_whole_and_leaves_others_alone() {
        let mut busy = Busy::new();
        let flagged = busy.decide(batch(7, BUSY_IN_BATCH).chain(batch(8, BUSY_IN_BATCH - 1)));
        assert!(flagged.contains((1, 7)) && !flagged.contains((1, 8)) && !flagged.contains((2, 7)));
    }

    #[test]
    fn what_the_table_holds_counts() {
        let mut busy = Busy::new();
        busy.seed((1, 7), RAW_LIMIT);
        assert!(busy.decide(batch(7, 1)).contains((1, 7)));
        assert!(!busy.decide(batch(8, 1)).contains((1, 8)));
    }
}
