//! Blobs: one row for the same bytes, counted users, and the endpoint proxies fetch them from.

use control_plane::store::blobs::{self, BlobHash, KEEP_UNUSED_MS, MAX_BLOB_BYTES};
use http::Method;
use sqlx::{AnyConnection, Connection as _};

use crate::harness::{Answer, TestApp, on_both_engines};

/// A connection that may write.
async fn writer(app: &TestApp) -> AnyConnection {
    let connection = AnyConnection::connect(&app.config.database_url.0).await;
    connection.expect("connects")
}

async fn fetch(app: &TestApp, name: &str, token: &str) -> Answer {
    let token = format!("Bearer {token}");
    let path = format!("{}/{name}", schemas::feed::paths::BLOBS);
    app.call(Method::GET, &path, &[("authorization", &token)], "")
        .await
}

fn token(app: &TestApp) -> String {
    let file = app.data.path().join(schemas::names::files::FEED_TOKEN);
    let token = std::fs::read_to_string(file).expect("a token");
    token.trim().to_owned()
}

on_both_engines! {
    async fn a_blob_is_fetched_by_its_hash_with_the_feeds_token(app) {
        let bytes: Vec<u8> = (0..=255).cycle().take(MAX_BLOB_BYTES).collect();
        let hash = blobs::hold(&mut writer(&app).await, &bytes).await.expect("stored");
        let name = hex::encode(hash.0);
        let token = token(&app);
        for name in [name.clone(), name.to_uppercase()] {
            let answer = fetch(&app, &name, &token).await;
            assert_eq!((answer.status.as_u16(), answer.body == bytes), (200, true));
            assert!(answer.header("cache-control").contains("immutable"));
        }
        fetch(&app, &name, "not the token").await.failed(401, "token");
        fetch(&app, &name, crate::harness::ADMIN_KEY).await.failed(401, "token");
        fetch(&app, &"0".repeat(64), &token).await.failed(404, "no blob");
        for bad in ["x", &name[1..], &format!("{name}0"), &"g".repeat(64), "%00", "%ff", &"%2e".repeat(64)] {
            fetch(&app, bad, &token).await.failed(400, "64 hex digits");
        }
        blobs::hold(&mut writer(&app).await, &vec![0; MAX_BLOB_BYTES + 1]).await.expect_err("too large");
    }

    async fn the_same_bytes_are_stored_once_and_swept_a_while_after_the_last_user(app) {
        let mut writer = writer(&app).await;
        let store = &app.running.store;
        let hash = blobs::hold(&mut writer, b"twice").await.expect("stored");
        assert_eq!(blobs::hold(&mut writer, b"twice").await.expect("stored"), hash);
        assert_eq!(hash, BlobHash::of(b"twice"));
        blobs::release(&mut writer, hash, 1000).await.expect("released");
        assert_eq!(blobs::sweep(store, i64::MAX).await.expect("swept"), 0, "one user is left");
        blobs::release(&mut writer, hash, 2000).await.expect("released");
        // Once too often changes nothing.
        blobs::release(&mut writer, hash, 9000).await.expect("released");
        assert_eq!(blobs::sweep(store, 1999 + KEEP_UNUSED_MS).await.expect("swept"), 0);
        assert!(blobs::get(store, hash).await.expect("read").is_some());
        // Used again, it stays.
        blobs::hold(&mut writer, b"twice").await.expect("stored");
        assert_eq!(blobs::sweep(store, i64::MAX).await.expect("swept"), 0);
        blobs::release(&mut writer, hash, 3000).await.expect("released");
        assert_eq!(blobs::sweep(store, 3000 + KEEP_UNUSED_MS).await.expect("swept"), 1);
        assert_eq!(blobs::get(store, hash).await.expect("read"), None);
    }
}
