//! Ingest from Kafka: the simple case, and each guard alone.

use std::time::Duration;

use schemas::click::Drop;

use crate::child::Role;
use crate::kills::{Dice, kill_at_rename, seed};
use crate::support::{World, eventually};
use crate::topic::{Topic, closing};
use crate::wire::Wire;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_stored_exactly_once_with_its_roll_ups_also_across_restarts() {
    let (mut world, mut topic) = (World::new().await, Topic::new(3).await);
    world.reads(&topic);
    for partition in 0..3 {
        world.ship(&topic, partition, (7, partition as u16), 1_500);
    }
    world.read_all(&topic, 3).await;
    world.is_exact().await;
    for partition in 0..3 {
        world.ship(&topic, partition, (7, partition as u16), 10);
        world.ship(&topic, partition, (8, partition as u16), 300);
    }
    world.read_all(&topic, 3).await;
    world.is_exact().await;

    // The offsets are lost: the tables say where it goes on.
    topic.regroup();
    world.reads(&topic);
    world.ship(&topic, 1, (8, 1), 5);
    world.read_all(&topic, 3).await;
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_click_that_comes_again_is_a_duplicate_also_after_a_restart() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    let clicks = world.make_clicks(7, 0, 500);
    topic.send_clicks(0, &clicks);
    // A proxy that did not hear the answer sends its tail again.
    topic.send_clicks(0, &clicks[200..]);
    world.read_all(&topic, 1).await;
    topic.send_clicks(0, &clicks);
    world.ship(&topic, 0, (7, 0), 5);
    world.read_all(&topic, 1).await;
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_is_read_from_its_beginning() {
    let (mut world, mut topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 400);
    world.read_all(&topic, 1).await;
    let metadata = String::from_utf8(topic.committed(0).1).unwrap();
    topic.recreate().await;
    // Longer than the old one: its offset alone would look right, and hide all that lies before it.
    world.ship(&topic, 0, (8, 0), 900);
    topic.commit(0, 400, &metadata);
    world.read_all(&topic, 1).await;
    world.is_exact().await;
    // Without any offset the tables name one of the old topic.
    topic.recreate().await;
    topic.regroup();
    world.reads(&topic);
    world.ship(&topic, 0, (9, 0), 100);
    world.read_all(&topic, 1).await;
    world.is_exact().await;
    // Made anew under a worker that reads it.
    let (running, _) = world.ingest();
    world.caught_up(&topic, 1).await;
    topic.recreate().await;
    world.ship(&topic, 0, (10, 0), 50);
    world.caught_up(&topic, 1).await;
    running.stop().await.unwrap();
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_that_is_not_ours_is_taken_as_doubt() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 400);
    world.read_all(&topic, 1).await;
    // Any bytes may stand there; these are no text, which rdkafka's own accessor does not survive.
    #[allow(
        unsafe_code,
        reason = "the library takes a str, the protocol any bytes"
    )]
    // SAFETY: nobody looks at it as text; its bytes are copied.
    let foreign = unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0x80]) };
    for metadata in ["", "somebody's tool", &foreign] {
        topic.commit(0, 7, metadata);
        world.ship(&topic, 0, (7, 0), 20);
        world.read_all(&topic, 1).await;
        world.is_exact().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_deleted_before_they_were_read_are_drops_with_a_reason() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 100);
    world.read_all(&topic, 1).await;
    let lost = world.make_clicks(7, 0, 50);
    topic.send_clicks(0, &lost);
    // An intent for the first half of them, from somebody who never came to insert it.
    let (at, metadata) = topic.committed(0);
    let text = String::from_utf8(metadata).unwrap();
    let text = text.rsplit_once(' ').unwrap().0;
    let text = format!("{text} insert 125 25 1790000000 abcd-ef");
    topic.commit(
        0,
        at.unwrap() as i64,
        &format!("{text} {:08x}", crc32c::crc32c(text.as_bytes())),
    );
    topic.delete_below(0, 150).await;
    world.log.ids.truncate(100);
    world.ship(&topic, 0, (7, 0), 30);
    let stream = schemas::click::Stream {
        epoch: 7,
        worker: 0,
    };
    topic.send_book(0, &closing(stream, 180));
    world.read_all(&topic, 1).await;
    world.is_exact().await;
    let config = world.config();
    let report = ingest::audit::audit(&config).await.unwrap();
    let books = &report.streams[&stream];
    assert_eq!((books.stored, books.missing), (130, 0), "{books:?}");
    assert_eq!(books.dropped, [("not_retained".to_owned(), 50)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_are_added_are_read_too() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 100);
    let (running, _) = world.ingest();
    world.caught_up(&topic, 1).await;
    topic.grow(3).await;
    eventually("the new partitions", async || topic.try_end(2)).await;
    world.ship(&topic, 2, (8, 0), 100);
    world.ship(&topic, 0, (7, 0), 10);
    world.caught_up(&topic, 3).await;
    running.stop().await.unwrap();
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_that_was_called_done_and_is_not_there_is_made_by_whoever_takes_over() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (1, 0), 100);
    world.read_all(&topic, 1).await;
    let folder = world.part_folder("clicks").await;
    world.kill_engine();
    // The engine notes the insert as done and dies before the part is in place.
    world.start_engine(&kill_at_rename(&folder)).await;
    let ingest: Role = world.spawn("ingest", &[]);
    world.ship(&topic, 0, (1, 0), 300);
    eventually("the engine dies", async || {
        world.engine_has_ended().then_some(())
    })
    .await;
    ingest.kill();
    let (_, metadata) = topic.committed(0);
    assert!(
        metadata.windows(8).any(|w| w == b" insert "),
        "the intent stands beside the offset"
    );
    world.start_engine(&[]).await;
    world.read_all(&topic, 1).await;
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_an_earlier_worker_that_arrive_late_change_nothing() {
    let (mut world, topic) = (World::new().await, Topic::new(2).await);
    world.reads(&topic);
    let wire = Wire::to(world.addr).await;
    world.reached_by(wire.addr);
    for partition in 0..2 {
        world.ship(&topic, partition, (7, partition as u16), 800);
    }
    world.read_all(&topic, 2).await;
    world.is_exact().await;
    assert!(wire.replay().await >= 6);
    world.is_exact().await;
}

