//! Writes each page that a proxy makes itself, as a real one serves it, for the check in a browser (`make pages`):
//! `proxy.json` in the folder named by the argument, a list of `{name, status, csp, html, pixels}`.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "made of parts of the tests"
)]

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use schemas::feed::{self, Shared};
use schemas::link::Entry;
use schemas::link::plan::{Beyond, ClickLimit, Password, Plan, Preview, Target};
use serde_json::{Value, json};

#[path = "../tests/it/feed_server.rs"]
mod feed_server;
#[path = "../tests/it/harness.rs"]
mod harness;

use feed_server::{FeedServer, encode, entry};
use harness::{Answer, TestProxy};

/// Where visitors are led.
const DESTINATION: &str = "https://dest.test/page?a=1&b=2";

/// One that has apps.
const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";

/// One that unfolds links.
const UNFURLER: &str = "facebookexternalhit/1.1";

/// Wrong passwords after which an address has to wait.
const ATTEMPTS: usize = 10;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).context("which folder?")?;
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    let data = tempfile::tempdir()?;
    let mut pages = served(&data.path().join("fed"))?;
    pages.push(unfed(&data.path().join("unfed"))?);
    std::fs::write(folder.join("proxy.json"), Value::from(pages).to_string())?;
    Ok(())
}

/// Of a proxy that has all links.
fn served(dir: &Path) -> anyhow::Result<Vec<Value>> {
    std::fs::create_dir_all(dir)?;
    let feed = FeedServer::start();
    fill(&feed);
    let proxy = TestProxy::ready(dir, &feed, &[]);
    let get = |target: &str| ask(&proxy, "GET", target, PHONE, "");
    let post = |target: &str, form: &str| ask(&proxy, "POST", target, PHONE, form);
    let mut pages = Vec::new();
    let mut keep = |name: &str, status: u16, answer: &Answer| -> anyhow::Result<()> {
        pages.push(page(name, status, answer)?);
        Ok(())
    };
    keep("proxy-password", 200, &get("password"))?;
    keep(
        "proxy-password-wrong",
        401,
        &post("password", "password=no"),
    )?;
    for _ in 1..ATTEMPTS {
        post("password", "password=no");
    }
    let limited = post("password", "password=no");
    keep("proxy-password-limited", 429, &limited)?;
    keep("proxy-app", 200, &get("app"))?;
    let preview = ask(&proxy, "GET", "preview", UNFURLER, "");
    keep("proxy-preview", 200, &preview)?;
    keep("proxy-expired", 410, &get("expired"))?;
    keep("proxy-limit-reached", 410, &get("limit"))?;
    keep("proxy-not-active", 404, &get("off"))?;
    keep("proxy-unknown", 404, &get("nothing"))?;
    keep("proxy-root", 404, &get(""))?;
    let other = proxy.get("/a", "other.test");
    keep("proxy-unknown-host", 404, &other)?;
    keep("proxy-bad-host", 400, &proxy.get("/a", "a..b"))?;
    keep("proxy-bad-method", 405, &post("plain", "a=1"))?;
    keep("proxy-not-fetched", 503, &get("page"))?;
    feed.lock().leases_fail = true;
    keep("proxy-busy", 503, &get("busy"))?;
    Ok(pages)
}

/// Of one that has no links yet.
fn unfed(dir: &Path) -> anyhow::Result<Value> {
    std::fs::create_dir_all(dir)?;
    let feed = FeedServer::start();
    feed.down();
    let proxy = TestProxy::start(dir, &feed, &[]);
    page("proxy-not-ready", 503, &proxy.get("/a", "go.test"))
}

fn fill(feed: &FeedServer) {
    let plain = |slug| entry(slug, DESTINATION);
    let planned = |id, slug, plan: Plan| {
        let plan = plan.encode().expect("legal");
        let link = Entry {
            link: id,
            plan: &plan,
            ..plain(slug)
        };
        encode(&link)
    };
    let limit = Plan {
        click_limit: Some(ClickLimit {
            max: 1,
            beyond: Beyond::Expired,
        }),
        ..Plan::default()
    };
    let links = vec![
        encode(&plain("plain")),
        encode(&Entry {
            expires_at_ms: 1,
            ..plain("expired")
        }),
        encode(&Entry {
            disabled: true,
            ..plain("off")
        }),
        planned(
            2,
            "password",
            Plan {
                password: Some(Password {
                    version: 1,
                    phc: phc("right"),
                }),
                ..Plan::default()
            },
        ),
        planned(
            3,
            "app",
            Plan {
                apple: Some("shopapp://page/1?a=1&b=2".to_owned()),
                ..Plan::default()
            },
        ),
        planned(
            4,
            "preview",
            Plan {
                preview: Some(Preview {
                    title: "Everything for a third less".to_owned(),
                    description: "In all shops – and “online” & at <night>.".to_owned(),
                    image: String::new(),
                }),
                ..Plan::default()
            },
        ),
        planned(5, "limit", limit.clone()),
        planned(6, "busy", limit),
        planned(
            7,
            "page",
            Plan {
                target: Some(Target::Page {
                    page: 1,
                    destination: String::new(),
                    utm: false,
                }),
                ..Plan::default()
            },
        ),
    ];
    feed.lock().limits.extend([(5, (1, 1)), (6, (1, 0))]);
    let never = feed::Page {
        id: 1,
        status: 200,
        content_type: "text/html; charset=utf-8".to_owned(),
        blob: vec![1; 32].into(),
        blob_size: 5000,
        ..feed::Page::default()
    };
    let shared = Shared {
        page: vec![never],
        ..Shared::default()
    };
    feed.transaction(links, vec![], Some(shared));
}

/// A password's hash, cheap enough to be found wrong at once.
fn phc(password: &str) -> String {
    use argon2::password_hash::phc::PasswordHash;
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    let params = Params::new(64, 1, 1, None).expect("small");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2.hash_password(password.as_bytes()).expect("hash");
    hash.to_string()
}

fn ask(proxy: &TestProxy, method: &str, slug: &str, agent: &str, form: &str) -> Answer {
    let length = match form.len() {
        0 => String::new(),
        length => format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n"
        ),
    };
    proxy.raw(
        format!("{method} /{slug} HTTP/1.1\r\nHost: go.test\r\nUser-Agent: {agent}\r\nConnection: close\r\n{length}\r\n{form}")
            .as_bytes(),
    )
}

fn page(name: &str, status: u16, answer: &Answer) -> anyhow::Result<Value> {
    anyhow::ensure!(answer.status == status, "{name}: {}", answer.head);
    let policy = answer.header("content-security-policy");
    let policy = policy.with_context(|| format!("{name}: no policy"))?;
    Ok(json!({ "name": name, "status": status, "csp": policy, "html": answer.body, "pixels": [] }))
}
