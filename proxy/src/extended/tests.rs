//! Requests for links with a plan, one line a case.

mod links;

use http_body_util::BodyExt as _;

use self::links::{links, table};
use super::*;
use crate::enrich::{Agents, Databases, Known};

const NOW: i64 = 1_700_000_000_000;
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
const DESKTOP: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
const UNFURLER: &str = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)";

thread_local! {
    static SENSES: Senses = Senses::new(&Known {
        geo: Databases::default(),
        agents: Agents::new().expect("matchers"),
    });
}

/// Answers `METHOD target` of a visitor with this user agent and these headers: status, location or body, and the visits
/// as `link outcome rule/variant flags`.
fn answer(request: &str, agent: &str, more: &[(&'static str, &str)]) -> (Response, String) {
    let table = table();
    let (method, target) = request.split_once(' ').expect("method");
    let mut request = http::Request::builder()
        .method(method)
        .uri(target)
        .header("host", "one.test")
        .header("user-agent", agent);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).expect("request").into_parts();
    let head = Head::of(&parts, [192, 0, 2, 1].into());
    let mut name = HostName::new();
    let decision = crate::handler::decide(&head, &table, NOW, &mut name);
    assert!(decision.visit.is_none() || decision.extended.is_none());
    let Some((entry, host)) = decision.extended else {
        let visit = decision
            .visit
            .map_or(String::new(), |v| format!("{} plain", v.link));
        return (decision.answer.into_response(), visit);
    };
    let gates = Gates::shut();
    SENSES.with(|senses| {
        let asked = Asked {
            head,
            table: &table,
            now_ms: NOW,
            host,
            senses,
            gates: &gates,
        };
        match decide(&asked, entry, &mut Granted::default()) {
            Decided::Answer(answered) => {
                let show = |v: &Visit<'_>| {
                    let flags = [(v.scan, " scan"), (v.bot, " bot")];
                    let flags: String = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
                    let slug = String::from_utf8_lossy(v.slug);
                    assert_eq!(links().get(v.link as usize - 1).map(|l| l.0), Some(&*slug));
                    let outcome = v
                        .outcome
                        .as_str_name()
                        .trim_start_matches("OUTCOME_")
                        .to_lowercase();
                    format!(
                        "{slug} {outcome} {} {}/{}{flags}",
                        v.status, v.rule, v.variant
                    )
                };
                let visits: Vec<_> = answered.visits.iter().flatten().map(show).collect();
                (answered.response, visits.join(", "))
            }
            Decided::Wait(wait) => (
                Reply::own(Kind::BodyMissing).into_response(&head),
                format!("waits: {wait:?}"),
            ),
        }
    })
}

