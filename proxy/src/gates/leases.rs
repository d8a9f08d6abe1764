//! Visits of click-limited links that this proxy may let through.
//!
//! The control plane hands out visits in small numbers, and a proxy spends only what it holds: so all proxies together
//! never let more through than the limit. Spending one is a look into a map that never waits. When there is none left,
//! the visitor waits up to 50 ms for the control plane; without an answer the link stays shut, for the limit comes before
//! the visit. What is not spent for a while goes back, and all of it when the proxy ends.
//!
//! An answer that is lost takes its visits with it: the link then serves fewer, never more. For the same reason what is
//! given back is said once and not again.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use http::{HeaderMap, Method, StatusCode};
use metrics::counter;
use prost::Message as _;
use schemas::feed::{Lease, LeaseReply, LeaseRequest, MAX_LINKS_PER_CHANGE, paths};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::feed::Caller;
use crate::metrics as names;

/// How long a visitor waits for a lease.
const DEADLINE: Duration = Duration::from_millis(50);

/// How long the control plane may take. Longer than a visitor waits, for its answer serves the next one.
const CALL_DEADLINE: Duration = Duration::from_secs(1);

/// Milliseconds for which "there are none left" is believed: an owner who raises the limit is seen after them.
const NONE_MS: i64 = 1000;

/// Milliseconds after a call that failed in which no visitor waits for another: they would all wait in vain.
const FAILED_MS: i64 = 250;

/// Milliseconds after which visits that nobody spends go back.
const IDLE_MS: i64 = 30_000;

/// How often it is looked for such visits.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Longest answer, in bytes: a lease for each link asked for.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What became of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It is let through.
    Yes,
    /// There are none left.
    None,
    /// The control plane is to be asked.
    Ask,
    /// It could not be asked: the limit comes before the visit.
    Closed,
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    visits: u64,
    /// The limit they were leased under; another one makes them worthless.
    max: u64,
    used_ms: i64,
    none_until_ms: i64,
    failed_until_ms: i64,
}

#[derive(Debug)]
struct Ask {
    link: u64,
    answer: oneshot::Sender<()>,
}

/// What this proxy holds.
#[derive(Debug, Default)]
pub struct Leases {
    held: DashMap<u64, Held>,
    asks: Option<mpsc::UnboundedSender<Ask>>,
}

impl Leases {
    /// Spends a visit of a link with this limit.
    pub fn spend(&self, link: u64, max: u64, now_ms: i64) -> Spent {
        let mut held = self.held.entry(link).or_default();
        let spent = held.look(max, now_ms);
        if spent == Spent::Yes {
            held.visits -= 1;
            held.used_ms = now_ms;
        }
        spent
    }

    /// What [`Self::spend`] would say.
    pub fn look(&self, link: u64, max: u64, now_ms: i64) -> Spent {
        self.held
            .get(&link)
            .map_or(Spent::Ask, |held| held.look(max, now_ms))
    }

    /// Takes back a visit that was spent and not let through.
    pub fn give_back(&self, link: u64) {
        if let Some(mut held) = self.held.get_mut(&link) {
            held.visits += 1;
        }
    }

    /// Asks for visits of a link. Returns when there is an answer or the deadline has passed; [`Self::spend`] then knows
    /// which.
    pub async fn ask(&self, link: u64, now_ms: i64) {
        let (answer, answered) = oneshot::channel();
        let asked = self
            .asks
            .as_ref()
            .map(|asks| asks.send(Ask { link, answer }));
        let in_time = match asked {
            Some(Ok(())) => matches!(timeout(DEADLINE, answered).await, Ok(Ok(()))),
            _ => false,
        };
        if !in_time {
            counter!(names::LEASES, "result" => "failed").increment(1);
            self.held.entry(link).or_default().failed_until_ms = now_ms + FAILED_MS;
        }
    }

