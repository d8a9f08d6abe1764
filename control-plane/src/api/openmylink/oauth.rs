//! `/oauth/client…`: apps of the workspace, for its owners; `/oauth/app…`: apps that the caller lets act for it. The
//! endpoints that apps and browsers themselves use are in [`crate::api::oauth`].

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::link_request::{text, yes_no};
use super::reply::{MessageReply, Paging, Reply};
use super::users::filled;
use crate::api::request::{Id, Object, Query, read};
use crate::app::App;
use crate::domain::date;
use crate::domain::field;
use crate::domain::key::{NewKey, Scopes};
use crate::domain::oauth::{MAX_REDIRECT_URIS, SECRET_MARK, client_scopes, redirect_uri};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::oauth::{self, NewClient};

/// Longest name of an app, in characters.
const MAX_NAME: usize = 100;

/// `GET /oauth/clients`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientsReply {
    #[schema(example = 0)]
    error: u8,
    data: ClientPage,
}

/// A page of apps.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientPage {
    #[serde(flatten)]
    paging: Paging,
    clients: Vec<ClientItem>,
}

/// An app, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientItem {
    id: i64,
    client_id: String,
    name: String,
    /// It has no secret and must use PKCE.
    public: bool,
    redirect_uris: Vec<String>,
    scopes: Vec<String>,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// `POST /oauth/client/add`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct ClientRequest {
    /// What people read when they are asked to allow it.
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    /// Where codes may go, compared byte by byte: at most 10 https URLs, http URLs on loopback, or URIs of an app's own
    /// scheme with a dot in it. None for an app that uses client credentials alone.
    redirect_uris: Value,
    /// `read`, `write` or both, the most it may ask for; both when absent.
    scopes: Value,
    /// An app that can keep no secret: in a browser, on a telephone.
    #[serde(deserialize_with = "yes_no")]
    public: Option<bool>,
}

/// A new app.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewClientReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    client_id: String,
    /// Shown this once; `null`: a public client.
    client_secret: Option<String>,
}

/// Another secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SecretReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    /// Shown this once.
    client_secret: String,
}

/// `GET /oauth/apps`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AllowedAppsReply {
    #[schema(example = 0)]
    error: u8,
    data: Vec<AppItem>,
}

/// An app that acts for the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AppItem {
    id: i64,
    name: String,
    client_id: String,
    scopes: Vec<String>,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// Apps of the workspace, newest first.
#[utoipa::path(get, path = "/api/oauth/clients", tag = "OAuth 2", params(("limit" = Option<i64>, Query), ("page" = Option<i64>, Query)), responses((status = 200, body = ClientsReply)))]
pub(super) async fn clients(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<ClientsReply> {
    let (limit, page) = query.paging()?;
    let (rows, count) =
        oauth::clients(&app.store, caller.workspace(), limit, (page - 1) * limit).await?;
    let item = |client: oauth::Client| ClientItem {
        id: client.id,
        client_id: client.client_id,
        name: client.name,
        public: client.secret_hash.is_none(),
        redirect_uris: client.redirect_uris,
        scopes: client.scopes.names(),
        date: date::format(client.created_at),
    };
    Ok(Json(ClientsReply {
        error: 0,
        data: ClientPage {
            paging: Paging::new(count, limit, page),
            clients: rows.into_iter().map(item).collect(),
        },
    }))
}

/// Registers an app.
#[utoipa::path(post, path = "/api/oauth/client/add", tag = "OAuth 2", request_body = ClientRequest, responses((status = 200, body = NewClientReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<NewClientReply> {
    let body: ClientRequest = read(&body)?;
    let name =
        filled(body.name.as_deref()).ok_or_else(|| ApiError::field("name", "is required"))?;
    let name = field::line("name", name, MAX_NAME)?;
    let uris = texts("redirect_uris", &body.redirect_uris, ' ')?.unwrap_or_default();
    if uris.len() > MAX_REDIRECT_URIS {
        let problem = format!("must be at most {MAX_REDIRECT_URIS}");
        return Err(ApiError::field("redirect_uris", problem).into());
    }
    let uris: Vec<String> = uris
        .iter()
        .map(|uri| redirect_uri(uri))
        .collect::<Result<_, _>>()?;
    let scopes = client_scopes(texts("scopes", &body.scopes, ',')?.as_deref())?;
    // With client credentials the app does what its scopes say: no more than the key that makes it.
    if !caller.key.scopes.cover(&scopes) {
        return Err(ApiError::Escalation.into());
    }
    let is_public = body.public.unwrap_or(false);
    if is_public && uris.is_empty() {
        return Err(
            ApiError::field("redirect_uris", "must hold one at least for a public app").into(),
        );
    }
    let secret = if is_public {
        None
    } else {
        Some(NewKey::marked(SECRET_MARK).map_err(anyhow::Error::new)?)
    };
    let client_id = uuid::Uuid::new_v4().simple().to_string();
    let new = NewClient {
        client_id: &client_id,
        name: &name,
        secret: secret.as_ref(),
        redirect_uris: &uris,
        scopes: &scopes,
    };
    let owner = (caller.workspace(), caller.key.user_id);
    let id = oauth::add_client(&app.store, owner, new, app.clock.now_ms()).await?;
    Ok(Json(NewClientReply {
        error: 0,
        id,
        client_id,
        client_secret: secret.map(|secret| secret.secret),
    }))
}

