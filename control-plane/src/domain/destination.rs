//! Where a link leads: a URL an owner gave, checked and brought into one form, and the finished URL with UTM and extra
//! parameters that visitors are sent to.
//!
//! The finished URL stands in a header of every redirect, so it is printable ASCII: international hosts as punycode,
//! everything else percent-encoded, as the URL standard says. Only `http` and `https`, no credentials: they would be
//! shown to every visitor.

use std::net::SocketAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use schemas::host::Host;
use schemas::link::MAX_DESTINATION_BYTES;
use url::Url;

use super::field::FieldError;

/// What is not escaped in a name or value we put into a query: unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The five UTM parameters, in the order they are put into a URL.
pub const UTM: [&str; 5] = [
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
];

/// A URL an owner gave, in its one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination(Url);

/// Why a URL of one of our short domains is refused.
pub fn leads_back(field: &str) -> FieldError {
    FieldError::new(field, "must not lead back to a short domain of ours")
}

impl Destination {
    /// Checks the URL in `field`.
    ///
    /// Whether it leads to a domain of ours is not known here: see [`Self::host`] and [`Self::is_address_of`].
    ///
    /// # Errors
    /// A rule it breaks.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let fail = |problem: &str| Err(FieldError::new(field, problem));
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return fail("must not be empty");
        }
        if text.len() > MAX_DESTINATION_BYTES {
            return fail(&format!(
                "must be at most {MAX_DESTINATION_BYTES} bytes long"
            ));
        }
        // The URL standard drops tabs and line breaks silently: what was checked would not be what was meant.
        if text.chars().any(char::is_control) {
            return fail("must not hold control characters");
        }
        if text.chars().any(char::is_whitespace) {
            return fail("must not hold spaces; write %20");
        }
        let scheme = text
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            return fail("must begin with http:// or https://");
        }
        let Ok(url) = Url::parse(text) else {
            return fail("must be a URL with a host, e.g. https://example.com/page");
        };
        if !url.username().is_empty() || url.password().is_some() || has_user_info(text) {
            return fail("must not hold a user name or password");
        }
        if url.as_str().len() > MAX_DESTINATION_BYTES {
            return fail(&format!(
                "must be at most {MAX_DESTINATION_BYTES} bytes long when percent-encoded"
            ));
        }
        Ok(Self(url))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Its path, percent-encoded, with the leading `/`.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// Its host in the form domains are stored in; `None` for an IP literal or `localhost`.
    pub fn host(&self) -> Option<String> {
        match Host::parse(self.0.host_str()?) {
            Ok(Host::Name(name)) => Some(name),
            Ok(Host::Default) | Err(_) => None,
        }
    }

    /// Whether it is an IP literal or `localhost` at a port that visitors are served on. Every other port of an address
    /// is somebody else's.
    pub fn is_address_of(&self, ours: &OwnAddress) -> bool {
        let Some(Ok(Host::Default)) = self.0.host_str().map(Host::parse) else {
            return false;
        };
        let Some(port) = self.0.port_or_known_default() else {
            return false;
        };
        if !ours.ports.contains(&port) {
            return false;
        }
        let ip = match self.0.host() {
            Some(url::Host::Ipv4(ip)) => std::net::IpAddr::V4(ip),
            Some(url::Host::Ipv6(ip)) => ip.to_canonical(),
            // `localhost`
            _ => return true,
        };
        ip.is_loopback() || ip.is_unspecified() || ours.ips.contains(&ip)
    }
}

/// Addresses at which this installation serves visitors without a name.
#[derive(Debug, Clone, Default)]
pub struct OwnAddress {
    ips: Vec<std::net::IpAddr>,
    ports: Vec<u16>,
}

impl OwnAddress {
    /// From where the proxy listens and the public URL.
    pub fn new(proxy: SocketAddr, public: &Url) -> Self {
        let mut ours = Self {
            ips: vec![proxy.ip()],
            ports: vec![proxy.port()],
        };
        match public.host() {
            Some(url::Host::Ipv4(ip)) => ours.ips.push(ip.into()),
            Some(url::Host::Ipv6(ip)) => ours.ips.push(ip.into()),
            _ => {}
        }
        ours.ports.extend(public.port_or_known_default());
        ours
    }
}

/// The finished URL: `set` is put into the query, each replacing all parameters of its name; the rest of the query stays
/// as it is, byte for byte.
///
/// # Errors
/// Longer than [`MAX_DESTINATION_BYTES`]; `field` is named.
pub fn finish(field: &str, destination: &str, set: &[(&str, &str)]) -> Result<String, FieldError> {
    if set.is_empty() {
        return Ok(destination.to_owned());
    }
    let (before, fragment) = match destination.split_once('#') {
        Some((before, fragment)) => (before, Some(fragment)),
        None => (destination, None),
    };
    let (base, query) = before.split_once('?').unwrap_or((before, ""));
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .filter(|pair| !set.iter().any(|(name, _)| *name == query_name(pair)))
        .map(str::to_owned)
        .collect();
    for (name, value) in set {
        pairs.push(format!(
            "{}={}",
            utf8_percent_encode(name, QUERY),
            utf8_percent_encode(value, QUERY)
        ));
    }
    let mut url = format!("{base}?{}", pairs.join("&"));
    if let Some(fragment) = fragment {
        url.push('#');
        url.push_str(fragment);
    }
    if url.len() > MAX_DESTINATION_BYTES {
        return Err(FieldError::new(
            field,
            format!(
                "must be at most {MAX_DESTINATION_BYTES} bytes long together with its parameters"
            ),
        ));
    }
    Ok(url)
}

