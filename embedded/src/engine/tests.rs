//! The walls behind the policy, each alone, on the real engine; and the policy's lexer against the engine's.

use std::path::PathBuf;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::sql::{Asker, Policy};
use crate::users::Role;

#[allow(clippy::disallowed_methods, reason = "where the engine lies")]
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let library = std::env::var_os("SIGNPOST_CHDB_LIB").map_or_else(
            || {
                PathBuf::from(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../.cache/chdb/libchdb.so"
                ))
            },
            PathBuf::from,
        );
        // Removed by the next run of the integration tests, which know this prefix.
        let dir = tempfile::Builder::new()
            .prefix("signpost-embedded-test-")
            .tempdir()
            .expect("dir")
            .keep();
        Engine::start(&Config::new(dir, library)).expect("the engine (`make fetch` gets it)")
    })
}

fn ask(sql: &str) -> Result<String, String> {
    let mut connection = engine().connect().expect("connection");
    let output = connection.query(sql.as_bytes(), "TabSeparated", &[])?;
    Ok(String::from_utf8_lossy(output.bytes()).into_owned())
}

#[test]
fn rights_alone_stop_what_reaches_outside() {
    for sql in [
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM `/etc/hostname`",
        "DESCRIBE TABLE `/etc/hostname`",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM mongodb('127.0.0.1:1', 'd', 'c', 'u', 'p', 'a String')",
        "SELECT * FROM sqlite('/etc/hostname', 't')",
        "INSERT INTO FUNCTION file('/nowhere/signpost-never', 'CSV', 'a String') SELECT 'x'",
        "CREATE TABLE default.f (a String) ENGINE = File(CSV)",
        "CREATE TABLE default.f (a String) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
        "CREATE DATABASE f ENGINE = Filesystem('/etc')",
        "CREATE DICTIONARY default.d (a UInt64) PRIMARY KEY a SOURCE(FILE(PATH '/x' FORMAT 'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
        "CREATE FUNCTION f AS x -> x",
        "CREATE USER u",
        "CREATE NAMED COLLECTION c AS a = 1",
        "SYSTEM FLUSH LOGS",
        "BACKUP DATABASE default TO File('/nowhere/signpost-never.zip')",
        "GRANT ALL ON *.* TO default",
    ] {
        let error = ask(sql).expect_err(sql);
        assert!(error.contains("ACCESS_DENIED"), "{sql}: {error}");
    }
}

#[test]
fn configuration_holds() {
    let limit = Config::new("", "").memory_per_query;
    assert_eq!(
        ask("SELECT value FROM system.settings WHERE name = 'max_memory_usage'"),
        Ok(format!("{limit}\n"))
    );
    for sql in [
        "SET max_memory_usage = 0".to_owned(),
        format!("SET max_memory_usage = {}", limit + 1),
        "SELECT 1 SETTINGS max_memory_usage = 0".to_owned(),
        "SET dialect = 'kusto'".to_owned(),
        "SET allow_introspection_functions = 1".to_owned(),
        "SET input_format_values_interpret_expressions = 1".to_owned(),
    ] {
        assert!(ask(&sql).is_err(), "{sql}");
    }
}

#[test]
fn data_is_not_code_even_if_the_statement_asks_for_it() {
    ask("CREATE TABLE default.literals (a String) ENGINE = Memory").expect("table");
    for sql in [
        "INSERT INTO default.literals",
        "INSERT INTO default.literals SETTINGS input_format_values_interpret_expressions = 1",
        "INSERT INTO default.literals SETTINGS input_format_values_deduce_templates_of_expressions = 1",
    ] {
        for data in [
            "(file('/etc/hostname'))",
            "(file('/etc/hostname')), (file('/etc/hosts'))",
            "(1 + 1)",
        ] {
            let mut connection = engine().connect().expect("connection");
            let inserted =
                connection
                    .insert(sql.as_bytes(), "Values", &[])
                    .and_then(|mut insert| {
                        insert.append(data.as_bytes());
                        insert.finish().map(drop)
                    });
            assert!(inserted.is_err(), "{sql} VALUES {data}");
        }
    }
    assert_eq!(
        ask("SELECT count() FROM default.literals").as_deref(),
        Ok("0\n")
    );
}

