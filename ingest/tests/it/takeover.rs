//! What one worker does while another one still does it, or while something else is in the way.

use std::time::{Duration, Instant};

use crate::broker;
use crate::support::{World, eventually};
use crate::topic::Topic;
use crate::wire::Wire;

const ROLL_UPS: [&str; 4] = [
    "clicks_15m",
    "clicks_by_period",
    "visitors_by_month",
    "stream_days",
];

impl World {
    async fn forget_roll_ups(&self) {
        for table in ROLL_UPS {
            self.execute(&format!("TRUNCATE TABLE signpost.{table}"))
                .await;
        }
    }
}

/// Two workers that go on from the same place say it with the same token, however far each of them reaches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roll_ups_of_two_workers_that_go_on_from_one_place_have_one_token() {
    let (mut world, mut topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    let mut wires = Vec::new();
    world.ship(&topic, 0, (7, 0), 6_000);
    for _ in 0..2 {
        let wire = Wire::to(world.addr).await;
        world.reached_by(wire.addr);
        world.read_all(&topic, 1).await;
        world.is_exact().await;
        wires.push(wire);
        world.forget_roll_ups().await;
        topic.regroup();
        world.reads(&topic);
    }
    for table in ROLL_UPS {
        let [first, second] = [0, 1].map(|n: usize| wires[n].tokens(table));
        assert!(!second.is_empty(), "{table}");
        assert!(
            second.iter().all(|token| first.contains(token)),
            "{table}: {first:?} {second:?}"
        );
    }
}

/// What that rests on: the engine takes the first of two statements with the same token, whatever they select.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_with_a_token_that_was_there_does_nothing() {
    let mut world = World::new().await;
    world.log.clicks(7, 10);
    world.ingest_all().await;
    for (from, token) in [(1, "a"), (2, "a"), (3, "b")] {
        let copy = format!(
            "INSERT INTO signpost.stream_days (epoch, worker, day, stored, first, last) \
             SELECT toUInt64({from}), 0, today(), count(), 0, 0 FROM signpost.clicks"
        );
        let query = world.client().query_raw(&copy);
        let query = query.with_setting("insert_deduplication_token", token);
        query
            .with_setting("async_insert", "0")
            .execute()
            .await
            .unwrap();
    }
    let epochs = "SELECT sum(epoch) FROM signpost.stream_days WHERE epoch < 7";
    assert_eq!(world.number(epochs).await, 1 + 3);
}

/// Somebody copies our clicks into a table of his own, for as long as that takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_that_only_reads_our_tables_is_not_waited_for() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 100);
    world.read_all(&topic, 1).await;
    world
        .execute("CREATE TABLE default.copy (n UInt64) ENGINE = Memory")
        .await;
    let client = world.client();
    let copying = tokio::spawn(async move {
        let copy = "INSERT INTO default.copy SELECT sleepEachRow(0.5) FROM numbers(60) \
                    WHERE number < (SELECT count() FROM signpost.clicks) SETTINGS max_block_size = 1";
        let _ = client.query_raw(copy).execute().await;
    });
    let running =
        "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO default.copy%'";
    eventually("it runs", async || {
        (world.number(running).await == 1).then_some(())
    })
    .await;
    world.ship(&topic, 0, (7, 0), 100);
    world.read_all(&topic, 1).await;
    assert_eq!(world.number(running).await, 1, "it was waited for");
    world.is_exact().await;
    copying.abort();
}

/// What an earlier process has begun and nobody waits for any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_into_our_tables_is_waited_for() {
    let mut world = World::new().await;
    world.log.clicks(7, 100);
    world.ingest_all().await;
    for (database, table) in [("default", "signpost.books"), ("signpost", "books")] {
        let client = world.client().with_database(database);
        let slow = format!(
            "INSERT INTO {table} (epoch, worker, written, closed, time) \
             SELECT 1, 0, sleepEachRow(0.5), false, now() FROM numbers(5)"
        );
        let inserting = tokio::spawn(async move {
            let query = client.query_raw(&slow).with_setting("max_block_size", "1");
            query.execute().await
        });
        let running =
            "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO%sleepEachRow%'";
        eventually("it runs", async || {
            (world.number(running).await == 1).then_some(())
        })
        .await;
        let (ingest, health) = world.ingest();
        eventually("ready", async || health.is_ready().then_some(())).await;
        assert_eq!(world.number(running).await, 0, "nobody waited for {table}");
        ingest.stop().await.unwrap();
        inserting.await.unwrap().unwrap();
    }
}

/// A broker that does not answer any more does not keep a worker from ending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_ends_in_time_also_while_its_broker_is_frozen() {
    let cluster = tokio::task::block_in_place(|| broker::Cluster::start(1));
    let mut world = World::new().await;
    let topic = Topic::on(cluster.bootstrap.clone(), 1).await;
    world.reads(&topic);
    let worker = world.spawn("ingest", &[]);
    world.ship(&topic, 0, (7, 0), 100);
    world.caught_up(&topic, 1).await;
    world.ship(&topic, 0, (7, 0), 100);
    cluster.signal(1, "STOP");
    let began = Instant::now();
    tokio::task::block_in_place(|| worker.close());
    let took = began.elapsed();
    cluster.signal(1, "CONT");
    assert!(took < Duration::from_secs(10), "{took:?}");
    world.read_all(&topic, 1).await;
    world.is_exact().await;
}
