//! Pixels, splash pages and overlays: their endpoints, and the pages of links made of them.

use control_plane::domain::page::{PageSpec, Surface};
use control_plane::pages::{self, MAX_PAGES};
use control_plane::store::feed::Write;
use control_plane::store::pages::{Kind, after, show};
use http::Method;
use schemas::feed::paths;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Answer, TestApp, on_both_engines};

/// All vendors, in the order of the published list.
const VENDORS: [&str; 13] = [
    "gtmpixel",
    "gapixel",
    "fbpixel",
    "adwordspixel",
    "linkedinpixel",
    "twitterpixel",
    "adrollpixel",
    "quorapixel",
    "pinterest",
    "bing",
    "snapchat",
    "reddit",
    "tiktok",
];

/// The workspace of the first key.
const WORKSPACE: i64 = 1;

async fn add(app: &TestApp, what: &str, body: Value) -> i64 {
    let json = app.post(&format!("/api/{what}/add"), body).await.ok();
    assert_eq!(json.as_object().expect("an object").len(), 2, "{json}");
    json["id"].as_i64().expect("an integer")
}

async fn pixel(app: &TestApp, vendor: &str, tag: &str) -> i64 {
    add(
        app,
        "pixel",
        json!({"type": vendor, "name": format!("My {vendor}"), "tag": tag}),
    )
    .await
}

/// The page of these settings, as links get it.
async fn page_for(app: &TestApp, surface: Surface, pixels: &[i64]) -> Option<i64> {
    let spec = PageSpec::new(surface, pixels).expect("few");
    let now = app.config.clock.now_ms();
    let mut write = Write::begin(&app.running.store).await.expect("begins");
    let page = pages::page_for(&mut write, WORKSPACE, &spec, now)
        .await
        .expect("a page");
    write.commit(now).await.expect("commits");
    page
}

/// Body and policy of a page as a proxy has it; `None`: there is none.
async fn served(app: &TestApp, page: i64) -> Option<(String, String)> {
    let mut connection = app
        .running
        .store
        .readers()
        .acquire()
        .await
        .expect("a connection");
    let rows = after(&mut connection, page - 1, 1).await.expect("rows");
    let (id, wire) = rows.into_iter().next()?;
    if id != page {
        return None;
    }
    assert_eq!(
        (wire.status, wire.content_type.as_str()),
        (200, "text/html; charset=utf-8")
    );
    let body = if wire.blob.is_empty() {
        wire.body.to_vec()
    } else {
        let name = hex::encode(&wire.blob);
        let answer = internal(
            app,
            Method::GET,
            &format!("{}/{name}", paths::BLOBS),
            &[],
            "",
        )
        .await;
        assert_eq!(answer.body.len() as u64, wire.blob_size);
        answer.body.to_vec()
    };
    Some((String::from_utf8(body).expect("UTF-8"), wire.csp))
}

/// A call of a proxy.
async fn internal(
    app: &TestApp,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let file = app.data.path().join(schemas::names::files::FEED_TOKEN);
    let token = std::fs::read_to_string(file).expect("a token");
    let token = format!("Bearer {}", token.trim());
    let mut all = vec![("authorization", token.as_str())];
    all.extend(headers);
    app.call(method, path, &all, body.to_owned()).await
}

