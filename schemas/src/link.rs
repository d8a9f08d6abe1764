//! A link as the proxy sees it: everything needed to answer a visit, resolved ahead of time by the control plane, in
//! one compact encoding that is the same in the feed, in the proxy's memory and on its disk.
//!
//! ```text
//! entry := flags:u8 domain:varint slug:bytes destination:bytes link:varint workspace:varint
//!          [starts_at:i64le expires_at:i64le]      if WINDOW
//!          [expired_url:bytes]                     if EXPIRED_URL
//!          [plan:bytes]                            if EXTENDED, see `encode`
//! bytes := length:varint byte*
//! varint := LEB128, at most 10 bytes
//! ```
//!
//! One format with no copy between the three places costs the redirect a few varints and saves a second representation
//! with its conversions. Reading is total: hostile bytes give an error, never a panic.
//!
//! What goes beyond a redirect (rules, variants, gates, other targets) is the plan: [`plan::Plan`] to build one,
//! [`view::View`] to read it in place. A link without one costs nothing for it but a bit of its flags.

mod bytes;
mod decode;
pub mod encode;
pub mod plan;
pub mod view;

use self::bytes::{get_bytes, get_varint, put_bytes, put_varint};
use self::plan::MAX_PLAN_BYTES;
use self::view::View;
use crate::slug::MAX_SLUG_BYTES;

/// Longest destination in bytes (UTM and extra parameters included).
pub const MAX_DESTINATION_BYTES: usize = 8192;

/// Longest encoded entry: all fields at their limits.
pub const MAX_ENTRY_BYTES: usize = 2 * MAX_DESTINATION_BYTES + MAX_SLUG_BYTES + MAX_PLAN_BYTES + 64;

const STATUS: u8 = 0b0000_0011;
const DISABLED: u8 = 1 << 2;
const WINDOW: u8 = 1 << 3;
const EXPIRED_URL: u8 = 1 << 4;
const UTM: u8 = 1 << 5;
const EXTENDED: u8 = 1 << 6;
const KNOWN: u8 = STATUS | DISABLED | WINDOW | EXPIRED_URL | UTM | EXTENDED;

/// HTTP status of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// 302: the default, since caches must not keep what is counted.
    #[default]
    Found,
    /// 301: only where the owner chose it; browsers keep it, so later visits may not be seen.
    MovedPermanently,
    /// 307: as 302, the method kept.
    TemporaryRedirect,
    /// 308: as 301, the method kept.
    PermanentRedirect,
}

impl Status {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Self::Found => 302,
            Self::MovedPermanently => 301,
            Self::TemporaryRedirect => 307,
            Self::PermanentRedirect => 308,
        }
    }

    /// The status of this number, if it is one of the four.
    pub const fn from_code(code: u16) -> Option<Self> {
        match code {
            302 => Some(Self::Found),
            301 => Some(Self::MovedPermanently),
            307 => Some(Self::TemporaryRedirect),
            308 => Some(Self::PermanentRedirect),
            _ => None,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Found => 0,
            Self::MovedPermanently => 1,
            Self::TemporaryRedirect => 2,
            Self::PermanentRedirect => 3,
        }
    }
}

/// A link, borrowed from its encoded bytes (or from the control plane's rows, to encode them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Domain the link answers on.
    pub domain: u32,
    /// The slug, NFC. Legal by construction at the control plane; the proxy only compares bytes.
    pub slug: &'a [u8],
    /// Where it leads: the finished URL, percent-encoded ASCII without control characters (checked on reading, for it
    /// is written into a header). Empty only where the plan has a target.
    pub destination: &'a [u8],
    /// The link's id.
    pub link: u64,
    /// The workspace that owns it.
    pub workspace: u64,
    /// Status of the redirect.
    pub status: Status,
    /// Switched off by its owner.
    pub disabled: bool,
    /// The destination's query holds `utm_` parameters, to be recorded with the click.
    pub utm: bool,
    /// Milliseconds since 1970 from which the link answers; `i64::MIN`: always.
    pub starts_at_ms: i64,
    /// Milliseconds since 1970 from which it no longer answers; `i64::MAX`: never.
    pub expires_at_ms: i64,
    /// Where visitors go once it has expired; empty: our page, 410.
    pub expired_url: &'a [u8],
    /// The encoded [`plan::Plan`]; empty: a plain redirect.
    pub plan: &'a [u8],
}

