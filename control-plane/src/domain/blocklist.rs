//! The block list: where nothing of ours may lead. One line a rule, see [`Blocklist::parse`] and `docs/blocklist.md`.
//!
//! Hosts lie in one text, sorted, so that a million of them take some 25 MB and a look-up is a binary search for the host
//! and for each of its parents. Patterns are one automaton over the whole URL.
//!
//! A line that cannot be read makes the whole list unreadable: half a list that looks like a whole one protects nobody.

use std::net::IpAddr;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use regex::{RegexSet, RegexSetBuilder};
use schemas::link::Entry;
use schemas::link::plan::{Beyond, Plan, Target};
use sha2::{Digest as _, Sha256};
use url::{Host, Url};

use super::field::FieldError;

/// Largest list in bytes: ten million hosts.
pub const MAX_BYTES: usize = 256 << 20;

/// Longest line in bytes, comment included.
pub const MAX_LINE_BYTES: usize = 4096;

/// Most patterns: each costs every look-up a little.
pub const MAX_PATTERNS: usize = 10_000;

/// Most networks: each is compared with every destination that is an address.
pub const MAX_NETWORKS: usize = 10_000;

/// Largest automaton of all patterns in bytes.
const MAX_AUTOMATON_BYTES: usize = 64 << 20;

/// A list, ready for look-ups. The default one blocks nothing.
#[derive(Debug, Default)]
pub struct Blocklist {
    /// Hosts blocked themselves.
    hosts: Names,
    /// Hosts blocked with all below them.
    trees: Names,
    networks: Vec<IpNet>,
    patterns: RegexSet,
    fingerprint: String,
}

/// Why a text is no block list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlocklistError {
    /// Longer than [`MAX_BYTES`].
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// A line that is no rule, counted from 1.
    #[error("line {0}: {1}")]
    Line(usize, String),
    /// The patterns together.
    #[error("its patterns make an automaton of more than {MAX_AUTOMATON_BYTES} bytes")]
    Patterns,
}

impl Blocklist {
    /// Reads a list. A line is, after spaces and what follows ` #` are taken away:
    /// - empty, or a comment that begins with `#` or `!`;
    /// - `bad.test`, `203.0.113.7`, `[2001:db8::1]`: this host;
    /// - `*.bad.test`, `.bad.test`, `||bad.test^`: this host and all below it;
    /// - `0.0.0.0 bad.test`, as hosts files have it: this host;
    /// - `203.0.113.0/24`: addresses of this network;
    /// - `/expression/`: URLs that the regular expression finds something in;
    /// - `bad.test/login*`: URLs that, without their scheme, look like this; `*` is any text, upper and lower case are one.
    ///
    /// # Errors
    /// The first line that is no rule, or a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, BlocklistError> {
        if bytes.len() > MAX_BYTES {
            return Err(BlocklistError::TooLong);
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let (mut hosts, mut trees) = (Vec::new(), Vec::new());
        let mut networks = Vec::new();
        let mut patterns: Vec<(usize, String)> = Vec::new();
        for (place, line) in bytes.split(|b| *b == b'\n').enumerate() {
            let fail = |problem: &str| BlocklistError::Line(place + 1, problem.to_owned());
            if line.len() > MAX_LINE_BYTES {
                return Err(fail("is too long"));
            }
            let line = std::str::from_utf8(line).map_err(|_| fail("is not UTF-8"))?;
            match Rule::parse(line).map_err(|problem| fail(&problem))? {
                None => {}
                Some(Rule::Host(host)) => hosts.push(host),
                Some(Rule::Tree(host)) => trees.push(host),
                Some(Rule::Network(net)) => networks.push(net),
                Some(Rule::Pattern(pattern)) => patterns.push((place + 1, pattern)),
            }
            if patterns.len() > MAX_PATTERNS {
                return Err(fail(&format!(
                    "there are more than {MAX_PATTERNS} patterns"
                )));
            }
            if networks.len() > MAX_NETWORKS {
                return Err(fail(&format!(
                    "there are more than {MAX_NETWORKS} networks"
                )));
            }
        }
        Ok(Self {
            hosts: Names::new(hosts),
            trees: Names::new(trees),
            networks,
            patterns: compile(&patterns)?,
            fingerprint: hex::encode(Sha256::digest(bytes)),
        })
    }

