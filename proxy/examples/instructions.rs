//! Answers plain links again and again, to be counted under callgrind (`make instructions`): from the lines of a head to the
//! bytes of the answer, a thousand links in turn, a browser's eleven headers. Everything else of a redirect (sockets, the ring) is
//! the kernel's and memory's, and has its place in `benches redirect`.
//!
//! `instructions plain|query REDIRECTS`: without a query, or with one of two parameters. Prints the bytes written.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement, printed"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use http::{Method, Version};
use proxy::answer::{Date, Pages};
use proxy::handler::decide;
use proxy::request::{Head, Headers, HostName, Line};
use proxy::table::{Around, GroupSet, LinkTable, SharedTables, Source};
use schemas::feed::{Change, Domain, Shared};
use schemas::link::{Entry, Status};

/// Links that are asked for in turn.
const LINKS: usize = 1000;

/// The instant of all visits, milliseconds since 1970-01-01 UTC.
const NOW_MS: i64 = 1_700_000_000_000;

/// As a browser sends them.
const HEADERS: [Line<'static>; 11] = [
    (b"Host", b"go.test"),
    (b"Connection", b"keep-alive"),
    (b"sec-ch-ua", b"\"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\""),
    (b"sec-ch-ua-mobile", b"?0"),
    (b"sec-ch-ua-platform", b"\"Windows\""),
    (b"Upgrade-Insecure-Requests", b"1"),
    (
        b"User-Agent",
        b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    ),
    (
        b"Accept",
        b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    (b"Referer", b"https://news.example/"),
    (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
    (b"Accept-Language", b"en-GB,en;q=0.9,de;q=0.8"),
];

fn main() {
    let mut args = std::env::args().skip(1);
    let query: &[u8] = match args.next().as_deref() {
        Some("plain") => b"",
        Some("query") => b"utm_source=news&page=2",
        _ => panic!("plain or query?"),
    };
    let redirects: usize = args.next().expect("how many?").parse().expect("a number");
    let paths: Vec<String> = (0..LINKS).map(|n| format!("/link-{n:04}")).collect();
    let table = table(&paths);
    println!("{}", answer(&table, &paths, query, redirects));
}

#[inline(never)]
fn answer(table: &LinkTable, paths: &[String], query: &[u8], redirects: usize) -> usize {
    let (mut date, mut pages, mut out) = (Date::default(), Pages::default(), Vec::new());
    let mut written = 0;
    for path in paths.iter().cycle().take(redirects) {
        let head = Head {
            method: &Method::GET,
            path: black_box(path),
            query: black_box(query),
            absolute: None,
            version: Version::HTTP_11,
            headers: Headers::Lines(black_box(&HEADERS)),
            client_ip: IpAddr::from(Ipv4Addr::LOCALHOST),
            secure: false,
        };
        let mut host = HostName::new();
        let decision = decide(&head, table, NOW_MS, &mut host);
        black_box(&decision.visit);
        out.clear();
        decision.answer.write(date.at(NOW_MS), &mut pages, &mut out);
        written += black_box(&out).len();
    }
    written
}

fn table(paths: &[String]) -> LinkTable {
    let empty = LinkTable::empty();
    let domain = Domain {
        id: 1,
        host: "go.test".to_owned(),
        live: true,
        is_default: true,
        ..Domain::default()
    };
    let shared = Shared {
        domain: vec![domain],
        ..Shared::default()
    };
    let around = Around {
        version: empty.version(),
        shared: SharedTables::default().apply(&shared).expect("legal"),
        sums: empty.sums().into(),
        links: 0,
        missing: GroupSet::none(),
    };
    let table = empty.assemble(around, |_| Source::Keep).expect("empty");
    let link = |path: &String| {
        let destination = format!("https://destination.test/a/page{path}?utm_source=mail");
        let entry = Entry {
            domain: 1,
            slug: &path.as_bytes()[1..],
            destination: destination.as_bytes(),
            link: 1,
            workspace: 1,
            status: Status::Found,
            disabled: false,
            utm: true,
            starts_at_ms: i64::MIN,
            expires_at_ms: i64::MAX,
            expired_url: b"",
            plan: b"",
        };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes).expect("legal");
        bytes.into()
    };
    let change = Change {
        seq: 1,
        change: vec![0; 16].into(),
        upsert: paths.iter().map(link).collect(),
        ..Change::default()
    };
    table.apply(&change).expect("legal")
}
