//! Guarded outgoing requests against servers that do what hostile ones do. Loopback stands for the internet: each test
//! allows the addresses that are "public" in it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use control_plane::fetch::{
    FetchError, Fetched, Fetcher, MAX_REDIRECTS, Overflow, Resolve, Wanted,
};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

mod tls;

const WANTED: Wanted = Wanted {
    accept: "image/*",
    max_bytes: 1000,
    overflow: Overflow::Refuse,
    deadline: Duration::from_secs(10),
};

/// What a server sends for one connection, given the head it read.
type Script = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

/// A server on an address of loopback; how often it was asked.
struct Site {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Site {
    async fn on(ip: &str, script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::with_port(ip, 0, script).await
    }

    async fn with_port(
        ip: &str,
        port: u16,
        script: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, port)).await.expect("binds");
        let addr = listener.local_addr().expect("bound");
        let asked = Arc::new(AtomicUsize::new(0));
        let (script, count): (Script, _) = (Arc::new(script), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let script = script.clone();
                tokio::spawn(async move {
                    let answer = script(&head(&mut stream).await);
                    _ = stream.write_all(&answer).await;
                });
            }
        });
        Self { addr, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn found(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: text/plain\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn redirect(to: impl std::fmt::Display) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// Gives its answers one after the other, the last one for ever.
#[derive(Debug, Default)]
struct Names {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let ips = |list: &&[&str]| {
            list.iter()
                .map(|ip| ip.parse().expect("an address"))
                .collect()
        };
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(ips).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("not poisoned");
        let answer = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        Box::pin(async move { answer.ok_or_else(|| std::io::Error::other("no such name")) })
    }
}

fn fetcher(names: Arc<Names>, allow: &str) -> Fetcher {
    let allow = allow
        .split_whitespace()
        .map(|net| net.parse().expect("a network"))
        .collect();
    Fetcher::with(names, allow, rustls::RootCertStore::empty()).expect("sets up")
}

/// One that may reach loopback, by number.
fn by_number() -> Fetcher {
    fetcher(Names::new(&[]), "127.0.0.0/8 ::1/128")
}

fn text(fetched: &Fetched) -> &str {
    std::str::from_utf8(&fetched.body).expect("text")
}

#[tokio::test]
async fn a_body_comes_with_its_headers_and_the_request_says_little() {
    let site = Site::on("127.0.0.1", found).await;
    let url = format!(" http://{}/a%20b?c=d#e ", site.addr);
    let fetched = by_number()
        .get(&url, &WANTED)
        .await
        .expect("fetched")
        .successful()
        .expect("200");
    assert_eq!(fetched.headers["content-type"], "text/plain");
    let expected = format!(
        "GET /a%20b?c=d HTTP/1.1\r\nhost: {}\r\nuser-agent: Signpost/{}\r\naccept: image/*\r\naccept-encoding: identity\r\nconnection: close\r\n\r\n",
        site.addr,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(text(&fetched), expected);
}

#[tokio::test]
async fn a_private_address_is_refused_in_every_form() {
    let site = Site::on("127.0.0.1", |_| found("secret")).await;
    let port = site.addr.port();
    let closed = fetcher(Names::new(&[&["127.0.0.1"]]), "203.0.113.0/24");
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.0.1.",
        "①②⑦.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "0",
        "[::]",
        "localhost",
        "a.name.that.leads.inside",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00:ec2::254]",
    ] {
        let error = closed
            .get(&format!("http://{host}:{port}/"), &WANTED)
            .await
            .expect_err(host);
        assert_eq!(error, FetchError::NotPublic, "{host}");
    }
    assert_eq!(site.asked(), 0);
}

