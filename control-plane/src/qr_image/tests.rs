//! Every image made here is read by decoders that know nothing of how it was made: rqrr for the code, resvg for SVG.

use super::*;
use crate::domain::color::Color;

/// An image as pixels.
struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<[u8; 3]>,
}

impl Picture {
    fn read(bytes: &[u8]) -> Self {
        match bytes {
            [0x89, b'P', ..] => Self::png(bytes),
            [b'R', b'I', b'F', b'F', ..] => {
                let mut decoder =
                    image_webp::WebPDecoder::new(std::io::Cursor::new(bytes)).expect("a WebP");
                let (width, height) = decoder.dimensions();
                assert!(!decoder.has_alpha());
                let mut samples = vec![0; decoder.output_buffer_size().expect("small")];
                decoder.read_image(&mut samples).expect("whole");
                Self::new(width, height, &samples)
            }
            _ => {
                let tree = resvg::usvg::Tree::from_data(bytes, &resvg::usvg::Options::default())
                    .expect("an SVG");
                let size = tree.size().to_int_size();
                let mut map =
                    resvg::tiny_skia::Pixmap::new(size.width(), size.height()).expect("small");
                resvg::render(
                    &tree,
                    resvg::tiny_skia::Transform::identity(),
                    &mut map.as_mut(),
                );
                let samples: Vec<u8> = map
                    .pixels()
                    .iter()
                    .flat_map(|p| [p.red(), p.green(), p.blue()])
                    .collect();
                Self::new(size.width(), size.height(), &samples)
            }
        }
    }

    fn png(bytes: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("a PNG");
        let mut samples = vec![0; reader.output_buffer_size().expect("small")];
        let frame = reader.next_frame(&mut samples).expect("whole");
        assert_eq!(frame.color_type, png::ColorType::Rgb);
        Self::new(frame.width, frame.height, &samples)
    }

    fn new(width: u32, height: u32, samples: &[u8]) -> Self {
        let rgb = samples.as_chunks::<3>().0.to_vec();
        assert_eq!(rgb.len(), (width * height) as usize);
        Self {
            width: width as usize,
            height: height as usize,
            rgb,
        }
    }

    /// What is in the code, and its error correction level.
    fn decode(&self) -> Result<String, rqrr::DeQRError> {
        let luma = |x: usize, y: usize| {
            let [red, green, blue] = self.rgb[y * self.width + x].map(u32::from);
            u8::try_from((299 * red + 587 * green + 114 * blue) / 1000).expect("a byte")
        };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(self.width, self.height, luma);
        let grids = image.detect_grids();
        let grid = grids.first().ok_or(rqrr::DeQRError::InvalidGridSize)?;
        grid.decode().map(|(_, text)| text)
    }
}

#[track_caller]
fn check(text: &str, style: &Style, logo: Option<&Logo>) -> Picture {
    let bytes = render("data", text, style, logo).expect("fits");
    let picture = Picture::read(&bytes);
    assert_eq!(
        (picture.width, picture.height),
        (style.size as usize, style.size as usize)
    );
    assert_eq!(picture.decode().as_deref(), Ok(text), "{style:?}");
    picture
}

const FORMATS: [Format; 3] = [Format::Png, Format::Svg, Format::Webp];

/// A logo that is as bad for a code as can be: stripes of black and white, a frame of black.
fn busy_logo(side: u32) -> Logo {
    let mut rgba = Vec::new();
    for y in 0..side {
        for x in 0..side {
            let edge = x.min(y).min(side - 1 - x).min(side - 1 - y) < side / 10;
            let gray = if edge || ((x + y) / (side / 8).max(1)).is_multiple_of(2) {
                0
            } else {
                255
            };
            rgba.extend_from_slice(&[gray, gray, gray, 255]);
        }
    }
    Logo::decode(&raster::encoded(side, side, png::ColorType::Rgba, &rgba)).expect("a PNG")
}

#[test]
fn every_format_and_level_is_read_back() {
    let texts = [
        "https://go.test/qr/a2d5e",
        "1234567890",
        "Grüße, 漢字 🙂\nzwei",
        "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:A\\, B\r\nEND:VCARD",
    ];
    for format in FORMATS {
        for correction in [
            Correction::Low,
            Correction::Medium,
            Correction::Quartile,
            Correction::High,
        ] {
            for text in texts {
                check(
                    text,
                    &Style {
                        format,
                        correction,
                        size: 300,
                        ..Style::default()
                    },
                    None,
                );
            }
        }
    }
}