    /// Takes in an answer. Returns what was left of visits leased under another limit, which must go back.
    fn granted(&self, lease: &Lease, now_ms: i64) -> Option<Lease> {
        let mut held = self.held.entry(lease.link).or_default();
        held.failed_until_ms = 0;
        if lease.visits == 0 {
            held.none_until_ms = now_ms + NONE_MS;
            counter!(names::LEASES, "result" => "none").increment(1);
            return None;
        }
        let old = Lease {
            link: lease.link,
            visits: held.visits,
            max: held.max,
        };
        held.none_until_ms = 0;
        held.used_ms = now_ms;
        counter!(names::LEASES, "result" => "granted").increment(lease.visits);
        if held.max == lease.max {
            held.visits += lease.visits;
            return None;
        }
        held.max = lease.max;
        held.visits = lease.visits;
        (old.visits > 0).then_some(old)
    }

    /// Takes what is to go back: all, or what was not used for a while. Forgets links that nothing is known of.
    fn unused(&self, now_ms: i64, all: bool) -> Vec<Lease> {
        let mut unused = Vec::new();
        self.held.retain(|link, held| {
            let idle = all || now_ms - held.used_ms >= IDLE_MS;
            if idle && held.visits > 0 {
                unused.push(Lease {
                    link: *link,
                    visits: std::mem::take(&mut held.visits),
                    max: held.max,
                });
            }
            !idle || held.none_until_ms > now_ms || held.failed_until_ms > now_ms
        });
        unused
    }
}

impl Held {
    fn look(&self, max: u64, now_ms: i64) -> Spent {
        if self.visits > 0 && self.max == max {
            Spent::Yes
        } else if now_ms < self.none_until_ms {
            Spent::None
        } else if now_ms < self.failed_until_ms {
            Spent::Closed
        } else {
            Spent::Ask
        }
    }
}

/// The thread that asks for leases and gives them back.
#[derive(Debug)]
pub struct Lessee {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Lessee {
    /// Starts the thread. `ended` is dropped when it ends, however it does.
    ///
    /// # Errors
    /// No runtime, no thread, no randomness.
    pub(crate) fn start(
        caller: Caller,
        ended: impl Send + 'static,
    ) -> io::Result<(Self, Arc<Leases>)> {
        let mut proxy = vec![0; 16];
        getrandom::fill(&mut proxy).map_err(|e| io::Error::other(e.to_string()))?;
        let (asks, inbox) = mpsc::unbounded_channel();
        let leases = Arc::new(Leases {
            asks: Some(asks),
            ..Leases::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stop = CancellationToken::new();
        let lessee = Asking {
            proxy,
            caller,
            leases: Arc::clone(&leases),
            back: Vec::new(),
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("leases".to_owned())
            .spawn(move || {
                let _ended = ended;
                runtime.block_on(lessee.run(inbox));
            })?;
        Ok((Self { stop, thread }, leases))
    }

    /// Gives back what is left, and ends the thread. Call it when nobody spends any more.
    ///
    /// # Errors
    /// The thread has panicked.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the leases' thread has panicked"))
    }
}

struct Asking {
    proxy: Vec<u8>,
    caller: Caller,
    leases: Arc<Leases>,
    /// To go back with the next call.
    back: Vec<Lease>,
    stop: CancellationToken,
}

impl Asking {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Ask>) {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(first) = inbox.recv() => {
                    // Whoever asked during the last call is asked for in one.
                    let mut asks = vec![first];
                    while asks.len() < MAX_LINKS_PER_CHANGE && let Ok(ask) = inbox.try_recv() {
                        asks.push(ask);
                    }
                    let links: HashSet<u64> = asks.iter().map(|ask| ask.link).collect();
                    if self.call(links.into_iter().collect()).await {
                        for ask in asks {
                            // Nobody waits any more: the visits are for the next one.
                            let _ = ask.answer.send(());
                        }
                    }
                }
                _ = look.tick() => {
                    self.back.extend(self.leases.unused(unix_ms(), false));
                    if !self.back.is_empty() {
                        self.call(Vec::new()).await;
                    }
                }
            }
        }
        self.back.extend(self.leases.unused(unix_ms(), true));
        while !self.back.is_empty() {
            self.call(Vec::new()).await;
        }
    }

