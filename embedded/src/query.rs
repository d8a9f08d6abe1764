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
use metrics::{counter, gauge, histogram};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::Config;
use crate::engine::{Class, Connection, Engine, Progress};
use crate::error::{Exception, Kind};
use crate::metrics as m;
use crate::sql::Plan;
use crate::users::Role;

/// Pieces of a result or a body on their way between thread and connection. Two keep both sides busy.
const CHANNEL_PIECES: usize = 2;
/// How long a result waits for a client that does not read. It holds a place all the while.
const WRITE_STALL: Duration = Duration::from_secs(60);
/// First pause between two attempts to stop a query in the engine; it doubles. The query may not have begun yet when
/// the first attempt is made.
const KILL_PAUSE: Duration = Duration::from_millis(10);
/// Longest such pause.
const KILL_PAUSE_MAX: Duration = Duration::from_secs(1);

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

/// A query on its thread.
struct Work {
    runner: Arc<Runner>,
    ticket: Arc<Ticket>,
    head: Option<oneshot::Sender<Result<(Progress, Duration), Exception>>>,
    out: mpsc::Sender<Piece>,
    handle: Handle,
    began: Instant,
    _place: OwnedSemaphorePermit,
}

impl Drop for Work {
    /// Also after a panic: a ticket that stays would hold up the end of the process.
    fn drop(&mut self) {
        self.ticket.done.store(true, Ordering::Release);
        self.runner.tickets().remove(&self.ticket.mark);
        gauge!(m::RUNNING).decrement(1.0);
    }
}

impl Work {
    fn run(mut self, job: Job) {
        let kind = job.plan.kind();
        // The session is closed within, before the last word goes out: who has the answer finds nothing running.
        let result = self.in_session(job);
        let cancelled = self.ticket.cancelled.load(Ordering::Acquire);
        let outcome = match &result {
            Ok(_) => "ok",
            Err(_) if cancelled => "cancelled",
            Err(_) => "error",
        };
        counter!(m::QUERIES, "kind" => kind, "outcome" => outcome).increment(1);
        histogram!(m::DURATION, "kind" => kind).record(self.began.elapsed());
        self.ticket.done.store(true, Ordering::Release);
        self.runner.tickets().remove(&self.ticket.mark);
        match result {
            Ok(progress) => {
                self.begin(progress);
                self.send(Piece::End);
            }
            Err(exception) => match self.head.take() {
                Some(head) => {
                    let _ = head.send(Err(exception));
                }
                None => {
                    self.send(Piece::Failed(exception));
                }
            },
        }
    }

    fn in_session(&mut self, mut job: Job) -> Result<Progress, Exception> {
        self.check_cancelled()?;
        let mut connection = self.runner.engine.connect()?;
        self.prepare(&mut connection, &job)?;
        let engine_error = |text: String| Exception::from_engine(&text);
        match &job.plan {
            Plan::Insert {
                sql_end, format, ..
            } => {
                let format = format.as_deref().unwrap_or(&job.format);
                let sql = job.sql.get(..*sql_end).unwrap_or_default();
                let input = job.input.take();
                self.insert(&mut connection, sql, format, &job.params, input)
            }
            Plan::Rows { .. } => {
                let mut rows = connection
                    .stream(&job.sql, &job.format, &job.params)
                    .map_err(engine_error)?;
                let mut progress = Progress::default();
                while let Some(piece) = rows.next().map_err(engine_error)? {
                    progress.add(piece.progress());
                    self.begin(progress);
                    let data = Bytes::copy_from_slice(piece.bytes());
                    if !self.send(Piece::Data(data)) {
                        return Err(Exception::new(
                            Kind::QueryWasCancelled,
                            "the client is gone",
                        ));
                    }
                }
                Ok(progress)
            }
            Plan::Plain { .. } => {
                let output = connection
                    .query(&job.sql, &job.format, &job.params)
                    .map_err(engine_error)?;
                let progress = output.progress();
                let data = Bytes::copy_from_slice(output.bytes());
                drop(output);
                drop(connection);
                self.begin(progress);
                if !data.is_empty() {
                    self.send(Piece::Data(data));
                }
                Ok(progress)
            }
        }
    }