/// Whether a URL's query holds any of the five UTM parameters.
pub fn has_utm(url: &str) -> bool {
    let before = url.split('#').next().unwrap_or_default();
    let query = before.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .any(|pair| UTM.contains(&query_name(pair).as_str()))
}

/// The decoded name of a `name=value` pair.
fn query_name(pair: &str) -> String {
    let name = pair.split('=').next().unwrap_or_default().replace('+', " ");
    percent_decode_str(&name).decode_utf8_lossy().into_owned()
}

/// Whether the text holds an `@` before the path, which the URL standard reads as credentials even when they are empty.
fn has_user_info(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest
        .split(['/', '\\', '?', '#'])
        .find(|part| !part.is_empty());
    authority.is_some_and(|a| a.contains('@')) && !rest.starts_with(['?', '#'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<&str, &str>) {
        let got = Destination::parse("url", input);
        match (&got, expected) {
            (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            _ => panic!("{input:?}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn urls_come_into_one_form() {
        check("https://example.com", Ok("https://example.com/"));
        check(
            " HTTPS://Example.COM:443/A b".trim_end_matches(" b"),
            Ok("https://example.com/A"),
        );
        check(
            "https://bücher.test/straße?q=größe#ä",
            Ok("https://xn--bcher-kva.test/stra%C3%9Fe?q=gr%C3%B6%C3%9Fe#%C3%A4"),
        );
        check(
            "http://e.test/a?b=c%20d&e=f+g",
            Ok("http://e.test/a?b=c%20d&e=f+g"),
        );
        check(
            "https://e.test/@name?x=a@b",
            Ok("https://e.test/@name?x=a@b"),
        );
        check("http://[::1]:9/", Ok("http://[::1]:9/"));
        check("http://0x7f.1/", Ok("http://127.0.0.1/"));
    }

    #[test]
    fn hostile_urls_are_refused() {
        check("", Err("url must not be empty"));
        check("   ", Err("must not be empty"));
        check("https://e.test/a b", Err("spaces"));
        check("https://e.test/a\u{a0}b", Err("spaces"));
        check("https://e.test/\r\nSet-Cookie:x", Err("control"));
        check("https://e.test/\u{0}", Err("control"));
        check("ht\ttps://e.test/", Err("control"));
        check("https://u:p@e.test/", Err("user name or password"));
        check("https://u@e.test/", Err("user name or password"));
        check("https://@e.test/", Err("user name or password"));
        check("https:///u:p@e.test/", Err("user name or password"));
        check("https://:@e.test/", Err("user name or password"));
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://e.test/",
            "file:///etc/passwd",
            "//e.test/",
            "e.test",
            "/x",
            "http:e.test",
            "mailto:a@b",
            "myapp://x",
            "javascript://e.test/%0aalert(1)",
        ] {
            check(bad, Err("http:// or https://"));
        }
        for bad in [
            "http://",
            "https://?x",
            "http://a..b:x/",
            "http://e.test:99999/",
            "http://[::1/",
            "http://e%00.test/",
        ] {
            check(bad, Err("url must"));
        }
        check(
            &format!("https://e.test/{}", "a".repeat(100_000)),
            Err("8192"),
        );
        check(
            &format!("https://e.test/{}", "ä".repeat(3000)),
            Err("percent-encoded"),
        );
    }

    #[test]
    fn our_own_addresses_are_known() {
        let ours = OwnAddress::new(
            "0.0.0.0:8080".parse().expect("address"),
            &Url::parse("http://192.0.2.1:9000").expect("url"),
        );
        let is_ours = |url: &str| {
            Destination::parse("url", url)
                .expect("legal")
                .is_address_of(&ours)
        };
        for url in [
            "http://127.0.0.1:8080/a",
            "http://localhost:8080/",
            "http://[::1]:9000/",
            "http://192.0.2.1:9000/x",
            "http://[::ffff:127.0.0.1]:8080/",
            "http://0x7f.1:8080/",
        ] {
            assert!(is_ours(url), "{url}");
        }
        for url in [
            "http://127.0.0.1:8082/a",
            "http://198.51.100.1:8080/",
            "http://e.test:8080/",
        ] {
            assert!(!is_ours(url), "{url}");
        }
    }

    #[test]
    fn parameters_replace_their_name_and_leave_the_rest() {
        let finish = |url: &str, set: &[(&str, &str)]| finish("url", url, set).expect("short");
        assert_eq!(finish("https://e.test/", &[]), "https://e.test/");
        assert_eq!(
            finish("https://e.test/", &[("utm_source", "a b&c")]),
            "https://e.test/?utm_source=a%20b%26c"
        );
        assert_eq!(
            finish(
                "https://e.test/?x=%41+1&utm_source=old&utm%5Fsource=older&y#top",
                &[("utm_source", "né")]
            ),
            "https://e.test/?x=%41+1&y&utm_source=n%C3%A9#top"
        );
        assert_eq!(
            finish("https://e.test/?a=1&a=2", &[("a", "")]),
            "https://e.test/?a="
        );
        assert!(super::finish("url", "https://e.test/", &[("a", &"ä".repeat(3000))]).is_err());
        assert!(
            has_utm("https://e.test/?utm%5Fterm=1#x")
                && !has_utm("https://e.test/?xutm_term=1#?utm_term=1")
        );
    }

    proptest! {
        #[test]
        fn whatever_is_taken_may_stand_in_a_header(text in "\\PC{0,60}", value in "\\PC{0,20}") {
            if let Ok(url) = Destination::parse("url", &format!("https://e.test/{text}")) {
                let url = super::finish("url", url.as_str(), &[("utm_source", &value)]).expect("short");
                prop_assert!(url.bytes().all(|b| (0x21..=0x7e).contains(&b)), "{url}");
                prop_assert!(url.starts_with("https://e.test/"));
            }
        }
    }
}
