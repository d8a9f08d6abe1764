//! From request targets to slugs, one to one.
//!
//! slug = prefix + target, where of the target
//! - letters, digits, `-` and `.` stand for themselves,
//! - `/` stands for itself where a segment follows that is neither empty, `.` nor `..`,
//! - every other byte, `_` among them, is `_` and two upper-case hex digits.
//!
//! Replacing each `_HH` by its byte gives the target back, so two targets never share a slug. Where that would be
//! longer than a slug may be (255 bytes), the slug is prefix + `_x` + SHA-256 of the target in hex; `_x` is no escape,
//! so such a slug is none of the others. `/blog/tags/C?page=2` becomes `<prefix>/blog/tags/C_3Fpage_3D2`, `/` becomes
//! `<prefix>_2F`.
//!
//! All characters are ASCII and need no escaping in a URL's path; the slug is the path as it stands.

use sha2::{Digest, Sha256};

/// Longest slug in bytes, as the product documents it.
const MAX_SLUG_BYTES: usize = 255;
/// Longest prefix in bytes: leaves room for `_x` and a SHA-256 in hex.
pub const MAX_PREFIX_BYTES: usize = MAX_SLUG_BYTES - 66;
/// Where links made by the replay lead. A name that RFC 2606 keeps from existing.
const ORIGIN: &str = "https://origin.example/to";

/// A prefix was given that no slug may begin with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("prefix '{0}' must be 1 to {MAX_PREFIX_BYTES} letters, digits or '-'")]
pub struct PrefixError(String);

/// Checks what all slugs of a run begin with.
///
/// # Errors
/// Anything but 1 to [`MAX_PREFIX_BYTES`] ASCII letters, digits and `-`.
pub fn check_prefix(prefix: &str) -> Result<(), PrefixError> {
    let legal = (1..=MAX_PREFIX_BYTES).contains(&prefix.len())
        && prefix
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
    legal
        .then_some(())
        .ok_or_else(|| PrefixError(prefix.chars().take(80).collect()))
}

/// The slug of a target.
pub fn slug_of(prefix: &str, target: &str) -> String {
    let mut slug = prefix.to_owned();
    escape_into(&mut slug, target);
    if slug.len() > MAX_SLUG_BYTES {
        format!(
            "{prefix}_x{}",
            hex::encode(Sha256::digest(target.as_bytes()))
        )
    } else {
        slug
    }
}

/// Where the link of a target leads: a URL of plain characters that no normalisation changes.
pub fn destination_of(target: &str) -> String {
    let mut url = ORIGIN.to_owned();
    escape_into(&mut url, target);
    url
}

fn escape_into(out: &mut String, target: &str) {
    for (at, byte) in target.bytes().enumerate() {
        let plain = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => true,
            b'/' => {
                let rest = target.get(at + 1..).unwrap_or_default();
                !matches!(rest.split('/').next().unwrap_or_default(), "" | "." | "..")
            }
            _ => false,
        };
        if plain {
            out.push(char::from(byte));
        } else {
            out.push('_');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::traffic::Traffic;

    /// The inverse, written for the test from the documentation above.
    fn target_of(prefix: &str, slug: &str) -> Option<String> {
        let mut rest = slug.strip_prefix(prefix)?;
        let mut out = Vec::new();
        while let Some(first) = rest.chars().next() {
            if first == '_' {
                out.extend(hex::decode(rest.get(1..3)?).ok()?);
                rest = rest.get(3..)?;
            } else {
                out.push(u8::try_from(first).ok()?);
                rest = rest.get(1..)?;
            }
        }
        String::from_utf8(out).ok()
    }

    #[track_caller]
    fn is_legal(slug: &str) {
        assert!((1..=255).contains(&slug.len()), "{slug}");
        assert!(
            slug.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b)),
            "{slug}"
        );
        assert!(
            slug.split('/').all(|s| !matches!(s, "" | "." | "..")),
            "{slug}"
        );
    }

    #[track_caller]
    fn check(target: &str, expected: &str) {
        assert_eq!(slug_of("p", target), expected);
        is_legal(expected);
    }

    #[test]
    fn targets_become_legal_slugs() {
        check("/", "p_2F");
        check("/a", "p/a");
        check("/a/", "p/a_2F");
        check("//a", "p_2F/a");
        check("/./..//a", "p_2F._2F.._2F/a");
        check("*", "p_2A");
        check("/blog/tags/C?page=2", "p/blog/tags/C_3Fpage_3D2");
        check("/a_b%20c", "p/a_5Fb_2520c");
        check("/favicon.ico", "p/favicon.ico");
        check(
            &"/x?".repeat(90),
            &format!(
                "p_x{}",
                hex::encode(Sha256::digest("/x?".repeat(90).as_bytes()))
            ),
        );
    }

    #[test]
    fn every_target_of_the_log_has_a_slug_of_its_own() {
        let traffic = Traffic::embedded().expect("the checked-in log is legal");
        let mut seen = HashMap::new();
        let mut hashed = 0;
        for target in traffic.targets() {
            let slug = slug_of("replay-0", target);
            is_legal(&slug);
            assert_eq!(seen.insert(slug.clone(), target), None, "{slug}");
            match target_of("replay-0", &slug) {
                Some(back) => assert_eq!(&back, target),
                None => hashed += 1,
            }
        }
        assert_eq!((seen.len(), hashed), (1498, 1));
    }

    #[test]
    fn prefixes_are_checked() {
        for bad in ["", "a/b", "a_b", "ä", ".."] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
        assert!(check_prefix(&"a".repeat(MAX_PREFIX_BYTES + 1)).is_err());
        assert!(check_prefix("replay-1a").is_ok());
        is_legal(&slug_of(&"a".repeat(MAX_PREFIX_BYTES), &"?".repeat(300)));
    }

    proptest! {
        #[test]
        fn the_map_is_one_to_one(target in "[!-~]{1,80}", dots in "[/.a_%]{1,40}") {
            for target in [target, dots] {
                let slug = slug_of("p", &target);
                is_legal(&slug);
                if !slug.starts_with("p_x") {
                    prop_assert_eq!(target_of("p", &slug), Some(target));
                }
            }
        }
    }
}
