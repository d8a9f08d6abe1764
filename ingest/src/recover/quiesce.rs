//! Waiting for statements of earlier processes that still run.

use std::time::{Duration, Instant};

use clickhouse::Row;
use serde::Deserialize;

use crate::store::{Store, StoreError};

/// Pause between two looks at what still runs.
const QUIESCE_PAUSE: Duration = Duration::from_millis(50);

/// How long it may take until it is said what is waited for, and until it counts as an error: longer than any statement of
/// ours is waited for.
const QUIESCE_SAID_AFTER: Duration = Duration::from_secs(5);
const QUIESCE_DEADLINE: Duration = Duration::from_secs(330);

/// SQL: whether a statement inserts into tables of ours: named in full, or without a database in ours.
const INTO_OURS: &str = r#"(match(query, '(?is)^\\s*INSERT\\s+INTO\\s+(TABLE\\s+)?[`"]?signpost[`"]?\\s*\\.') OR
    current_database = 'signpost' AND match(query, '(?is)^\\s*INSERT\\s+INTO\\s+(TABLE\\s+)?[`"]?\\w+[`"]?(\\s|\\(|$)'))"#;

#[derive(Row, Deserialize)]
struct Running {
    text: String,
}

/// Waits until no insert into our tables is running that began before this call. One may outlive the process that sent
/// it; other workers' go on. One that only reads our tables, for hours perhaps, is nobody's concern.
///
/// # Errors
/// [`StoreError`]; one runs for longer than any of ours may.
pub(crate) async fn quiesce(store: &Store) -> Result<(), StoreError> {
    let began = Instant::now();
    let mut said = false;
    loop {
        let sql = format!(
            "SELECT left(query, 200) AS text FROM system.processes \
             WHERE query_kind IN ('Insert', 'AsyncInsertFlush') AND {INTO_OURS} AND elapsed >= {:.3} LIMIT 1",
            began.elapsed().as_secs_f64()
        );
        let Some(running) = store.rows::<Running>(&sql).await?.pop() else {
            return Ok(());
        };
        if !said && began.elapsed() >= QUIESCE_SAID_AFTER {
            tracing::warn!(
                query = running.text,
                "waiting for an insert of an earlier process to end"
            );
            said = true;
        }
        if began.elapsed() >= QUIESCE_DEADLINE {
            return Err(StoreError::Refused(format!(
                "an insert of an earlier process does not end: {}",
                running.text
            )));
        }
        tokio::time::sleep(QUIESCE_PAUSE).await;
    }
}
