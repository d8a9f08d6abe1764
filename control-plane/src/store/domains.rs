//! Domains that links answer on.

use schemas::feed::Domain as FeedDomain;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};

use super::{Store, feed};

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its id.
    pub id: i64,
    /// Whose it is; `None`: every workspace may use it.
    pub workspace_id: Option<i64>,
    /// Normalised host, see `schemas::host`. `localhost` stands for "every address without a name".
    pub host: String,
    /// Scheme, host and port of its short URLs, without a slash at the end.
    pub base_url: String,
    /// 302 from `/`; empty: our page.
    pub root_url: String,
    /// 302 from an unknown path; empty: our page.
    pub not_found_url: String,
    /// Visitors are answered.
    pub is_live: bool,
    /// Answers IP literals, localhost and requests without a host.
    pub is_default: bool,
}

impl<'r> FromRow<'r, AnyRow> for Domain {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            workspace_id: row.try_get("workspace_id")?,
            host: row.try_get("host")?,
            base_url: row.try_get("base_url")?,
            root_url: row.try_get("root_url")?,
            not_found_url: row.try_get("not_found_url")?,
            is_live: row.try_get::<i64, _>("is_live")? != 0,
            is_default: row.try_get::<i64, _>("is_default")? != 0,
        })
    }
}

impl Domain {
    /// What proxies get.
    pub fn to_feed(&self) -> FeedDomain {
        FeedDomain {
            id: u32::try_from(self.id).unwrap_or(u32::MAX),
            host: self.host.clone(),
            root_url: self.root_url.clone(),
            not_found_url: self.not_found_url.clone(),
            live: self.is_live,
            is_default: self.is_default,
        }
    }
}

/// What is chosen of a new domain.
#[derive(Debug, Clone, Default)]
pub struct NewDomain {
    /// See [`Domain`].
    pub workspace_id: Option<i64>,
    /// See [`Domain`].
    pub host: String,
    /// See [`Domain`].
    pub base_url: String,
    /// See [`Domain`].
    pub root_url: String,
    /// See [`Domain`].
    pub not_found_url: String,
    /// See [`Domain`].
    pub is_live: bool,
}

/// The default domain.
///
/// # Errors
/// The database's.
pub async fn default(store: &Store) -> sqlx::Result<Domain> {
    sqlx::query_as("SELECT * FROM domains WHERE is_default = 1")
        .fetch_one(store.readers())
        .await
}

/// The domain of this host.
///
/// # Errors
/// The database's.
pub async fn by_host(store: &Store, host: &str) -> sqlx::Result<Option<Domain>> {
    sqlx::query_as("SELECT * FROM domains WHERE host = $1")
        .bind(host)
        .fetch_optional(store.readers())
        .await
}

/// Those of these hosts that are domains of ours. At most a few thousand hosts.
///
/// # Errors
/// The database's.
pub async fn known(store: &Store, hosts: &[String]) -> sqlx::Result<Vec<String>> {
    let mut found = Vec::new();
    for chunk in hosts.chunks(super::LIST) {
        let list = super::placeholders(1, chunk.len());
        let sql = format!("SELECT host FROM domains WHERE host IN ({list})");
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for host in chunk {
            query = query.bind(host.clone());
        }
        let rows: Vec<(String,)> = query.fetch_all(store.readers()).await?;
        found.extend(rows.into_iter().map(|(host,)| host));
    }
    Ok(found)
}

/// Adds a domain, which proxies hear of at once. `None`: the host is taken.
///
/// # Errors
/// The database's.
pub async fn insert(store: &Store, new: &NewDomain, now_ms: i64) -> anyhow::Result<Option<Domain>> {
    let mut write = feed::Write::begin(store).await?;
    let domain: Option<Domain> = sqlx::query_as(
        "INSERT INTO domains (workspace_id, host, name, base_url, root_url, not_found_url, is_live, is_default, created_at) \
         VALUES ($1, $2, $2, $3, $4, $5, $6, 0, $7) ON CONFLICT (host) DO NOTHING RETURNING *",
    )
    .bind(new.workspace_id)
    .bind(new.host.clone())
    .bind(new.base_url.clone())
    .bind(new.root_url.clone())
    .bind(new.not_found_url.clone())
    .bind(i64::from(new.is_live))
    .bind(now_ms)
    .fetch_optional(write.connection())
    .await?;
    let Some(domain) = domain else {
        return Ok(None);
    };
    write.shared().domain.push(domain.to_feed());
    write.commit(now_ms).await?;
    Ok(Some(domain))
}
