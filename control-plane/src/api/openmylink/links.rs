//! `/urls`, `/url/add`, `/url/:id/update`, `/url/:id/delete`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::link_request::{LinkRequest, wish};
use super::reply::{Failure, MessageReply, Paging, Reply};
use super::single;
pub(super) use crate::api::counts::totals;
use crate::api::request::{Id, Object, Query};
use crate::app::App;
use crate::domain::date;
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::links::Wish;
use crate::middleware::Caller;
use crate::stats::Totals;
use crate::store::links::{self, Filter, Link};
use crate::store::looks::Look;
use crate::store::{campaigns, channels};

/// What stands beside counts that could not be had.
pub(super) const UNAVAILABLE: &str = "unavailable";

/// Longest text to search for, in characters.
const MAX_SEARCH: usize = 1000;

/// `GET /urls`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UrlsReply {
    #[schema(example = 0)]
    error: u8,
    data: UrlPage,
}

/// A page of links.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UrlPage {
    #[serde(flatten)]
    paging: Paging,
    urls: Vec<UrlItem>,
    /// `unavailable` when clicks are 0 because they could not be had; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'static str>,
}

/// A link in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UrlItem {
    id: i64,
    alias: String,
    shorturl: String,
    /// The URL as its owner gave it, without UTM fields and parameters.
    longurl: String,
    domain: String,
    /// Visits, bots excluded.
    clicks: u64,
    uniqueclicks: u64,
    title: String,
    description: String,
    /// Names of its channels.
    channel: Vec<String>,
    /// Name of its campaign.
    campaign: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// `POST /url/add`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AddReply {
    #[schema(example = 0)]
    error: u8,
    #[schema(example = 12345)]
    id: i64,
    #[schema(example = "https://go.example/spring-sale")]
    shorturl: String,
    data: Added,
}

/// The same once more, as the other half of clients expects it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Added {
    id: i64,
    short_url: String,
}

/// `PUT /url/:id/update`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UpdateReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    short: String,
    shorturl: String,
}

/// Order of `GET /urls`.
#[derive(Debug, Clone, Copy)]
enum Order {
    Date,
    Clicks,
}

