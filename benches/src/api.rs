//! The time of a create through the API: 100 keys in the four dialects by turns, 500 calls a second at fixed instants, on
//! SQLite and on PostgreSQL. Beside it what the database does by itself: one row a transaction, as safe on disk.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::postgres::Postgres;
use crate::report::{Bound, Report, quantile};
use crate::system::System;

/// Keys that call.
const KEYS: usize = 100;

/// Calls a second.
const RATE: u32 = 500;

/// Connections that the calls take turns on: a call that takes as long as its connection's turn comes round would make
/// the next one late, which counts.
const CONNECTIONS: usize = 64;

/// Connections that fill PostgreSQL by themselves; as many as the control plane has. SQLite has one writer.
const FILLING: u32 = 8;

/// What a create may take, in milliseconds: 99 of 100.
const BOUND_MS: f64 = 20.0;

/// Path, name of the URL's field, and status of the four dialects.
const DIALECTS: [(&str, &str, u16); 4] = [
    ("/api/url/add", "url", 200),
    ("/api/v1/links", "original_url", 201),
    ("/api/v2/links", "url", 201),
    ("/v1/links", "url", 201),
];

pub(crate) fn run(report: &mut Report, seconds: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let span = Duration::from_secs(seconds * 5);
    let quiet = ("SIGNPOST_ASK_DESTINATIONS", "off");
    let system = System::with(&[quiet])?;
    let folder = tempfile::tempdir()?;
    let url = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("own.db").display()
    );
    runtime.block_on(measure(report, "SQLite", &system, (&url, 1), span))?;
    drop(system);
    let (cluster, own) = (Postgres::start()?, Postgres::start()?);
    let system = System::with(&[quiet, ("SIGNPOST_DATABASE_URL", &cluster.url())])?;
    let own = (&*own.url(), FILLING);
    runtime.block_on(measure(report, "PostgreSQL", &system, own, span))
}

async fn measure(
    report: &mut Report,
    engine: &str,
    system: &System,
    own: (&str, u32),
    span: Duration,
) -> anyhow::Result<()> {
    let keys = keys(system)?;
    let before = count(system)?;
    let calls = (span.as_secs_f64() * f64::from(RATE)) as usize;
    let mut taken = on_time(system.api, &keys, calls).await?;
    let made = count(system)? - before;
    anyhow::ensure!(made == calls as u64, "{calls} creates made {made} links");
    let name = |what: &str| format!("create at {RATE}/s on {engine}, {what}");
    for (place, (path, ..)) in DIALECTS.iter().enumerate() {
        let mut of_one: Vec<f64> = taken.iter().skip(place).step_by(4).copied().collect();
        report.note(
            name(&format!("p99 of {path}")),
            quantile(&mut of_one, 0.99),
            "ms",
        );
    }
    report.note(name("median"), quantile(&mut taken, 0.5), "ms");
    report.check(
        name("p99"),
        quantile(&mut taken, 0.99),
        "ms",
        Bound::AtMost(BOUND_MS),
    );
    report.note(name("max"), quantile(&mut taken, 1.0), "ms");

    let own = fill(own, span / 4).await?;
    let most = as_fast_as_it_goes(system.api, &keys, span / 4).await?;
    report.note(
        format!("{engine} by itself, one row a transaction"),
        own,
        "rows/s",
    );
    report.note(
        format!("creates on {engine}, {CONNECTIONS} at once"),
        most,
        "links/s",
    );
    report.note(
        format!("creates / rows of {engine} by itself"),
        most / own,
        "×",
    );
    Ok(())
}

/// Keys without limit, of one workspace on a plan without limits.
fn keys(system: &System) -> anyhow::Result<Vec<String>> {
    let plan = system.api(
        "POST",
        "/plan/add",
        Some(&json!({"name": "bench", "rate": 0})),
    )?;
    let user = system.api("GET", "/account", None)?["data"]["id"].clone();
    let path = format!("/plan/{}/user/{user}", plan["id"]);
    system.api("PUT", &path, Some(&json!({})))?;
    let make = |n: usize| {
        let body = json!({"name": format!("key {n}"), "rate": 0});
        let made = system.api("POST", "/keys", Some(&body))?;
        let key = made["key"].as_str().or(made["data"]["key"].as_str());
        key.map(str::to_owned).context("no key in the answer")
    };
    (0..KEYS).map(make).collect()
}

