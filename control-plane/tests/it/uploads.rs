//! Uploads as they come over the wire: announced, too large, broken off, too many at once.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::files::{awkward, download, form, raw, send, slug, stored, upload, uploads};
use crate::harness::{ADMIN_KEY, TestApp};
use crate::storage::strays;

/// A connection that has sent this head.
async fn begun(app: &TestApp, path: &str, more: &str) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(app.addr).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {ADMIN_KEY}\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: tokio::net::TcpStream) -> String {
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("in time")
        .expect("reads");
    String::from_utf8(text).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn o_35_a_big_form_waits_for_a_word_and_has_it_at_once() {
    let app = TestApp::on_sqlite().await;
    let bytes: Vec<u8> = awkward().into_iter().cycle().take(2 << 20).collect();
    let body = form(&[("file", Some("big.bin"), &bytes)]);
    let more = format!(
        "Expect: 100-continue\r\nContent-Type: multipart/form-data; boundary=boundary7\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    let began = std::time::Instant::now();
    let mut stream = begun(&app, "/api/file/upload", &more).await;
    let mut first = [0; 25];
    stream.read_exact(&mut first).await.expect("reads");
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(began.elapsed() < Duration::from_secs(1), "curl's own wait");
    stream.write_all(&body).await.expect("sends");
    let text = answer(stream).await;
    assert!(
        text.starts_with("HTTP/1.1 200 ") && text.contains("\"error\":0"),
        "{text}"
    );
    let json: Value = serde_json::from_str(text.rsplit("\r\n").next().unwrap()).expect("JSON");
    assert!(download(&app, &slug(&json)).await == bytes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_before_it_is_sent_and_as_soon_as_it_is_seen() {
    let app = TestApp::start(None, &[("SIGNPOST_MAX_FILE_BYTES", "1MiB")]).await;
    // Said beforehand: no word to go on, and nothing of the body is awaited.
    for (path, kind) in [
        ("/api/files/upload/a.bin", "application/octet-stream"),
        (
            "/api/file/upload",
            "multipart/form-data; boundary=boundary7",
        ),
    ] {
        let more = format!(
            "Expect: 100-continue\r\nContent-Type: {kind}\r\nContent-Length: 2000000\r\nConnection: close\r\n"
        );
        let text = answer(begun(&app, path, &more).await).await;
        assert!(
            text.starts_with("HTTP/1.1 413 ") && text.contains("1048576"),
            "{text}"
        );
        assert!(!text.contains("100 Continue"), "{text}");
    }
    // Sent all the same, by one who reads only then.
    let answer = raw(&app, "a.bin", vec![0; 3 << 20]).await;
    answer.failed(413, "1048576");
    upload(&app, &[("file", Some("a.bin"), &[0; (1 << 20) + 1])])
        .await
        .failed(413, "1048576");
    // Not said beforehand.
    let more = "Transfer-Encoding: chunked\r\nConnection: close\r\n";
    let mut stream = begun(&app, "/api/files/upload/a.bin", more).await;
    let chunk = [&b"40000\r\n"[..], &vec![0; 0x40000], b"\r\n"].concat();
    for _ in 0..5 {
        stream.write_all(&chunk).await.expect("sends");
    }
    let text = self::answer(stream).await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    raw(&app, "a.bin", vec![0; 1 << 20]).await.ok();
    assert_eq!((stored(&uploads(&app)).len(), strays(&app).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let app = TestApp::on_sqlite().await;
    for (path, kind) in [
        ("/api/files/upload/a.bin", "application/octet-stream"),
        (
            "/api/file/upload",
            "multipart/form-data; boundary=boundary7",
        ),
    ] {
        let more = format!("Content-Type: {kind}\r\nContent-Length: 1000000\r\n");
        let mut stream = begun(&app, path, &more).await;
        let half = form(&[("file", Some("a.bin"), &[0; 200_000])]);
        stream.write_all(&half[..150_000]).await.expect("sends");
        crate::harness::eventually("it is on its way", async || {
            (!stored(&uploads(&app)).is_empty()).then_some(())
        })
        .await;
        drop(stream);
        crate::harness::eventually("its half is deleted", async || {
            stored(&uploads(&app)).is_empty().then_some(())
        })
        .await;
    }
    assert_eq!(strays(&app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_all_turns_taken_is_told_so_and_sends_nothing() {
    let app = TestApp::on_sqlite().await;
    let more = "Content-Length: 1000\r\n";
    // As many as one workspace may have.
    let held = futures_util::future::join_all(
        (0..16).map(|_| begun(&app, "/api/files/upload/a.bin", more)),
    )
    .await;
    // Each has its turn once its upload has a half.
    let parts = uploads(&app).join("part");
    crate::harness::eventually("all are under way", async || {
        let halves = std::fs::read_dir(&parts).map_or(0, Iterator::count);
        (halves == 16).then_some(())
    })
    .await;
    let form = "Content-Type: multipart/form-data; boundary=boundary7\r\n";
    let waiting =
        [("/api/files/upload/b.bin", ""), ("/api/file/upload", form)].map(|(path, kind)| {
            let more = format!(
                "{kind}Expect: 100-continue\r\nContent-Length: 1000\r\nConnection: close\r\n"
            );
            let app = &app;
            async move { answer(begun(app, path, &more).await).await }
        });
    let whole = raw(&app, "c.bin", vec![0; 3 << 20]);
    let (texts, whole) = tokio::join!(futures_util::future::join_all(waiting), whole);
    for text in texts {
        assert!(
            text.starts_with("HTTP/1.1 429 ") && !text.contains("100 Continue"),
            "{text}"
        );
        assert!(text.contains("\r\nretry-after: 10\r\n"), "{text}");
    }
    // Who had sent everything gets to read it as well.
    assert!(whole.status == 429 && whole.body.starts_with(b"{\"error\":429"));
    assert_eq!(whole.number("retry-after"), 10);
    // Others have turns of their own.
    let other = app.other_workspace().await;
    let path = "/api/files/upload/d.bin";
    send(&app, &other, (Method::POST, path), "", "x").await.ok();
    drop(held);
}
