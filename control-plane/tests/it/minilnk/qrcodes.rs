//! `/qrcodes`: what is in the images, how they look, where they are served.

use bytes::Bytes;
use http::Method;
use schemas::link::plan::{Content, Target};
use serde_json::{Value, json};

use super::{done, link, m, refused};
use crate::feed_writes::check_books;
use crate::harness::{ADMIN_KEY, SHORT, TestApp, keys, on_both_engines};
use crate::qr::{decode, held, pixels};
use crate::users::add_user;

fn new(kind: &str, content: &str) -> Value {
    json!({"name": "News", "type": kind, "content": content, "error_correction": "M"})
}

async fn code(app: &TestApp, body: Value) -> Value {
    done(&m(app, Method::POST, "/qrcodes", body).await, 201)
}

async fn refuses(app: &TestApp, name: &str, value: Value) {
    let mut body = new("url", "https://e.test/");
    body[name] = value;
    let answer = m(app, Method::POST, "/qrcodes", body).await;
    let json = refused(&answer, 422, name);
    assert!(json["errors"][name].is_array(), "{json}");
}

/// The image that everyone gets at this address, from what proxies hold.
async fn image(app: &TestApp, url: &Value) -> (String, Bytes) {
    let url = url.as_str().expect("a URL");
    let (slug, query) = url.split_once('?').expect("a query");
    let slug = slug
        .strip_prefix(SHORT)
        .expect("ours")
        .trim_start_matches('/');
    let (_, plan) = held(app, slug).await.expect("an entry");
    let Target::Body(body) = &plan.rules[0].target else {
        panic!("{plan:?}");
    };
    assert!(
        format!("{:?}", plan.rules[0].conditions)
            .contains(query.strip_prefix("token=").expect("a token"))
    );
    let bytes = match &body.content {
        Content::Inline(bytes) => bytes.clone(),
        Content::Blob { hash, .. } => {
            let (bytes,): (Vec<u8>,) =
                sqlx::query_as("SELECT bytes FROM blobs WHERE hash = $1 AND refs > 0")
                    .bind(hash.to_vec())
                    .fetch_one(app.running.store.readers())
                    .await
                    .expect("a blob in use");
            bytes
        }
    };
    (body.content_type.clone(), bytes.into())
}

async fn png(app: &TestApp, code: &Value) -> Bytes {
    let (kind, bytes) = image(app, &code["download_png_url"]).await;
    assert_eq!(kind, "image/png");
    bytes
}

/// The error correction level in the format bits.
fn level(png: &[u8]) -> char {
    let (side, pixels) = pixels(png);
    let luma = |x: usize, y: usize| pixels[y * side + x][1];
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, luma);
    let grids = image.detect_grids();
    let (meta, _) = grids.first().expect("a code").decode().expect("readable");
    ['M', 'L', 'H', 'Q'][usize::from(meta.ecc_level)]
}

