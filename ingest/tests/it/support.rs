//! A data folder with a log, an engine that can be killed, and an ingest in this process or its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use clickhouse::{Client, Row, RowOwned, RowRead};
use ingest::Config;
use schemas::health::Health;
use schemas::settings::Settings;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::child::{Role, Start};
use crate::log::Log;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Polls until `check` gives something.
#[track_caller]
pub(crate) fn eventually<T>(
    what: &str,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    let what = what.to_owned();
    async move {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = check().await {
                return found;
            }
            assert!(
                Instant::now() < end,
                "{what}: not within {DEADLINE:?} ({place})"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) addr: SocketAddr,
    pub(crate) log: Log,
    engine: Option<Role>,
    pub(crate) settings: Vec<(&'static str, String)>,
}

#[derive(Row, Deserialize)]
struct Number {
    n: u64,
}

#[derive(Row, Deserialize)]
struct Text {
    folder: String,
}

impl World {
    /// A fresh folder, with an engine that answers.
    pub(crate) async fn new() -> Self {
        let mut world = Self::without_engine();
        world.start_engine(&[]).await;
        world
    }

    pub(crate) fn without_engine() -> Self {
        // Shown with a test that fails.
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
            .try_init();
        let folder = tempfile::tempdir().unwrap();
        let addr = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let log = Log::new(folder.path().join("clicks"));
        Self {
            folder,
            addr,
            log,
            engine: None,
            settings: vec![("SIGNPOST_INGEST_BATCH_PAUSE_MS", "20".to_owned())],
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the engine and waits until it answers; `under` is a program to run it under.
    pub(crate) async fn start_engine(&mut self, under: &[String]) {
        self.engine = Some(self.spawn("engine", under));
        let client = eventually("the engine's password", async || self.try_client()).await;
        let engine = &mut self.engine;
        eventually("an engine that answers", async || {
            assert!(!engine.as_mut().unwrap().has_ended(), "the engine ended");
            client.query("SELECT 1").fetch_one::<u8>().await.ok()
        })
        .await;
    }

    pub(crate) fn kill_engine(&mut self) {
        self.engine.take().unwrap().kill();
    }

    pub(crate) fn engine_has_ended(&mut self) -> bool {
        self.engine.as_mut().is_none_or(Role::has_ended)
    }

    pub(crate) fn spawn(&self, role: &str, under: &[String]) -> Role {
        Start {
            role,
            data_dir: self.path(),
            addr: self.addr,
            settings: &self.settings,
            under,
        }
        .spawn()
    }

    fn try_client(&self) -> Option<Client> {
        let password = std::fs::read_to_string(self.path().join("clickhouse.password")).ok()?;
        let client = Client::default()
            .with_url(format!("http://{}", self.addr))
            .with_user("signpost");
        Some(
            client
                .with_compression(clickhouse::Compression::None)
                .with_password(password.trim()),
        )
    }

    pub(crate) fn client(&self) -> Client {
        self.try_client().unwrap()
    }

    pub(crate) async fn rows<T: Row + RowOwned + RowRead>(&self, sql: &str) -> Vec<T> {
        self.client()
            .query_raw(sql)
            .fetch_all()
            .await
            .unwrap_or_else(|e| panic!("{e}\n{sql}"))
    }

    pub(crate) async fn number(&self, sql: &str) -> u64 {
        self.rows::<Number>(&format!("SELECT toUInt64(assumeNotNull(({sql}))) AS n"))
            .await[0]
            .n
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.client()
            .query_raw(sql)
            .execute()
            .await
            .unwrap_or_else(|e| panic!("{e}\n{sql}"));
    }

    /// Where the engine writes a new part of a table, before it renames it into place.
    pub(crate) async fn part_folder(&self, table: &str) -> String {
        let month = self.number("SELECT toYYYYMM(now('UTC'))").await;
        let unpartitioned = format!(
            "SELECT partition_key = '' FROM system.tables WHERE database = 'signpost' AND name = '{table}'"
        );
        let part = if self.number(&unpartitioned).await == 1 {
            "all".to_owned()
        } else {
            month.to_string()
        };
        let folder = format!(
            "SELECT data_paths[1] AS folder FROM system.tables WHERE database = 'signpost' AND name = '{table}'"
        );
        // Rows that are added up before they are written count as merged once.
        let level = u8::from(table == "clicks_by_period");
        format!(
            "{}tmp_insert_{part}_1_1_{level}/",
            self.rows::<Text>(&folder).await[0].folder
        )
    }

    pub(crate) fn config(&self) -> Config {
        let mut settings = Settings::new(
            [
                (
                    "SIGNPOST_DATA_DIR",
                    self.path().to_str().unwrap().to_owned(),
                ),
                ("SIGNPOST_CLICKHOUSE_ADDR", self.addr.to_string()),
            ]
            .into_iter()
            .chain(self.settings.clone()),
        );
        let config = Config::from_settings(&mut settings);
        settings.check().unwrap();
        config
    }

    /// Starts ingest in this process.
    pub(crate) fn ingest(&self) -> (ingest::Running, Health) {
        let health = Health::new();
        let running =
            ingest::start(self.config(), health.clone(), CancellationToken::new()).unwrap();
        (running, health)
    }

    /// Has ingest reach the engine by this address.
    pub(crate) fn reached_by(&mut self, addr: SocketAddr) {
        let password = std::fs::read_to_string(self.path().join("clickhouse.password")).unwrap();
        let url = format!("http://signpost:{}@{addr}", password.trim());
        self.settings
            .retain(|(name, _)| *name != "SIGNPOST_CLICKHOUSE_URL");
        self.settings.push(("SIGNPOST_CLICKHOUSE_URL", url));
    }

    /// What the acknowledgement says.
    pub(crate) fn acknowledged(&self) -> u64 {
        let content = std::fs::read_to_string(self.path().join("clicks/ack")).unwrap_or_default();
        schemas::click_log::decode_ack(&content).unwrap_or(0)
    }

    /// Waits until all of the log is acknowledged.
    pub(crate) async fn settled(&self) {
        let end = self.log.end();
        eventually("all acknowledged", async || {
            (self.acknowledged() == end).then_some(())
        })
        .await;
    }

    /// Runs ingest in this process until the log is acknowledged and rolled up.
    pub(crate) async fn ingest_all(&self) {
        let (running, health) = self.ingest();
        // Ready: what an earlier life left is settled and rolled up.
        eventually("ready", async || health.is_ready().then_some(())).await;
        self.settled().await;
        running.stop().await.unwrap();
    }
}
