//! What texts in blocks must be: functions from a text to its one form, or to what is allowed.

use super::MAX_PICTURE_URL;
use crate::domain::date::When;
use crate::domain::destination::Destination;
use crate::domain::field::{self, FieldError};

/// Longest address of a mailbox, in bytes: RFC 5321.
pub(super) const MAX_EMAIL: usize = 254;

/// As [`FieldError`] without its name.
fn problem(error: FieldError) -> String {
    error.problem
}

/// Text of a person without markup.
///
/// # Errors
/// What is allowed.
pub fn plain(text: &str, max: usize, may_break: bool) -> Result<String, String> {
    let text = if may_break {
        field::text("", text, max)
    } else {
        field::line("", text, max)
    }
    .map_err(problem)?;
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if has_tag(&text) {
        return Err("must be plain text: what looks like an HTML tag is not taken".to_owned());
    }
    if text.chars().any(turns_direction) {
        return Err("must not hold characters that change the direction of text".to_owned());
    }
    Ok(text)
}

/// Whether `<` begins a tag, a comment or a declaration somewhere.
fn has_tag(text: &str) -> bool {
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'<'
            && bytes
                .peek()
                .is_some_and(|next| next.is_ascii_alphabetic() || b"/!?".contains(next))
        {
            return true;
        }
    }
    false
}

/// Embeddings, overrides and isolates. The marks U+200E and U+200F, which people do type, are none of them.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn web(text: &str) -> Result<String, String> {
    let url = Destination::parse("", text).map_err(problem)?;
    Ok(url.as_str().to_owned())
}

pub(super) fn picture(text: &str) -> Result<String, String> {
    let url = web(text)?;
    if url.len() > MAX_PICTURE_URL {
        return Err(format!("must be at most {MAX_PICTURE_URL} bytes long"));
    }
    Ok(url)
}

pub(super) fn email(text: &str) -> Result<String, String> {
    let text = field::line("", text, MAX_EMAIL).map_err(problem)?;
    let fits = text.len() <= MAX_EMAIL
        && text
            .chars()
            .all(|c| !c.is_whitespace() && !"<>,;:\"()[]\\".contains(c) && !turns_direction(c))
        && text.rsplit_once('@').is_some_and(|(user, host)| {
            !user.is_empty()
                && !user.contains('@')
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
        });
    if fits {
        Ok(text)
    } else {
        Err("must be an e-mail address".to_owned())
    }
}

pub(super) fn phone(text: &str) -> Result<String, String> {
    let text = text.trim();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let fits = text.len() <= 32
        && (3..=20).contains(&digits)
        && text.chars().enumerate().all(|(place, c)| {
            c.is_ascii_digit() || " -.()/".contains(c) || (c == '+' && place == 0)
        });
    if fits {
        Ok(text.to_owned())
    } else {
        Err("must be a telephone number, e.g. +49 30 1234567".to_owned())
    }
}

pub(super) fn handle(text: &str) -> Result<String, String> {
    let text = text.trim();
    let name = text.strip_prefix('@').unwrap_or(text);
    let fits = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if fits {
        Ok(name.to_owned())
    } else {
        Err(
            "must be a user name: 1 to 64 letters, digits, dots, hyphens and underscores"
                .to_owned(),
        )
    }
}

pub(super) fn moment(text: &str) -> Result<String, String> {
    let text = text.trim();
    When::parse("", text).map_err(problem)?;
    Ok(text.to_owned())
}

pub(super) fn hour(text: &str) -> Result<String, String> {
    let text = text.trim();
    let part = |part: &str, max: u8| {
        let two = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        two && part.parse::<u8>().is_ok_and(|n| n <= max)
    };
    match text.split_once(':') {
        Some((hours, minutes)) if part(hours, 24) && part(minutes, 59) && text <= "24:00" => {
            Ok(text.to_owned())
        }
        _ => Err("must be a time of day as HH:MM".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_24_00_and_not_a_minute_later() {
        for good in ["00:00", "09:30", "23:59", "24:00"] {
            assert_eq!(hour(good).as_deref(), Ok(good));
        }
        for bad in [
            "24:01", "24:59", "25:00", "9:30", "09:60", "0930", "", "+9:30",
        ] {
            assert!(hour(bad).is_err(), "{bad}");
        }
    }
}
