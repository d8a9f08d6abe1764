//! The topic of dead letters: what could not be stored, whole, with its reason and where it came from. Written by
//! workers, read and sent again by an operator.
//!
//! A letter's key is the click's id where that is known. Headers: `reason`; `topic`, `partition` and `offset` of the
//! record; `key`, its own key; `truncated`, the payload's length where not all of it fits into a record. At least once: a batch that is judged twice sends its letters twice, with the same origin.
//!
//! A click that is sent again gets a stream of its own, made of its origin: its place in the old one is behind the
//! high-water mark. So it is stored once however often it is sent, and the old stream's books keep it as a dead letter.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use kafka::{Kafka, Key, forward_log, raw};
use metrics::counter;
use prost::Message as _;
use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::statistics::Statistics;
use schemas::click::{Click, ClickId, Stream};
use schemas::click_log::Kind;

use super::reader::Reader;
use super::{DEADLINE, key_bytes};
use crate::dead::DeadRow;
use crate::decode::{Decoded, decode};
use crate::failure::Failure;
use crate::metrics as m;
use crate::source::{Claim, Record};

/// Letters are kept for 90 days: long enough for a person to look, and bounded.
pub(super) const TOPIC_CONFIG: [(&str, &str); 1] = [("retention.ms", "7776000000")];

/// Reason of a letter that has the id of a stored click. Sent again only when asked for by name: it would be counted.
const CONFLICT: &str = "conflict";

const REASON: &CStr = c"reason";
const TOPIC: &CStr = c"topic";
const PARTITION: &CStr = c"partition";
const OFFSET: &CStr = c"offset";
const KEY: &CStr = c"key";

const TRUNCATED: &CStr = c"truncated";

/// Bytes of a letter that brokers take by default, with room for its headers: a record in the topic of clicks may be larger, since
/// there its size counts as it is compressed.
const MAX_LETTER_BYTES: usize = 900_000;

/// Bytes of a record's key that are kept: ours have 50.
const MAX_KEY_BYTES: usize = 64 << 10;

#[derive(Default)]
struct Context {
    came_to: Mutex<CameTo>,
}

/// What came of records.
#[derive(Default)]
struct CameTo {
    /// Why one could not be sent now.
    failed: Option<String>,
    /// Those that are refused, however often they are sent, and why the first one is.
    refused: u64,
    why: Option<String>,
}

impl CameTo {
    fn note(&mut self, error: &KafkaError) {
        if is_final(error) {
            self.refused += 1;
            self.why.get_or_insert_with(|| error.to_string());
        } else {
            self.failed.get_or_insert_with(|| error.to_string());
        }
    }
}

/// Whether sending once more is of no use.
fn is_final(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        error,
        KafkaError::MessageProduction(
            Code::MessageSizeTooLarge
                | Code::InvalidRecord
                | Code::PolicyViolation
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
        )
    )
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

impl Context {
    fn came_to(&self) -> MutexGuard<'_, CameTo> {
        self.came_to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.came_to().note(error);
        }
    }
}

/// Sends records and waits until the brokers have them.
struct Producer(BaseProducer<Context>);

impl Producer {
    fn new(kafka: &Kafka) -> Result<Self, KafkaError> {
        let timeout = DEADLINE.as_millis().to_string();
        let fixed = [
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("message.timeout.ms", timeout.as_str()),
        ];
        let config = kafka.client(&[("linger.ms", "5"), ("compression.codec", "zstd")], &fixed);
        Ok(Self(config.create_with_context(Context::default())?))
    }

    fn send(&self, record: BaseRecord<'_, [u8], [u8]>) {
        let mut record = record;
        loop {
            match self.0.send(record) {
                Ok(()) => return,
                Err((
                    KafkaError::MessageProduction(rdkafka::error::RDKafkaErrorCode::QueueFull),
                    again,
                )) => {
                    self.0.poll(Duration::from_millis(20));
                    record = again;
                }
                Err((error, _)) => {
                    self.0.context().came_to().note(&error);
                    return;
                }
            }
        }
    }

