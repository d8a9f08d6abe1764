//! `/folders`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::ids::Uuid;
use super::link::MAX_TEXT;
use super::{ids, problem};
use crate::api::openapi;
use crate::api::reply::{Failure, Reply};
use crate::api::request::{Id, Object as Body, Query, read};
use crate::app::App;
use crate::domain::field;
use crate::domain::key::Scope;
use crate::domain::uuids::Kind;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::folders::{self, NameError, Nested, NewFolder};

/// Colours of folders.
const COLORS: [&str; 8] = [
    "blue", "green", "orange", "purple", "red", "rose", "yellow", "black",
];

/// The colours, in the document.
fn colors() -> Object {
    openapi::words_or_null(COLORS)
}

/// What a folder is called where it is not found.
const FOLDER: (Kind, &str) = (Kind::Folder, "folder");

/// A folder.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Folder {
    #[schema(value_type = Uuid, inline)]
    id: String,
    name: String,
    #[schema(value_type = Uuid, inline)]
    workspace_id: String,
    /// The folder it is in.
    #[schema(value_type = Option<Uuid>, inline)]
    parent_id: Option<String>,
    parent_name: Option<String>,
    #[schema(schema_with = colors)]
    color: Option<&'static str>,
    /// Default domain of its links: none.
    domain: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Folders.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FolderList {
    folders: Vec<Folder>,
}

/// A folder as a caller wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct FolderRequest {
    /// The key's own when absent.
    #[schema(value_type = Option<Uuid>, inline)]
    workspace_id: Option<String>,
    /// Required; no other folder of the workspace has it.
    #[schema(max_length = 255)]
    name: Option<String>,
    /// The folder it is in.
    #[schema(value_type = Option<Uuid>, inline)]
    parent_id: Option<String>,
    #[schema(schema_with = colors)]
    color: Option<String>,
}

/// Get a folder.
#[utoipa::path(get, path = "/api/v2/folders/{folder_id}", tag = "Folders", params(("folder_id" = inline(Uuid), Path)), responses(
    (status = 200, body = Folder), (status = 404, description = "No such folder"), (status = 422, description = "Not a UUID")))]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<Folder> {
    caller.need(Scope::Read)?;
    let number = ids::needed(&app, FOLDER, "folder_id", id.text())?;
    let workspace = caller.workspace();
    let found = folders::nested(&app.store, workspace, number).await?;
    let folder = found.ok_or_else(|| ApiError::not_found("folder", id.text()))?;
    Ok(Json(shown(&app, workspace, folder)))
}

/// List folders, newest first.
#[utoipa::path(get, path = "/api/v2/folders", tag = "Folders", params(("workspace_id" = inline(Option<Uuid>), Query, description = "the key's own")), responses(
    (status = 200, body = FolderList), (status = 404, description = "No such workspace"), (status = 422, description = "Not a UUID")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<FolderList> {
    caller.need(Scope::Read)?;
    let workspace = ids::workspace(&app, &caller, query.text("workspace_id"))?;
    let found = folders::all_nested(&app.store, workspace).await?;
    let one = |folder| shown(&app, workspace, folder);
    Ok(Json(FolderList {
        folders: found.into_iter().map(one).collect(),
    }))
}

/// Create a folder.
#[utoipa::path(post, path = "/api/v2/folders", tag = "Folders", request_body = FolderRequest, responses(
    (status = 201, body = Folder), (status = 404, description = "No such workspace or parent"), (status = 409, description = "The name is taken"), (status = 422, description = "A field is missing or wrong")))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(body): Body,
) -> Result<Response, Failure> {
    caller.need(Scope::Write)?;
    let request: FolderRequest = read(&body)?;
    let workspace = ids::workspace(&app, &caller, request.workspace_id.as_deref())?;
    let name = request
        .name
        .ok_or_else(|| ApiError::field("name", "is required"))?;
    let name = field::line("name", &name, MAX_TEXT)?;
    if name.is_empty() {
        return Err(ApiError::field("name", "must not be empty").into());
    }
    let parent = match &request.parent_id {
        None => None,
        Some(text) => Some(ids::needed(&app, FOLDER, "parent_id", text)?),
    };
    let color = match &request.color {
        None => "",
        Some(text) => color(text).ok_or_else(|| {
            ApiError::field("color", format!("must be one of {}", COLORS.join(", ")))
        })?,
    };
    let new = NewFolder {
        name: &name,
        parent,
        color,
    };
    let id = match folders::insert_nested(&app.store, workspace, new, app.clock.now_ms()).await {
        Ok(id) => id,
        Err(NameError::Taken) => {
            let detail = format!("folder '{name}' exists already");
            return Ok(problem::conflict("name", detail));
        }
        Err(NameError::NotFound) => {
            let parent = request.parent_id.unwrap_or_default();
            return Err(ApiError::not_found("folder", parent).into());
        }
        Err(NameError::TooMany(most)) => {
            let problem = format!("is one too many: a workspace has at most {most} folders");
            return Err(ApiError::field("name", problem).into());
        }
        Err(NameError::Failed(error)) => return Err(error.into()),
    };
    let found = folders::nested(&app.store, workspace, id).await?;
    let folder = found.ok_or_else(|| ApiError::not_found("folder", &name))?;
    let folder = Json(shown(&app, workspace, folder));
    Ok((StatusCode::CREATED, folder).into_response())
}

fn color(text: &str) -> Option<&'static str> {
    COLORS.into_iter().find(|color| *color == text)
}

fn shown(app: &App, workspace: i64, folder: Nested) -> Folder {
    Folder {
        id: ids::shown(app, Kind::Folder, folder.id),
        name: folder.name,
        workspace_id: ids::shown(app, Kind::Workspace, workspace),
        parent_id: folder
            .parent_id
            .map(|parent| ids::shown(app, Kind::Folder, parent)),
        parent_name: folder.parent_name,
        color: color(&folder.color),
        domain: None,
        created_at: ids::instant(folder.created_at),
        updated_at: ids::instant(folder.updated_at.unwrap_or(folder.created_at)),
    }
}
