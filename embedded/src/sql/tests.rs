use super::*;

fn policy() -> Policy {
    Policy::new(&[
        "numbers".to_owned(),
        "view".to_owned(),
        "format".to_owned(),
        "url".to_owned(),
        "newsource".to_owned(),
    ])
}

fn plan_as(sql: &str, role: Role, params: &Params) -> Result<Plan, Refusal> {
    policy().plan(
        sql.as_bytes(),
        Asker {
            role,
            read_only: role == Role::Analyst,
            params,
        },
    )
}

#[track_caller]
fn refused(sql: &str, reason: &str) {
    match plan_as(sql, Role::Signpost, &[]) {
        Err(refusal) => assert_eq!(refusal.reason, reason, "{sql}: {refusal:?}"),
        Ok(plan) => panic!("passed: {sql}: {plan:?}"),
    }
}

#[track_caller]
fn passes(sql: &str) -> Plan {
    plan_as(sql, Role::Signpost, &[]).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
}

#[test]
fn functions_that_reach_outside_are_refused_however_written() {
    for sql in [
        "SELECT file('/etc/passwd')",
        "select FILE ('/etc/passwd')",
        "SELECT file/**/('/etc/passwd')",
        "SELECT file -- x\n('/etc/passwd')",
        "SELECT file /* /* */ */ ('/etc/passwd')",
        "SELECT `file`('/etc/passwd')",
        "SELECT \"file\"('/etc/passwd')",
        "SELECT arrayMap(file, ['/etc/passwd'])",
        "SELECT arrayMap(`file`, ['/etc/passwd'])",
        "SELECT * APPLY file FROM (SELECT '/etc/passwd')",
        "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
        "SELECT * REPLACE(file(p) AS p) FROM (SELECT '/etc/passwd' AS p)",
        "WITH file('/etc/passwd') AS x SELECT x",
        "SELECT 1 WHERE (SELECT count() FROM (SELECT 1 FROM file('x', 'CSV'))) = 1",
        "SELECT '\\'', file('/etc/passwd'), '\\''",
        "SELECT '''', file('/etc/passwd'), ''''",
        "SELECT $$'$$, file('x'), $$'$$",
        "SELECT `'`, file('x'), `'` FROM t",
        "SELECT * FROM url('http://x', 'CSV')",
        "SELECT * FROM URL('http://x', 'CSV')",
        "SELECT * FROM newsource('x')",
        "SELECT * FROM s3('http://x')",
        "SELECT * FROM numbers(1), remote('127.0.0.1', system.one)",
        "SELECT * FROM numbers(1) AS a JOIN executable('x', 'TSV', 'a String') AS b USING a",
        "SELECT * FROM view(SELECT * FROM postgresql('h', 'd', 't', 'u', 'p'))",
        "SELECT x IN (SELECT * FROM mysql('h', 'd', 't', 'u', 'p'))",
        "SELECT * FROM sqlite('/x', 't')",
        "SELECT * FROM mongodb('h', 'd', 'c', 'u', 'p')",
        "SELECT * FROM hdfs('hdfs://x', 'CSV')",
        "SELECT * FROM eval('SELECT 1')",
        "SELECT * FROM filesystem('/')",
        "SELECT * FROM cluster('c', system.one)",
        "SELECT * FROM merge('default', '.*')",
        "DESCRIBE TABLE file('/etc/passwd')",
        "DESCRIBE file('/etc/passwd')",
        "EXPLAIN SELECT * FROM file('/etc/passwd')",
        "EXISTS TABLE file('/etc/passwd')",
        "CREATE VIEW v AS SELECT * FROM file('/etc/passwd')",
        "CREATE MATERIALIZED VIEW v ENGINE = Memory AS SELECT file('/etc/passwd')",
        "CREATE TABLE t ENGINE = Memory AS SELECT * FROM url('http://x', 'CSV')",
        "CREATE TABLE t AS file('/etc/passwd')",
        "CREATE TABLE t (a String DEFAULT file('/etc/passwd')) ENGINE = Memory",
        "ALTER TABLE t MODIFY COLUMN a DEFAULT file('/etc/passwd')",
        "ALTER TABLE t UPDATE a = file('/etc/passwd') WHERE 1",
        "DELETE FROM t WHERE file('/etc/passwd') = ''",
        "INSERT INTO t SELECT file('/etc/passwd')",
        "INSERT INTO t (SELECT file('/etc/passwd'))",
        "INSERT INTO t WITH 1 AS x SELECT * FROM file('/etc/passwd')",
        "INSERT INTO FUNCTION file('/nowhere/x', 'CSV') SELECT 1",
        "INSERT INTO TABLE FUNCTION file('/nowhere/x', 'CSV', 'a String') VALUES ('x')",
        "INSERT INTO /**/ FUNCTION/**/url('http://x') VALUES (1)",
        "SELECT b FROM format(JSONEachRow, 'a String, b String DEFAULT fi', '{}')",
        "SELECT b FROM format('JSONEachRow', 'a String', '{}')",
        "SELECT {f:Identifier}('/etc/passwd')",
        "SELECT aiGenerate('x')",
        "SELECT reverseDNSQuery('127.0.0.1')",
        "SELECT trap('abort')",
    ] {
        refused(sql, "function");
    }
}

