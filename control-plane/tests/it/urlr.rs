//! URLR at `/api/v2`: what its clients send and check. What visitors meet of it is in `signpost/tests/it/urlr.rs`.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{ADMIN_KEY, Answer, TestApp, keys, on_both_engines};

mod bad_input;
mod links;
mod others;

/// A call with this key.
pub(crate) async fn call_as(
    app: &TestApp,
    key: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let mut headers = vec![("x-api-key", key)];
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    let text = body.map(|body| body.to_string()).unwrap_or_default();
    app.call(method, &format!("/api/v2{path}"), &headers, text)
        .await
}

async fn get(app: &TestApp, path: &str) -> Answer {
    call_as(app, ADMIN_KEY, Method::GET, path, None).await
}

async fn post(app: &TestApp, path: &str, body: Value) -> Answer {
    call_as(app, ADMIN_KEY, Method::POST, path, Some(body)).await
}

async fn patch(app: &TestApp, path: &str, body: Value) -> Answer {
    call_as(app, ADMIN_KEY, Method::PATCH, path, Some(body)).await
}

async fn delete(app: &TestApp, path: &str) -> Answer {
    call_as(app, ADMIN_KEY, Method::DELETE, path, None).await
}

/// A new link.
async fn link(app: &TestApp, body: Value) -> Value {
    post(app, "/links", body).await.done(201)
}

impl Answer {
    /// A success with this status, as JSON.
    #[track_caller]
    fn done(&self, status: u16) -> Value {
        let shown = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{shown}");
        self.json()
    }

    /// A problem of RFC 9457 with this status, whose detail holds `part`.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, part: &str) -> Value {
        let json: Value = serde_json::from_slice(&self.body).expect("a JSON body");
        assert_eq!(self.status.as_u16(), status, "{json}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(json["status"], status, "{json}");
        for name in ["type", "title", "detail"] {
            assert!(json[name].is_string(), "{name} {json}");
        }
        assert!(
            json["detail"].as_str().unwrap_or_default().contains(part),
            "{json}"
        );
        json
    }

    /// A wrong field: 422, pointed at.
    #[track_caller]
    fn wrong(&self, field: &str) -> Value {
        let json = self.problem(422, "");
        assert_eq!(json["errors"][0]["pointer"], format!("#/{field}"), "{json}");
        json
    }
}

#[track_caller]
fn is_uuid(value: &Value) {
    let uuid: Uuid = value.as_str().expect("text").parse().expect("a UUID");
    assert_eq!(uuid.get_version_num(), 4);
}

fn id(value: &Value) -> &str {
    value["id"].as_str().expect("an id")
}

on_both_engines! {
    async fn u_01_every_call_needs_the_header(app) {
        get(&app, "/workspaces").await.done(200);
        let bare = app.call(Method::GET, "/api/v2/workspaces", &[], "").await;
        bare.problem(401, "X-API-KEY");
        call_as(&app, "wrong", Method::GET, "/workspaces", None).await.problem(401, "not known");
        // The bearer of other dialects is none here.
        app.get("/api/v2/workspaces").await.problem(401, "");
    }

    async fn u_02_a_key_sees_its_own_workspace_only(app) {
        let other = app.other_workspace().await;
        let theirs = call_as(&app, &other, Method::POST, "/links", Some(json!({"url": "https://e.test/"}))).await.done(201);
        get(&app, &format!("/links/{}", id(&theirs))).await.problem(404, "does not exist");
        get(&app, &format!("/links?workspace_id={}", theirs["workspace_id"].as_str().expect("text"))).await.problem(404, "workspace");
        assert_eq!(get(&app, "/links").await.done(200)["total"], 0);
    }

    async fn u_03_dates_are_iso_8601_in_and_out(app) {
        for (sent, back) in [
            ("2030-01-02T03:04:05Z", "2030-01-02T03:04:05Z"),
            ("2030-01-02T03:04:05+02:00", "2030-01-02T01:04:05Z"),
            ("2030-01-02T03:04:05+0200", "2030-01-02T01:04:05Z"),
            ("2030-01-02T03:04:05", "2030-01-02T03:04:05Z"),
            ("2030-01-02 03:04:05.9", "2030-01-02T03:04:05Z"),
            ("2030-01-02", "2030-01-02T00:00:00Z"),
        ] {
            let made = link(&app, json!({"url": "https://e.test/", "expired_at": sent, "delete_at": sent})).await;
            assert_eq!((&made["expired_at"], &made["delete_at"]), (&json!(back), &json!(back)), "{sent}");
        }
        for no_date in ["2030-02-30", "soon", "1893553445"] {
            post(&app, "/links", json!({"url": "https://e.test/", "expired_at": no_date})).await.wrong("expired_at");
        }
        post(&app, "/links", json!({"url": "https://e.test/", "delete_at": "2020-01-01"})).await.wrong("delete_at");
    }

    async fn u_04_u_05_u_06_errors_are_problems_in_english(app) {
        let french = [("x-api-key", ADMIN_KEY), ("accept-language", "fr"), ("accept", "text/html")];
        for (method, path, status) in [
            (Method::GET, "/links/x", 422),
            (Method::GET, "/links/497f6eca-6276-4993-bfeb-53cbbbba6f08", 404),
            (Method::GET, "/nothing", 404),
            (Method::PUT, "/links", 405),
            (Method::POST, "/links", 422),
        ] {
            let problem = app.call(method, &format!("/api/v2{path}"), &french, "").await.problem(status, "");
            assert_eq!(problem["type"], "about:blank");
            assert!(problem["detail"].as_str().expect("text").is_ascii());
        }
        let key = app.key("small", Some(1)).await;
        call_as(&app, &key, Method::GET, "/workspaces", None).await.done(200);
        let over = call_as(&app, &key, Method::GET, "/workspaces", None).await;
        over.problem(429, "too many");
        assert!(over.number("retry-after") > 0);
    }

    async fn u_07_the_specification_can_be_downloaded(app) {
        let document = app.call(Method::GET, "/api/v2/openapi.json", &[], "").await.json();
        assert_eq!(document["openapi"], "3.1.0");
        for path in ["/links", "/links/{link_id}", "/qrcodes", "/statistics", "/workspaces/{workspace_id}", "/folders", "/domains"] {
            assert!(document["paths"][format!("/api/v2{path}")].is_object(), "{path}");
        }
        assert_eq!(document["components"]["schemas"]["Link"]["required"].as_array().map(|all| all.contains(&json!("geolinks"))), Some(true));
    }

    async fn u_09_answers_are_json(app) {
        let made = post(&app, "/links", json!({"url": "https://e.test/"})).await;
        assert_eq!(made.header("content-type"), "application/json");
        for path in ["/links", "/workspaces", "/folders", "/domains", "/tags"] {
            assert_eq!(get(&app, path).await.header("content-type"), "application/json", "{path}");
        }
    }
}
