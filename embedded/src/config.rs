//! Settings of the role. All of them; nothing else in this crate reads one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemas::settings::Settings;

const MIB: u64 = 1 << 20;

/// How the embedded engine runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The data folder. The engine's storage is `clickhouse` in it; lock, passwords and the engine's own
    /// configuration lie beside.
    pub data_dir: PathBuf,
    /// Where the HTTP interface listens. Port 0 takes a free one.
    pub addr: SocketAddr,
    /// Whether `addr` may be other than loopback. Off: whoever reaches this port and has the password can read and
    /// delete every click, so it takes a second, deliberate word.
    pub allow_remote: bool,
    /// `Host` names taken besides loopback names and IP literals, lower case, without port.
    pub hosts: Vec<String>,
    /// `libchdb.so`.
    pub library: PathBuf,
    /// Largest memory of the engine in all, in bytes; merges and caches included.
    pub memory_total: u64,
    /// Largest memory of one query, in bytes.
    pub memory_per_query: u64,
    /// Queries the engine works on at once; each takes one thread of ours.
    pub max_running: usize,
    /// Queries that may wait for a place; more are refused at once.
    pub max_queued: usize,
    /// How long a query waits for a place.
    pub queue_timeout: Duration,
    /// How long a query of the read-only user may run.
    pub analyst_timeout: Duration,
    /// How long a stop waits for running queries before it cancels them.
    pub drain_timeout: Duration,
    /// Die with the parent process (SIGKILL), so that an orphan never holds the storage.
    pub die_with_parent: bool,
}

impl Config {
    /// The defaults over a data folder and an engine library.
    pub fn new(data_dir: impl Into<PathBuf>, library: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            addr: SocketAddr::from(([127, 0, 0, 1], 8123)),
            allow_remote: false,
            hosts: Vec::new(),
            library: library.into(),
            memory_total: 2048 * MIB,
            memory_per_query: 1024 * MIB,
            max_running: 16,
            max_queued: 64,
            queue_timeout: Duration::from_secs(10),
            analyst_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
            die_with_parent: false,
        }
    }

    /// From the environment's settings; mistakes are noted there and the default taken.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let data_dir = PathBuf::from(settings.text("SIGNPOST_DATA_DIR").unwrap_or("./data"));
        let library = PathBuf::from(
            settings
                .text("SIGNPOST_CHDB_LIB")
                .unwrap_or(".cache/chdb/libchdb.so"),
        );
        let d = Self::new(data_dir, library);
        let addr = settings.parsed(
            "SIGNPOST_CLICKHOUSE_ADDR",
            d.addr,
            "an address and port, e.g. 127.0.0.1:8123",
        );
        let allow_remote = settings.switch("SIGNPOST_CLICKHOUSE_ALLOW_REMOTE", d.allow_remote);
        if !allow_remote && !addr.ip().is_loopback() {
            settings.reject(
                "SIGNPOST_CLICKHOUSE_ADDR",
                addr.to_string(),
                "a loopback address, unless SIGNPOST_CLICKHOUSE_ALLOW_REMOTE=on",
            );
        }
        let hosts = settings.list_with(
            "SIGNPOST_CLICKHOUSE_HOSTS",
            "host names without port, e.g. ch.internal",
            |host| {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
                (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_ascii_lowercase())
            },
        );
        let memory_total = settings.bytes(
            "SIGNPOST_CLICKHOUSE_MEMORY_BYTES",
            d.memory_total,
            512 * MIB..=1 << 42,
        );
        let memory_per_query = settings.bytes(
            "SIGNPOST_CLICKHOUSE_QUERY_MEMORY_BYTES",
            memory_total / 2,
            64 * MIB..=memory_total,
        );
        let number = |settings: &mut Settings, name, default: usize, range| {
            usize::try_from(settings.number(name, default as u64, range)).unwrap_or(default)
        };
        Self {
            addr,
            allow_remote,
            hosts,
            memory_total,
            memory_per_query,
            max_running: number(
                settings,
                "SIGNPOST_CLICKHOUSE_MAX_RUNNING",
                d.max_running,
                2..=256,
            ),
            max_queued: number(
                settings,
                "SIGNPOST_CLICKHOUSE_MAX_QUEUED",
                d.max_queued,
                0..=10_000,
            ),
            queue_timeout: Duration::from_secs(settings.number(
                "SIGNPOST_CLICKHOUSE_QUEUE_SECONDS",
                d.queue_timeout.as_secs(),
                1..=600,
            )),
            analyst_timeout: Duration::from_secs(settings.number(
                "SIGNPOST_CLICKHOUSE_ANALYST_SECONDS",
                d.analyst_timeout.as_secs(),
                1..=86_400,
            )),
            die_with_parent: settings.switch("SIGNPOST_DIE_WITH_PARENT", d.die_with_parent),
            ..d
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_without_a_second_word() {
        let mut s = Settings::new([("SIGNPOST_CLICKHOUSE_ADDR", "0.0.0.0:8123")]);
        Config::from_settings(&mut s);
        let error = s.check().expect_err("not loopback").to_string();
        assert!(
            error.contains("SIGNPOST_CLICKHOUSE_ALLOW_REMOTE"),
            "{error}"
        );

        let mut s = Settings::new([
            ("SIGNPOST_CLICKHOUSE_ADDR", "0.0.0.0:8123"),
            ("SIGNPOST_CLICKHOUSE_ALLOW_REMOTE", "on"),
        ]);
        assert!(Config::from_settings(&mut s).allow_remote);
        s.check().expect("allowed");
    }

    #[test]
    fn every_bad_setting_is_noted() {
        let names = [
            "SIGNPOST_CLICKHOUSE_ADDR",
            "SIGNPOST_CLICKHOUSE_ALLOW_REMOTE",
            "SIGNPOST_CLICKHOUSE_HOSTS",
            "SIGNPOST_CLICKHOUSE_MEMORY_BYTES",
            "SIGNPOST_CLICKHOUSE_QUERY_MEMORY_BYTES",
            "SIGNPOST_CLICKHOUSE_MAX_RUNNING",
            "SIGNPOST_CLICKHOUSE_MAX_QUEUED",
            "SIGNPOST_CLICKHOUSE_QUEUE_SECONDS",
            "SIGNPOST_CLICKHOUSE_ANALYST_SECONDS",
            "SIGNPOST_DIE_WITH_PARENT",
        ];
        let mut s = Settings::new(names.map(|name| (name, "??")));
        Config::from_settings(&mut s);
        assert_eq!(s.check().expect_err("all wrong").0.len(), names.len());
    }
}
