//! Running one role in this process: configuration, admin page, signals, then the role itself.

use std::process::ExitCode;

use anyhow::Context as _;
use axum::Router;
use schemas::health::Health;
use schemas::settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::admin;
use crate::logging::{self, Log};
use crate::notify::Manager;

/// Process id of the supervisor, given to its children: they die with it.
pub(crate) const PARENT: &str = "SIGNPOST_PARENT_PID";

/// `signpost proxy`
pub(crate) fn proxy(settings: Settings, log: Log) -> anyhow::Result<ExitCode> {
    let domains = proxy::Domains::default();
    let pages = admin::domain_page(domains.clone());
    run(
        ("proxy", pages),
        settings,
        log,
        proxy::Config::from_settings,
        |config, health, shutdown| proxy::run(config, health, shutdown, &domains),
    )
}

/// `signpost control-plane`
pub(crate) fn control_plane(settings: Settings, log: Log) -> anyhow::Result<ExitCode> {
    run(
        ("control-plane", Router::new()),
        settings,
        log,
        control_plane::Config::from_settings,
        control_plane::run,
    )
}

/// `signpost ingest`
pub(crate) fn ingest(settings: Settings, log: Log) -> anyhow::Result<ExitCode> {
    run(
        ("ingest", Router::new()),
        settings,
        log,
        ingest::Config::from_settings,
        ingest::run,
    )
}

/// `signpost clickhouse`
pub(crate) fn clickhouse(settings: Settings, log: Log) -> anyhow::Result<ExitCode> {
    run(
        ("clickhouse", Router::new()),
        settings,
        log,
        embedded::Config::from_settings,
        embedded::run,
    )
}

fn run<C>(
    (role, pages): (&'static str, Router),
    mut settings: Settings,
    log: Log,
    configure: impl FnOnce(&mut Settings) -> C,
    run: impl FnOnce(C, Health, CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    die_with_parent(&mut settings)?;
    let config = configure(&mut settings);
    let address = admin::Address::from_settings(&mut settings);
    let manager = Manager::from_settings(&mut settings);
    settings.check()?;
    let health = Health::new();
    admin::start(&address, role, health.clone(), pages)?;
    manager.tell_when_ready(health.clone())?;
    let shutdown = CancellationToken::new();
    watch_signals(shutdown.clone(), health.clone(), manager, log)?;
    tracing::info!(role, "starting");
    run(config, health, shutdown).with_context(|| format!("{role} cannot go on"))?;
    tracing::info!(role, "stopped");
    Ok(ExitCode::SUCCESS)
}

/// A child of `up` is killed when `up` dies, however it dies: a role that outlives it would hold locks and ports
/// against the next start. Nothing is lost by it: every role survives `kill -9`.
fn die_with_parent(settings: &mut Settings) -> anyhow::Result<()> {
    let Some(parent) =
        settings.parsed_with(PARENT, "a process id", |text| text.parse::<i32>().ok())
    else {
        return Ok(());
    };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .context("cannot ask to die with the supervisor")?;
    // It may have died before the request above took effect.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    anyhow::ensure!(
        now == Some(parent),
        "the supervisor (process {parent}) is gone"
    );
    Ok(())
}

/// Name of the part that says the process ends.
const RUNNING: &str = "running";

/// Cancels the token at the first SIGTERM or SIGINT, and says that the process is not ready any more; the second ends the
/// process at once. At SIGHUP, and now and then, the log's filter is read again (certificates and geo databases are by those
/// who use them, when their files change).
fn watch_signals(
    shutdown: CancellationToken,
    health: Health,
    manager: Manager,
    log: Log,
) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(guard);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                let mut look = tokio::time::interval(logging::LOOK);
                loop {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                        _ = hang_up.recv() => {
                            log.reload();
                            continue;
                        }
                        _ = look.tick() => {
                            log.reload();
                            continue;
                        }
                    }
                    if shutdown.is_cancelled() {
                        tracing::warn!("second signal, ending at once");
                        std::process::exit(1);
                    }
                    // Whoever asks is sent elsewhere from now on; then it ends.
                    health.not_ready(RUNNING, "ending");
                    manager.stopping();
                    shutdown.cancel();
                }
            });
        })?;
    Ok(())
}