    /// Waits for all; how many are refused for good, and why.
    fn flush(&self) -> Result<(u64, String), String> {
        let flushed = self.0.flush(DEADLINE);
        let came_to = std::mem::take(&mut *self.0.context().came_to());
        match (flushed, came_to.failed) {
            (_, Some(why)) => Err(why),
            (flushed, None) => flushed
                .map(|()| (came_to.refused, came_to.why.unwrap_or_default()))
                .map_err(|error| error.to_string()),
        }
    }
}

/// Sends letters; connects with the first.
pub(super) struct Sender<'a> {
    kafka: &'a Kafka,
    producer: Option<Producer>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(kafka: &'a Kafka) -> Self {
        Self {
            kafka,
            producer: None,
        }
    }

    /// Sends letters and waits until the brokers have them. Blocks.
    ///
    /// # Errors
    /// They have not.
    pub(super) fn send(&mut self, partition: i32, letters: &[DeadRow]) -> Result<(), Failure> {
        let fail = |why: String| Failure::Kafka(format!("cannot send dead letters: {why}"));
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => Producer::new(self.kafka).map_err(|error| fail(error.to_string()))?,
        };
        let text = |name: &'static str, value: &str| (name, value.as_bytes().to_vec());
        for letter in letters {
            let mut headers = OwnedHeaders::new();
            let mut own_key = key_bytes(&letter.record);
            own_key.truncate(MAX_KEY_BYTES);
            let payload = &letter.record.payload[..];
            let kept = payload.len().min(MAX_LETTER_BYTES - own_key.len());
            let truncated = (kept < payload.len() || own_key.len() == MAX_KEY_BYTES)
                .then(|| text("truncated", &payload.len().to_string()));
            for (name, value) in [
                text("reason", letter.reason),
                text("topic", &self.kafka.topic),
                text("partition", &partition.to_string()),
                text("offset", &letter.record.offset.to_string()),
                ("key", own_key),
            ]
            .into_iter()
            .chain(truncated)
            {
                headers = headers.insert(Header {
                    key: name,
                    value: Some(&value),
                });
            }
            let key = letter.id.map(|id| id.to_string()).unwrap_or_default();
            let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.kafka.dead_topic)
                .key(key.as_bytes())
                .payload(payload.get(..kept).unwrap_or_default())
                .headers(headers);
            producer.send(record);
        }
        // They are in `dead_letters`, too, and those behind them must not wait for a topic that does not take them.
        let (refused, why) = producer.flush().map_err(fail)?;
        if refused > 0 {
            counter!(m::DEAD_UNSENT).increment(refused);
            tracing::error!(refused, why, "the topic of dead letters does not take some");
        }
        self.producer = Some(producer);
        Ok(())
    }
}

/// Where a dead letter came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Where its record was.
    pub origin: Origin,
    /// Why it could not be stored.
    pub reason: String,
    /// The click, where that is known.
    pub id: String,
    /// When it died, in milliseconds since 1970.
    pub at_ms: i64,
    /// The record's key.
    pub key: Vec<u8>,
    /// The record's payload.
    pub payload: Vec<u8>,
    /// It did not fit: key or payload are only its beginning.
    pub truncated: bool,
}

/// What came of sending a letter again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// It is a click with this id now.
    Sent(String),
    /// This program cannot store it either, for this reason.
    Dead(&'static str),
    /// It is the double of a stored click, and nobody asked for those by name.
    Left,
}

/// The dead letters.
pub struct Letters;

