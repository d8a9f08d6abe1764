//! First start, second start, and starts that must fail.

use std::os::unix::fs::PermissionsExt as _;

use http::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{ADMIN_KEY, TestApp, config, on_both_engines, scratch};

/// The database to start with again; `None`: the file in the data folder.
fn postgres(app: &TestApp) -> Option<String> {
    Some(app.config.database_url.0.clone()).filter(|url| url.starts_with("postgres"))
}

on_both_engines! {
    async fn everything_is_there_after_a_restart(app) {
        let id = app.link(json!({"url": "https://e.test/", "custom": "kept"})).await;
        let key = app.key("kept", Some(9)).await;
        let database = postgres(&app);
        assert!(app.health.is_ready());
        let token = std::fs::read_to_string(app.data.path().join("feed.token")).expect("a token");
        let data = app.stop().await;
        let app = TestApp::start_in(data, database, &[]).await.expect("starts again");
        assert_eq!(app.get(&format!("/api/url/{id}")).await.ok()["details"]["alias"], "kept");
        assert_eq!(app.with_key(&key, Method::GET, "/api/account", None).await.number("x-ratelimit-limit"), 9);
        assert_eq!(std::fs::read_to_string(app.data.path().join("feed.token")).expect("a token"), token);
        let (users,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM users").fetch_one(app.running.store.readers()).await.expect("counts");
        assert_eq!(users, 1);
        assert_eq!(*app.running.store.watch().borrow(), 2);
    }

    async fn the_default_domain_follows_the_public_url(app) {
        app.link(json!({"url": "https://e.test/", "custom": "kept"})).await;
        let database = postgres(&app);
        let data = app.stop().await;
        let moved = [("SIGNPOST_PUBLIC_URL", "http://127.0.0.1:8080")];
        let app = TestApp::start_in(data, database, &moved).await.expect("starts again");
        assert_eq!(app.get("/api/urls").await.ok()["data"]["urls"][0]["shorturl"], "http://127.0.0.1:8080/kept");
        app.get("/api/urls?short=http://127.0.0.1:8080/kept").await.ok();
        // Another port of this machine is not ours.
        app.link(json!({"url": "http://127.0.0.1:9999/"})).await;
        app.post("/api/url/add", json!({"url": "http://127.0.0.1:8080/"})).await.refused("must not lead back");
    }
}

#[tokio::test]
async fn a_first_start_without_a_key_makes_one_that_only_its_owner_reads() {
    let app = TestApp::start(None, &[("SIGNPOST_ADMIN_KEY", "")]).await;
    for file in ["admin.key", "feed.token"] {
        let path = app.data.path().join(file);
        let mode = std::fs::metadata(&path)
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let key = std::fs::read_to_string(app.data.path().join("admin.key")).expect("the key");
    app.with_key(key.trim(), Method::GET, "/api/account", None)
        .await
        .ok();
    app.with_key(ADMIN_KEY, Method::GET, "/api/account", None)
        .await
        .failed(401, "not known");
}

#[tokio::test]
async fn a_second_control_plane_on_the_same_folder_is_refused() {
    let app = TestApp::start(None, &[]).await;
    let config = config(&app.data, None, &[]);
    let refused = control_plane::start(config, app.health.clone(), app.shutdown.clone()).await;
    let message = format!("{:#}", refused.expect_err("refused"));
    assert!(
        message.contains("another control plane uses SIGNPOST_DATA_DIR"),
        "{message}"
    );
    app.get("/api/account").await.ok();
}

#[tokio::test]
async fn a_used_port_is_named_with_its_setting() {
    let app = TestApp::start(None, &[]).await;
    let used = app.addr.to_string();
    let data = scratch();
    let refused = TestApp::start_in(data, None, &[("SIGNPOST_API_ADDR", &used)]).await;
    let message = format!("{:#}", refused.err().expect("refused"));
    assert!(
        message.contains(&format!("SIGNPOST_API_ADDR={used}")),
        "{message}"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let data = scratch();
    std::fs::write(data.path().join("file"), b"").expect("writes");
    let inside = data.path().join("file/data").to_string_lossy().into_owned();
    let refused = TestApp::start_in(data, None, &[("SIGNPOST_DATA_DIR", &inside)]).await;
    let message = format!("{:#}", refused.err().expect("refused"));
    assert!(message.contains("SIGNPOST_DATA_DIR"), "{message}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let app = TestApp::start(None, &[]).await;
    let url = app.config.database_url.0.clone();
    let data = app.stop().await;
    let pool = sqlx::AnyPool::connect(&url).await.expect("connects");
    sqlx::query("INSERT INTO schema_migrations (number, name) VALUES (999, 'future')")
        .execute(&pool)
        .await
        .expect("inserts");
    pool.close().await;
    let refused = TestApp::start_in(data, None, &[]).await;
    let message = format!("{:#}", refused.err().expect("refused"));
    assert!(message.contains("written by a newer version"), "{message}");
}

#[tokio::test]
async fn a_data_folder_with_odd_characters_works() {
    let data = TempDir::with_prefix("a %20b?c#d&é ").expect("temporary folder");
    let app = TestApp::start_in(data, None, &[]).await.expect("starts");
    app.get("/api/account").await.ok();
    assert!(app.data.path().join("signpost.db").exists());
}

#[tokio::test]
async fn operator_commands_need_a_database_that_exists() {
    let data = scratch();
    let config = config(&data, None, &[]);
    let message = control_plane::keys::list(&config)
        .await
        .expect_err("no database")
        .to_string();
    assert!(
        message.contains("start the control plane once"),
        "{message}"
    );
    assert!(!data.path().join("signpost.db").exists());
}