#[test]
fn every_size_and_margin_is_read_back() {
    for format in FORMATS {
        for (size, margin) in [(100, 4), (101, 10), (333, 1), (600, 4), (997, 2)] {
            let picture = check(
                "https://go.test/qr/a2d5e",
                &Style {
                    format,
                    size,
                    margin,
                    ..Style::default()
                },
                None,
            );
            // Nothing but the two colours, the margin light all round.
            assert!(
                picture
                    .rgb
                    .iter()
                    .all(|rgb| [[0; 3], [255; 3]].contains(rgb))
            );
            let side = picture.width;
            let first = (0..side).find(|x| {
                picture.rgb[side * (side / 2) + x] == [0; 3]
                    || picture.rgb[side * x + side / 2] == [0; 3]
            });
            assert!(first.expect("a dark module") >= margin as usize);
        }
    }
}

#[test]
fn pixels_have_the_colours_asked_for() {
    let style = Style {
        foreground: Color([7, 17, 31]),
        background: Color([250, 240, 10]),
        ..Style::default()
    };
    for format in FORMATS {
        let picture = check("https://go.test/qr/a2d5e", &Style { format, ..style }, None);
        assert_eq!(picture.rgb[0], [250, 240, 10], "{format:?}");
        // The corner of the first finder pattern: 4 modules of margin and some pixels in.
        let at = 600 * 4 / 33 + 10;
        assert_eq!(picture.rgb[at * 600 + at], [7, 17, 31], "{format:?}");
    }
}

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
    let jpeg = include_bytes!("tests/logo.jpg");
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

#[test]
fn what_does_not_fit_says_what_would() {
    let long = "x".repeat(2400);
    let error = render("data", &long, &Style::default(), None)
        .expect_err("too long")
        .to_string();
    assert_eq!(
        error,
        "data is too long for a QR code: 2400 bytes, at most 2331 fit"
    );
    let low = Style {
        correction: Correction::Low,
        size: 2000,
        ..Style::default()
    };
    check(&long, &low, None);
    let error = render("data", &long, &low, Some(&busy_logo(9)))
        .expect_err("too long")
        .to_string();
    assert_eq!(
        error,
        "data is too long for a QR code with a logo: 2400 bytes, at most 1273 fit"
    );
    let small = Style {
        size: 100,
        ..Style::default()
    };
    let text = "x".repeat(500);
    assert_eq!(
        render("data", &text, &small, None)
            .expect_err("too small")
            .to_string(),
        "size must be at least 186 for this much content"
    );
    check(&text, &Style { size: 186, ..small }, None);
}

#[test]
fn an_svg_holds_nothing_but_shapes() {
    let bytes = render(
        "data",
        "</svg><script>alert(1)</script>\"'&",
        &Style {
            format: Format::Svg,
            ..Style::default()
        },
        Some(&busy_logo(20)),
    )
    .expect("fits");
    let svg = String::from_utf8(bytes).expect("text");
    assert!(svg.starts_with("<svg xmlns=") && !svg.contains("script"));
    let allowed = ["svg", "rect", "path", "image", "/svg"];
    for tag in svg.split('<').skip(1) {
        let name = tag.split([' ', '>']).next().expect("a name");
        assert!(allowed.contains(&name), "{tag}");
    }
}

#[test]
fn images_are_the_same_bytes_each_time() {
    use sha2::{Digest as _, Sha256};
    let logo = busy_logo(300);
    let hash = |format, logo| {
        let style = Style {
            format,
            ..Style::default()
        };
        let bytes = render("data", "https://go.test/qr/a2d5e", &style, logo).expect("fits");
        assert_eq!(
            bytes,
            render("data", "https://go.test/qr/a2d5e", &style, logo).expect("fits")
        );
        hex::encode(&Sha256::digest(&bytes)[..8])
    };
    // A new version of a codec may change them: printed codes stay right, addresses of images get new entity tags.
    let hashes = FORMATS.map(|format| [hash(format, None), hash(format, Some(&logo))]);
    assert_eq!(
        hashes,
        [
            ["a6c6ee9105e9c313", "5f8cdf12d22c6a3f"],
            ["f180f4371c7eb1c6", "a503cae13283879e"],
            ["9ba5c413716dd382", "294a6c432c3e44a6"],
        ]
    );
}

#[test]
fn the_largest_images_are_within_what_proxies_take() {
    // Noise cannot be compressed.
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..440 * 440 * 4)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let logo =
        Logo::decode(&raster::encoded(440, 440, png::ColorType::Rgba, &noise)).expect("a PNG");
    let text = "x".repeat(1273);
    for format in FORMATS {
        let bytes = render(
            "data",
            &text,
            &Style {
                format,
                size: 2000,
                ..Style::default()
            },
            Some(&logo),
        )
        .expect("fits");
        assert!(bytes.len() < 2 << 20, "{format:?}: {}", bytes.len());
    }
    check(
        &text,
        &Style {
            size: 2000,
            ..Style::default()
        },
        Some(&logo),
    );
}
