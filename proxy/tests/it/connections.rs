//! Connections: pipelining, limits, slow clients, drain.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::feed_server::FeedServer;
use crate::harness::{DEADLINE, TestProxy, eventually, read_answer};

pub(crate) const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: go.test\r\n\r\n";

pub(crate) fn served(settings: &[(&str, &str)]) -> (tempfile::TempDir, FeedServer, TestProxy) {
    let feed = FeedServer::start();
    feed.put("a", "https://dest.test/");
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, settings);
    (dir, feed, proxy)
}

/// How long until the other side hangs up.
#[track_caller]
pub(crate) fn hung_up_after(stream: &mut TcpStream) -> Duration {
    let begin = Instant::now();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return begin.elapsed(),
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return begin.elapsed(),
            Err(e) => panic!("not hung up: {e}"),
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_dir, feed, proxy) = served(&[]);
    feed.put("b", "https://dest.test/b");
    eventually("live", || proxy.follow("b").starts_with("302"));
    let mut stream = proxy.connect();
    let requests: Vec<u8> = (0..50)
        .flat_map(|i| {
            let slug = ["a", "b", "nope"][i % 3];
            format!("GET /{slug} HTTP/1.1\r\nHost: go.test\r\n\r\n").into_bytes()
        })
        .collect();
    stream.write_all(&requests).expect("written");
    let mut rest = Vec::new();
    for i in 0..50 {
        let answer = read_answer(&mut stream, &mut rest, false).expect("answer");
        let expected = [
            Some("https://dest.test/"),
            Some("https://dest.test/b"),
            None,
        ][i % 3];
        assert_eq!(answer.header("location"), expected, "{i}");
    }
}

