//! `/account`: the first thing a client calls.

use http::Method;
use serde_json::json;

use crate::harness::{ADMIN_KEY, on_both_engines};

/// `YYYY-MM-DD HH:MM:SS`
pub(crate) fn is_date(text: &str) -> bool {
    let form = text
        .bytes()
        .map(|b| if b.is_ascii_digit() { b'd' } else { b });
    form.eq(*b"dddd-dd-dd dd:dd:dd")
}

on_both_engines! {
    async fn o_01_the_api_is_under_api_without_version_or_trailing_slash(app) {
        app.get("/api/account").await.ok();
        app.get("/api/account/").await.failed(404, "no such endpoint");
        app.get("/account").await.failed(404, "no such endpoint");
    }

    async fn o_02_every_endpoint_takes_a_bearer_key(app) {
        app.get("/api/account").await.ok();
        app.with_key("sgn_wrong", Method::GET, "/api/account", None).await.failed(401, "not known");
    }

    async fn o_36_get_account_returns_the_account(app) {
        let mut json = app.get("/api/account").await.ok();
        json["data"]["registered"] = json!("<date>");
        insta::assert_json_snapshot!("account", json);
    }

    async fn o_37_post_account_does_the_same(app) {
        let got = app.get("/api/account").await.ok();
        assert_eq!(app.post("/api/account", json!({})).await.ok(), got);
        // As curl, PHP and Node send it: no body, no length.
        let bare = app.call(Method::POST, "/api/account", &[("authorization", &format!("Bearer {ADMIN_KEY}"))], "").await;
        assert_eq!(bare.ok(), got);
    }

    async fn o_38_account_fields_have_their_types_and_the_avatar_fetches(app) {
        let json = app.get("/api/account").await.ok();
        let data = &json["data"];
        assert!(data["id"].is_i64());
        assert!(data["email"].as_str().is_some_and(|e| e.contains('@')));
        assert_eq!(data["username"], "admin");
        assert_eq!(data["status"], "free");
        assert!(data["expires"].is_null());
        assert!(is_date(data["registered"].as_str().expect("text")));
        let avatar = data["avatar"].as_str().expect("a URL");
        let path = avatar.strip_prefix("http://api.test").expect("at the host that was called");
        let picture = app.call(Method::GET, path, &[], "").await;
        assert_eq!((picture.status.as_u16(), picture.header("content-type")), (200, "image/svg+xml"));
        app.call(Method::GET, "/avatars/x.svg", &[], "").await.failed(404, "no such endpoint");
    }

    async fn o_39_put_account_update_changes_the_email(app) {
        app.put("/api/account/update", json!({"email": "new@example.com"})).await.ok();
        assert_eq!(app.get("/api/account").await.ok()["data"]["email"], "new@example.com");
        for bad in ["nobody", "@x", "a b@c", "a@", "a\u{0}@b"] {
            app.put("/api/account/update", json!({"email": bad})).await.refused("email");
        }
        assert_eq!(app.get("/api/account").await.ok()["data"]["email"], "new@example.com");
    }

    async fn o_41_the_message_of_an_update_is_exact_and_keys_stay_valid(app) {
        let json = app.put("/api/account/update", json!({"password": "correct horse"})).await.ok();
        insta::assert_json_snapshot!("account_update", json);
        app.get("/api/account").await.ok();
        app.put("/api/account/update", json!({"password": "short"})).await.refused("password must be at least 8");
        let (stored,): (String,) = sqlx::query_as("SELECT password_hash FROM users")
            .fetch_one(app.running.store.readers())
            .await
            .expect("one user");
        assert!(control_plane::domain::password::verify("correct horse", &stored));
    }
}
