//! The dialect's OpenAPI 3.1 document, made from the handlers' own types.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{account, bulk, export, keys, links, single, stats};

/// All endpoints. A test calls each, so the list cannot fall behind the router.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Signpost: OpenMyLink API",
        description = "Short links, keys and statistics. Every answer holds the integer `error`, 0 for success; what is wrong with a call's content is HTTP 200 with `error` 1 and a `message`."
    ),
    paths(
        account::show,
        account::show_posted,
        account::update,
        keys::list,
        keys::create,
        keys::rotate,
        keys::delete,
        links::list,
        links::add,
        links::update,
        links::delete,
        single::show,
        bulk::add,
        export::export,
        stats::stats,
    ),
    components(schemas(stats::EventsReply)),
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

/// The document, without a key.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