fn text(response: Response) -> String {
    let body = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime")
        .block_on(response.into_body().collect())
        .expect("infallible");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

#[track_caller]
fn check_as(agent: &str, request: &str, expected: &str, visits: &str) {
    let (response, got) = answer(request, agent, &[]);
    let status = response.status().as_u16();
    let shown = match response.headers().get("location") {
        Some(location) => location.to_str().expect("text").to_owned(),
        None => text(response),
    };
    let shown = format!("{status} {shown}");
    assert!(
        shown == expected
            || expected.ends_with('…')
                && shown.contains(
                    expected
                        .trim_end_matches('…')
                        .split_once(' ')
                        .expect("status")
                        .1
                )
                && shown.starts_with(&expected[..3]),
        "{request}: {shown}, not {expected}"
    );
    assert_eq!(got, visits, "{request}");
}

#[track_caller]
fn check(request: &str, expected: &str, visits: &str) {
    check_as(DESKTOP, request, expected, visits);
}

#[track_caller]
fn check_waits(request: &str, what: &str) {
    let (_, waits) = answer(request, DESKTOP, &[]);
    assert!(
        waits.starts_with(&format!("waits: {what}")),
        "{request}: {waits}"
    );
}

#[test]
fn rules_variants_and_queries() {
    check(
        "GET /plain?x=1",
        "308 https://dest.test/plain?own=1",
        "1 plain",
    );
    check(
        "GET /ruled",
        "308 https://variant.test/",
        "ruled redirect 308 0/1",
    );
    check(
        "GET /ruled?x=1",
        "308 https://variant.test/?x=1",
        "ruled redirect 308 0/1",
    );
    check(
        "GET /ruled?r=2&x=1",
        "308 https://rule.test/?r=own&x=1",
        "ruled redirect 308 1/0",
    );
    check("HEAD /ruled?r", "308 https://rule.test/?r=own", "");
    check("POST /ruled", "405 Only for reading…", "");
    check("POST /plain", "405 Only for reading…", "");
    check("POST /nowhere", "405 Only for reading…", "");
    check("GET /off", "404 This link is not active…", "");
}

#[test]
fn pages_and_bodies() {
    check(
        "GET /splash",
        "200 <a href='https://dest.test/splash?own=1'>",
        "splash page 200 0/0",
    );
    check(
        "HEAD /splash",
        "200 <a href='https://dest.test/splash?own=1'>",
        "",
    );
    check(
        "GET /other-splash",
        "200 <a href='https://x.test/&#39;'>",
        "other-splash page 200 0/0",
    );
    // A deleted page: the link goes on without it.
    check(
        "GET /no-splash",
        "308 https://dest.test/no-splash?own=1",
        "no-splash redirect 308 0/0",
    );
    check_waits("GET /fetched", "Blob");
    check_waits("POST /splash", "Form");
    check("GET /gone", "410 over", "");
    check("GET /body", "200 {}", "");
    let (response, _) = answer("GET /splash", DESKTOP, &[]);
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|v| v.to_str().expect("text").to_owned())
    };
    assert_eq!(
        header("content-security-policy").as_deref(),
        Some("default-src 'self'")
    );
    assert_eq!(
        header("cache-control").as_deref(),
        Some("private, no-store")
    );
    assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
    let (response, _) = answer("GET /body", DESKTOP, &[]);
    assert_eq!(response.headers()["cache-control"], "public, max-age=60");
    assert!(
        response.headers()["content-security-policy"]
            .to_str()
            .expect("text")
            .contains("sandbox")
    );
    let etag = response.headers()["etag"]
        .to_str()
        .expect("text")
        .to_owned();
    for (sent, status) in [
        (etag.clone(), 304),
        (format!("W/{etag}, \"x\""), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
        ("x".to_owned(), 200),
    ] {
        let (response, _) = answer("GET /body", DESKTOP, &[("if-none-match", &sent)]);
        assert_eq!(response.status(), status, "{sent}");
        assert_eq!(text(response).is_empty(), status == 304);
    }
    let (response, _) = answer("GET /fetched", DESKTOP, &[("accept", "application/json")]);
    assert_eq!(response.headers()["retry-after"], "5");
    assert!(text(response).contains("\"error\":\"body_missing\""));
}

#[test]
fn apps_and_cards() {
    check_as(
        PHONE,
        "GET /app",
        "200 href=\"myapp://x\"…",
        "app page 200 0/0",
    );
    check_as(
        PHONE,
        "GET /script",
        "308 https://dest.test/script?own=1",
        "script redirect 308 0/0",
    );
    check(
        "GET /app",
        "308 https://dest.test/app?own=1",
        "app redirect 308 0/0",
    );
    let android = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
    check_as(
        android,
        "GET /app",
        "302 https://play.test/",
        "app redirect 302 0/0",
    );
    check_as(
        UNFURLER,
        "GET /card",
        "200 <meta property=\"og:title\" content=\"T&lt;\">…",
        "card page 200 0/0 bot",
    );
    check_as(UNFURLER, "HEAD /card", "200 og:title…", "");
    check(
        "GET /card",
        "308 https://dest.test/card?own=1",
        "card redirect 308 0/0",
    );
    // A person's browser inside such an app, and a bot of another kind.
    for agent in [&format!("{PHONE} [FBAN/FBIOS;FBAV/450]"), "curl/8"] {
        check_as(
            agent,
            "GET /card",
            "308 https://dest.test/card?own=1",
            "card redirect 308 0/0",
        );
    }
    check_as(
        UNFURLER,
        "GET /app",
        "308 https://dest.test/app?own=1",
        "app redirect 308 0/0",
    );
}

