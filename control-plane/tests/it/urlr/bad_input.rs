//! What wrong clients send.

use serde_json::json;

use super::*;

async fn raw(app: &TestApp, kind: &str, body: &str) -> Answer {
    let headers = [("x-api-key", ADMIN_KEY), ("content-type", kind)];
    app.call(Method::POST, "/api/v2/links", &headers, body.to_owned())
        .await
}

on_both_engines! {
    async fn bodies_of_other_kinds_are_problems(app) {
        raw(&app, "application/x-www-form-urlencoded", "url=https%3A%2F%2Fe.test%2F").await.problem(400, "not JSON");
        raw(&app, "application/json", "{\"url\":").await.problem(400, "not JSON");
        raw(&app, "application/json", "[]").await.wrong("body");
        raw(&app, "application/json", "").await.wrong("url");
        raw(&app, "application/json", "null").await.wrong("url");
        raw(&app, "application/json; charset=utf-8", "{\"url\":\"https:\\/\\/e.test\\/\"}").await.done(201);
        raw(&app, "text/plain", "{\"url\":\"https://e.test/\"}").await.done(201);
        raw(&app, "application/json", &" ".repeat(2 << 20)).await.problem(413, "");
        for (name, value) in [("url", json!(7)), ("url", json!(["x"])), ("code", json!({})), ("tags", json!("a")), ("utm", json!("a")), ("geolinks", json!({})), ("delete_after_expiration", json!("maybe"))] {
            let mut body = json!({"url": "https://e.test/"});
            body[name] = value;
            post(&app, "/links", body).await.wrong(name);
        }
        assert_eq!(get(&app, "/links").await.done(200)["total"], 2);
    }

    async fn a_method_is_what_it_says(app) {
        let made = link(&app, json!({"url": "https://e.test/"})).await;
        let path = format!("/api/v2/links/{}", id(&made));
        let headers = [("x-api-key", ADMIN_KEY), ("x-http-method-override", "DELETE")];
        app.call(Method::POST, &path, &headers, "_method=DELETE").await.problem(405, "method");
        app.call(Method::GET, &format!("{path}?_method=DELETE"), &headers, "").await.done(200);
        app.call(Method::PUT, &path, &headers, "{}").await.problem(405, "method");
        assert_eq!(get(&app, "/links").await.done(200)["total"], 1);
    }

    async fn unknown_fields_and_bodies_of_reads_are_ignored(app) {
        let made = link(&app, json!({"url": "https://e.test/", "colour": [1], "id": "x", "created_at": 7})).await;
        let headers = [("x-api-key", ADMIN_KEY), ("content-type", "application/json")];
        let path = format!("/api/v2/links/{}", id(&made));
        assert_eq!(app.call(Method::GET, &path, &headers, "{").await.done(200), made);
        app.call(Method::DELETE, &path, &headers, "{").await.done(200);
    }
}
