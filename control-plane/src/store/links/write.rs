//! Adding, changing and deleting links. Each is one transaction with the feed's change in it.

use schemas::feed::MAX_LINKS_PER_CHANGE;
use schemas::slug::Slug;
use sqlx::Row as _;

use super::Link;
use crate::domain::alias;
use crate::domain::field::FieldError;
use crate::domain::link::{Content, Edit, Key};
use crate::store::domains::Domain;
use crate::store::{Store, feed};

/// Draws before a free slug is given up on. One in millions is taken, so this is never reached by chance.
const DRAWS: usize = 10;

/// A link to be added.
#[derive(Debug, Clone)]
pub struct NewLink<'a> {
    /// Where it answers.
    pub domain: &'a Domain,
    /// Its slug; `None`: a random one.
    pub slug: Option<Slug>,
    /// What its owner set.
    pub content: Content,
}

/// What became of a new link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It exists.
    Link(Box<Link>),
    /// Its slug belongs to another.
    Taken(Slug),
    /// The rules refuse it.
    Refused(FieldError),
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No such link in the workspace.
    #[error("no such link")]
    NotFound,
    /// The slug belongs to another link.
    #[error("slug '{0}' is taken")]
    Taken(Slug),
    /// The rules refuse the result.
    #[error(transparent)]
    Refused(#[from] FieldError),
    /// The plan allows no more than this many links.
    #[error("the plan allows {0} links")]
    Limit(i64),
    /// The database's.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Whether links of one call depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    /// Each for itself.
    No,
    /// One that cannot be added keeps all others from being added.
    AllOrNothing,
}

/// What became of a call's links.
#[derive(Debug)]
pub struct Inserted {
    /// One for each, in their order. Where nothing was stored, [`Added::Link`] means: could have been.
    pub results: Vec<Added>,
    /// Whether they exist now.
    pub stored: bool,
}

/// Adds links in one transaction, at most [`MAX_LINKS_PER_CHANGE`], and says of each what became of it.
///
/// # Errors
/// The plan's limit, the database's; nothing was added then.
pub async fn insert(
    store: &Store,
    workspace: i64,
    links: Vec<NewLink<'_>>,
    together: Together,
    now_ms: i64,
) -> Result<Inserted, WriteError> {
    if links.len() > MAX_LINKS_PER_CHANGE {
        return Err(WriteError::Failed(anyhow::anyhow!(
            "{} links in one transaction",
            links.len()
        )));
    }
    let mut write = feed::Write::begin(store).await?;
    let count = i64::try_from(links.len()).unwrap_or(i64::MAX);
    let first_id = reserve_ids(&mut write, count).await?;
    check_limit(&mut write, workspace, count).await?;
    // In the order of their keys: two calls that want the same slugs wait for each other and never in a circle.
    let mut order: Vec<(usize, NewLink<'_>)> = links.into_iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| (a.domain.id, &a.slug).cmp(&(b.domain.id, &b.slug)));
    let mut results: Vec<Option<Added>> = vec![None; order.len()];
    for (place, new) in order {
        let id = first_id + i64::try_from(place).unwrap_or(0);
        let added = insert_one(&mut write, workspace, id, new, now_ms).await?;
        if let Some(result) = results.get_mut(place) {
            *result = Some(added);
        }
    }
    let results: Vec<Added> = results.into_iter().flatten().collect();
    let all = results.iter().all(|r| matches!(r, Added::Link(_)));
    let stored = all || together == Together::No;
    if stored {
        write.commit(now_ms).await?;
    }
    Ok(Inserted { results, stored })
}

/// Tries of a change that PostgreSQL breaks off because two of them wait for each other's slugs.
const TRIES: usize = 4;

/// What is to become of a link.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What its owner set.
    pub edit: &'a Edit,
    /// Another domain.
    pub domain: Option<&'a Domain>,
    /// Another slug.
    pub slug: Option<&'a Slug>,
}

/// Changes a link, and perhaps its slug or domain. Returns it as it is now.
///
/// # Errors
/// See [`WriteError`]; nothing was changed then.
pub async fn update(
    store: &Store,
    (workspace, id): (i64, i64),
    change: Change<'_>,
    now_ms: i64,
) -> Result<Link, WriteError> {
    for _ in 1..TRIES {
        match update_once(store, (workspace, id), change, now_ms).await {
            Err(WriteError::Failed(error)) if is_deadlock(&error) => {
                tracing::debug!("two changes waited for each other, trying again");
            }
            done => return done,
        }
    }
    update_once(store, (workspace, id), change, now_ms).await
}

