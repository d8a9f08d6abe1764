//! From a visit handed to a ring to its record in Kafka, with real brokers: order, outages, restarts.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kafka::{Kafka, Key};
use prost::Message as _;
use proxy::Config;
use proxy::enrich::Enricher;
use proxy::ring::Writer;
use proxy::ship::{Route, Shipper};
use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::click::{Book, Click, Stream};
use schemas::click_log::{ACK_FILE, decode_ack};
use schemas::health::Health;
use schemas::settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::broker;
use crate::clicks::{Place, eventually, visit};

/// An enricher with two workers, and the shipper behind it.
struct Running {
    enricher: Enricher,
    writers: Vec<Writer>,
    shipper: Shipper,
    health: Health,
}

impl Running {
    fn start(config: &Config) -> Self {
        let health = Health::new();
        let (enricher, writers, _) =
            Enricher::start(config, proxy::salts::none(), &health).unwrap();
        let route = Route {
            kafka: config.kafka.clone().unwrap(),
            folder: config.click_log_dir.clone(),
            end: enricher.log_end(),
            bytes_per_second: config.ship_bytes_per_second,
        };
        let ended = CancellationToken::new().drop_guard();
        let shipper = Shipper::start(route, &health, ended).unwrap();
        Self {
            enricher,
            writers,
            shipper,
            health,
        }
    }

    fn visits(&mut self, count: usize) {
        for i in 0..count {
            self.writers[i % 2].append(&visit("slug"));
            // A ring holds some hundred of them.
            if i % 100 == 99 {
                std::thread::park_timeout(Duration::from_millis(10));
            }
        }
    }

    /// Ends the streams, and the shipper once the brokers have all of them.
    fn stop_when_shipped(self, place: &Place) {
        drop(self.writers);
        let end = self.enricher.log_end();
        self.enricher.stop().unwrap();
        eventually(|| acknowledged(place) == end.load(Ordering::Acquire));
        self.shipper.stop().unwrap();
    }

    fn stop(self) {
        drop(self.writers);
        self.enricher.stop().unwrap();
        self.shipper.stop().unwrap();
    }
}

fn with_kafka(place: &Place, bootstrap: &str, more: &[(&str, &str)]) -> (Config, String) {
    let topic = broker::unique("ship");
    let mut all = vec![
        ("SIGNPOST_KAFKA_BROKERS", bootstrap),
        ("SIGNPOST_KAFKA_TOPIC", &topic),
        ("SIGNPOST_KAFKA_PARTITIONS", "3"),
        ("SIGNPOST_KAFKA_RECONNECT_BACKOFF_MAX_MS", "200"),
    ];
    all.extend_from_slice(more);
    let mut settings = Settings::new(all);
    let mut config = place.config();
    config.kafka = Kafka::from_settings(&mut settings);
    settings.check().unwrap();
    (config, topic)
}

fn acknowledged(place: &Place) -> u64 {
    let text = fs::read_to_string(place.log().join(ACK_FILE)).unwrap_or_default();
    decode_ack(&text).unwrap_or(0)
}

/// A record of the topic.
#[derive(Debug)]
enum Record {
    Click(Box<Click>),
    Book(Book),
}

/// Everything in a topic, by partition.
fn read(bootstrap: &str, topic: &str) -> BTreeMap<i32, Vec<Record>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let metadata = consumer
        .fetch_metadata(Some(topic), Duration::from_secs(20))
        .unwrap();
    let partitions: Vec<i32> = metadata.topics()[0]
        .partitions()
        .iter()
        .map(|p| p.id())
        .collect();
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut records: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
    let mut ended = 0;
    let start = Instant::now();
    while ended < partitions.len() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "the topic does not end"
        );
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let payload = message.payload().unwrap();
                let record = match Key::read(message.key()).unwrap() {
                    Key::Click(id) => {
                        let click = Click::decode(payload).unwrap();
                        assert_eq!(click.id(), Some(id));
                        Record::Click(Box::new(click))
                    }
                    Key::Book(stream) => {
                        let book = Book::decode(payload).unwrap();
                        assert_eq!(book.stream(), Some(stream));
                        Record::Book(book)
                    }
                };
                records.entry(message.partition()).or_default().push(record);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(_)) | None => {}
        }
    }
    records
}

