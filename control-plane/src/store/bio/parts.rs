//! What lies beside a page: brings its ways out, its pictures and its finished page to what its blocks say.
//!
//! The page is rendered twice. The first rendering says what it leads to and shows; what is new gets an address, what is
//! no longer there is deleted; the second rendering has all addresses. The work is bounded by the limits of
//! [`crate::domain::bio`], and nothing is written that has not changed.

use std::collections::BTreeMap;

use schemas::slug::Slug;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::write::{BioError, Fetched};
use super::{PictureRow, TargetRow, blocks, entry, pictures, slug_of, targets};
use crate::domain::alias::{self, Letters};
use crate::domain::bio::{Block, Look, MAX_PICTURES, MAX_TARGETS, PREFIX};
use crate::domain::field::FieldError;
use crate::domain::link::{Content, Key};
use crate::render::bio::{self, Ledger, Target, Way};
use crate::store::blobs::{self, BlobHash};
use crate::store::domains::Domain;
use crate::store::entries::{self, Kind, Row};
use crate::store::{feed, pages};

/// Characters of a drawn slug below [`PREFIX`]: 57^10, nobody guesses one and none comes twice.
const DRAWN: usize = 10;

/// A page as it is to be.
pub(super) struct Draft<'a> {
    pub(super) id: i64,
    pub(super) workspace: i64,
    pub(super) domain: &'a Domain,
    pub(super) slug: &'a Slug,
    pub(super) content: &'a Content,
    pub(super) look: &'a Look,
}

/// Brings everything beside the page's own entry up to date; the id of its finished page.
pub(super) async fn settle(
    write: &mut feed::Write,
    draft: &Draft<'_>,
    fetched: &[Fetched],
    now_ms: i64,
) -> Result<i64, BioError> {
    let rows = blocks(write.connection(), draft.id).await?;
    let blocks: Vec<(i64, Block)> = rows.into_iter().map(|row| (row.id, row.block)).collect();
    let url = format!("{}/{}", draft.domain.base_url, draft.slug.to_path());
    let page = bio::Page {
        title: &draft.content.title,
        description: &draft.content.description,
        url: &url,
        base_url: &draft.domain.base_url,
        look: draft.look,
        blocks: &blocks,
    };
    let needed = bio::needs(draft.look, &blocks);
    check(&needed)?;
    let slugs = settle_targets(write, draft, needed.ways, now_ms).await?;
    let shown = settle_pictures(write, draft, (&needed.wanted, fetched), now_ms).await?;
    let shown = shown.into_iter().map(|row| (row.url.clone(), row.shown()));
    let mut ledger = Ledger::new(slugs, shown.collect());
    let rendered = bio::page(&page, &mut ledger);
    let bytes = rendered.body.len();
    if bytes > blobs::MAX_BLOB_BYTES {
        let most = blobs::MAX_BLOB_BYTES;
        let problem = format!("of a page must take at most {most} bytes in all, not {bytes}");
        return Err(FieldError::new("blocks", problem).into());
    }
    let place = (draft.workspace, pages::Kind::Bio, &*draft.id.to_string());
    Ok(pages::put(write, place, &rendered, now_ms).await?)
}

fn check(needed: &Ledger) -> Result<(), FieldError> {
    for (what, count, most) in [
        ("links", needed.ways.len(), MAX_TARGETS),
        ("pictures", needed.wanted.len(), MAX_PICTURES),
    ] {
        if count > most {
            let problem = format!("of a page must have at most {most} {what} in all, not {count}");
            return Err(FieldError::new("blocks", problem));
        }
    }
    Ok(())
}

/// Ways out, by block and part.
async fn settle_targets(
    write: &mut feed::Write,
    draft: &Draft<'_>,
    ways: Vec<Way>,
    now_ms: i64,
) -> Result<BTreeMap<(i64, String), String>, BioError> {
    let rows = targets(write.connection(), draft.id).await?;
    let mut old: BTreeMap<(i64, String), TargetRow> = rows
        .into_iter()
        .map(|row| ((row.block_id, row.part.clone()), row))
        .collect();
    let mut slugs = BTreeMap::new();
    for way in ways {
        let key = (way.block, way.part.clone());
        let slug = match old.remove(&key) {
            Some(row) => {
                change_target(write, draft, &row, &way.target, now_ms).await?;
                row.slug
            }
            None => add_target(write, draft, &way, now_ms).await?,
        };
        slugs.insert(key, slug);
    }
    for row in old.into_values() {
        drop_target(write, draft.workspace, &row, now_ms).await?;
    }
    Ok(slugs)
}

