//! Visitors over TLS, with HTTP/1.1 and HTTP/2.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::counting::{closed, counted, recorder};
use crate::extended::{cookie_keys, locked, put as put_plan, share};
use crate::feed_server::FeedServer;
use crate::files::with_file;
use crate::harness::{DEADLINE, TestProxy, eventually};
use crate::http2::{eventually_closed, http2};

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// Writes a new certificate for this name, and its key, to these files.
fn make(name: &str, certificate: &Path, key: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    let der = made.cert.der().clone();
    std::fs::write(key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).expect("written");
    std::fs::write(certificate, pem("CERTIFICATE", &der)).expect("written");
    der
}

pub(crate) struct Tls {
    pub(crate) dir: TempDir,
    pub(crate) feed: FeedServer,
    pub(crate) proxy: TestProxy,
    pub(crate) certificate: CertificateDer<'static>,
}

impl Tls {
    /// A proxy with a certificate for `go.test`, and with `a` on its default domain.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let feed = FeedServer::start();
        feed.put("a", "https://dest.test/");
        let dir = tempfile::tempdir().expect("tempdir");
        Self::with(feed, dir, settings)
    }

    pub(crate) fn with(feed: FeedServer, dir: TempDir, settings: &[(&str, &str)]) -> Self {
        let [cert, key] = ["go.pem", "go.key"].map(|name| dir.path().join(name));
        let certificate = make("go.test", &cert, &key);
        let (cert, key) = (cert.to_string_lossy(), key.to_string_lossy());
        let tls = [
            ("SIGNPOST_TLS_ADDR", "127.0.0.1:0"),
            ("SIGNPOST_TLS_CERT", cert.as_ref()),
            ("SIGNPOST_TLS_KEY", key.as_ref()),
        ];
        let settings = [&tls[..], settings].concat();
        let proxy = TestProxy::ready(dir.path(), &feed, &settings);
        Self {
            dir,
            feed,
            proxy,
            certificate,
        }
    }

    /// A connection that trusts this certificate alone.
    fn connect(
        &self,
        name: &str,
        trusted: &CertificateDer<'static>,
    ) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        connect(self.proxy.tls_addr(), name, trusted, &[b"http/1.1"])
    }
}

pub(crate) fn client(trusted: &CertificateDer<'static>, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Arc::new(config)
}

