//! The style sheet: the same rules for all pages, colours of the page's own.

use crate::domain::bio::Look;
use crate::domain::bio::look::Palette;

/// Rules; colours are variables.
const RULES: &str = include_str!("bio.css");

/// The sheet of a page.
pub(super) fn sheet(look: &Look) -> String {
    let (palette, dark) = look.palettes();
    let mut sheet = format!(":root{{{}}}", variables(&palette));
    if let Some(dark) = dark {
        let dark = variables(&dark);
        sheet.push_str(&format!(
            "@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
        ));
    }
    sheet.push_str(RULES);
    sheet
}

/// Colours alone: nothing of an owner's words.
fn variables(p: &Palette) -> String {
    let [top, bottom] = p.ground.map(|color| color.to_hex());
    let scheme = if p.is_dark { "dark" } else { "light" };
    format!(
        "color-scheme:{scheme};--top:{top};--bottom:{bottom};--text:{};--quiet:{};--card:{};--on-card:{};--soft:{};--accent:{};--on-accent:{};--line:{}",
        p.text.to_hex(),
        p.quiet.to_hex(),
        p.card.to_hex(),
        p.card_text.to_hex(),
        p.card_quiet.to_hex(),
        p.accent.to_hex(),
        p.accent_text.to_hex(),
        p.line.to_hex()
    )
}
