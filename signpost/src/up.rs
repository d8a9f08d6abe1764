//! `signpost up`: every role of one machine as a child process of its own, supervised.
//!
//! It only supervises: it starts each role, restarts one that dies, stops them in order, and takes them with it when
//! it dies itself. It never handles a visit, a call or a click, so a fault in one role cannot reach another through it.

mod banner;
mod child;
mod merge;
mod pages;
mod plan;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use schemas::settings::Settings;

use crate::logging::{self, Log};
use crate::notify::Manager;
use child::{Child, Role};
use plan::Plan;

/// How long a role may take to end after SIGTERM, before it is killed. Ingest stores what is in the log.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How long the proxy may take beyond what its connections, and then its downloads, are given to finish: it brings the rings
/// into the log.
const PROXY_STOP_DEADLINE: Duration = Duration::from_secs(15);

/// How often the children are asked whether they are ready, at the start.
const READY_POLL: Duration = Duration::from_millis(50);

/// When to say what the start is waiting for, and how often.
const READY_NOTICE: Duration = Duration::from_secs(3);

/// Runs until a signal or until a role cannot be started at all.
pub(crate) fn run(mut settings: Settings, log: Log) -> anyhow::Result<ExitCode> {
    let plan = Plan::from_settings(&mut settings);
    let manager = Manager::from_settings(&mut settings);
    settings.check()?;
    let plan = plan.prepare()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(supervise(plan, &manager, &log))
}

async fn supervise(plan: Plan, manager: &Manager, log: &Log) -> anyhow::Result<ExitCode> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;

    let first_start = !plan.admin_key_file().exists();
    let pages = pages::serve(&plan).await?;
    // Engine and database first: the others wait for them, but shorter this way.
    let mut children = Vec::new();
    for role in plan.roles() {
        children.push(Child::start(role, &plan)?);
    }
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        failed = failure(&mut children) => Err(failed),
        never = announce(&plan, first_start, manager) => never,
        never = reload(&mut hang_up, log) => never,
        stopped = pages => Err(anyhow::anyhow!("admin page stopped: {stopped:?}")),
    };
    tracing::info!("stopping");
    manager.stopping();
    // Visitors first, so that the last clicks reach the log while ingest still reads; the engine last.
    for role in [
        Role::Proxy,
        Role::Ingest,
        Role::ControlPlane,
        Role::Clickhouse,
    ] {
        let deadline = match role {
            Role::Proxy => 2 * plan.drain() + PROXY_STOP_DEADLINE,
            _ => STOP_DEADLINE,
        };
        for child in children.iter_mut().filter(|c| c.role() == role) {
            child.stop(deadline).await;
        }
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Waits for a child that cannot be kept running.
async fn failure(children: &mut [Child]) -> anyhow::Error {
    let waits = children.iter_mut().map(|c| Box::pin(c.failure()));
    futures_util::future::select_all(waits).await.0
}

/// Waits until all roles are ready, says what is missing meanwhile, prints the welcome, and then never returns.
async fn announce(plan: &Plan, first_start: bool, manager: &Manager) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut notice = READY_NOTICE;
    loop {
        let missing = pages::not_ready(plan).await;
        if missing.is_empty() {
            break;
        }
        if started.elapsed() > notice {
            notice += READY_NOTICE;
            for (role, why) in missing {
                tracing::info!(role, why, "waiting");
            }
        }
        tokio::time::sleep(READY_POLL).await;
    }
    tracing::info!(seconds = started.elapsed().as_secs_f64(), "ready");
    manager.ready();
    banner::print(plan, first_start).context("cannot print the welcome")?;
    std::future::pending().await
}

/// Reads the log's filter again at SIGHUP, and now and then; the children do so by themselves.
async fn reload(hang_up: &mut tokio::signal::unix::Signal, log: &Log) -> anyhow::Result<()> {
    let mut look = tokio::time::interval(logging::LOOK);
    loop {
        tokio::select! {
            _ = hang_up.recv() => {}
            _ = look.tick() => {}
        }
        log.reload();
    }
}
