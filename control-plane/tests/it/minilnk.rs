//! Minilnk's dialect: keys, limits, statuses and links. QR codes are in [`qrcodes`]; visitors and numbers are met by the
//! tests of the whole program.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Answer, SHORT, TestApp, keys, on_both_engines};
use crate::looks::{HTML, asking, page, site};
use crate::members::add_member;
use crate::users::add_user;

mod qrcodes;

/// A call with the first key, on a path below `/api/v1`.
async fn m(app: &TestApp, method: Method, path: &str, body: Value) -> Answer {
    as_key(app, ADMIN_KEY, method, path, body).await
}

async fn as_key(app: &TestApp, key: &str, method: Method, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(body);
    app.with_key(key, method, &format!("/api/v1{path}"), body)
        .await
}

/// A success with this status.
#[track_caller]
fn done(answer: &Answer, status: u16) -> Value {
    let json = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{json}");
    json
}

/// A refusal with this status; with 422 it names all fields that are wrong, and says the first of them.
#[track_caller]
fn refused(answer: &Answer, status: u16, part: &str) -> Value {
    let json = done(answer, status);
    let message = json["message"].as_str().expect("a message");
    assert!(message.contains(part), "{json}");
    if status == 422 {
        let errors = json["errors"].as_object().expect("errors");
        let (first, more) = message.split_once(" (and ").unwrap_or((message, ""));
        let field = first.split(' ').next().expect("a word");
        assert_eq!(errors[field], json!([first]), "{json}");
        let others = errors.len() - 1;
        let expected = match others {
            0 => String::new(),
            1 => "1 more error)".to_owned(),
            _ => format!("{others} more errors)"),
        };
        assert_eq!(more, expected, "{json}");
    } else {
        assert!(json.get("errors").is_none(), "{json}");
    }
    json
}

async fn link(app: &TestApp, body: Value) -> Value {
    done(&m(app, Method::POST, "/links", body).await, 201)
}

/// Puts the first workspace on a plan.
async fn plan(app: &TestApp, id: i64) {
    let assigned = control_plane::store::plans::assign(&app.running.store, 1, id, None).await;
    assert!(assigned.expect("set"));
}

/// A plan of these limits.
async fn new_plan(app: &TestApp, body: Value) -> i64 {
    let made = app.post("/api/plan/add", body).await.ok();
    made["id"].as_i64().expect("an id")
}

