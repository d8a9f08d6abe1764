//! The books: balanced, unbalanced, and repaired.

use ingest::audit::{Verdict, audit, repair};
use schemas::click::Book;

use crate::support::World;

fn closing(epoch: u64, worker: u16, written: u64) -> Book {
    Book {
        epoch,
        worker: worker.into(),
        written,
        time_ms: 1_790_000_000_000,
        dropped: Vec::new(),
        closed: true,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_balance_with_clicks_in_flight_and_show_what_is_missing() {
    let mut world = World::new().await;
    world.log.clicks(7, 1_000);
    world.ingest_all().await;
    world.log.clicks(7, 50);
    let report = audit(&world.config()).await.unwrap();
    assert!(report.balanced(), "{report:?}");
    let sum =
        |f: fn(&ingest::audit::StreamBooks) -> u64| report.streams.values().map(f).sum::<u64>();
    assert_eq!(
        (sum(|b| b.written), sum(|b| b.stored), sum(|b| b.in_flight)),
        (1_050, 1_000, 50)
    );
    assert!(
        report.roll_ups.iter().all(|r| r.verdict == Verdict::Agrees),
        "{report:?}"
    );

    // A position that is in no record, and no book says why.
    let lost = world.log.skip(7, 0);
    world.log.book(&closing(7, 0, lost + 1));
    world.ingest_all().await;
    let report = audit(&world.config()).await.unwrap();
    assert!(!report.balanced());
    assert_eq!(report.streams.values().map(|b| b.missing).sum::<u64>(), 1);

    // A click that is there twice.
    world
        .execute(
            "INSERT INTO signpost.clicks SELECT * FROM signpost.clicks ORDER BY position LIMIT 1",
        )
        .await;
    let report = audit(&world.config()).await.unwrap();
    assert_eq!(report.streams.values().map(|b| b.doubled).sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_roll_up_is_found_and_rebuilt_from_raw_clicks_or_refused() {
    let mut world = World::new().await;
    world.log.clicks(7, 3_000);
    world.ingest_all().await;
    world.execute("INSERT INTO signpost.clicks_15m (ingested_month, workspace, link, bucket, is_bot, epoch, worker, clicks, scans, rolled_to) SELECT ingested_month, 1, 1, bucket, false, 0, 0, 5, 0, 0 FROM signpost.clicks_15m WHERE link != 0 LIMIT 1").await;
    world
        .execute("ALTER TABLE signpost.clicks_by_period DELETE WHERE dimension = 'country'")
        .await;
    let report = audit(&world.config()).await.unwrap();
    assert!(!report.balanced());
    assert_eq!(
        report
            .roll_ups
            .iter()
            .filter(|r| r.verdict == Verdict::Differs)
            .count(),
        2,
        "{report:?}"
    );

    let (running, _) = world.ingest();
    let refused = repair(&world.config(), &report).await.unwrap_err();
    assert!(
        format!("{refused:#}").contains("another ingest is running"),
        "{refused:#}"
    );
    running.stop().await.unwrap();

    let repaired = repair(&world.config(), &report).await.unwrap();
    assert!(
        repaired.len() == 2 && repaired.iter().all(|r| r.refused.is_none()),
        "{repaired:?}"
    );
    assert!(audit(&world.config()).await.unwrap().balanced());
    world.is_exact().await;
    // Receipts were rebuilt with it: what comes next is rolled up once.
    world.log.clicks(7, 100);
    world.ingest_all().await;
    world.is_exact().await;

    // Raw clicks are gone: nothing to build from.
    world
        .execute("ALTER TABLE signpost.clicks DELETE WHERE position < 10")
        .await;
    let report = audit(&world.config()).await.unwrap();
    assert!(
        report
            .roll_ups
            .iter()
            .any(|r| r.verdict == Verdict::Unknown),
        "{report:?}"
    );
    let before = world
        .number("SELECT sum(clicks) FROM signpost.clicks_15m")
        .await;
    let repaired = repair(&world.config(), &report).await.unwrap();
    assert!(repaired.iter().all(|r| r.refused.is_some()), "{repaired:?}");
    assert_eq!(
        world
            .number("SELECT sum(clicks) FROM signpost.clicks_15m")
            .await,
        before
    );
    // Expired clicks are not missing, and are not stored again.
    assert!(report.balanced(), "{report:?}");
}
