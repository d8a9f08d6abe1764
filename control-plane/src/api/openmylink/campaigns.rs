//! `/campaigns`, `/campaign/…`.
//!
//! What the published documents leave open, decided here: `domain` and `campaign` of an answer repeat the name; a link is
//! in one campaign at most, so assigning it takes it out of another; `weight` (ours) in the body of an assignment is the
//! link's share in the rotation, 1 until it is given; an empty `slug` in an update takes the rotator away; `views` counts the
//! visits of rotator and list. A rotator without links, and the list of a campaign that is not public, answer 404. A
//! rotator leads to the newest 1,000 links of a campaign (fewer where their aliases are long), a list shows the newest 500.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::link_request::{text, yes_no};
use super::links::UNAVAILABLE;
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Ids, Object, Query, read};
use crate::app::App;
use crate::domain::campaign::{self, Edit, list_slug, rotator_slug};
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::metrics;
use crate::middleware::Caller;
use crate::stats::{StatsError, Totals};
use crate::store::campaigns::{self, Campaign, CampaignError};
use crate::store::{accounts, links};

/// A campaign as a caller wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct CampaignRequest {
    /// Its name: required in updates, else `Campaign <id>`.
    #[serde(deserialize_with = "text")]
    #[schema(example = "New Campaign")]
    name: Option<String>,
    /// Path of its rotator, behind `r/`.
    #[serde(deserialize_with = "text")]
    #[schema(example = "new-campaign")]
    slug: Option<String>,
    /// Whether everybody may see its list.
    #[serde(deserialize_with = "yes_no")]
    public: Option<bool>,
}

impl CampaignRequest {
    fn edit(self) -> Result<Edit, ApiError> {
        let name = self.name.filter(|name| !name.trim().is_empty());
        Ok(Edit {
            name: name.map(|name| campaign::name(&name)).transpose()?,
            slug: self.slug.map(|slug| campaign::slug(&slug)).transpose()?,
            is_public: self.public,
        })
    }
}

/// How a link is in a campaign.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct AssignRequest {
    /// Its share in the rotation, 1 to 1,000,000; when absent the one it has, at first 1.
    weight: Option<i64>,
}

/// `GET /campaigns`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CampaignsReply {
    #[schema(example = 0)]
    error: u8,
    data: CampaignPage,
}

/// A page of campaigns.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CampaignPage {
    #[serde(flatten)]
    paging: Paging,
    campaigns: Vec<Viewed>,
    /// `unavailable` when views are 0 because they could not be had; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'static str>,
}

/// A campaign in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Viewed {
    #[serde(flatten)]
    campaign: CampaignItem,
    /// Visits of its rotator and its list, bots excluded.
    views: u64,
}

/// A campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CampaignItem {
    id: i64,
    name: String,
    /// The name once more.
    domain: String,
    /// The name once more.
    campaign: String,
    public: bool,
    /// URL that leads to its links in turn; `false` without a slug.
    #[serde(serialize_with = "or_false")]
    #[schema(schema_with = text_or_false)]
    rotator: Option<String>,
    /// URL of its list, which everybody sees when it is public.
    list: String,
}

/// `POST /campaign/add`, `PUT /campaign/:id/update`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CampaignReply {
    #[schema(example = 0)]
    error: u8,
    #[serde(flatten)]
    campaign: CampaignItem,
}

/// `GET /campaign/:id`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CampaignLinksReply {
    #[schema(example = 0)]
    error: u8,
    details: CampaignItem,
    data: CampaignLinkPage,
}

/// A page of a campaign's links.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CampaignLinkPage {
    #[serde(flatten)]
    paging: Paging,
    links: Vec<CampaignLink>,
}

/// A link of a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CampaignLink {
    id: i64,
    title: String,
    shorturl: String,
    longurl: String,
    /// Its share in the rotation.
    weight: i64,
}

