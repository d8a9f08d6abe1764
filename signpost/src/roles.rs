//! Running one role in this process: configuration, admin page, signals, then the role itself.

use std::process::ExitCode;

use anyhow::Context as _;
use schemas::health::Health;
use schemas::settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::admin;

/// Process id of the supervisor, given to its children: they die with it.
pub(crate) const PARENT: &str = "SIGNPOST_PARENT_PID";

/// `signpost proxy`
pub(crate) fn proxy(settings: Settings) -> anyhow::Result<ExitCode> {
    run("proxy", settings, proxy::Config::from_settings, proxy::run)
}

/// `signpost control-plane`
pub(crate) fn control_plane(settings: Settings) -> anyhow::Result<ExitCode> {
    run(
        "control-plane",
        settings,
        control_plane::Config::from_settings,
        control_plane::run,
    )
}

/// `signpost ingest`
pub(crate) fn ingest(settings: Settings) -> anyhow::Result<ExitCode> {
    run(
        "ingest",
        settings,
        ingest::Config::from_settings,
        ingest::run,
    )
}

/// `signpost clickhouse`
pub(crate) fn clickhouse(settings: Settings) -> anyhow::Result<ExitCode> {
    run(
        "clickhouse",
        settings,
        embedded::Config::from_settings,
        embedded::run,
    )
}

fn run<C>(
    role: &'static str,
    mut settings: Settings,
    configure: impl FnOnce(&mut Settings) -> C,
    run: impl FnOnce(C, Health, CancellationToken) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    die_with_parent(&mut settings)?;
    let config = configure(&mut settings);
    let address = admin::Address::from_settings(&mut settings);
    settings.check()?;
    let health = Health::new();
    admin::start(&address, role, health.clone())?;
    let shutdown = CancellationToken::new();
    cancel_on_signal(shutdown.clone())?;
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

/// Cancels the token at the first SIGTERM or SIGINT; the second ends the process at once.
fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(guard);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                for round in 0.. {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                    if round > 0 {
                        tracing::warn!("second signal, ending at once");
                        std::process::exit(1);
                    }
                    shutdown.cancel();
                }
            });
        })?;
    Ok(())
}
