//! Slugs that owners choose and slugs we draw.
//!
//! An owner may choose any legal [`Slug`] that is not reserved: letters, marks and digits of any script and `- _ . /`,
//! up to 255 bytes. OpenMyLink narrows that no further: its samples show only letters and hyphens, but its users move
//! in with aliases of all kinds, and a link that was printed must keep its path. What is refused beside: letters and marks
//! that are not seen, by which one alias looks like another. Nobody can have printed those.

use schemas::slug::Slug;

use super::field::FieldError;

/// Characters of drawn slugs: none that is taken for another (`0 O`, `1 l I`).
const ALPHABET: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Length of a drawn slug: 57^7 ≈ 2·10^12 of them, so that guessing finds nothing and a collision is rare even among
/// hundreds of millions.
pub const LENGTH: usize = 7;

/// Characters of drawn slugs where a dialect promises small ones.
const SMALL: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";

/// How much longer slugs of small letters are: 32^9 are more than 57^7.
const SMALL_LONGER: usize = 2;

/// Which letters a drawn slug has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Letters {
    /// Upper and lower case, so that case is seen to matter.
    #[default]
    Both,
    /// Lower case.
    Small,
}

/// A slug an owner chose for `field`. Space around it is cut off.
///
/// # Errors
/// Not legal, or one of our own paths.
pub fn custom(field: &str, text: &str) -> Result<Slug, FieldError> {
    let slug = Slug::parse(text.trim()).map_err(|e| FieldError::new(field, e.to_string()))?;
    if slug.as_str().chars().any(is_unseen) {
        return Err(FieldError::new(
            field,
            "must not hold characters that are not seen",
        ));
    }
    if slug.is_reserved() {
        return Err(FieldError::new(
            field,
            format!(
                "'{slug}' is reserved: it must not begin with qr/, r/, u/, dashboard/ or .well-known/ nor be robots.txt or favicon.ico"
            ),
        ));
    }
    Ok(slug)
}

/// Letters and marks that are drawn as nothing (Unicode's Default_Ignorable_Code_Point): joiners, fillers, selectors of a
/// variant. What is neither letter nor mark is in no slug anyway.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

/// A random slug of `length` characters with upper and lower case in it, or of some more small ones.
///
/// # Errors
/// The system has no randomness.
pub fn random(letters: Letters, length: usize) -> Result<Slug, getrandom::Error> {
    loop {
        let text = match letters {
            Letters::Both => draw(ALPHABET, length)?,
            Letters::Small => draw(SMALL, length + SMALL_LONGER)?,
        };
        let mixed = letters == Letters::Small
            || text.bytes().any(|b| b.is_ascii_lowercase())
                && text.bytes().any(|b| b.is_ascii_uppercase());
        if let (true, Ok(slug)) = (mixed, Slug::parse(&text)) {
            return Ok(slug);
        }
    }
}

fn draw(alphabet: &[u8], length: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 32];
    while text.len() < length {
        getrandom::fill(&mut bytes)?;
        for byte in bytes {
            // Bytes beyond the last whole multiple are dropped: each character is equally likely.
            if text.len() < length
                && usize::from(byte) < 256 - 256 % alphabet.len()
                && let Some(c) = alphabet.get(usize::from(byte) % alphabet.len())
            {
                text.push(char::from(*c));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_slugs_are_mixed_case_unambiguous_and_differ() {
        let slugs: std::collections::BTreeSet<_> = (0..500)
            .map(|_| random(Letters::Both, LENGTH).expect("random"))
            .collect();
        assert_eq!(slugs.len(), 500);
        for slug in slugs {
            let text = slug.as_str();
            assert_eq!(text.len(), LENGTH);
            assert!(!text.contains(['0', 'O', '1', 'l', 'I']), "{text}");
            assert_ne!(text, text.to_lowercase());
            assert_ne!(text, text.to_uppercase());
        }
    }

    #[test]
    fn reserved_and_illegal_slugs_are_refused_by_name() {
        assert_eq!(
            custom("custom", " spring-sale ").expect("legal").as_str(),
            "spring-sale"
        );
        for bad in [
            "",
            " ",
            "qr/x",
            "r/x",
            "u/me",
            "robots.txt",
            "a b",
            "a//b",
            "a\0",
            "../x",
            "/x",
        ] {
            let error = custom("custom", bad).expect_err(bad);
            assert!(error.to_string().starts_with("custom "), "{error}");
        }
    }
}
