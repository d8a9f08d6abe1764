//! `/folders`, `/folder/…`: ours, in the dialect's style. A link is in one folder or in none; deleting a folder leaves its
//! links.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::link_request::text;
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Ids, Object, Query, read};
use crate::app::App;
use crate::domain::channel::ItemKind;
use crate::domain::folder;
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::channels::{Item, has_item};
use crate::store::folders::{self, Folder, NameError};

/// A folder as a caller wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct FolderRequest {
    /// Its name, which no other folder of the workspace has. Required.
    #[serde(deserialize_with = "text")]
    #[schema(example = "Spring")]
    name: Option<String>,
}

impl FolderRequest {
    fn name(self) -> Result<String, ApiError> {
        let name = self
            .name
            .ok_or_else(|| ApiError::field("name", "is required"))?;
        Ok(folder::name(&name)?)
    }
}

/// `GET /folders`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FoldersReply {
    #[schema(example = 0)]
    error: u8,
    data: FolderPage,
}

/// A page of folders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FolderPage {
    #[serde(flatten)]
    paging: Paging,
    folders: Vec<FolderItem>,
}

/// A folder.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FolderItem {
    id: i64,
    name: String,
    /// Links in it.
    links: i64,
}

/// `POST /folder/add`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FolderAddReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    name: String,
}

/// Folders of the workspace.
#[utoipa::path(get, path = "/api/folders", tag = "Folders", params(
    ("limit" = Option<i64>, Query, description = "folders a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = FoldersReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<FoldersReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let workspace = caller.workspace();
    let found = folders::page(&app.store, workspace, (limit, (page - 1) * limit)).await?;
    let count = folders::count(&app.store, workspace).await?;
    let item = |(id, name, links): Folder| FolderItem { id, name, links };
    Ok(Json(FoldersReply {
        error: 0,
        data: FolderPage {
            paging: Paging::new(count, limit, page),
            folders: found.into_iter().map(item).collect(),
        },
    }))
}

/// Adds a folder.
#[utoipa::path(post, path = "/api/folder/add", tag = "Folders", request_body = FolderRequest, responses((status = 200, body = FolderAddReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<FolderAddReply> {
    caller.need(Scope::Write)?;
    let name = read::<FolderRequest>(&body)?.name()?;
    let id = folders::insert(&app.store, caller.workspace(), &name, app.clock.now_ms())
        .await
        .map_err(|error| name_error(error, ("folder", &name), 0))?;
    Ok(Json(FolderAddReply { error: 0, id, name }))
}

/// Gives a folder another name.
#[utoipa::path(put, path = "/api/folder/{id}/update", tag = "Folders", params(("id" = i64, Path)), request_body = FolderRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let id = id.of("folder")?;
    let name = read::<FolderRequest>(&body)?.name()?;
    folders::rename(&app.store, (caller.workspace(), id), &name)
        .await
        .map_err(|error| name_error(error, ("folder", &name), id))?;
    Ok(MessageReply::new("Folder has been updated successfully."))
}

/// Deletes a folder; its links stay.
#[utoipa::path(delete, path = "/api/folder/{id}/delete", tag = "Folders", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let id = id.of("folder")?;
    if !folders::delete(&app.store, (caller.workspace(), id)).await? {
        return Err(ApiError::not_found("folder", id).into());
    }
    Ok(MessageReply::new("Folder has been deleted successfully."))
}

/// Puts a link into a folder, out of the one it was in.
#[utoipa::path(post, path = "/api/folder/{id}/assign/{linkid}", tag = "Folders", params(("id" = i64, Path), ("linkid" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn assign(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let workspace = caller.workspace();
    let (folder, link) = (ids.of("id", "folder")?, ids.of("linkid", "link")?);
    let mut tx = app.store.begin().await?;
    if !has_item(&mut tx, workspace, link_item(link)).await? {
        return Err(ApiError::not_found("link", link).into());
    }
    if !folders::assign(&mut tx, (workspace, folder), link).await? {
        return Err(ApiError::not_found("folder", folder).into());
    }
    tx.commit().await?;
    Ok(MessageReply::new("Link successfully added to the folder."))
}

/// Takes a link out of a folder.
#[utoipa::path(delete, path = "/api/folder/{id}/assign/{linkid}", tag = "Folders", params(("id" = i64, Path), ("linkid" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn unassign(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let place = (caller.workspace(), ids.of("id", "folder")?);
    let link = ids.of("linkid", "link")?;
    let mut tx = app.store.begin().await?;
    if !folders::take_out(&mut tx, place, link).await? {
        return Err(ApiError::not_found("link of this folder", link).into());
    }
    tx.commit().await?;
    Ok(MessageReply::new(
        "Link successfully removed from the folder.",
    ))
}

/// A link as something that may be assigned.
pub(super) fn link_item(link: i64) -> Item {
    Item {
        kind: ItemKind::Link,
        item: link,
    }
}

/// Why a folder or tag was not written, in the dialect's words.
pub(super) fn name_error(
    error: NameError,
    (what, name): (&'static str, &str),
    id: i64,
) -> ApiError {
    match error {
        NameError::NotFound => ApiError::not_found(what, id),
        NameError::Taken => ApiError::field(
            "name",
            format!("'{name}' is already in use by another {what}"),
        ),
        NameError::TooMany(most) => ApiError::field(
            "name",
            format!("cannot be added: there are {most} {what}s, the most allowed"),
        ),
        NameError::Failed(error) => error.into(),
    }
}