#[test]
fn an_identifier_given_as_a_parameter_cannot_name_what_is_refused() {
    let sql = "SELECT arrayMap({f:Identifier}, ['/etc/passwd'])";
    for value in [
        "file",
        "FILE",
        "fi\\x6ce",
        "`file`",
        "/etc/passwd",
        "default.x",
    ] {
        let params = [("f".to_owned(), value.to_owned())];
        assert!(plan_as(sql, Role::Signpost, &params).is_err(), "{value}");
    }
    let params = [("f".to_owned(), "lower".to_owned())];
    assert!(plan_as(sql, Role::Signpost, &params).is_ok());
    let params = [("s".to_owned(), "file".to_owned())];
    assert!(plan_as("SELECT {s:String}", Role::Signpost, &params).is_ok());
}

#[test]
fn files_as_tables_and_results_into_files_are_refused() {
    for sql in [
        "SELECT 1 INTO OUTFILE '/nowhere/x'",
        "SELECT 1 into/**/outfile '/nowhere/x' TRUNCATE",
        "(SELECT 1) INTO OUTFILE '/nowhere/x' FORMAT CSV",
        "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV",
        "SHOW TABLES INTO OUTFILE '/nowhere/x'",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM `/etc/passwd`",
        "SELECT * FROM default.`/etc/passwd`",
        "SELECT * FROM a JOIN \"/etc/passwd\" USING x",
        "EXISTS TABLE default.`/etc/passwd`",
        "DESCRIBE `/etc/passwd`",
        "SELECT 1 IN `/etc/passwd`",
        "DROP TABLE `../x`",
        "INSERT INTO `/nowhere/x` VALUES (1)",
    ] {
        refused(sql, "file");
    }
}

#[test]
fn only_statements_about_tables_pass() {
    for sql in [
        "ATTACH TABLE t FROM '/nowhere' (a Int8) ENGINE = MergeTree ORDER BY a",
        "DETACH TABLE t",
        "SYSTEM FLUSH LOGS",
        "SYSTEM SHUTDOWN",
        "BACKUP TABLE t TO File('/nowhere/b')",
        "RESTORE TABLE t FROM File('/nowhere/b')",
        "KILL QUERY WHERE 1",
        "GRANT ALL ON *.* TO default",
        "SET max_memory_usage = 0",
        "USE system",
        "EXECUTE AS default SELECT 1",
        "CREATE FUNCTION f AS x -> x",
        "CREATE USER u",
        "CREATE ROLE r",
        "CREATE DICTIONARY d (a UInt8) PRIMARY KEY a SOURCE(FILE(PATH '/x' FORMAT 'CSV')) LAYOUT(FLAT())",
        "CREATE OR REPLACE DICTIONARY d (a UInt8) PRIMARY KEY a",
        "CREATE NAMED COLLECTION c AS a = 1",
        "CREATE TEMPORARY TABLE t (a UInt8)",
        "CREATE ROW POLICY p ON t",
        "CREATE QUOTA q",
        "CREATE SETTINGS PROFILE p",
        "CREATE WORKLOAD w",
        "CREATE VIEW v SQL SECURITY NONE AS SELECT 1",
        "CREATE VIEW v DEFINER = default AS SELECT 1",
        "ALTER USER default IDENTIFIED BY 'x'",
        "ALTER TABLE t FREEZE",
        "ALTER TABLE t MODIFY SETTING ttl_only_drop_parts = 1, disk = 'x'",
        "ALTER TABLE t FETCH PARTITION 1 FROM '/x'",
        "ALTER TABLE t MOVE PARTITION 1 TO DISK 'x'",
        "DROP FUNCTION f",
        "DROP USER default",
        "TRUNCATE ALL TABLES FROM default",
        "TRUNCATE DATABASE default",
        "UNDROP TABLE t",
    ] {
        refused(sql, "statement");
    }
    for sql in [
        "",
        "  -- nothing",
        "exit",
        "quit",
        ":q",
        "\\i /etc/passwd",
        "1 + 1",
        "help",
        "?",
        "SELECT 1; SELECT 2",
        "SELECT 1;;SELECT 2",
        "; SELECT 1",
        "DROP TABLE a PARALLEL WITH DROP TABLE b",
        "SELECT ‘x’",
        "INSERT INTO t FORMAT CSV; SELECT 1",
        "INSERT INTO t VALUES/* ",
        "SELECT 'open",
    ] {
        // The data of VALUES is the engine's to read.
        if sql.contains("VALUES") {
            passes(sql);
        } else {
            refused(sql, "syntax");
        }
    }
}