impl Letters {
    /// Reads all letters that are kept, each origin once, in order. Blocks.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn read(kafka: &Kafka) -> anyhow::Result<Vec<Letter>> {
        let reader = Reader::new(kafka, &kafka.dead_topic)?;
        let mut letters: BTreeMap<Origin, Letter> = BTreeMap::new();
        for partition in reader.partitions()? {
            reader.each(partition, 0..u64::MAX, |message| {
                let letter = letter(message);
                letters.insert(letter.origin.clone(), letter);
            })?;
        }
        Ok(letters.into_values().collect())
    }

    /// Sends letters again, as clicks of streams of their own. Blocks until the brokers have them.
    ///
    /// # Errors
    /// The brokers do not take them; what was sent is stored once also when all are sent again.
    pub fn replay(
        kafka: &Kafka,
        letters: &[&Letter],
        conflicts: Conflicts,
    ) -> anyhow::Result<Vec<(Origin, Replayed)>> {
        let producer = Producer::new(kafka).context("cannot connect to kafka")?;
        let count = kafka::ensure(
            producer.0.client(),
            kafka,
            &kafka.topic,
            kafka.partitions,
            &[],
        )?;
        let mut results = Vec::new();
        for letter in letters {
            let judged = judged(letter, conflicts);
            if let Ok((id, click)) = &judged {
                let partition = i32::try_from(id.stream.epoch % u64::from(count.max(1)));
                let (key, payload) = (Key::Click(*id).to_string(), click.encode_to_vec());
                let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&kafka.topic)
                    .partition(partition.unwrap_or(0))
                    .key(key.as_bytes())
                    .payload(&payload);
                producer.send(record);
            }
            results.push((letter.origin.clone(), outcome(judged)));
        }
        let (refused, why) = producer.flush().map_err(anyhow::Error::msg)?;
        anyhow::ensure!(refused == 0, "{refused} letters are not taken: {why}");
        Ok(results)
    }

    /// What would come of sending letters again.
    pub fn judge(letters: &[&Letter], conflicts: Conflicts) -> Vec<(Origin, Replayed)> {
        letters
            .iter()
            .map(|letter| (letter.origin.clone(), outcome(judged(letter, conflicts))))
            .collect()
    }
}

fn judged(letter: &Letter, conflicts: Conflicts) -> Result<(ClickId, Click), Replayed> {
    if letter.reason == CONFLICT && conflicts == Conflicts::Leave {
        return Err(Replayed::Left);
    }
    if letter.truncated {
        // Its beginning may be a message, and another one.
        return Err(Replayed::Dead("truncated"));
    }
    revived(letter).map_err(Replayed::Dead)
}

fn outcome(judged: Result<(ClickId, Click), Replayed>) -> Replayed {
    judged.map_or_else(
        |replayed| replayed,
        |(id, _)| Replayed::Sent(id.to_string()),
    )
}

/// Whether doubles of stored clicks are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// They are left alone.
    Leave,
    /// They are clicks of their own.
    Send,
}

fn letter(message: &BorrowedMessage<'_>) -> Letter {
    let bytes = |name| raw::header(message, name);
    let text = |name| bytes(name).map(|b| String::from_utf8_lossy(&b).into_owned());
    // A foreign letter is its own origin.
    let own = Origin {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: u64::try_from(message.offset()).unwrap_or(0),
    };
    let origin = || {
        Some(Origin {
            topic: text(TOPIC)?,
            partition: text(PARTITION)?.parse().ok()?,
            offset: text(OFFSET)?.parse().ok()?,
        })
    };
    Letter {
        origin: origin().unwrap_or(own),
        reason: text(REASON).unwrap_or_else(|| "unknown".to_owned()),
        id: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        at_ms: message.timestamp().to_millis().unwrap_or(0),
        key: bytes(KEY).unwrap_or_default(),
        payload: message.payload().unwrap_or_default().to_vec(),
        truncated: bytes(TRUNCATED).is_some(),
    }
}

/// The click that a letter is, under an id of its own.
fn revived(letter: &Letter) -> Result<(ClickId, Click), &'static str> {
    let claim = match Key::read(Some(&letter.key)) {
        Ok(key) => Claim::Key(key),
        Err(error) => Claim::Bad(error, bytes::Bytes::new()),
    };
    let record = Record {
        offset: letter.origin.offset,
        kind: match claim {
            Claim::Key(Key::Book(_)) => Kind::Book,
            _ => Kind::Click,
        },
        claim,
        payload: letter.payload.clone().into(),
    };
    match decode(&record) {
        Decoded::Click(_, mut click) => {
            let mut hash = xxhash_rust::xxh3::Xxh3Default::new();
            hash.update(letter.origin.to_string().as_bytes());
            hash.update(&[0]);
            hash.update(&letter.payload);
            let id = ClickId {
                stream: Stream {
                    epoch: hash.digest(),
                    worker: 0,
                },
                position: 0,
            };
            (click.epoch, click.worker, click.position) = (id.stream.epoch, 0, 0);
            Ok((id, *click))
        }
        Decoded::Dead(reject, _) => Err(reject.label()),
        // Its drops would be of a stream that has long gone on.
        Decoded::Book(..) => Err("book"),
    }
}
