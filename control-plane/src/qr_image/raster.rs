//! PNG and WebP.

use qrcodegen::QrCode;

use super::logo::Logo;
use super::{Layout, Plate, is_dark};
use crate::domain::color::Color;
use crate::domain::qr::style::Style;

/// Whether each pixel of a row is dark; `None`: a row of the margin. Rows of one module are the same.
fn dark_pixels(code: &QrCode, size: u32, layout: &Layout, module_y: Option<u32>) -> Vec<bool> {
    let mut row = vec![false; size as usize];
    if let Some(y) = module_y {
        for x in (0..layout.modules).filter(|x| is_dark(code, *x, y)) {
            let (begin, end) = (layout.edge(x) as usize, layout.edge(x + 1) as usize);
            if let Some(pixels) = row.get_mut(begin..end) {
                pixels.fill(true);
            }
        }
    }
    row
}

/// The rows of an image from above: what each shows, and how often.
fn rows(size: u32, layout: &Layout) -> impl Iterator<Item = (Option<u32>, usize)> {
    let below = size - layout.edge(layout.modules);
    let modules = (0..layout.modules).map(|y| {
        let height = layout.edge(y + 1) - layout.edge(y);
        (Some(y), height as usize)
    });
    let above = std::iter::once((None, layout.offset as usize));
    above
        .chain(modules)
        .chain(std::iter::once((None, below as usize)))
}

pub(super) fn png(code: &QrCode, style: &Style, layout: &Layout, logo: Option<&Logo>) -> Vec<u8> {
    match logo {
        None => two_colours(code, style, layout),
        Some(logo) => encoded(
            style.size,
            style.size,
            png::ColorType::Rgb,
            &pixels(code, style, layout, Some(logo)),
        ),
    }
}

pub(super) fn webp(code: &QrCode, style: &Style, layout: &Layout, logo: Option<&Logo>) -> Vec<u8> {
    let pixels = pixels(code, style, layout, logo);
    let mut out = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut out);
    match encoder.encode(&pixels, style.size, style.size, image_webp::ColorType::Rgb8) {
        Ok(()) => out,
        // The size is within the format's and the buffer fits it.
        Err(error) => unreachable!("a picture of {0} × {0}: {error}", style.size),
    }
}

/// A palette of two and a bit a pixel: a tenth of the same picture in full colour.
fn two_colours(code: &QrCode, style: &Style, layout: &Layout) -> Vec<u8> {
    let row_bytes = style.size.div_ceil(8) as usize;
    let mut bits = Vec::with_capacity(row_bytes * style.size as usize);
    for (module_y, times) in rows(style.size, layout) {
        let mut row = vec![0_u8; row_bytes];
        let dark = dark_pixels(code, style.size, layout, module_y);
        for (byte, eight) in row.iter_mut().zip(dark.chunks(8)) {
            for (bit, _) in eight.iter().enumerate().filter(|(_, is_dark)| **is_dark) {
                *byte |= 0x80 >> bit;
            }
        }
        for _ in 0..times {
            bits.extend_from_slice(&row);
        }
    }
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, style.size, style.size);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_palette([style.background.0, style.foreground.0].concat());
    finish(encoder, &bits);
    out
}

/// A PNG of 8-bit samples.
pub(super) fn encoded(width: u32, height: u32, color: png::ColorType, samples: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    finish(encoder, samples);
    out
}

fn finish(mut encoder: png::Encoder<'_, &mut Vec<u8>>, samples: &[u8]) {
    encoder.set_compression(png::Compression::Balanced);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(samples)?;
        writer.finish()
    });
    // Into memory, with a buffer that was made for the header's size.
    if let Err(error) = written {
        unreachable!("a picture of our own: {error}");
    }
}

/// RGB, row by row.
fn pixels(code: &QrCode, style: &Style, layout: &Layout, logo: Option<&Logo>) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 * (style.size as usize).pow(2));
    for (module_y, times) in rows(style.size, layout) {
        let dark = dark_pixels(code, style.size, layout, module_y).into_iter();
        let Color(light) = style.background;
        let colours = dark.map(|is_dark| if is_dark { style.foreground.0 } else { light });
        let row: Vec<u8> = colours.flatten().collect();
        for _ in 0..times {
            out.extend_from_slice(&row);
        }
    }
    if let Some(logo) = logo {
        lay_on(&mut out, style, layout, logo);
    }
    out
}

/// The plate, and the logo on it with half a module of room on each side.
fn lay_on(pixels: &mut [u8], style: &Style, layout: &Layout, logo: &Logo) {
    let Plate { begin, side, room } = layout.plate();
    let (width, height) = logo.fit(side - 2 * room);
    let scaled = logo.scaled(width, height);
    let (left, top) = (begin + (side - width) / 2, begin + (side - height) / 2);
    for y in begin..begin + side {
        for x in begin..begin + side {
            let of_logo = x
                .checked_sub(left)
                .zip(y.checked_sub(top))
                .filter(|(x, y)| *x < width && *y < height)
                .and_then(|(x, y)| scaled.as_chunks::<4>().0.get((y * width + x) as usize));
            let rgb = match of_logo {
                None => style.background.0,
                Some([red, green, blue, alpha]) => {
                    over([*red, *green, *blue], *alpha, style.background.0)
                }
            };
            let at = 3 * (y as usize * style.size as usize + x as usize);
            if let Some(pixel) = pixels.get_mut(at..at + 3) {
                pixel.copy_from_slice(&rgb);
            }
        }
    }
}

fn over(top: [u8; 3], alpha: u8, under: [u8; 3]) -> [u8; 3] {
    let mut out = [0; 3];
    for ((out, top), under) in out.iter_mut().zip(top).zip(under) {
        let (top, under, alpha) = (u32::from(top), u32::from(under), u32::from(alpha));
        *out = u8::try_from((top * alpha + under * (255 - alpha) + 127) / 255).unwrap_or(255);
    }
    out
}
