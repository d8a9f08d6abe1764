//! Domains that links answer on.
//!
//! A domain of a workspace goes through three states. *Claimed*: it is added and its ownership not proved; `host` is
//! `<name>#<id>`, which no visitor can ask for, so claims of several workspaces stand side by side and block nobody.
//! *Live*: `host` is its name, proxies know it. *Deleted*: as claimed, and in no list; its links stay and answer nobody,
//! and when its workspace adds the same name again, the row and all its links are there as before.

use schemas::feed::Domain as FeedDomain;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow, Row as _};

use super::{Store, feed};

mod owned;

pub use owned::{
    Adding, NewClaim, Verified, add, claim_look, count, delete, due, get, make_live, note_look,
    page, update,
};

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its id.
    pub id: i64,
    /// Whose it is; `None`: every workspace may use it.
    pub workspace_id: Option<i64>,
    /// Normalised host, see `schemas::host`. `localhost` stands for "every address without a name". No host while the
    /// domain is not live.
    pub host: String,
    /// The host its owner added, live or not.
    pub name: String,
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
    /// How the proof of ownership stands.
    pub claim: Claim,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970; `None`: never changed.
    pub updated_at: Option<i64>,
}

/// How the proof of ownership stands. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// What the TXT record must hold; see `domain::domain_name`.
    pub token: String,
    /// The next look; `None`: none by itself.
    pub check_at: Option<i64>,
    /// The last look.
    pub checked_at: Option<i64>,
    /// Looks that found no proof.
    pub failures: i64,
    /// Why the last one did not.
    pub error: String,
    /// When the proof was found.
    pub verified_at: Option<i64>,
}

impl<'r> FromRow<'r, AnyRow> for Domain {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            workspace_id: row.try_get("workspace_id")?,
            host: row.try_get("host")?,
            name: row.try_get("name")?,
            base_url: row.try_get("base_url")?,
            root_url: row.try_get("root_url")?,
            not_found_url: row.try_get("not_found_url")?,
            is_live: row.try_get::<i64, _>("is_live")? != 0,
            is_default: row.try_get::<i64, _>("is_default")? != 0,
            claim: Claim {
                token: row.try_get("check_token")?,
                check_at: row.try_get("check_at")?,
                checked_at: row.try_get("checked_at")?,
                failures: row.try_get("check_failures")?,
                error: row.try_get("check_error")?,
                verified_at: row.try_get("verified_at")?,
            },
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
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

/// The domain of this id.
///
/// # Errors
/// The database's; there is none.
pub async fn by_id(store: &Store, id: i64) -> sqlx::Result<Domain> {
    sqlx::query_as("SELECT * FROM domains WHERE id = $1")
        .bind(id)
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
    if hosts.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = store.readers().acquire().await?;
    known_in(&mut connection, hosts).await
}

/// As [`known`], as this connection sees it.
///
/// # Errors
/// The database's.
pub(super) async fn known_in(
    connection: &mut AnyConnection,
    hosts: &[String],
) -> sqlx::Result<Vec<String>> {
    let mut found = Vec::new();
    for chunk in hosts.chunks(super::LIST) {
        let list = super::placeholders(1, chunk.len());
        let sql = format!("SELECT host FROM domains WHERE host IN ({list})");
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for host in chunk {
            query = query.bind(host.clone());
        }
        let rows: Vec<(String,)> = query.fetch_all(&mut *connection).await?;
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
