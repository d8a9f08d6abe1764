//! Images of codes, read by decoders that know nothing of how they were made: rqrr for the code, resvg for SVG.

use super::*;

/// What was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// Pixels of a side.
    pub(crate) side: usize,
    /// `L`, `M`, `Q` or `H`.
    pub(crate) level: char,
    /// Its text.
    pub(crate) text: String,
    /// Pixels before the first dark one.
    pub(crate) margin: usize,
    /// Modules of a side.
    pub(crate) modules: usize,
}

/// Reads an image of any format.
#[track_caller]
pub(crate) fn read(bytes: &[u8]) -> Read {
    let (side, pixels) = match bytes {
        [0x89, b'P', ..] => pixels(bytes),
        [b'R', b'I', b'F', b'F', ..] => webp(bytes),
        _ => svg(bytes),
    };
    let luma = |x: usize, y: usize| {
        let [red, green, blue] = pixels[y * side + x].map(u32::from);
        u8::try_from((299 * red + 587 * green + 114 * blue) / 1000).expect("a byte")
    };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, luma);
    let grids = image.detect_grids();
    let (meta, text) = grids.first().expect("a code").decode().expect("readable");
    let ground = pixels[0];
    let row = |y: usize| &pixels[y * side..(y + 1) * side];
    let margin = (0..side).position(|y| row(y).iter().any(|pixel| *pixel != ground));
    Read {
        side,
        // As the standard writes it in two bits.
        level: ['M', 'L', 'H', 'Q'][usize::from(meta.ecc_level)],
        text,
        // Without a margin the ground is dark: the corner is a finder pattern.
        margin: if luma(0, 0) < 128 {
            0
        } else {
            margin.expect("something dark")
        },
        modules: 17 + 4 * meta.version.0,
    }
}

fn webp(bytes: &[u8]) -> (usize, Vec<[u8; 3]>) {
    let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(bytes)).expect("a WebP");
    let (width, height) = decoder.dimensions();
    assert!(width == height && !decoder.has_alpha());
    let mut samples = vec![0; decoder.output_buffer_size().expect("small")];
    decoder.read_image(&mut samples).expect("whole");
    (width as usize, samples.as_chunks::<3>().0.to_vec())
}

fn svg(bytes: &[u8]) -> (usize, Vec<[u8; 3]>) {
    let tree = resvg::usvg::Tree::from_data(bytes, &resvg::usvg::Options::default());
    let tree = tree.expect("an SVG");
    let size = tree.size().to_int_size();
    assert_eq!(size.width(), size.height());
    let mut map = resvg::tiny_skia::Pixmap::new(size.width(), size.height()).expect("small");
    let as_it_is = resvg::tiny_skia::Transform::identity();
    resvg::render(&tree, as_it_is, &mut map.as_mut());
    let pixel = |p: &resvg::tiny_skia::PremultipliedColorU8| [p.red(), p.green(), p.blue()];
    let pixels = map.pixels().iter().map(pixel).collect();
    (size.width() as usize, pixels)
}

on_both_engines! {
    async fn o_91_every_format_of_a_code_is_read_back(app) {
        for format in ["png", "svg", "webp"] {
            let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/", "format": format, "size": 420})).await;
            assert_eq!(read(&made.image(&app).await).text, made.link);
            for other in ["png", "svg", "webp"] {
                let answer = app.get(&format!("/dashboard/qrcodes/{}/download/{other}", made.id)).await;
                let read = read(&answer.body);
                assert_eq!((read.side, &read.text), (420, &made.link), "{format} as {other}");
            }
        }
    }

    async fn levels_and_margins_are_in_the_image_and_a_logo_has_level_h(app) {
        for format in ["png", "svg", "webp"] {
            for level in ["L", "M", "Q", "H"] {
                let body = json!({"type": "text", "data": "level", "error_correction": level, "format": format});
                let read = read(&code(&app, body).await.image(&app).await);
                assert_eq!((read.level.to_string().as_str(), read.text.as_str()), (level, "level"));
            }
            let logo = logo_site().await;
            for level in [json!(null), json!("L"), json!("H")] {
                let body = json!({"type": "text", "data": "logo", "error_correction": level, "format": format, "logo": logo});
                let read = read(&code(&app, body).await.image(&app).await);
                assert_eq!((read.level, read.text.as_str()), ('H', "logo"));
            }
            for margin in [0, 1, 4, 10] {
                let body = json!({"type": "text", "data": "margin", "margin": margin, "size": 600, "format": format});
                let read = read(&code(&app, body).await.image(&app).await);
                // What is left of whole pixels a module is margin, too.
                let module = 600 / (read.modules + 2 * margin);
                assert!(read.margin >= margin * module && read.margin <= (margin + 1) * module + read.modules, "{margin}: {read:?}");
                assert!(margin != 0 || read.margin < read.modules, "{read:?}");
                assert_eq!(read.text, "margin");
            }
        }
    }

    async fn the_longest_content_is_read_back(app) {
        for (level, most) in [("L", 2953), ("M", 2331), ("Q", 1663), ("H", 1273)] {
            let text: String = ('!'..='z').cycle().take(most).collect();
            let body = json!({"type": "text", "data": text, "size": 2000, "error_correction": level});
            let read = read(&code(&app, body.clone()).await.image(&app).await);
            assert_eq!((read.text, read.modules), (text.clone(), 177), "{level}");
            let mut more = body;
            more["data"] = json!(text + "x");
            app.post("/api/qr/add", more).await.refused("data ");
        }
    }
}
