//! Brings the tables to this program's version: numbered migrations, in order, each noted. Statements may be repeated,
//! so a migration that was cut short runs again.

use clickhouse::Row;
use schemas::clickhouse::MIGRATIONS;
use schemas::names::{DATABASE, tables};
use serde::Deserialize;

use crate::store::{Store, StoreError};

#[derive(Row, Deserialize)]
struct Count {
    n: u64,
}

#[derive(Row, Deserialize)]
struct Number {
    number: u32,
}

/// Runs what has not run yet.
///
/// # Errors
/// [`StoreError`]; tables of a newer program are [`StoreError::Schema`].
pub(crate) async fn migrate(store: &Store) -> Result<(), StoreError> {
    let exists = format!(
        "SELECT count() AS n FROM system.tables WHERE database = '{DATABASE}' AND name = '{}'",
        tables::MIGRATIONS
    );
    let exists = store
        .rows::<Count>(&exists)
        .await?
        .first()
        .is_some_and(|c| c.n > 0);
    let done: Vec<u32> = if exists {
        let numbers = format!(
            "SELECT DISTINCT number FROM {DATABASE}.{}",
            tables::MIGRATIONS
        );
        store
            .rows::<Number>(&numbers)
            .await?
            .into_iter()
            .map(|row| row.number)
            .collect()
    } else {
        Vec::new()
    };
    let newest = MIGRATIONS.last().map_or(0, |m| m.number);
    if let Some(newer) = done.iter().find(|number| **number > newest) {
        return Err(StoreError::Schema(format!(
            "its tables have migration {newer}, this program knows {newest} at most"
        )));
    }
    for migration in MIGRATIONS.iter().filter(|m| !done.contains(&m.number)) {
        tracing::info!(
            number = migration.number,
            name = migration.name,
            "running a migration of clickhouse"
        );
        for statement in migration.statements() {
            store.define(statement).await?;
        }
        store
            .define(&format!(
                "INSERT INTO {DATABASE}.{} (number, name) SELECT {}, '{}'",
                tables::MIGRATIONS,
                migration.number,
                migration.name
            ))
            .await?;
    }
    Ok(())
}
