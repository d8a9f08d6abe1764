//! `/plans` and `/plan/…`: what plans there are and who has which, for administrators; `/usage`: what is left of one's own.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::link_request::{text, yes_no};
use super::reply::{MessageReply, Reply};
use crate::api::request::{Id, Object, filled, read};
use crate::app::App;
use crate::domain::date::When;
use crate::domain::field;
use crate::domain::plan::{FREE, Features, Limit, Limits, Plan, Prices};
use crate::domain::user::Term;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::plans::{self, WriteError};
use crate::store::{files, users};
use crate::usage;

/// Longest name of a plan, in characters.
const MAX_NAME: usize = 100;

/// Largest limit, price in cents or rate: far from where sums overflow.
const MAX_NUMBER: i64 = 1 << 50;

/// `GET /plans`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlansReply {
    #[schema(example = 0)]
    error: u8,
    data: Vec<PlanItem>,
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlanItem {
    id: i64,
    name: String,
    /// Counts as free in lists of users.
    free: bool,
    /// For show; `null`: none.
    prices: Option<PlanPrices>,
    limits: PlanLimits,
}

/// Prices with their cents, `null`: not sold so.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlanPrices {
    #[schema(example = 9.99)]
    monthly: Option<f64>,
    yearly: Option<f64>,
    lifetime: Option<f64>,
}

/// Limits; `null`: none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlanLimits {
    links: Option<i64>,
    /// Clicks a calendar month (UTC).
    clicks: Option<i64>,
    domains: Option<i64>,
    members: Option<i64>,
    qrcodes: Option<i64>,
    /// Bytes of stored files.
    filebytes: Option<i64>,
    /// Bytes of one file.
    filesize: Option<i64>,
    /// API calls a minute of a key without a rate of its own; 0: no limit.
    rate: i64,
    /// What is included.
    features: Vec<&'static str>,
}

/// `POST /plan/add` and `PUT /plan/:planid/update`: what is absent stays; of a new plan the rate is 30 calls a minute, the
/// rest is without limit, and everything is included. `null` takes a limit or price away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct PlanRequest {
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    /// Whether it counts as free in lists of users.
    #[serde(deserialize_with = "yes_no")]
    free: Option<bool>,
    /// API calls a minute; 0: no limit; 30 of a new plan that says nothing.
    #[serde(deserialize_with = "text")]
    rate: Option<String>,
    #[serde(deserialize_with = "text")]
    links: Option<String>,
    /// A calendar month.
    #[serde(deserialize_with = "text")]
    clicks: Option<String>,
    #[serde(deserialize_with = "text")]
    domains: Option<String>,
    #[serde(deserialize_with = "text")]
    members: Option<String>,
    #[serde(deserialize_with = "text")]
    qrcodes: Option<String>,
    /// Bytes of all files together.
    #[serde(deserialize_with = "text")]
    filebytes: Option<String>,
    /// Bytes of one file.
    #[serde(deserialize_with = "text")]
    filesize: Option<String>,
    /// Some of `password`, `rules`, `variants`, `clicklimit`, `deeplink`, `pixels`, `splash`, `overlay`, `qr`, `campaigns`,
    /// `channels`, `bio`, `files`, `alias`, `expiry`, `qrcolors` with commas; `*` for all.
    #[serde(deserialize_with = "text")]
    features: Option<String>,
    /// E.g. `9.99`.
    #[serde(deserialize_with = "text")]
    monthly: Option<String>,
    #[serde(deserialize_with = "text")]
    yearly: Option<String>,
    #[serde(deserialize_with = "text")]
    lifetime: Option<String>,
}

/// A new plan.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewPlanReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
}

/// `PUT /plan/:planid/user/:userid`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct PlanAssignRequest {
    /// `monthly`, `yearly` or `lifetime`: when it ends, unless `expiration` says so.
    #[serde(deserialize_with = "text")]
    #[serde(rename = "type")]
    term: Option<String>,
    /// A date, date and time, or ISO 8601.
    #[serde(deserialize_with = "text")]
    expiration: Option<String>,
}

/// `GET /usage`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsageReply {
    #[schema(example = 0)]
    error: u8,
    data: UsageData,
}

/// The plan in force of the caller's workspace and what is used of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UsageData {
    planid: i64,
    plan: String,
    links: Used,
    /// This calendar month (UTC), at most five minutes old; `used` is `null` while statistics are unavailable.
    clicks: Used,
    domains: Used,
    members: Used,
    qrcodes: Used,
    /// Bytes of stored files.
    filebytes: Used,
    /// Bytes that one file may have; `null`: as many as the installation allows.
    filesize: Option<i64>,
    features: Vec<&'static str>,
}

/// How much of a limit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Used {
    used: Option<i64>,
    /// `null`: no limit.
    limit: Option<i64>,
}

