//! The mark of a scan: `?qr=<id>` on a short URL, which the image of a QR code for that link holds.
//!
//! The id is the hex digits of the code's own address `qr/<id>`. The mark is believed when that address is a code's that
//! leads to this very link; then the visit is the code's, which hops to the link: counted for both, as a scan. Anybody can
//! write a mark, but only one of a code that is there, for the link that it is for, and a visit with it counts as one visit.
//! A code that was deleted has no address any more: its mark says nothing, and the link answers as without it.
//!
//! A parameter of this form is never passed on to a destination, believed or not: print outlives codes. One of another form
//! (`qr=yes`) is the visitor's own.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use schemas::link::Entry;
use schemas::link::view::{Target, View};

use crate::table::{LinkTable, Lookup};

/// Name of the parameter, with what follows it.
const NAME: &[u8] = b"qr=";

/// Where the addresses of codes begin.
const ADDRESS: &[u8] = b"qr/";

/// Fewest and most digits of a code's address.
const DIGITS: std::ops::RangeInclusive<usize> = 8..=32;

/// The id of a mark, where this parameter is one.
pub(crate) fn read(pair: &[u8]) -> Option<&[u8]> {
    let id = pair.strip_prefix(NAME)?;
    let is_hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    (DIGITS.contains(&id.len()) && id.iter().all(is_hex)).then_some(id)
}

/// The code whose mark is in the query of a visit to this link.
#[inline]
pub(crate) fn code<'a>(query: &[u8], table: &'a LinkTable, link: &Entry<'_>) -> Option<Entry<'a>> {
    // Most queries have no `q` at all, and are not looked at parameter by parameter: 300 instructions for one of 35 bytes.
    let id = memchr::memchr_iter(b'q', query).find_map(|at| {
        let (before, from) = query.split_at_checked(at)?;
        let begins = before.last().is_none_or(|b| *b == b'&');
        let pair = from.split(|b| *b == b'&').next()?;
        begins.then(|| read(pair))?
    })?;
    believed(id, table, link)
}

#[cold]
fn believed<'a>(id: &[u8], table: &'a LinkTable, link: &Entry<'_>) -> Option<Entry<'a>> {
    let mut address = Vec::with_capacity(ADDRESS.len() + id.len());
    address.extend_from_slice(ADDRESS);
    address.extend_from_slice(id);
    let Lookup::Found(code) = table.find(link.domain, &address) else {
        return None;
    };
    let view = View::read(code.plan).ok()?;
    let leads_here = matches!(view.target(), Some(Target::Link { domain, slug })
        if domain == link.domain && slug == link.slug);
    (view.scan && leads_here && code.workspace == link.workspace).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_eight_to_thirty_two_small_hex_digits() {
        let longest = format!("qr={}", "a".repeat(32));
        for (pair, id) in [
            ("qr=0123abcd", Some("0123abcd")),
            (&longest, longest.strip_prefix("qr=")),
            ("qr=0123abc", None),
            (&format!("{longest}0"), None),
            ("qr=0123ABCD", None),
            ("qr=0123abc%61", None),
            ("qr=yes", None),
            ("qr", None),
            ("qr=", None),
            ("Qr=0123abcd", None),
            ("xqr=0123abcd", None),
        ] {
            assert_eq!(read(pair.as_bytes()), id.map(str::as_bytes), "{pair}");
        }
    }
}
