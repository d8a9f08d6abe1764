//! `/links`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::ids::{self, Uuid};
use super::link::{Link, shown_all, shown_one};
use super::link_request::{LinkRequest, unknown_folder, unknown_tag, wanted};
use crate::api::reply::{Failure, Reply};
use crate::api::request::{Id, Object, Query};
use crate::app::App;
use crate::domain::field::FieldError;
use crate::domain::key::Scope;
use crate::domain::plan::Feature;
use crate::domain::uuids::Kind;
use crate::error::ApiError;
use crate::links::{self, Wish};
use crate::middleware::Caller;
use crate::store::links::{self as rows, Filter, Link as Row};
use crate::store::{folders, tags};
use crate::usage;

/// Largest `limit` of a list.
const MAX_LIMIT: i64 = 50;

/// `limit` of a list when none is asked for.
const DEFAULT_LIMIT: i64 = 10;

/// Largest `page`: beyond every list.
const MAX_PAGE: i64 = 1_000_000_000;

/// What a link is called where it is not found.
pub(super) const LINK: (Kind, &str) = (Kind::Link, "link");

/// A page of links.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LinkList {
    links: Vec<Link>,
    /// Links that match.
    total: i64,
    /// Links a page.
    limit: i64,
    /// Number of pages, at least 1.
    pages: i64,
    /// This one.
    page: i64,
}

/// Get a link.
#[utoipa::path(get, path = "/api/v2/links/{link_id}", tag = "Links", params(("link_id" = inline(Uuid), Path)), responses(
    (status = 200, body = Link), (status = 404, description = "No such link"), (status = 422, description = "Not a UUID")))]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<Link> {
    caller.need(Scope::Read)?;
    let row = find(&app, &caller, "link_id", id.text()).await?;
    Ok(Json(shown_one(&app, row).await?))
}

/// List links, newest first.
#[utoipa::path(get, path = "/api/v2/links", tag = "Links", params(
    ("workspace_id" = inline(Option<Uuid>), Query, description = "the key's own"),
    ("folder_id" = inline(Option<Uuid>), Query), ("tag_id" = inline(Option<Uuid>), Query),
    ("limit" = Option<i64>, Query, description = "links a page, 1 to 50, 10 when absent", minimum = 1, maximum = 50),
    ("page" = Option<i64>, Query, description = "from 1", minimum = 1),
), responses((status = 200, body = LinkList), (status = 404, description = "No such workspace, folder or tag"), (status = 422, description = "A parameter is wrong")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<LinkList> {
    caller.need(Scope::Read)?;
    let workspace = ids::workspace(&app, &caller, query.text("workspace_id"))?;
    let mut filter = Filter::default();
    if let Some(text) = query.text("folder_id") {
        let id = ids::needed(&app, (Kind::Folder, "folder"), "folder_id", text)?;
        if !folders::exists(&app.store, workspace, id).await? {
            return Err(ApiError::not_found("folder", text).into());
        }
        filter.folder = Some(id);
    }
    if let Some(text) = query.text("tag_id") {
        let id = ids::needed(&app, (Kind::Tag, "tag"), "tag_id", text)?;
        if !tags::exists(&app.store, workspace, id).await? {
            return Err(ApiError::not_found("tag", text).into());
        }
        filter.tag = Some(id);
    }
    let limit = query.number("limit", DEFAULT_LIMIT, (1, MAX_LIMIT))?;
    let page = query.number("page", 1, (1, MAX_PAGE))?;
    let total = rows::count(&app.store, workspace, &filter).await?;
    let found = rows::page(&app.store, workspace, &filter, limit, (page - 1) * limit).await?;
    Ok(Json(LinkList {
        links: shown_all(&app, workspace, found).await?,
        total,
        limit,
        pages: total.div_euclid(limit) + i64::from(total % limit != 0 || total == 0),
        page,
    }))
}

/// Create a link.
#[utoipa::path(post, path = "/api/v2/links", tag = "Links", request_body = LinkRequest, responses(
    (status = 201, body = Link), (status = 404, description = "No such workspace"), (status = 422, description = "A field is missing or wrong")))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Result<(StatusCode, Json<Link>), Failure> {
    caller.need(Scope::Write)?;
    let named = text_of(&body, "workspace_id")?;
    let workspace = ids::workspace(&app, &caller, named)?;
    let wish = wanted(&app, &body)?.with_parameters(&[]);
    check_plan(&app, workspace, &wish).await?;
    let row = links::add(&app, workspace, wish).await.map_err(renamed)?;
    Ok((StatusCode::CREATED, Json(shown_one(&app, row).await?)))
}

