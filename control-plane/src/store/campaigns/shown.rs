//! What visitors meet of a campaign: its rotator and its list, made of its links.
//!
//! The work of one refresh is bounded: a rotator is made of the newest links up to `MAX_PICKS`, a list of the public ones
//! among the newest [`LOOKED_AT`], of which it shows `MAX_LISTED`. Links that are switched off or expired stay in the
//! rotator, for the proxy passes over them by its own clock.

use anyhow::Context as _;
use schemas::link::plan::{MAX_PICKS, Pick};
use schemas::slug::Slug;
use sqlx::Row as _;

use super::write::CampaignError;
use super::{Campaign, lock, lock_of_links};
use crate::domain::campaign::{
    MAX_LISTED, closed_entry, list_entry, list_slug, pick, rotator_entry, rotator_slug,
};
use crate::domain::field::FieldError;
use crate::domain::link::{Content, Key};
use crate::render::{self, Listed};
use crate::store::domains::Domain;
use crate::store::entries::{self, Kind, Row, Taken};
use crate::store::{feed, pages};

/// Most campaigns that one transaction makes anew: their entries stay a small part of a frame of the feed.
const MAX_FOLLOWED: usize = 50;

/// Newest links of a campaign that are looked at for its list.
const LOOKED_AT: i64 = 4 * MAX_LISTED as i64;

/// Makes rotator and list anew of these campaigns, locked by [`lock_of_links`] before the change, and of those that these
/// links are in after it.
///
/// # Errors
/// More than 50 campaigns; the database's.
pub async fn follow(
    write: &mut feed::Write,
    before: &[i64],
    links: &[i64],
    now_ms: i64,
) -> Result<(), CampaignError> {
    let mut campaigns = lock_of_links(write.connection(), links, now_ms).await?;
    campaigns.extend_from_slice(before);
    campaigns.sort_unstable();
    campaigns.dedup();
    if campaigns.len() > MAX_FOLLOWED {
        let problem = format!("must be at most {MAX_FOLLOWED} different ones in one call");
        return Err(FieldError::new("campaign", problem).into());
    }
    for id in campaigns {
        // None: deleted in the same transaction.
        if let Some(campaign) = lock(write.connection(), id, now_ms).await? {
            settle(write, campaign, now_ms).await?;
        }
    }
    Ok(())
}

/// Brings the rows of a campaign, which is locked, to what it and its links say. Returns it with their ids.
pub(super) async fn settle(
    write: &mut feed::Write,
    mut campaign: Campaign,
    now_ms: i64,
) -> Result<Campaign, CampaignError> {
    let domain: Domain = sqlx::query_as("SELECT * FROM domains WHERE is_default = 1")
        .fetch_one(write.connection())
        .await?;
    match (&campaign.slug, campaign.rotator_id) {
        (Some(slug), row) => {
            let picks = picks(write, campaign.id).await?;
            let place = Place {
                campaign: &campaign,
                kind: Kind::Rotator,
                row,
                domain: domain.id,
                slug: rotator_slug(slug)?,
            };
            let row = place
                .put(write, |key| Ok(rotator_entry(key, picks)?), now_ms)
                .await?
                .map_err(|Taken| CampaignError::Taken(slug.clone()))?;
            campaign.rotator_id = Some(row);
        }
        (None, Some(row)) => {
            let whose = (campaign.workspace_id, Kind::Rotator, row);
            entries::delete(write, whose).await?;
            campaign.rotator_id = None;
        }
        (None, None) => {}
    }
    let page = if campaign.is_public {
        let (links, has_more) = listed(write, campaign.id, now_ms).await?;
        let page = render::list(&campaign.name, &links, has_more);
        let place = (
            campaign.workspace_id,
            pages::Kind::List,
            &*page_key(&campaign),
        );
        Some(pages::put(write, place, &page, now_ms).await?)
    } else {
        None
    };
    let slug = list_slug(&campaign.user_name, campaign.slug.as_ref(), campaign.id)?;
    let place = Place {
        campaign: &campaign,
        kind: Kind::List,
        row: campaign.list_id,
        domain: domain.id,
        slug,
    };
    let row = place
        .put(
            write,
            |key| match page {
                Some(page) => Ok(list_entry(key, page.cast_unsigned())?),
                None => Ok(closed_entry(key)?),
            },
            now_ms,
        )
        .await?
        .map_err(|Taken| CampaignError::Taken(place.slug.clone()))?;
    campaign.list_id = Some(row);
    if page.is_none() {
        drop_page(write, &campaign, now_ms).await?;
    }
    sqlx::query("UPDATE campaigns SET rotator_id = $1, list_id = $2 WHERE id = $3")
        .bind(campaign.rotator_id)
        .bind(campaign.list_id)
        .bind(campaign.id)
        .execute(write.connection())
        .await?;
    Ok(campaign)
}

