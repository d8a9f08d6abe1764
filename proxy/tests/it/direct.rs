//! The direct path beside hyper's: the same bytes for the same request, whichever of them answers.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use schemas::link::plan::{
    Beyond, ClickLimit, Condition, Matches, Plan, Rule, Target, Test, Variant, Variants,
};

use crate::extended::{BROWSER, put};
use crate::harness::{TestProxy, eventually, read_answer};
use crate::http::served;

/// Sends `request` on a connection of its own and returns the answer's bytes, its date blotted out. The connection is
/// half closed behind the request, so the answer ends where the proxy hangs up.
fn answer(proxy: &TestProxy, request: &str) -> String {
    let mut stream = proxy.connect();
    stream.write_all(request.as_bytes()).expect("written");
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let mut bytes = String::new();
    stream.read_to_string(&mut bytes).expect("answer");
    let (before, rest) = bytes
        .split_once("date: ")
        .unwrap_or_else(|| panic!("no date: {request:?} {bytes:?}"));
    let (date, after) = rest.split_at(29);
    assert!(date.ends_with(" GMT"), "{date}");
    format!("{before}date: …{after}")
}

#[test]
fn both_paths_answer_with_the_same_bytes() {
    let (_dir, _feed, proxy) = served();
    let accepts = ["*/*", "application/json"];
    let hosts = [
        "go.test",
        "GO.test:80",
        "two.test",
        "nobody.test",
        "bad host",
    ];
    for path in [
        "/a",
        "/a/",
        "/301",
        "/307",
        "/308",
        "/off",
        "/over",
        "/late",
        "/soon",
        "/susp",
        "/docs/v1/intro",
        "/b%C3%BCcher",
        "/b%c3%bccher?x=1",
        "/none",
        "/",
        "/?x",
        "/robots.txt",
        "/favicon.ico",
        "//a",
        "/%00",
        "/%",
    ] {
        for host in hosts {
            for accept in accepts {
                let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n");
                let direct = answer(&proxy, &format!("{head}\r\n"));
                let hyper = answer(&proxy, &format!("{head}Content-Length: 0\r\n\r\n"));
                assert_eq!(direct, hyper, "{head}");
            }
        }
    }
    let twice = "GET /a HTTP/1.1\r\nHost: go.test\r\nHost: two.test\r\n";
    assert_eq!(
        answer(&proxy, &format!("{twice}\r\n")),
        answer(&proxy, &format!("{twice}Content-Length: 0\r\n\r\n"))
    );
}

#[test]
fn both_paths_send_the_same_way_where_rules_decide() {
    let (_dir, feed, proxy) = served();
    let to = |url: &str| Target::Redirect {
        url: url.to_owned(),
        utm: true,
    };
    let plan = Plan {
        rules: vec![Rule {
            matches: Matches::All,
            conditions: vec![Condition {
                negated: false,
                test: Test::Language(vec!["de".to_owned()]),
            }],
            target: to("https://dest.test/deutsch"),
        }],
        variants: Some(Variants {
            list: [("https://dest.test/a", 1), ("https://dest.test/b", 1)]
                .map(|(url, weight)| Variant {
                    weight,
                    target: to(url),
                })
                .into(),
            ends_at_ms: i64::MAX,
            winner: 0,
        }),
        pass_query: true,
        ..Plan::default()
    };
    put(&feed, 70, "ruled", &plan);
    let limited = Plan {
        click_limit: Some(ClickLimit {
            max: 2,
            beyond: Beyond::Url("https://over.test/".to_owned()),
        }),
        ..Plan::default()
    };
    feed.lock().limits.insert(71, (2, 0));
    feed.lock().grant = 2;
    put(&feed, 71, "limited", &limited);
    eventually("live", || proxy.get("/limited", "go.test").status == 302);
    let mut seen = BTreeSet::new();
    for language in ["de", "en"] {
        for visitor in 0..20 {
            let head = format!(
                "GET /ruled?x={visitor} HTTP/1.1\r\nHost: go.test\r\nAccept-Language: {language}\r\nUser-Agent: v{visitor}\r\n"
            );
            let direct = answer(&proxy, &format!("{head}\r\n"));
            assert_eq!(
                direct,
                answer(&proxy, &format!("{head}Content-Length: 0\r\n\r\n"))
            );
            let location = direct.lines().find_map(|l| l.strip_prefix("location: "));
            seen.insert(
                location
                    .expect("a redirect")
                    .split('?')
                    .next()
                    .map(str::to_owned),
            );
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    // The first visit waits for a lease, with hyper; what the direct path has begun for it has spent nothing.
    let head = format!("GET /limited HTTP/1.1\r\nHost: go.test\r\nUser-Agent: {BROWSER}\r\n\r\n");
    for to in [
        "https://dest.test/",
        "https://dest.test/",
        "https://over.test/",
    ] {
        let answer = answer(&proxy, &head);
        assert!(answer.contains(&format!("location: {to}\r\n")), "{answer}");
    }
}

#[test]
fn a_head_may_come_in_any_pieces() {
    let (_dir, _feed, proxy) = served();
    let request = "GET /a HTTP/1.1\r\nHost: go.test\r\nAccept: */*\r\n\r\n";
    let mut stream = proxy.connect();
    stream.set_nodelay(true).expect("nodelay");
    let mut rest = Vec::new();
    for cut in 1..request.len() {
        let (front, back) = request.split_at(cut);
        for piece in [front, back] {
            stream.write_all(piece.as_bytes()).expect("written");
            // Makes the proxy see the pieces one by one, as far as that can be had without waiting.
            std::thread::yield_now();
        }
        let answer = read_answer(&mut stream, &mut rest, false).expect("answer");
        assert_eq!(answer.status, 302, "cut at {cut}");
    }
    // Byte by byte: the direct path gives up, and the answer is the same.
    let mut stream = proxy.connect();
    stream.set_nodelay(true).expect("nodelay");
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).expect("written");
        std::thread::yield_now();
    }
    let answer = read_answer(&mut stream, &mut Vec::new(), false).expect("answer");
    assert_eq!(answer.status, 302);
}

#[test]
fn a_burst_is_answered_in_order_whoever_answers() {
    let (_dir, _feed, proxy) = served();
    // Far more than one buffer of requests or answers; from the middle on hyper's.
    const HALF: usize = 1500;
    let mut burst = String::new();
    for i in 0..2 * HALF {
        let path = ["/a", "/none", "/301"][i % 3];
        let more = if i == HALF {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        burst.push_str(&format!(
            "GET {path} HTTP/1.1\r\nHost: go.test\r\n{more}\r\n"
        ));
    }
    let mut stream = proxy.connect();
    let mut writer = stream.try_clone().expect("clone");
    let sender = std::thread::spawn(move || writer.write_all(burst.as_bytes()));
    let mut rest = Vec::new();
    for i in 0..2 * HALF {
        let answer = read_answer(&mut stream, &mut rest, false).expect("answer");
        assert_eq!(answer.status, [302, 404, 301][i % 3], "answer {i}");
    }
    sender.join().expect("sender").expect("written");
}
