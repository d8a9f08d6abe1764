//! The five UTM fields of a visit.
//!
//! A field comes from the link's own destination if that names it, else from the visit's query: the owner who tagged a
//! link means every visit of it. The first occurrence of a name wins; an empty value counts as none.

use schemas::click::MAX_TEXT_BYTES;

use super::text::{bounded, form_decoded};

/// The values, each empty when there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Utm {
    pub(super) source: String,
    pub(super) medium: String,
    pub(super) campaign: String,
    pub(super) term: String,
    pub(super) content: String,
}

impl Utm {
    /// Reads the queries (without `?`) of the link's destination and of the visit.
    pub(super) fn of(destination_query: &[u8], visit_query: &[u8]) -> Self {
        let mut utm = Self::default();
        for query in [destination_query, visit_query] {
            utm.fill(query);
        }
        utm
    }

    fn fill(&mut self, query: &[u8]) {
        for pair in query.split(|b| *b == b'&') {
            let mut parts = pair.splitn(2, |b| *b == b'=');
            let (name, value) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            // Spares decoding for nearly all other parameters. A name may be escaped itself.
            if !matches!(name.first(), Some(b'u' | b'%')) {
                continue;
            }
            let place = match form_decoded(name).as_ref() {
                b"utm_source" => &mut self.source,
                b"utm_medium" => &mut self.medium,
                b"utm_campaign" => &mut self.campaign,
                b"utm_term" => &mut self.term,
                b"utm_content" => &mut self.content,
                _ => continue,
            };
            if place.is_empty() {
                *place = bounded(&form_decoded(value), MAX_TEXT_BYTES);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(destination: &str, visit: &str, expected: [&str; 5]) {
        let utm = Utm::of(destination.as_bytes(), visit.as_bytes());
        let found = [utm.source, utm.medium, utm.campaign, utm.term, utm.content];
        assert_eq!(found, expected);
    }

    #[test]
    fn fields_are_read_and_the_links_own_win() {
        check("", "", ["", "", "", "", ""]);
        check(
            "",
            "utm_source=a&utm_medium=b&utm_campaign=c&utm_term=d&utm_content=e",
            ["a", "b", "c", "d", "e"],
        );
        check(
            "x=1&utm_source=own",
            "utm_source=a&utm_medium=b",
            ["own", "b", "", "", ""],
        );
        check("utm_source=", "utm_source=a", ["a", "", "", "", ""]);
        check("", "utm_source=a&utm_source=b", ["a", "", "", "", ""]);
        check(
            "",
            "utm_source=a+b%26c%3Dd&utm%5Fmedium=m",
            ["a b&c=d", "m", "", "", ""],
        );
        check("", "UTM_SOURCE=a&utm_sourcex=b", ["", "", "", "", ""]);
        check(
            "",
            "utm_source=%3Cscript%3E%22'%00",
            ["<script>\"'\0", "", "", "", ""],
        );
        check(
            "",
            "utm_source=%ff%e9",
            ["\u{fffd}\u{fffd}", "", "", "", ""],
        );
        check("", "&&=&utm_source&=utm_source", ["", "", "", "", ""]);
    }

    #[test]
    fn long_values_are_cut() {
        let query = format!("utm_term={}", "x".repeat(5000));
        assert_eq!(Utm::of(b"", query.as_bytes()).term.len(), MAX_TEXT_BYTES);
    }

    proptest! {
        #[test]
        fn any_query_is_read(a in proptest::collection::vec(any::<u8>(), 0..200), b in "(utm_[a-z]{0,8}=?[%+&a-f0-9]{0,10}&?){0,6}") {
            let _ = Utm::of(&a, b.as_bytes());
        }
    }
}
