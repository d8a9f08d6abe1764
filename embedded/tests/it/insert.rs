//! What exactly-once ingest stands on: one insert is one part, and a repeated one with the same token is none.

use std::fmt::Write as _;

use crate::support::{all_places, encoded, ok, post, query};

/// Settings under which an insert is one block, whatever its size.
const ONE_PART: &str = "async_insert=0&max_insert_threads=1&max_insert_block_size=100000000&min_insert_block_size_rows=100000000&min_insert_block_size_bytes=100000000000&max_insert_block_size_bytes=0";

fn row_binary(rows: std::ops::Range<u64>) -> Vec<u8> {
    rows.flat_map(|n| {
        let mut row = n.to_le_bytes().to_vec();
        row.extend_from_slice(b"\x05visit");
        row
    })
    .collect()
}

async fn table(name: &str) {
    ok(&query(&format!(
        "CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 10000"
    ))
    .await);
}

async fn parts(name: &str) -> String {
    ok(&query(&format!(
        "SELECT count(), sum(rows) FROM system.parts WHERE active AND database = 'default' AND table = '{name}'"
    ))
    .await)
}

#[tokio::test]
async fn one_insert_is_one_part() {
    let _places = all_places().read().await;
    table("one_part").await;
    let sql = encoded("INSERT INTO one_part (n, s) FORMAT RowBinary");
    let reply = post(&format!("query={sql}&{ONE_PART}"), row_binary(0..200_000)).await;
    ok(&reply);
    let summary = reply.header("x-clickhouse-summary").unwrap();
    assert!(summary.contains(r#""written_rows":"200000""#), "{summary}");
    assert_eq!(parts("one_part").await, "1\t200000");
}

#[tokio::test]
async fn repeated_insert_with_the_same_token_adds_nothing() {
    let _places = all_places().read().await;
    table("dedup").await;
    let sql = encoded("INSERT INTO dedup (n, s) FORMAT RowBinary");
    let arguments = |token: &str| {
        format!(
            "query={sql}&{ONE_PART}&insert_deduplication_token={}",
            encoded(token)
        )
    };
    ok(&post(&arguments("a/1-100"), row_binary(0..100)).await);
    ok(&post(&arguments("a/1-100"), row_binary(0..100)).await);
    // Other rows under the same token: the token decides, not the rows.
    ok(&post(&arguments("a/1-100"), row_binary(500..600)).await);
    assert_eq!(parts("dedup").await, "1\t100");
    // The same rows under another token are new.
    ok(&post(&arguments("b/1-100"), row_binary(0..100)).await);
    assert_eq!(parts("dedup").await, "2\t200");
}

#[tokio::test]
async fn insert_select_with_a_receipt_is_one_part() {
    let _places = all_places().read().await;
    table("rolled").await;
    let sql =
        "INSERT INTO rolled SELECT number, 'x' FROM numbers(300000) UNION ALL SELECT 0, 'receipt'";
    let reply = post(&format!("{ONE_PART}&max_threads=1"), sql).await;
    ok(&reply);
    assert!(
        reply
            .header("x-clickhouse-summary")
            .unwrap()
            .contains(r#""written_rows":"300001""#)
    );
    assert_eq!(parts("rolled").await, "1\t300001");
}

#[tokio::test]
async fn data_comes_inline_in_the_body_or_behind_the_url() {
    let _places = all_places().read().await;
    table("ways").await;
    ok(&query("INSERT INTO ways VALUES (1, 'a;b'), (2, 'SELECT 1')").await);
    ok(&query("INSERT INTO ways (n, s) FORMAT CSV\n3,c\n4,d\n").await);
    let url = |sql: &str| format!("query={}", encoded(sql));
    ok(&post(&url("INSERT INTO ways FORMAT CSV"), "5,e\n").await);
    ok(&post(&url("INSERT INTO ways FORMAT CSV 6,f"), "7,g\n").await);
    ok(&post(&url("INSERT INTO ways VALUES"), "(8, 'h')").await);
    ok(&post(&url("INSERT INTO ways"), "(9, 'i')").await);
    ok(&post(&url("INSERT INTO ways"), "FORMAT CSV\n10,j").await);
    ok(&post(
        &url("INSERT INTO `ways` (`n`, s) SETTINGS max_threads = 1 FORMAT JSONEachRow"),
        r#"{"n":11,"s":"k"}"#,
    )
    .await);
    assert_eq!(
        ok(&query("SELECT groupArray(n) FROM (SELECT n FROM ways ORDER BY n)").await),
        "[1,2,3,4,5,6,7,8,9,10,11]"
    );
    assert_eq!(
        ok(&query("SELECT groupArray(s) FROM (SELECT s FROM ways WHERE n < 3 ORDER BY n)").await),
        "['a;b','SELECT 1']"
    );
}

#[tokio::test]
async fn empty_lines_do_not_cut_the_data() {
    let _places = all_places().read().await;
    table("gaps").await;
    let mut body = "INSERT INTO gaps FORMAT TSV\n".to_owned();
    for n in 0..1000 {
        // Row data with an empty line in it: escaped, and raw ones in the binary format below.
        writeln!(body, "{n}\ta\\n\\nb").unwrap();
    }
    ok(&query(&body).await);
    let mut binary = b"INSERT INTO gaps FORMAT RowBinary\n".to_vec();
    for n in 1000_u64..2000 {
        binary.extend_from_slice(&n.to_le_bytes());
        binary.extend_from_slice(b"\x04a\n\nb");
    }
    ok(&post("", &binary).await);
    assert_eq!(
        ok(&query("SELECT count(), countIf(s = 'a\\n\\nb') FROM gaps").await),
        "2000\t2000"
    );
}

#[tokio::test]
async fn data_is_never_taken_for_code() {
    let _places = all_places().read().await;
    table("hostile").await;
    let body = "INSERT INTO hostile FORMAT TSV\n1\tfile('/etc/hostname')\n2\tINTO OUTFILE '/nowhere/x'; DROP TABLE hostile\n";
    ok(&query(body).await);
    assert_eq!(ok(&query("SELECT count() FROM hostile").await), "2");
}

#[tokio::test]
async fn a_body_that_breaks_off_inserts_nothing() {
    use tokio::io::AsyncWriteExt as _;
    let _places = all_places().read().await;
    table("torn").await;
    let data = row_binary(0..100_000);
    let head = format!(
        "POST /?query={}&{ONE_PART} HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-User: signpost\r\nX-ClickHouse-Key: {}\r\nContent-Length: {}\r\n\r\n",
        encoded("INSERT INTO torn FORMAT RowBinary"),
        crate::support::server().signpost,
        data.len()
    );
    let mut stream = tokio::net::TcpStream::connect(crate::support::server().addr)
        .await
        .unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // Whole rows, so that nothing but the missing end tells.
    stream.write_all(&data[..14 * 50_000]).await.unwrap();
    drop(stream);
    crate::support::eventually("the insert is gone", crate::support::DEADLINE, async || {
        crate::support::server().running.running_queries() == 0
    })
    .await;
    assert_eq!(ok(&query("SELECT count() FROM torn").await), "0");
}

#[tokio::test]
async fn a_failing_insert_of_a_large_body_reads_its_error() {
    let _places = all_places().read().await;
    table("refused").await;
    let sql = encoded("INSERT INTO refused FORMAT CSV");
    let mut body = b"not,a,number\n".to_vec();
    body.resize(20 << 20, b'x');
    let reply = post(&format!("query={sql}"), body).await;
    assert!(
        reply.status >= 400 && reply.code().is_some(),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn tables_sync_their_inserts_unless_they_say_otherwise() {
    let _places = all_places().read().await;
    let sql = "SELECT name, value FROM system.merge_tree_settings WHERE name IN ('fsync_after_insert', 'fsync_part_directory') ORDER BY name";
    assert_eq!(
        ok(&query(sql).await),
        "fsync_after_insert\t1\nfsync_part_directory\t1"
    );
    assert_eq!(
        embedded::MERGE_TREE_SETTINGS.map(|(n, _)| n),
        ["fsync_after_insert", "fsync_part_directory"]
    );
}
