//! `/links` and `/links/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use schemas::slug::Slug;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::Payload;
use super::ids::What;
use super::{named, time};
use crate::api::fields::Fields;
use crate::api::reply::{Failure, Reply};
use crate::api::request::{Ids, Query};
use crate::app::App;
use crate::domain::alias;
use crate::domain::destination::Destination;
use crate::domain::field::FieldError;
use crate::domain::link::{Edit, ExtrasEdit};
use crate::error::ApiError;
use crate::links::Wish;
use crate::middleware::Caller;
use crate::store::links::{self, Filter, Link as Row};

/// Longest short code, in characters.
const MAX_CODE: usize = 100;

/// Links a page, and the most of them.
const PAGE_SIZE: i64 = 20;
const MAX_PAGE_SIZE: i64 = 100;

/// Largest page: beyond every list.
const MAX_PAGE: i64 = 1_000_000_000;

/// A smart link.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Link {
    #[schema(example = "link_abc123")]
    id: String,
    #[schema(example = "custom-code")]
    short_code: String,
    #[schema(example = "https://go.example/custom-code")]
    short_url: String,
    #[schema(example = "https://example.com/product/123")]
    url: String,
    #[schema(format = DateTime, example = "2026-02-01T10:00:00Z")]
    created_at: String,
    title: Option<String>,
    /// As it was sent.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    #[schema(format = DateTime, example = "2026-02-01T10:00:00Z")]
    updated_at: String,
}

/// A page of links.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Links {
    data: Vec<Link>,
    page: i64,
    page_size: i64,
    /// Number of links.
    total: i64,
    total_pages: i64,
}

/// A link to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the body in the OpenAPI document; `Fields` reads it"
)]
pub(super) struct NewLink {
    /// http(s) URL, not one of our short domains.
    url: String,
    /// 1 to 100 letters, digits, `-` and `_`; drawn when absent.
    #[schema(pattern = r"^(\s*|[0-9A-Za-z_-]{1,100})$")]
    short_code: Option<String>,
    #[schema(max_length = 255)]
    title: Option<String>,
    /// Comes back byte for byte; at most 16 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
}

/// A change of a link: what is absent stays, `null` takes a title or the metadata away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the body in the OpenAPI document; `Fields` reads it"
)]
pub(super) struct LinkChange {
    url: Option<String>,
    #[schema(pattern = r"^(\s*|[0-9A-Za-z_-]{1,100})$")]
    short_code: Option<String>,
    #[schema(max_length = 255)]
    title: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
}

/// Links, newest first.
#[utoipa::path(get, path = "/v1/links", tag = "Links", params(
    ("page" = Option<i64>, Query, description = "from 1"),
    ("pageSize" = Option<i64>, Query, description = "links a page, 1 to 100, 20 when absent"),
), responses((status = 200, body = Links), (status = 400)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<Links> {
    let page = query.number("page", 1, (1, MAX_PAGE))?;
    let page_size = query.number("pageSize", PAGE_SIZE, (1, MAX_PAGE_SIZE))?;
    let (workspace, all) = (caller.workspace(), Filter::default());
    let offset = (page - 1) * page_size;
    let found = links::page(&app.store, workspace, &all, page_size, offset).await?;
    let total = links::count(&app.store, workspace, &all).await?;
    let data: Result<Vec<Link>, ApiError> = found.into_iter().map(shown).collect();
    Ok(Json(Links {
        data: data?,
        page,
        page_size,
        total,
        total_pages: (total + page_size - 1).div_euclid(page_size),
    }))
}

/// Makes a link.
#[utoipa::path(post, path = "/v1/links", tag = "Links", request_body = NewLink, responses((status = 201, body = Link)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    payload: Payload,
) -> Result<(StatusCode, Json<Link>), Failure> {
    let fields = payload.fields::<NewLink>();
    fields.required("url")?;
    let wish = wish(&payload, fields)?;
    let link = crate::links::add(&app, caller.workspace(), wish).await;
    Ok((StatusCode::CREATED, Json(shown(link.map_err(named)?)?)))
}

/// One link.
#[utoipa::path(get, path = "/v1/links/{id}", tag = "Links", params(("id" = String, Path, example = "link_abc123")), responses((status = 200, body = Link)))]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller, ids: Ids) -> Reply<Link> {
    Ok(Json(shown(get(&app, &caller, ids.text("id")).await?)?))
}

/// Changes a link.
#[utoipa::path(patch, path = "/v1/links/{id}", tag = "Links", params(("id" = String, Path, example = "link_abc123")), request_body = LinkChange, responses((status = 200, body = Link)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
    payload: Payload,
) -> Reply<Link> {
    let link = get(&app, &caller, ids.text("id")).await?;
    let fields = payload.fields::<LinkChange>();
    for name in ["url", "shortCode"] {
        if fields.has(name) {
            fields.required(name)?;
        }
    }
    let wish = wish(&payload, fields)?;
    let changed = crate::links::update(&app, caller.workspace(), link.id, wish).await;
    Ok(Json(shown(changed.map_err(named)?)?))
}

/// Deletes a link: visitors get 404 from now on.
#[utoipa::path(delete, path = "/v1/links/{id}", tag = "Links", params(("id" = String, Path, example = "link_abc123")), responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Result<StatusCode, Failure> {
    let link = get(&app, &caller, ids.text("id")).await?;
    crate::links::delete(&app, caller.workspace(), link.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The link of this id.
pub(super) async fn get(app: &App, caller: &Caller, id: &str) -> Result<Row, ApiError> {
    let missing = || ApiError::not_found("link", id);
    let number = What::Link.number(id).ok_or_else(missing)?;
    links::get(&app.store, caller.workspace(), number)
        .await?
        .ok_or_else(missing)
}

fn shown(link: Row) -> Result<Link, ApiError> {
    let metadata = match link.content.extras.metadata.as_str() {
        "" => None,
        text => Some(RawValue::from_string(text.to_owned()).map_err(anyhow::Error::new)?),
    };
    Ok(Link {
        id: What::Link.id(link.id),
        short_code: link.slug.to_string(),
        short_url: link.short_url(),
        created_at: time(link.created_at),
        updated_at: time(link.updated_at),
        title: (!link.content.title.is_empty()).then_some(link.content.title),
        url: link.content.destination,
        metadata,
    })
}

/// What both bodies have in common.
fn wish(payload: &Payload, fields: Fields<'_>) -> Result<Wish, FieldError> {
    let title = match fields.has("title") {
        true => Some(fields.text("title")?.unwrap_or_default().to_owned()),
        false => None,
    };
    let url = fields.filled("url")?;
    let metadata = payload.object("metadata")?;
    Ok(Wish {
        slug: code_of(fields)?,
        edit: Edit {
            destination: url.map(|url| Destination::parse("url", url)).transpose()?,
            title,
            extras: ExtrasEdit {
                metadata: metadata.map(str::to_owned),
                ..ExtrasEdit::default()
            },
            ..Edit::default()
        },
        ..Wish::default()
    })
}

fn code_of(fields: Fields<'_>) -> Result<Option<Slug>, FieldError> {
    let Some(text) = fields.filled("shortCode")? else {
        return Ok(None);
    };
    let is_legal = text.len() <= MAX_CODE
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !is_legal {
        let problem = format!("must be 1 to {MAX_CODE} letters, digits, - and _");
        return Err(FieldError::new("shortCode", problem));
    }
    alias::custom("shortCode", text).map(Some)
}
