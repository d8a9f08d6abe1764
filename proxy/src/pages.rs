//! Pages that links share, as the control plane rendered them: their place in the table, and their holes.
//!
//! A page is literal bytes with holes ([`schemas::feed::hole`]). The proxy fills them with the visitor's destination,
//! escaped for where they stand, and does nothing else to a page.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub(crate) mod own;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use schemas::feed::{self, hole};
use schemas::link::plan::{MAX_BLOB_BYTES, MAX_INLINE_BODY_BYTES};

/// SHA-256 of a blob.
pub type BlobHash = [u8; 32];

/// A shared page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Status where it is a link's answer.
    pub status: StatusCode,
    /// `Content-Type`.
    pub content_type: HeaderValue,
    /// `Content-Security-Policy`, if it has one of its own.
    pub csp: Option<HeaderValue>,
    /// Its body with holes.
    pub body: PageBody,
}

/// Where a page's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageBody {
    /// Here.
    Inline(Bytes),
    /// In a blob of this many bytes.
    Blob(BlobHash, u64),
}

impl Page {
    /// Reads a page of the feed.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn read(message: &feed::Page) -> Result<Self, &'static str> {
        let status = u16::try_from(message.status)
            .ok()
            .filter(|s| (200..600).contains(s))
            .and_then(|s| StatusCode::from_u16(s).ok())
            .ok_or("its status is none of 200 to 599")?;
        let header = |text: &str| HeaderValue::from_str(text);
        let content_type = header(&message.content_type)
            .map_err(|_| "its content type must not stand in a header")?;
        let csp = match message.csp.as_str() {
            "" => None,
            csp => Some(header(csp).map_err(|_| "its policy must not stand in a header")?),
        };
        let body = if message.blob.is_empty() {
            if message.body.len() > MAX_INLINE_BODY_BYTES {
                return Err("its body is too long to be no blob");
            }
            PageBody::Inline(message.body.clone())
        } else {
            let hash = BlobHash::try_from(&*message.blob).map_err(|_| "its hash is no SHA-256")?;
            if message.blob_size > MAX_BLOB_BYTES {
                return Err("its blob is too large");
            }
            PageBody::Blob(hash, message.blob_size)
        };
        Ok(Self {
            status,
            content_type,
            csp,
            body,
        })
    }

    /// The page as a message of the feed.
    pub fn to_message(&self, id: u64) -> feed::Page {
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let mut message = feed::Page {
            id,
            status: self.status.as_u16().into(),
            content_type: text(&self.content_type),
            csp: self.csp.as_ref().map(text).unwrap_or_default(),
            ..feed::Page::default()
        };
        match &self.body {
            PageBody::Inline(body) => message.body = body.clone(),
            PageBody::Blob(hash, size) => {
                message.blob = hash.to_vec().into();
                message.blob_size = *size;
            }
        }
        message
    }
}

/// The page with its holes filled. Costs nothing where there are none.
pub(crate) fn filled(body: &Bytes, destination: &[u8]) -> Bytes {
    if !body.contains(&hole::MARK) {
        return body.clone();
    }
    let mut out = Vec::with_capacity(body.len() + 4 * destination.len());
    let mut pieces = body.split(|b| *b == hole::MARK);
    out.extend_from_slice(pieces.next().unwrap_or_default());
    for piece in pieces {
        let Some((kind, rest)) = piece.split_first() else {
            continue;
        };
        match *kind {
            hole::ATTRIBUTE => escape_html(destination, &mut out),
            hole::SCRIPT => escape_script(destination, &mut out),
            hole::HOST => escape_html(host_of(destination), &mut out),
            _ => {}
        }
        out.extend_from_slice(rest);
    }
    out.into()
}

/// Escapes for HTML text and for attribute values in quotes of either kind.
pub(crate) fn escape_html(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'`' => out.extend_from_slice(b"&#96;"),
            byte => out.push(*byte),
        }
    }
}

