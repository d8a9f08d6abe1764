//! What `schemas/clickhouse/README.md` shows runs, and answers.

use crate::support::World;

const README: &str = include_str!("../../../schemas/clickhouse/README.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_the_readme_answers_and_every_column_is_explained() {
    let mut world = World::new().await;
    world.log.clicks(7, 5_000);
    world.log.record(b"no click");
    world.log.book(&schemas::click::Book {
        epoch: 7,
        written: 1,
        time_ms: 1_790_000_000_000,
        dropped: vec![schemas::click::Drop {
            from: 900_000,
            to: 900_001,
            reason: "ring_full".to_owned(),
        }],
        ..schemas::click::Book::default()
    });
    world.ingest_all().await;
    let queries: Vec<&str> = README
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(queries.len() >= 10, "{} queries", queries.len());
    for query in queries {
        let query = query.trim().trim_end_matches(';');
        let answer = world
            .client()
            .query_raw(query)
            .fetch_bytes("JSONEachRow")
            .unwrap()
            .collect()
            .await;
        let answer = answer.unwrap_or_else(|e| panic!("{e}\n{query}"));
        assert!(!answer.is_empty(), "no rows:\n{query}");
    }
    let unexplained = world
        .rows::<(String, String)>("SELECT table, name FROM system.columns WHERE database = 'signpost' ORDER BY table, position")
        .await
        .into_iter()
        .filter(|(_, column)| !README.contains(&format!("| `{column}` |")))
        .collect::<Vec<_>>();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}
