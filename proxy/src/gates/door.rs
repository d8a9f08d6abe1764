//! The door of a link with a password: a cookie opens it for a while.
//!
//! The cookie says when it was made and proves with a keyed hash (HMAC-SHA-256) that this service made it, for this host,
//! this link and this version of its password. Keys come by the feed like salts; a cookie made with any key that is still
//! there opens, so that a change of keys logs nobody out at once.

use std::ops::ControlFlow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderValue;
use http::header::COOKIE;
use schemas::feed::CookieKey;
use sha2::Sha256;

use crate::extended::Asked;
use crate::request::Headers;

/// How long a given password is remembered, in seconds. A day: a working day without being asked twice.
const REMEMBERED_S: i64 = 86_400;

/// How far in the future a cookie may have been made, in seconds: clocks of several proxies differ a little.
const SKEW_S: i64 = 60;

/// Name of the cookie. One for all links: its path keeps them apart.
const NAME: &str = "signpost_open";

/// Most cookies of that name that are looked at: a browser sends one for each path that fits.
const MAX_COOKIES: usize = 8;

/// Length of a key, in bytes.
const KEY_BYTES: usize = 32;

/// Bytes of the hash that are kept: 128 bits cannot be guessed.
const PROOF_BYTES: usize = 16;

/// A link's door, for one visitor.
#[derive(Debug)]
pub struct Door<'a> {
    keys: &'a [CookieKey],
    cookies: Headers<'a>,
    host: &'a [u8],
    link: u64,
    version: u32,
    now_s: i64,
    secure: bool,
}

impl<'a> Door<'a> {
    pub(super) fn new(asked: &Asked<'a>, link: u64, version: u32) -> Self {
        Self {
            keys: asked.table.cookie_keys(),
            cookies: asked.head.headers,
            host: asked.host.as_bytes(),
            link,
            version,
            now_s: asked.now_ms.div_euclid(1000),
            secure: asked.head.secure,
        }
    }