#[test]
fn engines_that_reach_outside_are_refused() {
    for engine in [
        "File(CSV)",
        "URL('http://x', CSV)",
        "S3('http://x')",
        "Kafka",
        "MySQL('a')",
        "Distributed(c, d, t)",
        "Executable('x', TSV)",
        "SQLite('/x', 't')",
        "EmbeddedRocksDB",
        "Dictionary(d)",
        "Remote('x')",
        "ArrowStream(1)",
        "ReplicatedMergeTree('/x', 'r')",
        "`File`(CSV)",
    ] {
        refused(
            &format!("CREATE TABLE t (a UInt8) ENGINE = {engine}"),
            "engine",
        );
        refused(
            &format!("CREATE TABLE t (a UInt8) ENGINE {engine}"),
            "engine",
        );
        refused(
            &format!("CREATE OR REPLACE TABLE t (a UInt8) /**/ engine\n=\n{engine}"),
            "engine",
        );
    }
    refused("CREATE DATABASE d ENGINE = Filesystem('/')", "engine");
    refused(
        "CREATE DATABASE d ENGINE = MySQL('h', 'd', 'u', 'p')",
        "engine",
    );
    refused("CREATE TABLE t (a UInt8) ENGINE = {e:Identifier}", "engine");
    passes("CREATE DATABASE IF NOT EXISTS signpost");
    passes("CREATE DATABASE d ENGINE = Atomic");
    passes("CREATE TABLE t (engine String, file_name String) ENGINE = MergeTree ORDER BY engine");
}

#[test]
fn settings_are_a_list() {
    for sql in [
        "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '/etc/passwd'",
        "SELECT 1 SETTINGS max_threads = 1, additional_result_filter = 'x'",
        "SELECT 1 SETTINGS max_threads = (1), format_schema = '/etc/passwd:M'",
        "SELECT * FROM (SELECT 1 SETTINGS implicit_table_at_top_level = 'x')",
        "SELECT 1 SETTINGS `dialect` = 'kusto'",
        "SELECT 1 SETTINGS /**/ log_comment = 'x'",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_threads = '/etc/passwd'",
        "INSERT INTO t SETTINGS input_format_record_errors_file_path = '/nowhere/x' FORMAT CSV\n1",
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/x')",
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS storage_policy = 'x'",
        "ALTER TABLE t MODIFY SETTING storage_policy = 'x'",
        "ALTER TABLE t MODIFY SETTING ttl_only_drop_parts = 1, table_disk = 'x'",
        "SELECT 1 SETTINGS non_replicated_deduplication_window = 1",
    ] {
        refused(sql, "setting");
    }
    passes("SELECT 1 SETTINGS max_threads = 1, max_block_size = 10");
    passes("SELECT settings, `settings` FROM t WHERE settings = 1");
    passes(
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192",
    );
}

