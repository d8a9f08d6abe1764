//! Every image made here is read by decoders that know nothing of how it was made: rqrr for the code, resvg for SVG.

use super::*;
use crate::domain::color::Color;

mod logos;

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
