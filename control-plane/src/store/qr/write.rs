//! Adding, changing and deleting codes.

use schemas::slug::Slug;
use sqlx::Row as _;
use uuid::Uuid;

use super::QrCode;
use super::downloads::{self, Download};
use super::rows::{Ids, Rows};
use crate::domain::channel::ItemKind;
use crate::domain::plan::{Feature, Limit};
use crate::domain::qr::style::Style;
use crate::domain::qr::{Content, Kind};
use crate::store::blobs::{self, BlobHash};
use crate::store::channels::{self, Item};
use crate::store::domains::Domain;
use crate::store::entries::{self, Kind as EntryKind, Taken};
use crate::store::plans::{self, PlanError};
use crate::store::{Store, feed};

/// A code as it is to be, drawn already.
#[derive(Debug, Clone)]
pub struct Drawn<'a> {
    /// For lists.
    pub name: &'a str,
    /// What it leads to or holds.
    pub content: &'a Content,
    /// What is in the image.
    pub text: &'a str,
    /// How it looks.
    pub style: &'a Style,
    /// Its logo, a PNG.
    pub logo: Option<&'a [u8]>,
    /// Its image.
    pub image: &'a [u8],
    /// What it holds as its owner gave it; empty: the text.
    pub given: &'a str,
    /// Its image in other formats that are served.
    pub downloads: &'a [Download],
}

/// What cannot change of a new code.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// Whose it is.
    pub workspace: i64,
    /// Where it answers.
    pub domain: &'a Domain,
    /// Its path, `qr/…`.
    pub slug: &'a Slug,
    /// What it holds.
    pub kind: Kind,
    /// What opens the address of its image.
    pub token: &'a str,
    /// The link it is made for.
    pub for_link: Option<i64>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum QrWriteError {
    /// No such code in this workspace.
    #[error("no such QR code")]
    NotFound,
    /// The slug belongs to another row.
    #[error("the slug is taken")]
    Taken,
    /// It has changed since it was read, or this change and another waited for each other: begin anew.
    #[error("the QR code has changed since")]
    Stale,
    /// The plan does not include QR codes, or no more of them.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The database, or an entry that cannot be.
    #[error(transparent)]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for QrWriteError {
    fn from(error: anyhow::Error) -> Self {
        if crate::store::is_deadlock(&error) {
            Self::Stale
        } else {
            Self::Failed(error)
        }
    }
}

impl From<sqlx::Error> for QrWriteError {
    fn from(error: sqlx::Error) -> Self {
        anyhow::Error::new(error).into()
    }
}

/// Adds a code and returns its id.
///
/// # Errors
/// See [`QrWriteError`].
pub async fn insert(
    store: &Store,
    place: &Place<'_>,
    drawn: &Drawn<'_>,
    now_ms: i64,
) -> Result<i64, QrWriteError> {
    let mut write = feed::Write::begin(store).await?;
    plans::need(write.connection(), place.workspace, Feature::Qr, now_ms).await?;
    plans::check(
        write.connection(),
        place.workspace,
        Limit::QrCodes,
        1,
        now_ms,
    )
    .await?;
    if drawn.style.is_colored() {
        let colors = Feature::QrColors;
        plans::need(write.connection(), place.workspace, colors, now_ms).await?;
    }
    let link_id = entries::reserve_ids(&mut write, 2).await?;
    let image_link_id = link_id + 1;
    let image = blobs::hold(write.connection(), drawn.image).await?;
    let logo = hold(&mut write, drawn.logo).await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO qr_codes (workspace_id, link_id, image_link_id, kind, name, text, size, margin, foreground, \
         background, error_correction, format, logo_hash, image_hash, token, version, created_at, for_link, content) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1, $16, $17, $18) RETURNING id",
    )
    .bind(place.workspace)
    .bind(link_id)
    .bind(image_link_id)
    .bind(place.kind.name())
    .bind(drawn.name.to_owned())
    .bind(drawn.text.to_owned())
    .bind(i64::from(drawn.style.size))
    .bind(i64::from(drawn.style.margin))
    .bind(drawn.style.foreground.to_hex())
    .bind(drawn.style.background.to_hex())
    .bind(drawn.style.correction.name())
    .bind(drawn.style.format.name())
    .bind(logo.map(|hash| hash.0.to_vec()))
    .bind(image.0.to_vec())
    .bind(place.token.to_owned())
    .bind(now_ms)
    .bind(place.for_link)
    .bind(drawn.given.to_owned())
    .fetch_one(write.connection())
    .await?;
    let ids = Ids {
        id,
        workspace: place.workspace,
        domain: place.domain.id,
        link_id,
        image_link_id,
        slug: place.slug,
        token: place.token,
    };
    let rows = Rows::new(&ids, drawn)?;
    for row in [rows.scan(), rows.image()] {
        let uuid = Uuid::new_v4().to_string();
        if !entries::insert(&mut write, &row, &uuid, now_ms).await? {
            return Err(QrWriteError::Taken);
        }
    }
    downloads::put(&mut write, &ids, drawn.downloads, now_ms).await?;
    write.commit(now_ms).await?;
    Ok(id)
}

