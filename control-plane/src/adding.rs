//! Calls that add one link each, taken together: while a transaction is on its way to the disk, the calls that come wait for
//! the next one, which takes all of them. So many calls at once wait about as long as one, and a disk that takes some
//! milliseconds to be sure limits none of them.
//!
//! No task waits here for calls: each brings one that takes whatever waits when its turn comes, and finds nothing where
//! another has taken its call along. So calls are served for as long as there are any, at the end of the process too.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::clock::Clock;
use crate::links::Ready;
use crate::metrics;
use crate::store::Store;
use crate::store::domains::Domain;
use crate::store::links::{Added, NewLink, WriteError, insert_each};

/// Links in one transaction: some ten milliseconds of work, for which others wait.
const MOST: usize = 128;

type Outcome = Result<Added, WriteError>;

/// A call that waits.
struct Call {
    workspace: i64,
    ready: Ready,
    answer: oneshot::Sender<Outcome>,
}

/// The place where they wait. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Adding {
    calls: mpsc::UnboundedSender<Call>,
    turns: Arc<Turns>,
}

struct Turns {
    store: Store,
    clock: Clock,
    default_domain: Domain,
    // As many wait as there are connections, so it needs no bound of its own.
    waiting: Mutex<mpsc::UnboundedReceiver<Call>>,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turns")
    }
}

impl Adding {
    /// A place for links that without a domain of their own answer on `default_domain`.
    pub(crate) fn new(store: Store, clock: Clock, default_domain: Domain) -> Self {
        let (calls, waiting) = mpsc::unbounded_channel();
        Self {
            calls,
            turns: Arc::new(Turns {
                store,
                clock,
                default_domain,
                waiting: Mutex::new(waiting),
            }),
        }
    }

    /// Adds a link that stands alone ([`crate::store::links::NewLink::stands_alone`]).
    ///
    /// # Errors
    /// See [`WriteError`].
    pub(crate) async fn add(&self, workspace: i64, ready: Ready) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let call = Call {
            workspace,
            ready,
            answer,
        };
        if self.calls.send(call).is_err() {
            return Err(anyhow::anyhow!("nobody adds links any more").into());
        }
        let turns = Arc::clone(&self.turns);
        // By itself: a caller that goes away must not take others' links along.
        tokio::spawn(async move { Box::pin(turns.take()).await });
        answered.await.context("adding a link broke off")?
    }
}

impl Turns {
    fn new_link<'a>(&'a self, call: &'a Call) -> (i64, NewLink<'a>) {
        (
            call.workspace,
            call.ready.unasked_link(&self.default_domain),
        )
    }

    /// Adds what waits, if anything does.
    async fn take(&self) {
        let mut waiting = self.waiting.lock().await;
        let mut calls = Vec::new();
        while calls.len() < MOST
            && let Ok(call) = waiting.try_recv()
        {
            calls.push(call);
        }
        if calls.is_empty() {
            return;
        }
        metrics::added_together(calls.len());
        let now_ms = self.clock.now_ms();
        let all = calls.iter().map(|call| self.new_link(call)).collect();
        match insert_each(&self.store, all, now_ms).await {
            Ok(outcomes) => {
                for (call, outcome) in calls.into_iter().zip(outcomes) {
                    // Whoever does not wait any more has hung up.
                    let _ = call.answer.send(outcome);
                }
            }
            // One of them may have broken it for all; nothing has happened yet.
            Err(error) => {
                tracing::debug!(%error, calls = calls.len(), "links are added one by one");
                for call in calls {
                    let alone = vec![self.new_link(&call)];
                    let alone = insert_each(&self.store, alone, now_ms).await;
                    let outcome = alone.and_then(|mut outcomes| {
                        let none = || anyhow::anyhow!("one link went in, none came out");
                        outcomes.pop().ok_or_else(none)?
                    });
                    let _ = call.answer.send(outcome);
                }
            }
        }
    }
}
