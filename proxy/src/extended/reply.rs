//! Answers of links with a plan: made when they are needed, not ahead of time.

use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::Full;
use schemas::click::Outcome;
use schemas::link::view::{Body, File, View};
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

/// For files: should a browser show one all the same, it runs nothing and sends nothing.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) kind: Kind,
    pub(crate) status: StatusCode,
    /// What a visit is recorded as.
    pub(crate) outcome: Outcome,
    /// Of the proxy's own texts, which depend on what the client would rather read.
    own: bool,
    /// A visit that it answers is recorded.
    pub(super) counts: bool,
    /// A file is sent behind it.
    pub(super) sends: bool,
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
            counts: true,
            sends: false,
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

    /// A stored file, or `range` of it; `None`: nothing of it is sent, and its length is not said.
    pub(super) fn file(file: &File<'_>, status: StatusCode, range: Option<Range<u64>>) -> Self {
        let mut reply = Self::new(Kind::File, status, Outcome::File, Bytes::new());
        let headers = &mut reply.headers;
        headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
        headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
        headers.insert(ACCEPT_RANGES, BYTES);
        let mut put = |name: HeaderName, text: String| {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        };
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            put(CONTENT_RANGE, format!("bytes */{}", file.size));
            return reply;
        }
        put(CONTENT_DISPOSITION, disposition(file.name));
        let Some(range) = range else {
            return reply;
        };
        if let Ok(kind) = std::str::from_utf8(file.content_type) {
            put(CONTENT_TYPE, kind.to_owned());
        }
        put(
            CONTENT_LENGTH,
            range.end.saturating_sub(range.start).to_string(),
        );
        if status == StatusCode::PARTIAL_CONTENT {
            let last = range.end.saturating_sub(1);
            put(
                CONTENT_RANGE,
                format!("bytes {}-{last}/{}", range.start, file.size),
            );
        }
        reply
    }

    /// With an entity tag, quotes and all.
    pub(super) fn tagged(mut self, tag: &[u8]) -> Self {
        if let Ok(tag) = HeaderValue::from_bytes(tag) {
            self.headers.insert(ETAG, tag);
        }
        self
    }

    /// No visit is recorded for it.
    pub(super) fn uncounted(mut self) -> Self {
        self.counts = false;
        self
    }

    /// The file that was opened is sent behind it.
    pub(super) fn sending(mut self) -> Self {
        self.sends = true;
        self
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
        if !self.sends
            && let Some(etag) = self.headers.get(ETAG)
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
pub(super) fn matches_any(header: &[u8], etag: &[u8]) -> bool {
    header
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .any(|one| one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == etag)
}

/// `attachment` with a name in both forms (RFC 6266): for old clients in ASCII with a `_` for all else, and as UTF-8.
fn disposition(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let plain =
        |c: char| c.is_ascii() && !c.is_ascii_control() && !matches!(c, '"' | '\\' | '%' | '/');
    let ascii: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .collect();
    let mut text = format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        // attr-char of RFC 8187.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stands_in_a_header_in_both_forms() {
        for (name, expected) in [
            (
                "kit.zip",
                "attachment; filename=\"kit.zip\"; filename*=UTF-8''kit.zip",
            ),
            (
                "a b.pdf",
                "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf",
            ),
            (
                "\"x\\%.t\"",
                "attachment; filename=\"_x__.t_\"; filename*=UTF-8''%22x%5C%25.t%22",
            ),
            (
                "é€.txt",
                "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%A9%E2%82%AC.txt",
            ),
        ] {
            assert_eq!(disposition(name.as_bytes()), expected);
        }
        let hostile = disposition(b"a\r\nSet-Cookie: x\xff");
        assert!(
            HeaderValue::from_str(&hostile).is_ok() && !hostile.contains(['\r', '\n']),
            "{hostile}"
        );
    }
}
