//! Everything visitors can meet at (domain, slug) is a row of `links`, whatever its kind: one place where slugs are unique,
//! one counter of ids for clicks, one set of group checksums, one feed. Here a row of any kind is added, changed and
//! deleted, inside a transaction of the caller, with its part of the feed's change.
//!
//! What a kind needs beside (a QR code's colours, a page's blocks) has a table of its own that names the row as `link_id`
//! and is written by its own module in the same transaction. What the entry's bytes say is the caller's business: nothing
//! is looked up or rendered here.
//!
//! ```text
//! let mut write = feed::Write::begin(store).await?;
//! let id = entries::reserve_ids(&mut write, 1).await?;
//! if !entries::insert(&mut write, &row, now_ms).await? { return Ok(Taken) }   // rolls back
//! …statements of the caller's own on write.connection()…
//! write.commit(now_ms).await?;
//! ```

use std::collections::BTreeSet;

use schemas::slug::Slug;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Store, blocked, feed, quarantine};
use crate::domain::alias::{self, Letters};
use crate::domain::link::Content;

/// What a row of `links` is. The numbers are in databases: never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A plain link: what `/url*` shows.
    Link = 0,
    /// The tracked slug of a QR code, `qr/<slug>`.
    Qr = 1,
    /// The rotator of a campaign, `r/<slug>`.
    Rotator = 2,
    /// A list page, `u/<user>/<slug>-<id>`.
    List = 3,
    /// A bio page.
    Bio = 4,
    /// A file.
    File = 5,
    /// Another body: `.well-known/…`, `dashboard/qrcodes/…`.
    Body = 6,
}

impl Kind {
    /// As the database holds it.
    pub const fn number(self) -> i64 {
        self as i64
    }
}

/// A row to be, or as it is to become.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its id, from [`reserve_ids`]; the entry's bytes hold it.
    pub id: i64,
    /// What it is. Never changes.
    pub kind: Kind,
    /// Whose it is. Never changes.
    pub workspace: i64,
    /// Domain it answers on.
    pub domain: i64,
    /// Its path there.
    pub slug: &'a Slug,
    /// What its owner set, for lists and look-up by text; what a kind has no use for stays at its default.
    pub content: &'a Content,
    /// The encoded `schemas::link::Entry` of this id, domain and slug: all that visitors meet.
    pub entry: &'a [u8],
}

impl Row<'_> {
    fn held<'e>(&'e self, entry: &'e [u8]) -> feed::Held<'e> {
        feed::Held {
            domain: domain_number(self.domain),
            slug: self.slug.as_str(),
            entry,
        }
    }
}

/// A row as it was when it was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Its id.
    pub id: i64,
    /// Domain it answers on.
    pub domain: i64,
    /// Its path there.
    pub slug: String,
    /// Its encoded `schemas::link::Entry`.
    pub entry: Vec<u8>,
}

impl Locked {
    fn held(&self) -> feed::Held<'_> {
        feed::Held {
            domain: domain_number(self.domain),
            slug: &self.slug,
            entry: &self.entry,
        }
    }
}

/// The slug belongs to another row, of whatever kind. The transaction is of no more use: on PostgreSQL it is aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken;

/// A domain's id as entries hold it.
pub fn domain_number(id: i64) -> u32 {
    // Domains are numbered from 1 by hand of people; there are not four billion.
    u32::try_from(id).unwrap_or(u32::MAX)
}

/// Takes the next `count` ids, of all kinds, and returns the first. Ids of a transaction that is rolled back come again.
///
/// # Errors
/// The database's.
pub async fn reserve_ids(write: &mut feed::Write, count: i64) -> sqlx::Result<i64> {
    let (next,): (i64,) =
        sqlx::query_as("UPDATE link_ids SET next_id = next_id + $1 WHERE id = 1 RETURNING next_id")
            .bind(count)
            .fetch_one(write.connection())
            .await?;
    Ok(next - count)
}

/// Draws before a free slug is given up on. One in millions is taken, so this is never reached by chance.
pub const DRAWS: usize = 10;

