//! Files in a bucket of a real S3 server, in this process: whole, in parts, and when the server fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{TestApp, eventually};
use crate::storage::{HOUR_MS, count, delete, fetch, raw, storage, strays};

const KEY: &str = "access";
const SECRET: &str = "secret-of-the-bucket";

/// The server, with its data in a folder.
struct S3 {
    url: String,
    folder: TempDir,
    /// Second parts and deletions are refused with status 500.
    fails: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl S3 {
    async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::create_dir(folder.path().join("my-files")).expect("a bucket");
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("a server"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let fails = Arc::new(AtomicBool::new(false));
        let failing = Arc::clone(&fails);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, failing) = (service.clone(), Arc::clone(&failing));
                let answering = service_fn(move |request: Request<Incoming>| {
                    let query = request.uri().query().unwrap_or_default();
                    // As if the whole process were gone by then: nothing is given up either.
                    let gives_up = request.method() == Method::DELETE;
                    let refuse = failing.load(Ordering::Relaxed)
                        && (query.contains("partNumber=2") || gives_up);
                    let answer = (!refuse).then(|| Service::call(&service, request));
                    async move {
                        match answer {
                            Some(answer) => answer.await,
                            None => {
                                let mut response = Response::new(s3s::Body::empty());
                                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                                Ok(response)
                            }
                        }
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answering),
                );
            }
        });
        Self {
            url,
            folder,
            fails,
            task,
        }
    }

    async fn app(&self) -> TestApp {
        TestApp::start(
            None,
            &[
                ("SIGNPOST_FILES", "s3://my-files/kept/here"),
                ("SIGNPOST_S3_ENDPOINT", &self.url),
                ("SIGNPOST_S3_ACCESS_KEY", KEY),
                ("SIGNPOST_S3_SECRET_KEY", SECRET),
            ],
        )
        .await
    }

    /// Objects in the bucket, and parts of unfinished ones.
    fn objects(&self) -> (usize, usize) {
        let whole = count(&self.folder.path().join("my-files"));
        let beside = std::fs::read_dir(self.folder.path()).expect("a folder");
        let parts = beside.flatten().filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with(".upload_id-")
        });
        (whole, parts.count())
    }
}

/// More than two parts.
fn large() -> Vec<u8> {
    (0..17_u32 << 18).flat_map(u32::to_le_bytes).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_a_bucket_come_back_as_they_went_in() {
    let s3 = S3::start().await;
    let app = s3.app().await;
    let large = large();
    for bytes in [b"small".to_vec(), Vec::new(), large.clone()] {
        raw(&app, "a.bin", bytes.clone()).await.ok();
        let answer = fetch(&app, &bytes).await;
        assert!(
            answer.status == 200 && answer.body == bytes,
            "{}",
            answer.status
        );
    }
    assert_eq!((s3.objects(), strays(&app).await), ((3, 0), 0));
    let part = crate::storage::fetch_part(&app, &large, "bytes=9000000-9000099").await;
    assert!(part.status == 206 && part.body == large[9_000_000..=9_000_099]);
    // The same bytes once more: one object.
    let again = raw(&app, "b.bin", b"small".to_vec()).await.ok();
    assert_eq!((s3.objects(), strays(&app).await), ((3, 0), 0));
    // Deleted, they go a day later.
    let first = app.get("/api/files?limit=500").await.ok();
    for file in first["list"].as_array().expect("a list") {
        if file["id"] != again["id"] {
            delete(&app, file).await;
        }
    }
    app.config.clock.advance_ms(25 * HOUR_MS);
    assert_eq!(storage(&app).sweep().await.expect("sweeps"), 2);
    assert_eq!((s3.objects(), strays(&app).await), ((1, 0), 0));
    assert_eq!(fetch(&app, b"small").await.body, "small");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_half_way_leaves_nothing_behind() {
    let s3 = S3::start().await;
    let app = s3.app().await;
    s3.fails.store(true, Ordering::Relaxed);
    raw(&app, "a.bin", large())
        .await
        .failed(503, "file storage");
    assert_eq!(app.get("/api/files").await.ok()["result"], 0);
    // Its first part lies there, as after a crash, and so does a note of it.
    assert_eq!((s3.objects(), strays(&app).await), ((0, 1), 1));
    let storage = storage(&app);
    app.config.clock.advance_ms(25 * HOUR_MS);
    storage.sweep().await.expect("sweeps");
    assert_eq!(
        (s3.objects(), strays(&app).await),
        ((0, 1), 1),
        "not while it fails"
    );
    s3.fails.store(false, Ordering::Relaxed);
    storage.sweep().await.expect("sweeps");
    assert_eq!((s3.objects(), strays(&app).await), ((0, 0), 0));
    raw(&app, "a.bin", large()).await.ok();
    assert_eq!((s3.objects(), strays(&app).await), ((1, 0), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_server_files_are_refused_and_everything_else_works() {
    let s3 = S3::start().await;
    let app = s3.app().await;
    raw(&app, "a.bin", b"kept".to_vec()).await.ok();
    s3.task.abort();
    eventually("nobody listens", async || {
        let address = s3.url.strip_prefix("http://").expect("cleartext");
        tokio::net::TcpStream::connect(address).await.err()
    })
    .await;
    raw(&app, "b.bin", b"lost".to_vec())
        .await
        .failed(503, "file storage");
    assert_eq!(fetch(&app, b"kept").await.status, 503);
    assert_eq!(app.get("/api/files").await.ok()["result"], 1);
    app.link(serde_json::json!({"url": "https://e.test/"}))
        .await;
    assert_eq!(
        app.with_key(crate::harness::ADMIN_KEY, Method::GET, "/api/account", None)
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_said_plainly() {
    let s3 = S3::start().await;
    let app = TestApp::start(
        None,
        &[
            ("SIGNPOST_FILES", "s3://my-files"),
            ("SIGNPOST_S3_ENDPOINT", &s3.url),
            ("SIGNPOST_S3_ACCESS_KEY", KEY),
            ("SIGNPOST_S3_SECRET_KEY", "another-secret"),
        ],
    )
    .await;
    raw(&app, "a.bin", b"x".to_vec())
        .await
        .failed(503, "cannot be written to");
    assert_eq!(s3.objects(), (0, 0));
}
