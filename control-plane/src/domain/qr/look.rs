//! How an image of a link's own code looks where the margin is given in pixels: as its owner sent it.

use serde::{Deserialize, Serialize};

use super::style::{Format, Style};
use crate::domain::color::Color;
use crate::domain::field::FieldError;

/// Smallest width and height, in pixels.
pub const MIN_SIZE: u32 = 100;
/// Largest width and height, in pixels.
pub const MAX_SIZE: u32 = 1000;

/// See the module. Missing parts have their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageLook {
    /// Width and height in pixels.
    pub size: u32,
    /// `png`, `webp` or `svg`.
    pub format: String,
    /// Pixels of background on each side.
    pub margin: u32,
    /// Hexadecimal.
    pub background_color: String,
    /// Hexadecimal.
    pub foreground_color: String,
}

impl Default for ImageLook {
    fn default() -> Self {
        Self {
            size: super::style::DEFAULT_SIZE,
            format: Format::Png.name().to_owned(),
            margin: 0,
            background_color: "#ffffff".to_owned(),
            foreground_color: "#000000".to_owned(),
        }
    }
}

impl ImageLook {
    /// As images are drawn; the margin is drawn by its pixels.
    ///
    /// # Errors
    /// A part beyond its limits, or colours that a scanner cannot tell apart.
    pub fn style(&self) -> Result<Style, FieldError> {
        if !(MIN_SIZE..=MAX_SIZE).contains(&self.size) {
            return Err(FieldError::new(
                "size",
                format!("must be a whole number from {MIN_SIZE} to {MAX_SIZE}"),
            ));
        }
        if self.margin > self.size / 3 {
            return Err(FieldError::new(
                "margin",
                format!("must be a whole number from 0 to {}", self.size / 3),
            ));
        }
        let style = Style {
            size: self.size,
            margin: 0,
            foreground: hexadecimal("foreground_color", &self.foreground_color)?,
            background: hexadecimal("background_color", &self.background_color)?,
            format: Format::parse("format", &self.format)?,
            ..Style::default()
        };
        style.check().map_err(|error| {
            if error.field == "foreground" {
                FieldError::new("foreground_color", error.problem)
            } else {
                error
            }
        })?;
        Ok(style)
    }
}

fn hexadecimal(field: &str, text: &str) -> Result<Color, FieldError> {
    let digits = text.strip_prefix('#').unwrap_or_default();
    if matches!(digits.len(), 3 | 6) {
        return Color::parse(field, text)
            .map_err(|_| FieldError::new(field, "must be a colour as #RRGGBB"));
    }
    Err(FieldError::new(field, "must be a colour as #RRGGBB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_colours_are_checked_by_name() {
        let look = ImageLook::default();
        assert_eq!(look.style().map(|style| style.size), Ok(600));
        let wrong = |change: &dyn Fn(&mut ImageLook)| {
            let mut look = ImageLook::default();
            change(&mut look);
            look.style().expect_err("wrong").field
        };
        assert_eq!(wrong(&|look| look.size = 99), "size");
        assert_eq!(wrong(&|look| look.size = 1001), "size");
        assert_eq!(wrong(&|look| look.margin = 201), "margin");
        assert_eq!(wrong(&|look| look.format = "gif".to_owned()), "format");
        let red = |look: &mut ImageLook| look.foreground_color = "red".to_owned();
        assert_eq!(wrong(&red), "foreground_color");
        let bare = |look: &mut ImageLook| look.background_color = "ffffff".to_owned();
        assert_eq!(wrong(&bare), "background_color");
        let pale = |look: &mut ImageLook| look.foreground_color = "#eeeeee".to_owned();
        assert_eq!(wrong(&pale), "foreground_color");
    }
}
