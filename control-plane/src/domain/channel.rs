//! A channel: a name under which an owner puts links, bio pages and QR codes together.

use super::field::{self, FieldError};

/// Longest name of a channel, folder, tag or campaign, in characters.
pub const MAX_NAME: usize = 100;

/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 1000;

/// Colour where none is given.
pub const DEFAULT_COLOR: &str = "#000000";

/// What an owner sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its name.
    pub name: String,
    /// For lists.
    pub description: String,
    /// `#RRGGBB`, upper case.
    pub color: String,
    /// Marked by its owner.
    pub is_starred: bool,
}

/// A change; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// See [`Content`].
    pub name: Option<String>,
    /// See [`Content`].
    pub description: Option<String>,
    /// See [`Content`].
    pub color: Option<String>,
    /// See [`Content`].
    pub is_starred: Option<bool>,
}

/// What can be in a channel. Numbers are in the database, words in paths and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A link.
    Link,
    /// A bio page.
    Bio,
    /// A QR code.
    Qr,
}

impl ItemKind {
    /// The kind of this word.
    ///
    /// # Errors
    /// Another word; the three are listed.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        match text {
            "links" => Ok(Self::Link),
            "bio" => Ok(Self::Bio),
            "qr" => Ok(Self::Qr),
            other => {
                let shown: String = other.chars().take(40).collect();
                Err(FieldError::new(
                    "type",
                    format!("must be links, bio or qr, not '{shown}'"),
                ))
            }
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Link => "links",
            Self::Bio => "bio",
            Self::Qr => "qr",
        }
    }

    /// One of it, for messages.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Bio => "bio page",
            Self::Qr => "QR code",
        }
    }

    /// Its number in the database.
    pub fn number(self) -> i64 {
        match self {
            Self::Link => 0,
            Self::Bio => 1,
            Self::Qr => 2,
        }
    }

    /// The kind of this number.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Link, Self::Bio, Self::Qr]
            .into_iter()
            .find(|kind| kind.number() == number)
    }
}

/// Takes a name: one line, not empty.
///
/// # Errors
/// A rule it breaks.
pub fn name(field: &str, text: &str) -> Result<String, FieldError> {
    let name = field::line(field, text, MAX_NAME)?;
    if name.is_empty() {
        return Err(FieldError::new(field, "must not be empty"));
    }
    Ok(name)
}

/// Takes a colour in HEX: `#RGB` or `#RRGGBB`, the `#` may be missing. It comes out as `#RRGGBB`.
///
/// # Errors
/// Anything else.
pub fn color(field: &str, text: &str) -> Result<String, FieldError> {
    let text = text.trim();
    let digits = text.strip_prefix('#').unwrap_or(text);
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    match (hex, digits.len()) {
        (true, 6) => Ok(format!("#{}", digits.to_ascii_uppercase())),
        (true, 3) => {
            let doubled: String = digits.chars().flat_map(|c| [c, c]).collect();
            Ok(format!("#{}", doubled.to_ascii_uppercase()))
        }
        _ => Err(FieldError::new(
            field,
            "must be a colour in HEX, e.g. #FF8000",
        )),
    }
}

impl Edit {
    /// Checks every field that is set.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub fn checked(self) -> Result<Self, FieldError> {
        Ok(Self {
            name: self.name.map(|text| name("name", &text)).transpose()?,
            description: self
                .description
                .map(|text| field::text("description", &text, MAX_DESCRIPTION))
                .transpose()?,
            color: self.color.map(|text| color("color", &text)).transpose()?,
            is_starred: self.is_starred,
        })
    }

    /// A new channel of it, already [`checked`](Self::checked).
    ///
    /// # Errors
    /// Without a name.
    pub fn into_new(self) -> Result<Content, FieldError> {
        Ok(Content {
            name: self
                .name
                .ok_or_else(|| FieldError::new("name", "is required"))?,
            description: self.description.unwrap_or_default(),
            color: self.color.unwrap_or_else(|| DEFAULT_COLOR.to_owned()),
            is_starred: self.is_starred.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Option<&str>) {
        assert_eq!(color("color", input).ok().as_deref(), expected, "{input:?}");
    }

    #[test]
    fn colours_have_one_form() {
        check("#ff8000", Some("#FF8000"));
        check(" FF8000 ", Some("#FF8000"));
        check("#f80", Some("#FF8800"));
        for bad in [
            "",
            "#",
            "red",
            "#ff80",
            "#ff80000",
            "#gg8000",
            "##ff800",
            "#é0",
            "rgb(0,0,0)",
            "#ff800\u{661}",
            "\"><script>",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn names_are_one_line_and_not_empty() {
        assert_eq!(name("name", " Été 🙂 "), Ok("Été 🙂".to_owned()));
        for bad in ["", "   ", "a\nb", "a\0", &"x".repeat(101)] {
            assert!(name("name", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn kinds_are_found_by_word_and_number() {
        for kind in [ItemKind::Link, ItemKind::Bio, ItemKind::Qr] {
            assert_eq!(ItemKind::parse(kind.word()), Ok(kind));
            assert_eq!(ItemKind::from_number(kind.number()), Some(kind));
        }
        for bad in ["", "link", "Links", "files", "links/", "ｌinks"] {
            let error = ItemKind::parse(bad).expect_err(bad);
            assert!(error.to_string().contains("links, bio or qr"), "{error}");
        }
    }
}
