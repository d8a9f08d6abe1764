//! One role as a child process: started, watched, restarted, stopped.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::plan::Plan;

/// Pause before the first restart; doubled with every one that follows soon.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause between restarts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A child that ran for so long begins anew with the first pause.
const STEADY: Duration = Duration::from_secs(30);

/// A role that `up` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `signpost clickhouse`
    Clickhouse,
    /// `signpost control-plane`
    ControlPlane,
    /// `signpost proxy`
    Proxy,
    /// `signpost ingest`
    Ingest,
}

impl Role {
    /// The subcommand, and the `role` label of its metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Clickhouse => "clickhouse",
            Self::ControlPlane => "control-plane",
            Self::Proxy => "proxy",
            Self::Ingest => "ingest",
        }
    }
}

/// A running role.
pub(crate) struct Child {
    role: Role,
    command: tokio::process::Command,
    process: tokio::process::Child,
    since: Instant,
    pause: Duration,
}

impl Child {
    /// Starts the role.
    ///
    /// # Errors
    /// This very program cannot be started again.
    pub(crate) fn start(role: Role, plan: &Plan) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut command = tokio::process::Command::new(program);
        command
            .arg(role.name())
            .envs(plan.environment(role))
            // The service manager hears of the whole.
            .env_remove(crate::notify::SOCKET)
            .stdin(Stdio::null())
            // Ctrl-C in a terminal reaches the whole group: the children wait for their turn instead.
            .process_group(0)
            .kill_on_drop(true);
        let process = spawn(&mut command, role)?;
        Ok(Self {
            role,
            command,
            process,
            since: Instant::now(),
            pause: FIRST_PAUSE,
        })
    }

    /// Which role it is.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Restarts the role whenever it ends; returns when that is useless: its settings are wrong, or this program's
    /// file is gone.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        loop {
            match self.process.wait().await {
                Ok(status) if status.code() == Some(i32::from(crate::EXIT_USAGE)) => {
                    return anyhow::anyhow!("{} refuses its settings", self.role.name());
                }
                Ok(status) => self.note_end(status),
                Err(error) => return anyhow::Error::new(error).context("cannot wait for a child"),
            }
            if self.since.elapsed() > STEADY {
                self.pause = FIRST_PAUSE;
            }
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            match spawn(&mut self.command, self.role) {
                Ok(process) => self.process = process,
                Err(error) => return error,
            }
            self.since = Instant::now();
        }
    }

    /// Asks the role to end, and kills it after the deadline.
    pub(crate) async fn stop(&mut self, deadline: Duration) {
        if let Some(pid) = self
            .process
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()))
        {
            // It may have ended on its own meanwhile.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        match tokio::time::timeout(deadline, self.process.wait()).await {
            Ok(_) => tracing::info!(role = self.role.name(), "ended"),
            Err(_) => {
                tracing::warn!(
                    role = self.role.name(),
                    seconds = deadline.as_secs(),
                    "did not end in time, killed"
                );
                let _ = self.process.kill().await;
            }
        }
    }

    fn note_end(&self, status: ExitStatus) {
        tracing::warn!(role = self.role.name(), %status, "ended unasked, starting it again");
        metrics::counter!("signpost_up_restarts_total", "role" => self.role.name()).increment(1);
    }
}

fn spawn(
    command: &mut tokio::process::Command,
    role: Role,
) -> anyhow::Result<tokio::process::Child> {
    command
        .spawn()
        .with_context(|| format!("cannot start {}", role.name()))
}