    /// Whether it blocks nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.hosts.len() + self.trees.len() + self.networks.len() + self.patterns.len()
    }

    /// The same for the same text; empty for the default list.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The host of this URL, if it is blocked. An `intent:` address is also what it falls back to.
    pub fn blocked(&self, url: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let parsed = Url::parse(url).ok()?;
        let host = parsed.host_str().unwrap_or_default().to_ascii_lowercase();
        let host = host.trim_end_matches('.');
        if self.blocks_host(host) || self.patterns.is_match(parsed.as_str()) {
            return Some(if host.is_empty() {
                parsed.scheme().to_owned()
            } else {
                host.to_owned()
            });
        }
        let fallback = fallback(&parsed)?;
        self.blocked(&fallback)
    }

    /// Checks the URL in `field`.
    ///
    /// # Errors
    /// It is blocked; the host is named.
    pub fn check(&self, field: &str, url: &str) -> Result<(), FieldError> {
        match self.blocked(url) {
            None => Ok(()),
            Some(host) => Err(FieldError::new(
                field,
                format!("must not lead to '{host}', which is on the block list of this server"),
            )),
        }
    }

    /// The host for which visitors must not be led on by this entry, whatever part of it leads there.
    pub fn blocks_entry(&self, entry: &Entry<'_>) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        urls_of(entry).iter().find_map(|url| self.blocked(url))
    }

    fn blocks_host(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let ip = ip.to_canonical();
            return self.hosts.has(&ip.to_string())
                || self.networks.iter().any(|net| net.contains(&ip));
        }
        if self.hosts.has(host) {
            return true;
        }
        let mut rest = host;
        loop {
            if self.trees.has(rest) {
                return true;
            }
            match rest.split_once('.') {
                Some((_, parent)) => rest = parent,
                None => return false,
            }
        }
    }
}

/// Every URL that visitors may be led to by this entry.
pub fn urls_of(entry: &Entry<'_>) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut urls = vec![text(entry.destination), text(entry.expired_url)];
    if !entry.plan.is_empty()
        && let Ok(plan) = Plan::decode(entry.plan)
    {
        let rules = plan.rules.into_iter().map(|rule| rule.target);
        let variants = plan.variants.into_iter().flat_map(|v| v.list);
        let targets = rules
            .chain(variants.map(|variant| variant.target))
            .chain(plan.target);
        for target in targets {
            match target {
                Target::Redirect { url, .. } => urls.push(url),
                Target::Page { destination, .. } => urls.push(destination),
                Target::Body(_) | Target::File(_) | Target::Link(_) | Target::Pick(_) => {}
            }
        }
        if let Some(Beyond::Url(url)) = plan.click_limit.map(|limit| limit.beyond) {
            urls.push(url);
        }
        urls.extend(plan.apple.into_iter().chain(plan.google));
    }
    urls.retain(|url| !url.is_empty());
    urls
}

/// Where Android goes when no app takes an `intent:` address (see `domain::app_link`).
fn fallback(url: &Url) -> Option<String> {
    if url.scheme() != "intent" {
        return None;
    }
    let parts = url.fragment()?.split(';');
    let encoded = parts
        .filter_map(|part| part.strip_prefix("S.browser_fallback_url="))
        .next()?;
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?.into_owned();
    // One that falls back to another one falls back to nothing.
    (!decoded.starts_with("intent:")).then_some(decoded)
}

/// What a line says.
enum Rule {
    Host(Box<str>),
    Tree(Box<str>),
    Network(IpNet),
    Pattern(String),
}

impl Rule {
    fn parse(line: &str) -> Result<Option<Self>, String> {
        let line = match line.find([' ', '\t']) {
            Some(_) => line
                .split_once(" #")
                .or_else(|| line.split_once("\t#"))
                .map_or(line, |(rule, _)| rule),
            None => line,
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            return Ok(None);
        }
        let expression = line
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        if let Some(expression) = expression.filter(|e| !e.is_empty()) {
            return Ok(Some(Self::Pattern(expression.to_owned())));
        }
        if let Some((first, second)) = line.split_once([' ', '\t']) {
            let second = second.trim();
            return match first.parse::<IpAddr>() {
                Ok(_) if !second.contains([' ', '\t']) => Ok(Some(Self::Host(host(second)?))),
                _ => Err(format!("'{}' holds spaces", shown(line))),
            };
        }
        let below = line
            .strip_prefix("||")
            .map(|rest| rest.strip_suffix('^').unwrap_or(rest))
            .or_else(|| line.strip_prefix("*."))
            .or_else(|| line.strip_prefix('.'));
        if let Some(name) = below.filter(|name| !name.contains(['*', '/'])) {
            return Ok(Some(Self::Tree(host(name)?)));
        }
        if let Ok(net) = line.parse::<IpNet>() {
            return Ok(Some(Self::Network(net.trunc())));
        }
        if line.contains(['*', '/']) {
            return glob(line).map(|pattern| Some(Self::Pattern(pattern)));
        }
        Ok(Some(Self::Host(host(line)?)))
    }
}

