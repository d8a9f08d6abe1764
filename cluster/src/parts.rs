//! Kafka and PostgreSQL, by `deploy/dev/kafka` and `deploy/dev/postgres`. They end when this does, however it ends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Signal;

use crate::process::send;

/// Time for brokers or a server to come up, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Between looks at what a script has said.
const LOOK: Duration = Duration::from_millis(20);

/// What a script has said so far.
#[derive(Debug, Default)]
struct Said {
    /// The rest of its last line `ready …`.
    ready: Option<String>,
    brokers: BTreeMap<u32, Broker>,
    is_over: bool,
}

/// A broker.
#[derive(Debug, Clone, Copy)]
struct Broker {
    pid: u32,
    addr: SocketAddr,
}

/// A script that runs until its standard input ends.
#[derive(Debug)]
struct Script {
    child: Child,
    orders: Option<ChildStdin>,
    said: Arc<Mutex<Said>>,
}

impl Script {
    fn start(path: &Path, arguments: &[String], cache: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(path)
            .args(arguments)
            .env("SIGNPOST_CACHE_DIR", cache)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal reaches the whole group: brokers end after those who write to them.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", path.display()))?;
        let said = Arc::new(Mutex::new(Said::default()));
        let heard = said.clone();
        let lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                hear(&mut lock(&heard), &line);
            }
            lock(&heard).is_over = true;
        });
        Ok(Self {
            orders: child.stdin.take(),
            child,
            said,
        })
    }

    /// Waits until it has said that all is ready.
    fn ready(&self) -> anyhow::Result<String> {
        let until = Instant::now() + DEADLINE;
        loop {
            let said = lock(&self.said);
            if let Some(ready) = &said.ready {
                return Ok(ready.clone());
            }
            anyhow::ensure!(!said.is_over, "it ended, see above (make deps)");
            drop(said);
            anyhow::ensure!(Instant::now() < until, "it does not come up");
            crate::pause(LOOK);
        }
    }

    fn stop(&mut self) {
        self.orders = None;
        send(Some(self.child.id()), Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hear(said: &mut Said, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["ready", what] => said.ready = Some(what.to_owned()),
        ["broker", number, pid, addr] => {
            let broker = (number.parse(), pid.parse(), addr.parse());
            if let (Ok(number), Ok(pid), Ok(addr)) = broker {
                said.brokers.insert(number, Broker { pid, addr });
            }
        }
        _ => {}
    }
}

/// Kafka brokers.
#[derive(Debug)]
pub struct Kafka {
    script: Script,
    /// `host:port,…` of all brokers, for clients.
    pub bootstrap: String,
}

impl Kafka {
    /// Starts so many. `advertised`: ports at which clients are to reach them, in their order; empty: their own.
    ///
    /// # Errors
    /// They do not come up.
    pub fn start(
        scripts: &Path,
        cache: &Path,
        brokers: u32,
        advertised: &[SocketAddr],
    ) -> anyhow::Result<Self> {
        let mut arguments = vec!["--brokers".to_owned(), brokers.to_string()];
        if !advertised.is_empty() {
            let ports: Vec<String> = advertised.iter().map(|a| a.port().to_string()).collect();
            arguments.extend(["--advertise".to_owned(), ports.join(",")]);
        }
        let script = Script::start(&scripts.join("kafka"), &arguments, cache)?;
        let bootstrap = script.ready().context("Kafka")?;
        Ok(Self { script, bootstrap })
    }

    /// Where a broker listens itself.
    pub fn addr(&self, broker: u32) -> Option<SocketAddr> {
        lock(&self.script.said).brokers.get(&broker).map(|b| b.addr)
    }

    /// Sends a signal to a broker.
    pub fn signal(&self, broker: u32, signal: Signal) {
        let pid = lock(&self.script.said).brokers.get(&broker).map(|b| b.pid);
        send(pid, signal);
    }

    /// Starts a broker again that was killed; does not wait for it.
    ///
    /// # Errors
    /// The script is gone.
    pub fn restart(&mut self, broker: u32) -> anyhow::Result<()> {
        let orders = self.script.orders.as_mut().context("Kafka is stopped")?;
        lock(&self.script.said).ready = None;
        writeln!(orders, "start {broker}").context("Kafka's script is gone")
    }

    /// Whether all brokers that were told to start have done so.
    pub fn is_ready(&self) -> bool {
        lock(&self.script.said).ready.is_some()
    }

    /// Stops all of them.
    pub fn stop(&mut self) {
        self.script.stop();
    }
}

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    script: Script,
    /// URL of an empty database.
    pub url: String,
}

impl Postgres {
    /// Starts one.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(scripts: &Path, cache: &Path) -> anyhow::Result<Self> {
        let script = Script::start(&scripts.join("postgres"), &[], cache)?;
        let url = script.ready().context("PostgreSQL")?;
        Ok(Self { script, url })
    }

    /// Stops it.
    pub fn stop(&mut self) {
        self.script.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_scripts_are_understood_and_others_left_alone() {
        let mut said = Said::default();
        for line in [
            "server 12",
            "broker 1 77 127.0.0.1:9092",
            "broker x 77 127.0.0.1:9092",
            "",
            "ready 127.0.0.1:9092",
        ] {
            hear(&mut said, line);
        }
        assert_eq!(said.brokers.len(), 1);
        assert_eq!(said.brokers[&1].pid, 77);
        assert_eq!(said.ready.as_deref(), Some("127.0.0.1:9092"));
    }
}
