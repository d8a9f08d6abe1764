//! Files in a bucket of a real S3 server, in this process: whole, in parts, and when the server fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::harness::{TestApp, eventually, scratch};
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

/// A stream with TLS or without.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

/// A server's certificate for 127.0.0.1 by an authority of its own, and that one's certificate as a PEM file.
fn authority(folder: &TempDir) -> (TlsAcceptor, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).expect("a certificate");
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned()];
    let params = rcgen::CertificateParams::new(names).expect("names");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a server");
    let path = folder.path().join("ca.pem");
    let pem = STANDARD.encode(ca.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
    std::fs::write(&path, pem).expect("written");
    let path = path.to_str().expect("text").to_owned();
    (TlsAcceptor::from(Arc::new(config)), path)
}

impl S3 {
    async fn start() -> Self {
        Self::behind(None).await
    }

    /// Over TLS, if there is somebody to speak it.
    async fn behind(tls: Option<TlsAcceptor>) -> Self {
        let folder = scratch();
        std::fs::create_dir(folder.path().join("my-files")).expect("a bucket");
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("a server"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().expect("bound"));
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
                let tls = tls.clone();
                tokio::spawn(async move {
                    let stream: Box<dyn Wire> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            // Whoever does not trust us hangs up.
                            Err(_) => return,
                        },
                    };
                    let serving = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answering);
                    let _ = serving.await;
                });
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
        self.app_with(&[]).await
    }

    async fn app_with(&self, more: &[(&str, &str)]) -> TestApp {
        let settings = [
            ("SIGNPOST_FILES", "s3://my-files/kept/here"),
            ("SIGNPOST_S3_ENDPOINT", &self.url),
            ("SIGNPOST_S3_ACCESS_KEY", KEY),
            ("SIGNPOST_S3_SECRET_KEY", SECRET),
        ];
        TestApp::start(None, &[&settings[..], more].concat()).await
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_reached_by_https_by_those_who_trust_its_authority() {
    let folder = scratch();
    let (tls, ca) = authority(&folder);
    let s3 = S3::behind(Some(tls)).await;
    let app = s3.app_with(&[("SIGNPOST_S3_CA_FILE", &ca)]).await;
    let large = large();
    for bytes in [b"small".to_vec(), large.clone()] {
        raw(&app, "a.bin", bytes.clone()).await.ok();
        assert!(fetch(&app, &bytes).await.body == bytes);
    }
    let part = crate::storage::fetch_part(&app, &large, "bytes=9000000-9000099").await;
    assert!(part.status == 206 && part.body == large[9_000_000..=9_000_099]);
    assert_eq!((s3.objects(), strays(&app).await), ((2, 0), 0));
    // Nobody else, and nobody's word for another name.
    let distrusting = s3.app().await;
    raw(&distrusting, "a.bin", b"x".to_vec())
        .await
        .failed(503, "file storage");
    let other = s3.url.replace("127.0.0.1", "localhost");
    let mistaken = [
        ("SIGNPOST_S3_CA_FILE", &*ca),
        ("SIGNPOST_S3_ENDPOINT", &other),
    ];
    let settings = [
        ("SIGNPOST_FILES", "s3://my-files"),
        ("SIGNPOST_S3_ACCESS_KEY", KEY),
        ("SIGNPOST_S3_SECRET_KEY", SECRET),
    ];
    let mistaken = TestApp::start(None, &[&settings[..], &mistaken].concat()).await;
    raw(&mistaken, "a.bin", b"x".to_vec())
        .await
        .failed(503, "file storage");
    assert_eq!(s3.objects(), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_authorities_stops_the_start() {
    let folder = scratch();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").expect("written");
    for path in [empty, folder.path().join("missing.pem")] {
        let path = path.to_str().expect("text");
        let settings = [
            ("SIGNPOST_FILES", "s3://my-files"),
            ("SIGNPOST_S3_ACCESS_KEY", KEY),
            ("SIGNPOST_S3_SECRET_KEY", SECRET),
            ("SIGNPOST_S3_CA_FILE", path),
        ];
        let data = scratch();
        let started = TestApp::start_in(data, None, &settings).await.map(|_| ());
        let error = format!("{:#}", started.expect_err("no authority"));
        assert!(
            error.contains(&format!("SIGNPOST_S3_CA_FILE={path}")),
            "{error}"
        );
    }
}
