//! The key that ids are shown as UUIDs under ([`crate::domain::uuids`]).

use anyhow::Context as _;

use super::Store;
use crate::domain::uuids::{KEY_BYTES, Uuids};

/// The installation's key, made if there is none. Of several control planes that start at once one makes it.
///
/// # Errors
/// The database's; the system has no randomness.
pub async fn of_installation(store: &Store) -> anyhow::Result<Uuids> {
    let mut drawn = [0; KEY_BYTES];
    getrandom::fill(&mut drawn)?;
    let mut tx = store.begin().await?;
    sqlx::query("INSERT INTO id_keys (id, secret) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
        .bind(drawn.to_vec())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let (secret,): (Vec<u8>,) = sqlx::query_as("SELECT secret FROM id_keys WHERE id = 1")
        .fetch_one(store.readers())
        .await?;
    let secret = <[u8; KEY_BYTES]>::try_from(secret)
        .ok()
        .context("the key of ids in the database has another length")?;
    Ok(Uuids::new(&secret))
}
