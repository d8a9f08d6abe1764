//! The official client crate, as ingest and stats use it.

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use crate::support::{all_places, server};

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Visit {
    link: u64,
    country: String,
    referrer: Option<String>,
    stamps: Vec<u32>,
}

fn client() -> Client {
    Client::default()
        .with_url(format!("http://{}", server().addr))
        .with_user("signpost")
        .with_password(&server().signpost)
}

fn visit(link: u64) -> Visit {
    Visit {
        link,
        country: "DE\n\n".to_owned(),
        referrer: link.is_multiple_of(2).then(|| "a\tb\0".to_owned()),
        stamps: vec![1, 2],
    }
}

#[tokio::test]
async fn rows_go_in_and_come_out_the_same() {
    let _places = all_places().read().await;
    let client = client();
    client
        .query("CREATE DATABASE IF NOT EXISTS crate_db")
        .execute()
        .await
        .unwrap();
    let client = client.with_database("crate_db");
    client
        .query("CREATE TABLE visits (link UInt64, country String, referrer Nullable(String), stamps Array(UInt32)) ENGINE = MergeTree ORDER BY link")
        .execute()
        .await
        .unwrap();
    let mut insert = client.insert::<Visit>("visits").await.unwrap();
    for link in 0..1000 {
        insert.write(&visit(link)).await.unwrap();
    }
    insert.end().await.unwrap();

    let rows = client
        .query("SELECT ?fields FROM visits WHERE link < {limit:UInt64} ORDER BY link")
        .param("limit", 3)
        .fetch_all::<Visit>()
        .await
        .unwrap();
    assert_eq!(rows, [visit(0), visit(1), visit(2)]);
    let count: u64 = client
        .query("SELECT count() FROM visits WHERE country = ?")
        .bind("DE\n\n")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(count, 1000);
}

#[tokio::test]
async fn an_insert_that_is_not_ended_inserts_nothing() {
    let _places = all_places().read().await;
    let client = client();
    client
        .query("CREATE TABLE half (link UInt64, country String, referrer Nullable(String), stamps Array(UInt32)) ENGINE = MergeTree ORDER BY link")
        .execute()
        .await
        .unwrap();
    let mut insert = client.insert::<Visit>("half").await.unwrap();
    for link in 0..200_000 {
        insert.write(&visit(link)).await.unwrap();
    }
    drop(insert);
    crate::support::eventually("the insert is gone", crate::support::DEADLINE, async || {
        server().running.running_queries() == 0
    })
    .await;
    let count: u64 = client
        .query("SELECT count() FROM half")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn error_before_and_in_the_middle_of_rows_reaches_the_caller() {
    let _places = all_places().read().await;
    let error = client()
        .query("SELECT nothing")
        .fetch_one::<u64>()
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("Code: 47"), "{error}");
    let mut rows = client()
        .query("SELECT throwIf(number = 1500000)::UInt64 FROM numbers(2000000) SETTINGS max_block_size = 1000, max_threads = 1")
        .fetch::<u64>()
        .unwrap();
    let mut seen = 0;
    let error = loop {
        match rows.next().await {
            Ok(Some(_)) => seen += 1,
            Ok(None) => panic!("the error got lost"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(seen > 0 && error.contains("Code: 395"), "{seen} {error}");
}

#[tokio::test]
async fn a_bad_row_is_an_error_and_inserts_nothing() {
    let _places = all_places().read().await;
    let client = client();
    client
        .query("CREATE TABLE strict (a UInt64) ENGINE = MergeTree ORDER BY a")
        .execute()
        .await
        .unwrap();
    let mut insert = client.insert_formatted_with("INSERT INTO strict FORMAT CSV");
    insert
        .send(bytes::Bytes::from_static(b"1\nnot a number\n"))
        .await
        .unwrap();
    let error = insert.end().await.unwrap_err().to_string();
    assert!(error.contains("Code: 117"), "{error}");
    let count: u64 = client
        .query("SELECT count() FROM strict")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn our_own_tables_can_be_made_and_described() {
    let _places = all_places().read().await;
    let client = client();
    for migration in schemas::clickhouse::MIGRATIONS {
        for statement in migration.statements() {
            client
                .query_raw(statement)
                .execute()
                .await
                .unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
    }
    let tables: Vec<String> = client
        .query("SELECT name FROM system.tables WHERE database = ? AND engine LIKE '%MergeTree'")
        .bind(schemas::names::DATABASE)
        .fetch_all()
        .await
        .unwrap();
    assert!(
        tables.contains(&schemas::names::tables::CLICKS.to_owned()),
        "{tables:?}"
    );
}

#[derive(Debug, Row, Deserialize)]
struct Sparse {
    n: Option<u64>,
}

#[tokio::test]
async fn rows_of_many_parts_are_one_result() {
    let _places = all_places().read().await;
    let client = client();
    client
        .query("CREATE TABLE sparse (n Nullable(UInt64)) ENGINE = MergeTree ORDER BY tuple() SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1")
        .execute()
        .await
        .unwrap();
    for part in 0..5_u64 {
        client
            .query(
                "INSERT INTO sparse SELECT if(number % 2 = 0, number, NULL) FROM numbers(?, 100)",
            )
            .bind(part * 100)
            .execute()
            .await
            .unwrap();
    }
    let parts: u64 = client
        .query("SELECT count() FROM system.parts WHERE active AND table = 'sparse'")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(parts, 5);
    let rows = client
        .query("SELECT n FROM sparse")
        .fetch_all::<Sparse>()
        .await
        .unwrap();
    let mut numbers: Vec<_> = rows.iter().filter_map(|row| row.n).collect();
    numbers.sort_unstable();
    assert_eq!(rows.len(), 500);
    assert_eq!(numbers, (0..500).step_by(2).collect::<Vec<_>>());
}

/// What exactly-once ingest sends with every insert.
const INGEST: [(&str, &str); 14] = [
    ("async_insert", "0"),
    ("wait_end_of_query", "1"),
    ("max_insert_threads", "1"),
    ("max_insert_block_size", "1000000000"),
    ("min_insert_block_size_rows", "1000000000"),
    ("min_insert_block_size_bytes", "1000000000000"),
    ("max_partitions_per_insert_block", "1"),
    ("throw_on_max_partitions_per_insert_block", "1"),
    ("optimize_on_insert", "0"),
    ("insert_null_as_default", "0"),
    ("fsync_metadata", "1"),
    ("max_execution_time", "0"),
    ("insert_deduplicate", "1"),
    ("insert_deduplication_token", "0123456789abcdef/17-4711"),
];

#[tokio::test]
async fn native_blocks_go_in_as_one_part_with_all_of_ingests_settings() {
    let _places = all_places().read().await;
    let client = client();
    client
        .query("CREATE TABLE blocks (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100")
        .execute()
        .await
        .unwrap();
    // A block of one column, as the native format writes it: columns, rows, name, type, values.
    let mut block = b"\x01\xe8\x07\x01a\x06UInt64".to_vec();
    block.extend((0..1000_u64).flat_map(u64::to_le_bytes));
    for _ in 0..2 {
        let mut insert = client.insert_formatted_with("INSERT INTO blocks(a) FORMAT Native");
        for (name, value) in INGEST {
            insert = insert.with_setting(name, value);
        }
        insert
            .send(bytes::Bytes::from(block.clone()))
            .await
            .unwrap();
        insert.end().await.unwrap();
    }
    let (parts, rows): (u64, u64) = client
        .query("SELECT count(), sum(rows) FROM system.parts WHERE active AND table = 'blocks'")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!((parts, rows), (1, 1000));
}
