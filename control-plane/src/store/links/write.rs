//! Adding, changing and deleting links. Each is one transaction with the feed's change in it.

use schemas::feed::MAX_LINKS_PER_CHANGE;
use schemas::slug::Slug;

use super::draft::Draft;
use super::shown::New;
use super::{Link, code, groups, shown};
use crate::domain::alias::Letters;
use crate::domain::channel::ItemKind;
use crate::domain::destination::Destination;
use crate::domain::field::FieldError;
use crate::domain::link::{Content, Edit, Groups, Key, Pages};
use crate::domain::plan::{Feature, Limit};
use crate::store::campaigns::{self, CampaignError};
use crate::store::channels::{self, Item};
use crate::store::domains::{self, Domain};
use crate::store::entries::{self, Kind, Taken};
use crate::store::looks::{self, Look};
use crate::store::plans::{self, PlanError};
use crate::store::{Store, feed};

/// A link to be added.
#[derive(Debug, Clone)]
pub struct NewLink<'a> {
    /// Where it answers.
    pub domain: &'a Domain,
    /// Its slug; `None`: a random one.
    pub slug: Option<Slug>,
    /// Of which letters a random one is.
    pub letters: Letters,
    /// What its owner set.
    pub content: Content,
    /// Where it is filed.
    pub groups: Groups,
    /// Clicks it had elsewhere.
    pub imported_clicks: i64,
    /// When it was made elsewhere, milliseconds since 1970; `None`: now.
    pub created_at: Option<i64>,
    /// What its destination is asked afterwards.
    pub look: Look,
    /// Hosts that must be no domain of ours, with the fields that name them; none where that was asked before.
    pub hosts: Vec<(&'a str, String)>,
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
    /// The plan does not allow it.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The database's.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<CampaignError> for WriteError {
    fn from(error: CampaignError) -> Self {
        match error {
            CampaignError::Refused(error) => Self::Refused(error),
            CampaignError::Failed(error) => Self::Failed(error),
            other => {
                Self::Failed(anyhow::Error::new(other).context("a campaign cannot follow its link"))
            }
        }
    }
}

/// Whether links of one call depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    /// Each for itself.
    No,
    /// One that cannot be added keeps all others from being added.
    AllOrNothing,
    /// Nothing is added; only said what would become of them.
    DryRun,
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
    plans::check(write.connection(), workspace, Limit::Links, count, now_ms).await?;
    let chosen = links.iter().any(|new| new.slug.is_some());
    let features = links.iter().flat_map(|new| new.content.features());
    let features = features.chain(chosen.then_some(Feature::Alias));
    need_all(&mut write, workspace, features.collect(), now_ms).await?;
    let first_id = entries::reserve_ids(&mut write, count).await?;
    // In the order of their keys: two calls that want the same slugs wait for each other and never in a circle.
    let mut order: Vec<(usize, NewLink<'_>)> = links.into_iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| (a.domain.id, &a.slug).cmp(&(b.domain.id, &b.slug)));
    let in_campaigns = order
        .iter()
        .any(|(_, new)| new.groups.campaign.flatten().is_some());
    let mut results: Vec<Option<Added>> = vec![None; order.len()];
    // All pages before the first link: who edits what they are made of takes its locks in that order.
    let mut pages = Vec::with_capacity(order.len());
    for (_, new) in &order {
        pages.push(
            match shown::find(&mut write, workspace, &new.content, now_ms).await {
                Err(WriteError::Refused(error)) => Err(error),
                found => Ok(found?),
            },
        );
    }
    let mut drafts = Vec::with_capacity(order.len());
    for ((place, new), pages) in order.into_iter().zip(pages) {
        let id = first_id + i64::try_from(place).unwrap_or(0);
        let draft = match pages {
            Ok(pages) => Draft::new(&mut write, (workspace, id), new, pages, now_ms).await?,
            Err(error) => Err(error),
        };
        match draft {
            Ok(draft) => drafts.push((place, draft)),
            Err(error) => {
                if let Some(result) = results.get_mut(place) {
                    *result = Some(Added::Refused(error));
                }
            }
        }
    }
    let rows: Vec<_> = drafts.iter().map(|(_, draft)| draft.row()).collect();
    let added = entries::insert_all(&mut write, &rows, now_ms).await?;
    for ((place, draft), is_added) in drafts.into_iter().zip(added) {
        let added = draft.finish(&mut write, is_added, now_ms).await?;
        if let Some(result) = results.get_mut(place) {
            *result = Some(added);
        }
    }
    let results: Vec<Added> = results.into_iter().flatten().collect();
    let all = results.iter().all(|r| matches!(r, Added::Link(_)));
    let stored = match together {
        Together::No => true,
        Together::AllOrNothing => all,
        Together::DryRun => false,
    };
    if stored {
        if in_campaigns {
            let ids: Vec<i64> = results
                .iter()
                .filter_map(|result| match result {
                    Added::Link(link) => Some(link.id),
                    Added::Taken(_) | Added::Refused(_) => None,
                })
                .collect();
            // Once for all of them, however many are in one campaign.
            campaigns::follow(&mut write, &[], &ids, now_ms).await?;
        }
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
    /// Where it is filed.
    pub groups: &'a Groups,
}

impl Change<'_> {
    /// Whether another loop could be closed by it.
    fn leads_elsewhere(&self) -> bool {
        self.domain.is_some() || self.slug.is_some() || self.edit.urls().next().is_some()
    }
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
    for _ in 0..TRIES {
        match update_once(store, (workspace, id), change, now_ms).await {
            Err(WriteError::Failed(error)) if crate::store::is_deadlock(&error) => {
                tracing::debug!("two changes waited for each other, trying again");
            }
            Ok(None) => tracing::debug!("two changes of a link's page met, trying again"),
            Ok(Some(link)) => return Ok(link),
            Err(error) => return Err(error),
        }
    }
    Err(WriteError::Failed(anyhow::anyhow!(
        "a change met others {TRIES} times"
    )))
}