/// All plans.
#[utoipa::path(get, path = "/api/plans", tag = "Plans (administrators)", responses((status = 200, body = PlansReply)))]
pub(super) async fn list(State(app): State<Arc<App>>, _: Caller) -> Reply<PlansReply> {
    let plans = plans::all(&app.store).await?;
    Ok(Json(PlansReply {
        error: 0,
        data: plans.into_iter().map(item).collect(),
    }))
}

/// Adds a plan.
#[utoipa::path(post, path = "/api/plan/add", tag = "Plans (administrators)", request_body = PlanRequest, responses((status = 200, body = NewPlanReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    _: Caller,
    Object(body): Object,
) -> Reply<NewPlanReply> {
    let blank = Plan {
        id: 0,
        name: String::new(),
        is_free: false,
        prices: Prices::default(),
        limits: Limits {
            rate_per_minute: 30,
            links: None,
            clicks: None,
            domains: None,
            members: None,
            qr_codes: None,
            file_bytes: None,
            file_size: None,
            features: Features::All,
        },
    };
    let plan = changed(blank, &body)?;
    let id = plans::add(&app.store, &plan)
        .await
        .map_err(|e| refused(e, 0))?;
    Ok(Json(NewPlanReply { error: 0, id }))
}

/// Changes a plan, at once for everybody who has it. What exists beyond a new limit stays; nothing more is made.
#[utoipa::path(put, path = "/api/plan/{id}/update", tag = "Plans (administrators)", params(("id" = i64, Path)), request_body = PlanRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    _: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    let id = id.of("plan")?;
    let old = plans::get(&app.store, id)
        .await?
        .ok_or_else(|| ApiError::not_found("plan", id))?;
    let plan = changed(old, &body)?;
    plans::update(&app.store, &plan)
        .await
        .map_err(|e| refused(e, id))?;
    Ok(MessageReply::new("Plan has been updated successfully."))
}

/// Deletes a plan that nobody has. The first one stays: it is what a plan that ends becomes.
#[utoipa::path(delete, path = "/api/plan/{id}/delete", tag = "Plans (administrators)", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(State(app): State<Arc<App>>, _: Caller, id: Id) -> Reply<MessageReply> {
    let id = id.of("plan")?;
    if id == FREE {
        return Err(ApiError::field("id", "must not be the plan that others end in").into());
    }
    plans::delete(&app.store, id)
        .await
        .map_err(|e| refused(e, id))?;
    Ok(MessageReply::new("Plan has been deleted successfully."))
}

/// Puts the workspace that was made with a user on a plan.
#[utoipa::path(put, path = "/api/plan/{planid}/user/{userid}", tag = "Plans (administrators)", params(("planid" = i64, Path), ("userid" = i64, Path)), request_body = PlanAssignRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn assign(
    State(app): State<Arc<App>>,
    _: Caller,
    Path((plan, user)): Path<(String, String)>,
    Object(body): Object,
) -> Reply<MessageReply> {
    let number = |what, text: &str| {
        text.parse::<i64>()
            .map_err(|_| ApiError::not_found(what, text))
    };
    let (plan, user) = (number("plan", &plan)?, number("user", &user)?);
    let body: PlanAssignRequest = read(&body)?;
    let now_ms = app.clock.now_ms();
    let term = filled(body.term.as_deref()).map(Term::parse).transpose()?;
    let ends_at = match filled(body.expiration.as_deref()) {
        Some(text) => Some(When::parse("expiration", text)?.end_ms()),
        None => term.and_then(|term| term.ends_at(now_ms)),
    };
    if plans::get(&app.store, plan).await?.is_none() {
        return Err(ApiError::not_found("plan", plan).into());
    }
    let listed = users::get(&app.store, user, now_ms)
        .await?
        .ok_or_else(|| ApiError::not_found("user", user))?;
    // The plan that others end in has no end itself.
    let ends_at = ends_at.filter(|_| plan != FREE);
    if !plans::assign(&app.store, listed.account.workspace_id, plan, ends_at).await? {
        return Err(ApiError::not_found("plan", plan).into());
    }
    Ok(MessageReply::new(
        "User has been subscribed to this plan successfully.",
    ))
}

/// The plan in force and what is used of it.
#[utoipa::path(get, path = "/api/usage", tag = "Account", responses((status = 200, body = UsageReply)))]
pub(super) async fn usage(State(app): State<Arc<App>>, caller: Caller) -> Reply<UsageReply> {
    let workspace = caller.workspace();
    let plan = usage::plan(&app, workspace).await?;
    let mut connection = app.store.readers().acquire().await?;
    let mut counts = Vec::new();
    for limit in [Limit::Links, Limit::Domains, Limit::Members, Limit::QrCodes] {
        counts.push(plans::used(&mut connection, workspace, limit, app.clock.now_ms()).await?);
    }
    counts.push(files::bytes_used(&mut connection, workspace).await?);
    drop(connection);
    let mut counts = counts.into_iter();
    let mut used = |limit: Option<i64>| Used {
        used: counts.next(),
        limit,
    };
    Ok(Json(UsageReply {
        error: 0,
        data: UsageData {
            planid: plan.id,
            links: used(plan.limits.links),
            domains: used(plan.limits.domains),
            members: used(plan.limits.members),
            qrcodes: used(plan.limits.qr_codes),
            filebytes: used(plan.limits.file_bytes),
            filesize: plan.limits.file_size,
            clicks: Used {
                used: usage::clicks(&app, workspace).await.ok(),
                limit: plan.limits.clicks,
            },
            features: plan.limits.features.names(),
            plan: plan.name,
        },
    }))
}

