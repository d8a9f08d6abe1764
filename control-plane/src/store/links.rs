//! Plain links, kind 0 of [`super::entries`], and with each write the feed's change. Rows of other kinds do not exist here.
//! Nor do links whose last instant has come (`deletes_at`), though [`delete_due`] may not have taken them away yet.

use schemas::link::Status;
use schemas::slug::Slug;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};

use super::Store;
use crate::domain::link::{Content, Extras};

pub mod code;
mod draft;
mod groups;
mod shown;
mod write;

pub use write::{Added, Change, Inserted, NewLink, Together, WriteError, delete, insert, update};

/// A link with the base URL of its domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: i64,
    /// Drawn when it was made. Dialects show ids in another form: [`crate::domain::uuids`].
    pub uuid: String,
    /// Whose it is.
    pub workspace_id: i64,
    /// Domain it answers on.
    pub domain_id: i64,
    /// Base of its short URL.
    pub base_url: String,
    /// Its path.
    pub slug: Slug,
    /// What its owner set.
    pub content: Content,
    /// Clicks brought in from elsewhere, in no other count.
    pub imported_clicks: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

impl Link {
    /// The short URL.
    pub fn short_url(&self) -> String {
        format!("{}/{}", self.base_url, self.slug.to_path())
    }
}

impl<'r> FromRow<'r, AnyRow> for Link {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let bad = |column: &str, why: String| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: why.into(),
        };
        let slug: String = row.try_get("slug")?;
        let status: i64 = row.try_get("redirect_status")?;
        let parameters: String = row.try_get("parameters")?;
        let extras: String = row.try_get("extras")?;
        Ok(Self {
            id: row.try_get("id")?,
            uuid: row.try_get("uuid")?,
            workspace_id: row.try_get("workspace_id")?,
            domain_id: row.try_get("domain_id")?,
            base_url: row.try_get("base_url")?,
            slug: Slug::parse(&slug).map_err(|e| bad("slug", e.to_string()))?,
            content: Content {
                destination: row.try_get("destination")?,
                title: row.try_get("title")?,
                description: row.try_get("description")?,
                status: u16::try_from(status)
                    .ok()
                    .and_then(Status::from_code)
                    .ok_or_else(|| bad("redirect_status", format!("{status} is no redirect")))?,
                is_private: row.try_get::<i64, _>("is_private")? != 0,
                is_disabled: row.try_get::<i64, _>("is_disabled")? != 0,
                starts_at: row.try_get("starts_at")?,
                expires_at: row.try_get("expires_at")?,
                expired_url: row.try_get("expired_url")?,
                utm: [
                    row.try_get("utm_source")?,
                    row.try_get("utm_medium")?,
                    row.try_get("utm_campaign")?,
                    row.try_get("utm_term")?,
                    row.try_get("utm_content")?,
                ],
                is_drawn: row.try_get::<i64, _>("is_drawn")? != 0,
                parameters: serde_json::from_str(&parameters)
                    .map_err(|e| bad("parameters", e.to_string()))?,
                extras: Extras::from_json(&extras).map_err(|e| bad("extras", e.to_string()))?,
            },
            imported_clicks: row.try_get("imported_clicks")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

/// The link of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, workspace: i64, id: i64) -> sqlx::Result<Option<Link>> {
    sqlx::query_as(
        "SELECT l.*, d.base_url FROM links l JOIN domains d ON d.id = l.domain_id \
         WHERE l.id = $1 AND l.workspace_id = $2 AND l.kind = 0 AND (l.deletes_at IS NULL OR l.deletes_at > $3)",
    )
    .bind(id)
    .bind(workspace)
    .bind(store.guard().now_ms())
    .fetch_optional(store.readers())
    .await
}

/// The link of this id, whosever it is: for what we do by ourselves.
///
/// # Errors
/// The database's.
pub async fn of_any_workspace(store: &Store, id: i64) -> sqlx::Result<Option<Link>> {
    sqlx::query_as(
        "SELECT l.*, d.base_url FROM links l JOIN domains d ON d.id = l.domain_id WHERE l.id = $1 AND l.kind = 0",
    )
    .bind(id)
    .fetch_optional(store.readers())
    .await
}

/// The link of this slug on a domain, if it is the workspace's.
///
/// # Errors
/// The database's.
pub async fn by_slug(
    store: &Store,
    workspace: i64,
    domain: i64,
    slug: &str,
) -> sqlx::Result<Option<Link>> {
    sqlx::query_as(
        "SELECT l.*, d.base_url FROM links l JOIN domains d ON d.id = l.domain_id \
         WHERE l.domain_id = $1 AND l.slug = $2 AND l.workspace_id = $3 AND l.kind = 0 \
         AND (l.deletes_at IS NULL OR l.deletes_at > $4)",
    )
    .bind(domain)
    .bind(slug.to_owned())
    .bind(workspace)
    .bind(store.guard().now_ms())
    .fetch_optional(store.readers())
    .await
}

/// Which links of a workspace are wanted; the default: all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Text in slug, destination or title, any case.
    pub search: String,
    /// Id of the folder they are in.
    pub folder: Option<i64>,
    /// Id of a tag they have.
    pub tag: Option<i64>,
}

