//! How new the feed is, as far as this process knows: from its own commits, from what other control planes on the same
//! PostgreSQL database say (NOTIFY, after the commit), and from looks at the database, which depend on nobody's word.
//!
//! A look also notices that the database was restored to an older state: the change it saw last is not there any more.
//! Whatever was kept of the feed is of another history then ([`Newest::era`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::Row as _;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::{Store, feed};
use crate::metrics;

/// Time between looks: how late a change is pushed that nobody told of. The listener's word comes within milliseconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module. Clones share what they know.
#[derive(Debug, Clone)]
pub(super) struct Newest {
    seq: watch::Sender<u64>,
    era: Arc<AtomicU64>,
    seen: Arc<Mutex<Seen>>,
}

/// The newest change at a look.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    seq: u64,
    change: Vec<u8>,
}

impl Newest {
    /// With what the database says at the start.
    pub(super) async fn of(readers: &sqlx::AnyPool) -> sqlx::Result<Self> {
        let row = sqlx::query("SELECT seq, change_id FROM feed_state WHERE id = 1")
            .fetch_one(readers)
            .await?;
        let seen = Seen {
            seq: unsigned(row.try_get("seq")?),
            change: row.try_get("change_id")?,
        };
        Ok(Self {
            seq: watch::Sender::new(seen.seq),
            era: Arc::default(),
            seen: Arc::new(Mutex::new(seen)),
        })
    }

    fn seen(&self) -> Seen {
        // Replaced as a whole: nothing can be half done.
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    fn saw(&self, now: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Store {
    /// The newest sequence number of the feed, as far as this process knows; it changes right after each commit, and falls
    /// when the database was restored.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.newest.seq.subscribe()
    }

    /// Another number after each time that the database was seen to be restored: what was kept of the feed before is of
    /// another history.
    pub(crate) fn era(&self) -> u64 {
        self.newest.era.load(Ordering::Acquire)
    }

    /// Tells watchers that `seq` is committed.
    pub(crate) fn announce(&self, seq: u64) {
        self.newest.seq.send_if_modified(|newest| {
            let higher = seq > *newest;
            *newest = (*newest).max(seq);
            higher
        });
    }

    /// Asks the database how new the feed is, tells watchers, and returns it.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn look(&self) -> sqlx::Result<u64> {
        let before = self.newest.seen();
        let row = sqlx::query(
            "SELECT s.seq, s.change_id, c.change_id AS then_id FROM feed_state s \
             LEFT JOIN feed_changes c ON c.seq = $1 WHERE s.id = 1",
        )
        .bind(before.seq.cast_signed())
        .fetch_one(self.readers())
        .await?;
        let now = Seen {
            seq: unsigned(row.try_get("seq")?),
            change: row.try_get("change_id")?,
        };
        let then: Option<Vec<u8>> = row.try_get("then_id")?;
        if goes_on(&before, &now, then.as_deref()) {
            self.announce(now.seq);
        } else if self.newest.seen() == before {
            // Of several looks at once the first one tells.
            tracing::warn!(
                was = before.seq,
                is = now.seq,
                "the link database was restored to an older state"
            );
            metrics::database_restored();
            self.newest.saw(now.clone());
            // Before anybody is woken: they must not find what was kept.
            self.newest.era.fetch_add(1, Ordering::AcqRel);
            self.newest.seq.send_replace(now.seq);
            return Ok(now.seq);
        }
        let seq = now.seq;
        if seq > before.seq {
            self.newest.saw(now);
        }
        Ok(seq)
    }

    /// Tells watchers what other control planes commit to the same PostgreSQL database; returns when the listener is of no
    /// more use.
    ///
    /// # Errors
    /// The connection's; what a look found was not heard in time.
    pub(crate) async fn listen(&self, url: &str) -> anyhow::Result<()> {
        let mut listener = sqlx::postgres::PgListener::connect(url).await?;
        listener.listen(feed::CHANNEL).await?;
        // What was committed before the listener was there.
        let mut heard = self.look().await?;
        let mut found = heard;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                said = listener.try_recv() => match said? {
                    Some(notification) => {
                        if let Ok(seq) = notification.payload().parse() {
                            heard = seq;
                            self.announce(seq);
                        }
                    }
                    None => anyhow::bail!("the connection was lost"),
                },
                _ = look.tick() => {
                    // A connection that nothing comes through any more may look open for hours.
                    anyhow::ensure!(found <= heard, "nothing was said of change {found}");
                    found = self.look().await?;
                    // Restored: numbers begin again.
                    heard = heard.min(found.max(*self.newest.seq.borrow()));
                }
            }
        }
    }
}

/// Whether what is there `now` came after what was seen `before`; `then`: the change that has the old number now.
fn goes_on(before: &Seen, now: &Seen, then: Option<&[u8]>) -> bool {
    let kept = feed::KEPT_CHANGES.cast_unsigned();
    match then {
        _ if now.seq == before.seq => now.change == before.change,
        _ if now.seq < before.seq => false,
        Some(then) => then == before.change,
        // Before the first change there is none, and old ones are deleted.
        None => before.seq == 0 || now.seq - before.seq >= kept,
    }
}

fn unsigned(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: (u64, u8), now: (u64, u8), then: Option<u8>, expected: bool) {
        let seen = |(seq, change)| Seen {
            seq,
            change: vec![change],
        };
        let then = then.map(|change| vec![change]);
        let goes_on = goes_on(&seen(before), &seen(now), then.as_deref());
        assert_eq!(goes_on, expected, "{before:?} {now:?} {then:?}");
    }

    #[test]
    fn a_restored_database_is_told_from_one_that_went_on() {
        check((7, 1), (7, 1), Some(1), true);
        check((7, 1), (9, 3), Some(1), true);
        check((0, 0), (5, 3), None, true);
        check((7, 1), (7 + feed::KEPT_CHANGES as u64, 3), None, true);
        // Fewer changes; as many or more, but others; a history that does not hold what was seen.
        check((7, 1), (6, 9), None, false);
        check((7, 1), (7, 9), Some(9), false);
        check((7, 1), (12, 9), Some(8), false);
        check((7, 1), (12, 9), None, false);
    }
}
