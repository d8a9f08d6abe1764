//! Queries: their parameters, and passing them on.

use std::collections::HashSet;

use schemas::link::MAX_DESTINATION_BYTES;

use crate::enrich::form_decoded;
use crate::mark;

/// Most parameters of a visit that are passed on. With more, none are.
const MAX_PASSED: usize = 100;

/// Names and values as sent; a parameter without `=` has an empty value.
pub(super) fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query
        .split(|b| *b == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let (name, rest) = pair.split_at_checked(at).unwrap_or_default();
            (name, rest.get(1..).unwrap_or_default())
        })
}

/// The destination with the visitor's parameters, by the merge rule of [`schemas::link::plan`]; `None`: as it is. Only
/// web addresses take any.
pub(crate) fn with_query(destination: &[u8], query: &[u8]) -> Option<Vec<u8>> {
    let web = destination.starts_with(b"http://") || destination.starts_with(b"https://");
    if query.is_empty() || !web || pairs(query).nth(MAX_PASSED).is_some() {
        return None;
    }
    let at = |byte: u8, text: &[u8]| text.iter().position(|b| *b == byte).unwrap_or(text.len());
    let (url, fragment) = destination.split_at_checked(at(b'#', destination))?;
    let (address, own) = url.split_at_checked(at(b'?', url))?;
    let own = own.strip_prefix(b"?").unwrap_or_default();
    let taken: HashSet<_> = pairs(own).map(|(name, _)| form_decoded(name)).collect();
    let mut out = Vec::with_capacity(destination.len() + query.len() + 2);
    out.extend_from_slice(address);
    out.push(b'?');
    out.extend_from_slice(own);
    let mut passed = false;
    let passes = |pair: &&[u8]| !pair.is_empty() && mark::read(pair).is_none();
    for pair in query.split(|b| *b == b'&').filter(passes) {
        let (name, _) = pairs(pair).next().unwrap_or_default();
        if taken.contains(&form_decoded(name)) {
            continue;
        }
        if !matches!(out.last(), Some(b'?' | b'&')) {
            out.push(b'&');
        }
        for byte in pair {
            match byte {
                b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#' | b'\'' => {
                    escape(*byte, &mut out);
                }
                0x21..=0x7e => out.push(*byte),
                _ => escape(*byte, &mut out),
            }
        }
        passed = true;
    }
    out.extend_from_slice(fragment);
    (passed && out.len() <= MAX_DESTINATION_BYTES).then_some(out)
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |n: u8| DIGITS.get(usize::from(n)).copied().unwrap_or_default();
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}
