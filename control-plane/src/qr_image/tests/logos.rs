//! Logos: in the middle of a code that is read all the same, of every kind of picture, and of what is none.

use super::*;

#[test]
fn a_code_is_read_through_its_logo_at_every_version() {
    let logo = busy_logo(300);
    let versions = [1, 30, 60, 100, 150, 250, 400, 600, 900, 1273];
    for length in versions {
        // Lower-case letters: a byte each.
        let text: String = (0..length)
            .map(|n| char::from(b'a' + u8::try_from(n * 7 % 26).expect("a letter")))
            .collect();
        check(
            &text,
            &Style {
                size: 740,
                ..Style::default()
            },
            Some(&logo),
        );
    }
}

#[test]
fn a_logo_is_seen_in_the_middle_of_every_format() {
    let red: Vec<u8> = [200, 0, 0, 255].repeat(50 * 50);
    let logo = Logo::decode(&raster::encoded(50, 50, png::ColorType::Rgba, &red)).expect("a PNG");
    for format in FORMATS {
        for size in [110, 600] {
            let picture = check(
                "https://go.test/qr/a2d5e",
                &Style {
                    format,
                    size,
                    ..Style::default()
                },
                Some(&logo),
            );
            let (side, middle) = (picture.width, picture.width / 2);
            assert_eq!(
                picture.rgb[middle * side + middle],
                [200, 0, 0],
                "{format:?} {size}"
            );
            let red = picture
                .rgb
                .iter()
                .filter(|rgb| **rgb == [200, 0, 0])
                .count();
            let share = red as f64 / (side * side) as f64;
            assert!((0.01..0.05).contains(&share), "{format:?} {size}: {share}");
        }
    }
}

#[test]
fn a_transparent_logo_lies_on_the_background_and_long_ones_keep_their_shape() {
    let clear: Vec<u8> = [0, 0, 0, 0].repeat(10 * 10);
    let logo = Logo::decode(&raster::encoded(10, 10, png::ColorType::Rgba, &clear)).expect("a PNG");
    let background = Color([255, 250, 200]);
    for format in FORMATS {
        let picture = check(
            "x",
            &Style {
                format,
                background,
                ..Style::default()
            },
            Some(&logo),
        );
        assert_eq!(picture.rgb[300 * 600 + 300], background.0, "{format:?}");
    }
    let wide = Logo::decode(&raster::encoded(
        1000,
        10,
        png::ColorType::Grayscale,
        &[9; 10_000],
    ))
    .expect("a PNG");
    assert_eq!(wide.fit(100), (100, 1));
    assert_eq!((wide.width, wide.height), (440, 4));
    check("x", &Style::default(), Some(&wide));
    check(
        "x",
        &Style {
            format: Format::Svg,
            ..Style::default()
        },
        Some(&wide),
    );
}

#[test]
fn logos_are_read_in_every_kind_of_png() {
    let encode = |color, depth, palette: Option<Vec<u8>>, samples: &[u8]| {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, 2, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette);
        }
        encoder
            .write_header()
            .expect("a head")
            .write_image_data(samples)
            .expect("pixels");
        Logo::decode(&out).expect("a PNG").rgba
    };
    use png::{BitDepth, ColorType};
    assert_eq!(
        encode(ColorType::Grayscale, BitDepth::Eight, None, &[1, 2]),
        [1, 1, 1, 255, 2, 2, 2, 255]
    );
    assert_eq!(
        encode(ColorType::Grayscale, BitDepth::Sixteen, None, &[1, 9, 2, 9]),
        [1, 1, 1, 255, 2, 2, 2, 255]
    );
    assert_eq!(
        encode(
            ColorType::GrayscaleAlpha,
            BitDepth::Eight,
            None,
            &[1, 2, 3, 4]
        ),
        [1, 1, 1, 2, 3, 3, 3, 4]
    );
    assert_eq!(
        encode(ColorType::Rgb, BitDepth::Eight, None, &[1, 2, 3, 4, 5, 6]),
        [1, 2, 3, 255, 4, 5, 6, 255]
    );
    assert_eq!(
        encode(
            ColorType::Rgba,
            BitDepth::Eight,
            None,
            &[1, 2, 3, 4, 5, 6, 7, 8]
        ),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(
        encode(
            ColorType::Indexed,
            BitDepth::One,
            Some(vec![1, 2, 3, 4, 5, 6]),
            &[0x40]
        ),
        [1, 2, 3, 255, 4, 5, 6, 255]
    );
}

#[test]
fn a_logo_survives_being_kept() {
    for logo in [busy_logo(10), busy_logo(440), busy_logo(900)] {
        let png = logo.to_png();
        assert_eq!(Logo::decode(&png), Ok(logo));
    }
}

/// A PNG with this head and data that is much shorter than it says.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = raster::encoded(1, 1, png::ColorType::Rgba, &[0; 4]);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The checksum of PNG's chunks, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                sum >> 1 ^ 0xedb8_8320
            } else {
                sum >> 1
            }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn bombs_are_refused_by_their_head() {
    for (width, height) in [
        (2049, 1),
        (1, 2049),
        (65_535, 65_535),
        (0x7fff_ffff, 0x7fff_ffff),
    ] {
        assert_eq!(
            Logo::decode(&bomb(width, height)),
            Err(LogoError::Size(width, height))
        );
    }
    for (width, height) in [(0, 1), (u32::MAX, 1), (2048, 2048), (2, 1)] {
        assert!(Logo::decode(&bomb(width, height)).is_err());
    }
    assert_eq!(
        Logo::decode(&vec![0; MAX_LOGO_BYTES + 1]),
        Err(LogoError::TooLong)
    );
}

#[test]
fn what_is_no_picture_is_refused() {
    for bytes in [
        &b""[..],
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"\x89PN",
        b"<html>",
    ] {
        assert_eq!(Logo::decode(bytes), Err(LogoError::Format));
    }
    let jpeg = include_bytes!("logo.jpg");
    let read = Logo::decode(jpeg).expect("a JPEG");
    assert_eq!((read.width, read.height), (24, 16));
    // Red to the left, blue to the right.
    let [red, green, blue, alpha] = read.rgba.as_chunks::<4>().0[0];
    assert!(red > 200 && green < 60 && blue < 60 && alpha == 255);
    check("https://go.test/qr/a2d5e", &Style::default(), Some(&read));
    for good in [busy_logo(40).to_png(), jpeg.to_vec()] {
        for cut in 0..good.len() - 1 {
            // Cut short at any byte: no panic; nearly always an error.
            _ = Logo::decode(&good[..cut]);
        }
        for at in 0..good.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = good.clone();
                damaged[at] ^= flip;
                _ = Logo::decode(&damaged);
            }
        }
    }
}