/// Campaigns of the workspace.
#[utoipa::path(get, path = "/api/campaigns", tag = "Campaigns", params(
    ("limit" = Option<i64>, Query, description = "campaigns a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = CampaignsReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<CampaignsReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let workspace = caller.workspace();
    let found = campaigns::page(&app.store, workspace, (limit, (page - 1) * limit)).await?;
    let count = campaigns::count(&app.store, workspace).await?;
    let views = views(&app, workspace, &found).await?;
    let none = HashMap::new();
    let known = views.as_ref().unwrap_or(&none);
    let viewed = |campaign: Campaign| -> Result<Viewed, ApiError> {
        let rows = [campaign.rotator_id, campaign.list_id];
        let clicks = |row: i64| known.get(&row.cast_unsigned()).map_or(0, |t| t.clicks);
        Ok(Viewed {
            views: rows.into_iter().flatten().map(clicks).sum(),
            campaign: item(&app, campaign)?,
        })
    };
    Ok(Json(CampaignsReply {
        error: 0,
        data: CampaignPage {
            paging: Paging::new(count, limit, page),
            campaigns: found.into_iter().map(viewed).collect::<Result<_, _>>()?,
            stats: views.is_none().then_some(UNAVAILABLE),
        },
    }))
}

/// One campaign with its links.
#[utoipa::path(get, path = "/api/campaign/{id}", tag = "Campaigns", params(
    ("id" = i64, Path),
    ("limit" = Option<i64>, Query, description = "links a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = CampaignLinksReply)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    query: Query,
) -> Reply<CampaignLinksReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let (workspace, id) = (caller.workspace(), id.of("campaign")?);
    let campaign = campaigns::get(&app.store, workspace, id)
        .await?
        .ok_or_else(|| ApiError::not_found("campaign", id))?;
    let count = campaigns::count_links(&app.store, id).await?;
    let weights = campaigns::links(&app.store, id, (limit, (page - 1) * limit)).await?;
    let ids: Vec<i64> = weights.iter().map(|(link, _)| *link).collect();
    let weights: HashMap<i64, i64> = weights.into_iter().collect();
    let links = links::by_ids(&app.store, workspace, &ids).await?;
    Ok(Json(CampaignLinksReply {
        error: 0,
        details: item(&app, campaign)?,
        data: CampaignLinkPage {
            paging: Paging::new(count, limit, page),
            links: links
                .into_iter()
                .map(|link| CampaignLink {
                    id: link.id,
                    shorturl: link.short_url(),
                    weight: weights.get(&link.id).copied().unwrap_or_default(),
                    title: link.content.title,
                    longurl: link.content.destination,
                })
                .collect(),
        },
    }))
}

/// Adds a campaign.
#[utoipa::path(post, path = "/api/campaign/add", tag = "Campaigns", request_body = CampaignRequest, responses((status = 200, body = CampaignReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<CampaignReply> {
    caller.need(Scope::Write)?;
    let edit = read::<CampaignRequest>(&body)?.edit()?;
    let now_ms = app.clock.now_ms();
    let user = accounts::get(&app.store, caller.key.user_id, now_ms)
        .await?
        .ok_or_else(|| ApiError::not_found("user", caller.key.user_id))?;
    let campaign = campaigns::create(
        &app.store,
        caller.workspace(),
        &user.username,
        &edit,
        now_ms,
    )
    .await
    .map_err(|error| refusal(error, 0, 0))?;
    Ok(Json(CampaignReply {
        error: 0,
        campaign: item(&app, campaign)?,
    }))
}

/// Puts a link into a campaign, out of the one it was in. Called again it changes the link's weight.
#[utoipa::path(post, path = "/api/campaign/{id}/assign/{linkid}", tag = "Campaigns", params(("id" = i64, Path), ("linkid" = i64, Path)), request_body = AssignRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn assign(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let (id, link) = (ids.of("id", "campaign")?, ids.of("linkid", "link")?);
    let weight = read::<AssignRequest>(&body)?.weight;
    let weight = weight.map(campaign::weight).transpose()?;
    let place = (caller.workspace(), id);
    campaigns::assign_link(&app.store, place, (link, weight), app.clock.now_ms())
        .await
        .map_err(|error| refusal(error, id, link))?;
    Ok(MessageReply::new(
        "Link successfully added to the campaign.",
    ))
}

