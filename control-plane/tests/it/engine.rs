//! The real ClickHouse engine, once for this test binary: the binary itself, run again, until this process ends.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use clickhouse::{Client, Compression, Row};
use schemas::health::Health;
use serde::{Serialize, Serializer};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

const FOLDER: &str = "SIGNPOST_TEST_ENGINE_FOLDER";
const ADDR: &str = "SIGNPOST_TEST_ENGINE_ADDR";
const LIBRARY: &str = "SIGNPOST_CHDB_LIB";

/// Time for the engine to come up, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

#[allow(
    clippy::disallowed_methods,
    reason = "how a test hands settings to itself in another process"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Not a test of its own: what the process below runs. Without its environment it has nothing to do.
#[test]
fn child_serves_the_engine_until_standard_input_closes() {
    let (Some(folder), Some(addr)) = (variable(FOLDER), variable(ADDR)) else {
        return;
    };
    let mut config = embedded::Config::new(folder, library());
    config.addr = addr.parse().expect("an address");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.cancel();
    });
    embedded::run(config, Health::new(), shutdown).expect("a clean end");
}

fn library() -> PathBuf {
    variable(LIBRARY).map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../.cache/chdb/libchdb.so"
            ))
        },
        PathBuf::from,
    )
}

/// The engine, with Signpost's tables in it.
pub(crate) struct Engine {
    /// With user and password.
    pub(crate) url: String,
    address: String,
    password: String,
    _child: Child,
    // Open for as long as this process lives.
    _keep: ChildStdin,
}

/// The one engine of this process. Tests share its tables: each has workspaces of its own.
pub(crate) async fn engine() -> &'static Engine {
    static ENGINE: OnceCell<Engine> = OnceCell::const_new();
    ENGINE.get_or_init(start).await
}

