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
//! - A field that would change what visitors meet, and whose part is not built yet, is refused with error 1 that names
//!   it; empty values of it are fine.
//! - Counts come from ClickHouse. When that is not there, lists and single links still answer, with clicks 0 and
//!   `"stats":"unavailable"` beside them; `order=click`, `/stats` and everything else that is nothing but counts answers
//!   HTTP 503 with error 503.
//! - `limit` beyond 500 is an error, not silently less; a page past the end is empty.

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post, put};

use crate::app::App;

mod account;
mod bulk;
mod export;
mod keys;
mod labels;
mod link_request;
mod links;
mod openapi;
pub(crate) mod reply;
mod request;
mod single;
mod stats;

/// All endpoints of the dialect.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/api/account",
            get(account::show).post(account::show_posted),
        )
        .route("/api/account/update", put(account::update))
        .route("/api/keys", get(keys::list).post(keys::create))
        .route("/api/key/{id}/rotate", post(keys::rotate))
        .route("/api/key/{id}/delete", delete(keys::delete))
        .route("/api/urls", get(links::list))
        .route("/api/urls/bulk", post(bulk::add))
        .route("/api/urls/export", get(export::export))
        .route("/api/url/add", post(links::add))
        .route("/api/url/{id}", get(single::show))
        .route("/api/url/{id}/update", put(links::update))
        .route("/api/url/{id}/delete", delete(links::delete))
        .route("/api/url/{id}/stats", get(stats::stats))
        .route("/api/openapi.json", get(openapi::document))
        .route("/api/docs", get(openapi::page))
        .route("/avatars/{name}", get(account::avatar))
}
