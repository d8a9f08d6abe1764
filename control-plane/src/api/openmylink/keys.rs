//! `/keys` and `/key/:id/…`: a key is shown once, when it is made or rotated; lists show its prefix.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::link_request::text;
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Object, Query, read};
use crate::app::App;
use crate::domain::date::{self, When};
use crate::domain::field;
use crate::domain::key::{NewKey, Scope, Scopes};
use crate::domain::role::Role;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::keys::{self, KeyChoice, KeyRow};

/// Longest name of a key, in characters.
const MAX_NAME: usize = 255;

/// Highest rate a key may be given, in calls a minute.
const MAX_RATE: i64 = 1_000_000;

/// `GET /keys`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeysReply {
    #[schema(example = 0)]
    error: u8,
    data: KeyPage,
}

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyPage {
    #[serde(flatten)]
    paging: Paging,
    keys: Vec<KeyItem>,
}

/// A key, without the key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeyItem {
    id: i64,
    name: String,
    /// Its first characters.
    prefix: String,
    /// `read`, `write`, `keys`, `admin`.
    scopes: Vec<String>,
    /// Calls a minute; 0: no limit.
    rate: i64,
    /// `YYYY-MM-DD HH:MM:SS` UTC; `null`: never.
    expires_at: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// `POST /keys`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct KeyRequest {
    /// What it is for.
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    /// Some of `read`, `write`, `keys`, `admin`, a list or one text with commas; those of the calling key without `admin`
    /// when absent.
    #[serde(deserialize_with = "scope_list")]
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Option<Vec<String>>,
    /// When it stops working.
    #[serde(deserialize_with = "text")]
    expires_at: Option<String>,
    /// Calls a minute; 0 (administrators only): no limit; the plan's when absent, and no more than that for others.
    #[serde(deserialize_with = "text")]
    rate: Option<String>,
}

/// A new key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewKeyReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    /// The key, shown this once.
    key: String,
}

/// Keys that are not revoked, newest first: an owner's list is the workspace's, others see their own.
#[utoipa::path(get, path = "/api/keys", tag = "Keys", params(("limit" = Option<i64>, Query), ("page" = Option<i64>, Query)), responses((status = 200, body = KeysReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<KeysReply> {
    let (limit, page) = query.paging()?;
    let (rows, count) = keys::page(
        &app.store,
        caller.workspace(),
        own(&caller),
        (limit, (page - 1) * limit),
        app.clock.now_ms(),
    )
    .await?;
    Ok(Json(KeysReply {
        error: 0,
        data: KeyPage {
            paging: Paging::new(count, limit, page),
            keys: rows.into_iter().map(item).collect(),
        },
    }))
}

/// Makes a key.
#[utoipa::path(post, path = "/api/keys", tag = "Keys", request_body = KeyRequest, responses((status = 200, body = NewKeyReply)))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<NewKeyReply> {
    let body: KeyRequest = read(&body)?;
    let name = field::line("name", body.name.as_deref().unwrap_or_default(), MAX_NAME)?;
    let scopes = match &body.scopes {
        Some(names) => Scopes::parse(names.iter().map(String::as_str))?,
        None => Scopes::usual().within(&caller.key.scopes),
    };
    let rate_per_minute = rate(&body, &caller)?;
    if !caller.key.scopes.cover(&scopes) {
        return Err(ApiError::Escalation.into());
    }
    let expires_at = match body
        .expires_at
        .as_deref()
        .map(str::trim)
        .filter(|t| !t.is_empty())
    {
        None => None,
        Some(text) => Some(When::parse("expires_at", text)?.end_ms()),
    };
    let choice = KeyChoice {
        name: if name.is_empty() {
            "API key".to_owned()
        } else {
            name
        },
        scopes,
        rate_per_minute,
        expires_at,
    };
    let key = NewKey::random().map_err(anyhow::Error::new)?;
    let owner = (caller.workspace(), caller.key.user_id);
    let id = keys::insert(&app.store, owner, &choice, &key, app.clock.now_ms()).await?;
    Ok(Json(NewKeyReply {
        error: 0,
        id,
        key: key.secret,
    }))
}

