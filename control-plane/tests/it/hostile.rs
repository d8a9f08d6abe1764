//! Markup, and characters that nobody sees, in every text that the API takes, one at a time: it is refused by the field's name, or it is a text like any other and
//! stands on pages as one. What is walked is read off the OpenAPI document, so a new field is walked when it is described.

use std::collections::BTreeSet;

use http::Method;
use schemas::link::Entry;
use schemas::link::plan::{Content, Plan, Target};
use serde_json::{Value, json};

use crate::bio::{examples, pictures};
use crate::files::{download, held, raw, replace, slug, stored, upload, uploads};
use crate::foreign::Victim;
use crate::foreign::table::{Call, calls};
use crate::harness::{ADMIN_KEY, Answer, TestApp, on_both_engines, unique};
use crate::oauth::{Browser, CALLBACK};
use crate::users::add_user;

/// Leaves an attribute and an element, and runs in two ways.
pub(crate) const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";

/// Written from right to left, and without width.
pub(crate) const UNSEEN: &str = "a\u{202e}b\u{200b}c\u{2066}d\u{feff}";

/// As much as bio pages take: what looks like a tag is refused there.
pub(crate) const BREAKING_OUT: &str = "\" onmouseover=alert(1) x=\"&'";

/// What must not be in a page.
pub(crate) const MARKUP: [&str; 3] = ["<script>alert(1)", "<img src=x", "\" onmouseover="];

/// What must be in one that shows it.
const ESCAPED: [&str; 2] = ["&lt;script&gt;alert(1)", "&quot; onmouseover=alert(1)"];

/// What the bodies of the common table leave out: lists and objects with texts in them, and bodies that are no JSON there.
fn more(route: &str) -> Vec<(&'static str, Value)> {
    let to = "https://e.test/";
    match route {
        "POST /api/url/add" | "PUT /api/url/{id}/update" => vec![
            ("parameters", json!([{"name": "a", "value": "b"}])),
            ("geotarget", json!([{"location": "canada", "link": to}])),
            ("devicetarget", json!([{"device": "ipad", "link": to}])),
            ("languagetarget", json!([{"language": "fr", "link": to}])),
            (
                "deeplink",
                json!({"auto": "true", "apple": "https://apps.apple.com/app/id1", "google": "https://play.google.com/store/apps/details?id=a"}),
            ),
            (
                "rules",
                json!([{"match": "all", "conditions": [{"type": "query", "name": "a", "values": ["b"]}], "url": to}]),
            ),
            (
                "variants",
                json!([{"name": "A", "url": to}, {"name": "B", "url": to}]),
            ),
            ("tags", json!(["a"])),
        ],
        "POST /api/urls/bulk" => vec![("urls", json!([{"url": to, "title": "t"}]))],
        "POST /api/urls/import" => vec![
            ("data", json!("url\nhttps://e.test/\n")),
            ("dry_run", json!(true)),
        ],
        "PUT /api/domain/{id}/apps" => vec![
            ("apple", json!(["ABCDE12345.com.example.app"])),
            (
                "android",
                json!([{"package": "com.example.app", "fingerprints": [vec!["AB"; 32].join(":")]}]),
            ),
        ],
        "POST /api/oauth/client/add" => vec![
            ("redirect_uris", json!([CALLBACK])),
            ("scopes", json!(["read"])),
        ],
        "POST /api/keys" => vec![("scopes", json!(["read"]))],
        _ => Vec::new(),
    }
}

