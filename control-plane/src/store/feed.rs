//! The write side of the feed: a transaction that collects what visitors can see and, as its last step, writes it as one
//! change.
//!
//! The last step locks the one row of `feed_state`, so sequence numbers are gapless and in commit order, and group sums,
//! which are read, added to and written, are never computed by two transactions at once. Sums are added here and not in
//! SQL because both engines refuse or round what overflows.

use std::collections::BTreeMap;

use anyhow::Context as _;
use schemas::feed::{self, Change, Key, Kind, MAX_LINKS_PER_CHANGE, Shared};
use sqlx::{Any, AssertSqlSafe, Transaction};

use super::Store;
use super::looks::{self, Look};

/// Changes kept at least for proxies that reconnect; one that is further behind takes a snapshot.
pub const KEPT_CHANGES: i64 = 4096;

/// Groups read by one statement.
const GROUPS_PER_QUESTION: usize = 64;

/// Groups written by one statement, from the most: each size is a statement that stays prepared.
const GROUPS_PER_STATEMENT: [usize; 4] = [64, 16, 4, 1];

/// Changes after which those that need not be kept any more are deleted.
const CHANGES_A_CLEANING: i64 = 64;

/// Channel of NOTIFY between control planes on one PostgreSQL database; the payload is the sequence number.
pub(crate) const CHANNEL: &str = "signpost_feed";

/// A transaction that visitors may notice.
///
/// Dropped without [`Self::commit`], it is rolled back.
#[derive(Debug)]
pub struct Write {
    tx: Transaction<'static, Any>,
    store: Store,
    upsert: Vec<Vec<u8>>,
    delete: Vec<Key>,
    shared: Option<Shared>,
    looks: Vec<(i64, Look)>,
    sums: BTreeMap<usize, u64>,
}

/// What a link was before, or is after, a write: enough for its group's checksum.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// Its domain.
    pub domain: u32,
    /// Its slug.
    pub slug: &'a str,
    /// Its encoded `schemas::link::Entry`.
    pub entry: &'a [u8],
}

impl Held<'_> {
    /// The group of the link.
    pub fn group(&self) -> usize {
        feed::group_of(feed::key_hash(self.domain, self.slug.as_bytes()))
    }
}

