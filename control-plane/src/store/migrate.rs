//! Brings the tables up to date: numbered migrations of [`schemas::sql`], each in its own transaction.

use anyhow::Context as _;
use schemas::sql::{POSTGRES, SQLITE};
use sqlx::AnyPool;

use super::Engine;

/// Number of the advisory lock that keeps two control planes from migrating one PostgreSQL database at once: arbitrary,
/// and the same in all versions.
const LOCK: &str = "SELECT pg_advisory_xact_lock(5237417)";

pub(super) async fn run(engine: Engine, pool: &AnyPool) -> anyhow::Result<()> {
    let migrations: &[schemas::clickhouse::Migration] = match engine {
        Engine::Sqlite => SQLITE,
        Engine::Postgres => POSTGRES,
    };
    let newest = migrations.last().map_or(0, |m| i64::from(m.number));
    loop {
        let mut tx = match engine {
            Engine::Sqlite => pool.begin_with("BEGIN IMMEDIATE").await?,
            Engine::Postgres => pool.begin().await?,
        };
        if engine == Engine::Postgres {
            sqlx::query(LOCK).execute(&mut *tx).await?;
        }
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL)",
        )
        .execute(&mut *tx)
        .await?;
        let done: Vec<(i64,)> = sqlx::query_as("SELECT number FROM schema_migrations")
            .fetch_all(&mut *tx)
            .await?;
        let last = done.iter().map(|(number,)| *number).max().unwrap_or(0);
        anyhow::ensure!(
            last <= newest,
            "the link database is at migration {last}, this version knows {newest}: it was written by a newer version"
        );
        // The first that is missing, and not the one after the last: numbers are given out before files are written.
        let Some(next) = migrations
            .iter()
            .find(|m| !done.contains(&(i64::from(m.number),)))
        else {
            tx.commit().await?;
            return Ok(());
        };
        for statement in next.statements() {
            // Only comments and statements of our own files.
            sqlx::query(statement)
                .execute(&mut *tx)
                .await
                .with_context(|| format!("migration {} '{}' fails", next.number, next.name))?;
        }
        sqlx::query("INSERT INTO schema_migrations (number, name) VALUES ($1, $2)")
            .bind(i64::from(next.number))
            .bind(next.name)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        tracing::info!(
            number = next.number,
            name = next.name,
            "migrated the link database"
        );
    }
}
