//! Answers as bytes on the wire, for requests that are read without hyper: the same bytes as hyper writes (a test
//! compares them).

use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderMap;
use schemas::link::Status;

use super::{Answer, Kind};

/// What stands between the location and the date.
const AFTER_LOCATION: &[u8] = b"\r\ncache-control: private, no-store\r\n\
    referrer-policy: strict-origin-when-cross-origin\r\nx-robots-tag: noindex\r\ncontent-length: 0\r\ndate: ";

/// Length of a date as HTTP writes it (RFC 9110, 5.6.7), in bytes.
const DATE_BYTES: usize = 29;

/// The `Date` header's value, worked out once a second.
#[derive(Debug)]
pub struct Date {
    second: i64,
    text: [u8; DATE_BYTES],
}

impl Date {
    /// The date at `now_ms`, milliseconds since 1970-01-01 UTC.
    #[inline]
    pub fn at(&mut self, now_ms: i64) -> &[u8; DATE_BYTES] {
        let second = now_ms.div_euclid(1000);
        if second != self.second {
            self.set(second);
        }
        &self.text
    }

    #[cold]
    fn set(&mut self, second: i64) {
        let since = Duration::from_secs(u64::try_from(second).unwrap_or_default());
        let text = httpdate::fmt_http_date(UNIX_EPOCH + since);
        if let Ok(text) = text.as_bytes().try_into() {
            (self.second, self.text) = (second, text);
        }
    }
}

impl Default for Date {
    fn default() -> Self {
        let mut date = Self {
            second: 0,
            text: [0; DATE_BYTES],
        };
        date.set(0);
        date
    }
}

/// Each page in both forms, ready for the wire; made when first needed.
#[derive(Debug, Default)]
pub struct Pages([[Option<Page>; 2]; Kind::COUNT]);

#[derive(Debug)]
struct Page {
    before_date: Vec<u8>,
    body: &'static str,
}

impl Answer<'_> {
    /// Appends the answer to `out`.
    #[inline]
    pub fn write(&self, date: &[u8; DATE_BYTES], pages: &mut Pages, out: &mut Vec<u8>) {
        match *self {
            Self::Redirect {
                status, location, ..
            } => {
                let before: &[u8] = match status {
                    Status::Found => b"HTTP/1.1 302 Found\r\nlocation: ",
                    Status::MovedPermanently => b"HTTP/1.1 301 Moved Permanently\r\nlocation: ",
                    Status::TemporaryRedirect => b"HTTP/1.1 307 Temporary Redirect\r\nlocation: ",
                    Status::PermanentRedirect => b"HTTP/1.1 308 Permanent Redirect\r\nlocation: ",
                };
                let length = before.len() + location.len() + AFTER_LOCATION.len() + DATE_BYTES + 4;
                out.reserve(length);
                out.extend_from_slice(before);
                out.extend_from_slice(location);
                out.extend_from_slice(AFTER_LOCATION);
                out.extend_from_slice(date);
                out.extend_from_slice(b"\r\n\r\n");
            }
            Self::Page { kind, json } => {
                let Some(place) = pages
                    .0
                    .get_mut(kind as usize)
                    .and_then(|forms| forms.get_mut(usize::from(json)))
                else {
                    return;
                };
                let page = place.get_or_insert_with(|| make_page(kind, json));
                out.extend_from_slice(&page.before_date);
                out.extend_from_slice(date);
                out.extend_from_slice(b"\r\n\r\n");
                out.extend_from_slice(page.body.as_bytes());
            }
        }
    }
}

#[cold]
fn make_page(kind: Kind, json: bool) -> Page {
    let mut headers = HeaderMap::new();
    let (status, body) = super::page(kind, json, &mut headers);
    let mut before_date = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in &headers {
        before_date.extend_from_slice(name.as_str().as_bytes());
        before_date.extend_from_slice(b": ");
        before_date.extend_from_slice(value.as_bytes());
        before_date.extend_from_slice(b"\r\n");
    }
    // Cannot fail: a Vec takes everything.
    let _ = write!(before_date, "content-length: {}\r\ndate: ", body.len());
    Page { before_date, body }
}
