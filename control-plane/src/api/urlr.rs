//! URLR's API 2.0.0 under `/api/v2`.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::dialect::{Dialect, everyone, in_header};
use crate::app::App;
use crate::rate;

mod openapi;
mod problem;

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
        .route("/api/v2/openapi.json", get(openapi::document))
        .route("/api/v2/docs", get(openapi::page))
}
