//! Colours people name as `#RGB`, `#RRGGBB` or `rgb(r,g,b)`.

use super::field::FieldError;

/// A colour in sRGB: red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub [u8; 3]);

impl Color {
    /// Reads a colour.
    ///
    /// # Errors
    /// Neither `#RGB`, `#RRGGBB` (the `#` may be left out) nor `rgb(r,g,b)`.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let text = text.trim();
        read(text).ok_or_else(|| {
            FieldError::new(field, "must be a colour as #RGB, #RRGGBB or rgb(r,g,b)")
        })
    }

    /// `#rrggbb`.
    pub fn to_hex(self) -> String {
        format!("#{}", hex::encode(self.0))
    }

    /// Black or white, whichever is read better on this colour. Its contrast is at least 4.58 to 1, above the 4.5 that
    /// WCAG 2 asks for.
    pub fn ink(self) -> Self {
        let on_white = 1.05 / (self.luminance() + 0.05);
        let on_black = (self.luminance() + 0.05) / 0.05;
        if on_white > on_black {
            Self([255; 3])
        } else {
            Self([0; 3])
        }
    }

    /// Relative luminance, 0 to 1, as WCAG 2 defines it.
    pub fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        let [red, green, blue] = self.0.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

fn read(text: &str) -> Option<Color> {
    let lower = text.to_ascii_lowercase();
    if let Some(inside) = lower.strip_prefix("rgb(").and_then(|t| t.strip_suffix(')')) {
        let parts: Vec<u8> = inside
            .split(',')
            .map(|part| part.trim().parse().ok())
            .collect::<Option<_>>()?;
        return parts.try_into().ok().map(Color);
    }
    let digits = lower.strip_prefix('#').unwrap_or(&lower);
    let whole = match digits.len() {
        3 => digits.chars().flat_map(|c| [c, c]).collect(),
        _ => digits.to_owned(),
    };
    let mut rgb = [0; 3];
    hex::decode_to_slice(whole, &mut rgb).ok()?;
    Some(Color(rgb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let got = Color::parse("color", text);
        assert_eq!(got.ok().map(Color::to_hex).as_deref(), expected, "{text:?}");
    }

    #[test]
    fn colours_are_read_in_three_forms() {
        check("#07111F", Some("#07111f"));
        check(" fff ", Some("#ffffff"));
        check("rgb(255, 0,16)", Some("#ff0010"));
        check("RGB(1,2,3)", Some("#010203"));
        for bad in [
            "",
            "#",
            "red",
            "#12345",
            "#1234567",
            "rgb(256,0,0)",
            "rgb(1,2)",
            "rgb(1,2,3,4)",
            "rgb(-1,2,3)",
            "#fff;}",
            "éé",
            "rgb(1,2,3",
            "#ggg",
            "url(x)",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn ink_is_readable_on_every_colour() {
        for red in (0..=255).step_by(15) {
            for green in (0..=255).step_by(15) {
                for blue in (0..=255).step_by(15) {
                    let color = Color([red, green, blue]);
                    let (a, b) = (color.luminance(), color.ink().luminance());
                    let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                    assert!(contrast >= 4.5, "{}: {contrast}", color.to_hex());
                }
            }
        }
    }
}