#[test]
fn one_hop_counts_for_both_links() {
    check(
        "GET /qr/x?r",
        "308 https://rule.test/?r=own",
        "ruled redirect 308 1/0 scan, qr/x hop 308 0/0 scan",
    );
    check("HEAD /qr/x", "308 https://variant.test/", "");
    check("GET /twice", "404 no such link…", "");
    check("GET /lost", "404 no such link…", "");
    check("GET /r/dead", "404 not active…", "");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let (response, visits) = answer("GET /r/x", DESKTOP, &[]);
        assert_eq!(response.status(), 308);
        seen.insert(visits);
    }
    // Neither the one that is off, nor the one with a password, nor the one that is not there.
    assert_eq!(
        Vec::from_iter(seen),
        [
            "plain redirect 308 0/0, r/x hop 308 0/0",
            "ruled redirect 308 0/1, r/x hop 308 0/0"
        ]
    );
}

#[test]
fn a_mark_makes_a_visit_a_scan_of_its_code_and_goes_no_further() {
    let plain = "308 https://dest.test/plain?own=1";
    let scanned = "plain redirect 308 0/0 scan, qr/0000aaaa hop 308 0/0 scan";
    check("GET /plain?qr=0000aaaa", plain, scanned);
    check("GET /plain?x=1&qr=0000aaaa&y", plain, scanned);
    check("HEAD /plain?qr=0000aaaa", plain, "");
    check("GET /qr/0000aaaa", plain, scanned);
    // Another link's code, one that is not there, one whose visits are no scans, and what is no mark.
    for other in [
        "qr=0000bbbb",
        "qr=0000eeee",
        "qr=0000dddd",
        "qr=0000AAAA",
        "qr=../plain",
        "qr",
    ] {
        check(&format!("GET /plain?{other}"), plain, "1 plain");
    }
    let ruled = "ruled redirect 308 1/0 scan, qr/0000bbbb hop 308 0/0 scan";
    for query in ["r&qr=0000bbbb&x=1", "qr=0000bbbb&r&x=1"] {
        let to = "308 https://rule.test/?r=own&x=1";
        check(&format!("GET /ruled?{query}"), to, ruled);
    }
    // Believed or not, it is not passed on; a parameter of another form is.
    check(
        "GET /ruled?qr=0000eeee&r",
        "308 https://rule.test/?r=own",
        "ruled redirect 308 1/0",
    );
    check(
        "GET /ruled?qr=yes&r",
        "308 https://rule.test/?r=own&qr=yes",
        "ruled redirect 308 1/0",
    );
    check_waits("POST /locked?qr=0000cccc", "Password");
    check("GET /locked?qr=0000cccc", "200 <form method=\"post\">…", "");
}

#[test]
fn a_link_is_not_there_from_its_last_instant_on() {
    for method in ["GET", "HEAD", "POST"] {
        check(&format!("{method} /doomed"), "404 no such link…", "");
    }
    let ending = "308 https://dest.test/ending?own=1";
    check("GET /ending", ending, "ending redirect 308 0/0");
    check("GET /r/doomed", "404 not active…", "");
}

#[test]
fn gates_stay_shut() {
    check("GET /locked", "200 <form method=\"post\">…", "");
    check("HEAD /locked", "200 <form method=\"post\">…", "");
    check_waits("POST /locked", "Password");
    check_waits("GET /limited", "Lease");
    check("HEAD /limited", "308 https://dest.test/limited?own=1", "");
    check_as(
        UNFURLER,
        "GET /limited",
        "308 https://dest.test/limited?own=1",
        "limited redirect 308 0/0 bot",
    );
    let (response, _) = answer("GET /locked", DESKTOP, &[("cookie", "signpost_open=1.00")]);
    assert!(response.headers().get("location").is_none());
    let (response, _) = answer("GET /locked", DESKTOP, &[("accept", "application/json")]);
    assert_eq!(response.status(), 401);
    assert!(text(response).contains("\"error\":\"password\""));
}