/// Why bytes are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Ends in the middle of a field.
    #[error("link entry is cut short")]
    Short,
    /// Bytes after the last field.
    #[error("link entry has {0} trailing bytes")]
    Trailing(usize),
    /// A flag this version does not know: guessing would risk a wrong redirect.
    #[error("link entry has unknown flags {0:#010b}")]
    Flags(u8),
    /// A number or a length beyond its limit.
    #[error("link entry has a field beyond its limit")]
    Limit,
    /// A URL with bytes that must not stand in a header.
    #[error("link entry has a destination that is not printable ascii")]
    Destination,
    /// A text that is no UTF-8, or must not stand where it stands.
    #[error("link entry has a text that is not legal")]
    Text,
    /// A tag, kind or bit of the plan that this version does not know: guessing would risk a wrong redirect.
    #[error("link entry has an unknown tag, kind or bit {0} in its plan")]
    Unknown(u8),
    /// Tags of the plan that do not rise, or stand twice.
    #[error("link entry has tag {0} of its plan out of order")]
    Order(u8),
}

impl<'a> Entry<'a> {
    /// Appends the encoded entry.
    ///
    /// # Errors
    /// A field beyond its limit or a URL that must not stand in a header; nothing is appended then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EntryError> {
        self.check()?;
        let window = self.starts_at_ms != i64::MIN || self.expires_at_ms != i64::MAX;
        let mut flags = self.status.bits();
        flags |= if self.disabled { DISABLED } else { 0 };
        flags |= if window { WINDOW } else { 0 };
        flags |= if self.expired_url.is_empty() {
            0
        } else {
            EXPIRED_URL
        };
        flags |= if self.utm { UTM } else { 0 };
        flags |= if self.plan.is_empty() { 0 } else { EXTENDED };
        out.push(flags);
        put_varint(out, u64::from(self.domain));
        put_bytes(out, self.slug);
        put_bytes(out, self.destination);
        put_varint(out, self.link);
        put_varint(out, self.workspace);
        if window {
            out.extend_from_slice(&self.starts_at_ms.to_le_bytes());
            out.extend_from_slice(&self.expires_at_ms.to_le_bytes());
        }
        if !self.expired_url.is_empty() {
            put_bytes(out, self.expired_url);
        }
        if !self.plan.is_empty() {
            put_bytes(out, self.plan);
        }
        Ok(())
    }

    /// Reads an entry that fills `bytes`, checking every rule. For bytes from a feed or a disk.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let (entry, rest) = Self::read(bytes)?;
        if !rest.is_empty() {
            return Err(EntryError::Trailing(rest.len()));
        }
        entry.check()?;
        Ok(entry)
    }

    /// Reads the entry at the start of `bytes` without looking at the content of its texts, and returns what follows.
    /// For bytes that [`Self::parse`] has accepted before: the hot path.
    ///
    /// # Errors
    /// Cut short, unknown flags, a number beyond its limit.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), EntryError> {
        let (&flags, rest) = bytes.split_first().ok_or(EntryError::Short)?;
        if flags & !KNOWN != 0 {
            return Err(EntryError::Flags(flags));
        }
        let status = match flags & STATUS {
            0 => Status::Found,
            1 => Status::MovedPermanently,
            2 => Status::TemporaryRedirect,
            _ => Status::PermanentRedirect,
        };
        let (domain, rest) = get_varint(rest)?;
        let domain = u32::try_from(domain).map_err(|_| EntryError::Limit)?;
        let (slug, rest) = get_bytes(rest, MAX_SLUG_BYTES)?;
        let (destination, rest) = get_bytes(rest, MAX_DESTINATION_BYTES)?;
        let (link, rest) = get_varint(rest)?;
        let (workspace, mut rest) = get_varint(rest)?;
        let (mut starts_at_ms, mut expires_at_ms) = (i64::MIN, i64::MAX);
        if flags & WINDOW != 0 {
            let (starts, more) = rest.split_first_chunk::<8>().ok_or(EntryError::Short)?;
            let (expires, more) = more.split_first_chunk::<8>().ok_or(EntryError::Short)?;
            (starts_at_ms, expires_at_ms) =
                (i64::from_le_bytes(*starts), i64::from_le_bytes(*expires));
            rest = more;
        }
        let mut expired_url: &[u8] = &[];
        if flags & EXPIRED_URL != 0 {
            (expired_url, rest) = get_bytes(rest, MAX_DESTINATION_BYTES)?;
        }
        let mut plan: &[u8] = &[];
        if flags & EXTENDED != 0 {
            (plan, rest) = get_bytes(rest, MAX_PLAN_BYTES)?;
        }
        let entry = Self {
            domain,
            slug,
            destination,
            link,
            workspace,
            status,
            disabled: flags & DISABLED != 0,
            utm: flags & UTM != 0,
            starts_at_ms,
            expires_at_ms,
            expired_url,
            plan,
        };
        Ok((entry, rest))
    }

    /// Reads only the key of the entry at the start of `bytes`: what a look-up compares.
    ///
    /// # Errors
    /// As [`Self::read`].
    #[inline]
    pub fn read_key(bytes: &'a [u8]) -> Result<(u32, &'a [u8]), EntryError> {
        let rest = bytes.get(1..).ok_or(EntryError::Short)?;
        let (domain, rest) = get_varint(rest)?;
        let (slug, _) = get_bytes(rest, MAX_SLUG_BYTES)?;
        Ok((u32::try_from(domain).map_err(|_| EntryError::Limit)?, slug))
    }

    fn check(&self) -> Result<(), EntryError> {
        let printable = |url: &[u8]| url.iter().all(|b| (0x21..=0x7e).contains(b));
        if self.slug.is_empty()
            || self.slug.len() > MAX_SLUG_BYTES
            || self.destination.len() > MAX_DESTINATION_BYTES
            || self.expired_url.len() > MAX_DESTINATION_BYTES
        {
            return Err(EntryError::Limit);
        }
        if !printable(self.destination) || !printable(self.expired_url) {
            return Err(EntryError::Destination);
        }
        let has_target = !self.plan.is_empty() && View::parse(self.plan)?.target().is_some();
        if self.destination.is_empty() && !has_target {
            return Err(EntryError::Limit);
        }
        Ok(())
    }
}

