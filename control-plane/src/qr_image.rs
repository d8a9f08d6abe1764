//! Images of QR codes: pure functions from (text, style, logo) to bytes, the same bytes each time.
//!
//! The matrix is the qrcodegen crate's. A module is a whole number of pixels, what is left over goes to the margins: the
//! image is exactly as large as asked for and has no blurred edge. Without a logo an image has two colours and nothing
//! else; with one, error correction is the highest and the logo lies in the middle on a plate of background, at most
//! [`PLATE_SHARE`] of the side, which is a fraction of what can be repaired.
//!
//! No colours are judged here (see [`crate::domain::qr::style`]) and nothing is stored or fetched. What takes long (a
//! large image with a logo: some 100 ms) is the caller's to put on a thread.

use qrcodegen::{Mask, QrCode, QrCodeEcc, QrSegment, Version};

use crate::domain::field::FieldError;
use crate::domain::qr::style::{Correction, Format, Style};

mod logo;
mod raster;
mod svg;

pub use logo::{Logo, LogoError, MAX_LOGO_BYTES, inspect};

/// Fewest pixels of a module that cameras tell apart.
const MIN_MODULE: u32 = 2;

/// Largest side of the plate under a logo, as a share of the code's side: at most 5 % of its area, where level H repairs
/// some 30 %. The rest is for dirt and bad light.
const PLATE_SHARE: f64 = 0.22;

/// Smallest version with a logo: 33 modules, of which the plate takes 7; in less a logo cannot be seen.
const MIN_LOGO_VERSION: u8 = 4;

/// An image of `text`.
///
/// # Errors
/// The text does not fit into any code, or the code not into the image; `field` names where the text came from.
pub fn render(
    field: &str,
    text: &str,
    style: &Style,
    logo: Option<&Logo>,
) -> Result<Vec<u8>, FieldError> {
    let code = encode(field, text, style, logo.is_some())?;
    let layout = Layout::new(&code, style)?;
    Ok(match style.format {
        Format::Svg => svg::draw(&code, style, &layout, logo),
        Format::Png => raster::png(&code, style, &layout, logo),
        Format::Webp => raster::webp(&code, style, &layout, logo),
    })
}

/// As [`render`], with a margin of so many pixels, exactly, instead of the style's: the code fills the rest of the image,
/// and modules may differ by a pixel.
///
/// # Errors
/// As [`render`]'s; the margin leaves too little room.
pub fn render_within(
    field: &str,
    text: &str,
    style: &Style,
    margin: u32,
) -> Result<Vec<u8>, FieldError> {
    let code = encode(field, text, style, false)?;
    let layout = Layout::within(&code, style.size, margin)?;
    Ok(match style.format {
        Format::Svg => svg::draw(&code, style, &layout, None),
        Format::Png => raster::png(&code, style, &layout, None),
        Format::Webp => raster::webp(&code, style, &layout, None),
    })
}

fn encode(field: &str, text: &str, style: &Style, has_logo: bool) -> Result<QrCode, FieldError> {
    let (level, version) = if has_logo {
        (QrCodeEcc::High, Version::new(MIN_LOGO_VERSION))
    } else {
        let level = match style.correction {
            Correction::Low => QrCodeEcc::Low,
            Correction::Medium => QrCodeEcc::Medium,
            Correction::Quartile => QrCodeEcc::Quartile,
            Correction::High => QrCodeEcc::High,
        };
        (level, Version::MIN)
    };
    let segments = QrSegment::make_segments(text);
    // The level that was asked for and no other, though a higher one might cost no larger image: owners look at it.
    QrCode::encode_segments_advanced(&segments, level, version, Version::MAX, None::<Mask>, false)
        .map_err(|_| {
            let hint = if has_logo { " with a logo" } else { "" };
            FieldError::new(
                field,
                format!(
                    "is too long for a QR code{hint}: {} bytes, at most {} fit",
                    text.len(),
                    capacity(level)
                ),
            )
        })
}

/// Bytes that the largest code of a level holds (ISO/IEC 18004, table 7).
fn capacity(level: QrCodeEcc) -> usize {
    match level {
        QrCodeEcc::Low => 2953,
        QrCodeEcc::Medium => 2331,
        QrCodeEcc::Quartile => 1663,
        QrCodeEcc::High => 1273,
    }
}

/// Where things lie.
#[derive(Debug, Clone, Copy)]
struct Layout {
    /// Modules on a side, without margins.
    modules: u32,
    /// Pixels of a module; where not all have the same, of the smallest.
    module: u32,
    /// Pixels of all modules of a row.
    inner: u32,
    /// Pixels before the first module.
    offset: u32,
    /// Modules on a side of the plate under a logo: odd, as the code's own, so that it lies in the middle of whole modules.
    plate: u32,
}

impl Layout {
    fn new(code: &QrCode, style: &Style) -> Result<Self, FieldError> {
        let modules = u32::try_from(code.size()).unwrap_or(177);
        let with_margins = modules + 2 * style.margin;
        let module = style.size / with_margins;
        if module < MIN_MODULE {
            return Err(FieldError::new(
                "size",
                format!(
                    "must be at least {} for this much content",
                    with_margins * MIN_MODULE
                ),
            ));
        }
        let plate = (f64::from(modules) * PLATE_SHARE) as u32;
        Ok(Self {
            modules,
            module,
            inner: module * modules,
            offset: (style.size - module * modules) / 2,
            plate: plate.saturating_sub(1) | 1,
        })
    }

    fn within(code: &QrCode, size: u32, margin: u32) -> Result<Self, FieldError> {
        let modules = u32::try_from(code.size()).unwrap_or(177);
        let inner = size.saturating_sub(margin.saturating_mul(2));
        if inner < modules * MIN_MODULE {
            return Err(FieldError::new(
                "margin",
                format!(
                    "must leave the code at least {} pixels of the size",
                    modules * MIN_MODULE
                ),
            ));
        }
        Ok(Self {
            modules,
            module: inner / modules,
            inner,
            offset: margin,
            plate: 0,
        })
    }

    /// The pixel at which the module of this number begins; of their number, where the last one ends.
    fn edge(&self, module: u32) -> u32 {
        self.offset + module * self.inner / self.modules
    }

    /// The plate under a logo, in pixels.
    fn plate(&self) -> Plate {
        Plate {
            begin: self.offset + (self.modules - self.plate) / 2 * self.module,
            side: self.plate * self.module,
            room: self.module / 2,
        }
    }
}

/// The plate under a logo, in pixels.
#[derive(Debug, Clone, Copy)]
struct Plate {
    /// Its first column and row.
    begin: u32,
    /// Its width and height.
    side: u32,
    /// Room between its edge and the logo.
    room: u32,
}

/// Whether the module at (x, y) is dark.
fn is_dark(code: &QrCode, x: u32, y: u32) -> bool {
    code.get_module(x.cast_signed(), y.cast_signed())
}

#[cfg(test)]
mod tests;
