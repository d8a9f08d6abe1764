//! What a client may not do: each limit, its answer and its counter.

use std::io::Write as _;

use crate::connections::{GET, hung_up_after, served};
use crate::counting::{closed, counted, recorder};
use crate::harness::{TestProxy, eventually, read_answer};

/// Sends a request that is refused: the answer says so, the connection ends, and it is counted.
#[track_caller]
fn refused(proxy: &TestProxy, request: &str, status: u16, reason: &str) {
    let before = closed(reason);
    let mut stream = proxy.connect();
    // What comes before it is answered all the same.
    stream.write_all(GET).expect("written");
    stream.write_all(request.as_bytes()).expect("written");
    let mut rest = Vec::new();
    let first = read_answer(&mut stream, &mut rest, false).expect("answer");
    assert_eq!(first.status, 302, "{request:.80}");
    let answer = read_answer(&mut stream, &mut rest, false)
        .unwrap_or_else(|| panic!("no answer to {request:.80}"));
    assert_eq!(answer.status, status, "{request:.80}");
    assert_eq!(answer.header("connection"), Some("close"), "{request:.80}");
    assert!(answer.header("date").is_some());
    stream.write_all(GET).ok();
    hung_up_after(&mut stream);
    assert!(read_answer(&mut stream, &mut rest, false).is_none());
    eventually("it is counted", || closed(reason) > before);
}

#[test]
fn requests_that_are_too_large_are_refused() {
    recorder();
    let (_dir, _feed, proxy) = served(&[
        ("SIGNPOST_PROXY_MAX_HEADER_BYTES", "8KiB"),
        ("SIGNPOST_PROXY_MAX_HEADERS", "20"),
        ("SIGNPOST_PROXY_MAX_REQUEST_LINE_BYTES", "2KiB"),
        ("SIGNPOST_PROXY_MAX_BODY_BYTES", "1KiB"),
    ]);
    let host = "Host: go.test\r\n";
    let large = "x".repeat(8 << 10);
    let lines = "X: y\r\n".repeat(20);
    let path = "x".repeat(2048);
    let in_the_query = "y".repeat(2040);
    for more in ["", "Content-Length: 0\r\n"] {
        let request = |path: &str, headers: &str| {
            format!("GET /{path} HTTP/1.1\r\n{host}{more}{headers}\r\n")
        };
        refused(
            &proxy,
            &request("a", &format!("X: {large}\r\n")),
            431,
            "head_size",
        );
        refused(&proxy, &request("a", &lines), 431, "head_lines");
        refused(&proxy, &request(&path, ""), 414, "request_line");
        refused(
            &proxy,
            &request(&format!("a?{in_the_query}"), ""),
            414,
            "request_line",
        );
    }
    // Not whole, and too large already.
    refused(
        &proxy,
        &format!("GET /a HTTP/1.1\r\n{host}X: {large}"),
        431,
        "head_size",
    );
    let body = |method: &str, length: usize| {
        let body = "x".repeat(length);
        format!("{method} /a HTTP/1.1\r\n{host}Content-Length: {length}\r\n\r\n{body}")
    };
    refused(&proxy, &body("POST", 1025), 413, "body");
    refused(&proxy, &body("GET", 1025), 413, "body");
    // A few bytes below each of them.
    let fits = "x".repeat(7 << 10);
    let lines = "X: y\r\n".repeat(18);
    for request in [
        format!("GET /a HTTP/1.1\r\n{host}X: {fits}\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\n{host}Content-Length: 0\r\n{lines}\r\n"),
        format!("GET /a?{} HTTP/1.1\r\n{host}\r\n", &in_the_query[..2000]),
    ] {
        assert_eq!(proxy.raw(request.as_bytes()).status, 302, "{request:.80}");
    }
}

#[test]
fn a_body_that_nobody_reads_ends_its_connection() {
    recorder();
    let (_dir, _feed, proxy) = served(&[]);
    for body in [
        "Content-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ] {
        let before = counted(proxy::metrics::UNREAD_BODIES);
        let mut stream = proxy.connect();
        let request = format!("GET /a HTTP/1.1\r\nHost: go.test\r\n{body}");
        stream.write_all(request.as_bytes()).expect("written");
        stream.write_all(GET).expect("written");
        let mut rest = Vec::new();
        let answer = read_answer(&mut stream, &mut rest, false).expect("answer");
        assert_eq!(answer.status, 302);
        assert!(read_answer(&mut stream, &mut rest, false).is_none());
        eventually("it is counted", || {
            counted(proxy::metrics::UNREAD_BODIES) > before
        });
    }
}

