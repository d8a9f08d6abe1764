//! What every call goes through, in order: which dialect it is in, who calls (key or address), how often, then the
//! handler, then the form of an error, headers, metrics and a line in the log.
//!
//! A missing or wrong key decides nothing here: a handler that needs one takes [`Caller`], which refuses. So unknown paths
//! answer 404, and pages without a key need no list of exceptions. A key that is right and may not do what the call does
//! ([`crate::domain::role::needed`], by method and route) is refused here, before the handler.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::dialect::Dialect;
use crate::api::reply::{Failed, Failure};
use crate::app::App;
use crate::domain::role;
use crate::error::ApiError;
use crate::metrics;
use crate::rate::{FOR_TOKENS, Verdict, Who};

mod caller;
mod client;

pub(crate) use caller::Caller;
use caller::{Found, authenticate};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The client's address, as the gate sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientIp(pub(crate) IpAddr);

/// Stands for the route of a call that has none.
const UNKNOWN: &str = "unknown";

/// Puts the whole stack around `router`.
pub(crate) fn around(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router.layer(axum::middleware::from_fn_with_state(app.clone(), gate))
}

async fn gate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let now_ms = app.clock.now_ms();
    let method = request.method().clone();
    // The route and never the target: a target may hold `?key=`.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or(UNKNOWN, MatchedPath::as_str)
        .to_owned();
    let ip = client_ip(&app, &request);
    let spoken = app.dialects.of(request.uri().path());
    let dialect = spoken.dialect;
    let secret = (dialect.credential)(request.headers(), request.uri());
    let found = authenticate(&app, secret, now_ms).await;
    let (who, limit) = match &found {
        Ok(Ok(caller)) => (caller.who(), (dialect.rate)(&caller.key)),
        _ if route.starts_with("/api/oauth/") => (Who::address(ip).for_tokens(), FOR_TOKENS),
        _ => (Who::address(ip), dialect.anonymous),
    };
    let verdict = spoken.count(who, limit, now_ms);
    let mut response = if !verdict.allowed {
        metrics::rate_limited(match who {
            Who::Key(_) => "key",
            Who::App { .. } => "app",
            _ => "address",
        });
        let retry_after = (verdict.reset - now_ms.div_euclid(1000)).max(1);
        Failure::from(ApiError::TooMany { retry_after }).into_response()
    } else {
        match found {
            Ok(found) => {
                // A route of no path is answered 404 or 405, whoever asks.
                let action = role::needed(method.as_str(), &route).filter(|_| route != UNKNOWN);
                match (action, &found) {
                    (Some(action), Ok(caller))
                        if let Err(refusal) =
                            (dialect.admit)(caller).and_then(|()| caller.may(action)) =>
                    {
                        Failure::from(refusal).into_response()
                    }
                    _ => {
                        request.extensions_mut().insert(Found(found));
                        request.extensions_mut().insert(ClientIp(ip));
                        next.run(request).await
                    }
                }
            }
            Err(error) => Failure::from(ApiError::from(error)).into_response(),
        }
    };
    if let Some(Failed(error)) = response.extensions_mut().remove() {
        response = rendered(dialect, &error, &response);
    }
    put_headers(response.headers_mut(), &verdict);
    let status = response.status().as_u16();
    let seconds = began.elapsed().as_secs_f64();
    metrics::request(&route, status, seconds);
    tracing::debug!(%method, route, status, seconds, "answered");
    response
}

/// An error in the form of the dialect, with what the router says beside it (`Allow`) and when to try again.
fn rendered(dialect: &Dialect, error: &ApiError, bare: &Response) -> Response {
    let mut response = (dialect.render)(error);
    if let ApiError::TooMany { retry_after } = error {
        let seconds = HeaderValue::from(*retry_after);
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    for (name, value) in bare.headers() {
        if *name != CONTENT_LENGTH {
            response
                .headers_mut()
                .entry(name)
                .or_insert_with(|| value.clone());
        }
    }
    response
}

fn put_headers(headers: &mut HeaderMap, verdict: &Verdict) {
    headers.insert(LIMIT, HeaderValue::from(verdict.limit));
    headers.insert(REMAINING, HeaderValue::from(verdict.remaining));
    headers.insert(RESET, HeaderValue::from(verdict.reset));
    // Answers belong to one key, and some hold one.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

fn client_ip(app: &App, request: &Request) -> IpAddr {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip());
    client::address(peer, request.headers(), &app.config.trusted_proxies)
}