/// Links of the workspace. With `short` the answer is that of `GET /url/:id`.
#[utoipa::path(get, path = "/api/urls", tag = "Links", params(
    ("limit" = Option<i64>, Query, description = "links a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
    ("order" = Option<String>, Query, description = "date (newest first) or click (most clicks first)"),
    ("q" = Option<String>, Query, description = "text in alias, destination or title, any case"),
    ("folder" = Option<i64>, Query, description = "id of a folder: only links in it"),
    ("tag" = Option<i64>, Query, description = "id of a tag: only links that have it"),
    ("short" = Option<String>, Query, description = "a full short URL: that link alone"),
), responses((status = 200, body = UrlsReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Result<Response, Failure> {
    caller.need(Scope::Read)?;
    if let Some(short) = query.text("short") {
        let link = crate::links::by_short_url(&app, caller.workspace(), short).await?;
        return Ok(single::reply(&app, link).await?.into_response());
    }
    let (limit, page) = query.paging()?;
    let order = query.word(
        "order",
        &[("date", Order::Date), ("click", Order::Clicks)],
        Order::Date,
    )?;
    let search = crate::domain::field::line("q", query.text("q").unwrap_or_default(), MAX_SEARCH)?;
    let filter = Filter {
        search,
        folder: query.id("folder")?,
        tag: query.id("tag")?,
    };
    let offset = (page - 1) * limit;
    let workspace = caller.workspace();
    let (count, links, totals) = match order {
        Order::Date => {
            let links = links::page(&app.store, workspace, &filter, limit, offset).await?;
            let ids: Vec<i64> = links.iter().map(|link| link.id).collect();
            let totals = totals(&app, workspace, &ids).await?;
            (
                links::count(&app.store, workspace, &filter).await?,
                links,
                totals,
            )
        }
        Order::Clicks => by_clicks(&app, workspace, &filter, (limit, offset)).await?,
    };
    let ids: Vec<i64> = links.iter().map(|link| link.id).collect();
    let mut channels = channels::of_links(&app.store, &ids).await?;
    let mut campaigns = campaigns::of_links(&app.store, &ids).await?;
    let none = HashMap::new();
    let known = totals.as_ref().unwrap_or(&none);
    let data = UrlPage {
        paging: Paging::new(count, limit, page),
        urls: links
            .into_iter()
            .map(|link| {
                let channel = channels.remove(&link.id).unwrap_or_default();
                UrlItem {
                    channel: channel.into_iter().map(|(_, name)| name).collect(),
                    campaign: campaigns.remove(&link.id).map(|(_, name)| name),
                    ..item(link, known)
                }
            })
            .collect(),
        stats: totals.is_none().then_some(UNAVAILABLE),
    };
    Ok(Json(UrlsReply { error: 0, data }).into_response())
}

/// Makes a short link.
#[utoipa::path(post, path = "/api/url/add", tag = "Links", request_body = LinkRequest, responses((status = 200, body = AddReply), (status = 401, body = super::reply::ErrorReply), (status = 429, body = super::reply::ErrorReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<AddReply> {
    caller.need(Scope::Write)?;
    let wish = Wish {
        look: Look::Title,
        ..wish(&body)?
    };
    let link = crate::links::add(&app, caller.workspace(), wish).await?;
    let short_url = link.short_url();
    Ok(Json(AddReply {
        error: 0,
        id: link.id,
        shorturl: short_url.clone(),
        data: Added {
            id: link.id,
            short_url,
        },
    }))
}

/// Changes a link; what is not sent stays.
#[utoipa::path(put, path = "/api/url/{id}/update", tag = "Links", params(("id" = i64, Path)), request_body = LinkRequest, responses((status = 200, body = UpdateReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<UpdateReply> {
    caller.need(Scope::Write)?;
    let link = crate::links::update(&app, caller.workspace(), id.of("link")?, wish(&body)?).await?;
    let short = link.short_url();
    Ok(Json(UpdateReply {
        error: 0,
        id: link.id,
        shorturl: short.clone(),
        short,
    }))
}

/// Deletes a link: visitors get 404 from now on, its alias is free.
#[utoipa::path(delete, path = "/api/url/{id}/delete", tag = "Links", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    crate::links::delete(&app, caller.workspace(), id.of("link")?).await?;
    Ok(MessageReply::new("Link has been deleted successfully."))
}

type Listed = (i64, Vec<Link>, Option<HashMap<u64, Totals>>);

/// A page of links by clicks, ties by age. All ids of the workspace are sorted for it: 24 bytes a link.
async fn by_clicks(
    app: &App,
    workspace: i64,
    filter: &Filter,
    (limit, offset): (i64, i64),
) -> Result<Listed, ApiError> {
    let totals = app
        .stats
        .totals_of_workspace(workspace.cast_unsigned())
        .await?;
    let mut ids = links::ids(&app.store, workspace, filter).await?;
    let clicks = |id: &i64| totals.get(&id.cast_unsigned()).map_or(0, |t| t.clicks);
    // They come newest first, and the sort keeps that among equals.
    ids.sort_by_cached_key(|id| std::cmp::Reverse(clicks(id)));
    let place = |n: i64| usize::try_from(n).unwrap_or(usize::MAX);
    let page: Vec<i64> = ids
        .iter()
        .copied()
        .skip(place(offset))
        .take(place(limit))
        .collect();
    let links = links::by_ids(&app.store, workspace, &page).await?;
    Ok((
        i64::try_from(ids.len()).unwrap_or(i64::MAX),
        links,
        Some(totals),
    ))
}

fn item(link: Link, totals: &HashMap<u64, Totals>) -> UrlItem {
    let totals = totals
        .get(&link.id.cast_unsigned())
        .copied()
        .unwrap_or_default();
    UrlItem {
        id: link.id,
        shorturl: link.short_url(),
        alias: link.slug.to_string(),
        longurl: link.content.destination,
        domain: link.base_url,
        clicks: totals.clicks,
        uniqueclicks: totals.unique_clicks,
        title: link.content.title,
        description: link.content.description,
        channel: Vec::new(),
        campaign: None,
        date: date::format(link.created_at),
    }
}
