//! `/folders`, `/folder/…`, `/tags`, `/tag/…`.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{TestApp, on_both_engines};

async fn add(app: &TestApp, what: &str, name: &str) -> i64 {
    let json = app
        .post(&format!("/api/{what}/add"), json!({"name": name}))
        .await
        .ok();
    json["id"].as_i64().expect("an integer")
}

async fn listed(app: &TestApp, what: &str) -> Value {
    app.get(&format!("/api/{what}s")).await.ok()["data"][format!("{what}s")].clone()
}

on_both_engines! {
    async fn folders_are_added_renamed_listed_and_deleted(app) {
        let spring = add(&app, "folder", "Spring").await;
        let autumn = add(&app, "folder", "Autumn").await;
        app.post("/api/folder/add", json!({"name": "Spring"})).await.refused("name 'Spring' is already in use by another folder");
        app.post("/api/folder/add", json!({})).await.refused("name is required");
        app.post("/api/folder/add", json!({"name": " "})).await.refused("name must not be empty");
        app.put(&format!("/api/folder/{autumn}/update"), json!({"name": "Spring"})).await.refused("already in use");
        app.put(&format!("/api/folder/{autumn}/update"), json!({"name": "Fall"})).await.ok();
        app.put("/api/folder/99/update", json!({"name": "x"})).await.refused("folder '99' does not exist");
        assert_eq!(listed(&app, "folder").await, json!([{"id": autumn, "name": "Fall", "links": 0}, {"id": spring, "name": "Spring", "links": 0}]));
        app.delete(&format!("/api/folder/{spring}/delete")).await.ok();
        app.delete(&format!("/api/folder/{spring}/delete")).await.refused("folder '1' does not exist");
        assert_eq!(app.get("/api/folders?limit=1").await.ok()["data"]["result"], 1);
    }

    async fn a_link_is_in_one_folder_at_most(app) {
        let (a, b) = (add(&app, "folder", "A").await, add(&app, "folder", "B").await);
        let link = app.link(json!({"url": "https://e.test/"})).await;
        let path = |folder: i64| format!("/api/folder/{folder}/assign/{link}");
        app.post(&path(a), json!({})).await.ok();
        app.post(&path(b), json!({})).await.ok();
        app.post(&path(99), json!({})).await.refused("folder '99' does not exist");
        app.post(&format!("/api/folder/{a}/assign/99"), json!({})).await.refused("link '99' does not exist");
        assert_eq!(listed(&app, "folder").await, json!([{"id": b, "name": "B", "links": 1}, {"id": a, "name": "A", "links": 0}]));
        app.delete(&path(a)).await.refused("does not exist");
        app.delete(&path(b)).await.ok();
        app.post(&path(b), json!({})).await.ok();
        let of_links = async || control_plane::store::folders::of_links(&app.running.store, &[link]).await.expect("reads");
        assert_eq!(of_links().await[&link], (b, "B".to_owned()));
        app.delete(&format!("/api/folder/{b}/delete")).await.ok();
        app.get(&format!("/api/url/{link}")).await.ok();
        assert!(of_links().await.is_empty());
        app.post(&path(a), json!({})).await.ok();
        app.delete(&format!("/api/url/{link}/delete")).await.ok();
        assert_eq!(listed(&app, "folder").await[0]["links"], 0);
    }

    async fn tags_are_added_changed_listed_and_deleted(app) {
        let json = app.post("/api/tag/add", json!({"name": "sale", "color": "#f00"})).await.ok();
        assert_eq!(json, json!({"error": 0, "id": 1, "name": "sale", "color": "#FF0000"}));
        let other = add(&app, "tag", "news").await;
        app.post("/api/tag/add", json!({"name": "sale"})).await.refused("already in use by another tag");
        app.post("/api/tag/add", json!({"name": "a,b"})).await.refused("name must not hold commas");
        app.post("/api/tag/add", json!({"color": "#000"})).await.refused("name is required");
        app.put(&format!("/api/tag/{other}/update"), json!({"name": "sale"})).await.refused("already in use");
        app.put(&format!("/api/tag/{other}/update"), json!({"color": "#00ff00"})).await.ok();
        app.put("/api/tag/99/update", json!({"name": "x"})).await.refused("tag '99' does not exist");
        assert_eq!(listed(&app, "tag").await, json!([
            {"id": other, "name": "news", "color": "#00FF00", "links": 0}, {"id": 1, "name": "sale", "color": "#FF0000", "links": 0}
        ]));
        app.delete("/api/tag/1/delete").await.ok();
        app.delete("/api/tag/1/delete").await.refused("tag '1' does not exist");
    }

    async fn a_link_has_any_number_of_tags_up_to_a_limit(app) {
        let link = app.link(json!({"url": "https://e.test/"})).await;
        for number in 1..=50 {
            let tag = add(&app, "tag", &format!("t{number}")).await;
            app.post(&format!("/api/tag/{tag}/assign/{link}"), json!({})).await.ok();
        }
        let more = add(&app, "tag", "more").await;
        app.post(&format!("/api/tag/{more}/assign/{link}"), json!({})).await.refused("50, the most allowed");
        app.post(&format!("/api/tag/1/assign/{link}"), json!({})).await.ok();
        app.delete(&format!("/api/tag/2/assign/{link}")).await.ok();
        app.delete(&format!("/api/tag/2/assign/{link}")).await.refused("does not exist");
        app.post(&format!("/api/tag/{more}/assign/{link}"), json!({})).await.ok();
        app.post("/api/tag/1/assign/99", json!({})).await.refused("link '99' does not exist");
        app.post(&format!("/api/tag/999/assign/{link}"), json!({})).await.refused("tag '999' does not exist");
        let of_links = control_plane::store::tags::of_links(&app.running.store, &[link]).await.expect("reads");
        assert_eq!(of_links[&link].len(), 50);
        app.delete(&format!("/api/url/{link}/delete")).await.ok();
        assert_eq!(listed(&app, "tag").await[0]["links"], 0);
    }

    async fn another_workspace_sees_nothing_of_folders_and_tags(app) {
        let link = app.link(json!({"url": "https://e.test/"})).await;
        let key = app.other_workspace().await;
        let theirs = async |method: Method, path: &str, body: Option<Value>| app.with_key(&key, method, path, body).await;
        let own = theirs(Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.ok()["id"].as_i64().expect("an id");
        for what in ["folder", "tag"] {
            let id = add(&app, what, "mine").await;
            app.post(&format!("/api/{what}/{id}/assign/{link}"), json!({})).await.ok();
            assert_eq!(theirs(Method::GET, &format!("/api/{what}s"), None).await.ok()["data"]["result"], 0);
            let missing = format!("{what} '{id}' does not exist");
            theirs(Method::PUT, &format!("/api/{what}/{id}/update"), Some(json!({"name": "x"}))).await.refused(&missing);
            theirs(Method::DELETE, &format!("/api/{what}/{id}/delete"), None).await.refused(&missing);
            theirs(Method::POST, &format!("/api/{what}/{id}/assign/{own}"), None).await.refused(&missing);
            theirs(Method::DELETE, &format!("/api/{what}/{id}/assign/{link}"), None).await.refused("does not exist");
            // The same name is free for them.
            let json = theirs(Method::POST, &format!("/api/{what}/add"), Some(json!({"name": "mine"}))).await.ok();
            theirs(Method::POST, &format!("/api/{what}/{}/assign/{link}", json["id"]), None).await.refused(&format!("link '{link}' does not exist"));
            assert_eq!(listed(&app, what).await[0]["links"], 1);
        }
    }
}
