//! What both ways of getting clicks do around their attempts: wait and say why after a failure, and bound the end.

use std::time::Duration;

use metrics::counter;
use schemas::health::Health;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::failure::Failure;
use crate::metrics as m;
use crate::store::StoreError;

/// Name of the part that says whether ClickHouse takes clicks.
pub(crate) const CLICKHOUSE: &str = "clickhouse";

/// Name of the part that says whether Kafka gives them.
pub(crate) const KAFKA: &str = "kafka";

/// How long the end of the process waits for the statement that runs.
const DRAIN: Duration = Duration::from_secs(5);

/// Attempts and the pauses between them.
pub(crate) struct Attempts {
    backoff: Backoff,
    health: Health,
    shutdown: CancellationToken,
}

impl Attempts {
    pub(crate) fn new(health: &Health, shutdown: &CancellationToken) -> Self {
        Self {
            backoff: Backoff::new(),
            health: health.clone(),
            shutdown: shutdown.clone(),
        }
    }

    /// An attempt has failed: says so and waits. Clicks are safe where they are, so errors are retried for ever.
    pub(crate) async fn failed(&mut self, failure: Failure, went_well: bool) {
        if went_well {
            self.backoff.reset();
        }
        counter!(m::FAILURES, "kind" => failure.label()).increment(1);
        let part = match failure {
            Failure::Kafka(_) | Failure::Lost(_) => KAFKA,
            Failure::Store(_) | Failure::Disk(_) => CLICKHOUSE,
        };
        self.health.not_ready(part, failure.to_string());
        let pause = self.backoff.pause(random());
        match failure {
            Failure::Store(StoreError::Schema(_)) => {
                tracing::error!(%failure, "cannot store clicks; a person has to look");
            }
            _ => {
                tracing::warn!(%failure, retry_in = ?pause, "cannot store clicks; they wait");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}

/// Runs until `work` ends; after the end was asked for, no longer than [`DRAIN`]. A task of its own: it may block on a broker
/// that does not answer.
pub(crate) async fn drained(
    shutdown: CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let mut work = AbortOnDropHandle::new(tokio::spawn(work));
    tokio::select! {
        ended = &mut work => {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
        () = late => tracing::warn!("stopping with an insert under way; the next start settles it"),
    }
}

fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
