//! Slugs: the path of a short link, legal because it exists.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Longest slug in bytes, decoded.
pub const MAX_SLUG_BYTES: usize = 255;

/// Paths of ours that no slug may take. One that ends in `/` reserves everything below it.
pub const RESERVED: [&str; 7] = [
    "qr/",
    "r/",
    "u/",
    "dashboard/",
    ".well-known/",
    "robots.txt",
    "favicon.ico",
];

/// What must be escaped when a slug is written into a URL's path: all but unreserved characters and `/`.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// A legal slug: NFC; letters, marks and digits of any script, `-`, `_`, `.` and `/`; 1 to 255 bytes; no empty, `.` or
/// `..` segment; no leading or trailing `/`. Case matters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

/// Why a text is not a slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlugError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// More than [`MAX_SLUG_BYTES`].
    #[error("must be at most {MAX_SLUG_BYTES} bytes long")]
    TooLong,
    /// A character outside the allowed ones.
    #[error("may hold letters and digits of any script and - _ . / only, not {0:?}")]
    Character(char),
    /// `a//b`, `/a`, `a/`, `./a`, `a/..`.
    #[error("must not hold an empty, '.' or '..' segment")]
    Segment,
    /// Percent escapes that are not UTF-8.
    #[error("is not UTF-8")]
    Encoding,
}

impl Slug {
    /// Takes a slug as an owner writes it (not percent-encoded) and brings it into NFC.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        if text.is_empty() {
            return Err(SlugError::Empty);
        }
        // NFC can grow a text at most threefold; what is longer than that is too long in any form.
        if text.len() > 3 * MAX_SLUG_BYTES {
            return Err(SlugError::TooLong);
        }
        let text: Cow<'_, str> = if is_nfc(text) {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(text.nfc().collect())
        };
        if text.len() > MAX_SLUG_BYTES {
            return Err(SlugError::TooLong);
        }
        if let Some(bad) = text.chars().find(|c| !is_allowed(*c)) {
            return Err(SlugError::Character(bad));
        }
        if text.split('/').any(|s| matches!(s, "" | "." | "..")) {
            return Err(SlugError::Segment);
        }
        Ok(Self(text.into_owned()))
    }

    /// The slug as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names or lies below one of our own paths.
    pub fn is_reserved(&self) -> bool {
        RESERVED.iter().any(|r| match r.strip_suffix('/') {
            Some(folder) => self.0 == folder || self.0.starts_with(r),
            None => self.0 == *r,
        })
    }

    /// The slug as it stands in a URL's path, without the leading `/`. Letters of other scripts are percent-encoded.
    pub fn to_path(&self) -> String {
        utf8_percent_encode(&self.0, ESCAPED).to_string()
    }
}

impl std::fmt::Display for Slug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Turns the path of a request (without the leading `/` and without the query) into the bytes to look up.
///
/// Plain ASCII paths, nearly all of them, are borrowed. Escapes are decoded and the result brought into NFC, so every
/// spelling of a slug finds it. The result is not checked for legality: what is not legal is in no table.
///
/// # Errors
/// Escapes that do not decode to UTF-8, or a path no slug can match because of its length.
pub fn lookup_key(path: &str) -> Result<Cow<'_, str>, SlugError> {
    // Each byte of a slug may stand as `%XX`; NFC shrinks what it does not keep.
    if path.len() > 9 * MAX_SLUG_BYTES {
        return Err(SlugError::TooLong);
    }
    if path.bytes().all(|b| b.is_ascii() && b != b'%') {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| SlugError::Encoding)?;
    if is_nfc(&decoded) {
        return Ok(decoded);
    }
    Ok(Cow::Owned(decoded.nfc().collect()))
}

fn is_allowed(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    }
    // Zero-width joiners and bidi controls are category Format, so they fall out here; U+034F and the Hangul fillers
    // are marks and letters that show nothing.
    !matches!(c, '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
        && matches!(
            c.general_category_group(),
            GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark
        )
        || matches!(
            c.general_category(),
            unicode_properties::GeneralCategory::DecimalNumber
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<&str, SlugError>) {
        assert_eq!(
            Slug::parse(input)
                .as_ref()
                .map(Slug::as_str)
                .map_err(|e| *e),
            expected,
            "{input:?}"
        );
    }

    #[test]
    fn slugs_of_any_script_are_legal() {
        for ok in [
            "a",
            "spring-sale",
            "A_b.c",
            "docs/v1/intro",
            "пример",
            "例え/テスト",
            "مرحبا",
            "naïve",
            "हिन्दी",
            "٣٤",
            ".env",
            "a..b",
        ] {
            check(ok, Ok(ok));
        }
        check("nai\u{308}ve", Ok("naïve"));
    }

    #[test]
    fn hostile_slugs_are_refused() {
        check("", Err(SlugError::Empty));
        check(&"a".repeat(256), Err(SlugError::TooLong));
        check(&"a".repeat(100_000), Err(SlugError::TooLong));
        for (bad, c) in [
            ("a b", ' '),
            ("a?b", '?'),
            ("a#b", '#'),
            ("a%41", '%'),
            ("a\0", '\0'),
            ("a\u{202e}b", '\u{202e}'),
            ("a\u{200b}b", '\u{200b}'),
            ("a\u{200d}b", '\u{200d}'),
            ("a\\b", '\\'),
            ("a\u{fe0f}", '\u{fe0f}'),
            ("🙂", '🙂'),
        ] {
            check(bad, Err(SlugError::Character(c)));
        }
        for bad in ["/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/."] {
            check(bad, Err(SlugError::Segment));
        }
    }

    #[test]
    fn our_own_paths_are_reserved() {
        for r in [
            "qr/x",
            "qr",
            "r/x",
            "u/a/b",
            "dashboard/x",
            ".well-known/x",
            "robots.txt",
            "favicon.ico",
        ] {
            assert!(Slug::parse(r).expect("legal").is_reserved(), "{r}");
        }
        for free in ["qrs", "QR/x", "robots.txt/x", "ru", "user"] {
            assert!(!Slug::parse(free).expect("legal").is_reserved(), "{free}");
        }
    }

    #[test]
    fn every_spelling_of_a_path_finds_its_slug() {
        assert!(matches!(lookup_key("abc"), Ok(Cow::Borrowed("abc"))));
        for spelling in ["%D0%BF/a", "%d0%bf/%61", "п/a", "%D0%BF%2Fa"] {
            assert_eq!(lookup_key(spelling).expect("UTF-8"), "п/a", "{spelling}");
        }
        assert_eq!(lookup_key("nai%CC%88ve").expect("UTF-8"), "naïve");
        assert_eq!(lookup_key("%ff"), Err(SlugError::Encoding));
        assert_eq!(lookup_key("%zz").expect("left as it is"), "%zz");
        assert_eq!(lookup_key(&"%41".repeat(1000)), Err(SlugError::TooLong));
    }

    proptest! {
        #[test]
        fn a_legal_slug_is_found_by_its_path(text in "\\PC{1,80}") {
            if let Ok(slug) = Slug::parse(&text) {
                prop_assert!(slug.as_str().len() <= MAX_SLUG_BYTES);
                let path = slug.to_path();
                prop_assert_eq!(lookup_key(&path).expect("own path"), slug.as_str());
                prop_assert_eq!(Slug::parse(slug.as_str()).expect("stable"), slug);
            }
        }
    }
}