/// A random slug behind `prefix` (empty, or `qr/` and the like) for the `draw`th try, counted from 0: longer after some
/// misses, for then the short ones are running out.
///
/// # Errors
/// The system has no randomness, or the prefix begins no legal slug.
pub fn drawn_slug(prefix: &str, draw: usize) -> anyhow::Result<Slug> {
    let drawn = drawn_of(Letters::Both, draw)?;
    if prefix.is_empty() {
        return Ok(drawn);
    }
    Ok(Slug::parse(&format!("{prefix}{drawn}"))?)
}

/// As [`drawn_slug`], of these letters and without prefix.
///
/// # Errors
/// The system has no randomness.
pub fn drawn_of(letters: Letters, draw: usize) -> anyhow::Result<Slug> {
    Ok(alias::random(letters, alias::LENGTH + draw / 3)?)
}

/// Whether no row of any kind answers at this slug of a domain. A courtesy for forms and drawn names: by the time of an
/// insert it may have changed, and [`insert`] decides.
///
/// # Errors
/// The database's.
pub async fn slug_is_free(store: &Store, domain: i64, slug: &Slug) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT 1 FROM links WHERE domain_id = $1 AND slug = $2")
        .bind(domain)
        .bind(slug.as_str().to_owned())
        .fetch_optional(store.readers())
        .await?;
    Ok(row.is_none())
}

/// Rows that one statement adds, from the most: each size is a statement that stays prepared. No more, since sqlx looks up
/// the name of each value in SQLite's list of all of them: a hundred rows cost ten times as much for each as ten.
const ROWS_PER_STATEMENT: [usize; 4] = [10, 4, 2, 1];

/// Values bound for each row that is added.
const BOUND: usize = 28;

/// Adds a row. `false`: the slug is taken or rests for its former owner ([`quarantine`]), nothing has happened, and the
/// transaction can go on with another slug. The unique constraint decides, so in a race exactly one wins. A row that leads
/// to what the block list names is there and answers nobody ([`blocked`]).
///
/// # Errors
/// The database's.
pub async fn insert(
    write: &mut feed::Write,
    row: &Row<'_>,
    uuid: &str,
    now_ms: i64,
) -> sqlx::Result<bool> {
    let added = insert_all(write, &[(*row, uuid)], now_ms).await?;
    Ok(added == [true])
}

