//! Clicks and the books about them: the messages of `proto/click.proto`, and the id of a click.

#[allow(
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/signpost.click.v1.rs"));
}

pub use generated::{Book, Click, Drop, Outcome};

/// Longest referrer URL, query string and UTM value kept with a click, in bytes; the rest is cut at a character boundary.
///
/// A click must fit its log record ([`crate::click_log::MAX_PAYLOAD_BYTES`]) whatever a visitor sends.
pub const MAX_TEXT_BYTES: usize = 1024;

/// A stream: one serving thread of one proxy process. Positions in it count 0, 1, 2 …
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// Random number drawn when the proxy process started.
    pub epoch: u64,
    /// Index of the serving thread.
    pub worker: u16,
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{}", self.epoch, self.worker)
    }
}

/// The id of a click for ever: `<epoch as 16 hex digits>-<worker>-<position>` in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClickId {
    /// Where it was answered.
    pub stream: Stream,
    /// Its position in the stream.
    pub position: u64,
}

impl std::fmt::Display for ClickId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.stream, self.position)
    }
}

/// A text is not a click id.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a click id (16 hex digits, '-', worker, '-', position)")]
pub struct ParseClickIdError(String);

impl std::str::FromStr for ClickId {
    type Err = ParseClickIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let mut parts = text.splitn(3, '-');
            let (epoch, worker, position) = (parts.next()?, parts.next()?, parts.next()?);
            if epoch.len() != 16 || !epoch.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            Some(Self {
                stream: Stream {
                    epoch: u64::from_str_radix(epoch, 16).ok()?,
                    worker: worker.parse().ok()?,
                },
                position: position.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseClickIdError(text.chars().take(80).collect()))
    }
}

impl Click {
    /// The click's id; `None` when the worker number is out of range (a hostile record).
    pub fn id(&self) -> Option<ClickId> {
        Some(ClickId {
            stream: Stream {
                epoch: self.epoch,
                worker: u16::try_from(self.worker).ok()?,
            },
            position: self.position,
        })
    }
}

impl Book {
    /// The stream the book is about; `None` when the worker number is out of range (a hostile record).
    pub fn stream(&self) -> Option<Stream> {
        Some(Stream {
            epoch: self.epoch,
            worker: u16::try_from(self.worker).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn click_id_survives_text() {
        let id = ClickId {
            stream: Stream {
                epoch: 0xab,
                worker: 3,
            },
            position: u64::MAX,
        };
        let text = id.to_string();
        assert_eq!(text, "00000000000000ab-3-18446744073709551615");
        assert_eq!(text.parse::<ClickId>().expect("own text"), id);
    }

    #[test]
    fn hostile_click_ids_are_refused() {
        for text in [
            "",
            "-",
            "--",
            "ab-1-2",
            "00000000000000ab-65536-0",
            "+0000000000000ab-1-1",
            "00000000000000ab-1-",
            "é",
        ] {
            assert!(text.parse::<ClickId>().is_err(), "{text}");
        }
    }
}
