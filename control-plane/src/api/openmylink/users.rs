//! `/users` and `/user/…`: users of the whole installation, for administrators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::account::avatar_url;
use super::link_request::text;
use super::reply::{MessageReply, Reply};
use crate::api::request::{Id, Object, Query, read};
use crate::app::App;
use crate::domain::date::{self, When};
use crate::domain::key::NewKey;
use crate::domain::user;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::own_url::own_url;
use crate::store::users::{self, Filter, Listed, NewUser, Place, UserError};
use crate::store::{plans, sign_ins};

/// `limit` of the list when none is asked for: all of a small installation.
const DEFAULT_LIMIT: i64 = 500;

/// Words of `filter`.
const FILTERS: [(&str, Filter); 3] = [
    ("admin", Filter::Admin),
    ("free", Filter::Free),
    ("pro", Filter::Pro),
];

/// `GET /users`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsersReply {
    #[schema(example = 0)]
    error: u8,
    data: Vec<UserItem>,
}

/// `GET /user/:id`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserReply {
    #[schema(example = 0)]
    error: u8,
    data: UserItem,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserItem {
    id: i64,
    email: String,
    username: String,
    /// URL of a picture.
    avatar: String,
    /// Name of the plan in force of the workspace that was made with the user.
    status: String,
    planid: i64,
    /// End of the plan, `YYYY-MM-DD HH:MM:SS` UTC; `null`: without end.
    expires: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    registered: String,
    /// First characters of its oldest key: keys are stored nowhere.
    apikey: Option<String>,
}

/// `POST /user/add`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct UserRequest {
    /// Letters, digits, `-`, `_`, `.`; unique.
    #[serde(deserialize_with = "text")]
    username: Option<String>,
    /// Unique.
    #[serde(deserialize_with = "text")]
    email: Option<String>,
    /// At least 8 characters.
    #[serde(deserialize_with = "text")]
    password: Option<String>,
    /// The plan of the new workspace; the free one when absent.
    #[serde(deserialize_with = "text")]
    planid: Option<String>,
    /// When the plan ends: a date, date and time, or ISO 8601.
    #[serde(deserialize_with = "text")]
    expiration: Option<String>,
}

/// A new user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewUserReply {
    #[schema(example = 0)]
    error: u8,
    message: &'static str,
    data: NewUserData,
    /// Its first API key, shown this once.
    key: String,
}

/// Who it is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewUserData {
    id: i64,
    email: String,
    username: String,
}

/// `GET /user/login/:id`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignInReply {
    #[schema(example = 0)]
    error: u8,
    /// Signs its visitor in once, within an hour.
    url: String,
}

/// Users, newest first.
#[utoipa::path(get, path = "/api/users", tag = "Users (administrators)", params(("filter" = Option<String>, Query, description = "admin, free or pro"), ("email" = Option<String>, Query), ("limit" = Option<i64>, Query), ("page" = Option<i64>, Query)), responses((status = 200, body = UsersReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: Caller,
    headers: HeaderMap,
    query: Query,
) -> Reply<UsersReply> {
    let filter = query.word("filter", &FILTERS, Filter::All)?;
    let limit = query.number("limit", DEFAULT_LIMIT, (1, DEFAULT_LIMIT))?;
    let (_, page) = query.paging()?;
    let place = (limit, (page - 1) * limit);
    let now_ms = app.clock.now_ms();
    let rows = users::page(&app.store, filter, query.text("email"), place, now_ms).await?;
    let own = own_url(&app, &headers);
    Ok(Json(UsersReply {
        error: 0,
        data: rows.into_iter().map(|row| item(row, &own)).collect(),
    }))
}

/// One user.
#[utoipa::path(get, path = "/api/user/{id}", tag = "Users (administrators)", params(("id" = i64, Path)), responses((status = 200, body = UserReply)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    _: Caller,
    headers: HeaderMap,
    id: Id,
) -> Reply<UserReply> {
    let id = id.of("user")?;
    let row = users::get(&app.store, id, app.clock.now_ms())
        .await?
        .ok_or_else(|| ApiError::not_found("user", id))?;
    Ok(Json(UserReply {
        error: 0,
        data: item(row, &own_url(&app, &headers)),
    }))
}