/// Replaces a key: the old one answers 401 from now on. Name, scopes, rate and expiry stay. Only one's own.
#[utoipa::path(post, path = "/api/key/{id}/rotate", tag = "Keys", params(("id" = i64, Path)), responses((status = 200, body = NewKeyReply)))]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<NewKeyReply> {
    let row = owned(&app, &caller, &id).await?;
    // A key speaks for its user, whose password it can change: who got another's would be that user, elsewhere too.
    if row.user_id != caller.key.user_id {
        let problem = "is the key of another member: delete it, and let the member make another";
        return Err(ApiError::field("id", problem).into());
    }
    let key = NewKey::random().map_err(anyhow::Error::new)?;
    if !keys::rotate(&app.store, caller.workspace(), row.id, &key).await? {
        return Err(ApiError::not_found("key", row.id).into());
    }
    Ok(Json(NewKeyReply {
        error: 0,
        id: row.id,
        key: key.secret,
    }))
}

/// Revokes a key at once.
#[utoipa::path(delete, path = "/api/key/{id}/delete", tag = "Keys", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    let row = owned(&app, &caller, &id).await?;
    if !keys::revoke(
        &app.store,
        Some(caller.workspace()),
        row.id,
        app.clock.now_ms(),
    )
    .await?
    {
        return Err(ApiError::not_found("key", row.id).into());
    }
    Ok(MessageReply::new("API key has been deleted successfully."))
}

/// The key of this id, if the caller may replace or revoke it: one with more rights would hand them over.
async fn owned(app: &App, caller: &Caller, id: &Id) -> Result<KeyRow, ApiError> {
    let id = id.of("key")?;
    let row = keys::get(&app.store, caller.workspace(), id, app.clock.now_ms())
        .await?
        .filter(|row| own(caller).is_none_or(|user| user == row.user_id))
        .ok_or_else(|| ApiError::not_found("key", id))?;
    if !caller.key.scopes.cover(&row.scopes) {
        return Err(ApiError::Escalation);
    }
    Ok(row)
}

/// Whose keys the caller sees: `None` is everybody's.
fn own(caller: &Caller) -> Option<i64> {
    (caller.role != Role::Owner).then_some(caller.key.user_id)
}

fn rate(body: &KeyRequest, caller: &Caller) -> Result<Option<i64>, ApiError> {
    let Some(text) = body
        .rate
        .as_deref()
        .map(str::trim)
        .filter(|t| !t.is_empty())
    else {
        return Ok(None);
    };
    let rate = text
        .parse::<i64>()
        .ok()
        .filter(|rate| (0..=MAX_RATE).contains(rate))
        .ok_or_else(|| {
            ApiError::field(
                "rate",
                format!("must be a whole number from 0 to {MAX_RATE}"),
            )
        })?;
    let may = caller.key.scopes.allow(Scope::Admin) || (rate > 0 && rate <= caller.key.plan_rate);
    if may {
        Ok(Some(rate))
    } else {
        Err(ApiError::Escalation)
    }
}

fn item(row: KeyRow) -> KeyItem {
    KeyItem {
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        scopes: row.scopes.names(),
        rate: row.rate_per_minute.unwrap_or(row.plan_rate),
        expires_at: row.expires_at.map(date::format),
        date: date::format(row.created_at),
    }
}

fn scope_list<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Vec<String>>, D::Error> {
    let wrong = || D::Error::custom("must be a list of read, write, keys and admin");
    match Value::deserialize(value)? {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.split(',').map(str::to_owned).collect())),
        Value::Array(items) if items.is_empty() => Ok(None),
        Value::Array(items) => items
            .into_iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<_, _>>()
            .map(Some),
        _ => Err(wrong()),
    }
}
