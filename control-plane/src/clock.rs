//! The time of day, passed in so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Stands for a clock that runs.
const RUNS: i64 = i64::MIN;

/// The system's clock plus an offset. Clones share both, and whether it runs.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    offset_ms: AtomicI64,
    stopped_at_ms: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(Hands {
            offset_ms: AtomicI64::new(0),
            stopped_at_ms: AtomicI64::new(RUNS),
        }))
    }
}

impl Clock {
    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        let stopped = self.0.stopped_at_ms.load(Ordering::Relaxed);
        let now = if stopped == RUNS {
            system_ms()
        } else {
            stopped
        };
        now.saturating_add(self.0.offset_ms.load(Ordering::Relaxed))
    }

    /// Moves the clock by this many milliseconds; for tests of what happens later.
    pub fn advance_ms(&self, by: i64) {
        self.0.offset_ms.fetch_add(by, Ordering::Relaxed);
    }

    /// Stops the clock where it is: from now on only [`Self::advance_ms`] moves it. For tests that count what happens
    /// within an instant.
    pub fn stop(&self) {
        self.0.stopped_at_ms.store(system_ms(), Ordering::Relaxed);
    }
}

fn system_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_when_it_is_moved() {
        let clock = Clock::default();
        assert!(clock.now_ms() > 1_600_000_000_000);
        clock.advance_ms(1000);
        clock.stop();
        let now = clock.now_ms();
        clock.clone().advance_ms(7);
        assert_eq!(clock.now_ms(), now + 7);
    }
}
