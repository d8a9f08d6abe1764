//! Running queries: places, the queue before them, one thread per query, and stopping a query whose client is gone.
//!
//! The engine blocks, so a query runs on a thread of tokio's blocking pool and talks to the connection's task through
//! bounded channels; memory on the way is bounded by a few pieces of a result or a body. A query holds its place until
//! its session in the engine is closed, so a cancelled one that has not stopped yet still counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{counter, gauge};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::Config;
use crate::engine::{Engine, Progress};
use crate::error::{Exception, Kind};
use crate::metrics as m;
use crate::sql::Plan;
use crate::users::Role;

mod format;
mod work;

use work::Work;

/// Pieces of a result or a body on their way between thread and connection. Two keep both sides busy.
const CHANNEL_PIECES: usize = 2;
/// First pause between two attempts to stop a query in the engine; it doubles. The query may not have begun yet when
/// the first attempt is made.
const KILL_PAUSE: Duration = Duration::from_millis(10);
/// Longest such pause.
const KILL_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A result that cannot be streamed may have this part of a query's memory in the engine's columns (ClickHouse's
/// `max_result_bytes`; more is its error 396). The engine does not count the text it makes of them towards the query, and
/// that is some three times as much (JSON, seen), twice that while it grows; the engine's total still bounds it.
const WHOLE_RESULT_SHARE: u64 = 8;

/// A query that passed the policy.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) sql: Vec<u8>,
    pub(crate) plan: Plan,
    pub(crate) role: Role,
    pub(crate) read_only: bool,
    pub(crate) database: Option<String>,
    /// The format where the query names none.
    pub(crate) format: String,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) params: Vec<(String, String)>,
    /// An INSERT's data.
    pub(crate) input: Option<mpsc::Receiver<Input>>,
}

impl Job {
    /// The format of the result. The engine is told it as the default too: if it took the query's FORMAT for something
    /// else, the result would still be what was announced.
    fn result_format(&self) -> &str {
        match &self.plan {
            Plan::Rows { format, .. } | Plan::Plain { format, .. } => format.as_deref(),
            Plan::Insert { .. } => None,
        }
        .unwrap_or(&self.format)
    }
}

/// Data of an INSERT. A channel that closes before [`Input::End`] means that the client is gone: nothing is committed.
#[derive(Debug)]
pub(crate) enum Input {
    Data(Bytes),
    End,
}

/// A channel for an INSERT's data.
pub(crate) fn input_channel() -> (mpsc::Sender<Input>, mpsc::Receiver<Input>) {
    mpsc::channel(CHANNEL_PIECES)
}

/// A piece of a result. A channel that closes before the end means that the thread died.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    Failed(Exception),
    End,
}

/// The beginning of an answer; it exists once the engine has given a first piece of the result.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) progress: Progress,
    pub(crate) elapsed: Duration,
    pub(crate) pieces: mpsc::Receiver<Piece>,
    /// Dropped before the query's end, it stops the query.
    pub(crate) guard: CancelOnDrop,
}

/// A query in the engine.
#[derive(Debug)]
struct Ticket {
    /// What `KILL QUERY` finds it by.
    mark: Uuid,
    cancelled: AtomicBool,
    /// Its session is closed.
    done: AtomicBool,
}

/// Runs queries.
#[derive(Debug)]
pub(crate) struct Runner {
    engine: Engine,
    places: Arc<Semaphore>,
    max_running: usize,
    max_queued: usize,
    queue_timeout: Duration,
    analyst_timeout: Duration,
    /// In bytes.
    whole_result: u64,
    queued: AtomicUsize,
    running: Mutex<HashMap<Uuid, Arc<Ticket>>>,
}

/// Stops its query when dropped, if that still runs.
#[derive(Debug)]
pub(crate) struct CancelOnDrop {
    runner: Arc<Runner>,
    ticket: Arc<Ticket>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.runner.cancel(&self.ticket);
    }
}

/// Counts a waiting query for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(queued: &'a AtomicUsize, limit: usize) -> Option<Self> {
        let entered = queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < limit).then_some(n + 1)
            })
            .is_ok();
        entered.then(|| {
            gauge!(m::QUEUED).increment(1.0);
            Self(queued)
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        gauge!(m::QUEUED).decrement(1.0);
    }
}

