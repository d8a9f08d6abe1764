//! Stores batches: side tables, intent, clicks; and keeps what is stored and not rolled up yet.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{counter, histogram};
use schemas::names::tables;
use tokio::task::block_in_place;

use crate::batch::Batch;
use crate::dead;
use crate::failure::Failure;
use crate::intent::{Intent, Ledger};
use crate::metrics as m;
use crate::roll_up::{MAX_CLICKS, Range, roll_up};
use crate::row;
use crate::store::{Store, StoreError};

/// Longest time that stored clicks wait for their roll-ups while there is a backlog.
const MAX_ROLL_UP_DELAY: Duration = Duration::from_secs(5);

/// Inserts batches.
pub(crate) struct Writer {
    pub(crate) store: Store,
    /// `ingested` never falls, so that ranges and months stay in order when the clock steps back.
    ingested: u32,
}

impl Writer {
    /// `ingested` is the newest in the table.
    pub(crate) fn new(store: Store, ingested: u32) -> Self {
        Self { store, ingested }
    }

    /// Stores one batch; what of it is to be rolled up.
    ///
    /// # Errors
    /// [`Failure`]; what is stored is unknown then.
    pub(crate) async fn store_batch<L: Ledger>(
        &mut self,
        ledger: &L,
        batch: &Batch,
    ) -> Result<Vec<Range>, Failure> {
        // First, since they are idempotent and a drop that explains a gap must not be lost with the clicks behind it.
        self.store_side_tables(batch).await?;
        counter!(m::DUPLICATES).increment(batch.duplicates);
        if batch.clicks.is_empty() {
            return Ok(Vec::new());
        }
        self.ingested = self.ingested.max(now_seconds());
        let intent = Intent::of(batch, self.ingested);
        let block = block_in_place(|| row::block(&batch.clicks, batch.partition, self.ingested))
            .map_err(StoreError::from)?;
        block_in_place(|| ledger.note(&intent))?;
        let began = Instant::now();
        self.store
            .insert(tables::CLICKS, &block, Some(&intent.token))
            .await?;
        histogram!(m::INSERT_SECONDS).record(began.elapsed());
        counter!(m::BATCHES).increment(1);
        counter!(m::ROWS).increment(batch.clicks.len() as u64);
        counter!(m::ROLLED_UP)
            .increment(batch.clicks.iter().filter(|c| c.rolled_up).count() as u64);
        Ok(Range::of(batch, month(self.ingested), self.ingested))
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
}

/// Ranges that are stored and not rolled up yet.
pub(crate) struct Behind {
    ranges: Vec<Range>,
    since: Instant,
}

impl Behind {
    pub(crate) fn new() -> Self {
        Self {
            ranges: Vec::new(),
            since: Instant::now(),
        }
    }

    /// Takes what was stored.
    pub(crate) fn add(&mut self, range: Range) {
        if self.ranges.is_empty() {
            self.since = Instant::now();
        }
        if !self.ranges.last_mut().is_some_and(|last| last.join(&range)) {
            self.ranges.push(range);
        }
    }

    /// Whether it should be rolled up now; `more` says that there is a backlog, and larger ranges cost less.
    pub(crate) fn is_due(&self, more: bool) -> bool {
        !self.ranges.is_empty()
            && (!more
                || self.since.elapsed() >= MAX_ROLL_UP_DELAY
                || self.ranges.iter().map(|r| r.clicks).sum::<u64>() >= MAX_CLICKS)
    }

    /// Whether there is nothing to roll up.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Rolls all of it up.
    ///
    /// # Errors
    /// [`StoreError`]; what is in which table is unknown then, and the receipts tell.
    pub(crate) async fn roll_up(&mut self, store: &Store) -> Result<(), StoreError> {
        while self.roll_up_one(store).await? {}
        Ok(())
    }

    /// Rolls up the oldest range; whether there was one.
    ///
    /// # Errors
    /// As [`Self::roll_up`].
    pub(crate) async fn roll_up_one(&mut self, store: &Store) -> Result<bool, StoreError> {
        if self.ranges.is_empty() {
            return Ok(false);
        }
        roll_up(store, &self.ranges.remove(0)).await?;
        Ok(true)
    }
}

/// Now, in seconds since 1970.
pub(crate) fn now_seconds() -> u32 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
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
