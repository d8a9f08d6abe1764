//! `/qr*`: codes made, changed and deleted, their images read by a decoder that knows nothing of how they were made, and
//! what proxies hold of them.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Method;
use schemas::link::Entry;
use schemas::link::plan::{Content, Plan, Target};
use schemas::slug::Slug;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::account::is_date;
use crate::engine::{Click, engine};
use crate::feed_writes::check_books;
use crate::harness::{SHORT, TestApp, on_both_engines, unique};

mod changes;
pub(crate) mod read;
mod scans;

/// A new code.
struct Code {
    id: i64,
    link: String,
    image_url: String,
}

async fn code(app: &TestApp, body: Value) -> Code {
    let json = app.post("/api/qr/add", body).await.ok();
    Code {
        id: json["id"].as_i64().expect("an integer"),
        link: json["link"].as_str().expect("text").to_owned(),
        image_url: json["data"]["image_url"].as_str().expect("text").to_owned(),
    }
}

impl Code {
    fn slug(&self) -> &str {
        self.link
            .strip_prefix(SHORT)
            .and_then(|rest| rest.strip_prefix('/'))
            .expect("on the default domain")
    }

    fn image_slug(&self) -> &str {
        let path = self
            .image_url
            .strip_prefix(SHORT)
            .and_then(|rest| rest.strip_prefix('/'));
        path.and_then(|rest| rest.split('?').next())
            .expect("on the default domain")
    }

    /// The image as everyone gets it who has its address, from what proxies hold. It can be read, whatever it is of.
    async fn image(&self, app: &TestApp) -> Bytes {
        let (_, plan) = held(app, self.image_slug()).await.expect("an entry");
        assert!(plan.uncounted);
        let Target::Body(body) = &plan.rules[0].target else {
            panic!("{plan:?}");
        };
        let bytes = match &body.content {
            Content::Inline(bytes) => Bytes::from(bytes.clone()),
            Content::Blob { hash, size } => {
                let (bytes,): (Vec<u8>,) =
                    sqlx::query_as("SELECT bytes FROM blobs WHERE hash = $1 AND refs > 0")
                        .bind(hash.to_vec())
                        .fetch_one(app.running.store.readers())
                        .await
                        .expect("a blob in use");
                assert_eq!(bytes.len() as u64, *size);
                bytes.into()
            }
        };
        // Those who have a key get the same bytes from us.
        let path = format!("/{}", self.image_slug());
        let answer = app.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, body.content_type.as_str())
        );
        assert_eq!(answer.body, bytes);
        read::read(&bytes);
        bytes
    }
}

/// Destination and plan of the entry at a slug.
pub(crate) async fn held(app: &TestApp, slug: &str) -> Option<(String, Plan)> {
    let (entry,): (Vec<u8>,) = sqlx::query_as("SELECT entry FROM links WHERE slug = $1")
        .bind(slug.to_owned())
        .fetch_optional(app.running.store.readers())
        .await
        .expect("reads")?;
    let entry = Entry::parse(&entry).expect("an entry");
    let destination = String::from_utf8(entry.destination.to_vec()).expect("ascii");
    Some((destination, Plan::decode(entry.plan).expect("a plan")))
}

/// A PNG as pixels.
pub(crate) fn pixels(png: &[u8]) -> (usize, Vec<[u8; 3]>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut samples = vec![0; reader.output_buffer_size().expect("small")];
    let frame = reader.next_frame(&mut samples).expect("whole");
    assert_eq!(
        (frame.width, frame.color_type),
        (frame.height, png::ColorType::Rgb)
    );
    (frame.width as usize, samples.as_chunks::<3>().0.to_vec())
}

/// Colour of the logo at [`logo_site`].
pub(crate) const LOGO_COLOR: [u8; 3] = [200, 0, 0];

/// URL of a logo.
pub(crate) async fn logo_site() -> String {
    format!("http://{}/logo.png", site(plain_png(300, LOGO_COLOR)).await)
}

