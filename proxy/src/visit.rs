//! A visit as the worker that answered it hands it to its ring: raw, borrowed from the request and the link table.
//!
//! Nothing is worked out here that the enricher can work out later, off the serving threads.

use std::net::IpAddr;

use schemas::click::Outcome;

/// One GET that a link answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit<'a> {
    /// Instant of the answer, milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// The link that answered.
    pub link: u64,
    /// Its owner.
    pub workspace: u64,
    /// The domain it was reached by.
    pub domain: u32,
    /// HTTP status of the answer.
    pub status: u16,
    /// What kind of answer it was.
    pub outcome: Outcome,
    /// 1-based index of the rule that chose the destination; 0: none.
    pub rule: u16,
    /// 1-based index of the weighted variant; 0: none.
    pub variant: u16,
    /// It came through the link's QR code.
    pub scan: bool,
    /// The worker took it for a bot's, and answered so.
    pub bot: bool,
    /// The visitor's address, `::ffff:` unmapped.
    pub client_ip: IpAddr,
    /// Host asked for: lower case, without port; empty when there was none.
    pub host: &'a [u8],
    /// Slug as stored with the link.
    pub slug: &'a [u8],
    /// Query of the request, without `?`; empty when there was none.
    pub target_query: &'a [u8],
    /// Query of the destination, without `?` and fragment; only when it holds `utm_` parameters.
    pub destination_query: &'a [u8],
    /// `User-Agent` as sent.
    pub user_agent: &'a [u8],
    /// `Referer` as sent.
    pub referrer: &'a [u8],
    /// `Accept-Language` as sent.
    pub accept_language: &'a [u8],
    /// `Sec-Purpose`, else `Purpose`, else `X-Moz`: how browsers announce a prefetch.
    pub purpose: &'a [u8],
}
