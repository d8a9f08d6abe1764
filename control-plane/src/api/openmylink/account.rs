//! `/account` and the avatars it names.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::link_request::text;
use super::reply::{Failure, MessageReply, Reply};
use crate::api::request::{Object, read};
use crate::app::App;
use crate::domain::{date, user};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::own_url::own_url;
use crate::store::accounts;

/// `GET /account`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountReply {
    #[schema(example = 0)]
    error: u8,
    data: Account,
}

/// The user a key speaks for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Account {
    id: i64,
    email: String,
    username: String,
    /// URL of a picture.
    avatar: String,
    /// Name of the plan.
    #[schema(example = "free")]
    status: String,
    planid: i64,
    /// End of the plan, `YYYY-MM-DD HH:MM:SS` UTC; `null`: without end.
    expires: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    registered: String,
}

/// The account of the key.
#[utoipa::path(get, path = "/api/account", tag = "Account", responses((status = 200, body = AccountReply), (status = 401, body = super::reply::ErrorReply)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
) -> Reply<AccountReply> {
    let account = accounts::get(&app.store, caller.key.user_id, app.clock.now_ms())
        .await?
        .ok_or_else(|| ApiError::not_found("user", caller.key.user_id))?;
    Ok(Json(AccountReply {
        error: 0,
        data: Account {
            id: account.id,
            avatar: avatar_url(&own_url(&app, &headers), account.id),
            email: account.email,
            username: account.username,
            status: account.plan,
            planid: account.plan_id,
            expires: account.plan_ends_at.map(date::format),
            registered: date::format(account.created_at),
        },
    }))
}

/// As `GET`: many clients post.
#[utoipa::path(post, path = "/api/account", tag = "Account", responses((status = 200, body = AccountReply)))]
pub(super) async fn show_posted(
    app: State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
) -> Reply<AccountReply> {
    show(app, caller, headers).await
}

/// `PUT /account/update`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct AccountRequest {
    /// A new address.
    #[serde(deserialize_with = "text")]
    email: Option<String>,
    /// A new password of the sign-in, at least 8 characters; keys stay valid.
    #[serde(deserialize_with = "text")]
    password: Option<String>,
}

/// Changes the account of the key.
#[utoipa::path(put, path = "/api/account/update", tag = "Account", request_body = AccountRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<MessageReply> {
    let body: AccountRequest = read(&body)?;
    let email = body
        .email
        .as_deref()
        .map(str::trim)
        .filter(|e| !e.is_empty());
    let email = email.map(user::email).transpose()?;
    let hash = match body.password.filter(|p| !p.is_empty()) {
        None => None,
        Some(secret) => Some(app.passwords.hash("password", secret).await?),
    };
    if !accounts::update(
        &app.store,
        caller.key.user_id,
        email.as_deref(),
        hash.as_deref(),
    )
    .await?
    {
        return Err(ApiError::field("email", "belongs to another account").into());
    }
    Ok(MessageReply::new("Account has been successfully updated."))
}

/// Where the picture of a user is.
pub(super) fn avatar_url(own_url: &str, id: i64) -> String {
    format!("{own_url}/avatars/{id}.svg")
}

/// A picture for a user, drawn from its id alone: it says nothing of the account, so it needs no key.
pub(super) async fn avatar(Path(name): Path<String>) -> Response {
    let Some(id) = name
        .strip_suffix(".svg")
        .and_then(|id| id.parse::<u32>().ok())
    else {
        return Failure::from(ApiError::UnknownPath).into_response();
    };
    let hue = id.wrapping_mul(137) % 360;
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><rect width=\"64\" height=\"64\" fill=\"hsl({hue},55%,45%)\"/>\
         <circle cx=\"32\" cy=\"25\" r=\"11\" fill=\"#fff\"/><path d=\"M10 64a22 22 0 0 1 44 0z\" fill=\"#fff\"/></svg>"
    );
    (
        [
            (CONTENT_TYPE, "image/svg+xml"),
            (CACHE_CONTROL, "public, max-age=86400"),
        ],
        svg,
    )
        .into_response()
}
