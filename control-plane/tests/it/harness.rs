//! `TestApp`: the real control plane on a free port, with a client that can send anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use control_plane::dns::Txt;
use control_plane::{Config, Running};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use schemas::health::Health;
use schemas::settings::Settings;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) mod postgres;
mod tables;

pub(crate) use tables::scratch;

/// Runs each test on both engines: `name::on_sqlite`, `name::on_postgres`.
macro_rules! on_both_engines {
    ($(async fn $name:ident($app:ident) $body:block)*) => { $(
        mod $name {
            #[allow(unused_imports, clippy::allow_attributes_without_reason, reason = "not every test needs all of them")]
            use super::*;

            async fn run($app: crate::harness::TestApp) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                run(crate::harness::TestApp::on_sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                run(crate::harness::TestApp::on_postgres().await).await;
            }
        }
    )* };
}
pub(crate) use on_both_engines;

/// The first key of every test.
pub(crate) const ADMIN_KEY: &str = "an-admin-key-for-tests";

/// Base of the default domain's short URLs.
pub(crate) const SHORT: &str = "https://go.test";

pub(crate) struct TestApp {
    pub(crate) addr: SocketAddr,
    pub(crate) config: Config,
    pub(crate) running: Running,
    pub(crate) shutdown: CancellationToken,
    pub(crate) health: Health,
    pub(crate) data: TempDir,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().expect("text")
    }

    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.header(name).parse().expect("a whole number")
    }

    /// A success: HTTP 200 and the integer 0.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        let json = self.json();
        assert_eq!(
            (self.status.as_u16(), &json["error"]),
            (200, &Value::from(0)),
            "{json}"
        );
        json
    }

    /// An error 1 in HTTP 200, whose message holds `part`.
    #[track_caller]
    pub(crate) fn refused(&self, part: &str) -> Value {
        self.failed(200, part)
    }

    /// An error with this status, whose message holds `part`.
    #[track_caller]
    pub(crate) fn failed(&self, status: u16, part: &str) -> Value {
        let json = self.json();
        assert_eq!(self.status.as_u16(), status, "{json}");
        assert!(json["error"].as_u64().expect("an integer") != 0, "{json}");
        let message = json["message"].as_str().expect("a message");
        assert!(message.contains(part), "{message}");
        json
    }
}

impl TestApp {
    pub(crate) async fn on_sqlite() -> Self {
        Self::start(None, &[]).await
    }

    pub(crate) async fn on_postgres() -> Self {
        Self::start(Some(postgres::fresh_database().await), &[]).await
    }

    /// A second one over the same database, with a data folder of its own.
    pub(crate) async fn beside(&self) -> Self {
        Self::start(self.database(), &[]).await
    }

    pub(crate) async fn start(database: Option<String>, settings: &[(&str, &str)]) -> Self {
        let data = scratch();
        if database.is_none() {
            tables::put_into(data.path()).await;
        }
        Self::start_in(data, database, settings)
            .await
            .expect("starts")
    }

    pub(crate) async fn start_in(
        data: TempDir,
        database: Option<String>,
        more: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let config = config(&data, database, more);
        let shutdown = CancellationToken::new();
        let health = Health::new();
        let running =
            control_plane::start(config.clone(), health.clone(), shutdown.clone()).await?;
        Ok(Self {
            addr: running.api_addr,
            config,
            running,
            shutdown,
            health,
            data,
        })
    }

    /// What to start the same database with again; SQLite's lies in the data folder.
    pub(crate) fn database(&self) -> Option<String> {
        Some(self.config.database_url.0.clone()).filter(|url| url.starts_with("postgres"))
    }

    /// Stops it and gives its folder back.
    pub(crate) async fn stop(self) -> TempDir {
        self.shutdown.cancel();
        self.running.wait().await.expect("a clean end");
        self.data
    }