impl Runner {
    pub(crate) fn new(engine: Engine, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            engine,
            places: Arc::new(Semaphore::new(config.max_running)),
            max_running: config.max_running,
            max_queued: config.max_queued,
            queue_timeout: config.queue_timeout,
            analyst_timeout: config.analyst_timeout,
            whole_result: config.memory_per_query / WHOLE_RESULT_SHARE,
            queued: AtomicUsize::new(0),
            running: Mutex::new(HashMap::new()),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Queries in the engine now, cancelled ones that have not stopped yet included.
    pub(crate) fn running(&self) -> usize {
        self.tickets().len()
    }

    /// Runs a query up to the first piece of its result.
    ///
    /// # Errors
    /// No place within the queue's limits, or the engine's error.
    pub(crate) async fn run(self: &Arc<Self>, job: Job) -> Result<Answer, Exception> {
        let place = self.place().await?;
        let ticket = Arc::new(Ticket {
            mark: Uuid::new_v4(),
            cancelled: AtomicBool::new(false),
            done: AtomicBool::new(false),
        });
        self.tickets().insert(ticket.mark, Arc::clone(&ticket));
        gauge!(m::RUNNING).increment(1.0);
        let (head_in, head_out) = oneshot::channel();
        let (out, pieces) = mpsc::channel(CHANNEL_PIECES);
        let work = Work {
            runner: Arc::clone(self),
            ticket: Arc::clone(&ticket),
            head: Some(head_in),
            out,
            handle: Handle::current(),
            began: Instant::now(),
            _place: place,
        };
        tokio::task::spawn_blocking(move || work.run(job));
        let guard = CancelOnDrop {
            runner: Arc::clone(self),
            ticket,
        };
        let (progress, elapsed) = head_out.await.unwrap_or_else(|_| {
            Err(Exception::new(
                Kind::UnknownException,
                "the query's thread ended early",
            ))
        })?;
        Ok(Answer {
            progress,
            elapsed,
            pieces,
            guard,
        })
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Exception> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let full = |reason, text: &str| {
            counter!(m::REFUSED, "reason" => reason).increment(1);
            Exception::new(
                Kind::TooManySimultaneousQueries,
                format_args!(
                    "Too many simultaneous queries. Maximum: {}, {text}",
                    self.max_running
                ),
            )
        };
        let Some(_waiting) = Waiting::enter(&self.queued, self.max_queued) else {
            return Err(full(
                "queue_full",
                &format!("{} more are waiting", self.max_queued),
            ));
        };
        match timeout(self.queue_timeout, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(Exception::new(
                Kind::QueryWasCancelled,
                "the server is stopping",
            )),
            Err(_) => Err(full(
                "queue_timeout",
                &format!("no place within {} seconds", self.queue_timeout.as_secs()),
            )),
        }
    }

    fn tickets(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Arc<Ticket>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no more queries, those waiting included.
    pub(crate) fn stop_taking(&self) {
        self.places.close();
    }

    /// Stops all that run.
    pub(crate) fn cancel_all(self: &Arc<Self>) {
        let tickets: Vec<_> = self.tickets().values().cloned().collect();
        for ticket in tickets {
            self.cancel(&ticket);
        }
    }

    fn cancel(self: &Arc<Self>, ticket: &Arc<Ticket>) {
        if ticket.done.load(Ordering::Acquire) || ticket.cancelled.swap(true, Ordering::AcqRel) {
            return;
        }
        let Ok(handle) = Handle::try_current() else {
            return;
        };
        let (runner, ticket) = (Arc::clone(self), Arc::clone(ticket));
        handle.spawn(async move {
            let mut pause = KILL_PAUSE;
            loop {
                // First a pause: most cancelled queries see the flag or the closed channel by themselves.
                tokio::time::sleep(pause).await;
                if ticket.done.load(Ordering::Acquire) {
                    return;
                }
                let (runner, mark) = (Arc::clone(&runner), ticket.mark);
                let killed = tokio::task::spawn_blocking(move || runner.engine.kill(mark)).await;
                if let Ok(Err(error)) = killed {
                    tracing::warn!(
                        error = error.text,
                        "cannot stop a query whose client is gone"
                    );
                }
                pause = (pause * 2).min(KILL_PAUSE_MAX);
            }
        });
    }
}