/// A worker notes what it is about to insert and dies; its statement is still on its way when another worker has made
/// the same insert.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_of_a_dead_worker_that_arrives_late_is_the_one_its_successor_made() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    let wire = Wire::to(world.addr).await;
    world.reached_by(wire.addr);
    let worker = world.spawn("ingest", &[]);
    world.ship(&topic, 0, (7, 0), 100);
    world.caught_up(&topic, 1).await;
    // Nothing of it is under way any more.
    world.rolled_up().await;
    wire.hold();
    world.ship(&topic, 0, (7, 0), 200);
    eventually("a whole statement under way", async || {
        wire.holds_a_statement().then_some(())
    })
    .await;
    worker.kill();
    world.settings.pop();
    // The successor finds the intent, among more than was in it.
    world.ship(&topic, 0, (7, 0), 50);
    world.read_all(&topic, 1).await;
    world.is_exact().await;
    wire.replay().await;
    world.is_exact().await;
}

/// A second worker comes and goes while the first one always has records at hand that it has not stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_of_a_partition_that_goes_is_left_to_its_new_owner() {
    let (mut world, topic) = (World::new().await, Topic::new(4).await);
    world.reads(&topic);
    world.settings[0].1 = "300".to_owned();
    let first = world.spawn("ingest", &[]);
    world.ship(&topic, 0, (7, 0), 10);
    world.caught_up(&topic, 1).await;
    for round in 0..2 {
        let second = world.spawn("ingest", &[]);
        for step in 0..60 {
            let partition = step % 4;
            world.ship(&topic, partition, (8 + round, partition as u16), 20);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Leaves in order: the first one gets everything back.
        second.close();
    }
    world.caught_up(&topic, 4).await;
    first.kill();
    world.is_exact().await;
}

