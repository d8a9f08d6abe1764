//! Members of a workspace: invited, added, given roles, taken out.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, TestApp, on_both_engines};
use crate::oauth::Browser;
use crate::users::add_user;

/// Adds a member to the first workspace; its id and key.
pub(crate) async fn add_member(app: &TestApp, name: &str, role: &str) -> (i64, String) {
    add_member_of(app, ADMIN_KEY, name, role).await
}

/// Adds a member to the workspace of an owner's key; its id and key.
pub(crate) async fn add_member_of(
    app: &TestApp,
    owner: &str,
    name: &str,
    role: &str,
) -> (i64, String) {
    let body = json!({"username": name, "email": format!("{name}@e.test"), "password": "correct horse", "role": role});
    let json = app
        .with_key(owner, Method::POST, "/api/member/add", Some(body))
        .await
        .ok();
    (
        json["id"].as_i64().expect("id"),
        json["key"].as_str().expect("key").to_owned(),
    )
}

async fn role_of(app: &TestApp, id: i64) -> Value {
    let json = app.get("/api/members").await.ok();
    let members = json["data"]["members"].as_array().expect("a list").clone();
    members
        .into_iter()
        .find(|m| m["id"] == id)
        .map_or(json!(null), |m| m["role"].clone())
}

on_both_engines! {
    async fn a_member_works_in_the_workspace_in_its_role(app) {
        let (id, key) = add_member(&app, "ed", "editor").await;
        let link = app.link(json!({"url": "https://e.test/"})).await;
        let seen = app.with_key(&key, Method::GET, "/api/urls", None).await.ok();
        assert_eq!(seen["data"]["urls"][0]["id"], link);
        app.with_key(&key, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.ok();
        assert_eq!(app.with_key(&key, Method::GET, "/api/account", None).await.ok()["data"]["username"], "ed");
        app.put(&format!("/api/member/{id}/update"), json!({"role": "viewer"})).await.ok();
        app.with_key(&key, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.failed(403, "the role 'viewer' may not do this");
        app.with_key(&key, Method::GET, "/api/urls", None).await.ok();
        app.with_key(&key, Method::PUT, "/api/account/update", Some(json!({"email": "new@e.test"}))).await.ok();
        app.delete(&format!("/api/member/{id}/delete")).await.ok();
        app.with_key(&key, Method::GET, "/api/urls", None).await.failed(401, "revoked");
        let mut json = app.get("/api/members").await.ok();
        json["data"]["members"][0]["date"] = json!("<date>");
        insta::assert_json_snapshot!("members", json);
    }

    async fn the_last_owner_stays(app) {
        app.put("/api/member/1/update", json!({"role": "viewer"})).await.refused("last owner");
        app.delete("/api/member/1/delete").await.refused("last owner");
        let (id, _) = add_member(&app, "co", "owner").await;
        app.put(&format!("/api/member/{id}/update"), json!({"role": "root"})).await.refused("role must be owner, editor or viewer");
        app.put("/api/member/99/update", json!({"role": "editor"})).await.refused("member '99' does not exist");
        app.put("/api/member/1/update", json!({"role": "editor"})).await.ok();
        assert_eq!(role_of(&app, 1).await, "editor");
        // An administrator's key still does everything, in any role.
        app.delete(&format!("/api/member/{id}/delete")).await.refused("last owner");
    }

    async fn another_workspace_has_no_say(app) {
        let (_, stranger) = add_user(&app, "ana").await;
        let (id, _) = add_member(&app, "ed", "editor").await;
        let invited = app.post("/api/member/invite", json!({"email": "x@e.test", "role": "viewer"})).await.ok();
        for (method, path) in [
            (Method::PUT, format!("/api/member/{id}/update")), (Method::DELETE, format!("/api/member/{id}/delete")),
            (Method::DELETE, format!("/api/member/invite/{}/delete", invited["id"])),
        ] {
            app.with_key(&stranger, method, &path, Some(json!({"role": "owner"}))).await.refused("does not exist");
        }
        let seen = app.with_key(&stranger, Method::GET, "/api/members", None).await.ok();
        assert_eq!(seen["data"]["members"].as_array().map(Vec::len), Some(1));
        assert_eq!(role_of(&app, id).await, "editor");
    }

    async fn a_key_makes_no_member_with_more_rights_than_its_own(app) {
        let made = app.post("/api/keys", json!({"scopes": "keys"})).await.ok();
        let key = made["key"].as_str().expect("key");
        let body = json!({"username": "x", "email": "x@e.test", "password": "correct horse", "role": "owner"});
        app.with_key(key, Method::POST, "/api/member/add", Some(body.clone())).await.failed(403, "does not have itself");
        app.with_key(key, Method::POST, "/api/member/invite", Some(body)).await.failed(403, "does not have itself");
        app.with_key(key, Method::POST, "/api/oauth/client/add", Some(json!({"name": "x"}))).await.failed(403, "does not have itself");
    }

    async fn a_member_sees_and_rotates_its_own_keys_alone(app) {
        let (_, key) = add_member(&app, "ed", "editor").await;
        let own = app.with_key(&key, Method::GET, "/api/keys", None).await.ok();
        assert_eq!(own["data"]["result"], 1);
        let id = own["data"]["keys"][0]["id"].as_i64().expect("id");
        let mine = app.post("/api/keys", json!({"name": "mine", "scopes": "read"})).await.ok();
        app.with_key(&key, Method::POST, &format!("/api/key/{}/rotate", mine["id"]), None).await.refused("does not exist");
        app.with_key(&key, Method::DELETE, &format!("/api/key/{}/delete", mine["id"]), None).await.refused("does not exist");
        let rotated = app.with_key(&key, Method::POST, &format!("/api/key/{id}/rotate"), None).await.ok();
        app.with_key(rotated["key"].as_str().expect("key"), Method::GET, "/api/account", None).await.ok();
        // An owner sees all of them, and only those of the workspace.
        assert_eq!(app.get("/api/keys").await.ok()["data"]["result"], 3);
        // And ends them, but gets none: it would be that user, whose password a key can change.
        app.post(&format!("/api/key/{id}/rotate"), json!({})).await.refused("key of another member");
        let new = rotated["key"].as_str().expect("key");
        app.with_key(new, Method::GET, "/api/account", None).await.ok();
        app.delete(&format!("/api/key/{id}/delete")).await.ok();
        app.with_key(new, Method::GET, "/api/account", None).await.failed(401, "revoked");
    }

    async fn an_invitation_is_taken_once_by_somebody_new(app) {
        let made = app.post("/api/member/invite", json!({"email": "new@e.test", "role": "viewer"})).await.ok();
        let url = made["url"].as_str().expect("url").to_owned();
        let path = url.strip_prefix("http://api.test").expect("at the host that was called").to_owned();
        let mut browser = Browser::new(&app);
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200);
        browser.post(&path, &[("username", "nu"), ("password", "short")]).await.says("at least 8");
        let page = browser.post(&path, &[("username", "nu"), ("password", "correct horse")]).await;
        let key = page.text().split("<code>").nth(1).and_then(|t| t.split("</code>").next()).expect("a key").to_owned();
        app.with_key(&key, Method::GET, "/api/urls", None).await.ok();
        app.with_key(&key, Method::POST, "/api/url/add", None).await.failed(403, "viewer");
        assert_eq!(browser.get(&path).await.status, 410);
        browser.get("/login").await.says("<strong>nu</strong>");
        assert_eq!(browser.post(&path, &[("username", "nu2"), ("password", "correct horse")]).await.status, 410);
        app.post("/api/member/invite", json!({"email": "new@e.test", "role": "viewer"})).await.refused("belongs to a member already");
    }

    async fn an_invitation_of_an_account_asks_for_its_password(app) {
        add_user(&app, "ana").await;
        let made = app.post("/api/member/invite", json!({"email": "ana@e.test", "role": "editor"})).await.ok();
        let path = made["url"].as_str().expect("url").replace("http://api.test", "");
        let mut browser = Browser::new(&app);
        browser.get(&path).await.says("Password of your account");
        let wrong = browser.post(&path, &[("password", "wrong horse")]).await;
        assert_eq!(wrong.status, 401);
        let page = browser.post(&path, &[("password", "correct horse")]).await;
        let key = page.text().split("<code>").nth(1).and_then(|t| t.split("</code>").next()).expect("a key").to_owned();
        let link = app.link(json!({"url": "https://e.test/"})).await;
        app.with_key(&key, Method::GET, &format!("/api/url/{link}"), None).await.ok();
        // What was taken back or is over opens nothing.
        for over in [true, false] {
            let made = app.post("/api/member/invite", json!({"email": "x@e.test", "role": "editor"})).await.ok();
            let path = made["url"].as_str().expect("url").replace("http://api.test", "");
            if over {
                app.delete(&format!("/api/member/invite/{}/delete", made["id"])).await.ok();
            } else {
                app.config.clock.advance_ms(7 * 86_400_000);
            }
            assert_eq!(browser.get(&path).await.status, 410);
        }
    }
}
