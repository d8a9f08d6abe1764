//! Stored files. Each has a row of `links` of kind 5: its address, expiry, password and number of downloads are that row's,
//! and its visits are its downloads. Rows, bytes used and the feed's change are one transaction.

use schemas::slug::Slug;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};

use super::Store;
use super::objects::Hash;
use crate::domain::link::{Content, Extras};

mod write;

pub use self::write::{FileWriteError, NewFile, Written, delete, insert, update};

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its id.
    pub id: i64,
    /// Whose it is.
    pub workspace_id: i64,
    /// Id that its downloads are counted under.
    pub link_id: i64,
    /// Domain it answers on.
    pub domain_id: i64,
    /// Base of its address.
    pub base_url: String,
    /// Its path there.
    pub slug: Slug,
    /// For lists.
    pub name: String,
    /// Name it is downloaded by.
    pub file_name: String,
    /// Type it is served as.
    pub content_type: String,
    /// SHA-256 of its bytes.
    pub hash: Hash,
    /// Length in bytes.
    pub size: u64,
    /// Where its bytes lie.
    pub storage_key: String,
    /// Rises with each change.
    pub version: i64,
    /// Expiry, password, number of downloads.
    pub content: Content,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl StoredFile {
    /// Its address.
    pub fn short_url(&self) -> String {
        format!("{}/{}", self.base_url, self.slug.to_path())
    }
}

impl<'r> FromRow<'r, AnyRow> for StoredFile {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let bad = |column: &str, why: String| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: why.into(),
        };
        let slug: String = row.try_get("slug")?;
        let extras: String = row.try_get("extras")?;
        let hash: Vec<u8> = row.try_get("hash")?;
        let name: String = row.try_get("name")?;
        Ok(Self {
            id: row.try_get("id")?,
            workspace_id: row.try_get("workspace_id")?,
            link_id: row.try_get("link_id")?,
            domain_id: row.try_get("domain_id")?,
            base_url: row.try_get("base_url")?,
            slug: Slug::parse(&slug).map_err(|e| bad("slug", e.to_string()))?,
            file_name: row.try_get("file_name")?,
            content_type: row.try_get("content_type")?,
            hash: hash
                .try_into()
                .map_err(|_| bad("hash", "is no SHA-256".to_owned()))?,
            size: row.try_get::<i64, _>("size")?.cast_unsigned(),
            storage_key: row.try_get("storage_key")?,
            version: row.try_get("version")?,
            content: Content {
                title: name.clone(),
                expires_at: row.try_get("expires_at")?,
                extras: Extras::from_json(&extras).map_err(|e| bad("extras", e.to_string()))?,
                ..Content::default()
            },
            name,
            created_at: row.try_get("created_at")?,
        })
    }
}

const SELECT: &str = "SELECT f.*, o.storage_key, l.domain_id, l.slug, l.expires_at, l.extras, d.base_url FROM files f \
     JOIN stored_objects o ON o.hash = f.hash JOIN links l ON l.id = f.link_id JOIN domains d ON d.id = l.domain_id";

/// The file of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, workspace: i64, id: i64) -> sqlx::Result<Option<StoredFile>> {
    let sql = format!("{SELECT} WHERE f.id = $1 AND f.workspace_id = $2");
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(id)
        .bind(workspace)
        .fetch_optional(store.readers())
        .await
}

/// Number of files of a workspace whose name holds `name`, in any case.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store, workspace: i64, name: &str) -> sqlx::Result<i64> {
    let (count,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM files WHERE workspace_id = $1 AND name_search LIKE $2 ESCAPE '!'",
    )
    .bind(workspace)
    .bind(super::holding(name))
    .fetch_one(store.readers())
    .await?;
    Ok(count)
}

/// Files of a workspace whose name holds `name`, in any case; newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    name: &str,
    (limit, offset): (i64, i64),
) -> sqlx::Result<Vec<StoredFile>> {
    let sql = format!(
        "{SELECT} WHERE f.workspace_id = $1 AND f.name_search LIKE $2 ESCAPE '!' ORDER BY f.id DESC LIMIT $3 OFFSET $4"
    );
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(workspace)
        .bind(super::holding(name))
        .bind(limit)
        .bind(offset)
        .fetch_all(store.readers())
        .await
}

/// Bytes of files of a workspace; equal bytes of two files count twice, for its owner sees two files.
///
/// # Errors
/// The database's.
pub async fn bytes_used(connection: &mut sqlx::AnyConnection, workspace: i64) -> sqlx::Result<i64> {
    // SUM of whole numbers is a decimal on PostgreSQL.
    let (used,): (i64,) = sqlx::query_as(
        "SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM files WHERE workspace_id = $1",
    )
    .bind(workspace)
    .fetch_one(connection)
    .await?;
    Ok(used)
}
