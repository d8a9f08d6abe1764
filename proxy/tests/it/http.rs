//! Each form a request can take, against the whole proxy: what `README.md` says in its table.

use schemas::feed::Shared;
use schemas::link::{Entry, Status};

use crate::feed_server::{FeedServer, domain, encode, entry, link};
use crate::harness::{Answer, TestProxy};

const TO: &str = "https://dest.test/x?utm_source=n#top";

pub(crate) fn served() -> (tempfile::TempDir, FeedServer, TestProxy) {
    let feed = FeedServer::start();
    let plain = entry("a", TO);
    let now = 1_000_000;
    let links = [
        plain,
        Entry {
            slug: b"301",
            status: Status::MovedPermanently,
            ..plain
        },
        Entry {
            slug: b"307",
            status: Status::TemporaryRedirect,
            ..plain
        },
        Entry {
            slug: b"308",
            status: Status::PermanentRedirect,
            ..plain
        },
        Entry {
            slug: b"off",
            disabled: true,
            ..plain
        },
        Entry {
            slug: b"over",
            expires_at_ms: now,
            ..plain
        },
        Entry {
            slug: b"late",
            expires_at_ms: now,
            expired_url: b"https://late.test/",
            ..plain
        },
        Entry {
            slug: b"soon",
            starts_at_ms: i64::MAX - 1,
            ..plain
        },
        Entry {
            slug: b"susp",
            workspace: 9,
            ..plain
        },
        Entry {
            slug: "п/例え".as_bytes(),
            ..plain
        },
        Entry {
            slug: b"docs/v1/intro",
            ..plain
        },
        Entry {
            slug: "b\u{fc}cher".as_bytes(),
            ..plain
        },
        Entry {
            slug: b"a",
            domain: 2,
            destination: b"https://two.test/",
            ..plain
        },
    ];
    let mut two = domain(2, "two.test");
    two.root_url = "https://root.test/".to_owned();
    two.not_found_url = "https://lost.test/".to_owned();
    let mut unproved = domain(3, "three.test");
    unproved.live = false;
    let shared = Shared {
        domain: vec![two, unproved, domain(4, "xn--bcher-kva.test")],
        workspace: vec![schemas::feed::Workspace {
            id: 9,
            suspended: true,
        }],
        ..Default::default()
    };
    let mut links: Vec<_> = links.iter().map(encode).collect();
    let mut idn = entry("a", "https://idn.test/");
    idn.domain = 4;
    links.push(encode(&idn));
    feed.transaction(links, vec![], Some(shared));
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    (dir, feed, proxy)
}

fn summary(answer: &Answer) -> String {
    let location = answer.header("location").unwrap_or_default();
    format!("{} {location}", answer.status)
        .trim_end()
        .to_owned()
}

