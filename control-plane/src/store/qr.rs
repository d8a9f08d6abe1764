//! QR codes. Each has two rows of `links`: its own address `qr/<slug>` and the address of its image. All three, and the
//! blobs they name, change in one transaction with the feed.

use schemas::slug::Slug;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::blobs::{self, BlobHash};
use super::channels::{self, Item};
use super::domains::Domain;
use super::entries::{self, Kind as EntryKind, Row, Taken};
use super::{Store, feed};
use crate::domain::channel::ItemKind;
use crate::domain::color::Color;
use crate::domain::destination::Destination;
use crate::domain::link::{Content as LinkContent, Key};
use crate::domain::plan::{Feature, Limit};
use crate::domain::qr::style::{Correction, Format, Style};
use crate::domain::qr::{Content, Kind, entry};
use crate::store::plans::{self, PlanError};

/// A QR code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QrCode {
    /// Its id.
    pub id: i64,
    /// Whose it is.
    pub workspace_id: i64,
    /// Id that its scans are counted under.
    pub link_id: i64,
    /// Id of the entry that serves its image.
    pub image_link_id: i64,
    /// Domain it answers on.
    pub domain_id: i64,
    /// Base of its addresses.
    pub base_url: String,
    /// Its path, `qr/…`.
    pub slug: Slug,
    /// What it holds.
    pub kind: Kind,
    /// For lists; empty: not named.
    pub name: String,
    /// What is in the image.
    pub text: String,
    /// Where a tracked code leads; empty for all others.
    pub destination: String,
    /// How it looks.
    pub style: Style,
    /// Its logo, a PNG.
    pub logo: Option<BlobHash>,
    /// Its image.
    pub image: BlobHash,
    /// What opens the address of its image.
    pub token: String,
    /// Rises with each change.
    pub version: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl QrCode {
    /// Its own address.
    pub fn link(&self) -> String {
        format!("{}/{}", self.base_url, self.slug.to_path())
    }

    /// Where its image is served without a key.
    pub fn image_url(&self) -> String {
        let path = image_path(self.id, self.style.format);
        format!("{}/{path}?{}={}", self.base_url, entry::TOKEN, self.token)
    }

    /// Its name, or a substitute.
    pub fn shown_name(&self) -> String {
        if self.name.is_empty() {
            format!("QR code {}", self.id)
        } else {
            self.name.clone()
        }
    }
}

impl<'r> FromRow<'r, AnyRow> for QrCode {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let bad = |column: &str, why: String| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: why.into(),
        };
        let text = |column: &str| row.try_get::<String, _>(column);
        let number = |column: &str| {
            let number: i64 = row.try_get(column)?;
            u32::try_from(number).map_err(|e| bad(column, e.to_string()))
        };
        let hash = |column: &str, bytes: Vec<u8>| {
            let hash = bytes.try_into().map(BlobHash);
            hash.map_err(|_| bad(column, "is no SHA-256".to_owned()))
        };
        let color = |column: &str| {
            Color::parse(column, &text(column)?).map_err(|e| bad(column, e.to_string()))
        };
        let logo: Option<Vec<u8>> = row.try_get("logo_hash")?;
        Ok(Self {
            id: row.try_get("id")?,
            workspace_id: row.try_get("workspace_id")?,
            link_id: row.try_get("link_id")?,
            image_link_id: row.try_get("image_link_id")?,
            domain_id: row.try_get("domain_id")?,
            base_url: row.try_get("base_url")?,
            slug: Slug::parse(&text("slug")?).map_err(|e| bad("slug", e.to_string()))?,
            kind: Kind::parse("kind", &text("kind")?).map_err(|e| bad("kind", e.to_string()))?,
            name: row.try_get("name")?,
            text: row.try_get("text")?,
            destination: row.try_get("destination")?,
            style: Style {
                size: number("size")?,
                margin: number("margin")?,
                foreground: color("foreground")?,
                background: color("background")?,
                correction: Correction::parse("error_correction", &text("error_correction")?)
                    .map_err(|e| bad("error_correction", e.to_string()))?,
                format: Format::parse("format", &text("format")?)
                    .map_err(|e| bad("format", e.to_string()))?,
            },
            logo: logo.map(|bytes| hash("logo_hash", bytes)).transpose()?,
            image: hash("image_hash", row.try_get("image_hash")?)?,
            token: row.try_get("token")?,
            version: row.try_get("version")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

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
        if super::is_deadlock(&error) {
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

const SELECT: &str = "SELECT q.*, l.domain_id, l.slug, l.destination, d.base_url FROM qr_codes q \
     JOIN links l ON l.id = q.link_id JOIN domains d ON d.id = l.domain_id";

/// The code of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, workspace: i64, id: i64) -> sqlx::Result<Option<QrCode>> {
    let sql = format!("{SELECT} WHERE q.id = $1 AND q.workspace_id = $2");
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(workspace)
        .fetch_optional(store.readers())
        .await
}

/// Codes with these ids in a workspace, in any order.
///
/// # Errors
/// The database's.
pub async fn by_ids(store: &Store, workspace: i64, ids: &[i64]) -> sqlx::Result<Vec<QrCode>> {
    let mut found = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(super::LIST) {
        let list = super::placeholders(2, chunk.len());
        let sql = format!("{SELECT} WHERE q.workspace_id = $1 AND q.id IN ({list})");
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(workspace);
        for id in chunk {
            query = query.bind(*id);
        }
        let rows: Vec<QrCode> = query.fetch_all(store.readers()).await?;
        found.extend(rows);
    }
    Ok(found)
}

/// Number of codes of a workspace.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store, workspace: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM qr_codes WHERE workspace_id = $1")
        .bind(workspace)
        .fetch_one(store.readers())
        .await?;
    Ok(count)
}

/// Codes of a workspace, newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<QrCode>> {
    let sql = format!("{SELECT} WHERE q.workspace_id = $1 ORDER BY q.id DESC LIMIT $2 OFFSET $3");
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(workspace)
        .bind(limit)
        .bind(offset)
        .fetch_all(store.readers())
        .await
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
    let link_id = entries::reserve_ids(&mut write, 2).await?;
    let image_link_id = link_id + 1;
    let image = blobs::hold(write.connection(), drawn.image).await?;
    let logo = hold(&mut write, drawn.logo).await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO qr_codes (workspace_id, link_id, image_link_id, kind, name, text, size, margin, foreground, \
         background, error_correction, format, logo_hash, image_hash, token, version, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1, $16) RETURNING id",
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
    .fetch_one(write.connection())
    .await?;
    let rows = Rows::new(
        Ids {
            id,
            workspace: place.workspace,
            domain: place.domain.id,
            link_id,
            image_link_id,
            slug: place.slug,
            token: place.token,
        },
        drawn,
    )?;
    for row in [rows.scan(), rows.image()] {
        let uuid = Uuid::new_v4().to_string();
        if !entries::insert(&mut write, &row, &uuid, now_ms).await? {
            return Err(QrWriteError::Taken);
        }
    }
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
         error_correction = $7, format = $8, logo_hash = $9, image_hash = $10 WHERE id = $11",
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
    .bind(old.id)
    .execute(write.connection())
    .await?;
    for hash in [Some(old.image), old.logo].into_iter().flatten() {
        blobs::release(write.connection(), hash, now_ms).await?;
    }
    let rows = Rows::new(
        Ids {
            id: old.id,
            workspace: old.workspace_id,
            domain: old.domain_id,
            link_id: old.link_id,
            image_link_id: old.image_link_id,
            slug: &old.slug,
            token: &old.token,
        },
        drawn,
    )?;
    for row in [rows.scan(), rows.image()] {
        let key = (old.workspace_id, row.kind, row.id);
        let locked = entries::lock(&mut write, key, now_ms).await?;
        let locked = locked.ok_or(QrWriteError::NotFound)?;
        if let Err(Taken) = entries::update(&mut write, &locked, &row).await? {
            return Err(QrWriteError::Taken);
        }
    }
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

fn image_path(id: i64, format: Format) -> String {
    format!("dashboard/qrcodes/{id}/download/{}", format.name())
}

/// What names a code and its rows.
struct Ids<'a> {
    id: i64,
    workspace: i64,
    domain: i64,
    link_id: i64,
    image_link_id: i64,
    slug: &'a Slug,
    token: &'a str,
}