/// All texts in a value, as JSON pointers.
fn texts(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::String(_) => drop(found.insert(at.to_owned())),
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                texts(item, &format!("{at}/{place}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                texts(field, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Fields of an operation's JSON body that may be a text, by the document.
fn described(document: &Value, operation: &Value) -> Option<Vec<String>> {
    let schema = operation.pointer("/requestBody/content/application~1json/schema")?;
    let schema = match schema["$ref"].as_str() {
        Some(name) => document
            .pointer(name.trim_start_matches('#'))
            .expect("a schema"),
        None => schema,
    };
    let is_text = |field: &Value| match &field["type"] {
        Value::String(kind) => kind == "string",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "string"),
        // Of any type.
        Value::Null => field.get("$ref").is_none() && field.get("oneOf").is_none(),
        _ => false,
    };
    let fields = schema["properties"].as_object().into_iter().flatten();
    Some(
        fields
            .filter(|(_, field)| is_text(field))
            .map(|(name, _)| name.clone())
            .collect(),
    )
}

/// A valid body with another name each time, where two of one name cannot be.
fn fresh(body: &Value) -> Value {
    let text = body.to_string();
    let name = format!("another{}", unique());
    serde_json::from_str(&text.replace("another", &name).replace("somebody", &name)).expect("JSON")
}

/// Whether it was taken; else it must be refused, and the field be named.
#[track_caller]
fn judge(answer: &Answer, call: &str, pointer: &str) -> bool {
    let json = answer.json();
    let shown = format!("{call} {pointer}: {} {json}", answer.status);
    assert_eq!(answer.status, 200, "{shown}");
    let refused = match json["error"].as_u64() {
        Some(0) => json
            .pointer("/results/0")
            .filter(|first| first["error"] != 0),
        _ => Some(&json),
    };
    let Some(refused) = refused else {
        return true;
    };
    let message = refused["message"].as_str().expect("a message");
    let mut names = pointer
        .rsplit('/')
        .filter(|part| part.parse::<usize>().is_err());
    let name = names.next().expect("a field");
    assert!(message.contains(name), "{shown}");
    false
}

/// Puts them into each text of a body; how often one was taken, and how often refused.
async fn walk(
    app: &TestApp,
    key: &str,
    call: &Call,
    base: &Value,
    fields: &[String],
) -> (usize, usize) {
    let mut pointers: BTreeSet<String> = fields.iter().map(|name| format!("/{name}")).collect();
    texts(base, "", &mut pointers);
    let (mut taken, mut refused) = (0, 0);
    for (pointer, text) in pointers
        .iter()
        .flat_map(|pointer| [(pointer, UNSEEN), (pointer, HOSTILE)])
    {
        let mut body = fresh(base);
        match body.pointer_mut(pointer) {
            Some(place) => *place = json!(text),
            None => body[&pointer[1..]] = json!(text),
        }
        let answer = app
            .with_key(key, call.method(), &call.path, Some(body))
            .await;
        match judge(&answer, call.route, pointer) {
            true => taken += 1,
            false => refused += 1,
        }
    }
    (taken, refused)
}

/// Fields of an operation's form that are no file, and its parameters in the query.
fn fields_of_form(document: &Value, operation: &Value) -> Vec<String> {
    let form = operation.pointer("/requestBody/content/multipart~1form-data/schema/$ref");
    let schema = form
        .and_then(Value::as_str)
        .and_then(|name| document.pointer(name.trim_start_matches('#')));
    let fields = schema.and_then(|schema| schema["properties"].as_object());
    let fields = fields.into_iter().flatten().map(|(name, _)| name.clone());
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let queries = parameters.filter(|parameter| parameter["in"] == "query");
    let queries = queries.filter_map(|query| query["name"].as_str().map(str::to_owned));
    fields
        .chain(queries)
        .filter(|name| name != "file")
        .collect()
}

/// Looks at everything that proxies show; how many pages hold the text.
async fn pages(app: &TestApp) -> usize {
    let pool = app.running.store.readers();
    let pages: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "SELECT p.content_type, b.bytes FROM pages p JOIN blobs b ON b.hash = p.hash",
    )
    .fetch_all(pool)
    .await
    .expect("rows");
    let entries: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT entry FROM links")
        .fetch_all(pool)
        .await
        .expect("rows");
    let mut shown = 0;
    let mut look = |kind: &str, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if kind.starts_with("text/html") {
            assert!(!MARKUP.iter().any(|markup| text.contains(markup)), "{text}");
            shown += usize::from(ESCAPED.iter().any(|escaped| text.contains(escaped)));
        }
    };
    for (kind, bytes) in &pages {
        look(kind, bytes);
    }
    for (entry,) in &entries {
        let entry = Entry::parse(entry).expect("an entry");
        let target = Plan::decode(entry.plan).expect("a plan").target;
        if let Some(Target::Body(body)) = target
            && let Content::Inline(bytes) = &body.content
        {
            look(&body.content_type, bytes);
        }
    }
    shown
}

