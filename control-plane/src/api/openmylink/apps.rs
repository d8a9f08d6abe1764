//! `GET` and `PUT /domain/:id/apps` (ours): apps that may open a domain's links. Phones find them in
//! `.well-known/apple-app-site-association` and `.well-known/assetlinks.json` on the domain.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::reply::{MessageReply, Reply};
use crate::api::request::{Id, Object, read};
use crate::app::App;
use crate::domain::apps::{AndroidApp, Apps};
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::apps;
use crate::store::links::WriteError;

/// Apps of a domain.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct AppsBody {
    /// Team id and bundle id; what is absent stays, an empty list takes the file away.
    #[schema(example = json!(["ABCDE12345.com.example.app"]))]
    apple: Option<Vec<String>>,
    /// Package names and SHA-256 fingerprints of signing certificates.
    #[schema(value_type = Option<Vec<Object>>, example = json!([{"package": "com.example.app", "fingerprints": ["AB:CD:…"]}]))]
    android: Option<Vec<AndroidApp>>,
}

/// `GET /domain/:id/apps`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DomainAppsReply {
    #[schema(example = 0)]
    error: u8,
    data: AppsBody,
}

/// Apps that may open a domain's links.
#[utoipa::path(get, path = "/api/domain/{id}/apps", tag = "Domains", params(("id" = i64, Path)), responses((status = 200, body = DomainAppsReply)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<DomainAppsReply> {
    caller.need(Scope::Read)?;
    let found = of(&app, &caller, id.of("domain")?).await?;
    Ok(Json(DomainAppsReply {
        error: 0,
        data: AppsBody {
            apple: Some(found.apple),
            android: Some(found.android),
        },
    }))
}

/// Sets the apps that may open a domain's links.
#[utoipa::path(put, path = "/api/domain/{id}/apps", tag = "Domains", params(("id" = i64, Path)), request_body = AppsBody, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let id = id.of("domain")?;
    let body: AppsBody = read(&body)?;
    let old = of(&app, &caller, id).await?;
    let new = Apps {
        apple: body.apple.unwrap_or(old.apple),
        android: body.android.unwrap_or(old.android),
    };
    let place = (caller.workspace(), id);
    match apps::put(&app.store, place, &new.checked()?, app.clock.now_ms()).await {
        Ok(()) => Ok(MessageReply::new("Apps have been updated successfully.")),
        Err(WriteError::NotFound) => Err(ApiError::not_found("domain", id).into()),
        Err(other) => Err(ApiError::from(other).into()),
    }
}

async fn of(app: &App, caller: &Caller, id: i64) -> Result<Apps, ApiError> {
    apps::get(&app.store, caller.workspace(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("domain", id))
}