/// As [`insert`] for many rows, each with its UUID, and says of each whether it was added; of two with one slug the first
/// is. A statement costs the way to the database and back, so that one for each row would be most of the time.
///
/// # Errors
/// The database's.
pub async fn insert_all(
    write: &mut feed::Write,
    rows: &[(Row<'_>, &str)],
    now_ms: i64,
) -> sqlx::Result<Vec<bool>> {
    let forms = rows
        .iter()
        .map(|(row, _)| blocked::form(write, row.entry))
        .collect::<sqlx::Result<Vec<_>>>()?;
    let mut added = Vec::with_capacity(rows.len());
    let (mut rest, mut rest_forms) = (rows, forms.as_slice());
    for size in ROWS_PER_STATEMENT {
        while let (Some((some, after)), Some((some_forms, after_forms))) = (
            rest.split_at_checked(size),
            rest_forms.split_at_checked(size),
        ) {
            added.extend(insert_some(write, some, some_forms, now_ms).await?);
            (rest, rest_forms) = (after, after_forms);
        }
    }
    let places: Vec<(i64, &str)> = rows
        .iter()
        .map(|(row, _)| (row.domain, row.slug.as_str()))
        .collect();
    let resting = quarantine::resting(write, &places).await?;
    for ((added, (row, _)), form) in added.iter_mut().zip(rows).zip(&forms) {
        let rests = resting
            .get(&(row.domain, row.slug.as_str().to_owned()))
            .is_some_and(|workspace| *workspace != row.workspace);
        if *added && rests {
            sqlx::query("DELETE FROM links WHERE id = $1")
                .bind(row.id)
                .execute(write.connection())
                .await?;
            *added = false;
        }
        if !*added {
            continue;
        }
        if let Some(host) = &form.blocked {
            blocked::note(write, row.id, Some(host)).await?;
        }
        write.added(row.held(&form.entry));
    }
    Ok(added)
}

/// Adds rows, with these forms of their entries, by one statement.
async fn insert_some(
    write: &mut feed::Write,
    rows: &[(Row<'_>, &str)],
    forms: &[blocked::Form<'_>],
    now_ms: i64,
) -> sqlx::Result<Vec<bool>> {
    let values = (0..rows.len()).map(|row| {
        let first = row * BOUND + 1;
        let (own, now) = (super::placeholders(first, BOUND - 1), first + BOUND - 1);
        format!("({own}, 0, ${now}, ${now})")
    });
    let values = values.collect::<Vec<_>>().join(", ");
    let mut query = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO links (domain_id, slug, destination, title, description, redirect_status, is_private, \
         is_disabled, starts_at, expires_at, expired_url, utm_source, utm_medium, utm_campaign, utm_term, utm_content, \
         parameters, extras, is_drawn, search, group_no, entry, deletes_at, id, uuid, workspace_id, kind, \
         imported_clicks, created_at, updated_at) \
         VALUES {values} ON CONFLICT (domain_id, slug) DO NOTHING",
    )));
    for ((row, uuid), form) in rows.iter().zip(forms) {
        query = bind_row(query, row, &form.entry)
            .bind(row.id)
            .bind((*uuid).to_owned())
            .bind(row.workspace)
            .bind(row.kind.number())
            .bind(now_ms);
    }
    let done = query.execute(write.connection()).await?;
    if done.rows_affected() == rows.len() as u64 {
        return Ok(vec![true; rows.len()]);
    }
    let there = ids_there(write, rows).await?;
    Ok(rows
        .iter()
        .map(|(row, _)| there.contains(&row.id))
        .collect())
}

/// Which of these rows are in the table.
async fn ids_there(
    write: &mut feed::Write,
    rows: &[(Row<'_>, &str)],
) -> sqlx::Result<BTreeSet<i64>> {
    let list = super::placeholders(1, rows.len());
    let select = format!("SELECT id FROM links WHERE id IN ({list})");
    let mut select = sqlx::query_as(AssertSqlSafe(select));
    for (row, _) in rows {
        select = select.bind(row.id);
    }
    let there: Vec<(i64,)> = select.fetch_all(write.connection()).await?;
    Ok(there.into_iter().map(|(id,)| id).collect())
}

/// Locks a row of this workspace and kind until the transaction ends, so that two changes of it do not mix. `None`: there
/// is none.
///
/// # Errors
/// The database's.
pub async fn lock(
    write: &mut feed::Write,
    (workspace, kind, id): (i64, Kind, i64),
    now_ms: i64,
) -> sqlx::Result<Option<Locked>> {
    let row = sqlx::query(
        "UPDATE links SET updated_at = $1 WHERE id = $2 AND workspace_id = $3 AND kind = $4 \
         RETURNING domain_id, slug, entry",
    )
    .bind(now_ms)
    .bind(id)
    .bind(workspace)
    .bind(kind.number())
    .fetch_optional(write.connection())
    .await?;
    row.map(|row| locked(id, &row)).transpose()
}

/// Writes what a locked row has become. Nothing goes into the feed when visitors would not notice.
///
/// # Errors
/// The database's.
pub async fn update(
    write: &mut feed::Write,
    old: &Locked,
    new: &Row<'_>,
) -> sqlx::Result<Result<(), Taken>> {
    let query = sqlx::query(
        "UPDATE links SET domain_id = $1, slug = $2, destination = $3, title = $4, description = $5, \
         redirect_status = $6, is_private = $7, is_disabled = $8, starts_at = $9, expires_at = $10, expired_url = $11, \
         utm_source = $12, utm_medium = $13, utm_campaign = $14, utm_term = $15, utm_content = $16, parameters = $17, \
         extras = $18, is_drawn = $19, search = $20, group_no = $21, entry = $22, deletes_at = $23 WHERE id = $24",
    );
    let form = blocked::form(write, new.entry)?;
    let done = bind_row(query, new, &form.entry)
        .bind(old.id)
        .execute(write.connection())
        .await;
    match done {
        Ok(_) => {}
        Err(error) if super::is_unique_violation(&error) => return Ok(Err(Taken)),
        Err(error) => return Err(error),
    }
    if (old.domain, &*old.slug) != (new.domain, new.slug.as_str()) {
        let place = (new.domain, new.slug.as_str());
        if quarantine::holds(write, place, new.workspace).await? {
            return Ok(Err(Taken));
        }
        quarantine::begin(write, (old.domain, &old.slug), new.workspace).await?;
    }
    if !write.guard().blocklist().is_empty() {
        blocked::note(write, old.id, form.blocked.as_deref()).await?;
    }
    let (before, after) = (old.held(), new.held(&form.entry));
    if (before.domain, before.slug, before.entry) != (after.domain, after.slug, after.entry) {
        write.changed(before, after);
    }
    Ok(Ok(()))
}

/// As [`update`] for a row whose entry alone changes, because something it is made of did: its slug, domain and texts stay.
///
/// # Errors
/// The database's.
pub async fn update_entry(write: &mut feed::Write, old: &Locked, entry: &[u8]) -> sqlx::Result<()> {
    let form = blocked::form(write, entry)?;
    if !write.guard().blocklist().is_empty() {
        blocked::note(write, old.id, form.blocked.as_deref()).await?;
    }
    if old.entry == *form.entry {
        return Ok(());
    }
    sqlx::query("UPDATE links SET entry = $1 WHERE id = $2")
        .bind(form.entry.to_vec())
        .bind(old.id)
        .execute(write.connection())
        .await?;
    write.changed(
        old.held(),
        feed::Held {
            entry: &form.entry,
            ..old.held()
        },
    );
    Ok(())
}

/// Deletes a row of this workspace and kind. Its id and its clicks stay, its slug rests ([`quarantine`]). `false`: there is
/// none.
///
/// # Errors
/// The database's.
pub async fn delete(
    write: &mut feed::Write,
    (workspace, kind, id): (i64, Kind, i64),
) -> sqlx::Result<bool> {
    let row = sqlx::query(
        "DELETE FROM links WHERE id = $1 AND workspace_id = $2 AND kind = $3 RETURNING domain_id, slug, entry",
    )
    .bind(id)
    .bind(workspace)
    .bind(kind.number())
    .fetch_optional(write.connection())
    .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let old = locked(id, &row)?;
    quarantine::begin(write, (old.domain, &old.slug), workspace).await?;
    write.removed(old.held());
    Ok(true)
}

fn locked(id: i64, row: &sqlx::any::AnyRow) -> sqlx::Result<Locked> {
    Ok(Locked {
        id,
        domain: row.try_get("domain_id")?,
        slug: row.try_get("slug")?,
        entry: row.try_get("entry")?,
    })
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

/// Binds the 23 columns from `domain_id` to `deletes_at`, in the order of both statements above.
fn bind_row<'q>(query: Query<'q>, row: &Row<'_>, entry: &[u8]) -> Query<'q> {
    let content = row.content;
    let mut query = query
        .bind(row.domain)
        .bind(row.slug.as_str().to_owned())
        .bind(content.destination.clone())
        .bind(content.title.clone())
        .bind(content.description.clone())
        .bind(i64::from(content.status.code()))
        .bind(i64::from(content.is_private))
        .bind(i64::from(content.is_disabled))
        .bind(content.starts_at)
        .bind(content.expires_at)
        .bind(content.expired_url.clone());
    for value in &content.utm {
        query = query.bind(value.clone());
    }
    query
        .bind(serde_json::json!(content.parameters).to_string())
        .bind(content.extras.to_json())
        .bind(i64::from(content.is_drawn))
        .bind(content.search_text(row.slug))
        .bind(row.held(entry).group() as i64)
        .bind(entry.to_vec())
        .bind(content.deletes_at())
}
