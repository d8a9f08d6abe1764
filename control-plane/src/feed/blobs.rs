//! `GET /internal/v1/blobs/<64 hex digits>`: the bytes whose SHA-256 that is. A proxy asks when a page or a link names
//! them, and keeps them: what a hash names never changes.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

use super::{Admitted, refusal};
use crate::app::App;
use crate::metrics;
use crate::store::blobs::{self, BlobHash};

/// The handler.
pub(super) async fn get(
    _: Admitted,
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let hash = path.ok().and_then(|Path(text)| BlobHash::from_hex(&text));
    let Some(hash) = hash else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "a blob is named by its SHA-256, 64 hex digits",
        );
    };
    match blobs::get(&app.store, hash).await {
        Ok(Some(bytes)) => {
            metrics::blob(true);
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (
                    header::CACHE_CONTROL,
                    "private, max-age=31536000, immutable",
                ),
            ];
            (headers, bytes).into_response()
        }
        Ok(None) => {
            metrics::blob(false);
            refusal(StatusCode::NOT_FOUND, "no blob of this name")
        }
        Err(error) => {
            tracing::warn!(%error, "a blob cannot be read");
            refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "the link database does not answer",
            )
        }
    }
}
