//! Everything the control plane answers, on one screen.

use std::sync::Arc;

use axum::Router;

use crate::app::App;
use crate::feed;

/// All routes with the middleware of each.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new().merge(feed::routes()).with_state(app)
}