/// Makes a user with a workspace of its own and a first key.
#[utoipa::path(post, path = "/api/user/add", tag = "Users (administrators)", request_body = UserRequest, responses((status = 200, body = NewUserReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    _: Caller,
    Object(body): Object,
) -> Reply<NewUserReply> {
    let body: UserRequest = read(&body)?;
    let person = Person::read(body.username, body.email, body.password)?;
    let plan = match filled(body.planid.as_deref()) {
        None => users::DEFAULT_PLAN,
        Some(text) => plan_id("planid", text)?,
    };
    if plans::get(&app.store, plan).await?.is_none() {
        return Err(ApiError::field("planid", format!("'{plan}' is not a plan")).into());
    }
    let plan_ends_at = filled(body.expiration.as_deref())
        .map(|text| When::parse("expiration", text).map(When::end_ms))
        .transpose()?;
    let place = Place::Own { plan, plan_ends_at };
    let (id, key) = person.add(&app, place).await?;
    Ok(Json(NewUserReply {
        error: 0,
        message: "User has been registered successfully.",
        data: NewUserData {
            id,
            email: person.email,
            username: person.username,
        },
        key: key.secret,
    }))
}

/// Ends a user and its keys. The links of a workspace whose last owner it was stop answering; no slug of them is given to
/// anybody else.
#[utoipa::path(delete, path = "/api/user/{id}/delete", tag = "Users (administrators)", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    let id = id.of("user")?;
    if id == caller.key.user_id {
        return Err(ApiError::field("id", "must not be the user whose key asks").into());
    }
    if !users::delete(&app.store, id, app.clock.now_ms()).await? {
        return Err(ApiError::not_found("user", id).into());
    }
    Ok(MessageReply::new("User has been deleted successfully."))
}

/// A URL that signs its visitor in as this user: once, within an hour. An older one of the user stops working.
#[utoipa::path(get, path = "/api/user/login/{id}", tag = "Users (administrators)", params(("id" = i64, Path)), responses((status = 200, body = SignInReply)))]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    _: Caller,
    headers: HeaderMap,
    id: Id,
) -> Reply<SignInReply> {
    let id = id.of("user")?;
    let secret = NewKey::marked("").map_err(anyhow::Error::new)?;
    let expires_at = app.clock.now_ms() + user::SIGN_IN_LINK_MS;
    if !sign_ins::add_link(&app.store, id, &secret, expires_at).await? {
        return Err(ApiError::not_found("user", id).into());
    }
    Ok(Json(SignInReply {
        error: 0,
        url: format!("{}/login/{}", own_url(&app, &headers), secret.secret),
    }))
}

/// Who a new user is to be, checked.
#[derive(Clone)]
pub(crate) struct Person {
    /// Name.
    pub(crate) username: String,
    /// Address.
    pub(crate) email: String,
    password: String,
}

impl Person {
    /// From a request's fields, all of which are needed.
    pub(crate) fn read(
        username: Option<String>,
        email: Option<String>,
        password: Option<String>,
    ) -> Result<Self, ApiError> {
        let need = |field: &str, value: Option<String>| {
            value
                .filter(|text| !text.trim().is_empty())
                .ok_or_else(|| ApiError::field(field, "is required"))
        };
        Ok(Self {
            username: user::username(&need("username", username)?)?,
            email: user::email(&need("email", email)?)?,
            password: need("password", password)?,
        })
    }

    /// Makes the user, with its first key.
    pub(crate) async fn add(&self, app: &App, place: Place<'_>) -> Result<(i64, NewKey), ApiError> {
        let hash = app
            .passwords
            .hash("password", self.password.clone())
            .await?;
        let key = NewKey::random().map_err(anyhow::Error::new)?;
        let new = NewUser {
            email: &self.email,
            username: &self.username,
            password_hash: &hash,
        };
        let id = users::add(&app.store, new, place, &key, app.clock.now_ms()).await?;
        Ok((id, key))
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::EmailTaken => Self::field("email", "belongs to another account"),
            UserError::NameTaken => Self::field("username", "belongs to another account"),
            UserError::NoPlan => Self::field("planid", "is not a plan"),
            UserError::Member(error) => error.into(),
            UserError::Failed(error) => Self::Internal(error),
        }
    }
}

/// A value that says something.
pub(super) fn filled(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}

/// A plan's id as text.
fn plan_id(field: &str, text: &str) -> Result<i64, ApiError> {
    let shown: String = text.chars().take(40).collect();
    text.parse()
        .map_err(|_| ApiError::field(field, format!("'{shown}' is not a plan")))
}

fn item(row: Listed, own_url: &str) -> UserItem {
    let account = row.account;
    UserItem {
        id: account.id,
        avatar: avatar_url(own_url, account.id),
        email: account.email,
        username: account.username,
        status: account.plan,
        planid: account.plan_id,
        expires: account.plan_ends_at.map(date::format),
        registered: date::format(account.created_at),
        apikey: row.key_prefix,
    }
}
