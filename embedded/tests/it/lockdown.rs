//! Attacks on the whole, through the front door: nothing leaves the storage, whatever the words.

use std::fs;

use crate::support::{all_places, analyst, encoded, ok, post, query, server};

const CANARY: &str = "CANARY-4711";

/// A file that no query may read, in a folder that no query may write.
fn trap() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret.csv");
    fs::write(&path, CANARY).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[tokio::test]
async fn no_query_reads_or_writes_a_file() {
    let _places = all_places().read().await;
    let (dir, secret) = trap();
    let out = dir.path().join("out.csv");
    let out = out.to_str().unwrap();
    ok(&query("CREATE TABLE IF NOT EXISTS prey (a String) ENGINE = MergeTree ORDER BY a").await);
    let attacks = [
        format!("SELECT file('{secret}')"),
        format!("SELECT `file`('{secret}')"),
        format!("SELECT \"file\"('{secret}')"),
        format!("SELECT `fi\\x6ce`('{secret}')"),
        format!("SELECT file/**/('{secret}')"),
        format!("SELECT arrayMap(file, ['{secret}'])"),
        format!("SELECT * APPLY file FROM (SELECT '{secret}' AS p)"),
        format!("SELECT * APPLY(file) FROM (SELECT '{secret}' AS p)"),
        format!("WITH file AS f SELECT arrayMap(f, ['{secret}'])"),
        format!("SELECT * FROM file('{secret}', 'LineAsString')"),
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT * FROM `{secret}`"),
        format!("SELECT * FROM default.`{secret}`"),
        format!("SELECT * FROM (SELECT * FROM (SELECT * FROM file('{secret}', 'LineAsString')))"),
        format!("SELECT * FROM filesystem('{}')", dir.path().display()),
        format!(
            "SELECT b FROM format(JSONEachRow, 'a String, b String DEFAULT file(''{secret}'')', '{{\"a\":\"x\"}}')"
        ),
        format!(
            "SELECT b FROM format('JSONEachRow', 'a String, b String DEFAULT file(''{secret}'')', '{{\"a\":\"x\"}}')"
        ),
        format!("SELECT 1 FORMAT Template SETTINGS format_template_resultset = '{secret}'"),
        format!("SELECT 1 SETTINGS additional_result_filter = 'file(''{secret}'') != '''''"),
        format!(
            "SELECT * FROM eval('SELECT file(''{secret}'')') SETTINGS allow_experimental_eval_table_function = 1"
        ),
        format!("SELECT * FROM sqlite('{secret}', 't')"),
        format!("SELECT * FROM executable('cat {secret}', 'TSV', 'a String')"),
        format!("SELECT 1 INTO OUTFILE '{out}'"),
        format!("SELECT 1 /* */ INTO/**/OUTFILE '{out}'"),
        format!("SELECT 1;SELECT 1 INTO OUTFILE '{out}'"),
        format!("INSERT INTO FUNCTION file('{out}', 'CSV', 'a String') VALUES ('x')"),
        format!("INSERT INTO TABLE FUNCTION file('{out}', 'CSV', 'a String') SELECT 'x'"),
        format!("INSERT INTO prey FROM INFILE '{secret}' FORMAT CSV"),
        format!("INSERT INTO prey VALUES (file('{secret}'))"),
        format!("INSERT INTO prey FORMAT Values (file('{secret}'))"),
        format!("INSERT INTO prey VALUES ('a'), (file('{secret}')), (lower(file('{secret}')))"),
        format!(
            "INSERT INTO prey SETTINGS input_format_values_interpret_expressions = 1 VALUES (file('{secret}'))"
        ),
        format!("INSERT INTO prey SELECT file('{secret}')"),
        format!("INSERT INTO prey SELECT * FROM '{secret}'"),
        format!("CREATE VIEW spy AS SELECT file('{secret}') AS a"),
        format!("CREATE TABLE spy (a String) ENGINE = File(CSV, '{secret}')"),
        format!(
            "CREATE TABLE spy (a String) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '{}/')",
            dir.path().display()
        ),
        format!(
            "CREATE DATABASE spy ENGINE = Filesystem('{}')",
            dir.path().display()
        ),
        format!(
            "CREATE DICTIONARY spy (a String) PRIMARY KEY a SOURCE(FILE(PATH '{secret}' FORMAT 'CSV')) LAYOUT(FLAT())"
        ),
        format!(
            "ATTACH TABLE spy FROM '{}' (a String) ENGINE = MergeTree ORDER BY a",
            dir.path().display()
        ),
        format!("BACKUP TABLE prey TO File('{out}')"),
        format!("ALTER TABLE prey UPDATE a = file('{secret}') WHERE 1"),
        format!("ALTER TABLE prey ADD COLUMN c String DEFAULT file('{secret}')"),
        format!("\\i {secret}"),
        format!("DESCRIBE TABLE file('{secret}')"),
        format!("EXISTS TABLE `{secret}`"),
        format!("EXPLAIN PLAN SELECT * FROM file('{secret}', 'LineAsString')"),
        "SYSTEM SHUTDOWN".to_owned(),
        "KILL QUERY WHERE 1".to_owned(),
        "CREATE FUNCTION f AS x -> x".to_owned(),
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV')".to_owned(),
        "SELECT * FROM system.stack_trace".to_owned(),
        "exit".to_owned(),
    ];
    for attack in &attacks {
        for (who, reply) in [
            ("signpost", query(attack).await),
            ("analyst", analyst(attack).await),
        ] {
            assert!(!reply.text().contains(CANARY), "{who} read it: {attack}");
            assert!(
                reply.status >= 400,
                "{who} passed: {attack}: {}",
                reply.text()
            );
            assert!(reply.code().is_some(), "{who}: {attack}");
        }
        // The same with the query split between URL and body.
        let (front, back) = attack.split_at(attack.find(' ').unwrap_or(attack.len()));
        let reply = post(&format!("query={}", encoded(front)), back).await;
        assert!(
            reply.status >= 400 && !reply.text().contains(CANARY),
            "split: {attack}"
        );
    }
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "a file was written"
    );
    assert_eq!(ok(&query("SELECT count() FROM prey").await), "0");
    assert_eq!(ok(&query("SHOW TABLES LIKE 'spy'").await), "");
}

