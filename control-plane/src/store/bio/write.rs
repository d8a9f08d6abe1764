//! Changes of bio pages. Each is one transaction with the feed: the page's row is locked first, then all beside it is
//! brought up to date (see [`super::parts`]), and visitors see one instant.

use bytes::Bytes;
use schemas::slug::Slug;
use uuid::Uuid;

use super::parts::{self, Draft};
use super::{Bio, get, pictures, targets};
use crate::domain::bio::{Block, Look, MAX_BLOCKS, MAX_PAGES};
use crate::domain::channel::ItemKind;
use crate::domain::field::FieldError;
use crate::domain::link::{Content, Key, Pages};
use crate::domain::plan::{Feature, PlanRefusal};
use crate::store::channels::{self, Item};
use crate::store::domains::Domain;
use crate::store::entries::{self, Kind, Row};
use crate::store::plans::{self, PlanError};
use crate::store::{Store, feed, pages};

/// Why a page was not written.
#[derive(Debug, thiserror::Error)]
pub enum BioError {
    /// No such page in this workspace.
    #[error("no such bio page")]
    NotFound,
    /// No such block on the page.
    #[error("no such block")]
    NoBlock,
    /// The alias is another's.
    #[error("slug '{0}' is taken")]
    Taken(Slug),
    /// It has changed since it was read, or this change and another waited for each other: begin anew.
    #[error("the bio page has changed since")]
    Stale,
    /// The plan's.
    #[error(transparent)]
    Plan(#[from] PlanRefusal),
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] FieldError),
    /// The database's.
    #[error(transparent)]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for BioError {
    fn from(error: anyhow::Error) -> Self {
        if crate::store::is_deadlock(&error) {
            Self::Stale
        } else {
            Self::Failed(error)
        }
    }
}

impl From<sqlx::Error> for BioError {
    fn from(error: sqlx::Error) -> Self {
        anyhow::Error::new(error).into()
    }
}

impl From<PlanError> for BioError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Refused(refusal) => Self::Plan(refusal),
            PlanError::Failed(error) => error.into(),
        }
    }
}

/// A picture that was fetched for a page.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Where from.
    pub url: String,
    /// What it is by its first bytes.
    pub content_type: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A page to be made.
#[derive(Debug, Clone)]
pub struct NewBio<'a> {
    /// Whose it is.
    pub workspace: i64,
    /// Where it answers.
    pub domain: &'a Domain,
    /// Its alias.
    pub slug: &'a Slug,
    /// Title, description, password and expiry.
    pub content: &'a Content,
    /// How it looks.
    pub look: &'a Look,
}

/// What becomes of a page.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Another domain.
    pub domain: &'a Domain,
    /// Another alias, or the one it has.
    pub slug: &'a Slug,
    /// Title, description, password and expiry.
    pub content: &'a Content,
    /// How it looks.
    pub look: &'a Look,
}

/// Makes a page and returns its id.
///
/// # Errors
/// See [`BioError`].
pub async fn insert(
    store: &Store,
    new: &NewBio<'_>,
    fetched: &[Fetched],
    now_ms: i64,
) -> Result<i64, BioError> {
    let mut write = feed::Write::begin(store).await?;
    for feature in [Feature::Bio].into_iter().chain(new.content.features()) {
        plans::need(write.connection(), new.workspace, feature, now_ms).await?;
    }
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM bio_pages WHERE workspace_id = $1")
        .bind(new.workspace)
        .fetch_one(write.connection())
        .await?;
    if count >= MAX_PAGES {
        let problem = format!("must be one of at most {MAX_PAGES} bio pages of a workspace");
        return Err(FieldError::new("title", problem).into());
    }
    let link = entries::reserve_ids(&mut write, 1).await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO bio_pages (workspace_id, link_id, content, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $4) RETURNING id",
    )
    .bind(new.workspace)
    .bind(link)
    .bind(serde_json::json!(new.look).to_string())
    .bind(now_ms)
    .fetch_one(write.connection())
    .await?;
    let draft = Draft {
        id,
        workspace: new.workspace,
        domain: new.domain,
        slug: new.slug,
        content: new.content,
        look: new.look,
    };
    let page = parts::settle(&mut write, &draft, fetched, now_ms).await?;
    let entry = entry(&draft, link, page)?;
    let uuid = Uuid::new_v4().to_string();
    if !entries::insert(&mut write, &row(&draft, link, &entry), &uuid, now_ms).await? {
        return Err(BioError::Taken(new.slug.clone()));
    }
    write.commit(now_ms).await?;
    Ok(id)
}

