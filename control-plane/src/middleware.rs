//! What every call goes through, in order: who calls (key or address), how often, then the handler, then headers,
//! metrics and a line in the log.
//!
//! Authentication decides nothing here: a handler that needs a key takes [`Caller`], which refuses. So unknown paths
//! answer 404, and pages without a key need no list of exceptions.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::openmylink::reply::Failure;
use crate::app::App;
use crate::domain::key::{self, Scope};
use crate::error::{ApiError, KeyRefusal};
use crate::metrics;
use crate::rate::{ANONYMOUS, Verdict, Who};
use crate::store::keys::{self, KeyRow};

mod client;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Puts the whole stack around `router`.
pub(crate) fn around(router: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    router.layer(axum::middleware::from_fn_with_state(app.clone(), gate))
}

/// A call with a key in force.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The key.
    pub(crate) key: Arc<KeyRow>,
}

impl Caller {
    /// The workspace it sees.
    pub(crate) fn workspace(&self) -> i64 {
        self.key.workspace_id
    }

    /// # Errors
    /// The key lacks the scope.
    pub(crate) fn need(&self, scope: Scope) -> Result<(), ApiError> {
        if self.key.scopes.allow(scope) {
            Ok(())
        } else {
            Err(ApiError::Forbidden(scope))
        }
    }
}

/// What the gate found, for [`Caller`].
#[derive(Debug, Clone)]
struct Found(Result<Caller, KeyRefusal>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match parts.extensions.get::<Found>() {
            Some(Found(Ok(caller))) => Ok(caller.clone()),
            Some(Found(Err(refusal))) => {
                metrics::key_refused(refusal.reason());
                Err(ApiError::Key(*refusal).into())
            }
            None => Err(ApiError::Key(KeyRefusal::Missing).into()),
        }
    }
}

async fn gate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let now_ms = app.clock.now_ms();
    let method = request.method().clone();
    // The route and never the target: a target may hold `?key=`.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unknown", MatchedPath::as_str)
        .to_owned();
    let ip = client_ip(&app, &request);
    let found = authenticate(&app, credential(&request), now_ms).await;
    let (who, limit) = match &found {
        Ok(Ok(caller)) => (
            Who::Key(caller.key.id),
            caller.key.rate_per_minute.unwrap_or(caller.key.plan_rate),
        ),
        _ => (Who::address(ip), ANONYMOUS),
    };
    let verdict = app.limiter.count(who, limit, now_ms);
    let mut response = if !verdict.allowed {
        metrics::rate_limited(if matches!(who, Who::Key(_)) {
            "key"
        } else {
            "address"
        });
        let retry_after = (verdict.reset - now_ms.div_euclid(1000)).max(1);
        Failure::from(ApiError::TooMany { retry_after }).into_response()
    } else {
        match found {
            Ok(found) => {
                request.extensions_mut().insert(Found(found));
                next.run(request).await
            }
            Err(error) => Failure::from(ApiError::from(error)).into_response(),
        }
    };
    put_headers(response.headers_mut(), &verdict, now_ms);
    let status = response.status().as_u16();
    let seconds = began.elapsed().as_secs_f64();
    metrics::request(&route, status, seconds);
    tracing::debug!(%method, route, status, seconds, "answered");
    response
}

fn put_headers(headers: &mut HeaderMap, verdict: &Verdict, now_ms: i64) {
    headers.insert(LIMIT, HeaderValue::from(verdict.limit));
    headers.insert(REMAINING, HeaderValue::from(verdict.remaining));
    headers.insert(RESET, HeaderValue::from(verdict.reset));
    // Answers belong to one key, and some hold one.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if !verdict.allowed {
        let seconds = (verdict.reset - now_ms.div_euclid(1000)).max(1);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

fn client_ip(app: &App, request: &Request) -> IpAddr {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip());
    client::address(peer, request.headers(), &app.config.trusted_proxies)
}

/// Finds the key's row. The outer error is the database's.
async fn authenticate(
    app: &App,
    credential: Option<String>,
    now_ms: i64,
) -> sqlx::Result<Result<Caller, KeyRefusal>> {
    let Some(secret) = credential else {
        return Ok(Err(KeyRefusal::Missing));
    };
    if secret.len() > key::MAX_BYTES {
        return Ok(Err(KeyRefusal::Unknown));
    }
    let Some(row) = keys::by_hash(&app.store, &key::hash(&secret), now_ms).await? else {
        return Ok(Err(KeyRefusal::Unknown));
    };
    Ok(if row.revoked_at.is_some() {
        Err(KeyRefusal::Revoked)
    } else if row.expires_at.is_some_and(|at| at <= now_ms) {
        Err(KeyRefusal::Expired)
    } else {
        Ok(Caller { key: Arc::new(row) })
    })
}

/// The key a call carries: `Authorization: Bearer` or `Token`, else `?key=`.
fn credential(request: &Request) -> Option<String> {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if let Some((scheme, secret)) = header.and_then(|text| text.trim().split_once(' ')) {
        let known = ["bearer", "token"]
            .iter()
            .any(|s| scheme.eq_ignore_ascii_case(s));
        return known.then(|| secret.trim().to_owned());
    }
    let query = request.uri().query()?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "key")
        .map(|(_, value)| value.into_owned())
        .filter(|value| !value.is_empty())
}
