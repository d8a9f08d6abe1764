//! The pipeline, top to bottom: source → decode → skip what is known → batch → intent → insert → roll up → advance.
//!
//! It knows two states. In *doubt*, after a start or any error, it asks the tables what they hold and settles what was
//! in flight (`recover`); from then on it *knows*, and every step rests on the one before. There is no third: an error
//! anywhere leads back to doubt, after a pause, so a restart and a hiccup take the same, tested way.
//!
//! When a batch is acknowledged: once its clicks are stored. Its roll-ups follow and need the log no more, since they
//! are made from `clicks`, and receipts tell what is missing. Waiting for them would only hold segments longer.
//!
//! **Invariant:** clicks are inserted in the order of their stream, and the intent on disk names every click whose
//! insert has begun and is not acknowledged.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge};
use schemas::click::Stream;
use schemas::health::Health;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use crate::attempts::{Attempts, CLICKHOUSE, drained};
use crate::batch::Judge;
use crate::busy::Busy;
use crate::config::{Config, Endpoint, Password};
use crate::failure::Failure;
use crate::intent::IntentFile;
use crate::metrics as m;
use crate::migrate::migrate;
use crate::receipt::RollUp;
use crate::recover;
use crate::source::Source;
use crate::store::{Store, StoreError, unique};
use crate::writer::{Behind, Writer};

/// How often the log is looked at while it is empty. A look costs a few microseconds.
const POLL: Duration = Duration::from_millis(25);

/// Rounds of catching up with roll-ups before it counts as an error.
const CATCH_UP_ROUNDS: usize = 5;

/// Everything the pipeline works on.
pub(crate) struct Pipeline<S> {
    pub(crate) config: Config,
    pub(crate) sources: Vec<S>,
    pub(crate) intent: IntentFile,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
}

/// What is known while nothing is in doubt.
struct Certain {
    writer: Writer,
    judge: Judge,
    busy: Busy,
    behind: Behind,
}

impl<S: Source> Pipeline<S> {
    /// Runs until shutdown. Errors are retried for ever: clicks are safe in the log, and `health` says why they wait.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        drained(shutdown, async move { self.attempts().await }).await;
    }

    async fn attempts(&mut self) {
        let mut attempts = Attempts::new(&self.health, &self.shutdown);
        while !self.shutdown.is_cancelled() {
            let mut went_well = false;
            if let Err(failure) = self.attempt(&mut went_well).await {
                attempts.failed(failure, went_well).await;
            } else {
                return;
            }
        }
    }

    /// From doubt to certainty and on, until something fails or the end is asked for.
    async fn attempt(&mut self, went_well: &mut bool) -> Result<(), Failure> {
        let Some(store) = connect(&self.config.clickhouse, &self.health, &self.shutdown).await?
        else {
            return Ok(());
        };
        counter!(m::DOUBTS).increment(1);
        let mut certain = self.settle(store).await?;
        self.health.ready(CLICKHOUSE);
        *went_well = true;
        while !self.shutdown.is_cancelled() {
            let began = Instant::now();
            let (worked, more) = self.turn(&mut certain).await?;
            if certain.behind.is_due(more) {
                certain.behind.roll_up(&certain.writer.store).await?;
            }
            if !more {
                let pause = if worked {
                    self.config
                        .batch_pause
                        .saturating_sub(began.elapsed())
                        .max(POLL)
                } else {
                    POLL
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.shutdown.cancelled() => {}
                }
            }
        }
        Ok(certain.behind.roll_up(&certain.writer.store).await?)
    }

    /// From doubt to certainty.
    async fn settle(&mut self, store: Store) -> Result<Certain, Failure> {
        migrate(&store).await?;
        recover::quiesce(&store).await?;
        for source in &mut self.sources {
            source.rewind()?;
        }
        let mut judge = Judge::new(recover::known(&store).await?);
        let mut busy = recover::busy(&store).await?;
        let limits = self.config.limits();
        let sources = &mut self.sources;
        if recover::settle(
            &store,
            &self.intent,
            sources,
            limits,
            &judge.known,
            &mut busy,
        )
        .await?
        {
            judge.known = recover::known(&store).await?;
        }
        let marks: Vec<_> = judge.known.marks().collect();
        catch_up_from_receipts(&store, &marks).await?;
        let ingested = recover::newest_ingested(&store).await?;
        Ok(Certain {
            writer: Writer::new(store, ingested),
            judge,
            busy,
            behind: Behind::new(),
        })
    }

    /// One batch from each source that has something. Whether there was any, and whether there is more.
    async fn turn(&mut self, certain: &mut Certain) -> Result<(bool, bool), Failure> {
        let limits = self.config.limits();
        let (mut worked, mut more) = (false, false);
        for source in &mut self.sources {
            let partition = source.partition();
            let batch = block_in_place(|| {
                let fetched = source.fetch(limits, Instant::now())?;
                io::Result::Ok(certain.judge.batch(partition, fetched, &mut certain.busy))
            })?;
            let empty = batch.offsets.is_empty();
            if !empty {
                more |= batch.more;
                worked = true;
                let oldest = batch.clicks.first().map_or(0, |c| c.click.time_ms);
                gauge!(m::LAG_SECONDS, "partition" => partition.to_string())
                    .set(age_seconds(oldest));
                for range in certain.writer.store_batch(&self.intent, &batch).await? {
                    certain.behind.add(range);
                }
                source.acknowledge(batch.offsets.end)?;
            } else {
                gauge!(m::LAG_SECONDS, "partition" => partition.to_string()).set(0.0);
            }
            gauge!(m::LAG_BYTES, "partition" => partition.to_string()).set(source.lag()? as f64);
        }
        Ok((worked, more))
    }
}