#[tokio::test]
async fn settings_in_the_url_cannot_open_a_door() {
    let _places = all_places().read().await;
    let (_dir, secret) = trap();
    for (name, value) in [
        ("format_template_resultset", secret.as_str()),
        ("format_schema", secret.as_str()),
        ("output_format_schema", secret.as_str()),
        ("additional_result_filter", "1"),
        ("dialect", "kusto"),
        ("readonly", "2&profile=x"),
        ("log_comment", "x"),
        ("allow_introspection_functions", "1"),
        ("max_threads", "1', readonly = '0"),
        ("implicit_table_at_top_level", "x"),
        ("max_memory_usage", "0"),
        ("max_memory_usage", "99999999999999"),
    ] {
        let value = if value.contains('&') {
            value.to_owned()
        } else {
            encoded(value)
        };
        let reply = post(&format!("{name}={value}"), "SELECT 1 FORMAT Template").await;
        assert!(
            reply.status >= 400 && !reply.text().contains(CANARY),
            "{name}: {}",
            reply.text()
        );
    }
    let reply = post(
        &format!("param_f=file&param_p={}", encoded(&secret)),
        "SELECT arrayMap({f:Identifier}, [{p:String}])",
    )
    .await;
    assert!(
        reply.status >= 400 && !reply.text().contains(CANARY),
        "{}",
        reply.text()
    );
    let reply = post(
        &format!("param_t={}", encoded(&secret)),
        "SELECT * FROM {t:Identifier}",
    )
    .await;
    assert!(
        reply.status >= 400 && !reply.text().contains(CANARY),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn the_analyst_reads_and_changes_nothing() {
    let _places = all_places().read().await;
    ok(&query("CREATE TABLE IF NOT EXISTS read_me (a UInt8) ENGINE = MergeTree ORDER BY a").await);
    ok(&query("INSERT INTO read_me VALUES (7)").await);
    assert_eq!(ok(&analyst("SELECT a FROM read_me").await), "7");
    for sql in [
        "INSERT INTO read_me VALUES (8)",
        "INSERT INTO read_me SELECT 8",
        "DROP TABLE read_me",
        "TRUNCATE TABLE read_me",
        "ALTER TABLE read_me DELETE WHERE 1",
        "DELETE FROM read_me WHERE 1",
        "CREATE TABLE mine (a UInt8) ENGINE = Memory",
        "CREATE VIEW mine AS SELECT 1",
        "OPTIMIZE TABLE read_me",
        "RENAME TABLE read_me TO yours",
        "SELECT 1 SETTINGS max_memory_usage = 1000000000",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SET readonly = 0",
    ] {
        let reply = analyst(sql).await;
        assert!(reply.status >= 400, "{sql}: {}", reply.text());
    }
    for arguments in [
        "max_memory_usage=1",
        "max_execution_time=0",
        "max_threads=64",
        "async_insert=1",
    ] {
        let request = crate::support::request("analyst", &server().analyst, arguments, b"SELECT 1");
        let reply = crate::support::raw(&request).await;
        assert_eq!(reply.code(), Some(164), "{arguments}: {}", reply.text());
    }
    let request = crate::support::request(
        "analyst",
        &server().analyst,
        "readonly=0",
        b"INSERT INTO read_me VALUES (9)",
    );
    assert_eq!(crate::support::raw(&request).await.code(), Some(164));
    let request = crate::support::request(
        "analyst",
        &server().analyst,
        "output_format_json_quote_64bit_integers=1",
        b"SELECT 1::UInt64 AS a FORMAT JSONEachRow",
    );
    assert_eq!(ok(&crate::support::raw(&request).await), r#"{"a":"1"}"#);
    assert_eq!(
        ok(&analyst("SELECT groupArray(a) FROM read_me").await),
        "[7]"
    );
}

#[tokio::test]
async fn secrets_of_the_role_are_not_in_the_engine() {
    let _places = all_places().read().await;
    for sql in [
        "SELECT * FROM system.users",
        "SELECT * FROM system.user_directories",
        "SELECT * FROM system.server_settings",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.named_collections",
    ] {
        for reply in [query(sql).await, analyst(sql).await] {
            let text = reply.text();
            assert!(
                !text.contains(&server().signpost) && !text.contains(&server().analyst),
                "{sql}"
            );
        }
    }
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["clickhouse.password", "clickhouse.analyst-password"] {
        let mode = fs::metadata(server().data_dir.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn hostile_bytes_get_an_answer_and_hurt_nobody() {
    let _places = all_places().read().await;
    for body in [
        &b"\xff\xfe\x00"[..],
        b"SELECT '\xff'",
        b"SELECT \x00",
        b"INSERT",
        b"INSERT INTO",
        b"INSERT INTO x FORMAT",
        b"{",
        b"(((((",
    ] {
        let reply = post("", body).await;
        assert!(
            reply.status == 200 || reply.code().is_some(),
            "{body:?}: {}",
            reply.status
        );
    }
    let deep = format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000));
    assert!(query(&deep).await.status >= 400);
    let wide = format!("SELECT {}", vec!["1"; 100_000].join(","));
    let reply = query(&wide).await;
    assert!(reply.status == 200 || reply.code().is_some());
    assert_eq!(ok(&query("SELECT 1").await), "1");
}
