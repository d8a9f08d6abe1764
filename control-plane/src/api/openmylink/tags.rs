//! `/tags`, `/tag/…`: ours, in the dialect's style. A link has any number of tags up to a limit; deleting a tag leaves its
//! links.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::folders::{link_item, name_error};
use super::link_request::text;
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Ids, Object, Query, read};
use crate::app::App;
use crate::domain::channel::DEFAULT_COLOR;
use crate::domain::key::Scope;
use crate::domain::tag::{Edit, MAX_TAGS_OF_LINK};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::channels::has_item;
use crate::store::tags::{self, Tag};

/// A tag as a caller wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct TagRequest {
    /// Its name, which no other tag of the workspace has; no commas. Required to add one.
    #[serde(deserialize_with = "text")]
    #[schema(example = "sale")]
    name: Option<String>,
    /// Its colour in HEX.
    #[serde(deserialize_with = "text")]
    #[schema(example = "#000000")]
    color: Option<String>,
}

impl TagRequest {
    fn edit(self) -> Result<Edit, ApiError> {
        let given = |text: Option<String>| text.filter(|t| !t.trim().is_empty());
        let edit = Edit {
            name: given(self.name),
            color: given(self.color),
        };
        Ok(edit.checked()?)
    }
}

/// `GET /tags`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TagsReply {
    #[schema(example = 0)]
    error: u8,
    data: TagPage,
}

/// A page of tags.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TagPage {
    #[serde(flatten)]
    paging: Paging,
    tags: Vec<TagItem>,
}

/// A tag.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TagItem {
    id: i64,
    name: String,
    /// `#RRGGBB`
    color: String,
    /// Links that have it.
    links: i64,
}

/// `POST /tag/add`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TagAddReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    name: String,
    color: String,
}

/// Tags of the workspace.
#[utoipa::path(get, path = "/api/tags", tag = "Tags", params(
    ("limit" = Option<i64>, Query, description = "tags a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = TagsReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<TagsReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let workspace = caller.workspace();
    let found = tags::page(&app.store, workspace, (limit, (page - 1) * limit)).await?;
    let count = tags::count(&app.store, workspace).await?;
    let item = |(id, name, color, links): Tag| TagItem {
        id,
        name,
        color,
        links,
    };
    Ok(Json(TagsReply {
        error: 0,
        data: TagPage {
            paging: Paging::new(count, limit, page),
            tags: found.into_iter().map(item).collect(),
        },
    }))
}

/// Adds a tag.
#[utoipa::path(post, path = "/api/tag/add", tag = "Tags", request_body = TagRequest, responses((status = 200, body = TagAddReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<TagAddReply> {
    caller.need(Scope::Write)?;
    let edit = read::<TagRequest>(&body)?.edit()?;
    let name = edit
        .name
        .ok_or_else(|| ApiError::field("name", "is required"))?;
    let color = edit.color.unwrap_or_else(|| DEFAULT_COLOR.to_owned());
    let now_ms = app.clock.now_ms();
    let id = tags::insert(&app.store, caller.workspace(), (&name, &color), now_ms)
        .await
        .map_err(|error| name_error(error, ("tag", &name), 0))?;
    Ok(Json(TagAddReply {
        error: 0,
        id,
        name,
        color,
    }))
}

/// Changes a tag; what is not sent stays.
#[utoipa::path(put, path = "/api/tag/{id}/update", tag = "Tags", params(("id" = i64, Path)), request_body = TagRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let id = id.of("tag")?;
    let edit = read::<TagRequest>(&body)?.edit()?;
    let name = edit.name.clone().unwrap_or_default();
    tags::update(&app.store, (caller.workspace(), id), &edit)
        .await
        .map_err(|error| name_error(error, ("tag", &name), id))?;
    Ok(MessageReply::new("Tag has been updated successfully."))
}

/// Deletes a tag; links that had it stay.
#[utoipa::path(delete, path = "/api/tag/{id}/delete", tag = "Tags", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let id = id.of("tag")?;
    if !tags::delete(&app.store, (caller.workspace(), id)).await? {
        return Err(ApiError::not_found("tag", id).into());
    }
    Ok(MessageReply::new("Tag has been deleted successfully."))
}

/// Gives a link a tag. One it has already stays.
#[utoipa::path(post, path = "/api/tag/{id}/assign/{linkid}", tag = "Tags", params(("id" = i64, Path), ("linkid" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn assign(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let workspace = caller.workspace();
    let (tag, link) = (ids.of("id", "tag")?, ids.of("linkid", "link")?);
    let mut tx = app.store.begin().await?;
    if !has_item(&mut tx, workspace, link_item(link)).await? {
        return Err(ApiError::not_found("link", link).into());
    }
    if !tags::assign(&mut tx, (workspace, tag), link).await? {
        return Err(ApiError::not_found("tag", tag).into());
    }
    if tags::count_of_link(&mut tx, link).await? > MAX_TAGS_OF_LINK as i64 {
        return Err(ApiError::field(
            "tag",
            format!("cannot be added: the link has {MAX_TAGS_OF_LINK}, the most allowed"),
        )
        .into());
    }
    tx.commit().await?;
    Ok(MessageReply::new("Tag successfully added to the link."))
}

/// Takes a tag off a link.
#[utoipa::path(delete, path = "/api/tag/{id}/assign/{linkid}", tag = "Tags", params(("id" = i64, Path), ("linkid" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn unassign(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let place = (caller.workspace(), ids.of("id", "tag")?);
    let link = ids.of("linkid", "link")?;
    let mut tx = app.store.begin().await?;
    if !tags::unassign(&mut tx, place, link).await? {
        return Err(ApiError::not_found("link with this tag", link).into());
    }
    tx.commit().await?;
    Ok(MessageReply::new("Tag successfully removed from the link."))
}
