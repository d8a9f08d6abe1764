//! Keys of records: `click/1 <click id>` and `book/1 <stream>`. Kind and version of the payload are in the key, so that
//! a record that this program cannot read still says which click it is.

use std::fmt;

use schemas::click::{ClickId, Stream};

/// Version of the payloads this program writes and reads.
const VERSION: u32 = 1;

/// Longest key looked at, in bytes; ours are shorter than 60.
const MAX_BYTES: usize = 100;

/// What a record is, as its key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// An encoded [`schemas::click::Click`] with this id.
    Click(ClickId),
    /// An encoded [`schemas::click::Book`] of this stream.
    Book(Stream),
}

/// A record of ours that this program cannot read: its payload is of another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// The version.
    pub version: u32,
    /// The click it is, where it is one.
    pub id: Option<ClickId>,
}

/// Why a key is none that this program can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// There is none, or it is no key of ours.
    Foreign,
    /// A version that this program does not know.
    Version(Unread),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Click(id) => write!(f, "click/{VERSION} {id}"),
            Self::Book(stream) => write!(f, "book/{VERSION} {stream}"),
        }
    }
}

impl Key {
    /// Reads a record's key.
    ///
    /// # Errors
    /// It is none of ours, or of a version that this program does not know.
    pub fn read(key: Option<&[u8]>) -> Result<Self, KeyError> {
        let parse = || {
            let text = std::str::from_utf8(key.filter(|key| key.len() <= MAX_BYTES)?).ok()?;
            let (kind, id) = text.split_once(' ')?;
            let (kind, version) = kind.split_once('/')?;
            let version: u32 = version.parse().ok()?;
            let key = match kind {
                "click" => Self::Click(id.parse().ok()?),
                // A stream is written like the front of a click's id.
                "book" => Self::Book(format!("{id}-0").parse::<ClickId>().ok()?.stream),
                _ => return None,
            };
            Some((version, key))
        };
        match parse().ok_or(KeyError::Foreign)? {
            (VERSION, key) => Ok(key),
            (version, key) => Err(KeyError::Version(Unread {
                version,
                id: match key {
                    Self::Click(id) => Some(id),
                    Self::Book(_) => None,
                },
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: ClickId = ClickId {
        stream: Stream {
            epoch: 0xab,
            worker: 3,
        },
        position: 17,
    };

    #[test]
    fn keys_survive_their_text() {
        for (key, text) in [
            (Key::Click(ID), "click/1 00000000000000ab-3-17"),
            (Key::Book(ID.stream), "book/1 00000000000000ab-3"),
        ] {
            assert_eq!(key.to_string(), text);
            assert_eq!(Key::read(Some(text.as_bytes())), Ok(key));
        }
    }

    #[test]
    fn a_newer_version_still_says_which_click_it_is() {
        let unread = |id| Err(KeyError::Version(Unread { version: 2, id }));
        assert_eq!(
            Key::read(Some(b"click/2 00000000000000ab-3-17")),
            unread(Some(ID))
        );
        assert_eq!(Key::read(Some(b"book/2 00000000000000ab-3")), unread(None));
    }

    #[test]
    fn foreign_keys_are_told_apart() {
        assert_eq!(Key::read(None), Err(KeyError::Foreign));
        for text in [
            "",
            "click/1",
            "click/1 ",
            "click/x 00000000000000ab-3-17",
            "click/1 00000000000000ab-3",
            "book/1 00000000000000ab-3-1",
            "dead/1 00000000000000ab-3-17",
            "\0",
        ] {
            assert_eq!(
                Key::read(Some(text.as_bytes())),
                Err(KeyError::Foreign),
                "{text}"
            );
        }
        assert_eq!(Key::read(Some(&[0xff; 20])), Err(KeyError::Foreign));
        assert_eq!(Key::read(Some(&[b'c'; 200])), Err(KeyError::Foreign));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Key::read(Some(&bytes));
        }
    }
}
