//! Bytes of a visitor's making to text that can be stored: lossy UTF-8, bounded.

use std::borrow::Cow;

/// The text, each illegal byte sequence replaced by U+FFFD, cut to `limit` bytes at a character boundary.
pub(super) fn bounded(bytes: &[u8], limit: usize) -> String {
    // A replacement is longer than what it replaces: `limit` bytes are always enough to fill the result, and a character
    // may begin just before the end.
    let front = bytes.get(..limit + 3).unwrap_or(bytes);
    let mut text = String::from_utf8_lossy(front).into_owned();
    cut(&mut text, limit);
    text
}

/// Cuts `text` to `limit` bytes at a character boundary.
pub(super) fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        let mut at = limit;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
    }
}

/// Decodes `%XX` and `+` of a query's name or value; anything that is no such escape stays as it is.
pub(crate) fn form_decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let spaced: Vec<u8> = bytes
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    Cow::Owned(percent_encoding::percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        for (bytes, limit, expected) in [
            (&b"abc"[..], 2, "ab"),
            ("aé".as_bytes(), 2, "a"),
            ("aé".as_bytes(), 3, "aé"),
            (b"\xff\xff", 3, "\u{fffd}"),
            (b"\xff", 2, ""),
            (b"a\0b", 9, "a\0b"),
        ] {
            assert_eq!(bounded(bytes, limit), expected);
        }
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_stay() {
        for (bytes, expected) in [
            (&b"a+b%20c"[..], &b"a b c"[..]),
            (b"%zz%4", b"%zz%4"),
            (b"%00%ff", b"\0\xff"),
            (b"%2B", b"+"),
            (b"", b""),
        ] {
            assert_eq!(form_decoded(bytes).as_ref(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..100), limit in 0usize..90) {
            prop_assert!(bounded(&bytes, limit).len() <= limit);
            let text = String::from_utf8_lossy(&bytes);
            prop_assert!(text.starts_with(&bounded(&bytes, limit)));
        }
    }
}
