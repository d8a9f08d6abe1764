//! The visitor's address: the peer's, or what trusted proxies in front of us say it is.
//!
//! The hops of `X-Forwarded-For` are read from the right, the side our own proxies write on: the first one that is not
//! trusted is the visitor. What stands left of it the visitor may have made up. An entry that is no address ends the
//! walk, and the last hop believed is taken. `Forwarded` (RFC 7239) counts only where there is no `X-Forwarded-For`:
//! with both, one of them comes from the visitor, and proxies that are in use today write the other.
//!
//! Whether the visitor came over TLS is said by `X-Forwarded-Proto`, else by `Forwarded`, of a trusted proxy.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;

use http::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

use crate::request::Headers;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Networks whose word is taken.
#[derive(Debug, Clone, Default)]
pub struct Trusted(pub Vec<IpNet>);

impl Trusted {
    /// Whether this one's is; `ip` without `::ffff:`.
    #[inline]
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&ip))
    }
}

/// The visitor's address, `::ffff:` unmapped.
#[inline]
pub fn client_ip(peer: IpAddr, headers: Headers<'_>, trusted: &Trusted) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return peer;
    }
    if headers.first(&X_FORWARDED_FOR).is_some() {
        return walk(peer, headers, &X_FORWARDED_FOR, trusted, parse_hop);
    }
    walk(peer, headers, &FORWARDED, trusted, |element| {
        parse_hop(parameter(element, "for")?)
    })
}

/// Whether a trusted proxy says that the visitor came to it over TLS.
pub(crate) fn said_secure(peer: IpAddr, headers: Headers<'_>, trusted: &Trusted) -> bool {
    if !trusted.contains(peer.to_canonical()) {
        return false;
    }
    let last = |name| {
        headers.each_from_last(name, |value| {
            let last = std::str::from_utf8(value)
                .ok()
                .and_then(|v| v.rsplit(',').next());
            ControlFlow::Break(last.unwrap_or_default().trim())
        })
    };
    let scheme = match last(&X_FORWARDED_PROTO) {
        Some(scheme) => Some(scheme),
        None => last(&FORWARDED).and_then(|element| parameter(element, "proto")),
    };
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// What counts as one visitor: an address, or with IPv6 the /64 that one household has.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64)).into(),
    }
}

fn walk(
    peer: IpAddr,
    headers: Headers<'_>,
    name: &HeaderName,
    trusted: &Trusted,
    parse: impl Fn(&str) -> Option<IpAddr>,
) -> IpAddr {
    let mut believed = peer;
    let found = headers.each_from_last(name, |value| {
        let Ok(value) = std::str::from_utf8(value) else {
            return ControlFlow::Break(believed);
        };
        // A comma inside a quoted string splits it into two entries that are no addresses: the walk ends there.
        for hop in value.rsplit(',').map(str::trim) {
            if hop.is_empty() {
                continue;
            }
            let Some(ip) = parse(hop) else {
                return ControlFlow::Break(believed);
            };
            believed = ip;
            if !trusted.contains(ip) {
                return ControlFlow::Break(ip);
            }
        }
        ControlFlow::Continue(())
    });
    found.unwrap_or(believed)
}

/// An address with or without port, brackets and quotes.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text
        .strip_prefix('"')
        .and_then(|t| t.strip_suffix('"'))
        .unwrap_or(text);
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip()))
        .map(|ip: IpAddr| ip.to_canonical())
}

