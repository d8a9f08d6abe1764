//! The simple case, and each guard alone.

use schemas::click::{Book, Drop};

use crate::child::Role;
use crate::support::{World, eventually};
use crate::wire::Wire;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_stored_exactly_once_with_its_roll_ups_also_across_restarts() {
    let mut world = World::new().await;
    world.log.clicks(7, 5_000);
    world.ingest_all().await;
    world.is_exact().await;
    assert!(
        world
            .number("SELECT count() FROM signpost.clicks WHERE rolled_up")
            .await
            > 0
    );
    assert!(
        world
            .number("SELECT count() FROM signpost.clicks WHERE NOT rolled_up")
            .await
            > 0
    );

    world.log.clicks(7, 10);
    world.log.clicks(8, 1_000);
    world.ingest_all().await;
    world.is_exact().await;

    // The acknowledgement is lost: all of it comes again.
    std::fs::remove_file(world.path().join("clicks/ack")).unwrap();
    std::fs::remove_file(world.path().join("ingest.intent")).unwrap();
    world.log.clicks(8, 1);
    world.ingest_all().await;
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_an_earlier_process_that_arrive_late_change_nothing() {
    let mut world = World::new().await;
    let wire = Wire::to(world.addr).await;
    world.reached_by(wire.addr);
    world.log.clicks(7, 2_000);
    world.ingest_all().await;
    world.log.clicks(7, 2_000);
    world.ingest_all().await;
    world.is_exact().await;
    // Two inserts of clicks and three roll-ups each, at least.
    let inserts = wire.replay().await;
    assert!(inserts >= 8, "{inserts} inserts were said again");
    world.is_exact().await;
}

/// Ingest notes what it is about to insert and dies; its statement is still on its way when the next process has made the
/// same insert.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_of_a_dead_process_that_arrives_late_is_the_one_its_successor_made() {
    let mut world = World::new().await;
    let wire = Wire::to(world.addr).await;
    world.reached_by(wire.addr);
    let ingest: Role = world.spawn("ingest", &[]);
    world.log.clicks(7, 100);
    world.settled().await;
    world.rolled_up().await;
    wire.hold();
    world.log.clicks(7, 200);
    eventually("a whole statement under way", async || {
        wire.holds_a_statement().then_some(())
    })
    .await;
    ingest.kill();
    world.settings.pop();
    // The successor finds the intent, and more behind it.
    world.log.clicks(7, 50);
    world.ingest_all().await;
    world.is_exact().await;
    wire.replay().await;
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_statement_makes_one_part_also_of_many_rows() {
    let mut world = World::new().await;
    world
        .settings
        .push(("SIGNPOST_INGEST_BATCH_ROWS", "1000000".to_owned()));
    // More rows than one block has by default, in each table.
    for _ in 0..150_000 {
        let mut click = world.log.make(7, 0);
        click.link = 1 + world.log.random(100);
        click.slug = "x".to_owned();
        click.city = world.log.random(2_000).to_string();
        world.log.ids.push((7, 0, click.position));
        world.log.write(&click);
    }
    world.ingest_all().await;
    // Its end may have come before the last statement's.
    world.ingest_all().await;
    for table in [
        "clicks",
        "clicks_15m",
        "clicks_by_period",
        "visitors_by_month",
        "stream_days",
    ] {
        let parts = format!(
            "SELECT max(max_block_number) FROM system.parts WHERE database = 'signpost' AND table = '{table}'"
        );
        assert_eq!(world.number(&parts).await, 1, "parts of {table}");
    }
    assert!(
        world
            .number("SELECT count() FROM signpost.clicks_by_period")
            .await
            > 100_000
    );
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_intent_is_taken_as_doubt() {
    let mut world = World::new().await;
    world.log.clicks(1, 100);
    world.ingest_all().await;
    let folder = world.part_folder("clicks").await;
    world.kill_engine();
    // The engine notes the insert as done and dies before the part is in place.
    world
        .start_engine(&crate::kills::kill_at_rename(&folder))
        .await;
    world.log.clicks(1, 300);
    let ingest: Role = world.spawn("ingest", &[]);
    eventually("the engine dies", async || {
        world.engine_has_ended().then_some(())
    })
    .await;
    ingest.kill();
    let intent = world.path().join("ingest.intent");
    let mut bytes = std::fs::read(&intent).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&intent, bytes).unwrap();
    world.start_engine(&[]).await;
    world.ingest_all().await;
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_wait_in_the_log_while_the_engine_is_down_and_health_says_why() {
    let mut world = World::without_engine();
    world.log.clicks(7, 500);
    let (running, health) = world.ingest();
    let why = eventually("a reason", async || {
        health.report()["clickhouse"]
            .clone()
            .filter(|w| w.contains("password"))
    })
    .await;
    assert!(why.contains("waiting"), "{why}");
    world.start_engine(&[]).await;
    world.settled().await;
    assert!(health.is_ready());
    world.kill_engine();
    world.log.clicks(7, 500);
    eventually("not ready", async || (!health.is_ready()).then_some(())).await;
    let why = health.report()["clickhouse"].clone().unwrap();
    assert!(why.contains("cannot reach clickhouse"), "{why}");
    world.start_engine(&[]).await;
    world.settled().await;
    eventually("ready", async || health.is_ready().then_some(())).await;
    running.stop().await.unwrap();
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_dead_letters_drops_and_damage_are_each_counted_and_stop_nothing() {
    let mut world = World::new().await;
    let log = &mut world.log;
    log.clicks(7, 100);
    // Twice the same.
    let click = log.make(9, 0);
    log.ids.push((9, 0, click.position));
    log.write(&click);
    log.write(&click);
    // Absurd, and no click at all.
    let mut absurd = log.make(9, 0);
    absurd.status = 70_000;
    log.write(&absurd);
    log.record(&[0xff; 30]);
    // Dropped, and said so, before and after the gap shows.
    let dropped = log.skip(9, 0);
    let book = |written, from, to| Book {
        epoch: 9,
        worker: 0,
        written,
        time_ms: 1_790_000_000_000,
        dropped: vec![Drop {
            from,
            to,
            reason: "ring_full".to_owned(),
        }],
        closed: false,
    };
    log.book(&book(dropped + 1, dropped, dropped + 1));
    let click = log.make(9, 0);
    log.ids.push((9, 0, click.position));
    log.write(&click);
    let dropped = log.skip(9, 0);
    let click = log.make(9, 0);
    log.ids.push((9, 0, click.position));
    log.write(&click);
    log.book(&book(dropped + 2, dropped, dropped + 1));
    // Damaged in the log.
    log.skip(9, 0);
    log.raw(&[0xc1, 1, 20, 0, 0, 0, 1, 2, 3, 4, 5, 6]);
    let click = log.make(9, 0);
    log.ids.push((9, 0, click.position));
    log.write(&click);
    world.ingest_all().await;
    world.is_exact().await;

    let report = ingest::audit::audit(&world.config()).await.unwrap();
    let books = report.streams.iter().find(|(s, _)| s.epoch == 9).unwrap().1;
    assert_eq!(
        (books.stored, books.dead, books.missing, books.unsettled),
        (4, 1, 0, 0),
        "{books:?}"
    );
    assert_eq!(
        books.dropped,
        [("log_damage".to_owned(), 1), ("ring_full".to_owned(), 2)].into()
    );
    assert_eq!(report.dead_unknown, 1);
    assert!(report.balanced(), "{report:?}");
}
