//! Keys that proxies hold for a time: salts of the visitor hash, and keys of the cookies behind passwords.

use anyhow::Context as _;
use schemas::feed::{CookieKey, CookieKeys, Salt, Salts};

use super::{Store, feed};
use crate::domain::salt::{Period, Span, plan};

/// A kind of keys, with a table of its own.
#[derive(Debug, Clone, Copy)]
enum Ring {
    Salts,
    Cookies,
}

impl Ring {
    /// How long a key is used. A cookie lives for a day and opens with any key that is still there.
    const fn period(self, visitors: Period) -> Period {
        match self {
            Self::Salts => visitors,
            Self::Cookies => Period::Month,
        }
    }

    const fn select_spans(self) -> &'static str {
        match self {
            Self::Salts => "SELECT starts_at, ends_at FROM salts ORDER BY starts_at",
            Self::Cookies => "SELECT starts_at, ends_at FROM cookie_keys ORDER BY starts_at",
        }
    }

    const fn select_all(self) -> &'static str {
        match self {
            Self::Salts => "SELECT starts_at, ends_at, secret FROM salts ORDER BY starts_at",
            Self::Cookies => {
                "SELECT starts_at, ends_at, secret FROM cookie_keys ORDER BY starts_at"
            }
        }
    }

    const fn insert(self) -> &'static str {
        match self {
            Self::Salts => "INSERT INTO salts (starts_at, ends_at, secret) VALUES ($1, $2, $3)",
            Self::Cookies => {
                "INSERT INTO cookie_keys (starts_at, ends_at, secret) VALUES ($1, $2, $3)"
            }
        }
    }

    const fn delete(self) -> &'static str {
        match self {
            Self::Salts => "DELETE FROM salts WHERE ends_at <= $1",
            Self::Cookies => "DELETE FROM cookie_keys WHERE ends_at <= $1",
        }
    }
}

/// Makes the keys that must exist and deletes those that must not; proxies hear of it at once. Does nothing when
/// nothing is to be done, so it may be called as often as wanted. `period`: how long a salt is used.
///
/// # Errors
/// The database's; the system has no randomness.
pub async fn rotate(store: &Store, period: Period, now_ms: i64) -> anyhow::Result<()> {
    let mut done = true;
    for ring in [Ring::Salts, Ring::Cookies] {
        let rows: Vec<(i64, i64)> = sqlx::query_as(ring.select_spans())
            .fetch_all(store.readers())
            .await?;
        done &= is_done(&rows, ring.period(period), now_ms);
    }
    if done {
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
    for ring in [Ring::Salts, Ring::Cookies] {
        rotate_ring(write, ring, ring.period(period), now_ms).await?;
    }
    Ok(())
}

async fn rotate_ring(
    write: &mut feed::Write,
    ring: Ring,
    period: Period,
    now_ms: i64,
) -> anyhow::Result<()> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(ring.select_spans())
        .fetch_all(write.connection())
        .await?;
    if is_done(&rows, period, now_ms) {
        return Ok(());
    }
    let plan = plan(now_ms, period, &spans(&rows));
    for span in &plan.create {
        let mut secret = vec![0; 32];
        getrandom::fill(&mut secret).context("no randomness from the system")?;
        sqlx::query(ring.insert())
            .bind(span.starts_at)
            .bind(span.ends_at)
            .bind(secret)
            .execute(write.connection())
            .await?;
    }
    sqlx::query(ring.delete())
        .bind(plan.delete_until)
        .execute(write.connection())
        .await?;
    match ring {
        Ring::Salts => write.shared().salts = Some(all_salts(write.connection()).await?),
        Ring::Cookies => {
            write.shared().cookie_keys = Some(all_cookie_keys(write.connection()).await?);
        }
    }
    Ok(())
}

/// All salts, as proxies hold them.
pub(crate) async fn all_salts(connection: &mut sqlx::AnyConnection) -> sqlx::Result<Salts> {
    let rows = all(connection, Ring::Salts).await?;
    let salt = rows
        .into_iter()
        .map(|(starts_at_ms, ends_at_ms, key)| Salt {
            starts_at_ms,
            ends_at_ms,
            key: key.into(),
        });
    Ok(Salts {
        salt: salt.collect(),
    })
}

/// All keys of cookies, as proxies hold them.
pub(crate) async fn all_cookie_keys(
    connection: &mut sqlx::AnyConnection,
) -> sqlx::Result<CookieKeys> {
    let rows = all(connection, Ring::Cookies).await?;
    let key = rows
        .into_iter()
        .map(|(starts_at_ms, ends_at_ms, key)| CookieKey {
            starts_at_ms,
            ends_at_ms,
            key: key.into(),
        });
    Ok(CookieKeys { key: key.collect() })
}

async fn all(
    connection: &mut sqlx::AnyConnection,
    ring: Ring,
) -> sqlx::Result<Vec<(i64, i64, Vec<u8>)>> {
    sqlx::query_as(ring.select_all())
        .fetch_all(connection)
        .await
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
