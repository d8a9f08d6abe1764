//! How a page looks: a theme, or colours of its own, a picture, a language.
//!
//! Text must be readable: colours of an owner are refused when their contrast is below what WCAG 2 asks for, and themes are
//! held to the same by a test.

use serde::{Deserialize, Serialize};

use super::value::Picture;
pub use super::value::Theme;
use crate::domain::color::Color;
use crate::domain::field::FieldError;
use crate::domain::language;

/// Lowest contrast of text, as WCAG 2 (1.4.3) asks for.
pub const MIN_CONTRAST: f64 = 4.5;

/// Language of pages that name none.
const LANGUAGE: &str = "en";

/// The colours of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    /// Of the ground, at its top and its bottom.
    pub ground: [Color; 2],
    /// Of text on the ground.
    pub text: Color,
    /// Of less important text on the ground.
    pub quiet: Color,
    /// Of cards and buttons.
    pub card: Color,
    /// Of text on them.
    pub card_text: Color,
    /// Of less important text on them.
    pub card_quiet: Color,
    /// Of what stands out.
    pub accent: Color,
    /// Of text on it.
    pub accent_text: Color,
    /// Of lines round cards.
    pub line: Color,
    /// Whether it is dark, for what the browser itself draws.
    pub is_dark: bool,
}

/// What an owner sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// The set of colours.
    pub theme: Theme,
    /// Colours instead: `#rrggbb` of ground, text and buttons; empty: the theme's.
    pub background: String,
    /// See `background`.
    pub text: String,
    /// See `background`.
    pub button: String,
    /// A picture above the title.
    pub avatar: Option<Picture>,
    /// BCP 47 tag of its language.
    pub language: String,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            theme: Theme::Auto,
            background: String::new(),
            text: String::new(),
            button: String::new(),
            avatar: None,
            language: LANGUAGE.to_owned(),
        }
    }
}

/// A change; `None` leaves things as they are, a blank clears them.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// See [`Look`].
    pub theme: Option<String>,
    /// See [`Look`].
    pub background: Option<String>,
    /// See [`Look`].
    pub text: Option<String>,
    /// See [`Look`].
    pub button: Option<String>,
    /// See [`Look`].
    pub avatar: Option<String>,
    /// See [`Look`].
    pub language: Option<String>,
}

impl Look {
    /// Applies a change.
    ///
    /// # Errors
    /// The first field that breaks a rule, or colours that cannot be read together.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), FieldError> {
        if let Some(theme) = &edit.theme {
            self.theme = match theme.trim() {
                "" => Theme::Auto,
                theme => serde_json::from_value(theme.into())
                    .map_err(|e| FieldError::new("theme", e.to_string()))?,
            };
        }
        let colors = [
            ("background", &edit.background, &mut self.background),
            ("text", &edit.text, &mut self.text),
            ("button", &edit.button, &mut self.button),
        ];
        for (field, new, color) in colors {
            if let Some(new) = new {
                *color = match new.trim() {
                    "" => String::new(),
                    text => Color::parse(field, text)?.to_hex(),
                };
            }
        }
        if let Some(avatar) = &edit.avatar {
            self.avatar = match avatar.trim() {
                "" => None,
                url => Some(Picture::parse(url).map_err(|e| FieldError::new("avatar", e))?),
            };
        }
        if let Some(tag) = &edit.language {
            self.language = match tag.trim() {
                "" => LANGUAGE.to_owned(),
                tag => language::tag("language", tag)?,
            };
        }
        let (palette, _) = self.palettes();
        let worst = palette
            .ground
            .map(|ground| contrast(ground, palette.text))
            .into_iter()
            .fold(f64::INFINITY, f64::min);
        if worst < MIN_CONTRAST {
            let (ground, text) = (palette.ground[0].to_hex(), palette.text.to_hex());
            return Err(FieldError::new(
                if edit.text.is_some() {
                    "text"
                } else {
                    "background"
                },
                format!(
                    "must be readable: {text} on {ground} has a contrast of {worst:.1}, at least {MIN_CONTRAST} is needed"
                ),
            ));
        }
        Ok(())
    }

    /// Its colours, and those of visitors whose system is dark where they differ.
    pub fn palettes(&self) -> (Palette, Option<Palette>) {
        let parse = |text: &str| Color::parse("", text).ok();
        let (background, text) = (parse(&self.background), parse(&self.text));
        let button = parse(&self.button);
        if background.is_none() && text.is_none() {
            let (light, dark) = themed(self.theme);
            let with = |palette: Palette| match button {
                Some(button) => palette.with_button(button),
                None => palette,
            };
            return (with(light), dark.map(with));
        }
        let (light, _) = themed(self.theme);
        let ground = background.unwrap_or(light.ground[0]);
        let text = text.unwrap_or_else(|| ground.ink());
        let palette = Palette {
            ground: [ground; 2],
            text,
            quiet: text,
            is_dark: ground.luminance() < 0.18,
            ..light
        };
        let button = button.unwrap_or(text);
        (palette.with_button(button), None)
    }
}

impl Palette {
    /// With cards of another colour, and what stands out on them in black or white.
    fn with_button(self, button: Color) -> Self {
        let ink = button.ink();
        Self {
            card: button,
            card_text: ink,
            card_quiet: ink,
            accent: ink,
            accent_text: button,
            line: button,
            ..self
        }
    }
}