fn is_deadlock(error: &anyhow::Error) -> bool {
    let database = error
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error);
    // PostgreSQL's deadlock_detected.
    database
        .and_then(|e| e.code())
        .is_some_and(|code| code == "40P01")
}

async fn update_once(
    store: &Store,
    (workspace, id): (i64, i64),
    change: Change<'_>,
    now_ms: i64,
) -> Result<Link, WriteError> {
    let mut write = feed::Write::begin(store).await?;
    // Locks the row, so that two changes of one link do not mix.
    let found = sqlx::query("UPDATE links SET updated_at = $1 WHERE id = $2 AND workspace_id = $3")
        .bind(now_ms)
        .bind(id)
        .bind(workspace)
        .execute(write.connection())
        .await?;
    if found.rows_affected() == 0 {
        return Err(WriteError::NotFound);
    }
    let row = sqlx::query(
        "SELECT l.*, d.base_url FROM links l JOIN domains d ON d.id = l.domain_id WHERE l.id = $1",
    )
    .bind(id)
    .fetch_one(write.connection())
    .await?;
    let old_entry: Vec<u8> = row.try_get("entry")?;
    let old: Link = sqlx::FromRow::from_row(&row)?;
    let mut new = old.clone();
    new.content.apply(change.edit)?;
    if let Some(slug) = change.slug {
        new.slug = slug.clone();
    }
    if let Some(domain) = change.domain {
        new.domain_id = domain.id;
        new.base_url.clone_from(&domain.base_url);
    }
    let entry = entry_of(&new)?;
    let held = held(&new, &entry);
    let done = sqlx::query(
        "UPDATE links SET domain_id = $1, slug = $2, destination = $3, title = $4, description = $5, \
         redirect_status = $6, is_private = $7, is_disabled = $8, starts_at = $9, expires_at = $10, expired_url = $11, \
         utm_source = $12, utm_medium = $13, utm_campaign = $14, utm_term = $15, utm_content = $16, parameters = $17, \
         search = $18, group_no = $19, entry = $20 WHERE id = $21",
    )
    .bind(new.domain_id)
    .bind(new.slug.as_str().to_owned());
    let done = bind_content(done, &new.content)
        .bind(new.content.search_text(&new.slug))
        .bind(held.group() as i64)
        .bind(entry.clone())
        .bind(id)
        .execute(write.connection())
        .await;
    match done {
        Ok(_) => {}
        Err(error) if crate::store::is_unique_violation(&error) => {
            return Err(WriteError::Taken(new.slug));
        }
        Err(error) => return Err(error.into()),
    }
    if (old.domain_id, &old.slug) != (new.domain_id, &new.slug) || old_entry != entry {
        write.changed(self::held(&old, &old_entry), held);
    }
    write.commit(now_ms).await?;
    Ok(new)
}

