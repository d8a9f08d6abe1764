//! The dialect's OpenAPI 3.1 document, made from the handlers' own types, and a page to read it.

use std::sync::LazyLock;

use axum::Json;
use axum::response::Html;
use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::problem::{self, Problem};
use super::{domains, folders, links, qrcodes, statistics, tags, workspaces};
use crate::api::openapi::{self, Refusals};

/// How this dialect refuses.
const REFUSALS: Refusals = Refusals {
    base: "/api/v2",
    media: problem::MEDIA_TYPE,
    schema: "Problem",
    answers: include_str!("answers.json"),
};

/// All endpoints. A test calls each, so the list cannot fall behind the router.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Signpost: URLR API",
        description = "Short links, QR codes, statistics, workspaces, folders and domains. Errors are problems of RFC 9457."
    ),
    paths(
        links::show,
        links::list,
        links::create,
        links::edit,
        links::delete,
        qrcodes::create,
        statistics::show,
        workspaces::show,
        workspaces::list,
        folders::show,
        folders::list,
        folders::create,
        domains::show,
        domains::list,
        domains::create,
        tags::list,
        tags::create,
    ),
    components(schemas(Problem)),
    security(("key" = [])),
    modifiers(&Key)
)]
struct Document;

struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-KEY")));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", header);
    }
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::json!(Document::openapi());
    REFUSALS.complete(&mut document);
    openapi::always_there(&mut document, &["Problem.errors"]);
    document
});

/// The document, without a key.
pub(super) async fn document() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

/// The document as a page, without a key.
pub(super) async fn page() -> Html<String> {
    openapi::page(&DOCUMENT, "Send your key as <code>X-API-KEY: KEY</code>.")
}