on_both_engines! {
    async fn m_44_m_48_m_55_m_56_a_code_has_its_keys_and_a_preview(app) {
        let made = code(&app, new("url", "https://e.test/<b>&\"")).await;
        assert_eq!(
            keys(&made),
            ["background_color", "content", "created_at", "download_png_url", "download_svg_url", "error_correction", "foreground_color", "id", "is_dynamic", "link_id", "margin", "name", "preview_svg", "scan_count", "size", "type", "user_id"]
        );
        assert_eq!((&made["foreground_color"], &made["background_color"]), (&json!("#000000"), &json!("#FFFFFF")));
        assert_eq!((&made["link_id"], &made["is_dynamic"], &made["scan_count"]), (&json!(null), &json!(false), &json!(0)));
        let svg = made["preview_svg"].as_str().expect("text");
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>") && !svg.contains("<script") && !svg.contains("e.test"));
        let created = made["created_at"].as_str().expect("text");
        assert!(created.len() == 27 && created.ends_with("Z"), "{created}");
        assert_eq!(done(&m(&app, Method::GET, &format!("/qrcodes/{}", made["id"]), json!(null)).await, 200), made);
        refuses(&app, "foreground_color", json!("red")).await;
        refuses(&app, "foreground_color", json!("rgb(1,2,3)")).await;
        refuses(&app, "background_color", json!("#12345")).await;
        // Too light to be read.
        refuses(&app, "foreground_color", json!("#FFFF00")).await;
        let mut colored = new("text", "x");
        colored["foreground_color"] = json!("#aa0000");
        colored["background_color"] = json!("#EEEEFF");
        let colored = code(&app, colored).await;
        assert_eq!((&colored["foreground_color"], &colored["background_color"]), (&json!("#AA0000"), &json!("#EEEEFF")));
        let (_, pixels) = pixels(&png(&app, &colored).await);
        assert!(pixels.contains(&[0xaa, 0, 0]) && pixels[0] == [0xee, 0xee, 0xff]);
        check_books(&app).await;
    }

    async fn m_42_m_43_codes_are_listed_and_found_by_name(app) {
        for n in 0..16 {
            let mut body = new("text", "x");
            body["name"] = json!(format!("Code {n} NEWS"));
            code(&app, body).await;
        }
        let first = done(&m(&app, Method::GET, "/qrcodes", json!(null)).await, 200);
        assert_eq!((&first["current_page"], &first["total"], &first["last_page"], &first["per_page"]), (&json!(1), &json!(16), &json!(2), &json!(15)));
        assert_eq!(first["data"].as_array().expect("codes").len(), 15);
        let second = done(&m(&app, Method::GET, "/qrcodes?page=2", json!(null)).await, 200);
        assert_eq!(second["data"][0]["name"], "Code 0 NEWS");
        let found = done(&m(&app, Method::GET, "/qrcodes?search=code+3+n", json!(null)).await, 200);
        assert_eq!((&found["total"], &found["data"][0]["name"]), (&json!(1), &json!("Code 3 NEWS")));
        assert_eq!(done(&m(&app, Method::GET, "/qrcodes?search=%25", json!(null)).await, 200)["total"], 0);
    }

    async fn m_45_m_47_m_50_m_51_m_52_each_field_is_checked(app) {
        for name in ["name", "type", "content", "error_correction"] {
            refuses(&app, name, json!(null)).await;
            refuses(&app, name, json!("")).await;
            refuses(&app, name, json!(["x"])).await;
        }
        for (name, bad) in [
            ("type", json!("wifi")), ("error_correction", json!("X")), ("margin", json!(11)), ("margin", json!(-1)), ("size", json!(99)), ("size", json!(1001)),
            ("size", json!("big")), ("link_id", json!(999_999)), ("link_id", json!("x")), ("content", json!("a".repeat(1001))), ("content", json!("nope")), ("name", json!("n".repeat(256))),
        ] {
            refuses(&app, name, bad).await;
        }
        let long = code(&app, new("text", &"a".repeat(1000))).await;
        assert_eq!(decode(&png(&app, &long).await), "a".repeat(1000));
        let plain = code(&app, new("text", "x")).await;
        assert_eq!((&plain["margin"], &plain["size"]), (&json!(4), &json!(300)));
        assert_eq!(pixels(&png(&app, &plain).await).0, 300);
        for wanted in ["L", "M", "Q", "H"] {
            let mut body = new("text", "12345");
            body["error_correction"] = json!(wanted);
            let made = code(&app, body).await;
            assert_eq!(made["error_correction"], wanted);
            assert_eq!(level(&png(&app, &made).await).to_string(), wanted);
        }
        // 21 modules and the quiet zone on each side.
        for (margin, module) in [(0, 14), (4, 10), (10, 7)] {
            let mut body = new("text", "12345");
            body["margin"] = json!(margin);
            let made = code(&app, body).await;
            let (side, pixels) = pixels(&png(&app, &made).await);
            let first = pixels.iter().position(|p| *p == [0; 3]).expect("a dark one");
            assert!(first / side >= margin * module, "{margin}: {}", first / side);
        }
    }

    async fn m_46_each_type_is_in_the_image_as_cameras_read_it(app) {
        for (kind, content, text) in [
            ("url", "https://E.test", "https://E.test"), ("text", "  Grüße\n漢字 ", "  Grüße\n漢字 "), ("email", "a@e.test", "mailto:a@e.test"),
            ("sms", "+49 170 1", "SMSTO:+491701:"), ("phone", "+49 (30) 12", "tel:+493012"),
        ] {
            let made = code(&app, new(kind, content)).await;
            assert_eq!((&made["type"], &made["content"]), (&json!(kind), &json!(content)));
            assert_eq!(decode(&png(&app, &made).await), text);
        }
    }

    async fn m_53_m_57_a_code_of_a_link_carries_its_mark(app) {
        let target = link(&app, json!({"original_url": "https://e.test/", "alias": "hnnews"})).await;
        let mut body = new("url", &format!("{SHORT}/hnnews"));
        body["link_id"] = target["id"].clone();
        let made = code(&app, body.clone()).await;
        assert_eq!((&made["link_id"], &made["is_dynamic"], &made["content"]), (&target["id"], &json!(true), &body["content"]));
        let text = decode(&png(&app, &made).await);
        let id = text.strip_prefix(&format!("{SHORT}/hnnews?qr=")).expect("a mark");
        let (_, plan) = held(&app, &format!("qr/{id}")).await.expect("its address");
        assert!(plan.scan && !plan.uncounted);
        assert!(matches!(&plan.target, Some(Target::Link(to)) if to.slug == "hnnews"), "{plan:?}");
        // Of another content it is only filed under the link.
        body["content"] = json!("https://e.test/");
        let filed = code(&app, body.clone()).await;
        assert_eq!(filed["is_dynamic"], true);
        assert_eq!(decode(&png(&app, &filed).await), "https://e.test/");
        let (_, stranger) = add_user(&app, "mallory").await;
        let theirs = app.with_key(&stranger, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.ok();
        body["link_id"] = theirs["id"].clone();
        refused(&m(&app, Method::POST, "/qrcodes", body).await, 422, "link_id");
        // Both images, with a key on this address too, in any of its three ways.
        let (kind, svg) = image(&app, &made["download_svg_url"]).await;
        assert_eq!((kind.as_str(), String::from_utf8_lossy(&svg).trim_end()), ("image/svg+xml", made["preview_svg"].as_str().expect("text")));
        let path = |format: &str| format!("/dashboard/qrcodes/{}/download/{format}", made["id"]);
        assert!(made["download_png_url"].as_str().expect("text").starts_with(&format!("{SHORT}{}?token=", path("png"))));
        for (path, headers) in [
            (path("png"), vec![("authorization", format!("Bearer {ADMIN_KEY}"))]), (path("png"), vec![("x-api-key", ADMIN_KEY.to_owned())]),
            (format!("{}?api_key={ADMIN_KEY}", path("svg")), vec![]),
        ] {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            let answer = app.call(Method::GET, &path, &headers, "").await;
            assert_eq!(answer.status, 200, "{path}");
        }
        assert_eq!(app.call(Method::GET, &path("png"), &[], "").await.status, 401);
        check_books(&app).await;
    }

    async fn m_58_a_deleted_code_is_gone_with_its_images(app) {
        let target = link(&app, json!({"original_url": "https://e.test/", "alias": "hnnews"})).await;
        let mut body = new("url", &format!("{SHORT}/hnnews"));
        body["link_id"] = target["id"].clone();
        let made = code(&app, body).await;
        let count = async || {
            let row: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM links WHERE slug LIKE 'qr/%' OR slug LIKE 'dashboard/%'").fetch_one(app.running.store.readers()).await.expect("a number");
            row.0
        };
        assert_eq!(count().await, 3);
        let path = format!("/qrcodes/{}", made["id"]);
        assert_eq!(done(&m(&app, Method::DELETE, &path, json!(null)).await, 200), json!({"message": "QR Code deleted successfully."}));
        assert_eq!(count().await, 0);
        refused(&m(&app, Method::GET, &path, json!(null)).await, 404, "does not exist");
        refused(&m(&app, Method::DELETE, &path, json!(null)).await, 404, "does not exist");
        done(&m(&app, Method::GET, &format!("/links/{}", target["id"]), json!(null)).await, 200);
        check_books(&app).await;
    }

    async fn codes_of_other_dialects_are_shown_and_edits_elsewhere_keep_the_mark(app) {
        let theirs = app.post("/api/qr/add", json!({"type": "dynamic", "url": "https://e.test/", "name": "Menu", "format": "webp"})).await.ok();
        let shown = done(&m(&app, Method::GET, &format!("/qrcodes/{}", theirs["id"]), json!(null)).await, 200);
        assert_eq!((&shown["name"], &shown["type"], &shown["content"]), (&json!("Menu"), &json!("url"), &theirs["link"]));
        assert_eq!(json!(decode(&png(&app, &shown).await)), theirs["link"]);
        let target = link(&app, json!({"original_url": "https://e.test/", "alias": "hnnews"})).await;
        let mut body = new("url", &format!("{SHORT}/hnnews"));
        body["link_id"] = target["id"].clone();
        let made = code(&app, body).await;
        let path = format!("/api/qr/{}/update", made["id"]);
        let text = decode(&png(&app, &made).await);
        for change in [
            json!({"name": "Renamed"}), json!({"foreground": "#102030"}), json!({"format": "png"}), json!({"format": "webp"}), json!({"url": text, "size": 400}),
        ] {
            app.put(&path, change.clone()).await.ok();
            let shown = done(&m(&app, Method::GET, &format!("/qrcodes/{}", made["id"]), json!(null)).await, 200);
            assert_eq!(decode(&png(&app, &shown).await), text, "{change}");
            assert_eq!((&shown["content"], &shown["link_id"]), (&made["content"], &made["link_id"]), "{change}");
            let (_, svg) = image(&app, &shown["download_svg_url"]).await;
            assert_eq!(String::from_utf8_lossy(&svg).trim_end(), shown["preview_svg"].as_str().expect("text"));
        }
        assert_eq!(pixels(&png(&app, &made).await).0, 400);
        app.put(&path, json!({"url": "https://elsewhere.test/"})).await.refused("cannot change");
        check_books(&app).await;
    }
}
