//! Pauses between attempts: doubling, bounded, jittered so that several ingests do not knock in step.

use std::time::Duration;

/// First pause. An engine that restarts is back within a second.
const FIRST: Duration = Duration::from_millis(100);

/// Longest pause: clicks wait in the log meanwhile, and recovery should be felt soon.
const LONGEST: Duration = Duration::from_secs(5);

/// The next pause.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// Between half of the current pause and all of it; `random` is any number.
    pub(crate) fn pause(&mut self, random: u32) -> Duration {
        let pause = self
            .next
            .mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX));
        self.next = (self.next * 2).min(LONGEST);
        pause
    }

    /// It went well.
    pub(crate) const fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_are_jittered() {
        let mut backoff = Backoff::new();
        assert_eq!(backoff.pause(u32::MAX), FIRST);
        assert_eq!(backoff.pause(0), FIRST);
        for _ in 0..20 {
            backoff.pause(0);
        }
        assert_eq!(backoff.pause(u32::MAX), LONGEST);
        assert_eq!(backoff.pause(0), LONGEST / 2);
        backoff.reset();
        assert_eq!(backoff.pause(u32::MAX), FIRST);
    }
}
