//! One process that is started, hurt, started again and stopped.
//!
//! A child dies when the thread that started it ends (that is how Linux says "parent"): start them on a thread that lives
//! as long as they shall.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// Between looks whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    log: PathBuf,
    child: Option<Child>,
    is_asked: bool,
}

impl Process {
    /// One that is not started yet. It gets no setting (`SIGNPOST_…`) of our own environment, and writes to `log`.
    pub fn new(
        name: String,
        program: &Path,
        arguments: &[&str],
        environment: BTreeMap<String, String>,
        log: PathBuf,
    ) -> Self {
        Self {
            name,
            program: program.to_owned(),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            environment,
            log,
            child: None,
            is_asked: false,
        }
    }

    /// What it is called, such as `proxy-2`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its settings.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// The program with this process's settings, for a command beside it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIGNPOST_")) {
            command.env_remove(name);
        }
        command.envs(&self.environment).stdin(Stdio::null());
        command
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = self.command();
        command
            .args(&self.arguments)
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal reaches the whole group: they wait for their turn instead.
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        self.child = Some(child);
        self.is_asked = false;
        Ok(())
    }

    /// Its id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends a signal, if it runs.
    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// How it ended, if it ended unasked since it was started.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    /// Asks it to end, once: whoever is asked twice ends at once.
    pub fn ask_to_end(&mut self) {
        if !std::mem::replace(&mut self.is_asked, true) {
            self.signal(Signal::CONT);
            self.signal(Signal::TERM);
        }
    }

    /// Asks it to end, and kills it after the deadline. `None`: it did not run, or had to be killed.
    pub fn stop(&mut self, deadline: Duration) -> Option<ExitStatus> {
        self.ask_to_end();
        let until = Instant::now() + deadline;
        while self.child.is_some() {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() > until {
                self.kill();
            }
            crate::pause(LOOK);
        }
        None
    }

    /// The end of its log, for whoever wonders.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process that may be gone.
pub(crate) fn send(pid: Option<u32>, signal: Signal) {
    if let Some(pid) = pid.and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        let _ = kill_process(pid, signal);
    }
}
