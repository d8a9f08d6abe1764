//! The feed's server side: `GET /internal/v1/feed`, `POST /internal/v1/snapshot`.

use std::sync::Arc;

use axum::Router;

use crate::app::App;

/// The feed's routes, with their own token.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
}