/// Two workers share four partitions; one is stopped for longer than its session, in the middle of its work, and wakes
/// up when the other one has its partitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_stopped_beyond_its_session_changes_nothing_when_it_wakes_up() {
    let (mut world, topic) = (World::new().await, Topic::new(4).await);
    world.reads(&topic);
    world
        .settings
        .push(("SIGNPOST_INGEST_BATCH_ROWS", "40".to_owned()));
    world.settings[0].1 = "0".to_owned();
    let mut dice = Dice(seed());
    let workers = [world.spawn("ingest", &[]), world.spawn("ingest", &[])];
    for partition in 0..4 {
        world.ship(&topic, partition, (1, partition as u16), 50);
    }
    world.caught_up(&topic, 4).await;
    for (round, stopped) in (0..).zip(&workers) {
        for partition in 0..4 {
            world.ship(&topic, partition, (1, partition as u16), 400);
        }
        // An instant, not a wait for something: where it falls is the point.
        tokio::time::sleep(Duration::from_millis(dice.roll(120))).await;
        stopped.signal("STOP");
        for partition in 0..4 {
            world.ship(&topic, partition, (1, partition as u16), 100);
        }
        world.caught_up(&topic, 4).await;
        stopped.signal("CONT");
        for partition in 0..4 {
            world.ship(&topic, partition, (2 + round, partition as u16), 50);
        }
        world.caught_up(&topic, 4).await;
    }
    let [first, second] = workers;
    first.kill();
    second.kill();
    world.read_all(&topic, 4).await;
    world.is_exact().await;
}

/// kill -9 of workers and of the engine at random instants, while workers come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_stay_exact_while_workers_and_the_engine_are_killed_at_random() {
    const PARTITIONS: i32 = 4;
    let (mut world, topic) = (World::new().await, Topic::new(PARTITIONS).await);
    world.reads(&topic);
    world
        .settings
        .push(("SIGNPOST_INGEST_BATCH_ROWS", "100".to_owned()));
    world.settings[0].1 = "0".to_owned();
    let mut dice = Dice(seed());
    let mut workers = vec![world.spawn("ingest", &[])];
    for round in 0..6 {
        let epoch = 100 + round / 2;
        for _ in 0..1 + dice.roll(4) {
            let partition = dice.roll(PARTITIONS as u64) as i32;
            let count = 50 + dice.roll(300) as usize;
            world.ship(&topic, partition, (epoch, partition as u16), count);
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(400))).await;
        if workers.len() < 2 {
            workers.push(world.spawn("ingest", &[]));
        }
        match dice.roll(3) {
            0 | 1 => workers.remove(0).kill(),
            _ => {
                world.kill_engine();
                tokio::time::sleep(Duration::from_millis(dice.roll(150))).await;
                world.start_engine(&[]).await;
            }
        }
    }
    workers.into_iter().for_each(Role::kill);
    world.read_all(&topic, PARTITIONS).await;
    world.is_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_that_a_book_reports_is_in_the_books() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 10);
    let from = world.log.skip(7, 0);
    let stream = schemas::click::Stream {
        epoch: 7,
        worker: 0,
    };
    let mut book = closing(stream, from + 6);
    book.dropped = vec![Drop {
        from,
        to: from + 1,
        reason: "ring_full".to_owned(),
    }];
    world.ship(&topic, 0, (7, 0), 5);
    topic.send_book(0, &book);
    let in_flight = ingest::audit::audit(&world.config()).await;
    // Nothing is stored yet, there are no tables even; what is in Kafka counts as on its way.
    assert!(in_flight.is_err() || in_flight.unwrap().balanced());
    world.read_all(&topic, 1).await;
    let more = world.make_clicks(8, 0, 20);
    topic.send_clicks(0, &more);
    let report = ingest::audit::audit(&world.config()).await.unwrap();
    let books = &report.streams[&stream];
    assert_eq!(
        (books.stored, books.written, books.missing),
        (15, 16, 0),
        "{books:?}"
    );
    assert_eq!(books.dropped, [("ring_full".to_owned(), 1)].into());
    let other = report.streams.iter().find(|(s, _)| s.epoch == 8).unwrap().1;
    assert_eq!(
        (other.in_flight, other.stored, other.missing),
        (20, 0, 0),
        "{other:?}"
    );
    assert!(report.balanced());
}