#[test]
fn every_form_of_a_request_is_answered_as_documented() {
    let (_dir, _feed, proxy) = served();
    let found = format!("302 {TO}");
    let long = "x".repeat(300);
    let cases: &[(&str, &str)] = &[
        // Links
        ("GET /a HTTP/1.1\r\nHost: go.test", &found),
        ("GET /a?q=1#f HTTP/1.1\r\nHost: go.test", &found),
        ("GET /301 HTTP/1.1\r\nHost: go.test", &format!("301 {TO}")),
        ("GET /307 HTTP/1.1\r\nHost: go.test", &format!("307 {TO}")),
        ("GET /308 HTTP/1.1\r\nHost: go.test", &format!("308 {TO}")),
        ("GET /off HTTP/1.1\r\nHost: go.test", "404"),
        ("GET /soon HTTP/1.1\r\nHost: go.test", "404"),
        ("GET /susp HTTP/1.1\r\nHost: go.test", "404"),
        ("GET /over HTTP/1.1\r\nHost: go.test", "410"),
        (
            "GET /late HTTP/1.1\r\nHost: go.test",
            "302 https://late.test/",
        ),
        // Slugs
        ("GET /A HTTP/1.1\r\nHost: go.test", "404"),
        ("GET /%61 HTTP/1.1\r\nHost: go.test", &found),
        ("GET /a/ HTTP/1.1\r\nHost: go.test", &found),
        ("GET /a// HTTP/1.1\r\nHost: go.test", "404"),
        ("GET //a HTTP/1.1\r\nHost: go.test", "404"),
        ("GET /docs/v1/intro HTTP/1.1\r\nHost: go.test", &found),
        ("GET /docs/v1/../v1/intro HTTP/1.1\r\nHost: go.test", "404"),
        ("GET /docs%2Fv1%2fintro/ HTTP/1.1\r\nHost: go.test", &found),
        (
            "GET /%D0%BF/%E4%BE%8B%E3%81%88 HTTP/1.1\r\nHost: go.test",
            &found,
        ),
        ("GET /b%C3%BCcher HTTP/1.1\r\nHost: go.test", &found),
        ("GET /bu%CC%88cher HTTP/1.1\r\nHost: go.test", &found),
        ("GET /%ff HTTP/1.1\r\nHost: go.test", "404"),
        ("GET /%00 HTTP/1.1\r\nHost: go.test", "404"),
        ("GET /%0d%0aSet-Cookie:x HTTP/1.1\r\nHost: go.test", "404"),
        (&format!("GET /{long} HTTP/1.1\r\nHost: go.test"), "404"),
        // A destination never comes from the request
        (
            "GET /nope?url=https://evil.test HTTP/1.1\r\nHost: go.test",
            "404",
        ),
        ("GET //evil.test/ HTTP/1.1\r\nHost: go.test", "404"),
        (
            "GET /nope HTTP/1.1\r\nHost: go.test\r\nX-Forwarded-Host: evil.test",
            "404",
        ),
        // Hosts
        ("GET /a HTTP/1.1\r\nHost: GO.Test:8080", &found),
        ("GET /a HTTP/1.1\r\nHost: go.test.", &found),
        ("GET /a HTTP/1.1\r\nHost: 127.0.0.1:1", &found),
        ("GET /a HTTP/1.1\r\nHost: [::1]", &found),
        ("GET /a HTTP/1.1\r\nHost: LOCALHOST:80", &found),
        ("GET /a HTTP/1.1\r\nHost: two.test", "302 https://two.test/"),
        (
            "GET /a HTTP/1.1\r\nHost: xn--bcher-kva.test",
            "302 https://idn.test/",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: b\u{fc}cher.test",
            "302 https://idn.test/",
        ),
        ("GET /a HTTP/1.1\r\nHost: three.test", "404"),
        ("GET /a HTTP/1.1\r\nHost: nobody.test", "404"),
        ("GET /a HTTP/1.0", &found),
        ("GET /a HTTP/1.0\r\nHost: two.test", "302 https://two.test/"),
        ("GET /a HTTP/1.1", "400"),
        ("GET /a HTTP/1.1\r\nHost:", "400"),
        ("GET /a HTTP/1.1\r\nHost: go.test\r\nHost: two.test", "400"),
        ("GET /a HTTP/1.1\r\nHost: go.test, two.test", "400"),
        ("GET /a HTTP/1.1\r\nHost: go.test/a", "400"),
        ("GET /a HTTP/1.1\r\nHost: u@go.test", "400"),
        ("GET /a HTTP/1.1\r\nHost: go.test:99999", "400"),
        ("GET /a HTTP/1.1\r\nHost: -", "400"),
        // Targets
        (
            "GET http://two.test/a HTTP/1.1\r\nHost: go.test",
            "302 https://two.test/",
        ),
        (
            "GET HTTP://TWO.test:99/a HTTP/1.1\r\nHost: go.test",
            "302 https://two.test/",
        ),
        ("GET http://two.test/a HTTP/1.0", "302 https://two.test/"),
        (
            "GET http://two.test HTTP/1.1\r\nHost: go.test",
            "302 https://root.test/",
        ),
        ("GET http://two.test/a HTTP/1.1", "400"),
        ("GET http://u:p@two.test/a HTTP/1.1\r\nHost: go.test", "400"),
        ("GET ftp://two.test/a HTTP/1.1\r\nHost: go.test", "400"),
        ("GET * HTTP/1.1\r\nHost: go.test", "400"),
        ("GET a HTTP/1.1\r\nHost: go.test", "400"),
        // Roots and unknown slugs
        ("GET / HTTP/1.1\r\nHost: go.test", "404"),
        (
            "GET /?x HTTP/1.1\r\nHost: two.test",
            "302 https://root.test/",
        ),
        (
            "GET /nope HTTP/1.1\r\nHost: two.test",
            "302 https://lost.test/",
        ),
        ("GET /robots.txt HTTP/1.1\r\nHost: go.test", "200"),
        ("GET /favicon.ico HTTP/1.1\r\nHost: nobody.test", "200"),
        // Methods
        ("HEAD /a HTTP/1.1\r\nHost: go.test", &found),
        ("HEAD /nope HTTP/1.1\r\nHost: go.test", "404"),
        ("OPTIONS /a HTTP/1.1\r\nHost: go.test", "204"),
        ("OPTIONS * HTTP/1.1\r\nHost: go.test", "204"),
        (
            "POST /a HTTP/1.1\r\nHost: go.test\r\nContent-Length: 0",
            "405",
        ),
        ("DELETE /a HTTP/1.1\r\nHost: go.test", "405"),
        ("CONNECT go.test:443 HTTP/1.1\r\nHost: go.test", "405"),
        ("BREW /a HTTP/1.1\r\nHost: go.test", "405"),
        // No HTTP
        ("GET /a b HTTP/1.1\r\nHost: go.test", "400"),
        ("GET /a HTTP/9.9\r\nHost: go.test", "400"),
        ("GET /a\u{1} HTTP/1.1\r\nHost: go.test", "400"),
        ("GET /a HTTP/1.1\r\nHost : go.test", "400"),
        ("GET /a HTTP/1.1\r\nHost: go.test\r\nX: a\0b", "400"),
        ("GET /a HTTP/1.1\r\nHost: go.test\r\n folded", "400"),
        ("nonsense", "400"),
        ("PRI * HTTP/2.0\r\n", "400"),
    ];
    for (request, expected) in cases {
        let answer = proxy.raw(format!("{request}\r\n\r\n").as_bytes());
        assert_eq!(summary(&answer), *expected, "{request:?}");
    }
    let large = format!(
        "GET /a HTTP/1.1\r\nHost: go.test\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert_eq!(proxy.raw(large.as_bytes()).status, 431);
    let many = "X: y\r\n".repeat(200);
    let many = format!("GET /a HTTP/1.1\r\nHost: go.test\r\n{many}\r\n");
    assert_eq!(proxy.raw(many.as_bytes()).status, 431);
}

#[test]
fn a_redirect_carries_what_it_must_and_nothing_else() {
    let (_dir, _feed, proxy) = served();
    for slug in ["a", "301", "307", "308", "late"] {
        let answer = proxy.get(&format!("/{slug}"), "go.test");
        let mut names: Vec<_> = answer
            .head
            .lines()
            .skip(1)
            .filter_map(|l| Some(l.split_once(':')?.0.to_ascii_lowercase()))
            .collect();
        names.sort();
        let expected = [
            "cache-control",
            "connection",
            "content-length",
            "date",
            "location",
            "referrer-policy",
            "x-robots-tag",
        ];
        assert_eq!(names, expected, "{slug}");
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        assert_eq!(answer.header("x-robots-tag"), Some("noindex"));
        assert_eq!(answer.body, "");
    }
}

#[test]
fn pages_are_for_people_and_json_for_those_who_ask() {
    let (_dir, _feed, proxy) = served();
    for (path, status) in [("/nope", 404), ("/over", 410), ("/off", 404), ("/", 404)] {
        let page = proxy.get(path, "go.test");
        assert_eq!(page.status, status);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(page.header("cache-control"), Some("private, no-store"));
        assert!(page.body.contains("<h1>"), "{}", page.body);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: go.test\r\nAccept: application/json\r\n\r\n");
        let json = proxy.raw(request.as_bytes());
        assert_eq!(json.header("content-type"), Some("application/json"));
        let value: serde_json::Value = serde_json::from_str(&json.body).expect("JSON");
        assert_eq!(value["status"], status);
    }
    for method in ["POST", "OPTIONS"] {
        let answer = proxy.raw(format!("{method} /a HTTP/1.1\r\nHost: go.test\r\n\r\n").as_bytes());
        assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    let head = proxy.raw(b"HEAD /nope HTTP/1.1\r\nHost: go.test\r\n\r\n");
    assert_ne!(head.header("content-length"), Some("0"));
}

#[test]
fn effects_of_one_transaction_appear_at_one_instant() {
    let (_dir, feed, proxy) = served();
    let value = |slug: &str| -> u32 {
        let answer = proxy.get(&format!("/{slug}"), "go.test");
        let number = answer.header("location").and_then(|l| l.rsplit('/').next());
        number.map_or(0, |n| n.parse().expect("a number"))
    };
    for round in 1..=40_u32 {
        let to = format!("https://dest.test/{round}");
        feed.transaction(vec![link("x", &to), link("y", &to)], vec![], None);
        for _ in 0..5 {
            // Whoever has seen the one must see the other.
            let (first, second) = (value("x"), value("y"));
            assert!(second >= first, "{second} after {first}");
            let (first, second) = (value("y"), value("x"));
            assert!(second >= first, "{second} after {first}");
        }
    }
}
