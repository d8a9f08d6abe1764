//! Topics: looked for, and made where they are missing.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::Kafka;

/// How long one question to the brokers may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A topic cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The brokers cannot be asked, or do not answer.
    #[error("cannot ask kafka about the topic {topic}: {source}")]
    Unreachable {
        /// The topic.
        topic: String,
        /// What librdkafka says.
        source: KafkaError,
    },
    /// It is missing and cannot be made.
    #[error(
        "the topic {topic} is missing and cannot be made ({why}); make it by hand with {partitions} partitions"
    )]
    Missing {
        /// The topic.
        topic: String,
        /// Partitions it should have.
        partitions: u32,
        /// What the broker says.
        why: String,
    },
}

/// The number of partitions of a topic, which is made if it is missing: `partitions` of them, with the cluster's own
/// number of replicas. Blocks.
///
/// # Errors
/// [`TopicError`].
pub fn ensure<C: ClientContext>(
    client: &Client<C>,
    kafka: &Kafka,
    topic: &str,
    partitions: u32,
    config: &[(&str, &str)],
) -> Result<u32, TopicError> {
    if let Some(count) = count(client, topic)? {
        return Ok(count);
    }
    let missing = |why: String| TopicError::Missing {
        topic: topic.to_owned(),
        partitions,
        why,
    };
    let admin: AdminClient<DefaultClientContext> = kafka
        .client(&[], &[])
        .create()
        .map_err(|error| missing(error.to_string()))?;
    let wanted = i32::try_from(partitions).unwrap_or(i32::MAX);
    // -1: what the cluster has as its default.
    let mut new = NewTopic::new(topic, wanted, TopicReplication::Fixed(-1));
    for (name, value) in config {
        new = new.set(name, value);
    }
    let options = AdminOptions::new()
        .request_timeout(Some(DEADLINE))
        .operation_timeout(Some(DEADLINE));
    let made = wait(admin.create_topics([&new], &options));
    match made.map(|mut results| results.pop()) {
        Ok(None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) => {}
        Ok(Some(Err((_, code)))) => return Err(missing(code.to_string())),
        Err(error) => return Err(missing(error.to_string())),
    }
    tracing::info!(topic, partitions, "made the topic");
    // A broker that has not heard of it yet says so; the caller asks again.
    count(client, topic)?.ok_or_else(|| missing("it is not there yet".to_owned()))
}

/// The number of partitions of a topic; `None` when there is no such topic.
fn count<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Option<u32>, TopicError> {
    let unreachable = |source| TopicError::Unreachable {
        topic: topic.to_owned(),
        source,
    };
    let metadata = client
        .fetch_metadata(Some(topic), DEADLINE)
        .map_err(unreachable)?;
    let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else {
        return Ok(None);
    };
    match found.error().map(RDKafkaErrorCode::from) {
        None => Ok(u32::try_from(found.partitions().len())
            .ok()
            .filter(|n| *n > 0)),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Ok(None)
        }
        Some(code) => Err(unreachable(KafkaError::MetadataFetch(code))),
    }
}

/// Waits for a future of librdkafka's on this thread; its own threads complete it within the deadlines it was given.
fn wait<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::park();
    }
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}
