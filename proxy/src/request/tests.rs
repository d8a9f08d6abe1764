//! Hosts, hostile ones included, against `schemas::host`.

use proptest::prelude::*;
use schemas::feed;

use super::*;
use crate::table::SharedTables;

fn table() -> LinkTable {
    let domain = |id, host: &str, is_default| feed::Domain {
        id,
        host: host.to_owned(),
        live: true,
        is_default,
        ..Default::default()
    };
    let shared = feed::Shared {
        domain: vec![
            domain(1, "", true),
            domain(2, "go.acme.test", false),
            domain(3, "xn--bcher-kva.test", false),
        ],
        ..Default::default()
    };
    let shared = SharedTables::default().apply(&shared).expect("legal");
    let empty = LinkTable::empty();
    empty
        .assemble(
            crate::table::Around {
                version: empty.version(),
                shared,
                sums: empty.sums().into(),
                links: 0,
                missing: crate::table::GroupSet::none(),
            },
            |_| crate::table::Source::Keep,
        )
        .expect("empty")
}

#[track_caller]
fn check(text: &str, expected: Option<u32>, name: &str) {
    let table = table();
    let mut buffer = HostName::new();
    let got = match find_domain(HostText::Given(text), &table, &mut buffer) {
        Target::Domain(domain) => Some(domain.id),
        Target::Unknown => Some(0),
        Target::Bad => None,
    };
    assert_eq!(got, expected, "{text}");
    if got.is_some() {
        assert_eq!(String::from_utf8_lossy(buffer.as_bytes()), name, "{text}");
    }
}

#[test]
fn a_host_has_one_domain_however_it_is_written() {
    for text in [
        "go.acme.test",
        "Go.ACME.test",
        "go.acme.test:8080",
        "go.acme.test:",
        "go.acme.test.",
        "go.acme.test.:80",
    ] {
        check(text, Some(2), "go.acme.test");
    }
    check("bücher.test", Some(3), "xn--bcher-kva.test");
    check("XN--BCHER-KVA.TEST:1", Some(3), "xn--bcher-kva.test");
    check("127.0.0.1:8080", Some(1), "127.0.0.1");
    check("LocalHost", Some(1), "localhost");
    check("[::1]:8080", Some(1), "[::1]");
    check("other.test", Some(0), "other.test");
    for bad in [
        "",
        ":80",
        "a b",
        "go.acme.test:99999",
        "go.acme.test:x",
        "[::1",
        "1.2.3",
        "a..b",
        "go.acme.test:80:80",
    ] {
        check(bad, None, "");
    }
    check(&"a".repeat(100_000), None, "");
}

proptest! {
    #[test]
    fn the_fast_path_says_what_the_normal_form_says(text in "(go\\.acme\\.test|GO.acme.test|[a-z0-9.:\\[\\]-]{0,30}|\\PC{0,20})\\.?(:[0-9]{0,6})?") {
        let table = table();
        let mut buffer = HostName::new();
        let got = find_domain(HostText::Given(&text), &table, &mut buffer);
        let expected = match Host::parse(&text) {
            Ok(Host::Default) => table.default_domain().map_or(Target::Unknown, Target::Domain),
            Ok(Host::Name(name)) => table.domain(name.as_bytes()).map_or(Target::Unknown, Target::Domain),
            Err(_) => Target::Bad,
        };
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn any_accept_header_is_read(accept in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = prefers_json(&accept);
    }
}

#[test]
fn json_is_for_those_who_ask_for_it_first() {
    for yes in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/json, text/html",
        "text/html;q=0.5, application/json;q=0.9",
        "application/json, */*",
    ] {
        assert!(prefers_json(yes.as_bytes()), "{yes}");
    }
    for no in [
        "",
        "*/*",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "text/html, application/json",
        "application/json;q=0.5, text/html;q=0.9",
        "application/json;q=0",
        "image/png",
        "application/jsonp",
    ] {
        assert!(!prefers_json(no.as_bytes()), "{no}");
    }
}

fn host_of(version: Version, target: &str, hosts: &[&str]) -> String {
    let mut request = http::Request::builder().version(version).uri(target);
    for host in hosts {
        request = request.header(HOST, *host);
    }
    let (parts, ()) = request.body(()).expect("request").into_parts();
    let head = Head::of(&parts, IpAddr::from([127, 0, 0, 1]));
    match head.host_text() {
        HostText::Given(text) => text.to_owned(),
        HostText::Absent => "absent".to_owned(),
        HostText::Bad => "bad".to_owned(),
    }
}

#[test]
fn where_the_host_comes_from() {
    let (v0, v1) = (Version::HTTP_10, Version::HTTP_11);
    assert_eq!(host_of(v1, "/a", &["x.test"]), "x.test");
    assert_eq!(host_of(v1, "/a", &[]), "bad");
    assert_eq!(host_of(v0, "/a", &[]), "absent");
    assert_eq!(host_of(v0, "/a", &["x.test", "y.test"]), "bad");
    assert_eq!(host_of(v1, "/a", &["x.test", "x.test"]), "bad");
    assert_eq!(host_of(v1, "http://y.test:1/a", &["x.test"]), "y.test:1");
    assert_eq!(host_of(v1, "HTTPS://y.test/a", &["x.test"]), "y.test");
    assert_eq!(host_of(v0, "http://y.test/a", &[]), "y.test");
    assert_eq!(host_of(v1, "http://y.test/a", &[]), "bad");
    assert_eq!(host_of(v1, "ftp://y.test/a", &["x.test"]), "bad");
    assert_eq!(host_of(v1, "http://u:p@y.test/a", &["x.test"]), "bad");
}
