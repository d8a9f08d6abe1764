//! Starting, stopping, and what a start says when it cannot.

use std::fs;
use std::path::Path;
use std::time::Duration;

use embedded::{Config, StartError, run, start};
use schemas::health::Health;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::child;
use crate::support::{DEADLINE, config, eventually, library, parse, request, server};

async fn fails(config: Config) -> (anyhow::Error, String) {
    let health = Health::new();
    let error = start(config, health.clone(), CancellationToken::new())
        .await
        .unwrap_err();
    let why = health.report()["engine"].clone().expect("not ready");
    (error, why)
}

#[tokio::test]
async fn missing_library_is_named_with_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.library = dir.path().join("nowhere.so");
    let (error, why) = fails(config.clone()).await;
    for text in [error.to_string(), why] {
        assert!(
            text.contains("nowhere.so") && text.contains("make fetch"),
            "{text}"
        );
    }
    assert!(matches!(
        error.downcast_ref(),
        Some(StartError::Library { .. })
    ));
    // The blocking form ends with the same error, and soon.
    let error =
        tokio::task::spawn_blocking(|| run(config, Health::new(), CancellationToken::new()))
            .await
            .unwrap()
            .unwrap_err();
    assert!(error.to_string().contains("nowhere.so"), "{error}");
}

#[tokio::test]
async fn corrupt_library_is_an_error_and_no_crash() {
    use std::io::Read as _;
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("libchdb.so");
    let mut whole = fs::File::open(library()).unwrap();
    let mut beginning = vec![0; 1 << 20];
    whole.read_exact(&mut beginning).unwrap();
    for content in [
        &b""[..],
        b"<html>not found</html>",
        &beginning[..63],
        &beginning[..100],
        &beginning,
    ] {
        fs::write(&broken, content).unwrap();
        let mut config = config(dir.path());
        config.library = broken.clone();
        let (error, why) = fails(config).await;
        assert!(
            error.to_string().contains("make fetch") && why.contains("libchdb.so"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_library_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps
        .lines()
        .filter_map(|l| l.split_whitespace().last())
        .find(|p| p.contains("libc.so"))
        .unwrap();
    let mut config = config(dir.path());
    config.library = libc.into();
    let (error, _) = fails(config).await;
    assert!(
        error.to_string().contains("it has no function chdb_"),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_server_on_the_same_storage_is_refused() {
    let (error, why) = fails(config(&server().data_dir)).await;
    assert!(
        matches!(error.downcast_ref(), Some(StartError::Locked(_))),
        "{error}"
    );
    assert!(why.contains("another process"), "{why}");
}

#[tokio::test]
async fn a_used_port_is_named_with_its_setting() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.addr = server().addr;
    let (error, _) = fails(config).await;
    assert!(
        format!("{error:#}").contains("SIGNPOST_CLICKHOUSE_ADDR"),
        "{error:#}"
    );
}

#[tokio::test]
async fn other_than_loopback_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.addr = "0.0.0.0:0".parse().unwrap();
    let (error, _) = fails(config).await;
    assert!(
        error
            .to_string()
            .contains("SIGNPOST_CLICKHOUSE_ALLOW_REMOTE"),
        "{error}"
    );
}

async fn ask(process: &child::Process, folder: &Path, sql: &str) -> Option<String> {
    let password = fs::read_to_string(folder.join("clickhouse.password")).ok()?;
    let mut stream = TcpStream::connect(process.addr).await.ok()?;
    stream
        .write_all(&request("signpost", &password, "", sql.as_bytes()))
        .await
        .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let reply = parse(&answer);
    (reply.status == 200).then(|| reply.text().trim().to_owned())
}

async fn up(process: &child::Process, folder: &Path) {
    eventually("the role serves", DEADLINE, async || {
        ask(process, folder, "SELECT 1").await.as_deref() == Some("1")
    })
    .await;
}

#[tokio::test]
async fn rows_passwords_and_tokens_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let process = child::spawn(folder, false);
    up(&process, folder).await;
    let insert = "INSERT INTO kept SETTINGS insert_deduplication_token = 't1' VALUES (1), (2)";
    for sql in [
        "CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100",
        insert,
    ] {
        assert!(ask(&process, folder, sql).await.is_some(), "{sql}");
    }
    // The engine's mark of an open storage: there while it runs, gone after a clean close.
    let mark = folder.join("clickhouse/status");
    assert!(mark.exists());
    assert_eq!(process.stop(), "stopped well");
    assert!(!mark.exists(), "the storage was closed after inserts");

    let process = child::spawn(folder, false);
    up(&process, folder).await;
    assert!(ask(&process, folder, insert).await.is_some());
    assert_eq!(
        ask(&process, folder, "SELECT groupArray(a) FROM kept")
            .await
            .as_deref(),
        Some("[1,2]")
    );
    assert_eq!(process.stop(), "stopped well");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_for_a_query() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let process = child::spawn(folder, false);
    up(&process, folder).await;
    let password = fs::read_to_string(folder.join("clickhouse.password")).unwrap();
    let mut stream = TcpStream::connect(process.addr).await.unwrap();
    let sql = "SELECT count() FROM numbers(1000000000000000) WHERE NOT ignore(number)";
    stream
        .write_all(&request("signpost", &password, "", sql.as_bytes()))
        .await
        .unwrap();
    eventually("it runs", DEADLINE, async || {
        ask(&process, folder, "SELECT count() FROM system.processes")
            .await
            .as_deref()
            == Some("2")
    })
    .await;
    let began = std::time::Instant::now();
    let said = tokio::task::spawn_blocking(move || process.stop())
        .await
        .unwrap();
    assert_eq!(said, "stopped well");
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(parse(&answer).code(), Some(394), "the client is told");
}

#[tokio::test]
async fn the_role_dies_with_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let mut process = child::spawn(folder, true);
    up(&process, folder).await;
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    eventually("the role is gone", DEADLINE, async || {
        TcpStream::connect(process.addr).await.is_err()
    })
    .await;
    // And the storage is free for the next.
    let next = child::spawn(folder, false);
    up(&next, folder).await;
    assert_eq!(next.stop(), "stopped well");
}
