//! What holds for every endpoint: the integer `error`, the three headers, and what clients put on the wire.

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{ADMIN_KEY, Answer, TestApp, on_both_engines};
use crate::oauth::Browser;

/// Head of a call with the first key.
fn head(method: &str, path: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {ADMIN_KEY}\r\n{more}\r\n"
    )
}

/// Sends bytes and reads until the server closes.
async fn raw(app: &TestApp, text: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(app.addr)
        .await
        .expect("connects");
    stream.write_all(text.as_bytes()).await.expect("sends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("reads");
    String::from_utf8(answer).expect("text")
}

#[track_caller]
fn has_limits(answer: &Answer) {
    for name in [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ] {
        assert!(answer.number(name) >= 0, "{name}");
    }
}

on_both_engines! {
    async fn o_09_every_answer_is_json(app) {
        app.get("/api/no-such-thing").await.failed(404, "no such endpoint");
        app.delete("/api/account").await.failed(405, "method");
        app.get("/").await.failed(404, "");
        app.get("/api/url/%ff").await.refused("does not exist");
        app.get("/api/url/1/delete").await.failed(405, "");
        app.with_key(ADMIN_KEY, Method::OPTIONS, "/api/urls", None).await.failed(405, "");
    }

    async fn o_10_error_is_the_integer_0_on_success(app) {
        let id = app.link(json!({"url": "https://e.test/"})).await;
        for path in ["/api/account", "/api/urls", "/api/keys", &format!("/api/url/{id}")] {
            assert_eq!(app.get(path).await.ok()["error"], Value::from(0), "{path}");
        }
    }

    async fn o_11_a_failure_has_an_error_and_a_message_that_names_the_field(app) {
        app.post("/api/url/add", json!({})).await.refused("url is required");
    }

    async fn o_12_a_taken_alias_is_error_1_in_http_200(app) {
        app.link(json!({"url": "https://e.test/", "custom": "spring-sale"})).await;
        let again = app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "spring-sale"})).await;
        assert_eq!(again.refused("")["error"], 1);
    }

    async fn o_13_success_is_http_200_and_a_bad_key_is_not(app) {
        assert_eq!(app.get("/api/account").await.status, 200);
        assert_eq!(app.post("/api/url/add", json!({"url": "https://e.test/"})).await.status, 200);
        assert_eq!(app.with_key("bad", Method::GET, "/api/account", None).await.status, 401);
    }

    async fn o_14_a_key_may_make_30_calls_a_minute_by_default(app) {
        let key = app.key("default", None).await;
        for _ in 0..30 {
            app.with_key(&key, Method::GET, "/api/account", None).await.ok();
        }
        let refused = app.with_key(&key, Method::GET, "/api/account", None).await;
        assert_eq!(refused.failed(429, "too many")["error"], 429);
        let retry = refused.number("retry-after");
        assert!((1..=60).contains(&retry), "{retry}");
        // Another key has a window of its own.
        app.get("/api/account").await.ok();
    }

    async fn o_15_the_rate_differs_by_plan_and_by_key(app) {
        let key = app.key("plan", None).await;
        let limit = async |key: &str| app.with_key(key, Method::GET, "/api/account", None).await.number("x-ratelimit-limit");
        assert_eq!(limit(&key).await, 30);
        assert!(control_plane::store::plans::assign(&app.running.store, 1, 2, None).await.expect("set"));
        assert_eq!(limit(&key).await, 120);
        assert_eq!(app.get("/api/account").await.ok()["data"]["status"], "pro");
        assert_eq!(limit(&app.key("own", Some(7)).await).await, 7);
        // Without limit: a number all the same.
        assert_eq!(limit(ADMIN_KEY).await, 1_000_000_000);
        assert!(!control_plane::store::plans::assign(&app.running.store, 1, 99, None).await.expect("asked"));
    }

    async fn o_16_every_answer_carries_the_three_headers(app) {
        let key = app.key("small", Some(1)).await;
        let bearer = format!("Bearer {ADMIN_KEY}");
        let authorized = [("authorization", bearer.as_str())];
        has_limits(&app.get("/api/account").await);
        has_limits(&app.call(Method::HEAD, "/api/account", &authorized, "").await);
        has_limits(&app.get("/nothing").await);
        has_limits(&app.delete("/api/account").await);
        has_limits(&app.call(Method::GET, "/api/account", &[], "").await);
        has_limits(&app.call(Method::POST, "/api/url/add", &authorized, "{").await);
        has_limits(&app.call(Method::POST, "/api/url/add", &authorized, vec![b' '; 2 << 20]).await);
        for path in ["/api/files/upload/a.txt", "/api/files/upload/%00"] {
            has_limits(&app.call(Method::POST, path, &authorized, "bytes").await);
        }
        has_limits(&app.call(Method::POST, "/api/file/upload", &authorized, "no form").await);
        has_limits(&app.get("/api/urls/export").await);
        has_limits(&app.get("/api/openapi.json").await);
        has_limits(&app.with_key(&key, Method::GET, "/api/account", None).await);
        let refused = app.with_key(&key, Method::GET, "/api/account", None).await;
        refused.failed(429, "");
        has_limits(&refused);
    }

    async fn o_17_remaining_falls_by_one_a_call(app) {
        let key = app.key("counted", None).await;
        let first = app.with_key(&key, Method::GET, "/api/account", None).await.number("x-ratelimit-remaining");
        let second = app.with_key(&key, Method::GET, "/nothing", None).await.number("x-ratelimit-remaining");
        assert_eq!((first, second), (29, 28));
    }

    async fn o_18_reset_is_the_second_the_window_ends(app) {
        let key = app.key("timed", None).await;
        let now = app.config.clock.now_ms() / 1000;
        let reset = app.with_key(&key, Method::GET, "/api/account", None).await.number("x-ratelimit-reset");
        let then = app.config.clock.now_ms() / 1000;
        assert!(now < reset && reset <= then + 60, "{now} {reset}");
    }

    async fn o_19_after_reset_the_next_call_succeeds(app) {
        let key = app.key("tight", Some(2)).await;
        for _ in 0..2 {
            app.with_key(&key, Method::GET, "/api/account", None).await.ok();
        }
        let refused = app.with_key(&key, Method::GET, "/api/account", None).await;
        refused.failed(429, "");
        let wait = refused.number("x-ratelimit-reset") * 1000 - app.config.clock.now_ms();
        app.config.clock.advance_ms(wait);
        app.with_key(&key, Method::GET, "/api/account", None).await.ok();
    }

    async fn o_20_calls_during_429_neither_extend_the_window_nor_ban(app) {
        let key = app.key("stubborn", Some(1)).await;
        let first = app.with_key(&key, Method::GET, "/api/account", None).await.number("x-ratelimit-reset");
        for _ in 0..100 {
            let refused = app.with_key(&key, Method::GET, "/api/account", None).await;
            refused.failed(429, "");
            assert_eq!(refused.number("x-ratelimit-reset"), first);
        }
        app.config.clock.advance_ms(first * 1000 - app.config.clock.now_ms());
        app.with_key(&key, Method::GET, "/api/account", None).await.ok();
    }

    async fn calls_without_a_key_are_counted_by_address(app) {
        for left in (0..30).rev() {
            let answer = app.call(Method::GET, "/api/account", &[], "").await;
            assert_eq!((answer.status.as_u16(), answer.number("x-ratelimit-remaining")), (401, left));
        }
        // Nobody's word about the address is believed without a trusted proxy.
        let headers = [("x-forwarded-for", "198.51.100.7")];
        app.call(Method::GET, "/api/account", &headers, "").await.failed(429, "");
        app.with_key("wrong", Method::GET, "/api/account", None).await.failed(429, "");
        app.get("/api/account").await.ok();
    }

    async fn o_25_a_post_without_body_and_length_works(app) {
        let campaign = app.post("/api/campaign/add", json!({"name": "C"})).await.ok()["id"].clone();
        let link = app.link(json!({"url": "https://e.test/"})).await;
        // As curl sends it: no length, no body.
        let more = "Content-Type: application/json\r\nConnection: close\r\n";
        let answer = raw(&app, &head("POST", &format!("/api/campaign/{campaign}/assign/{link}"), more)).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"error\":0"), "{answer}");
    }

    async fn o_28_a_delete_may_carry_a_json_body(app) {
        for body in [None, Some(json!({}))] {
            let id = app.post("/api/pixel/add", json!({"type": "fbpixel", "name": "P", "tag": "1"})).await.ok()["id"].clone();
            app.with_key(ADMIN_KEY, Method::DELETE, &format!("/api/pixel/{id}/delete"), body.clone()).await.ok();
            let id = app.link(json!({"url": "https://e.test/"})).await;
            app.with_key(ADMIN_KEY, Method::DELETE, &format!("/api/url/{id}/delete"), body).await.ok();
        }
    }

    async fn o_32_escapes_tabs_and_line_breaks_in_json_are_read(app) {
        let bearer = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", &*bearer), ("content-type", "application/json")];
        let body = "{\r\n\t\"domain\":\t\"https:\\/\\/d.test\"\n}\n";
        app.call(Method::POST, "/api/domain/add", &headers, body).await.ok();
        let domains = app.get("/api/domains").await.ok()["data"]["domains"].clone();
        assert!(domains.as_array().expect("a list").iter().any(|d| d["domain"] == "https://d.test"), "{domains}");
        let body = "{\"url\":\"https:\\/\\/e.test\\/a\",\n\t\"title\":\"\\u00c9t\\u00e9\\t30%\"}";
        let id = app.call(Method::POST, "/api/url/add", &headers, body).await.ok()["id"].clone();
        let details = app.get(&format!("/api/url/{id}")).await.ok()["details"].clone();
        assert_eq!((&details["longurl"], &details["title"]), (&json!("https://e.test/a"), &json!("Été\t30%")));
    }

    async fn o_26_an_empty_body_of_length_0_with_a_json_type_works(app) {
        let id = app.link(json!({"url": "https://e.test/"})).await;
        let more = "Content-Type: application/json\r\nContent-Length: 0\r\nConnection: close\r\n";
        let answer = raw(&app, &head("DELETE", &format!("/api/url/{id}/delete"), more)).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"error\":0"), "{answer}");
        for method in ["POST", "PUT"] {
            let path = if method == "POST" { "/api/url/add" } else { "/api/url/1/update" };
            for more in [more, "Content-Type: application/json\r\nConnection: close\r\n", "Connection: close\r\n"] {
                let answer = raw(&app, &head(method, path, more)).await;
                assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"error\":1"), "{answer}");
            }
        }
    }

    async fn o_27_a_body_on_get_is_ignored(app) {
        let bearer = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let plain = app.get("/api/urls").await.ok();
        for body in ["{}", "not json", "{\"limit\":1}"] {
            assert_eq!(app.call(Method::GET, "/api/urls", &headers, body).await.ok(), plain);
        }
        let id = app.link(json!({"url": "https://e.test/"})).await;
        app.call(Method::DELETE, &format!("/api/url/{id}/delete"), &headers, "{}").await.ok();
    }

    async fn o_30_any_parameter_of_the_content_type_is_fine(app) {
        let bearer = format!("Bearer {ADMIN_KEY}");
        for kind in ["application/json; charset=utf-8", "APPLICATION/JSON;charset=\"UTF-8\"", "text/plain", "application/x-www-form-urlencoded"] {
            let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
            app.call(Method::POST, "/api/url/add", &headers, "{\"url\":\"https:\\/\\/e.test\\/\"}").await.ok();
        }
    }

    async fn o_31_any_accept_header_or_none_gets_json(app) {
        let bearer = format!("Bearer {ADMIN_KEY}");
        app.call(Method::GET, "/api/account", &[("authorization", &bearer)], "").await.ok();
        for accept in ["*/*", "text/html", "application/xml;q=0.9", "nonsense"] {
            app.call(Method::GET, "/api/account", &[("AUTHORIZATION", &bearer), ("aCCept", accept)], "").await.ok();
        }
    }

    async fn o_34_answers_come_at_once_and_without_redirects(app) {
        let began = std::time::Instant::now();
        let id = app.link(json!({"url": "https://e.test/"})).await;
        for path in ["/api/account", "/api/keys", "/api/urls", "/api/urls/export", &format!("/api/url/{id}")] {
            let answer = app.get(path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(!answer.headers.contains_key("location"));
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(10));
    }

    async fn expect_100_continue_is_answered_before_the_body_is_sent(app) {
        let body = "{\"url\":\"https://e.test/\"}";
        let more = format!("Expect: 100-continue\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
        let mut stream = tokio::net::TcpStream::connect(app.addr).await.expect("connects");
        stream.write_all(head("POST", "/api/url/add", &more).as_bytes()).await.expect("sends");
        let mut first = [0; 25];
        stream.read_exact(&mut first).await.expect("reads");
        assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(body.as_bytes()).await.expect("sends");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("reads");
        assert!(rest.starts_with("HTTP/1.1 200 ") && rest.contains("\"error\":0"), "{rest}");
    }

    async fn the_openapi_document_names_only_what_is_answered(app) {
        let answer = app.call(Method::GET, "/api/openapi.json", &[], "").await;
        let json = answer.json();
        assert!(json["openapi"].as_str().expect("version").starts_with("3.1"));
        let mut calls = 0;
        for (path, methods) in json["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                calls += 1;
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("method");
                let path = path.replace("{id}", "999999").replace("{planid}", "999999").replace("{userid}", "999999").replace("{message}", "999999").replace("{format}", "png").replace("{filename}", "empty.txt");
                let answer = app.with_key(ADMIN_KEY, method, &path, None).await;
                assert_eq!(answer.status, 200, "{path}: {answer:?}");
                assert!(operation["responses"]["200"].is_object(), "{path}");
            }
        }
        assert_eq!(calls, 111);
        insta::assert_json_snapshot!("openapi", json);
        let page = app.call(Method::GET, "/api/docs", &[], "").await;
        assert!(page.header("content-type").starts_with("text/html"));
        let page = String::from_utf8(page.body.to_vec()).expect("text");
        assert!(page.contains("POST /api/url/add") && page.contains("id=\"LinkRequest\""));
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_the_address() {
    let app = TestApp::start(None, &[("SIGNPOST_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let from = async |client: &str| {
        let headers = [("x-forwarded-for", client)];
        app.call(Method::GET, "/api/account", &headers, "")
            .await
            .number("x-ratelimit-remaining")
    };
    assert_eq!(from("198.51.100.7").await, 29);
    assert_eq!(from("198.51.100.8").await, 29);
    assert_eq!(from("203.0.113.1, 198.51.100.7").await, 28);
}

/// Everything that is logged at any level by anyone.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has people sign in and apps get tokens, in all ways there are; everything secret that was used for it.
async fn secrets_of_people(app: &TestApp) -> Vec<(&'static str, String)> {
    let (right, wrong) = ("a-right-password-7", "a-wrong-password-7");
    let body = json!({"username": "ana", "email": "ana@e.test", "password": right});
    let made = app.post("/api/user/add", body).await.ok();
    let mut browser = Browser::new(app);
    browser.sign_in("ana", wrong).await;
    assert_eq!(browser.sign_in("ana", right).await.status, 303);
    let id = made["data"]["id"].clone();
    let link = app.get(&format!("/api/user/login/{id}")).await.ok();
    let invitation = json!({"email": "bo@e.test", "role": "viewer"});
    let invitation = app.post("/api/member/invite", invitation).await.ok();
    let mut secrets = vec![
        ("password", right.to_owned()),
        ("wrong password", wrong.to_owned()),
    ];
    for (what, reply) in [("one-time URL", &link), ("invitation", &invitation)] {
        let url = reply["url"].as_str().expect("a URL");
        let path = url.strip_prefix("http://api.test").expect("here");
        browser.get(path).await;
        browser.post(path, &[("password", wrong)]).await;
        let token = path.rsplit('/').next().expect("a token");
        secrets.push((what, token.to_owned()));
    }
    secrets.extend(
        browser
            .cookies
            .into_values()
            .map(|cookie| ("cookie", cookie)),
    );
    let app_made = json!({"name": "logged"});
    let client = app.post("/api/oauth/client/add", app_made).await.ok();
    let text = |json: &Value, name: &str| json[name].as_str().expect("text").to_owned();
    let (name, secret) = (text(&client, "client_id"), text(&client, "client_secret"));
    let form = format!("grant_type=client_credentials&client_id={name}&client_secret={secret}");
    let tokens = app.call(Method::POST, "/api/oauth/token", &[], form).await;
    let access = text(&tokens.json(), "access_token");
    app.with_key(&access, Method::GET, "/api/account", None)
        .await
        .ok();
    secrets.extend([
        ("first key", text(&made, "key")),
        ("client secret", secret),
        ("access token", access),
    ]);
    secrets
}

#[tokio::test]
async fn keys_are_in_no_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("trace"))
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("the only test that does");
    let app = TestApp::start(None, &[]).await;
    let (good, bad) = (app.key("logged", None).await, "sgn_not-a-key-but-secret");
    for key in [good.as_str(), bad] {
        let id = 1;
        for path in ["account", "urls", "nothing", &format!("url/{id}/stats")] {
            app.call(Method::GET, &format!("/api/{path}?key={key}"), &[], "")
                .await;
            app.with_key(
                key,
                Method::POST,
                &format!("/api/{path}"),
                Some(json!({"key": key})),
            )
            .await;
        }
    }
    // m_04: a key in the query of the dialect that looks for it there, and in those of the others, where people try it.
    for key in [good.as_str(), bad] {
        for path in [
            "/api/v1/links",
            "/api/v1/links/1/analytics",
            "/api/v1/no/such/thing",
            "/api/v2/links",
            "/v1/links",
        ] {
            let path = format!("{path}?search=x&api_key={key}");
            app.call(Method::GET, &path, &[], "").await;
            app.call(Method::POST, &path, &[], "{").await;
        }
    }
    let secrets = secrets_of_people(&app).await;
    let text = String::from_utf8_lossy(&log.0.lock().expect("no panic")).into_owned();
    assert!(text.contains("answered"), "calls are logged at all");
    for secret in [good.as_str(), bad, ADMIN_KEY] {
        assert!(!text.contains(secret));
    }
    for (what, secret) in secrets {
        assert!(secret.len() > 8 && !text.contains(&secret), "{what}");
    }
}
