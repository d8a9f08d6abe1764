//! The client's address: the peer's, or what trusted proxies say.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// Most hops read from `X-Forwarded-For`.
const MAX_HOPS: usize = 32;

/// Walks `X-Forwarded-For` from the last entry, which the nearest proxy wrote, as long as the one who says so is trusted;
/// the first address that is not a trusted proxy is the client. An entry that is no address ends the walk: what is
/// before it was written by somebody unknown.
pub(super) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let values: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let hops = values.iter().rev().flat_map(|value| value.rsplit(','));
    for hop in hops.take(MAX_HOPS) {
        let Ok(ip) = hop.trim().parse::<IpAddr>() else {
            return client;
        };
        client = ip.to_canonical();
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("header"));
        }
        let trusted: Vec<IpNet> = vec![
            "10.0.0.0/8".parse().expect("net"),
            "::1/128".parse().expect("net"),
        ];
        let got = address(peer.parse().expect("address"), &headers, &trusted);
        assert_eq!(got.to_string(), expected, "{peer} {forwarded:?}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check("192.0.2.9", &["198.51.100.1"], "192.0.2.9");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check(
            "10.0.0.1",
            &["203.0.113.5, 198.51.100.1, 10.0.0.2"],
            "198.51.100.1",
        );
        check("10.0.0.1", &["203.0.113.5", "198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["203.0.113.5, nonsense"], "10.0.0.1");
        check("10.0.0.1", &["nonsense, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("::1", &["2001:db8::7"], "2001:db8::7");
        check("10.0.0.1", &["\"<script>"], "10.0.0.1");
    }
}
