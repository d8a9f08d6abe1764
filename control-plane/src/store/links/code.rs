//! The code of a link's own QR image: an entry at `qr/<hex>` on the link's domain that hops to the link, so that a visit
//! with its mark (`?qr=<hex>`) is a scan. It is made when an image is first asked for, follows the link to another slug or
//! domain, and goes with it. No list shows it, and it counts against no limit.

use schemas::slug::Slug;

use super::{Link, WriteError};
use crate::domain::link::{Content, Key};
use crate::domain::qr::{drawn_slug, entry};
use crate::store::entries::{self, Kind, Row};
use crate::store::{Store, feed};

/// Where codes are, before the hex digits of each.
const FOLDER: &str = "qr/";

/// The hex digits of a link's code, which is made if there is none.
///
/// # Errors
/// The database's; the link is not there.
pub async fn of_link(store: &Store, link: &Link, now_ms: i64) -> Result<String, WriteError> {
    let known: Option<(String,)> = sqlx::query_as(
        "SELECT c.slug FROM link_codes k JOIN links c ON c.id = k.code_id WHERE k.link_id = $1",
    )
    .bind(link.id)
    .fetch_optional(store.readers())
    .await?;
    if let Some((slug,)) = known {
        return Ok(digits(&slug));
    }
    let mut write = feed::Write::begin(store).await?;
    let code = entries::reserve_ids(&mut write, 1).await?;
    entries::lock(&mut write, (link.workspace_id, Kind::Link, link.id), now_ms)
        .await?
        .ok_or(WriteError::NotFound)?;
    if let Some((_, slug)) = find(&mut write, link.id).await? {
        return Ok(digits(&slug));
    }
    for draw in 0..entries::DRAWS {
        let slug = drawn_slug(draw).map_err(anyhow::Error::new)?;
        let slug = Slug::parse(&slug).map_err(anyhow::Error::new)?;
        let entry = bytes(link, code, &slug)?;
        let content = Content::default();
        let row = row(link, (code, &slug), &content, &entry);
        let uuid = uuid::Uuid::new_v4().to_string();
        if entries::insert(&mut write, &row, &uuid, now_ms).await? {
            sqlx::query("INSERT INTO link_codes (link_id, code_id) VALUES ($1, $2)")
                .bind(link.id)
                .bind(code)
                .execute(write.connection())
                .await?;
            write.commit(now_ms).await?;
            return Ok(digits(slug.as_str()));
        }
    }
    Err(WriteError::Failed(anyhow::anyhow!(
        "no free code in {} draws",
        entries::DRAWS
    )))
}

/// Leads the code of a link, whose row is locked, to where the link is now.
pub(super) async fn follow(
    write: &mut feed::Write,
    link: &Link,
    now_ms: i64,
) -> Result<(), WriteError> {
    let Some((code, slug)) = find(write, link.id).await? else {
        return Ok(());
    };
    let locked = entries::lock(write, (link.workspace_id, Kind::Qr, code), now_ms)
        .await?
        .ok_or_else(|| anyhow::anyhow!("the code of a link is not there"))?;
    let slug = Slug::parse(&slug).map_err(anyhow::Error::new)?;
    let entry = bytes(link, code, &slug)?;
    let content = Content::default();
    let row = row(link, (code, &slug), &content, &entry);
    entries::update(write, &locked, &row)
        .await?
        .map_err(|_| WriteError::Failed(anyhow::anyhow!("another code has this address there")))
}

/// Deletes the code of a link.
pub(super) async fn delete(
    write: &mut feed::Write,
    (workspace, link): (i64, i64),
) -> sqlx::Result<()> {
    if let Some((code, _)) = find(write, link).await? {
        entries::delete(write, (workspace, Kind::Qr, code)).await?;
    }
    Ok(())
}

async fn find(write: &mut feed::Write, link: i64) -> sqlx::Result<Option<(i64, String)>> {
    sqlx::query_as(
        "SELECT c.id, c.slug FROM link_codes k JOIN links c ON c.id = k.code_id WHERE k.link_id = $1",
    )
    .bind(link)
    .fetch_optional(write.connection())
    .await
}

fn digits(slug: &str) -> String {
    slug.strip_prefix(FOLDER).unwrap_or(slug).to_owned()
}

fn bytes(link: &Link, code: i64, slug: &Slug) -> Result<Vec<u8>, WriteError> {
    let key = Key {
        domain: entries::domain_number(link.domain_id),
        slug,
        link: code.cast_unsigned(),
        workspace: link.workspace_id.cast_unsigned(),
    };
    Ok(entry::mark(key, &link.slug).map_err(anyhow::Error::new)?)
}

fn row<'a>(
    link: &Link,
    (code, slug): (i64, &'a Slug),
    content: &'a Content,
    entry: &'a [u8],
) -> Row<'a> {
    Row {
        id: code,
        kind: Kind::Qr,
        workspace: link.workspace_id,
        domain: link.domain_id,
        slug,
        content,
        entry,
    }
}