/// A parameter of a `Forwarded` element.
fn parameter<'e>(element: &'e str, wanted: &str) -> Option<&'e str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case(wanted)
            .then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[track_caller]
    fn check(peer: &str, headers: &[(&'static str, &[u8])], expected: &str) {
        let trusted = Trusted(vec![
            "10.0.0.0/8".parse().expect("net"),
            "2001:db8:ffff::/48".parse().expect("net"),
            "127.0.0.1/32".parse().expect("net"),
        ]);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).expect("header"));
        }
        let peer = peer.parse().expect("ip");
        let got = client_ip(peer, Headers::Map(&map), &trusted);
        assert_eq!(got.to_string(), expected, "{peer} {map:?}");
        let lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), *value))
            .collect();
        let got = client_ip(peer, Headers::Lines(&lines), &trusted);
        assert_eq!(got.to_string(), expected, "{peer} {lines:?}");
    }

    const XFF: &str = "x-forwarded-for";

    #[test]
    fn strangers_are_not_believed() {
        check("203.0.113.9", &[(XFF, b"1.2.3.4")], "203.0.113.9");
        check(
            "203.0.113.9",
            &[("forwarded", b"for=1.2.3.4")],
            "203.0.113.9",
        );
        check("::ffff:203.0.113.9", &[], "203.0.113.9");
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_visitor() {
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &[(XFF, b"1.2.3.4")], "1.2.3.4");
        check("::ffff:10.0.0.1", &[(XFF, b"1.2.3.4")], "1.2.3.4");
        check("10.0.0.1", &[(XFF, b"6.6.6.6, 1.2.3.4")], "1.2.3.4");
        check(
            "10.0.0.1",
            &[(XFF, b"6.6.6.6, 1.2.3.4, 10.9.9.9")],
            "1.2.3.4",
        );
        check(
            "10.0.0.1",
            &[(XFF, b"6.6.6.6"), (XFF, b"1.2.3.4,10.1.1.1")],
            "1.2.3.4",
        );
        check(
            "10.0.0.1",
            &[(XFF, b"1.2.3.4"), (XFF, b"10.1.1.1")],
            "1.2.3.4",
        );
        check("10.0.0.1", &[(XFF, b"10.2.2.2, 10.1.1.1")], "10.2.2.2");
        check("10.0.0.1", &[(XFF, b"1.2.3.4:5678")], "1.2.3.4");
        check("10.0.0.1", &[(XFF, b"[2001:db8::1]:80")], "2001:db8::1");
        check("2001:db8:ffff::1", &[(XFF, b"2001:db8::1")], "2001:db8::1");
        check("10.0.0.1", &[(XFF, b"::ffff:1.2.3.4")], "1.2.3.4");
    }

    #[test]
    fn forwarded_is_read_where_there_is_no_x_forwarded_for() {
        let f = "forwarded";
        check("10.0.0.1", &[(f, b"for=1.2.3.4")], "1.2.3.4");
        check(
            "10.0.0.1",
            &[(f, b"proto=https;For=\"[2001:db8::1]:4711\";by=x")],
            "2001:db8::1",
        );
        check(
            "10.0.0.1",
            &[(f, b"for=6.6.6.6, for=1.2.3.4;proto=http, for=10.1.1.1")],
            "1.2.3.4",
        );
        check(
            "10.0.0.1",
            &[(f, b"for=6.6.6.6"), (XFF, b"1.2.3.4")],
            "1.2.3.4",
        );
        check("10.0.0.1", &[(f, b"for=unknown")], "10.0.0.1");
        check("10.0.0.1", &[(f, b"for=_hidden, for=10.1.1.1")], "10.1.1.1");
        check("10.0.0.1", &[(f, b"by=1.2.3.4")], "10.0.0.1");
    }

    #[test]
    fn a_trusted_proxy_says_whether_the_visitor_came_over_tls() {
        let trusted = Trusted(vec!["10.0.0.0/8".parse().expect("net")]);
        let said = |peer: &str, headers: &[(&str, &str)]| {
            let lines: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
                .collect();
            said_secure(peer.parse().expect("ip"), Headers::Lines(&lines), &trusted)
        };
        let proto = "X-Forwarded-Proto";
        assert!(said("10.0.0.1", &[(proto, "https")]));
        assert!(said("::ffff:10.0.0.1", &[(proto, "http, HTTPS")]));
        assert!(said(
            "10.0.0.1",
            &[("Forwarded", "for=a;proto=http, for=b;Proto=https")]
        ));
        assert!(!said("192.0.2.1", &[(proto, "https")]));
        assert!(!said("10.0.0.1", &[(proto, "https, http")]));
        assert!(!said(
            "10.0.0.1",
            &[(proto, "http"), ("Forwarded", "proto=https")]
        ));
        assert!(!said("10.0.0.1", &[("Forwarded", "for=a")]));
        assert!(!said("10.0.0.1", &[]));
    }

    #[test]
    fn garbage_ends_the_walk_at_the_last_hop_believed() {
        for garbage in [
            &b"unknown"[..],
            b"1.2.3.4.5",
            b"999.1.1.1",
            b"<script>",
            b"\xff\xfe",
            b"1.2.3.4 5.6.7.8",
            b"\"1.2.3.4",
            b"[::1",
            b"1.2.3.4:99999",
            b"0x7f000001",
        ] {
            check("10.0.0.1", &[(XFF, garbage)], "10.0.0.1");
            check(
                "10.0.0.1",
                &[(XFF, garbage), (XFF, b"10.7.7.7")],
                "10.7.7.7",
            );
            check("10.0.0.1", &[(XFF, garbage), (XFF, b"1.2.3.4")], "1.2.3.4");
        }
        check("10.0.0.1", &[(XFF, b", ,,")], "10.0.0.1");
        check("10.0.0.1", &[(XFF, b"1.2.3.4, ,")], "1.2.3.4");
        let long = "9.9.9.9,".repeat(1000);
        check("10.0.0.1", &[(XFF, long.as_bytes())], "9.9.9.9");
    }
}