on_both_engines! {
    async fn m_01_m_02_m_03_m_04_m_16_a_key_goes_in_three_ways_and_answers_are_json(app) {
        let bearer = format!("Bearer {ADMIN_KEY}");
        for (path, header) in [
            ("/api/v1/links", Some(("authorization", bearer.as_str()))),
            ("/api/v1/links", Some(("X-API-Key", ADMIN_KEY))),
            (&format!("/api/v1/links?api_key={ADMIN_KEY}"), None),
        ] {
            for accept in [None, Some(("accept", "application/json")), Some(("accept", "text/html"))] {
                let headers: Vec<_> = header.into_iter().chain(accept).collect();
                let json = done(&app.call(Method::GET, path, &headers, "").await, 200);
                assert_eq!(json["total"], 0);
                let missing = path.replace("links", "links/999999");
                refused(&app.call(Method::GET, &missing, &headers, "").await, 404, "does not exist");
            }
        }
        // The key of another dialect's query is none here.
        refused(&app.call(Method::GET, &format!("/api/v1/links?key={ADMIN_KEY}"), &[], "").await, 401, "key");
    }

    async fn m_05_m_06_a_missing_revoked_or_expired_key_is_401(app) {
        refused(&app.call(Method::GET, "/api/v1/links", &[], "").await, 401, "an API key is needed");
        refused(&as_key(&app, "unknown", Method::GET, "/links", json!(null)).await, 401, "not known");
        // Keys are made at `/api/keys`, in the main dialect.
        plan(&app, 2).await;
        let made = app.post("/api/keys", json!({"name": "shop"})).await.ok();
        let key = made["key"].as_str().or(made["data"]["key"].as_str()).expect("a key").to_owned();
        done(&as_key(&app, &key, Method::GET, "/links", json!(null)).await, 200);
        let id = made["id"].as_i64().or(made["data"]["id"].as_i64()).expect("an id");
        app.delete(&format!("/api/key/{id}/delete")).await.ok();
        refused(&as_key(&app, &key, Method::GET, "/links", json!(null)).await, 401, "revoked");
        let expired = control_plane::keys::create(&app.config, "old", Some("2020-01-01"), None).await.expect("a key").1;
        refused(&as_key(&app, &expired, Method::GET, "/links", json!(null)).await, 401, "expired");
    }

    async fn m_07_m_08_a_key_has_its_plans_calls_in_a_rolling_minute(app) {
        plan(&app, 2).await;
        let (key, other) = (app.key("one", None).await, app.key("two", None).await);
        app.config.clock.stop();
        for left in (0..120).rev() {
            let answer = as_key(&app, &key, Method::GET, "/links", json!(null)).await;
            done(&answer, 200);
            assert_eq!((answer.number("x-ratelimit-limit"), answer.number("x-ratelimit-remaining")), (120, left));
        }
        let over = as_key(&app, &key, Method::GET, "/links", json!(null)).await;
        refused(&over, 429, "too many");
        assert_eq!(over.number("retry-after"), 60);
        done(&as_key(&app, &other, Method::GET, "/links", json!(null)).await, 200);
        // The main dialect counts for itself.
        app.with_key(&key, Method::GET, "/api/urls", None).await.ok();
        // A minute after the first call all of them are over, and not a second before.
        app.config.clock.advance_ms(59_000);
        refused(&as_key(&app, &key, Method::GET, "/links", json!(null)).await, 429, "too many");
        app.config.clock.advance_ms(1_000);
        done(&as_key(&app, &key, Method::GET, "/links", json!(null)).await, 200);
        plan(&app, 3).await;
        let largest = as_key(&app, &other, Method::GET, "/links", json!(null)).await;
        assert_eq!(largest.number("x-ratelimit-limit"), 300);
    }

    async fn m_09_m_10_the_free_plan_has_no_access(app) {
        let key = app.key("free", None).await;
        app.config.clock.stop();
        for _ in 0..60 {
            refused(&as_key(&app, &key, Method::GET, "/links", json!(null)).await, 403, "premium required");
        }
        refused(&as_key(&app, &key, Method::GET, "/links", json!(null)).await, 429, "too many");
        // The document is for everybody.
        done(&app.call(Method::GET, "/api/v1/openapi.json", &[], "").await, 200);
    }

    async fn m_11_m_15_what_is_no_json_object_is_400(app) {
        let bearer = format!("Bearer {ADMIN_KEY}");
        let json_kind = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let form = [("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let id = link(&app, json!({"original_url": "https://e.test/"})).await["id"].to_string();
        for (headers, body) in [
            (&json_kind, ""), (&json_kind, "{"), (&json_kind, "[]"), (&json_kind, "null"), (&json_kind, "7"), (&json_kind, "\"x\""),
            (&form, "original_url=https%3A%2F%2Fe.test"), (&json_kind, "{\"original_url\": \"\u{0}"),
        ] {
            refused(&app.call(Method::POST, "/api/v1/links", headers, body).await, 400, "the body is not JSON");
            refused(&app.call(Method::POST, "/api/v1/qrcodes", headers, body).await, 400, "the body is not JSON");
            refused(&app.call(Method::PUT, &format!("/api/v1/links/{id}"), headers, body).await, 400, "the body is not JSON");
        }
        // JSON is JSON under another name.
        let text = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
        done(&app.call(Method::POST, "/api/v1/links", &text, "{\"original_url\":\"https://e.test/\"}").await, 201);
        // A method cannot be overridden.
        let over = [("authorization", bearer.as_str()), ("x-http-method-override", "DELETE")];
        refused(&app.call(Method::POST, &format!("/api/v1/links/{id}?_method=DELETE"), &over, "{}").await, 405, "method");
        done(&m(&app, Method::GET, &format!("/links/{id}"), json!(null)).await, 200);
    }

    async fn m_12_m_30_m_49_what_a_plan_leaves_out_is_403(app) {
        let small = new_plan(&app, json!({"name": "small", "features": "qr", "links": 2, "rate": 0})).await;
        plan(&app, small).await;
        let key = app.key("small", None).await;
        let call = async |path: &str, body: Value| as_key(&app, &key, Method::POST, path, body).await;
        for (name, value, feature) in [
            ("alias", json!("hnnews"), "'alias'"), ("password", json!("secret"), "'password'"), ("expires_at", json!("2099-01-01"), "'expiry'"),
        ] {
            let mut body = json!({"original_url": "https://e.test/"});
            body[name] = value;
            refused(&call("/links", body).await, 403, feature);
        }
        let plain = json!({"original_url": "https://e.test/"});
        let made = done(&call("/links", plain.clone()).await, 201);
        let path = format!("/links/{}", made["id"]);
        let change = json!({"original_url": "https://e.test/", "password": "secret"});
        refused(&as_key(&app, &key, Method::PUT, &path, change).await, 403, "'password'");
        done(&call("/links", plain.clone()).await, 201);
        refused(&call("/links", plain).await, 403, "2 links");
        let code = json!({"name": "n", "type": "text", "content": "x", "error_correction": "L"});
        let mut colored = code.clone();
        colored["foreground_color"] = json!("#112233");
        refused(&call("/qrcodes", colored).await, 403, "'qrcolors'");
        done(&call("/qrcodes", code).await, 201);
    }

    async fn m_13_m_34_m_40_a_link_that_is_not_there_is_404(app) {
        let id = link(&app, json!({"original_url": "https://e.test/", "alias": "hnnews"})).await["id"].to_string();
        done(&m(&app, Method::GET, &format!("/links/{id}"), json!(null)).await, 200);
        let (_, stranger) = add_user(&app, "mallory").await;
        let large = new_plan(&app, json!({"name": "large", "rate": 0})).await;
        assert!(control_plane::store::plans::assign(&app.running.store, 2, large, None).await.expect("set"));
        for (key, id) in [(ADMIN_KEY, "999999"), (ADMIN_KEY, "abc"), (ADMIN_KEY, "-1"), (ADMIN_KEY, "99999999999999999999"), (stranger.as_str(), id.as_str())] {
            for (method, path, body) in [
                (Method::GET, format!("/links/{id}"), json!(null)), (Method::GET, format!("/links/{id}/analytics"), json!(null)),
                (Method::PUT, format!("/links/{id}"), json!({"original_url": "https://evil.test/"})), (Method::DELETE, format!("/links/{id}"), json!(null)),
            ] {
                refused(&as_key(&app, key, method, &path, body).await, 404, "does not exist");
            }
        }
        let gone = done(&m(&app, Method::DELETE, &format!("/links/{id}"), json!(null)).await, 200);
        assert_eq!(gone, json!({"message": "Link deleted successfully."}));
        refused(&m(&app, Method::GET, &format!("/links/{id}"), json!(null)).await, 404, "");
        refused(&m(&app, Method::DELETE, &format!("/links/{id}"), json!(null)).await, 404, "");
    }

    async fn m_14_m_27_the_url_is_checked(app) {
        let long = |length: usize| format!("https://e.test/{}", "a".repeat(length - 15));
        for (value, part) in [
            (json!(null), "is required"), (json!(""), "is required"), (json!("nope"), "must begin with http"), (json!(7), "must be a text"),
            (json!(long(2049)), "at most 2048"), (json!(format!("{SHORT}/x")), "short domain"), (json!("ftp://e.test/"), "http"), (json!("https://"), "a URL with a host"),
        ] {
            refused(&m(&app, Method::POST, "/links", json!({"original_url": value})).await, 422, part);
        }
        refused(&m(&app, Method::POST, "/links", json!({})).await, 422, "original_url is required");
        let made = link(&app, json!({"original_url": long(2048)})).await;
        assert_eq!(made["original_url"], long(2048));
    }

    async fn m_17_m_18_m_19_m_20_links_come_in_laravels_paginator(app) {
        let (_, stranger) = add_user(&app, "other").await;
        app.with_key(&stranger, Method::POST, "/api/url/add", Some(json!({"url": "https://other.test/"}))).await.ok();
        for n in 0..16 {
            link(&app, json!({"original_url": format!("https://e{n}.test/"), "title": format!("Title {n} Ä")})).await;
        }
        let first = done(&m(&app, Method::GET, "/links", json!(null)).await, 200);
        assert_eq!(
            keys(&first),
            ["current_page", "data", "first_page_url", "from", "last_page", "last_page_url", "next_page_url", "path", "per_page", "prev_page_url", "to", "total"]
        );
        let at = |page: u32| json!(format!("http://api.test/api/v1/links?page={page}"));
        assert_eq!((&first["current_page"], &first["from"], &first["to"], &first["total"]), (&json!(1), &json!(1), &json!(15), &json!(16)));
        assert_eq!((&first["per_page"], &first["last_page"]), (&json!(15), &json!(2)));
        assert_eq!((&first["first_page_url"], &first["last_page_url"], &first["next_page_url"], &first["prev_page_url"]), (&at(1), &at(2), &at(2), &json!(null)));
        assert_eq!(first["path"], "http://api.test/api/v1/links");
        assert_eq!(first["data"].as_array().expect("links").len(), 15);
        let second = done(&m(&app, Method::GET, "/links?page=2", json!(null)).await, 200);
        assert_eq!((&second["current_page"], &second["from"], &second["to"], &second["data"][0]["title"]), (&json!(2), &json!(16), &json!(16), &json!("Title 0 Ä")));
        assert_eq!((&second["next_page_url"], &second["prev_page_url"]), (&json!(null), &at(1)));
        for (page, current) in [("0", 1), ("abc", 1), ("-1", 1), ("99999999999999999999", 1), ("7", 7)] {
            let answer = done(&m(&app, Method::GET, &format!("/links?page={page}"), json!(null)).await, 200);
            assert_eq!(answer["current_page"], current, "{page}");
            if current == 7 {
                assert_eq!((&answer["data"], &answer["from"], &answer["to"], &answer["total"]), (&json!([]), &json!(null), &json!(null), &json!(16)));
            }
        }
        let code = second["data"][0]["short_code"].as_str().expect("text");
        for search in ["title 0 ä", "e0.test", code] {
            let search: String = url::form_urlencoded::byte_serialize(search.as_bytes()).collect();
            let found = done(&m(&app, Method::GET, &format!("/links?search={search}"), json!(null)).await, 200);
            assert_eq!((&found["total"], &found["data"][0]["id"]), (&json!(1), &second["data"][0]["id"]), "{search}");
            assert_eq!(found["first_page_url"], format!("http://api.test/api/v1/links?search={search}&page=1"));
        }
        assert_eq!(done(&m(&app, Method::GET, "/links?search=nothing%25", json!(null)).await, 200)["total"], 0);
        assert_eq!(done(&m(&app, Method::GET, "/links?search=other.test", json!(null)).await, 200)["total"], 0);
    }

    async fn m_21_m_22_m_23_m_24_m_26_a_link_has_thirteen_keys(app) {
        let made = link(&app, json!({"original_url": "https://e.test/"})).await;
        assert_eq!(
            keys(&made),
            ["alias", "created_at", "description", "domain_id", "id", "is_active", "original_url", "short_code", "short_url", "title", "total_clicks", "unique_clicks", "user_id"]
        );
        assert!(made["id"].is_i64() && made["user_id"].is_i64() && made["is_active"] == true);
        assert_eq!((&made["total_clicks"], &made["unique_clicks"]), (&json!(0), &json!(0)));
        for name in ["alias", "description", "domain_id", "title"] {
            assert_eq!(made[name], json!(null), "{name}");
        }
        let code = made["short_code"].as_str().expect("text");
        assert!(code.len() >= 5 && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{code}");
        let created = made["created_at"].as_str().expect("text");
        assert!(created.len() == 27 && created.ends_with('Z') && &created[10..11] == "T" && &created[19..20] == ".", "{created}");
        assert_eq!(made["short_url"], format!("{SHORT}/{code}"));
        // No statistics here: the counts say that they are none.
        let shown = m(&app, Method::GET, &format!("/links/{}", made["id"]), json!(null)).await;
        assert_eq!(shown.header("x-stats"), "unavailable");
        assert_eq!(done(&shown, 200), made);
        let listed = done(&m(&app, Method::GET, "/links", json!(null)).await, 200);
        assert_eq!(listed["data"][0], made);
    }

    async fn m_14_every_field_that_is_wrong_is_named(app) {
        let fields = |json: &Value| keys(&json["errors"]).join(" ");
        link(&app, json!({"original_url": "https://e.test/", "alias": "hnnews"})).await;
        let body = json!({"original_url": "nope", "alias": "a-b", "title": 7, "password": [], "expires_at": "soon"});
        let all = refused(&m(&app, Method::POST, "/links", body).await, 422, "original_url must begin");
        assert_eq!(fields(&all), "alias expires_at original_url password title");
        let long = json!({"title": "t".repeat(256), "expires_at": "2020-01-01"});
        let some = refused(&m(&app, Method::POST, "/links", long).await, 422, "original_url is required (and 2 more errors)");
        assert_eq!(some["errors"]["title"], json!(["title must be at most 255 characters long"]));
        // What only the database knows is named with the rest, whichever is found first.
        for (url, alias, expires, expected) in [
            ("nope", "hnnews", "2099-01-01", "alias original_url"), (&*format!("{SHORT}/x"), "hnnews", "2099-01-01", "alias original_url"),
            (&*format!("{SHORT}/x"), "free", "soon", "expires_at original_url"), ("https://e.test/", "hnnews", "soon", "alias expires_at"), ("https://e.test/", "hnnews", "2099-01-01", "alias"),
        ] {
            let body = json!({"original_url": url, "alias": alias, "expires_at": expires});
            assert_eq!(fields(&refused(&m(&app, Method::POST, "/links", body.clone()).await, 422, "")), expected, "{body}");
        }
        let made = link(&app, json!({"original_url": "https://e.test/1"})).await;
        let path = format!("/links/{}", made["id"]);
        let body = json!({"original_url": format!("{SHORT}/x"), "alias": "other", "password": "x", "remove_password": true, "expires_at": "2099-01-01", "remove_expiration": "perhaps"});
        let all = refused(&m(&app, Method::PUT, &path, body).await, 422, "original_url must not lead back");
        assert_eq!(fields(&all), "alias original_url remove_expiration remove_password");
        assert_eq!(done(&m(&app, Method::GET, &path, json!(null)).await, 200), made);
        let body = json!({"name": "", "type": "url", "content": "nope", "error_correction": "X", "size": 5, "margin": 11, "foreground_color": "red", "background_color": 7, "link_id": 999_999});
        let all = refused(&m(&app, Method::POST, "/qrcodes", body).await, 422, "name is required (and 7 more errors)");
        assert_eq!(fields(&all), "background_color content error_correction foreground_color link_id margin name size");
        refused(&m(&app, Method::POST, "/qrcodes", json!({})).await, 422, "name is required (and 3 more errors)");
        assert_eq!(done(&m(&app, Method::GET, "/qrcodes", json!(null)).await, 200)["total"], 0);
    }

    async fn m_28_m_29_an_alias_is_three_to_twenty_letters_and_digits(app) {
        for bad in ["ab", "aaaaaaaaaaaaaaaaaaaaa", "a-b", "a b", "äöü", "a/b"] {
            refused(&m(&app, Method::POST, "/links", json!({"original_url": "https://e.test/", "alias": bad})).await, 422, "alias must be 3 to 20");
        }
        let made = link(&app, json!({"original_url": "https://e.test/", "alias": "hnnews"})).await;
        assert_eq!((&made["alias"], &made["short_code"], &made["short_url"]), (&json!("hnnews"), &json!("hnnews"), &json!(format!("{SHORT}/hnnews"))));
        let again = refused(&m(&app, Method::POST, "/links", json!({"original_url": "https://e.test/", "alias": "hnnews"})).await, 422, "already in use");
        assert!(again["errors"]["alias"].is_array());
        link(&app, json!({"original_url": "https://e.test/", "alias": "Abc123Abc123Abc123Ab"})).await;
    }

    async fn m_31_an_absent_title_is_read_from_the_page(app) {
        let (base, _) = site(|path| match path {
            "/none" => page(HTML, b"<p>no title"),
            _ => page(HTML, "<html><head><title> T &amp; Ü </title>".as_bytes()),
        })
        .await;
        let app = asking(app).await;
        let made = link(&app, json!({"original_url": format!("{base}/page")})).await;
        assert_eq!(made["title"], "T & Ü");
        assert_eq!(app.get(&format!("/api/url/{}", made["id"])).await.ok()["details"]["title"], "T & Ü");
        assert_eq!(link(&app, json!({"original_url": format!("{base}/page"), "title": "Own"})).await["title"], "Own");
        // It takes the connection and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let silence = format!("http://{}/", silent.local_addr().expect("bound"));
        for url in [format!("{base}/none"), silence] {
            let began = std::time::Instant::now();
            assert_eq!(link(&app, json!({"original_url": url})).await["title"], json!(null));
            assert!(began.elapsed() < std::time::Duration::from_millis(4500));
        }
        // Nobody answers there; what is private stays so.
        assert_eq!(link(&app, json!({"original_url": "http://127.0.0.2:1/"})).await["title"], json!(null));
    }

    async fn m_33_an_expiry_is_in_the_future_in_any_form(app) {
        for bad in ["2020-01-01", "2020-01-01T00:00:00Z", "yesterday", "2026-02-30", "31.12.2099", "1790000000"] {
            refused(&m(&app, Method::POST, "/links", json!({"original_url": "https://e.test/", "expires_at": bad})).await, 422, "expires_at ");
        }
        for bad in [json!(1_990_000_000), json!(true), json!([])] {
            refused(&m(&app, Method::POST, "/links", json!({"original_url": "https://e.test/", "expires_at": bad})).await, 422, "expires_at must be a text");
        }
        for good in ["2099-01-01", "2099-01-01 10:00:00", "2099-01-01T10:00:00.000000Z", "2099-01-01T10:00:00+02:00", "2099-01-01T10:00"] {
            let made = link(&app, json!({"original_url": "https://e.test/", "expires_at": good})).await;
            assert!(app.get(&format!("/api/url/{}", made["id"])).await.ok()["details"].is_object());
        }
    }

    async fn m_35_m_36_m_37_m_38_m_39_a_put_changes_what_it_names(app) {
        let made = link(&app, json!({"original_url": "https://e.test/1", "alias": "hnnews", "title": "T", "password": "open", "expires_at": "2099-01-01"})).await;
        let path = format!("/links/{}", made["id"]);
        let put = async |body: Value| m(&app, Method::PUT, &path, body).await;
        let stored = async || {
            let row: (String, String, Option<i64>) = sqlx::query_as("SELECT title, extras, expires_at FROM links WHERE slug = 'hnnews'")
                .fetch_one(app.running.store.readers()).await.expect("a row");
            (row.0, row.1.contains("\"phc\""), row.2.is_some())
        };
        refused(&put(json!({"title": "x"})).await, 422, "original_url is required");
        refused(&put(json!({"original_url": "https://e.test/", "alias": "other"})).await, 422, "alias cannot change");
        refused(&put(json!({"original_url": "https://e.test/", "remove_password": "maybe"})).await, 422, "remove_password must be true or false");
        refused(&put(json!({"original_url": "https://e.test/", "remove_password": true, "password": "x"})).await, 422, "remove_password cannot be true");
        refused(&put(json!({"original_url": "https://e.test/", "expires_at": "2020-01-01"})).await, 422, "expires_at must be in the future");
        refused(&put(json!({"original_url": format!("{SHORT}/hnnews")})).await, 422, "original_url must not lead back");
        let changed = done(&put(json!({"original_url": "https://e.test/2"})).await, 200);
        let mut expected = made.clone();
        expected["original_url"] = json!("https://e.test/2");
        assert_eq!(changed, expected);
        assert_eq!(stored().await, ("T".to_owned(), true, true));
        // What was read is sent back: nothing changes.
        assert_eq!(done(&put(changed.clone()).await, 200), changed);
        done(&put(json!({"original_url": "https://e.test/2", "title": "U", "remove_password": true})).await, 200);
        assert_eq!(stored().await, ("U".to_owned(), false, true));
        done(&put(json!({"original_url": "https://e.test/2", "password": "sesame", "remove_expiration": 1})).await, 200);
        assert_eq!(stored().await, ("U".to_owned(), true, false));
        let bare = done(&put(json!({"original_url": "https://e.test/2", "title": ""})).await, 200);
        assert_eq!(bare["title"], json!(null));
        assert!(!bare.to_string().contains("sesame"));
    }

    async fn what_other_dialects_set_survives_a_put(app) {
        let id = app.link(json!({
            "url": "https://e.test/1", "custom": "spring/sale", "description": "D", "utm_source": "s", "max_clicks": 5, "metatitle": "M",
            "geotarget": [{"location": "DE", "link": "https://e.test/de"}],
        })).await;
        let before = app.get(&format!("/api/url/{id}")).await.ok();
        let shown = done(&m(&app, Method::GET, &format!("/links/{id}"), json!(null)).await, 200);
        assert_eq!((&shown["short_code"], &shown["description"]), (&json!("spring/sale"), &json!("D")));
        done(&m(&app, Method::PUT, &format!("/links/{id}"), json!({"original_url": "https://e.test/2"})).await, 200);
        let mut after = app.get(&format!("/api/url/{id}")).await.ok();
        assert!(after.to_string().contains("https://e.test/2"));
        after["details"]["longurl"] = before["details"]["longurl"].clone();
        assert_eq!(before["details"], after["details"]);
    }

    async fn a_viewer_reads_and_a_stranger_sees_nothing(app) {
        plan(&app, 2).await;
        let made = link(&app, json!({"original_url": "https://secret.test/", "alias": "hnnews"})).await;
        let code = done(&m(&app, Method::POST, "/qrcodes", json!({"name": "n", "type": "text", "content": "secret.test", "error_correction": "L"})).await, 201);
        let (_, viewer) = add_member(&app, "viewer", "viewer").await;
        let (_, stranger) = add_user(&app, "mallory").await;
        assert!(control_plane::store::plans::assign(&app.running.store, 2, 2, None).await.expect("set"));
        let document = app.call(Method::GET, "/api/v1/openapi.json", &[], "").await.json();
        let mut walked = 0;
        for (template, methods) in document["paths"].as_object().expect("paths") {
            let id = if template.contains("qrcodes") { &code["id"] } else { &made["id"] };
            let path = template.replace("{id}", &id.to_string()).replacen("/api/v1", "", 1);
            for method in methods.as_object().expect("methods").keys() {
                let method: Method = method.to_uppercase().parse().expect("a method");
                let body = match (&method, template.contains("qrcodes")) {
                    (&Method::POST, true) => json!({"name": "n", "type": "url", "content": "https://e.test/", "error_correction": "L", "link_id": made["id"]}),
                    (&Method::POST | &Method::PUT, _) => json!({"original_url": "https://e.test/"}),
                    _ => json!(null),
                };
                let reads = method == Method::GET;
                let seen = as_key(&app, &viewer, method.clone(), &path, body.clone()).await;
                assert_eq!(seen.status == 403, !reads, "{method} {path}");
                let seen = as_key(&app, &stranger, method.clone(), &path, body).await;
                let text = String::from_utf8_lossy(&seen.body);
                assert!(!text.contains("secret.test") && !text.contains("hnnews"), "{method} {path} {text}");
                let expected = match (template.contains('{'), template.contains("qrcodes"), reads) {
                    (true, ..) => 404,
                    (false, _, true) => 200,
                    (false, true, false) => 422,
                    (false, false, false) => 201,
                };
                assert_eq!(seen.status.as_u16(), expected, "{method} {path} {text}");
                walked += 1;
            }
        }
        assert_eq!(walked, 10);
        assert_eq!(done(&m(&app, Method::GET, &format!("/links/{}", made["id"]), json!(null)).await, 200), made);
        assert_eq!(done(&m(&app, Method::GET, &format!("/qrcodes/{}", code["id"]), json!(null)).await, 200), code);
    }
}
