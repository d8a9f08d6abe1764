//! The role in a process of its own: this test binary, run again.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use embedded::{Config, run};
use schemas::health::Health;
use tokio_util::sync::CancellationToken;

use crate::support::library;

const FOLDER: &str = "SIGNPOST_TEST_CHILD_FOLDER";
const ADDR: &str = "SIGNPOST_TEST_CHILD_ADDR";

/// Not a test of its own: what the processes below run. Without their environment it has nothing to do.
#[test]
fn serves_until_standard_input_closes() {
    let (Some(folder), Ok(addr)) = (std::env::var_os(FOLDER), std::env::var(ADDR)) else {
        return;
    };
    let mut config = Config::new(folder, library());
    config.addr = addr.parse().unwrap();
    config.die_with_parent = true;
    config.drain_timeout = std::time::Duration::from_secs(1);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.cancel();
    });
    match run(config, Health::new(), shutdown) {
        Ok(()) => println!("\nstopped well"),
        Err(error) => println!("\nfailed: {error:#}"),
    }
}

pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) stdin: Option<ChildStdin>,
}

/// A port that was free a moment ago.
fn free_addr() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Starts the role; `through` puts a shell between, so that there is a parent to kill.
pub(crate) fn spawn(folder: &Path, through_shell: bool) -> Process {
    let addr = free_addr();
    let exe = std::env::current_exe().unwrap();
    let arguments = [
        "child::serves_until_standard_input_closes",
        "--exact",
        "--nocapture",
    ];
    let mut command = if through_shell {
        let mut shell = Command::new("sh");
        // Standard input is kept open for it; `wait` keeps the shell.
        shell
            .args(["-c", "\"$0\" \"$@\" <&3 & wait", exe.to_str().unwrap()])
            .args(arguments);
        let mut outer = Command::new("sh");
        outer
            .args(["-c", "exec \"$0\" \"$@\" 3<&0"])
            .arg("sh")
            .args(shell.get_args());
        outer
    } else {
        let mut direct = Command::new(exe);
        direct.args(arguments);
        direct
    };
    let mut child = command
        .env(FOLDER, folder)
        .env(ADDR, addr.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Process {
        addr,
        stdin: child.stdin.take(),
        child,
    }
}

impl Process {
    /// Closes its standard input and gives what it said last.
    pub(crate) fn stop(mut self) -> String {
        drop(self.stdin.take());
        let said = self.said();
        assert!(self.child.wait().unwrap().success());
        said
    }

    /// Waits for its last word.
    pub(crate) fn said(&mut self) -> String {
        BufReader::new(self.child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter(|l| l.starts_with("stopped") || l.starts_with("failed"))
            .last()
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
