//! `/keys` and `/key/:id/…`: who may do what, and for how long.

use http::Method;
use serde_json::json;

use crate::harness::{ADMIN_KEY, on_both_engines};
use crate::members::add_member;

on_both_engines! {
    async fn o_03_a_missing_key_is_an_error(app) {
        app.call(Method::GET, "/api/account", &[], "").await.failed(401, "API key is needed");
        for header in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer\u{e9}"] {
            let bytes = header.to_owned();
            app.call(Method::GET, "/api/account", &[("authorization", &bytes)], "").await.failed(401, "");
        }
        app.with_key(&"x".repeat(10_000), Method::GET, "/api/account", None).await.failed(401, "not known");
    }

    async fn o_04_an_expired_key_is_an_error(app) {
        let made = app.post("/api/keys", json!({"name": "short", "expires_at": "2099-01-01"})).await.ok();
        let key = made["key"].as_str().expect("the key").to_owned();
        app.with_key(&key, Method::GET, "/api/account", None).await.ok();
        let century = 100 * 366 * 24 * 3_600_000;
        app.config.clock.advance_ms(century);
        app.with_key(&key, Method::GET, "/api/account", None).await.failed(401, "expired");
        // A time in the past is taken, and the key is expired at once.
        let made = app.post("/api/keys", json!({"expires_at": "2021-09-28"})).await.ok();
        app.with_key(made["key"].as_str().expect("the key"), Method::GET, "/api/account", None).await.failed(401, "expired");
    }

    async fn o_05_a_rotated_key_replaces_the_old_one(app) {
        let made = app.post("/api/keys", json!({"name": "ci"})).await.ok();
        let (id, old) = (made["id"].as_i64().expect("id"), made["key"].as_str().expect("key").to_owned());
        app.with_key(&old, Method::GET, "/api/account", None).await.ok();
        let rotated = app.post(&format!("/api/key/{id}/rotate"), json!({})).await.ok();
        assert_eq!(rotated["id"], id);
        let new = rotated["key"].as_str().expect("key").to_owned();
        app.with_key(&old, Method::GET, "/api/account", None).await.failed(401, "not known");
        app.with_key(&new, Method::GET, "/api/account", None).await.ok();
        insta::assert_json_snapshot!("key_deleted", app.delete(&format!("/api/key/{id}/delete")).await.ok());
        app.with_key(&new, Method::GET, "/api/account", None).await.failed(401, "revoked");
        app.delete(&format!("/api/key/{id}/delete")).await.refused("does not exist");
        app.post(&format!("/api/key/{id}/rotate"), json!({})).await.refused("does not exist");
        app.post("/api/key/99999999999999999999/rotate", json!({})).await.refused("does not exist");
        app.post("/api/key/x/rotate", json!({})).await.refused("key 'x' does not exist");
    }

    async fn o_07_the_key_parameter_is_accepted_and_the_header_wins(app) {
        app.call(Method::GET, &format!("/api/account?key={ADMIN_KEY}"), &[], "").await.ok();
        app.call(Method::GET, "/api/account?key=wrong", &[], "").await.failed(401, "not known");
        let wrong = [("authorization", "Bearer wrong")];
        app.call(Method::GET, &format!("/api/account?key={ADMIN_KEY}"), &wrong, "").await.failed(401, "not known");
        let token = format!("token {ADMIN_KEY}");
        app.call(Method::GET, "/api/account", &[("Authorization", &token)], "").await.ok();
    }

    async fn a_key_is_shown_once_and_lists_show_its_prefix(app) {
        let made = app.post("/api/keys", json!({"name": "ci — ✓", "scopes": ["read"], "rate": 7})).await.ok();
        let key = made["key"].as_str().expect("key").to_owned();
        let mut json = app.get("/api/keys?limit=1").await.ok();
        assert!(!json.to_string().contains(&key));
        let prefix = json["data"]["keys"][0]["prefix"].as_str().expect("prefix").to_owned();
        assert!(prefix.len() >= 8 && key.starts_with(&prefix));
        json["data"]["keys"][0]["prefix"] = json!("<prefix>");
        json["data"]["keys"][0]["date"] = json!("<date>");
        insta::assert_json_snapshot!("keys", json);
        let stored: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT hash FROM api_keys")
            .fetch_all(app.running.store.readers())
            .await
            .expect("rows");
        assert!(stored.iter().all(|(hash,)| hash.len() == 32));
    }

    async fn a_key_does_what_its_scopes_say_and_gives_no_more(app) {
        let made = app.post("/api/keys", json!({"scopes": "read,keys"})).await.ok();
        let key = made["key"].as_str().expect("key").to_owned();
        app.with_key(&key, Method::GET, "/api/urls", None).await.ok();
        app.with_key(&key, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.failed(403, "'write'");
        for more in [json!({"scopes": ["write"]}), json!({"scopes": ["admin"]}), json!({"rate": 0}), json!({"rate": 31})] {
            app.with_key(&key, Method::POST, "/api/keys", Some(more)).await.failed(403, "does not have itself");
        }
        // Without a word, a new key gets what its maker has.
        app.with_key(&key, Method::POST, "/api/keys", Some(json!({}))).await.ok();
        let json = app.get("/api/keys").await.ok();
        assert_eq!(json["data"]["keys"][0]["scopes"], json!(["read", "keys"]));
        // The administrator's key is out of its reach; to take one out of use gives nobody its rights.
        app.with_key(&key, Method::POST, "/api/key/1/rotate", None).await.failed(403, "does not have itself");
        let more = app.post("/api/keys", json!({"scopes": ["write"]})).await.ok();
        app.with_key(&key, Method::DELETE, &format!("/api/key/{}/delete", more["id"]), None).await.ok();
        for bad in [json!({"scopes": ["root"]}), json!({"scopes": 5}), json!({"scopes": [5]}), json!({"rate": -1}), json!({"rate": "many"}), json!({"expires_at": "2026-02-30"}), json!({"name": "a\u{0}"})] {
            app.post("/api/keys", bad).await.refused("must");
        }
    }

    async fn o_05_a_viewer_replaces_and_revokes_the_own_key(app) {
        let (_, key) = add_member(&app, "vera", "viewer").await;
        let listed = app.with_key(&key, Method::GET, "/api/keys", None).await.ok();
        let (id, scopes) = (listed["data"]["keys"][0]["id"].clone(), json!(["read", "write", "keys"]));
        // What counts in the role is less than what the key was given, and stays so.
        assert_eq!(listed["data"]["keys"][0]["scopes"], scopes);
        let rotated = app.with_key(&key, Method::POST, &format!("/api/key/{id}/rotate"), None).await.ok();
        app.with_key(&key, Method::GET, "/api/urls", None).await.failed(401, "not known");
        let key = rotated["key"].as_str().expect("the key").to_owned();
        let link = json!({"url": "https://e.test/"});
        app.with_key(&key, Method::POST, "/api/url/add", Some(link)).await.failed(403, "viewer");
        app.with_key(&key, Method::POST, "/api/keys", Some(json!({"scopes": ["write"]}))).await.failed(403, "does not have itself");
        app.with_key(&key, Method::DELETE, &format!("/api/key/{id}/delete"), None).await.ok();
        app.with_key(&key, Method::GET, "/api/urls", None).await.failed(401, "revoked");
    }

    async fn the_operator_makes_lists_and_revokes_keys_beside_the_running_server(app) {
        let (id, key) = control_plane::keys::create(&app.config, "ops", Some("2099-01-01"), Some(5)).await.expect("made");
        let answer = app.with_key(&key, Method::GET, "/api/account", None).await;
        answer.ok();
        assert_eq!(answer.number("x-ratelimit-limit"), 5);
        let listed = control_plane::keys::list(&app.config).await.expect("listed");
        assert_eq!(listed.len(), 2);
        assert_eq!((listed[1].id, listed[1].state, listed[1].rate), (id, "active", 5));
        assert!(control_plane::keys::revoke(&app.config, id).await.expect("revoked"));
        assert!(!control_plane::keys::revoke(&app.config, id).await.expect("known"));
        app.with_key(&key, Method::GET, "/api/account", None).await.failed(401, "revoked");
        assert_eq!(control_plane::keys::list(&app.config).await.expect("listed")[1].state, "revoked");
        control_plane::keys::create(&app.config, "x", Some("2026-02-30"), None).await.expect_err("no such date");
    }
}
