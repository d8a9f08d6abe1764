//! Minilnk's API under `/api/v1`: links, QR codes and analytics.
//!
//! Where the document is silent, or more is possible here:
//! - Links are those of the key's workspace, whoever of its members made them and in whichever dialect. `user_id` is the
//!   user of the key. `original_url` is the URL in its one form (`https://e.test` is `https://e.test/`).
//! - `null` and an empty text are as good as absent: Laravel's forms do so. In a `PUT` a `title` of `""` takes the title
//!   away; all other fields then stay. An `alias` in a `PUT` must be the one it has.
//! - A body must be a JSON object, whatever its content type says; anything else, forms too, is 400.
//! - A 422 names every field that is wrong; its message is the first of them, with the number of the others. Unknown fields are ignored, and so are attempts to override the method.
//! - A page number that is none is page 1, one beyond the end is an empty page, as Laravel's paginator has it; its URLs keep
//!   the search.
//! - The free plan has no access, but for keys that administer the installation. `alias`, `password`, `expires_at` and
//!   colours are features of plans (`alias`, `password`, `expiry`, `qrcolors`).
//! - A QR code holds `content` as its type says (`mailto:`, `SMSTO:`, `tel:`); where that is the short URL of `link_id`, with
//!   the mark `?qr=<id>` behind it, the id being the digits of the code's own address `qr/<id>`. Visits with the mark of a
//!   code that is there are scans: `scan_count`. Codes of other dialects are shown with what is in their image.
//! - Without ClickHouse lists show 0 clicks and say `X-Stats: unavailable`; analytics are 503 then.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::dialect::{Dialect, bearer, in_header, in_query};
use crate::app::App;
use crate::domain::key::Scope;
use crate::domain::plan::PlanRefusal;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::rate::Window;
use crate::store::keys::KeyRow;

mod analytics;
mod body;
mod links;
mod openapi;
mod paginator;
mod qrcodes;
mod wrong;

/// This dialect: a rolling minute.
pub(crate) const DIALECT: Dialect = Dialect {
    base: "/api/v1",
    credential: |headers, uri| {
        bearer(headers)
            .unwrap_or_else(|| in_header(headers, "x-api-key").or_else(|| in_query(uri, "api_key")))
    },
    admit,
    window: Window::Rolling(60),
    rate,
    anonymous: FREE,
    render,
};

/// Calls a minute of the free plan, each of which is refused.
const FREE: i64 = 60;

/// Calls a minute of the largest plan.
const MOST: i64 = 300;

/// Calls a minute of a key: its own rate, else that of its plan as far as this dialect goes.
fn rate(key: &KeyRow) -> i64 {
    match (key.rate_per_minute, key.plan_rate) {
        (Some(own), _) => own,
        (None, _) if key.plan_is_free => FREE,
        (None, 0) => MOST,
        (None, plan) => plan.min(MOST),
    }
}

fn admit(caller: &Caller) -> Result<(), ApiError> {
    if caller.key.plan_is_free && !caller.key.scopes.allow(Scope::Admin) {
        return Err(PlanRefusal::Free.into());
    }
    Ok(())
}

/// All endpoints of the dialect.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/links", get(links::list).post(links::add))
        .route(
            "/api/v1/links/{id}",
            get(links::show).put(links::update).delete(links::delete),
        )
        .route("/api/v1/links/{id}/analytics", get(analytics::show))
        .route("/api/v1/qrcodes", get(qrcodes::list).post(qrcodes::add))
        .route(
            "/api/v1/qrcodes/{id}",
            get(qrcodes::show).delete(qrcodes::delete),
        )
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/v1/docs", get(openapi::page))
}

/// A failed call.
#[derive(Debug, Serialize, ToSchema)]
struct Refusal {
    /// What went wrong, for people.
    #[schema(example = "original_url is required")]
    message: String,
    /// With status 422: by field, what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<BTreeMap<String, Vec<String>>>,
}

/// A done call that has nothing to show.
#[derive(Debug, Serialize, ToSchema)]
struct Done {
    #[schema(example = "Link deleted successfully.")]
    message: &'static str,
}

fn render(error: &ApiError) -> Response {
    let message = error.public_message();
    let wrong = match error {
        ApiError::Field(error) => std::slice::from_ref(error),
        ApiError::Fields(errors) => errors.all(),
        _ => &[],
    };
    let mut by_field: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for error in wrong {
        let messages = by_field.entry(error.field.clone()).or_default();
        messages.push(error.to_string());
    }
    let errors = (!by_field.is_empty()).then_some(by_field);
    (error.status(), Json(Refusal { message, errors })).into_response()
}

/// An error under the name that this dialect has for its field.
fn named(error: ApiError) -> ApiError {
    const NAMES: [(&str, &str); 6] = [
        ("url", "original_url"),
        ("custom", "alias"),
        ("data", "content"),
        ("foreground", "foreground_color"),
        ("background", "background_color"),
        ("format", "content"),
    ];
    match error {
        ApiError::Field(mut error) => {
            if let Some((_, name)) = NAMES.iter().find(|(ours, _)| *ours == error.field) {
                error.field = (*name).to_owned();
            }
            ApiError::Field(error)
        }
        ApiError::AliasTaken(slug) => {
            ApiError::field("alias", format!("'{slug}' is already in use"))
        }
        ApiError::AliasRests { slug, free } => {
            let problem =
                format!("'{slug}' was given up a short while ago and is free from {free} (UTC) on");
            ApiError::field("alias", problem)
        }
        other => other,
    }
}

/// A time in this dialect's form: `2026-05-24T22:05:00.000000Z`.
fn time(ms: i64) -> String {
    crate::domain::date::worded(ms, "%Y-%m-%dT%H:%M:%S%.6fZ")
}

/// A text, or nothing where it is empty.
fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
