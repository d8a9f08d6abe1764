//! `/files`, `/files/upload/:filename`, `/file/upload`, `PATCH /file/:id`, `/file/:id/delete`: what comes in is what proxies
//! are given, and nothing is left behind where something fails.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::Method;
use schemas::link::Entry;
use schemas::link::plan::{File, Plan, Target};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::feed_writes::check_books;
use crate::harness::{ADMIN_KEY, Answer, SHORT, TestApp, keys, on_both_engines};
use crate::storage::strays;

/// What nobody stores for fun: every byte, line ends and what looks like a boundary.
pub(crate) fn awkward() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    bytes.extend_from_slice(b"\r\n--bound\r\n--bound--\r\n\"BINARY\"\r\n");
    bytes
}

pub(crate) async fn send(
    app: &TestApp,
    key: &str,
    (method, path): (Method, &str),
    content_type: &str,
    body: impl Into<Bytes>,
) -> Answer {
    let authorization = format!("Bearer {key}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", content_type),
    ];
    app.call(method, path, &headers, body).await
}

/// As every published sample does, with a content type that is wrong.
pub(crate) async fn raw(app: &TestApp, path: &str, body: impl Into<Bytes>) -> Answer {
    let path = format!("/api/files/upload/{path}");
    send(
        app,
        ADMIN_KEY,
        (Method::POST, &path),
        "application/json",
        body,
    )
    .await
}

/// A form as curl writes it: name, file name, bytes.
pub(crate) fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file_name, bytes) in parts {
        body.extend_from_slice(b"--boundary7\r\nContent-Disposition: form-data; ");
        body.extend_from_slice(format!("name=\"{name}\"").as_bytes());
        if let Some(file_name) = file_name {
            body.extend_from_slice(format!("; filename=\"{file_name}\"").as_bytes());
            body.extend_from_slice(b"\r\nContent-Type: application/octet-stream");
        }
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--boundary7--\r\n");
    body
}

async fn send_form(
    app: &TestApp,
    call: (Method, &str),
    parts: &[(&str, Option<&str>, &[u8])],
) -> Answer {
    let kind = "multipart/form-data; boundary=boundary7";
    send(app, ADMIN_KEY, call, kind, form(parts)).await
}

pub(crate) async fn upload(app: &TestApp, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
    send_form(app, (Method::POST, "/api/file/upload"), parts).await
}

pub(crate) async fn replace(
    app: &TestApp,
    id: i64,
    parts: &[(&str, Option<&str>, &[u8])],
) -> Answer {
    let path = format!("/api/file/{id}");
    send_form(app, (Method::PATCH, &path), parts).await
}

fn id(json: &Value) -> i64 {
    json["id"].as_i64().expect("an integer")
}

/// The slug of an answer on the default domain.
pub(crate) fn slug(json: &Value) -> String {
    let url = json["shorturl"].as_str().expect("text");
    let slug = url
        .strip_prefix(SHORT)
        .and_then(|rest| rest.strip_prefix('/'));
    slug.expect("on the default domain").to_owned()
}

/// What proxies hold at a slug.
pub(crate) async fn held(app: &TestApp, slug: &str) -> Option<(Plan, File, i64)> {
    let (entry,): (Vec<u8>,) = sqlx::query_as("SELECT entry FROM links WHERE slug = $1")
        .bind(slug.to_owned())
        .fetch_optional(app.running.store.readers())
        .await
        .expect("reads")?;
    let entry = Entry::parse(&entry).expect("an entry");
    let plan = Plan::decode(entry.plan).expect("a plan");
    let Some(Target::File(file)) = plan.target.clone() else {
        panic!("{plan:?}");
    };
    Some((plan, file, entry.expires_at_ms))
}

pub(crate) fn uploads(app: &TestApp) -> PathBuf {
    app.data.path().join(schemas::names::files::UPLOADS)
}

