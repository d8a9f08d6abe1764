//! `/bio*`: pages and their blocks made, ordered, changed and deleted, what proxies hold of them, and what visitors send.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use http::Method;
use schemas::feed::paths;
use schemas::link::Entry;
use schemas::link::plan::{Content, Plan, Target};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::feed_writes::check_books;
use crate::harness::{Answer, SHORT, TestApp, on_both_engines};

/// A server that answers `/picture.png` with a picture and everything else with 404.
pub(crate) async fn pictures() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let addr = listener.local_addr().expect("bound");
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 4, 3);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().expect("a head");
    writer.write_image_data(&[7; 36]).expect("pixels");
    drop(writer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 2000];
            let read = stream.read(&mut head).await.unwrap_or(0);
            let found = head[..read].starts_with(b"GET /picture.png");
            let (status, body) = if found {
                ("200 OK", png.as_slice())
            } else {
                ("404 Not Found", &b"no"[..])
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            _ = stream.write_all(head.as_bytes()).await;
            _ = stream.write_all(body).await;
        }
    });
    addr
}

/// A page's id.
async fn bio(app: &TestApp, body: Value) -> i64 {
    app.post("/api/bio/add", body).await.ok()["id"]
        .as_i64()
        .expect("an integer")
}

/// Adds a block and returns its id.
async fn block(app: &TestApp, page: i64, body: Value) -> i64 {
    let json = app
        .post(&format!("/api/bio/{page}/blocks"), body)
        .await
        .ok();
    json["data"]["id"].as_i64().expect("an integer")
}

/// The page with its blocks, as its owner sees it.
async fn shown(app: &TestApp, page: i64) -> Value {
    app.get(&format!("/api/bio/{page}")).await.ok()["data"].clone()
}

/// Titles of a page's blocks in their order, and their positions.
async fn order(app: &TestApp, page: i64) -> Vec<(String, i64)> {
    let json = shown(app, page).await;
    let blocks = json["blocks"].as_array().expect("a list");
    blocks
        .iter()
        .map(|b| {
            (
                b["title"].as_str().unwrap_or_default().to_owned(),
                b["position"].as_i64().expect("a number"),
            )
        })
        .collect()
}

/// The finished page and its policy, as proxies have them.
async fn html(app: &TestApp, page: i64) -> (String, String) {
    let row: (Vec<u8>, String) = sqlx::query_as(
        "SELECT b.bytes, p.csp FROM pages p JOIN blobs b ON b.hash = p.hash WHERE p.kind = 2 AND p.key = $1 AND b.refs > 0",
    )
    .bind(page.to_string())
    .fetch_one(app.running.store.readers())
    .await
    .expect("a page");
    (String::from_utf8(row.0).expect("UTF-8"), row.1)
}

/// Destination and plan of the entry at a slug.
async fn held(app: &TestApp, slug: &str) -> Option<(String, Plan)> {
    let (entry,): (Vec<u8>,) = sqlx::query_as("SELECT entry FROM links WHERE slug = $1")
        .bind(slug.trim_start_matches('/').to_owned())
        .fetch_optional(app.running.store.readers())
        .await
        .expect("reads")?;
    let entry = Entry::parse(&entry).expect("an entry");
    let destination = String::from_utf8(entry.destination.to_vec()).expect("ascii");
    Some((destination, Plan::decode(entry.plan).expect("a plan")))
}

/// Slug of a block's link.
fn slug_of(block: &Value, place: usize) -> String {
    let link = block["targets"][place]["link"].as_str().expect("a link");
    link.strip_prefix(SHORT)
        .and_then(|path| path.strip_prefix('/'))
        .expect("ours")
        .to_owned()
}

/// The entries of the link database below `u/bio/`.
async fn parts(app: &TestApp) -> i64 {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM links WHERE slug LIKE 'u/bio/%'")
        .fetch_one(app.running.store.readers())
        .await
        .expect("counts");
    count
}

