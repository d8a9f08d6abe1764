//! Bodies, URLs, slugs and dates that nobody should send.

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{ADMIN_KEY, Answer, TestApp, on_both_engines};
use crate::members::add_member;

async fn add_raw(app: &TestApp, body: impl Into<bytes::Bytes>) -> Answer {
    let bearer = format!("Bearer {ADMIN_KEY}");
    app.call(
        Method::POST,
        "/api/url/add",
        &[("authorization", &bearer)],
        body,
    )
    .await
}

/// Sends a request with a body of this size to its end, as most clients do, and reads only then.
async fn all_sent_first(
    stream: &mut tokio::net::TcpStream,
    (line, key, more): (&str, &str, &str),
    size: usize,
) {
    let head = format!(
        "{line} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {key}\r\nX-API-Key: {key}\r\n{more}Content-Length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sends");
    let body = vec![b' '; size];
    stream.write_all(&body).await.expect("sends all of it");
}

async fn nothing_was_added(app: &TestApp) {
    assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 0);
    let (seq,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM feed_changes")
        .fetch_one(app.running.store.readers())
        .await
        .expect("counts");
    assert_eq!(seq, 1, "only the first start is in the feed");
}

on_both_engines! {
    async fn bodies_that_are_not_json_are_400(app) {
        for bad in ["{", "url=https://e.test/", "{\"url\":\"a\",}", "{'url':1}", "\u{feff}{", "{}{}", "NaN", "{\"url\":\"\\ud800\"}", "{\"url\":\"a\u{0}b\"}"] {
            add_raw(&app, bad.to_owned()).await.failed(400, "not JSON");
        }
        add_raw(&app, &b"{\"url\":\"https://e.test/\xff\"}"[..]).await.failed(400, "not JSON");
        for bad in ["[]", "\"https://e.test/\"", "5", "true"] {
            add_raw(&app, bad).await.refused("body must be a JSON object");
        }
        for empty in ["", " \r\n\t", "null", "{}", "\u{feff}{}"] {
            add_raw(&app, empty).await.refused("url is required");
        }
        nothing_was_added(&app).await;
    }

    async fn bodies_too_large_or_too_deep_are_refused(app) {
        let mut large = b"{\"url\":\"https://e.test/\",\"x\":\"".to_vec();
        large.resize((1 << 20) + 1, b'a');
        large.extend_from_slice(b"\"}");
        add_raw(&app, large).await.failed(413, "at most 1048576 bytes");
        let deep = format!("{{\"url\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        add_raw(&app, deep).await.failed(400, "not JSON");
        // Just under the limit is taken.
        let mut fits = b"{\"url\":\"https://e.test/\",\"x\":\"".to_vec();
        fits.resize((1 << 20) - 2, b'a');
        fits.extend_from_slice(b"\"}");
        add_raw(&app, fits).await.ok();
    }

    async fn whoever_sends_everything_first_gets_to_read_why_it_is_refused(app) {
        // Far more than what lies in the buffers of two sockets.
        const SIZE: usize = 12 << 20;
        let (_, viewer) = add_member(&app, "viewer", "viewer").await;
        let small = app.key("small", Some(1)).await;
        app.with_key(&small, Method::GET, "/api/account", None).await.ok();
        let refusals = [
            ("POST /api/url/add", ADMIN_KEY, 413), ("POST /api/url/add", "nobody's", 401), ("POST /api/url/add", &viewer, 403), ("POST /api/url/add", &small, 429),
            ("POST /api/no/such/thing", ADMIN_KEY, 404), ("POST /api/urls", ADMIN_KEY, 405), ("POST /api/files/upload/a.bin", "nobody's", 401), ("POST /api/files/upload/a.bin", &viewer, 403),
            ("POST /api/v1/links", "nobody's", 401), ("POST /api/v2/links", "nobody's", 401), ("POST /v1/links", "nobody's", 401), ("POST /v1/links", ADMIN_KEY, 413),
            ("POST /internal/v1/visitor/form", "nobody's", 401),
        ];
        for (line, key, status) in refusals {
            let mut stream = tokio::net::TcpStream::connect(app.addr).await.expect("connects");
            all_sent_first(&mut stream, (line, key, "Connection: close\r\n"), SIZE).await;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap_or_else(|e| panic!("{line} {key}: {e}"));
            let text = String::from_utf8_lossy(&answer);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {key}: {text}");
            assert_eq!(status == 429, text.contains("\r\nretry-after: "), "{text}");
        }
        // A refused call leaves its connection to the next.
        let mut stream = tokio::net::TcpStream::connect(app.addr).await.expect("connects");
        all_sent_first(&mut stream, ("POST /api/url/add", "nobody's", ""), SIZE).await;
        all_sent_first(&mut stream, ("GET /api/account", ADMIN_KEY, "Connection: close\r\n"), 0).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("two answers");
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("HTTP/1.1 200 "), "{answer}");
        nothing_was_added(&app).await;
    }

    async fn a_body_of_unknown_length_is_cut_off_at_the_limit(app) {
        let head = format!("POST /api/url/add HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_KEY}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut stream = tokio::net::TcpStream::connect(app.addr).await.expect("connects");
        stream.write_all(head.as_bytes()).await.expect("sends");
        let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
        // The server may hang up before all of it is sent.
        for _ in 0..40 {
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                break;
            }
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 413");
    }

    async fn urls_that_must_not_be_destinations_are_refused_by_name(app) {
        for (url, part) in [
            ("https://e.test/\r\nSet-Cookie: a=b", "control characters"),
            ("https://e.test/\u{0}", "control characters"),
            ("https://e.test/\u{85}", "control characters"),
            ("https://e.test/a b", "spaces"),
            ("https://user:secret@e.test/", "user name or password"),
            ("ftp://e.test/", "http:// or https://"),
            ("javascript:alert(1)", "http:// or https://"),
            ("data:text/html,<script>", "http:// or https://"),
            ("e.test", "http:// or https://"),
            ("https://", "URL with a host"),
            ("https://go.test/x", "must not lead back"),
            ("https://GO.TEST:8443/x", "must not lead back"),
            ("https://go.test./x", "must not lead back"),
            ("http://127.0.0.1:8080/x", "must not lead back"),
            ("http://localhost:8080/x", "must not lead back"),
            ("http://[::1]:8080/", "must not lead back"),
        ] {
            let json = app.post("/api/url/add", json!({"url": url})).await.refused(part);
            assert!(json["message"].as_str().expect("text").starts_with("url "), "{url:?}: {json}");
            let json = app.post("/api/url/add", json!({"url": "https://e.test/", "expired_url": url})).await.refused(part);
            assert!(json["message"].as_str().expect("text").starts_with("expired_url "), "{json}");
        }
        app.post("/api/url/add", json!({"url": format!("https://e.test/{}", "a".repeat(100_000))})).await.refused("url must be at most 8192 bytes");
        app.post("/api/url/add", json!({"url": format!("https://e.test/{}", "a".repeat(8000)), "utm_source": "b".repeat(1000)})).await.refused("url must be at most 8192 bytes");
        nothing_was_added(&app).await;
    }

    async fn wrong_types_and_values_name_their_field(app) {
        for (field, value) in [
            ("url", json!(["https://e.test/"])), ("url", json!({"a": 1})), ("url", json!(true)), ("custom", json!([])), ("disabled", json!("perhaps")),
            ("parameters", json!("a=b")), ("parameters", json!([1])), ("parameters", json!([{"name": "", "value": "x"}])), ("parameters", json!([{"name": "a\u{0}"}])),
            ("status", json!(200)), ("status", json!("secret")), ("title", json!("a\u{0}b")), ("title", json!("x".repeat(256))),
            ("utm_source", json!("a\nb")), ("utm_campaign", json!("x".repeat(1025))), ("description", json!("\u{1b}[31m")),
            ("expires_at", json!("2026-02-30")), ("expiry", json!("2025-02-29")), ("expiry", json!("2026-13-01 00:00:00")), ("expires_at", json!("2026-05-01T25:00:00Z")),
            ("starts_at", json!("soon")), ("expires_at", json!(1_767_225_600)), ("domain", json!({})), ("type", json!("curtain")), ("type", json!(7)),
            ("password", json!(["a"])), ("password", json!("a\u{0}")), ("password", json!("x".repeat(1025))), ("metatitle", json!("a\nb")), ("metadescription", json!("x".repeat(501))),
            ("metaimage", json!("javascript:alert(1)")), ("pixels", json!([1])), ("pixels", json!(["x"])), ("expired_text", json!("x".repeat(2001))), ("max_clicks_text", json!("a\u{0}")), ("clicklimit", json!(-1)), ("max_clicks", json!("many")), ("max_clicks", json!(1.5)),
            ("max_clicks_url", json!("ftp://e.test/")), ("query_passthrough", json!("perhaps")), ("channel", json!("x")), ("channel", json!([{}])), ("campaign", json!([1])), ("folder", json!(-1)),
            ("tags", json!([{}])), ("geotarget", json!("canada")), ("geotarget", json!([{"location": "atlantis", "link": "https://e.test/"}])), ("geotarget", json!([{"location": "canada"}])),
            ("geotarget", json!([{"location": "canada", "link": "javascript:x"}])), ("geotarget", json!([{"location": "canada", "link": "https://go.test/x"}])), ("geotarget", json!([["canada", "https://e.test/"]])),
            ("devicetarget", json!([{"device": "toaster", "link": "https://e.test/"}])), ("languagetarget", json!([{"language": "klingon", "link": "https://e.test/"}])),
            ("deeplink", json!("yes")), ("deeplink", json!({"auto": "maybe"})), ("deeplink", json!({"apple": "javascript:alert(1)"})), ("deeplink", json!({"google": "my app"})), ("deeplink", json!({"apple": "https://go.test/x"})),
            ("rules", json!("x")), ("rules", json!([1])), ("rules", json!([{"url": "https://e.test/"}])), ("rules", json!([{"conditions": [{"type": "moon"}], "url": "https://e.test/"}])),
            ("rules", json!([{"conditions": [{"type": "country", "values": ["CA"]}]}])), ("rules", json!([{"match": "some", "conditions": [{"type": "query", "name": "a"}], "url": "https://e.test/"}])),
            ("rules", json!([{"conditions": [{"type": "query", "name": ""}], "url": "https://e.test/"}])), ("rules", json!([{"conditions": [{"type": "ip", "values": ["300.0.0.1"]}], "url": "https://e.test/"}])),
            ("rules", json!([{"conditions": [{"type": "query", "name": "a", "not": 7}], "url": "https://e.test/"}])), ("rules", json!(vec![json!({}); 201])),
            ("rules", json!([{"conditions": vec![json!({"type": "query", "name": "a"}); 17], "url": "https://e.test/"}])),
            ("variants", json!([{"url": "no"}])), ("variants", json!([{"url": "https://e.test/", "weight": -1}])), ("variants", json!([{"url": "https://e.test/", "weight": 0}])), ("variants", json!(vec![json!({"url": "https://e.test/"}); 51])),
            ("variants_end", json!("soon")), ("variants_winner", json!("first")), ("cloaking", json!(true)), ("abtesting", json!([1])), ("ios", json!("https://e.test/")),
        ] {
            let mut body = json!({"url": "https://e.test/"});
            body[field] = value;
            let json = app.post("/api/url/add", body.clone()).await.refused("");
            assert!(json["message"].as_str().expect("text").starts_with(field), "{body}: {json}");
        }
        nothing_was_added(&app).await;
    }

    async fn reserved_and_illegal_slugs_are_refused(app) {
        for slug in ["qr/x", "qr", "r/x", "u/me", "dashboard/", "dashboard/a", ".well-known/x", "robots.txt", "favicon.ico", "a b", "a?b", "a#b", "a%20b", "../x", "a//b", "/a", "a/", "a\u{202e}b", "a\u{200b}", "a\u{0}", "🙂", &"a".repeat(256)] {
            app.post("/api/url/add", json!({"url": "https://e.test/", "custom": slug})).await.refused("custom ");
        }
        nothing_was_added(&app).await;
    }

    async fn o_33_text_of_any_kind_comes_back_byte_for_byte(app) {
        let title = "Spring Sale — 30% off <script>alert('\"')</script> 例え 🙂 \\ / ' -- ;";
        let id = app.link(json!({"url": "https://e.test/", "title": title, "description": "line 1\nline 2\t\u{e9}"})).await;
        let details = app.get(&format!("/api/url/{id}")).await.ok()["details"].clone();
        assert_eq!((&details["title"], &details["description"]), (&json!(title), &json!("line 1\nline 2\t\u{e9}")));
        let listed: Value = app.get("/api/urls?q=%3Cscript%3E").await.ok();
        assert_eq!(listed["data"]["result"], 1);
    }

    async fn ids_that_are_none_do_not_exist(app) {
        for id in ["0", "-1", "1e3", "x", "99999999999999999999", "1%00", "%27", "+1", "0x1", "1.0"] {
            app.get(&format!("/api/url/{id}")).await.refused("does not exist");
        }
        app.get(&format!("/api/url/{}", "9".repeat(5000))).await.refused("does not exist");
    }
}
