//! Logos: pictures of strangers, PNG or JPEG by their first bytes, whatever anything else says.
//!
//! A picture's head is read first; one that claims more than [`MAX_SIDE`] on a side is refused before anything of its size
//! is allocated. Beyond that the PNG decoder has a budget of memory, skips texts and colour profiles (which may be bombs of
//! their own), and of an animation the still image is taken. Decoders without SIMD, so that each machine makes the same
//! pixels.
//!
//! What is kept is scaled down to [`KEPT_SIDE`] and written anew: nothing of the original's bytes is ever sent to anyone.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::raster;

/// Longest file in bytes.
pub const MAX_LOGO_BYTES: usize = 2 << 20;

/// Longest side in pixels: 16 MiB when decoded.
const MAX_SIDE: u32 = 2048;

/// Memory for decoding one PNG, in bytes: the pixels of [`MAX_SIDE`] at 16 bits a sample, and as much again to work.
const MEMORY: usize = 64 << 20;

/// Most scans of a progressive JPEG: usual ones have ten, and each is a pass over the whole picture.
const MAX_SCANS: usize = 32;

/// Longest side that is kept, in pixels: the plate in the largest image is no wider.
const KEPT_SIDE: u32 = 440;

/// Why bytes are no logo, worded to follow the name of a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// Longer than [`MAX_LOGO_BYTES`].
    #[error("is longer than {MAX_LOGO_BYTES} bytes")]
    TooLong,
    /// Neither PNG nor JPEG.
    #[error("is neither a PNG nor a JPEG image")]
    Format,
    /// A side of 0, or beyond [`MAX_SIDE`].
    #[error("is {0} × {1} pixels, at most {MAX_SIDE} × {MAX_SIDE} are allowed")]
    Size(u32, u32),
    /// Damaged, cut short, or of a kind that is not read.
    #[error("is a damaged image")]
    Damaged,
}

/// A picture, at most [`KEPT_SIDE`] on a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Four bytes a pixel, row by row; not premultiplied.
    pub(super) rgba: Vec<u8>,
}

impl Logo {
    /// Reads a picture and scales it down.
    ///
    /// # Errors
    /// Not a PNG or JPEG within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogoError> {
        if bytes.len() > MAX_LOGO_BYTES {
            return Err(LogoError::TooLong);
        }
        let whole = match bytes {
            [0x89, b'P', b'N', b'G', ..] => decode_png(bytes)?,
            [0xff, 0xd8, 0xff, ..] => decode_jpeg(bytes)?,
            _ => return Err(LogoError::Format),
        };
        if whole.width.max(whole.height) <= KEPT_SIDE {
            return Ok(whole);
        }
        let (width, height) = whole.fit(KEPT_SIDE);
        let rgba = whole.scaled(width, height);
        Ok(Self {
            width,
            height,
            rgba,
        })
    }

    /// As a PNG, which [`Self::decode`] reads back to the same.
    pub fn to_png(&self) -> Vec<u8> {
        raster::encoded(self.width, self.height, png::ColorType::Rgba, &self.rgba)
    }

    /// Width and height of the picture when its longer side is `side`.
    pub(super) fn fit(&self, side: u32) -> (u32, u32) {
        let longer = u64::from(self.width.max(self.height).max(1));
        let scaled = |part: u32| {
            let scaled = u64::from(part) * u64::from(side) / longer;
            u32::try_from(scaled).unwrap_or(side).max(1)
        };
        (scaled(self.width), scaled(self.height))
    }

    /// The pixels at another size: each is the mean of what it covers, weighted by how opaque that is. In whole numbers
    /// only, so it is the same on every machine.
    pub(super) fn scaled(&self, width: u32, height: u32) -> Vec<u8> {
        let pixels = self.rgba.as_chunks::<4>().0;
        let mut out = Vec::with_capacity(4 * width as usize * height as usize);
        for y in 0..height {
            let rows = covered(y, height, self.height);
            for x in 0..width {
                let columns = covered(x, width, self.width);
                let (mut sums, mut alphas, mut count) = ([0_u64; 3], 0_u64, 0_u64);
                for row in rows.clone() {
                    let from = row as usize * self.width as usize;
                    let range = from + columns.start as usize..from + columns.end as usize;
                    for [red, green, blue, alpha] in pixels.get(range).unwrap_or_default() {
                        let alpha = u64::from(*alpha);
                        for (sum, part) in sums.iter_mut().zip([red, green, blue]) {
                            *sum += u64::from(*part) * alpha;
                        }
                        alphas += alpha;
                        count += 1;
                    }
                }
                let mean = |sum: u64, of: u64| {
                    u8::try_from((sum + of / 2).checked_div(of).unwrap_or(0)).unwrap_or(255)
                };
                out.extend_from_slice(&sums.map(|sum| mean(sum, alphas)));
                out.push(mean(alphas, count));
            }
        }
        out
    }
}