/// What is in the code of a PNG.
pub(crate) fn decode(png: &[u8]) -> String {
    let (side, pixels) = pixels(png);
    let luma = |x: usize, y: usize| {
        let [red, green, blue] = pixels[y * side + x].map(u32::from);
        u8::try_from((299 * red + 587 * green + 114 * blue) / 1000).expect("a byte")
    };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, luma);
    let grids = image.detect_grids();
    grids.first().expect("a code").decode().expect("readable").1
}

/// A server that answers everything with these bytes.
pub(crate) async fn site(body: Vec<u8>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 2000];
            _ = stream.read(&mut head).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            _ = stream.write_all(head.as_bytes()).await;
            _ = stream.write_all(&body).await;
        }
    });
    addr
}

/// A PNG of one colour.
pub(crate) fn plain_png(side: u32, rgb: [u8; 3]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Rgb);
    let samples = rgb.repeat((side * side) as usize);
    encoder
        .write_header()
        .expect("a head")
        .write_image_data(&samples)
        .expect("pixels");
    out
}

/// A black square, every row of it there: short, since all is the same, and right to the last checksum.
fn png_bomb(side: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().expect("a head");
    let mut rows = writer.stream_writer().expect("a stream");
    let row = vec![0; side.div_ceil(8) as usize];
    for _ in 0..side {
        std::io::Write::write_all(&mut rows, &row).expect("a row");
    }
    rows.finish().expect("whole");
    writer.finish().expect("ends");
    out
}