/// Writes what `old` has become.
///
/// # Errors
/// See [`QrWriteError`]; [`QrWriteError::Stale`]: read it again and begin anew.
pub async fn update(
    store: &Store,
    old: &QrCode,
    drawn: &Drawn<'_>,
    now_ms: i64,
) -> Result<(), QrWriteError> {
    let mut write = feed::Write::begin(store).await?;
    if drawn.style.is_colored() && !old.style.is_colored() {
        let colors = Feature::QrColors;
        plans::need(write.connection(), old.workspace_id, colors, now_ms).await?;
    }
    // The code's own row is locked before blobs, which it may share with others.
    let found = sqlx::query(
        "UPDATE qr_codes SET version = version + 1 WHERE id = $1 AND workspace_id = $2 AND version = $3",
    )
    .bind(old.id)
    .bind(old.workspace_id)
    .bind(old.version)
    .execute(write.connection())
    .await?;
    if found.rows_affected() == 0 {
        return Err(QrWriteError::Stale);
    }
    // The old blobs are let go of after the new ones are held: most of the time they are the same.
    let image = blobs::hold(write.connection(), drawn.image).await?;
    let logo = hold(&mut write, drawn.logo).await?;
    sqlx::query(
        "UPDATE qr_codes SET name = $1, text = $2, size = $3, margin = $4, foreground = $5, background = $6, \
         error_correction = $7, format = $8, logo_hash = $9, image_hash = $10, content = $11 WHERE id = $12",
    )
    .bind(drawn.name.to_owned())
    .bind(drawn.text.to_owned())
    .bind(i64::from(drawn.style.size))
    .bind(i64::from(drawn.style.margin))
    .bind(drawn.style.foreground.to_hex())
    .bind(drawn.style.background.to_hex())
    .bind(drawn.style.correction.name())
    .bind(drawn.style.format.name())
    .bind(logo.map(|hash| hash.0.to_vec()))
    .bind(image.0.to_vec())
    .bind(drawn.given.to_owned())
    .bind(old.id)
    .execute(write.connection())
    .await?;
    for hash in [Some(old.image), old.logo].into_iter().flatten() {
        blobs::release(write.connection(), hash, now_ms).await?;
    }
    let ids = Ids {
        id: old.id,
        workspace: old.workspace_id,
        domain: old.domain_id,
        link_id: old.link_id,
        image_link_id: old.image_link_id,
        slug: &old.slug,
        token: &old.token,
    };
    let rows = Rows::new(&ids, drawn)?;
    // A format may change from one row to the other: first those go that are not wanted any more.
    let place = (old.workspace_id, old.id);
    downloads::drop_others(&mut write, place, drawn.downloads, now_ms).await?;
    for row in [rows.scan(), rows.image()] {
        let key = (old.workspace_id, row.kind, row.id);
        let locked = entries::lock(&mut write, key, now_ms).await?;
        let locked = locked.ok_or(QrWriteError::NotFound)?;
        if let Err(Taken) = entries::update(&mut write, &locked, &row).await? {
            return Err(QrWriteError::Taken);
        }
    }
    downloads::put(&mut write, &ids, drawn.downloads, now_ms).await?;
    write.commit(now_ms).await?;
    Ok(())
}

/// Deletes a code; its scans stay counted under an id that nobody shows any more.
///
/// # Errors
/// See [`QrWriteError`].
pub async fn delete(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<(), QrWriteError> {
    let mut write = feed::Write::begin(store).await?;
    // Locked first, as everywhere; another workspace's code has no downloads to be dropped.
    let locked = sqlx::query(
        "UPDATE qr_codes SET version = version + 1 WHERE id = $1 AND workspace_id = $2",
    )
    .bind(id)
    .bind(workspace)
    .execute(write.connection())
    .await?;
    if locked.rows_affected() == 0 {
        return Err(QrWriteError::NotFound);
    }
    downloads::drop_others(&mut write, (workspace, id), &[], now_ms).await?;
    let row = sqlx::query(
        "DELETE FROM qr_codes WHERE id = $1 AND workspace_id = $2 \
         RETURNING link_id, image_link_id, image_hash, logo_hash",
    )
    .bind(id)
    .bind(workspace)
    .fetch_optional(write.connection())
    .await?
    .ok_or(QrWriteError::NotFound)?;
    for (kind, column) in [
        (EntryKind::Qr, "link_id"),
        (EntryKind::Body, "image_link_id"),
    ] {
        entries::delete(&mut write, (workspace, kind, row.try_get(column)?)).await?;
    }
    let image: Vec<u8> = row.try_get("image_hash")?;
    let logo: Option<Vec<u8>> = row.try_get("logo_hash")?;
    for bytes in [Some(image), logo].into_iter().flatten() {
        if let Ok(hash) = bytes.try_into() {
            blobs::release(write.connection(), BlobHash(hash), now_ms).await?;
        }
    }
    let item = Item {
        kind: ItemKind::Qr,
        item: id,
    };
    channels::forget(write.connection(), item).await?;
    write.commit(now_ms).await?;
    Ok(())
}

async fn hold(write: &mut feed::Write, bytes: Option<&[u8]>) -> anyhow::Result<Option<BlobHash>> {
    match bytes {
        None => Ok(None),
        Some(bytes) => blobs::hold(write.connection(), bytes).await.map(Some),
    }
}
