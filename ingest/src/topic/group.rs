//! Membership in the group, and what was read of the partitions held.
//!
//! Partitions come and go only inside [`Group::pump`], which is the only place that polls. A partition that comes is
//! paused until [`Group::start_at`] says where it goes on; what was read of one that goes is forgotten at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kafka::{Brokers, Kafka, forward_log, raw};
use metrics::counter;
use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::holes::{Holes, MISSING};
use super::mark::{Last, Mark};
use super::{DEADLINE, consumer, reader};
use crate::batch::NOT_RETAINED;
use crate::failure::Failure;
use crate::metrics as m;
use crate::source::{Damage, Fetched, Limits, Record};

/// How long a commit may meet a rebalance before it counts as failed.
const REBALANCE_PATIENCE: Duration = Duration::from_secs(60);

/// What librdkafka's callbacks leave for us. They run inside polls, on our thread.
#[derive(Default)]
struct Context {
    topic: String,
    brokers: Brokers,
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    came: Vec<i32>,
    went: Vec<i32>,
    /// The offset that comes next, by partition, as of the last statistics.
    ends: HashMap<i32, u64>,
    trouble: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.brokers.note(&statistics);
        let mut changes = locked(&self.changes);
        if let Some(topic) = statistics.topics.get(&self.topic) {
            for partition in topic.partitions.values() {
                if let Ok(end) = u64::try_from(partition.hi_offset) {
                    changes.ends.insert(partition.partition, end);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        self.brokers.error(reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions: Vec<i32> = list.elements().iter().map(|e| e.partition()).collect();
        let mut changes = locked(&self.changes);
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            changes.came.extend(&partitions);
            // Where each goes on is decided later; it stands still until then.
            list.set_all_offsets(Offset::Beginning)
                .and_then(|()| consumer.incremental_assign(list))
                .and_then(|()| consumer.pause(list))
        } else {
            changes.came.retain(|p| !partitions.contains(p));
            changes.went.extend(&partitions);
            consumer.incremental_unassign(list)
        };
        if let Err(error) = done {
            changes.trouble = Some(format!("cannot follow a rebalance: {error}"));
        }
    }

    fn main_queue_min_poll_interval(&self) -> rdkafka::util::Timeout {
        rdkafka::util::Timeout::After(Duration::from_millis(100))
    }
}

/// What was read of a partition.
struct Inbox {
    /// Offset at which the next batch begins.
    next: u64,
    records: Vec<Record>,
    bytes: u64,
    paused: bool,
    damage: Vec<Damage>,
}

/// A membership; it ends when this is dropped.
pub(super) struct Group {
    consumer: BaseConsumer<Context>,
    topic: String,
    limits: Limits,
    holes: Arc<Mutex<Holes>>,
    inboxes: Mutex<BTreeMap<i32, Inbox>>,
    came: Mutex<Vec<i32>>,
    /// Partitions held, started or not.
    owned: Mutex<BTreeSet<i32>>,
    committed_at: Mutex<Instant>,
}

impl Group {
    /// Joins; partitions come with later pumps.
    pub(super) fn join(
        kafka: &Kafka,
        limits: Limits,
        holes: Arc<Mutex<Holes>>,
    ) -> Result<Self, Failure> {
        let context = Context {
            topic: kafka.topic.clone(),
            ..Context::default()
        };
        let fail = |error: KafkaError| Failure::Kafka(error.to_string());
        let consumer: BaseConsumer<Context> = consumer(kafka, &[])
            .create_with_context(context)
            .map_err(fail)?;
        for (topic, config) in [
            (&kafka.topic, &[][..]),
            (&kafka.dead_topic, &super::dead::TOPIC_CONFIG[..]),
        ] {
            kafka::ensure(consumer.client(), kafka, topic, kafka.partitions, config)
                .map_err(|error| Failure::Kafka(error.to_string()))?;
        }
        consumer.subscribe(&[&kafka.topic]).map_err(fail)?;
        Ok(Self {
            consumer,
            topic: kafka.topic.clone(),
            limits,
            holes,
            inboxes: Mutex::default(),
            came: Mutex::default(),
            owned: Mutex::default(),
            committed_at: Mutex::new(Instant::now()),
        })
    }

    pub(super) fn brokers(&self) -> &Brokers {
        &self.consumer.context().brokers
    }

    /// Polls for `wait`, or until a partition has a whole batch or the assignment changes; whether that is so. Blocks.
    ///
    /// # Errors
    /// A position is gone, or the membership is broken: everything is in doubt.
    pub(super) fn pump(&self, wait: Duration) -> Result<bool, Failure> {
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let full = match self.consumer.poll(left.min(Duration::from_millis(50))) {
                None => false,
                Some(Ok(message)) => self.receive(message.partition(), super::record(&message))?,
                Some(Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                ))) => return Err(Failure::Kafka(format!("the topic {} is gone", self.topic))),
                Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => {
                    return Err(Failure::Kafka(
                        "a position is gone from the topic".to_owned(),
                    ));
                }
                // librdkafka has thrown records away and goes on behind them. The broker's copy may be whole.
                Some(Err(KafkaError::MessageConsumption(code))) if reader::is_damage(code) => {
                    counter!(m::DAMAGED_FETCHES).increment(1);
                    locked(&self.holes).damaged(code.to_string())?;
                    false
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(Failure::Kafka(code.to_string()));
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "kafka");
                    false
                }
            };
            let changed = self.follow()?;
            if full || changed || Instant::now() >= until {
                return Ok(full || changed);
            }
        }
    }

    /// Takes in what the callbacks left. A partition that went is forgotten here, before anything else happens.
    fn follow(&self) -> Result<bool, Failure> {
        let mut changes = locked(&self.consumer.context().changes);
        if let Some(trouble) = changes.trouble.take() {
            return Err(Failure::Kafka(trouble));
        }
        let changed = !changes.came.is_empty() || !changes.went.is_empty();
        let went = std::mem::take(&mut changes.went);
        locked(&self.inboxes).retain(|partition, _| !went.contains(partition));
        let mut owned = locked(&self.owned);
        owned.retain(|partition| !went.contains(partition));
        owned.extend(&changes.came);
        let mut came = locked(&self.came);
        came.retain(|partition| !went.contains(partition));
        came.append(&mut changes.came);
        Ok(changed)
    }

    /// Whether the partition has a whole batch.
    fn receive(&self, partition: i32, record: Record) -> Result<bool, Failure> {
        let mut inboxes = locked(&self.inboxes);
        // Nothing is known of it yet, or not any more.
        let Some(inbox) = inboxes.get_mut(&partition) else {
            return Ok(false);
        };
        let after = inbox
            .records
            .last()
            .map_or(inbox.next, |last| last.offset + 1);
        if record.offset < after {
            return Ok(false);
        }
        if record.offset > after {
            let hole = after..record.offset;
            locked(&self.holes).seen(partition, &hole)?;
            inbox.damage.push(Damage {
                offset: hole.start,
                bytes: hole.end - hole.start,
                reason: MISSING,
            });
        }
        inbox.bytes += record.size();
        inbox.records.push(record);
        let full = inbox.records.len() >= self.limits.records || inbox.bytes >= self.limits.bytes;
        if full && !inbox.paused {
            // What it still sends stays with librdkafka, which is bounded too.
            inbox.paused = self.consumer.pause(&self.list(partition)).is_ok();
        }
        Ok(full)
    }

    /// Partitions that have come and not been started.
    pub(super) fn take_came(&self) -> Vec<i32> {
        std::mem::take(&mut *locked(&self.came))
    }

    /// Partitions that are held and started.
    pub(super) fn held(&self) -> Vec<i32> {
        locked(&self.inboxes).keys().copied().collect()
    }

    /// Whether a partition is held and started.
    pub(super) fn holds(&self, partition: i32) -> bool {
        locked(&self.inboxes).contains_key(&partition)
    }

    /// What was read of a partition, if anything.
    pub(super) fn take(&self, partition: i32) -> Option<Fetched> {
        let mut inboxes = locked(&self.inboxes);
        let inbox = inboxes.get_mut(&partition)?;
        if inbox.records.is_empty() {
            return None;
        }
        let records = std::mem::take(&mut inbox.records);
        let from = inbox.next;
        inbox.next = records.last().map_or(from, |last| last.offset + 1);
        inbox.bytes = 0;
        let more = inbox.paused;
        if inbox.paused {
            inbox.paused = self.consumer.resume(&self.list(partition)).is_err();
        }
        Some(Fetched {
            from,
            to: inbox.next,
            records,
            damage: std::mem::take(&mut inbox.damage),
            more,
        })
    }

    /// Lets a partition go on at `next`. `lost` are offsets before it that were deleted unread.
    ///
    /// # Errors
    /// librdkafka refuses.
    pub(super) fn start_at(
        &self,
        partition: i32,
        next: u64,
        lost: Option<Range<u64>>,
    ) -> Result<(), Failure> {
        let fail = |error: KafkaError| {
            Failure::Kafka(format!("cannot go on in partition {partition}: {error}"))
        };
        let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
        let list = self.list(partition);
        self.consumer
            .seek(&self.topic, partition, offset, DEADLINE)
            .and_then(|()| self.consumer.resume(&list))
            .map_err(fail)?;
        let inbox = Inbox {
            next,
            records: Vec::new(),
            bytes: 0,
            paused: false,
            damage: lost
                .map(|lost| Damage {
                    offset: lost.start,
                    bytes: lost.end - lost.start,
                    reason: NOT_RETAINED,
                })
                .into_iter()
                .collect(),
        };
        locked(&self.inboxes).insert(partition, inbox);
        Ok(())
    }

    /// Commits an offset of one partition with its mark, and waits for the broker. While the group rebalances it polls:
    /// so the partition may be lost meanwhile, and then nothing was committed.
    ///
    /// # Errors
    /// [`Failure::Lost`], or whether it is committed is unknown.
    pub(super) fn commit(&self, partition: i32, offset: u64, mark: &Mark) -> Result<(), Failure> {
        let fail = |error: KafkaError| Failure::Kafka(format!("cannot commit: {error}"));
        let began = Instant::now();
        loop {
            if !locked(&self.owned).contains(&partition) {
                return Err(Failure::Lost(partition));
            }
            let mut list = TopicPartitionList::new();
            let mut entry = list.add_partition(&self.topic, partition);
            entry
                .set_offset(Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX)))
                .map_err(fail)?;
            entry.set_metadata(mark.encode());
            match self.consumer.commit(&list, CommitMode::Sync) {
                Ok(()) => {
                    *locked(&self.committed_at) = Instant::now();
                    return Ok(());
                }
                // Also where the broker has counted on while the commit was on its way: whether the partition is still ours
                // is for the assignment to say, which comes in a poll.
                Err(KafkaError::ConsumerCommit(
                    RDKafkaErrorCode::RebalanceInProgress
                    | RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId,
                )) if began.elapsed() < REBALANCE_PATIENCE => {
                    self.pump(Duration::from_millis(20))?;
                }
                Err(error) => return Err(fail(error)),
            }
        }
    }

    /// How long ago the group last took a commit from us: until then we were a member.
    pub(super) fn since_commit(&self) -> Duration {
        locked(&self.committed_at).elapsed()
    }

    /// What the group has committed, of these partitions.
    pub(super) fn committed(
        &self,
        partitions: &[i32],
    ) -> Result<HashMap<i32, raw::Committed>, Failure> {
        reader::committed(&self.consumer, &self.topic, partitions)
    }

    /// Records of a partition that come after `next`, as far as is known.
    pub(super) fn lag(&self, partition: i32, next: u64) -> u64 {
        locked(&self.consumer.context().changes)
            .ends
            .get(&partition)
            .map_or(0, |end| end.saturating_sub(next))
    }

    fn list(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        list
    }
}

/// The last record of what was read.
pub(super) fn last_of(fetched: &Fetched) -> Option<Last> {
    fetched.records.last().map(|record| Last {
        offset: record.offset,
        fingerprint: super::fingerprint(record),
    })
}
