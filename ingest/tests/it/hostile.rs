//! Records that nobody of us has written, and records that do not come: they cost nobody else's clicks.

use std::time::Duration;

use ingest::{Conflicts, Letters, Replayed};
use prost::Message as _;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::kills::Dice;
use crate::support::{World, eventually};
use crate::topic::Topic;

const DEADLINE: Duration = Duration::from_secs(20);

/// Who writes to the topic with settings of his own.
fn stranger(topic: &Topic, settings: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &topic.bootstrap);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_too_large_for_a_dead_letter_is_kept_in_part_and_stops_nothing() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 10);
    let settings = [
        ("message.max.bytes", "10000000"),
        ("compression.codec", "zstd"),
    ];
    let stranger = stranger(&topic, &settings);
    let mut dice = Dice(9);
    let noise: Vec<u8> = (0..1_020_000).map(|_| dice.roll(256) as u8).collect();
    // The one at the brokers' limit as it is, the other far above it once it is unpacked.
    for payload in [noise, vec![0; 5_000_000]] {
        stranger
            .send(
                BaseRecord::to(&topic.name)
                    .partition(0)
                    .key("customer-17")
                    .payload(&payload),
            )
            .unwrap();
        tokio::task::block_in_place(|| stranger.flush(DEADLINE)).unwrap();
        world.ship(&topic, 0, (7, 0), 10);
    }
    assert_eq!(topic.end(0), 32);
    world.read_all(&topic, 1).await;
    world.is_exact().await;
    let kafka = world.config().kafka.unwrap();
    let letters = tokio::task::block_in_place(|| Letters::read(&kafka)).unwrap();
    assert_eq!(letters.len(), 2);
    for letter in &letters {
        assert_eq!(
            (&letter.key[..], &*letter.reason),
            (&b"customer-17"[..], "key")
        );
        assert!(letter.truncated && letter.payload.len() > 100_000);
    }
    // What is only its beginning is not sent again.
    let all: Vec<_> = letters.iter().collect();
    for (_, result) in Letters::judge(&all, Conflicts::Send) {
        assert_eq!(result, Replayed::Dead("truncated"));
    }
    let dead = "SELECT count() FROM signpost.dead_letters WHERE reason = 'key'";
    assert_eq!(world.number(dead).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_position_is_a_dead_letter_and_the_honest_clicks_behind_it_are_stored() {
    let (mut world, mut topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 10);
    let mut forged = world.log.make(6, 0);
    (forged.epoch, forged.position) = (7, (1 << 50) - 1);
    topic.send_clicks(0, &[forged.clone()]);
    world.ship(&topic, 0, (7, 0), 10);
    // Of a stream that nobody knows it is as good as any, and costs nothing.
    forged.epoch = 66;
    topic.send_clicks(0, &[forged.clone()]);
    world.log.ids.push((66, 0, forged.position));
    world.read_all(&topic, 1).await;
    world.is_exact().await;
    let dead = "SELECT count() FROM signpost.dead_letters WHERE reason = 'position'";
    assert_eq!(world.number(dead).await, 1);
    // Rolled up anew from nothing, which is what a takeover does at the worst.
    topic.regroup();
    world.reads(&topic);
    for table in [
        "clicks_15m",
        "clicks_by_period",
        "visitors_by_month",
        "stream_days",
    ] {
        world
            .execute(&format!("TRUNCATE TABLE signpost.{table}"))
            .await;
    }
    world.read_all(&topic, 1).await;
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_do_not_come_are_asked_for_again_and_then_told() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 10);
    // Offsets that are there and hold no record for us: a transaction that was given up.
    let lost = world.make_clicks(7, 0, 3);
    let settings = [("transactional.id", "a stranger")];
    let stranger = stranger(&topic, &settings);
    tokio::task::block_in_place(|| {
        stranger.init_transactions(DEADLINE).unwrap();
        stranger.begin_transaction().unwrap();
        for click in &lost {
            let payload = click.encode_to_vec();
            let record: BaseRecord<'_, str, [u8]> =
                BaseRecord::to(&topic.name).partition(0).payload(&payload);
            stranger.send(record).unwrap();
        }
        stranger.flush(DEADLINE).unwrap();
        stranger.abort_transaction(DEADLINE).unwrap();
    });
    // Its end is a record of the broker's own.
    eventually("given up", async || (topic.end(0) == 14).then_some(())).await;
    let kept = world.log.ids.len() - lost.len();
    world.log.ids.truncate(kept);
    world.ship(&topic, 0, (7, 0), 10);
    world.read_all(&topic, 1).await;
    world.is_exact().await;
    let told = "SELECT sum(to_position - from_position) FROM signpost.drops FINAL WHERE reason = 'missing_records'";
    assert_eq!(world.number(told).await, 3);
}
