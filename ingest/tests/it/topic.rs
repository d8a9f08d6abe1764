//! A topic of its own on the shared brokers, and who writes to it.

use std::time::{Duration, Instant};

use kafka::Key;
use prost::Message as _;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::click::{Book, Click, Stream};

use crate::broker;
use crate::support::{World, eventually};

const DEADLINE: Duration = Duration::from_secs(20);

/// A topic, its dead letters, and a group.
pub(crate) struct Topic {
    pub(crate) bootstrap: String,
    pub(crate) name: String,
    pub(crate) dead: String,
    pub(crate) group: String,
    producer: BaseProducer,
    /// Of the group and no member of it.
    outsider: BaseConsumer,
}

impl Topic {
    pub(crate) async fn new(partitions: i32) -> Self {
        let bootstrap = tokio::task::block_in_place(broker::shared).to_owned();
        Self::on(bootstrap, partitions).await
    }

    /// A topic on these brokers.
    pub(crate) async fn on(bootstrap: String, partitions: i32) -> Self {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("topic.metadata.refresh.interval.ms", "300")
            .create()
            .unwrap();
        let group = broker::unique("group");
        let topic = Self {
            name: broker::unique("clicks"),
            dead: broker::unique("dead"),
            outsider: outsider(&bootstrap, &group),
            group,
            bootstrap,
            producer,
        };
        topic.create(partitions).await;
        topic
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .create()
            .unwrap()
    }

    pub(crate) async fn create(&self, partitions: i32) {
        let new = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        for result in self.admin().create_topics([&new], &options).await.unwrap() {
            result.unwrap();
        }
    }

    /// Deletes it and makes it anew, with one partition.
    pub(crate) async fn recreate(&self) {
        self.delete().await;
        // It takes a while to go, and a worker may make it too.
        eventually("an empty topic", async || {
            let new = NewTopic::new(&self.name, 1, TopicReplication::Fixed(1));
            let _ = self
                .admin()
                .create_topics([&new], &AdminOptions::new())
                .await;
            (self.try_end(0)? == 0).then_some(())
        })
        .await;
    }

    async fn delete(&self) {
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        let admin = self.admin();
        for result in admin.delete_topics(&[&self.name], &options).await.unwrap() {
            result.unwrap();
        }
    }

    /// Adds partitions, up to `count`.
    pub(crate) async fn grow(&self, count: usize) {
        let more = NewPartitions::new(&self.name, count);
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        for result in self
            .admin()
            .create_partitions([&more], &options)
            .await
            .unwrap()
        {
            result.unwrap();
        }
    }