/// Links that are there.
fn count(system: &System) -> anyhow::Result<u64> {
    let listed = system.api("GET", "/urls?limit=1", None)?;
    listed["data"]["result"].as_u64().context("no number")
}

/// A connection to the API.
struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    async fn connect(api: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(api).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// The create of this number.
    async fn create(&mut self, keys: &[String], number: usize) -> anyhow::Result<()> {
        let (path, field, status) = DIALECTS[number % DIALECTS.len()];
        let key = &keys[number / DIALECTS.len() % keys.len()];
        let url = format!("https://destination.example/articles/2026/{number}/read-it-all");
        let mut body = json!({ field: url });
        // Without one, one dialect reads the page's.
        body[if path == "/api/v2/links" {
            "label"
        } else {
            "title"
        }] = Value::from("An article");
        let request = Request::post(path)
            .header("host", "api.example")
            .header("authorization", format!("Bearer {key}"))
            .header("x-api-key", key)
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))?;
        self.sender.ready().await?;
        let answer: Response<Incoming> = self.sender.send_request(request).await?;
        let got = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        let is_refused = path == "/api/url/add" && !bytes.starts_with(b"{\"error\":0");
        anyhow::ensure!(
            got == status && !is_refused,
            "{path}: {got} {}",
            String::from_utf8_lossy(&bytes)
        );
        Ok(())
    }
}

/// Milliseconds that each of so many calls took from the instant at which it was due.
async fn on_time(api: SocketAddr, keys: &[String], calls: usize) -> anyhow::Result<Vec<f64>> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(api).await?);
    }
    let began = Instant::now() + Duration::from_millis(100);
    let turns = clients
        .into_iter()
        .enumerate()
        .map(async |(first, mut client)| {
            let mut taken = Vec::new();
            for number in (first..calls).step_by(CONNECTIONS) {
                let due = began + Duration::from_secs(1) / RATE * u32::try_from(number)?;
                tokio::time::sleep_until(due).await;
                client.create(keys, number).await?;
                taken.push((number, due.elapsed().as_secs_f64() * 1e3));
            }
            Ok::<_, anyhow::Error>(taken)
        });
    let mut all: Vec<(usize, f64)> = Vec::new();
    for taken in futures_util::future::join_all(turns).await {
        all.extend(taken?);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, ms)| ms).collect())
}

/// Creates a second, on all connections at once, each with the next as soon as one is done.
async fn as_fast_as_it_goes(
    api: SocketAddr,
    keys: &[String],
    span: Duration,
) -> anyhow::Result<f64> {
    let until = Instant::now() + span;
    let turns = (0..CONNECTIONS).map(async |first| {
        let mut client = Client::connect(api).await?;
        let mut done = 0;
        while Instant::now() < until {
            client.create(keys, first + done * CONNECTIONS).await?;
            done += 1;
        }
        Ok::<_, anyhow::Error>(done)
    });
    let mut all = 0;
    for done in futures_util::future::join_all(turns).await {
        all += done?;
    }
    Ok(all as f64 / span.as_secs_f64())
}

/// Rows a second that a database takes, one a transaction, with the columns of a link that are most of it.
async fn fill((url, connections): (&str, u32), span: Duration) -> anyhow::Result<f64> {
    sqlx::any::install_default_drivers();
    let pool: AnyPool = AnyPoolOptions::new()
        .max_connections(connections)
        .connect(url)
        .await?;
    if url.starts_with("sqlite:") {
        for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"] {
            sqlx::query(pragma).execute(&pool).await?;
        }
    }
    sqlx::query("CREATE TABLE own (id BIGINT PRIMARY KEY, slug TEXT NOT NULL UNIQUE, destination TEXT NOT NULL)")
        .execute(&pool)
        .await?;
    let until = Instant::now() + span;
    let turns = (0..connections).map(async |first| {
        let mut done: u32 = 0;
        while Instant::now() < until {
            let number = i64::from(first + done * connections);
            sqlx::query("INSERT INTO own (id, slug, destination) VALUES ($1, $2, $3)")
                .bind(number)
                .bind(format!("slug{number}"))
                .bind(crate::system::destination("own"))
                .execute(&pool)
                .await?;
            done += 1;
        }
        Ok::<_, anyhow::Error>(done)
    });
    let mut all = 0;
    for done in futures_util::future::join_all(turns).await {
        all += done?;
    }
    Ok(f64::from(all) / span.as_secs_f64())
}
