//! The hot path: from a request's head to an answer, and to the visit to record. Synchronous, and it cannot fail.
//!
//! No lock, no wait, no clock, no formatting, no look-up of metric labels. A destination comes from the link table and
//! from nowhere else; its bytes are shared with the table, not copied.
//!
//! What it deliberately does not do: record (the caller hands the visit to its ring before the answer leaves) or tell
//! people from bots (the enricher's job as long as no answer depends on it).

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use http::header::ACCEPT;
use http::{HeaderValue, Method};
use schemas::click::Outcome;
use schemas::link::{Entry, Status};

use crate::answer::{Answer, Kind};
use crate::mark;
use crate::request::{Head, HostName, Target, find_domain, prefers_json, slug_of};
use crate::table::{LinkTable, Lookup};
use crate::visit::Visit;

/// What is to be done with a request.
#[derive(Debug)]
pub struct Decision<'a> {
    /// What to answer.
    pub answer: Answer<'a>,
    /// What to record first, if a link answered a GET.
    pub visit: Option<Visit<'a>>,
    /// Set for a link that does more than redirect, with the host asked for: `extended` decides, and `answer` is not to be
    /// sent.
    pub extended: Option<(Entry<'a>, &'a HostName)>,
}

/// Decides a request. `now_ms` is milliseconds since 1970-01-01 UTC; `host` is a buffer for the host's name.
#[inline]
pub fn decide<'a>(
    head: &Head<'a>,
    table: &'a LinkTable,
    now_ms: i64,
    host: &'a mut HostName,
) -> Decision<'a> {
    let page = |kind| Decision {
        answer: Answer::Page {
            kind,
            json: prefers_json(head.header(&ACCEPT)),
        },
        visit: None,
        extended: None,
    };
    let counted = head.method == Method::GET;
    let form = head.method == Method::POST;
    if !counted && !form && head.method != Method::HEAD {
        return page(if head.method == Method::OPTIONS {
            Kind::Options
        } else {
            Kind::BadMethod
        });
    }
    // A form may be sent to a link that asks for a password; everything else refuses it, whatever it is.
    let page = |kind| match kind {
        Kind::Missing | Kind::NotReady => page(kind),
        _ if form => page(Kind::BadMethod),
        kind => page(kind),
    };
    let target = find_domain(head.host_text(), table, host);
    let path = head.path;
    match path {
        _ if matches!(target, Target::Bad) || !path.starts_with('/') => {
            return page(Kind::BadRequest);
        }
        "/robots.txt" => return page(Kind::Robots),
        "/favicon.ico" => return page(Kind::Icon),
        _ if !table.is_loaded() => return page(Kind::NotReady),
        _ => {}
    }
    let Target::Domain(domain) = target else {
        return page(Kind::UnknownHost);
    };
    let elsewhere = |kind, location: &'a Option<HeaderValue>, else_kind| match location {
        Some(location) if !form => Decision {
            answer: Answer::Redirect {
                kind,
                status: Status::Found,
                location: location.as_bytes(),
            },
            visit: None,
            extended: None,
        },
        _ => page(else_kind),
    };
    if path == "/" {
        return elsewhere(Kind::RootRedirect, &domain.root, Kind::Root);
    }
    let lookup = match slug_of(path) {
        Some(slug) => table.find(domain.id, slug.as_bytes()),
        None => Lookup::Unknown,
    };
    let entry = match lookup {
        Lookup::Found(entry) => entry,
        Lookup::Unknown => {
            return elsewhere(Kind::NotFoundRedirect, &domain.not_found, Kind::UnknownSlug);
        }
        Lookup::Missing => return page(Kind::Missing),
    };
    let code = mark::code(head.query, table, &entry);
    let entry = code.unwrap_or(entry);
    if !entry.plan.is_empty() {
        return Decision {
            extended: Some((entry, host)),
            ..page(Kind::Missing)
        };
    }
    if form {
        return page(Kind::BadMethod);
    }
    let (kind, status, location) = match outcome(&entry, table, now_ms) {
        Ok(redirect) => redirect,
        Err(kind) => return page(kind),
    };
    let visit = (counted && kind == Kind::Redirect).then(|| visit(head, &entry, now_ms, host));
    Decision {
        answer: Answer::Redirect {
            kind,
            status,
            location,
        },
        visit,
        extended: None,
    }
}

/// Whether a link answers at this instant, and what it shows if not.
#[inline]
pub(crate) fn state(entry: &Entry<'_>, table: &LinkTable, now_ms: i64) -> Result<(), Kind> {
    if table.is_suspended(entry.workspace) {
        return Err(Kind::Suspended);
    }
    if entry.disabled {
        return Err(Kind::Disabled);
    }
    if now_ms < entry.starts_at_ms {
        return Err(Kind::NotStarted);
    }
    if now_ms >= entry.expires_at_ms && entry.expires_at_ms != i64::MAX {
        return Err(Kind::Expired);
    }
    Ok(())
}

/// Where a link leads now, or the page to show.
#[inline]
fn outcome<'a>(
    entry: &Entry<'a>,
    table: &LinkTable,
    now_ms: i64,
) -> Result<(Kind, Status, &'a [u8]), Kind> {
    match state(entry, table, now_ms) {
        Ok(()) => Ok((Kind::Redirect, entry.status, entry.destination)),
        Err(Kind::Expired) if !entry.expired_url.is_empty() => {
            Ok((Kind::ExpiredRedirect, Status::Found, entry.expired_url))
        }
        Err(kind) => Err(kind),
    }
}

#[inline]
fn visit<'a>(head: &Head<'a>, entry: &Entry<'a>, now_ms: i64, host: &'a HostName) -> Visit<'a> {
    Visit {
        time_ms: now_ms,
        link: entry.link,
        workspace: entry.workspace,
        domain: entry.domain,
        status: entry.status.code(),
        outcome: Outcome::Redirect,
        rule: 0,
        variant: 0,
        scan: false,
        bot: false,
        client_ip: head.client_ip,
        host: host.as_bytes(),
        slug: entry.slug,
        target_query: head.query,
        destination_query: if entry.utm {
            query_of(entry.destination)
        } else {
            &[]
        },
        user_agent: head.user_agent(),
        referrer: head.referrer(),
        accept_language: head.accept_language(),
        purpose: head.purpose(),
    }
}

/// The query of a URL, without `?` and fragment.
pub(crate) fn query_of(url: &[u8]) -> &[u8] {
    let mut parts = url.splitn(2, |b| *b == b'#');
    let before_fragment = parts.next().unwrap_or_default();
    let mut parts = before_fragment.splitn(2, |b| *b == b'?');
    let _ = parts.next();
    parts.next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