fn connect(
    addr: SocketAddr,
    name: &str,
    trusted: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let tls = ClientConnection::new(client(trusted, protocols), name).expect("a client");
    let tcp = TcpStream::connect(addr)?;
    tcp.set_read_timeout(Some(DEADLINE))?;
    let mut stream = StreamOwned::new(tls, tcp);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

/// Sends this and returns everything until the end.
fn all(mut stream: impl std::io::Read + std::io::Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("answered to the end");
    String::from_utf8_lossy(&answer).into_owned()
}

const CLOSE: &str = "Host: go.test\r\nConnection: close\r\n\r\n";

#[test]
fn visitors_over_tls_are_answered_as_all_are() {
    let tls = Tls::start(&[]);
    let stream = tls.connect("go.test", &tls.certificate).expect("connected");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let plain = "GET /a HTTP/1.1\r\nHost: go.test\r\n\r\n".repeat(1000);
    let answers = all(stream, &format!("{plain}GET /none HTTP/1.1\r\n{CLOSE}"));
    assert_eq!(
        answers
            .matches("HTTP/1.1 302 Found\r\nlocation: https://dest.test/\r\n")
            .count(),
        1000
    );
    assert_eq!(answers.matches("HTTP/1.1 404 Not Found").count(), 1);
    // What is refused on the other address is refused here.
    let stream = tls.connect("go.test", &tls.certificate).expect("connected");
    let answer = all(stream, "GET /a HTTP/1.1\nHost: go.test\n\n");
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    // The other address goes on in cleartext.
    assert_eq!(tls.proxy.follow("a"), "302 https://dest.test/");
}

#[test]
fn who_does_not_speak_tls_is_hung_up_on() {
    recorder();
    let tls = Tls::start(&[("SIGNPOST_PROXY_HEADER_SECONDS", "1")]);
    let before = closed("tls");
    let mut stream = TcpStream::connect(tls.proxy.tls_addr()).expect("connected");
    stream
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("written");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    eventually("it is counted", || closed("tls") > before);
    // Nor does the handshake take for ever.
    let mut silent = TcpStream::connect(tls.proxy.tls_addr()).expect("connected");
    silent.set_read_timeout(Some(DEADLINE)).expect("timeout");
    assert_eq!(silent.read(&mut [0; 9]).expect("hung up"), 0);
}

#[test]
fn a_certificate_is_chosen_by_name_and_read_again_when_it_changes() {
    recorder();
    let folder = tempfile::tempdir().expect("tempdir");
    let path = |name: &str| folder.path().join(name);
    let one = make("one.test", &path("one.crt"), &path("one.key"));
    std::fs::create_dir(path("wild")).expect("a folder");
    let wild = make(
        "*.wild.test",
        &path("wild/fullchain.pem"),
        &path("wild/privkey.pem"),
    );
    // Half of one, and nonsense, are in nobody's way.
    std::fs::write(path("half.crt"), "x").expect("written");
    std::fs::write(path("bad.crt"), "x").expect("written");
    std::fs::write(path("bad.key"), "x").expect("written");
    let text = folder.path().to_string_lossy().into_owned();
    let tls = Tls::start(&[("SIGNPOST_TLS_DIR", &text)]);
    let follows = |name: &str, trusted: &CertificateDer<'static>| {
        let Ok(stream) = tls.connect(name, trusted) else {
            return false;
        };
        all(stream, &format!("GET /a HTTP/1.1\r\n{CLOSE}")).starts_with("HTTP/1.1 302")
    };
    assert!(follows("go.test", &tls.certificate));
    assert!(follows("one.test", &one));
    assert!(follows("any.wild.test", &wild));
    assert!(!follows("two.wild.wild.test", &wild));
    assert!(!follows("one.test", &tls.certificate));
    // Renewed, added, taken away.
    let renewed = make("one.test", &path("one.crt"), &path("one.key"));
    eventually("the new one is shown", || follows("one.test", &renewed));
    assert!(!follows("one.test", &one));
    let two = make("two.test", &path("two.pem"), &path("two.key"));
    eventually("it is shown", || follows("two.test", &two));
    // A key of another's leaves the one before in use.
    let failed = format!("{}{{result=\"failed\"}}", proxy::metrics::CERTIFICATES);
    let before = counted(&failed);
    std::fs::copy(path("two.key"), path("one.key")).expect("copied");
    eventually("it is seen", || counted(&failed) > before);
    assert!(follows("one.test", &renewed));
    std::fs::remove_file(path("two.pem")).expect("removed");
    eventually("it is shown no more", || !follows("two.test", &two));
    let [cert, key] = ["go.pem", "go.key"].map(|name| tls.dir.path().join(name));
    let other = make("go.test", &cert, &key);
    eventually("the default is another", || follows("go.test", &other));
}

#[test]
fn the_password_cookie_is_secure_where_the_visitor_came_over_tls() {
    let feed = FeedServer::start();
    share(&feed, cookie_keys(1));
    put_plan(&feed, 5, "locked", &locked("open"));
    let dir = tempfile::tempdir().expect("tempdir");
    let settings = [("SIGNPOST_TRUSTED_PROXIES", "127.0.0.2")];
    let tls = Tls::with(feed, dir, &settings);
    let cookie = |answer: &str| {
        let line = answer.lines().find(|line| line.starts_with("set-cookie"));
        line.unwrap_or_else(|| panic!("no cookie: {answer}"))
            .to_owned()
    };
    let post = |more: &str| {
        format!(
            "POST /locked HTTP/1.1\r\n{more}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n{CLOSE}password=open"
        )
    };
    let stream = tls.connect("go.test", &tls.certificate).expect("connected");
    assert!(cookie(&all(stream, &post(""))).ends_with("; Secure"));
    assert!(!cookie(&all(tls.proxy.connect(), &post(""))).contains("Secure"));
    // In front of us, and only if whoever says so is trusted.
    let said = post("X-Forwarded-Proto: https\r\n");
    assert!(!cookie(&all(tls.proxy.connect(), &said)).contains("Secure"));
    let trusted = tls.proxy.connect_from([127, 0, 0, 2]);
    assert!(cookie(&all(trusted, &said)).ends_with("; Secure"));
}

