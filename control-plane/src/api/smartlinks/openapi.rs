//! The dialect's OpenAPI 3.1 document, made from the handlers' own types, and a page to read it.

use std::sync::LazyLock;

use axum::Json;
use axum::response::Html;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{Refusal, analytics, links, qr_codes};
use crate::api::openapi::{self, Refusals};

/// How this dialect refuses.
const REFUSALS: Refusals = Refusals {
    base: "/v1",
    media: "application/json",
    schema: "Refusal",
    answers: include_str!("answers.json"),
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Signpost: SmartLinks API", description = "Short links, QR codes and analytics."),
    paths(
        links::list,
        links::add,
        links::show,
        links::update,
        links::delete,
        qr_codes::add,
        analytics::show,
    ),
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
    openapi::always_there(&mut document, &[]);
    // A change of nothing may be sent as nothing.
    document["paths"]["/v1/links/{id}"]["patch"]["requestBody"]["required"] = false.into();
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
        "Send your key as <code>Authorization: Bearer KEY</code>.",
    )
}