/// A host in the form that URLs have it in, without a dot at its end and without brackets.
fn host(text: &str) -> Result<Box<str>, String> {
    let bad = || format!("'{}' is no host", shown(text));
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_canonical().to_string().into());
    }
    Ok(match Host::parse(text).map_err(|_| bad())? {
        Host::Ipv4(ip) => ip.to_string().into(),
        Host::Ipv6(ip) => ip.to_canonical().to_string().into(),
        Host::Domain(name) => match name.trim_end_matches('.') {
            "" => return Err(bad()),
            name => name.into(),
        },
    })
}

/// The regular expression of a URL with `*` in it.
fn glob(text: &str) -> Result<String, String> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    if text.bytes().all(|b| b"*/.".contains(&b)) {
        return Err(format!("'{}' is everything", shown(text)));
    }
    let parts: Vec<String> = text.split('*').map(regex::escape).collect();
    Ok(format!("(?i)^[a-z][a-z0-9+.-]*://{}$", parts.join(".*")))
}

fn compile(patterns: &[(usize, String)]) -> Result<RegexSet, BlocklistError> {
    let all = patterns.iter().map(|(_, pattern)| pattern);
    let built = RegexSetBuilder::new(all)
        .size_limit(MAX_AUTOMATON_BYTES)
        .dfa_size_limit(MAX_AUTOMATON_BYTES)
        .build();
    built.map_err(|_| {
        let wrong = patterns
            .iter()
            .find(|(_, pattern)| regex::Regex::new(pattern).is_err());
        match wrong {
            Some((line, pattern)) => BlocklistError::Line(
                *line,
                format!("'{}' is no regular expression", shown(pattern)),
            ),
            None => BlocklistError::Patterns,
        }
    })
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A sorted set of names in one text.
#[derive(Debug, Default)]
struct Names {
    text: String,
    /// Where each one ends.
    ends: Vec<u32>,
}

impl Names {
    fn new(mut names: Vec<Box<str>>) -> Self {
        names.sort_unstable();
        names.dedup();
        let mut text = String::with_capacity(names.iter().map(|name| name.len()).sum());
        let mut ends = Vec::with_capacity(names.len());
        for name in names {
            text.push_str(&name);
            // A host is hardly longer than its line: punycode doubles it at most, so 256 MiB of lines end below 4 GiB.
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Self { text, ends }
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn has(&self, name: &str) -> bool {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.name(middle).cmp(name) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }

    fn name(&self, place: usize) -> &str {
        let end = |place: usize| self.ends.get(place).map_or(0, |end| *end as usize);
        let start = place.checked_sub(1).map_or(0, end);
        self.text.get(start..end(place)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\u{feff}# a comment\n\
        bad.test\r\n\
        *.evil.test   # with all below\n\
        .dotted.test\n\
        ||ads.test^\n\
        ! another comment\n\
        0.0.0.0 hosts.test\n\
        BÜCHER.test\n\
        203.0.113.7\n\
        [2001:db8::1]\n\
        198.51.100.0/24\n\
        2001:db8:1::/48\n\
        glob.test/login*\n\
        *.glob.test/*/wp-admin\n\
        /[?&]session=[0-9a-f]{8}/\n";

    #[track_caller]
    fn check(list: &Blocklist, url: &str, expected: Option<&str>) {
        assert_eq!(list.blocked(url).as_deref(), expected, "{url}");
    }

    #[test]
    fn hosts_trees_networks_and_patterns_are_found() {
        let list = Blocklist::parse(LIST.as_bytes()).expect("legal");
        assert_eq!(list.len(), 13);
        for (url, host) in [
            ("https://bad.test/", "bad.test"),
            ("http://BAD.test.:8443/x?y#z", "bad.test"),
            ("https://b%61d.test/", "bad.test"),
            ("https://evil.test/", "evil.test"),
            ("https://a.b.evil.test/", "a.b.evil.test"),
            ("https://x.dotted.test/", "x.dotted.test"),
            ("https://ads.test/", "ads.test"),
            ("https://hosts.test/", "hosts.test"),
            ("https://bücher.test/", "xn--bcher-kva.test"),
            ("https://xn--bcher-kva.test/", "xn--bcher-kva.test"),
            ("http://203.0.113.7/", "203.0.113.7"),
            ("http://0xcb007107/", "203.0.113.7"),
            ("http://[::ffff:203.0.113.7]/", "[::ffff:cb00:7107]"),
            ("http://[2001:db8:0::1]/", "[2001:db8::1]"),
            ("http://198.51.100.99/", "198.51.100.99"),
            ("http://[2001:db8:1::5]/", "[2001:db8:1::5]"),
            ("https://glob.test/login.php?a", "glob.test"),
            ("https://GLOB.test/LOGIN", "glob.test"),
            ("https://a.glob.test/x/wp-admin", "a.glob.test"),
            ("https://good.test/?a=1&session=0123abcd", "good.test"),
            ("myapp://bad.test/page", "bad.test"),
            (
                "intent://good.test/#Intent;scheme=https;S.browser_fallback_url=https%3A%2F%2Fbad.test%2F;end",
                "bad.test",
            ),
            ("intent://bad.test/x#Intent;scheme=https;end", "bad.test"),
        ] {
            check(&list, url, Some(host));
        }
        for url in [
            "https://good.test/",
            "https://www.bad.test/",
            "https://notevil.test/",
            "https://good.test/bad.test",
            "https://good.test/?u=https://bad.test/",
            "https://glob.test/",
            "https://www.glob.test/login",
            "http://203.0.113.8/",
            "https://test/",
            "no url",
            "intent://good.test/#Intent;S.browser_fallback_url=intent%3A%2F%2Fbad.test;end",
        ] {
            check(&list, url, None);
        }
        assert!(Blocklist::default().blocked("https://bad.test/").is_none());
        let error = list
            .check("rules[0].url", "https://bad.test/")
            .expect_err("listed");
        assert_eq!(
            error.to_string(),
            "rules[0].url must not lead to 'bad.test', which is on the block list of this server"
        );
    }

    #[test]
    fn a_line_that_is_no_rule_is_named() {
        for (text, expected) in [
            ("good.test\nbad host\n", "line 2: 'bad host' holds spaces"),
            ("/(/", "line 1: '(' is no regular expression"),
            ("a..%00", "line 1: 'a..%00' is no host"),
            ("*", "line 1: '*' is everything"),
            ("*/*", "line 1: '*/*' is everything"),
            ("https://*", "line 1: '*' is everything"),
            ("||^", "line 1: '' is no host"),
        ] {
            let error = Blocklist::parse(text.as_bytes()).expect_err(text);
            assert_eq!(error.to_string(), expected);
        }
        assert!(Blocklist::parse(b"\xff\n").is_err());
        assert!(Blocklist::parse("a".repeat(MAX_LINE_BYTES + 1).as_bytes()).is_err());
        let many = "a.test/*\n".repeat(MAX_PATTERNS + 1);
        assert!(Blocklist::parse(many.as_bytes()).is_err());
        let huge = "/((a{1000}){1000}){10}/";
        assert!(Blocklist::parse(huge.as_bytes()).is_err());
    }

    #[test]
    fn a_million_hosts_take_few_megabytes() {
        let mut text = String::new();
        for n in 0..1_000_000_u32 {
            use std::fmt::Write as _;
            let _ = writeln!(text, "host-{}.number-{n}.test", n % 7);
        }
        let list = Blocklist::parse(text.as_bytes()).expect("legal");
        assert_eq!(list.len(), 1_000_000);
        assert!(list.hosts.text.capacity() + list.hosts.ends.capacity() * 4 < 32 << 20);
        check(
            &list,
            "https://host-1.number-1.test/",
            Some("host-1.number-1.test"),
        );
        check(&list, "https://host-2.number-1.test/", None);
    }

    #[test]
    fn every_url_of_an_entry_is_looked_at() {
        use schemas::link::plan::{ClickLimit, Variant, Variants};
        let to = |url: &str| Target::Redirect {
            url: url.to_owned(),
            utm: false,
        };
        let plan = Plan {
            variants: Some(Variants {
                list: vec![Variant {
                    weight: 1,
                    target: to("https://variant.test/"),
                }],
                ends_at_ms: i64::MAX,
                winner: 0,
            }),
            target: Some(Target::Page {
                page: 1,
                destination: "https://page.test/".to_owned(),
                utm: false,
            }),
            click_limit: Some(ClickLimit {
                max: 1,
                beyond: Beyond::Url("https://beyond.test/".to_owned()),
            }),
            apple: Some("https://apple.test/".to_owned()),
            google: Some("myapp://google.test".to_owned()),
            ..Plan::default()
        };
        let plan = plan.encode().expect("legal");
        let entry = Entry {
            domain: 1,
            slug: b"a",
            destination: b"https://main.test/",
            link: 1,
            workspace: 1,
            status: schemas::link::Status::Found,
            disabled: false,
            utm: false,
            starts_at_ms: i64::MIN,
            expires_at_ms: i64::MAX,
            expired_url: b"https://expired.test/",
            plan: &plan,
        };
        for host in [
            "main", "expired", "variant", "page", "beyond", "apple", "google",
        ] {
            let list = Blocklist::parse(format!("{host}.test").as_bytes()).expect("legal");
            assert_eq!(list.blocks_entry(&entry), Some(format!("{host}.test")));
        }
        let list = Blocklist::parse(b"other.test").expect("legal");
        assert_eq!(list.blocks_entry(&entry), None);
    }
}
