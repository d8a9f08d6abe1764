//! What every write of a row of `links` keeps to, whoever makes it: the block list in force, for how long a slug rests
//! that was given up ([`super::entries`] applies both), and whether their destinations are looked at ([`super::looks`]).

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::domain::blocklist::Blocklist;

/// See the module. Clones show the same list. The default one forbids nothing.
#[derive(Debug, Clone)]
pub struct Guard {
    blocklist: watch::Sender<Arc<Blocklist>>,
    quarantine_ms: i64,
    asks: bool,
    clock: Clock,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(Blocklist::default(), 0, Clock::default())
    }
}

impl Guard {
    /// With this list to begin with. `quarantine_ms`: time for which a slug that was given up goes to nobody else; 0: none.
    pub fn new(blocklist: Blocklist, quarantine_ms: i64, clock: Clock) -> Self {
        Self {
            blocklist: watch::Sender::new(Arc::new(blocklist)),
            quarantine_ms,
            asks: false,
            clock,
        }
    }

    /// The same, where destinations are asked what they are.
    #[must_use]
    pub fn asking(mut self) -> Self {
        self.asks = true;
        self
    }

    /// The list in force.
    pub fn blocklist(&self) -> Arc<Blocklist> {
        self.blocklist.borrow().clone()
    }

    /// Puts another list into force.
    pub fn replace(&self, blocklist: Blocklist) {
        self.blocklist.send_replace(Arc::new(blocklist));
    }

    /// Milliseconds for which a slug that was given up goes to nobody else; 0: none.
    pub fn quarantine_ms(&self) -> i64 {
        self.quarantine_ms
    }

    /// Whether destinations are asked what they are.
    pub fn asks(&self) -> bool {
        self.asks
    }

    /// The time of day.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}
