//! SmartLinks' API under `/v1`: links, QR codes and analytics.
//!
//! Where the document is silent, or more is possible here:
//! - Links are those of the key's workspace, in whichever dialect they were made; `link_` and `qr_` are followed by their
//!   numbers in base 36.
//! - `metadata` is a JSON object of the owner's programs, at most 16 KiB, which comes back byte for byte; nothing here looks
//!   into it. In a `PATCH`, `null` takes a title or the metadata away, and what is absent stays.
//! - `shortCode` is 1 to 100 letters, digits, `-` and `_`; a taken one is 400, as all that is wrong with a call's content.
//! - A QR code holds the link's short URL with a mark behind it (`?qr=…`), by which its scans are known. Its logo is fetched
//!   once, when it is made.
//! - Calls are counted by the hour: 1,000 of the free plan; 10,000, or sixty times the plan's rate a minute if that is
//!   more, of others; of a key with a rate of its own sixty times that.
//! - In analytics `from` and `to` may be days or instants of ISO 8601, UTC without offset; the second named by `to` is part
//!   of the range. iPads count as `ios`; what is neither Apple's nor Android is `web`, unknown programs too.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::dialect::{Dialect, bearer, everyone};
use crate::app::App;
use crate::error::ApiError;
use crate::rate::Window;
use crate::stats::StatsError;
use crate::store::keys::KeyRow;

mod analytics;
mod body;
mod ids;
mod links;
mod openapi;
mod qr_codes;

/// This dialect: calls are counted by the hour.
pub(crate) const DIALECT: Dialect = Dialect {
    base: "/v1",
    credential: |headers, _| bearer(headers).flatten(),
    admit: everyone,
    window: Window::Fixed(3600),
    rate,
    anonymous: FREE,
    render,
};

/// Calls an hour of the free plan.
const FREE: i64 = 1000;

/// Calls an hour of other plans at least.
const PAID: i64 = 10_000;

/// Calls an hour of a key: those of its plan, or of its own rate.
fn rate(key: &KeyRow) -> i64 {
    match (key.rate_per_minute, key.plan_rate) {
        (Some(own), _) => own * 60,
        (None, 0) => 0,
        (None, _) if key.plan_is_free => FREE,
        (None, plan) => PAID.max(plan * 60),
    }
}

/// All endpoints of the dialect.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/links", get(links::list).post(links::add))
        .route(
            "/v1/links/{id}",
            get(links::show).patch(links::update).delete(links::delete),
        )
        .route("/v1/qr-codes", post(qr_codes::add))
        .route("/v1/analytics/{id}", get(analytics::show))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/v1/docs", get(openapi::page))
}

/// A failed call.
#[derive(Debug, Serialize, ToSchema)]
struct Refusal {
    /// What is wrong.
    error: Wrong,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct Wrong {
    /// For programs.
    #[schema(example = "not_found", pattern = "^[a-z_]+$")]
    code: &'static str,
    /// For people.
    message: String,
}

fn render(error: &ApiError) -> Response {
    let (status, code) = codes(error);
    let message = error.public_message();
    let error = Wrong { code, message };
    (status, Json(Refusal { error })).into_response()
}

fn codes(error: &ApiError) -> (StatusCode, &'static str) {
    match error {
        ApiError::Field(_)
        | ApiError::Fields(_)
        | ApiError::AliasTaken(_)
        | ApiError::AliasRests { .. }
        | ApiError::TooManyLinks(_)
        | ApiError::NotJson(_)
        | ApiError::Stats(StatsError::Cursor(_)) => (StatusCode::BAD_REQUEST, "invalid_request"),
        ApiError::NotFound { .. } | ApiError::UnknownPath => (StatusCode::NOT_FOUND, "not_found"),
        ApiError::Key(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
        ApiError::Plan(_)
        | ApiError::Forbidden(_)
        | ApiError::Role(_)
        | ApiError::NotForApps
        | ApiError::Escalation => (StatusCode::FORBIDDEN, "forbidden"),
        ApiError::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        ApiError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "timeout"),
        ApiError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        ApiError::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        ApiError::Stats(StatsError::Unavailable(_)) | ApiError::Storage(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
        ApiError::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// An error under the name that this dialect has for its field.
fn named(error: ApiError) -> ApiError {
    const NAMES: [(&str, &str); 4] = [
        ("custom", "shortCode"),
        ("foreground", "style.dotsColor"),
        ("background", "style.backgroundColor"),
        ("logo", "style.logo"),
    ];
    match error {
        ApiError::Field(mut error) => {
            if let Some((_, name)) = NAMES.iter().find(|(ours, _)| *ours == error.field) {
                error.field = (*name).to_owned();
            }
            ApiError::Field(error)
        }
        ApiError::AliasTaken(slug) => {
            ApiError::field("shortCode", format!("'{slug}' is already in use"))
        }
        ApiError::AliasRests { slug, free } => {
            let problem =
                format!("'{slug}' was given up a short while ago and is free from {free} (UTC) on");
            ApiError::field("shortCode", problem)
        }
        other => other,
    }
}

/// A time in this dialect's form: `2026-02-01T10:00:00Z`.
fn time(ms: i64) -> String {
    crate::domain::date::worded(ms, "%Y-%m-%dT%H:%M:%SZ")
}