/// Escapes for the inside of a string literal of JSON or JavaScript, wherever in a page it stands.
fn escape_script(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\'' | b'\\' | b'<' | b'>' | b'&' | b'`' | 0..=0x1f | 0x7f.. => {
                let digit = |n: u8| char::from_digit(n.into(), 16).map_or(b'0', |c| c as u8);
                out.extend_from_slice(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    digit(byte >> 4),
                    digit(byte & 15),
                ]);
            }
            byte => out.push(*byte),
        }
    }
}

/// The host of a URL, without user information and port; empty when there is none.
fn host_of(url: &[u8]) -> &[u8] {
    let Some(at) = url.windows(3).position(|w| w == b"://") else {
        return &[];
    };
    let rest = url.get(at + 3..).unwrap_or_default();
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\'))
        .unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let host = authority.rsplit(|b| *b == b'@').next().unwrap_or_default();
    if host.first() == Some(&b'[') {
        let end = host.iter().position(|b| *b == b']').map_or(0, |at| at + 1);
        return host.get(..end).unwrap_or_default();
    }
    host.split(|b| *b == b':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(body: &[u8], destination: &str, expected: &str) {
        let filled = filled(&Bytes::copy_from_slice(body), destination.as_bytes());
        assert_eq!(String::from_utf8_lossy(&filled), expected);
    }

    #[test]
    fn holes_are_filled_and_escaped_for_where_they_stand() {
        check(b"plain", "https://a", "plain");
        check(
            b"<a href=\"\0d\">",
            "https://a/?b=\"><script>&c='",
            "<a href=\"https://a/?b=&quot;&gt;&lt;script&gt;&amp;c=&#39;\">",
        );
        check(
            b"'\0j'",
            "https://a/'\"\\</script>&",
            "'https://a/\\u0027\\u0022\\u005c\\u003c/script\\u003e\\u0026'",
        );
        check(b"\0h", "https://u:p@a.test:8080/x", "a.test");
        check(b"\0h|", "https://[::1]:80/", "[::1]|");
        check(b"\0h|", "mailto:x", "|");
        check(b"a\0db\0dc\0d", "x", "axbxcx");
        // A mark before anything else goes with what follows it.
        check(b"a\0xb\0", "x", "ab");
        check(b"\0\0d", "x", "x");
        check(b"", "x", "");
    }

    #[test]
    fn pages_of_the_feed_are_checked() {
        let good = feed::Page {
            id: 7,
            status: 200,
            content_type: "text/html".to_owned(),
            csp: "default-src 'none'".to_owned(),
            body: b"hi"[..].into(),
            ..feed::Page::default()
        };
        let page = Page::read(&good).expect("legal");
        assert_eq!(page.to_message(7), good);
        let blob = feed::Page {
            body: Bytes::new(),
            blob: vec![1; 32].into(),
            blob_size: 5000,
            ..good.clone()
        };
        assert_eq!(Page::read(&blob).expect("legal").to_message(7), blob);
        let bad = |page: feed::Page| assert!(Page::read(&page).is_err(), "{page:?}");
        bad(feed::Page {
            status: 99,
            ..good.clone()
        });
        bad(feed::Page {
            status: 70_000,
            ..good.clone()
        });
        bad(feed::Page {
            content_type: "a\nb".to_owned(),
            ..good.clone()
        });
        bad(feed::Page {
            csp: "a\r\nSet-Cookie: x".to_owned(),
            ..good.clone()
        });
        bad(feed::Page {
            body: vec![0; 4097].into(),
            ..good.clone()
        });
        bad(feed::Page {
            blob: vec![1; 31].into(),
            ..good.clone()
        });
        bad(feed::Page {
            blob_size: u64::MAX,
            ..blob
        });
    }

    proptest! {
        #[test]
        fn no_destination_leaves_its_place(destination in proptest::collection::vec(any::<u8>(), 0..60)) {
            let body = Bytes::from_static(b"<a href=\"\0d\" title='\0h'>\0d</a><script>x=\"\0j\"</script>");
            let filled = filled(&body, &destination);
            prop_assert_eq!(filled.iter().filter(|b| **b == b'<').count(), 4);
            prop_assert_eq!(filled.iter().filter(|b| **b == b'"').count(), 4);
            prop_assert_eq!(filled.iter().filter(|b| **b == b'\'').count(), 2);
        }
    }
}
