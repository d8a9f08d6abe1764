//! Values in blocks. Each is legal because it exists: it is checked where it is read, so a block that could be read can be
//! shown. An error says what is allowed and what was found.
//!
//! Texts are texts: what begins like a tag is refused, since whoever writes one expects it to do something, and so are
//! characters that turn the direction of what follows them.

use std::borrow::Cow;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::date::When;
use crate::domain::rule::shown;

mod check;

pub use self::check::plain;
use self::check::{MAX_EMAIL, email, handle, hour, moment, phone, picture, web};

/// Longest line, in characters.
pub const MAX_LINE: usize = 255;

/// Longest text, in characters.
pub const MAX_TEXT: usize = 5000;

/// Most items of a list in a block: pictures of a gallery, questions of a form.
pub const MAX_ITEMS: usize = 30;

/// Longest URL of a picture, in bytes.
pub const MAX_PICTURE_URL: usize = 2048;

/// A kind of text: how it is checked, and how it is described.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $check:expr, $words:literal, $max:expr $(, $format:expr)?;)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        pub struct $name(String);

        impl $name {
            /// Reads it.
            ///
            /// # Errors
            /// What is allowed, worded to follow a field's name.
            pub fn parse(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<String, String> = $check;
                check(text).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = text_of(&Value::deserialize(from)?).map_err(D::Error::custom)?;
                Self::parse(&text).map_err(|problem| D::Error::custom(found(&problem, &text)))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let schema = ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some($words))
                    .max_length(Some($max));
                $(let schema = schema.format(Some($format));)?
                schema.into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                concat!("bio.value.", stringify!($name)).into()
            }
        }
    )* };
}

texts! {
    /// A line of text, not empty.
    Line: |text| plain(text, MAX_LINE, false), "a line of text", MAX_LINE;
    /// Lines of text, not empty.
    Text: |text| plain(text, MAX_TEXT, true), "lines of text", MAX_TEXT;
    /// A URL visitors are led to.
    Web: web, "a URL that begins with http:// or https://", schemas::link::MAX_DESTINATION_BYTES, uri();
    /// A URL that a picture is fetched from, once, when it is set.
    Picture: picture, "URL of a PNG or JPEG picture: it is fetched when it is set, and served from here", MAX_PICTURE_URL, uri();
    /// An e-mail address.
    Email: email, "an e-mail address", MAX_EMAIL;
    /// A telephone number.
    Phone: phone, "a telephone number: digits, perhaps after +, with spaces, dots, brackets or hyphens", 32;
    /// A user's name at a service.
    Handle: handle, "a user name: letters, digits, dots, hyphens and underscores, perhaps after @", 64;
    /// An instant, or a day.
    Moment: moment, "a date: YYYY-MM-DD, YYYY-MM-DD HH:MM:SS or ISO 8601 with or without offset (UTC)", 40;
    /// A time of day.
    Hour: hour, "a time of day as HH:MM", 5;
    /// A short text that a picture code holds.
    Data: |text| plain(text, 500, true), "a text or URL", 500;
    /// An icon: a name of [`super::icon`], or a symbol.
    Icon: super::icon::check, "a name of the list at /bio/block-types, or an emoji", 40;
}

/// URIs, in schemas.
fn uri() -> SchemaFormat {
    SchemaFormat::Custom("uri".to_owned())
}

impl Phone {
    /// As `tel:` URLs have it: digits, and the plus sign.
    pub fn dialled(&self) -> String {
        self.0
            .chars()
            .filter(|c| c.is_ascii_digit() || *c == '+')
            .collect()
    }

    /// Digits alone.
    pub fn digits(&self) -> String {
        self.0.chars().filter(char::is_ascii_digit).collect()
    }
}

impl Moment {
    /// Milliseconds since 1970; of a day its beginning.
    pub fn start_ms(&self) -> i64 {
        When::parse("", &self.0).map_or(0, When::start_ms)
    }

