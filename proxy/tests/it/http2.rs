//! What clients of HTTP/2 may do and may not.

use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use schemas::link::plan::{Beyond, ClickLimit, Plan};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::counting::{closed, recorder};
use crate::extended::{blob_page, cookie_keys, locked, page, put as put_plan, share};
use crate::feed_server::FeedServer;
use crate::files::{file, uploads};
use crate::harness::{DEADLINE, eventually};
use crate::tls::{Tls, client, request, run};

pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// A client.
pub(crate) async fn http2(tls: &Tls) -> Sender {
    over(&tls.certificate, tcp(tls).await, |_| {}).await
}

/// A client whose streams have no room for a body.
async fn without_window(tls: &Tls) -> Sender {
    let no_room = |builder: &mut Builder<TokioExecutor>| {
        builder.initial_stream_window_size(0);
    };
    over(&tls.certificate, tcp(tls).await, no_room).await
}

async fn tcp(tls: &Tls) -> tokio::net::TcpStream {
    let tcp = tokio::net::TcpStream::connect(tls.proxy.tls_addr()).await;
    tcp.expect("connected")
}

/// A client on this connection.
async fn over(
    trusted: &CertificateDer<'static>,
    tcp: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    set: impl FnOnce(&mut Builder<TokioExecutor>),
) -> Sender {
    let connector = TlsConnector::from(client(trusted, &[b"h2", b"http/1.1"]));
    let name = ServerName::try_from("go.test").expect("a name");
    let stream = connector.connect(name, tcp).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut builder = Builder::new(TokioExecutor::new());
    set(&mut builder);
    let (sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender
}

pub(crate) async fn eventually_closed(sender: &Sender) {
    let closed = async {
        while !sender.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, closed)
        .await
        .expect("closed");
}

#[test]
fn whoever_opens_no_window_for_an_answer_is_hung_up_on() {
    recorder();
    let tls = Tls::start(&[("SIGNPOST_PROXY_WRITE_SECONDS", "1")]);
    run(async {
        let before = closed("write");
        let mut sender = without_window(&tls).await;
        let answer = sender.send_request(request("GET", "/none", "")).await;
        let answer = answer.expect("a head");
        assert_eq!(answer.status(), 404);
        // Others that are answered do not help it.
        let asking = async {
            while let Ok(answer) = sender.send_request(request("GET", "/a", "")).await {
                assert_eq!(answer.status(), 302);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, asking)
            .await
            .expect("hung up on");
        assert!(closed("write") >= before);
        eventually("it is counted", || closed("write") > before);
    });
}

#[test]
fn one_connection_holds_only_so_many_bytes_of_answers() {
    let feed = FeedServer::start();
    let large = [&b"<a href=\"\0d\">"[..], &vec![b'x'; 1 << 20], b"</a>"].concat();
    blob_page(&feed, 1, &large);
    put_plan(&feed, 5, "large", &page(1));
    let dir = tempfile::tempdir().expect("tempdir");
    let tls = Tls::with(feed, dir, &[]);
    run(async {
        let mut sender = without_window(&tls).await;
        let mut held = Vec::new();
        let mut statuses = Vec::new();
        for _ in 0..8 {
            let answer = sender.send_request(request("GET", "/large", "")).await;
            let answer = answer.expect("a head");
            statuses.push(answer.status().as_u16());
            held.push(answer);
        }
        assert_eq!(statuses, [200, 200, 200, 200, 503, 503, 503, 503]);
        // Another connection is another client.
        let mut other = http2(&tls).await;
        let answer = other.send_request(request("GET", "/large", "")).await;
        let body = answer.expect("a head").into_body().collect().await;
        assert_eq!(
            body.expect("whole").to_bytes().len(),
            large.len() - 2 + "https://dest.test/".len()
        );
        // What is given up makes room.
        drop(held);
        let again = async {
            loop {
                let answer = sender.send_request(request("GET", "/large", "")).await;
                if answer.expect("a head").status() == 200 {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, again).await.expect("room");
    });
}

#[test]
fn a_request_that_is_given_up_while_it_waits_uses_up_no_visit() {
    const LIMIT: u64 = 3;
    let feed = FeedServer::start();
    feed.lock().limits.insert(5, (LIMIT, 0));
    feed.lock().grant = LIMIT;
    let dir = tempfile::tempdir().expect("tempdir");
    let bytes = vec![7; 1000];
    let plan = Plan {
        click_limit: Some(ClickLimit {
            max: LIMIT,
            beyond: Beyond::Expired,
        }),
        ..file(&bytes, "few.zip", Some(&uploads(dir.path())), &feed)
    };
    put_plan(&feed, 5, "few", &plan);
    // Nobody writes to it: whoever opens it waits.
    let stored: Vec<_> = stored_files(&uploads(dir.path()));
    let [stored] = &stored[..] else {
        panic!("one file: {stored:?}");
    };
    std::fs::remove_file(stored).expect("removed");
    let made = std::process::Command::new("mkfifo").arg(stored).status();
    assert!(made.expect("mkfifo").success());
    let tls = Tls::with(feed, dir, &[]);
    run(async {
        let sender = http2(&tls).await;
        let asking: Vec<_> = (0..LIMIT)
            .map(|_| {
                let mut sender = sender.clone();
                tokio::spawn(async move {
                    let _ = sender.send_request(request("GET", "/few", "")).await;
                })
            })
            .collect();
        while tls.feed.lock().limits[&5].1 < LIMIT {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // An instant in the time that each waits for its file.
        tokio::time::sleep(Duration::from_millis(300)).await;
        asking.iter().for_each(tokio::task::JoinHandle::abort);
    });
    std::fs::remove_file(stored).expect("removed");
    std::fs::write(stored, &bytes).expect("written");
    let download = || tls.proxy.get("/few", "go.test").status;
    eventually("all visits are there", || download() == 200);
    assert_eq!([download(), download(), download()], [200, 200, 410]);
}

fn stored_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => stored_files(&path),
                false => vec![path],
            }
        })
        .collect()
}

#[test]
fn a_cookie_opens_in_whichever_field_it_comes() {
    let feed = FeedServer::start();
    share(&feed, cookie_keys(1));
    put_plan(&feed, 6, "locked", &locked("open"));
    let dir = tempfile::tempdir().expect("tempdir");
    let tls = Tls::with(feed, dir, &[]);
    run(async {
        let mut sender = http2(&tls).await;
        let form = request("POST", "/locked", "password=open");
        let form = sender.send_request(form).await.expect("an answer");
        let cookie = form.headers()["set-cookie"].to_str().expect("text");
        let cookie = cookie.split(';').next().expect("a value").to_owned();
        let mut again = request("GET", "/locked", "");
        for value in ["theme=dark", &cookie, "lang=en"] {
            let value = http::HeaderValue::from_str(value).expect("a value");
            again.headers_mut().append("cookie", value);
        }
        let again = sender.send_request(again).await.expect("an answer");
        assert_eq!(again.status(), 302);
    });
}

#[test]
fn heads_that_are_too_large_are_refused_and_end_the_connection() {
    recorder();
    let tls = Tls::start(&[
        ("SIGNPOST_PROXY_MAX_HEADERS", "20"),
        ("SIGNPOST_PROXY_MAX_REQUEST_LINE_BYTES", "2KiB"),
    ]);
    run(async {
        let long = format!("/{}", "x".repeat(2048));
        for (path, headers, status, reason) in [
            (long.as_str(), 0, 414, "request_line"),
            ("/a", 30, 431, "head_lines"),
        ] {
            let before = closed(reason);
            let mut sender = http2(&tls).await;
            let mut large = request("GET", path, "");
            for _ in 0..headers {
                let value = http::HeaderValue::from_static("x");
                large.headers_mut().append("x-many", value);
            }
            let answer = sender.send_request(large).await.expect("an answer");
            assert_eq!(answer.status(), status);
            eventually_closed(&sender).await;
            eventually("it is counted", || closed(reason) > before);
        }
    });
}

#[test]
fn a_handshake_that_ends_after_the_drain_began_is_served_and_told() {
    let Tls {
        proxy,
        certificate,
        dir,
        feed,
    } = Tls::start(&[]);
    let addr = proxy.tls_addr();
    run(async {
        let server = tokio::net::TcpStream::connect(addr).await;
        let (mut from_server, mut to_server) = server.expect("connected").into_split();
        let (near, far) = tokio::io::duplex(1 << 16);
        let (mut from_client, mut to_client) = tokio::io::split(far);
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let connecting = tokio::spawn(async move { over(&certificate, near, |_| {}).await });
        // Half of the handshake is done, and the client is slow.
        from_server.readable().await.expect("an answer");
        let stopping = proxy.stop_soon();
        tokio::task::yield_now().await;
        eventually("nothing new is taken", || TcpStream::connect(addr).is_err());
        let begin = std::time::Instant::now();
        // Longer than idle connections are kept.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut sender = connecting.await.expect("connected");
        let answer = sender.send_request(request("GET", "/a", "")).await;
        assert_eq!(answer.expect("an answer").status(), 302);
        eventually_closed(&sender).await;
        let ended = tokio::task::spawn_blocking(move || stopping.join()).await;
        ended.expect("joined").expect("a clean end");
        assert!(begin.elapsed() < Duration::from_secs(7));
    });
    drop((dir, feed));
}

#[test]
fn an_idle_client_that_sleeps_does_not_hold_up_the_end() {
    let tls = Tls::start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    // Nothing drives its connection after this: it answers no frame.
    let sender = runtime.block_on(async {
        let mut sender = http2(&tls).await;
        let answer = sender.send_request(request("GET", "/a", "")).await;
        assert_eq!(answer.expect("an answer").status(), 302);
        sender
    });
    let begin = std::time::Instant::now();
    tls.proxy.stop();
    assert!(begin.elapsed() < Duration::from_secs(6));
    drop((sender, runtime));
}
