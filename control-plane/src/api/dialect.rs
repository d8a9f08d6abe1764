//! What a dialect decides about every call before and after its handlers: where its paths begin, how a key is carried, how
//! often a key may call, and the form of an error.
//!
//! The gate ([`crate::middleware`]) finds the dialect by the path, so unknown paths, wrong methods, refused keys and calls
//! beyond the rate are answered in the form of the dialect under whose base they are.

use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};

use super::{minilnk, openmylink, smartlinks, urlr};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::rate::{RateLimiter, Verdict, Who, Window};
use crate::store::keys::KeyRow;

/// A dialect, as the gate sees it.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// What its paths begin with, without a slash at the end.
    pub(crate) base: &'static str,
    /// The key or token that a call carries.
    pub(crate) credential: fn(&HeaderMap, &Uri) -> Option<String>,
    /// Whether the caller may use this dialect at all.
    pub(crate) admit: fn(&Caller) -> Result<(), ApiError>,
    /// How calls of a key are counted: apart from those in other dialects.
    pub(crate) window: Window,
    /// Calls a window of a key; 0: without limit.
    pub(crate) rate: fn(&KeyRow) -> i64,
    /// Calls a window of an address without a valid key.
    pub(crate) anonymous: i64,
    /// Status, type and body of an error.
    pub(crate) render: fn(&ApiError) -> Response,
}

/// All dialects. The one whose base all others have in their own stands last, and answers for every other path, too.
const ALL: [&Dialect; 4] = [
    &minilnk::DIALECT,
    &urlr::DIALECT,
    &smartlinks::DIALECT,
    &openmylink::DIALECT,
];

/// Whoever may call may call in this dialect.
pub(crate) fn everyone(_: &Caller) -> Result<(), ApiError> {
    Ok(())
}

/// `Authorization: Bearer` or `Token`. `Some(None)`: the header is there and of another kind.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<Option<String>> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = header.trim().split_once(' ')?;
    let known = ["bearer", "token"]
        .iter()
        .any(|s| scheme.eq_ignore_ascii_case(s));
    Some(known.then(|| secret.trim().to_owned()))
}

/// A header of its own for the key.
pub(crate) fn in_header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The key as a parameter of the query.
pub(crate) fn in_query(uri: &Uri, name: &str) -> Option<String> {
    url::form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(parameter, _)| parameter == name)
        .map(|(_, value)| value.into_owned())
        .filter(|value| !value.is_empty())
}

/// The dialects with the calls counted in each.
#[derive(Debug)]
pub(crate) struct Dialects(Vec<(&'static Dialect, RateLimiter)>);

impl Default for Dialects {
    fn default() -> Self {
        let all = ALL.map(|dialect| (dialect, RateLimiter::by(dialect.window)));
        Self(all.into())
    }
}

impl Dialects {
    /// The dialect of a path, by its place.
    pub(crate) fn of(&self, path: &str) -> Spoken<'_> {
        let under = |dialect: &Dialect| {
            path.strip_prefix(dialect.base)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let last = self.0.len() - 1;
        let place = self.0.iter().position(|(dialect, _)| under(dialect));
        let (dialect, limiter) = &self.0[place.unwrap_or(last)];
        Spoken { dialect, limiter }
    }
}

/// A dialect that a call is in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spoken<'a> {
    /// Its rules.
    pub(crate) dialect: &'static Dialect,
    limiter: &'a RateLimiter,
}

impl Spoken<'_> {
    /// Counts a call.
    pub(crate) fn count(&self, who: Who, limit: i64, now_ms: i64) -> Verdict {
        self.limiter.count(who, limit, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        assert_eq!(
            Dialects::default().of(path).dialect.base,
            expected,
            "{path}"
        );
    }

    #[test]
    fn a_path_belongs_to_the_dialect_of_its_first_segments() {
        check("/api/urls", "/api");
        check("/api/v1", "/api/v1");
        check("/api/v1/links", "/api/v1");
        check("/api/v10/links", "/api");
        check("/api/v2/links/x", "/api/v2");
        check("/v1/links", "/v1");
        check("/v1x", "/api");
        check("/", "/api");
        check("", "/api");
    }

    #[test]
    fn keys_are_found_where_each_dialect_looks() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        headers.insert(AUTHORIZATION, "bearer  k ".parse().expect("header"));
        headers.insert("x-api-key", " k2 ".parse().expect("header"));
        assert_eq!(bearer(&headers), Some(Some("k".to_owned())));
        assert_eq!(in_header(&headers, "X-API-KEY").as_deref(), Some("k2"));
        assert_eq!(in_header(&headers, "x-other"), None);
        headers.insert(AUTHORIZATION, "Basic abc".parse().expect("header"));
        assert_eq!(bearer(&headers), Some(None));
        let uri: Uri = "/x?api_key=&key=a%20b".parse().expect("uri");
        assert_eq!(in_query(&uri, "api_key"), None);
        assert_eq!(in_query(&uri, "key").as_deref(), Some("a b"));
    }
}