/// Writes what `old` has become.
///
/// # Errors
/// See [`BioError`].
pub async fn update(
    store: &Store,
    old: &Bio,
    change: &Change<'_>,
    fetched: &[Fetched],
    now_ms: i64,
) -> Result<(), BioError> {
    let mut write = feed::Write::begin(store).await?;
    let workspace = old.link.workspace_id;
    // What it has stays when the plan becomes smaller.
    let had = old.link.content.features();
    let features = change.content.features().into_iter();
    for feature in features.filter(|feature| !had.contains(feature)) {
        plans::need(write.connection(), workspace, feature, now_ms).await?;
    }
    let now = locked(&mut write, (workspace, old.id), now_ms).await?;
    if now.look != old.look
        || now.link.content != old.link.content
        || now.link.slug != old.link.slug
        || now.link.domain_id != old.link.domain_id
    {
        return Err(BioError::Stale);
    }
    sqlx::query("UPDATE bio_pages SET content = $1 WHERE id = $2")
        .bind(serde_json::json!(change.look).to_string())
        .bind(old.id)
        .execute(write.connection())
        .await?;
    let draft = Draft {
        id: old.id,
        workspace,
        domain: change.domain,
        slug: change.slug,
        content: change.content,
        look: change.look,
    };
    let page = parts::settle(&mut write, &draft, fetched, now_ms).await?;
    let entry = entry(&draft, old.link.id, page)?;
    let whose = (workspace, Kind::Bio, old.link.id);
    let held = entries::lock(&mut write, whose, now_ms).await?;
    let held = held.ok_or(BioError::NotFound)?;
    let row = row(&draft, old.link.id, &entry);
    if entries::update(&mut write, &held, &row).await?.is_err() {
        return Err(BioError::Taken(change.slug.clone()));
    }
    write.commit(now_ms).await?;
    Ok(())
}

