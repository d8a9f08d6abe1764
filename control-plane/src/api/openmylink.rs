//! OpenMyLink's API under `/api`: the main dialect, extended where it is silent.
//!
//! What the published documents leave open, decided here:
//! - `?key=KEY` is accepted besides `Authorization: Bearer KEY` and `Token KEY`. The header wins. It is in no log.
//! - `status` of a link is `public` (default) or `private`: a private link is left out of public lists, and redirects
//!   like any other. As an extension it may be 301, 302, 307 or 308, the status of the redirect (302 by default).
//! - `custom` takes every slug the platform knows, see [`crate::domain::alias`].
//! - In an update, an absent field or `null` leaves things as they are and an empty text clears them; an empty `url`,
//!   `custom`, `domain` or `status` leaves them.
//! - `expires_at` wins over `expiry`, `starts_at` over `active_from`.
//! - Objects that a link names (pixels, splash pages, channels …) are named by id; one that is not the workspace's is error
//!   1. Fields that other systems have for what has another name here are refused with that name.
//! - Counts come from ClickHouse. When that is not there, lists and single links still answer, with clicks 0 and
//!   `"stats":"unavailable"` beside them; `order=click`, `/stats` and everything else that is nothing but counts answers
//!   HTTP 503 with error 503.
//! - QR codes: both forms of `/qr/add` take the optional fields of the other. In an update `data` is required of a code made
//!   of `data`, as published; of the others what is not sent stays. Colours that a scanner cannot tell apart are refused
//!   (see [`crate::domain::qr::style`]), light codes on dark ground too. A logo is fetched once, when it is set.
//!   `image_url` holds a token and is served by the visitors' address; any format can be had with a key at
//!   `/dashboard/qrcodes/:id/download/png|svg|webp` on the API address.
//! - Files: `file` may stand anywhere in a form. `PATCH /file/:id` also takes password, expiry and maxdownloads, an empty one
//!   takes it away; custom and domain are refused, since the address stays. Bytes that do not fit are HTTP 413, a storage
//!   that does not work is HTTP 503 with error 503. A request for the end of a file that has begun before (`Range`) is no
//!   other download; with `maxdownloads` only when `If-Range` names its entity tag, which is shown to who downloads it.
//!   Everyone who is sent bytes takes one of `maxdownloads`, programs too; unfurlers are sent a preview and no bytes.
//! - `limit` beyond 500 is an error, not silently less; a page past the end is empty.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, patch, post, put};

use super::dialect::{Dialect, bearer, everyone, in_header, in_query};
use crate::app::App;
use crate::rate;

mod account;
mod apps;
mod bio;
mod bulk;
mod campaigns;
mod channels;
mod domains;
mod export;
mod files;
mod folders;
mod import;
mod keys;
mod labels;
mod link_request;
mod links;
mod members;
mod oauth;
mod openapi;
mod overlays;
mod pixels;
mod plans;
mod qr;
pub(crate) mod reply;
mod single;
mod splashes;
mod stats;
mod tags;
pub(crate) mod users;

/// This dialect: the rate is that of the key, else of the plan.
pub(crate) const DIALECT: Dialect = Dialect {
    base: "/api",
    credential: |headers, uri| {
        bearer(headers)
            .unwrap_or_else(|| in_query(uri, "key"))
            .or_else(|| {
                // Images of QR codes are Minilnk's, too, at the same path.
                uri.path()
                    .starts_with("/dashboard/")
                    .then(|| in_header(headers, "x-api-key").or_else(|| in_query(uri, "api_key")))
                    .flatten()
            })
    },
    admit: everyone,
    window: rate::MINUTE,
    rate: rate::of_key,
    anonymous: rate::ANONYMOUS,
    render: reply::render,
};

/// All endpoints of the dialect.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/api/account",
            get(account::show).post(account::show_posted),
        )
        .route("/api/account/update", put(account::update))
        .route("/api/usage", get(plans::usage))
        .route("/api/plans", get(plans::list))
        .route("/api/plan/add", post(plans::add))
        .route("/api/plan/{id}/update", put(plans::update))
        .route("/api/plan/{id}/delete", delete(plans::delete))
        .route("/api/plan/{planid}/user/{userid}", put(plans::assign))
        .route("/api/users", get(users::list))
        .route("/api/user/add", post(users::add))
        .route("/api/user/{id}", get(users::show))
        .route("/api/user/{id}/delete", delete(users::delete))
        .route("/api/user/login/{id}", get(users::login))
        .route("/api/members", get(members::list))
        .route("/api/member/invite", post(members::invite))
        .route("/api/member/invite/{id}/delete", delete(members::uninvite))
        .route("/api/member/add", post(members::add))
        .route("/api/member/{id}/update", put(members::update))
        .route("/api/member/{id}/delete", delete(members::delete))
        .route("/api/oauth/clients", get(oauth::clients))
        .route("/api/oauth/client/add", post(oauth::add))
        .route("/api/oauth/client/{id}/rotate", post(oauth::rotate))
        .route("/api/oauth/client/{id}/delete", delete(oauth::delete))
        .route("/api/oauth/apps", get(oauth::apps))
        .route("/api/oauth/app/{id}/delete", delete(oauth::disallow))
        .route("/api/keys", get(keys::list).post(keys::create))
        .route("/api/key/{id}/rotate", post(keys::rotate))
        .route("/api/key/{id}/delete", delete(keys::delete))
        .route("/api/urls", get(links::list))
        .route("/api/urls/bulk", post(bulk::add))
        .route("/api/urls/export", get(export::export))
        .route("/api/urls/import", post(import::import))
        .route("/api/url/add", post(links::add))
        .route("/api/url/{id}", get(single::show))
        .route("/api/url/{id}/update", put(links::update))
        .route("/api/url/{id}/delete", delete(links::delete))
        .route("/api/url/{id}/stats", get(stats::stats))
        .merge(groups())
        .route("/api/domain/{id}/apps", get(apps::show).put(apps::update))
        .route("/api/qr", get(qr::list))
        .route("/api/qr/add", post(qr::add))
        .route("/api/qr/{id}", get(qr::show))
        .route("/api/qr/{id}/update", put(qr::update))
        .route("/api/qr/{id}/delete", delete(qr::delete))
        .route("/api/qr/{id}/stats", get(qr::stats))
        .route("/dashboard/qrcodes/{id}/download/{format}", get(qr::image))
        .merge(bio_pages())
        .merge(surfaces())
        .merge(stored())
        .route("/api/openapi.json", get(openapi::document))
        .route("/api/docs", get(openapi::page))
        .route("/avatars/{name}", get(account::avatar))
}

