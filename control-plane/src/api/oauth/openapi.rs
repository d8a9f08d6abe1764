//! The OpenAPI 3.1 document of what apps and browsers use without a key, made from the handlers' own types, and a page to
//! read it. The forms of pages stand in it, too: nobody needs them to write a client, and everything that is called from
//! outside is walked and fuzzed from a document.

use std::sync::LazyLock;

use axum::Json;
use axum::response::Html;
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{authorize, invitation, sign_in, token};
use crate::api::openapi::{self, Refusals};
use crate::api::openmylink::reply::ErrorReply;

/// How calls are refused before they reach a handler: in the form of the main dialect, which answers for every path.
const REFUSALS: Refusals = Refusals {
    base: "",
    media: "application/json",
    schema: "ErrorReply",
    // Tokens and people's pages: nothing to show of a run.
    answers: "{}",
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Signpost: OAuth 2 and sign-in",
        description = "Tokens for apps that act for users (RFC 6749, 7636, 7009, 8414, 9207), and the pages that people sign in, allow apps and join on. Errors of tokens have RFC 6749's own form."
    ),
    paths(
        token::token,
        token::revoke,
        super::metadata,
        authorize::ask,
        authorize::decide,
        sign_in::show,
        sign_in::sign_in,
        sign_in::show_link,
        sign_in::take_link,
        sign_in::sign_out,
        invitation::show,
        invitation::accept,
    ),
    components(schemas(ErrorReply))
)]
struct Document;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = json!(Document::openapi());
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, methods) in paths {
        for (_, operation) in methods.as_object_mut().into_iter().flatten() {
            // No key: clients prove themselves by what they send, people by their password.
            operation["security"] = json!([{}]);
        }
    }
    REFUSALS.complete(&mut document);
    document
});

/// The document, without a key.
pub(super) async fn document() -> Json<&'static Value> {
    Json(&DOCUMENT)
}

/// The document as a page, without a key.
pub(super) async fn page() -> Html<String> {
    openapi::page(&DOCUMENT, "No key is needed.")
}
