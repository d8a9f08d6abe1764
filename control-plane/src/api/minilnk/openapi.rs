//! The dialect's OpenAPI 3.1 document, made from the handlers' own types, and a page to read it.

use std::sync::LazyLock;

use axum::Json;
use axum::response::Html;
use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{Refusal, analytics, links, qrcodes};
use crate::api::openapi::{self, Refusals};

/// How this dialect refuses.
const REFUSALS: Refusals = Refusals {
    base: "/api/v1",
    media: "application/json",
    schema: "Refusal",
    answers: include_str!("answers.json"),
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Signpost: Minilnk API", description = "Short links, QR codes and analytics."),
    paths(
        links::list,
        links::add,
        links::show,
        links::update,
        links::delete,
        analytics::show,
        qrcodes::list,
        qrcodes::add,
        qrcodes::show,
        qrcodes::delete,
    ),
    components(schemas(Refusal)),
    security(("bearer" = []), ("header" = []), ("query" = [])),
    modifiers(&Keys)
)]
struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        let query = ApiKey::Query(ApiKeyValue::new("api_key"));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("header", SecurityScheme::ApiKey(header));
        components.add_security_scheme("query", SecurityScheme::ApiKey(query));
    }
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::json!(Document::openapi());
    REFUSALS.complete(&mut document);
    openapi::always_there(&mut document, &["Refusal.errors"]);
    document
});

/// The document, without a key.
pub(super) async fn document() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

/// The document as a page, without a key.
pub(super) async fn page() -> Html<String> {
    openapi::page(
        &DOCUMENT,
        "Send your key as <code>Authorization: Bearer KEY</code>, <code>X-API-Key: KEY</code> or <code>?api_key=KEY</code>.",
    )
}
