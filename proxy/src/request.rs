//! What a request asks for, borrowed from its head: host, path, query, and what a click keeps of its headers.
//!
//! | request | decision |
//! | --- | --- |
//! | absolute-form target (`GET http://host/slug`) | its host wins over the `Host` header (RFC 9112, 3.2.2) |
//! | a scheme other than http(s), user information in the target | 400 |
//! | `Host` missing or empty on HTTP/1.1, twice, or no host name | 400 |
//! | `Host` missing on HTTP/1.0 | the default domain |
//! | HTTP/2: no `:authority` and no `Host`, or two that differ | 400 |
//! | IP literal or `localhost` | the default domain |
//! | mixed case, a port, a trailing dot, an international name | the same domain as the normal form |
//! | `*` as target, authority as target (CONNECT) | no path: only the method decides |

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{ACCEPT_LANGUAGE, HOST, HeaderName, REFERER, USER_AGENT};
use http::request::Parts;
use http::{Method, Version};
use schemas::host::{Host, MAX_HOST_BYTES};

mod headers;

pub use headers::{Headers, Line};

use crate::table::{Domain, LinkTable};

const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");

/// Longest host text looked at, in bytes: the longest name, a trailing dot and a port.
const MAX_HOST_TEXT: usize = MAX_HOST_BYTES + 1 + 6;

/// The head of a request, whoever has read it.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Path of its target; empty when it has none.
    pub path: &'a str,
    /// Query of its target without `?`; empty when there is none.
    pub query: &'a [u8],
    /// Scheme and authority of a target in absolute form.
    pub absolute: Option<(&'a str, Option<&'a str>)>,
    /// Its HTTP version.
    pub version: Version,
    /// Its headers.
    pub headers: Headers<'a>,
    /// The visitor's address, see `client_ip`.
    pub client_ip: IpAddr,
    /// The visitor came over TLS, as far as we know.
    pub secure: bool,
}

/// What the request says of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostText<'a> {
    /// A text that may be a host, with or without port.
    Given(&'a str),
    /// Nothing, in a version of HTTP that allows it.
    Absent,
    /// Something that must be answered with 400.
    Bad,
}

impl<'a> Head<'a> {
    /// A head that hyper has read, come in cleartext.
    pub fn of(parts: &'a Parts, client_ip: IpAddr) -> Self {
        let uri = &parts.uri;
        Self {
            method: &parts.method,
            path: uri.path(),
            query: uri.query().unwrap_or_default().as_bytes(),
            absolute: uri
                .scheme_str()
                .map(|scheme| (scheme, uri.authority().map(|a| a.as_str()))),
            version: parts.version,
            headers: Headers::Map(&parts.headers),
            client_ip,
            secure: false,
        }
    }

    /// What the request says of its host.
    #[inline]
    pub fn host_text(&self) -> HostText<'a> {
        let Ok(header) = self.headers.only(&HOST) else {
            return HostText::Bad;
        };
        if header.is_none() && self.version == Version::HTTP_11 {
            return HostText::Bad;
        }
        if let Some((scheme, authority)) = self.absolute {
            let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            return match authority {
                // HTTP/2 has the host in one place; whoever names another beside it has two in mind (RFC 9113 8.3.1).
                Some(authority)
                    if self.version > Version::HTTP_11 && differs(header, authority) =>
                {
                    HostText::Bad
                }
                Some(authority) if web && !authority.contains('@') => HostText::Given(authority),
                _ => HostText::Bad,
            };
        }
        if header.is_none() && self.version > Version::HTTP_11 {
            return HostText::Bad;
        }
        match header {
            None => HostText::Absent,
            Some(value) => match std::str::from_utf8(value) {
                Ok(text) => HostText::Given(text),
                Err(_) => HostText::Bad,
            },
        }
    }

    /// `User-Agent`.
    #[inline]
    pub fn user_agent(&self) -> &'a [u8] {
        self.header(&USER_AGENT)
    }

    /// `Referer`.
    #[inline]
    pub fn referrer(&self) -> &'a [u8] {
        self.header(&REFERER)
    }

    /// `Accept-Language`.
    #[inline]
    pub fn accept_language(&self) -> &'a [u8] {
        self.header(&ACCEPT_LANGUAGE)
    }

    /// `Sec-Purpose`, else `Purpose`, else `X-Moz`.
    #[inline]
    pub fn purpose(&self) -> &'a [u8] {
        [&SEC_PURPOSE, &PURPOSE, &X_MOZ]
            .into_iter()
            .map(|name| self.header(name))
            .find(|value| !value.is_empty())
            .unwrap_or_default()
    }

    /// The header's first value; empty when there is none.
    #[inline]
    pub fn header(&self, name: &HeaderName) -> &'a [u8] {
        self.headers.first(name).unwrap_or_default()
    }
}