/// Checks that each stream is in one partition, complete up to its last book and, repetitions aside, in order. Returns
/// the number of clicks of each, repetitions not counted, and the number of records.
#[track_caller]
fn complete(records: &BTreeMap<i32, Vec<Record>>) -> (BTreeMap<Stream, u64>, usize) {
    let mut homes: BTreeMap<Stream, i32> = BTreeMap::new();
    let mut next: BTreeMap<Stream, u64> = BTreeMap::new();
    let mut all = 0;
    for (partition, records) in records {
        for record in records {
            all += 1;
            let stream = match record {
                Record::Click(click) => click.id().unwrap().stream,
                Record::Book(book) => book.stream().unwrap(),
            };
            assert_eq!(
                homes.entry(stream).or_insert(*partition),
                partition,
                "{stream}"
            );
            let next = next.entry(stream).or_default();
            match record {
                Record::Click(click) => {
                    assert!(
                        click.position <= *next,
                        "{stream}: {} before {next}",
                        click.position
                    );
                    *next = (*next).max(click.position + 1);
                }
                Record::Book(book) => {
                    assert!(book.written <= *next && book.dropped.is_empty(), "{book:?}")
                }
            }
        }
    }
    (next, all)
}

#[test]
fn every_click_is_shipped_in_order_and_the_log_is_acknowledged() {
    let cluster = broker::exclusive();
    let place = Place::new();
    let (config, topic) = with_kafka(&place, &cluster.bootstrap, &[]);
    let mut running = Running::start(&config);
    running.visits(1_000);
    eventually(|| running.health.is_ready());
    let end = running.enricher.log_end();
    running.stop();
    assert_eq!(acknowledged(&place), end.load(Ordering::Acquire));
    let records = read(&cluster.bootstrap, &topic);
    let (streams, _) = complete(&records);
    assert_eq!(streams.values().collect::<Vec<_>>(), [&500, &500]);
    // Two workers, two partitions.
    assert_eq!(records.len(), 2);
    let closed = records
        .values()
        .flatten()
        .filter(|r| matches!(r, Record::Book(b) if b.closed));
    assert_eq!(closed.count(), 2);
}

#[test]
fn what_was_not_acknowledged_goes_again_to_the_same_partition_also_when_there_are_more() {
    let cluster = broker::exclusive();
    let place = Place::new();
    let (config, topic) = with_kafka(&place, &cluster.bootstrap, &[]);
    let mut running = Running::start(&config);
    running.visits(200);
    running.stop_when_shipped(&place);
    // As after kill -9: the log is there, the brokers have it, and nobody has noted so.
    fs::remove_file(place.log().join(ACK_FILE)).unwrap();
    grow(&cluster.bootstrap, &topic, 12);
    for _ in 0..2 {
        let mut running = Running::start(&config);
        running.visits(50);
        running.stop_when_shipped(&place);
    }
    let (streams, all) = complete(&read(&cluster.bootstrap, &topic));
    assert_eq!(streams.values().sum::<u64>(), 300);
    assert!(all > 500, "{all} records, with repetitions");
}

fn grow(bootstrap: &str, topic: &str, count: usize) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let more = NewPartitions::new(topic, count);
    let grown = runtime.block_on(admin.create_partitions([&more], &AdminOptions::new()));
    grown.unwrap().pop().unwrap().unwrap();
}

#[test]
fn an_outage_costs_nothing_and_ready_says_so() {
    let mut cluster = broker::exclusive();
    let place = Place::new();
    let (config, topic) = with_kafka(&place, &cluster.bootstrap, &[]);
    let mut running = Running::start(&config);
    running.visits(100);
    eventually(|| running.health.is_ready());
    let end = running.enricher.log_end();
    let end = || end.load(Ordering::Acquire);
    eventually(|| acknowledged(&place) == end());

    cluster.signal(1, "KILL");
    eventually(|| !running.health.is_ready());
    let why = running.health.report()["kafka"].clone().unwrap();
    assert!(why.contains("broker"), "{why}");
    let before = acknowledged(&place);
    running.visits(2_000);
    eventually(|| end() > before + 100_000);
    // librdkafka has them long since; the log is theirs until a broker has.
    assert_eq!(acknowledged(&place), before);
    cluster.restart(1);
    eventually(|| running.health.is_ready() && acknowledged(&place) == end());
    running.visits(10);
    running.stop_when_shipped(&place);
    let (streams, _) = complete(&read(&cluster.bootstrap, &topic));
    assert_eq!(streams.values().sum::<u64>(), 2_110);
}

#[test]
fn a_proxy_starts_and_stops_while_no_broker_answers() {
    let place = Place::new();
    // A port that nobody listens on.
    let (config, _) = with_kafka(&place, "127.0.0.1:1", &[]);
    let mut running = Running::start(&config);
    running.visits(10);
    eventually(|| running.health.report()["click log"].is_none());
    assert!(running.health.report()["kafka"].is_some());
    let start = Instant::now();
    running.stop();
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(acknowledged(&place), 0);
}
