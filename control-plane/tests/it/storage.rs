//! The file storage: a folder and a real S3 server, what they leave behind when something fails, and the sweep.

use std::path::Path;
use std::time::Duration;

use control_plane::storage::Storage;
use http::Method;
use serde_json::Value;

use crate::harness::{ADMIN_KEY, Answer, TestApp};

pub(crate) const HOUR_MS: i64 = 3_600_000;

pub(crate) async fn raw(app: &TestApp, name: &str, body: Vec<u8>) -> Answer {
    let authorization = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", authorization.as_str())];
    let path = format!("/api/files/upload/{name}");
    app.call(Method::POST, &path, &headers, body).await
}

pub(crate) async fn delete(app: &TestApp, json: &Value) {
    app.delete(&format!("/api/file/{}/delete", json["id"]))
        .await
        .ok();
}

/// What may lie in the storage and is not used.
pub(crate) async fn strays(app: &TestApp) -> i64 {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM stray_objects")
        .fetch_one(app.running.store.readers())
        .await
        .expect("reads");
    count
}

/// A second hand at the same storage.
pub(crate) fn storage(app: &TestApp) -> Storage {
    let config = &app.config;
    Storage::open(
        &config.files.place,
        app.running.store.clone(),
        config.clock.clone(),
    )
    .expect("opens")
}

pub(crate) async fn fetch(app: &TestApp, bytes: &[u8]) -> Answer {
    fetch_part(app, bytes, "").await
}

/// Bytes as a proxy of another machine asks for them.
pub(crate) async fn fetch_part(app: &TestApp, bytes: &[u8], range: &str) -> Answer {
    use sha2::Digest as _;
    let token = app.data.path().join(schemas::names::files::FEED_TOKEN);
    let token = std::fs::read_to_string(token).expect("a token");
    let token = format!("Bearer {}", token.trim());
    let hash = hex::encode(sha2::Sha256::digest(bytes));
    let path = format!("{}/{hash}", schemas::feed::paths::BLOBS);
    let headers = [("authorization", token.as_str()), ("range", range)];
    app.call(Method::GET, &path, &headers, "").await
}