#[test]
fn a_reader_reads_and_no_more() {
    for sql in [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t SELECT 1",
        "CREATE TABLE t (a UInt8) ENGINE = Memory",
        "DROP TABLE t",
        "ALTER TABLE t DELETE WHERE 1",
        "TRUNCATE TABLE t",
        "OPTIMIZE TABLE t",
        "DELETE FROM t WHERE 1",
        "SELECT 1 SETTINGS max_memory_usage = 1",
        "SELECT 1 SETTINGS max_execution_time = 0",
    ] {
        assert!(plan_as(sql, Role::Analyst, &[]).is_err(), "{sql}");
    }
    for sql in [
        "SELECT 1",
        "SHOW TABLES",
        "DESCRIBE t",
        "EXISTS t",
        "EXPLAIN SELECT 1",
        "WITH 1 AS x SELECT x",
    ] {
        assert!(plan_as(sql, Role::Analyst, &[]).is_ok(), "{sql}");
    }
}

#[test]
fn what_people_write_passes() {
    for sql in [
        "SELECT count() FROM signpost.clicks WHERE referrer = 'https://x/file (1).pdf'",
        "SELECT format('{} {}', a, b), formatReadableSize(1) FROM t",
        "SELECT * FROM numbers(10)",
        "SELECT url, s3, values, input FROM t",
        "SELECT a.1.2, -1, 1e5, .5, 0xff, x'41' FROM t",
        "FROM t SELECT a",
        "SELECT toDate(now()) - INTERVAL 1 DAY",
        "SELECT replaceRegexpAll(a, '\\\\d+', '') FROM t # comment",
        "RENAME TABLE a TO b",
        "EXCHANGE TABLES a AND b",
        "DROP TABLE IF EXISTS a SYNC",
        "OPTIMIZE TABLE a FINAL DEDUPLICATE",
        "ALTER TABLE t ADD COLUMN b UInt8, DROP PARTITION 202401",
        "ALTER TABLE a REPLACE PARTITION 202401 FROM b",
        "CREATE TABLE a (d DateTime) ENGINE = ReplacingMergeTree ORDER BY d TTL d + INTERVAL 1 DAY",
        "CREATE VIEW v AS SELECT engine FROM system.tables",
        "SHOW CREATE TABLE t FORMAT TSVRaw",
        "SELECT {a:UInt8} FROM {t:Identifier}",
    ] {
        passes(sql);
    }
}

#[test]
fn insert_is_split_into_statement_format_and_data() {
    #[track_caller]
    fn check(sql: &str, statement: &str, format: Option<&str>, data: &str) {
        match passes(sql) {
            Plan::Insert {
                sql_end,
                format: got,
                data_at,
            } => {
                assert_eq!(
                    (sql[..sql_end].trim(), got.as_deref(), &sql[data_at..]),
                    (statement, format, data),
                    "{sql}"
                );
            }
            plan => panic!("{sql}: {plan:?}"),
        }
    }
    check(
        "INSERT INTO t FORMAT CSV\n1,2",
        "INSERT INTO t",
        Some("CSV"),
        "1,2",
    );
    check(
        "INSERT INTO t FORMAT CSV 1,2",
        "INSERT INTO t",
        Some("CSV"),
        "1,2",
    );
    check(
        "INSERT INTO t FORMAT CSV\r\n1",
        "INSERT INTO t",
        Some("CSV"),
        "1",
    );
    check(
        "INSERT INTO t FORMAT CSV\n\n1",
        "INSERT INTO t",
        Some("CSV"),
        "\n1",
    );
    check("INSERT INTO t FORMAT CSV", "INSERT INTO t", Some("CSV"), "");
    check(
        "INSERT INTO t FORMAT CSV ;\n",
        "INSERT INTO t",
        Some("CSV"),
        "",
    );
    check(
        "insert into t(a, b) values (1, 'VALUES')",
        "insert into t(a, b)",
        Some("Values"),
        " (1, 'VALUES')",
    );
    check("INSERT t VALUES (1)", "INSERT t", Some("Values"), " (1)");
    check(
        "INSERT INTO d.format FORMAT CSV\n1",
        "INSERT INTO d.format",
        Some("CSV"),
        "1",
    );
    check(
        "INSERT INTO values VALUES (1)",
        "INSERT INTO values",
        Some("Values"),
        " (1)",
    );
    check("INSERT INTO t (a)", "INSERT INTO t (a)", None, "");
    check("INSERT INTO t;", "INSERT INTO t", None, "");
    check(
        "INSERT INTO t SETTINGS async_insert = 0 FORMAT RowBinary\n\u{0}'\"`",
        "INSERT INTO t SETTINGS async_insert = 0",
        Some("RowBinary"),
        "\u{0}'\"`",
    );
    assert!(matches!(
        passes("INSERT INTO t SELECT 1 AS FORMAT"),
        Plan::Plain { .. }
    ));
    assert!(matches!(
        passes("INSERT INTO t (a) SELECT 1"),
        Plan::Plain { .. }
    ));
    assert!(plan_as("INSERT INTO t FORMAT 'CSV'", Role::Signpost, &[]).is_err());
}