/// A form as a proxy passes it on.
async fn send(app: &TestApp, link: i64, address: &str, body: &str) -> Answer {
    let file = app.data.path().join(schemas::names::files::FEED_TOKEN);
    let token = std::fs::read_to_string(file).expect("a token");
    let (token, link) = (format!("Bearer {}", token.trim()), link.to_string());
    let headers = [
        ("authorization", token.as_str()),
        ("x-signpost-link", link.as_str()),
        ("x-signpost-visitor", address),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    app.call(
        Method::POST,
        &format!("{}/form", paths::VISITOR),
        &headers,
        body.to_owned(),
    )
    .await
}

/// Id of the entry of a page.
async fn link_of(app: &TestApp, page: i64) -> i64 {
    let (link,): (i64,) = sqlx::query_as("SELECT link_id FROM bio_pages WHERE id = $1")
        .bind(page)
        .fetch_one(app.running.store.readers())
        .await
        .expect("a page");
    link
}

/// Published examples of all types, their pictures at a server of ours.
pub(crate) async fn examples(app: &TestApp, server: SocketAddr) -> Vec<Map<String, Value>> {
    let json = app.get("/api/bio/block-types").await.ok();
    let types = json["data"]["types"].as_array().expect("a list").clone();
    assert_eq!(json["data"]["result"], types.len());
    let one = |kind: &Value| {
        let text = kind["example"].to_string();
        let text = text.replace(
            "https://example.com/picture.png",
            &format!("http://{server}/picture.png"),
        );
        let mut example: Map<String, Value> = serde_json::from_str(&text).expect("an object");
        example.insert("type".to_owned(), kind["type"].clone());
        example
    };
    types.iter().map(one).collect()
}

on_both_engines! {
    async fn o_158_o_159_o_161_a_block_is_added_and_stands_on_the_page(app) {
        let page = bio(&app, json!({"title": "Ada", "custom": "mybio"})).await;
        let made = app.post(&format!("/api/bio/{page}/blocks"), json!({
            "type": "link", "title": "Spring Sale — 30% off", "url": "https://example.com/spring-sale", "icon": "tag", "position": 2
        })).await.ok();
        assert!(made["data"]["id"].is_i64(), "{made}");
        assert_eq!(made["data"]["position"], 1);
        let json = shown(&app, page).await;
        let block = &json["blocks"][0];
        for (name, value) in [("type", json!("link")), ("title", json!("Spring Sale — 30% off")), ("url", json!("https://example.com/spring-sale")), ("icon", json!("tag")), ("clicks", json!(0)), ("position", json!(1))] {
            assert_eq!(block[name], value, "{name}");
        }
        let (html, csp) = html(&app, page).await;
        let slug = slug_of(block, 0);
        assert!(slug.starts_with("u/bio/"), "{slug}");
        assert!(html.contains(&format!("href=\"/{slug}\"")) && html.contains("Spring Sale — 30% off") && html.contains("<svg class=\"stroked\""), "{html}");
        assert_eq!(held(&app, &slug).await.expect("an entry").0, "https://example.com/spring-sale");
        assert!(csp.starts_with("default-src 'none'; style-src 'sha256-") && csp.contains("img-src 'self'"), "{csp}");
        check_books(&app).await;
    }

    async fn o_160_position_orders_blocks(app) {
        let page = bio(&app, json!({"title": "Ada"})).await;
        let mut ids = Vec::new();
        for title in ["a", "b", "c"] {
            ids.push(block(&app, page, json!({"type": "heading", "title": title})).await);
        }
        block(&app, page, json!({"type": "heading", "title": "second", "position": 2})).await;
        block(&app, page, json!({"type": "heading", "title": "last", "position": 99})).await;
        let titles = |order: Vec<(String, i64)>| {
            assert!(order.iter().zip(1..).all(|((_, position), place)| *position == place), "{order:?}");
            order.into_iter().map(|(title, _)| title).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(titles(order(&app, page).await), "a second b c last");
        let (html, _) = html(&app, page).await;
        let places: Vec<Option<usize>> = ["a", "second", "b", "c", "last"].iter().map(|t| html.find(&format!("<h2 dir=\"auto\">{t}</h2>"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
        // Moved, and taken away.
        let moved = app.put(&format!("/api/bio/{page}/blocks/{}", ids[2]), json!({"position": 1})).await.ok();
        assert_eq!(moved["data"], json!({"id": ids[2], "position": 1}));
        assert_eq!(titles(order(&app, page).await), "c a second b last");
        app.put(&format!("/api/bio/{page}/blocks/{}", ids[2]), json!({"position": 77})).await.ok();
        assert_eq!(titles(order(&app, page).await), "a second b last c");
        app.delete(&format!("/api/bio/{page}/blocks/{}", ids[1])).await.ok();
        assert_eq!(titles(order(&app, page).await), "a second last c");
        for bad in [json!(0), json!(-1), json!("x"), json!(1.5), json!(true)] {
            app.post(&format!("/api/bio/{page}/blocks"), json!({"type": "heading", "title": "x", "position": bad})).await.refused("position must be a whole number from 1");
        }
    }

    async fn o_162_o_163_o_164_every_published_type_is_accepted_and_shows(app) {
        let server = pictures().await;
        let page = bio(&app, json!({"title": "Ada"})).await;
        let examples = examples(&app, server).await;
        assert!(examples.len() >= 48, "{}", examples.len());
        for named in ["link", "featured-link", "heading", "image", "video", "audio", "product", "calendar", "form"] {
            assert!(examples.iter().any(|e| e["type"] == named), "{named}");
        }
        for example in &examples {
            block(&app, page, Value::Object(example.clone())).await;
        }
        let json = shown(&app, page).await;
        let blocks = json["blocks"].as_array().expect("a list");
        assert_eq!(blocks.len(), examples.len());
        let (html, csp) = html(&app, page).await;
        let visible = |text: &str| html.contains(&text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;"));
        for (block, example) in blocks.iter().zip(&examples) {
            for field in ["title", "question", "text", "description", "code", "price"] {
                if let Some(text) = example.get(field).and_then(Value::as_str) {
                    assert!(visible(text), "{}: {text}", example["type"]);
                }
            }
            for (place, target) in block["targets"].as_array().expect("a list").iter().enumerate() {
                let slug = slug_of(block, place);
                assert!(html.contains(&format!("href=\"/{slug}\"")), "{target}");
                assert!(held(&app, &slug).await.is_some(), "{target}");
            }
        }
        // Nothing is asked of anybody else, no markup begins outside, and all pictures are ours.
        assert!(!html.contains("src=\"http") && !html.contains("<iframe") && !html.contains(&server.to_string()), "{csp}");
        assert!(html.contains("img src=\"/u/bio/"), "pictures");
        check_books(&app).await;
        app.post(&format!("/api/bio/{page}/blocks"), json!({"type": "no-such"})).await.refused("type must be one of link, featured-link, heading");
        app.post(&format!("/api/bio/{page}/blocks"), json!({"title": "x"})).await.refused("type is required");
        app.delete(&format!("/api/bio/{page}/delete")).await.ok();
        assert_eq!(parts(&app).await, 0);
        let (held,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM blobs WHERE refs > 0").fetch_one(app.running.store.readers()).await.expect("counts");
        assert_eq!(held, 0, "all blobs are let go of");
        check_books(&app).await;
    }

    async fn what_the_document_says_of_a_type_is_what_is_taken(app) {
        let document = app.call(Method::GET, "/api/openapi.json", &[], "").await.json();
        let described = document["components"]["schemas"]["BlockRequest"]["oneOf"].as_array().expect("types").clone();
        let server = pictures().await;
        let examples = examples(&app, server).await;
        let published = app.get("/api/bio/block-types").await.ok();
        let published = published["data"]["types"].as_array().expect("a list");
        assert_eq!((described.len(), examples.len()), (published.len(), published.len()));
        let page = bio(&app, json!({"title": "Ada"})).await;
        let names = |value: &Value| -> BTreeSet<String> { value.as_array().expect("names").iter().map(|name| name.as_str().expect("text").to_owned()).collect() };
        for ((schema, example), kind) in described.iter().zip(&examples).zip(published) {
            assert_eq!(schema["properties"]["type"]["enum"], json!([kind["type"]]));
            let mut required = names(&kind["required"]);
            required.insert("type".to_owned());
            assert_eq!(names(&schema["required"]), required);
            let fields: BTreeSet<&String> = schema["properties"].as_object().expect("fields").keys().collect();
            assert!(example.keys().all(|name| fields.contains(name)), "{example:?}");
            assert_eq!(schema["example"]["type"], kind["type"]);
            // With what is required alone it is taken, and without any of that it is not.
            let least = |but: &str| -> Value { example.iter().filter(|(name, _)| required.contains(*name) && *name != but).map(|(n, v)| (n.clone(), v.clone())).collect::<Map<_, _>>().into() };
            let block = app.post(&format!("/api/bio/{page}/blocks"), least("")).await.ok()["data"]["id"].clone();
            for name in &required {
                app.post(&format!("/api/bio/{page}/blocks"), least(name)).await.refused(&format!("{name} is required"));
            }
            app.delete(&format!("/api/bio/{page}/blocks/{block}")).await.ok();
        }
    }

    async fn o_165_a_missing_field_is_named(app) {
        let page = bio(&app, json!({"title": "Ada"})).await;
        let blocks = format!("/api/bio/{page}/blocks");
        app.post(&blocks, json!({"type": "video", "title": "x"})).await.refused("url is required");
        app.post(&blocks, json!({"type": "form", "title": "x"})).await.refused("fields is required");
        app.post(&blocks, json!({"type": "link", "title": "<script>alert(1)</script>", "url": "https://e.test/"})).await.refused("title must be plain text: what looks like an HTML tag is not taken, not '<script>alert(1)</script>'");
        app.post(&blocks, json!({"type": "link", "title": "x", "url": "javascript:alert(1)"})).await.refused("url must begin with http:// or https://, not 'javascript:alert(1)'");
        app.post(&blocks, json!({"type": "link", "title": {"a": 1}, "url": "https://e.test/"})).await.refused("title must be text");
        app.post(&blocks, json!({"type": 7})).await.refused("type must be text");
        assert_eq!(shown(&app, page).await["blocks"], json!([]));
        assert_eq!(parts(&app).await, 0);
    }

    async fn pictures_are_fetched_once_and_served_from_here(app) {
        let server = pictures().await;
        let url = format!("http://{server}/picture.png");
        let page = bio(&app, json!({"title": "Ada", "avatar": url})).await;
        let (text, _) = html(&app, page).await;
        let slug = text.split("<img class=\"avatar\" src=\"/").nth(1).and_then(|rest| rest.split('"').next()).expect("a picture").to_owned();
        let (_, plan) = held(&app, &slug).await.expect("an entry");
        assert!(plan.uncounted);
        let Some(Target::Body(body)) = plan.target else { panic!("no body") };
        assert_eq!((body.content_type.as_str(), matches!(body.content, Content::Blob { .. })), ("image/png", true));
        assert!(text.contains("width=\"4\" height=\"3\"") && text.contains(&format!("property=\"og:image\" content=\"{SHORT}/{slug}\"")), "{text}");
        // The same picture again is the same; when nobody shows it any more it is gone.
        let id = block(&app, page, json!({"type": "image", "url": url, "alt": "A dot"})).await;
        assert_eq!(parts(&app).await, 1);
        app.put(&format!("/api/bio/{page}/update"), json!({"avatar": ""})).await.ok();
        assert!(held(&app, &slug).await.is_some());
        app.delete(&format!("/api/bio/{page}/blocks/{id}")).await.ok();
        assert_eq!((parts(&app).await, held(&app, &slug).await), (0, None));
        // What cannot be fetched, or is none, is refused by name.
        for (bad, why) in [(format!("http://{server}/no.png"), "404"), ("http://192.168.0.1/x.png".to_owned(), "private"), ("http://127.0.0.1:9/x.png".to_owned(), "")] {
            app.post(&format!("/api/bio/{page}/blocks"), json!({"type": "image", "url": bad})).await.refused(&format!("url must be a PNG or JPEG picture that can be fetched, and '{bad}' "));
            let message = app.put(&format!("/api/bio/{page}/update"), json!({"avatar": bad})).await.refused("avatar must be")["message"].to_string();
            assert!(why == "private" || message.contains(why), "{message}");
        }
        check_books(&app).await;
    }

    async fn o_166_a_page_answers_at_its_alias_and_follows_its_changes(app) {
        let made = app.post("/api/bio/add", json!({"title": "Ada & \"Co\"", "description": "Hello\nyou", "custom": "mybio", "theme": "ocean"})).await.ok();
        let page = made["id"].as_i64().expect("an id");
        assert_eq!((&made["shorturl"], &made["data"]["shorturl"]), (&json!(format!("{SHORT}/mybio")), &json!(format!("{SHORT}/mybio"))));
        let (_, plan) = held(&app, "mybio").await.expect("an entry");
        assert!(matches!(plan.target, Some(Target::Page { .. })) && !plan.uncounted, "{plan:?}");
        let (text, _) = html(&app, page).await;
        assert!(text.contains("<h1 dir=\"auto\">Ada &amp; &quot;Co&quot;</h1>") && text.contains("lang=\"en\"") && text.contains(&format!("property=\"og:url\" content=\"{SHORT}/mybio\"")), "{text}");
        app.post("/api/bio/add", json!({"title": "x", "custom": "mybio"})).await.refused("Custom alias 'mybio' is already in use");
        app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "mybio"})).await.refused("already in use");
        let id = block(&app, page, json!({"type": "link", "title": "x", "url": "https://e.test/1"})).await;
        let slug = slug_of(&shown(&app, page).await["blocks"][0], 0);
        app.put(&format!("/api/bio/{page}/update"), json!({"custom": "ada", "title": "Ada", "password": "open sesame", "expires_at": "2999-01-01", "background": "#000", "language": "de"})).await.ok();
        assert!(held(&app, "mybio").await.is_none());
        let (_, plan) = held(&app, "ada").await.expect("an entry");
        assert!(plan.password.is_some());
        let json = shown(&app, page).await;
        assert_eq!((&json["alias"], &json["password"], &json["expires_at"], &json["background"], &json["description"]), (&json!("ada"), &json!(true), &json!("2999-01-01 23:59:59"), &json!("#000000"), &json!("Hello\nyou")));
        assert!(html(&app, page).await.0.contains("lang=\"de\""));
        // A link keeps its address, and its clicks, when it leads elsewhere.
        app.put(&format!("/api/bio/{page}/blocks/{id}"), json!({"url": "https://e.test/2", "title": null})).await.ok();
        assert_eq!(slug_of(&shown(&app, page).await["blocks"][0], 0), slug);
        assert_eq!(held(&app, &slug).await.expect("an entry").0, "https://e.test/2");
        app.put(&format!("/api/bio/{page}/blocks/{id}"), json!({"type": "heading"})).await.refused("type must stay link");
        app.put(&format!("/api/bio/{page}/update"), json!({"title": ""})).await.refused("title must not be empty");
        app.put(&format!("/api/bio/{page}/update"), json!({"text": "#111"})).await.refused("contrast");
        app.delete(&format!("/api/bio/{page}/delete")).await.ok();
        assert!(held(&app, "ada").await.is_none() && held(&app, &slug).await.is_none());
        app.get(&format!("/api/bio/{page}")).await.refused("bio page");
        check_books(&app).await;
    }

    async fn links_of_a_page_do_not_lead_back_to_themselves(app) {
        let page = bio(&app, json!({"title": "Ada"})).await;
        block(&app, page, json!({"type": "link", "title": "x", "url": "https://e.test/"})).await;
        let slug = slug_of(&shown(&app, page).await["blocks"][0], 0);
        for bad in [format!("{SHORT}/{slug}"), format!("{SHORT}/qr/abc"), format!("{SHORT}/%75/bio/x"), format!("http://127.0.0.1:8080/{slug}")] {
            app.post(&format!("/api/bio/{page}/blocks"), json!({"type": "link", "title": "x", "url": bad})).await.refused("url must not lead to");
        }
        // A short link of ours is what people want.
        block(&app, page, json!({"type": "link", "title": "x", "url": format!("{SHORT}/other")})).await;
    }

    async fn o_117_o_118_o_122_pages_are_listed_and_channels_hold_them(app) {
        let page = bio(&app, json!({"title": "My Sample Bio", "alias": "mybio"})).await;
        block(&app, page, json!({"type": "divider"})).await;
        let list = app.get("/api/bio").await.ok();
        let item = &list["data"]["bios"][0];
        assert_eq!((&list["data"]["result"], &item["id"], &item["title"], &item["blocks"], &item["views"], &list["data"]["stats"]), (&json!(1), &json!(page), &json!("My Sample Bio"), &json!(1), &json!(0), &json!("unavailable")));
        let code = app.post("/api/qr/add", json!({"type": "link", "data": "https://e.test/", "name": "Menu"})).await.ok();
        let channel = app.post("/api/channel/add", json!({"name": "C"})).await.ok()["id"].as_i64().expect("an id");
        for (kind, id) in [("bio", json!(page)), ("qr", code["id"].clone())] {
            let assigned = app.post(&format!("/api/channel/{channel}/assign/{kind}/{id}"), json!({})).await.ok();
            assert_eq!(assigned["message"], "Item successfully added to the channel.");
        }
        let items = app.get(&format!("/api/channel/{channel}")).await.ok()["data"]["items"].clone();
        let (qr, shown) = (&items[0], &items[1]);
        assert_eq!((&qr["type"], &qr["title"], &qr["preview"], &qr["link"]), (&json!("qr"), &json!("Menu"), &code["data"]["image_url"], &code["link"]));
        assert_eq!((&shown["type"], &shown["id"], &shown["title"], &shown["preview"], &shown["link"]), (&json!("bio"), &json!(page), &json!("My Sample Bio"), &json!(format!("{SHORT}/mybio")), &json!(format!("{SHORT}/mybio"))));
        app.delete(&format!("/api/bio/{page}/delete")).await.ok();
        assert_eq!(app.get(&format!("/api/channel/{channel}")).await.ok()["data"]["result"], 1);
        app.post(&format!("/api/channel/{channel}/assign/bio/{page}"), json!({})).await.refused("does not exist");
    }

    async fn what_visitors_send_is_kept_for_the_owner(app) {
        let page = bio(&app, json!({"title": "Ada", "custom": "ada"})).await;
        let link = link_of(&app, page).await;
        let contact = block(&app, page, json!({"type": "contact-form", "success": "I have it."})).await;
        let poll = block(&app, page, json!({"type": "poll", "question": "?", "options": ["Tea", "Coffee"]})).await;
        let heading = block(&app, page, json!({"type": "heading", "title": "x"})).await;
        let (text, csp) = html(&app, page).await;
        assert!(csp.contains("form-action 'self'") && text.contains("<form class=\"panel\" method=\"post\">"), "{csp}");
        let kept = send(&app, link, "203.0.113.1", &format!("bio-block={contact}&name=%3CB%3E&email=v%40e.test&message=Hi%0Athere")).await;
        assert_eq!(kept.status, 200);
        let answer = String::from_utf8(kept.body.to_vec()).expect("UTF-8");
        assert!(answer.contains("I have it.") && answer.contains(&format!("href=\"{SHORT}/ada\"")), "{answer}");
        for (body, status) in [
            (format!("bio-block={contact}&email=v&message=Hi"), 400),
            (format!("bio-block={contact}&email=v%40e.test&message="), 400),
            (format!("bio-block={heading}&email=v%40e.test&message=Hi"), 404),
            ("bio-block=99999&email=v%40e.test&message=Hi".to_owned(), 404),
            ("bio-block=x".to_owned(), 404),
            // A program's: told that it was taken.
            (format!("bio-block={contact}&email=v%40e.test&message=Hi&website=x"), 200),
        ] {
            assert_eq!(send(&app, link, "203.0.113.2", &body).await.status, status, "{body}");
        }
        // A form belongs to the page it is sent to.
        let other = bio(&app, json!({"title": "Other"})).await;
        let wrong = send(&app, link_of(&app, other).await, "203.0.113.3", &format!("bio-block={contact}&email=v%40e.test&message=Hi")).await;
        assert_eq!(wrong.status, 404);
        let entries = app.get(&format!("/api/bio/{page}/entries")).await.ok();
        let item = &entries["data"]["entries"][0];
        assert_eq!((&entries["data"]["result"], &item["block"], &item["type"], &item["fields"]), (&json!(1), &json!(contact), &json!("contact-form"), &json!({"name": "<B>", "email": "v@e.test", "message": "Hi\nthere"})));
        let csv = app.get(&format!("/api/bio/{page}/entries?format=csv&block={contact}")).await;
        let csv = String::from_utf8(csv.body.to_vec()).expect("UTF-8");
        assert!(csv.starts_with("id,block,type,date,fields\r\n") && csv.contains(",contact-form,") && csv.contains("\"{\"\"email\"\":\"\"v@e.test\"\""), "{csv}");
        let lines = app.get(&format!("/api/bio/{page}/entries?format=ndjson")).await;
        let line: Value = serde_json::from_slice(&lines.body).expect("one object");
        assert_eq!(line["id"], item["id"]);
        for choice in [0, 1, 1] {
            let voted = send(&app, link, "203.0.113.4", &format!("bio-block={poll}&choice={choice}")).await;
            assert_eq!(voted.status, 200);
        }
        assert_eq!(send(&app, link, "203.0.113.4", &format!("bio-block={poll}&choice=7")).await.status, 400);
        let results = shown(&app, page).await["blocks"][1]["results"].clone();
        assert_eq!(results, json!([{"option": "Tea", "votes": 1}, {"option": "Coffee", "votes": 2}]));
        app.delete(&format!("/api/bio/{page}/entries/{}/delete", item["id"])).await.ok();
        app.delete(&format!("/api/bio/{page}/entries/{}/delete", item["id"])).await.refused("does not exist");
        // One address sends so much a minute and no more.
        let mut last = 0;
        for _ in 0..21 {
            last = send(&app, link, "203.0.113.9", &format!("bio-block={poll}&choice=0")).await.status.as_u16();
        }
        assert_eq!(last, 429);
        let huge = "x".repeat(100_000);
        assert_eq!(send(&app, link, "203.0.113.10", &format!("bio-block={contact}&message={huge}")).await.status, 413);
    }

    async fn a_page_takes_so_many_blocks_and_no_more(app) {
        let page = bio(&app, json!({"title": "Ada"})).await;
        for _ in 0..100 {
            block(&app, page, json!({"type": "divider"})).await;
        }
        app.post(&format!("/api/bio/{page}/blocks"), json!({"type": "divider"})).await.refused("blocks of a page must be at most 100");
    }

    async fn another_workspace_sees_nothing_of_a_bio_page(app) {
        let page = bio(&app, json!({"title": "mine", "custom": "mine"})).await;
        let id = block(&app, page, json!({"type": "contact-form"})).await;
        let link = link_of(&app, page).await;
        send(&app, link, "203.0.113.1", &format!("bio-block={id}&email=v%40e.test&message=Hi")).await;
        let entry = app.get(&format!("/api/bio/{page}/entries")).await.ok()["data"]["entries"][0]["id"].clone();
        let key = app.other_workspace().await;
        let theirs = async |method: Method, path: String, body: Option<Value>| app.with_key(&key, method, &path, body).await;
        assert_eq!(theirs(Method::GET, "/api/bio".to_owned(), None).await.ok()["data"]["result"], 0);
        let missing = format!("bio page '{page}' does not exist");
        let heading = Some(json!({"type": "heading", "title": "x"}));
        for (method, path, body) in [
            (Method::GET, format!("/api/bio/{page}"), None),
            (Method::GET, format!("/api/bio/{page}/stats"), None),
            (Method::GET, format!("/api/bio/{page}/entries"), None),
            (Method::GET, format!("/api/bio/{page}/entries?format=csv"), None),
            (Method::DELETE, format!("/api/bio/{page}/entries/{entry}/delete"), None),
            (Method::PUT, format!("/api/bio/{page}/update"), Some(json!({"title": "x"}))),
            (Method::DELETE, format!("/api/bio/{page}/delete"), None),
            (Method::POST, format!("/api/bio/{page}/blocks"), heading.clone()),
            (Method::PUT, format!("/api/bio/{page}/blocks/{id}"), heading.clone()),
            (Method::DELETE, format!("/api/bio/{page}/blocks/{id}"), None),
        ] {
            theirs(method, path, body).await.refused(&missing);
        }
        let own = theirs(Method::POST, "/api/bio/add".to_owned(), Some(json!({"title": "theirs"}))).await.ok()["id"].clone();
        theirs(Method::PUT, format!("/api/bio/{own}/blocks/{id}"), heading).await.refused(&format!("block '{id}' does not exist"));
        theirs(Method::DELETE, format!("/api/bio/{own}/blocks/{id}"), None).await.refused(&format!("block '{id}' does not exist"));
        let channel = theirs(Method::POST, "/api/channel/add".to_owned(), Some(json!({"name": "C"}))).await.ok()["id"].clone();
        theirs(Method::POST, format!("/api/channel/{channel}/assign/bio/{page}"), Some(json!({}))).await.refused(&missing);
        assert_eq!(app.get(&format!("/api/bio/{page}/entries")).await.ok()["data"]["result"], 1);
    }
}
