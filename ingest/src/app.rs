//! Builds the parts and owns every task. Order of a stop: the statement that runs ends, roll-ups catch up, exit; with a
//! deadline, after which the next start settles what is left.

use std::time::Duration;

use anyhow::Context as _;
use schemas::health::Health;
use schemas::names::files;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::attempts::{CLICKHOUSE, KAFKA};
use crate::config::{Config, Endpoint, Password};
use crate::intent::IntentFile;
use crate::lock::RoleLock;
use crate::pipeline::Pipeline;
use crate::source::click_log::ClickLog;
use crate::store::Store;
use crate::topic::Worker;

/// How long the end waits for threads that do not end.
const END: Duration = Duration::from_secs(1);

/// An ingest that runs.
#[derive(Debug)]
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Drains and stops.
    ///
    /// # Errors
    /// The pipeline panicked.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.context("the pipeline panicked")
    }
}

/// Runs ingest until `shutdown`; blocks.
///
/// # Errors
/// The data folder cannot be used, or another ingest has it. ClickHouse being away is not an error: it is waited for.
pub fn run(config: Config, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("ingest")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let running = start(config, health, shutdown)?;
        running.task.await.context("the pipeline panicked")
    });
    // A thread may still wait for a broker that does not answer.
    runtime.shutdown_timeout(END);
    result
}

/// As [`run`], on the caller's runtime, which must be a multi-threaded one.
///
/// # Errors
/// As [`run`].
pub fn start(
    config: Config,
    health: Health,
    shutdown: CancellationToken,
) -> anyhow::Result<Running> {
    // Workers over Kafka share nothing on disk: as many as there are partitions may run anywhere.
    let Some(kafka) = config.kafka.clone() else {
        return start_log(config, health, shutdown);
    };
    health.not_ready(CLICKHOUSE, "not asked yet");
    health.not_ready(KAFKA, "not asked yet");
    let stop = shutdown.child_token();
    let worker = Worker {
        config,
        kafka,
        health,
        shutdown: stop.clone(),
    };
    let task = tokio::spawn(worker.run());
    Ok(Running { stop, task })
}

/// Reads click logs in place.
fn start_log(
    config: Config,
    health: Health,
    shutdown: CancellationToken,
) -> anyhow::Result<Running> {
    let lock = RoleLock::take(&config.data_dir)?;
    let sources = (0..)
        .zip(&config.click_logs)
        .map(|(partition, folder)| {
            ClickLog::open(partition, folder.clone())
                .with_context(|| format!("cannot read the click log in {}", folder.display()))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let intent = IntentFile::new(config.data_dir.join(files::INTENT));
    health.not_ready(CLICKHOUSE, "not asked yet");
    let stop = shutdown.child_token();
    let pipeline = Pipeline {
        config,
        sources,
        intent,
        health,
        shutdown: stop.clone(),
    };
    let task = tokio::spawn(async move {
        pipeline.run().await;
        drop(lock);
    });
    Ok(Running { stop, task })
}

/// A connection for a tool: the password must be there already.
///
/// # Errors
/// Its file cannot be read.
pub(crate) fn connect(endpoint: &Endpoint) -> anyhow::Result<Store> {
    let password = match &endpoint.password {
        Password::Given(secret) => secret.0.clone(),
        Password::File(path) => std::fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read the password of the clickhouse engine in {}",
                path.display()
            )
        })?,
    };
    Ok(Store::new(endpoint, password.trim()))
}
