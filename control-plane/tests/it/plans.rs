//! Plans: shown, given, changed, and enforced where things are made.

use http::Method;
use serde_json::json;

use crate::engine::engine;
use crate::harness::{TestApp, on_both_engines};
use crate::users::add_user;

on_both_engines! {
    async fn plans_are_shown_as_delivered(app) {
        insta::assert_json_snapshot!("plans", app.get("/api/plans").await.ok());
    }

    async fn a_plan_is_made_changed_and_deleted(app) {
        let made = app.post("/api/plan/add", json!({"name": "small", "links": 3, "rate": 5, "features": "qr,pixels", "monthly": "9.9", "yearly": 99})).await.ok();
        let id = made["id"].as_i64().expect("id");
        let plan = async || app.get("/api/plans").await.ok()["data"].as_array().expect("list").iter().find(|p| p["id"] == id).cloned();
        insta::assert_json_snapshot!("plan", plan().await);
        app.put(&format!("/api/plan/{id}/update"), json!({"links": null, "members": 2, "monthly": null, "yearly": ""})).await.ok();
        let changed = plan().await.expect("there");
        assert_eq!((&changed["limits"]["links"], &changed["limits"]["members"], &changed["prices"]), (&json!(null), &json!(2), &json!(null)));
        assert_eq!(changed["limits"]["features"], json!(["pixels", "qr"]));
        for (bad, part) in [
            (json!({"links": -1}), "links must be a whole number"), (json!({"clicks": "many"}), "clicks must be"), (json!({"features": "qr,teleport"}), "features must be"),
            (json!({"monthly": "1.234"}), "monthly must be a price"), (json!({"name": "free"}), "name belongs to another plan"), (json!({"name": ""}), "name is required"),
        ] {
            app.put(&format!("/api/plan/{id}/update"), bad).await.refused(part);
        }
        let (user, _) = add_user(&app, "ana").await;
        app.put(&format!("/api/plan/{id}/user/{user}"), json!({})).await.ok();
        app.delete(&format!("/api/plan/{id}/delete")).await.refused("is the plan of 1 workspaces");
        app.put(&format!("/api/plan/1/user/{user}"), json!({})).await.ok();
        app.delete(&format!("/api/plan/{id}/delete")).await.ok();
        app.delete(&format!("/api/plan/{id}/delete")).await.refused("does not exist");
        app.delete("/api/plan/1/delete").await.refused("must not be");
    }

    async fn a_plan_is_given_for_a_time_and_ends_by_itself(app) {
        let (user, key) = add_user(&app, "ana").await;
        let account = async || app.with_key(&key, Method::GET, "/api/account", None).await;
        let json = app.put(&format!("/api/plan/2/user/{user}"), json!({"type": "monthly"})).await.ok();
        insta::assert_json_snapshot!("plan_given", json);
        let answer = account().await;
        assert_eq!((answer.ok()["data"]["status"].as_str(), answer.number("x-ratelimit-limit")), (Some("pro"), 120));
        let expires = answer.ok()["data"]["expires"].as_str().expect("a date").to_owned();
        app.config.clock.advance_ms(32 * 86_400_000);
        let answer = account().await;
        assert_eq!((answer.ok()["data"]["status"].as_str(), answer.number("x-ratelimit-limit")), (Some("free"), 30));
        assert_eq!(answer.ok()["data"]["expires"], expires.as_str());
        app.put(&format!("/api/plan/3/user/{user}"), json!({"type": "lifetime"})).await.ok();
        let json = account().await.ok();
        assert_eq!((json["data"]["status"].as_str(), json["data"]["expires"].is_null()), (Some("enterprise"), true));
        // An end in the past is taken, and the plan has ended at once.
        app.put(&format!("/api/plan/3/user/{user}"), json!({"type": "yearly", "expiration": "2021-09-28"})).await.ok();
        assert_eq!(account().await.ok()["data"]["status"], "free");
        app.put(&format!("/api/plan/9/user/{user}"), json!({})).await.refused("plan '9' does not exist");
        app.put("/api/plan/2/user/99", json!({})).await.refused("user '99' does not exist");
        app.put("/api/plan/x/user/1", json!({})).await.refused("plan 'x' does not exist");
        app.put(&format!("/api/plan/2/user/{user}"), json!({"type": "weekly"})).await.refused("type must be monthly, yearly or lifetime");
    }

    async fn a_limit_is_enforced_with_its_name_value_and_plan(app) {
        let (_, key) = add_user(&app, "ana").await;
        app.put("/api/plan/1/update", json!({"links": 1, "members": 2, "clicks": 0})).await.ok();
        let call = async |method: Method, path: &str, body| app.with_key(&key, method, path, Some(body)).await;
        call(Method::POST, "/api/url/add", json!({"url": "https://e.test/"})).await.ok();
        call(Method::POST, "/api/url/add", json!({"url": "https://e.test/"})).await.refused("the plan 'free' allows 1 links and this workspace has 1");
        call(Method::POST, "/api/member/invite", json!({"email": "x@e.test", "role": "viewer"})).await.ok();
        call(Method::POST, "/api/member/invite", json!({"email": "y@e.test", "role": "viewer"})).await.refused("the plan 'free' allows 2 members and this workspace has 2");
        let member = json!({"username": "bo", "email": "bo@e.test", "password": "correct horse", "role": "editor"});
        call(Method::POST, "/api/member/add", member.clone()).await.refused("the plan 'free' allows 2 members");
        // Another invitation of the same address takes the place of the first.
        call(Method::POST, "/api/member/invite", json!({"email": "x@e.test", "role": "editor"})).await.ok();
        let usage = call(Method::GET, "/api/usage", json!({})).await.ok();
        assert_eq!((&usage["data"]["links"], &usage["data"]["members"]), (&json!({"used": 1, "limit": 1}), &json!({"used": 2, "limit": 2})));
        // Of another workspace nothing counts.
        app.put("/api/plan/2/user/1", json!({})).await.ok();
        app.link(json!({"url": "https://e.test/"})).await;
        app.link(json!({"url": "https://e.test/"})).await;
    }

    async fn calls_at_once_do_not_pass_a_limit_together(app) {
        let (_, key) = add_user(&app, "ana").await;
        app.put("/api/plan/1/update", json!({"links": 3, "rate": 0})).await.ok();
        let calls = (0..8).map(|_| app.with_key(&key, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))));
        let answers = futures_util::future::join_all(calls).await;
        assert_eq!(answers.iter().filter(|a| a.json()["error"] == 0).count(), 3);
    }
}

