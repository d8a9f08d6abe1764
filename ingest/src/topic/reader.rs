//! Reads stretches of partitions once more, or ahead, beside the group: a consumer that is no member of it and commits
//! nothing. Blocks.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use kafka::{Kafka, forward_log, raw};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{DEADLINE, consumer};
use crate::failure::Failure;
use crate::source::Record;

/// How long a partition may be silent within a stretch that it should hold.
const SILENCE: Duration = Duration::from_secs(15);

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Quiet {}

/// A reader of stretches.
pub(crate) struct Reader {
    consumer: BaseConsumer<Quiet>,
    topic: String,
}

/// Records of one partition.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) records: Vec<Record>,
    /// All of the stretch below this offset that is there was read.
    pub(crate) to: u64,
}

impl Reader {
    /// A reader of a topic.
    ///
    /// # Errors
    /// librdkafka refuses the settings.
    pub(crate) fn new(kafka: &Kafka, topic: &str) -> Result<Self, Failure> {
        let config = consumer(
            kafka,
            &[
                ("enable.partition.eof", "true"),
                ("statistics.interval.ms", "0"),
            ],
        );
        let consumer = config
            .create_with_context(Quiet)
            .map_err(|error| Failure::Kafka(error.to_string()))?;
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
        })
    }

    /// The partitions of the topic; none when there is no such topic.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub(crate) fn partitions(&self) -> Result<Vec<i32>, Failure> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic), DEADLINE)
            .map_err(|error| Failure::Kafka(format!("cannot ask for {}: {error}", self.topic)))?;
        Ok(metadata
            .topics()
            .iter()
            .filter(|t| t.name() == self.topic)
            .flat_map(|t| t.partitions().iter().map(|p| p.id()))
            .collect())
    }

    /// The first offset that is there and the one that comes next.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub(crate) fn watermarks(&self, partition: i32) -> Result<Range<u64>, Failure> {
        watermarks(&self.consumer, &self.topic, partition)
    }

    /// What the group has committed, of these partitions.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub(crate) fn committed(
        &self,
        partitions: &[i32],
    ) -> Result<HashMap<i32, raw::Committed>, Failure> {
        committed(&self.consumer, &self.topic, partitions)
    }

    /// The records of a stretch that are there.
    ///
    /// # Errors
    /// The brokers do not answer, or fall silent.
    pub(crate) fn stretch(&self, partition: i32, offsets: Range<u64>) -> Result<Stretch, Failure> {
        let mut stretch = Stretch::default();
        stretch.to = self.each(partition, offsets, |message| {
            stretch.records.push(super::record(message));
        })?;
        Ok(stretch)
    }

    /// Calls `take` with each message of a stretch that is there. Returns how far it came: below the stretch's end where the
    /// brokers have no more, for now or for ever.
    ///
    /// # Errors
    /// The brokers do not answer, fall silent, or send what is damaged.
    pub(crate) fn each(
        &self,
        partition: i32,
        offsets: Range<u64>,
        mut take: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<u64, Failure> {
        let mut from = offsets.start;
        loop {
            let there = self.watermarks(partition)?;
            from = from.max(there.start);
            let to = offsets.end.min(there.end);
            if from >= to {
                return Ok(from.min(offsets.end));
            }
            match self.some(partition, from..to, &mut take)? {
                Some(reached) => return Ok(reached),
                // Its beginning was deleted while we looked: what is left is still wanted.
                None if self.watermarks(partition)?.start > from => {}
                None => return Err(self.fail(partition, "a position is gone")),
            }
        }
    }

    fn fail(&self, partition: i32, what: &str) -> Failure {
        Failure::Kafka(format!("cannot read {} {partition}: {what}", self.topic))
    }

    /// How far it came in a stretch that should be there; `None`: its first offset is gone.
    fn some(
        &self,
        partition: i32,
        offsets: Range<u64>,
        take: &mut impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<Option<u64>, Failure> {
        use rdkafka::Message as _;

        let (from, to) = (offsets.start, offsets.end);
        let mut list = TopicPartitionList::new();
        let start = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        list.add_partition_offset(&self.topic, partition, start)
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| self.fail(partition, &error.to_string()))?;
        let (mut heard, mut reached, mut ended) = (Instant::now(), from, false);
        while heard.elapsed() < SILENCE {
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let offset = u64::try_from(message.offset()).unwrap_or(0);
                    // Of an earlier stretch.
                    if message.partition() != partition || offset < reached {
                        continue;
                    }
                    if offset < to {
                        take(&message);
                    }
                    reached = offset.saturating_add(1);
                    if reached >= to {
                        return Ok(Some(to));
                    }
                }
                // A broker that leads since a moment ago may not know yet how far it goes.
                Some(Err(KafkaError::PartitionEOF(at))) => ended |= at == partition,
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                    return match reached == from {
                        true => Ok(None),
                        false => Err(self.fail(partition, "a position is gone")),
                    };
                }
                Some(Err(KafkaError::MessageConsumption(code))) if is_damage(code) => {
                    return Err(self.fail(partition, &code.to_string()));
                }
                // Brokers that go away come back, or the silence is too long.
                Some(Err(error)) => tracing::debug!(%error, "reading a stretch"),
            }
        }
        match ended {
            true => Ok(Some(reached)),
            false => Err(self.fail(partition, "no answer in time")),
        }
    }
}

/// Whether an error says that records have come that are not what was sent. librdkafka passes over them.
pub(super) fn is_damage(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BadMessage
            | RDKafkaErrorCode::BadCompression
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::InvalidMessageSize
    )
}

/// Positions in flight: all records of the topic at or above what the group has committed, by partition.
///
/// # Errors
/// The brokers do not answer.
pub(crate) fn in_flight(kafka: &Kafka, mut take: impl FnMut(Record)) -> Result<(), Failure> {
    let reader = Reader::new(kafka, &kafka.topic)?;
    let partitions = reader.partitions()?;
    let committed = reader.committed(&partitions)?;
    for partition in partitions {
        let there = reader.watermarks(partition)?;
        let from = committed
            .get(&partition)
            .and_then(|c| c.offset)
            .unwrap_or(0);
        // Beyond the end: the topic was made anew.
        let from = if from > there.end { there.start } else { from };
        reader.each(partition, from..there.end, |message| {
            take(super::record(message))
        })?;
    }
    Ok(())
}

/// The first offset of a partition that is there, and the one that comes next.
pub(super) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Result<Range<u64>, Failure> {
    let (low, high) = consumer
        .fetch_watermarks(topic, partition, DEADLINE)
        .map_err(|error| {
            Failure::Kafka(format!(
                "cannot ask how far {topic} {partition} goes: {error}"
            ))
        })?;
    Ok(u64::try_from(low).unwrap_or(0)..u64::try_from(high).unwrap_or(0))
}

/// What the consumer's group has committed.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
) -> Result<HashMap<i32, raw::Committed>, Failure> {
    let fail = |what: String| Failure::Kafka(format!("cannot read committed offsets: {what}"));
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let list = consumer
        .committed_offsets(list, DEADLINE)
        .map_err(|error| fail(error.to_string()))?;
    let committed = raw::committed(&list);
    if let Some(failed) = committed.iter().find_map(|c| c.failed) {
        return Err(fail(format!("error {failed}")));
    }
    Ok(committed.into_iter().map(|c| (c.partition, c)).collect())
}
