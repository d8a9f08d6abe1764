//! A query on its thread, from its session in the engine to the last piece of its result.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{counter, gauge, histogram};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

use super::format::{Joiner, Pieces};
use super::{Input, Job, Piece, Runner, Ticket};
use crate::engine::{Class, Connection, Output, Progress};
use crate::error::{Exception, Kind};
use crate::metrics as m;
use crate::sql::{Delivery, ONE_DOCUMENT_SETTINGS, Plan};
use crate::users::Role;

/// How long a result waits for a client that does not read. It holds a place all the while.
const WRITE_STALL: Duration = Duration::from_secs(60);
/// A whole result goes out in pieces of this many bytes, so that it is not there twice.
const PIECE_BYTES: usize = 1 << 20;
/// The format that throws the result away; it needs no limit.
const NO_RESULT: &str = "Null";

/// A query on its thread.
pub(super) struct Work {
    pub(super) runner: Arc<Runner>,
    pub(super) ticket: Arc<Ticket>,
    pub(super) head: Option<oneshot::Sender<Result<(Progress, Duration), Exception>>>,
    pub(super) out: mpsc::Sender<Piece>,
    pub(super) handle: Handle,
    pub(super) began: Instant,
    /// Given back when the session is closed.
    pub(super) _place: OwnedSemaphorePermit,
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
    pub(super) fn run(mut self, job: Job) {
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
        let pieces = pieces(&job);
        self.prepare(&mut connection, &job, pieces)?;
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
            Plan::Rows { .. } | Plan::Plain { .. } => match pieces {
                Pieces::Join => self.rows(&mut connection, &job, Joiner::new(None)),
                Pieces::Headed(header) => {
                    self.rows(&mut connection, &job, Joiner::new(Some(header)))
                }
                Pieces::Whole => {
                    let output = connection
                        .query(&job.sql, job.result_format(), &job.params)
                        .map_err(engine_error)?;
                    self.whole(&output)
                }
            },
        }
    }

    /// Streams a result.
    fn rows(
        &mut self,
        connection: &mut Connection,
        job: &Job,
        mut joiner: Joiner,
    ) -> Result<Progress, Exception> {
        let engine_error = |text: String| Exception::from_engine(&text);
        let mut rows = connection
            .stream(&job.sql, job.result_format(), &job.params)
            .map_err(engine_error)?;
        let mut progress = Progress::default();
        while let Some(piece) = rows.next().map_err(engine_error)? {
            progress.add(piece.progress());
            let bytes = piece.bytes();
            let part = joiner.part(bytes).and_then(|part| bytes.get(part));
            let part = part.ok_or_else(|| {
                Exception::new(
                    Kind::UnknownException,
                    "the engine gave a piece of the result whose header is not the first one's",
                )
            })?;
            self.begin(progress);
            self.send_data(part)?;
        }
        Ok(progress)
    }

    /// Sends a result that the engine made in one.
    fn whole(&mut self, output: &Output) -> Result<Progress, Exception> {
        let progress = output.progress();
        self.begin(progress);
        for part in output.bytes().chunks(PIECE_BYTES) {
            self.send_data(part)?;
        }
        Ok(progress)
    }

    /// Settings, database, and the engine's own opinion of the statement.
    fn prepare(
        &self,
        connection: &mut Connection,
        job: &Job,
        pieces: Pieces,
    ) -> Result<(), Exception> {
        let mut set = format!("SET log_comment = '{}'", self.ticket.mark);
        // Before the request's own, which win.
        if let (Plan::Rows { .. }, Pieces::Whole) = (&job.plan, pieces)
            && job.result_format() != NO_RESULT
        {
            set.push_str(&format!(
                ", max_result_bytes = {}",
                self.runner.whole_result
            ));
        }
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

    fn send_data(&self, data: &[u8]) -> Result<(), Exception> {
        if data.is_empty() || self.send(Piece::Data(Bytes::copy_from_slice(data))) {
            Ok(())
        } else {
            Err(Exception::new(
                Kind::QueryWasCancelled,
                "the client is gone",
            ))
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

/// How the job's result comes from the engine.
fn pieces(job: &Job) -> Pieces {
    let changed = || {
        job.settings
            .iter()
            .any(|(name, _)| ONE_DOCUMENT_SETTINGS.contains(&name.as_str()))
    };
    match &job.plan {
        Plan::Rows {
            delivery: Delivery::ByFormat,
            ..
        } if !changed() => Pieces::of(job.result_format()),
        Plan::Rows { .. } | Plan::Plain { .. } | Plan::Insert { .. } => Pieces::Whole,
    }
}

/// A value inside single quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\'', "\\'")
}