/// Edit a link: what is not sent stays.
#[utoipa::path(patch, path = "/api/v2/links/{link_id}", tag = "Links", params(("link_id" = inline(Uuid), Path)), request_body = LinkRequest, responses(
    (status = 200, body = Link), (status = 404, description = "No such link"), (status = 422, description = "A field is wrong")))]
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<Link> {
    caller.need(Scope::Write)?;
    let row = find(&app, &caller, "link_id", id.text()).await?;
    let wish = wanted(&app, &body)?.with_parameters(&row.content.parameters);
    check_plan(&app, row.workspace_id, &wish).await?;
    let changed = links::update(&app, row.workspace_id, row.id, wish).await;
    let row = changed.map_err(|error| gone(error, id.text()))?;
    Ok(Json(shown_one(&app, row).await?))
}

/// Delete a link; the answer shows it for the last time.
#[utoipa::path(delete, path = "/api/v2/links/{link_id}", tag = "Links", params(("link_id" = inline(Uuid), Path)), responses(
    (status = 200, body = Link), (status = 404, description = "No such link"), (status = 422, description = "Not a UUID")))]
pub(super) async fn delete(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<Link> {
    caller.need(Scope::Write)?;
    let row = find(&app, &caller, "link_id", id.text()).await?;
    let (workspace, link) = (row.workspace_id, row.id);
    let last = shown_one(&app, row).await?;
    links::delete(&app, workspace, link)
        .await
        .map_err(|error| gone(error, id.text()))?;
    Ok(Json(last))
}

/// The link of a UUID, in the caller's workspace.
pub(super) async fn find(
    app: &App,
    caller: &Caller,
    field: &str,
    text: &str,
) -> Result<Row, ApiError> {
    let id = ids::needed(app, LINK, field, text)?;
    rows::get(&app.store, caller.workspace(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("link", text))
}

/// A text of a body that is needed before the rest is read.
pub(super) fn text_of<'a>(
    body: &'a serde_json::Map<String, serde_json::Value>,
    name: &str,
) -> Result<Option<&'a str>, FieldError> {
    match body.get(name) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(FieldError::new(name, "must be text")),
    }
}

/// What of a wish no other place asks the plan for.
async fn check_plan(app: &App, workspace: i64, wish: &Wish) -> Result<(), ApiError> {
    if matches!(wish.edit.extras.qrcode, Some(Some(_))) {
        usage::plan(app, workspace).await?.need(Feature::Qr)?;
    }
    Ok(())
}

/// An error about a link that was there a moment ago, with its name here.
fn gone(error: ApiError, id: &str) -> ApiError {
    match error {
        ApiError::NotFound { .. } => ApiError::not_found("link", id),
        other => renamed(other),
    }
}

/// An error of the model with the names of this dialect.
fn renamed(error: ApiError) -> ApiError {
    let ApiError::Field(error) = error else {
        return error;
    };
    let name = match error.field.as_str() {
        "folder" => return unknown_folder().into(),
        "tags" => return unknown_tag().into(),
        "title" => "label",
        "custom" => "code",
        "metatitle" => "metatag.title",
        "metadescription" => "metatag.description",
        "metaimage" => "metatag.image",
        other => other,
    };
    FieldError::new(name, error.problem).into()
}
