//! What ClickHouse's HTTP interface promises, byte by byte.

use crate::support::{all_places, analyst, encoded, ok, post, query, raw, request, server};

#[tokio::test]
async fn ping_answers_without_a_password() {
    let reply = raw(b"GET /ping HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: close\r\n\r\n").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "Ok.\n"));
    let reply = raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "Ok.\n"));
    let reply = raw(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(reply.status, 404);
    let reply = raw(b"DELETE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(reply.status, 405);
}

#[tokio::test]
async fn query_comes_in_url_body_or_both() {
    let _places = all_places().read().await;
    assert_eq!(ok(&query("SELECT 1").await), "1");
    assert_eq!(
        ok(&post(&format!("query={}", encoded("SELECT 2")), "").await),
        "2"
    );
    assert_eq!(
        ok(&post(&format!("query={}", encoded("SELECT 3,")), "4").await),
        "3\t4"
    );
    assert_eq!(ok(&query("SELECT 5;").await), "5");
    assert_eq!(ok(&query("(SELECT 6)").await), "6");
    assert_eq!(ok(&query("SELECT 7 -- no more\n").await), "7");
}

#[tokio::test]
async fn format_comes_from_query_url_or_header() {
    let _places = all_places().read().await;
    let reply = query("SELECT 1 AS a FORMAT JSONEachRow").await;
    assert_eq!(ok(&reply), r#"{"a":1}"#);
    assert_eq!(
        reply.header("x-clickhouse-format").as_deref(),
        Some("JSONEachRow")
    );
    let reply = post("default_format=CSV", "SELECT 'x'").await;
    assert_eq!(ok(&reply), "\"x\"");
    assert_eq!(reply.header("x-clickhouse-format").as_deref(), Some("CSV"));
    let reply = query("SELECT 1 FORMAT CSV SETTINGS max_threads = 1").await;
    assert_eq!(ok(&reply), "1");
    assert_eq!(reply.header("x-clickhouse-format").as_deref(), Some("CSV"));
}

#[tokio::test]
async fn settings_and_database_come_with_the_request_and_go_with_it() {
    let _places = all_places().read().await;
    let sql = "SELECT getSetting('max_threads'), currentDatabase()";
    assert_eq!(
        ok(&post("max_threads=3&database=system", sql).await),
        "3\tsystem"
    );
    let after = ok(&query(sql).await);
    assert!(
        after.ends_with("\tdefault") && !after.starts_with("3\t"),
        "{after}"
    );
    let reply = post("no_such_setting=1", "SELECT 1").await;
    assert_eq!((reply.status, reply.code()), (404, Some(115)));
    let reply = post("max_threads=abc", "SELECT 1").await;
    assert!(
        reply.status >= 400 && reply.code().is_some(),
        "{}",
        reply.text()
    );
    let reply = post("database=nowhere", "SELECT 1").await;
    assert_eq!((reply.status, reply.code()), (404, Some(81)));
    let reply = post(
        &format!("database={}", encoded("a`; DROP DATABASE default; --")),
        "SELECT 1",
    )
    .await;
    assert_eq!((reply.status, reply.code()), (404, Some(81)));
}

#[tokio::test]
async fn parameters_are_bound_and_never_code() {
    let _places = all_places().read().await;
    let hostile = "x' OR file('/etc/hostname') -- \u{1F600}";
    let arguments = format!("param_s={}&param_n=7", encoded(hostile));
    let reply = post(
        &arguments,
        "SELECT {s:String} = {s:String}, length({s:String}), {n:UInt8}",
    )
    .await;
    assert_eq!(ok(&reply), format!("1\t{}\t7", hostile.len()));
    let reply = post(
        "param_t=one&database=system",
        "SELECT count() FROM {t:Identifier}",
    )
    .await;
    assert_eq!(ok(&reply), "1");
    let reply = query("SELECT {missing:String}").await;
    assert!(
        reply.status >= 400 && reply.code() == Some(456),
        "{} {}",
        reply.status,
        reply.text()
    );
}

#[tokio::test]
async fn errors_carry_code_text_and_status() {
    let _places = all_places().read().await;
    let reply = query("SELECT FROM WHERE").await;
    assert_eq!((reply.status, reply.code()), (400, Some(62)));
    assert!(
        reply.text().starts_with("Code: 62. DB::Exception: "),
        "{}",
        reply.text()
    );
    assert!(reply.text().contains("(version "), "{}", reply.text());
    let reply = query("SELECT * FROM nowhere").await;
    assert_eq!((reply.status, reply.code()), (404, Some(60)));
    let reply = query("").await;
    assert_eq!((reply.status, reply.code()), (400, Some(62)));
    let reply = query("SELECT throwIf(1)").await;
    assert_eq!((reply.status, reply.code()), (500, Some(395)));
}

#[tokio::test]
async fn error_in_the_middle_of_a_result_is_marked_as_clickhouse_does() {
    let _places = all_places().read().await;
    let reply = query("SELECT throwIf(number = 1500000) FROM numbers(2000000) SETTINGS max_block_size = 1000, max_threads = 1").await;
    assert_eq!(reply.status, 200);
    let tag = reply.header("x-clickhouse-exception-tag").unwrap();
    let text = reply.text();
    let block = &text[text.find("\r\n__exception__\r\n").unwrap()..];
    assert!(
        block.starts_with(&format!(
            "\r\n__exception__\r\n{tag}\r\nCode: 395. DB::Exception: "
        )),
        "{block}"
    );
    assert!(
        block.ends_with(&format!(" {tag}\r\n__exception__\r\n")),
        "{block}"
    );
}

#[tokio::test]
async fn wrong_password_is_403_with_code_516() {
    for (user, password) in [
        ("signpost", "wrong"),
        ("default", ""),
        ("nobody", "x"),
        ("", ""),
    ] {
        let reply = raw(&request(user, password, "", b"SELECT 1")).await;
        assert_eq!((reply.status, reply.code()), (403, Some(516)), "{user}");
    }
    let reply = raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 8\r\n\r\nSELECT 1").await;
    assert_eq!((reply.status, reply.code()), (403, Some(516)));
}

#[tokio::test]
async fn user_and_password_come_in_three_ways() {
    let _places = all_places().read().await;
    use base64::Engine as _;
    let key = &server().signpost;
    let url = format!(
        "GET /?query=SELECT%201&user=signpost&password={key} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(ok(&raw(url.as_bytes()).await), "1");
    let token = base64::engine::general_purpose::STANDARD.encode(format!("signpost:{key}"));
    let basic = format!(
        "GET /?query=SELECT%202 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {token}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(ok(&raw(basic.as_bytes()).await), "2");
}

#[tokio::test]
async fn foreign_host_is_refused() {
    for head in [
        "Host: evil.example",
        "Host: localhost.evil.example:8123",
        "X-None: 1",
    ] {
        let reply =
            raw(format!("GET /ping HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n").as_bytes())
                .await;
        assert!(
            reply.status == 403 || reply.status == 400,
            "{head}: {}",
            reply.status
        );
    }
}

#[tokio::test]
async fn compression_is_a_clear_error() {
    let reply = post("decompress=1", "SELECT 1").await;
    assert_eq!((reply.status, reply.code()), (501, Some(48)));
    assert!(
        reply.text().contains("compression is not supported"),
        "{}",
        reply.text()
    );
    let _places = all_places().read().await;
    assert_eq!(
        ok(&post("enable_http_compression=1", "SELECT 1").await),
        "1"
    );
}

#[tokio::test]
async fn get_only_reads() {
    let key = &server().signpost;
    let get = |sql: &str| {
        format!(
            "GET /?query={} HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-User: signpost\r\nX-ClickHouse-Key: {key}\r\nConnection: close\r\n\r\n",
            encoded(sql)
        )
    };
    let _places = all_places().read().await;
    for sql in [
        "CREATE TABLE got (a UInt8) ENGINE = Memory",
        "INSERT INTO got VALUES (1)",
        "DROP TABLE got",
    ] {
        let reply = raw(get(sql).as_bytes()).await;
        assert_eq!(reply.code(), Some(164), "{sql}: {}", reply.text());
    }
}

#[tokio::test]
async fn query_id_is_echoed_and_cannot_split_headers() {
    let _places = all_places().read().await;
    let reply = post("query_id=my-query", "SELECT 1").await;
    assert_eq!(
        reply.header("x-clickhouse-query-id").as_deref(),
        Some("my-query")
    );
    let reply = post("query_id=a%0d%0aX-Evil:%201", "SELECT 1").await;
    assert_eq!(reply.status, 400);
    assert!(reply.header("x-evil").is_none());
    assert!(
        query("SELECT 1")
            .await
            .header("x-clickhouse-query-id")
            .is_some()
    );
}

#[tokio::test]
async fn summary_counts_rows() {
    let _places = all_places().read().await;
    let reply = query("SELECT count() FROM numbers(1000)").await;
    let summary = reply.header("x-clickhouse-summary").unwrap();
    assert!(summary.contains(r#""read_rows":"1000""#), "{summary}");
}

#[tokio::test]
async fn description_of_a_table_comes_in_any_format() {
    let _places = all_places().read().await;
    ok(&query("CREATE TABLE IF NOT EXISTS described (a UInt64, b LowCardinality(String)) ENGINE = MergeTree ORDER BY a").await);
    let reply = post(
        "default_format=TabSeparated&describe_include_subcolumns=0",
        "DESCRIBE TABLE described",
    )
    .await;
    assert!(ok(&reply).starts_with("a\tUInt64\t"), "{}", reply.text());
    assert_eq!(ok(&analyst("EXISTS TABLE described").await), "1");
    assert!(
        ok(&analyst("SHOW CREATE TABLE described FORMAT TSVRaw").await)
            .contains("ENGINE = MergeTree")
    );
    assert!(ok(&analyst("SHOW TABLES").await).contains("described"));
    assert!(!ok(&analyst("EXPLAIN SELECT * FROM described").await).is_empty());
}

#[tokio::test]
async fn too_large_a_query_is_413() {
    let sql = format!("SELECT '{}'", "x".repeat(300 << 10));
    let reply = query(&sql).await;
    assert_eq!((reply.status, reply.code()), (413, Some(223)));
}
