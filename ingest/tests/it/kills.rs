//! kill -9 of ingest and of the engine: at random instants, and at each rename of one insert.

use std::time::Duration;

use schemas::click::{Book, Drop};

use crate::support::{World, eventually};

/// Fixed, so that a failure comes again; `SIGNPOST_TEST_SEED` takes another.
const SEED: u64 = 0x51_6e90;

/// Rounds of one run: each kills ingest, the engine, or both.
const ROUNDS: usize = 12;

/// The seed of all dice.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("SIGNPOST_TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(SEED);
    tracing::info!(seed, "dice");
    seed
}

pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_stay_exact_while_ingest_and_engine_are_killed_at_random() {
    let mut dice = Dice(seed());
    let mut world = World::new().await;
    world
        .settings
        .push(("SIGNPOST_INGEST_BATCH_ROWS", "300".to_owned()));
    world.settings[0].1 = "0".to_owned();
    for round in 0..ROUNDS {
        let ingest = world.spawn("ingest", &[]);
        let epoch = 100 + round as u64 / 3;
        let pieces = 2 + dice.roll(10);
        for _ in 0..pieces {
            let clicks = 50 + dice.roll(500) as usize;
            world.log.clicks(epoch, clicks);
            // An instant, not a wait for something: where it falls is the point.
            tokio::time::sleep(Duration::from_millis(dice.roll(80))).await;
        }
        match dice.roll(3) {
            0 => ingest.kill(),
            1 => {
                world.kill_engine();
                tokio::time::sleep(Duration::from_millis(dice.roll(150))).await;
                world.start_engine(&[]).await;
                tokio::time::sleep(Duration::from_millis(dice.roll(300))).await;
                ingest.kill();
            }
            _ => {
                world.kill_engine();
                ingest.kill();
                world.start_engine(&[]).await;
            }
        }
    }
    world.ingest_all().await;
    world.is_exact().await;
}

/// strace that kills the process when it renames the folder at `path`, before the rename is made.
pub(crate) fn kill_at_rename(path: &str) -> Vec<String> {
    let words = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-P",
        path,
        "-e",
        "trace=rename,renameat,renameat2",
        "-e",
    ];
    let inject = "inject=rename,renameat,renameat2:signal=KILL";
    words
        .iter()
        .copied()
        .chain([inject])
        .map(str::to_owned)
        .collect()
}

/// The engine puts a part in place by one rename. A batch with clicks, a book, a drop and a dead letter makes one in
/// each table; the engine is killed at each of them in turn, when it has already noted the insert as done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_stay_exact_when_the_engine_dies_at_any_rename_of_an_insert() {
    let mut world = World::new().await;
    world.log.clicks(1, 100);
    world.ingest_all().await;
    let mut folders = Vec::new();
    for table in [
        "clicks",
        "clicks_15m",
        "clicks_by_period",
        "visitors_by_month",
        "stream_days",
        "books",
        "drops",
        "dead_letters",
    ] {
        folders.push((table, world.part_folder(table).await));
    }
    world.kill_engine();
    for (round, (table, folder)) in (0..).zip(folders) {
        world.start_engine(&kill_at_rename(&folder)).await;
        world.log.clicks(1, 200);
        let from = world.log.skip(1, 0);
        world.log.book(&Book {
            epoch: 1,
            worker: 0,
            written: from + 1,
            time_ms: 1_790_000_000_000,
            dropped: vec![Drop {
                from,
                to: from + 1,
                reason: "ring_full".to_owned(),
            }],
            closed: false,
        });
        world.log.record(b"no click");
        let (running, _) = world.ingest();
        eventually(
            &format!("the engine dies at the rename in {table}"),
            async || world.engine_has_ended().then_some(()),
        )
        .await;
        world.start_engine(&[]).await;
        world.settled().await;
        running.stop().await.unwrap();
        world.ingest_all().await;
        world.is_exact().await;
        assert_eq!(
            world
                .number("SELECT count() FROM signpost.drops FINAL")
                .await,
            round + 1
        );
        assert_eq!(
            world
                .number("SELECT count() FROM signpost.dead_letters FINAL")
                .await,
            round + 1
        );
        assert_eq!(
            world
                .number("SELECT max(written) FROM signpost.books WHERE worker = 0")
                .await,
            from + 1
        );
        world.kill_engine();
    }
}