/// Replaces an app's secret; the old one stops working at once, tokens go on.
#[utoipa::path(post, path = "/api/oauth/client/{id}/rotate", tag = "OAuth 2", params(("id" = i64, Path)), responses((status = 200, body = SecretReply)))]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<SecretReply> {
    if !caller.key.scopes.cover(&Scopes::usual()) {
        return Err(ApiError::Escalation.into());
    }
    let id = id.of("app")?;
    let secret = NewKey::marked(SECRET_MARK).map_err(anyhow::Error::new)?;
    if !oauth::rotate_secret(&app.store, (caller.workspace(), id), &secret).await? {
        return Err(ApiError::not_found("app", id).into());
    }
    Ok(Json(SecretReply {
        error: 0,
        id,
        client_secret: secret.secret,
    }))
}

/// Ends an app and every token it has.
#[utoipa::path(delete, path = "/api/oauth/client/{id}/delete", tag = "OAuth 2", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    let id = id.of("app")?;
    if !oauth::delete_client(&app.store, (caller.workspace(), id), app.clock.now_ms()).await? {
        return Err(ApiError::not_found("app", id).into());
    }
    Ok(MessageReply::new("App has been deleted successfully."))
}

/// Apps that act for the caller in this workspace.
#[utoipa::path(get, path = "/api/oauth/apps", tag = "OAuth 2", responses((status = 200, body = AllowedAppsReply)))]
pub(super) async fn apps(State(app): State<Arc<App>>, caller: Caller) -> Reply<AllowedAppsReply> {
    let of = (caller.workspace(), caller.key.user_id);
    let rows = oauth::allowed(&app.store, of, app.clock.now_ms()).await?;
    Ok(Json(AllowedAppsReply {
        error: 0,
        data: rows
            .into_iter()
            .map(|row| AppItem {
                id: row.id,
                name: row.name,
                client_id: row.client_id,
                scopes: row.scopes.names(),
                date: date::format(row.created_at),
            })
            .collect(),
    }))
}

/// Takes back what the caller allowed an app: its tokens stop working at once.
#[utoipa::path(delete, path = "/api/oauth/app/{id}/delete", tag = "OAuth 2", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn disallow(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    let id = id.of("app")?;
    let of = (caller.workspace(), caller.key.user_id);
    if !oauth::disallow(&app.store, of, id, app.clock.now_ms()).await? {
        return Err(ApiError::not_found("app", id).into());
    }
    Ok(MessageReply::new("App has been removed successfully."))
}

/// A list of texts, or one text that `between` separates; `None`: absent or empty.
fn texts(field: &str, value: &Value, between: char) -> Result<Option<Vec<String>>, ApiError> {
    let wrong = || ApiError::field(field, "must be a list of texts");
    let list: Vec<String> = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text
            .split(between)
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong()),
    };
    Ok(Some(list).filter(|list| !list.is_empty()))
}
