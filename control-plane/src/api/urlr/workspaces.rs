//! `/workspaces`: a key acts in one, and that is the list.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::ids::{self, Uuid};
use crate::api::reply::Reply;
use crate::api::request::Id;
use crate::app::App;
use crate::domain::key::Scope;
use crate::domain::uuids::Kind;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::members;

/// A workspace.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Workspace {
    #[schema(value_type = Uuid, inline)]
    id: String,
    name: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Workspaces.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkspaceList {
    workspaces: Vec<Workspace>,
}

/// Get a workspace.
#[utoipa::path(get, path = "/api/v2/workspaces/{workspace_id}", tag = "Workspaces", params(("workspace_id" = inline(Uuid), Path)), responses(
    (status = 200, body = Workspace), (status = 404, description = "No such workspace"), (status = 422, description = "Not a UUID")))]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<Workspace> {
    caller.need(Scope::Read)?;
    ids::workspace(&app, &caller, Some(id.text()))?;
    Ok(Json(own(&app, &caller).await?))
}

/// List workspaces.
#[utoipa::path(get, path = "/api/v2/workspaces", tag = "Workspaces", responses((status = 200, body = WorkspaceList)))]
pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Reply<WorkspaceList> {
    caller.need(Scope::Read)?;
    let workspaces = vec![own(&app, &caller).await?];
    Ok(Json(WorkspaceList { workspaces }))
}

async fn own(app: &App, caller: &Caller) -> Result<Workspace, ApiError> {
    let id = shown(app, caller);
    let found = members::workspace(&app.store, caller.workspace()).await?;
    let (name, created_at, _) = found.ok_or_else(|| ApiError::not_found("workspace", &id))?;
    // Nothing of it that is shown here ever changes.
    let created_at = ids::instant(created_at);
    Ok(Workspace {
        id,
        name,
        updated_at: created_at.clone(),
        created_at,
    })
}

fn shown(app: &App, caller: &Caller) -> String {
    ids::shown(app, Kind::Workspace, caller.workspace())
}
