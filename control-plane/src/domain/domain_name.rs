//! A branded domain as its owner names it, and the proof that it is theirs.
//!
//! International names are kept and shown as punycode, with their letters beside. A name whose letters are meant to be
//! taken for others is refused, by Unicode's security mechanisms (UTS 39): a label that mixes scripts other than Latin
//! with Chinese, Japanese or Korean, one with characters that are in no ordinary word, and one that looks, letter by
//! letter, like a name of ASCII alone (`аррӏе` in Cyrillic). That some honest names fall under the last rule is its price.
//!
//! Ownership is proved by a TXT record at `_signpost.<domain>` that holds `signpost-domain=<token>`.

use schemas::host::Host;
use unicode_security::RestrictionLevel;
use unicode_security::RestrictionLevelDetection as _;
use unicode_security::confusable_detection::skeleton;
use url::Url;

use super::field::FieldError;

/// Longest text that is looked at, in bytes: a host has at most 253, as letters perhaps four times that.
const MAX_TEXT: usize = 2048;

/// Label in front of a domain under which its proof is looked up.
const PROOF_LABEL: &str = "_signpost";

/// What stands before the token in the record.
const PROOF_PREFIX: &str = "signpost-domain=";

/// Longest time between two looks for a proof, in milliseconds.
const MAX_PAUSE_MS: i64 = 6 * 3_600_000;

/// First pause between two looks, in milliseconds; each is twice the one before.
const FIRST_PAUSE_MS: i64 = 60_000;

/// Looks until nobody looks by themselves any more: about five weeks. A look that is asked for is always made.
pub const MAX_LOOKS: i64 = 150;

/// A domain's name and the base of its short URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainName {
    /// Normalised, punycode.
    pub host: String,
    /// Scheme, host and port as given, without a slash at the end.
    pub base_url: String,
}

impl DomainName {
    /// Takes `https://go.example.com`: a scheme, a host, perhaps a port, nothing else.
    ///
    /// # Errors
    /// The rule it breaks; the field is `domain`.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let fail = |problem: &str| Err(FieldError::new("domain", problem));
        let text = text.trim_matches(' ');
        let lower: String = text
            .chars()
            .take(8)
            .collect::<String>()
            .to_ascii_lowercase();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return fail("must include http:// or https://, e.g. https://go.example.com");
        }
        let plain = text.len() <= MAX_TEXT
            && !text.chars().any(|c| c.is_control() || c.is_whitespace())
            && !text.contains(['@', '\\', '%', '?', '#']);
        let Some(url) = plain.then(|| Url::parse(text).ok()).flatten() else {
            return fail("must be a scheme and a host, e.g. https://go.example.com");
        };
        if url.path() != "/" || text.matches('/').count() > 3 {
            return fail("must not hold a path");
        }
        let host = match url.host_str().map(Host::parse) {
            Some(Ok(Host::Name(name))) => name,
            Some(Ok(Host::Default)) => return fail("must be a domain name, not an address"),
            _ => return fail("must hold a legal domain name"),
        };
        if !host.contains('.') {
            return fail("must be a full domain name with a dot in it");
        }
        check_letters(&host)?;
        let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
        Ok(Self {
            base_url: format!("{}://{host}{port}", url.scheme()),
            host,
        })
    }
}

/// The letters of a host in punycode, for people.
pub fn letters(host: &str) -> String {
    idna::domain_to_unicode(host).0
}

/// Where the proof of a domain is looked up, without a dot at the end.
pub fn proof_name(host: &str) -> String {
    format!("{PROOF_LABEL}.{host}")
}

/// What the record must hold.
pub fn proof_value(token: &str) -> String {
    format!("{PROOF_PREFIX}{token}")
}

/// Whether these records hold the proof. Records of anyone else may stand beside it.
pub fn proves(records: &[String], token: &str) -> bool {
    !token.is_empty() && records.iter().any(|r| r.trim() == proof_value(token))
}

/// A new token: 128 random bits in hex.
///
/// # Errors
/// The system has no randomness.
pub fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// Pause after the `failures`th look in a row that found nothing, in milliseconds; `None`: no further look.
pub fn pause_ms(failures: i64) -> Option<i64> {
    let doublings = u32::try_from(failures.clamp(1, 16) - 1).unwrap_or(0);
    (failures < MAX_LOOKS).then(|| (FIRST_PAUSE_MS << doublings).min(MAX_PAUSE_MS))
}