/// Deletes a link. Its id and its clicks stay, its slug is free again.
///
/// # Errors
/// See [`WriteError`].
pub async fn delete(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<(), WriteError> {
    let mut write = feed::Write::begin(store).await?;
    let row = sqlx::query(
        "DELETE FROM links WHERE id = $1 AND workspace_id = $2 RETURNING domain_id, slug, entry",
    )
    .bind(id)
    .bind(workspace)
    .fetch_optional(write.connection())
    .await?
    .ok_or(WriteError::NotFound)?;
    let (slug, entry): (String, Vec<u8>) = (row.try_get("slug")?, row.try_get("entry")?);
    write.removed(feed::Held {
        domain: domain_number(row.try_get("domain_id")?),
        slug: &slug,
        entry: &entry,
    });
    write.commit(now_ms).await?;
    Ok(())
}

async fn reserve_ids(write: &mut feed::Write, count: i64) -> sqlx::Result<i64> {
    let (next,): (i64,) =
        sqlx::query_as("UPDATE link_ids SET next_id = next_id + $1 WHERE id = 1 RETURNING next_id")
            .bind(count)
            .fetch_one(write.connection())
            .await?;
    Ok(next - count)
}

/// Links are counted only where a plan limits them, and no further than the limit.
async fn check_limit(write: &mut feed::Write, workspace: i64, more: i64) -> Result<(), WriteError> {
    let limit: Option<(Option<i64>,)> = sqlx::query_as(
        "SELECT p.max_links FROM workspaces w JOIN plans p ON p.id = w.plan_id WHERE w.id = $1",
    )
    .bind(workspace)
    .fetch_optional(write.connection())
    .await?;
    let Some((Some(limit),)) = limit else {
        return Ok(());
    };
    let (have,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM (SELECT 1 FROM links WHERE workspace_id = $1 LIMIT $2) AS counted",
    )
    .bind(workspace)
    .bind(limit)
    .fetch_one(write.connection())
    .await?;
    if have.saturating_add(more) > limit {
        return Err(WriteError::Limit(limit));
    }
    Ok(())
}

async fn insert_one(
    write: &mut feed::Write,
    workspace: i64,
    id: i64,
    new: NewLink<'_>,
    now_ms: i64,
) -> Result<Added, WriteError> {
    let draws = if new.slug.is_some() { 1 } else { DRAWS };
    for draw in 0..draws {
        let slug = match &new.slug {
            Some(slug) => slug.clone(),
            // Longer after some misses: then the short ones are running out.
            None => {
                alias::random(alias::LENGTH + draw / 3).map_err(|e| WriteError::Failed(e.into()))?
            }
        };
        let link = Link {
            id,
            uuid: uuid::Uuid::new_v4().to_string(),
            workspace_id: workspace,
            domain_id: new.domain.id,
            base_url: new.domain.base_url.clone(),
            slug,
            content: new.content.clone(),
            imported_clicks: 0,
            created_at: now_ms,
            updated_at: now_ms,
        };
        let entry = match entry_of(&link) {
            Ok(entry) => entry,
            Err(error) => return Ok(Added::Refused(error)),
        };
        if insert_row(write, &link, &entry).await? {
            write.added(held(&link, &entry));
            return Ok(Added::Link(Box::new(link)));
        }
        if new.slug.is_some() {
            return Ok(Added::Taken(link.slug));
        }
    }
    Err(WriteError::Failed(anyhow::anyhow!(
        "no free slug in {DRAWS} draws"
    )))
}

/// `false`: the slug is taken. The unique constraint decides, so in a race exactly one wins.
async fn insert_row(write: &mut feed::Write, link: &Link, entry: &[u8]) -> sqlx::Result<bool> {
    let query = sqlx::query(
        "INSERT INTO links (domain_id, slug, destination, title, description, redirect_status, is_private, \
         is_disabled, starts_at, expires_at, expired_url, utm_source, utm_medium, utm_campaign, utm_term, utm_content, \
         parameters, id, uuid, workspace_id, search, imported_clicks, created_at, updated_at, group_no, entry) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
         $23, $24, $25, $26) ON CONFLICT (domain_id, slug) DO NOTHING",
    )
    .bind(link.domain_id)
    .bind(link.slug.as_str().to_owned());
    let done = bind_content(query, &link.content)
        .bind(link.id)
        .bind(link.uuid.clone())
        .bind(link.workspace_id)
        .bind(link.content.search_text(&link.slug))
        .bind(link.imported_clicks)
        .bind(link.created_at)
        .bind(link.updated_at)
        .bind(held(link, entry).group() as i64)
        .bind(entry.to_vec())
        .execute(write.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

/// Binds the fifteen columns from `destination` to `parameters`.
fn bind_content<'q>(query: Query<'q>, content: &Content) -> Query<'q> {
    let mut query = query
        .bind(content.destination.clone())
        .bind(content.title.clone())
        .bind(content.description.clone())
        .bind(i64::from(content.status.code()))
        .bind(i64::from(content.is_private))
        .bind(i64::from(content.is_disabled))
        .bind(content.starts_at)
        .bind(content.expires_at)
        .bind(content.expired_url.clone());
    for value in &content.utm {
        query = query.bind(value.clone());
    }
    query.bind(serde_json::json!(content.parameters).to_string())
}

fn domain_number(id: i64) -> u32 {
    // Domains are numbered from 1 by hand of people; there are not four billion.
    u32::try_from(id).unwrap_or(u32::MAX)
}

fn entry_of(link: &Link) -> Result<Vec<u8>, FieldError> {
    link.content.entry(Key {
        domain: domain_number(link.domain_id),
        slug: &link.slug,
        link: link.id.cast_unsigned(),
        workspace: link.workspace_id.cast_unsigned(),
    })
}

fn held<'a>(link: &'a Link, entry: &'a [u8]) -> feed::Held<'a> {
    feed::Held {
        domain: domain_number(link.domain_id),
        slug: link.slug.as_str(),
        entry,
    }
}
