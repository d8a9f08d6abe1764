//! The feed's server side: proxies get their link table by a snapshot and keep it fresh by changes pushed at commit.
//!
//! [`changes`] streams transactions in commit order, [`snapshot`] streams one instant of the database, both as frames of
//! [`schemas::feed`]. A change reaches a connection through the store's watch channel and is read from `feed_changes`
//! once for all connections ([`window`]).
//!
//! **Invariant:** nothing is held for a reader that does not read. A connection asks for the next frames only when the
//! last ones are written; the server hangs up on a write that makes no progress, and a snapshot, which holds a database
//! transaction, has a deadline of its own for each piece.
//!
//! What is deliberately absent: a list of proxies, and any state of theirs. A proxy says where it is when it connects.

mod blobs;
mod changes;
mod leases;
mod snapshot;
mod window;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::request::Parts;
use http::{StatusCode, header};
use schemas::feed::paths;
use sha2::{Digest as _, Sha256};

use crate::app::App;

/// Snapshots made at once. Each holds a database connection for as long as its reader takes; the API needs the others.
const SNAPSHOTS_AT_ONCE: usize = 3;

/// The feed's routes, with their own token.
pub fn routes() -> Router<Arc<App>> {
    let shared = Arc::new(Shared {
        window: window::Window::default(),
        lessees: leases::Lessees::default(),
        snapshots: Arc::new(tokio::sync::Semaphore::new(SNAPSHOTS_AT_ONCE)),
    });
    Router::new()
        .route(paths::FEED, get(changes::stream))
        .route(paths::SNAPSHOT, post(snapshot::stream))
        .route(paths::LEASES, post(leases::post))
        .route(&format!("{}/{{hash}}", paths::BLOBS), get(blobs::get))
        .layer(Extension(shared))
}

/// What all connections of the feed share.
#[derive(Debug)]
struct Shared {
    window: window::Window,
    lessees: leases::Lessees,
    snapshots: Arc<tokio::sync::Semaphore>,
}

/// A request with the feed's token. Any other gets 401, whatever else is wrong with it.
pub(crate) struct Admitted;

impl FromRequestParts<Arc<App>> for Admitted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let given = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()));
        if given.is_some_and(|token| same_token(token, app.feed_token.0.as_bytes())) {
            Ok(Self)
        } else {
            crate::metrics::feed_refused();
            let mut answer = refusal(
                StatusCode::UNAUTHORIZED,
                "the feed asks for its token as bearer",
            );
            answer.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                header::HeaderValue::from_static("Bearer"),
            );
            Err(answer)
        }
    }
}

/// The token in an `Authorization` header; the scheme in any case.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(b"bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Compares digests, so that the time it takes says nothing about the token, its length included.
fn same_token(given: &[u8], ours: &[u8]) -> bool {
    !ours.is_empty() && Sha256::digest(given) == Sha256::digest(ours)
}

/// A refusal that a person at the proxy's log can read.
fn refusal(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "error": 1, "message": message });
    (status, axum::Json(body)).into_response()
}

/// The headers and body of a stream of frames.
fn frames(body: axum::body::Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

/// A transaction's place in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    seq: u64,
    change: [u8; 16],
}

impl Position {
    /// From the columns `seq` and `change_id`.
    fn from_row((seq, change): (i64, Vec<u8>)) -> Result<Self, FeedError> {
        Ok(Self {
            seq: u64::try_from(seq).map_err(|_| FeedError::Row("seq"))?,
            change: change.try_into().map_err(|_| FeedError::Row("change_id"))?,
        })
    }

    /// The newest one of the database.
    async fn newest(
        executor: impl sqlx::Executor<'_, Database = sqlx::Any>,
    ) -> Result<Self, FeedError> {
        let row = sqlx::query_as("SELECT seq, change_id FROM feed_state WHERE id = 1")
            .fetch_one(executor)
            .await?;
        Self::from_row(row)
    }
}

/// Why a stream ends before its time.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    /// The reader's place is not in this database's history, or no longer: it has to take a snapshot.
    #[error("change {0} is not, or no longer, in the feed's history")]
    Gone(u64),
    /// The reader took too long.
    #[error("the reader took nothing for {} s", snapshot::PIECE_DEADLINE.as_secs())]
    Slow,
    /// The reader has hung up.
    #[error("the reader has hung up")]
    Closed,
    /// A column with a value that no version of ours writes.
    #[error("feed table has an impossible value in column {0}")]
    Row(&'static str),
    /// A frame that is too long.
    #[error(transparent)]
    Frame(#[from] schemas::feed::FrameError),
    /// The database's.
    #[error("link database: {0}")]
    Database(#[from] sqlx::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_its_header_and_nothing_else() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for bad in [&b""[..], b"Bearer", b"Token abc", b"\xff\xfe"] {
            assert_eq!(bearer(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_the_whole_token_opens_and_an_unset_one_never() {
        assert!(same_token(b"secret", b"secret"));
        for bad in [&b""[..], b"secre", b"secrets", b"Secret"] {
            assert!(!same_token(bad, b"secret"), "{bad:?}");
        }
        assert!(!same_token(b"", b""));
    }
}
