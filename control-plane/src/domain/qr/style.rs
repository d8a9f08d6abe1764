//! How a code looks.
//!
//! **Contrast.** Scanners tell modules apart by how much light they reflect. ISO/IEC 15415 grades that as symbol contrast,
//! the difference of the two reflectances, and calls at least 40 % grade C, the lowest that GS1 accepts of a printed code.
//! So the relative luminance of the background (WCAG 2: 0 black, 1 white) must exceed the foreground's by
//! [`MIN_CONTRAST`]. It follows that the foreground is the darker one: light codes on dark ground are not read by many
//! scanners.

use crate::domain::color::Color;
use crate::domain::field::FieldError;

/// Least difference of relative luminance between background and foreground.
pub const MIN_CONTRAST: f64 = 0.40;

/// Smallest width and height of an image in pixels.
pub const MIN_SIZE: u32 = 100;
/// Largest width and height of an image in pixels.
pub const MAX_SIZE: u32 = 2000;
/// Width and height when none are asked for.
pub const DEFAULT_SIZE: u32 = 600;

/// Widest margin, in modules.
pub const MAX_MARGIN: u32 = 10;
/// Margin when none is asked for: the quiet zone of ISO/IEC 18004.
pub const DEFAULT_MARGIN: u32 = 4;

/// How a code looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Width and height in pixels.
    pub size: u32,
    /// Modules of background on each side.
    pub margin: u32,
    /// Colour of dark modules.
    pub foreground: Color,
    /// Colour of light modules and the margin.
    pub background: Color,
    /// How much damage can be repaired, at least; an image with a logo has [`Correction::High`].
    pub correction: Correction,
    /// File format.
    pub format: Format,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            size: DEFAULT_SIZE,
            margin: DEFAULT_MARGIN,
            foreground: Color([0; 3]),
            background: Color([255; 3]),
            correction: Correction::Medium,
            format: Format::Png,
        }
    }
}

impl Style {
    /// Whether it is anything but black on white.
    pub fn is_colored(&self) -> bool {
        let plain = Self::default();
        (self.foreground, self.background) != (plain.foreground, plain.background)
    }

    /// # Errors
    /// A number beyond its limits, or colours that a scanner cannot tell apart.
    pub fn check(&self) -> Result<(), FieldError> {
        if !(MIN_SIZE..=MAX_SIZE).contains(&self.size) {
            return Err(FieldError::new(
                "size",
                format!("must be a whole number from {MIN_SIZE} to {MAX_SIZE}"),
            ));
        }
        if self.margin > MAX_MARGIN {
            return Err(FieldError::new(
                "margin",
                format!("must be a whole number from 0 to {MAX_MARGIN}"),
            ));
        }
        let contrast = self.background.luminance() - self.foreground.luminance();
        if contrast < MIN_CONTRAST {
            return Err(FieldError::new(
                "foreground",
                format!(
                    "{} is too light for the background {}: scanners need it darker by 40 % of luminance, this is {:.0} %",
                    self.foreground.to_hex(),
                    self.background.to_hex(),
                    contrast * 100.0
                ),
            ));
        }
        Ok(())
    }
}

/// How much of an image may be damaged (ISO/IEC 18004).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// About 7 %.
    Low,
    /// About 15 %.
    Medium,
    /// About 25 %.
    Quartile,
    /// About 30 %.
    High,
}

impl Correction {
    const ALL: [(&'static str, Self); 4] = [
        ("L", Self::Low),
        ("M", Self::Medium),
        ("Q", Self::Quartile),
        ("H", Self::High),
    ];

    /// The letters of all.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(|(name, _)| name)
    }

    /// The level of this letter, in either case.
    ///
    /// # Errors
    /// None of the four.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let found = Self::ALL
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
        found
            .map(|(_, level)| *level)
            .ok_or_else(|| FieldError::new(field, "must be one of L, M, Q, H"))
    }

    /// Its letter.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, level)| *level == self)
            .map_or("", |(name, _)| name)
    }
}

/// File format of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lossless raster.
    Png,
    /// Vector.
    Svg,
    /// Lossless raster, smaller.
    Webp,
}

impl Format {
    const ALL: [(&'static str, Self, &'static str); 3] = [
        ("png", Self::Png, "image/png"),
        ("svg", Self::Svg, "image/svg+xml"),
        ("webp", Self::Webp, "image/webp"),
    ];

    /// The names of all.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(|(name, ..)| name)
    }

    /// The format of this name, in either case.
    ///
    /// # Errors
    /// None of the three.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let found = Self::ALL
            .iter()
            .find(|(name, ..)| name.eq_ignore_ascii_case(text.trim()));
        found
            .map(|(_, format, _)| *format)
            .ok_or_else(|| FieldError::new(field, "must be one of png, svg, webp"))
    }

    /// Its name, which is its file extension too.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, format, _)| *format == self)
            .map_or("", |(name, ..)| name)
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, format, _)| *format == self)
            .map_or("", |(.., media)| media)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(foreground: &str, background: &str, is_readable: bool) {
        let color = |text| Color::parse("color", text).expect("a colour");
        let style = Style {
            foreground: color(foreground),
            background: color(background),
            ..Style::default()
        };
        assert_eq!(
            style.check().is_ok(),
            is_readable,
            "{foreground} on {background}: {:?}",
            style.check()
        );
    }

    #[test]
    fn colours_that_scanners_cannot_tell_apart_are_refused() {
        check("#07111F", "#FFFFFF", true);
        check("rgb(0,0,0)", "rgb(255,255,255)", true);
        check("#e4002b", "#fff", true);
        check("#008000", "#ffff00", true);
        check("#000", "#ababab", true);
        check("#000", "#a9a9a9", false);
        check("#fff", "#fff", false);
        check("#ffd000", "#fff", false);
        check("#00f", "#f00", false);
        check("#000", "#00f", false);
        // Light on dark.
        check("#fff", "#000", false);
        check("#ffff00", "#00008b", false);
    }

    #[test]
    fn numbers_have_limits() {
        for (size, margin, ok) in [
            (100, 0, true),
            (2000, 10, true),
            (99, 4, false),
            (2001, 4, false),
            (600, 11, false),
        ] {
            assert_eq!(
                Style {
                    size,
                    margin,
                    ..Style::default()
                }
                .check()
                .is_ok(),
                ok,
                "{size} {margin}"
            );
        }
    }

    #[test]
    fn names_are_read_in_either_case() {
        assert_eq!(
            Correction::parse("error_correction", "q").map(Correction::name),
            Ok("Q")
        );
        assert_eq!(
            Format::parse("format", " SVG ").map(Format::media_type),
            Ok("image/svg+xml")
        );
        assert_eq!(
            Correction::parse("error_correction", "X")
                .expect_err("unknown")
                .to_string(),
            "error_correction must be one of L, M, Q, H"
        );
        assert_eq!(
            Format::parse("format", "gif")
                .expect_err("unknown")
                .to_string(),
            "format must be one of png, svg, webp"
        );
    }
}
