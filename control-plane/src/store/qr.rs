//! QR codes. Each has a row of `links` for its own address `qr/<slug>`, one for the address of its image, and one for each
//! other format that its image is served in. All of them, and the blobs they name, change in one transaction with the feed.

use schemas::slug::Slug;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use super::Store;
use super::blobs::BlobHash;
use crate::domain::color::Color;
use crate::domain::destination::Destination;
use crate::domain::qr::style::{Correction, Format, Style};
use crate::domain::qr::{Content, Kind, Marked, entry, without_mark};
use crate::store::entries::domain_number;

mod downloads;
mod rows;
mod write;

pub use downloads::{Download, downloads};
pub use write::{Drawn, Place, QrWriteError, delete, insert, update};

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
    /// What it holds as its owner gave it; empty: what is in the image.
    pub given: String,
    /// The link it was made for, which may be gone.
    pub for_link: Option<i64>,
    /// Domain and path of that link, where it is there.
    for_place: Option<(i64, Slug)>,
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
        self.download_url(self.style.format)
    }

    /// Where its image is served without a key in another format, once that is one of its [`downloads`].
    pub fn download_url(&self, format: Format) -> String {
        let path = image_path(self.id, format);
        format!("{}/{path}?{}={}", self.base_url, entry::TOKEN, self.token)
    }

    /// What it leads to or holds.
    ///
    /// # Errors
    /// What is stored is no destination: the database is damaged.
    pub fn content(&self) -> anyhow::Result<Content> {
        if self.kind.is_tracked() {
            let url = Destination::parse("destination", &self.destination);
            return Ok(Content::Tracked(url.map_err(anyhow::Error::new)?));
        }
        let marked = without_mark(&self.text, &self.slug).zip(self.for_place.as_ref());
        Ok(match marked {
            Some((url, (domain, slug))) => Content::Marked(Marked {
                url: url.to_owned(),
                domain: domain_number(*domain),
                slug: slug.clone(),
            }),
            None => Content::Fixed(self.text.clone()),
        })
    }

    /// What it holds as its owner gave it.
    pub fn shown_content(&self) -> &str {
        if self.given.is_empty() {
            &self.text
        } else {
            &self.given
        }
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
        let for_domain: Option<i64> = row.try_get("for_domain")?;
        let for_slug: Option<String> = row.try_get("for_slug")?;
        let for_slug = for_slug.map(|slug| Slug::parse(&slug));
        let for_slug = for_slug
            .transpose()
            .map_err(|e| bad("for_slug", e.to_string()))?;
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
            given: row.try_get("content")?,
            for_link: row.try_get("for_link")?,
            for_place: for_domain.zip(for_slug),
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

const SELECT: &str = "SELECT q.*, l.domain_id, l.slug, l.destination, d.base_url, f.domain_id AS for_domain, f.slug AS for_slug \
     FROM qr_codes q JOIN links l ON l.id = q.link_id JOIN domains d ON d.id = l.domain_id \
     LEFT JOIN links f ON f.id = q.for_link AND f.workspace_id = q.workspace_id AND f.kind = 0";

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

/// Number of codes of a workspace whose names hold a text in any case.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store, workspace: i64, search: &str) -> sqlx::Result<i64> {
    let sql = format!("SELECT COUNT(*) FROM qr_codes q WHERE {NAMED}");
    let (lower, plain) = patterns(search);
    let (count,): (i64,) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(workspace)
        .bind(lower)
        .bind(plain)
        .fetch_one(store.readers())
        .await?;
    Ok(count)
}

/// Codes of a workspace whose names hold a text in any case, newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    search: &str,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<QrCode>> {
    let sql = format!("{SELECT} WHERE {NAMED} ORDER BY q.id DESC LIMIT $4 OFFSET $5");
    let (lower, plain) = patterns(search);
    sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(workspace)
        .bind(lower)
        .bind(plain)
        .bind(limit)
        .bind(offset)
        .fetch_all(store.readers())
        .await
}

/// SQLite lowers ASCII only: other letters are found as they are written.
const NAMED: &str =
    "q.workspace_id = $1 AND (LOWER(q.name) LIKE $2 ESCAPE '!' OR q.name LIKE $3 ESCAPE '!')";

fn patterns(search: &str) -> (String, String) {
    let search = search.trim();
    (super::holding(search), super::holding_as_it_is(search))
}

fn image_path(id: i64, format: Format) -> String {
    format!("dashboard/qrcodes/{id}/download/{}", format.name())
}