async fn send_form(app: &TestApp, link: i64, body: &str) -> Answer {
    let link = link.to_string();
    let headers = [
        ("x-signpost-link", link.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    internal(
        app,
        Method::POST,
        &format!("{}/form", paths::VISITOR),
        &headers,
        body,
    )
    .await
}

async fn seq(app: &TestApp) -> u64 {
    *app.running.store.watch().borrow()
}

on_both_engines! {
    async fn o_167_pixels_are_listed_newest_first(app) {
        let first = pixel(&app, "gtmpixel", "GTM-1").await;
        let second = pixel(&app, "twitterpixel", "1234567").await;
        let json = app.get("/api/pixels?limit=2&page=1").await.ok();
        let data = &json["data"];
        assert_eq!((&data["result"], &data["perpage"], &data["currentpage"], &data["nextpage"], &data["maxpage"]), (&json!(2), &json!(2), &json!(1), &json!(1), &json!(1)));
        let item = &data["pixels"][0];
        assert_eq!((&item["id"], &item["type"], &item["name"], &item["tag"]), (&json!(second), &json!("twitterpixel"), &json!("My twitterpixel"), &json!("1234567")));
        assert_eq!((item.as_object().expect("an object").len(), item["date"].as_str().expect("a date").len()), (5, 19));
        assert_eq!(data["pixels"][1]["id"], first);
        assert_eq!(app.get("/api/pixels?limit=1&page=2").await.ok()["data"]["pixels"][0]["id"], first);
        app.get("/api/pixels?limit=501").await.refused("limit");
    }

    async fn o_168_type_name_and_tag_of_a_pixel_are_required(app) {
        for field in ["type", "name", "tag"] {
            let mut body = json!({"type": "gtmpixel", "name": "My GTM", "tag": "GTM-ABCDE"});
            for empty in [json!(null), json!(""), json!(" ")] {
                body[field] = empty;
                app.post("/api/pixel/add", body.clone()).await.refused(&format!("{field} is required"));
            }
        }
        for (field, bad) in [("tag", json!("</script>")), ("tag", json!("a b")), ("tag", json!("x".repeat(256))), ("tag", json!([])), ("name", json!("x".repeat(256))), ("name", json!("a\u{0}")), ("type", json!({}))] {
            let mut body = json!({"type": "gtmpixel", "name": "My GTM", "tag": "GTM-ABCDE"});
            body[field] = bad;
            app.post("/api/pixel/add", body).await.refused(field);
        }
    }

    async fn o_169_eight_types_ending_in_pixel_are_accepted(app) {
        for vendor in &VENDORS[..8] {
            pixel(&app, vendor, "tag-1").await;
        }
    }

    async fn o_170_five_more_types_are_accepted_and_others_listed(app) {
        for vendor in &VENDORS[8..] {
            pixel(&app, vendor, "tag-1").await;
        }
        let json = app.post("/api/pixel/add", json!({"type": "foo", "name": "x", "tag": "y"})).await.refused("type must be one of");
        let message = json["message"].as_str().expect("a message");
        assert!(VENDORS.iter().all(|vendor| message.contains(vendor)), "{message}");
    }

    async fn o_171_formats_of_tags_are_loose(app) {
        pixel(&app, "gtmpixel", "GA-123456789").await;
        pixel(&app, "fbpixel", "not.a/number:at_all").await;
    }

    async fn o_173_add_answers_error_and_id(app) {
        let json = app.post("/api/pixel/add", json!({"type": "bing", "name": "UET", "tag": 12345})).await.ok();
        assert!(json["id"].is_i64() && json.as_object().expect("an object").len() == 2, "{json}");
    }

    async fn o_174_an_update_needs_the_tag_and_the_next_page_has_it(app) {
        let id = pixel(&app, "gtmpixel", "GTM-OLD").await;
        let page = page_for(&app, Surface::Direct, &[id]).await.expect("a page");
        assert!(served(&app, page).await.expect("served").0.contains("\"GTM-OLD\""));
        let path = format!("/api/pixel/{id}/update");
        app.put(&path, json!({"name": "x"})).await.refused("tag is required");
        app.put(&path, json!({"tag": "a b"})).await.refused("tag must be");
        app.put(&path, json!({"tag": "GTM-NEW", "type": "bing"})).await.refused("type must stay gtmpixel");
        app.put(&path, json!({"tag": "GTM-NEW", "type": "gtmpixel"})).await.ok();
        let (html, _) = served(&app, page).await.expect("served");
        assert!(html.contains("\"GTM-NEW\"") && !html.contains("GTM-OLD"));
        let item = &app.get("/api/pixels").await.ok()["data"]["pixels"][0];
        assert_eq!((&item["name"], &item["tag"]), (&json!("My gtmpixel"), &json!("GTM-NEW")));
        app.put(&path, json!({"tag": "GTM-NEW", "name": "Renamed"})).await.ok();
        assert_eq!(app.get("/api/pixels").await.ok()["data"]["pixels"][0]["name"], "Renamed");
    }

    async fn o_175_the_message_of_an_update_is_exact(app) {
        let id = pixel(&app, "reddit", "t2_1").await;
        let json = app.put(&format!("/api/pixel/{id}/update"), json!({"tag": "t2_2"})).await.ok();
        assert_eq!(json, json!({"error": 0, "message": "Pixel has been updated successfully."}));
    }

    async fn o_176_a_deleted_pixel_is_said_so_and_pages_go_on_without_it(app) {
        let (gone, stays) = (pixel(&app, "fbpixel", "111").await, pixel(&app, "reddit", "t2_1").await);
        let both = page_for(&app, Surface::Frame, &[gone, stays]).await.expect("a page");
        let alone = page_for(&app, Surface::Direct, &[gone]).await.expect("a page");
        let before = seq(&app).await;
        let json = app.delete(&format!("/api/pixel/{gone}/delete")).await.ok();
        assert_eq!(json, json!({"error": 0, "message": "Pixel has been deleted successfully."}));
        assert_eq!(seq(&app).await, before + 1, "one change");
        let (html, csp) = served(&app, both).await.expect("served");
        assert!(html.contains("redditstatic") && !html.contains("facebook") && !csp.contains("facebook"));
        assert_eq!(served(&app, alone).await, None, "nothing is left of it: visitors are redirected");
        // A link that is changed later still names it.
        assert_eq!(page_for(&app, Surface::Direct, &[gone]).await, None);
        app.delete(&format!("/api/pixel/{gone}/delete")).await.refused("does not exist");
        app.put(&format!("/api/pixel/{gone}/update"), json!({"tag": "1"})).await.refused("does not exist");
    }

    async fn o_177_splash_pages_are_listed(app) {
        let first = add(&app, "splash", json!({"name": "Product 1 Promo"})).await;
        let second = add(&app, "splash", json!({"name": "Product 2 Promo", "title": "Hi", "message": "a\nb", "image": "https://img.test/a.png", "button": "Buy", "link": "https://e.test/", "counter": 3})).await;
        let json = app.get("/api/splash?limit=2&page=1").await.ok();
        let list = &json["data"]["splash"];
        assert_eq!((&list[0]["id"], &list[0]["name"], &list[0]["counter"]), (&json!(second), &json!("Product 2 Promo"), &json!(3)));
        assert_eq!((&list[1]["id"], &list[1]["counter"], list[1]["date"].as_str().expect("a date").len()), (&json!(first), &json!(10), 19));
        assert_eq!(json["data"]["result"], 2);
    }

    async fn a_splash_page_is_changed_and_its_links_follow(app) {
        for (bad, field) in [(json!({}), "name"), (json!({"name": "x", "image": "javascript:1"}), "image"), (json!({"name": "x", "link": "data:,"}), "link"), (json!({"name": "x", "counter": "soon"}), "counter"), (json!({"name": "x", "title": "\u{0}d"}), "title"), (json!({"name": []}), "name")] {
            app.post("/api/splash/add", bad).await.refused(field);
        }
        let id = add(&app, "splash", json!({"name": "Promo", "title": "Old <b>"})).await;
        let tag = pixel(&app, "quorapixel", "abc").await;
        let page = page_for(&app, Surface::Splash(Some(id)), &[tag]).await.expect("a page");
        let (html, csp) = served(&app, page).await.expect("served");
        assert!(html.contains("Old &lt;b&gt;") && html.contains("<title>Promo</title>") && html.contains("qevents.js") && csp.contains("https://a.quora.com"), "{html}");
        let path = format!("/api/splash/{id}/update");
        let before = seq(&app).await;
        let json = app.put(&path, json!({"title": "New", "counter": 0})).await.ok();
        assert_eq!(json["message"], "Splash has been updated successfully.");
        let html = served(&app, page).await.expect("served").0;
        assert!(html.contains("<h1>New</h1>") && !html.contains("http-equiv"), "{html}");
        app.put(&path, json!({"title": "New"})).await.ok();
        assert_eq!(seq(&app).await, before + 1, "what visitors cannot see is no change");
        app.put(&path, json!({"name": ""})).await.refused("name");
        let json = app.delete(&format!("/api/splash/{id}/delete")).await.ok();
        assert_eq!(json["message"], "Splash has been deleted successfully.");
        let html = served(&app, page).await.expect("served").0;
        assert!(html.contains("qevents.js") && !html.contains("New"), "the pixel is left");
        for path in [path, "/api/splash/x/update".to_owned()] {
            app.put(&path, json!({"title": "x"})).await.refused("does not exist");
        }
    }

    async fn o_179_overlays_are_listed_under_cta(app) {
        add(&app, "overlay", json!({"type": "message", "name": "Product 1 Promo", "message": "Hello"})).await;
        let json = app.get("/api/overlay?limit=2&page=1").await.ok();
        let item = &json["data"]["cta"][0];
        assert_eq!((&item["type"], &item["name"], &item["position"], &item["color"]), (&json!("message"), &json!("Product 1 Promo"), &json!("bottom"), &json!("#1f2937")));
        assert!(item["id"].is_i64() && item["date"].as_str().expect("a date").len() == 19);
        assert_eq!((&json["data"]["maxpage"], &json["data"]["perpage"]), (&json!(1), &json!(2)));
    }

    async fn o_180_overlays_are_messages_or_forms(app) {
        add(&app, "overlay", json!({"type": "message", "name": "Promo", "message": "Hello"})).await;
        add(&app, "overlay", json!({"type": "contact", "name": "Contact Page", "message": "Ask", "email": "owner@e.test", "subject": "Shop"})).await;
        let json = app.get("/api/overlay").await.ok();
        assert_eq!((&json["data"]["cta"][0]["type"], &json["data"]["cta"][1]["type"]), (&json!("contact"), &json!("message")));
        for (bad, part) in [
            (json!({"name": "x", "message": "y"}), "type is required"),
            (json!({"type": "poll", "name": "x", "message": "y"}), "type must be message or contact"),
            (json!({"type": "message", "message": "y"}), "name"),
            (json!({"type": "message", "name": "x"}), "message"),
            (json!({"type": "contact", "name": "x", "message": "y"}), "email"),
            (json!({"type": "contact", "name": "x", "message": "y", "email": "nobody"}), "email"),
            (json!({"type": "message", "name": "x", "message": "y", "color": "red;}"}), "color"),
            (json!({"type": "message", "name": "x", "message": "y", "position": "middle"}), "position"),
            (json!({"type": "message", "name": "x", "message": "y", "link": "javascript:1"}), "link"),
        ] {
            app.post("/api/overlay/add", bad).await.refused(part);
        }
    }

    async fn an_overlay_lies_over_the_framed_destination_and_follows_its_edits(app) {
        let id = add(&app, "overlay", json!({"type": "message", "name": "Promo", "message": "Hello", "button": "Go", "link": "https://e.test/buy", "position": "top", "color": "#fff"})).await;
        let page = page_for(&app, Surface::Overlay(id), &[]).await.expect("a page");
        let (html, csp) = served(&app, page).await.expect("served");
        assert!(html.contains("src=\"\0d\"") && html.contains("Hello") && html.contains("https://e.test/buy") && html.contains("#ffffff"), "{html}");
        assert!(csp.contains("frame-src https: http:") && csp.contains("frame-ancestors 'none'"), "{csp}");
        let path = format!("/api/overlay/{id}/update");
        app.put(&path, json!({"type": "contact"})).await.refused("type must stay message");
        let json = app.put(&path, json!({"message": "Bye", "type": "message"})).await.ok();
        assert_eq!(json["message"], "Overlay has been updated successfully.");
        assert!(served(&app, page).await.expect("served").0.contains("Bye"));
        let json = app.delete(&format!("/api/overlay/{id}/delete")).await.ok();
        assert_eq!(json["message"], "Overlay has been deleted successfully.");
        assert_eq!(served(&app, page).await, None);
        app.delete(&format!("/api/overlay/{id}/delete")).await.refused("does not exist");
    }

    async fn what_visitors_write_is_kept_and_shown_to_the_owner_alone(app) {
        let contact = json!({"type": "contact", "name": "Ask", "message": "Ask us", "email": "owner@e.test", "subject": "Shop"});
        let id = add(&app, "overlay", contact.clone()).await;
        let link = app.link(json!({"url": "https://e.test/"})).await;
        let body = format!("overlay={id}&name=V&email=v%40e.test&message=Hi+there%0D%0A%3Cb%3E");
        let sent = send_form(&app, link, &body).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        assert!(sent.header("content-type").starts_with("text/html") && sent.header("content-security-policy").contains("default-src 'none'"));
        let json = app.get(&format!("/api/overlay/{id}/messages?limit=5")).await.ok();
        let note = &json["data"]["messages"][0];
        assert_eq!((&note["link"], &note["name"], &note["email"], &note["subject"], &note["message"]), (&json!(link), &json!("V"), &json!("v@e.test"), &json!("Shop"), &json!("Hi there\r\n<b>")));
        // Nothing of another workspace, of another type, of no link, or without the proxy's token.
        let message = add(&app, "overlay", json!({"type": "message", "name": "x", "message": "y"})).await;
        for (link, body, status) in [
            (link, body.replace(&format!("overlay={id}"), &format!("overlay={message}")), 404),
            (link, body.replace(&format!("overlay={id}"), "overlay=999999"), 404),
            (999_999, body.clone(), 404),
            (link, "overlay=x&email=v@e.test&message=Hi".to_owned(), 400),
            (link, format!("overlay={id}&email=nobody&message=Hi"), 400),
            (link, format!("overlay={id}&email=v@e.test&message=%00"), 400),
            (link, "%ff%fe&&&=".to_owned(), 400),
            (link, String::new(), 400),
            (link, "x".repeat(100_000), 413),
        ] {
            assert_eq!(send_form(&app, link, &body).await.status.as_u16(), status, "{body:.80}");
        }
        let path = format!("{}/form", paths::VISITOR);
        assert_eq!(internal(&app, Method::POST, &path, &[], &body).await.status, 400);
        assert_eq!(app.with_key(ADMIN_KEY, Method::POST, &path, None).await.status, 401);
        let stranger = app.other_workspace().await;
        let theirs = app.with_key(&stranger, Method::POST, "/api/overlay/add", Some(contact)).await.ok()["id"].clone();
        assert_eq!(send_form(&app, link, &body.replace(&format!("overlay={id}"), &format!("overlay={theirs}"))).await.status, 404);
        assert_eq!(app.get(&format!("/api/overlay/{id}/messages")).await.ok()["data"]["result"], 1);
        let path = format!("/api/overlay/{id}/messages/{}/delete", note["id"]);
        app.with_key(&stranger, Method::DELETE, &path, None).await.refused("does not exist");
        app.delete(&path).await.ok();
        app.delete(&path).await.refused("message");
        app.delete(&format!("/api/overlay/{id}/messages/x/delete")).await.refused("message 'x' does not exist");
        assert_eq!(app.get(&format!("/api/overlay/{id}/messages")).await.ok()["data"]["result"], 0);
    }

    async fn another_workspace_sees_nothing_of_them(app) {
        let mine = [
            ("pixel", pixel(&app, "bing", "1").await, "/api/pixels", "pixels", json!({"tag": "2"})),
            ("splash", add(&app, "splash", json!({"name": "x"})).await, "/api/splash", "splash", json!({"name": "y"})),
            ("overlay", add(&app, "overlay", json!({"type": "message", "name": "x", "message": "y"})).await, "/api/overlay", "cta", json!({"name": "y"})),
        ];
        let stranger = app.other_workspace().await;
        for (what, id, list, key, edit) in mine {
            let json = app.with_key(&stranger, Method::GET, list, None).await.ok();
            assert_eq!((&json["data"]["result"], &json["data"][key]), (&json!(0), &json!([])));
            app.with_key(&stranger, Method::PUT, &format!("/api/{what}/{id}/update"), Some(edit)).await.refused("does not exist");
            app.with_key(&stranger, Method::DELETE, &format!("/api/{what}/{id}/delete"), None).await.refused("does not exist");
            assert_eq!(app.get(list).await.ok()["data"]["result"], 1, "{what}");
        }
        app.with_key(&stranger, Method::GET, "/api/overlay/1/messages", None).await.refused("does not exist");
        // Nor can a page be made of them.
        let spec = PageSpec::new(Surface::Splash(Some(1)), &[1]).expect("few");
        let error = pages::check(&app.running.store, 2, &spec).await.expect_err("not theirs");
        assert!(error.to_string().contains("names splash page 1"), "{error}");
        let mut write = Write::begin(&app.running.store).await.expect("begins");
        assert_eq!(pages::page_for(&mut write, 2, &spec, 1).await.expect("none"), None);
    }

    async fn what_a_link_names_must_exist(app) {
        let store = &app.running.store;
        let id = pixel(&app, "bing", "1").await;
        for (surface, pixels, part) in [
            (Surface::Splash(Some(7)), vec![], "type names splash page 7"),
            (Surface::Overlay(7), vec![id], "type names overlay 7"),
            (Surface::Frame, vec![id, 99], "pixels names pixel 99"),
        ] {
            let spec = PageSpec::new(surface, &pixels).expect("few");
            let error = pages::check(store, WORKSPACE, &spec).await.expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
        }
        for surface in [Surface::Direct, Surface::Frame, Surface::Splash(None)] {
            pages::check(store, WORKSPACE, &PageSpec::new(surface, &[id]).expect("few")).await.expect("exists");
        }
    }

    async fn links_with_equal_settings_share_a_page(app) {
        let (a, b) = (pixel(&app, "bing", "1").await, pixel(&app, "reddit", "2").await);
        let page = page_for(&app, Surface::Frame, &[a, b]).await.expect("a page");
        let before = seq(&app).await;
        assert_eq!(page_for(&app, Surface::Frame, &[b, a, b]).await, Some(page));
        assert_eq!(seq(&app).await, before, "no change");
        assert_ne!(page_for(&app, Surface::Frame, &[a]).await, Some(page));
        assert_ne!(page_for(&app, Surface::Direct, &[a, b]).await, Some(page));
        assert_eq!(page_for(&app, Surface::Direct, &[]).await, None);
        // Many at once make one page.
        let (app, pixels) = (&app, [b]);
        let all = futures_util::future::join_all((0..8).map(|_| page_for(app, Surface::Splash(None), &pixels))).await;
        assert!(all.iter().all(|page| page.is_some() && page == &all[0]), "{all:?}");
        // The link shows it until it is deleted.
        let link = app.link(json!({"url": "https://e.test/"})).await;
        let mut write = Write::begin(&app.running.store).await.expect("begins");
        show(&mut write, link, &[page]).await.expect("noted");
        write.commit(1).await.expect("commits");
    }

    async fn ways_to_combine_are_bounded(app) {
        let id = pixel(&app, "bing", "1").await;
        let mut write = Write::begin(&app.running.store).await.expect("begins");
        let page = control_plane::domain::page::Rendered { status: 200, content_type: "text/plain", csp: String::new(), body: Vec::new() };
        for n in 0..MAX_PAGES {
            let key = format!("direct {}", n + 1000);
            control_plane::store::pages::put(&mut write, (WORKSPACE, Kind::Link, &key), &page, 1).await.expect("put");
        }
        let spec = PageSpec::new(Surface::Frame, &[id]).expect("few");
        let error = pages::page_for(&mut write, WORKSPACE, &spec, 1).await.expect_err("full");
        assert!(error.to_string().contains("1000 ways"), "{error}");
    }
}
