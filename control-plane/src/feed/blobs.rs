//! `GET /internal/v1/blobs/<64 hex digits>`: the bytes whose SHA-256 that is, of a page, an image or a file. A proxy asks
//! when something names them, and keeps them: what a hash names never changes.
//!
//! Files are streamed from their storage, the part that `Range: bytes=<first>-<last>` asks for; other forms of `Range` are
//! not read, for no proxy sends them.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};

use super::{Admitted, refusal};
use crate::app::App;
use crate::metrics;
use crate::storage::StorageError;
use crate::store::blobs::{self, BlobHash};
use crate::store::objects::{self, Object};

/// What a hash names never changes.
const IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// The handler.
pub(super) async fn get(
    _: Admitted,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let hash = path.ok().and_then(|Path(text)| BlobHash::from_hex(&text));
    let Some(hash) = hash else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "a blob is named by its SHA-256, 64 hex digits",
        );
    };
    let found = async {
        match blobs::get(&app.store, hash).await? {
            Some(bytes) => Ok(Some(Found::Blob(bytes))),
            None => Ok(objects::find(&app.store, &hash.0).await?.map(Found::Object)),
        }
    };
    let found: sqlx::Result<Option<Found>> = found.await;
    match found {
        Ok(Some(Found::Blob(bytes))) => {
            metrics::blob(true);
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CACHE_CONTROL, IMMUTABLE),
            ];
            (headers, bytes).into_response()
        }
        Ok(Some(Found::Object(object))) => stream(&app, &object, &headers).await,
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

enum Found {
    Blob(Vec<u8>),
    Object(Object),
}

async fn stream(app: &App, object: &Object, headers: &HeaderMap) -> Response {
    let asked = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    let range = asked.and_then(|text| parse_range(text, object.size));
    let (status, range) = match range {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        None => (StatusCode::OK, 0..object.size),
    };
    let pieces = match app.storage.read(&object.storage_key, range.clone()).await {
        Ok(pieces) => pieces,
        Err(error) => {
            metrics::blob(false);
            tracing::warn!(%error, key = object.storage_key, "a file cannot be read");
            let status = match error {
                StorageError::Missing => StatusCode::NOT_FOUND,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            return refusal(status, "the file storage has no such bytes now");
        }
    };
    metrics::blob(true);
    let mut response = (status, Body::from_stream(pieces)).into_response();
    let mut put = |name, value: String| {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    };
    put(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    put(header::CACHE_CONTROL, IMMUTABLE.to_owned());
    put(
        header::CONTENT_LENGTH,
        (range.end - range.start).to_string(),
    );
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end - 1;
        let text = format!("bytes {}-{last}/{}", range.start, object.size);
        put(header::CONTENT_RANGE, text);
    }
    response
}

/// `bytes=<first>-<last>` within `size` bytes.
fn parse_range(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < size).then(|| first..last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_within_the_bytes() {
        assert_eq!(parse_range("bytes=0-9", 10), Some(0..10));
        assert_eq!(parse_range("bytes=9-9", 10), Some(9..10));
        for bad in [
            "",
            "bytes=",
            "bytes=1-",
            "bytes=-1",
            "bytes=5-4",
            "bytes=0-10",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=0-99999999999999999999",
            "bytes=+1-2x",
        ] {
            assert_eq!(parse_range(bad, 10), None, "{bad}");
        }
    }
}
