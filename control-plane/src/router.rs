//! Everything the control plane answers, on one screen.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse as _, Response};

use crate::api::openmylink::reply::Failure;
use crate::api::{oauth, openmylink};
use crate::app::App;
use crate::error::ApiError;
use crate::{feed, middleware, visitor};

/// All routes with the middleware of each: the dialects count and authenticate their callers, the feed has a token of its
/// own and is never counted.
pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .merge(openmylink::routes())
        .merge(oauth::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_path);
    middleware::around(api, &app)
        .merge(feed::routes())
        .merge(visitor::routes())
        .with_state(app)
}

async fn unknown_path() -> Response {
    Failure::from(ApiError::UnknownPath).into_response()
}

async fn method_not_allowed() -> Response {
    Failure::from(ApiError::Method).into_response()
}