/// Takes a link out of a campaign.
#[utoipa::path(delete, path = "/api/campaign/{id}/assign/{linkid}", tag = "Campaigns", params(("id" = i64, Path), ("linkid" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn unassign(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let (id, link) = (ids.of("id", "campaign")?, ids.of("linkid", "link")?);
    let place = (caller.workspace(), id);
    campaigns::unassign_link(&app.store, place, link, app.clock.now_ms())
        .await
        .map_err(|error| refusal(error, id, link))?;
    Ok(MessageReply::new(
        "Link successfully removed from the campaign.",
    ))
}

/// Changes a campaign: a name is needed, what else is not sent stays. Its URLs follow a new slug.
#[utoipa::path(put, path = "/api/campaign/{id}/update", tag = "Campaigns", params(("id" = i64, Path)), request_body = CampaignRequest, responses((status = 200, body = CampaignReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<CampaignReply> {
    caller.need(Scope::Write)?;
    let id = id.of("campaign")?;
    let edit = read::<CampaignRequest>(&body)?.edit()?;
    if !campaigns::exists(&app.store, caller.workspace(), id).await? {
        return Err(ApiError::not_found("campaign", id).into());
    }
    if edit.name.is_none() {
        return Err(ApiError::field("name", "is required").into());
    }
    let place = (caller.workspace(), id);
    let campaign = campaigns::update(&app.store, place, &edit, app.clock.now_ms())
        .await
        .map_err(|error| refusal(error, id, 0))?;
    Ok(Json(CampaignReply {
        error: 0,
        campaign: item(&app, campaign)?,
    }))
}

/// Deletes a campaign with its rotator and its list; its links stay.
#[utoipa::path(delete, path = "/api/campaign/{id}/delete", tag = "Campaigns", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let id = id.of("campaign")?;
    let place = (caller.workspace(), id);
    campaigns::delete(&app.store, place, app.clock.now_ms())
        .await
        .map_err(|error| refusal(error, id, 0))?;
    Ok(MessageReply::new("Campaign has been deleted successfully."))
}

fn item(app: &App, campaign: Campaign) -> Result<CampaignItem, ApiError> {
    let base = &app.default_domain.base_url;
    let slug = campaign.slug.as_ref();
    let rotator = slug.map(rotator_slug).transpose()?;
    let list = list_slug(&campaign.user_name, slug, campaign.id)?;
    Ok(CampaignItem {
        id: campaign.id,
        domain: campaign.name.clone(),
        campaign: campaign.name.clone(),
        name: campaign.name,
        public: campaign.is_public,
        rotator: rotator.map(|slug| format!("{base}/{}", slug.to_path())),
        list: format!("{base}/{}", list.to_path()),
    })
}

/// Clicks of rotators and lists in one question; `None` when ClickHouse is not there.
async fn views(
    app: &App,
    workspace: i64,
    campaigns: &[Campaign],
) -> Result<Option<HashMap<u64, Totals>>, ApiError> {
    let rows = campaigns.iter().flat_map(|c| [c.rotator_id, c.list_id]);
    let rows: Vec<u64> = rows.flatten().map(i64::cast_unsigned).collect();
    match app.stats.totals(workspace.cast_unsigned(), &rows).await {
        Ok(totals) => Ok(Some(totals)),
        Err(StatsError::Unavailable(why)) => {
            tracing::warn!(why, "campaigns are listed without their views");
            metrics::counts_missing();
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn refusal(error: CampaignError, id: i64, link: i64) -> ApiError {
    match error {
        CampaignError::NotFound => ApiError::not_found("campaign", id),
        CampaignError::NoLink => ApiError::not_found("link", link),
        CampaignError::Taken(slug) => ApiError::AliasTaken(slug.to_string()),
        CampaignError::Refused(error) => error.into(),
        CampaignError::Plan(error) => error.into(),
        CampaignError::Failed(error) => ApiError::Internal(error),
    }
}

/// The schema of what [`or_false`] writes.
fn text_or_false() -> utoipa::openapi::Schema {
    use utoipa::openapi::schema::{Object, OneOfBuilder, Schema, Type};
    Schema::OneOf(
        OneOfBuilder::new()
            .item(Object::with_type(Type::String))
            .item(Object::with_type(Type::Boolean))
            .build(),
    )
}

fn or_false<S: Serializer>(url: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    match url {
        Some(url) => to.serialize_str(url),
        None => to.serialize_bool(false),
    }
}
