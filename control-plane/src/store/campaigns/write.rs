//! Adding, changing and deleting campaigns, and putting links into them. Each is one transaction with the feed's change.

use schemas::slug::Slug;

use super::{Campaign, assign, lock, lock_of_links, shown};
use crate::domain::campaign::Edit;
use crate::domain::field::FieldError;
use crate::domain::plan::Feature;
use crate::store::entries::{self, Kind};
use crate::store::plans::{self, PlanError};
use crate::store::{Store, feed};

/// Why a campaign was not written.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// There is none of this id in the workspace.
    #[error("no such campaign")]
    NotFound,
    /// There is no link of this id in the workspace, or not in the campaign.
    #[error("no such link")]
    NoLink,
    /// The rotator's path is another's.
    #[error("slug '{0}' is taken")]
    Taken(Slug),
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] FieldError),
    /// The plan does not include campaigns.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The database's.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<sqlx::Error> for CampaignError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Adds a campaign. Without a name it is called after its id. `user_name` goes into the path of its list.
///
/// # Errors
/// See [`CampaignError`].
pub async fn create(
    store: &Store,
    workspace: i64,
    user_name: &str,
    edit: &Edit,
    now_ms: i64,
) -> Result<Campaign, CampaignError> {
    let mut write = feed::Write::begin(store).await?;
    plans::need(write.connection(), workspace, Feature::Campaigns, now_ms).await?;
    let slug = edit.slug.clone().flatten();
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO campaigns (workspace_id, user_name, name, slug, is_public, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING id",
    )
    .bind(workspace)
    .bind(user_name.to_owned())
    .bind(edit.name.clone().unwrap_or_default())
    .bind(slug.as_ref().map(Slug::as_str).unwrap_or_default().to_owned())
    .bind(i64::from(edit.is_public.unwrap_or(false)))
    .bind(now_ms)
    .fetch_one(write.connection())
    .await?;
    let name = edit
        .name
        .clone()
        .unwrap_or_else(|| format!("Campaign {id}"));
    let campaign: Campaign =
        sqlx::query_as("UPDATE campaigns SET name = $1 WHERE id = $2 RETURNING *")
            .bind(name)
            .bind(id)
            .fetch_one(write.connection())
            .await?;
    let campaign = shown::settle(&mut write, campaign, now_ms).await?;
    write.commit(now_ms).await?;
    Ok(campaign)
}

/// Changes a campaign; its URLs follow the new slug. Returns it as it is now.
///
/// # Errors
/// See [`CampaignError`].
pub async fn update(
    store: &Store,
    (workspace, id): (i64, i64),
    edit: &Edit,
    now_ms: i64,
) -> Result<Campaign, CampaignError> {
    let mut write = feed::Write::begin(store).await?;
    let slug = edit.slug.as_ref();
    let slug = slug.map(|slug| {
        slug.as_ref()
            .map(Slug::as_str)
            .unwrap_or_default()
            .to_owned()
    });
    let campaign: Option<Campaign> = sqlx::query_as(
        "UPDATE campaigns SET name = COALESCE($1, name), slug = COALESCE($2, slug), \
         is_public = COALESCE($3, is_public), updated_at = $4 WHERE id = $5 AND workspace_id = $6 RETURNING *",
    )
    .bind(edit.name.clone())
    .bind(slug)
    .bind(edit.is_public.map(i64::from))
    .bind(now_ms)
    .bind(id)
    .bind(workspace)
    .fetch_optional(write.connection())
    .await?;
    let campaign = campaign.ok_or(CampaignError::NotFound)?;
    let campaign = shown::settle(&mut write, campaign, now_ms).await?;
    write.commit(now_ms).await?;
    Ok(campaign)
}

/// Deletes a campaign with its rotator and its list; its links stay.
///
/// # Errors
/// See [`CampaignError`].
pub async fn delete(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<(), CampaignError> {
    let mut write = feed::Write::begin(store).await?;
    let campaign: Option<Campaign> =
        sqlx::query_as("DELETE FROM campaigns WHERE id = $1 AND workspace_id = $2 RETURNING *")
            .bind(id)
            .bind(workspace)
            .fetch_optional(write.connection())
            .await?;
    let campaign = campaign.ok_or(CampaignError::NotFound)?;
    for (kind, row) in [
        (Kind::Rotator, campaign.rotator_id),
        (Kind::List, campaign.list_id),
    ] {
        if let Some(row) = row {
            entries::delete(&mut write, (workspace, kind, row)).await?;
        }
    }
    shown::drop_page(&mut write, &campaign, now_ms).await?;
    write.commit(now_ms).await?;
    Ok(())
}

/// Puts a link into a campaign, out of the one it was in; called again it changes the weight.
///
/// # Errors
/// See [`CampaignError`].
pub async fn assign_link(
    store: &Store,
    (workspace, campaign): (i64, i64),
    (link, weight): (i64, Option<u32>),
    now_ms: i64,
) -> Result<(), CampaignError> {
    let mut write = feed::Write::begin(store).await?;
    entries::lock(&mut write, (workspace, Kind::Link, link), now_ms)
        .await?
        .ok_or(CampaignError::NoLink)?;
    let before = lock_of_links(write.connection(), &[link], now_ms).await?;
    let place = (workspace, campaign);
    if !assign(write.connection(), place, (link, weight), now_ms).await? {
        return Err(CampaignError::NotFound);
    }
    shown::follow(&mut write, &before, &[link], now_ms).await?;
    write.commit(now_ms).await?;
    Ok(())
}

/// Takes a link out of a campaign.
///
/// # Errors
/// See [`CampaignError`].
pub async fn unassign_link(
    store: &Store,
    (workspace, campaign): (i64, i64),
    link: i64,
    now_ms: i64,
) -> Result<(), CampaignError> {
    let mut write = feed::Write::begin(store).await?;
    entries::lock(&mut write, (workspace, Kind::Link, link), now_ms)
        .await?
        .ok_or(CampaignError::NoLink)?;
    let held = lock(write.connection(), campaign, now_ms).await?;
    if held.is_none_or(|c| c.workspace_id != workspace) {
        return Err(CampaignError::NotFound);
    }
    let done = sqlx::query("DELETE FROM campaign_links WHERE link_id = $1 AND campaign_id = $2")
        .bind(link)
        .bind(campaign)
        .execute(write.connection())
        .await?;
    if done.rows_affected() == 0 {
        return Err(CampaignError::NoLink);
    }
    shown::follow(&mut write, &[campaign], &[], now_ms).await?;
    write.commit(now_ms).await?;
    Ok(())
}
