//! Labels as they are compared: a version behind a known label is dropped, what is not known is `Other`.
//!
//! The lists are those of `data/README.md`. So a product may say `Windows 7` or `SeaMonkey` where the table says
//! `Windows` or `Other`, but never `Safari` where it says `Android Browser`.

/// What is neither in a list nor told at all.
pub const OTHER: &str = "Other";

const BROWSERS: [&str; 8] = [
    "Chrome",
    "Firefox",
    "Safari",
    "Internet Explorer",
    "Edge",
    "Opera",
    "Android Browser",
    "Samsung Internet",
];
const SYSTEMS: [&str; 6] = ["Windows", "macOS", "Linux", "Android", "iOS", "Chrome OS"];
/// Releases of Windows that are not a number.
const RELEASES: [&str; 5] = ["XP", "Vista", "RT", "NT", "ME"];
/// How a visit without a referrer is called.
const DIRECT: [&str; 3] = ["Direct, email and other", "Direct", "direct"];
const DEVICES: [&str; 4] = ["desktop", "mobile", "tablet", "bot"];

/// A browser's label without its version.
pub fn browser(label: &str) -> &str {
    known(label, &BROWSERS)
}

/// An operating system's family.
pub fn os(label: &str) -> &str {
    known(label, &SYSTEMS)
}

/// A device class; `other` stands for everything that is not one.
pub fn device(label: &str) -> &str {
    if DEVICES.contains(&label) {
        label
    } else {
        "other"
    }
}

/// A referrer's host; the empty text for a visit without one.
pub fn referrer(label: &str) -> &str {
    if DIRECT.contains(&label) { "" } else { label }
}

/// The host that a referrer names: lower case, without user and port. Empty when it names none.
///
/// `None` when that is no host at all (bytes outside visible ASCII): what to call such a one is the product's choice.
pub fn referrer_host(referrer: Option<&[u8]>) -> Option<String> {
    let Some(referrer) = referrer else {
        return Some(String::new());
    };
    let text = std::str::from_utf8(referrer).ok()?;
    let Some((scheme, rest)) = text.split_once("://") else {
        return Some(String::new());
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = if host.starts_with('[') {
        host.split_inclusive(']').next().unwrap_or_default()
    } else {
        host.split(':').next().unwrap_or_default()
    };
    host.bytes()
        .all(|b| b.is_ascii_graphic())
        .then(|| host.to_ascii_lowercase())
}

fn known<'a>(label: &'a str, list: &[&'static str]) -> &'a str {
    for known in list {
        let Some(rest) = label.strip_prefix(known) else {
            continue;
        };
        let version = rest.strip_prefix(' ').unwrap_or_default();
        if rest.is_empty()
            || version.starts_with(|c: char| c.is_ascii_digit())
            || RELEASES.contains(&version)
        {
            return label.get(..known.len()).unwrap_or(OTHER);
        }
    }
    OTHER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_dropped_and_unknown_labels_are_other() {
        for (label, expected) in [
            ("Windows 8.1", "Windows"),
            ("Windows XP", "Windows"),
            ("Windows Phone", OTHER),
            ("Windows", "Windows"),
            ("FreeBSD", OTHER),
            ("", OTHER),
            ("Chrome OS 32", "Chrome OS"),
            ("Mac OS X", OTHER),
        ] {
            assert_eq!(os(label), expected, "{label}");
        }
        for (label, expected) in [
            ("Chrome 32", "Chrome"),
            ("Chrome Mobile", OTHER),
            ("SeaMonkey", OTHER),
            ("Internet Explorer", "Internet Explorer"),
        ] {
            assert_eq!(browser(label), expected, "{label}");
        }
    }

    #[test]
    fn referrers_have_hosts() {
        for (text, expected) in [
            ("http://WWW.Example.com:8080/a?b", "www.example.com"),
            ("https://u:p@x.test", "x.test"),
            ("http://[::1]:80/", "[::1]"),
            ("http://x.test?q=http://y.test/", "x.test"),
            ("http:///path", ""),
            ("nonsense", ""),
        ] {
            assert_eq!(
                referrer_host(Some(text.as_bytes())),
                Some(expected.to_owned()),
                "{text}"
            );
        }
        assert_eq!(referrer_host(None), Some(String::new()));
        assert_eq!(referrer_host(Some(b"http://\xe4/")), None);
        assert_eq!(referrer_host(Some("http://ä/".as_bytes())), None);
    }
}