fn check_letters(host: &str) -> Result<(), FieldError> {
    for (ascii, letters) in host.split('.').zip(letters(host).split('.')) {
        if letters.is_ascii() {
            // What punycode could not be read as letters nobody can judge.
            if ascii.starts_with("xn--") {
                return Err(FieldError::new("domain", "must hold a legal domain name"));
            }
            continue;
        }
        if !letters.check_restriction_level(RestrictionLevel::HighlyRestrictive) {
            return Err(FieldError::new(
                "domain",
                format!(
                    "must not mix scripts or hold symbols that can be mistaken: '{letters}' ({ascii})"
                ),
            ));
        }
        if skeleton(letters).all(|c| c.is_ascii()) {
            return Err(FieldError::new(
                "domain",
                format!("must not look like another name: '{letters}' is {ascii}"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<(&str, &str), &str>) {
        match (DomainName::parse(input), expected) {
            (Ok(name), Ok((host, base))) => {
                assert_eq!((name.host.as_str(), name.base_url.as_str()), (host, base));
            }
            (Err(error), Err(part)) => {
                assert_eq!(error.field, "domain");
                assert!(error.problem.contains(part), "{error}");
            }
            (got, _) => panic!("{input:?}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn domains_come_into_one_form() {
        check(
            "https://go.acme.test",
            Ok(("go.acme.test", "https://go.acme.test")),
        );
        check(
            " HTTP://Go.ACME.test/ ",
            Ok(("go.acme.test", "http://go.acme.test")),
        );
        check(
            "https://go.acme.test:8443",
            Ok(("go.acme.test", "https://go.acme.test:8443")),
        );
        check(
            "https://go.acme.test:443",
            Ok(("go.acme.test", "https://go.acme.test")),
        );
        check(
            "https://go.acme.test.",
            Ok(("go.acme.test", "https://go.acme.test")),
        );
        check(
            "https://bücher.test",
            Ok(("xn--bcher-kva.test", "https://xn--bcher-kva.test")),
        );
        check(
            "https://例え.test",
            Ok(("xn--r8jz45g.test", "https://xn--r8jz45g.test")),
        );
        check(
            "https://пример.test",
            Ok(("xn--e1afmkfd.test", "https://xn--e1afmkfd.test")),
        );
        assert_eq!(letters("xn--bcher-kva.test"), "bücher.test");
    }

    #[test]
    fn what_is_no_bare_domain_is_refused() {
        for bad in [
            "",
            "go.acme.test",
            "ftp://go.acme.test",
            "//go.acme.test",
            "https:go.acme.test",
            "javascript:x",
        ] {
            check(bad, Err("http:// or https://"));
        }
        for bad in [
            "https://",
            "https://u:p@go.acme.test",
            "https://go.acme.test?x",
            "https://go.acme.test#x",
            "https://go.acme.test:99999",
            "https://go acme.test",
            "https://go.acme.test\\x",
            "https://g%6f.acme.test",
            "https://a\0.test",
            "https://a\n.test",
        ] {
            check(bad, Err("must be a scheme and a host"));
        }
        check("https://go.acme.test/x", Err("path"));
        check("https://go.acme.test//", Err("path"));
        for bad in [
            "https://127.0.0.1",
            "https://[::1]",
            "https://localhost",
            "https://0x7f.1",
        ] {
            check(bad, Err("not an address"));
        }
        check("https://intranet", Err("full domain name"));
        check(
            &format!("https://{}.test", "a".repeat(64)),
            Err("legal domain name"),
        );
        check("https://a..test", Err("legal domain name"));
        check("https://-a.test", Err("legal domain name"));
        check("https://a_b.test", Err("legal domain name"));
        check(&format!("https://{}", "a.".repeat(5000)), Err(""));
    }

    #[test]
    fn look_alikes_are_refused() {
        // Latin with a Cyrillic а; all Cyrillic; Latin with Greek ο; fullwidth forms are plain letters after all.
        check("https://p\u{430}ypal.test", Err("mix scripts"));
        check(
            "https://\u{430}\u{440}\u{440}\u{4cf}\u{435}.test",
            Err("look like"),
        );
        check("https://xn--80ak6aa92e.test", Err("look like"));
        check("https://g\u{3bf}\u{3bf}gle.test", Err("mix scripts"));
        check("https://ｇｏ.test", Ok(("go.test", "https://go.test")));
        check("https://☃.test", Err(""));
        check("https://xn--n3h.test", Err(""));
        check("https://xn--zzzzzzz99.test", Err(""));
    }

    #[test]
    fn pauses_double_up_to_six_hours_and_end() {
        assert_eq!(pause_ms(1), Some(60_000));
        assert_eq!(pause_ms(2), Some(120_000));
        assert_eq!(pause_ms(9), Some(15_360_000));
        assert_eq!(pause_ms(10), Some(MAX_PAUSE_MS));
        assert_eq!(pause_ms(MAX_LOOKS - 1), Some(MAX_PAUSE_MS));
        assert_eq!(pause_ms(MAX_LOOKS), None);
        assert_eq!(pause_ms(i64::MAX), None);
        assert_eq!(pause_ms(i64::MIN), Some(60_000));
    }

    #[test]
    fn only_the_whole_value_proves() {
        let token = new_token().expect("random");
        assert_eq!(token.len(), 32);
        let value = proof_value(&token);
        let proves = |record: &str| proves(&["v=spf1 -all".to_owned(), record.to_owned()], &token);
        assert!(proves(&value) && proves(&format!(" {value} ")));
        assert!(
            !proves(&token)
                && !proves("")
                && !proves(&format!("{value}0"))
                && !proves("signpost-domain=")
        );
        assert!(!super::proves(&["signpost-domain=".to_owned()], ""));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_may_stand_in_a_url(text in "\\PC{0,30}") {
            if let Ok(name) = DomainName::parse(&format!("https://{text}.test")) {
                prop_assert!(name.base_url.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(Host::parse(&name.host), Ok(Host::Name(name.host.clone())));
                prop_assert!(Url::parse(&name.base_url).is_ok());
            }
        }
    }
}
