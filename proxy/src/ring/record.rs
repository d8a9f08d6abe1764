//! A visit as a ring keeps it: fixed fields, then texts, each cut at its limit.
//!
//! ```text
//! payload := time_ms:i64le link:u64le workspace:u64le domain:u32le status:u16le rule:u16le variant:u16le
//!            outcome:u8 flags:u8 ip:16 (lengths: u16le a text) texts
//! ```
//! Never leaves the machine and lives for seconds: the format changes with the ring's magic and has no golden files.

use std::net::{IpAddr, Ipv6Addr};

use schemas::click::Outcome;

use super::layout::put;
use crate::visit::Visit;

/// Limits of the texts, in bytes; what is longer is cut. Sized so that what a click keeps is never cut here first.
const MAX_HOST: usize = 255;
const MAX_SLUG: usize = 255;
/// Twice what a click keeps of the query, so that UTM parameters behind a long value are still found.
const MAX_TARGET_QUERY: usize = 2048;
/// The longest destination there is: its UTM parameters stand at the end and must not be cut.
const MAX_DESTINATION_QUERY: usize = schemas::link::MAX_DESTINATION_BYTES;
/// Real ones stay below 500; longer ones are told apart (visitor hash, bot rules) by their front.
const MAX_USER_AGENT: usize = 1024;
/// Twice what a click keeps: credentials and fragment go before it is cut again.
const MAX_REFERRER: usize = 2048;
const MAX_ACCEPT_LANGUAGE: usize = 256;
const MAX_PURPOSE: usize = 64;

const SCAN: u8 = 1;
const BOT: u8 = 2;

const FIXED: usize = 8 + 8 + 8 + 4 + 2 + 2 + 2 + 1 + 1 + 16;
const TEXTS: usize = 8;

/// Longest payload.
pub(super) const MAX_PAYLOAD: usize = FIXED
    + 2 * TEXTS
    + MAX_HOST
    + MAX_SLUG
    + MAX_TARGET_QUERY
    + MAX_DESTINATION_QUERY
    + MAX_USER_AGENT
    + MAX_REFERRER
    + MAX_ACCEPT_LANGUAGE
    + MAX_PURPOSE;

const _: () = assert!(super::layout::record_bytes(MAX_PAYLOAD) <= super::layout::MAX_RECORD_BYTES);

/// The texts of a visit, cut.
#[inline]
fn texts<'a>(visit: &Visit<'a>) -> [&'a [u8]; TEXTS] {
    let cut = |text: &'a [u8], limit: usize| text.get(..limit).unwrap_or(text);
    [
        cut(visit.host, MAX_HOST),
        cut(visit.slug, MAX_SLUG),
        cut(visit.target_query, MAX_TARGET_QUERY),
        cut(visit.destination_query, MAX_DESTINATION_QUERY),
        cut(visit.user_agent, MAX_USER_AGENT),
        cut(visit.referrer, MAX_REFERRER),
        cut(visit.accept_language, MAX_ACCEPT_LANGUAGE),
        cut(visit.purpose, MAX_PURPOSE),
    ]
}

/// Length of [`encode`]'s output.
#[inline]
pub(super) fn encoded_len(visit: &Visit<'_>) -> usize {
    FIXED + 2 * TEXTS + texts(visit).iter().map(|t| t.len()).sum::<usize>()
}

/// Writes the visit to the front of `out`, which has [`encoded_len`] bytes or more.
#[inline]
pub(super) fn encode(visit: &Visit<'_>, out: &mut [u8]) {
    let ip = match visit.client_ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let flags = if visit.scan { SCAN } else { 0 } | if visit.bot { BOT } else { 0 };
    let texts = texts(visit);
    let mut out = put(out, &visit.time_ms.to_le_bytes());
    out = put(out, &visit.link.to_le_bytes());
    out = put(out, &visit.workspace.to_le_bytes());
    out = put(out, &visit.domain.to_le_bytes());
    out = put(out, &visit.status.to_le_bytes());
    out = put(out, &visit.rule.to_le_bytes());
    out = put(out, &visit.variant.to_le_bytes());
    out = put(out, &[visit.outcome as i32 as u8, flags]);
    out = put(out, &ip.octets());
    for text in texts {
        out = put(out, &(text.len() as u16).to_le_bytes());
    }
    for text in texts {
        out = put(out, text);
    }
}

/// Reads a visit back; `None` when the bytes are none.
pub(super) fn decode(payload: &[u8]) -> Option<Visit<'_>> {
    let mut rest = Rest(payload);
    let time_ms = i64::from_le_bytes(rest.take()?);
    let link = u64::from_le_bytes(rest.take()?);
    let workspace = u64::from_le_bytes(rest.take()?);
    let domain = u32::from_le_bytes(rest.take()?);
    let status = u16::from_le_bytes(rest.take()?);
    let rule = u16::from_le_bytes(rest.take()?);
    let variant = u16::from_le_bytes(rest.take()?);
    let [outcome, flags] = rest.take()?;
    let ip: [u8; 16] = rest.take()?;
    let mut lengths = [0; TEXTS];
    for length in &mut lengths {
        *length = u16::from_le_bytes(rest.take()?);
    }
    let mut texts: [&[u8]; TEXTS] = [&[]; TEXTS];
    for (text, length) in texts.iter_mut().zip(lengths) {
        *text = rest.take_slice(length.into())?;
    }
    let [
        host,
        slug,
        target_query,
        destination_query,
        user_agent,
        referrer,
        accept_language,
        purpose,
    ] = texts;
    rest.0.is_empty().then_some(())?;
    Some(Visit {
        time_ms,
        link,
        workspace,
        domain,
        status,
        outcome: Outcome::try_from(i32::from(outcome)).ok()?,
        rule,
        variant,
        scan: flags & SCAN != 0,
        bot: flags & BOT != 0,
        client_ip: IpAddr::V6(Ipv6Addr::from(ip)).to_canonical(),
        host,
        slug,
        target_query,
        destination_query,
        user_agent,
        referrer,
        accept_language,
        purpose,
    })
}

/// The bytes not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    fn take_slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }
}
