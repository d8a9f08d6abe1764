//! `/users`, `/user/…`: what administrators do with users, and that nobody else can.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{TestApp, on_both_engines};

/// Adds a user with this name and returns its id and key.
pub(crate) async fn add_user(app: &TestApp, name: &str) -> (i64, String) {
    let body =
        json!({"username": name, "email": format!("{name}@e.test"), "password": "correct horse"});
    let json = app.post("/api/user/add", body).await.ok();
    let key = json["key"].as_str().expect("the key").to_owned();
    (json["data"]["id"].as_i64().expect("an id"), key)
}

on_both_engines! {
    async fn o_06_a_new_user_has_a_key_of_its_own_account(app) {
        let mut json = app.post("/api/user/add", json!({
            "username": "ana", "email": "ana@example.com", "password": "correct horse", "planid": 2, "expiration": "2099-12-31",
        })).await.ok();
        let key = json["key"].as_str().expect("the key").to_owned();
        json["key"] = json!("<key>");
        insta::assert_json_snapshot!("user_added", json);
        let account = app.with_key(&key, Method::GET, "/api/account", None).await.ok();
        assert_eq!(account["data"]["email"], "ana@example.com");
        assert_eq!(account["data"]["status"], "pro");
        assert_eq!(account["data"]["expires"], "2099-12-31 23:59:59");
        // Its workspace is its own: nothing of the first one is there.
        app.link(json!({"url": "https://e.test/"})).await;
        let links = app.with_key(&key, Method::GET, "/api/urls", None).await.ok();
        assert_eq!(links["data"]["result"], 0);
        app.with_key(&key, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.ok();
    }

    async fn users_are_listed_and_shown_to_administrators(app) {
        add_user(&app, "ana").await;
        app.post("/api/user/add", json!({"username": "bo", "email": "bo@e.test", "password": "correct horse", "planid": "2"})).await.ok();
        let mut all = app.get("/api/users").await.ok();
        let names = |json: &Value| json["data"].as_array().expect("a list").iter().map(|u| u["username"].as_str().expect("text").to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&all), ["bo", "ana", "admin"]);
        for user in all["data"].as_array_mut().expect("a list") {
            let key = user["apikey"].as_str().expect("a prefix");
            assert!(key.len() < 12, "{key}");
            user["apikey"] = json!("<prefix>");
            user["registered"] = json!("<date>");
        }
        insta::assert_json_snapshot!("users", all);
        for (query, expected) in [
            ("filter=admin", vec!["admin"]), ("filter=free", vec!["ana", "admin"]), ("filter=pro", vec!["bo"]),
            ("email=bo@e.test", vec!["bo"]), ("email=nobody@e.test", vec![]), ("limit=1&page=2", vec!["ana"]),
        ] {
            assert_eq!(names(&app.get(&format!("/api/users?{query}")).await.ok()), expected, "{query}");
        }
        app.get("/api/users?filter=gold").await.refused("filter must be one of admin, free, pro");
        let one = app.get("/api/user/1").await.ok();
        assert_eq!(one["data"]["username"], "admin");
        app.get("/api/user/99").await.refused("user '99' does not exist");
        app.get("/api/user/x").await.refused("user 'x' does not exist");
    }

    async fn a_user_that_cannot_be_is_refused_by_field(app) {
        add_user(&app, "ana").await;
        let good = json!({"username": "bo", "email": "bo@e.test", "password": "correct horse"});
        for (field, value, part) in [
            ("username", json!(""), "username is required"), ("email", json!(null), "email is required"), ("password", json!(""), "password is required"),
            ("password", json!("1234567"), "password must be at least 8"), ("password", json!("password123"), "everybody tries first"),
            ("username", json!("a b"), "username must be letters"), ("username", json!("a@b.test"), "username must be letters"),
            ("username", json!("a\u{0}"), "username must not hold control"), ("email", json!("bo"), "email must be an address"),
            ("username", json!("ana"), "username belongs to another"), ("email", json!("ana@e.test"), "email belongs to another"),
            ("planid", json!(99), "planid '99' is not a plan"), ("planid", json!("gold"), "planid 'gold' is not a plan"),
            ("expiration", json!("2026-02-30"), "expiration"), ("username", json!([]), "username must be text"),
        ] {
            let mut body = good.clone();
            body[field] = value;
            app.post("/api/user/add", body).await.refused(part);
        }
        // Nothing of a refused one is left.
        app.post("/api/user/add", good).await.ok();
        assert_eq!(app.get("/api/users").await.ok()["data"].as_array().map(Vec::len), Some(3));
    }

    async fn without_an_administrators_key_there_is_no_administration(app) {
        let (id, key) = add_user(&app, "ana").await;
        for (method, path) in [
            (Method::GET, "/api/users".to_owned()), (Method::GET, format!("/api/user/{id}")), (Method::POST, "/api/user/add".to_owned()),
            (Method::DELETE, "/api/user/1/delete".to_owned()), (Method::GET, "/api/user/login/1".to_owned()), (Method::GET, "/api/plans".to_owned()),
            (Method::PUT, format!("/api/plan/2/user/{id}")), (Method::POST, "/api/plan/add".to_owned()), (Method::PUT, "/api/plan/1/update".to_owned()),
        ] {
            app.with_key(&key, method.clone(), &path, None).await.failed(403, "'admin'");
            app.call(method, &path, &[], "").await.failed(401, "API key is needed");
        }
        // The scope alone makes nobody an administrator: the user must be one.
        let pool = sqlx::AnyPool::connect(&app.config.database_url.0).await.expect("connects");
        sqlx::query("UPDATE api_keys SET scopes = 'read,write,keys,admin' WHERE user_id = $1").bind(id).execute(&pool).await.expect("updates");
        app.with_key(&key, Method::GET, "/api/users", None).await.failed(403, "'admin'");
        app.with_key(&key, Method::GET, "/api/account", None).await.ok();
    }

    async fn a_deleted_users_keys_stop_and_its_name_is_free_again(app) {
        let (id, key) = add_user(&app, "ana").await;
        let link = app.with_key(&key, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/", "custom": "printed"}))).await.ok();
        assert!(link["id"].is_i64());
        let seq = async || -> i64 {
            let (seq,): (i64,) = sqlx::query_as("SELECT seq FROM feed_state").fetch_one(app.running.store.readers()).await.expect("a row");
            seq
        };
        let before = seq().await;
        let json = app.delete(&format!("/api/user/{id}/delete")).await.ok();
        insta::assert_json_snapshot!("user_deleted", json);
        // All links stop in one change.
        assert_eq!(seq().await, before + 1);
        app.with_key(&key, Method::GET, "/api/account", None).await.failed(401, "revoked");
        app.get(&format!("/api/user/{id}")).await.refused("does not exist");
        app.delete(&format!("/api/user/{id}/delete")).await.refused("does not exist");
        app.get(&format!("/api/user/login/{id}")).await.refused("does not exist");
        let kept: Vec<(String, String)> = sqlx::query_as("SELECT email, username FROM users WHERE id = $1").bind(id).fetch_all(app.running.store.readers()).await.expect("rows");
        assert_eq!(kept, [(format!("deleted-{id}@invalid"), format!("deleted-{id}"))]);
        add_user(&app, "ana").await;
        // A slug that was printed somewhere does not become somebody else's.
        app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "printed"})).await.refused("already in use");
        app.delete("/api/user/1/delete").await.refused("must not be the user whose key asks");
    }

    async fn a_deleted_user_leaves_a_workspace_that_has_another_owner(app) {
        let (ana, key) = add_user(&app, "ana").await;
        let body = json!({"username": "bo", "email": "bo@e.test", "password": "correct horse", "role": "owner"});
        let made = app.with_key(&key, Method::POST, "/api/member/add", Some(body)).await.ok();
        let bo = made["key"].as_str().expect("key").to_owned();
        app.with_key(&key, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.ok();
        app.delete(&format!("/api/user/{ana}/delete")).await.ok();
        app.with_key(&key, Method::GET, "/api/urls", None).await.failed(401, "revoked");
        let left = app.with_key(&bo, Method::GET, "/api/urls", None).await.ok();
        assert_eq!(left["data"]["result"], 1);
        let suspended: Vec<(i64,)> = sqlx::query_as("SELECT suspended FROM workspaces").fetch_all(app.running.store.readers()).await.expect("rows");
        assert_eq!(suspended, [(0,), (0,)]);
    }
}
