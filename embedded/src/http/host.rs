//! Which `Host` a request may name.
//!
//! A page in a browser on this machine can have its own name resolve to 127.0.0.1 and then talk to this port as its own
//! origin (DNS rebinding). It still sends its own name as `Host`, so only names that cannot be somebody else's pass:
//! localhost, IP literals, and what the operator listed.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Names taken besides localhost and IP literals.
#[derive(Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// Lower case, without port.
    pub(super) fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Both the target's authority (absolute form) and the header count, where they are there; one must be.
    pub(super) fn allows(&self, target: Option<&str>, header: Option<&[u8]>) -> bool {
        let header = header.map(|h| std::str::from_utf8(h).unwrap_or_default());
        (target.is_some() || header.is_some())
            && target
                .into_iter()
                .chain(header)
                .all(|host| self.allows_one(host))
    }

    fn allows_one(&self, host: &str) -> bool {
        if let Some(rest) = host.strip_prefix('[') {
            return rest
                .split_once(']')
                .is_some_and(|(ip, port)| ip.parse::<Ipv6Addr>().is_ok() && port_ok(port));
        }
        let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
        let name = name.to_ascii_lowercase();
        port_ok(port)
            && (name == "localhost" || name.parse::<Ipv4Addr>().is_ok() || self.0.contains(&name))
    }
}

fn port_ok(port: &str) -> bool {
    port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|p| p.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: bool) {
        let hosts = Hosts::new(vec!["ch.internal".to_owned()]);
        assert_eq!(
            hosts.allows(None, Some(host.as_bytes())),
            expected,
            "{host}"
        );
    }

    #[test]
    fn only_names_that_nobody_else_can_own() {
        check("localhost", true);
        check("LOCALHOST:8123", true);
        check("127.0.0.1:8123", true);
        check("[::1]:8123", true);
        check("ch.internal:1", true);
        check("evil.example", false);
        check("localhost.evil.example", false);
        check("127.0.0.1.evil.example", false);
        check("127.1", false);
        check("localhost:8123:1", false);
        check("user@localhost", false);
        check("[::1", false);
        check("[::1]x", false);
        check("", false);
    }

    #[test]
    fn a_target_with_authority_counts_as_well() {
        let hosts = Hosts::new(Vec::new());
        assert!(!hosts.allows(Some("evil.example"), Some(b"localhost")));
        assert!(!hosts.allows(None, None));
        assert!(!hosts.allows(None, Some(b"\xff")));
    }
}
