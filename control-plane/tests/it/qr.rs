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

    /// The image as everyone gets it who has its address, from what proxies hold.
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
            let (side, _) = pixels(&made.image(&app).await);
            assert_eq!(side.to_string(), size.to_string().trim_matches('"'));
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

    async fn an_image_has_an_entity_tag_and_needs_a_key_or_a_token(app) {
        let made = code(&app, json!({"type": "text", "data": "secret"})).await;
        let path = format!("/dashboard/qrcodes/{}/download/png", made.id);
        let answer = app.get(&path).await;
        let tag = answer.header("etag").to_owned();
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        let key = format!("Bearer {}", crate::harness::ADMIN_KEY);
        let again = app.call(Method::GET, &path, &[("authorization", &key), ("if-none-match", &format!("\"x\", W/{tag}"))], "").await;
        assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, tag.as_str()));
        app.call(Method::GET, &path, &[], "").await.failed(401, "API key");
        let by_parameter = app.call(Method::GET, &format!("{path}?key={}", crate::harness::ADMIN_KEY), &[], "").await;
        assert_eq!(by_parameter.body, answer.body);
        app.get(&format!("/dashboard/qrcodes/{}/download/gif", made.id)).await.refused("format must be one of");
        app.get("/dashboard/qrcodes/999/download/png").await.refused("does not exist");
        // The token opens it at the proxies, and nothing else does.
        let (_, plan) = held(&app, made.image_slug()).await.expect("an entry");
        let token = made.image_url.split("?token=").nth(1).expect("a token");
        assert_eq!(token.len(), 32);
        assert!(format!("{:?}", plan.rules[0].conditions).contains(token));
        assert!(matches!(&plan.target, Some(Target::Link(_))));
    }

    async fn o_94_a_dynamic_code_is_led_elsewhere_and_its_image_stays(app) {
        let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/1", "name": "Menu"})).await;
        let before = made.image(&app).await;
        app.put(&format!("/api/qr/{}/update", made.id), json!({"url": "https://e.test/2"})).await.ok();
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/2");
        assert_eq!(made.image(&app).await, before);
        let json = app.get(&format!("/api/qr/{}", made.id)).await.ok();
        assert_eq!((&json["details"]["name"], &json["details"]["image_url"], &json["details"]["link"]), (&json!("Menu"), &json!(made.image_url), &json!(made.link)));
        // What is not sent stays.
        app.put(&format!("/api/qr/{}/update", made.id), json!({"name": "Other", "size": 300})).await.ok();
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/2");
        let image = made.image(&app).await;
        assert_eq!((pixels(&image).0, decode(&image)), (300, made.link.clone()));
        // Another format has another address; the old one is gone.
        app.put(&format!("/api/qr/{}/update", made.id), json!({"format": "svg"})).await.ok();
        assert!(held(&app, made.image_slug()).await.is_none());
        let url = app.get(&format!("/api/qr/{}", made.id)).await.ok()["details"]["image_url"].clone();
        assert!(url.as_str().expect("text").contains("/download/svg?token="));
        check_books(&app).await;
    }

    async fn o_95_a_static_code_holds_its_url_for_ever(app) {
        let made = code(&app, json!({"type": "static", "url": "https://e.test/1"})).await;
        assert_eq!(decode(&made.image(&app).await), "https://e.test/1");
        let path = format!("/api/qr/{}/update", made.id);
        app.put(&path, json!({"url": "https://e.test/2"})).await.refused("url of a static code cannot change");
        app.put(&path, json!({"url": "https://e.test/1", "foreground": "#00f"})).await.ok();
        let image = made.image(&app).await;
        assert_eq!(decode(&image), "https://e.test/1");
        assert!(pixels(&image).1.contains(&[0, 0, 255]));
    }

    async fn o_96_an_update_needs_data_and_colours_stay(app) {
        let made = code(&app, json!({"type": "text", "data": "one", "foreground": "rgb(0,0,128)"})).await;
        let path = format!("/api/qr/{}/update", made.id);
        for body in [json!({}), json!({"foreground": "#000"}), json!({"data": null})] {
            app.put(&path, body).await.refused("data is required");
        }
        // O-98: the message, exactly.
        let json = app.put(&path, json!({"data": "two"})).await.ok();
        assert_eq!(json["message"], "QR has been updated successfully.");
        let image = made.image(&app).await;
        assert_eq!(decode(&image), "two");
        assert!(pixels(&image).1.contains(&[0, 0, 128]));
        app.put(&path, json!({"data": "three", "background": "#000080"})).await.refused("scanners need it darker");
        assert_eq!(decode(&made.image(&app).await), "two");
    }

    async fn o_97_an_update_may_repeat_the_type(app) {
        let made = code(&app, json!({"type": "link", "data": "https://e.test/1"})).await;
        let path = format!("/api/qr/{}/update", made.id);
        app.put(&path, json!({"type": "link", "data": "https://e.test/2"})).await.ok();
        app.put(&path, json!({"data": "https://e.test/3"})).await.ok();
        app.put(&path, json!({"type": "text", "data": "x"})).await.refused("type must stay link");
        app.put(&path, json!({"type": "fax", "data": "x"})).await.refused("type must stay link");
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/3");
    }

    async fn o_98_the_message_of_an_update_is_exact(app) {
        let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/1"})).await;
        let json = app.put(&format!("/api/qr/{}/update", made.id), json!({"name": "x"})).await.ok();
        assert_eq!(json, json!({"error": 0, "message": "QR has been updated successfully."}));
    }

    async fn o_99_a_deleted_code_is_gone_with_its_image(app) {
        let logo = site(plain_png(50, [0, 128, 0])).await;
        let made = code(&app, json!({"type": "link", "data": "https://e.test/", "logo": format!("http://{logo}/")})).await;
        let json = app.delete(&format!("/api/qr/{}/delete", made.id)).await.ok();
        assert_eq!(json, json!({"error": 0, "message": "QR Code has been deleted successfully."}));
        assert!(held(&app, made.slug()).await.is_none() && held(&app, made.image_slug()).await.is_none());
        app.get(&format!("/api/qr/{}", made.id)).await.refused("does not exist");
        app.get(&format!("/api/qr/{}/stats", made.id)).await.refused("does not exist");
        app.delete(&format!("/api/qr/{}/delete", made.id)).await.refused("does not exist");
        let (used,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM blobs WHERE refs > 0")
            .fetch_one(app.running.store.readers())
            .await
            .expect("reads");
        assert_eq!(used, 0, "no blob is left in use");
        check_books(&app).await;
        // Its id is never given again.
        let next = code(&app, json!({"type": "text", "data": "x"})).await;
        assert!(next.id > made.id);
    }

    async fn codes_are_no_links_and_share_their_slugs(app) {
        let made = code(&app, json!({"type": "link", "data": "https://e.test/"})).await;
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 0);
        app.get(&format!("/api/urls?short={}", made.link)).await.refused("does not exist");
        app.post("/api/url/add", json!({"url": "https://e.test/", "custom": made.slug()})).await.refused("reserved");
        assert!(Slug::parse(made.slug()).is_ok());
        check_books(&app).await;
    }

    async fn another_workspace_sees_nothing_of_a_code(app) {
        let made = code(&app, json!({"type": "link", "data": "https://e.test/"})).await;
        let key = app.other_workspace().await;
        for (method, path) in [(Method::GET, ""), (Method::GET, "/stats"), (Method::PUT, "/update"), (Method::DELETE, "/delete")] {
            let path = format!("/api/qr/{}{path}", made.id);
            let body = Some(json!({"data": "https://evil.test/"}));
            app.with_key(&key, method, &path, body).await.refused(&format!("QR code '{}' does not exist", made.id));
        }
        let path = format!("/{}", made.image_slug());
        app.with_key(&key, Method::GET, &path, None).await.refused("does not exist");
        assert_eq!(app.with_key(&key, Method::GET, "/api/qr", None).await.ok()["data"]["result"], 0);
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/");
    }

    async fn two_changes_at_once_are_both_made(app) {
        let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/1"})).await;
        let path = format!("/api/qr/{}/update", made.id);
        let (one, two, three) = tokio::join!(
            app.put(&path, json!({"url": "https://e.test/2"})),
            app.put(&path, json!({"size": 300})),
            app.put(&path, json!({"foreground": "#008"})),
        );
        for answer in [one, two, three] {
            answer.ok();
        }
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/2");
        let (side, pixels) = pixels(&made.image(&app).await);
        assert!(side == 300 && pixels.contains(&[0, 0, 0x88]));
        check_books(&app).await;
    }
}