    /// Whether the visitor has given the password before.
    pub(crate) fn is_open(&self) -> bool {
        let mut left = MAX_COOKIES;
        // With HTTP/2 browsers send cookies in several fields (RFC 9113 8.2.3).
        let open = self.cookies.each_from_last(&COOKIE, |field| {
            let opens = field
                .split(|b| *b == b';')
                .map(<[u8]>::trim_ascii)
                .filter_map(|cookie| cookie.strip_prefix(NAME.as_bytes())?.strip_prefix(b"="))
                .take_while(|_| {
                    let looks = left > 0;
                    left = left.saturating_sub(1);
                    looks
                })
                .any(|value| self.proves(value));
            match opens {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        open.is_some()
    }

    fn proves(&self, value: &[u8]) -> bool {
        let Some((made, proof)) = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.split_once('.'))
        else {
            return false;
        };
        let Ok(made_s) = made.parse::<i64>() else {
            return false;
        };
        let age = self.now_s.saturating_sub(made_s);
        let mut given = [0; PROOF_BYTES];
        if !(-SKEW_S..REMEMBERED_S).contains(&age)
            || hex::decode_to_slice(proof, &mut given).is_err()
        {
            return false;
        }
        self.keys.iter().any(|key| {
            self.hash(key, made_s)
                .is_some_and(|mac| mac.verify_truncated_left(&given).is_ok())
        })
    }

    /// The cookie that opens it, for the page at `path`; `None` without a key for the time.
    pub(crate) fn cookie(&self, path: &str) -> Option<HeaderValue> {
        let now_ms = self.now_s * 1000;
        let key = self
            .keys
            .iter()
            .find(|key| (key.starts_at_ms..key.ends_at_ms).contains(&now_ms))?;
        let proof = self.hash(key, self.now_s)?.finalize().into_bytes();
        let proof = hex::encode(proof.get(..PROOF_BYTES)?);
        // A path is sent as it stands: percent-encoded, and a semicolon in it would end the attribute.
        let path = path.split(';').next().unwrap_or_default();
        // Given over TLS, it is never sent in cleartext.
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{NAME}={}.{proof}; Path={path}; Max-Age={REMEMBERED_S}; HttpOnly; SameSite=Lax{secure}",
            self.now_s
        );
        HeaderValue::from_str(&text).ok()
    }

    fn hash(&self, key: &CookieKey, made_s: i64) -> Option<Hmac<Sha256>> {
        if key.key.len() != KEY_BYTES {
            return None;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.key).ok()?;
        mac.update(b"signpost password");
        mac.update(&made_s.to_le_bytes());
        mac.update(&self.link.to_le_bytes());
        mac.update(&self.version.to_le_bytes());
        mac.update(self.host);
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Line;

    fn key(byte: u8, starts_at_ms: i64, ends_at_ms: i64) -> CookieKey {
        CookieKey {
            starts_at_ms,
            ends_at_ms,
            key: vec![byte; KEY_BYTES].into(),
        }
    }

    fn door<'a>(keys: &'a [CookieKey], cookies: &'a [Line<'a>]) -> Door<'a> {
        Door {
            keys,
            cookies: Headers::Lines(cookies),
            host: b"go.test",
            link: 7,
            version: 2,
            now_s: 100_000,
            secure: false,
        }
    }

    fn made(keys: &[CookieKey]) -> Vec<u8> {
        let cookie = door(keys, &[]).cookie("/a;b/c").expect("a key");
        let text = cookie.to_str().expect("text").to_owned();
        assert!(
            text.ends_with("; Path=/a; Max-Age=86400; HttpOnly; SameSite=Lax"),
            "{text}"
        );
        let secure = Door {
            secure: true,
            ..door(keys, &[])
        };
        let secure = secure.cookie("/a").expect("a key");
        assert!(
            secure
                .to_str()
                .expect("text")
                .ends_with("; SameSite=Lax; Secure")
        );
        text.split(';').next().expect("value").as_bytes().to_vec()
    }

    #[test]
    fn a_cookie_opens_its_own_link_for_a_day() {
        let keys = [key(1, 0, 200_000_000), key(2, 200_000_000, 400_000_000)];
        let cookie = made(&keys);
        let others = [&b"x=1; "[..], &cookie, b" ; y"].concat();
        let several = [
            (&b"cookie"[..], &b"x=1"[..]),
            (b"Cookie", &cookie),
            (b"cookie", b"signpost_open=1.2"),
        ];
        let cookie = [(&b"Cookie"[..], &cookie[..])];
        let others = [(&b"cookie"[..], &others[..])];
        let open = |door: Door<'_>| door.is_open();
        assert!(open(door(&keys, &cookie)) && open(door(&keys, &others)));
        assert!(open(door(&keys, &several)));
        assert!(open(Door {
            now_s: 100_000 + 86_399,
            ..door(&keys, &cookie)
        }));
        assert!(!open(Door {
            now_s: 100_000 + 86_400,
            ..door(&keys, &cookie)
        }));
        assert!(!open(Door {
            now_s: 100_000 - 61,
            ..door(&keys, &cookie)
        }));
        assert!(!open(Door {
            link: 8,
            ..door(&keys, &cookie)
        }));
        assert!(!open(Door {
            version: 3,
            ..door(&keys, &cookie)
        }));
        assert!(!open(Door {
            host: b"other.test",
            ..door(&keys, &cookie)
        }));
        // The key it was made with is gone.
        assert!(!open(door(&keys[1..], &cookie)));
        assert!(!open(door(&[], &cookie)));
    }

    #[test]
    fn forged_cookies_open_nothing() {
        let keys = [key(1, 0, 200_000_000)];
        let good = String::from_utf8(made(&keys)).expect("text");
        let bad = [
            String::new(),
            NAME.to_owned(),
            format!("{NAME}="),
            format!("{NAME}=100000."),
            format!("{NAME}=100000.{}", "00".repeat(16)),
            good.replace("=100000", "=100001"),
            good[..good.len() - 2].to_owned(),
            format!("{good}00"),
            good.replace(NAME, "signpost_opens"),
            good.replace("=100000", "=-9223372036854775808"),
        ];
        for cookie in bad {
            let line = [(&b"cookie"[..], cookie.as_bytes())];
            assert!(!door(&keys, &line).is_open(), "{cookie}");
        }
        assert!(door(&keys, &[]).cookie("/\n").is_none());
        assert!(door(&[key(1, 0, 5)], &[]).cookie("/a").is_none());
        // However many fields they come in.
        let good = good.as_bytes();
        let mut many = vec![(&b"cookie"[..], &b"signpost_open=1.2"[..]); MAX_COOKIES];
        many.insert(0, (b"cookie", good));
        assert!(!door(&keys, &many).is_open());
        many.pop();
        assert!(door(&keys, &many).is_open());
    }
}
