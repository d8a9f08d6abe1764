//! API keys for the operator's commands, straight in the database: for when no key is at hand.

use anyhow::Context as _;

use crate::config::Config;
use crate::domain::date::{self, When};
use crate::domain::field;
use crate::domain::key::{NewKey, Scopes};
use crate::store::Store;
use crate::store::keys::{self, KeyChoice};

/// A key as `signpost key list` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// Its id, for `revoke`.
    pub id: i64,
    /// Its first characters.
    pub prefix: String,
    /// What it is for.
    pub name: String,
    /// What it may do, with commas.
    pub scopes: String,
    /// Calls a minute; 0: no limit.
    pub rate: i64,
    /// `active`, `expired` or `revoked`.
    pub state: &'static str,
    /// `YYYY-MM-DD HH:MM:SS` UTC; `None`: never.
    pub expires_at: Option<String>,
}

/// Makes a key for the first workspace and its first user. `expires_at` in any form the API takes; `rate` in calls a
/// minute, 0 without limit, `None` the plan's. Returns its id and the key, which is stored nowhere.
///
/// # Errors
/// The database is not there or has not been set up yet; a date that does not exist.
pub async fn create(
    config: &Config,
    name: &str,
    expires_at: Option<&str>,
    rate: Option<u32>,
) -> anyhow::Result<(i64, String)> {
    let name = field::line("name", name, 255)?;
    let expires_at = expires_at
        .map(|text| When::parse("expires-at", text).map(When::end_ms))
        .transpose()?;
    let store = open(config).await?;
    let owner: Option<(i64, i64)> =
        sqlx::query_as("SELECT workspace_id, id FROM users ORDER BY id LIMIT 1")
            .fetch_optional(store.readers())
            .await?;
    let owner = owner.context("the database has no user yet: start the control plane once")?;
    let choice = KeyChoice {
        name,
        scopes: Scopes::usual(),
        rate_per_minute: rate.map(i64::from),
        expires_at,
    };
    let key = NewKey::random()?;
    let id = keys::insert(&store, owner, &choice, &key, config.clock.now_ms()).await?;
    store.close().await;
    Ok((id, key.secret))
}

/// All keys, oldest first.
///
/// # Errors
/// The database is not there.
pub async fn list(config: &Config) -> anyhow::Result<Vec<ListedKey>> {
    let store = open(config).await?;
    let now_ms = config.clock.now_ms();
    let rows = keys::all(&store, now_ms).await?;
    store.close().await;
    Ok(rows
        .into_iter()
        .map(|row| ListedKey {
            id: row.id,
            state: if row.revoked_at.is_some() {
                "revoked"
            } else if row.expires_at.is_some_and(|at| at <= now_ms) {
                "expired"
            } else {
                "active"
            },
            prefix: row.prefix,
            name: row.name,
            scopes: row.scopes.names().join(","),
            rate: row.rate_per_minute.unwrap_or(row.plan_rate),
            expires_at: row.expires_at.map(date::format),
        })
        .collect())
}

/// Revokes a key at once. `false`: no such key, or revoked before.
///
/// # Errors
/// The database is not there.
pub async fn revoke(config: &Config, id: i64) -> anyhow::Result<bool> {
    let store = open(config).await?;
    let revoked = keys::revoke(&store, None, id, config.clock.now_ms()).await?;
    store.close().await;
    Ok(revoked)
}

/// Opens the database, which must be there already.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Store> {
    if let Some(path) = config.database_url.0.strip_prefix("sqlite://") {
        let path = percent_encoding::percent_decode_str(path)
            .decode_utf8_lossy()
            .into_owned();
        // Opening would make it.
        anyhow::ensure!(
            std::path::Path::new(&path).exists(),
            "there is no database at {path}: start the control plane once, or say where it is with SIGNPOST_DATA_DIR"
        );
    }
    Store::open(&config.database_url.0).await
}
