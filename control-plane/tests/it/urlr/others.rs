//! QR codes, statistics, workspaces, folders, domains, tags.

use serde_json::{Value, json};

use super::*;

/// What an image of this type holds.
fn decoded(answer: &Answer) -> String {
    assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
    assert_eq!(answer.header("content-type"), "image/png");
    let decoder = png::Decoder::new(std::io::Cursor::new(&answer.body));
    let (width, height, dark) = pixels(decoder);
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        if dark[y * width + x] { 0 } else { 255 }
    });
    let grids = image.detect_grids();
    grids.first().expect("a code").decode().expect("text").1
}

/// Width, height, and which pixels are of the second colour.
fn pixels(mut decoder: png::Decoder<std::io::Cursor<&bytes::Bytes>>) -> (usize, usize, Vec<bool>) {
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().expect("a PNG");
    let mut buffer = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut buffer).expect("a picture");
    let (width, height) = (info.width as usize, info.height as usize);
    let samples = info.color_type.samples();
    let dark = buffer
        .chunks(samples)
        .take(width * height)
        .map(|rgb| rgb[0] < 128);
    (width, height, dark.collect())
}

fn shape(answer: &Answer) -> (usize, usize, Vec<bool>) {
    pixels(png::Decoder::new(std::io::Cursor::new(&answer.body)))
}

