//! The producer: the only file of the proxy that names librdkafka.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kafka::{Brokers, Kafka, TopicError, ensure, forward_log};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::statistics::Statistics;

/// What may be set otherwise. zstd at its lowest level: a third of lz4's bytes less for a click, at about its cost.
/// librdkafka's queue is larger than [`super::flight`]'s bounds, so that it never refuses.
const DEFAULTS: [(&str, &str); 10] = [
    ("compression.codec", "zstd"),
    ("compression.level", "1"),
    ("linger.ms", "20"),
    ("batch.size", "262144"),
    ("queue.buffering.max.messages", "200000"),
    ("queue.buffering.max.kbytes", "131072"),
    ("statistics.interval.ms", "500"),
    ("reconnect.backoff.max.ms", "2000"),
    ("socket.keepalive.enable", "true"),
    // A broker that stands still is given up on after so long, not after a minute, and whoever leads by then is asked.
    ("socket.timeout.ms", "20000"),
];

/// What order and completeness rest on. No message timeout: the log waits, not the record.
const FIXED: [(&str, &str); 4] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("enable.gapless.guarantee", "true"),
    ("message.timeout.ms", "0"),
];

/// What came of records.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// Numbers of those that arrived.
    pub(super) arrived: Vec<usize>,
    /// Why one did not. Those behind it may not have either.
    pub(super) failed: Option<String>,
}

struct Context {
    brokers: Brokers,
    deliveries: Mutex<Deliveries>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.brokers.note(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        self.brokers.error(reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let mut deliveries = self
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => deliveries.arrived.push(number),
            Err((error, _)) => {
                deliveries.failed.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Whether a record was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    /// librdkafka's queue is full: later.
    Full,
    /// It cannot be; the producer is done for.
    Failed(String),
}

/// A connection to the brokers.
pub(super) struct Link {
    producer: BaseProducer<Context>,
    topic: String,
    /// Partitions of the topic; 0 until the brokers have said.
    partitions: u32,
}

impl Link {
    /// Makes the producer; it connects by itself.
    ///
    /// # Errors
    /// librdkafka refuses the settings.
    pub(super) fn new(kafka: &Kafka) -> Result<Self, KafkaError> {
        let context = Context {
            brokers: Brokers::default(),
            deliveries: Mutex::default(),
        };
        let producer = kafka
            .client(&DEFAULTS, &FIXED)
            .create_with_context(context)?;
        Ok(Self {
            producer,
            topic: kafka.topic.clone(),
            partitions: 0,
        })
    }

    /// Asks for the topic, which is made if it is missing. Blocks for seconds while no broker answers.
    ///
    /// # Errors
    /// [`TopicError`].
    pub(super) fn learn_partitions(&mut self, kafka: &Kafka) -> Result<(), TopicError> {
        self.partitions = ensure(
            self.producer.client(),
            kafka,
            &kafka.topic,
            kafka.partitions,
            &[],
        )?;
        Ok(())
    }

    pub(super) fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Hands a record over; `number` comes back with its delivery. Its timestamp is the broker's business, now: a click's own
    /// time may be refused as too far off, and imported clicks would be past retention before they are read.
    pub(super) fn send(&self, partition: u32, key: &str, payload: &[u8], number: usize) -> Sent {
        let mut record = BaseRecord::with_opaque_to(&self.topic, number)
            .partition(i32::try_from(partition).unwrap_or(i32::MAX))
            .payload(payload);
        if !key.is_empty() {
            record = record.key(key);
        }
        match self.producer.send(record) {
            Ok(()) => Sent::Yes,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Sent::Full,
            Err((error, _)) => Sent::Failed(error.to_string()),
        }
    }

    /// Waits a little for news of deliveries and brokers.
    pub(super) fn poll(&self, wait: Duration) -> Deliveries {
        self.producer.poll(wait);
        std::mem::take(
            &mut *self
                .producer
                .context()
                .deliveries
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(super) fn brokers(&self) -> &Brokers {
        &self.producer.context().brokers
    }

    /// Why the producer cannot go on, if so.
    pub(super) fn fatal(&self) -> Option<String> {
        let (code, reason) = self.producer.client().fatal_error()?;
        Some(format!("{code}: {reason}"))
    }
}
