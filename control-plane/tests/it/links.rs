//! `/url/add`, `/url/:id`, `/url/:id/update`, `/url/:id/delete`, `/urls/bulk`.

use std::collections::BTreeSet;

use http::Method;
use schemas::link::{Entry, Status};
use serde_json::{Value, json};

use crate::harness::{SHORT, TestApp, on_both_engines};

/// The link as proxies hold it.
pub(crate) async fn entry(app: &TestApp, id: i64) -> Vec<u8> {
    let (entry,): (Vec<u8>,) = sqlx::query_as("SELECT entry FROM links WHERE id = $1")
        .bind(id)
        .fetch_one(app.running.store.readers())
        .await
        .expect("the link");
    entry
}

/// Where visitors go.
async fn destination(app: &TestApp, id: i64) -> String {
    let bytes = entry(app, id).await;
    let entry = Entry::parse(&bytes).expect("an entry");
    String::from_utf8(entry.destination.to_vec()).expect("ascii")
}

on_both_engines! {
    async fn o_42_url_alone_makes_a_short_link(app) {
        let json = app.post("/api/url/add", json!({"url": "https://e.test/"})).await.ok();
        let id = json["id"].as_i64().expect("an integer");
        assert_eq!(destination(&app, id).await, "https://e.test/");
    }

    async fn o_43_custom_sets_the_alias(app) {
        let json = app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "spring-sale"})).await.ok();
        assert_eq!(json["data"]["short_url"], format!("{SHORT}/spring-sale"));
        assert_eq!(json["shorturl"], json["data"]["short_url"]);
        let other = app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "Größe/例え"})).await.ok();
        assert_eq!(other["shorturl"], format!("{SHORT}/Gr%C3%B6%C3%9Fe/%E4%BE%8B%E3%81%88"));
    }

    async fn o_44_without_custom_an_alias_is_generated(app) {
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let json = app.post("/api/url/add", json!({"url": "https://e.test/"})).await.ok();
            let short = json["shorturl"].as_str().expect("text").to_owned();
            let slug = short.strip_prefix(SHORT).and_then(|s| s.strip_prefix('/')).expect("on the default domain").to_owned();
            assert!(slug.len() >= 7 && slug.bytes().all(|b| b.is_ascii_alphanumeric()), "{slug}");
            assert!(slug != slug.to_lowercase() && slug != slug.to_uppercase(), "{slug}");
            assert!(seen.insert(slug));
        }
    }

    async fn o_45_the_answer_has_both_forms(app) {
        let json = app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "a"})).await.ok();
        assert!(json["data"]["id"].is_i64());
        assert_eq!(json["id"], json["data"]["id"]);
        insta::assert_json_snapshot!("url_add", json);
    }

    async fn the_id_asks_for_statistics(app) {
        let id = app.link(json!({"url": "https://e.test/"})).await;
        // ClickHouse is not there in these tests: a clear error, and not "unknown id".
        let answer = app.get(&format!("/api/url/{id}/stats")).await;
        assert_eq!(answer.failed(503, "statistics are not available")["error"], 503);
        app.get("/api/url/999999/stats").await.refused("link '999999' does not exist");
    }

    async fn utm_fields_and_parameters_end_up_in_the_destination(app) {
        let id = app.link(json!({
            "url": "https://e.test/p?a=1&utm_source=old&b=2#frag",
            "utm_source": "news letter", "utm_medium": "email", "utm_campaign": "spring-2026",
            "parameters": [{"name": "ref", "value": "é&="}, {"name": "a", "value": 7}],
        })).await;
        assert_eq!(
            destination(&app, id).await,
            "https://e.test/p?b=2&ref=%C3%A9%26%3D&a=7&utm_source=news%20letter&utm_medium=email&utm_campaign=spring-2026#frag"
        );
        // Its owner sees the URL as given.
        assert_eq!(app.get(&format!("/api/url/{id}")).await.ok()["details"]["longurl"], "https://e.test/p?a=1&utm_source=old&b=2#frag");
        app.put(&format!("/api/url/{id}/update"), json!({"utm_source": "", "utm_medium": null, "parameters": []})).await.ok();
        assert_eq!(
            destination(&app, id).await,
            "https://e.test/p?a=1&b=2&utm_medium=email&utm_campaign=spring-2026#frag".replace("a=1&b=2", "a=1&utm_source=old&b=2")
        );
    }

    async fn o_49_the_short_url_is_on_the_public_url_and_not_the_api_address(app) {
        let json = app.post("/api/url/add", json!({"url": "https://e.test/"})).await.ok();
        let short = json["shorturl"].as_str().expect("text");
        assert!(short.starts_with(SHORT) && !short.contains(&app.addr.to_string()));
    }

    async fn expires_at_is_in_what_visitors_meet(app) {
        for (field, text, ms) in [
            ("expires_at", "2030-01-02 03:04:05", 1_893_553_445_000),
            ("expiry", "2030-01-02", 1_893_628_799_000),
            ("expiry", "2030-01-02T03:04:05+01:00", 1_893_549_845_000),
            ("expires_at", "2021-09-28", 1_632_873_599_000),
        ] {
            let id = app.link(json!({"url": "https://e.test/", field: text})).await;
            let bytes = entry(&app, id).await;
            assert_eq!(Entry::parse(&bytes).expect("an entry").expires_at_ms, ms, "{text}");
        }
        let id = app.link(json!({"url": "https://e.test/", "expiry": "2030-01-02", "expired_url": "https://e.test/over", "starts_at": "2029-01-01"})).await;
        let details = app.get(&format!("/api/url/{id}")).await.ok()["details"].clone();
        assert_eq!(details["expiry"], "2030-01-02 23:59:59");
        let bytes = entry(&app, id).await;
        let held = Entry::parse(&bytes).expect("an entry");
        assert_eq!((held.expired_url, held.starts_at_ms), (&b"https://e.test/over"[..], 1_861_920_000_000));
        app.put(&format!("/api/url/{id}/update"), json!({"expiry": "", "expired_url": "", "starts_at": ""})).await.ok();
        let bytes = entry(&app, id).await;
        let held = Entry::parse(&bytes).expect("an entry");
        assert_eq!((held.expires_at_ms, held.expired_url, held.starts_at_ms), (i64::MAX, &b""[..], i64::MIN));
    }

    async fn o_53_a_taken_alias_is_refused_in_these_words(app) {
        let body = json!({"url": "https://e.test/", "custom": "spring-sale"});
        app.post("/api/url/add", body.clone()).await.ok();
        insta::assert_json_snapshot!("alias_taken", app.post("/api/url/add", body).await.refused("Custom alias 'spring-sale' is already in use"));
    }

    async fn o_54_links_are_listed_shown_changed_and_deleted(app) {
        let id = app.link(json!({"url": "https://e.test/", "custom": "a", "title": "A", "description": "first"})).await;
        let mut listed = app.get("/api/urls").await.ok();
        listed["data"]["urls"][0]["date"] = json!("<date>");
        insta::assert_json_snapshot!("urls", listed);
        let mut shown = app.get(&format!("/api/url/{id}")).await.ok();
        shown["details"]["date"] = json!("<date>");
        insta::assert_json_snapshot!("url", shown);
        let changed = app.put(&format!("/api/url/{id}/update"), json!({"url": "https://e.test/2", "custom": "b", "status": 301})).await.ok();
        insta::assert_json_snapshot!("url_update", changed);
        let bytes = entry(&app, id).await;
        let held = Entry::parse(&bytes).expect("an entry");
        assert_eq!((held.slug, held.destination, held.status), (&b"b"[..], &b"https://e.test/2"[..], Status::MovedPermanently));
        insta::assert_json_snapshot!("url_delete", app.delete(&format!("/api/url/{id}/delete")).await.ok());
        for path in ["", "/stats"] {
            app.get(&format!("/api/url/{id}{path}")).await.refused("does not exist");
        }
        app.delete(&format!("/api/url/{id}/delete")).await.refused("does not exist");
        app.put(&format!("/api/url/{id}/update"), json!({"title": "x"})).await.refused("does not exist");
        // The slug is free again, the id is not.
        assert!(app.link(json!({"url": "https://e.test/", "custom": "b"})).await > id);
    }

    async fn what_is_not_sent_stays_in_an_update(app) {
        let id = app.link(json!({"url": "https://e.test/", "custom": "a", "title": "A", "utm_source": "s", "status": 308, "disabled": true})).await;
        let before = entry(&app, id).await;
        let unchanged = json!({"title": "B", "url": null, "custom": "", "domain": "", "status": "", "password": "", "pixels": []});
        app.put(&format!("/api/url/{id}/update"), unchanged).await.ok();
        assert_eq!(entry(&app, id).await, before);
        let details = app.get(&format!("/api/url/{id}")).await.ok()["details"].clone();
        assert_eq!((&details["title"], &details["alias"]), (&json!("B"), &json!("a")));
        app.put(&format!("/api/url/{id}/update"), json!({"disabled": "false"})).await.ok();
        assert!(!Entry::parse(&entry(&app, id).await).expect("an entry").disabled);
    }

    async fn in_a_race_for_an_alias_exactly_one_wins(app) {
        for round in 0..5 {
            let body = json!({"url": "https://e.test/", "custom": format!("race-{round}")});
            let calls = (0..8).map(|_| app.post("/api/url/add", body.clone()));
            let answers = futures_util::future::join_all(calls).await;
            let won = answers.iter().filter(|a| a.json()["error"] == 0).count();
            assert_eq!(won, 1);
            for lost in answers.iter().filter(|a| a.json()["error"] != 0) {
                lost.refused("is already in use");
            }
        }
        // Renaming two links to one alias at once is the same race.
        let (a, b) = (app.link(json!({"url": "https://e.test/"})).await, app.link(json!({"url": "https://e.test/"})).await);
        let (to_a, to_b) = (format!("/api/url/{a}/update"), format!("/api/url/{b}/update"));
        let (x, y) = tokio::join!(app.put(&to_a, json!({"custom": "same"})), app.put(&to_b, json!({"custom": "same"})));
        let mut errors = [x.json()["error"].clone(), y.json()["error"].clone()];
        errors.sort_by_key(Value::as_i64);
        assert_eq!(errors, [json!(0), json!(1)]);
    }

    async fn case_makes_another_alias_and_unicode_forms_do_not(app) {
        app.link(json!({"url": "https://e.test/", "custom": "naïve"})).await;
        app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "nai\u{308}ve"})).await.refused("already in use");
        app.link(json!({"url": "https://e.test/", "custom": "NAÏVE"})).await;
    }

    async fn domain_is_a_live_domain_of_the_workspace(app) {
        use control_plane::store::domains::{NewDomain, insert};
        let new = |host: &str, is_live: bool, workspace_id| NewDomain {
            host: host.to_owned(),
            base_url: format!("https://{host}"),
            is_live,
            workspace_id,
            ..NewDomain::default()
        };
        for (host, live) in [("go.acme.test", true), ("soon.acme.test", false)] {
            insert(&app.running.store, &new(host, live, Some(1)), 0).await.expect("inserts").expect("free");
        }
        let json = app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "a", "domain": "https://Go.Acme.Test/"})).await.ok();
        assert_eq!(json["shorturl"], "https://go.acme.test/a");
        // The same alias on another domain is another link.
        for domain in ["go.test", "https://go.test", "http://GO.test/", ""] {
            let json = app.post("/api/url/add", json!({"url": "https://e.test/", "domain": domain})).await.ok();
            assert!(json["shorturl"].as_str().expect("text").starts_with(SHORT));
        }
        let id = app.link(json!({"url": "https://e.test/", "custom": "a"})).await;
        for domain in ["soon.acme.test", "other.test", "not a host", "127.0.0.1", "https://"] {
            app.post("/api/url/add", json!({"url": "https://e.test/", "domain": domain})).await.refused("domain '");
        }
        app.put(&format!("/api/url/{id}/update"), json!({"domain": "go.acme.test"})).await.refused("already in use");
        app.put(&format!("/api/url/{id}/update"), json!({"domain": "go.acme.test", "custom": "c"})).await.ok();
        assert_eq!(app.get(&format!("/api/url/{id}")).await.ok()["details"]["shorturl"], "https://go.acme.test/c");
        app.post("/api/url/add", json!({"url": "https://go.acme.test/a"})).await.refused("url must not lead back");
    }

    async fn bulk_says_what_became_of_each_link(app) {
        app.link(json!({"url": "https://e.test/", "custom": "taken"})).await;
        let json = app.post("/api/urls/bulk", json!({"urls": [
            {"url": "https://e.test/1", "custom": "one"},
            {"url": "https://e.test/2", "custom": "taken"},
            {"url": "javascript:alert(1)"},
            "https://e.test/",
            {"url": "https://e.test/3", "pixels": [7]},
            {"url": "https://e.test/4", "custom": "one"},
            {"url": "https://e.test/5"},
            {"url": "https://go.test/one"},
        ]})).await.ok();
        let results = json["results"].as_array().expect("results");
        let errors: Vec<i64> = results.iter().map(|r| r["error"].as_i64().expect("integer")).collect();
        assert_eq!(errors, [0, 1, 1, 1, 1, 1, 0, 1]);
        let mut shown = json.clone();
        shown["results"][6]["shorturl"] = json!("<random>");
        insta::assert_json_snapshot!("bulk", shown);
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 3);
    }

    async fn an_atomic_bulk_adds_all_or_nothing(app) {
        app.link(json!({"url": "https://e.test/", "custom": "taken"})).await;
        for bad in [json!({"url": "https://e.test/", "custom": "taken"}), json!({"url": "no"})] {
            let urls = json!([{"url": "https://e.test/", "custom": "a"}, bad, {"url": "https://e.test/", "custom": "b"}]);
            let json = app.post("/api/urls/bulk", json!({"urls": urls, "atomic": true})).await.ok();
            assert!(json["results"].as_array().expect("results").iter().all(|r| r["error"] == 1), "{json}");
            assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 1);
        }
        let urls = json!([{"url": "https://e.test/", "custom": "a"}, {"url": "https://e.test/", "custom": "b"}]);
        app.post("/api/urls/bulk", json!({"urls": urls, "atomic": 1})).await.ok();
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 3);
    }

    async fn bulk_takes_a_thousand_links_and_no_more(app) {
        let urls: Vec<Value> = (0..1001).map(|n| json!({"url": format!("https://e.test/{n}")})).collect();
        app.post("/api/urls/bulk", json!({"urls": urls})).await.refused("1 to 1000");
        let json = app.post("/api/urls/bulk", json!({"urls": urls[..1000]})).await.ok();
        assert_eq!(json["results"].as_array().expect("results").len(), 1000);
        assert!(json["results"].as_array().expect("results").iter().all(|r| r["error"] == 0));
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 1000);
        app.post("/api/urls/bulk", json!({"urls": []})).await.refused("1 to 1000");
        app.post("/api/urls/bulk", json!({})).await.refused("urls is required");
        app.post("/api/urls/bulk", json!({"urls": {}})).await.refused("urls must be a list");
        app.post("/api/urls/bulk", json!({"urls": [{}], "atomic": "maybe"})).await.refused("atomic must be");
    }

    async fn another_workspace_sees_nothing_of_a_link(app) {
        let id = app.link(json!({"url": "https://e.test/", "custom": "mine"})).await;
        let key = app.other_workspace().await;
        for (method, path) in [(Method::GET, ""), (Method::GET, "/stats"), (Method::PUT, "/update"), (Method::DELETE, "/delete")] {
            let path = format!("/api/url/{id}{path}");
            app.with_key(&key, method, &path, None).await.refused(&format!("link '{id}' does not exist"));
        }
        let listed = app.with_key(&key, Method::GET, "/api/urls", None).await.ok();
        assert_eq!(listed["data"]["result"], 0);
        app.with_key(&key, Method::GET, "/api/urls?short=https://go.test/mine", None).await.refused("does not exist");
        let keys = app.with_key(&key, Method::GET, "/api/keys", None).await.ok();
        assert_eq!(keys["data"]["result"], 1);
        app.with_key(&key, Method::DELETE, "/api/key/1/delete", None).await.refused("key '1' does not exist");
        // The alias is taken for all.
        app.with_key(&key, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/", "custom": "mine"}))).await.refused("already in use");
        app.get(&format!("/api/url/{id}")).await.ok();
    }

    async fn a_plan_may_limit_links(app) {
        // No plan does as delivered; an operator's may.
        let pool = database(&app).await;
        sqlx::query("UPDATE plans SET max_links = 2 WHERE name = 'free'").execute(&pool).await.expect("updates");
        app.link(json!({"url": "https://e.test/"})).await;
        app.post("/api/urls/bulk", json!({"urls": [{"url": "https://e.test/"}, {"url": "https://e.test/"}]})).await.refused("the plan 'free' allows 2 links");
        let id = app.link(json!({"url": "https://e.test/"})).await;
        app.post("/api/url/add", json!({"url": "https://e.test/"})).await.refused("the plan 'free' allows 2 links");
        app.delete(&format!("/api/url/{id}/delete")).await.ok();
        app.link(json!({"url": "https://e.test/"})).await;
    }
}

/// A connection of its own to the app's database.
pub(crate) async fn database(app: &TestApp) -> sqlx::AnyPool {
    sqlx::AnyPool::connect(&app.config.database_url.0)
        .await
        .expect("connects")
}
