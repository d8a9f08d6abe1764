//! Every answer there is: its counter's name, its status, its headers and its page, ready made.
//!
//! | answer | status | body |
//! | --- | --- | --- |
//! | a link's redirect | 301, 302, 307 or 308 as its owner chose | none |
//! | expired, with an address for it | 302 | none |
//! | expired | 410 | page |
//! | not started yet, switched off, workspace suspended | 404, one page for all three: a visitor need not know which | page |
//! | unknown slug, unknown or unproved host, `/` of a domain without a root address | 404 | page |
//! | ... and the domain has an address for unknown slugs, or for `/` | 302 | none |
//! | hostile `Host` or target | 400 | page |
//! | a method other than GET, HEAD, OPTIONS | 405 with `Allow` | page |
//! | OPTIONS | 204 with `Allow` | none |
//! | no link table yet, or this part of it is damaged and not repaired yet | 503 with `Retry-After` | page |
//!
//! Redirects of all four statuses carry `Cache-Control: private, no-store`. 301 and 308 tell search engines and clients
//! that remember moves that this one is for ever, which is what the owner wants of them; a cache that kept them would
//! hide later visits and send visitors to a destination that has been edited since.

mod wire;

pub use wire::{Date, Pages};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use schemas::link::Status;

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");
const NO_INDEX: HeaderValue = HeaderValue::from_static("noindex");
/// What browsers do anyway; said, so that an intermediary page's looser policy does not apply to the destination.
const REFERRER: HeaderValue = HeaderValue::from_static("strict-origin-when-cross-origin");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
/// Seconds. The feed reconnects faster than that.
const RETRY: HeaderValue = HeaderValue::from_static("5");
/// Seconds: the time in which attempts are counted.
const RETRY_PASSWORD: HeaderValue = HeaderValue::from_static("300");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const SVG: HeaderValue = HeaderValue::from_static("image/svg+xml");
const A_DAY: HeaderValue = HeaderValue::from_static("public, max-age=86400");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const CSP: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; img-src 'self'");

/// Crawlers may come: `X-Robots-Tag: noindex` keeps short links out of indexes only if they may see it.
const ROBOTS: &str = "User-agent: *\nDisallow:\n";
const ICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M7 1h2v14H7z" fill="#654"/><path d="M2 3h9l3 2-3 2H2z" fill="#b52"/><path d="M14 8H5L2 10l3 2h9z" fill="#963"/></svg>"##;

/// What kind of answer it is; each has a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// A link's redirect.
    Redirect,
    /// An expired link's own address.
    ExpiredRedirect,
    /// A domain's address for `/`.
    RootRedirect,
    /// A domain's address for unknown slugs.
    NotFoundRedirect,
    /// An expired link.
    Expired,
    /// A link whose time has not come.
    NotStarted,
    /// A link that is switched off.
    Disabled,
    /// A link of a suspended workspace.
    Suspended,
    /// No such link.
    UnknownSlug,
    /// No such domain.
    UnknownHost,
    /// `/` of a domain without an address for it.
    Root,
    /// A target or host that must not be answered otherwise.
    BadRequest,
    /// A method we don't have.
    BadMethod,
    /// OPTIONS.
    Options,
    /// `robots.txt`.
    Robots,
    /// `favicon.ico`.
    Icon,
    /// No link table yet.
    NotReady,
    /// This part of the link table is missing.
    Missing,
    /// A shared page.
    Page,
    /// A body of the link's own.
    Body,
    /// A stored file.
    File,
    /// A social preview for a bot.
    Preview,
    /// A page that opens an app.
    App,
    /// A page or body that has not been fetched yet.
    BodyMissing,
    /// A link whose click limit is reached.
    LimitReached,
    /// The form that asks for a password.
    PasswordAsked,
    /// The same, after a wrong one.
    PasswordWrong,
    /// Too many wrong ones.
    PasswordLimited,
    /// A gate that could not be asked in time.
    GateBusy,
}

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = Self::ALL.len();

    /// All kinds, each at its own index.
    pub const ALL: [Self; 29] = [
        Self::Redirect,
        Self::ExpiredRedirect,
        Self::RootRedirect,
        Self::NotFoundRedirect,
        Self::Expired,
        Self::NotStarted,
        Self::Disabled,
        Self::Suspended,
        Self::UnknownSlug,
        Self::UnknownHost,
        Self::Root,
        Self::BadRequest,
        Self::BadMethod,
        Self::Options,
        Self::Robots,
        Self::Icon,
        Self::NotReady,
        Self::Missing,
        Self::Page,
        Self::Body,
        Self::File,
        Self::Preview,
        Self::App,
        Self::BodyMissing,
        Self::LimitReached,
        Self::PasswordAsked,
        Self::PasswordWrong,
        Self::PasswordLimited,
        Self::GateBusy,
    ];

    /// Its name in metrics, and as `error` of JSON answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::ExpiredRedirect => "expired_redirect",
            Self::RootRedirect => "root_redirect",
            Self::NotFoundRedirect => "not_found_redirect",
            Self::Expired => "expired",
            Self::NotStarted => "not_started",
            Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::UnknownSlug => "unknown_slug",
            Self::UnknownHost => "unknown_host",
            Self::Root => "root",
            Self::BadRequest => "bad_request",
            Self::BadMethod => "bad_method",
            Self::Options => "options",
            Self::Robots => "robots",
            Self::Icon => "icon",
            Self::NotReady => "not_ready",
            Self::Missing => "missing",
            Self::Page => "page",
            Self::Body => "body",
            Self::File => "file",
            Self::Preview => "preview",
            Self::App => "app",
            Self::BodyMissing => "body_missing",
            Self::LimitReached => "limit_reached",
            Self::PasswordAsked => "password_asked",
            Self::PasswordWrong => "password_wrong",
            Self::PasswordLimited => "password_limited",
            Self::GateBusy => "gate_busy",
        }
    }
}

