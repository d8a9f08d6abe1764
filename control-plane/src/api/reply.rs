//! How handlers and extractors of every dialect fail: with an [`ApiError`], which the gate ([`crate::middleware`]) renders
//! in the form of the dialect that was called. So what dialects share needs not know in which it is asked.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::error::ApiError;

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failure(ApiError);

impl<E: Into<ApiError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// What a handler answers.
pub(crate) type Reply<T> = Result<Json<T>, Failure>;

/// Why a call failed, on its way from the handler to the gate.
#[derive(Debug, Clone)]
pub(crate) struct Failed(pub(crate) Arc<ApiError>);

impl IntoResponse for Failure {
    /// An empty answer that carries the error to the gate.
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Failed(Arc::new(self.0)));
        response
    }
}
