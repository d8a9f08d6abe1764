//! Host names as visitors and owners write them, in one normal form.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest host name in bytes (RFC 1035 section 2.3.4).
pub const MAX_HOST_BYTES: usize = 253;

/// What a `Host` header or an absolute target names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A domain name: lower case, punycode, no trailing dot, no port.
    Name(String),
    /// An IP literal or `localhost`: stands for the default domain.
    Default,
}

/// A text is not a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a host name")]
pub struct HostError(pub String);

impl Host {
    /// Normalises a host with or without a port. The port is ignored: one host is one domain on every port.
    ///
    /// International names become punycode (UTS 46, non-transitional), so both spellings are one domain.
    ///
    /// # Errors
    /// Anything that is neither an IP literal nor a legal domain name of at most [`MAX_HOST_BYTES`].
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let fail = || HostError(text.chars().take(80).collect());
        let host = strip_port(text).ok_or_else(fail)?;
        if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            return v6
                .parse::<Ipv6Addr>()
                .map(|_| Self::Default)
                .map_err(|_| fail());
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.parse::<Ipv4Addr>().is_ok() || host.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Default);
        }
        let name = idna::domain_to_ascii_strict(host).map_err(|_| fail())?;
        // The URL standard reads a last label of digits as (part of) an IPv4 address: no such name can be asked for.
        let numeric = name
            .rsplit('.')
            .next()
            .is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if name.is_empty() || name.len() > MAX_HOST_BYTES || numeric {
            return Err(fail());
        }
        Ok(Self::Name(name))
    }
}

/// Cuts `:port` off; `None` when the port is not a number up to 65535 or a bracket is open.
fn strip_port(text: &str) -> Option<&str> {
    let (host, port) = if text.starts_with('[') {
        let end = text.find(']')? + 1;
        text.split_at_checked(end)?
    } else {
        match text.find(':') {
            Some(colon) => text.split_at_checked(colon)?,
            None => (text, ""),
        }
    };
    match port.strip_prefix(':') {
        None => port.is_empty().then_some(host),
        Some("") => Some(host),
        Some(digits) => (digits.bytes().all(|b| b.is_ascii_digit())
            && digits.parse::<u16>().is_ok())
        .then_some(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Option<&str>) {
        let got = Host::parse(input).ok().map(|h| match h {
            Host::Name(n) => n,
            Host::Default => "<default>".to_owned(),
        });
        assert_eq!(got.as_deref(), expected, "{input}");
    }

    #[test]
    fn hosts_have_one_normal_form() {
        check("Go.Acme.TEST", Some("go.acme.test"));
        check("go.acme.test.", Some("go.acme.test"));
        check("go.acme.test:8080", Some("go.acme.test"));
        check("go.acme.test:", Some("go.acme.test"));
        check("bücher.test", Some("xn--bcher-kva.test"));
        check("XN--BCHER-KVA.test", Some("xn--bcher-kva.test"));
        check("127.0.0.1:8080", Some("<default>"));
        check("[::1]:8080", Some("<default>"));
        check("LocalHost", Some("<default>"));
    }

    #[test]
    fn hostile_hosts_are_refused() {
        for bad in [
            "",
            ":80",
            ".",
            "a..b",
            "a b",
            "a/b",
            "a:99999",
            "a:+1",
            "[::1",
            "[zz]",
            "[::1]x",
            "-a.test",
            "1.2.3",
            "a.test:80:80",
            "a\0b",
            "a@b.test",
            "🙂:x",
        ] {
            check(bad, None);
        }
        check(&format!("{}.test", "a".repeat(64)), None);
        check(&vec!["abcdefgh"; 40].join("."), None);
    }
}
