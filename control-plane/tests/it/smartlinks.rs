//! SmartLinks' dialect. Visitors and numbers are met by the tests of the whole program.

use http::Method;
use serde_json::{Value, json};

use crate::feed_writes::check_books;
use crate::harness::{ADMIN_KEY, Answer, SHORT, TestApp, keys, on_both_engines};
use crate::members::add_member;
use crate::qr::{decode, held, pixels};
use crate::users::add_user;

/// A call with the first key, on a path below `/v1`.
async fn s(app: &TestApp, method: Method, path: &str, body: Value) -> Answer {
    as_key(app, ADMIN_KEY, method, path, body).await
}

async fn as_key(app: &TestApp, key: &str, method: Method, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(body);
    app.with_key(key, method, &format!("/v1{path}"), body).await
}

#[track_caller]
fn done(answer: &Answer, status: u16) -> Value {
    let json = answer.json();
    assert_eq!(answer.status.as_u16(), status, "{json}");
    json
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, part: &str) {
    let json = done(answer, status);
    assert_eq!(json["error"]["code"], code, "{json}");
    let message = json["error"]["message"].as_str().expect("a message");
    assert!(message.contains(part), "{json}");
}

async fn link(app: &TestApp, body: Value) -> Value {
    done(&s(app, Method::POST, "/links", body).await, 201)
}

/// Whether it is a time to the second.
#[track_caller]
fn is_time(value: &Value) {
    let text = value.as_str().expect("text");
    assert!(
        text.len() == 20 && text.ends_with('Z') && &text[10..11] == "T",
        "{text}"
    );
}

