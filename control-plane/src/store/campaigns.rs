//! Campaigns, which links are in them, and what visitors meet of them.
//!
//! A campaign's rotator and list are rows of `links` of their own kinds. Whoever changes which links are in a campaign, or
//! a link that is in one, makes them anew in the same transaction: [`lock_of_links`] before, [`follow`] after.

use std::collections::HashMap;

use schemas::slug::Slug;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow, Row as _};

use super::Store;
use crate::domain::campaign::DEFAULT_WEIGHT;

mod shown;
mod write;

pub use shown::follow;
pub use write::{CampaignError, assign_link, create, delete, unassign_link, update};

/// A campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Its id.
    pub id: i64,
    /// Whose it is.
    pub workspace_id: i64,
    /// Name of the user in the list's path.
    pub user_name: String,
    /// Its name.
    pub name: String,
    /// The rotator's path behind `r/`; `None`: no rotator.
    pub slug: Option<Slug>,
    /// Whether the list is shown.
    pub is_public: bool,
    /// Row of `links` that answers as its rotator.
    pub rotator_id: Option<i64>,
    /// Row of `links` that answers as its list.
    pub list_id: Option<i64>,
}

impl<'r> FromRow<'r, AnyRow> for Campaign {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let slug: String = row.try_get("slug")?;
        let slug = match slug.as_str() {
            "" => None,
            text => Some(Slug::parse(text).map_err(|e| sqlx::Error::ColumnDecode {
                index: "slug".to_owned(),
                source: e.into(),
            })?),
        };
        Ok(Self {
            id: row.try_get("id")?,
            workspace_id: row.try_get("workspace_id")?,
            user_name: row.try_get("user_name")?,
            name: row.try_get("name")?,
            slug,
            is_public: row.try_get::<i64, _>("is_public")? != 0,
            rotator_id: row.try_get("rotator_id")?,
            list_id: row.try_get("list_id")?,
        })
    }
}

/// Number of campaigns of a workspace.
///
/// # Errors
/// The database's.
pub async fn count(store: &Store, workspace: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM campaigns WHERE workspace_id = $1")
        .bind(workspace)
        .fetch_one(store.readers())
        .await?;
    Ok(count)
}

/// Campaigns of a workspace, newest first.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<Vec<Campaign>> {
    sqlx::query_as(
        "SELECT * FROM campaigns WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await
}

/// The campaign of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, workspace: i64, id: i64) -> sqlx::Result<Option<Campaign>> {
    sqlx::query_as("SELECT * FROM campaigns WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .fetch_optional(store.readers())
        .await
}

/// Number of links of a campaign, which is the workspace's.
///
/// # Errors
/// The database's.
pub async fn count_links(store: &Store, campaign: i64) -> sqlx::Result<i64> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM campaign_links WHERE campaign_id = $1")
            .bind(campaign)
            .fetch_one(store.readers())
            .await?;
    Ok(count)
}

/// Ids and weights of the links of a campaign, which is the workspace's: the newest link first.
///
/// # Errors
/// The database's.
pub async fn links(
    store: &Store,
    campaign: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<Vec<(i64, i64)>> {
    sqlx::query_as(
        "SELECT link_id, weight FROM campaign_links WHERE campaign_id = $1 ORDER BY link_id DESC LIMIT $2 OFFSET $3",
    )
    .bind(campaign)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await
}

/// Whether a workspace has this campaign.
///
/// # Errors
/// The database's.
pub async fn exists(store: &Store, workspace: i64, id: i64) -> sqlx::Result<bool> {
    let row = sqlx::query("SELECT 1 FROM campaigns WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .fetch_optional(store.readers())
        .await?;
    Ok(row.is_some())
}

/// Locks the campaigns these links are in until the transaction ends, and returns their ids: whoever changes or deletes
/// links calls this after locking the links and before changing them, for what visitors meet of the campaign is made
/// anew in the same transaction. Links first, then campaigns, lowest id first: so nobody waits in a circle.
///
/// # Errors
/// The database's.
pub async fn lock_of_links(
    connection: &mut AnyConnection,
    links: &[i64],
    now_ms: i64,
) -> sqlx::Result<Vec<i64>> {
    let mut campaigns: Vec<i64> = Vec::new();
    for chunk in links.chunks(super::LIST) {
        let list = super::placeholders(1, chunk.len());
        let sql =
            format!("SELECT DISTINCT campaign_id FROM campaign_links WHERE link_id IN ({list})");
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for link in chunk {
            query = query.bind(*link);
        }
        let rows: Vec<(i64,)> = query.fetch_all(&mut *connection).await?;
        campaigns.extend(rows.into_iter().map(|(id,)| id));
    }
    campaigns.sort_unstable();
    campaigns.dedup();
    for id in &campaigns {
        lock(connection, *id, now_ms).await?;
    }
    Ok(campaigns)
}

/// Locks a campaign until the transaction ends.
async fn lock(
    connection: &mut AnyConnection,
    id: i64,
    now_ms: i64,
) -> sqlx::Result<Option<Campaign>> {
    sqlx::query_as("UPDATE campaigns SET updated_at = $1 WHERE id = $2 RETURNING *")
        .bind(now_ms)
        .bind(id)
        .fetch_optional(connection)
        .await
}

/// Puts a link into a campaign, out of the one it was in. Without a weight it keeps the one it has there, else gets the
/// usual one. That the link is the workspace's is the caller's to know, and to have locked it. `false`: there is no such
/// campaign.
///
/// # Errors
/// The database's.
pub async fn assign(
    connection: &mut AnyConnection,
    (workspace, campaign): (i64, i64),
    (link, weight): (i64, Option<u32>),
    now_ms: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO campaign_links (link_id, campaign_id, weight, created_at) \
         SELECT $1, id, $2, $3 FROM campaigns WHERE id = $4 AND workspace_id = $5 \
         ON CONFLICT (link_id) DO UPDATE SET campaign_id = excluded.campaign_id, weight = CASE \
         WHEN $6 = 0 AND campaign_links.campaign_id = excluded.campaign_id THEN campaign_links.weight \
         ELSE excluded.weight END",
    )
    .bind(link)
    .bind(i64::from(weight.unwrap_or(DEFAULT_WEIGHT)))
    .bind(now_ms)
    .bind(campaign)
    .bind(workspace)
    .bind(i64::from(weight.is_some()))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Takes a link out of its campaign. That it is the workspace's is the caller's to know. `false`: it was in none.
///
/// # Errors
/// The database's.
pub async fn unassign(connection: &mut AnyConnection, link: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM campaign_links WHERE link_id = $1")
        .bind(link)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Id and name of the campaign of each of these links (of the caller's workspace), by link.
///
/// # Errors
/// The database's.
pub async fn of_links(store: &Store, links: &[i64]) -> sqlx::Result<HashMap<i64, (i64, String)>> {
    let mut found = HashMap::new();
    for chunk in links.chunks(super::LIST) {
        let list = super::placeholders(1, chunk.len());
        let sql = format!(
            "SELECT l.link_id, c.id, c.name FROM campaign_links l JOIN campaigns c ON c.id = l.campaign_id \
             WHERE l.link_id IN ({list})"
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for link in chunk {
            query = query.bind(*link);
        }
        let rows: Vec<(i64, i64, String)> = query.fetch_all(store.readers()).await?;
        found.extend(rows.into_iter().map(|(link, id, name)| (link, (id, name))));
    }
    Ok(found)
}