    /// A key as the operator makes it.
    pub(crate) async fn key(&self, name: &str, rate: Option<u32>) -> String {
        let made = control_plane::keys::create(&self.config, name, None, rate).await;
        made.expect("a key").1
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.with_key(ADMIN_KEY, Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.with_key(ADMIN_KEY, Method::POST, path, Some(body))
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.with_key(ADMIN_KEY, Method::PUT, path, Some(body))
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.with_key(ADMIN_KEY, Method::DELETE, path, None).await
    }

    pub(crate) async fn with_key(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut headers = vec![("authorization", format!("Bearer {key}"))];
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        self.call(method, path, &headers, body).await
    }

    /// Any call.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path);
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            request = request.header("host", "api.test");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body.into()))
            .expect("a legal request");
        let stream = tokio::net::TcpStream::connect(self.addr)
            .await
            .expect("connects");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("hands shake");
        let driver = tokio::spawn(connection);
        let answer = sender.send_request(request).await.expect("answers");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        driver.abort();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// Key of a second workspace and its owner, put straight into the database; once a test.
    pub(crate) async fn other_workspace(&self) -> String {
        let key = "a-key-of-somebody-else";
        let pool = sqlx::AnyPool::connect(&self.config.database_url.0)
            .await
            .expect("connects");
        let insert = |sql: &'static str| sqlx::query(sql).execute(&pool);
        insert("INSERT INTO workspaces (name, plan_id, suspended, created_at) VALUES ('other', 3, 0, 0)")
            .await
            .expect("inserts");
        let (workspace,): (i64,) = sqlx::query_as("SELECT MAX(id) FROM workspaces")
            .fetch_one(&pool)
            .await
            .expect("a number");
        let (user,): (i64,) = sqlx::query_as(
            "INSERT INTO users (workspace_id, email, username, is_admin, created_at) VALUES ($1, 'o@e.test', 'other', 0, 0) RETURNING id",
        )
        .bind(workspace)
        .fetch_one(&pool)
        .await
        .expect("inserts");
        sqlx::query("INSERT INTO members (workspace_id, user_id, role, created_at) VALUES ($1, $2, 'owner', 0)")
            .bind(workspace)
            .bind(user)
            .execute(&pool)
            .await
            .expect("inserts");
        sqlx::query(
            "INSERT INTO api_keys (workspace_id, user_id, name, prefix, hash, scopes, created_at) VALUES ($1, $2, 'k', 'a-key', $3, 'read,write,keys', 0)",
        )
        .bind(workspace)
        .bind(user)
        .bind(control_plane::domain::key::hash(key).to_vec())
        .execute(&pool)
        .await
        .expect("inserts");
        key.to_owned()
    }

    /// Puts a TXT record into the world.
    pub(crate) fn txt(&self, name: &str, value: &str) {
        let Txt::Fixed(records) = &self.config.txt else {
            panic!("the records of a test are its own");
        };
        let mut records = records.lock().expect("no panic");
        records
            .entry(name.to_owned())
            .or_default()
            .push(value.to_owned());
    }

    /// Adds a link and returns its id.
    pub(crate) async fn link(&self, body: Value) -> i64 {
        let json = self.post("/api/url/add", body).await.ok();
        json["id"].as_i64().expect("an integer")
    }
}

/// Settings of a test.
pub(crate) fn config(data: &TempDir, database: Option<String>, more: &[(&str, &str)]) -> Config {
    let mut all = vec![
        (
            "SIGNPOST_DATA_DIR",
            data.path().to_string_lossy().into_owned(),
        ),
        ("SIGNPOST_API_ADDR", "127.0.0.1:0".to_owned()),
        ("SIGNPOST_PROXY_ADDR", "127.0.0.1:8080".to_owned()),
        ("SIGNPOST_PUBLIC_URL", SHORT.to_owned()),
        ("SIGNPOST_ADMIN_KEY", ADMIN_KEY.to_owned()),
        // Servers of tests; what stands for private space has other addresses.
        ("SIGNPOST_FETCH_ALLOW", "127.0.0.1/32".to_owned()),
        // Nobody listens there: what needs no statistics must do without.
        ("SIGNPOST_CLICKHOUSE_ADDR", "127.0.0.1:1".to_owned()),
        // Destinations of tests are nobody's.
        ("SIGNPOST_ASK_DESTINATIONS", "off".to_owned()),
    ];
    all.extend(database.map(|url| ("SIGNPOST_DATABASE_URL", url)));
    all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    all.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let mut settings = Settings::new(all);
    let mut config = Config::from_settings(&mut settings);
    settings.check().expect("legal settings");
    // No test asks anybody's name servers.
    config.txt = Txt::Fixed(Arc::default());
    config
}

/// Waits until an answer is as wanted.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The keys of an object, in order.
#[track_caller]
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

/// A number no other test has.
pub(crate) fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
