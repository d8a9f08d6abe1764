//! Links that do more than redirect, through the real proxy.

use std::io::Write as _;

use schemas::click::Outcome;
use schemas::feed::{self, Shared};
use schemas::link::Entry;
use schemas::link::plan::{
    Beyond, Body, ClickLimit, Condition, Content, Matches, Password, Plan, Rule, Target, Test,
};
use sha2::{Digest as _, Sha256};

use crate::clicks::Told;
use crate::feed_server::{FeedServer, encode, entry};
use crate::harness::{Answer, TestProxy, eventually, read_answer};

pub(crate) const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/// Puts a link with a plan.
pub(crate) fn put(feed: &FeedServer, id: u64, slug: &str, plan: &Plan) {
    let plan = plan.encode().expect("legal");
    let entry = Entry {
        link: id,
        plan: &plan,
        ..entry(slug, "https://dest.test/")
    };
    feed.transaction(vec![encode(&entry)], vec![], None);
}

pub(crate) fn share(feed: &FeedServer, shared: Shared) {
    feed.transaction(vec![], vec![], Some(shared));
}

/// A shared page whose body is a blob.
pub(crate) fn blob_page(feed: &FeedServer, id: u64, body: &[u8]) -> String {
    let hash: [u8; 32] = Sha256::digest(body).into();
    let name = hex::encode(hash);
    feed.lock().blobs.insert(name.clone(), body.to_vec());
    share(
        feed,
        Shared {
            page: vec![feed::Page {
                id,
                status: 200,
                content_type: "text/html; charset=utf-8".to_owned(),
                csp: "default-src 'none'".to_owned(),
                blob: hash.to_vec().into(),
                blob_size: body.len() as u64,
                ..feed::Page::default()
            }],
            ..Shared::default()
        },
    );
    name
}

pub(crate) fn page(id: u64) -> Plan {
    Plan {
        target: Some(Target::Page {
            page: id,
            destination: String::new(),
            utm: false,
        }),
        ..Plan::default()
    }
}

fn ask(proxy: &TestProxy, method: &str, slug: &str, more: &str, body: &str) -> Answer {
    let length = match body.len() {
        0 => String::new(),
        length => format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"
        ),
    };
    proxy.raw(
        format!("{method} /{slug} HTTP/1.1\r\nHost: go.test\r\nUser-Agent: {BROWSER}\r\nConnection: close\r\n{length}{more}\r\n{body}")
            .as_bytes(),
    )
}

fn get(proxy: &TestProxy, slug: &str) -> Answer {
    ask(proxy, "GET", slug, "", "")
}

/// The clicks in the log once the proxy has ended, sorted: link, outcome, status, rule.
fn clicks(proxy: TestProxy, dir: &std::path::Path) -> Vec<(u64, Outcome, u32, u32)> {
    proxy.stop();
    let told = Told::by(&dir.join("data").join(schemas::names::files::CLICKS));
    let of = |c: &schemas::click::Click| (c.link, c.outcome(), c.status, c.rule);
    let mut clicks: Vec<_> = told.clicks.iter().map(of).collect();
    clicks.sort_by_key(|c| (c.0, c.1 as i32, c.3));
    clicks
}

#[test]
fn a_rule_leads_elsewhere_and_is_in_the_click() {
    let feed = FeedServer::start();
    let plan = Plan {
        rules: vec![Rule {
            matches: Matches::All,
            conditions: vec![Condition {
                negated: false,
                test: Test::Browser(vec!["chrome".to_owned()]),
            }],
            target: Target::Redirect {
                url: "https://chrome.test/".to_owned(),
                utm: false,
            },
        }],
        pass_query: true,
        ..Plan::default()
    };
    put(&feed, 5, "a", &plan);
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    assert_eq!(
        get(&proxy, "a?x=1").header("location"),
        Some("https://chrome.test/?x=1")
    );
    assert_eq!(proxy.follow("a"), "302 https://dest.test/");
    assert_eq!(ask(&proxy, "POST", "a", "", "x=1").status, 405);
    assert_eq!(
        clicks(proxy, dir.path()),
        [
            (5, Outcome::Redirect, 302, 0),
            (5, Outcome::Redirect, 302, 1)
        ]
    );
}