/// Deletes the page of a list that nobody is to see any more.
pub(super) async fn drop_page(
    write: &mut feed::Write,
    campaign: &Campaign,
    now_ms: i64,
) -> anyhow::Result<()> {
    let key = page_key(campaign);
    let place = (campaign.workspace_id, pages::Kind::List, &*key);
    if let Some(page) = pages::find(write, place, now_ms).await? {
        pages::delete(write, page, now_ms).await?;
    }
    Ok(())
}

/// Key of a campaign's page among the lists of its workspace.
fn page_key(campaign: &Campaign) -> String {
    campaign.id.to_string()
}

/// Where a row of a campaign is, or is to be.
struct Place<'a> {
    campaign: &'a Campaign,
    kind: Kind,
    row: Option<i64>,
    domain: i64,
    slug: Slug,
}

impl Place<'_> {
    /// Adds or changes the row and returns its id.
    async fn put(
        &self,
        write: &mut feed::Write,
        entry: impl FnOnce(Key<'_>) -> anyhow::Result<Vec<u8>>,
        now_ms: i64,
    ) -> anyhow::Result<Result<i64, Taken>> {
        let workspace = self.campaign.workspace_id;
        let locked = match self.row {
            Some(row) => {
                let whose = (workspace, self.kind, row);
                let locked = entries::lock(write, whose, now_ms).await?;
                Some(locked.context("a row of a campaign is not there")?)
            }
            None => None,
        };
        let id = match &locked {
            Some(locked) => locked.id,
            None => entries::reserve_ids(write, 1).await?,
        };
        let entry = entry(Key {
            domain: entries::domain_number(self.domain),
            slug: &self.slug,
            link: id.cast_unsigned(),
            workspace: workspace.cast_unsigned(),
        })?;
        let content = Content {
            title: self.campaign.name.clone(),
            ..Content::default()
        };
        let row = Row {
            id,
            kind: self.kind,
            workspace,
            domain: self.domain,
            slug: &self.slug,
            content: &content,
            entry: &entry,
        };
        let done = match locked {
            None => {
                let uuid = uuid::Uuid::new_v4().to_string();
                let added = entries::insert(write, &row, &uuid, now_ms).await?;
                if added { Ok(()) } else { Err(Taken) }
            }
            Some(old) => entries::update(write, &old, &row).await?,
        };
        Ok(done.map(|()| id))
    }
}

/// The newest links of a campaign.
async fn picks(write: &mut feed::Write, campaign: i64) -> sqlx::Result<Vec<Pick>> {
    let rows: Vec<(i64, String, i64)> = sqlx::query_as(
        "SELECT l.domain_id, l.slug, c.weight FROM campaign_links c JOIN links l ON l.id = c.link_id \
         WHERE c.campaign_id = $1 ORDER BY c.link_id DESC LIMIT $2",
    )
    .bind(campaign)
    .bind(MAX_PICKS as i64)
    .fetch_all(write.connection())
    .await?;
    let pick = |(domain, slug, weight): (i64, String, i64)| {
        let weight = u32::try_from(weight).unwrap_or(1);
        pick(entries::domain_number(domain), slug, weight)
    };
    Ok(rows.into_iter().map(pick).collect())
}

/// The newest links of a campaign that everybody may see, and whether there are more than are shown.
async fn listed(
    write: &mut feed::Write,
    campaign: i64,
    now_ms: i64,
) -> sqlx::Result<(Vec<Listed>, bool)> {
    let rows = sqlx::query(
        "SELECT l.slug, l.title, d.base_url FROM (SELECT link_id FROM campaign_links WHERE campaign_id = $1 \
         ORDER BY link_id DESC LIMIT $2) c JOIN links l ON l.id = c.link_id JOIN domains d ON d.id = l.domain_id \
         WHERE l.is_private = 0 AND l.is_disabled = 0 AND d.is_live = 1 \
         AND NOT EXISTS (SELECT 1 FROM blocked_links b WHERE b.link_id = l.id) \
         AND (l.expires_at IS NULL OR l.expires_at > $3) ORDER BY l.id DESC LIMIT $4",
    )
    .bind(campaign)
    .bind(LOOKED_AT)
    .bind(now_ms)
    .bind(MAX_LISTED as i64 + 1)
    .fetch_all(write.connection())
    .await?;
    let mut links = Vec::with_capacity(rows.len().min(MAX_LISTED));
    for row in rows.iter().take(MAX_LISTED) {
        let slug: String = row.try_get("slug")?;
        let base: String = row.try_get("base_url")?;
        let slug = Slug::parse(&slug).map_err(|e| sqlx::Error::Decode(e.into()))?;
        links.push(Listed {
            title: row.try_get("title")?,
            short_url: format!("{base}/{}", slug.to_path()),
        });
    }
    Ok((links, rows.len() > MAX_LISTED))
}
