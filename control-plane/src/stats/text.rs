//! Texts as ClickHouse has them: bytes. What is not UTF-8 is shown with replacement characters, never an error: one bad
//! byte from a visitor must not hide the other clicks.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};

/// A text of a row, borrowed from the response.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = &'de [u8];

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<&'de [u8], E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_bytes(Borrowed).map(Raw)
    }
}

/// For `#[serde(deserialize_with)]`: an owned text.
pub(super) fn lossy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let raw = <Raw<'de> as serde::Deserialize>::deserialize(deserializer)?;
    Ok(String::from_utf8_lossy(raw.0).into_owned())
}
