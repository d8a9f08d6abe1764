//! Which link answers a path, straight from the database: for operator commands that bring clicks in.

use schemas::host::Host;
use sqlx::Row as _;

use crate::config::Config;
use crate::store::{Store, domains};

/// A link that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub link: u64,
    /// Its owner.
    pub workspace: u64,
    /// Its domain.
    pub domain: u32,
    /// Its slug as stored.
    pub slug: String,
}

/// Finds links by host and slug.
#[derive(Debug)]
pub struct Resolver {
    store: Store,
}

impl Resolver {
    /// Opens the database of the settings.
    ///
    /// # Errors
    /// It is not there.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            store: crate::keys::open(config).await?,
        })
    }

    /// The link that a visitor of `host` would meet at `slug`: the exact form, else one trailing slash is ignored.
    /// A host that is an address or `localhost` means the default domain.
    ///
    /// # Errors
    /// The database's.
    pub async fn find(&self, host: &str, slug: &str) -> sqlx::Result<Option<Found>> {
        let domain = match Host::parse(host) {
            Ok(Host::Default) => Some(domains::default(&self.store).await?),
            Ok(Host::Name(name)) => domains::by_host(&self.store, &name).await?,
            Err(_) => None,
        };
        let Some(domain) = domain else {
            return Ok(None);
        };
        for slug in [Some(slug), slug.strip_suffix('/')].into_iter().flatten() {
            let row = sqlx::query(
                "SELECT id, workspace_id FROM links WHERE domain_id = $1 AND slug = $2",
            )
            .bind(domain.id)
            .bind(slug.to_owned())
            .fetch_optional(self.store.readers())
            .await?;
            if let Some(row) = row {
                return Ok(Some(Found {
                    link: row.try_get::<i64, _>(0)?.cast_unsigned(),
                    workspace: row.try_get::<i64, _>(1)?.cast_unsigned(),
                    domain: u32::try_from(domain.id).unwrap_or(u32::MAX),
                    slug: slug.to_owned(),
                }));
            }
        }
        Ok(None)
    }
}
