//! Answers of links with a plan: made when they are needed, not ahead of time.

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderName, IF_NONE_MATCH, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::Full;
use schemas::click::Outcome;
use schemas::link::view::{Body, View};
use schemas::link::{Entry, Status};

use super::Asked;
use crate::answer::{Answer, Kind};
use crate::pages::{Page, own};
use crate::request::{Head, prefers_json};

/// An answer for hyper.
pub type Response = http::Response<Full<Bytes>>;

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");
const ASK_EACH_TIME: HeaderValue = HeaderValue::from_static("private, no-cache");
const NO_INDEX: HeaderValue = HeaderValue::from_static("noindex");
const REFERRER: HeaderValue = HeaderValue::from_static("strict-origin-when-cross-origin");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// For bodies that name none: whatever they are, they run nothing and load nothing.
const STRICTEST: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) kind: Kind,
    pub(crate) status: StatusCode,
    /// What a visit is recorded as.
    pub(crate) outcome: Outcome,
    /// Of the proxy's own texts, which depend on what the client would rather read.
    own: bool,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn new(kind: Kind, status: StatusCode, outcome: Outcome, body: Bytes) -> Self {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(REFERRER_POLICY, REFERRER);
        headers.insert(X_ROBOTS_TAG, NO_INDEX);
        Self {
            kind,
            status,
            outcome,
            own: false,
            headers,
            body,
        }
    }

    /// One of the proxy's own texts.
    pub(crate) fn own(kind: Kind) -> Self {
        Self {
            own: true,
            ..Self::new(kind, StatusCode::OK, Outcome::Unspecified, Bytes::new())
        }
    }

    /// To a URL. One that must not stand in a header was refused when it came in; were it here all the same, a page is
    /// better than a wrong header.
    pub(crate) fn redirect(kind: Kind, status: Status, url: &[u8]) -> Self {
        let Ok(location) = HeaderValue::from_bytes(url) else {
            return Self::own(Kind::UnknownSlug);
        };
        let status = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::FOUND);
        let mut reply = Self::new(kind, status, Outcome::Redirect, Bytes::new());
        reply.headers.insert(LOCATION, location);
        reply
    }

    /// A page made here.
    pub(crate) fn page(kind: Kind, html: Vec<u8>, csp: &'static str) -> Self {
        let mut reply = Self::new(kind, StatusCode::OK, Outcome::Page, html.into());
        reply.headers.insert(CONTENT_TYPE, HTML);
        reply.headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        reply
            .headers
            .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(csp));
        reply
    }

    /// A shared page, filled.
    pub(crate) fn shared(page: &Page, body: Bytes) -> Self {
        let mut reply = Self::new(Kind::Page, page.status, Outcome::Page, body);
        reply
            .headers
            .insert(CONTENT_TYPE, page.content_type.clone());
        reply.headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        if let Some(csp) = &page.csp {
            reply.headers.insert(CONTENT_SECURITY_POLICY, csp.clone());
        }
        reply
    }

    /// A body of a link's own, with the entity tag of its bytes.
    pub(crate) fn body(body: &Body<'_>, bytes: Bytes, etag: &str) -> Self {
        let header = |text: &[u8]| HeaderValue::from_bytes(text).ok().filter(|v| !v.is_empty());
        let mut reply = Self::new(Kind::Body, StatusCode::OK, Outcome::Body, bytes);
        let headers = &mut reply.headers;
        headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        if let Some(kind) = header(body.content_type) {
            headers.insert(CONTENT_TYPE, kind);
        }
        if let Some(disposition) = header(body.disposition) {
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
        let csp = header(body.csp).unwrap_or(STRICTEST);
        headers.insert(CONTENT_SECURITY_POLICY, csp);
        if let Ok(etag) = HeaderValue::from_str(&format!("\"{etag}\"")) {
            headers.insert(ETAG, etag);
        }
        let cache = match body.max_age_s {
            0 => ASK_EACH_TIME,
            seconds => HeaderValue::from_str(&format!("public, max-age={seconds}"))
                .unwrap_or(ASK_EACH_TIME),
        };
        headers.insert(CACHE_CONTROL, cache);
        reply
    }

    /// The form that asks for a password. `wrong`: the one given was not it.
    pub(crate) fn password(wrong: Option<&str>) -> Self {
        let kind = match wrong {
            Some(_) => Kind::PasswordWrong,
            None => Kind::PasswordAsked,
        };
        let mut reply = Self::page(kind, own::password(wrong), own::PASSWORD_CSP);
        if wrong.is_some() {
            reply.status = StatusCode::UNAUTHORIZED;
        }
        reply
    }

    /// What the control plane answered to a form.
    pub(crate) fn forwarded(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        let mut reply = Self::new(Kind::Page, status, Outcome::Unspecified, body);
        reply.headers.extend(headers);
        reply.headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        reply
    }

    /// The same, said of something that is over.
    pub(super) fn gone(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self.status = StatusCode::GONE;
        self
    }

    /// With the cookie that opens the link from now on.
    pub(super) fn opened(mut self, asked: &Asked<'_>, entry: &Entry<'_>, view: &View<'_>) -> Self {
        if let Some((version, _)) = view.password
            && let Some(cookie) = asked
                .gates
                .door(asked, entry.link, version)
                .cookie(asked.head.path)
        {
            self.headers.insert(SET_COOKIE, cookie);
        }
        self
    }

    /// The answer.
    pub(crate) fn into_response(mut self, head: &Head<'_>) -> Response {
        let json = prefers_json(head.header(&ACCEPT));
        let asks = matches!(self.kind, Kind::PasswordAsked | Kind::PasswordWrong);
        if self.own || json && asks {
            let kind = self.kind;
            return Answer::Page { kind, json }.into_response();
        }
        if let Some(etag) = self.headers.get(ETAG)
            && matches_any(head.header(&IF_NONE_MATCH), etag.as_bytes())
        {
            self.status = StatusCode::NOT_MODIFIED;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            self.headers
                .insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// Whether `If-None-Match` names the tag (RFC 9110, 13.1.2: weak comparison).
fn matches_any(header: &[u8], etag: &[u8]) -> bool {
    header
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .any(|one| one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == etag)
}