#[test]
fn a_file_goes_over_tls_whole() {
    let (feed, dir, bytes) = with_file("big", 3_000_000);
    let tls = Tls::with(feed, dir, &[]);
    let mut stream = tls.connect("go.test", &tls.certificate).expect("connected");
    let request = "GET /big HTTP/1.1\r\nHost: go.test\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("answered to the end");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(answer.ends_with(&bytes));
}

pub(crate) fn request(method: &str, path: &str, body: &'static str) -> http::Request<Full<Bytes>> {
    http::Request::builder()
        .method(method)
        .uri(format!("https://go.test{path}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from(body))
        .expect("a request")
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(async { tokio::time::timeout(3 * DEADLINE, test).await })
        .expect("in time");
}

#[test]
fn http2_answers_many_requests_at_a_time() {
    let (feed, dir, bytes) = with_file("big", 3_000_000);
    feed.put("a", "https://dest.test/");
    share(&feed, cookie_keys(1));
    put_plan(&feed, 6, "locked", &locked("open"));
    let tls = Tls::with(feed, dir, &[("SIGNPOST_PROXY_IDLE_SECONDS", "1")]);
    run(async {
        let sender = http2(&tls).await;
        let asked = (0..200).map(|_| {
            let mut sender = sender.clone();
            async move { sender.send_request(request("GET", "/a", "")).await }
        });
        for answer in futures_util::future::join_all(asked).await {
            let answer = answer.expect("an answer");
            assert_eq!(answer.status(), 302);
            assert_eq!(answer.headers()["location"], "https://dest.test/");
            assert!(answer.headers().get("connection").is_none());
        }
        let mut sender = sender.clone();
        // A file beside other answers.
        let file = sender.send_request(request("GET", "/big", "")).await;
        let file = file.expect("an answer");
        assert_eq!(file.status(), 200);
        assert_eq!(file.headers()["content-length"], "3000000");
        let none = sender.send_request(request("GET", "/none", "")).await;
        assert_eq!(none.expect("an answer").status(), 404);
        let head = sender.send_request(request("HEAD", "/a", "")).await;
        assert_eq!(head.expect("an answer").status(), 302);
        // Of a page, too, the length alone.
        let head = sender.send_request(request("HEAD", "/none", "")).await;
        let head = head.expect("an answer");
        assert!(head.headers()["content-length"] != "0");
        let body = head.into_body().collect().await.expect("an end");
        assert!(body.to_bytes().is_empty());
        let form = sender
            .send_request(request("POST", "/locked", "password=open"))
            .await;
        let form = form.expect("an answer");
        assert_eq!(form.status(), 302);
        let cookie = form.headers()["set-cookie"].to_str().expect("text");
        assert!(cookie.ends_with("; Secure"));
        let refused = sender.send_request(request("POST", "/a", "x=y")).await;
        assert_eq!(refused.expect("an answer").status(), 405);
        let mut two_hosts = request("GET", "/a", "");
        let host = http::HeaderValue::from_static("other.test");
        two_hosts.headers_mut().insert("host", host);
        let two_hosts = sender.send_request(two_hosts).await.expect("an answer");
        assert_eq!(two_hosts.status(), 400);
        let mut large = request("GET", "/a", "");
        let value = http::HeaderValue::from_str(&"x".repeat(20_000)).expect("a value");
        large.headers_mut().insert("x-large", value);
        if let Ok(answer) = sender.send_request(large).await {
            assert_eq!(answer.status(), 431);
        }
        let body = file.into_body().collect().await.expect("whole").to_bytes();
        assert!(body == bytes);
        // Nothing more is asked for: the idle deadline holds here, too.
        eventually_closed(&sender).await;
    });
}

#[test]
fn a_drain_finishes_what_http2_has_begun() {
    let (feed, dir, bytes) = with_file("big", 3_000_000);
    let tls = Tls::with(feed, dir, &[]);
    run(async {
        let mut sender = http2(&tls).await;
        let file = sender.send_request(request("GET", "/big", "")).await;
        let file = file.expect("an answer");
        let Tls {
            proxy, feed, dir, ..
        } = tls;
        let stopping = proxy.stop_soon();
        let body = file.into_body().collect().await.expect("whole").to_bytes();
        assert!(body == bytes);
        eventually_closed(&sender).await;
        tokio::task::spawn_blocking(move || stopping.join())
            .await
            .expect("joined")
            .expect("a clean end");
        drop((feed, dir));
    });
}