/// Contrast of two colours as WCAG 2 defines it, 1 to 21.
pub fn contrast(a: Color, b: Color) -> f64 {
    let (a, b) = (a.luminance(), b.luminance());
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

const fn rgb(number: u32) -> Color {
    let [_, red, green, blue] = number.to_be_bytes();
    Color([red, green, blue])
}

/// Ground top and bottom, text, quiet text, card, its text, accent, its text, line.
const fn palette(colors: [u32; 9], is_dark: bool) -> Palette {
    let [
        top,
        bottom,
        text,
        quiet,
        card,
        card_text,
        accent,
        accent_text,
        line,
    ] = colors;
    Palette {
        ground: [rgb(top), rgb(bottom)],
        text: rgb(text),
        quiet: rgb(quiet),
        card: rgb(card),
        card_text: rgb(card_text),
        card_quiet: rgb(quiet),
        accent: rgb(accent),
        accent_text: rgb(accent_text),
        line: rgb(line),
        is_dark,
    }
}

const LIGHT: Palette = palette(
    [
        0xf6f7f9, 0xeceff3, 0x14181f, 0x4a5361, 0xffffff, 0x14181f, 0x2447d8, 0xffffff, 0xdde2ea,
    ],
    false,
);
const DARK: Palette = palette(
    [
        0x14171c, 0x0d0f13, 0xf2f4f7, 0xb4bcc8, 0x1f242c, 0xf2f4f7, 0x9db4ff, 0x0d0f13, 0x343b46,
    ],
    true,
);

/// Colours of a theme, and those for dark systems.
fn themed(theme: Theme) -> (Palette, Option<Palette>) {
    let one = |colors, is_dark| (palette(colors, is_dark), None);
    match theme {
        Theme::Auto => (LIGHT, Some(DARK)),
        Theme::Light => (LIGHT, None),
        Theme::Dark => (DARK, None),
        Theme::Paper => one(
            [
                0xfaf5ea, 0xf3ead8, 0x33271a, 0x5f4f3b, 0xfffdf7, 0x33271a, 0x8a4b18, 0xffffff,
                0xe4d7bf,
            ],
            false,
        ),
        Theme::Ocean => one(
            [
                0xdff1fb, 0xbfe0f5, 0x06304d, 0x1d4a69, 0xffffff, 0x06304d, 0x04608f, 0xffffff,
                0xb7d9ee,
            ],
            false,
        ),
        Theme::Forest => one(
            [
                0x17352a, 0x0e241c, 0xf1f7ef, 0xbfd3c4, 0x21473a, 0xf4faf2, 0xbfe3a0, 0x0e241c,
                0x386553,
            ],
            true,
        ),
        Theme::Sunset => one(
            [
                0xffe7cf, 0xffd0d6, 0x45142a, 0x6b2c45, 0xfffaf6, 0x45142a, 0xb0264f, 0xffffff,
                0xf6c3b8,
            ],
            false,
        ),
        Theme::Midnight => one(
            [
                0x241546, 0x120a26, 0xf5f1ff, 0xc9bfe6, 0x33235c, 0xf7f3ff, 0xcfb8ff, 0x1b0f36,
                0x503c85,
            ],
            true,
        ),
        Theme::Mono => one(
            [
                0xffffff, 0xffffff, 0x000000, 0x3d3d3d, 0xffffff, 0x000000, 0x000000, 0xffffff,
                0x000000,
            ],
            false,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn themes_are_readable() {
        for (theme, word) in Theme::ALL {
            let look = Look {
                theme: *theme,
                ..Look::default()
            };
            let (light, dark) = look.palettes();
            for p in [Some(light), dark].into_iter().flatten() {
                let [top, bottom] = p.ground;
                for (ground, text, what) in [
                    (top, p.text, "text"),
                    (bottom, p.text, "text"),
                    (top, p.quiet, "quiet"),
                    (bottom, p.quiet, "quiet"),
                    (p.card, p.card_text, "card"),
                    (p.card, p.card_quiet, "quiet on card"),
                    (p.accent, p.accent_text, "accent"),
                    (p.card, p.accent, "accent on card"),
                    (top, p.accent, "accent on ground"),
                    (bottom, p.accent, "accent on ground"),
                ] {
                    let contrast = contrast(ground, text);
                    assert!(contrast >= MIN_CONTRAST, "{word} {what}: {contrast}");
                }
            }
        }
    }

    #[test]
    fn colours_that_cannot_be_read_are_refused() {
        let mut look = Look::default();
        let edit = |background: &str, text: &str| Edit {
            background: Some(background.to_owned()),
            text: Some(text.to_owned()),
            ..Edit::default()
        };
        let error = look.apply(&edit("#ffffff", "#eeeeee")).expect_err("pale");
        assert!(
            error.field == "text" && error.problem.contains("contrast of 1.2"),
            "{error}"
        );
        let mut look = Look::default();
        look.apply(&edit("#ffffff", "#333333")).expect("readable");
        look.apply(&edit("", "")).expect("the theme's");
        assert_eq!(look, Look::default());
        assert!(
            look.apply(&Edit {
                theme: Some("no".to_owned()),
                ..Edit::default()
            })
            .expect_err("no theme")
            .problem
            .starts_with("must be one of auto")
        );
        assert!(
            look.apply(&Edit {
                avatar: Some("javascript:x".to_owned()),
                ..Edit::default()
            })
            .is_err()
        );
        assert!(
            look.apply(&Edit {
                language: Some("<b>".to_owned()),
                ..Edit::default()
            })
            .is_err()
        );
    }

    #[test]
    fn owners_colours_are_readable_on_buttons() {
        for button in ["#ffffff", "#000000", "#777777", "#ff0000", "#1e90ff"] {
            let look = Look {
                button: button.to_owned(),
                background: "#123456".to_owned(),
                ..Look::default()
            };
            let (p, _) = look.palettes();
            assert!(
                contrast(p.card, p.accent) >= MIN_CONTRAST
                    && contrast(p.card, p.card_text) >= MIN_CONTRAST
                    && contrast(p.ground[0], p.text) >= MIN_CONTRAST
            );
        }
    }
}