    /// Whether it is a day without a time.
    pub fn is_day(&self) -> bool {
        matches!(When::parse("", &self.0), Ok(When::Day(_)))
    }
}

/// A number within bounds.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $min:literal to $max:literal, $words:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
        pub struct $name(f64);

        impl $name {
            /// The number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(from)?;
                let number = match &value {
                    Value::Number(number) => number.as_f64(),
                    Value::String(text) => text.trim().parse().ok(),
                    _ => None,
                };
                let number = number.filter(|n: &f64| ($min..=$max).contains(n));
                let problem = concat!("must be ", $words);
                number.map(Self).ok_or_else(|| D::Error::custom(found(problem, &brief(&value))))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::Number)
                    .description(Some($words))
                    .minimum(Some($min))
                    .maximum(Some($max))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                concat!("bio.value.", stringify!($name)).into()
            }
        }
    )* };
}

numbers! {
    /// Degrees north.
    Latitude: -90.0 to 90.0, "a number from -90 to 90";
    /// Degrees east.
    Longitude: -180.0 to 180.0, "a number from -180 to 180";
    /// Stars given.
    Stars: 0.0 to 5.0, "a number from 0 to 5";
    /// A count.
    Count: 0.0 to 1_000_000_000.0, "a number from 0 to 1000000000";
}

/// One of a few words, as an enum.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)? })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them with their words.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$variant, $word)),*];

            /// Its word.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = text_of(&Value::deserialize(from)?).map_err(D::Error::custom)?;
                let lower = text.trim().to_lowercase();
                let all = Self::ALL;
                all.iter().find(|(_, word)| *word == lower).map(|(one, _)| *one).ok_or_else(|| {
                    let words: Vec<&str> = all.iter().map(|(_, word)| *word).collect();
                    D::Error::custom(found(&format!("must be one of {}", words.join(", ")), &text))
                })
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some([$($word),*]))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                concat!("bio.value.", stringify!($name)).into()
            }
        }
    )* };
}

words! {
    /// A day of the week.
    Weekday {
        /// Monday.
        Monday = "monday",
        /// Tuesday.
        Tuesday = "tuesday",
        /// Wednesday.
        Wednesday = "wednesday",
        /// Thursday.
        Thursday = "thursday",
        /// Friday.
        Friday = "friday",
        /// Saturday.
        Saturday = "saturday",
        /// Sunday.
        Sunday = "sunday",
    }
    /// How a line is drawn.
    Stroke {
        /// Whole.
        Solid = "solid",
        /// In dashes.
        Dashed = "dashed",
        /// In dots.
        Dotted = "dotted",
    }
    /// How much room is left.
    Room {
        /// Half a line.
        Small = "small",
        /// A line.
        Medium = "medium",
        /// Three lines.
        Large = "large",
    }
    /// Sets of colours.
    Theme {
        /// Light or dark, as the visitor's system is.
        Auto = "auto",
        /// Light.
        Light = "light",
        /// Dark.
        Dark = "dark",
        /// Ink on paper.
        Paper = "paper",
        /// Blue.
        Ocean = "ocean",
        /// Green.
        Forest = "forest",
        /// Orange and pink.
        Sunset = "sunset",
        /// Violet at night.
        Midnight = "midnight",
        /// Black and white.
        Mono = "mono",
    }
    /// What a field of a form takes.
    FieldKind {
        /// A line.
        Text = "text",
        /// Lines.
        Textarea = "textarea",
        /// An e-mail address.
        Email = "email",
        /// A telephone number.
        Phone = "phone",
        /// A number.
        Number = "number",
        /// A day.
        Date = "date",
        /// One of its options.
        Select = "select",
        /// Yes or no.
        Checkbox = "checkbox",
    }
}

/// A field that may be absent, `null` or blank.
pub(super) fn blank<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(from)?;
    let is_blank = match &value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    };
    if is_blank {
        return Ok(None);
    }
    T::deserialize(value).map(Some).map_err(D::Error::custom)
}

