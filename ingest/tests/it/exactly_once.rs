//! The simple case, and each guard alone.

use crate::support::World;

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
}