#[test]
fn pages_in_blobs_are_fetched_ahead_and_kept_on_disk() {
    let feed = FeedServer::start();
    let big = [&b"<a href=\"\0d\">"[..], &vec![b'x'; 100_000], b"</a>"].concat();
    let name = blob_page(&feed, 1, &big);
    put(&feed, 5, "splash", &page(1));
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let file = dir.path().join("data/blobs").join(&name[..2]).join(&name);
    eventually("the blob is on disk before anybody asks", || file.exists());
    let check = |proxy: &TestProxy| {
        let answer = get(proxy, "splash");
        assert_eq!(answer.status, 200);
        assert!(
            answer
                .body
                .starts_with("<a href=\"https://dest.test/\">xxx")
        );
        assert_eq!(
            answer.body.len(),
            big.len() - 2 + "https://dest.test/".len()
        );
        assert_eq!(
            answer.header("content-security-policy"),
            Some("default-src 'none'")
        );
    };
    check(&proxy);
    // A change names another one, and a page is served with everything else down after a start.
    let other = blob_page(&feed, 2, b"second");
    put(&feed, 6, "second", &page(2));
    let file = dir.path().join("data/blobs").join(&other[..2]).join(&other);
    eventually("the second one too", || file.exists());
    drop(proxy);
    feed.down();
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    check(&proxy);
    assert_eq!(get(&proxy, "second").body, "second");
    // Damage on disk is found: then it is as if it had never been fetched.
    drop(proxy);
    std::fs::write(&file, b"seconD").expect("written");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let answer = get(&proxy, "second");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("5"))
    );
    feed.up();
    eventually("it is fetched again", || {
        get(&proxy, "second").body == "second"
    });
}

#[test]
fn a_blob_that_is_not_what_it_says_is_never_served() {
    let feed = FeedServer::start();
    let name = blob_page(&feed, 1, b"good");
    feed.lock().blobs.insert(name.clone(), b"evil".to_vec());
    put(&feed, 5, "a", &page(1));
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    assert_eq!(get(&proxy, "a").status, 503);
    feed.lock().blobs.remove(&name);
    assert_eq!(get(&proxy, "a").status, 503);
    feed.lock().blobs.insert(name, b"good".to_vec());
    eventually("the right bytes are served", || {
        get(&proxy, "a").body == "good"
    });
    assert_eq!(clicks(proxy, dir.path()), [(5, Outcome::Page, 200, 0)]);
}

#[test]
fn a_body_in_a_blob_has_its_hash_as_entity_tag() {
    let feed = FeedServer::start();
    let text = b"PNG of 5 kB".to_vec();
    let hash: [u8; 32] = Sha256::digest(&text).into();
    feed.lock().blobs.insert(hex::encode(hash), text);
    let plan = Plan {
        target: Some(Target::Body(Body {
            content: Content::Blob { hash, size: 11 },
            content_type: "image/png".to_owned(),
            disposition: "attachment; filename=\"qr.png\"".to_owned(),
            csp: String::new(),
            max_age_s: 0,
        })),
        uncounted: true,
        ..Plan::default()
    };
    put(&feed, 5, "dashboard/qr/1", &plan);
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let answer = get(&proxy, "dashboard/qr/1");
    let etag = format!("\"{}\"", hex::encode(hash));
    assert_eq!(
        (
            answer.status,
            answer.header("content-type"),
            answer.header("etag"),
            answer.header("content-disposition"),
            answer.header("x-content-type-options")
        ),
        (
            200,
            Some("image/png"),
            Some(&*etag),
            Some("attachment; filename=\"qr.png\""),
            Some("nosniff")
        )
    );
    let again = ask(
        &proxy,
        "GET",
        "dashboard/qr/1",
        &format!("If-None-Match: {etag}\r\n"),
        "",
    );
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(clicks(proxy, dir.path()), []);
}