impl Write {
    /// Begins one. On SQLite it is the only writer from here on.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(store: &Store) -> sqlx::Result<Self> {
        Ok(Self {
            tx: store.begin().await?,
            store: store.clone(),
            upsert: Vec::new(),
            delete: Vec::new(),
            shared: None,
            looks: Vec::new(),
            sums: BTreeMap::new(),
        })
    }

    /// The transaction, for statements of its own.
    pub(crate) fn connection(&mut self) -> &mut sqlx::AnyConnection {
        &mut self.tx
    }

    /// Rules for rows of `links`.
    pub(crate) fn guard(&self) -> &super::guard::Guard {
        self.store.guard()
    }

    /// The link is new.
    pub(crate) fn added(&mut self, new: Held<'_>) {
        let sum = self.sums.entry(new.group()).or_default();
        *sum = sum.wrapping_add(feed::entry_sum(new.entry));
        self.upsert.push(new.entry.to_vec());
    }

    /// The link is gone.
    pub(crate) fn removed(&mut self, old: Held<'_>) {
        let sum = self.sums.entry(old.group()).or_default();
        *sum = sum.wrapping_sub(feed::entry_sum(old.entry));
        self.delete.push(Key {
            domain: old.domain,
            slug: old.slug.as_bytes().to_vec().into(),
        });
    }

    /// The link has changed, perhaps its key too.
    pub(crate) fn changed(&mut self, old: Held<'_>, new: Held<'_>) {
        if (old.domain, old.slug) != (new.domain, new.slug) {
            self.removed(old);
        } else {
            let sum = self.sums.entry(old.group()).or_default();
            *sum = sum.wrapping_sub(feed::entry_sum(old.entry));
        }
        self.added(new);
    }

    /// The small tables that changed; called again, adds to them.
    pub(crate) fn shared(&mut self) -> &mut Shared {
        self.shared.get_or_insert_default()
    }

    /// The link, whose row is there by the end, is to be looked at.
    pub(super) fn look_at(&mut self, link: i64, look: Look) {
        self.looks.push((link, look));
    }

    /// Writes the change, if there is one, and commits.
    ///
    /// The commit runs in a task of its own: a caller that goes away between the commit and the word to the watchers
    /// would leave proxies waiting for the next change.
    ///
    /// # Errors
    /// The database's; nothing has happened then.
    pub async fn commit(mut self, now_ms: i64) -> anyhow::Result<()> {
        let links = self.upsert.len() + self.delete.len();
        // A renamed link is one link with two keys.
        anyhow::ensure!(
            links <= MAX_LINKS_PER_CHANGE * 2,
            "a change of {links} links, at most {MAX_LINKS_PER_CHANGE} are allowed"
        );
        looks::note(&mut self.tx, &self.looks, now_ms).await?;
        let seq = if links > 0 || self.shared.is_some() {
            Some(self.write_change(now_ms).await?)
        } else {
            None
        };
        tokio::spawn(async move {
            self.tx.commit().await?;
            if !self.looks.is_empty() {
                self.store.looks_noted.notify_one();
            }
            if let Some(seq) = seq {
                self.store.announce(seq);
                crate::metrics::feed_change();
            }
            Ok::<(), sqlx::Error>(())
        })
        .await
        .context("the commit was interrupted")??;
        Ok(())
    }

    async fn write_change(&mut self, now_ms: i64) -> anyhow::Result<u64> {
        let change_id = random_id()?;
        let (seq,): (i64,) = sqlx::query_as(
            "UPDATE feed_state SET seq = seq + 1, change_id = $1 WHERE id = 1 RETURNING seq",
        )
        .bind(change_id.to_vec())
        .fetch_one(&mut *self.tx)
        .await?;
        self.write_sums().await?;
        let number = u64::try_from(seq).context("the feed's sequence number is negative")?;
        let frame = feed::encode_frame(Kind::Change(Change {
            seq: number,
            change: change_id.to_vec().into(),
            committed_at_ms: now_ms,
            upsert: std::mem::take(&mut self.upsert)
                .into_iter()
                .map(Into::into)
                .collect(),
            delete: std::mem::take(&mut self.delete),
            shared: self.shared.take(),
        }))?;
        let columns = "INSERT INTO feed_changes (seq, change_id, committed_at, frame)";
        // One statement for both: each is a way to the server and back, while others wait for this transaction.
        let insert = match self.store.engine() {
            super::Engine::Sqlite => format!("{columns} VALUES ($1, $2, $3, $4)"),
            super::Engine::Postgres => format!(
                "{columns} SELECT $1, $2, $3, $4 FROM (SELECT pg_notify('{CHANNEL}', $5)) AS sent"
            ),
        };
        let mut insert = sqlx::query(AssertSqlSafe(insert))
            .bind(seq)
            .bind(change_id.to_vec())
            .bind(now_ms)
            .bind(frame);
        if self.store.engine() == super::Engine::Postgres {
            insert = insert.bind(seq.to_string());
        }
        insert.execute(&mut *self.tx).await?;
        if seq % CHANGES_A_CLEANING == 0 {
            sqlx::query("DELETE FROM feed_changes WHERE seq <= $1")
                .bind(seq - KEPT_CHANGES)
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(number)
    }

    async fn write_sums(&mut self) -> sqlx::Result<()> {
        let groups: Vec<(usize, u64)> = std::mem::take(&mut self.sums)
            .into_iter()
            .filter(|(_, added)| *added != 0)
            .collect();
        let mut old: BTreeMap<i64, i64> = BTreeMap::new();
        for chunk in groups.chunks(GROUPS_PER_QUESTION) {
            let numbers = chunk.iter().map(|(group, _)| *group as i64).collect();
            let numbers = super::padded(numbers);
            let list = super::placeholders(1, numbers.len());
            // As one text: sqlx wakes two threads for each row.
            let select = format!(
                "SELECT string_agg(group_no || ':' || sum, ' ') FROM feed_groups WHERE group_no IN ({list})"
            );
            let mut select = sqlx::query_scalar(AssertSqlSafe(select));
            for number in numbers {
                select = select.bind(number);
            }
            let sums: Option<String> = select.fetch_one(&mut *self.tx).await?;
            let pair = |pair: &str| {
                let (group, sum) = pair.split_once(':')?;
                Some((group.parse::<i64>().ok()?, sum.parse::<i64>().ok()?))
            };
            for text in sums.as_deref().unwrap_or_default().split_ascii_whitespace() {
                let (group, sum) = pair(text).ok_or_else(|| sqlx::Error::Decode(text.into()))?;
                old.insert(group, sum);
            }
        }
        let mut rest = groups.as_slice();
        for size in GROUPS_PER_STATEMENT {
            while let Some((some, after)) = rest.split_at_checked(size) {
                rest = after;
                let rows =
                    (0..size).map(|row| format!("({})", super::placeholders(row * 2 + 1, 2)));
                let rows = rows.collect::<Vec<_>>().join(", ");
                let upsert = format!(
                    "INSERT INTO feed_groups (group_no, sum) VALUES {rows} \
                     ON CONFLICT (group_no) DO UPDATE SET sum = excluded.sum"
                );
                let mut upsert = sqlx::query(AssertSqlSafe(upsert));
                for (group, added) in some {
                    let group = *group as i64;
                    let sum = old.get(&group).copied().unwrap_or(0).cast_unsigned();
                    upsert = upsert
                        .bind(group)
                        .bind(sum.wrapping_add(*added).cast_signed());
                }
                upsert.execute(&mut *self.tx).await?;
            }
        }
        Ok(())
    }
}

fn random_id() -> anyhow::Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).context("no randomness from the system")?;
    Ok(id)
}