/// Brings every roll-up to where `clicks` is in these streams, by its receipts.
pub(crate) async fn catch_up_from_receipts(
    store: &Store,
    marks: &[(Stream, u64)],
) -> Result<(), StoreError> {
    for roll_up in RollUp::ALL {
        let mut rounds = 0;
        loop {
            let ranges = recover::behind(store, roll_up, marks).await?;
            if ranges.is_empty() {
                break;
            }
            rounds += 1;
            if rounds > 1 {
                // A token is noted and its part is not there: by a kill, or because the statement still runs.
                recover::quiesce(store).await?;
            }
            if rounds > CATCH_UP_ROUNDS {
                return Err(StoreError::Refused(format!(
                    "{} does not take what it lacks",
                    roll_up.table()
                )));
            }
            for range in ranges {
                tracing::info!(
                    table = roll_up.table(),
                    clicks = range.clicks,
                    "rolling up what is behind"
                );
                let token = match rounds {
                    1 => range.token(roll_up),
                    _ => unique(),
                };
                store.insert_select(&range.sql(roll_up), &token).await?;
            }
        }
    }
    Ok(())
}

pub(crate) fn age_seconds(time_ms: i64) -> f64 {
    if time_ms == 0 {
        return 0.0;
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (now.as_secs_f64() - time_ms as f64 / 1e3).max(0.0)
}

/// The connection, once its password is there; `None` when the end is asked for before.
///
/// # Errors
/// The file of the password cannot be read.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    health: &Health,
    shutdown: &CancellationToken,
) -> Result<Option<Store>, Failure> {
    let path = match &endpoint.password {
        Password::Given(secret) => return Ok(Some(Store::new(endpoint, &secret.0))),
        Password::File(path) => path,
    };
    while !shutdown.is_cancelled() {
        match std::fs::read_to_string(path) {
            Ok(password) if !password.trim().is_empty() => {
                return Ok(Some(Store::new(endpoint, password.trim())));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        health.not_ready(
            CLICKHOUSE,
            "waiting for the engine's first start (its password file is not there)",
        );
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
    Ok(None)
}
