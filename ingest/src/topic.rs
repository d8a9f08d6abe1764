//! Clicks from Kafka, by any number of workers up to the number of partitions.
//!
//! One task does everything: it polls, settles, inserts and commits. So when librdkafka tells it, in a poll, that a
//! partition goes to another worker, nothing of that partition is under way, and what was read of it is forgotten before
//! anything else happens. That order matters: Kafka lets a live member commit for a partition that it has lost.
//!
//! Map: `worker` is the loop; `group` the membership and what was read; `settle` finds where a partition goes on, and
//! what may be in flight; `mark` is what stands beside a committed offset; `reader` reads stretches once more; `dead` the
//! topic of dead letters.

mod dead;
mod group;
mod holes;
mod mark;
mod reader;
mod settle;
mod worker;

use std::time::Duration;

use kafka::{Kafka, Key, KeyError};
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;
use schemas::click_log::Kind;
use schemas::names::topics;

pub use self::dead::{Conflicts, Letter, Letters, Origin, Replayed};
pub(crate) use self::reader::{Reader, in_flight};
pub(crate) use self::worker::Worker;
use crate::source::{Claim, Record};

/// How long one question to the brokers may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// What may be set otherwise. A worker reads ahead of its inserts by at most 32 MiB a partition. The poll interval bounds
/// an insert with its roll-ups, each with a deadline of five minutes.
const DEFAULTS: [(&str, &str); 11] = [
    ("group.id", topics::GROUP),
    // A worker that was killed gives its partitions up after so long.
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "2000"),
    // A broker that stands still is given up on after so long, and whoever leads by then is asked. With the default, a
    // minute, a worker waited in one commit while its session ran out.
    ("socket.timeout.ms", "10000"),
    ("queued.max.messages.kbytes", "32768"),
    ("max.poll.interval.ms", "1800000"),
    ("fetch.wait.max.ms", "100"),
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("statistics.interval.ms", "1000"),
    ("reconnect.backoff.max.ms", "2000"),
    ("socket.keepalive.enable", "true"),
];

/// What exactly-once rests on: only we commit, and a position that is gone is an error and no jump.
const FIXED: [(&str, &str); 6] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("group.protocol", "classic"),
    ("check.crcs", "true"),
];

fn consumer(kafka: &Kafka, more: &[(&str, &str)]) -> ClientConfig {
    kafka.client(&DEFAULTS, &[&FIXED[..], more].concat())
}

/// The number of a partition as `log_partition` of the tables.
pub(crate) fn log_partition(partition: i32) -> u32 {
    topics::FIRST_LOG_PARTITION + u32::try_from(partition).unwrap_or(0)
}

/// A message as a record. Its bytes are copied: librdkafka's belong to a whole fetch.
fn record(message: &BorrowedMessage<'_>) -> Record {
    let claim = match Key::read(message.key()) {
        Ok(key) => Claim::Key(key),
        Err(error) => Claim::Bad(
            error,
            bytes::Bytes::copy_from_slice(message.key().unwrap_or_default()),
        ),
    };
    Record {
        offset: u64::try_from(message.offset()).unwrap_or(0),
        kind: match claim {
            Claim::Key(Key::Book(_)) => Kind::Book,
            _ => Kind::Click,
        },
        claim,
        payload: bytes::Bytes::copy_from_slice(message.payload().unwrap_or_default()),
    }
}

/// A record's key as it was.
fn key_bytes(record: &Record) -> Vec<u8> {
    match &record.claim {
        Claim::None => Vec::new(),
        Claim::Key(key) => key.to_string().into_bytes(),
        Claim::Bad(KeyError::Foreign | KeyError::Version(_), key) => key.to_vec(),
    }
}

/// A hash of all of a record, to know it again.
fn fingerprint(record: &Record) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3Default::new();
    hash.update(&key_bytes(record));
    hash.update(&[0]);
    hash.update(&record.payload);
    hash.digest()
}