#[tokio::test]
async fn what_is_no_http_url_is_refused() {
    for url in [
        "",
        "logo.png",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1/",
        "data:image/png,x",
        "http://",
        "http://u@127.0.0.1/",
        "http://:p@127.0.0.1/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://[::1%25lo]/",
        "javascript:1",
    ] {
        assert_eq!(
            by_number().get(url, &WANTED).await.expect_err(url),
            FetchError::Url,
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_connection_goes_to_that_answer() {
    // The second answer is what a rebinding name gives when it is asked again.
    let outside = Site::on("127.0.0.2", |_| found("outside")).await;
    let inside = Site::with_port("127.0.0.1", outside.addr.port(), |_| found("inside")).await;
    let names = Names::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let fetcher = fetcher(names.clone(), "127.0.0.2/32");
    let url = format!("http://rebind.test:{}/", outside.addr.port());
    assert_eq!(
        text(&fetcher.get(&url, &WANTED).await.expect("fetched")),
        "outside"
    );
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
    assert_eq!(
        fetcher.get(&url, &WANTED).await.expect_err("inside now"),
        FetchError::NotPublic
    );
    assert_eq!(inside.asked(), 0);
}

#[tokio::test]
async fn a_name_with_one_private_address_is_refused() {
    let site = Site::on("127.0.0.2", |_| found("outside")).await;
    let url = format!("http://both.test:{}/", site.addr.port());
    for addresses in [
        ["127.0.0.2", "127.0.0.1"],
        ["10.0.0.1", "127.0.0.2"],
        ["127.0.0.2", "::ffff:192.168.0.1"],
    ] {
        let fetcher = fetcher(Names::new(&[&addresses]), "127.0.0.2/32");
        assert_eq!(
            fetcher.get(&url, &WANTED).await.expect_err("private"),
            FetchError::NotPublic,
            "{addresses:?}"
        );
    }
    // Nor do those learn anything who guess names.
    let fetcher = fetcher(Names::new(&[]), "");
    assert_eq!(
        fetcher.get(&url, &WANTED).await.expect_err("no such name"),
        FetchError::NotPublic
    );
    assert_eq!(site.asked(), 0);
}

#[tokio::test]
async fn each_hop_of_a_redirect_is_checked_again() {
    let inside = Site::on("127.0.0.1", |_| found("inside")).await;
    let port = inside.addr.port();
    let outside = Site::with_port("127.0.0.2", port, move |head| {
        let path = head.split(' ').nth(1).expect("a target").to_owned();
        match path.as_str() {
            "/end" => found("outside"),
            "/relative" => redirect("/end"),
            "/number" => redirect(format!("http://2130706433:{port}/")),
            "/mapped" => redirect(format!("http://[::ffff:127.0.0.1]:{port}/")),
            "/same" => redirect(format!("//hop.test:{port}/end")),
            "/file" => redirect("file:///etc/passwd"),
            "/credentials" => redirect(format!("http://u:p@127.0.0.2:{port}/end")),
            "/nowhere" => b"HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nhi".to_vec(),
            _ => redirect("/loop"),
        }
    })
    .await;
    let base = format!("http://hop.test:{port}");
    let with = |answers: &[&[&str]]| fetcher(Names::new(answers), "127.0.0.2/32");
    let outside_only = with(&[&["127.0.0.2"]]);
    for path in ["/relative", "/same"] {
        let fetched = outside_only
            .get(&format!("{base}{path}"), &WANTED)
            .await
            .expect(path);
        assert_eq!((text(&fetched), fetched.url.path()), ("outside", "/end"));
    }
    for (path, error) in [
        ("/number", FetchError::NotPublic),
        ("/mapped", FetchError::NotPublic),
        ("/file", FetchError::Url),
        ("/credentials", FetchError::Url),
        ("/loop", FetchError::Redirects),
    ] {
        let before = outside.asked();
        assert_eq!(
            outside_only
                .get(&format!("{base}{path}"), &WANTED)
                .await
                .expect_err(path),
            error,
            "{path}"
        );
        assert!(outside.asked() - before <= MAX_REDIRECTS + 1);
    }
    let rebound = with(&[&["127.0.0.2"], &["127.0.0.1"]]);
    assert_eq!(
        rebound
            .get(&format!("{base}/same"), &WANTED)
            .await
            .expect_err("rebound"),
        FetchError::NotPublic
    );
    let fetched = outside_only
        .get(&format!("{base}/nowhere"), &WANTED)
        .await
        .expect("an answer");
    assert_eq!(
        fetched.successful().expect_err("no 2xx"),
        FetchError::Status(302)
    );
    assert_eq!(inside.asked(), 0);
}

#[tokio::test]
async fn a_body_is_never_longer_than_wanted() {
    let announced = Site::on("127.0.0.1", |_| {
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".to_vec()
    })
    .await;
    let exact = Site::on("127.0.0.1", |_| found(&"x".repeat(1000))).await;
    let fetcher = by_number();
    let url = |site: &Site| format!("http://{}/", site.addr);
    assert_eq!(
        fetcher
            .get(&url(&announced), &WANTED)
            .await
            .expect_err("too long"),
        FetchError::TooLarge(1000)
    );
    assert_eq!(
        fetcher
            .get(&url(&exact), &WANTED)
            .await
            .expect("fits")
            .body
            .len(),
        1000
    );
    // Without an end and without a length, chunked and not.
    for chunk in [
        &b"HTTP/1.1 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        let is_chunked = chunk.len() > 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let chunk = chunk.to_vec();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                head(&mut stream).await;
                _ = stream.write_all(&chunk).await;
                let piece: &[u8] = if is_chunked {
                    b"8\r\nxxxxxxxx\r\n"
                } else {
                    b"xxxxxxxx"
                };
                while stream.write_all(piece).await.is_ok() {}
            }
        });
        assert_eq!(
            fetcher.get(&url, &WANTED).await.expect_err("endless"),
            FetchError::TooLarge(1000)
        );
        let cut = Wanted {
            overflow: Overflow::Cut,
            ..WANTED
        };
        assert_eq!(
            fetcher
                .get(&url, &cut)
                .await
                .expect("its beginning")
                .body
                .len(),
            1000
        );
    }
    let headers = Site::on("127.0.0.1", |_| {
        format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(10 << 20)).into_bytes()
    })
    .await;
    assert_eq!(
        fetcher
            .get(&url(&headers), &WANTED)
            .await
            .expect_err("endless head"),
        FetchError::Broken
    );
}

#[tokio::test]
async fn a_slow_server_costs_the_deadline_and_no_more() {
    let begin = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n";
    // Silent, silent after the head, and one byte now and then.
    for (sent, drips) in [("", false), (begin, false), (begin, true)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            head(&mut stream).await;
            _ = stream.write_all(sent.as_bytes()).await;
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                if drips && stream.write_all(b"x").await.is_err() {
                    return;
                }
            }
        });
        let soon = Wanted {
            deadline: Duration::from_millis(200),
            ..WANTED
        };
        let began = Instant::now();
        assert_eq!(
            by_number().get(&url, &soon).await.expect_err("slow"),
            FetchError::TooSlow
        );
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    for answer in [
        &b""[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let site = Site::on("127.0.0.1", move |_| answer.to_vec()).await;
        let error = by_number()
            .get(&format!("http://{}/", site.addr), &WANTED)
            .await
            .expect_err("no HTTP");
        assert_eq!(
            error,
            FetchError::Broken,
            "{}",
            String::from_utf8_lossy(answer)
        );
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    drop(listener);
    assert_eq!(
        by_number()
            .get(&url, &WANTED)
            .await
            .expect_err("nobody there"),
        FetchError::Unreachable
    );
}