    /// Deletes what lies below an offset, as age would.
    pub(crate) async fn delete_below(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset))
            .unwrap();
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        self.admin().delete_records(&list, &options).await.unwrap();
    }

    /// Settings of an ingest that reads it.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("SIGNPOST_KAFKA_BROKERS", self.bootstrap.clone()),
            ("SIGNPOST_KAFKA_TOPIC", self.name.clone()),
            ("SIGNPOST_KAFKA_DEAD_TOPIC", self.dead.clone()),
            ("SIGNPOST_KAFKA_PARTITIONS", "2".to_owned()),
            ("SIGNPOST_KAFKA_GROUP_ID", self.group.clone()),
            ("SIGNPOST_KAFKA_SESSION_TIMEOUT_MS", "1500".to_owned()),
            ("SIGNPOST_KAFKA_HEARTBEAT_INTERVAL_MS", "200".to_owned()),
            (
                "SIGNPOST_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS",
                "500".to_owned(),
            ),
        ]
    }

    /// Writes records to a partition and waits until the broker has them.
    pub(crate) fn send<'a>(
        &self,
        partition: i32,
        records: impl IntoIterator<Item = (Option<&'a str>, &'a [u8])>,
    ) {
        for (key, payload) in records {
            let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(&self.name)
                .partition(partition)
                .payload(payload);
            record.key = key;
            let until = Instant::now() + DEADLINE;
            loop {
                match self.producer.send(record) {
                    Ok(()) => break,
                    // It has not heard of a new partition yet.
                    Err((
                        KafkaError::MessageProduction(RDKafkaErrorCode::UnknownPartition),
                        again,
                    )) if Instant::now() < until => {
                        self.producer.poll(Duration::from_millis(50));
                        record = again;
                    }
                    Err((error, _)) => panic!("{error}"),
                }
            }
        }
        tokio::task::block_in_place(|| self.producer.flush(DEADLINE)).unwrap();
    }

    pub(crate) fn send_clicks(&self, partition: i32, clicks: &[Click]) {
        let records: Vec<(String, Vec<u8>)> = clicks
            .iter()
            .map(|click| {
                (
                    Key::Click(click.id().unwrap()).to_string(),
                    click.encode_to_vec(),
                )
            })
            .collect();
        self.send(
            partition,
            records
                .iter()
                .map(|(key, payload)| (Some(&key[..]), &payload[..])),
        );
    }

    pub(crate) fn send_book(&self, partition: i32, book: &Book) {
        let key = Key::Book(book.stream().unwrap()).to_string();
        self.send(partition, [(Some(&key[..]), &book.encode_to_vec()[..])]);
    }

    /// Gives it a group that has committed nothing.
    pub(crate) fn regroup(&mut self) {
        self.group = broker::unique("group");
        self.outsider = outsider(&self.bootstrap, &self.group);
    }

    /// A partition's end, once there is such a partition.
    pub(crate) fn try_end(&self, partition: i32) -> Option<i64> {
        let end = || {
            self.outsider
                .fetch_watermarks(&self.name, partition, Duration::from_secs(2))
        };
        tokio::task::block_in_place(end).ok().map(|(_, end)| end)
    }

    /// Commits for the group, which has no members then.
    pub(crate) fn commit(&self, partition: i32, offset: i64, metadata: &str) {
        let mut list = TopicPartitionList::new();
        let mut entry = list.add_partition(&self.name, partition);
        entry.set_offset(Offset::Offset(offset)).unwrap();
        entry.set_metadata(metadata);
        tokio::task::block_in_place(|| self.outsider.commit(&list, CommitMode::Sync)).unwrap();
    }

    /// What the group has committed: offset and metadata.
    pub(crate) fn committed(&self, partition: i32) -> (Option<u64>, Vec<u8>) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name, partition);
        let list = tokio::task::block_in_place(|| self.outsider.committed_offsets(list, DEADLINE))
            .unwrap();
        let entry = kafka::raw::committed(&list).pop().unwrap();
        (entry.offset, entry.metadata)
    }

    /// The number of records that a partition has had.
    pub(crate) fn end(&self, partition: i32) -> i64 {
        self.try_end(partition).unwrap()
    }
}

fn outsider(bootstrap: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("topic.metadata.refresh.interval.ms", "300")
        .create()
        .unwrap()
}

impl World {
    /// Lets ingest read this topic.
    pub(crate) fn reads(&mut self, topic: &Topic) {
        self.settings
            .retain(|(name, _)| !name.starts_with("SIGNPOST_KAFKA_"));
        self.settings.extend(topic.settings());
    }

    /// Clicks of one stream, to be sent.
    pub(crate) fn make_clicks(&mut self, epoch: u64, worker: u16, count: usize) -> Vec<Click> {
        (0..count)
            .map(|_| {
                let click = self.log.make(epoch, worker);
                self.log.ids.push((epoch, worker, click.position));
                click
            })
            .collect()
    }

    /// Sends clicks of one stream to a partition.
    pub(crate) fn ship(&mut self, topic: &Topic, partition: i32, stream: (u64, u16), count: usize) {
        let clicks = self.make_clicks(stream.0, stream.1, count);
        topic.send_clicks(partition, &clicks);
    }

    /// Waits until everything that was sent is stored and committed, in these partitions.
    pub(crate) async fn caught_up(&self, topic: &Topic, partitions: i32) {
        for partition in 0..partitions {
            let end = u64::try_from(topic.end(partition)).unwrap();
            eventually("all committed", async || {
                let (offset, metadata) = topic.committed(partition);
                let clean = !metadata.windows(8).any(|w| w == b" insert ");
                (end == 0 || offset == Some(end) && clean).then_some(())
            })
            .await;
        }
    }

    /// Runs one worker in this process until everything is stored and committed.
    pub(crate) async fn read_all(&self, topic: &Topic, partitions: i32) {
        let (running, _) = self.ingest();
        self.caught_up(topic, partitions).await;
        running.stop().await.unwrap();
    }
}

/// A book that closes a stream.
pub(crate) fn closing(stream: Stream, written: u64) -> Book {
    Book {
        epoch: stream.epoch,
        worker: stream.worker.into(),
        written,
        time_ms: 1_790_000_000_000,
        dropped: Vec::new(),
        closed: true,
    }
}
