//! What must exist before the first call: workspace, administrator, first key, default domain, salts.

use anyhow::Context as _;
use schemas::feed::Workspace;

use super::domains::Domain;
use super::keys::KeyChoice;
use super::{Store, feed, keys, salts};
use crate::domain::key::{NewKey, Scopes};
use crate::domain::salt::Period;

/// What the first start puts in.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Host of the default domain, `localhost` for one without a name.
    pub host: &'a str,
    /// Scheme, host and port of the default domain's short URLs.
    pub base_url: &'a str,
    /// How long a visitor counts as the same.
    pub period: Period,
}

/// Brings the database to where calls can be answered; safe to repeat. `first_key` is asked for at the first start only.
///
/// # Errors
/// The database's; the host of the public URL is another domain's already.
pub async fn run(
    store: &Store,
    wanted: &Wanted<'_>,
    first_key: impl FnOnce() -> anyhow::Result<NewKey>,
    now_ms: i64,
) -> anyhow::Result<Domain> {
    let mut write = feed::Write::begin(store).await?;
    salts::lock(&mut write).await?;
    let (workspaces,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM workspaces")
        .fetch_one(write.connection())
        .await?;
    if workspaces == 0 {
        first_start(&mut write, &first_key()?, now_ms).await?;
    }
    let domain = default_domain(&mut write, wanted, now_ms).await?;
    salts::rotate_in(&mut write, wanted.period, now_ms).await?;
    write.commit(now_ms).await?;
    Ok(domain)
}

async fn first_start(write: &mut feed::Write, key: &NewKey, now_ms: i64) -> anyhow::Result<()> {
    let (workspace,): (i64,) = sqlx::query_as(
        "INSERT INTO workspaces (name, plan_id, suspended, created_at) \
         VALUES ('default', (SELECT id FROM plans WHERE name = 'free'), 0, $1) RETURNING id",
    )
    .bind(now_ms)
    .fetch_one(write.connection())
    .await?;
    // Without a password nobody can sign in as it; the key can set one.
    let (user,): (i64,) = sqlx::query_as(
        "INSERT INTO users (workspace_id, email, username, is_admin, created_at) \
         VALUES ($1, 'admin@localhost', 'admin', 1, $2) RETURNING id",
    )
    .bind(workspace)
    .bind(now_ms)
    .fetch_one(write.connection())
    .await?;
    sqlx::query("INSERT INTO members (workspace_id, user_id, role, created_at) VALUES ($1, $2, 'owner', $3)")
        .bind(workspace)
        .bind(user)
        .bind(now_ms)
        .execute(write.connection())
        .await?;
    let choice = KeyChoice {
        name: "admin".to_owned(),
        scopes: Scopes::all(),
        rate_per_minute: Some(0),
        expires_at: None,
    };
    keys::insert_in(write.connection(), (workspace, user), &choice, key, now_ms).await?;
    write.shared().workspace.push(Workspace {
        id: workspace.cast_unsigned(),
        suspended: false,
    });
    Ok(())
}

/// The default domain follows the public URL; links on it keep their slugs.
async fn default_domain(
    write: &mut feed::Write,
    wanted: &Wanted<'_>,
    now_ms: i64,
) -> anyhow::Result<Domain> {
    let old: Option<Domain> = sqlx::query_as("SELECT * FROM domains WHERE is_default = 1")
        .fetch_optional(write.connection())
        .await?;
    let domain: Domain = match old {
        Some(old) if old.host == wanted.host && old.base_url == wanted.base_url => return Ok(old),
        Some(old) => sqlx::query_as("UPDATE domains SET host = $1, name = $1, base_url = $2 WHERE id = $3 RETURNING *")
            .bind(wanted.host.to_owned())
            .bind(wanted.base_url.to_owned())
            .bind(old.id)
            .fetch_one(write.connection())
            .await
            .with_context(|| format!("cannot make '{}' of SIGNPOST_PUBLIC_URL the default domain", wanted.host))?,
        None => {
            sqlx::query_as(
                "INSERT INTO domains (workspace_id, host, name, base_url, root_url, not_found_url, is_live, is_default, created_at) \
                 VALUES (NULL, $1, $1, $2, '', '', 1, 1, $3) RETURNING *",
            )
            .bind(wanted.host.to_owned())
            .bind(wanted.base_url.to_owned())
            .bind(now_ms)
            .fetch_one(write.connection())
            .await?
        }
    };
    write.shared().domain.push(domain.to_feed());
    Ok(domain)
}
