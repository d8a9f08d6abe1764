//! The role's life: start the engine, listen, serve, drain, close.
//!
//! Order of a stop: accept no more → requests in work finish, by a deadline → what still runs is cancelled → the engine
//! closes its storage.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::gauge;
use schemas::health::Health;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::engine::{Engine, StartError};
use crate::http::Server;
use crate::metrics as m;
use crate::query::Runner;
use crate::users::Users;

/// The part's name in [`Health`].
const PART: &str = "engine";
/// Open connections; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 512;
/// How long a client may take for a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long cancelled queries have to stop at the end.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after accept failed (no file handles left, mostly), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Threads besides one per query: for stopping queries and closing the engine.
const SPARE_THREADS: usize = 4;

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: CancellationToken,
    runner: Arc<Runner>,
    task: JoinHandle<()>,
}

impl Running {
    /// Queries in the engine now.
    pub fn running_queries(&self) -> usize {
        self.runner.running()
    }

    /// Drains and stops. The engine cannot be started again in this process.
    ///
    /// # Errors
    /// The serving task panicked.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.context("the serving task panicked")
    }
}

/// Starts the engine and serves it until `shutdown`; blocks.
///
/// # Errors
/// [`StartError`], an address that cannot be bound, a password file that cannot be used. `health` then says why as well.
pub fn run(config: Config, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
    if config.die_with_parent {
        die_with_parent().context("cannot ask to die with the parent process")?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(config.max_running + SPARE_THREADS)
        .thread_name("clickhouse-http")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let running = start(config, health, shutdown).await?;
        running.task.await.context("the serving task panicked")
    })
}

/// As [`run`], on the caller's runtime, returning when it listens. The runtime needs more blocking threads than
/// `max_running`.
///
/// # Errors
/// As [`run`].
pub async fn start(
    config: Config,
    health: Health,
    shutdown: CancellationToken,
) -> anyhow::Result<Running> {
    m::describe();
    health.not_ready(PART, "starting");
    match begin(&config, &health, shutdown).await {
        Ok(running) => {
            health.ready(PART);
            tracing::info!(addr = %running.addr, version = running.runner.engine().version(), "the ClickHouse engine serves");
            Ok(running)
        }
        Err(error) => {
            health.not_ready(PART, format!("{error:#}"));
            Err(error)
        }
    }
}

async fn begin(
    config: &Config,
    health: &Health,
    shutdown: CancellationToken,
) -> anyhow::Result<Running> {
    anyhow::ensure!(
        config.allow_remote || config.addr.ip().is_loopback(),
        "refusing to listen on {}: not a loopback address, and SIGNPOST_CLICKHOUSE_ALLOW_REMOTE is off",
        config.addr
    );
    // The address first: a port in use should not cost the start of an engine.
    let listener = TcpListener::bind(config.addr).await.with_context(|| {
        format!(
            "cannot listen on {} (SIGNPOST_CLICKHOUSE_ADDR)",
            config.addr
        )
    })?;
    let addr = listener
        .local_addr()
        .context("cannot read the listening address")?;
    let owned = config.clone();
    let engine = tokio::task::spawn_blocking(move || Engine::start(&owned))
        .await
        .context("the engine's start panicked")??;
    let users = Users::open(&config.data_dir).map_err(|source| StartError::Folder {
        path: config.data_dir.display().to_string(),
        source,
    })?;
    let runner = Runner::new(engine, config);
    let server = Arc::new(Server::new(Arc::clone(&runner), users, config));
    let stop = shutdown.child_token();
    let task = tokio::spawn(serve(
        listener,
        server,
        Arc::clone(&runner),
        stop.clone(),
        health.clone(),
        config.drain_timeout,
    ));
    Ok(Running {
        addr,
        stop,
        runner,
        task,
    })
}

async fn serve(
    listener: TcpListener,
    server: Arc<Server>,
    runner: Arc<Runner>,
    stop: CancellationToken,
    health: Health,
    drain: Duration,
) {
    let connections = TaskTracker::new();
    accept(&listener, &server, &connections, &stop).await;
    drop(listener);
    health.not_ready(PART, "stopping");
    connections.close();
    let drained = timeout(drain, connections.wait()).await.is_ok();
    runner.stop_taking();
    if !drained {
        tracing::warn!(
            queries = runner.running(),
            "cancelling queries that outlast the drain"
        );
        runner.cancel_all();
        let _ = timeout(CANCEL_TIMEOUT, connections.wait()).await;
    }
    let idle = async {
        while runner.running() > 0 {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    };
    let _ = timeout(CANCEL_TIMEOUT, idle).await;
    let closed = tokio::task::spawn_blocking(move || runner.engine().close()).await;
    if matches!(closed, Ok(true)) {
        tracing::info!("the ClickHouse engine is closed");
    } else {
        tracing::warn!(
            "the ClickHouse engine ends with the process without closing its storage; it recovers at the next start"
        );
    }
}

async fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    connections: &TaskTracker,
    stop: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let next = async {
            let place = Arc::clone(&places)
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let (stream, _) = listener.accept().await?;
            io::Result::Ok((stream, place))
        };
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => return,
            next = next => match next {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (server, stop) = (Arc::clone(server), stop.clone());
        connections.spawn(async move {
            gauge!(m::CONNECTIONS).increment(1.0);
            connection(stream, server, stop).await;
            gauge!(m::CONNECTIONS).decrement(1.0);
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, server: Arc<Server>, stop: CancellationToken) {
    // Answers are written whole; waiting for more to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| Arc::clone(&server).answer(request));
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// SIGKILL when the parent's thread that started us ends, however it ends.
fn die_with_parent() -> io::Result<()> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the request was heard.
    if getppid() != parent {
        return Err(io::Error::other("the parent process is gone already"));
    }
    Ok(())
}