/// A password's hash, cheap enough for tests.
pub(crate) fn phc(password: &str) -> String {
    use argon2::password_hash::phc::PasswordHash;
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let params = Params::new(64, 1, 1, None).expect("small");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2.hash_password(password.as_bytes()).expect("hash");
    hash.to_string()
}

pub(crate) fn locked(password: &str) -> Plan {
    Plan {
        password: Some(Password {
            version: 1,
            phc: phc(password),
        }),
        ..Plan::default()
    }
}

pub(crate) fn cookie_keys(byte: u8) -> Shared {
    Shared {
        cookie_keys: Some(feed::CookieKeys {
            key: vec![feed::CookieKey {
                starts_at_ms: 0,
                ends_at_ms: i64::MAX,
                key: vec![byte; 32].into(),
            }],
        }),
        ..Shared::default()
    }
}

#[test]
fn a_password_is_asked_for_until_it_is_right_and_then_for_a_day_no_more() {
    let feed = FeedServer::start();
    share(&feed, cookie_keys(1));
    put(&feed, 5, "a", &locked("pä ss&"));
    put(&feed, 6, "b", &locked("other"));
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let asked = get(&proxy, "a");
    assert_eq!((asked.status, asked.header("location")), (200, None));
    assert!(asked.body.contains("name=\"password\"") && asked.body.contains("method=\"post\""));
    for (body, status) in [
        ("password=no", 401),
        ("password=", 401),
        ("x=1", 401),
        ("", 401),
    ] {
        let answer = ask(&proxy, "POST", "a", "", body);
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, None),
            "{body}"
        );
    }
    let opened = ask(&proxy, "POST", "a", "", "x=1&password=p%C3%A4+ss%26");
    assert_eq!(
        (opened.status, opened.header("location")),
        (302, Some("https://dest.test/"))
    );
    let cookie = opened.header("set-cookie").expect("a cookie").to_owned();
    assert!(
        cookie.contains("; Path=/a;")
            && cookie.contains("HttpOnly")
            && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().expect("value");
    let with = |slug: &str, method: &str| {
        ask(
            &proxy,
            method,
            slug,
            &format!("Cookie: x=y; {cookie}\r\n"),
            "",
        )
        .status
    };
    assert_eq!(with("a", "GET"), 302);
    assert_eq!(with("a", "HEAD"), 302);
    // Bound to its link; and to the keys, which are gone when the owner of the service changes them.
    assert_eq!(with("b", "GET"), 200);
    share(&feed, cookie_keys(2));
    eventually("the old key opens nothing", || with("a", "HEAD") == 200);
    assert_eq!(
        clicks(proxy, dir.path()),
        [
            (5, Outcome::Redirect, 302, 0),
            (5, Outcome::Redirect, 302, 0)
        ]
    );
}

#[test]
fn guessing_passwords_ends_soon() {
    let feed = FeedServer::start();
    put(&feed, 5, "a", &locked("right"));
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(
        dir.path(),
        &feed,
        &[("SIGNPOST_TRUSTED_PROXIES", "127.0.0.1")],
    );
    let from = |ip: &str, password: &str| {
        let answer = ask(
            &proxy,
            "POST",
            "a",
            &format!("X-Forwarded-For: {ip}\r\n"),
            &format!("password={password}"),
        );
        answer.status
    };
    for _ in 0..10 {
        assert_eq!(from("192.0.2.1", "no"), 401);
    }
    assert_eq!(from("192.0.2.1", "right"), 429);
    // Without keys for cookies the right password still opens.
    assert_eq!(from("192.0.2.2", "right"), 302);
}

