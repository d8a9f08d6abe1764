//! Engine and ingest in processes of their own: this test binary, run again.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use schemas::health::Health;
use schemas::settings::Settings;
use tokio_util::sync::CancellationToken;

const ROLE: &str = "SIGNPOST_TEST_ROLE";

/// Not a test of its own: what the processes below run. Without their environment it has nothing to do.
#[test]
fn child_runs_its_role_until_standard_input_closes() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let mut settings =
        Settings::new(std::env::vars().filter(|(name, _)| name.starts_with("SIGNPOST_")));
    if std::env::var_os("SIGNPOST_TEST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .init();
    }
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.cancel();
    });
    match role.as_str() {
        "engine" => {
            let config = embedded::Config::from_settings(&mut settings);
            settings.check().unwrap();
            embedded::run(config, Health::new(), shutdown).unwrap();
        }
        "ingest" => {
            let config = ingest::Config::from_settings(&mut settings);
            settings.check().unwrap();
            ingest::run(config, Health::new(), shutdown).unwrap();
        }
        other => panic!("no role {other}"),
    }
}

/// A role that runs. Killed when dropped.
pub(crate) struct Role {
    child: Child,
}

impl Role {
    /// SIGKILL, and wait for its end.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Also what runs under it, when it is a tracer.
    fn end(&mut self) {
        let pid = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children
            .split_whitespace()
            .filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
        {
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
        // A tracer ends by itself once its tracee is gone, and has to see it go.
        if children.is_empty() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn close(mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "kill -{signal}");
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.end();
    }
}

/// How a role is started.
pub(crate) struct Start<'a> {
    pub(crate) role: &'a str,
    pub(crate) data_dir: &'a Path,
    pub(crate) addr: SocketAddr,
    pub(crate) settings: &'a [(&'a str, String)],
    /// A program and its arguments to run it under.
    pub(crate) under: &'a [String],
}

impl Start<'_> {
    pub(crate) fn spawn(&self) -> Role {
        let exe = std::env::current_exe().unwrap();
        let arguments = [
            "child::child_runs_its_role_until_standard_input_closes",
            "--exact",
            "--nocapture",
        ];
        let mut command = match self.under.split_first() {
            None => Command::new(exe),
            Some((program, before)) => {
                let mut command = Command::new(program);
                command.args(before).arg(exe);
                command
            }
        };
        let child = command
            .args(arguments)
            .env(ROLE, self.role)
            .env("SIGNPOST_DATA_DIR", self.data_dir)
            .env("SIGNPOST_CLICKHOUSE_ADDR", self.addr.to_string())
            .env("SIGNPOST_CHDB_LIB", library())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Role { child }
    }
}

/// The engine, fetched by `make fetch`.
pub(crate) fn library() -> PathBuf {
    let path = std::env::var_os("SIGNPOST_CHDB_LIB").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../.cache/chdb/libchdb.so"
            ))
        },
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "no ClickHouse engine at {}: run `make fetch`",
        path.display()
    );
    path
}
