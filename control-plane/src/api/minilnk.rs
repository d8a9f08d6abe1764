//! Minilnk's API under `/api/v1`.

use std::sync::{Arc, LazyLock};

use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::dialect::{Dialect, bearer, everyone, in_header, in_query};
use super::openapi::{self, Refusals};
use crate::app::App;
use crate::error::ApiError;
use crate::rate::{self, Window};
use crate::stats::StatsError;

/// This dialect: a rolling minute.
pub(crate) const DIALECT: Dialect = Dialect {
    base: "/api/v1",
    credential: |headers, uri| {
        bearer(headers)
            .unwrap_or_else(|| in_header(headers, "x-api-key").or_else(|| in_query(uri, "api_key")))
    },
    admit: everyone,
    window: Window::Rolling(60),
    rate: rate::of_key,
    anonymous: 60,
    render,
};

/// All endpoints of the dialect.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/openapi.json", get(document))
        .route("/api/v1/docs", get(page))
}

/// A failed call.
#[derive(Debug, Serialize, ToSchema)]
struct Refusal {
    /// What went wrong, for people.
    message: String,
}

fn render(error: &ApiError) -> Response {
    let message = error.public_message();
    (status(error), Json(Refusal { message })).into_response()
}

fn status(error: &ApiError) -> StatusCode {
    match error {
        ApiError::Field(_)
        | ApiError::AliasTaken(_)
        | ApiError::AliasRests { .. }
        | ApiError::TooManyLinks(_)
        | ApiError::Stats(StatsError::Cursor(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        ApiError::NotFound { .. } | ApiError::UnknownPath => StatusCode::NOT_FOUND,
        ApiError::NotJson(_) => StatusCode::BAD_REQUEST,
        ApiError::Key(_) => StatusCode::UNAUTHORIZED,
        ApiError::Plan(_)
        | ApiError::Forbidden(_)
        | ApiError::Role(_)
        | ApiError::NotForApps
        | ApiError::Escalation => StatusCode::FORBIDDEN,
        ApiError::Method => StatusCode::METHOD_NOT_ALLOWED,
        ApiError::TooSlow => StatusCode::REQUEST_TIMEOUT,
        ApiError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        ApiError::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        ApiError::Stats(StatsError::Unavailable(_)) | ApiError::Storage(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// How this dialect refuses.
const REFUSALS: Refusals = Refusals {
    base: "/api/v1",
    media: "application/json",
    schema: "Refusal",
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Signpost: Minilnk API", description = "Short links, QR codes and analytics."),
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
        "Send your key as <code>Authorization: Bearer KEY</code>, <code>X-API-Key: KEY</code> or <code>?api_key=KEY</code>.",
    )
}