/// An answer, decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// To this address. `kind` is one of the redirects.
    Redirect {
        /// Which of them.
        kind: Kind,
        /// Status of the answer.
        status: Status,
        /// Where to: printable ASCII, checked when it came into the link table.
        location: &'a [u8],
    },
    /// A page (or file) of ours.
    Page {
        /// Which.
        kind: Kind,
        /// For a client that asked for JSON.
        json: bool,
    },
}

impl Answer<'_> {
    /// What kind of answer it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Redirect { kind, .. } | Self::Page { kind, .. } => *kind,
        }
    }

    /// The answer for hyper.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut headers = HeaderMap::new();
        let (status, body) = match self {
            Self::Redirect {
                status, location, ..
            } => {
                // Never fails: see `location`.
                if let Ok(location) = HeaderValue::from_bytes(location) {
                    headers.insert(LOCATION, location);
                }
                headers.insert(CACHE_CONTROL, NO_STORE);
                headers.insert(REFERRER_POLICY, REFERRER);
                headers.insert(X_ROBOTS_TAG, NO_INDEX);
                let status = match status {
                    Status::Found => StatusCode::FOUND,
                    Status::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
                    Status::TemporaryRedirect => StatusCode::TEMPORARY_REDIRECT,
                    Status::PermanentRedirect => StatusCode::PERMANENT_REDIRECT,
                };
                (status, "")
            }
            Self::Page { kind, json } => page(kind, json, &mut headers),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

#[cold]
fn page(kind: Kind, json: bool, headers: &mut HeaderMap) -> (StatusCode, &'static str) {
    let (status, html_body, json_body) = match kind {
        Kind::Robots => {
            headers.insert(CONTENT_TYPE, TEXT);
            headers.insert(CACHE_CONTROL, A_DAY);
            return (StatusCode::OK, ROBOTS);
        }
        Kind::Icon => {
            headers.insert(CONTENT_TYPE, SVG);
            headers.insert(CACHE_CONTROL, A_DAY);
            headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
            return (StatusCode::OK, ICON);
        }
        Kind::Options => {
            headers.insert(ALLOW, METHODS);
            return (StatusCode::NO_CONTENT, "");
        }
        Kind::BadMethod => {
            headers.insert(ALLOW, METHODS);
            text_of(kind)
        }
        Kind::NotReady | Kind::Missing | Kind::BodyMissing | Kind::GateBusy => {
            headers.insert(RETRY_AFTER, RETRY);
            text_of(kind)
        }
        Kind::PasswordLimited => {
            headers.insert(RETRY_AFTER, RETRY_PASSWORD);
            text_of(kind)
        }
        _ => text_of(kind),
    };
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(X_ROBOTS_TAG, NO_INDEX);
    headers.insert(REFERRER_POLICY, REFERRER);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    if json {
        headers.insert(CONTENT_TYPE, JSON);
        (status, json_body)
    } else {
        headers.insert(CONTENT_TYPE, HTML);
        headers.insert(CONTENT_SECURITY_POLICY, CSP);
        (status, html_body)
    }
}

/// A page in both forms, put together by the compiler.
macro_rules! text {
    ($status:expr, $code:literal, $error:literal, $title:literal, $message:literal) => {
        (
            $status,
            concat!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">",
                "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
                $title,
                "</title><style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:20vh auto;",
                "padding:0 1em;color:#333}h1{font-size:1.5em}</style><main><h1>",
                $title,
                "</h1><p>",
                $message,
                "</p></main></html>\n"
            ),
            concat!(
                "{\"status\":", $code, ",\"error\":\"", $error, "\",\"message\":\"", $message,
                "\"}\n"
            ),
        )
    };
}

