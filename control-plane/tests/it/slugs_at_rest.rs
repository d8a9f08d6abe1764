//! A slug that was given up goes to nobody else for its time.

use control_plane::domain::date::DAY_MS;
use control_plane::store::quarantine;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, TestApp, on_both_engines};

async fn add_as(app: &TestApp, key: &str, slug: &str) -> Answer {
    let body = json!({"url": "https://e.test/", "custom": slug});
    app.with_key(key, Method::POST, "/api/url/add", Some(body))
        .await
}

async fn delete(app: &TestApp, id: i64) {
    app.delete(&format!("/api/url/{id}/delete")).await.ok();
}

/// The day a message names.
fn day(refused: &Value) -> String {
    let message = refused["message"].as_str().expect("text");
    let (_, rest) = message.split_once(" from ").expect("a day");
    rest.chars().take(10).collect()
}

/// The day so many days from now, which is named when it has begun on that instant's day at the latest.
fn day_after(app: &TestApp, days: i64) -> String {
    control_plane::domain::date::format_day(app.config.clock.now_ms() + days * DAY_MS + DAY_MS - 1)
}

on_both_engines! {
    async fn a_deleted_slug_is_not_given_out_again_for_30_days(app) {
        let other = app.other_workspace().await;
        let id = app.link(json!({"url": "https://e.test/", "custom": "spring"})).await;
        delete(&app, id).await;
        let refused = add_as(&app, &other, "spring").await.refused("Custom alias 'spring' was given up and may lead to another link from ");
        assert_eq!(day(&refused), day_after(&app, 30));
        // Nor by a rename, a bulk call or a dry run.
        let theirs = add_as(&app, &other, "theirs").await.ok()["id"].clone();
        let rename = json!({"custom": "spring"});
        app.with_key(&other, Method::PUT, &format!("/api/url/{theirs}/update"), Some(rename)).await.refused("was given up");
        let bulk = json!({"urls": [{"url": "https://e.test/", "custom": "spring"}, {"url": "https://e.test/"}]});
        let bulk = app.with_key(&other, Method::POST, "/api/urls/bulk", Some(bulk)).await.ok();
        assert_eq!((&bulk["results"][0]["error"], &bulk["results"][1]["error"]), (&json!(1), &json!(0)));
        // On the last day still not, a day later.
        app.config.clock.advance_ms(29 * DAY_MS);
        add_as(&app, &other, "spring").await.refused("was given up");
        app.config.clock.advance_ms(DAY_MS);
        add_as(&app, &other, "spring").await.ok();
        assert_eq!(quarantine::purge(&app.running.store, app.config.clock.now_ms()).await.expect("purges"), 1);
    }

    async fn its_owner_may_take_it_back_at_once(app) {
        let other = app.other_workspace().await;
        let id = app.link(json!({"url": "https://e.test/", "custom": "spring"})).await;
        delete(&app, id).await;
        let id = app.link(json!({"url": "https://e.test/", "custom": "spring"})).await;
        add_as(&app, &other, "spring").await.refused("Custom alias 'spring' is already in use");
        app.config.clock.advance_ms(20 * DAY_MS);
        delete(&app, id).await;
        app.config.clock.advance_ms(20 * DAY_MS);
        let refused = add_as(&app, &other, "spring").await.refused("was given up");
        assert_eq!(day(&refused), day_after(&app, 10), "counted from the last time");
    }

    async fn a_slug_left_by_a_rename_rests_too_and_each_domain_has_its_own(app) {
        let other = app.other_workspace().await;
        let id = app.link(json!({"url": "https://e.test/", "custom": "old"})).await;
        app.put(&format!("/api/url/{id}/update"), json!({"custom": "new"})).await.ok();
        add_as(&app, &other, "old").await.refused("was given up");
        app.put(&format!("/api/url/{id}/update"), json!({"custom": "old"})).await.ok();
        add_as(&app, &other, "new").await.refused("was given up");
        add_as(&app, &other, "newer").await.ok();
    }

    async fn slugs_of_every_kind_rest(app) {
        let other = app.other_workspace().await;
        let campaign = app.post("/api/campaign/add", json!({"name": "C", "slug": "spring"})).await.ok()["id"].clone();
        app.delete(&format!("/api/campaign/{campaign}/delete")).await.ok();
        let body = Some(json!({"name": "C", "slug": "spring"}));
        app.with_key(&other, Method::POST, "/api/campaign/add", body.clone()).await.refused("'spring'");
        app.config.clock.advance_ms(31 * DAY_MS);
        app.with_key(&other, Method::POST, "/api/campaign/add", body).await.ok();
    }

    async fn nobody_else_gets_it_in_a_race_either(app) {
        let other = app.other_workspace().await;
        for round in 0..20 {
            let slug = format!("race-{round}");
            let id = app.link(json!({"url": "https://e.test/", "custom": slug})).await;
            let path = format!("/api/url/{id}/delete");
            let (deleted, taken) = tokio::join!(app.delete(&path), add_as(&app, &other, &slug));
            deleted.ok();
            taken.refused(&slug);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_switches_it_off() {
    let app = TestApp::start(None, &[("SIGNPOST_SLUG_QUARANTINE_DAYS", "0")]).await;
    let other = app.other_workspace().await;
    let id = app
        .link(json!({"url": "https://e.test/", "custom": "spring"}))
        .await;
    delete(&app, id).await;
    add_as(&app, &other, "spring").await.ok();
}