#[test]
fn a_body_is_never_taken_for_the_next_request() {
    let (_dir, _feed, proxy) = served(&[]);
    let inner = String::from_utf8_lossy(GET).into_owned();
    let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for request in [
        format!(
            "POST /a HTTP/1.1\r\nHost: go.test\r\nContent-Length: {}\r\n\r\n{inner}",
            inner.len()
        ),
        format!("POST /a HTTP/1.1\r\nHost: go.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
    ] {
        let mut stream = proxy.connect();
        stream.write_all(request.as_bytes()).expect("written");
        let mut rest = Vec::new();
        let first = read_answer(&mut stream, &mut rest, false)
            .unwrap_or_else(|| panic!("no answer to {request}"));
        assert_eq!(first.status, 405);
        stream.shutdown(std::net::Shutdown::Write).expect("shut");
        assert!(
            read_answer(&mut stream, &mut rest, false).is_none(),
            "the body was answered"
        );
    }
    // A GET with a body is answered for what it asks.
    let mut stream = proxy.connect();
    let request = format!(
        "GET /nope HTTP/1.1\r\nHost: go.test\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    stream.write_all(request.as_bytes()).expect("written");
    assert_eq!(
        read_answer(&mut stream, &mut Vec::new(), false)
            .expect("answer")
            .status,
        404
    );
}

#[test]
fn slow_silent_and_unwilling_clients_are_hung_up_on() {
    let (_dir, _feed, proxy) = served(&[
        ("SIGNPOST_PROXY_HEADER_SECONDS", "1"),
        ("SIGNPOST_PROXY_IDLE_SECONDS", "2"),
        ("SIGNPOST_PROXY_WRITE_SECONDS", "1"),
    ]);
    let soon = Duration::from_millis(700)..Duration::from_secs(6);
    // Says nothing at all.
    let mut silent = proxy.connect();
    // Begins a request and drips.
    let mut slow = proxy.connect();
    slow.write_all(b"GET /a HTTP/1.1\r\n").expect("written");
    // Was answered, and says nothing more.
    let mut idle = proxy.connect();
    idle.write_all(GET).expect("written");
    read_answer(&mut idle, &mut Vec::new(), false).expect("answer");
    let dripping = std::thread::spawn(move || {
        let begin = Instant::now();
        while slow.write_all(b"X: y\r\n").is_ok() {
            assert!(
                begin.elapsed() < DEADLINE,
                "a dripping client is still served"
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
        begin.elapsed()
    });
    assert!(soon.contains(&hung_up_after(&mut silent)));
    assert!(soon.contains(&hung_up_after(&mut idle)));
    assert!(soon.contains(&dripping.join().expect("dripped")));
    // Asks and asks and takes no answer.
    let mut unwilling = proxy.connect();
    unwilling
        .set_write_timeout(Some(DEADLINE))
        .expect("timeout");
    let many = GET.repeat(1000);
    let begin = Instant::now();
    while unwilling.write_all(&many).is_ok() {
        assert!(
            begin.elapsed() < DEADLINE,
            "an unwilling client is still served"
        );
    }
    assert_eq!(proxy.follow("a"), "302 https://dest.test/");
}

#[test]
fn connections_beyond_the_limit_are_closed_and_others_served() {
    let (_dir, _feed, proxy) = served(&[
        ("SIGNPOST_PROXY_MAX_CONNECTIONS", "3"),
        ("SIGNPOST_PROXY_MAX_CONNECTIONS_PER_ADDRESS", "3"),
    ]);
    let mut held: Vec<_> = (0..3).map(|_| proxy.connect()).collect();
    for stream in &mut held {
        stream.write_all(GET).expect("written");
        read_answer(stream, &mut Vec::new(), false).expect("answer");
    }
    let mut refused = proxy.connect();
    let _ = refused.write_all(GET);
    assert!(hung_up_after(&mut refused) < DEADLINE);
    for stream in &mut held {
        stream.write_all(GET).expect("written");
        assert_eq!(
            read_answer(stream, &mut Vec::new(), false)
                .expect("answer")
                .status,
            302
        );
    }
    held.pop();
    eventually("there is room again", || {
        let mut stream = proxy.connect();
        stream.write_all(GET).is_ok() && read_answer(&mut stream, &mut Vec::new(), false).is_some()
    });
}

#[test]
fn a_drain_finishes_what_has_begun_and_takes_nothing_new() {
    let (_dir, _feed, proxy) = served(&[]);
    let addr = proxy.addr();
    let mut idle = proxy.connect();
    idle.write_all(GET).expect("written");
    let answer = read_answer(&mut idle, &mut Vec::new(), false).expect("answer");
    assert_eq!(answer.header("connection"), None);
    let mut silent = proxy.connect();
    let mut begun: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = proxy.connect();
            stream
                .write_all(b"GET /a HTTP/1.1\r\nHost: go")
                .expect("written");
            stream
        })
        .collect();
    // Some of them are still waiting to be accepted: the kernel has promised them an answer.
    let stopping = proxy.stop_soon();
    assert!(hung_up_after(&mut idle) < Duration::from_secs(5));
    eventually("nothing new is taken", || TcpStream::connect(addr).is_err());
    for stream in &mut begun {
        stream.write_all(b".test\r\n\r\n").expect("written");
        let answer = read_answer(stream, &mut Vec::new(), false).expect("answer");
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("connection"), Some("close"));
        hung_up_after(stream);
    }
    let begin = Instant::now();
    stopping.join().expect("a clean end");
    assert!(hung_up_after(&mut silent) < Duration::from_secs(5));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn whoever_is_connected_at_the_end_is_answered() {
    let (_dir, _feed, proxy) = served(&[]);
    let addr = proxy.addr();
    // They connect as fast as they can, each time anew, until nobody listens.
    let clients: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut answered = 0;
                while let Ok(mut stream) =
                    TcpStream::connect_timeout(&addr, Duration::from_millis(300))
                {
                    stream.set_read_timeout(Some(DEADLINE)).expect("timeout");
                    stream.write_all(GET).expect("taken");
                    let answer = read_answer(&mut stream, &mut Vec::new(), false);
                    assert!(answer.is_some(), "reset after {answered} answers");
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    std::thread::park_timeout(Duration::from_millis(300));
    proxy.stop();
    for client in clients {
        assert!(client.join().expect("never reset") > 10);
    }
}

#[test]
fn a_drain_has_a_deadline() {
    let (_dir, _feed, proxy) = served(&[("SIGNPOST_PROXY_DRAIN_SECONDS", "1")]);
    let mut begun = proxy.connect();
    begun.write_all(b"GET /a HT").expect("written");
    assert_eq!(proxy.follow("a"), "302 https://dest.test/");
    let begin = Instant::now();
    proxy.stop();
    assert!(
        begin.elapsed() < Duration::from_secs(6),
        "{:?}",
        begin.elapsed()
    );
    hung_up_after(&mut begun);
}

#[test]
fn many_connections_are_all_served_by_few_workers() {
    let (_dir, _feed, proxy) = served(&[("SIGNPOST_PROXY_WORKERS", "4")]);
    let mut streams: Vec<_> = (0..64).map(|_| proxy.connect()).collect();
    for _ in 0..3 {
        for stream in &mut streams {
            stream.write_all(GET).expect("written");
        }
        for stream in &mut streams {
            assert_eq!(
                read_answer(stream, &mut Vec::new(), false)
                    .expect("answer")
                    .status,
                302
            );
        }
    }
}
