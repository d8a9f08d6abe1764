//! Decisions, one line a case.

use std::net::IpAddr;

use schemas::feed::{self, Change};

use super::*;

const NOW: i64 = 1_000;

fn plain() -> Entry<'static> {
    Entry {
        domain: 1,
        slug: b"a",
        destination: b"https://dest.test/?utm_source=x&b=1#frag?no",
        link: 5,
        workspace: 7,
        status: Status::Found,
        disabled: false,
        utm: true,
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: b"",
    }
}

fn table() -> LinkTable {
    let entries = [
        plain(),
        Entry {
            slug: b"perm",
            status: Status::PermanentRedirect,
            utm: false,
            ..plain()
        },
        Entry {
            slug: b"off",
            disabled: true,
            ..plain()
        },
        Entry {
            slug: b"later",
            starts_at_ms: NOW + 1,
            ..plain()
        },
        Entry {
            slug: b"just",
            starts_at_ms: NOW,
            expires_at_ms: NOW + 1,
            ..plain()
        },
        Entry {
            slug: b"over",
            expires_at_ms: NOW,
            ..plain()
        },
        Entry {
            slug: b"moved",
            expires_at_ms: NOW,
            expired_url: b"https://late.test/",
            ..plain()
        },
        Entry {
            slug: b"susp",
            workspace: 8,
            ..plain()
        },
        Entry {
            slug: "п/a".as_bytes(),
            ..plain()
        },
        Entry {
            slug: b"a",
            domain: 2,
            destination: b"https://two.test/",
            ..plain()
        },
    ];
    let domain = |id, host: &str| feed::Domain {
        id,
        host: host.to_owned(),
        live: true,
        is_default: id == 1,
        ..Default::default()
    };
    let change = Change {
        seq: 1,
        change: vec![0; 16].into(),
        upsert: entries
            .iter()
            .map(|e| {
                let mut out = Vec::new();
                e.encode(&mut out).expect("legal");
                out.into()
            })
            .collect(),
        shared: Some(feed::Shared {
            domain: vec![
                domain(1, "one.test"),
                feed::Domain {
                    root_url: "https://root.test/".to_owned(),
                    not_found_url: "https://lost.test/".to_owned(),
                    ..domain(2, "two.test")
                },
                feed::Domain {
                    live: false,
                    ..domain(3, "three.test")
                },
            ],
            workspace: vec![feed::Workspace {
                id: 8,
                suspended: true,
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let empty = LinkTable::empty();
    let loaded = empty
        .assemble(
            crate::table::Around {
                version: empty.version(),
                shared: crate::table::SharedTables::default(),
                sums: empty.sums().into(),
                links: 0,
                missing: crate::table::GroupSet::none(),
            },
            |_| crate::table::Source::Keep,
        )
        .expect("empty");
    loaded.apply(&change).expect("legal")
}

#[track_caller]
fn check(request: &str, expected: &str) {
    let table = table();
    let (method, rest) = request.split_once(' ').expect("method");
    let (target, host) = rest.split_once(' ').expect("host");
    let (parts, ()) = http::Request::builder()
        .method(method)
        .uri(target)
        .header("host", host)
        .body(())
        .expect("request")
        .into_parts();
    let head = Head::of(&parts, IpAddr::from([1, 2, 3, 4]));
    let mut name = HostName::new();
    let decision = decide(&head, &table, NOW, &mut name);
    let mut got = match &decision.answer {
        Answer::Redirect {
            status, location, ..
        } => {
            format!(
                "{} {}",
                status.code(),
                str::from_utf8(location).expect("ascii")
            )
        }
        Answer::Page { kind, .. } => kind.name().to_owned(),
    };
    if decision.visit.is_some() {
        got.push_str(" +");
    }
    assert_eq!(got, expected, "{request}");
}

#[test]
fn links_answer_by_their_state() {
    let to = "https://dest.test/?utm_source=x&b=1#frag?no";
    check("GET /a one.test", &format!("302 {to} +"));
    check("GET /a?x=1 127.0.0.1:8080", &format!("302 {to} +"));
    check("GET /a/ one.test", &format!("302 {to} +"));
    check("GET /%61 one.test", &format!("302 {to} +"));
    check("GET /%D0%BF%2Fa one.test", &format!("302 {to} +"));
    check("GET /%d0%bf/a/ one.test", &format!("302 {to} +"));
    check("HEAD /a one.test", &format!("302 {to}"));
    check("GET /perm one.test", &format!("308 {to} +"));
    check("GET /just one.test", &format!("302 {to} +"));
    check("GET /a two.test", "302 https://two.test/ +");
    check("GET http://two.test/a one.test", "302 https://two.test/ +");
    check("GET /off one.test", "disabled");
    check("GET /later one.test", "not_started");
    check("GET /over one.test", "expired");
    check("GET /moved one.test", "302 https://late.test/");
    check("GET /susp one.test", "suspended");
}

#[test]
fn everything_else_is_one_of_our_pages_or_the_domains_address() {
    check("GET /A one.test", "unknown_slug");
    check("GET //a one.test", "unknown_slug");
    check("GET /a// one.test", "unknown_slug");
    check("GET /%ff one.test", "unknown_slug");
    check("GET /%00 one.test", "unknown_slug");
    check(
        &format!("GET /{} one.test", "a".repeat(60_000)),
        "unknown_slug",
    );
    check("GET / one.test", "root");
    check("GET /?x one.test", "root");
    check("GET / two.test", "302 https://root.test/");
    check("GET /nope two.test", "302 https://lost.test/");
    check("GET /a three.test", "unknown_host");
    check("GET /a four.test", "unknown_host");
    check("GET /a a_b", "bad_request");
    check("GET /robots.txt four.test", "robots");
    check("GET /favicon.ico one.test", "icon");
    check("POST /a one.test", "bad_method");
    check("BREW /a one.test", "bad_method");
    check("CONNECT one.test:443 one.test", "bad_method");
    check("OPTIONS /a one.test", "options");
    check("OPTIONS * one.test", "options");
    check("GET * one.test", "bad_request");
    check("GET one.test:80 one.test", "bad_request");
}

#[test]
fn a_visit_carries_what_a_click_needs() {
    let table = table();
    let mut request = http::Request::builder().uri("/a/?q=1&utm_term=z");
    for (name, value) in [
        ("host", "ONE.test:80"),
        ("user-agent", "UA"),
        ("referer", "https://r.test/"),
        ("accept-language", "de"),
        ("x-moz", "prefetch"),
    ] {
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).expect("request").into_parts();
    let head = Head::of(&parts, IpAddr::from([1, 2, 3, 4]));
    let mut name = HostName::new();
    let visit = decide(&head, &table, NOW, &mut name)
        .visit
        .expect("counted");
    let expected = Visit {
        time_ms: NOW,
        link: 5,
        workspace: 7,
        domain: 1,
        status: 302,
        outcome: Outcome::Redirect,
        rule: 0,
        variant: 0,
        scan: false,
        bot: false,
        client_ip: IpAddr::from([1, 2, 3, 4]),
        host: b"one.test",
        slug: b"a",
        target_query: b"q=1&utm_term=z",
        destination_query: b"utm_source=x&b=1",
        user_agent: b"UA",
        referrer: b"https://r.test/",
        accept_language: b"de",
        purpose: b"prefetch",
    };
    assert_eq!(visit, expected);
}