#[test]
fn format_of_a_result_is_found() {
    #[track_caller]
    fn check(sql: &str, expected: Option<&str>) {
        let (Plan::Rows { format, .. } | Plan::Plain { format, .. }) = passes(sql) else {
            panic!("{sql}");
        };
        assert_eq!(format.as_deref(), expected, "{sql}");
    }
    check("SELECT 1 FORMAT JSON", Some("JSON"));
    check("SELECT 1 FORMAT JSON;", Some("JSON"));
    check(
        "SELECT 1 FORMAT JSON SETTINGS max_threads = 1",
        Some("JSON"),
    );
    check("SELECT format FROM t", None);
    check("SELECT 1 AS format", None);
    check("SELECT format('{}', 1)", None);
    check("SELECT 1 FORMAT `JSON`", Some("JSON"));
    check("WITH 5 AS format SELECT format CSV", None);
}

#[test]
fn a_result_is_streamed_only_if_its_format_is_certain() {
    #[track_caller]
    fn check(sql: &str, expected: Delivery) {
        let Plan::Rows { delivery, .. } = passes(sql) else {
            panic!("{sql}");
        };
        assert_eq!(delivery, expected, "{sql}");
    }
    for sql in [
        "SELECT 1",
        "SELECT 1 FORMAT CSV",
        "SELECT * FORMAT CSV",
        "SELECT 1 FORMAT CSV;",
        "SELECT 1 FORMAT/**/CSV SETTINGS max_threads = 1",
        "SELECT 1 SETTINGS max_threads = 1 FORMAT CSV -- FORMAT JSON",
        "(SELECT 1) FORMAT CSV",
        "SELECT format FROM t FORMAT CSV",
        "SELECT 1 AS format FROM t",
        "SELECT t.format FROM t ORDER BY t.format",
        "SELECT format('{}', a), ' FORMAT JSON', $$ FORMAT JSON $$ FROM t FORMAT CSV",
        "SELECT `FORMAT` FROM t /* FORMAT JSON */",
        "SELECT k, count() FROM t GROUP BY k WITH ROLLUP",
    ] {
        check(sql, Delivery::ByFormat);
    }
    for sql in [
        "SELECT 1 FORMAT `CSV`",
        "SELECT 1 FORMAT \"CSV\"",
        "SELECT 1 FORMAT {f:String}",
        "SELECT 1 FORMAT CSV SETTINGS max_threads = 1 FORMAT JSON",
        "SELECT * FROM (SELECT 1 FORMAT CSV SETTINGS max_threads = 1)",
        "WITH 5 AS format SELECT format CSV",
        "WITH 5 AS format SELECT 1, format CSV",
        "WITH 5 AS format SELECT 1 + format CSV",
        "SELECT 1 ORDER BY format CSV",
        "SELECT k, count() FROM t GROUP BY k WITH TOTALS FORMAT CSV",
        "SELECT * FROM (SELECT k, count() FROM t GROUP BY k with/**/totals)",
        "SELECT 1 SETTINGS extremes = 1",
        "SELECT 1 SETTINGS `extremes` = 1",
        "SELECT 1 SETTINGS output_format_json_array_of_rows = 1 FORMAT JSONEachRow",
        "SELECT 1 SETTINGS format_csv_delimiter = '\"' FORMAT CSVWithNames",
    ] {
        check(sql, Delivery::Whole);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_policy_panic(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let asker = Asker { role: Role::Signpost, read_only: false, params: &[] };
        let _ = policy().plan(&text, asker);
    }
}
