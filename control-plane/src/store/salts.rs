//! Salts of the visitor hash.

use anyhow::Context as _;
use schemas::feed::{Salt, Salts};

use super::{Store, feed};
use crate::domain::salt::{Period, Span, plan};

/// Makes the salts that must exist and deletes those that must not; proxies hear of it at once. Does nothing when
/// nothing is to be done, so it may be called as often as wanted.
///
/// # Errors
/// The database's; the system has no randomness.
pub async fn rotate(store: &Store, period: Period, now_ms: i64) -> anyhow::Result<()> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("SELECT starts_at, ends_at FROM salts ORDER BY starts_at")
            .fetch_all(store.readers())
            .await?;
    if is_done(&rows, period, now_ms) {
        return Ok(());
    }
    let mut write = feed::Write::begin(store).await?;
    lock(&mut write).await?;
    rotate_in(&mut write, period, now_ms).await?;
    write.commit(now_ms).await
}

/// As [`rotate`], in a write of the caller's that holds the feed's lock.
pub(super) async fn rotate_in(
    write: &mut feed::Write,
    period: Period,
    now_ms: i64,
) -> anyhow::Result<()> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("SELECT starts_at, ends_at FROM salts ORDER BY starts_at")
            .fetch_all(write.connection())
            .await?;
    if is_done(&rows, period, now_ms) {
        return Ok(());
    }
    let plan = plan(now_ms, period, &spans(&rows));
    for span in &plan.create {
        let mut secret = vec![0; 32];
        getrandom::fill(&mut secret).context("no randomness from the system")?;
        sqlx::query("INSERT INTO salts (starts_at, ends_at, secret) VALUES ($1, $2, $3)")
            .bind(span.starts_at)
            .bind(span.ends_at)
            .bind(secret)
            .execute(write.connection())
            .await?;
    }
    sqlx::query("DELETE FROM salts WHERE ends_at <= $1")
        .bind(plan.delete_until)
        .execute(write.connection())
        .await?;
    let all: Vec<(i64, i64, Vec<u8>)> =
        sqlx::query_as("SELECT starts_at, ends_at, secret FROM salts ORDER BY starts_at")
            .fetch_all(write.connection())
            .await?;
    write.shared().salts = Some(Salts {
        salt: all
            .into_iter()
            .map(|(starts_at_ms, ends_at_ms, key)| Salt {
                starts_at_ms,
                ends_at_ms,
                key: key.into(),
            })
            .collect(),
    });
    Ok(())
}

/// Keeps other control planes from doing the same at once.
pub(super) async fn lock(write: &mut feed::Write) -> sqlx::Result<()> {
    sqlx::query("UPDATE feed_state SET seq = seq WHERE id = 1")
        .execute(write.connection())
        .await
        .map(|_| ())
}

fn spans(rows: &[(i64, i64)]) -> Vec<Span> {
    rows.iter()
        .map(|(starts_at, ends_at)| Span {
            starts_at: *starts_at,
            ends_at: *ends_at,
        })
        .collect()
}

fn is_done(rows: &[(i64, i64)], period: Period, now_ms: i64) -> bool {
    let plan = plan(now_ms, period, &spans(rows));
    plan.create.is_empty() && rows.iter().all(|(_, ends_at)| *ends_at > plan.delete_until)
}
