//! The connection to ClickHouse: settings of every statement, deadlines, and what an error means.
//!
//! Every setting that exactly-once rests on is spelled out here, because defaults changed between versions.

use std::time::Duration;

use clickhouse::native::Block;
use clickhouse::{Client, Row, RowOwned, RowRead};
use schemas::names::DATABASE;
use tokio::time::timeout;

use crate::config::Endpoint;
use crate::row::BlockError;

/// How long an insert or roll-up may take. Far above any honest one; a connection that is stuck is worth a retry.
const WRITE_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a question may take; the largest reads three columns of the whole table.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// How long sending one piece of an insert may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings that make one statement one block and so one part: block sizes that nothing reaches, one thread, and no
/// second partition. `optimize_on_insert` off: blocks are grouped already, but for
/// those of periods. No asynchronous inserts: yes means stored.
const ONE_PART: [(&str, &str); 13] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("wait_end_of_query", "1"),
    ("max_insert_threads", "1"),
    ("max_insert_block_size", "1000000000"),
    ("min_insert_block_size_rows", "1000000000"),
    ("min_insert_block_size_bytes", "1000000000000"),
    ("max_partitions_per_insert_block", "1"),
    ("throw_on_max_partitions_per_insert_block", "1"),
    ("optimize_on_insert", "0"),
    ("insert_null_as_default", "0"),
    ("fsync_metadata", "1"),
    ("max_execution_time", "0"),
];

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// ClickHouse cannot be reached, or does not answer in time. What it did is unknown.
    #[error("cannot reach clickhouse: {0}")]
    Unreachable(String),
    /// It refused, for a reason that may pass: busy, out of memory, disk full.
    #[error("clickhouse refuses: {0}")]
    Refused(String),
    /// Tables, columns or rights are not what this program needs. Only a person can mend it.
    #[error("clickhouse does not fit this version of signpost: {0}")]
    Schema(String),
    /// Data could not be made into a block; a bug.
    #[error(transparent)]
    Block(#[from] BlockError),
}

impl StoreError {
    /// Label of the metric.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::Schema(_) => "schema",
            Self::Block(_) => "block",
        }
    }
}

/// Error codes of ClickHouse that time does not heal: unknown column, table, database, function, setting, type, syntax,
/// wrong password, missing right, a block of several partitions.
const SCHEMA_CODES: [u32; 15] = [
    10, 16, 36, 43, 44, 46, 47, 53, 60, 62, 81, 115, 252, 497, 516,
];

impl From<clickhouse::error::Error> for StoreError {
    fn from(error: clickhouse::error::Error) -> Self {
        use clickhouse::error::Error as E;
        match error {
            E::BadResponse(text) => {
                let text: String = text.trim().chars().take(500).collect();
                match code(&text) {
                    Some(code) if SCHEMA_CODES.contains(&code) => Self::Schema(text),
                    _ => Self::Refused(text),
                }
            }
            E::SchemaMismatch(text) => Self::Schema(text),
            other => {
                // The outer error of a network failure says nothing; the cause says "connection refused".
                let mut text = other.to_string();
                let mut cause = std::error::Error::source(&other);
                while let Some(inner) = cause {
                    text.push_str(&format!(": {inner}"));
                    cause = inner.source();
                }
                Self::Unreachable(text)
            }
        }
    }
}

/// A token that no insert had before. An insert without one is known by its content, and switching that off takes
/// `insert_deduplicate` in old versions and `deduplicate_insert` in new ones; killed between noting the content and
/// putting the part in place, the engine would take the repeated insert for a duplicate (seen).
pub(crate) fn unique() -> String {
    let mut random = [0; 16];
    // Without randomness the clock has to do: one process, and inserts take longer than its tick.
    if getrandom::fill(&mut random).is_err() {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        random = now.as_nanos().to_le_bytes();
    }
    hex::encode(random)
}

/// The number in `Code: 60. DB::Exception: …`.
fn code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    digits
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// A ClickHouse server that holds our tables.
#[derive(Clone)]
pub(crate) struct Store {
    client: Client,
}

impl Store {
    pub(crate) fn new(endpoint: &Endpoint, password: &str) -> Self {
        let client = Client::default()
            .with_url(&endpoint.url)
            .with_user(&endpoint.user)
            .with_password(password)
            .with_compression(clickhouse::Compression::None)
            .with_product_info("signpost-ingest", env!("CARGO_PKG_VERSION"));
        Self { client }
    }

    /// Inserts one block as one part. With a token, a second insert with it does nothing; without, nothing is taken for
    /// a duplicate.
    ///
    /// # Errors
    /// [`StoreError`]; whether the block is in is unknown then.
    pub(crate) async fn insert(
        &self,
        table: &str,
        block: &Block,
        token: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut insert = self
            .client
            .clone()
            .with_database(DATABASE)
            .insert_native(table)
            .with_timeouts(Some(SEND_TIMEOUT), Some(WRITE_TIMEOUT));
        for (name, value) in ONE_PART {
            insert = insert.with_setting(name, value);
        }
        let token = token.map_or_else(unique, str::to_owned);
        insert = insert.with_setting("insert_deduplication_token", token);
        insert.write(block).await?;
        Ok(insert.end().await?)
    }

    /// Runs an `INSERT … SELECT` as one part; a second one with this token does nothing.
    ///
    /// # Errors
    /// [`StoreError`]; whether the part is in is unknown then.
    pub(crate) async fn insert_select(&self, sql: &str, token: &str) -> Result<(), StoreError> {
        let mut query = self.client.clone().with_database(DATABASE).query_raw(sql);
        for (name, value) in ONE_PART {
            query = query.with_setting(name, value);
        }
        query = query.with_setting("insert_deduplication_token", token);
        match timeout(WRITE_TIMEOUT, query.execute()).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(StoreError::Unreachable("no answer in time".to_owned())),
        }
    }

    /// Runs a statement outside any database of ours: definitions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn define(&self, sql: &str) -> Result<(), StoreError> {
        match timeout(READ_TIMEOUT, self.client.query_raw(sql).execute()).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(StoreError::Unreachable("no answer in time".to_owned())),
        }
    }

    /// Reads all rows of a question. Table names in it carry the database.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn rows<T: Row + RowOwned + RowRead>(
        &self,
        sql: &str,
    ) -> Result<Vec<T>, StoreError> {
        let query = self
            .client
            .query_raw(sql)
            .with_setting("max_execution_time", "0");
        match timeout(READ_TIMEOUT, query.fetch_all::<T>()).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(StoreError::Unreachable("no answer in time".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_what_mends_them() {
        let label = |text: &str| {
            StoreError::from(clickhouse::error::Error::BadResponse(text.to_owned())).label()
        };
        assert_eq!(
            label("Code: 60. DB::Exception: Table signpost.clicks does not exist"),
            "schema"
        );
        assert_eq!(
            label("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space"),
            "refused"
        );
        assert_eq!(
            label("Code: 241. DB::Exception: Memory limit exceeded"),
            "refused"
        );
        assert_eq!(label("bad gateway"), "refused");
    }
}