/// Every file in the storage, halves included.
pub(crate) fn stored(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            found.extend(stored(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// The bytes as another machine's proxy gets them, and as one of this machine reads them.
pub(crate) async fn download(app: &TestApp, slug: &str) -> Bytes {
    let (_, file, _) = held(app, slug).await.expect("an entry");
    let answer = fetch(app, &file.etag, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let here = std::fs::read(uploads(app).join(&file.key)).expect("lies there");
    assert!(answer.body == here && here.len() as u64 == file.size);
    answer.body
}

async fn fetch(app: &TestApp, hash: &str, range: Option<&str>) -> Answer {
    let token = app.data.path().join(schemas::names::files::FEED_TOKEN);
    let token = std::fs::read_to_string(token).expect("a token");
    let token = format!("Bearer {}", token.trim());
    let mut headers = vec![("authorization", token.as_str())];
    headers.extend(range.map(|range| ("range", range)));
    let path = format!("{}/{hash}", schemas::feed::paths::BLOBS);
    app.call(Method::GET, &path, &headers, "").await
}

async fn plan_of_everybody(app: &TestApp, change: &str) {
    let pool = sqlx::AnyPool::connect(&app.config.database_url.0)
        .await
        .expect("connects");
    sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE plans SET {change}")))
        .execute(&pool)
        .await
        .expect("updates");
    pool.close().await;
}

on_both_engines! {
    async fn o_142_o_143_a_raw_body_is_stored_byte_for_byte_whatever_its_type_says(app) {
        let bytes = awkward();
        let json = raw(&app, "kit.zip", bytes.clone()).await.ok();
        assert_eq!(json.as_object().expect("an object").keys().collect::<Vec<_>>(), ["error", "id", "shorturl"]);
        let slug = slug(&json);
        assert!(download(&app, &slug).await == bytes);
        let (_, file, _) = held(&app, &slug).await.expect("an entry");
        assert_eq!(file.etag, hex::encode(Sha256::digest(&bytes)));
        // o_143: what the published samples send, quotes and all.
        let json = raw(&app, "sample.txt?name=My+File", "\"BINARY DATA\"").await.ok();
        assert_eq!(download(&app, &self::slug(&json)).await, "\"BINARY DATA\"");
        let json = raw(&app, "none.txt", "").await.ok();
        assert_eq!(download(&app, &self::slug(&json)).await, "");
        assert_eq!(strays(&app).await, 0);
        check_books(&app).await;
    }

    async fn o_144_the_file_name_gives_name_and_type_of_the_download(app) {
        for (path, name, kind) in [
            ("kit.zip", "kit.zip", "application/zip"),
            ("Q2%20pricing.PDF", "Q2 pricing.PDF", "application/pdf"),
            ("%D0%9E%D1%82%D1%87%D1%91%D1%82.xlsx", "Отчёт.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
            ("..%2F..%2Fetc%2Fpasswd", "passwd", "application/octet-stream"),
            ("page.html", "page.html", "text/html; charset=utf-8"),
            (":filename", ":filename", "application/octet-stream"),
        ] {
            let json = raw(&app, path, "x").await.ok();
            let (_, file, _) = held(&app, &slug(&json)).await.expect("an entry");
            assert_eq!((&*file.name, &*file.content_type), (name, kind), "{path}");
        }
        for bad in ["a%00.txt", "a%0D%0AX.txt", "photo%E2%80%AEgpj.exe", "a%E2%80%8B.txt", "%2F", "..", "%20", &"x".repeat(300)] {
            let answer = raw(&app, bad, "x").await;
            assert!(answer.status == 404 || answer.refused("filename")["error"] == 1, "{bad}");
        }
        raw(&app, "%ff.txt", "x").await.refused("filename");
    }

    async fn o_138_to_o_141_files_are_listed_without_a_wrapper(app) {
        let empty = app.get("/api/files").await.ok();
        assert_eq!((&empty["result"], &empty["maxpage"], &empty["nextpage"], &empty["list"]), (&json!(0), &json!(1), &Value::Null, &json!([])));
        for name in ["My+Photo", "My+Documents", "100%25_photo!"] {
            raw(&app, &format!("a.txt?name={name}"), "x").await.ok();
        }
        let all = app.get("/api/files").await.ok();
        assert!(all.get("data").is_none());
        assert_eq!((&all["perpage"], &all["currentpage"], &all["nextpage"], &all["result"]), (&json!(15), &json!(1), &Value::Null, &json!(3)));
        let first = &all["list"][0];
        let mut keys: Vec<&String> = first.as_object().expect("an object").keys().collect();
        keys.sort();
        assert_eq!(keys, ["date", "downloads", "id", "name", "shorturl"]);
        assert!(first["downloads"].is_u64() && first["date"].as_str().expect("text").len() == 19);
        assert_eq!(first["name"], "100%_photo!", "newest first");
        let page = app.get("/api/files?limit=2&page=1").await.ok();
        assert_eq!((&page["nextpage"], &page["maxpage"], page["list"].as_array().expect("a list").len()), (&json!(2), &json!(2), 2));
        assert_eq!(app.get("/api/files?limit=2&page=2").await.ok()["nextpage"], Value::Null);
        // o_139: fifteen a page; o_140: in any case, and nothing else than what it says.
        for (search, names) in [("Photo", vec!["100%_photo!", "My Photo"]), ("%25_", vec!["100%_photo!"]), ("!", vec!["100%_photo!"]), ("y+d", vec!["My Documents"]), ("o_", vec![])] {
            let found = app.get(&format!("/api/files?name={search}")).await.ok();
            let listed: Vec<&str> = found["list"].as_array().expect("a list").iter().map(|f| f["name"].as_str().expect("text")).collect();
            assert_eq!((listed, &found["result"]), (names.clone(), &json!(names.len())), "{search}");
        }
        app.get("/api/files?limit=0").await.refused("limit");
    }

    async fn o_145_to_o_150_fields_in_the_query_reach_the_entry(app) {
        let query = "name=My+File&custom=kit&password=open+sesame&expiry=2031-09-28&maxdownloads=3";
        let json = raw(&app, &format!("kit.zip?{query}"), "x").await.ok();
        // o_146: its address; o_148: its password.
        assert_eq!(json["shorturl"], format!("{SHORT}/kit"));
        let (plan, file, expires) = held(&app, "kit").await.expect("an entry");
        assert_eq!(plan.click_limit.expect("a limit").max, 3);
        let phc = plan.password.expect("a password").phc;
        assert!(control_plane::domain::password::verify("open sesame", &phc));
        assert_eq!((expires, &*file.name), (1_948_406_399_000, "kit.zip"));
        assert_eq!(app.get("/api/files").await.ok()["list"][0]["name"], "My File");
        // o_149: a date that is past, as in the published sample.
        let json = raw(&app, "old.zip?expiry=2021-09-28", "x").await.ok();
        assert_eq!(held(&app, &slug(&json)).await.expect("an entry").2, 1_632_873_599_000);
        // o_146: taken, by a file or by a link; nothing stays behind.
        app.link(json!({"url": "https://e.test/", "custom": "taken"})).await;
        for alias in ["kit", "taken"] {
            raw(&app, &format!("b.zip?custom={alias}"), "never kept").await.refused(alias);
            upload(&app, &[("file", Some("b.zip"), b"never kept"), ("custom", None, alias.as_bytes())]).await.refused(alias);
        }
        app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "kit"})).await.refused("kit");
        for (query, field) in [("maxdownloads=many", "maxdownloads"), ("expiry=soon", "expiry"), ("custom=qr/x", "custom"), ("domain=elsewhere.test", "domain"), ("name=a%00", "name")] {
            raw(&app, &format!("b.zip?{query}"), "never kept").await.refused(field);
            let (name, value) = query.split_once('=').expect("a pair");
            let value = value.replace("%00", "\0");
            upload(&app, &[(name, None, value.as_bytes()), ("file", Some("b.zip"), b"never kept")]).await.refused(field);
        }
        assert_eq!(stored(&uploads(&app)).len(), 1, "all the same byte");
        assert_eq!(strays(&app).await, 0);
    }

    async fn o_151_o_152_a_random_address_is_at_the_root_and_mixed_case(app) {
        let json = raw(&app, "a.txt", "x").await.ok();
        let slug = slug(&json);
        assert!(!slug.contains('/') && slug != slug.to_lowercase() && slug != slug.to_uppercase());
        assert!(held(&app, &slug.to_lowercase()).await.is_none());
    }

    async fn o_153_to_o_155_a_form_is_stored_with_its_fields(app) {
        let bytes = awkward();
        let parts: [(&str, Option<&str>, &[u8]); 4] = [
            ("file", Some("Q2-pricing-deck.pdf"), &bytes),
            ("name", None, "Q2 pricing deck — ü".as_bytes()),
            ("custom", None, b"deck"),
            ("domain", None, b"https://go.test"),
        ];
        let json = upload(&app, &parts).await.ok();
        let url = format!("{SHORT}/deck");
        assert_eq!((&json["data"]["download_url"], &json["data"]["id"], &json["shorturl"]), (&json!(url), &json["id"], &json!(url)));
        assert!(download(&app, "deck").await == bytes);
        let listed = app.get("/api/files").await.ok();
        assert_eq!((&listed["list"][0]["id"], &listed["list"][0]["name"]), (&json["id"], &json!("Q2 pricing deck — ü")));
        // o_154: as Node's FormData sends it, and as the same without any type.
        let undici = "------formdata-undici-0123456789\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a %22b%22.pdf\"\r\n\r\nbytes\r\n\
            ------formdata-undici-0123456789\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nN\r\n------formdata-undici-0123456789--\r\n";
        let kind = "multipart/form-data; boundary=----formdata-undici-0123456789";
        let json = send(&app, ADMIN_KEY, (Method::POST, "/api/file/upload"), kind, undici).await.ok();
        let (_, file, _) = held(&app, &slug(&json)).await.expect("an entry");
        assert_eq!((&*file.name, &*file.content_type, file.size), ("a \"b\".pdf", "application/pdf", 5));
    }

    async fn what_is_no_upload_is_refused_by_name_and_leaves_nothing(app) {
        upload(&app, &[]).await.refused("file");
        upload(&app, &[("file", None, b"x")]).await.refused("file");
        upload(&app, &[("file", Some("../"), b"x")]).await.refused("file");
        upload(&app, &[("file", Some("a.txt"), b"x"), ("file", Some("b.txt"), b"y")]).await.refused("file must come once");
        upload(&app, &[("file", Some("a.txt"), b"x"), ("name", None, b"\xff")]).await.refused("name");
        upload(&app, &[("file", Some("a.txt"), b"x"), ("name", None, &[b'x'; 300])]).await.refused("name");
        upload(&app, &[("file", Some("a.txt"), b"x"), ("name", None, &[b'x'; 20_000])]).await.refused("name");
        let post = (Method::POST, "/api/file/upload");
        send(&app, ADMIN_KEY, post.clone(), "application/json", "{}").await.refused("multipart/form-data");
        let cut = form(&[("file", Some("a.txt"), b"0123456789")]);
        for end in [0, 20, 80, cut.len() - 20] {
            let answer = send(&app, ADMIN_KEY, post.clone(), "multipart/form-data; boundary=boundary7", cut[..end].to_vec()).await;
            answer.refused("body is no multipart/form-data");
        }
        assert_eq!(stored(&uploads(&app)), Vec::<PathBuf>::new());
        assert_eq!(strays(&app).await, 0);
        assert_eq!(app.get("/api/files").await.ok()["result"], 0);
    }

    async fn o_157_a_new_file_keeps_id_and_address(app) {
        let json = upload(&app, &[("file", Some("a.pdf"), b"first"), ("password", None, b"secret"), ("maxdownloads", None, b"5")]).await.ok();
        let (id, slug) = (id(&json), slug(&json));
        let before = held(&app, &slug).await.expect("an entry");
        let replaced = replace(&app, id, &[("file", Some("b.zip"), b"second one")]).await.ok();
        assert_eq!((&replaced["id"], &replaced["shorturl"], &replaced["data"]["download_url"]), (&json["id"], &json["shorturl"], &json["shorturl"]));
        assert_eq!(download(&app, &slug).await, "second one");
        let (plan, file, _) = held(&app, &slug).await.expect("an entry");
        assert_eq!((&*file.name, &*file.content_type, file.size), ("b.zip", "application/zip", 10));
        assert!(plan.password == before.0.password && plan.click_limit == before.0.click_limit);
        assert_ne!(file.etag, before.1.etag);
        // Its name in lists stays until another one is given; what it asks for can change too.
        assert_eq!(app.get("/api/files").await.ok()["list"][0]["name"], "a.pdf");
        replace(&app, id, &[("name", None, b"Renamed"), ("password", None, b""), ("maxdownloads", None, b"0"), ("expiry", None, b"2031-01-01")]).await.ok();
        let (plan, file, expires) = held(&app, &slug).await.expect("an entry");
        assert!(plan.password.is_none() && plan.click_limit.is_none() && expires == 1_925_078_399_000);
        assert_eq!((&*file.name, file.size), ("b.zip", 10));
        assert_eq!(app.get("/api/files").await.ok()["list"][0]["name"], "Renamed");
        replace(&app, id, &[("custom", None, b"other"), ("file", Some("c.zip"), b"x")]).await.refused("custom");
        replace(&app, id, &[("domain", None, b"other.test")]).await.refused("domain");
        replace(&app, 999, &[("file", Some("c.zip"), b"x")]).await.refused("file '999'");
        assert_eq!((strays(&app).await, stored(&uploads(&app)).len()), (0, 2));
        check_books(&app).await;
    }

    async fn equal_bytes_lie_there_once_and_stay_for_the_other_file(app) {
        let first = raw(&app, "a.txt", "the same").await.ok();
        let second = raw(&app, "b.txt", "the same").await.ok();
        assert_eq!(stored(&uploads(&app)).len(), 1);
        let (a, b) = (slug(&first), slug(&second));
        app.delete(&format!("/api/file/{}/delete", id(&first))).await.ok();
        assert!(held(&app, &a).await.is_none());
        assert_eq!(download(&app, &b).await, "the same");
        let message = app.delete(&format!("/api/file/{}/delete", id(&second))).await.ok();
        assert_eq!(message["message"], "File has been deleted successfully.");
        app.delete(&format!("/api/file/{}/delete", id(&second))).await.refused("file");
        // Its slug is free again, its bytes stay for proxies that are behind.
        let hash = hex::encode(Sha256::digest(b"the same"));
        assert_eq!(fetch(&app, &hash, None).await.body, "the same");
        assert_eq!(app.get("/api/files").await.ok()["result"], 0);
        check_books(&app).await;
    }

    async fn a_part_of_a_file_is_fetched_by_its_range(app) {
        let json = raw(&app, "a.txt", awkward()).await.ok();
        let (_, file, _) = held(&app, &slug(&json)).await.expect("an entry");
        let part = fetch(&app, &file.etag, Some("bytes=70000-90000")).await;
        assert_eq!((part.status.as_u16(), part.header("content-range")), (206, "bytes 70000-90000/100032"));
        assert!(part.body == awkward()[70_000..=90_000]);
        let whole = fetch(&app, &file.etag, Some("bytes=0-999999999")).await;
        assert!(whole.status == 200 && whole.body == awkward());
        let path = format!("{}/{}", schemas::feed::paths::BLOBS, file.etag);
        app.call(Method::GET, &path, &[], "").await.failed(401, "token");
    }

    async fn files_of_a_workspace_are_nobody_elses(app) {
        let json = raw(&app, "a.txt", "mine").await.ok();
        let other = app.other_workspace().await;
        let listed = app.with_key(&other, Method::GET, "/api/files", None).await.ok();
        assert_eq!(listed["result"], 0);
        let path = format!("/api/file/{}", id(&json));
        let body = form(&[("file", Some("b.txt"), b"theirs")]);
        let kind = "multipart/form-data; boundary=boundary7";
        send(&app, &other, (Method::PATCH, &path), kind, body).await.refused("file");
        app.with_key(&other, Method::DELETE, &format!("{path}/delete"), None).await.refused("file");
        assert_eq!(download(&app, &slug(&json)).await, "mine");
        // It is no plain link either.
        app.get("/api/urls").await.ok()["data"]["result"].as_i64().filter(|n| *n == 0).expect("none");
        app.call(Method::POST, "/api/files/upload/a.txt", &[], "x").await.failed(401, "key");
    }

    async fn the_plan_bounds_files_together(app) {
        plan_of_everybody(&app, "max_file_bytes = 1000").await;
        let json = raw(&app, "a.bin", vec![1; 600]).await.ok();
        raw(&app, "b.bin", vec![2; 401]).await.refused("1000 bytes of files");
        upload(&app, &[("file", Some("b.bin"), &[2; 401])]).await.refused("1000 bytes of files");
        // What it replaces makes room for it.
        replace(&app, id(&json), &[("file", Some("a.bin"), &[3; 1000])]).await.ok();
        replace(&app, id(&json), &[("file", Some("a.bin"), &[3; 1001])]).await.refused("1000 bytes of files");
        replace(&app, id(&json), &[("file", Some("a.bin"), &[3; 500])]).await.ok();
        let both = [raw(&app, "c.bin", vec![4; 400]), raw(&app, "d.bin", vec![5; 400])];
        let both = futures_util::future::join_all(both).await;
        assert_eq!(both.iter().filter(|answer| answer.json()["error"] == 0).count(), 1);
        plan_of_everybody(&app, "features = 'qr'").await;
        raw(&app, "e.bin", "x").await.refused("'files'");
        plan_of_everybody(&app, "features = 'files'").await;
        raw(&app, "e.bin?password=x", "x").await.refused("'password'");
        raw(&app, "e.bin?maxdownloads=1", "x").await.refused("'clicklimit'");
        raw(&app, "e.bin", "x").await.ok();
        assert_eq!(strays(&app).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_147_a_file_answers_on_a_domain_of_its_workspace() {
    let app = TestApp::start(None, &[("SIGNPOST_DOMAIN_CHECK", "off")]).await;
    app.post(
        "/api/domain/add",
        json!({"domain": "https://files.acme.test"}),
    )
    .await
    .ok();
    let json = raw(&app, "a.txt?domain=files.acme.test", "x").await.ok();
    assert_eq!(keys(&json), ["error", "id", "shorturl"]);
    let url = json["shorturl"].as_str().expect("text").to_owned();
    assert!(url.starts_with("https://files.acme.test/"), "{url}");
    let listed = app.get("/api/files").await.ok();
    assert_eq!(
        [&listed["list"][0]["id"], &listed["list"][0]["shorturl"]],
        [&json["id"], &json["shorturl"]]
    );
    // o_153: in a form, with its scheme.
    let parts: [(&str, Option<&str>, &[u8]); 2] = [
        ("file", Some("b.txt"), b"y"),
        ("domain", None, b"https://files.acme.test"),
    ];
    let json = upload(&app, &parts).await.ok();
    assert_eq!(keys(&json), ["data", "error", "id", "shorturl"]);
    assert_eq!(keys(&json["data"]), ["download_url", "id"]);
    let url = json["data"]["download_url"].as_str().expect("text");
    assert!(url.starts_with("https://files.acme.test/"), "{url}");
    assert_eq!(
        [&json["shorturl"], &json["id"]],
        [&json["data"]["download_url"], &json["data"]["id"]]
    );
    // The other workspace cannot use it.
    let other = app.other_workspace().await;
    let path = "/api/files/upload/a.txt?domain=files.acme.test";
    send(&app, &other, (Method::POST, path), "", "x")
        .await
        .refused("domain");
}
