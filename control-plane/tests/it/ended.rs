//! What is left of a workspace that has ended: no members, no apps, nothing that opens it.

use http::Method;
use serde_json::json;

use crate::harness::{TestApp, on_both_engines};
use crate::members::add_member_of;
use crate::oauth::{Browser, CALLBACK, registered, token_of_client};
use crate::users::add_user;

/// Members of all workspaces: workspace and user.
async fn members(app: &TestApp) -> Vec<(i64, i64)> {
    sqlx::query_as("SELECT workspace_id, user_id FROM members ORDER BY workspace_id, user_id")
        .fetch_all(app.running.store.readers())
        .await
        .expect("rows")
}

async fn execute(app: &TestApp, sql: &'static str) {
    let pool = sqlx::AnyPool::connect(&app.config.database_url.0)
        .await
        .expect("connects");
    sqlx::query(sql).execute(&pool).await.expect("runs");
    pool.close().await;
}

on_both_engines! {
    async fn an_ended_workspace_has_no_members(app) {
        let (owner, key) = add_user(&app, "ana").await;
        let (_, editor) = add_member_of(&app, &key, "ed", "editor").await;
        assert_eq!(members(&app).await.len(), 3);
        app.delete(&format!("/api/user/{owner}/delete")).await.ok();
        assert_eq!(members(&app).await, [(1, 1)]);
        app.with_key(&editor, Method::GET, "/api/urls", None).await.failed(401, "revoked");
        // Who is left can sign in and is told that there is nothing to allow.
        let client = registered(&app).await;
        let mut browser = Browser::new(&app);
        browser.sign_in("ed", "correct horse").await;
        let query = format!("response_type=code&client_id={client}&redirect_uri={}", CALLBACK.replace('?', "%3F").replace('=', "%3D"));
        browser.get(&format!("/oauth/authorize?{query}")).await.says("belongs to no workspace");
    }

    async fn workspaces_that_ended_before_lose_their_members_at_a_start(app) {
        let (owner, key) = add_user(&app, "ana").await;
        let (editor, _) = add_member_of(&app, &key, "ed", "editor").await;
        app.delete(&format!("/api/user/{owner}/delete")).await.ok();
        // As an earlier version left them.
        execute(&app, "INSERT INTO members (workspace_id, user_id, role, created_at) SELECT workspace_id, id, 'editor', 0 FROM users WHERE username = 'ed'").await;
        execute(&app, "DELETE FROM schema_migrations WHERE name = 'members_of_ended'").await;
        assert!(members(&app).await.iter().any(|(_, user)| *user == editor));
        let database = app.database();
        let app = TestApp::start_in(app.stop().await, database, &[]).await.expect("starts");
        assert_eq!(members(&app).await, [(1, 1)]);
    }

    async fn the_token_of_a_deleted_app_opens_nothing(app) {
        let token = token_of_client(&app, "read").await;
        app.with_key(&token, Method::GET, "/api/urls", None).await.ok();
        // The app alone, whatever becomes of what users allowed it.
        execute(&app, "UPDATE oauth_clients SET deleted_at = 1").await;
        app.with_key(&token, Method::GET, "/api/urls", None).await.failed(401, "revoked");
    }

    async fn a_wrong_request_leads_nobody_away_who_is_not_signed_in(app) {
        let client = registered(&app).await;
        add_user(&app, "ana").await;
        let place = CALLBACK.replace('?', "%3F").replace('=', "%3D");
        // Nothing is wrong but what is asked for.
        let path = format!("/oauth/authorize?response_type=token&client_id={client}&redirect_uri={place}");
        let mut stranger = Browser::new(&app);
        let answer = stranger.get(&path).await;
        assert_eq!((answer.status.as_u16(), answer.headers.contains_key("location")), (400, false));
        answer.says("The request is wrong");
        stranger.sign_in("ana", "correct horse").await;
        let answer = stranger.get(&path).await;
        assert!(answer.header("location").starts_with("https://app.example/callback?x=1&error=unsupported_response_type"), "{answer:?}");
    }

    async fn the_policy_of_the_consent_page_lets_an_answer_go_to_an_ipv6_address(app) {
        let uri = "http://[::1]:4000/cb";
        let made = app.post("/api/oauth/client/add", json!({"name": "Local", "redirect_uris": [uri]})).await.ok();
        add_user(&app, "ana").await;
        let mut browser = Browser::new(&app);
        browser.sign_in("ana", "correct horse").await;
        let client = made["client_id"].as_str().expect("text");
        let page = browser.get(&format!("/oauth/authorize?response_type=code&client_id={client}")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        page.says("<code>http://[::1]:4000</code>");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("form-action 'self' http:;"), "{policy}");
    }
}