#[test]
fn class_alone_stops_what_is_not_about_tables() {
    let mut connection = engine().connect().expect("connection");
    for sql in [
        "SELECT 1 INTO OUTFILE '/nowhere/signpost-never'",
        "SYSTEM FLUSH LOGS",
        "KILL QUERY WHERE 1",
        "ATTACH TABLE t FROM '/nowhere' (a Int8) ENGINE = MergeTree ORDER BY a",
        "SET max_threads = 1",
        "USE system",
        "BACKUP DATABASE default TO File('/x')",
        "CREATE FUNCTION f AS x -> x",
        "CREATE USER u",
        "INSERT INTO FUNCTION file('/nowhere/x', 'CSV') SELECT 1",
    ] {
        let analysis = connection.classify(sql.as_bytes());
        assert!(analysis.class > Class::Mutating, "{sql}: {analysis:?}");
    }
    assert_eq!(connection.classify(b"SELECT 1; SELECT 2").statements, 2);
    assert_eq!(connection.classify(b"garbage here").statements, 0);
    for (sql, class) in [
        ("SELECT 1", Class::ReadOnly),
        ("SHOW TABLES", Class::ReadOnly),
        ("INSERT INTO default.t (a) FORMAT Null\n", Class::Mutating),
        ("ALTER TABLE t DELETE WHERE 1", Class::Mutating),
    ] {
        assert_eq!(connection.classify(sql.as_bytes()).class, class, "{sql}");
    }
}

#[test]
fn every_table_function_of_this_engine_is_harmless_or_refused() {
    let policy = Policy::new(engine().table_functions());
    let asker = Asker {
        role: Role::Signpost,
        read_only: false,
        params: &[],
    };
    let mut passed: Vec<_> = engine()
        .table_functions()
        .iter()
        .filter(|name| {
            policy
                .plan(format!("SELECT * FROM {name}('x')").as_bytes(), asker)
                .is_ok()
        })
        .map(String::as_str)
        .collect();
    passed.sort_unstable();
    assert_eq!(
        passed,
        [
            "generate_series",
            "generateseries",
            "numbers",
            "numbers_mt",
            "view",
            "zeros",
            "zeros_mt"
        ],
        "a new table function: harmless, or one that reaches outside?"
    );
}

/// Words, names and strings as the engine splits them; `None` where it finds an error, since then nothing runs.
fn engines_tokens(text: &str) -> Option<Vec<(usize, usize)>> {
    let mut connection = engine().connect().expect("connection");
    let value = text
        .replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n");
    let sql = "SELECT t.1, t.2, t.3 FROM (SELECT arrayJoin(tokenizeQuery({q:String})) AS t)";
    let output = connection
        .query(sql.as_bytes(), "TabSeparated", &[("q".to_owned(), value)])
        .expect("tokens");
    let mut spans = Vec::new();
    for line in String::from_utf8_lossy(output.bytes()).lines() {
        let mut fields = line.split('\t');
        let mut number = || {
            fields
                .next()
                .and_then(|f| f.parse().ok())
                .expect("a number")
        };
        let span = (number(), number());
        match fields.next().expect("a type") {
            "BareWord" | "QuotedIdentifier" | "StringLiteral" | "HereDoc" => spans.push(span),
            error if error.starts_with("Error") => return None,
            _ => {}
        }
    }
    Some(spans)
}

#[track_caller]
fn same_tokens(text: &str) {
    // What the policy refuses to split needs no agreement.
    let Ok(ours) = crate::sql::spans(text.as_bytes()) else {
        return;
    };
    if let Some(engines) = engines_tokens(text) {
        assert_eq!(ours, engines, "{text:?}");
    }
}

#[test]
fn the_lexer_splits_as_the_engine_does() {
    for text in [
        "SELECT file('x'), `a``b`, \"c\" FROM t WHERE a.1.2 = 1.5e-3 AND b = 'it''s \\' ok'",
        "a /* /* */ */ b -- c\nd // e\nf # g\nh #! i\nj",
        "$$a'b$$ $t$ $$ $t$ x'41' b'01' X'fF'",
        "a$$b 1file(2) 0xAFfile 0b01 0x1p3 1e5e 1..2 .5.5 a.5 1_000 5.file(1)",
        "a->b::c!=d<=e||f==g@@h",
        "-- only\n/* comments */",
        "x''y b''c 'a'b",
    ] {
        same_tokens(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_lexer_splits_random_text_as_the_engine_does(
        parts in proptest::collection::vec(prop::sample::select(vec![
            "'", "\"", "`", "\\", "--", "/*", "*/", "\n", " ", "#", "# ", "#!", "//", "$$", "$a$", "$", "a", "file(", ")", ".",
            "1", "1.5e", "0x", "0b1", "x'", "b'", "4", "é", ";", "{", "}", ":", "=", "-", "e", "_", "\u{2018}", "+", "\t", "p",
        ]), 0..14)
    ) {
        same_tokens(&parts.concat());
    }
}