on_both_engines! {
    async fn u_43_an_image_of_a_url(app) {
        let workspace = get(&app, "/workspaces").await.done(200)["workspaces"][0]["id"].clone();
        let made = post(&app, "/qrcodes", json!({"url": "https://e.test/x?y=1", "workspace_id": workspace})).await;
        assert_eq!(decoded(&made), "https://e.test/x?y=1");
        assert_eq!(decoded(&post(&app, "/qrcodes", json!({"url": "https://e.test/"})).await), "https://e.test/");
        post(&app, "/qrcodes", json!({"workspace_id": workspace})).await.wrong("url");
        post(&app, "/qrcodes", json!({})).await.wrong("url");
        post(&app, "/qrcodes", json!({"url": "x"})).await.wrong("url");
    }

    async fn u_44_u_45_an_image_of_a_link_holds_its_short_url_and_wins(app) {
        let made = link(&app, json!({"url": "https://e.test/", "code": "seen/it"})).await;
        let image = post(&app, "/qrcodes", json!({"link_id": made["id"], "url": "https://other.test/"})).await;
        let text = decoded(&image);
        let digits = text.strip_prefix("https://go.test/seen/it?qr=").unwrap_or_else(|| panic!("{text}"));
        assert!(digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{text}");
        // One code a link, for ever, wherever the link moves.
        patch(&app, &format!("/links/{}", id(&made)), json!({"code": "moved"})).await.done(200);
        let again = decoded(&post(&app, "/qrcodes", json!({"link_id": made["id"]})).await);
        assert_eq!(again, format!("https://go.test/moved?qr={digits}"));
        // It is no QR code of the main dialect, and goes with the link.
        assert_eq!(app.get("/api/qr").await.ok()["data"]["result"], 0);
        delete(&app, &format!("/links/{}", id(&made))).await.done(200);
        let (left,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM links").fetch_one(app.running.store.readers()).await.expect("a number");
        assert_eq!(left, 0);
        post(&app, "/qrcodes", json!({"link_id": made["id"]})).await.problem(404, "link");
        post(&app, "/qrcodes", json!({"link_id": "x"})).await.wrong("link_id");
    }

    async fn u_46_the_size_is_bounded(app) {
        let (width, height, _) = shape(&post(&app, "/qrcodes", json!({"url": "https://e.test/"})).await);
        assert_eq!((width, height), (600, 600));
        for size in [100, 1000] {
            let (width, ..) = shape(&post(&app, "/qrcodes", json!({"url": "https://e.test/", "size": size})).await);
            assert_eq!(width, size);
        }
        for size in [99, 1001, -5] {
            post(&app, "/qrcodes", json!({"url": "https://e.test/", "size": size})).await.wrong("size");
        }
        post(&app, "/qrcodes", json!({"url": "https://e.test/", "size": "big"})).await.problem(422, "");
    }

    async fn u_47_u_50_the_answer_is_the_image_whatever_is_accepted(app) {
        for (format, kind) in [("png", "image/png"), ("webp", "image/webp"), ("svg", "image/svg+xml")] {
            let body = json!({"url": "https://e.test/", "format": format}).to_string();
            let headers = [("x-api-key", ADMIN_KEY), ("content-type", "application/json"), ("accept", "application/problem+json")];
            let made = app.call(Method::POST, "/api/v2/qrcodes", &headers, body).await;
            assert_eq!((made.status.as_u16(), made.header("content-type")), (201, kind));
            assert!(!made.body.is_empty());
        }
        post(&app, "/qrcodes", json!({"url": "https://e.test/", "format": "gif"})).await.wrong("format");
    }

    async fn u_48_the_margin_is_in_pixels(app) {
        for margin in [0_usize, 40] {
            let (width, _, dark) = shape(&post(&app, "/qrcodes", json!({"url": "https://e.test/", "margin": margin})).await);
            let rows = (0..width).position(|y| dark[y * width..(y + 1) * width].iter().any(|dark| *dark));
            let columns = (0..width).position(|x| (0..width).any(|y| dark[y * width + x]));
            assert_eq!((rows, columns), (Some(margin), Some(margin)));
            let last = (0..width).rposition(|y| dark[y * width..(y + 1) * width].iter().any(|dark| *dark));
            assert_eq!(last, Some(width - 1 - margin));
        }
        for margin in [json!(-1), json!(299)] {
            post(&app, "/qrcodes", json!({"url": "https://e.test/", "margin": margin})).await.wrong("margin");
        }
    }

    async fn u_49_colours_are_hexadecimal(app) {
        let made = post(&app, "/qrcodes", json!({"url": "https://e.test/", "format": "svg", "background_color": "#ffee00", "foreground_color": "#001122"})).await;
        let svg = String::from_utf8_lossy(&made.body).into_owned();
        assert!(svg.contains("#ffee00") && svg.contains("#001122"), "{svg}");
        for name in ["background_color", "foreground_color"] {
            for bad in ["red", "rgb(0,0,0)", "#12345", ""] {
                post(&app, "/qrcodes", json!({"url": "https://e.test/", name: bad})).await.wrong(name);
            }
        }
    }

    async fn u_51_u_52_statistics_need_a_link_and_dates(app) {
        get(&app, "/statistics").await.wrong("link_id");
        get(&app, "/statistics?link_id=x").await.wrong("link_id");
        get(&app, "/statistics?link_id=497f6eca-6276-4993-bfeb-53cbbbba6f08").await.problem(404, "link");
        let made = link(&app, json!({"url": "https://e.test/"})).await;
        let of = format!("/statistics?link_id={}", id(&made));
        for (query, field) in [("from=soon", "from"), ("to=2030-13-01", "to"), ("from=2030-01-02&to=2030-01-01", "from")] {
            get(&app, &format!("{of}&{query}")).await.wrong(field);
        }
        // Nobody counts here.
        get(&app, &of).await.problem(503, "not available");
    }

    async fn u_55_u_56_a_key_has_one_workspace(app) {
        let list = get(&app, "/workspaces").await.done(200);
        assert_eq!((keys(&list), list["workspaces"].as_array().map(Vec::len)), (vec!["workspaces"], Some(1)));
        let one = &list["workspaces"][0];
        assert_eq!(keys(one), ["created_at", "id", "name", "updated_at"]);
        is_uuid(&one["id"]);
        assert_eq!(get(&app, &format!("/workspaces/{}", id(one))).await.done(200), *one);
        get(&app, "/workspaces/497f6eca-6276-4993-bfeb-53cbbbba6f08").await.problem(404, "workspace");
        get(&app, "/workspaces/1").await.wrong("workspace_id");
    }

    async fn u_57_u_58_u_59_u_62_folders(app) {
        let workspace = get(&app, "/workspaces").await.done(200)["workspaces"][0]["id"].clone();
        let made = post(&app, "/folders", json!({"workspace_id": workspace, "name": "Spring"})).await.done(201);
        assert_eq!(keys(&made), ["color", "created_at", "domain", "id", "name", "parent_id", "parent_name", "updated_at", "workspace_id"]);
        assert_eq!((&made["name"], &made["workspace_id"], &made["domain"], &made["color"]), (&json!("Spring"), &workspace, &Value::Null, &Value::Null));
        assert_eq!(get(&app, &format!("/folders/{}", id(&made))).await.done(200), made);
        let list = get(&app, &format!("/folders?workspace_id={}", workspace.as_str().expect("text"))).await.done(200);
        assert_eq!(list, json!({"folders": [made]}));
        assert_eq!(get(&app, "/folders").await.done(200), list);
        post(&app, "/folders", json!({})).await.wrong("name");
        post(&app, "/folders", json!({"name": "x".repeat(256)})).await.wrong("name");
        post(&app, "/folders", json!({"name": "x".repeat(255)})).await.done(201);
        post(&app, "/folders", json!({"name": "Spring"})).await.problem(409, "exists already");
        get(&app, "/folders/497f6eca-6276-4993-bfeb-53cbbbba6f08").await.problem(404, "folder");
        get(&app, "/folders/1").await.wrong("folder_id");
        get(&app, "/folders?workspace_id=1").await.wrong("workspace_id");
    }

    async fn u_60_folders_nest(app) {
        let parent = post(&app, "/folders", json!({"name": "Above"})).await.done(201);
        let child = post(&app, "/folders", json!({"name": "Below", "parent_id": parent["id"]})).await.done(201);
        assert_eq!((&child["parent_id"], &child["parent_name"]), (&parent["id"], &json!("Above")));
        post(&app, "/folders", json!({"name": "x", "parent_id": "497f6eca-6276-4993-bfeb-53cbbbba6f08"})).await.problem(404, "folder");
        post(&app, "/folders", json!({"name": "x", "parent_id": "1"})).await.wrong("parent_id");
        // A folder that is deleted leaves its children.
        let number = app.get("/api/folders").await.ok()["data"]["folders"][1]["id"].clone();
        app.delete(&format!("/api/folder/{number}/delete")).await.ok();
        assert_eq!(get(&app, &format!("/folders/{}", id(&child))).await.done(200)["parent_id"], Value::Null);
    }

    async fn u_61_a_folder_has_one_of_eight_colours(app) {
        for color in ["blue", "green", "orange", "purple", "red", "rose", "yellow", "black"] {
            assert_eq!(post(&app, "/folders", json!({"name": color, "color": color})).await.done(201)["color"], color);
        }
        post(&app, "/folders", json!({"name": "pink", "color": "pink"})).await.wrong("color");
    }

    async fn u_63_u_64_u_65_domains(app) {
        let made = post(&app, "/domains", json!({"domain": "mybrand.test", "root_url": "https://e.test/home"})).await.done(201);
        assert_eq!(keys(&made), ["created_at", "domain", "id", "root_url", "updated_at"]);
        is_uuid(&made["id"]);
        assert_eq!((&made["domain"], &made["root_url"]), (&json!("mybrand.test"), &json!("https://e.test/home")));
        assert_eq!(get(&app, &format!("/domains/{}", id(&made))).await.done(200), made);
        assert_eq!(get(&app, "/domains").await.done(200), json!({"domains": [made]}));
        post(&app, "/domains", json!({"domain": "mybrand.test"})).await.problem(409, "added already");
        post(&app, "/domains", json!({"domain": "go.test"})).await.problem(409, "in use");
        for bad in [json!({}), json!({"domain": "https://x.test"}), json!({"domain": "x".repeat(256)}), json!({"domain": ""})] {
            post(&app, "/domains", bad).await.wrong("domain");
        }
        post(&app, "/domains", json!({"domain": "other.test", "root_url": "x"})).await.wrong("root_url");
        get(&app, "/domains/497f6eca-6276-4993-bfeb-53cbbbba6f08").await.problem(404, "domain");
        get(&app, "/domains/1").await.wrong("domain_id");
    }

    async fn tags_can_be_had(app) {
        let made = post(&app, "/tags", json!({"name": "Sale"})).await.done(201);
        assert_eq!(keys(&made), ["id", "name"]);
        assert_eq!(get(&app, "/tags").await.done(200), json!({"tags": [made]}));
        post(&app, "/tags", json!({"name": "Sale"})).await.problem(409, "exists already");
        for bad in [json!({}), json!({"name": ""}), json!({"name": "a,b"}), json!({"name": "x".repeat(256)})] {
            post(&app, "/tags", bad).await.wrong("name");
        }
        post(&app, "/tags", json!({"name": "x".repeat(255)})).await.done(201);
    }
}
