//! Icons that blocks may show, by name: outlines of Lucide, marks of brands of Simple Icons (see NOTICE). Drawn into the
//! page, so that it asks nobody for anything.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Longest symbol in characters: families and flags are emoji of many.
const MAX_SYMBOL: usize = 12;

/// An icon's drawing, 24 by 24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icon {
    /// Lines to be stroked; else shapes to be filled.
    pub is_stroked: bool,
    /// Inside of `svg`, ours.
    pub shapes: &'static str,
}

static ICONS: LazyLock<BTreeMap<&'static str, Icon>> = LazyLock::new(|| {
    let line = |line: &'static str| {
        let (name, rest) = line.split_once('\t')?;
        let (form, shapes) = rest.split_once('\t')?;
        let is_stroked = form == "stroke";
        Some((name, Icon { is_stroked, shapes }))
    };
    include_str!("icons.tsv").lines().filter_map(line).collect()
});

/// The icon of this name.
pub fn find(name: &str) -> Option<Icon> {
    ICONS.get(name).copied()
}

/// All names, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    ICONS.keys().copied()
}

/// A name, in its one form, or a symbol.
///
/// # Errors
/// What is allowed.
pub(super) fn check(text: &str) -> Result<String, String> {
    let text = text.trim();
    let lower = text.to_lowercase();
    if find(&lower).is_some() {
        return Ok(lower);
    }
    let is_symbol = !text.is_empty()
        && text.chars().count() <= MAX_SYMBOL
        && text.chars().all(|c| {
            !c.is_ascii() && !c.is_alphanumeric() && !c.is_control() && !c.is_whitespace()
        })
        && super::value::plain(text, MAX_SYMBOL, false).is_ok();
    if is_symbol {
        return Ok(text.to_owned());
    }
    Err("must be an emoji or a name of the list at /bio/block-types".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icons_are_drawings_and_nothing_else() {
        assert!(ICONS.len() > 100);
        for (name, icon) in ICONS.iter() {
            let shapes = icon.shapes;
            assert!(shapes.starts_with('<') && shapes.ends_with("/>"), "{name}");
            for bad in ["script", "style", "href", "url(", "on", "&"] {
                let attributes = shapes.replace("polygon", "").replace("currentColor", "");
                assert!(!attributes.contains(bad), "{name}: {bad}");
            }
        }
    }

    #[test]
    fn names_and_emoji_are_taken() {
        assert_eq!(check(" Tag "), Ok("tag".to_owned()));
        assert_eq!(check("🎉"), Ok("🎉".to_owned()));
        assert_eq!(check("👩‍👩‍👧"), Ok("👩‍👩‍👧".to_owned()));
        for bad in [
            "",
            "no-such",
            "<b>",
            "ä",
            "🎉x",
            "\u{202e}🎉",
            &"🎉".repeat(20),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
