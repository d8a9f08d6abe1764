//! Balancers that say in their first bytes whom they speak for.

use std::io::Write as _;
use std::net::TcpStream;

use schemas::names::files;

use crate::clicks::Told;
use crate::connections::{GET, hung_up_after, served};
use crate::counting::{closed, recorder};
use crate::harness::{TestProxy, eventually, read_answer};

const BALANCER: [u8; 4] = [127, 0, 0, 2];
const STRANGER: [u8; 4] = [127, 0, 0, 3];

const SETTINGS: [(&str, &str); 3] = [
    ("SIGNPOST_PROXY_PROTOCOL", "on"),
    ("SIGNPOST_TRUSTED_PROXIES", "127.0.0.2"),
    ("SIGNPOST_IP_POLICY", "full"),
];

fn v1(ip: &str) -> Vec<u8> {
    let family = if ip.contains(':') { "TCP6" } else { "TCP4" };
    format!("PROXY {family} {ip} {ip} 56324 443\r\n").into_bytes()
}

/// Version 2 of the protocol: command, family and what follows.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    let start = b"\r\n\r\n\0\r\nQUIT\n";
    [&start[..], &[0x20 | command, family], &length, rest].concat()
}

fn v2_of(ip: [u8; 4]) -> Vec<u8> {
    v2(
        1,
        0x11,
        &[&ip[..], &[10, 0, 0, 1, 0xdc, 4, 1, 187]].concat(),
    )
}

/// Sends the header and two requests; how many are answered.
fn answers(stream: &mut TcpStream, header: &[u8]) -> usize {
    let _ = stream.write_all(&[header, GET].concat());
    let mut rest = Vec::new();
    let mut answers = 0;
    while read_answer(stream, &mut rest, false).is_some() {
        answers += 1;
        if answers == 2 || stream.write_all(GET).is_err() {
            break;
        }
    }
    answers
}

/// Visitors' addresses in the click log, each once.
fn addresses(proxy: TestProxy, dir: &std::path::Path) -> Vec<String> {
    proxy.stop();
    let told = Told::by(&dir.join("data").join(files::CLICKS));
    let mut addresses: Vec<_> = told.clicks.into_iter().map(|click| click.ip).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

#[test]
fn the_visitor_is_whom_a_trusted_balancer_names() {
    let (dir, _feed, proxy) = served(&SETTINGS);
    for header in [
        v1("203.0.113.1"),
        v1("2001:db8::7"),
        v2_of([203, 0, 113, 2]),
        v2(0, 0, &[]),
    ] {
        assert_eq!(answers(&mut proxy.connect_from(BALANCER), &header), 2);
        // However it comes in pieces.
        let mut stream = proxy.connect_from(BALANCER);
        stream.set_nodelay(true).expect("nodelay");
        for byte in &header {
            stream.write_all(&[*byte]).expect("written");
            std::thread::yield_now();
        }
        assert_eq!(answers(&mut stream, b""), 2);
    }
    // Whoever is not trusted is a visitor.
    assert_eq!(answers(&mut proxy.connect_from(STRANGER), b""), 2);
    // Behind the balancer another proxy that is trusted has its say, too.
    let behind = [
        v1("127.0.0.2"),
        b"GET /a HTTP/1.1\r\nHost: go.test\r\nX-Forwarded-For: 203.0.113.3\r\n\r\n".to_vec(),
    ];
    let mut stream = proxy.connect_from(BALANCER);
    stream.write_all(&behind.concat()).expect("written");
    assert!(read_answer(&mut stream, &mut Vec::new(), false).is_some());
    // But not one that the header names and nobody trusts, nor whoever comes where it names nobody: a balancer that passes
    // bytes on passes on a visitor's own.
    for header in [
        v1("203.0.113.4"),
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0, 0, &[]),
    ] {
        let liar = b"GET /a HTTP/1.1\r\nHost: go.test\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
        let mut stream = proxy.connect_from(BALANCER);
        stream
            .write_all(&[&header, &liar[..]].concat())
            .expect("written");
        assert!(read_answer(&mut stream, &mut Vec::new(), false).is_some());
    }
    assert_eq!(
        addresses(proxy, dir.path()),
        [
            "127.0.0.2",
            "127.0.0.3",
            "2001:db8::7",
            "203.0.113.1",
            "203.0.113.2",
            "203.0.113.3",
            "203.0.113.4"
        ]
    );
}

#[test]
fn headers_that_are_wrong_or_a_strangers_end_the_connection() {
    recorder();
    let (_dir, _feed, proxy) = served(&SETTINGS);
    let mut expected = closed("proxy_header");
    let strangers = [v1("203.0.113.1"), v2_of([203, 0, 113, 2])];
    let wrong = [
        Vec::new(),
        b"PROXY TCP4 203.0.113.1\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.1 10.0.0.1 1 443\n".to_vec(),
        v2(7, 0x11, &[0; 12]),
        v2(1, 0x11, &[0; 11]),
        [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat(),
    ];
    let all = strangers
        .iter()
        .map(|header| (STRANGER, header))
        .chain(wrong.iter().map(|header| (BALANCER, header)));
    for (from, header) in all {
        let mut stream = proxy.connect_from(from);
        assert_eq!(answers(&mut stream, header), 0, "{header:?}");
        hung_up_after(&mut stream);
        expected += 1.0;
    }
    eventually("each is counted", || closed("proxy_header") >= expected);
}

#[test]
fn a_balancer_that_says_nothing_is_hung_up_on() {
    let settings = [&SETTINGS[..], &[("SIGNPOST_PROXY_HEADER_SECONDS", "1")]].concat();
    let (_dir, _feed, proxy) = served(&settings);
    for begun in [&b""[..], b"PROXY TCP4 2", b"\r\n\r\n\0\r\nQUIT\n\x21"] {
        let mut stream = proxy.connect_from(BALANCER);
        stream.write_all(begun).expect("written");
        hung_up_after(&mut stream);
    }
}

#[test]
fn without_the_setting_a_header_is_no_request() {
    let (_dir, _feed, proxy) = served(&[("SIGNPOST_TRUSTED_PROXIES", "127.0.0.2")]);
    let mut stream = proxy.connect_from(BALANCER);
    stream.write_all(&v1("203.0.113.1")).expect("written");
    stream.write_all(GET).expect("written");
    let answer = read_answer(&mut stream, &mut Vec::new(), false).expect("an answer");
    assert_eq!(answer.status, 400);
}

#[test]
fn the_limit_of_connections_is_each_visitors_and_not_the_balancers() {
    recorder();
    let settings = [
        &SETTINGS[..],
        &[("SIGNPOST_PROXY_MAX_CONNECTIONS_PER_ADDRESS", "2")],
    ]
    .concat();
    let (_dir, _feed, proxy) = served(&settings);
    let before = closed("address");
    let visit = |ip: &str| {
        let mut stream = proxy.connect_from(BALANCER);
        (answers(&mut stream, &v1(ip)), stream)
    };
    let held: Vec<_> = (0..2).map(|_| visit("203.0.113.1")).collect();
    assert!(held.iter().all(|(answers, _)| *answers == 2));
    assert_eq!(visit("203.0.113.1").0, 0);
    assert_eq!(visit("203.0.113.2").0, 2);
    eventually("it is counted", || closed("address") > before);
    drop(held);
    eventually("there is room again", || visit("203.0.113.1").0 == 2);
}
