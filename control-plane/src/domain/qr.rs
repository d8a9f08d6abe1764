//! QR codes: what kinds there are, what each holds, and how it looks.
//!
//! A code of kind `link` or `dynamic` is **tracked**: its image holds the code's own address `<host>/qr/<slug>`, which
//! leads on to a destination that can change after printing, and each visit there is a scan. In all others the image
//! holds the content itself, fixed; nobody can count their scans, and their address answers the image.
//!
//! A code of a URL that is the short URL of a link it was **made for** holds that URL with a mark, `?qr=<id>`, the id being
//! the digits of its own address: proxies count a visit with it for the link and, as a scan, for the code. Its own address
//! leads to the link. A mark is believed as long as the code is there; the image is as good as the short URL in it.

use schemas::slug::Slug;

use super::destination::Destination;
use super::field::FieldError;

pub mod content;
pub mod entry;
pub mod look;
pub mod style;
mod vcard;

/// Longest name, in characters.
pub const MAX_NAME: usize = 255;

/// Hex digits of a drawn slug: 4·10^9 of them. Fewer digits make a coarser image, which is read from further away.
const SLUG_DIGITS: usize = 8;

/// Bytes of the token in the address of an image: 2^128 cannot be guessed.
const TOKEN_BYTES: usize = 16;

/// What a code holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A card of a person.
    Vcard,
    /// A URL, tracked.
    Link,
    /// A mail to be written.
    Email,
    /// A number to be called.
    Phone,
    /// A short message to be sent.
    Sms,
    /// A network to be joined.
    Wifi,
    /// A URL, tracked; as [`Self::Link`] in the other form of the API.
    Dynamic,
    /// A URL, fixed in the image.
    Static,
}

impl Kind {
    /// All of them with their names.
    pub const ALL: [(&'static str, Self); 9] = [
        ("text", Self::Text),
        ("vcard", Self::Vcard),
        ("link", Self::Link),
        ("email", Self::Email),
        ("phone", Self::Phone),
        ("sms", Self::Sms),
        ("wifi", Self::Wifi),
        ("dynamic", Self::Dynamic),
        ("static", Self::Static),
    ];

    /// The kind of this name.
    ///
    /// # Errors
    /// No such kind; all are listed.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, kind)| *kind).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            FieldError::new(field, format!("must be one of {names}"))
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether the image holds the code's own address.
    pub fn is_tracked(self) -> bool {
        matches!(self, Self::Link | Self::Dynamic)
    }

    /// Whether its content is a `url` field, and not `data` of some form.
    pub fn is_by_url(self) -> bool {
        matches!(self, Self::Dynamic | Self::Static)
    }
}

/// What a code leads to or holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The destination of a tracked code.
    Tracked(Destination),
    /// The text in the image.
    Fixed(String),
    /// A short URL, which is in the image with the code's mark.
    Marked(Marked),
}

/// The short URL of the link that a code was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// As its owner gave it.
    pub url: String,
    /// Id of the link's domain, as entries hold it.
    pub domain: u32,
    /// The link's path there.
    pub slug: Slug,
}

/// A short URL with the mark of the code at this address, `qr/…`.
pub fn with_mark(url: &str, address: &Slug) -> String {
    format!("{url}{}", mark(address))
}

/// The URL before the mark of the code at this address; `None`: there is no such mark.
pub fn without_mark<'t>(text: &'t str, address: &Slug) -> Option<&'t str> {
    text.strip_suffix(&mark(address))
}

fn mark(address: &Slug) -> String {
    let id = address.as_str();
    format!("?qr={}", id.strip_prefix("qr/").unwrap_or(id))
}

/// A random slug for the `draw`th try, counted from 0: longer after some misses.
///
/// # Errors
/// The system has no randomness.
pub fn drawn_slug(draw: usize) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let digits = hex::encode(bytes);
    let length = (SLUG_DIGITS + draw / 3).min(digits.len());
    Ok(format!("qr/{}", digits.get(..length).unwrap_or(&digits)))
}

/// A random token for the address of an image.
///
/// # Errors
/// The system has no randomness.
pub fn token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use schemas::slug::Slug;

    use super::*;

    #[test]
    fn kinds_are_read_by_name_and_unknown_ones_hear_which_there_are() {
        for (name, kind) in Kind::ALL {
            assert_eq!(Kind::parse("type", name), Ok(kind));
            assert_eq!(kind.name(), name);
        }
        for bad in ["fax", "", "TEXT", "text "] {
            let error = Kind::parse("type", bad).expect_err(bad).to_string();
            assert_eq!(
                error,
                "type must be one of text, vcard, link, email, phone, sms, wifi, dynamic, static"
            );
        }
    }

    #[test]
    fn drawn_slugs_are_lower_case_hex_below_qr_and_grow() {
        for (draw, digits) in [(0, 8), (2, 8), (3, 9), (9, 11), (1000, 32)] {
            let slug = drawn_slug(draw).expect("random");
            let hex = slug.strip_prefix("qr/").expect("below qr/");
            assert_eq!(hex.len(), digits);
            assert!(
                hex.bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
                "{slug}"
            );
            assert!(Slug::parse(&slug).expect("legal").is_reserved());
        }
        assert_ne!(token().expect("random"), token().expect("random"));
    }

    #[test]
    fn a_mark_names_the_codes_own_address() {
        let address = Slug::parse("qr/0123abcd").expect("legal");
        let marked = with_mark("https://go.test/a", &address);
        assert_eq!(marked, "https://go.test/a?qr=0123abcd");
        assert_eq!(without_mark(&marked, &address), Some("https://go.test/a"));
        assert_eq!(without_mark("https://go.test/a", &address), None);
        let other = Slug::parse("qr/0123abce").expect("legal");
        assert_eq!(without_mark(&marked, &other), None);
    }
}
