//! What a link shows instead of a plain redirect: its surface (splash, frame, overlay) and its pixels, and a page that is
//! finished but for its holes.
//!
//! Links with the same [`PageSpec`] share one page, so an edit of a splash page is one change however many links show it.

use std::fmt::Write as _;

use super::field::FieldError;

/// Most pixels of one link: each loads another party's code before the visitor goes on.
pub const MAX_PIXELS: usize = 20;

/// What lies over or before the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Surface {
    /// Nothing.
    #[default]
    Direct,
    /// The destination in a frame under the short URL.
    Frame,
    /// A page before it: a custom one, or without an id the usual one.
    Splash(Option<i64>),
    /// A message or a form over the framed destination.
    Overlay(i64),
}

impl Surface {
    /// Reads a link's type: `direct`, `frame`, `splash`, the id of a splash page, or `overlay-<id>`.
    ///
    /// # Errors
    /// Anything else; `field` is named. Whether the id exists is not known here.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let id = |text: &str| text.parse::<i64>().ok().filter(|id| *id > 0);
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        match text {
            "direct" => return Ok(Self::Direct),
            "frame" => return Ok(Self::Frame),
            "splash" => return Ok(Self::Splash(None)),
            _ => {}
        }
        let found = match text.strip_prefix("overlay-") {
            Some(number) if digits(number) => id(number).map(Self::Overlay),
            None if digits(text) => id(text).map(|id| Self::Splash(Some(id))),
            _ => None,
        };
        found.ok_or_else(|| {
            FieldError::new(
                field,
                "must be direct, frame, splash, the id of a splash page, or overlay-<id>",
            )
        })
    }

    /// The form [`Self::parse`] reads.
    pub fn to_text(self) -> String {
        match self {
            Self::Direct => "direct".to_owned(),
            Self::Frame => "frame".to_owned(),
            Self::Splash(None) => "splash".to_owned(),
            Self::Splash(Some(id)) => id.to_string(),
            Self::Overlay(id) => format!("overlay-{id}"),
        }
    }
}

/// What a link's page is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PageSpec {
    surface: Surface,
    pixels: Vec<i64>,
}

impl PageSpec {
    /// Of a surface and ids of pixels, in any order.
    ///
    /// # Errors
    /// More than [`MAX_PIXELS`]; `pixels` is named.
    pub fn new(surface: Surface, pixels: &[i64]) -> Result<Self, FieldError> {
        let mut pixels = pixels.to_vec();
        pixels.sort_unstable();
        pixels.dedup();
        if pixels.len() > MAX_PIXELS {
            return Err(FieldError::new(
                "pixels",
                format!("must be at most {MAX_PIXELS}"),
            ));
        }
        Ok(Self { surface, pixels })
    }

    /// What lies over or before the destination.
    pub fn surface(&self) -> Surface {
        self.surface
    }

    /// Ids of its pixels, ascending.
    pub fn pixels(&self) -> &[i64] {
        &self.pixels
    }

    /// Whether a plain redirect does.
    pub fn is_plain(&self) -> bool {
        self.surface == Surface::Direct && self.pixels.is_empty()
    }

    /// Whether the destination is shown in a frame.
    pub fn frames(&self) -> bool {
        matches!(self.surface, Surface::Frame | Surface::Overlay(_))
    }

    /// For a destination that must not be framed (see [`super::framing`]): without its frame or overlay.
    #[must_use]
    pub fn without_frame(mut self) -> Self {
        if self.frames() {
            self.surface = Surface::Direct;
        }
        self
    }

    /// Without what does not exist (any more).
    #[must_use]
    pub fn settled(mut self, surface_exists: bool, pixel_exists: impl Fn(i64) -> bool) -> Self {
        if !surface_exists {
            self.surface = Surface::Direct;
        }
        self.pixels.retain(|id| pixel_exists(*id));
        self
    }

    /// The one text of equal specs: `overlay-4 1 7`.
    pub fn key(&self) -> String {
        let mut key = self.surface.to_text();
        for id in &self.pixels {
            let _ = write!(key, " {id}");
        }
        key
    }

    /// Reads a key.
    ///
    /// # Errors
    /// Not one that [`Self::key`] makes.
    pub fn from_key(key: &str) -> Result<Self, FieldError> {
        let mut parts = key.split(' ');
        let surface = Surface::parse("key", parts.next().unwrap_or_default())?;
        let pixels = parts.map(str::parse).collect::<Result<Vec<i64>, _>>();
        let pixels = pixels.map_err(|_| FieldError::new("key", "must hold ids of pixels"))?;
        Self::new(surface, &pixels)
    }
}

/// A page, finished but for the holes that the proxy fills: byte 0 and a letter, `d` for the visitor's destination escaped
/// for HTML, `j` for the same within a script's string, `h` for its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// HTTP status where the page is a link's answer.
    pub status: u16,
    /// Content type of the body.
    pub content_type: &'static str,
    /// Content-Security-Policy.
    pub csp: String,
    /// The body.
    pub body: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<Surface>) {
        let got = Surface::parse("type", text);
        assert_eq!(got.clone().ok(), expected, "{text:?}");
        match got {
            Ok(surface) => assert_eq!(Surface::parse("type", &surface.to_text()), Ok(surface)),
            Err(error) => assert!(
                error.to_string().starts_with("type must be direct"),
                "{error}"
            ),
        }
    }

    #[test]
    fn types_of_links_are_read() {
        check("direct", Some(Surface::Direct));
        check("frame", Some(Surface::Frame));
        check("splash", Some(Surface::Splash(None)));
        check("7", Some(Surface::Splash(Some(7))));
        check("overlay-12", Some(Surface::Overlay(12)));
        for bad in [
            "",
            "overlay",
            "overlay-",
            "overlay-x",
            "overlay--1",
            "overlay-+1",
            "0",
            "-1",
            "+1",
            "1.5",
            "Frame",
            "99999999999999999999",
            "overlay-0",
            "splash-1",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn equal_specs_have_one_key() {
        let spec = PageSpec::new(Surface::Overlay(4), &[7, 1, 7]).expect("few");
        assert_eq!(spec.key(), "overlay-4 1 7");
        assert_eq!(PageSpec::from_key(&spec.key()), Ok(spec.clone()));
        assert!(PageSpec::from_key("overlay-4 x").is_err() && PageSpec::from_key("").is_err());
        assert!(PageSpec::new(Surface::Direct, &(0..30).collect::<Vec<_>>()).is_err());
        let direct = spec.clone().without_frame();
        assert_eq!(direct.key(), "direct 1 7");
        assert!(!direct.is_plain());
        assert!(spec.settled(false, |_| false).is_plain());
    }
}