/// Deletes a page with its blocks, pictures and what visitors wrote. Its alias is free again.
///
/// # Errors
/// See [`BioError`].
pub async fn delete(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<(), BioError> {
    let mut write = feed::Write::begin(store).await?;
    let bio = locked(&mut write, (workspace, id), now_ms).await?;
    for row in targets(write.connection(), id).await? {
        parts::drop_target(&mut write, workspace, &row, now_ms).await?;
    }
    for row in pictures(write.connection(), id).await? {
        parts::drop_picture(&mut write, (workspace, id), &row, now_ms).await?;
    }
    let place = (workspace, pages::Kind::Bio, &*id.to_string());
    if let Some(page) = pages::find(&mut write, place, now_ms).await? {
        pages::delete(&mut write, page, now_ms).await?;
    }
    let item = Item {
        kind: ItemKind::Bio,
        item: id,
    };
    channels::forget(write.connection(), item).await?;
    sqlx::query("DELETE FROM bio_pages WHERE id = $1")
        .bind(id)
        .execute(write.connection())
        .await?;
    entries::delete(&mut write, (workspace, Kind::Bio, bio.link.id)).await?;
    write.commit(now_ms).await?;
    Ok(())
}

/// Adds a block at a position, from 1: later ones move on; `None`, or past the end: last. Returns its id and position.
///
/// # Errors
/// See [`BioError`].
pub async fn add_block(
    store: &Store,
    (workspace, bio): (i64, i64),
    (block, position): (&Block, Option<i64>),
    fetched: &[Fetched],
    now_ms: i64,
) -> Result<(i64, i64), BioError> {
    let mut write = feed::Write::begin(store).await?;
    let page = locked(&mut write, (workspace, bio), now_ms).await?;
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM bio_blocks WHERE bio_id = $1")
        .bind(bio)
        .fetch_one(write.connection())
        .await?;
    if count >= MAX_BLOCKS as i64 {
        let problem = format!("of a page must be at most {MAX_BLOCKS}");
        return Err(FieldError::new("blocks", problem).into());
    }
    let position = position.map_or(count + 1, |place| place.clamp(1, count + 1));
    sqlx::query(
        "UPDATE bio_blocks SET position = position + 1 WHERE bio_id = $1 AND position >= $2",
    )
    .bind(bio)
    .bind(position)
    .execute(write.connection())
    .await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO bio_blocks (bio_id, position, type, payload, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id",
    )
    .bind(bio)
    .bind(position)
    .bind(block.name())
    .bind(block.to_json())
    .bind(now_ms)
    .fetch_one(write.connection())
    .await?;
    finish(write, &page, fetched, now_ms).await?;
    Ok((id, position))
}

/// Gives a block, which is `old`, another content and perhaps another position. Returns its position.
///
/// # Errors
/// See [`BioError`].
pub async fn change_block(
    store: &Store,
    (workspace, bio, id): (i64, i64, i64),
    (old, new, position): (&Block, &Block, Option<i64>),
    fetched: &[Fetched],
    now_ms: i64,
) -> Result<i64, BioError> {
    let mut write = feed::Write::begin(store).await?;
    let page = locked(&mut write, (workspace, bio), now_ms).await?;
    let rows = super::blocks(write.connection(), bio).await?;
    let row = rows.iter().find(|row| row.id == id);
    let row = row.ok_or(BioError::NoBlock)?;
    if row.block != *old {
        return Err(BioError::Stale);
    }
    sqlx::query("UPDATE bio_blocks SET payload = $1 WHERE id = $2")
        .bind(new.to_json())
        .bind(id)
        .execute(write.connection())
        .await?;
    let last = rows.len() as i64;
    let wanted = position.map_or(row.position, |place| place.clamp(1, last));
    let mut order: Vec<i64> = rows
        .iter()
        .map(|row| row.id)
        .filter(|other| *other != id)
        .collect();
    let place = usize::try_from(wanted - 1).unwrap_or(0).min(order.len());
    order.insert(place, id);
    number(&mut write, &rows, &order).await?;
    finish(write, &page, fetched, now_ms).await?;
    Ok(wanted)
}

/// Deletes a block; those behind it move up.
///
/// # Errors
/// See [`BioError`].
pub async fn delete_block(
    store: &Store,
    (workspace, bio, id): (i64, i64, i64),
    now_ms: i64,
) -> Result<(), BioError> {
    let mut write = feed::Write::begin(store).await?;
    let page = locked(&mut write, (workspace, bio), now_ms).await?;
    let rows = super::blocks(write.connection(), bio).await?;
    if !rows.iter().any(|row| row.id == id) {
        return Err(BioError::NoBlock);
    }
    // Its ways out have entries and files, which go with them and not by the database alone.
    for row in targets(write.connection(), bio).await? {
        if row.block_id == id {
            parts::drop_target(&mut write, workspace, &row, now_ms).await?;
        }
    }
    sqlx::query("DELETE FROM bio_blocks WHERE id = $1")
        .bind(id)
        .execute(write.connection())
        .await?;
    let order: Vec<i64> = rows
        .iter()
        .map(|row| row.id)
        .filter(|other| *other != id)
        .collect();
    number(&mut write, &rows, &order).await?;
    finish(write, &page, &[], now_ms).await
}

/// Numbers the blocks of a page from 1 in this order.
async fn number(
    write: &mut feed::Write,
    rows: &[super::BlockRow],
    order: &[i64],
) -> sqlx::Result<()> {
    for (position, id) in (1_i64..).zip(order) {
        let is_there = rows
            .iter()
            .any(|row| row.id == *id && row.position == position);
        if !is_there {
            sqlx::query("UPDATE bio_blocks SET position = $1 WHERE id = $2")
                .bind(position)
                .bind(*id)
                .execute(write.connection())
                .await?;
        }
    }
    Ok(())
}

/// The page, locked until the transaction ends.
async fn locked(
    write: &mut feed::Write,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<Bio, BioError> {
    let done =
        sqlx::query("UPDATE bio_pages SET updated_at = $1 WHERE id = $2 AND workspace_id = $3")
            .bind(now_ms)
            .bind(id)
            .bind(workspace)
            .execute(write.connection())
            .await?;
    if done.rows_affected() == 0 {
        return Err(BioError::NotFound);
    }
    let bio = get(write.connection(), workspace, id).await?;
    bio.ok_or(BioError::NotFound)
}

/// Renders a page whose blocks have changed, and commits. Its own entry names the page by an id that stays.
async fn finish(
    mut write: feed::Write,
    bio: &Bio,
    fetched: &[Fetched],
    now_ms: i64,
) -> Result<(), BioError> {
    let domain: Domain = sqlx::query_as("SELECT * FROM domains WHERE id = $1")
        .bind(bio.link.domain_id)
        .fetch_one(write.connection())
        .await?;
    let draft = Draft {
        id: bio.id,
        workspace: bio.link.workspace_id,
        domain: &domain,
        slug: &bio.link.slug,
        content: &bio.link.content,
        look: &bio.look,
    };
    parts::settle(&mut write, &draft, fetched, now_ms).await?;
    write.commit(now_ms).await?;
    Ok(())
}

fn entry(draft: &Draft<'_>, link: i64, page: i64) -> Result<Vec<u8>, FieldError> {
    let key = Key {
        domain: entries::domain_number(draft.domain.id),
        slug: draft.slug,
        link: link.cast_unsigned(),
        workspace: draft.workspace.cast_unsigned(),
    };
    let pages = Pages {
        shown: Some(page),
        ..Pages::default()
    };
    draft.content.entry(key, pages)
}

fn row<'a>(draft: &'a Draft<'_>, link: i64, entry: &'a [u8]) -> Row<'a> {
    Row {
        id: link,
        kind: Kind::Bio,
        workspace: draft.workspace,
        domain: draft.domain.id,
        slug: draft.slug,
        content: draft.content,
        entry,
    }
}
