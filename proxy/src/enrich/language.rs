//! The language a visitor prefers, from `Accept-Language` (RFC 9110 section 12.5.4).

/// Longest primary subtag (RFC 5646 section 2.1).
const MAX_SUBTAG_BYTES: usize = 8;

/// The primary subtag of the entry with the highest weight, lower case; the first one of several; empty when there is
/// none. `*` and entries of weight 0 say nothing about a preference.
pub(super) fn preferred(header: &[u8]) -> String {
    String::from_utf8_lossy(primary(preferred_tag(header))).to_ascii_lowercase()
}

/// The tag of that entry, as sent: its primary subtag is legal, what follows is whatever was sent.
pub(crate) fn preferred_tag(header: &[u8]) -> &[u8] {
    let mut best: (u16, &[u8]) = (0, &[]);
    for entry in header.split(|b| *b == b',') {
        let mut parts = entry.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let tag = parts.next().unwrap_or_default();
        let subtag = primary(tag);
        let legal = (2..=MAX_SUBTAG_BYTES).contains(&subtag.len())
            && subtag.iter().all(u8::is_ascii_alphabetic);
        let weight = parts.find_map(weight).unwrap_or(1000);
        if legal && weight > best.0 {
            best = (weight, tag);
        }
    }
    best.1
}

/// The primary subtag of a tag.
pub(crate) fn primary(tag: &[u8]) -> &[u8] {
    tag.split(|b| matches!(b, b'-' | b'_'))
        .next()
        .unwrap_or_default()
}

/// `q=0.5` as thousandths; `None` for another parameter, 0 for a weight that is none.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = parameter.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let value = std::str::from_utf8(value).ok();
    let weight = value.and_then(|v| v.trim().parse::<f32>().ok());
    Some(
        weight
            .filter(|w| (0.0..=1.0).contains(w))
            .map_or(0, |w| (w * 1000.0) as u16),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_heaviest_entry_wins() {
        for (header, expected) in [
            ("", ""),
            ("en", "en"),
            ("de-CH,de;q=0.9,en;q=0.8", "de"),
            ("en;q=0.8, FR ; q=0.9", "fr"),
            ("en;q=0.5,de;q=0.5", "en"),
            ("*", ""),
            ("*;q=1, pt-BR;q=0.1", "pt"),
            ("en;q=0", ""),
            ("en;q=nan,de;q=0.1", "de"),
            ("en;q=2,de;q=0.1", "de"),
            ("zh_Hans", "zh"),
            ("i-klingon", ""),
            ("x, 12, a1, <script>", ""),
            ("abcdefghi", ""),
        ] {
            assert_eq!(preferred(header.as_bytes()), expected, "{header}");
        }
        assert_eq!(preferred(b"\xff\xfe,\0"), "");
    }

    proptest! {
        #[test]
        fn any_header_gives_letters_or_nothing(header in proptest::collection::vec(any::<u8>(), 0..100)) {
            let language = preferred(&header);
            prop_assert!(language.len() <= MAX_SUBTAG_BYTES && language.bytes().all(|b| b.is_ascii_lowercase()));
        }
    }
}
