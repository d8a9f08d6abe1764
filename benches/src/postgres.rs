//! A throw-away PostgreSQL cluster on a Unix socket, with the durability of its defaults.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::system::pause;

/// How long the start may take.
const START: Duration = Duration::from_secs(60);

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Postgres {
    server: Child,
    folder: tempfile::TempDir,
}

impl Postgres {
    /// Makes one and starts it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("bench-pg-").tempdir()?;
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(folder.path())
                .status()?;
            anyhow::ensure!(owned.success(), "there is no user postgres");
        }
        let run = |program: &str| {
            let path = programs.join(program);
            let mut command = if is_root {
                // PostgreSQL refuses to run as root.
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
                command.arg(path);
                command
            } else {
                Command::new(path)
            };
            command
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let data = folder.path().join("data");
        let made = run("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"])
            .status()?;
        anyhow::ensure!(made.success(), "initdb failed");
        let server = run("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses="])
            .spawn()?;
        let cluster = Self { server, folder };
        let until = Instant::now() + START;
        while !cluster.folder.path().join(".s.PGSQL.5432").exists() {
            anyhow::ensure!(Instant::now() < until, "PostgreSQL does not come up");
            pause();
        }
        Ok(cluster)
    }

    /// Its own database.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.path().to_string_lossy().replace('/', "%2F");
        format!("postgres://postgres@localhost/postgres?host={folder}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A fast end: connections are closed.
        let pid = rustix::process::Pid::from_child(&self.server);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.server.wait();
    }
}

/// Folder of PostgreSQL's programs: Debian keeps them out of PATH.
fn programs() -> anyhow::Result<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql");
    let folders = debian.into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = folders
        .map(|folder| folder.path().join("bin"))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    found.sort();
    found
        .pop()
        .context("PostgreSQL's initdb is needed: apt-get install postgresql")
}