/// `plan` with what the request says.
fn changed(mut plan: Plan, body: &Map<String, Value>) -> Result<Plan, ApiError> {
    let request: PlanRequest = read(body)?;
    if let Some(name) = &request.name {
        plan.name = field::line("name", name, MAX_NAME)?;
    }
    if plan.name.is_empty() {
        return Err(ApiError::field("name", "is required"));
    }
    plan.is_free = request.free.unwrap_or(plan.is_free);
    if let Some(features) = &request.features {
        plan.limits.features = Features::parse(features)?;
    }
    if let Some(rate) = number("rate", body, request.rate.as_deref())? {
        plan.limits.rate_per_minute = rate.unwrap_or(0);
    }
    let limits = &mut plan.limits;
    for (name, value, slot) in [
        ("links", &request.links, &mut limits.links),
        ("clicks", &request.clicks, &mut limits.clicks),
        ("domains", &request.domains, &mut limits.domains),
        ("members", &request.members, &mut limits.members),
        ("qrcodes", &request.qrcodes, &mut limits.qr_codes),
        ("filebytes", &request.filebytes, &mut limits.file_bytes),
        ("filesize", &request.filesize, &mut limits.file_size),
    ] {
        if let Some(value) = number(name, body, value.as_deref())? {
            *slot = value;
        }
    }
    let prices = &mut plan.prices;
    for (name, value, slot) in [
        ("monthly", &request.monthly, &mut prices.monthly),
        ("yearly", &request.yearly, &mut prices.yearly),
        ("lifetime", &request.lifetime, &mut prices.lifetime),
    ] {
        if let Some(value) = price(name, body, value.as_deref())? {
            *slot = value;
        }
    }
    Ok(plan)
}

/// `None`: nothing said. `Some(None)`: no limit.
fn number(
    name: &str,
    body: &Map<String, Value>,
    value: Option<&str>,
) -> Result<Option<Option<i64>>, ApiError> {
    if !body.contains_key(name) {
        return Ok(None);
    }
    let Some(text) = filled(value) else {
        return Ok(Some(None));
    };
    let number = text.parse().ok().filter(|n| (0..=MAX_NUMBER).contains(n));
    number.map(|number| Some(Some(number))).ok_or_else(|| {
        ApiError::field(
            name,
            format!("must be a whole number from 0 to {MAX_NUMBER}, or null for no limit"),
        )
    })
}

/// As [`number`], in cents.
fn price(
    name: &str,
    body: &Map<String, Value>,
    value: Option<&str>,
) -> Result<Option<Option<i64>>, ApiError> {
    if !body.contains_key(name) {
        return Ok(None);
    }
    let Some(text) = filled(value) else {
        return Ok(Some(None));
    };
    let wrong = || ApiError::field(name, "must be a price like 9.99, or null");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 2 || whole.len() > 9 {
        return Err(wrong());
    }
    let cents = format!("{whole}{part:0<2}").parse().map_err(|_| wrong())?;
    Ok(Some(Some(cents)))
}

fn refused(error: WriteError, id: i64) -> ApiError {
    match error {
        WriteError::NameTaken => ApiError::field("name", "belongs to another plan"),
        WriteError::InUse(count) => {
            ApiError::field("id", format!("is the plan of {count} workspaces"))
        }
        WriteError::NotFound => ApiError::not_found("plan", id),
        WriteError::Failed(error) => error.into(),
    }
}

fn item(plan: Plan) -> PlanItem {
    // Cents of prices are small numbers: a float holds them exactly enough to be shown.
    let shown = |cents: Option<i64>| cents.map(|cents| cents as f64 / 100.0);
    let prices = plan.prices;
    let limits = plan.limits;
    PlanItem {
        id: plan.id,
        name: plan.name,
        free: plan.is_free,
        prices: (prices != Prices::default()).then(|| PlanPrices {
            monthly: shown(prices.monthly),
            yearly: shown(prices.yearly),
            lifetime: shown(prices.lifetime),
        }),
        limits: PlanLimits {
            links: limits.links,
            clicks: limits.clicks,
            domains: limits.domains,
            members: limits.members,
            qrcodes: limits.qr_codes,
            filebytes: limits.file_bytes,
            filesize: limits.file_size,
            rate: limits.rate_per_minute,
            features: limits.features.names(),
        },
    }
}