pub(crate) fn count(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => count(&path),
            _ => 1,
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_a_day_after_their_last_file_and_not_before() {
    let app = TestApp::on_sqlite().await;
    let folder = app.data.path().join("uploads");
    let storage = storage(&app);
    let a = raw(&app, "a.txt", b"shared".to_vec()).await.ok();
    let b = raw(&app, "b.txt", b"shared".to_vec()).await.ok();
    delete(&app, &a).await;
    app.config.clock.advance_ms(48 * HOUR_MS);
    assert_eq!(
        storage.sweep().await.expect("sweeps"),
        0,
        "one file is left"
    );
    delete(&app, &b).await;
    app.config.clock.advance_ms(23 * HOUR_MS);
    assert_eq!(storage.sweep().await.expect("sweeps"), 0);
    assert_eq!(fetch(&app, b"shared").await.body, "shared");
    app.config.clock.advance_ms(HOUR_MS);
    assert_eq!(storage.sweep().await.expect("sweeps"), 1);
    assert_eq!(
        (count(&folder), fetch(&app, b"shared").await.status.as_u16()),
        (0, 404)
    );
    // The same bytes once more, and a note of the old ones that is acted on late.
    raw(&app, "c.txt", b"shared".to_vec()).await.ok();
    app.config.clock.advance_ms(48 * HOUR_MS);
    assert_eq!(storage.sweep().await.expect("sweeps"), 0);
    assert_eq!(fetch(&app, b"shared").await.body, "shared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_and_deletions_of_the_same_bytes_that_race_lose_none() {
    let app = TestApp::on_sqlite().await;
    let storage = storage(&app);
    let bytes = b"wanted again and again".to_vec();
    let mut kept = raw(&app, "a.txt", bytes.clone()).await.ok();
    for _ in 0..20 {
        let sweep = async {
            app.config.clock.advance_ms(48 * HOUR_MS);
            storage.sweep().await.expect("sweeps")
        };
        let (_, uploaded, _) = tokio::join!(
            delete(&app, &kept),
            raw(&app, "b.txt", bytes.clone()),
            sweep
        );
        kept = uploaded.ok();
        assert_eq!(fetch(&app, &bytes).await.body, bytes);
    }
    app.config.clock.advance_ms(48 * HOUR_MS);
    while storage.sweep().await.expect("sweeps") > 0 {}
    assert_eq!(count(&app.data.path().join("uploads")), 1);
    assert_eq!(fetch(&app, &bytes).await.body, bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_is_swept_a_day_later() {
    let app = TestApp::on_sqlite().await;
    let folder = app.data.path().join("uploads");
    let storage = storage(&app);
    // Killed while bytes came in, and after they lay there and before they were used.
    let half = folder.join("part").join("0123456789abcdef");
    std::fs::write(&half, b"half").expect("written");
    std::fs::create_dir_all(folder.join("ab")).expect("made");
    std::fs::write(folder.join("ab").join("abcd-1234"), b"whole").expect("written");
    let pool = sqlx::AnyPool::connect(&app.config.database_url.0)
        .await
        .expect("connects");
    sqlx::query("INSERT INTO stray_objects (storage_key, multipart_id, since) VALUES ('ab/abcd-1234', '', $1), ('cd/cdef-1', '', $1), ('signpost.db', '', $1)")
        .bind(app.config.clock.now_ms())
        .execute(&pool)
        .await
        .expect("inserts");
    assert_eq!(
        storage.sweep().await.expect("sweeps"),
        0,
        "they may be under way"
    );
    app.config.clock.advance_ms(25 * HOUR_MS);
    assert_eq!(storage.sweep().await.expect("sweeps"), 3);
    assert_eq!(count(&folder), 1, "the half is not old by its own time");
    let old = std::time::SystemTime::now() - Duration::from_secs(25 * 3600);
    let file = std::fs::File::options()
        .write(true)
        .open(&half)
        .expect("opens");
    file.set_modified(old).expect("set");
    assert_eq!(storage.sweep().await.expect("sweeps"), 1);
    assert_eq!(count(&folder), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_an_operator_lost_come_back_with_the_next_upload() {
    let app = TestApp::on_sqlite().await;
    let folder = app.data.path().join("uploads");
    raw(&app, "a.txt", b"precious".to_vec()).await.ok();
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(fetch(&app, b"precious").await.status, 404);
    raw(&app, "b.txt", b"precious".to_vec()).await.ok();
    assert_eq!(fetch(&app, b"precious").await.body, "precious");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_takes_nothing_refuses_uploads_and_says_why() {
    // Nobody may make files there, not even root.
    let app = TestApp::start(None, &[("SIGNPOST_FILES", "/sys/kernel")]).await;
    raw(&app, "a.txt", b"x".to_vec())
        .await
        .failed(503, "cannot be written to");
    // One that is lost meanwhile, and comes back.
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("files");
    let app = TestApp::start(None, &[("SIGNPOST_FILES", &place.to_string_lossy())]).await;
    raw(&app, "a.txt", b"x".to_vec()).await.ok();
    std::fs::remove_dir_all(&place).expect("removed");
    std::fs::write(&place, b"a file where the folder was").expect("written");
    raw(&app, "b.txt", b"y".to_vec())
        .await
        .failed(503, "file storage");
    assert_eq!(app.get("/api/files").await.ok()["result"], 1);
    std::fs::remove_file(&place).expect("removed");
    raw(&app, "b.txt", b"y".to_vec()).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_deleted_holds_up_nothing_else() {
    let app = TestApp::on_sqlite().await;
    let folder = app.data.path().join("uploads");
    let storage = storage(&app);
    // A folder of the name of a file is not deleted as one; there are more of those than one sweep tries.
    let mut keys = Vec::new();
    for number in 0..12 {
        let key = format!("ab/ab{number:02}-1");
        std::fs::create_dir_all(folder.join(&key).join("x")).expect("made");
        keys.push(key);
    }
    std::fs::write(folder.join("ab").join("abff-1"), b"whole").expect("written");
    keys.push("ab/abff-1".to_owned());
    let pool = sqlx::AnyPool::connect(&app.config.database_url.0)
        .await
        .expect("connects");
    for (number, key) in keys.iter().enumerate() {
        sqlx::query(
            "INSERT INTO stray_objects (storage_key, multipart_id, since) VALUES ($1, '', $2)",
        )
        .bind(key.clone())
        .bind(number as i64)
        .execute(&pool)
        .await
        .expect("inserts");
    }
    assert_eq!(storage.sweep().await.expect("sweeps"), 0);
    assert_eq!(storage.sweep().await.expect("sweeps"), 1);
    let left: Vec<(String,)> = sqlx::query_as("SELECT storage_key FROM stray_objects")
        .fetch_all(&pool)
        .await
        .expect("rows");
    assert!(left.len() == 12 && left.iter().all(|(key,)| key != "ab/abff-1"));
    // Once they can be deleted they are.
    for (key,) in left {
        std::fs::remove_dir_all(folder.join(key)).expect("removed");
    }
    assert_eq!(storage.sweep().await.expect("sweeps"), 12);
}