on_both_engines! {
    async fn markup_in_any_text_is_refused_by_name_or_stands_there_as_text(app) {
        let victim = Victim::new(&app).await;
        let document = app.call(Method::GET, "/api/openapi.json", &[], "").await.json();
        let calls = calls(&victim.ids);
        let (_, somebody) = add_user(&app, "somebody-else").await;
        let (mut taken, mut refused) = (0, 0);
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let Some(fields) = described(&document, operation) else {
                    continue;
                };
                let route = format!("{} {path}", method.to_uppercase());
                let call = calls.iter().find(|call| call.route == route).expect("a call");
                // Blocks are walked by type.
                if path.contains("/blocks") {
                    continue;
                }
                let mut base = match &call.body {
                    Value::Object(_) => call.body.clone(),
                    _ => json!({}),
                };
                for (name, value) in more(&route) {
                    base[name] = value;
                }
                let administers = ["/api/plan", "/api/user"].iter().any(|start| path.starts_with(start));
                let key = match path.as_str() {
                    // The victim's own sign-in stays as it is.
                    "/api/account/update" => &somebody,
                    _ if administers => ADMIN_KEY,
                    _ => &victim.key,
                };
                let (more_taken, more_refused) = walk(&app, key, call, &base, &fields).await;
                taken += more_taken;
                refused += more_refused;
            }
        }
        assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");

        // Links that show what took it.
        let of = |kind: &str| victim.ids.of(kind).to_owned();
        for kind in [of("splash"), format!("overlay-{}", of("overlay"))] {
            let body = json!({"url": "https://e.test/", "type": kind, "title": HOSTILE, "metatitle": HOSTILE, "metadescription": HOSTILE});
            app.with_key(&victim.key, Method::POST, "/api/url/add", Some(body)).await.ok();
        }
        let (campaign, link) = (of("campaign"), of("link"));
        let assign = format!("/api/campaign/{campaign}/assign/{link}");
        app.with_key(&victim.key, Method::POST, &assign, None).await.ok();
        // Splash page, overlay, bio page and a campaign's list.
        assert!(pages(&app).await >= 4);
    }

    async fn markup_in_any_text_of_a_block_is_refused_and_quotes_stand_there_as_text(app) {
        app.put("/api/plan/1/update", json!({"rate": 0})).await.ok();
        let server = pictures().await;
        let mut taken = 0;
        for example in examples(&app, server).await {
            let title = format!("page{}", unique());
            let page = app.post("/api/bio/add", json!({"title": title})).await.ok()["id"].clone();
            let path = format!("/api/bio/{page}/blocks");
            let mut pointers = BTreeSet::new();
            let base = Value::Object(example);
            texts(&base, "", &mut pointers);
            for pointer in pointers {
                for (text, may) in [(HOSTILE, false), (BREAKING_OUT, true)] {
                    let mut body = base.clone();
                    *body.pointer_mut(&pointer).expect("there") = json!(text);
                    let answer = app.post(&path, body).await;
                    let is_taken = judge(&answer, &base["type"].to_string(), &pointer);
                    // What a code encodes is no text of the page.
                    let is_data = base["type"] == "qr" && pointer == "/data";
                    assert!(!is_taken || may || is_data, "{base} {pointer}");
                    taken += usize::from(is_taken);
                }
            }
            // The same in a change of one that is there.
            let added = app.post(&path, base.clone()).await.ok();
            let path = format!("{path}/{}", added["data"]["id"]);
            let mut pointers = BTreeSet::new();
            texts(&base, "", &mut pointers);
            for pointer in pointers {
                for (text, may) in [(HOSTILE, false), (BREAKING_OUT, true), (UNSEEN, true)] {
                    let mut body = base.clone();
                    *body.pointer_mut(&pointer).expect("there") = json!(text);
                    let is_taken = judge(&app.put(&path, body).await, &base["type"].to_string(), &pointer);
                    let is_data = base["type"] == "qr" && pointer == "/data";
                    assert!(!is_taken || may || is_data, "{base} {pointer}");
                    taken += usize::from(is_taken);
                }
            }
        }
        assert!(taken > 150, "{taken}");
        assert!(pages(&app).await > 40);
    }

    async fn markup_in_any_field_of_a_file_is_refused_by_name_or_kept_as_text(app) {
        let document = app.call(Method::GET, "/api/openapi.json", &[], "").await.json();
        let of = |method: &str, path: &str| fields_of_form(&document, &document["paths"][path][method]);
        let file = raw(&app, "a.txt", "bytes").await.ok()["id"].as_i64().expect("an id");
        let (mut walked, mut taken) = (0, 0);
        for text in [HOSTILE, UNSEEN, BREAKING_OUT] {
            for name in of("post", "/api/file/upload") {
                let answer = upload(&app, &[(&name, None, text.as_bytes()), ("file", Some("a.txt"), b"bytes")]).await;
                taken += usize::from(judge(&answer, "upload", &format!("/{name}")));
                walked += 1;
            }
            for name in of("patch", "/api/file/{id}") {
                let answer = replace(&app, file, &[(&name, None, text.as_bytes())]).await;
                taken += usize::from(judge(&answer, "replace", &format!("/{name}")));
                walked += 1;
            }
            let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            for name in of("post", "/api/files/upload/{filename}") {
                let answer = raw(&app, &format!("a.txt?{name}={encoded}"), "bytes").await;
                taken += usize::from(judge(&answer, "upload_raw", &format!("/{name}")));
                walked += 1;
            }
            // Names and passwords alone may be anything.
            let names: BTreeSet<String> = app.get("/api/files?limit=500").await.ok()["list"].as_array().expect("a list").iter().map(|file| file["name"].to_string()).collect();
            assert!(names.contains(&json!(text).to_string()), "{names:?}");
        }
        assert_eq!((walked, taken), (3 * 16, 3 * 6));
        // Who must give a password or is told that a file is no more reads a page of ours.
        pages(&app).await;
    }

    async fn ten_megabytes_are_too_many_for_what_is_no_file(app) {
        let body = [b"{\"url\":\"https://e.test/", &vec![b'a'; 10 << 20][..], b"\"}"].concat();
        let bearer = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        for path in ["/api/url/add", "/api/qr/add", "/api/bio/add", "/api/splash/add"] {
            let answer = app.call(Method::POST, path, &headers, body.clone()).await;
            answer.failed(413, "at most 1048576 bytes");
        }
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 0);
    }

    async fn file_names_lead_nowhere_and_archives_stay_shut(app) {
        // The folders of whoever sent it are not ours.
        for (sent, kept) in [("../../x", "x"), ("..\\..\\x", "x"), ("C:\\x", "x"), ("/etc/x.txt", "x.txt"), ("a/../b", "b")] {
            let path = percent_encoding::utf8_percent_encode(sent, percent_encoding::NON_ALPHANUMERIC).to_string();
            for json in [raw(&app, &path, sent.as_bytes().to_vec()).await.ok(), upload(&app, &[("file", Some(sent), b"x")]).await.ok()] {
                assert_eq!(held(&app, &slug(&json)).await.expect("an entry").1.name, kept, "{sent}");
            }
        }
        let long = "x".repeat(300);
        for bad in ["a\u{0}b", &long, "..", "a\u{202e}gpj.exe", "a\u{200b}b", "a\nb"] {
            let path = percent_encoding::utf8_percent_encode(bad, percent_encoding::NON_ALPHANUMERIC).to_string();
            raw(&app, &path, "x").await.refused("filename must");
            // A line's end would be another header of the part.
            if !bad.contains('\n') {
                upload(&app, &[("file", Some(bad), b"x")]).await.refused("file must");
            }
        }
        let folder = uploads(&app);
        let is_inside = |path: &std::path::PathBuf| path.starts_with(&folder);
        assert!(stored(&folder).iter().all(is_inside) && !app.data.path().join("x").exists());
        // A thousand entries that are all one and the same, of four gigabytes each.
        let mut bomb = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0a".to_vec();
        for _ in 0..1000 {
            bomb.extend_from_slice(b"PK\x01\x02\x14\0\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0a");
        }
        let json = raw(&app, "bomb.zip", bomb.clone()).await.ok();
        assert!(download(&app, &slug(&json)).await == bomb);
    }

    async fn names_that_look_like_others_are_refused_by_field(app) {
        for domain in [
            // Cyrillic, as letters and as punycode; mixed scripts; both directions; what is not seen.
            "https://\u{430}pple.test", "https://xn--pple-43d.test", "https://p\u{430}ypal.test", "https://a\u{5d0}.test", "https://a\u{202e}b.test", "https://a\u{200d}b.test",
            "https://a..test", "https://a_b.test", "https://xn--a.test",
        ] {
            let json = app.post("/api/domain/add", json!({"domain": domain})).await.refused("");
            assert!(json["message"].as_str().expect("text").starts_with("domain "), "{domain}: {json}");
        }
        for slug in ["\u{202e}cba", "a\u{200b}b", "a\u{200c}b", "a\u{200d}b", "a\u{200e}b", "a\u{2060}b", "a\u{2066}b\u{2069}", "\u{feff}a", "a\u{ad}b", "a\u{34f}b", "a\u{e0041}b", "a\u{3164}b", "a\u{fe0f}", "\u{1160}", "a\u{e0100}"] {
            for (path, body) in [
                ("/api/url/add", json!({"url": "https://e.test/", "custom": slug})),
                ("/api/bio/add", json!({"title": "A", "custom": slug})),
            ] {
                let json = app.post(path, body).await.refused("");
                assert!(json["message"].as_str().expect("text").starts_with("custom "), "{path} {slug:?}: {json}");
            }
        }
    }

    async fn markup_in_names_stands_as_text_on_pages_for_people(app) {
        let body = json!({"name": HOSTILE, "redirect_uris": [CALLBACK]});
        let client = app.post("/api/oauth/client/add", body).await.ok();
        add_user(&app, "ana").await;
        let mut browser = Browser::new(&app);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", client["client_id"].as_str().expect("text"))
            .append_pair("redirect_uri", CALLBACK)
            .append_pair("state", HOSTILE)
            .finish();
        let path = format!("/oauth/authorize?{query}");
        let signing_in = browser.get(&path).await.text();
        browser.sign_in("ana", "correct horse").await;
        let asking = browser.get(&path).await.text();
        assert!(asking.contains(ESCAPED[0]), "{asking}");
        let wrong = browser.post("/login", &[("login", HOSTILE), ("password", HOSTILE), ("request", HOSTILE)]).await.text();
        let unknown = browser.get(&format!("/login/{}", "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E")).await.text();
        let docs = app.call(Method::GET, "/api/docs", &[], "").await.text();
        for page in [signing_in, asking, wrong, unknown, docs] {
            assert!(!MARKUP.iter().any(|markup| page.contains(markup)), "{page}");
        }
    }
}