#[test]
fn one_connection_with_many_requests_lets_others_have_their_turn() {
    recorder();
    let (_dir, _feed, proxy) = served(&[
        ("SIGNPOST_PROXY_MAX_PIPELINED", "7"),
        ("SIGNPOST_PROXY_WORKERS", "1"),
    ]);
    const MANY: usize = 1000;
    let before = counted(proxy::metrics::PIPELINED);
    let mut greedy = proxy.connect();
    let mut writer = greedy.try_clone().expect("clone");
    let sending = std::thread::spawn(move || writer.write_all(&GET.repeat(MANY)));
    let mut rest = Vec::new();
    for i in 0..MANY {
        let answer = read_answer(&mut greedy, &mut rest, false).expect("answer");
        assert_eq!(answer.status, 302, "{i}");
    }
    sending.join().expect("sent").expect("written");
    let paused = || counted(proxy::metrics::PIPELINED) - before;
    // However the requests came in pieces, they were no fewer than half of what one go takes.
    eventually("it is counted", || paused() >= (MANY / 14) as f64 / 2.0);
    // It is a limit on one go, and not on a connection.
    greedy.write_all(GET).expect("written");
    assert!(read_answer(&mut greedy, &mut rest, false).is_some());
}

#[test]
fn one_address_does_not_hold_every_connection() {
    recorder();
    let settings = [
        ("SIGNPOST_PROXY_MAX_CONNECTIONS_PER_ADDRESS", "2"),
        ("SIGNPOST_TRUSTED_PROXIES", "127.0.0.3"),
    ];
    let (_dir, _feed, proxy) = served(&settings);
    let served = |ip: [u8; 4]| {
        let mut stream = proxy.connect_from(ip);
        let _ = stream.write_all(GET);
        let answer = read_answer(&mut stream, &mut Vec::new(), false);
        answer.is_some().then_some(stream)
    };
    let before = closed("address");
    let held: Vec<_> = (0..2).map(|_| served([127, 0, 0, 2])).collect();
    assert!(held.iter().all(Option::is_some));
    assert!(served([127, 0, 0, 2]).is_none());
    eventually("it is counted", || closed("address") > before);
    // Another address, and a balancer, behind which everybody is.
    assert!(served([127, 0, 0, 4]).is_some());
    let balanced: Vec<_> = (0..5).map(|_| served([127, 0, 0, 3])).collect();
    assert!(balanced.iter().all(Option::is_some));
    drop(held);
    eventually("there is room again", || served([127, 0, 0, 2]).is_some());
}

#[test]
fn connections_closed_for_their_number_are_counted() {
    recorder();
    let (_dir, _feed, proxy) = served(&[("SIGNPOST_PROXY_MAX_CONNECTIONS", "1")]);
    let before = closed("limit");
    let mut held = proxy.connect();
    held.write_all(GET).expect("written");
    read_answer(&mut held, &mut Vec::new(), false).expect("answer");
    hung_up_after(&mut proxy.connect());
    eventually("it is counted", || closed("limit") > before);
}

#[test]
fn idle_connections_make_room_when_there_are_many() {
    recorder();
    let settings = [
        ("SIGNPOST_PROXY_MAX_CONNECTIONS", "10"),
        ("SIGNPOST_PROXY_MAX_CONNECTIONS_PER_ADDRESS", "3"),
        ("SIGNPOST_PROXY_IDLE_SECONDS", "600"),
    ];
    let (_dir, _feed, proxy) = served(&settings);
    let before = closed("idle");
    // A few addresses hold all, each with a request now and then.
    let held: Vec<_> = (0..10)
        .map(|n| {
            let mut stream = proxy.connect_from([127, 0, 1, n / 3]);
            stream.write_all(GET).expect("written");
            read_answer(&mut stream, &mut Vec::new(), false).expect("answer");
            stream
        })
        .collect();
    eventually("there is room for others", || {
        let mut stream = proxy.connect_from([127, 0, 2, 1]);
        stream.write_all(GET).is_ok() && read_answer(&mut stream, &mut Vec::new(), false).is_some()
    });
    eventually("it is counted", || closed("idle") > before);
    drop(held);
}

#[test]
fn clients_that_are_too_slow_are_counted_by_what_they_are_slow_at() {
    recorder();
    let (_dir, _feed, proxy) = served(&[
        ("SIGNPOST_PROXY_HEADER_SECONDS", "4"),
        ("SIGNPOST_PROXY_IDLE_SECONDS", "2"),
        ("SIGNPOST_PROXY_WRITE_SECONDS", "1"),
    ]);
    // The longest of them first: of an unwilling client's next request a piece may have come, too.
    let before = ["header", "idle", "write"].map(closed);
    let mut slow = proxy.connect();
    slow.write_all(b"GET /a HT").expect("written");
    let mut idle = proxy.connect();
    idle.write_all(GET).expect("written");
    let mut unwilling = proxy.connect();
    let writing =
        std::thread::spawn(move || while unwilling.write_all(&GET.repeat(1000)).is_ok() {});
    hung_up_after(&mut slow);
    hung_up_after(&mut idle);
    writing.join().expect("cut off");
    eventually("each is counted", || {
        let now = ["header", "idle", "write"].map(closed);
        now.iter().zip(before).all(|(now, before)| *now > before)
    });
}