/// Limits of clicks need the real engine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_clicks_a_month_a_workspace_has_no_statistics_until_the_next() {
    let engine = engine().await;
    let app = TestApp::start(None, &[("SIGNPOST_CLICKHOUSE_URL", &engine.url)]).await;
    // A workspace that no other test of this engine has.
    let pool = sqlx::AnyPool::connect(&app.config.database_url.0)
        .await
        .expect("connects");
    let number = 77_000_001_i64;
    sqlx::query("INSERT INTO workspaces (id, name, plan_id, suspended, created_at) VALUES ($1, 'busy', 1, 0, 0)").bind(number).execute(&pool).await.expect("inserts");
    sqlx::query(
        "INSERT INTO members (workspace_id, user_id, role, created_at) VALUES ($1, 1, 'owner', 0)",
    )
    .bind(number)
    .execute(&pool)
    .await
    .expect("inserts");
    sqlx::query("INSERT INTO api_keys (workspace_id, user_id, name, prefix, hash, scopes, rate_per_minute, created_at) VALUES ($1, 1, 'k', 'a', $2, 'read,write', 0, 0)")
        .bind(number).bind(control_plane::domain::key::hash("a-busy-key").to_vec()).execute(&pool).await.expect("inserts");
    let call = async |method: Method, path: &str, body| {
        app.with_key("a-busy-key", method, path, body).await
    };
    let link = call(
        Method::POST,
        "/api/url/add",
        Some(json!({"url": "https://e.test/"})),
    )
    .await
    .ok()["id"]
        .as_i64()
        .expect("id");
    let now = app.config.clock.now_ms() / 1000;
    let visits = async |clicks: u64, link: i64, is_bot: bool, at: i64| {
        let sql = format!(
            "INSERT INTO signpost.clicks_15m (ingested_month, workspace, link, bucket, is_bot, clicks) SELECT 202601, {number}, {link}, toDateTime({at}, 'UTC'), {is_bot}, {clicks}"
        );
        engine
            .client()
            .query(&sql)
            .execute()
            .await
            .expect("inserts");
    };
    visits(3, link, false, now).await;
    visits(1000, link, true, now).await;
    visits(1000, 0, false, now).await;
    visits(1000, link, false, now - 40 * 86_400).await;
    app.put("/api/plan/1/update", json!({"clicks": 3}))
        .await
        .ok();
    call(Method::GET, &format!("/api/url/{link}/stats"), None)
        .await
        .ok();
    assert_eq!(
        call(Method::GET, "/api/usage", None).await.ok()["data"]["clicks"],
        json!({"used": 3, "limit": 3})
    );
    visits(1, link, false, now).await;
    // A count is five minutes old at most.
    call(Method::GET, &format!("/api/url/{link}/stats"), None)
        .await
        .ok();
    app.config.clock.advance_ms(5 * 60_000);
    let stats = call(Method::GET, &format!("/api/url/{link}/stats"), None).await;
    stats.refused("the plan 'free' allows 3 clicks a month and this workspace has 4");
    // Everything else goes on, and with more clicks in the plan all is there.
    call(Method::GET, &format!("/api/url/{link}"), None)
        .await
        .ok();
    call(
        Method::POST,
        "/api/url/add",
        Some(json!({"url": "https://e.test/"})),
    )
    .await
    .ok();
    app.put("/api/plan/1/update", json!({"clicks": 4}))
        .await
        .ok();
    call(Method::GET, &format!("/api/url/{link}/stats"), None)
        .await
        .ok();
    app.put("/api/plan/1/update", json!({"clicks": 3}))
        .await
        .ok();
    app.config.clock.advance_ms(32 * 86_400_000);
    call(Method::GET, &format!("/api/url/{link}/stats"), None)
        .await
        .ok();
}