/// What a picture is that is served as it came: its type, width and height in pixels. It is decoded whole, so that what
/// only looks like one is refused.
///
/// # Errors
/// Not a PNG or JPEG within the limits.
pub fn inspect(bytes: &[u8]) -> Result<(&'static str, u32, u32), LogoError> {
    if bytes.len() > MAX_LOGO_BYTES {
        return Err(LogoError::TooLong);
    }
    let (content_type, whole) = match bytes {
        [0x89, b'P', b'N', b'G', ..] => ("image/png", decode_png(bytes)?),
        [0xff, 0xd8, 0xff, ..] => ("image/jpeg", decode_jpeg(bytes)?),
        _ => return Err(LogoError::Format),
    };
    Ok((content_type, whole.width, whole.height))
}

/// Which of `from` pixels the pixel `at` of `to` covers: at least one.
fn covered(at: u32, to: u32, from: u32) -> std::ops::Range<u32> {
    let place =
        |at: u32| u32::try_from(u64::from(at) * u64::from(from) / u64::from(to)).unwrap_or(from);
    let begin = place(at);
    begin..place(at + 1).max(begin + 1)
}

fn check_size(width: u32, height: u32) -> Result<(), LogoError> {
    if (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height) {
        Ok(())
    } else {
        Err(LogoError::Size(width, height))
    }
}

fn decode_png(bytes: &[u8]) -> Result<Logo, LogoError> {
    let limits = png::Limits { bytes: MEMORY };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(
        png::Transformations::normalize_to_color8() | png::Transformations::ALPHA,
    );
    let head = decoder.read_header_info().map_err(|_| LogoError::Damaged)?;
    let (width, height) = (head.width, head.height);
    check_size(width, height)?;
    let mut reader = decoder.read_info().map_err(|_| LogoError::Damaged)?;
    let length = reader
        .output_buffer_size()
        .filter(|length| *length <= MEMORY)
        .ok_or(LogoError::Damaged)?;
    let mut samples = vec![0; length];
    let frame = reader
        .next_frame(&mut samples)
        .map_err(|_| LogoError::Damaged)?;
    samples.truncate(frame.buffer_size());
    let rgba = match frame.color_type {
        png::ColorType::Rgba => samples,
        png::ColorType::GrayscaleAlpha => {
            let pairs = samples.as_chunks::<2>().0.iter();
            pairs
                .flat_map(|[gray, alpha]| [*gray, *gray, *gray, *alpha])
                .collect()
        }
        _ => return Err(LogoError::Damaged),
    };
    whole((frame.width, frame.height), (width, height), rgba)
}

fn decode_jpeg(bytes: &[u8]) -> Result<Logo, LogoError> {
    let options = DecoderOptions::new_safe()
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize)
        .set_strict_mode(true)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let headers = decoder.decode_headers();
    let (width, height) = match (headers, decoder.info()) {
        (Ok(()), Some(info)) => (u32::from(info.width), u32::from(info.height)),
        // The decoder has limits of its own and says no more.
        _ => return Err(LogoError::Damaged),
    };
    check_size(width, height)?;
    let rgb = decoder.decode().map_err(|_| LogoError::Damaged)?;
    let pixels = rgb.as_chunks::<3>().0.iter();
    let rgba = pixels
        .flat_map(|[red, green, blue]| [*red, *green, *blue, 255])
        .collect();
    whole((width, height), (width, height), rgba)
}

/// A picture whose pixels are all there.
fn whole(found: (u32, u32), said: (u32, u32), rgba: Vec<u8>) -> Result<Logo, LogoError> {
    let (width, height) = said;
    if found != said || rgba.len() != 4 * width as usize * height as usize {
        return Err(LogoError::Damaged);
    }
    Ok(Logo {
        width,
        height,
        rgba,
    })
}
