//! Records that cannot be stored: each is a dead letter with its reason, and those behind it are stored.

use ingest::{Conflicts, Letters, Replayed};
use kafka::Key;
use prost::Message as _;
use schemas::click::{Click, ClickId};

use crate::support::{World, eventually};
use crate::topic::{Topic, closing};

fn key(click: &Click) -> String {
    Key::Click(click.id().unwrap()).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_are_dead_letters_with_a_reason_and_stop_nothing() {
    let (mut world, topic) = (World::new().await, Topic::new(1).await);
    world.reads(&topic);
    world.ship(&topic, 0, (7, 0), 10);
    let mut expected = Vec::new();
    let mut bad = |reason: &'static str, key: Option<&str>, payload: &[u8]| {
        topic.send(0, [(key, payload)]);
        expected.push((topic.end(0) - 1, reason));
    };

    // Of a newer version, with a payload that nobody can read.
    let newer = world.log.make(7, 0);
    let newer_key = key(&newer).replace("click/1", "click/2");
    bad("version", Some(&newer_key), &[0xff; 40]);
    // Cut short.
    let cut = world.log.make(7, 0);
    let payload = cut.encode_to_vec();
    bad(
        "undecodable",
        Some(&key(&cut)),
        &payload[..payload.len() - 3],
    );
    // Keys: none, not ours, not text, another click's, a book's.
    let other = world.log.make(9, 0);
    let payload = other.encode_to_vec();
    bad("key", None, &payload);
    bad("key", Some("customer-17"), &payload);
    let wrong = Key::Click(ClickId {
        position: 5,
        ..other.id().unwrap()
    })
    .to_string();
    bad("key", Some(&wrong), &payload);
    bad(
        "undecodable",
        Some(&Key::Book(other.id().unwrap().stream).to_string()),
        &[0xff; 9],
    );
    // Instants that no proxy has seen.
    for time_ms in [0, 4_291_747_200_000] {
        let mut odd = world.log.make(7, 0);
        odd.time_ms = time_ms;
        bad("time", Some(&key(&odd)), &odd.encode_to_vec());
    }
    // A tombstone.
    bad("key", None, b"");
    // The id of a stored click with another content.
    let first = world.make_clicks(7, 0, 1).remove(0);
    topic.send_clicks(0, std::slice::from_ref(&first));
    let mut double = first.clone();
    double.slug = "other".to_owned();
    bad("conflict", Some(&key(&double)), &double.encode_to_vec());
    // And the same one again, which is just a duplicate.
    topic.send_clicks(0, std::slice::from_ref(&first));

    world.ship(&topic, 0, (7, 0), 10);
    let stream = first.id().unwrap().stream;
    let written = world.log.ids.last().unwrap().2 + 1;
    topic.send_book(0, &closing(stream, written));
    world.read_all(&topic, 1).await;
    world.is_exact().await;

    let kafka = world.config().kafka.unwrap();
    let letters = tokio::task::block_in_place(|| Letters::read(&kafka)).unwrap();
    let got: Vec<_> = letters
        .iter()
        .map(|letter| (letter.origin.offset as i64, letter.reason.as_str()))
        .collect();
    assert_eq!(got, expected);
    assert_eq!(letters[0].id, newer.id().unwrap().to_string());
    assert_eq!(letters[0].key, newer_key.as_bytes());
    assert_eq!(letters[0].payload, [0xff; 40]);

    // In the books each has its place.
    let report = ingest::audit::audit(&world.config()).await.unwrap();
    let books = &report.streams[&stream];
    assert_eq!(
        (
            books.written,
            books.stored,
            books.dead,
            books.missing,
            books.doubled
        ),
        (written, 21, 4, 0, 0),
        "{books:?}"
    );
    assert!(report.balanced(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_is_sent_again_is_stored_once_however_often() {
    let (mut world, topic) = (World::new().await, Topic::new(2).await);
    world.reads(&topic);
    let first = world.make_clicks(7, 0, 1).remove(0);
    let mut double = first.clone();
    double.slug = "other".to_owned();
    topic.send_clicks(0, &[first, double.clone()]);
    let absurd = Click {
        link: 0,
        ..world.log.make(7, 0)
    };
    topic.send_clicks(0, &[absurd]);
    world.read_all(&topic, 2).await;
    world.is_exact().await;

    let kafka = world.config().kafka.unwrap();
    let letters = tokio::task::block_in_place(|| Letters::read(&kafka)).unwrap();
    let all: Vec<_> = letters.iter().collect();
    let results = Letters::judge(&all, Conflicts::Leave);
    assert_eq!(
        results.into_iter().map(|(_, r)| r).collect::<Vec<_>>(),
        [Replayed::Left, Replayed::Dead("link")]
    );
    for partitions in [2, 2, 3, 5] {
        // Where a letter goes depends on how many there are: its next copy may come to another one.
        if partitions > 2 {
            topic.grow(partitions).await;
            eventually("the new partition", async || {
                topic.try_end(partitions as i32 - 1).map(drop)
            })
            .await;
        }
        let results =
            tokio::task::block_in_place(|| Letters::replay(&kafka, &all, Conflicts::Send)).unwrap();
        assert!(matches!(&results[0].1, Replayed::Sent(_)), "{results:?}");
        world.read_all(&topic, partitions as i32).await;
        assert_eq!(
            world
                .number("SELECT count() FROM signpost.clicks WHERE slug = 'other'")
                .await,
            1
        );
    }
    assert_eq!(world.number("SELECT count() FROM signpost.clicks").await, 2);
    world.roll_ups_agree().await;
    let report = ingest::audit::audit(&world.config()).await.unwrap();
    assert!(
        report.streams.values().all(|b| b.doubled == 0),
        "{report:?}"
    );
}
