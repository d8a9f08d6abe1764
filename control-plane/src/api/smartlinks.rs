//! SmartLinks' API under `/v1`.

use std::sync::{Arc, LazyLock};

use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::dialect::{Dialect, bearer, everyone};
use super::openapi::{self, Refusals};
use crate::app::App;
use crate::error::ApiError;
use crate::rate::Window;
use crate::stats::StatsError;
use crate::store::keys::KeyRow;

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
        .route("/v1/openapi.json", get(document))
        .route("/v1/docs", get(page))
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
    #[schema(example = "not_found")]
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

/// How this dialect refuses.
const REFUSALS: Refusals = Refusals {
    base: "/v1",
    media: "application/json",
    schema: "Refusal",
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Signpost: SmartLinks API", description = "Short links, QR codes and analytics."),
    paths(),
    components(schemas(Refusal)),
    security(("key" = [])),
    modifiers(&Key)
)]
struct Document;

struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
    }
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::json!(Document::openapi());
    REFUSALS.complete(&mut document);
    document
});

async fn document() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

async fn page() -> Html<String> {
    openapi::page(
        &DOCUMENT,
        "Send your key as <code>Authorization: Bearer KEY</code>.",
    )
}
