//! URLR's API 2.0.0 under `/api/v2`.
//!
//! What its documents leave open, decided here:
//! - A key acts in its own workspace: `workspace_id` may be left out everywhere, and names that one or is a 404.
//! - Ids are UUIDs made of ours ([`crate::domain::uuids`]). One that is no UUID is 422; one of something else, or of somebody
//!   else's, is 404 in a path or a query, and 422 in a body where the reference says so.
//! - In an edit `null` clears a field that may be null, and leaves the others as they are; so does an empty text. A password
//!   of ten asterisks is the one that was shown: it stays. `utm` and `metatag` change the names they hold.
//! - A link shows its first three tags, and texts up to the length that clients accept. What it has beyond (rules, variants,
//!   other tags) stays as it is when it is edited here.
//! - `code` of a link that another dialect made may hold dots. One of a single character or of more than 50 is `null` here:
//!   clients refuse it, and the list it is in. The link is there all the same, by its id; an image of it holds its address.
//! - The operator of a condition joins it with the one before it; [`crate::domain::geolink`] says what else is understood.
//! - `delete_at` must be in the future. `expired_at` need not be: the link has expired then.
//! - A date without a time is the beginning of that day, UTC; `to` of statistics is its end, so that the same range is the same
//!   in all dialects. `to` includes its second.
//! - `url` and `link_id` of a QR code together: `link_id` wins. An image of a link holds its short URL with a mark, by
//!   which its visits are scans; one of a `url` holds that alone.
//! - `user` is the name of the workspace's first owner: links have no author.
//! - Statistics beyond the plan's clicks a month are refused with 403, as in the main dialect.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::dialect::{Dialect, everyone, in_header};
use crate::app::App;
use crate::rate;

mod domains;
mod folders;
mod ids;
mod link;
mod link_request;
mod links;
mod openapi;
mod problem;
mod qrcodes;
mod statistics;
mod tags;
mod workspaces;

/// This dialect. It documents no rate: a key has that of the main dialect, in a window of its own.
pub(crate) const DIALECT: Dialect = Dialect {
    base: "/api/v2",
    credential: |headers, _| in_header(headers, "x-api-key"),
    admit: everyone,
    window: rate::MINUTE,
    rate: rate::of_key,
    anonymous: rate::ANONYMOUS,
    render: problem::render,
};

/// All endpoints of the dialect.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v2/links", get(links::list).post(links::create))
        .route(
            "/api/v2/links/{link_id}",
            get(links::show).patch(links::edit).delete(links::delete),
        )
        .route("/api/v2/qrcodes", post(qrcodes::create))
        .route("/api/v2/statistics", get(statistics::show))
        .route("/api/v2/workspaces", get(workspaces::list))
        .route("/api/v2/workspaces/{workspace_id}", get(workspaces::show))
        .route("/api/v2/folders", get(folders::list).post(folders::create))
        .route("/api/v2/folders/{folder_id}", get(folders::show))
        .route("/api/v2/domains", get(domains::list).post(domains::create))
        .route("/api/v2/domains/{domain_id}", get(domains::show))
        .route("/api/v2/tags", get(tags::list).post(tags::create))
        .route("/api/v2/openapi.json", get(openapi::document))
        .route("/api/v2/docs", get(openapi::page))
}