async fn add_target(
    write: &mut feed::Write,
    draft: &Draft<'_>,
    way: &Way,
    now_ms: i64,
) -> Result<String, BioError> {
    let slug = drawn()?;
    let hash = hold(write, &way.target).await?;
    let bytes = |key: Key<'_>| entry::way(key, &way.target);
    let (link, mark) = add_entry(
        write,
        draft,
        (&slug, destination(&way.target)),
        bytes,
        now_ms,
    )
    .await?;
    sqlx::query(
        "INSERT INTO bio_targets (block_id, part, bio_id, link_id, slug, mark, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(way.block)
    .bind(way.part.clone())
    .bind(draft.id)
    .bind(link)
    .bind(slug.as_str().to_owned())
    .bind(mark)
    .bind(hash.map(|hash| hash.0.to_vec()))
    .execute(write.connection())
    .await?;
    Ok(slug.as_str().to_owned())
}

async fn change_target(
    write: &mut feed::Write,
    draft: &Draft<'_>,
    row: &TargetRow,
    target: &Target,
    now_ms: i64,
) -> Result<(), BioError> {
    let slug = slug_of(&row.slug)?;
    let bytes = entry::way(key(draft, &slug, row.link_id), target).map_err(unservable)?;
    let Some(mark) = change_entry(
        write,
        draft,
        (&slug, destination(target)),
        (row.link_id, &row.mark, &bytes),
        now_ms,
    )
    .await?
    else {
        return Ok(());
    };
    let hash = hold(write, target).await?;
    sqlx::query("UPDATE bio_targets SET mark = $1, hash = $2 WHERE block_id = $3 AND part = $4")
        .bind(mark)
        .bind(hash.map(|hash| hash.0.to_vec()))
        .bind(row.block_id)
        .bind(row.part.clone())
        .execute(write.connection())
        .await?;
    if let Some(hash) = row.hash {
        blobs::release(write.connection(), hash, now_ms).await?;
    }
    Ok(())
}

/// Deletes a way out; its clicks stay under an id that nobody shows any more.
pub(super) async fn drop_target(
    write: &mut feed::Write,
    workspace: i64,
    row: &TargetRow,
    now_ms: i64,
) -> Result<(), BioError> {
    entries::delete(write, (workspace, Kind::Body, row.link_id)).await?;
    sqlx::query("DELETE FROM bio_targets WHERE block_id = $1 AND part = $2")
        .bind(row.block_id)
        .bind(row.part.clone())
        .execute(write.connection())
        .await?;
    if let Some(hash) = row.hash {
        blobs::release(write.connection(), hash, now_ms).await?;
    }
    Ok(())
}

async fn hold(write: &mut feed::Write, target: &Target) -> anyhow::Result<Option<BlobHash>> {
    match entry::needs_blob(target) {
        None => Ok(None),
        Some(bytes) => blobs::hold(write.connection(), bytes).await.map(Some),
    }
}

/// Pictures that the page has.
async fn settle_pictures(
    write: &mut feed::Write,
    draft: &Draft<'_>,
    (wanted, fetched): (&[String], &[Fetched]),
    now_ms: i64,
) -> Result<Vec<PictureRow>, BioError> {
    let mut shown = Vec::with_capacity(wanted.len());
    for row in pictures(write.connection(), draft.id).await? {
        if wanted.contains(&row.url) {
            change_picture(write, draft, &row, now_ms).await?;
            shown.push(row);
        } else {
            drop_picture(write, (draft.workspace, draft.id), &row, now_ms).await?;
        }
    }
    for url in wanted {
        let is_there = shown.iter().any(|row| row.url == *url);
        // Not fetched: it was on the page a moment ago and another change has taken it off. It shows again when its
        // block is saved again.
        if !is_there && let Some(picture) = fetched.iter().find(|p| p.url == *url) {
            shown.push(add_picture(write, draft, picture, now_ms).await?);
        }
    }
    Ok(shown)
}

async fn add_picture(
    write: &mut feed::Write,
    draft: &Draft<'_>,
    picture: &Fetched,
    now_ms: i64,
) -> Result<PictureRow, BioError> {
    let slug = drawn()?;
    let hash = blobs::hold(write.connection(), &picture.bytes).await?;
    let size = picture.bytes.len() as u64;
    let bytes = |key: Key<'_>| entry::picture(key, (hash, size), picture.content_type);
    let (link_id, mark) = add_entry(write, draft, (&slug, ""), bytes, now_ms).await?;
    let row = PictureRow {
        url: picture.url.clone(),
        hash,
        size,
        content_type: picture.content_type.to_owned(),
        width: picture.width,
        height: picture.height,
        link_id,
        slug: slug.as_str().to_owned(),
        mark,
    };
    sqlx::query(
        "INSERT INTO bio_pictures (bio_id, source, url, hash, size, content_type, width, height, link_id, slug, mark) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(draft.id)
    .bind(Sha256::digest(&row.url).to_vec())
    .bind(row.url.clone())
    .bind(row.hash.0.to_vec())
    .bind(row.size.cast_signed())
    .bind(row.content_type.clone())
    .bind(i64::from(row.width))
    .bind(i64::from(row.height))
    .bind(row.link_id)
    .bind(row.slug.clone())
    .bind(row.mark.clone())
    .execute(write.connection())
    .await?;
    Ok(row)
}

/// Of a picture only its domain can change.
async fn change_picture(
    write: &mut feed::Write,
    draft: &Draft<'_>,
    row: &PictureRow,
    now_ms: i64,
) -> Result<(), BioError> {
    let slug = slug_of(&row.slug)?;
    let place = key(draft, &slug, row.link_id);
    let bytes =
        entry::picture(place, (row.hash, row.size), &row.content_type).map_err(unservable)?;
    let changed = (row.link_id, row.mark.as_slice(), bytes.as_slice());
    if let Some(mark) = change_entry(write, draft, (&slug, ""), changed, now_ms).await? {
        sqlx::query("UPDATE bio_pictures SET mark = $1 WHERE link_id = $2")
            .bind(mark)
            .bind(row.link_id)
            .execute(write.connection())
            .await?;
    }
    Ok(())
}

/// Deletes a picture of a page.
pub(super) async fn drop_picture(
    write: &mut feed::Write,
    (workspace, bio): (i64, i64),
    row: &PictureRow,
    now_ms: i64,
) -> Result<(), BioError> {
    entries::delete(write, (workspace, Kind::Body, row.link_id)).await?;
    sqlx::query("DELETE FROM bio_pictures WHERE bio_id = $1 AND link_id = $2")
        .bind(bio)
        .bind(row.link_id)
        .execute(write.connection())
        .await?;
    blobs::release(write.connection(), row.hash, now_ms).await?;
    Ok(())
}

fn drawn() -> anyhow::Result<Slug> {
    let drawn = alias::random(Letters::Both, DRAWN)?;
    Ok(Slug::parse(&format!("{PREFIX}{drawn}"))?)
}

fn key<'s>(draft: &Draft<'_>, slug: &'s Slug, link: i64) -> Key<'s> {
    Key {
        domain: entries::domain_number(draft.domain.id),
        slug,
        link: link.cast_unsigned(),
        workspace: draft.workspace.cast_unsigned(),
    }
}

fn destination(target: &Target) -> &str {
    match target {
        Target::Url(url) => url,
        Target::File { .. } => "",
    }
}

fn unservable(error: schemas::link::EntryError) -> FieldError {
    FieldError::new("block", format!("cannot be served: {error}"))
}

/// Adds an entry; its id and the mark of its bytes.
async fn add_entry(
    write: &mut feed::Write,
    draft: &Draft<'_>,
    (slug, destination): (&Slug, &str),
    bytes: impl FnOnce(Key<'_>) -> Result<Vec<u8>, schemas::link::EntryError>,
    now_ms: i64,
) -> Result<(i64, Vec<u8>), BioError> {
    let id = entries::reserve_ids(write, 1).await?;
    let bytes = bytes(key(draft, slug, id)).map_err(unservable)?;
    let content = content(draft, destination);
    let row = row(draft, (id, slug), &content, &bytes);
    let uuid = Uuid::new_v4().to_string();
    if !entries::insert(write, &row, &uuid, now_ms).await? {
        return Err(anyhow::anyhow!("a slug drawn for a block is taken").into());
    }
    Ok((id, Sha256::digest(&bytes).to_vec()))
}

/// Writes an entry's new bytes; their mark. `None`: they are what they were.
async fn change_entry(
    write: &mut feed::Write,
    draft: &Draft<'_>,
    (slug, destination): (&Slug, &str),
    (id, mark, bytes): (i64, &[u8], &[u8]),
    now_ms: i64,
) -> Result<Option<Vec<u8>>, BioError> {
    let new_mark = Sha256::digest(bytes).to_vec();
    if new_mark == mark {
        return Ok(None);
    }
    let whose = (draft.workspace, Kind::Body, id);
    let old = entries::lock(write, whose, now_ms).await?;
    let old = old.ok_or_else(|| anyhow::anyhow!("an entry of a block is not there"))?;
    let content = content(draft, destination);
    let row = row(draft, (id, slug), &content, bytes);
    if entries::update(write, &old, &row).await?.is_err() {
        return Err(anyhow::anyhow!("a slug drawn for a block is taken").into());
    }
    Ok(Some(new_mark))
}

fn content(draft: &Draft<'_>, destination: &str) -> Content {
    Content {
        destination: destination.to_owned(),
        title: draft.content.title.clone(),
        is_private: true,
        ..Content::default()
    }
}

fn row<'a>(
    draft: &Draft<'_>,
    (id, slug): (i64, &'a Slug),
    content: &'a Content,
    entry: &'a [u8],
) -> Row<'a> {
    Row {
        id,
        kind: Kind::Body,
        workspace: draft.workspace,
        domain: draft.domain.id,
        slug,
        content,
        entry,
    }
}