/// `true`, `false`, 0, 1, or one of these as a text; blank: no.
pub(super) fn yes_no<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(from)?;
    match brief(&value).trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" | "" | "null" => Ok(false),
        _ => Err(D::Error::custom(found(
            "must be true or false",
            &brief(&value),
        ))),
    }
}

/// A list of 1 to [`MAX_ITEMS`].
pub(super) fn list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Vec::deserialize(from)?;
    if (1..=MAX_ITEMS).contains(&list.len()) {
        return Ok(list);
    }
    let problem = format!("must be a list of 1 to {MAX_ITEMS}, not {}", list.len());
    Err(D::Error::custom(problem))
}

/// As [`list`], which may be absent or empty.
pub(super) fn maybe_list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list: Vec<T> = Option::deserialize(from)?.unwrap_or_default();
    if list.len() <= MAX_ITEMS {
        return Ok(list);
    }
    let problem = format!("must be a list of at most {MAX_ITEMS}, not {}", list.len());
    Err(D::Error::custom(problem))
}

/// A text, or a number as a text.
fn text_of(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(found("must be text", &other.to_string())),
    }
}

fn brief(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What is allowed, and what there was.
fn found(problem: &str, text: &str) -> String {
    format!("{problem}, not '{}'", shown(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(got: Result<impl std::fmt::Debug, String>, part: &str) {
        let error = got.expect_err("refused");
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn texts_are_texts() {
        for good in [
            "I <3 you",
            "a < b > c",
            "x & \"y\" 'z' `",
            "שלום",
            "5 > 3",
            "<",
            "<<",
        ] {
            assert_eq!(Line::parse(good).expect(good).as_str(), good);
        }
        for tag in ["<b>", "a<script", "</p>", "<!-- x", "<?php", "<<a"] {
            refused(Line::parse(tag), "plain text");
        }
        refused(Line::parse("a\u{202e}b"), "direction");
        refused(Line::parse("a\u{2066}b"), "direction");
        refused(Line::parse("a\0b"), "control");
        refused(Line::parse("a\nb"), "control");
        refused(Line::parse("  "), "empty");
        refused(Line::parse(&"ä".repeat(256)), "255");
        assert_eq!(Text::parse("a\nb").expect("lines").as_str(), "a\nb");
    }

    #[test]
    fn addresses_and_numbers_are_checked() {
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "e.test",
            "//e.test",
            "",
        ] {
            assert!(
                Web::parse(bad).is_err() && Picture::parse(bad).is_err(),
                "{bad}"
            );
        }
        for bad in ["a", "a@b", "a@b.", "a b@c.d", "a@b.c?cc=x<", "a,b@c.d"] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
        assert!(Email::parse("o'neil+x@e.test").is_ok());
        for bad in ["", "12", "++49", "1;2345", "call me", &"1".repeat(40)] {
            assert!(Phone::parse(bad).is_err(), "{bad}");
        }
        let phone = Phone::parse("+49 (30) 12-34").expect("legal");
        assert_eq!(
            (phone.dialled(), phone.digits()),
            ("+49301234".to_owned(), "49301234".to_owned())
        );
        assert_eq!(
            Handle::parse("@o_neil.x").expect("legal").as_str(),
            "o_neil.x"
        );
        for bad in ["", "@", "a b", "a/b", "a?b"] {
            assert!(Handle::parse(bad).is_err(), "{bad}");
        }
        assert!(
            Hour::parse("24:00").is_ok()
                && Hour::parse("09:60").is_err()
                && Hour::parse("9:00").is_err()
        );
        assert!(
            Moment::parse("2026-02-30").is_err()
                && Moment::parse("2026-12-24").expect("a day").is_day()
        );
        assert!(
            serde_json::from_str::<Stars>("5.5").is_err()
                && serde_json::from_str::<Stars>("\"4.5\"").is_ok()
        );
    }
}
