//! Memory, places, time, and clients that go away. These fill the server, so each has it alone.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{DEADLINE, all_places, analyst, eventually, ok, query, raw, request, server};

/// Runs until it is stopped.
const ENDLESS: &str = "SELECT count() FROM numbers(1000000000000000) WHERE NOT ignore(number) SETTINGS max_threads = 1";

async fn send(sql: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server().addr).await.unwrap();
    stream
        .write_all(&request("signpost", &server().signpost, "", sql.as_bytes()))
        .await
        .unwrap();
    stream
}

async fn running(n: usize) {
    eventually(&format!("{n} queries run"), DEADLINE, async || {
        server().running.running_queries() == n
    })
    .await;
}

#[tokio::test]
async fn a_query_stops_when_its_client_goes() {
    let _alone = all_places().write().await;
    // Streamed, and made in one.
    for format in ["", " FORMAT JSON", " FORMAT Null"] {
        running(0).await;
        let stream = send(&format!("{ENDLESS}{format}")).await;
        running(1).await;
        eventually("the engine works on it", DEADLINE, async || {
            ok(&query("SELECT count() FROM system.processes WHERE query LIKE 'SELECT count() FROM numbers(1%'").await) == "1"
        })
        .await;
        drop(stream);
        running(0).await;
    }
    assert_eq!(
        ok(&query("SELECT count() FROM system.processes").await),
        "1",
        "only this one"
    );
}

#[tokio::test]
async fn a_query_stops_when_its_client_goes_in_the_middle_of_the_result() {
    let _alone = all_places().write().await;
    running(0).await;
    let mut stream = send("SELECT number FROM numbers(1000000000000000)").await;
    let mut some = vec![0; 1 << 20];
    stream.read_exact(&mut some).await.unwrap();
    assert_eq!(server().running.running_queries(), 1);
    drop(stream);
    running(0).await;
}

#[tokio::test]
async fn writing_stops_when_its_client_goes() {
    let _alone = all_places().write().await;
    running(0).await;
    for sql in [
        "CREATE TABLE slow (a UInt64) ENGINE = MergeTree ORDER BY a",
        "CREATE MATERIALIZED VIEW slow_view ENGINE = Null AS SELECT max(a * number) AS m FROM slow, numbers(100000000000) AS n",
    ] {
        ok(&query(sql).await);
    }
    for sql in [
        "INSERT INTO slow FORMAT CSV\n1\n",
        "INSERT INTO slow SELECT max(number) FROM numbers(1000000000000000) WHERE NOT ignore(number)",
    ] {
        let stream = send(sql).await;
        eventually("the engine works on it", DEADLINE, async || {
            ok(
                &query("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO slow%'")
                    .await,
            ) == "1"
        })
        .await;
        drop(stream);
        running(0).await;
    }
    ok(&query("DROP TABLE slow_view").await);
}

/// Memory of this process, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib >> 10
}

#[tokio::test]
async fn a_million_rows_with_one_header_stream_in_bounded_memory() {
    let _alone = all_places().write().await;
    running(0).await;
    for format in ["RowBinaryWithNamesAndTypes", "CSVWithNames"] {
        let mut stream = send(&format!(
            "SELECT repeat('x', 400) FROM numbers(1000000) FORMAT {format}"
        ))
        .await;
        let mut buffer = vec![0; 1 << 20];
        let (mut read, mut before, mut most) = (0, 0, 0);
        loop {
            let n = stream.read(&mut buffer).await.unwrap();
            if n == 0 {
                break;
            }
            read += n;
            if read > 20 << 20 {
                if before == 0 {
                    before = resident();
                }
                most = most.max(resident());
            }
        }
        assert!(read > 400_000_000, "{format}: {read}");
        let grown = most.saturating_sub(before);
        assert!(
            grown < 150,
            "{format}: 380 MiB of result took {grown} MiB more"
        );
    }
}

#[tokio::test]
async fn a_result_made_in_one_has_a_limit() {
    let _alone = all_places().write().await;
    let sql = "SELECT number, toString(number) FROM numbers(5000000)";
    let reply = query(&format!("{sql} FORMAT JSON")).await;
    assert_eq!(
        (reply.status, reply.code()),
        (500, Some(396)),
        "{}",
        reply.text()
    );
    assert_eq!(ok(&query(&format!("{sql} FORMAT Null")).await), "");
    let reply = query(&format!("{sql} FORMAT CSV")).await;
    assert_eq!(reply.text().lines().count(), 5_000_000);
}

#[tokio::test]
async fn a_long_result_streams_in_bounded_memory() {
    let _alone = all_places().write().await;
    running(0).await;
    let mut stream = send("SELECT number, toString(number) FROM numbers(1000000000000000)").await;
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..20 {
        stream.read_exact(&mut buffer).await.unwrap();
    }
    let before = resident();
    for _ in 0..300 {
        stream.read_exact(&mut buffer).await.unwrap();
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 150, "300 MiB of result took {grown} MiB more");
    drop(stream);
    running(0).await;
}

#[tokio::test]
async fn a_query_above_its_memory_fails_alone() {
    let _alone = all_places().write().await;
    let reply =
        query("SELECT number, count() FROM numbers(100000000) GROUP BY number FORMAT Null").await;
    assert_eq!(reply.code(), Some(241), "{}", reply.text());
    assert_eq!(ok(&query("SELECT 1").await), "1");
    for sql in [
        "SELECT 1 SETTINGS max_memory_usage = 0",
        "SELECT 1 SETTINGS max_memory_usage = 99999999999",
    ] {
        assert_eq!(query(sql).await.code(), Some(452), "{sql}");
    }
}

#[tokio::test]
async fn an_analyst_runs_out_of_time() {
    let _alone = all_places().write().await;
    let sql = "SELECT count() FROM numbers(1000000000000000) WHERE NOT ignore(number)";
    let reply = analyst(sql).await;
    assert_eq!(
        (reply.status, reply.code()),
        (408, Some(159)),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn more_queries_than_places_wait_and_then_are_refused() {
    let _alone = all_places().write().await;
    running(0).await;
    let mut held = Vec::new();
    for n in 1..=4 {
        held.push(send(ENDLESS).await);
        running(n).await;
    }
    let began = std::time::Instant::now();
    let (a, b, c) = tokio::join!(query("SELECT 1"), query("SELECT 1"), query("SELECT 1"));
    let replies = [a, b, c];
    for reply in &replies {
        assert_eq!(
            (reply.status, reply.code()),
            (503, Some(202)),
            "{}",
            reply.text()
        );
        assert!(
            reply.text().contains("Too many simultaneous queries"),
            "{}",
            reply.text()
        );
    }
    let at_once = replies
        .iter()
        .filter(|r| r.text().contains("more are waiting"))
        .count();
    assert_eq!(at_once, 1, "two wait, one does not");
    assert!(began.elapsed() >= Duration::from_millis(1900), "two waited");

    // A place that becomes free goes to one who waits.
    let waiting = tokio::spawn(query("SELECT 5"));
    held.pop();
    assert_eq!(ok(&waiting.await.unwrap()), "5");
    drop(held);
    running(0).await;
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_holds_no_place() {
    let _alone = all_places().write().await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server().addr).await.unwrap();
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: local")
            .await
            .unwrap();
        slow.push(stream);
    }
    let reply = raw(&request("signpost", &server().signpost, "", b"SELECT 1")).await;
    assert_eq!(ok(&reply), "1");
}
