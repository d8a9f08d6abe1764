//! What every write of a row of `links` keeps to, whoever makes it: the block list in force, and for how long a slug rests
//! that was given up. [`super::entries`] applies both.

use std::sync::Arc;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::domain::blocklist::Blocklist;

/// See the module. Clones show the same list. The default one forbids nothing.
#[derive(Debug, Clone)]
pub struct Guard {
    blocklist: watch::Sender<Arc<Blocklist>>,
    quarantine_ms: i64,
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
            clock,
        }
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

    /// The time of day.
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}