/// O-56, O-71, O-73, O-74, O-75, O-76.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_are_counted_in_the_words_of_the_dialect() {
    let engine = engine().await;
    let app = TestApp::start(None, &[("SIGNPOST_CLICKHOUSE_URL", &engine.url)]).await;
    // The engine is shared by all tests and ids begin at 1 in each database: this one's lie far from theirs.
    let pool = sqlx::AnyPool::connect(&app.config.database_url.0)
        .await
        .expect("connects");
    let first = 5_000_000 + i64::from(unique());
    sqlx::query("UPDATE link_ids SET next_id = $1")
        .bind(first)
        .execute(&pool)
        .await
        .expect("updates");
    let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/"})).await;
    let scan = |position: u64, referrer: &str| Click {
        epoch: u64::from(unique()) << 32,
        worker: 0,
        position,
        ingested: 1_790_000_000,
        time: 1_790_000_000_000,
        workspace: 1,
        link: first.cast_unsigned(),
        rolled_up: false,
        is_bot: false,
        is_scan: true,
        visitor: Some(7),
        country: "".into(),
        region: "".into(),
        city: "".into(),
        device: "desktop".into(),
        os: "Windows".into(),
        os_version: "10".into(),
        browser: "Chrome".into(),
        language: "en".into(),
        referrer_host: referrer.into(),
        referrer: "".into(),
        utm_source: "".into(),
        utm_medium: "".into(),
        utm_campaign: "".into(),
        utm_term: "".into(),
        utm_content: "".into(),
    };
    engine
        .store(&[scan(0, ""), scan(1, "www.facebook.com")])
        .await;
    let json = app.get(&format!("/api/qr/{}", made.id)).await.ok();
    // O-73: two scans of one visitor.
    let data = &json["data"];
    assert_eq!(
        (&data["clicks"], &data["uniqueClicks"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(json["details"]["scans"], 2);
    // O-74, O-75: labels, counts as texts.
    assert_eq!(data["topCountries"], json!({"Unknown": "2"}));
    assert_eq!(data["topBrowsers"], json!({"Chrome": "2"}));
    assert_eq!(data["topOs"], json!({"Windows 10": "2"}));
    assert_eq!(data["topReferrers"]["Direct, email and other"], "1");
    // O-76: networks as integers.
    assert_eq!(
        data["socialCount"],
        json!({"facebook": 1, "twitter": 0, "instagram": 0})
    );
    // O-71: the list has them too.
    let listed = app.get("/api/qr").await.ok();
    assert_eq!(listed["data"]["qrs"][0]["scans"], 2);
    assert!(listed["data"].get("stats").is_none());
    // O-56: statistics in the form of those of a link.
    let stats = app
        .get(&format!(
            "/api/qr/{}/stats?from=2026-01-01&to=2026-12-31",
            made.id
        ))
        .await
        .ok();
    assert_eq!(
        (
            &stats["data"]["total_clicks"],
            &stats["data"]["unique_clicks"]
        ),
        (&json!(2), &json!(1))
    );
    assert_eq!(stats["data"]["daily"].as_array().expect("days").len(), 1);
    let events = app
        .get(&format!("/api/qr/{}/stats?granularity=event", made.id))
        .await
        .ok();
    assert!(
        events["data"]["events"]
            .as_array()
            .expect("events")
            .iter()
            .all(|event| event["is_scan"] == true)
    );
    app.get(&format!("/api/qr/{}/stats?from=no", made.id))
        .await
        .refused("from");
}