impl Ids<'_> {
    fn key<'s>(&self, link: i64, slug: &'s Slug) -> Key<'s> {
        Key {
            domain: entries::domain_number(self.domain),
            slug,
            link: link.cast_unsigned(),
            workspace: self.workspace.cast_unsigned(),
        }
    }
}

/// The two rows of `links`.
struct Rows<'a> {
    ids: Ids<'a>,
    image_slug: Slug,
    content: LinkContent,
    image_content: LinkContent,
    scan_entry: Vec<u8>,
    image_entry: Vec<u8>,
}

impl<'a> Rows<'a> {
    fn new(ids: Ids<'a>, drawn: &Drawn<'_>) -> anyhow::Result<Self> {
        let image_slug = Slug::parse(&image_path(ids.id, drawn.style.format))?;
        let body = entry::body(ids.id, drawn.style.format, drawn.image);
        let image_entry = entry::image(
            ids.key(ids.image_link_id, &image_slug),
            ids.token,
            body.clone(),
        )?;
        let destination = match drawn.content {
            Content::Tracked(url) => url.as_str().to_owned(),
            Content::Fixed(_) => String::new(),
        };
        let scan_entry = entry::scan(ids.key(ids.link_id, ids.slug), drawn.content, body)?;
        Ok(Self {
            ids,
            image_slug,
            content: LinkContent {
                destination,
                title: drawn.name.to_owned(),
                ..LinkContent::default()
            },
            image_content: LinkContent::default(),
            scan_entry,
            image_entry,
        })
    }

    fn scan(&self) -> Row<'_> {
        Row {
            id: self.ids.link_id,
            kind: EntryKind::Qr,
            workspace: self.ids.workspace,
            domain: self.ids.domain,
            slug: self.ids.slug,
            content: &self.content,
            entry: &self.scan_entry,
        }
    }

    fn image(&self) -> Row<'_> {
        Row {
            id: self.ids.image_link_id,
            kind: EntryKind::Body,
            workspace: self.ids.workspace,
            domain: self.ids.domain,
            slug: &self.image_slug,
            content: &self.image_content,
            entry: &self.image_entry,
        }
    }
}

/// The destination of a tracked code as a value, from its row.
///
/// # Errors
/// What is stored is no destination: the database is damaged.
pub fn destination(code: &QrCode) -> anyhow::Result<Destination> {
    Destination::parse("destination", &code.destination).map_err(anyhow::Error::new)
}
