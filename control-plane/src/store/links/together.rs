//! Links of many callers in one transaction: the disk is waited for once for all of them. Each is added or refused for
//! itself, as if its call had come alone.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::shown;
use super::write::{Added, NewLink, WriteError};
use crate::domain::destination::leads_back;
use crate::domain::link::Pages;
use crate::domain::plan::{Feature, Limit, Plan, PlanRefusal};
use crate::store::plans::{self, PlanError};
use crate::store::{Store, domains, entries, feed, padded};

impl NewLink<'_> {
    /// Whether it can be added together with those of others: it needs no rows but its own, so that nobody waits for what
    /// another's call has locked.
    pub fn stands_alone(&self) -> bool {
        self.groups.is_empty() && shown::needs_no_page(&self.content)
    }

    /// Whether the plan allows it where `used` links are there.
    fn is_within(&self, plan: &Plan, used: i64) -> Result<(), PlanRefusal> {
        plan.allowance(Limit::Links).take(used, 1)?;
        let alias = self.slug.is_some().then_some(Feature::Alias);
        for feature in self.content.features().into_iter().chain(alias) {
            plan.need(feature)?;
        }
        Ok(())
    }
}

/// Adds links that stand alone, each with its workspace, and says of each what became of it, in their order.
///
/// # Errors
/// The database's, before anything has happened: each can be tried by itself.
pub async fn insert_each(
    store: &Store,
    links: Vec<(i64, NewLink<'_>)>,
    now_ms: i64,
) -> Result<Vec<Result<Added, WriteError>>, WriteError> {
    let mut write = feed::Write::begin(store).await?;
    // All locks of workspaces before any other, in the order of their numbers.
    let workspaces: BTreeSet<i64> = links.iter().map(|(workspace, _)| *workspace).collect();
    let mut counted: BTreeMap<i64, (Plan, i64)> = BTreeMap::new();
    for workspace in workspaces {
        let known = plans::counted(write.connection(), workspace, Limit::Links, now_ms).await?;
        counted.insert(workspace, known);
    }
    let hosts: BTreeSet<&String> = links
        .iter()
        .flat_map(|(_, new)| new.hosts.iter().map(|(_, host)| host))
        .collect();
    let hosts = padded(hosts.into_iter().cloned().collect());
    let ours = domains::known_in(write.connection(), &hosts).await?;
    let count = i64::try_from(links.len()).unwrap_or(i64::MAX);
    let first_id = entries::reserve_ids(&mut write, count).await?;
    // In the order of their keys, as in every call with more than one link.
    let mut waiting: Vec<(usize, (i64, NewLink<'_>))> = links.into_iter().enumerate().collect();
    waiting.sort_by(|(_, (_, a)), (_, (_, b))| (a.domain.id, &a.slug).cmp(&(b.domain.id, &b.slug)));
    let mut results: Vec<(usize, Result<Added, WriteError>)> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let mut drafts = Vec::with_capacity(waiting.len());
        let mut ahead: BTreeMap<i64, i64> = BTreeMap::new();
        let mut beyond = Vec::new();
        for (place, (workspace, new)) in waiting {
            let Some((plan, used)) = counted.get(&workspace) else {
                continue;
            };
            if let Some((field, _)) = new.hosts.iter().find(|(_, host)| ours.contains(host)) {
                results.push((place, Ok(Added::Refused(leads_back(field)))));
                continue;
            }
            let ahead = ahead.entry(workspace).or_default();
            match new.is_within(plan, *used + *ahead) {
                // Perhaps there is room for it when one ahead of it is not added.
                Err(_) if *ahead > 0 => {
                    beyond.push((place, (workspace, new)));
                    continue;
                }
                Err(refusal) => {
                    results.push((place, Err(PlanError::from(refusal).into())));
                    continue;
                }
                Ok(()) => {}
            }
            let id = first_id + i64::try_from(place).unwrap_or(0);
            let of = (workspace, id);
            match Draft::new(&mut write, of, new, Pages::default(), now_ms).await? {
                Ok(draft) => {
                    drafts.push((place, workspace, draft));
                    *ahead += 1;
                }
                Err(error) => results.push((place, Ok(Added::Refused(error)))),
            }
        }
        let rows: Vec<_> = drafts.iter().map(|(_, _, draft)| draft.row()).collect();
        let are_added = entries::insert_all(&mut write, &rows, now_ms).await?;
        for ((place, workspace, draft), is_added) in drafts.into_iter().zip(are_added) {
            let added = draft.finish(&mut write, is_added, now_ms).await?;
            if let (Added::Link(_), Some((_, used))) = (&added, counted.get_mut(&workspace)) {
                *used += 1;
            }
            results.push((place, Ok(added)));
        }
        waiting = beyond;
    }
    results.sort_by_key(|(place, _)| *place);
    let is_link = |result: &Result<Added, WriteError>| matches!(result, Ok(Added::Link(_)));
    if results.iter().any(|(_, result)| is_link(result))
        && let Err(error) = write.commit(now_ms).await
    {
        // It may have happened all the same: nothing is tried again.
        for (_, result) in results.iter_mut().filter(|(_, result)| is_link(result)) {
            let error = anyhow::anyhow!("a commit of many links failed: {error:#}");
            *result = Err(WriteError::Failed(error));
        }
    }
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