#[cfg(test)]
mod plan_tests;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain() -> Entry<'static> {
        Entry {
            domain: 1,
            slug: b"spring-sale",
            destination: b"https://example.com/spring?utm_source=n",
            link: 12345,
            workspace: 7,
            status: Status::Found,
            disabled: false,
            utm: true,
            starts_at_ms: i64::MIN,
            expires_at_ms: i64::MAX,
            expired_url: b"",
            plan: b"",
        }
    }

    fn encoded(entry: &Entry<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        entry.encode(&mut out).expect("legal entry");
        out
    }

    #[test]
    fn a_plain_link_costs_seven_bytes_over_slug_and_destination() {
        let entry = plain();
        assert_eq!(
            encoded(&entry).len(),
            entry.slug.len() + entry.destination.len() + 7
        );
    }

    #[test]
    fn golden_entries_read_as_ever() {
        // Never edited: a new version of the format adds its own.
        let golden = Entry {
            domain: 1,
            slug: b"a",
            destination: b"https://b",
            link: 12377,
            workspace: 7,
            status: Status::MovedPermanently,
            disabled: true,
            utm: true,
            starts_at_ms: 1_000_000_000,
            expires_at_ms: 50_000_000,
            expired_url: b"h:c",
            plan: b"",
        };
        let v1 = include_str!("../golden/link_entry_v1.hex").trim();
        assert_eq!(hex::encode(encoded(&golden)), v1);
        assert_eq!(Entry::parse(&hex::decode(v1).expect("hex")), Ok(golden));
    }

    #[test]
    fn hostile_entries_are_refused() {
        let good = encoded(&plain());
        for cut in 0..good.len() {
            assert!(Entry::parse(&good[..cut]).is_err(), "cut at {cut}");
        }
        let mut trailing = good.clone();
        trailing.push(0);
        assert_eq!(Entry::parse(&trailing), Err(EntryError::Trailing(1)));
        let mut flags = good;
        flags[0] |= 0x80;
        assert!(matches!(Entry::parse(&flags), Err(EntryError::Flags(_))));
        for bad in [
            &b"https://a\r\nSet-Cookie: x"[..],
            b"https://a b",
            b"\xff",
            b"",
        ] {
            let entry = Entry {
                destination: bad,
                ..plain()
            };
            assert!(entry.encode(&mut Vec::new()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(domain: u32, link: u64, workspace: u64, starts: i64, expires: i64, disabled: bool, utm: bool, code in 0usize..4, slug in "[a-z/]{1,255}", dest in "[!-~]{1,300}", expired in "[!-~]{0,50}") {
            let entry = Entry {
                domain, link, workspace, disabled, utm,
                slug: slug.as_bytes(), destination: dest.as_bytes(), expired_url: expired.as_bytes(),
                status: [Status::Found, Status::MovedPermanently, Status::TemporaryRedirect, Status::PermanentRedirect][code],
                starts_at_ms: starts, expires_at_ms: expires, plan: b"",
            };
            let bytes = encoded(&entry);
            prop_assert_eq!(Entry::parse(&bytes), Ok(entry));
            prop_assert_eq!(Entry::read_key(&bytes), Ok((domain, slug.as_bytes())));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(entry) = Entry::parse(&bytes) {
                prop_assert!(entry.destination.iter().all(|b| (0x21..=0x7e).contains(b)));
            }
            let _ = Entry::read_key(&bytes);
        }
    }
}