/// What links are put into, and the domains they answer on.
fn groups() -> Router<Arc<App>> {
    Router::new()
        .route("/api/campaigns", get(campaigns::list))
        .route("/api/campaign/add", post(campaigns::add))
        .route("/api/campaign/{id}", get(campaigns::show))
        .route(
            "/api/campaign/{id}/assign/{linkid}",
            post(campaigns::assign).delete(campaigns::unassign),
        )
        .route("/api/campaign/{id}/update", put(campaigns::update))
        .route("/api/campaign/{id}/delete", delete(campaigns::delete))
        .route("/api/channels", get(channels::list))
        .route("/api/channel/add", post(channels::add))
        .route("/api/channel/{id}", get(channels::show))
        .route(
            "/api/channel/{id}/assign/{type}/{itemid}",
            post(channels::assign).delete(channels::unassign),
        )
        .route("/api/channel/{id}/update", put(channels::update))
        .route("/api/channel/{id}/delete", delete(channels::delete))
        .route("/api/folders", get(folders::list))
        .route("/api/folder/add", post(folders::add))
        .route("/api/folder/{id}/update", put(folders::update))
        .route("/api/folder/{id}/delete", delete(folders::delete))
        .route(
            "/api/folder/{id}/assign/{linkid}",
            post(folders::assign).delete(folders::unassign),
        )
        .route("/api/tags", get(tags::list))
        .route("/api/tag/add", post(tags::add))
        .route("/api/tag/{id}/update", put(tags::update))
        .route("/api/tag/{id}/delete", delete(tags::delete))
        .route(
            "/api/tag/{id}/assign/{linkid}",
            post(tags::assign).delete(tags::unassign),
        )
        .route("/api/domains", get(domains::list))
        .route("/api/domain/add", post(domains::add))
        .route("/api/domain/{id}", get(domains::show))
        .route("/api/domain/{id}/check", post(domains::check))
        .route("/api/domain/{id}/update", put(domains::update))
        .route("/api/domain/{id}/delete", delete(domains::delete))
}

/// Files. Their bodies have bounds and deadlines of their own.
fn stored() -> Router<Arc<App>> {
    Router::new()
        .route("/api/files", get(files::list))
        .route("/api/files/upload/{filename}", post(files::upload_raw))
        .route("/api/file/upload", post(files::upload))
        .route("/api/file/{id}", patch(files::replace))
        .route("/api/file/{id}/delete", delete(files::delete))
        .layer(DefaultBodyLimit::disable())
}

/// What links show before or over their destination.
fn surfaces() -> Router<Arc<App>> {
    Router::new()
        .route("/api/pixels", get(pixels::list))
        .route("/api/pixel/add", post(pixels::add))
        .route("/api/pixel/{id}/update", put(pixels::update))
        .route("/api/pixel/{id}/delete", delete(pixels::delete))
        .route("/api/splash", get(splashes::list))
        .route("/api/splash/add", post(splashes::add))
        .route("/api/splash/{id}/update", put(splashes::update))
        .route("/api/splash/{id}/delete", delete(splashes::delete))
        .route("/api/overlay", get(overlays::list))
        .route("/api/overlay/add", post(overlays::add))
        .route("/api/overlay/{id}/update", put(overlays::update))
        .route("/api/overlay/{id}/delete", delete(overlays::delete))
        .route("/api/overlay/{id}/messages", get(overlays::messages))
        .route(
            "/api/overlay/{id}/messages/{message}/delete",
            delete(overlays::delete_message),
        )
}

/// Pages of blocks.
fn bio_pages() -> Router<Arc<App>> {
    Router::new()
        .route("/api/bio", get(bio::list))
        .route("/api/bio/block-types", get(bio::blocks::types))
        .route("/api/bio/add", post(bio::add))
        .route("/api/bio/{id}", get(bio::show))
        .route("/api/bio/{id}/update", put(bio::update))
        .route("/api/bio/{id}/delete", delete(bio::delete))
        .route("/api/bio/{id}/stats", get(bio::page_stats))
        .route("/api/bio/{id}/blocks", post(bio::blocks::add))
        .route(
            "/api/bio/{id}/blocks/{block_id}",
            put(bio::blocks::update).delete(bio::blocks::delete),
        )
        .route("/api/bio/{id}/entries", get(bio::entries::list))
        .route(
            "/api/bio/{id}/entries/{entry}/delete",
            delete(bio::entries::delete),
        )
}
