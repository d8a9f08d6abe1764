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

use metrics::{counter, gauge, histogram};
use schemas::health::Health;
use schemas::names::tables;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::batch::{Batch, Judge};
use crate::config::{Config, Password};
use crate::dead;
use crate::intent::{Intent, IntentFile};
use crate::known::Known;
use crate::metrics as m;
use crate::migrate::migrate;
use crate::receipt::RollUp;
use crate::recover;
use crate::roll_up::{MAX_CLICKS, Range, roll_up};
use crate::row;
use crate::source::Source;
use crate::store::{Store, StoreError};

/// Name of the part that says whether ClickHouse takes clicks.
const CLICKHOUSE: &str = "clickhouse";

/// How often the log is looked at while it is empty. A look costs a few microseconds.
const POLL: Duration = Duration::from_millis(25);

/// Longest time that stored clicks wait for their roll-ups while there is a backlog.
const MAX_ROLL_UP_DELAY: Duration = Duration::from_secs(5);

/// How long the end of the process waits for the statement that runs.
const DRAIN: Duration = Duration::from_secs(5);

/// Rounds of catching up with roll-ups before it counts as an error.
const CATCH_UP_ROUNDS: usize = 5;

/// Why an attempt ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read the click log, or write beside it: {0}")]
    Disk(#[from] io::Error),
}

impl Failure {
    const fn label(&self) -> &'static str {
        match self {
            Self::Store(error) => error.label(),
            Self::Disk(_) => "disk",
        }
    }
}

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
    store: Store,
    judge: Judge,
    /// `ingested` never falls, so that ranges and months stay in order when the clock steps back.
    ingested: u32,
    behind: Vec<Range>,
    behind_since: Instant,
}

