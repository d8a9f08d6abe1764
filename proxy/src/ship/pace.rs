//! How fast the log is shipped: a bucket of bytes that fills at the rate. Time is passed in.

use std::time::{Duration, Instant};

/// How much may go at once after a pause: enough for any batch, little beside a second's worth.
const BURST: Duration = Duration::from_millis(100);

/// A bound on bytes a second.
#[derive(Debug)]
pub(super) struct Pace {
    rate: f64,
    allowance: f64,
    at: Option<Instant>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self {
            rate: bytes_per_second as f64,
            allowance: 0.0,
            at: None,
        }
    }

    /// Whether something may go now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let most = self.rate * BURST.as_secs_f64();
        let since = self
            .at
            .map_or(BURST, |at| now.saturating_duration_since(at));
        self.allowance = (self.allowance + self.rate * since.as_secs_f64()).min(most);
        self.at = Some(now);
        self.allowance > 0.0
    }

    /// So many bytes went. They may exceed what was left: the next ones wait for it.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.allowance -= bytes as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_time_and_a_pause_buys_little() {
        let mut pace = Pace::new(1_000_000);
        let start = Instant::now();
        let mut sent = 0;
        for ms in 0..2_000 {
            let now = start + Duration::from_millis(ms);
            while pace.allows(now) {
                pace.spend(10_000);
                sent += 10_000;
            }
        }
        assert!((1_990_000..=2_120_000).contains(&sent), "{sent}");
        let later = start + Duration::from_secs(3_600);
        let mut burst = 0;
        while pace.allows(later) {
            pace.spend(10_000);
            burst += 10_000;
        }
        assert!(burst <= 120_000, "{burst}");
    }
}
