//! Where a visitor came from: the referrer's host, and the URL without what is nobody's business.
//!
//! The host is of the web (`http`, `https`) or names an app (`android-app://`, `ios-app://`). What cannot be a host is
//! none: such a visit counts as direct by host, and keeps its text.

use schemas::click::MAX_TEXT_BYTES;
use schemas::host::MAX_HOST_BYTES;

use super::text::{bounded, cut};

/// A referrer taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Referrer {
    /// Lower case, without user and port; international names in punycode; empty: none.
    pub(super) host: String,
    /// The URL without fragment and credentials, bounded; a text that is no URL as it is, bounded.
    pub(super) url: String,
}

impl Referrer {
    /// Reads the header.
    pub(super) fn of(header: &[u8]) -> Self {
        let header = header.trim_ascii();
        if header.is_empty() {
            return Self::default();
        }
        let whole = header.split(|b| *b == b'#').next().unwrap_or_default();
        let Some((scheme, rest)) = split_scheme(whole) else {
            return Self {
                host: String::new(),
                url: bounded(whole, MAX_TEXT_BYTES),
            };
        };
        let end = rest
            .iter()
            .position(|b| matches!(b, b'/' | b'?' | b'\\'))
            .unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let place = authority.rsplit(|b| *b == b'@').next().unwrap_or_default();
        let mut url = String::with_capacity(whole.len());
        url.push_str(&String::from_utf8_lossy(scheme));
        url.push_str("://");
        url.push_str(&bounded(place, MAX_TEXT_BYTES));
        url.push_str(&bounded(path, MAX_TEXT_BYTES));
        cut(&mut url, MAX_TEXT_BYTES);
        let known = [&b"http"[..], b"https", b"android-app", b"ios-app"]
            .iter()
            .any(|s| scheme.eq_ignore_ascii_case(s));
        let host = if known { host(place) } else { String::new() };
        Self { host, url }
    }
}

/// The scheme, and what follows `://`.
fn split_scheme(url: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = url.iter().position(|b| *b == b':')?;
    let (scheme, rest) = url.split_at(colon);
    let rest = rest.strip_prefix(b"://")?;
    let legal = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    legal.then_some((scheme, rest))
}

/// The host of `host[:port]`; empty when it is none.
fn host(place: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(place) else {
        return String::new();
    };
    if let Some(rest) = text.strip_prefix('[') {
        let v6 = rest.split(']').next().unwrap_or_default();
        return match v6.parse::<std::net::Ipv6Addr>() {
            Ok(v6) => format!("[{v6}]"),
            Err(_) => String::new(),
        };
    }
    let name = text.split(':').next().unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name);
    let name = if name.is_ascii() {
        name.to_ascii_lowercase()
    } else {
        match schemas::host::Host::parse(name) {
            Ok(schemas::host::Host::Name(name)) => name,
            _ => return String::new(),
        }
    };
    let legal = name.len() <= MAX_HOST_BYTES
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if legal { name } else { String::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(header: &str, host: &str, url: &str) {
        let found = Referrer::of(header.as_bytes());
        assert_eq!((found.host.as_str(), found.url.as_str()), (host, url));
    }

    #[test]
    fn hosts_and_urls_are_told() {
        check("", "", "");
        check("  ", "", "");
        check(
            "http://Example.COM/a?b=c#d",
            "example.com",
            "http://Example.COM/a?b=c",
        );
        check(
            "https://u:p@x.test:8443/y",
            "x.test",
            "https://x.test:8443/y",
        );
        check("https://x.test", "x.test", "https://x.test");
        check("https://x.test?q", "x.test", "https://x.test?q");
        check("https://x.test./", "x.test", "https://x.test./");
        check("HTTPS://x_y.test\\z", "x_y.test", "HTTPS://x_y.test\\z");
        check(
            "http://[2001:DB8::1]:80/",
            "[2001:db8::1]",
            "http://[2001:DB8::1]:80/",
        );
        check("http://[nonsense/", "", "http://[nonsense/");
        check("http://192.0.2.1/", "192.0.2.1", "http://192.0.2.1/");
        check(
            "http://bücher.example/",
            "xn--bcher-kva.example",
            "http://bücher.example/",
        );
        check(
            "android-app://com.google.android.gm/",
            "com.google.android.gm",
            "android-app://com.google.android.gm/",
        );
        check("mailto:a@b", "", "mailto:a@b");
        check("about:client", "", "about:client");
        check("nonsense", "", "nonsense");
        check("http:///x", "", "http:///x");
        check("http://a b/", "", "http://a b/");
        check("http://<script>/\"'", "", "http://<script>/\"'");
        check("ftp://x.test/", "", "ftp://x.test/");
    }

    #[test]
    fn illegal_bytes_cost_the_host_and_not_the_text() {
        let found = Referrer::of(b"http://\xe4.test/\0\xff");
        assert_eq!(found.host, "");
        assert_eq!(found.url, "http://\u{fffd}.test/\0\u{fffd}");
    }

    #[test]
    fn long_ones_are_cut() {
        let found = Referrer::of(format!("http://x.test/{}", "é".repeat(2000)).as_bytes());
        assert_eq!(found.host, "x.test");
        assert!((MAX_TEXT_BYTES - 1..=MAX_TEXT_BYTES).contains(&found.url.len()));
        let found = Referrer::of(format!("http://{}/", "x".repeat(2000)).as_bytes());
        assert_eq!(found.host, "");
    }

    proptest! {
        #[test]
        fn any_bytes_are_bounded_and_keep_no_credentials(bytes in proptest::collection::vec(any::<u8>(), 0..300), user in "[a-z]{1,5}", secret in "[a-z0-9]{8}") {
            let found = Referrer::of(&bytes);
            prop_assert!(found.url.len() <= MAX_TEXT_BYTES && found.host.len() <= MAX_HOST_BYTES);
            let found = Referrer::of(format!("https://{user}:S{secret}S@x.test/").as_bytes());
            let secret = format!("S{secret}S");
            prop_assert!(!found.url.contains(&secret));
        }
    }
}
