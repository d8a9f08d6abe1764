//! Settings of the role. All of them; nothing else in this crate reads one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kafka::Kafka;
use schemas::names::{files, users};
use schemas::settings::{Secret, Settings};
use url::Url;

use crate::source::Limits;

/// Clicks in one insert at most. Larger parts cost less a row; 100,000 rows are about 50 MB in the engine.
const BATCH_ROWS: u64 = 100_000;

/// Bytes of the log read for one insert at most.
const BATCH_BYTES: u64 = 64 << 20;

/// Pause between two inserts while ingest keeps up, in milliseconds: four small parts a second merge easily, and a
/// visit is in the stats within a second.
const BATCH_PAUSE_MS: u64 = 250;

/// How ingest runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder: the lock, the intent, the engine's password.
    pub data_dir: PathBuf,
    /// ClickHouse.
    pub clickhouse: Endpoint,
    /// Folders of click logs; the index is the partition stored with each click. Read only where there is no Kafka.
    pub click_logs: Vec<PathBuf>,
    /// Where clicks come from instead.
    pub kafka: Option<Kafka>,
    /// Records in one insert at most.
    pub batch_rows: usize,
    /// Bytes of the log in one insert at most.
    pub batch_bytes: u64,
    /// Shortest time between two inserts while there is no backlog.
    pub batch_pause: Duration,
}

/// Where ClickHouse is and who we are there.
#[derive(Clone)]
pub struct Endpoint {
    /// `http://host:port/`, without user and password.
    pub url: String,
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Password,
}

/// A password, or the file that will hold it.
#[derive(Debug, Clone)]
pub enum Password {
    /// Given in the URL.
    Given(Secret),
    /// Written by the embedded engine at its first start; waited for.
    File(PathBuf),
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({} as {})", self.url, self.user)
    }
}

impl Config {
    /// From the environment's settings; mistakes are noted there and the default taken.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let data_dir = PathBuf::from(settings.text("SIGNPOST_DATA_DIR").unwrap_or("./data"));
        let click_logs = settings.list_with(
            "SIGNPOST_CLICK_LOG_DIR",
            "folders separated by commas",
            |text| (!text.is_empty()).then(|| PathBuf::from(text)),
        );
        Self {
            clickhouse: endpoint(settings, &data_dir),
            kafka: Kafka::from_settings(settings),
            click_logs: {
                let mut folders = click_logs;
                if folders.is_empty() {
                    folders.push(data_dir.join(files::CLICKS));
                }
                // What `signpost clicks import` brings in; there only while it has something to read.
                folders.push(data_dir.join(files::CLICKS_IMPORT));
                folders
            },
            batch_rows: usize::try_from(settings.number(
                "SIGNPOST_INGEST_BATCH_ROWS",
                BATCH_ROWS,
                1..=1_000_000,
            ))
            .unwrap_or(usize::MAX),
            batch_bytes: settings.bytes(
                "SIGNPOST_INGEST_BATCH_BYTES",
                BATCH_BYTES,
                1 << 20..=1 << 30,
            ),
            batch_pause: Duration::from_millis(settings.number(
                "SIGNPOST_INGEST_BATCH_PAUSE_MS",
                BATCH_PAUSE_MS,
                0..=60_000,
            )),
            data_dir,
        }
    }

    /// How much one batch may hold.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            records: self.batch_rows,
            bytes: self.batch_bytes,
        }
    }
}

fn endpoint(settings: &mut Settings, data_dir: &Path) -> Endpoint {
    const NAME: &str = "SIGNPOST_CLICKHOUSE_URL";
    const ALLOWED: &str = "one URL http://user:password@host:port or https://…, without query";
    let addr = settings.parsed(
        "SIGNPOST_CLICKHOUSE_ADDR",
        std::net::SocketAddr::from(([127, 0, 0, 1], 8123)),
        "an address and port, e.g. 127.0.0.1:8123",
    );
    let given = settings.text(NAME).map(str::to_owned);
    let Some(text) = given else {
        let password = Password::File(data_dir.join(files::CLICKHOUSE_PASSWORD));
        return embedded(addr, password);
    };
    let parsed = parse_url(&text);
    parsed.unwrap_or_else(|| {
        // The password in it must not be printed.
        settings.reject(NAME, "…", ALLOWED);
        embedded(addr, Password::Given(Secret::default()))
    })
}

fn embedded(addr: std::net::SocketAddr, password: Password) -> Endpoint {
    Endpoint {
        url: format!("http://{addr}/"),
        user: users::SIGNPOST.to_owned(),
        password,
    }
}

fn parse_url(text: &str) -> Option<Endpoint> {
    let mut url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.contains(','))
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return None;
    }
    let decode = |text: &str| {
        let decoded = percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .ok()?;
        Some(decoded.into_owned())
    };
    let user = match url.username() {
        "" => "default".to_owned(),
        user => decode(user)?,
    };
    let password = decode(url.password().unwrap_or_default())?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(Endpoint {
        url: url.into(),
        user,
        password: Password::Given(Secret(password)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_embedded_engine_of_the_data_folder() {
        let mut s = Settings::new([
            ("SIGNPOST_DATA_DIR", "/d"),
            ("SIGNPOST_CLICKHOUSE_ADDR", "127.0.0.1:9000"),
        ]);
        let config = Config::from_settings(&mut s);
        s.check().expect("no mistake");
        assert_eq!(config.clickhouse.url, "http://127.0.0.1:9000/");
        assert_eq!(config.clickhouse.user, "signpost");
        assert!(
            matches!(config.clickhouse.password, Password::File(p) if p == Path::new("/d/clickhouse.password"))
        );
        assert_eq!(
            config.click_logs,
            [Path::new("/d/clicks"), Path::new("/d/clicks-import")]
        );
    }

    #[test]
    fn a_url_gives_user_and_password_and_hides_them() {
        let mut s = Settings::new([
            (
                "SIGNPOST_CLICKHOUSE_URL",
                "https://us%40er:p%2Bw+d@ch.test:8443",
            ),
            ("SIGNPOST_CLICK_LOG_DIR", "/a, /b"),
        ]);
        let config = Config::from_settings(&mut s);
        s.check().expect("no mistake");
        assert_eq!(config.clickhouse.user, "us@er");
        assert!(matches!(&config.clickhouse.password, Password::Given(Secret(p)) if p == "p+w+d"));
        assert_eq!(
            config.click_logs,
            [
                Path::new("/a"),
                Path::new("/b"),
                Path::new("./data/clicks-import")
            ]
        );
        assert!(!format!("{config:?}").contains("p+w"));
    }

    #[test]
    fn every_bad_setting_is_noted_and_no_password_shown() {
        let mut s = Settings::new([
            ("SIGNPOST_CLICKHOUSE_URL", "ftp://user:hunter2@ch.test"),
            ("SIGNPOST_CLICKHOUSE_ADDR", "x"),
            ("SIGNPOST_CLICK_LOG_DIR", "/a,,/b"),
            ("SIGNPOST_INGEST_BATCH_ROWS", "0"),
            ("SIGNPOST_INGEST_BATCH_BYTES", "1"),
            ("SIGNPOST_INGEST_BATCH_PAUSE_MS", "-1"),
        ]);
        Config::from_settings(&mut s);
        let errors = s.check().expect_err("all wrong");
        assert_eq!(errors.0.len(), 6);
        assert!(!errors.to_string().contains("hunter2"));
        for url in [
            "http://a,http://b",
            "ch.test:8123",
            "http://ch.test/?x=1",
            "http:///",
        ] {
            assert!(parse_url(url).is_none(), "{url}");
        }
    }
}