    /// Settings, database, and the engine's own opinion of the statement.
    fn prepare(&self, connection: &mut Connection, job: &Job) -> Result<(), Exception> {
        let mut set = format!("SET log_comment = '{}'", self.ticket.mark);
        for (name, value) in &job.settings {
            set.push_str(&format!(", {name} = '{}'", escaped(value)));
        }
        match (job.role, job.read_only) {
            (Role::Analyst, _) => set.push_str(&format!(
                ", max_execution_time = {}, readonly = 1",
                self.runner.analyst_timeout.as_secs()
            )),
            (Role::Signpost, true) => set.push_str(", readonly = 2"),
            (Role::Signpost, false) => {}
        }
        let run = |connection: &mut Connection, sql: &str| {
            connection
                .query(sql.as_bytes(), "Null", &[])
                .map(drop)
                .map_err(|e| Exception::from_engine(&e))
        };
        run(connection, &set)?;
        if let Some(database) = &job.database {
            let name = database.replace('\\', "\\\\").replace('`', "\\`");
            run(connection, &format!("USE `{name}`"))?;
        }
        let analysis = match &job.plan {
            // The data is not there, and the parser wants a format.
            Plan::Insert { sql_end, .. } => {
                let mut sql = job.sql.get(..*sql_end).unwrap_or_default().to_vec();
                sql.extend_from_slice(b" FORMAT Null\n");
                connection.classify(&sql)
            }
            Plan::Rows { .. } | Plan::Plain { .. } => connection.classify(&job.sql),
        };
        let highest = if job.read_only {
            Class::ReadOnly
        } else {
            Class::Mutating
        };
        // What does not parse runs into the engine's own, better error.
        if analysis.statements == 0 || (analysis.statements == 1 && analysis.class <= highest) {
            return Ok(());
        }
        counter!(m::REFUSED, "reason" => "class").increment(1);
        Err(match (analysis.statements, job.read_only) {
            (1, true) if analysis.class <= Class::Mutating => Exception::new(
                Kind::Readonly,
                format_args!("{}: Cannot execute query in readonly mode", job.role.name()),
            ),
            (1, _) => Exception::new(Kind::AccessDenied, "this kind of statement is not allowed"),
            _ => Exception::new(
                Kind::SyntaxError,
                "Syntax error: Multi-statements are not allowed",
            ),
        })
    }

    fn insert(
        &mut self,
        connection: &mut Connection,
        sql: &[u8],
        format: &str,
        params: &[(String, String)],
        input: Option<mpsc::Receiver<Input>>,
    ) -> Result<Progress, Exception> {
        let mut insert = connection
            .insert(sql, format, params)
            .map_err(|e| Exception::from_engine(&e))?;
        let mut input = input
            .ok_or_else(|| Exception::new(Kind::UnknownException, "an insert without data"))?;
        loop {
            match input.blocking_recv() {
                Some(Input::Data(data)) => {
                    if !insert.append(&data) {
                        break;
                    }
                }
                Some(Input::End) => break,
                None => {
                    drop(insert);
                    return Err(Exception::new(
                        Kind::QueryWasCancelled,
                        "the client ended before the data did; nothing was inserted",
                    ));
                }
            }
            self.check_cancelled()?;
        }
        let output = insert.finish().map_err(|e| Exception::from_engine(&e))?;
        Ok(output.progress())
    }

    fn check_cancelled(&self) -> Result<(), Exception> {
        if self.ticket.cancelled.load(Ordering::Acquire) {
            Err(Exception::new(
                Kind::QueryWasCancelled,
                "Query was cancelled",
            ))
        } else {
            Ok(())
        }
    }

    /// Lets the answer's head go out, once.
    fn begin(&mut self, progress: Progress) {
        if let Some(head) = self.head.take() {
            let _ = head.send(Ok((progress, self.began.elapsed())));
        }
    }

    /// `false`: nobody takes it (any more).
    fn send(&self, piece: Piece) -> bool {
        let sent = self
            .handle
            .block_on(async { timeout(WRITE_STALL, self.out.send(piece)).await });
        matches!(sent, Ok(Ok(())))
    }
}

/// A value inside single quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\'', "\\'")
}
