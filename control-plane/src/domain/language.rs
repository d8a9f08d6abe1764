//! Language tags, as `Accept-Language` has them.

use super::field::FieldError;
use super::rule::shown;

/// A tag such as `en`, `pt-br` or `zh-hant-tw`, lower case.
///
/// # Errors
/// Not the form of a tag; `field` is named.
pub fn tag(field: &str, text: &str) -> Result<String, FieldError> {
    let lower = text.trim().to_ascii_lowercase().replace('_', "-");
    let mut parts = lower.split('-');
    let primary = parts.next().unwrap_or_default();
    let legal = (2..=3).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_lowercase())
        && lower.len() <= MAX_BYTES
        && parts
            .all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
    if legal {
        return Ok(lower);
    }
    Err(FieldError::new(
        field,
        format!(
            "'{}' must be a language tag such as en, de or pt-BR",
            shown(text)
        ),
    ))
}

/// Longest tag in bytes: RFC 5646 asks for room for 35.
const MAX_BYTES: usize = 35;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_into_one_form() {
        for (text, expected) in [
            ("EN", "en"),
            (" pt_BR ", "pt-br"),
            ("zh-Hant-TW", "zh-hant-tw"),
        ] {
            assert_eq!(tag("language", text).as_deref(), Ok(expected));
        }
        for bad in [
            "",
            "e",
            "english",
            "en-",
            "en--us",
            "é",
            "en-toolongsubtag",
            "*",
            "e1",
        ] {
            assert!(tag("language", bad).is_err(), "{bad}");
        }
    }
}