#[test]
fn hostile_forms_are_refused_and_the_connection_goes_on() {
    let feed = FeedServer::start();
    put(&feed, 5, "a", &locked("right"));
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let long = "x".repeat(20_000);
    assert_eq!(ask(&proxy, "POST", "a", "", &long).status, 413);
    assert_eq!(
        ask(&proxy, "POST", "a", "", "password=%ff%00%zz&=&&&").status,
        401
    );
    // In two pieces on one connection, and a visit behind it.
    let mut stream = proxy.connect();
    let mut rest = Vec::new();
    stream
        .write_all(b"POST /a HTTP/1.1\r\nHost: go.test\r\nContent-Length: 14\r\n\r\npassword")
        .expect("written");
    stream.write_all(b"=right").expect("written");
    let opened = read_answer(&mut stream, &mut rest, false).expect("answer");
    assert_eq!(opened.status, 302);
    stream
        .write_all(b"GET /a HTTP/1.1\r\nHost: go.test\r\n\r\n")
        .expect("written");
    let asked = read_answer(&mut stream, &mut rest, false).expect("answer");
    assert_eq!(asked.status, 200);
}

fn limited(max: u64) -> Plan {
    Plan {
        click_limit: Some(ClickLimit {
            max,
            beyond: Beyond::Url("https://over.test/".to_owned()),
        }),
        ..Plan::default()
    }
}

#[test]
fn a_click_limit_is_never_passed_and_costs_those_who_only_look_nothing() {
    const LIMIT: u64 = 40;
    let feed = FeedServer::start();
    feed.lock().limits.insert(5, (LIMIT, 0));
    feed.lock().grant = 7;
    put(&feed, 5, "a", &limited(LIMIT));
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let look = |method: &str, agent: &str| {
        proxy.raw(format!("{method} /a HTTP/1.1\r\nHost: go.test\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n").as_bytes()).status
    };
    for _ in 0..50 {
        assert_eq!(look("HEAD", BROWSER), 302);
        assert_eq!(look("GET", "facebookexternalhit/1.1"), 302);
    }
    assert_eq!(feed.lock().limits[&5].1, 0, "nothing is spent by looking");
    let through = std::thread::scope(|scope| {
        let visits = || {
            (0..25)
                .filter(|_| get(&proxy, "a").header("location") == Some("https://dest.test/"))
                .count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(visits)).collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("visits"))
            .sum::<usize>()
    });
    assert_eq!(through as u64, LIMIT);
    assert_eq!(
        get(&proxy, "a").header("location"),
        Some("https://over.test/")
    );
    let clicks = clicks(proxy, dir.path());
    assert_eq!(clicks.len() as u64, 50 + LIMIT);
}

#[test]
fn without_an_answer_a_limited_link_stays_shut_and_unspent_visits_go_back() {
    let feed = FeedServer::start();
    feed.lock().limits.insert(5, (10, 0));
    feed.lock().grant = 6;
    feed.lock().leases_fail = true;
    put(&feed, 5, "a", &limited(10));
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let refused = get(&proxy, "a");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("5"))
    );
    feed.lock().leases_fail = false;
    eventually("it opens", || get(&proxy, "a").status == 302);
    assert_eq!(feed.lock().limits[&5].1, 6);
    proxy.stop();
    // One was spent; the end of the proxy gave the rest back.
    assert_eq!(feed.lock().limits[&5].1, 1);
}

#[test]
fn a_form_sent_to_a_page_goes_to_the_control_plane() {
    let feed = FeedServer::start();
    blob_page(&feed, 1, b"<form method=post>");
    put(&feed, 5, "bio", &page(1));
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let answer = ask(&proxy, "POST", "bio", "Cookie: mine=1\r\n", "name=x&text=y");
    assert_eq!((answer.status, answer.body.as_str()), (200, "thank you"));
    assert_eq!(answer.header("set-cookie"), None);
    let forms = std::mem::take(&mut feed.lock().forms);
    let [(head, body)] = &forms[..] else {
        panic!("one form: {forms:?}");
    };
    let head = head.to_ascii_lowercase();
    assert_eq!(body, "name=x&text=y");
    assert!(
        head.contains("x-signpost-link: 5") && head.contains("x-signpost-visitor: 127.0.0.1"),
        "{head}"
    );
    assert!(!head.contains("cookie"), "{head}");
    feed.down();
    assert_eq!(ask(&proxy, "POST", "bio", "", "name=x").status, 503);
    assert_eq!(clicks(proxy, dir.path()), []);
}