impl Filter {
    /// The condition at this time, its parameters from `$2` on, and the values. Groups of another workspace hold no link of
    /// this one.
    fn sql(&self, now_ms: i64) -> (String, Vec<i64>, Option<String>) {
        let mut sql =
            "l.workspace_id = $1 AND l.kind = 0 AND (l.deletes_at IS NULL OR l.deletes_at > $2)"
                .to_owned();
        let mut ids = vec![now_ms];
        for (id, part) in [
            (
                self.folder,
                "SELECT f.link_id FROM folder_links f WHERE f.folder_id",
            ),
            (self.tag, "SELECT t.link_id FROM link_tags t WHERE t.tag_id"),
        ] {
            if let Some(id) = id {
                ids.push(id);
                sql.push_str(&format!(" AND l.id IN ({part} = ${})", ids.len() + 1));
            }
        }
        let search = self.search.trim();
        let pattern = (!search.is_empty()).then(|| super::holding(search));
        if pattern.is_some() {
            sql.push_str(&format!(" AND l.search LIKE ${} ESCAPE '!'", ids.len() + 2));
        }
        (sql, ids, pattern)
    }
}

/// Binds what [`Filter::sql`] asks for.
macro_rules! filtered {
    ($query:expr, $workspace:expr, $ids:expr, $pattern:expr) => {{
        let mut query = $query.bind($workspace);
        for id in $ids {
            query = query.bind(id);
        }
        if let Some(pattern) = $pattern {
            query = query.bind(pattern);
        }
        query
    }};
}

/// Number of links of a workspace that a filter lets through.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store, workspace: i64, filter: &Filter) -> sqlx::Result<i64> {
    let (condition, ids, pattern) = filter.sql(store.guard().now_ms());
    let sql = format!("SELECT COUNT(*) FROM links l WHERE {condition}");
    let query = sqlx::query_as(AssertSqlSafe(sql));
    let (count,): (i64,) = filtered!(query, workspace, ids, pattern)
        .fetch_one(store.readers())
        .await?;
    Ok(count)
}

/// Links of a workspace that a filter lets through, newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    filter: &Filter,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<Link>> {
    let (condition, ids, pattern) = filter.sql(store.guard().now_ms());
    let next = ids.len() + usize::from(pattern.is_some()) + 2;
    let sql = format!(
        "SELECT l.*, d.base_url FROM links l JOIN domains d ON d.id = l.domain_id \
         WHERE {condition} ORDER BY l.id DESC LIMIT ${next} OFFSET ${}",
        next + 1
    );
    let query = sqlx::query_as(AssertSqlSafe(sql));
    filtered!(query, workspace, ids, pattern)
        .bind(limit)
        .bind(offset)
        .fetch_all(store.readers())
        .await
}

/// Ids of all links of a workspace that a filter lets through, newest first: 8 bytes each.
///
/// # Errors
/// The database's.
pub async fn ids(store: &Store, workspace: i64, filter: &Filter) -> sqlx::Result<Vec<i64>> {
    let (condition, ids, pattern) = filter.sql(store.guard().now_ms());
    let sql = format!("SELECT l.id FROM links l WHERE {condition} ORDER BY l.id DESC");
    let query = sqlx::query_as(AssertSqlSafe(sql));
    let rows: Vec<(i64,)> = filtered!(query, workspace, ids, pattern)
        .fetch_all(store.readers())
        .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Links of a workspace by id, in the order of `ids`; those that do not exist are left out.
///
/// # Errors
/// The database's.
pub async fn by_ids(store: &Store, workspace: i64, ids: &[i64]) -> sqlx::Result<Vec<Link>> {
    let mut links = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(super::LIST) {
        let list = super::placeholders(3, chunk.len());
        let sql = format!(
            "SELECT l.*, d.base_url FROM links l JOIN domains d ON d.id = l.domain_id \
             WHERE l.workspace_id = $1 AND l.kind = 0 AND (l.deletes_at IS NULL OR l.deletes_at > $2) AND l.id IN ({list})"
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql))
            .bind(workspace)
            .bind(store.guard().now_ms());
        for id in chunk {
            query = query.bind(*id);
        }
        let mut rows: Vec<Link> = query.fetch_all(store.readers()).await?;
        for id in chunk {
            if let Some(at) = rows.iter().position(|link| link.id == *id) {
                links.push(rows.swap_remove(at));
            }
        }
    }
    Ok(links)
}

/// The next links of a workspace below `before`, newest first: an export reads page after page so, and holds no
/// connection while its client is slow.
///
/// # Errors
/// The database's.
pub async fn page_before(
    store: &Store,
    workspace: i64,
    before: i64,
    limit: i64,
) -> sqlx::Result<Vec<Link>> {
    sqlx::query_as(
        "SELECT l.*, d.base_url FROM links l JOIN domains d ON d.id = l.domain_id \
         WHERE l.workspace_id = $1 AND l.kind = 0 AND l.id < $2 AND (l.deletes_at IS NULL OR l.deletes_at > $4) \
         ORDER BY l.id DESC LIMIT $3",
    )
    .bind(workspace)
    .bind(before)
    .bind(limit)
    .bind(store.guard().now_ms())
    .fetch_all(store.readers())
    .await
}

/// Deletes links whose last instant has come, at most `limit`; returns how many. Nobody notices: they were not there.
///
/// # Errors
/// The database's.
pub async fn delete_due(store: &Store, limit: i64, now_ms: i64) -> Result<u64, WriteError> {
    let due: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT workspace_id, id FROM links WHERE deletes_at <= $1 ORDER BY deletes_at LIMIT $2",
    )
    .bind(now_ms)
    .bind(limit)
    .fetch_all(store.readers())
    .await?;
    let mut deleted = 0;
    for place in due {
        match delete(store, place, now_ms).await {
            Ok(()) => deleted += 1,
            // Somebody else was first.
            Err(WriteError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(deleted)
}