/// Refuses what the plan does not include. Links that use nothing of the kind ask nothing.
async fn need_all(
    write: &mut feed::Write,
    workspace: i64,
    features: Vec<Feature>,
    now_ms: i64,
) -> Result<(), WriteError> {
    if features.is_empty() {
        return Ok(());
    }
    let plan = plans::in_force(write.connection(), workspace, now_ms).await?;
    for feature in features {
        plan.need(feature).map_err(PlanError::from)?;
    }
    Ok(())
}

async fn update_once(
    store: &Store,
    (workspace, id): (i64, i64),
    change: Change<'_>,
    now_ms: i64,
) -> Result<Option<Link>, WriteError> {
    let mut write = feed::Write::begin(store).await?;
    // Pages come before the link's row, so what it will show is found out before it is locked, and compared then.
    let mut planned = read(&mut write, (workspace, id), now_ms).await?.content;
    let had = planned.features();
    planned.apply(change.edit)?;
    // What a link had before the plan left it out, it keeps.
    let mut more = planned.features();
    more.retain(|feature| !had.contains(feature));
    more.extend(change.slug.map(|_| Feature::Alias));
    need_all(&mut write, workspace, more, now_ms).await?;
    let pages = shown::find(&mut write, workspace, &planned, now_ms).await?;
    let locked = entries::lock(&mut write, (workspace, Kind::Link, id), now_ms)
        .await?
        .ok_or(WriteError::NotFound)?;
    let campaigns = campaigns::lock_of_links(write.connection(), &[id], now_ms).await?;
    groups::check(&mut write, workspace, change.groups).await??;
    let mut new = read(&mut write, (workspace, id), now_ms).await?;
    new.content.apply(change.edit)?;
    if !shown::same(&planned.extras, &new.content.extras) {
        return Ok(None);
    }
    if let Some(slug) = change.slug {
        new.content.is_drawn &= new.slug == *slug;
        new.slug = slug.clone();
    }
    if let Some(domain) = change.domain {
        new.domain_id = domain.id;
        new.base_url.clone_from(&domain.base_url);
    }
    if change.leads_elsewhere() {
        no_way_back(&mut write, &new.content).await?;
    }
    let entry = entry_of(&new, pages)?;
    if let Err(Taken) = entries::update(&mut write, &locked, &row(&new, &entry)).await? {
        return Err(WriteError::Taken(new.slug));
    }
    if change.slug.is_some() || change.domain.is_some() {
        code::follow(&mut write, &new, now_ms).await?;
    }
    shown::note_shown(&mut write, id, pages, New::No).await?;
    let extras = &new.content.extras;
    let frames_now = change.edit.extras.surface.is_some() && extras.wanted_page().frames();
    if change.edit.destination.is_some() || frames_now {
        looks::want(&mut write, id, Look::Way, extras);
    }
    groups::assign(&mut write, (workspace, id), change.groups, now_ms).await?;
    campaigns::follow(&mut write, &campaigns, &[id], now_ms).await?;
    write.commit(now_ms).await?;
    Ok(Some(new))
}