async fn start() -> Engine {
    // The engine works in it until this process ends; the system's cleaner removes it.
    let folder = TempDir::with_prefix("signpost-control-plane-test-")
        .expect("a folder")
        .keep();
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = port.local_addr().expect("an address");
    drop(port);
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "engine::child_serves_the_engine_until_standard_input_closes",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, &folder)
        .env(ADDR, addr.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let keep = child.stdin.take().expect("a pipe");
    let began = Instant::now();
    let address = format!("http://{addr}");
    let engine = loop {
        assert!(
            began.elapsed() < DEADLINE && child.try_wait().expect("a child").is_none(),
            "the engine does not come up; `make fetch` gets {}",
            library().display()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
        let file = folder.join(schemas::names::files::CLICKHOUSE_PASSWORD);
        let Ok(password) = std::fs::read_to_string(file) else {
            continue;
        };
        let password = password.trim();
        if client(&address, password)
            .query("SELECT 1")
            .execute()
            .await
            .is_ok()
        {
            break Engine {
                url: format!(
                    "http://{}:{password}@{addr}",
                    schemas::names::users::SIGNPOST
                ),
                address,
                password: password.to_owned(),
                _child: child,
                _keep: keep,
            };
        }
    };
    for migration in schemas::clickhouse::MIGRATIONS {
        for statement in migration.statements() {
            engine
                .client()
                .query(statement)
                .execute()
                .await
                .expect("a migration");
        }
    }
    engine
}

fn client(address: &str, password: &str) -> Client {
    Client::default()
        .with_compression(Compression::None)
        .with_url(address)
        .with_user(schemas::names::users::SIGNPOST)
        .with_password(password)
}

/// A text as a visitor sent it, legal or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Text(pub(crate) Vec<u8>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl Text {
    /// As an answer shows it.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// A row of `clicks`; what is not here has its default.
#[derive(Debug, Clone, Row, Serialize, Default)]
pub(crate) struct Click {
    pub(crate) epoch: u64,
    pub(crate) worker: u16,
    pub(crate) position: u64,
    /// Seconds since 1970.
    pub(crate) ingested: u32,
    /// Milliseconds since 1970.
    pub(crate) time: i64,
    pub(crate) workspace: u64,
    pub(crate) link: u64,
    pub(crate) rolled_up: bool,
    pub(crate) is_bot: bool,
    pub(crate) is_scan: bool,
    pub(crate) visitor: Option<u64>,
    pub(crate) country: Text,
    pub(crate) region: Text,
    pub(crate) city: Text,
    pub(crate) device: Text,
    pub(crate) os: Text,
    pub(crate) os_version: Text,
    pub(crate) browser: Text,
    pub(crate) language: Text,
    pub(crate) referrer_host: Text,
    pub(crate) referrer: Text,
    pub(crate) utm_source: Text,
    pub(crate) utm_medium: Text,
    pub(crate) utm_campaign: Text,
    pub(crate) utm_term: Text,
    pub(crate) utm_content: Text,
}

impl Engine {
    /// A client of its own: its connections live in the caller's runtime.
    pub(crate) fn client(&self) -> Client {
        client(&self.address, &self.password)
    }

    /// Stores clicks and rolls up those that are flagged, as ingest does.
    pub(crate) async fn store(&self, clicks: &[Click]) {
        let mut insert = self
            .client()
            .with_database(schemas::names::DATABASE)
            .with_validation(false)
            .insert::<Click>("clicks")
            .await
            .expect("an insert");
        for click in clicks {
            insert.write(click).await.expect("a row");
        }
        insert.end().await.expect("an end");
        let epochs: std::collections::BTreeSet<u64> =
            clicks.iter().map(|click| click.epoch).collect();
        for epoch in epochs {
            self.roll_up(epoch).await;
        }
    }

    /// Rolls up the flagged clicks of an epoch that has not been rolled up.
    pub(crate) async fn roll_up(&self, epoch: u64) {
        let values = [
            ("country", "country"),
            ("region", "region"),
            ("city", "city"),
            ("device", "device"),
            (
                "os",
                "if(os = '', '', trimRight(concat(os, ' ', os_version)))",
            ),
            ("browser", "browser"),
            ("language", "language"),
            ("referrer_host", "referrer_host"),
            ("utm_source", "utm_source"),
            ("utm_medium", "utm_medium"),
            ("utm_campaign", "utm_campaign"),
            ("utm_term", "utm_term"),
            ("utm_content", "utm_content"),
            ("variant", "'1'"),
        ];
        let list = values
            .map(|(name, sql)| format!("('{name}', toString({sql}))"))
            .join(", ");
        let sql = format!(
            "INSERT INTO signpost.visitors_by_month (ingested_month, workspace, link, month, is_bot, visitor, days, clicks)
             SELECT 202601, workspace, link, toStartOfMonth(time) AS month, is_bot, assumeNotNull(visitor) AS who,
                groupBitOr(toUInt32(exp2(toDayOfMonth(time) - 1))), count()
             FROM signpost.clicks WHERE epoch = {epoch} AND rolled_up AND visitor IS NOT NULL
             GROUP BY workspace, link, month, is_bot, who"
        );
        self.client()
            .query(&sql)
            .execute()
            .await
            .expect("a roll-up");
        // One insert, and after the visitors', as ingest does it: readers rely on both.
        let periods = [
            ("day", "toDate(time)", ""),
            (
                "five_days",
                "toStartOfMonth(time) + [0, 5, 10, 15, 20, 25, 25][1 + intDiv(toDayOfMonth(time) - 1, 5)]",
                "",
            ),
            (
                "month",
                "toStartOfMonth(time)",
                "('total', ''), ('day', toString(toDate(time))), ",
            ),
        ];
        let periods = periods.map(|(period, start, more)| {
            format!(
                "SELECT toUInt32(202601), workspace, link, '{period}', {start} AS begin, d.1 AS name, d.2 AS of, is_bot, count(),
                    uniqCombined64State(12)(if(name = 'total', visitor, NULL))
                 FROM signpost.clicks ARRAY JOIN [{more}{list}] AS d
                 WHERE epoch = {epoch} AND rolled_up AND (d.1 = 'total' OR d.2 != '')
                 GROUP BY workspace, link, begin, name, of, is_bot"
            )
        });
        let sql = format!(
            "INSERT INTO signpost.clicks_by_period (ingested_month, workspace, link, period, start, dimension, value, is_bot, clicks, visitors)
             {}",
            periods.join(" UNION ALL ")
        );
        self.client()
            .query(&sql)
            .execute()
            .await
            .expect("a roll-up");
    }
}
