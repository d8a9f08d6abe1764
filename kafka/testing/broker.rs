//! Real brokers for tests, by `deploy/dev/kafka`: they end when this process does, however it ends. Included by the test
//! binaries that need them.
#![allow(dead_code, reason = "each test binary uses what it needs")]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

/// A cluster of its own.
pub(crate) struct Cluster {
    child: Child,
    orders: ChildStdin,
    said: BufReader<ChildStdout>,
    pids: HashMap<u32, u32>,
    pub(crate) bootstrap: String,
}

impl Cluster {
    /// Starts brokers and waits until they answer.
    pub(crate) fn start(brokers: u32) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev/kafka");
        let mut child = Command::new(script)
            .args(["--brokers", &brokers.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("deploy/dev/kafka runs");
        let mut cluster = Self {
            orders: child.stdin.take().expect("piped"),
            said: BufReader::new(child.stdout.take().expect("piped")),
            child,
            pids: HashMap::new(),
            bootstrap: String::new(),
        };
        cluster.await_ready();
        cluster
    }

    fn await_ready(&mut self) {
        let mut line = String::new();
        while self.said.read_line(&mut line).expect("readable") > 0 {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["broker", number, pid, _] => {
                    let number = number.parse().expect("a number");
                    self.pids.insert(number, pid.parse().expect("a process id"));
                }
                ["ready", bootstrap] => {
                    self.bootstrap = bootstrap.to_owned();
                    return;
                }
                _ => panic!("unexpected: {line}"),
            }
            line.clear();
        }
        panic!("Kafka does not come up (make deps, deploy/dev/fetch kafka)");
    }

    /// Sends a signal to a broker.
    pub(crate) fn signal(&self, broker: u32, signal: &str) {
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &self.pids[&broker].to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success(), "kill -{signal}");
    }

    /// Starts a broker again that was killed, and waits until it answers.
    pub(crate) fn restart(&mut self, broker: u32) {
        writeln!(self.orders, "start {broker}").expect("told");
        self.await_ready();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

/// The brokers of this test binary: one, started at the first use.
pub(crate) fn shared() -> &'static str {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    &CLUSTER.get_or_init(|| Cluster::start(1)).bootstrap
}

/// The brokers of this test binary for one test alone, which may kill them: others wait.
pub(crate) fn exclusive() -> MutexGuard<'static, Cluster> {
    static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| Mutex::new(Cluster::start(1)))
        .lock()
        .expect("no test of these failed before")
}

/// A name that no other test has.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{what}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
