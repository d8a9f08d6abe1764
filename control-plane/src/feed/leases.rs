//! `POST /internal/v1/leases`: visits of click-limited links for a proxy, and those it gives back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use prost::Message as _;
use schemas::feed::{LeaseRequest, MAX_LINKS_PER_CHANGE};

use super::{Admitted, Shared, refusal};
use crate::app::App;
use crate::metrics;
use crate::store::leases;

/// Milliseconds after its last call for which a proxy counts: limits are shared between those that ask.
const COUNTED_MS: i64 = 60_000;

/// Most proxies remembered; more are an error of whoever holds the token.
const MAX_PROXIES: usize = 1000;

/// Length of a proxy's name, in bytes.
const NAME_BYTES: usize = 16;

/// Proxies that asked lately. Each control plane knows those that asked it; with several of them the shares are larger,
/// and the limit holds all the same.
#[derive(Debug, Default)]
pub(super) struct Lessees(Mutex<HashMap<[u8; NAME_BYTES], i64>>);

impl Lessees {
    /// Notes a call; how many proxies there are.
    fn seen(&self, name: [u8; NAME_BYTES], now_ms: i64) -> u64 {
        // Plain data: nothing can be half done.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| now_ms.saturating_sub(*at) < COUNTED_MS);
        if seen.len() < MAX_PROXIES {
            seen.insert(name, now_ms);
        }
        seen.len().max(1) as u64
    }
}

/// The handler.
pub(super) async fn post(
    _: Admitted,
    State(app): State<Arc<App>>,
    Extension(shared): Extension<Arc<Shared>>,
    body: Bytes,
) -> Response {
    let request = LeaseRequest::decode(body).ok().filter(|request| {
        request.ask.len() <= MAX_LINKS_PER_CHANGE && request.unused.len() <= MAX_LINKS_PER_CHANGE
    });
    let name = |request: &LeaseRequest| <[u8; NAME_BYTES]>::try_from(&*request.proxy).ok();
    let Some((request, name)) = request.and_then(|r| name(&r).map(|n| (r, n))) else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "a lease request is a protobuf of schemas/proto/feed.proto with a proxy's name of 16 bytes and at most 1000 links",
        );
    };
    let proxies = shared.lessees.seen(name, app.clock.now_ms());
    match leases::lease(&app.store, &request, proxies).await {
        Ok(reply) => {
            metrics::leased(reply.lease.iter().map(|lease| lease.visits).sum());
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (headers, reply.encode_to_vec()).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "visits cannot be handed out");
            refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "the link database does not answer",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_count_while_they_ask() {
        let lessees = Lessees::default();
        assert_eq!(lessees.seen([1; 16], 0), 1);
        assert_eq!(lessees.seen([2; 16], 1000), 2);
        assert_eq!(lessees.seen([2; 16], COUNTED_MS), 1);
        for n in 0..2 * MAX_PROXIES {
            let mut name = [0; 16];
            name[..8].copy_from_slice(&n.to_le_bytes());
            assert!(lessees.seen(name, COUNTED_MS) <= MAX_PROXIES as u64);
        }
    }
}
