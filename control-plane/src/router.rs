//! Everything the control plane answers, on one screen.

use std::sync::Arc;

use axum::Router;

use crate::api::reply::Failure;
use crate::api::{minilnk, oauth, openmylink, smartlinks, urlr};
use crate::app::App;
use crate::error::ApiError;
use crate::{feed, middleware, visitor};

/// All routes with the middleware of each: the dialects count and authenticate their callers, the feed has a token of its
/// own and is never counted.
pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .merge(openmylink::routes())
        .merge(oauth::routes())
        .merge(minilnk::routes())
        .merge(urlr::routes())
        .merge(smartlinks::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_path);
    middleware::around(api, &app)
        .merge(feed::routes())
        .merge(visitor::routes())
        .with_state(app)
}

async fn unknown_path() -> Failure {
    ApiError::UnknownPath.into()
}

async fn method_not_allowed() -> Failure {
    ApiError::Method.into()
}