on_both_engines! {
    async fn s_01_s_02_s_03_s_08_a_bearer_opens_the_dialect(app) {
        done(&s(&app, Method::GET, "/links", json!(null)).await, 200);
        refused(&app.call(Method::GET, "/v1/links", &[], "").await, 401, "unauthorized", "key");
        refused(&as_key(&app, "wrong", Method::GET, "/links", json!(null)).await, 401, "unauthorized", "not known");
        refused(&app.call(Method::GET, "/v1/links", &[("x-api-key", ADMIN_KEY)], "").await, 401, "unauthorized", "");
        let made = app.post("/api/keys", json!({"name": "shop"})).await.ok();
        let key = made["key"].as_str().or(made["data"]["key"].as_str()).expect("a key").to_owned();
        done(&as_key(&app, &key, Method::GET, "/links", json!(null)).await, 200);
        let headers = [("authorization", format!("Bearer {ADMIN_KEY}")), ("accept", "text/html".to_owned())];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        done(&app.call(Method::GET, "/v1/links", &headers, "").await, 200);
    }

    async fn s_04_s_05_s_06_s_11_calls_are_counted_by_the_hour(app) {
        let limit = async |key: &str| as_key(&app, key, Method::GET, "/links", json!(null)).await.number("x-ratelimit-limit");
        app.config.clock.stop();
        let free = app.key("free", None).await;
        assert_eq!(limit(&free).await, 1000);
        let own = app.key("own", Some(1)).await;
        for left in (0..60).rev() {
            let answer = as_key(&app, &own, Method::GET, "/links", json!(null)).await;
            done(&answer, 200);
            assert_eq!((answer.number("x-ratelimit-limit"), answer.number("x-ratelimit-remaining")), (60, left));
        }
        let over = as_key(&app, &own, Method::GET, "/links", json!(null)).await;
        refused(&over, 429, "rate_limited", "too many");
        assert_eq!(over.number("retry-after"), 3600);
        done(&as_key(&app, &free, Method::GET, "/links", json!(null)).await, 200);
        assert!(control_plane::store::plans::assign(&app.running.store, 1, 2, None).await.expect("set"));
        assert_eq!(limit(&free).await, 10_000);
        assert!(control_plane::store::plans::assign(&app.running.store, 1, 3, None).await.expect("set"));
        assert_eq!(limit(&free).await, 36_000);
    }

    async fn s_07_s_12_what_is_wrong_is_400(app) {
        for (body, part) in [
            (json!({}), "url is required"), (json!({"url": ""}), "url is required"), (json!({"url": 7}), "url must be a text"), (json!({"url": "nope"}), "url must begin"),
            (json!({"url": format!("{SHORT}/x")}), "short domain"), (json!({"url": "https://e.test/", "shortCode": "a b"}), "shortCode must be"),
            (json!({"url": "https://e.test/", "shortCode": "a/b"}), "shortCode"), (json!({"url": "https://e.test/", "shortCode": "a".repeat(101)}), "shortCode"),
            (json!({"url": "https://e.test/", "metadata": []}), "metadata must be an object"), (json!({"url": "https://e.test/", "metadata": "x"}), "metadata must be an object"),
            (json!({"url": "https://e.test/", "metadata": {"x": "y".repeat(17_000)}}), "metadata must be at most"), (json!({"url": "https://e.test/", "title": 7}), "title must be a text"),
            (json!({"url": "https://e.test/", "title": "t".repeat(256)}), "title must be at most"),
        ] {
            refused(&s(&app, Method::POST, "/links", body).await, 400, "invalid_request", part);
        }
        for query in ["pageSize=abc", "pageSize=0", "pageSize=101", "page=0", "page=-1", "page=1.5"] {
            refused(&s(&app, Method::GET, &format!("/links?{query}"), json!(null)).await, 400, "invalid_request", "must be a whole number");
        }
        let bearer = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        for body in ["{", "[]", "null", "url=https%3A%2F%2Fe.test"] {
            refused(&app.call(Method::POST, "/v1/links", &headers, body).await, 400, "invalid_request", "the body is not JSON");
        }
        // Nothing at all is an object without fields.
        refused(&app.call(Method::POST, "/v1/links", &headers, "").await, 400, "invalid_request", "url is required");
        let over = [("authorization", bearer.as_str()), ("x-http-method-override", "PATCH")];
        let made = link(&app, json!({"url": "https://e.test/"})).await;
        refused(&app.call(Method::POST, &format!("/v1/links/{}", made["id"].as_str().expect("id")), &over, "{}").await, 405, "method_not_allowed", "");
        // Nothing counts here: a fault of ours, without a word about its inside.
        let answer = s(&app, Method::GET, &format!("/analytics/{}", made["id"].as_str().expect("id")), json!(null)).await;
        refused(&answer, 503, "unavailable", "not available at the moment");
        assert!(!String::from_utf8_lossy(&answer.body).contains("127.0.0.1"));
    }

    async fn s_09_a_viewer_may_not_write(app) {
        let (_, viewer) = add_member(&app, "viewer", "viewer").await;
        refused(&as_key(&app, &viewer, Method::POST, "/links", json!({"url": "https://e.test/"})).await, 403, "forbidden", "");
        done(&as_key(&app, &viewer, Method::GET, "/links", json!(null)).await, 200);
    }

    async fn s_09_a_key_that_may_only_read_may_not_write(app) {
        let made = link(&app, json!({"url": "https://e.test/"})).await;
        let path = format!("/links/{}", made["id"].as_str().expect("id"));
        let key = app.post("/api/keys", json!({"name": "dashboard", "scopes": ["read"]})).await.ok()["key"].clone();
        let key = key.as_str().expect("a key");
        for (method, path, body) in [
            (Method::POST, "/links", json!({"url": "https://e.test/"})), (Method::PATCH, &*path, json!({"title": "x"})), (Method::DELETE, &path, json!(null)),
            (Method::POST, "/qr-codes", json!({"linkId": made["id"]})),
        ] {
            refused(&as_key(&app, key, method, path, body).await, 403, "forbidden", "");
        }
        for path in ["/links", &path] {
            done(&as_key(&app, key, Method::GET, path, json!(null)).await, 200);
        }
        assert_eq!(done(&s(&app, Method::GET, &path, json!(null)).await, 200), made);
    }

    async fn s_10_what_is_not_there_or_not_ones_own_is_404(app) {
        let made = link(&app, json!({"url": "https://secret.test/"})).await;
        let id = made["id"].as_str().expect("an id").to_owned();
        let (_, stranger) = add_user(&app, "mallory").await;
        let upper = id.to_uppercase();
        let digits = id.replace("link_", "");
        let document = app.call(Method::GET, "/v1/openapi.json", &[], "").await.json();
        let mut walked = 0;
        for (key, id) in [(ADMIN_KEY, "link_nope"), (ADMIN_KEY, "1"), (ADMIN_KEY, &upper), (ADMIN_KEY, &digits), (ADMIN_KEY, "link_0"), (stranger.as_str(), &id)] {
            for (template, methods) in document["paths"].as_object().expect("paths") {
                for method in methods.as_object().expect("methods").keys() {
                    let path = template.replace("{id}", id).replacen("/v1", "", 1);
                    let body = match method.as_str() {
                        "post" if path == "/qr-codes" => json!({"linkId": id}),
                        "patch" => json!({"url": "https://evil.test/"}),
                        _ => json!(null),
                    };
                    if !template.contains('{') && body.is_null() {
                        continue;
                    }
                    let answer = as_key(&app, key, method.to_uppercase().parse().expect("a method"), &path, body).await;
                    refused(&answer, 404, "not_found", "does not exist");
                    walked += 1;
                }
            }
        }
        assert_eq!(walked, 6 * 5);
        assert_eq!(done(&as_key(&app, &stranger, Method::GET, "/links", json!(null)).await, 200)["total"], 0);
        assert_eq!(done(&s(&app, Method::GET, &format!("/links/{id}"), json!(null)).await, 200), made);
    }

    async fn s_13_s_14_s_15_s_17_s_19_a_link_is_made_and_shown(app) {
        let made = link(&app, json!({"url": "https://example.com/product/123", "shortCode": "custom-code", "title": "My Product Link", "metadata": {"campaign": "summer-sale"}})).await;
        assert_eq!(keys(&made), ["createdAt", "id", "metadata", "shortCode", "shortUrl", "title", "updatedAt", "url"]);
        assert!(made["id"].as_str().expect("an id").starts_with("link_"));
        assert_eq!((&made["shortCode"], &made["shortUrl"], &made["url"]), (&json!("custom-code"), &json!(format!("{SHORT}/custom-code")), &json!("https://example.com/product/123")));
        is_time(&made["createdAt"]);
        is_time(&made["updatedAt"]);
        assert_eq!(done(&s(&app, Method::GET, &format!("/links/{}", made["id"].as_str().expect("id")), json!(null)).await, 200), made);
        refused(&s(&app, Method::POST, "/links", json!({"url": "https://e.test/", "shortCode": "custom-code"})).await, 400, "invalid_request", "shortCode 'custom-code' is already in use");
        let drawn = link(&app, json!({"url": "https://e.test/"})).await;
        assert_eq!((&drawn["title"], &drawn["metadata"]), (&json!(null), &json!(null)));
        assert!(drawn["shortCode"].as_str().expect("text").len() >= 5);
    }

    async fn s_18_metadata_comes_back_byte_for_byte(app) {
        let sent = r#"{ "z":1.0, "a" : 12345678901234567890123, "é":"\u00e9\u0000", "z":2,
            "e": 1e400 , "deep":{"b":[ ]} }"#;
        let bearer = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", bearer.as_str())];
        let bare = |text: &str| format!("{{\"url\": \"https://e.test/\", \"metadata\": {text}, \"shortCode\": \"meta\"}}");
        // What is no number of JSON's readers here is refused as a whole.
        refused(&app.call(Method::POST, "/v1/links", &headers, bare(sent)).await, 400, "invalid_request", "out of range");
        let sent = sent.replace("1e400", "1e40");
        let made = app.call(Method::POST, "/v1/links", &headers, bare(&sent)).await;
        let id = done(&made, 201)["id"].as_str().expect("an id").to_owned();
        let get = async || String::from_utf8(s(&app, Method::GET, &format!("/links/{id}"), json!(null)).await.body.to_vec()).expect("text");
        assert!(get().await.contains(&format!("\"metadata\":{sent},")));
        // Edits in every dialect leave it as it is.
        let number = done(&app.get("/api/v1/links").await, 200)["data"][0]["id"].to_string();
        done(&app.put(&format!("/api/v1/links/{number}"), json!({"original_url": "https://e.test/2", "title": "T"})).await, 200);
        app.put(&format!("/api/url/{number}/update"), json!({"url": "https://e.test/3", "description": "D"})).await.ok();
        done(&s(&app, Method::PATCH, &format!("/links/{id}"), json!({"title": "U"})).await, 200);
        assert!(get().await.contains(&format!("\"metadata\":{sent},")));
        done(&s(&app, Method::PATCH, &format!("/links/{id}"), json!({"metadata": {"b": 1}})).await, 200);
        assert!(get().await.contains("\"metadata\":{\"b\":1},"));
        done(&s(&app, Method::PATCH, &format!("/links/{id}"), json!({"metadata": null})).await, 200);
        assert!(get().await.contains("\"metadata\":null,"));
    }

    async fn s_20_s_21_a_patch_changes_what_it_names_and_a_delete_all(app) {
        let made = link(&app, json!({"url": "https://e.test/1", "shortCode": "one", "title": "T", "metadata": {"a": 1}})).await;
        let path = format!("/links/{}", made["id"].as_str().expect("id"));
        let patch = async |body: Value| s(&app, Method::PATCH, &path, body).await;
        let changed = done(&patch(json!({"url": "https://e.test/2"})).await, 200);
        assert_eq!((&changed["url"], &changed["title"], &changed["metadata"], &changed["shortCode"], &changed["createdAt"]), (&json!("https://e.test/2"), &json!("T"), &json!({"a": 1}), &json!("one"), &made["createdAt"]));
        let renamed = done(&patch(json!({"shortCode": "two", "title": null})).await, 200);
        assert_eq!((&renamed["shortUrl"], &renamed["title"], &renamed["id"]), (&json!(format!("{SHORT}/two")), &json!(null), &made["id"]));
        for (body, part) in [(json!({"url": null}), "url is required"), (json!({"shortCode": ""}), "shortCode is required"), (json!({"url": format!("{SHORT}/two")}), "short domain")] {
            refused(&patch(body).await, 400, "invalid_request", part);
        }
        done(&patch(json!({})).await, 200);
        let gone = s(&app, Method::DELETE, &path, json!(null)).await;
        assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
        refused(&s(&app, Method::GET, &path, json!(null)).await, 404, "not_found", "");
        refused(&s(&app, Method::DELETE, &path, json!(null)).await, 404, "not_found", "");
    }

    async fn bodies_and_accepted_types_are_read_as_they_are_meant(app) {
        let made = link(&app, json!({"url": "https://e.test/", "title": "T", "metadata": {"a": 1}})).await;
        let path = format!("/v1/links/{}", made["id"].as_str().expect("id"));
        let bearer = format!("Bearer {ADMIN_KEY}");
        let call = async |method: Method, path: &str, more: &[(&str, &str)], body: &str| {
            let headers: Vec<_> = [("authorization", bearer.as_str())].into_iter().chain(more.iter().copied()).collect();
            app.call(method, path, &headers, body.to_owned()).await
        };
        // A change of nothing changes nothing, whether it is an empty object or nothing at all.
        for (more, body) in [(&[("content-type", "application/json")][..], ""), (&[][..], ""), (&[][..], " \r\n"), (&[][..], "{}")] {
            let changed = done(&call(Method::PATCH, &path, more, body).await, 200);
            for name in ["url", "shortCode", "title", "metadata", "createdAt"] {
                assert_eq!(changed[name], made[name], "{name}");
            }
        }
        // JSON is JSON under another name; an answer is JSON whatever is accepted.
        for kind in ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "application/vnd.api+json"] {
            let headers = [("content-type", kind), ("accept", "text/html,application/xhtml+xml;q=0.9")];
            let other = done(&call(Method::POST, "/v1/links", &headers, "{\"url\":\"https:\\/\\/e.test\\/\"}").await, 201);
            assert_eq!(other["url"], "https://e.test/");
            let changed = done(&call(Method::PATCH, &path, &headers, "{\"title\":\"U\"}").await, 200);
            assert_eq!(changed["title"], "U");
        }
        for accept in ["text/html", "image/png", "application/xml", "*/*", "nonsense"] {
            assert_eq!(done(&call(Method::GET, "/v1/links", &[("accept", accept)], "").await, 200)["total"], 5);
            let code = json!({"linkId": made["id"]}).to_string();
            done(&call(Method::POST, "/v1/qr-codes", &[("accept", accept)], &code).await, 201);
        }
        assert_eq!(call(Method::DELETE, &path, &[("accept", "text/html")], "").await.status, 204);
    }

    async fn s_22_s_23_links_come_in_pages(app) {
        for n in 0..3 {
            link(&app, json!({"url": format!("https://e{n}.test/")})).await;
        }
        let all = done(&s(&app, Method::GET, "/links", json!(null)).await, 200);
        assert_eq!(keys(&all), ["data", "page", "pageSize", "total", "totalPages"]);
        assert_eq!((&all["page"], &all["pageSize"], &all["total"], &all["totalPages"]), (&json!(1), &json!(20), &json!(3), &json!(1)));
        let second = done(&s(&app, Method::GET, "/links?page=2&pageSize=2", json!(null)).await, 200);
        assert_eq!((second["data"].as_array().expect("links").len(), &second["data"][0]["url"], &second["totalPages"]), (1, &json!("https://e0.test/"), &json!(2)));
        let beyond = done(&s(&app, Method::GET, "/links?page=9&pageSize=100", json!(null)).await, 200);
        assert_eq!((&beyond["data"], &beyond["page"], &beyond["total"]), (&json!([]), &json!(9), &json!(3)));
    }

    async fn s_24_s_25_s_26_a_code_is_made_for_a_link(app) {
        let made = link(&app, json!({"url": "https://e.test/", "shortCode": "custom-code"})).await;
        let code = async |more: Value| {
            let mut body = json!({"linkId": made["id"]});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            s(&app, Method::POST, "/qr-codes", body).await
        };
        let plain = done(&code(json!({})).await, 201);
        assert_eq!(keys(&plain), ["createdAt", "format", "id", "imageUrl", "linkId", "size", "style"]);
        assert!(plain["id"].as_str().expect("an id").starts_with("qr_"));
        assert_eq!((&plain["linkId"], &plain["size"], &plain["format"]), (&made["id"], &json!(500), &json!("png")));
        assert_eq!(plain["style"], json!({"dotsColor": "#000000", "backgroundColor": "#ffffff", "logo": null}));
        is_time(&plain["createdAt"]);
        let image = async |url: &Value| {
            let path = url.as_str().expect("a URL").strip_prefix(SHORT).expect("ours").split('?').next().expect("a path").to_owned();
            assert!(held(&app, path.trim_start_matches('/')).await.is_some());
            app.get(&path).await
        };
        let png = image(&plain["imageUrl"]).await;
        assert_eq!((png.header("content-type"), pixels(&png.body).0), ("image/png", 500));
        assert!(decode(&png.body).starts_with(&format!("{SHORT}/custom-code?qr=")));
        let colored = done(&code(json!({"size": 400, "style": {"dotsColor": "#203040", "backgroundColor": "#ffeeee"}})).await, 201);
        let (side, all) = pixels(&image(&colored["imageUrl"]).await.body);
        assert!(side == 400 && all[0] == [0xff, 0xee, 0xee] && all.contains(&[0x20, 0x30, 0x40]));
        let svg = done(&code(json!({"format": "svg"})).await, 201);
        assert_eq!(image(&svg["imageUrl"]).await.header("content-type"), "image/svg+xml");
        for (more, part) in [
            (json!({"size": 99}), "size must be"), (json!({"format": "webp"}), "format must be png or svg"), (json!({"style": 7}), "style must be an object"),
            (json!({"style": {"dotsColor": "red"}}), "style.dotsColor must be"), (json!({"style": {"dotsColor": "#ffffff"}}), "style.dotsColor #ffffff is too light"),
            (json!({"style": {"logo": "nope"}}), "style.logo "), (json!({"linkId": 7}), "linkId must be a text"), (json!({"linkId": null}), "linkId is required"),
        ] {
            refused(&code(more).await, 400, "invalid_request", part);
        }
        let logo = crate::qr::logo_site().await;
        let with_logo = done(&code(json!({"style": {"logo": logo}})).await, 201);
        assert_eq!(with_logo["style"]["logo"], logo);
        let png = image(&with_logo["imageUrl"]).await;
        assert!(pixels(&png.body).1.contains(&crate::qr::LOGO_COLOR));
        assert!(decode(&png.body).contains("/custom-code?qr="));
        // Seen in the other dialects, too.
        let listed = done(&app.get("/api/v1/qrcodes").await, 200);
        assert_eq!((&listed["total"], &listed["data"][0]["is_dynamic"]), (&json!(4), &json!(true)));
        check_books(&app).await;
    }

    async fn s_27_s_28_dates_are_read_in_every_form_and_refused_in_none(app) {
        let made = link(&app, json!({"url": "https://e.test/"})).await;
        let path = format!("/analytics/{}", made["id"].as_str().expect("id"));
        for query in ["from=yesterday", "to=2026-02-30", "from=31.01.2026", "from=1790000000", "from=2026-02-01&to=2026-01-31", "to=2026-01-01T25:00:00Z"] {
            refused(&s(&app, Method::GET, &format!("{path}?{query}"), json!(null)).await, 400, "invalid_request", "must");
        }
        // Nothing counts here: what is read as a date comes as far as the statistics.
        for query in [
            "", "from=2026-01-01&to=2026-01-31", "from=2026-01-01T10:00:00Z", "to=2026-01-01T10:00:00%2B02:00", "from=2026-01-01%2010:00", "from=2026-01-01T10:00:00.123456Z&to=",
            "from=2026-01-01T10:00:00%2B0200", "from=2026-01-01T10:00:00+0200", "from=2026-01-01T10:00:00-05", "to=2026-01-01t10:00:00z", "from=2026-01-01T10:00", "from=2026-01-01&to=2026-01-01",
            "from=2026-01-01T10:00:00Z&to=2026-01-01T10:00:00Z", "to=9999-12-31",
        ] {
            refused(&s(&app, Method::GET, &format!("{path}?{query}"), json!(null)).await, 503, "unavailable", "");
        }
    }

    async fn s_31_the_document_describes_what_is_served(app) {
        let document = done(&app.call(Method::GET, "/v1/openapi.json", &[], "").await, 200);
        let paths = document["paths"].as_object().expect("paths");
        let served: Vec<String> = paths.iter().flat_map(|(path, methods)| {
            methods.as_object().expect("methods").keys().map(move |method| format!("{method} {path}"))
        }).collect();
        assert_eq!(served, [
            "get /v1/analytics/{id}", "get /v1/links", "post /v1/links", "delete /v1/links/{id}", "get /v1/links/{id}", "patch /v1/links/{id}", "post /v1/qr-codes",
        ]);
        // Each key of an answer is in its schema, and each of the schema in the answer.
        let made = link(&app, json!({"url": "https://e.test/"})).await;
        let schema = document["components"]["schemas"]["Link"]["properties"].as_object().expect("properties");
        assert_eq!(keys(&made), schema.keys().map(String::as_str).collect::<Vec<_>>());
        let code = done(&s(&app, Method::POST, "/qr-codes", json!({"linkId": made["id"]})).await, 201);
        let schema = document["components"]["schemas"]["QrCode"]["properties"].as_object().expect("properties");
        assert_eq!(keys(&code), schema.keys().map(String::as_str).collect::<Vec<_>>());
    }
}