/// A link that leads to a domain which became ours later is left alone, but not moved or led elsewhere: so no loop can be
/// closed, however many domains and links it would go through. (The last link of a loop to be written would lead to a
/// domain that was known then.)
async fn no_way_back(write: &mut feed::Write, content: &Content) -> Result<(), WriteError> {
    let urls = hosts_of(content);
    let mut hosts: Vec<String> = urls.iter().map(|(_, host)| host.clone()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let known = domains::known_in(write.connection(), &hosts).await?;
    match urls.into_iter().find(|(_, host)| known.contains(host)) {
        None => Ok(()),
        Some((field, host)) => {
            let problem = format!("must not lead to '{host}', which is a short domain of ours now");
            Err(FieldError::new(field, problem).into())
        }
    }
}

/// Fields with URLs, and the hosts they lead to.
fn hosts_of(content: &Content) -> Vec<(String, String)> {
    let hosts = content.urls().filter_map(|(field, url)| {
        let url = Destination::parse(&field, url).ok()?;
        Some((field, url.host()?))
    });
    hosts.collect()
}

async fn read(
    write: &mut feed::Write,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<Link, WriteError> {
    sqlx::query_as(
        "SELECT l.*, d.base_url FROM links l JOIN domains d ON d.id = l.domain_id \
         WHERE l.id = $1 AND l.workspace_id = $2 AND l.kind = 0 AND (l.deletes_at IS NULL OR l.deletes_at > $3)",
    )
    .bind(id)
    .bind(workspace)
    .bind(now_ms)
    .fetch_optional(write.connection())
    .await?
    .ok_or(WriteError::NotFound)
}

/// Deletes a link. Its id and its clicks stay, its slug rests ([`super::super::quarantine`]).
///
/// # Errors
/// See [`WriteError`].
pub async fn delete(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<(), WriteError> {
    let mut write = feed::Write::begin(store).await?;
    // Locked before its campaign, as everywhere.
    entries::lock(&mut write, (workspace, Kind::Link, id), now_ms)
        .await?
        .ok_or(WriteError::NotFound)?;
    let campaigns = campaigns::lock_of_links(write.connection(), &[id], now_ms).await?;
    code::delete(&mut write, (workspace, id)).await?;
    if !entries::delete(&mut write, (workspace, Kind::Link, id)).await? {
        return Err(WriteError::NotFound);
    }
    // The other groups' tables follow the link's row by themselves.
    let item = Item {
        kind: ItemKind::Link,
        item: id,
    };
    channels::forget(write.connection(), item).await?;
    campaigns::follow(&mut write, &campaigns, &[], now_ms).await?;
    write.commit(now_ms).await?;
    Ok(())
}

pub(super) fn entry_of(link: &Link, pages: Pages) -> Result<Vec<u8>, FieldError> {
    let key = Key {
        domain: entries::domain_number(link.domain_id),
        slug: &link.slug,
        link: link.id.cast_unsigned(),
        workspace: link.workspace_id.cast_unsigned(),
    };
    link.content.entry(key, pages)
}

pub(super) fn row<'a>(link: &'a Link, entry: &'a [u8]) -> entries::Row<'a> {
    entries::Row {
        id: link.id,
        kind: Kind::Link,
        workspace: link.workspace_id,
        domain: link.domain_id,
        slug: &link.slug,
        content: &link.content,
        entry,
    }
}