fn text_of(kind: Kind) -> (StatusCode, &'static str, &'static str) {
    match kind {
        Kind::BodyMissing => text!(
            StatusCode::SERVICE_UNAVAILABLE,
            "503",
            "body_missing",
            "Not ready yet",
            "This page is still being fetched. Please try again in a few seconds."
        ),
        Kind::GateBusy => text!(
            StatusCode::SERVICE_UNAVAILABLE,
            "503",
            "gate_busy",
            "Busy",
            "Whether this link may be opened could not be found out in time. Please try again."
        ),
        Kind::PasswordAsked | Kind::PasswordWrong => text!(
            StatusCode::UNAUTHORIZED,
            "401",
            "password",
            "This link needs a password",
            "Send it as a form with a field named password."
        ),
        Kind::PasswordLimited => text!(
            StatusCode::TOO_MANY_REQUESTS,
            "429",
            "too_many_attempts",
            "Too many attempts",
            "Wrong passwords came too often from this address. Please wait a few minutes."
        ),
        Kind::Expired | Kind::LimitReached => text!(
            StatusCode::GONE,
            "410",
            "expired",
            "This link has expired",
            "It used to lead somewhere, but its time is over."
        ),
        Kind::NotStarted | Kind::Disabled | Kind::Suspended => text!(
            StatusCode::NOT_FOUND,
            "404",
            "inactive",
            "This link is not active",
            "It does not lead anywhere at the moment."
        ),
        Kind::UnknownHost => text!(
            StatusCode::NOT_FOUND,
            "404",
            "unknown_host",
            "Nothing here",
            "No short links are served under this name."
        ),
        Kind::Root => text!(
            StatusCode::NOT_FOUND,
            "404",
            "root",
            "Short links live here",
            "A link is missing: only the name of the site was given."
        ),
        Kind::BadRequest => text!(
            StatusCode::BAD_REQUEST,
            "400",
            "bad_request",
            "That request makes no sense",
            "The name of the site in it is missing, given twice or not a name."
        ),
        Kind::BadMethod => text!(
            StatusCode::METHOD_NOT_ALLOWED,
            "405",
            "bad_method",
            "Only for reading",
            "Links can be followed with GET and HEAD only."
        ),
        Kind::NotReady | Kind::Missing => text!(
            StatusCode::SERVICE_UNAVAILABLE,
            "503",
            "not_ready",
            "Not ready yet",
            "The links are still being loaded. Please try again in a few seconds."
        ),
        Kind::Redirect
        | Kind::ExpiredRedirect
        | Kind::RootRedirect
        | Kind::NotFoundRedirect
        | Kind::UnknownSlug
        | Kind::Page
        | Kind::Body
        | Kind::File
        | Kind::Preview
        | Kind::App
        | Kind::Options
        | Kind::Robots
        | Kind::Icon => text!(
            StatusCode::NOT_FOUND,
            "404",
            "unknown_slug",
            "There is no such link",
            "Perhaps it was mistyped, or it has been removed."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_at_its_own_index() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }

    #[test]
    fn every_json_page_is_json_and_says_its_status() {
        for kind in Kind::ALL {
            let (status, html, json) = text_of(kind);
            let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(value["status"], status.as_u16());
            assert!(html.contains("<main><h1>") && html.ends_with("</p></main></html>\n"));
        }
    }
}
