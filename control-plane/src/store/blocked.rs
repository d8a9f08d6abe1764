//! Rows of `links` that lead to where the block list says nobody may be led. They are there as before, but proxies hold them
//! as switched off. [`form`] keeps that true with each write, [`step`] after a change of the list.

use std::borrow::Cow;

use anyhow::Context as _;
use schemas::link::Entry;
use sqlx::Row as _;

use super::entries::{self, Locked};
use super::{Store, campaigns, feed};

/// Rows looked at by one [`step`].
const LOOKED_AT: i64 = 2000;

/// Rows changed by one transaction: as many as there may be campaigns to follow (`campaigns::follow`).
const CHANGED_AT_ONCE: usize = 50;

/// What [`step`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stepped {
    /// The last row looked at; `None`: there are no more.
    pub last: Option<i64>,
    /// Rows switched off.
    pub blocked: u64,
    /// Rows that answer again.
    pub freed: u64,
}

/// What proxies are to hold of a row.
#[derive(Debug)]
pub(super) struct Form<'a> {
    /// The entry, switched off where it must be.
    pub(super) entry: Cow<'a, [u8]>,
    /// The host for which it is.
    pub(super) blocked: Option<String>,
}

/// What proxies are to hold of a row with this entry; [`note`] goes with it.
///
/// # Errors
/// No entry.
pub(super) fn form<'a>(write: &feed::Write, entry: &'a [u8]) -> sqlx::Result<Form<'a>> {
    let mut form = Form {
        entry: entry.into(),
        blocked: None,
    };
    let blocklist = write.guard().blocklist();
    if !blocklist.is_empty() {
        let parsed = Entry::parse(entry).map_err(|e| sqlx::Error::Encode(e.into()))?;
        form.blocked = blocklist.blocks_entry(&parsed);
        if form.blocked.is_some() {
            form.entry = switched(&parsed, true)?.into();
        }
    }
    Ok(form)
}

/// Notes for which host a row, which is there, is switched off.
///
/// # Errors
/// The database's.
pub(super) async fn note(write: &mut feed::Write, id: i64, host: Option<&str>) -> sqlx::Result<()> {
    let query = match host {
        None => sqlx::query("DELETE FROM blocked_links WHERE link_id = $1").bind(id),
        Some(host) => sqlx::query(
            "INSERT INTO blocked_links (link_id, host) VALUES ($1, $2) \
             ON CONFLICT (link_id) DO UPDATE SET host = excluded.host",
        )
        .bind(id)
        .bind(host.to_owned()),
    };
    query.execute(write.connection()).await?;
    Ok(())
}

/// The host for which a link is switched off, if it is.
///
/// # Errors
/// The database's.
pub async fn host_of(store: &Store, link: i64) -> sqlx::Result<Option<String>> {
    let row: Option<(String,)> =
        sqlx::query_as("SELECT host FROM blocked_links WHERE link_id = $1")
            .bind(link)
            .fetch_optional(store.readers())
            .await?;
    Ok(row.map(|(host,)| host))
}

/// Fingerprint of the list that all rows were brought to last.
///
/// # Errors
/// The database's.
pub async fn applied(store: &Store) -> sqlx::Result<String> {
    let (fingerprint,): (String,) =
        sqlx::query_as("SELECT fingerprint FROM blocklist_state WHERE id = 1")
            .fetch_one(store.readers())
            .await?;
    Ok(fingerprint)
}

/// Notes that all rows are as the list of this fingerprint says.
///
/// # Errors
/// The database's.
pub async fn note_applied(store: &Store, fingerprint: &str) -> sqlx::Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query("UPDATE blocklist_state SET fingerprint = $1 WHERE id = 1")
        .bind(fingerprint.to_owned())
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Brings the next rows above the id `after` to what the list in force says.
///
/// # Errors
/// The database's; rows may have been changed then.
pub async fn step(store: &Store, after: i64, now_ms: i64) -> anyhow::Result<Stepped> {
    let blocklist = store.guard().blocklist();
    let rows = sqlx::query(
        "SELECT l.id, l.entry, CASE WHEN b.link_id IS NULL THEN 0 ELSE 1 END AS is_blocked FROM links l \
         LEFT JOIN blocked_links b ON b.link_id = l.id WHERE l.id > $1 ORDER BY l.id LIMIT $2",
    )
    .bind(after)
    .bind(LOOKED_AT)
    .fetch_all(store.readers())
    .await?;
    let mut stepped = Stepped::default();
    let mut wrong = Vec::new();
    for row in &rows {
        let id: i64 = row.try_get("id")?;
        let bytes: Vec<u8> = row.try_get("entry")?;
        let entry = Entry::parse(&bytes).with_context(|| format!("the entry of row {id}"))?;
        let is_blocked = row.try_get::<i64, _>("is_blocked")? != 0;
        if is_blocked != blocklist.blocks_entry(&entry).is_some() {
            wrong.push(id);
        }
        stepped.last = Some(id);
    }
    for ids in wrong.chunks(CHANGED_AT_ONCE) {
        let mut write = feed::Write::begin(store).await?;
        let (mut blocked, mut freed) = (0, 0);
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            // None: deleted meanwhile.
            if let Some(row) = lock(&mut write, *id).await? {
                rows.push(row);
            }
        }
        let campaigns = campaigns::lock_of_links(write.connection(), ids, now_ms).await?;
        for (row, is_disabled) in rows {
            let entry = Entry::parse(&row.entry)?;
            if blocklist.blocks_entry(&entry).is_some() {
                blocked += 1;
            } else {
                note(&mut write, row.id, None).await?;
                freed += 1;
            }
            // As its owner set it; whether it is blocked is decided where it is written.
            let own = switched(&entry, is_disabled)?;
            entries::update_entry(&mut write, &row, &own).await?;
        }
        campaigns::follow(&mut write, &campaigns, &[], now_ms).await?;
        write.commit(now_ms).await?;
        stepped.blocked += blocked;
        stepped.freed += freed;
    }
    Ok(stepped)
}

/// Locks a row of any workspace and kind; with whether its owner switched it off.
async fn lock(write: &mut feed::Write, id: i64) -> sqlx::Result<Option<(Locked, bool)>> {
    let row = sqlx::query(
        "UPDATE links SET updated_at = updated_at WHERE id = $1 RETURNING domain_id, slug, entry, is_disabled",
    )
    .bind(id)
    .fetch_optional(write.connection())
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let locked = Locked {
        id,
        domain: row.try_get("domain_id")?,
        slug: row.try_get("slug")?,
        entry: row.try_get("entry")?,
    };
    Ok(Some((locked, row.try_get::<i64, _>("is_disabled")? != 0)))
}

fn switched(entry: &Entry<'_>, disabled: bool) -> sqlx::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Entry { disabled, ..*entry }
        .encode(&mut bytes)
        .map_err(|e| sqlx::Error::Encode(e.into()))?;
    Ok(bytes)
}