impl<S: Source> Pipeline<S> {
    /// Runs until shutdown. Errors are retried for ever: clicks are safe in the log, and `health` says why they wait.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        let drained = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        tokio::select! {
            () = self.attempts() => {}
            () = drained => tracing::warn!("stopping with an insert under way; the next start settles it"),
        }
    }

    async fn attempts(&mut self) {
        let mut backoff = Backoff::new();
        while !self.shutdown.is_cancelled() {
            let mut went_well = false;
            let Err(failure) = self.attempt(&mut went_well).await else {
                return;
            };
            if went_well {
                backoff.reset();
            }
            counter!(m::FAILURES, "kind" => failure.label()).increment(1);
            self.health.not_ready(CLICKHOUSE, failure.to_string());
            let pause = backoff.pause(random());
            match failure {
                Failure::Store(StoreError::Schema(_)) => {
                    tracing::error!(%failure, "cannot store clicks; a person has to look")
                }
                _ => {
                    tracing::warn!(%failure, retry_in = ?pause, "cannot store clicks; they wait in the log")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    /// From doubt to certainty and on, until something fails or the end is asked for.
    async fn attempt(&mut self, went_well: &mut bool) -> Result<(), Failure> {
        let Some(store) = self.connect().await? else {
            return Ok(());
        };
        counter!(m::DOUBTS).increment(1);
        let mut certain = self.settle(store).await?;
        self.health.ready(CLICKHOUSE);
        *went_well = true;
        while !self.shutdown.is_cancelled() {
            let began = Instant::now();
            let (worked, more) = self.turn(&mut certain).await?;
            let late = certain.behind_since.elapsed() >= MAX_ROLL_UP_DELAY;
            let large = certain.behind.iter().map(|r| r.clicks).sum::<u64>() >= MAX_CLICKS;
            if !certain.behind.is_empty() && (!more || late || large) {
                certain.catch_up().await?;
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
        certain.catch_up().await
    }

    /// The connection, once its password is there; `None` when the end is asked for before.
    async fn connect(&self) -> Result<Option<Store>, Failure> {
        let endpoint = &self.config.clickhouse;
        let path = match &endpoint.password {
            Password::Given(secret) => return Ok(Some(Store::new(endpoint, &secret.0))),
            Password::File(path) => path,
        };
        while !self.shutdown.is_cancelled() {
            match std::fs::read_to_string(path) {
                Ok(password) if !password.trim().is_empty() => {
                    return Ok(Some(Store::new(endpoint, password.trim())));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            self.health.not_ready(
                CLICKHOUSE,
                "waiting for the engine's first start (its password file is not there)",
            );
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        Ok(None)
    }

    /// From doubt to certainty.
    async fn settle(&mut self, store: Store) -> Result<Certain, Failure> {
        migrate(&store).await?;
        recover::quiesce(&store).await?;
        for source in &mut self.sources {
            source.rewind()?;
        }
        let mut judge = Judge::new(recover::known(&store).await?, recover::busy(&store).await?);
        let limits = self.config.limits();
        if recover::settle(&store, &self.intent, &mut self.sources, limits, &mut judge).await? {
            judge.known = recover::known(&store).await?;
        }
        catch_up_from_receipts(&store, &judge.known).await?;
        Ok(Certain {
            ingested: recover::newest_ingested(&store).await?,
            store,
            judge,
            behind: Vec::new(),
            behind_since: Instant::now(),
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
                io::Result::Ok(certain.judge.batch(partition, fetched))
            })?;
            let empty = batch.offsets.is_empty();
            if !empty {
                more |= batch.more;
                worked = true;
                let oldest = batch.clicks.first().map_or(0, |c| c.click.time_ms);
                gauge!(m::LAG_SECONDS, "partition" => partition.to_string())
                    .set(age_seconds(oldest));
                certain.store_batch(&self.intent, &batch).await?;
                source.acknowledge(batch.offsets.end)?;
            } else {
                gauge!(m::LAG_SECONDS, "partition" => partition.to_string()).set(0.0);
            }
            gauge!(m::LAG_BYTES, "partition" => partition.to_string()).set(source.lag()? as f64);
        }
        Ok((worked, more))
    }
}

impl Certain {
    /// Stores one batch: side tables, intent, clicks.
    async fn store_batch(&mut self, file: &IntentFile, batch: &Batch) -> Result<(), Failure> {
        // First, since they are idempotent and a drop that explains a gap must not be lost with the clicks behind it.
        self.store_side_tables(batch).await?;
        counter!(m::DUPLICATES).increment(batch.duplicates);
        if batch.clicks.is_empty() {
            return Ok(());
        }
        self.ingested = self.ingested.max(now_seconds());
        let intent = Intent::of(batch, self.ingested);
        let block = block_in_place(|| row::block(&batch.clicks, batch.partition, self.ingested))
            .map_err(StoreError::from)?;
        block_in_place(|| file.save(&intent))?;
        let began = Instant::now();
        self.store
            .insert(tables::CLICKS, &block, Some(&intent.token))
            .await?;
        histogram!(m::INSERT_SECONDS).record(began.elapsed());
        counter!(m::BATCHES).increment(1);
        counter!(m::ROWS).increment(batch.clicks.len() as u64);
        counter!(m::ROLLED_UP)
            .increment(batch.clicks.iter().filter(|c| c.rolled_up).count() as u64);
        if self.behind.is_empty() {
            self.behind_since = began;
        }
        let range = Range::of(batch, month(self.ingested), self.ingested);
        if !self.behind.last_mut().is_some_and(|last| last.join(&range)) {
            self.behind.push(range);
        }
        Ok(())
    }

    async fn store_side_tables(&self, batch: &Batch) -> Result<(), StoreError> {
        let insert =
            async |table: &'static str,
                   block: Option<Result<clickhouse::native::Block, row::BlockError>>| {
                match block.transpose()? {
                    Some(block) => self.store.insert(table, &block, None).await,
                    None => Ok(()),
                }
            };
        let dead = (!batch.dead.is_empty()).then(|| dead::dead_block(batch.partition, &batch.dead));
        let books = (!batch.books.is_empty()).then(|| dead::book_block(&batch.books));
        let drops = (!batch.drops.is_empty()).then(|| dead::drop_block(&batch.drops));
        tokio::try_join!(
            insert(tables::DEAD_LETTERS, dead),
            insert(tables::BOOKS, books),
            insert(tables::DROPS, drops)
        )?;
        Ok(())
    }

    /// Rolls up what is stored and not rolled up yet.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        for range in std::mem::take(&mut self.behind) {
            roll_up(&self.store, &range).await?;
        }
        Ok(())
    }
}

/// Brings every roll-up to where `clicks` is, by its receipts.
pub(crate) async fn catch_up_from_receipts(store: &Store, known: &Known) -> Result<(), StoreError> {
    for roll_up in RollUp::ALL {
        let mut rounds = 0;
        loop {
            let ranges = recover::behind(store, roll_up, known).await?;
            if ranges.is_empty() {
                break;
            }
            rounds += 1;
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
                store.insert_select(&range.sql(roll_up)).await?;
            }
        }
    }
    Ok(())
}

/// Now, in seconds since 1970.
pub(crate) fn now_seconds() -> u32 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}

fn age_seconds(time_ms: i64) -> f64 {
    if time_ms == 0 {
        return 0.0;
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (now.as_secs_f64() - time_ms as f64 / 1e3).max(0.0)
}

/// `toYYYYMM` of an instant. Days to civil date as in Howard Hinnant, "chrono-compatible low-level date algorithms".
fn month(seconds: u32) -> u32 {
    let day = seconds / 86_400 + 719_468;
    let era_day = day % 146_097;
    let year_of_era = (era_day - era_day / 1_460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * year_day + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = day / 146_097 * 400 + year_of_era + u32::from(month <= 2);
    year * 100 + month
}

fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, 197_001),
            (951_782_399, 200_002),
            (951_868_800, 200_003),
            (1_709_164_800, 202_402),
            (1_709_251_200, 202_403),
            (1_798_761_599, 202_612),
            (1_798_761_600, 202_701),
            (u32::MAX, 210_602),
        ] {
            assert_eq!(month(seconds), expected, "{seconds}");
        }
    }
}