on_both_engines! {
    async fn o_24_o_70_o_71_codes_are_listed_under_data_qrs_newest_first(app) {
        for n in 0..3 {
            code(&app, json!({"type": "text", "data": "x", "name": format!("Code {n}")})).await;
            app.config.clock.advance_ms(1000);
        }
        let json = app.get("/api/qr?limit=2&page=1").await.ok();
        let data = &json["data"];
        assert_eq!((&data["result"], &data["perpage"], &data["currentpage"], &data["nextpage"], &data["maxpage"]), (&json!(3), &json!(2), &json!(1), &json!(2), &json!(2)));
        // O-71: the five keys; dates fall.
        let names: Vec<&str> = data["qrs"].as_array().expect("codes").iter().map(|c| c["name"].as_str().expect("text")).collect();
        assert_eq!(names, ["Code 2", "Code 1"]);
        for item in data["qrs"].as_array().expect("codes") {
            let keys: Vec<&String> = item.as_object().expect("an object").keys().collect();
            assert_eq!(keys, ["date", "id", "link", "name", "scans"]);
            assert_eq!(item["scans"], 0);
            assert!(is_date(item["date"].as_str().expect("text")) && item["id"].is_i64(), "{item}");
        }
        let date = |place: usize| data["qrs"][place]["date"].as_str().expect("text");
        assert!(date(0) > date(1), "{data}");
        assert_eq!(data["stats"], "unavailable");
        let rest = app.get("/api/qr?limit=2&page=2").await.ok();
        assert_eq!(rest["data"]["qrs"].as_array().expect("codes").len(), 1);
        assert_eq!(rest["data"]["nextpage"], 2);
    }

    async fn o_72_one_code_has_details_and_data(app) {
        let made = code(&app, json!({"type": "link", "data": "https://e.test/"})).await;
        let json = app.get(&format!("/api/qr/{}", made.id)).await.ok();
        assert_eq!((&json["details"]["id"], &json["details"]["link"]), (&json!(made.id), &json!(made.link)));
        assert_eq!(json["details"]["name"], format!("QR code {}", made.id));
        assert_eq!(json["details"]["scans"], 0);
        assert!(is_date(json["details"]["date"].as_str().expect("text")), "{json}");
        assert_eq!(json["details"]["image_url"], made.image_url);
        for key in ["clicks", "uniqueClicks", "topCountries", "topReferrers", "topBrowsers", "topOs", "socialCount"] {
            assert!(!json["data"][key].is_null(), "{key}");
        }
        app.get("/api/qr/999").await.refused("QR code '999' does not exist");
        app.get("/api/qr/x").await.refused("QR code 'x' does not exist");
    }

    async fn o_77_type_and_data_are_required(app) {
        for (body, error) in [
            (json!({"data": "x"}), "type is required"),
            (json!({}), "type is required"),
            (json!({"type": "", "data": "x"}), "type is required"),
            (json!({"type": "text"}), "data is required"),
            (json!({"type": "text", "data": null}), "data is required"),
            (json!({"type": "text", "data": ""}), "data must not be empty"),
            (json!({"type": "link"}), "data is required"),
            (json!({"type": "dynamic"}), "url is required"),
            (json!({"type": "static", "name": "x"}), "url is required"),
            (json!({"type": 7, "data": "x"}), "type must be one of"),
            (json!({"type": ["text"], "data": "x"}), "type must be text"),
        ] {
            app.post("/api/qr/add", body).await.refused(error);
        }
        assert_eq!(app.get("/api/qr").await.ok()["data"]["result"], 0);
    }

    async fn o_78_texts_mails_numbers_and_messages_are_in_the_image(app) {
        for (kind, data, expected) in [
            ("text", "Grüße, 漢字", "Grüße, 漢字"),
            ("email", "me@e.test", "mailto:me@e.test"),
            ("phone", "+49 30 123456", "tel:+4930123456"),
            ("sms", "+49 30 123456", "SMSTO:+4930123456:"),
        ] {
            let made = code(&app, json!({"type": kind, "data": data})).await;
            assert_eq!(decode(&made.image(&app).await), expected);
            // Its own address shows the image, and counts nothing.
            let (destination, plan) = held(&app, made.slug()).await.expect("an entry");
            assert!(destination.is_empty() && plan.uncounted && !plan.scan, "{plan:?}");
            assert!(matches!(plan.target, Some(Target::Body(_))));
        }
    }

    async fn o_79_a_link_leads_on_and_its_visits_are_scans(app) {
        let made = code(&app, json!({"type": "link", "data": "https://google.com"})).await;
        assert_eq!(decode(&made.image(&app).await), made.link);
        let (destination, plan) = held(&app, made.slug()).await.expect("an entry");
        assert_eq!(destination, "https://google.com/");
        assert!(plan.scan && !plan.uncounted && plan.target.is_none());
    }

    async fn o_80_a_vcard_is_in_the_image(app) {
        let made = code(&app, json!({"type": "vcard", "data": {"fname": "Ada", "lname": "Love,lace", "phone": "+44 20 1"}})).await;
        let card = decode(&made.image(&app).await);
        assert_eq!(card, "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Love\\,lace;Ada;;;\r\nFN:Ada Love\\,lace\r\nTEL:+44201\r\nEND:VCARD");
    }

    async fn o_81_a_network_is_in_the_image(app) {
        let made = code(&app, json!({"type": "wifi", "data": {"ssid": "a;b", "password": "p:w", "encryption": "WPA"}})).await;
        assert_eq!(decode(&made.image(&app).await), "WIFI:T:WPA;S:a\\;b;P:p\\:w;;");
        app.post("/api/qr/add", json!({"type": "wifi", "data": {"password": "p"}})).await.refused("data.ssid is required");
    }

    async fn o_82_an_unknown_type_hears_which_there_are(app) {
        app.post("/api/qr/add", json!({"type": "fax", "data": "x"})).await
            .refused("type must be one of text, vcard, link, email, phone, sms, wifi, dynamic, static");
    }

    async fn o_83_colours_are_in_the_pixels(app) {
        let made = code(&app, json!({"type": "link", "data": "https://e.test/", "background": "rgb(250, 240,10)", "foreground": "rgb(7,17,31)"})).await;
        let (side, pixels) = pixels(&made.image(&app).await);
        assert_eq!((side, pixels[0]), (600, [250, 240, 10]));
        assert!(pixels.contains(&[7, 17, 31]));
        assert!(pixels.iter().all(|p| [[250, 240, 10], [7, 17, 31]].contains(p)));
        assert_eq!(decode(&made.image(&app).await), made.link);
        for (field, value, error) in [
            ("foreground", "rgb(256,0,0)", "foreground must be a colour"),
            ("background", "red", "background must be a colour"),
            ("foreground", "#eeeeee", "scanners need it darker"),
            ("background", "#000", "scanners need it darker"),
        ] {
            app.post("/api/qr/add", json!({"type": "text", "data": "x", field: value})).await.refused(error);
        }
    }

    async fn o_84_a_logo_is_in_the_middle_and_private_addresses_are_refused(app) {
        let png = plain_png(300, [200, 0, 0]);
        let addr = site(png).await;
        let made = code(&app, json!({"type": "link", "data": "https://e.test/", "logo": format!("http://{addr}/logo.png"), "error_correction": "L"})).await;
        let image = made.image(&app).await;
        assert_eq!(decode(&image), made.link);
        let (side, pixels) = pixels(&image);
        assert_eq!(pixels[side * (side / 2) + side / 2], [200, 0, 0]);
        let before = app.get("/api/qr").await.ok()["data"]["result"].clone();
        for url in ["http://10.0.0.1/x.png", "http://127.0.0.2/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/latest", "http://2130706434/", "http://[::1]/"] {
            app.post("/api/qr/add", json!({"type": "text", "data": "x", "logo": url})).await.refused("logo must lead to a public address");
        }
        for url in ["logo.png", "file:///etc/passwd", "ftp://e.test/"] {
            app.post("/api/qr/add", json!({"type": "text", "data": "x", "logo": url})).await.refused("logo must be an http or https URL");
        }
        let text = site(b"<svg onload=alert(1)>".to_vec()).await;
        app.post("/api/qr/add", json!({"type": "text", "data": "x", "logo": format!("http://{text}/")})).await.refused("logo is neither a PNG nor a JPEG image");
        let mut bomb = plain_png(1, [0; 3]);
        bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let bomb = site(bomb).await;
        app.post("/api/qr/add", json!({"type": "text", "data": "x", "logo": format!("http://{bomb}/")})).await.refused("logo is ");
        // One that is a whole PNG, checksums and all: a few kilobytes that are twenty-five million pixels.
        let bomb = png_bomb(5_000);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let bomb = site(bomb).await;
        app.post("/api/qr/add", json!({"type": "text", "data": "x", "logo": format!("http://{bomb}/")})).await.refused("logo is ");
        let endless = site(vec![0x89; 3 << 20]).await;
        app.post("/api/qr/add", json!({"type": "text", "data": "x", "logo": format!("http://{endless}/")})).await.refused("logo is longer than 2097152 bytes");
        assert_eq!(app.get("/api/qr").await.ok()["data"]["result"], before);
        // The logo stays when other things change, and can be taken away.
        app.put(&format!("/api/qr/{}/update", made.id), json!({"data": "https://e.test/2", "background": "#eee"})).await.ok();
        let (side, changed) = self::pixels(&made.image(&app).await);
        assert_eq!(changed[side * (side / 2) + side / 2], [200, 0, 0]);
        app.put(&format!("/api/qr/{}/update", made.id), json!({"data": "https://e.test/2", "logo": ""})).await.ok();
        let image = made.image(&app).await;
        assert!(!self::pixels(&image).1.contains(&[200, 0, 0]));
        assert_eq!(decode(&image), made.link);
    }

    async fn o_85_the_answer_has_error_id_and_link_at_the_top(app) {
        let json = app.post("/api/qr/add", json!({"type": "link", "data": "https://e.test/"})).await.ok();
        assert!(json["id"].is_i64());
        assert_eq!((&json["id"], &json["link"]), (&json["data"]["id"], &json["data"]["link"]));
        // O-86: <host>/qr/<lower-case hex>.
        let slug = json["link"].as_str().and_then(|link| link.strip_prefix("https://go.test/qr/")).expect("below qr/");
        assert!(slug.len() == 8 && slug.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{slug}");
    }

    async fn o_88_a_dynamic_code_is_made_of_name_and_url(app) {
        let made = code(&app, json!({
            "name": "Q2 menu", "type": "dynamic", "url": "https://example.com/menu", "size": 600,
            "foreground": "#07111F", "background": "#FFFFFF", "format": "png",
        })).await;
        assert_eq!(app.get("/api/qr").await.ok()["data"]["qrs"][0]["name"], "Q2 menu");
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://example.com/menu");
        // O-89, O-90: its size and colours.
        let image = made.image(&app).await;
        let (side, pixels) = pixels(&image);
        assert_eq!(side, 600);
        assert!(pixels.contains(&[7, 17, 31]) && pixels[0] == [255; 3]);
        assert_eq!(decode(&image), made.link);
    }

    async fn o_89_size_is_in_pixels_and_has_limits(app) {
        for size in [json!(100), json!("333"), json!(2000)] {
            let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/", "size": size})).await;
            let read = read::read(&made.image(&app).await);
            assert_eq!(read.side.to_string(), size.to_string().trim_matches('"'));
            assert_eq!(read.text, made.link);
        }
        for (field, value, error) in [
            ("size", json!(99), "size must be a whole number from 100 to 2000"),
            ("size", json!(2001), "size must be a whole number from 100 to 2000"),
            ("size", json!(-1), "size must be a whole number"),
            ("size", json!(1.5), "size must be a whole number"),
            ("size", json!(1e300), "size must be a whole number"),
            ("size", json!("big"), "size must be a whole number"),
            ("margin", json!(11), "margin must be a whole number from 0 to 10"),
            ("error_correction", json!("Z"), "error_correction must be one of L, M, Q, H"),
            ("format", json!("gif"), "format must be one of png, svg, webp"),
            ("url", json!("javascript:alert(1)"), "url must begin with http"),
            ("url", json!(format!("{SHORT}/qr/abc")), "url must not lead to another QR code"),
            ("url", json!("http://127.0.0.1:8080/qr%2Fabc"), "url must not lead to another QR code"),
            ("name", json!("x".repeat(256)), "name must be at most 255 characters"),
            ("name", json!("a\u{0}"), "name must not hold control"),
        ] {
            let mut body = json!({"type": "dynamic", "url": "https://e.test/"});
            body[field] = value;
            app.post("/api/qr/add", body).await.refused(error);
        }
        // A code of a link of ours is what people print.
        code(&app, json!({"type": "dynamic", "url": format!("{SHORT}/spring-sale")})).await;
        app.post("/api/qr/add", json!({"type": "text", "data": "x".repeat(2332), "size": 2000})).await.refused("data is too long for a QR code");
        app.post("/api/qr/add", json!({"type": "text", "data": "x".repeat(1000), "size": 100})).await.refused("size must be at least");
    }

    async fn o_91_images_come_as_png_svg_and_webp(app) {
        for (format, kind, start) in [("png", "image/png", &b"\x89PNG"[..]), ("svg", "image/svg+xml", b"<svg xmlns="), ("webp", "image/webp", b"RIFF")] {
            let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/", "format": format})).await;
            assert!(made.image(&app).await.starts_with(start));
            assert!(made.image_slug().ends_with(&format!("/download/{format}")));
            let (_, plan) = held(&app, made.image_slug()).await.expect("an entry");
            let Target::Body(body) = &plan.rules[0].target else { panic!("{plan:?}") };
            assert_eq!((body.content_type.as_str(), body.max_age_s), (kind, 300));
            // Any format can be had with a key.
            for (other, kind) in [("png", "image/png"), ("svg", "image/svg+xml"), ("webp", "image/webp")] {
                let answer = app.get(&format!("/dashboard/qrcodes/{}/download/{other}", made.id)).await;
                assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, kind));
                assert_eq!(answer.header("x-content-type-options"), "nosniff");
            }
        }
    }
}