    /// One call; false when it failed.
    async fn call(&mut self, ask: Vec<u64>) -> bool {
        let some = self.back.len().min(MAX_LINKS_PER_CHANGE);
        let unused: Vec<Lease> = self.back.drain(..some).collect();
        let returned: u64 = unused.iter().map(|lease| lease.visits).sum();
        let request = LeaseRequest {
            proxy: self.proxy.clone().into(),
            ask,
            unused,
        };
        let answer = self
            .caller
            .call(
                (Method::POST, paths::LEASES),
                HeaderMap::new(),
                request.encode_to_vec().into(),
                MAX_ANSWER_BYTES,
                CALL_DEADLINE,
            )
            .await;
        let reply = answer
            .filter(|answer| answer.status == StatusCode::OK)
            .and_then(|answer| LeaseReply::decode(answer.body).ok());
        let Some(reply) = reply else {
            return false;
        };
        counter!(names::LEASES, "result" => "returned").increment(returned);
        let now_ms = unix_ms();
        for lease in &reply.lease {
            // What was not asked for is not ours.
            if request.ask.contains(&lease.link) {
                self.back.extend(self.leases.granted(lease, now_ms));
            }
        }
        true
    }
}

fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(visits: u64, max: u64) -> Lease {
        Lease {
            link: 7,
            visits,
            max,
        }
    }

    #[test]
    fn no_more_is_spent_than_was_leased() {
        let leases = Leases::default();
        assert_eq!(leases.spend(7, 10, 0), Spent::Ask);
        leases.granted(&lease(3, 10), 0);
        assert_eq!(leases.look(7, 10, 0), Spent::Yes);
        let spent = std::thread::scope(|scope| {
            let spend = || {
                (0..100)
                    .filter(|_| leases.spend(7, 10, 0) == Spent::Yes)
                    .count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(spend)).collect();
            threads
                .into_iter()
                .map(|t| t.join().expect("spent"))
                .sum::<usize>()
        });
        assert_eq!(spent, 3);
        leases.give_back(7);
        assert_eq!(leases.spend(7, 10, 0), Spent::Yes);
        assert_eq!(leases.spend(7, 10, 0), Spent::Ask);
    }

    #[test]
    fn none_and_failed_are_believed_for_a_moment() {
        let leases = Leases::default();
        leases.granted(&lease(0, 10), 0);
        assert_eq!(leases.spend(7, 10, NONE_MS - 1), Spent::None);
        assert_eq!(leases.spend(7, 10, NONE_MS), Spent::Ask);
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("runtime")
            .block_on(leases.ask(7, 5000));
        assert_eq!(leases.spend(7, 10, 5000 + FAILED_MS - 1), Spent::Closed);
        assert_eq!(leases.spend(7, 10, 5000 + FAILED_MS), Spent::Ask);
    }

    #[test]
    fn another_limit_makes_leases_worthless_and_they_go_back() {
        let leases = Leases::default();
        assert_eq!(leases.granted(&lease(3, 10), 0), None);
        assert_eq!(leases.spend(7, 12, 0), Spent::Ask);
        assert_eq!(leases.granted(&lease(2, 12), 0), Some(lease(3, 10)));
        assert_eq!(leases.spend(7, 10, 0), Spent::Ask);
        assert_eq!(leases.granted(&lease(2, 12), 0), None);
        let spent = (0..9)
            .filter(|_| leases.spend(7, 12, 0) == Spent::Yes)
            .count();
        assert_eq!(spent, 4);
    }

    #[test]
    fn idle_leases_go_back() {
        let leases = Leases::default();
        leases.granted(&lease(3, 10), 0);
        assert_eq!(leases.spend(7, 10, 1000), Spent::Yes);
        assert_eq!(leases.unused(1000 + IDLE_MS - 1, false), []);
        assert_eq!(leases.unused(1000 + IDLE_MS, false), [lease(2, 10)]);
        assert_eq!(leases.spend(7, 10, 1000 + IDLE_MS), Spent::Ask);
        leases.granted(&lease(1, 10), 50_000);
        assert_eq!(leases.unused(50_000, true), [lease(1, 10)]);
    }
}