/// The host asked for, in lower case and without port, in a buffer of its own: no allocation.
#[derive(Debug)]
pub struct HostName {
    bytes: [u8; MAX_HOST_TEXT],
    length: usize,
}

impl HostName {
    /// No host.
    pub const fn new() -> Self {
        Self {
            bytes: [0; MAX_HOST_TEXT],
            length: 0,
        }
    }

    /// The name.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn set_lower(&mut self, text: &[u8]) -> bool {
        let Some(place) = self.bytes.get_mut(..text.len()) else {
            return false;
        };
        for (to, from) in place.iter_mut().zip(text) {
            *to = from.to_ascii_lowercase();
        }
        self.length = text.len();
        true
    }
}

impl Default for HostName {
    fn default() -> Self {
        Self::new()
    }
}

/// What a host leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'t> {
    /// A live domain.
    Domain(&'t Domain),
    /// A host name that is none of ours.
    Unknown,
    /// No host name.
    Bad,
}

/// Finds the domain of a request's host, and leaves the host's name in `name`.
///
/// Lower case, cut at the port, looked up: that is all for nearly every request. What is in no table that way is brought
/// into the normal form of `schemas::host` and looked up again.
#[inline]
pub fn find_domain<'t>(
    host: HostText<'_>,
    table: &'t LinkTable,
    name: &mut HostName,
) -> Target<'t> {
    let default = || match table.default_domain() {
        Some(domain) => Target::Domain(domain),
        None => Target::Unknown,
    };
    let text = match host {
        HostText::Bad => return Target::Bad,
        HostText::Absent => return default(),
        HostText::Given(text) => text,
    };
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|b| *b == b':');
    let (bare, port) = bytes.split_at(colon.unwrap_or(bytes.len()));
    if is_port(port)
        && name.set_lower(bare)
        && let Some(domain) = table.domain(name.as_bytes())
    {
        return Target::Domain(domain);
    }
    match Host::parse(text) {
        Ok(Host::Default) => {
            let end = text.rfind(']').map_or(bare.len(), |bracket| bracket + 1);
            name.set_lower(bytes.get(..end).unwrap_or_default());
            default()
        }
        Ok(Host::Name(normal)) => {
            name.set_lower(normal.as_bytes());
            match table.domain(normal.as_bytes()) {
                Some(domain) => Target::Domain(domain),
                None => Target::Unknown,
            }
        }
        Err(_) => Target::Bad,
    }
}

/// Whether there is a `Host` and it is another one.
fn differs(header: Option<&[u8]>, authority: &str) -> bool {
    header.is_some_and(|host| !host.eq_ignore_ascii_case(authority.as_bytes()))
}

/// Nothing, or a colon and a number below 65536.
#[inline]
fn is_port(text: &[u8]) -> bool {
    let Some((b':', digits)) = text.split_first() else {
        return text.is_empty();
    };
    // More digits, leading zeros included, are left to the slow path.
    digits.iter().all(u8::is_ascii_digit)
        && (digits.len() < 5 || digits.len() == 5 && digits <= &b"65535"[..])
}

/// The bytes to look up for a path that begins with `/`; `None`: no slug can be meant.
#[inline]
pub fn slug_of(path: &str) -> Option<Cow<'_, str>> {
    schemas::slug::lookup_key(path.strip_prefix('/')?).ok()
}

/// Whether a client would rather have JSON than HTML: `application/json` in `Accept` with a higher quality than
/// `text/html`, or with the same and before it. No `Accept` and `*/*` mean HTML.
pub fn prefers_json(accept: &[u8]) -> bool {
    let Ok(accept) = std::str::from_utf8(accept) else {
        return false;
    };
    // Best quality of each, and which of them was the first to reach it.
    let (mut best, mut json_wins) = (0, false);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let json = media.eq_ignore_ascii_case("application/json");
        if !json && !media.eq_ignore_ascii_case("text/html") {
            continue;
        }
        let quality = parts.find_map(parse_quality).unwrap_or(1000);
        if quality > best {
            (best, json_wins) = (quality, json);
        }
    }
    json_wins
}

/// `q=0.8` in thousandths.
fn parse_quality(parameter: &str) -> Option<u32> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().ok()?;
    Some((value.clamp(0.0, 1.0) * 1000.0) as u32)
}

#[cfg(test)]
mod tests;
