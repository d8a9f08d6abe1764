//! The dialect's OpenAPI 3.1 document, made from the handlers' own types, and a page to read it.

use std::sync::LazyLock;

use axum::Json;
use axum::response::Html;
use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::api::openapi;
use crate::domain::bio::Block;

use super::{
    account, apps, bio, bulk, campaigns, channels, domains, export, files, folders, import, keys,
    links, members, oauth, overlays, pixels, plans, qr, single, splashes, stats, tags, users,
};

mod answers;
mod blocks;

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
        plans::usage,
        plans::list,
        plans::add,
        plans::update,
        plans::delete,
        plans::assign,
        users::list,
        users::add,
        users::show,
        users::delete,
        users::login,
        members::list,
        members::invite,
        members::uninvite,
        members::add,
        members::update,
        members::delete,
        oauth::clients,
        oauth::add,
        oauth::rotate,
        oauth::delete,
        oauth::apps,
        oauth::disallow,
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
        import::import,
        apps::show,
        apps::update,
        stats::stats,
        campaigns::list,
        campaigns::show,
        campaigns::add,
        campaigns::assign,
        campaigns::unassign,
        campaigns::update,
        campaigns::delete,
        channels::list,
        channels::show,
        channels::add,
        channels::assign,
        channels::unassign,
        channels::update,
        channels::delete,
        folders::list,
        folders::add,
        folders::update,
        folders::delete,
        folders::assign,
        folders::unassign,
        tags::list,
        tags::add,
        tags::update,
        tags::delete,
        tags::assign,
        tags::unassign,
        domains::list,
        domains::show,
        domains::add,
        domains::check,
        domains::update,
        domains::delete,
        qr::list,
        qr::show,
        qr::add,
        qr::update,
        qr::delete,
        qr::stats,
        qr::image,
        files::list,
        files::upload_raw,
        files::upload,
        files::replace,
        files::delete,
        bio::list,
        bio::show,
        bio::page_stats,
        bio::add,
        bio::update,
        bio::delete,
        bio::blocks::types,
        bio::blocks::add,
        bio::blocks::update,
        bio::blocks::delete,
        bio::entries::list,
        bio::entries::delete,
        pixels::list,
        pixels::add,
        pixels::update,
        pixels::delete,
        splashes::list,
        splashes::add,
        splashes::update,
        splashes::delete,
        overlays::list,
        overlays::add,
        overlays::update,
        overlays::delete,
        overlays::messages,
        overlays::delete_message,
    ),
    components(schemas(stats::EventsReply, super::reply::ErrorReply)),
    security(("key" = [])),
    modifiers(&Key, &Blocks)
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
    blocks::complete(&mut document);
    answers::complete(&mut document);
    document
});

/// Adds what blocks of bio pages hold: bodies that are read by their `type`.
struct Blocks;

impl Modify for Blocks {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        components.schemas.extend(Block::schemas());
    }
}

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
