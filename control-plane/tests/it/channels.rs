//! `/channels`, `/channel/…`.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{SHORT, TestApp, on_both_engines};

async fn channel(app: &TestApp, body: Value) -> i64 {
    let json = app.post("/api/channel/add", body).await.ok();
    json["id"].as_i64().expect("an integer")
}

on_both_engines! {
    async fn o_114_o_115_channels_are_listed_newest_first_with_five_keys(app) {
        assert_eq!(app.get("/api/channels").await.ok()["data"]["channels"], json!([]));
        for name in ["Channel 1", "Channel 2", "Channel 3"] {
            channel(&app, json!({"name": name, "color": "#ff0000", "starred": name == "Channel 2"})).await;
        }
        let json = app.get("/api/channels?limit=2&page=1").await.ok();
        assert_eq!(json["data"]["channels"], json!([
            {"id": 3, "name": "Channel 3", "description": "", "color": "#FF0000", "starred": false},
            {"id": 2, "name": "Channel 2", "description": "", "color": "#FF0000", "starred": true},
        ]));
        assert_eq!((&json["data"]["result"], &json["data"]["perpage"], &json["data"]["nextpage"], &json["data"]["maxpage"]), (&json!(3), &json!(2), &json!(2), &json!(2)));
    }

    async fn o_116_o_117_o_118_a_channel_lists_its_items(app) {
        let id = channel(&app, json!({"name": "C"})).await;
        let named = app.link(json!({"url": "https://google.com/", "custom": "google", "title": "My Sample Link"})).await;
        let bare = app.link(json!({"url": "https://e.test/", "custom": "bare"})).await;
        for link in [named, bare, named] {
            app.post(&format!("/api/channel/{id}/assign/links/{link}"), json!({})).await.ok();
        }
        let today = control_plane::domain::date::format_day(app.config.clock.now_ms());
        let json = app.get(&format!("/api/channel/{id}?limit=1&page=1")).await.ok();
        assert_eq!(json["data"]["items"], json!([
            {"type": "links", "id": bare, "title": "bare", "preview": "https://e.test/", "link": format!("{SHORT}/bare"), "date": today},
        ]));
        assert_eq!((&json["data"]["result"], &json["data"]["nextpage"], &json["data"]["maxpage"]), (&json!(2), &json!(2), &json!(2)));
        let json = app.get(&format!("/api/channel/{id}?limit=1&page=2")).await.ok();
        assert_eq!(json["data"]["items"][0], json!(
            {"type": "links", "id": named, "title": "My Sample Link", "preview": "https://google.com/", "link": format!("{SHORT}/google"), "date": today}
        ));
        app.get(&format!("/api/channel/{}", id + 1)).await.refused("channel '2' does not exist");
    }

    async fn o_119_o_120_a_name_is_required_and_the_rest_has_defaults(app) {
        for body in [json!({}), json!({"name": ""}), json!({"name": "  "}), json!({"name": null})] {
            app.post("/api/channel/add", body).await.refused("name is required");
        }
        app.post("/api/channel/add", json!({"name": "a\nb"})).await.refused("name must not");
        app.post("/api/channel/add", json!({"name": "x".repeat(101)})).await.refused("name must be at most 100");
        app.post("/api/channel/add", json!({"name": ["x"]})).await.refused("name must be text");
        for bad in [json!("red"), json!("#ggg"), json!("\"><script>"), json!(12)] {
            app.post("/api/channel/add", json!({"name": "C", "color": bad})).await.refused("color must be a colour in HEX");
        }
        app.post("/api/channel/add", json!({"name": "C", "starred": "maybe"})).await.refused("starred must be true or false");
        let json = app.post("/api/channel/add", json!({"name": "C", "color": ""})).await.ok();
        assert_eq!(json, json!({"error": 0, "id": 1, "name": "C", "description": "", "color": "#000000", "starred": false}));
    }

    async fn o_121_add_echoes_what_was_sent(app) {
        let json = app.post("/api/channel/add", json!({"name": "New Channel", "description": "my new channel", "color": "#000000", "starred": true})).await.ok();
        assert_eq!(json, json!({"error": 0, "id": 1, "name": "New Channel", "description": "my new channel", "color": "#000000", "starred": true}));
    }

    async fn o_122_o_123_o_29_items_are_assigned_by_type_and_id(app) {
        let id = channel(&app, json!({"name": "C"})).await;
        let link = app.link(json!({"url": "https://e.test/"})).await;
        // An empty object, nothing at all, and what is no JSON: such a call carries nothing.
        for body in ["{}", "", "x"] {
            let bearer = format!("Bearer {}", crate::harness::ADMIN_KEY);
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            let answer = app.call(Method::POST, &format!("/api/channel/{id}/assign/links/{link}"), &headers, body).await;
            assert_eq!(answer.ok()["message"], "Item successfully added to the channel.");
        }
        assert_eq!(app.get(&format!("/api/channel/{id}")).await.ok()["data"]["result"], 1);
        for bad in ["files", "link", "Links", "%ff", "a%2Fb"] {
            app.post(&format!("/api/channel/{id}/assign/{bad}/{link}"), json!({})).await.refused("type must be links, bio or qr");
        }
        app.post(&format!("/api/channel/{id}/assign/links/999"), json!({})).await.refused("link '999' does not exist");
        app.post(&format!("/api/channel/{id}/assign/links/x"), json!({})).await.refused("link 'x' does not exist");
        app.post(&format!("/api/channel/{id}/assign/bio/999"), json!({})).await.refused("bio page '999' does not exist");
        app.post(&format!("/api/channel/{id}/assign/qr/999"), json!({})).await.refused("QR code '999' does not exist");
        app.post(&format!("/api/channel/99/assign/links/{link}"), json!({})).await.refused("channel '99' does not exist");
        app.delete(&format!("/api/channel/{id}/assign/links/{link}")).await.ok();
        app.delete(&format!("/api/channel/{id}/assign/links/{link}")).await.refused("does not exist");
        assert_eq!(app.get(&format!("/api/channel/{id}")).await.ok()["data"]["items"], json!([]));
    }

    async fn o_124_o_125_an_update_changes_what_is_sent(app) {
        let id = channel(&app, json!({"name": "C", "description": "D", "color": "#FF0000"})).await;
        let update = async |body: Value| app.put(&format!("/api/channel/{id}/update"), body).await;
        assert_eq!(update(json!({"starred": true})).await.ok()["message"], "Channel has been updated successfully.");
        let listed = async || app.get("/api/channels").await.ok()["data"]["channels"][0].clone();
        assert_eq!(listed().await, json!({"id": id, "name": "C", "description": "D", "color": "#FF0000", "starred": true}));
        update(json!({"name": "Acme Corp", "description": "", "color": "#FFFFFF", "starred": false})).await.ok();
        assert_eq!(listed().await, json!({"id": id, "name": "Acme Corp", "description": "", "color": "#FFFFFF", "starred": false}));
        update(json!({})).await.ok();
        update(json!({"name": "", "color": null})).await.ok();
        assert_eq!(listed().await["name"], "Acme Corp");
        update(json!({"color": "blue"})).await.refused("color must");
        app.put("/api/channel/99/update", json!({"name": "x"})).await.refused("channel '99' does not exist");
    }

    async fn o_126_o_127_a_deleted_channel_leaves_its_items(app) {
        let id = channel(&app, json!({"name": "C"})).await;
        let link = app.link(json!({"url": "https://e.test/"})).await;
        app.post(&format!("/api/channel/{id}/assign/links/{link}"), json!({})).await.ok();
        assert_eq!(app.delete(&format!("/api/channel/{id}/delete")).await.ok()["message"], "Channel has been deleted successfully.");
        app.get(&format!("/api/url/{link}")).await.ok();
        app.get(&format!("/api/channel/{id}")).await.refused("does not exist");
        app.delete(&format!("/api/channel/{id}/delete")).await.refused("does not exist");
        assert!(control_plane::store::channels::of_links(&app.running.store, &[link]).await.expect("reads").is_empty());
    }

    async fn o_24_the_date_of_an_item_is_a_day(app) {
        let id = channel(&app, json!({"name": "C"})).await;
        let link = app.link(json!({"url": "https://e.test/"})).await;
        app.post(&format!("/api/channel/{id}/assign/links/{link}"), json!({})).await.ok();
        let json = app.get(&format!("/api/channel/{id}")).await.ok();
        let date = json["data"]["items"][0]["date"].as_str().expect("text").to_owned();
        let digits = |range: std::ops::Range<usize>| date[range].bytes().all(|b| b.is_ascii_digit());
        assert!(date.len() == 10 && digits(0..4) && digits(5..7) && digits(8..10) && date[4..5] == *"-" && date[7..8] == *"-", "{date}");
    }

    async fn another_workspace_sees_nothing_of_a_channel(app) {
        let id = channel(&app, json!({"name": "mine"})).await;
        let link = app.link(json!({"url": "https://e.test/"})).await;
        app.post(&format!("/api/channel/{id}/assign/links/{link}"), json!({})).await.ok();
        let key = app.other_workspace().await;
        let theirs = async |method: Method, path: &str, body: Option<Value>| app.with_key(&key, method, path, body).await;
        assert_eq!(theirs(Method::GET, "/api/channels", None).await.ok()["data"]["result"], 0);
        let missing = format!("channel '{id}' does not exist");
        theirs(Method::GET, &format!("/api/channel/{id}"), None).await.refused(&missing);
        theirs(Method::PUT, &format!("/api/channel/{id}/update"), Some(json!({"name": "x"}))).await.refused(&missing);
        theirs(Method::DELETE, &format!("/api/channel/{id}/delete"), None).await.refused(&missing);
        theirs(Method::DELETE, &format!("/api/channel/{id}/assign/links/{link}"), None).await.refused("does not exist");
        let own = theirs(Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.ok()["id"].as_i64().expect("an id");
        theirs(Method::POST, &format!("/api/channel/{id}/assign/links/{own}"), None).await.refused(&missing);
        let channel = theirs(Method::POST, "/api/channel/add", Some(json!({"name": "theirs"}))).await.ok()["id"].as_i64().expect("an id");
        theirs(Method::POST, &format!("/api/channel/{channel}/assign/links/{link}"), None).await.refused(&format!("link '{link}' does not exist"));
        assert_eq!(app.get(&format!("/api/channel/{id}")).await.ok()["data"]["result"], 1);
    }
}
