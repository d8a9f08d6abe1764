//! `/tags`: ours, so that the ids links take can be had.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::Uuid;
use super::link::{MAX_TEXT, Tag};
use super::{ids, problem};
use crate::api::reply::{Failure, Reply};
use crate::api::request::{Object, Query, read};
use crate::app::App;
use crate::domain::channel::DEFAULT_COLOR;
use crate::domain::key::Scope;
use crate::domain::tag::MAX_TAGS;
use crate::domain::uuids::Kind;
use crate::domain::{field, tag};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::folders::NameError;
use crate::store::tags;

/// Tags.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TagList {
    tags: Vec<Tag>,
}

/// A tag as a caller wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct TagRequest {
    /// The key's own when absent.
    #[schema(value_type = Option<Uuid>, inline)]
    workspace_id: Option<String>,
    /// Required; no other tag of the workspace has it. No commas.
    #[schema(max_length = 255)]
    name: Option<String>,
}

/// List tags, newest first.
#[utoipa::path(get, path = "/api/v2/tags", tag = "Tags", params(("workspace_id" = inline(Option<Uuid>), Query, description = "the key's own")), responses(
    (status = 200, body = TagList), (status = 404, description = "No such workspace"), (status = 422, description = "Not a UUID")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<TagList> {
    caller.need(Scope::Read)?;
    let workspace = ids::workspace(&app, &caller, query.text("workspace_id"))?;
    let found = tags::page(&app.store, workspace, (MAX_TAGS, 0)).await?;
    let one = |(id, name, ..): tags::Tag| Tag {
        id: ids::shown(&app, Kind::Tag, id),
        name,
    };
    Ok(Json(TagList {
        tags: found.into_iter().map(one).collect(),
    }))
}

/// Create a tag.
#[utoipa::path(post, path = "/api/v2/tags", tag = "Tags", request_body = TagRequest, responses(
    (status = 201, body = Tag), (status = 404, description = "No such workspace"), (status = 409, description = "The name is taken"), (status = 422, description = "A field is missing or wrong")))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Result<Response, Failure> {
    caller.need(Scope::Write)?;
    let request: TagRequest = read(&body)?;
    let workspace = ids::workspace(&app, &caller, request.workspace_id.as_deref())?;
    let name = request
        .name
        .ok_or_else(|| ApiError::field("name", "is required"))?;
    let name = field::line("name", &name, MAX_TEXT)?;
    // The rules for all tags but their length, which this dialect sets.
    tag::name(
        "name",
        &name.chars().take(tag::MAX_NAME).collect::<String>(),
    )?;
    if name.contains(',') {
        return Err(ApiError::field("name", "must not hold commas").into());
    }
    let now_ms = app.clock.now_ms();
    match tags::insert(&app.store, workspace, (&name, DEFAULT_COLOR), now_ms).await {
        Ok(id) => {
            let id = ids::shown(&app, Kind::Tag, id);
            Ok((StatusCode::CREATED, Json(Tag { id, name })).into_response())
        }
        Err(NameError::Taken) => {
            let detail = format!("tag '{name}' exists already");
            Ok(problem::conflict("name", detail))
        }
        Err(NameError::TooMany(most)) => {
            let problem = format!("is one too many: a workspace has at most {most} tags");
            Err(ApiError::field("name", problem).into())
        }
        Err(NameError::NotFound) => Err(ApiError::not_found("tag", &name).into()),
        Err(NameError::Failed(error)) => Err(error.into()),
    }
}
