//! A result of many blocks is, in every format, the document that a ClickHouse server gives: one beginning, one end.
//!
//! The reference is the same query with the format's name in lower case: the engine takes it, our streaming does not know
//! it and has the engine make the result in one call. That this reference is right is seen by literals.

use crate::support::{all_places, encoded, ok, post, query};

/// Compared byte by byte.
const FORMATS: [&str; 44] = [
    "TabSeparated",
    "TSV",
    "TabSeparatedRaw",
    "TSVRaw",
    "TabSeparatedWithNames",
    "TSVWithNames",
    "TabSeparatedWithNamesAndTypes",
    "TSVWithNamesAndTypes",
    "TSVRawWithNames",
    "TSVRawWithNamesAndTypes",
    "TSKV",
    "CSV",
    "CSVWithNames",
    "CSVWithNamesAndTypes",
    "JSONEachRow",
    "JSONLines",
    "NDJSON",
    "JSONStringsEachRow",
    "JSONCompactEachRow",
    "JSONCompactEachRowWithNames",
    "JSONCompactEachRowWithNamesAndTypes",
    "JSONCompactStringsEachRow",
    "JSONCompactStringsEachRowWithNames",
    "JSONCompactStringsEachRowWithNamesAndTypes",
    "RowBinary",
    "RowBinaryWithNames",
    "RowBinaryWithNamesAndTypes",
    "Native",
    "Values",
    "MsgPack",
    "JSON",
    "JSONCompact",
    "JSONStrings",
    "JSONColumns",
    "JSONObjectEachRow",
    "Vertical",
    "Pretty",
    "PrettyCompact",
    "PrettySpaceNoEscapes",
    "Markdown",
    "XML",
    "SQLInsert",
    "Parquet",
    "Null",
];

/// Formats of one column.
const SINGLE: [&str; 2] = ["LineAsString", "RawBLOB"];

/// Formats that the engine also reads.
const READ_BACK: [&str; 20] = [
    "TSVWithNamesAndTypes",
    "CSVWithNames",
    "CSVWithNamesAndTypes",
    "JSONEachRow",
    "JSONCompactEachRowWithNamesAndTypes",
    "JSONCompactStringsEachRowWithNames",
    "RowBinary",
    "RowBinaryWithNames",
    "RowBinaryWithNamesAndTypes",
    "Native",
    "Values",
    "MsgPack",
    "JSON",
    "JSONColumns",
    "BSONEachRow",
    "Parquet",
    "Arrow",
    "ArrowStream",
    "ORC",
    "Avro",
];

/// Settings that make two runs comparable: no elapsed time in a document, one order of rows.
const STEADY: &str = "max_threads = 1, output_format_write_statistics = 0";

/// The format must answer as if the result were made in one.
async fn same(sql: &str, format: &str, settings: &str) -> Vec<u8> {
    let tail = format!("SETTINGS {STEADY}{settings}");
    let got = query(&format!("{sql} FORMAT {format} {tail}")).await;
    let expected = query(&format!("{sql} FORMAT {} {tail}", format.to_lowercase())).await;
    assert_eq!(expected.status, 200, "{sql} {format}: {}", expected.text());
    assert_eq!(got.status, 200, "{sql} {format}: {}", got.text());
    assert!(
        got.body == expected.body,
        "{sql} {format}\ngot:\n{}\nexpected:\n{}",
        got.text(),
        expected.text()
    );
    let default = post(&format!("default_format={format}"), format!("{sql} {tail}")).await;
    assert!(
        default.body == expected.body,
        "{sql} {format} as default format: {}",
        default.text()
    );
    got.body
}

#[tokio::test]
async fn every_format_is_one_document() {
    let _places = all_places().read().await;
    let columns = r#"number, toString(number) AS "na""me
""#;
    for format in FORMATS {
        for rows in [
            "FROM numbers(10)",
            "FROM numbers(0)",
            "FROM numbers(10) WHERE number > 100",
        ] {
            let sql = format!("SELECT {columns} {rows}");
            same(&sql, format, ", max_block_size = 3").await;
        }
    }
    for format in SINGLE {
        for value in ["toString(number)", "if(number = 4, 'x', '')"] {
            let sql = format!("SELECT {value} FROM numbers(10)");
            same(&sql, format, ", max_block_size = 1").await;
        }
    }
}

#[tokio::test]
async fn every_format_is_one_document_over_many_parts() {
    let _places = all_places().read().await;
    ok(&query("CREATE TABLE parted (a UInt64, b LowCardinality(String), c Nullable(UInt64)) ENGINE = MergeTree ORDER BY a SETTINGS max_bytes_to_merge_at_max_space_in_pool = 1").await);
    for part in 0..5 {
        ok(&query(&format!("INSERT INTO parted SELECT number, toString(number % 3), if(number % 2 = 0, NULL, number) FROM numbers({}, 10)", part * 10)).await);
    }
    let parts = query("SELECT count() FROM system.parts WHERE active AND table = 'parted'").await;
    assert_eq!(ok(&parts), "5");
    for format in FORMATS {
        let body = same(
            "SELECT * FROM parted ORDER BY a",
            format,
            ", max_block_size = 7",
        )
        .await;
        assert!(!body.is_empty() || format == "Null", "{format}");
        same("SELECT * FROM parted", format, "").await;
    }
}

#[tokio::test]
async fn documents_are_these_to_the_byte() {
    let _places = all_places().read().await;
    let sql = "SELECT number AS n FROM numbers(3) SETTINGS max_block_size = 1, output_format_write_statistics = 0 FORMAT";
    for (format, expected) in [
        ("TSVWithNames", "n\n0\n1\n2\n"),
        ("CSVWithNamesAndTypes", "\"n\"\n\"UInt64\"\n0\n1\n2\n"),
        ("JSONCompactEachRowWithNames", "[\"n\"]\n[0]\n[1]\n[2]\n"),
        ("Values", "(0),(1),(2)"),
        (
            "JSONCompact",
            "{\n\t\"meta\":\n\t[\n\t\t{\n\t\t\t\"name\": \"n\",\n\t\t\t\"type\": \"UInt64\"\n\t\t}\n\t],\n\n\t\"data\":\n\t[\n\t\t[0],\n\t\t[1],\n\t\t[2]\n\t],\n\n\t\"rows\": 3\n}\n",
        ),
        (
            "Vertical",
            "Row 1:\n──────\nn: 0\n\nRow 2:\n──────\nn: 1\n\nRow 3:\n──────\nn: 2\n",
        ),
        ("Markdown", "| n |\n|-:|\n| 0 |\n| 1 |\n| 2 |\n"),
    ] {
        let reply = query(&format!("{sql} {format}")).await;
        assert_eq!(reply.text(), expected, "{format}");
        assert_eq!(reply.header("x-clickhouse-format").as_deref(), Some(format));
    }
    let mut binary = b"\x01\x01n\x06UInt64".to_vec();
    binary.extend((0..3_u64).flat_map(u64::to_le_bytes));
    let reply = query(&format!("{sql} RowBinaryWithNamesAndTypes")).await;
    assert_eq!(reply.body, binary);
}

#[tokio::test]
async fn what_goes_out_can_be_read_in() {
    let _places = all_places().read().await;
    ok(&query("CREATE TABLE read_back (number UInt64, name String) ENGINE = Memory").await);
    for format in READ_BACK {
        let reply = query(&format!(
            "SELECT number, toString(number) AS name FROM numbers(100) SETTINGS max_block_size = 7 FORMAT {format}"
        ))
        .await;
        assert_eq!(reply.status, 200, "{format}: {}", reply.text());
        let insert = format!("INSERT INTO read_back FORMAT {format}");
        let inserted = post(&format!("query={}", encoded(&insert)), &reply.body).await;
        assert_eq!(inserted.status, 200, "{format}: {}", inserted.text());
        let sums = query("SELECT count(), sum(number), sum(toUInt64(name)) FROM read_back").await;
        assert_eq!(ok(&sums), "100\t4950\t4950", "{format}");
        ok(&query("TRUNCATE TABLE read_back").await);
    }
}

#[tokio::test]
async fn what_follows_the_rows_comes_once_and_last() {
    let _places = all_places().read().await;
    for format in [
        "TSVWithNames",
        "CSVWithNamesAndTypes",
        "JSONEachRow",
        "RowBinaryWithNames",
        "JSON",
    ] {
        let totals =
            "SELECT number % 3 AS k, count() FROM numbers(10) GROUP BY k WITH TOTALS ORDER BY k";
        same(totals, format, ", max_block_size = 1").await;
        for setting in [
            "extremes = 1",
            "output_format_json_array_of_rows = 1",
            "format_csv_delimiter = '\"'",
        ] {
            let setting = format!(", max_block_size = 3, {setting}");
            same("SELECT number, 'a' AS s FROM numbers(7)", format, &setting).await;
        }
    }
    // The same settings with the request.
    let reply = post(
        "output_format_json_array_of_rows=1&max_block_size=1",
        "SELECT number AS n FROM numbers(2) FORMAT JSONEachRow",
    )
    .await;
    assert_eq!(reply.text(), "[\n{\"n\":0},\n{\"n\":1}\n]\n");
    let reply = post(
        "extremes=1&max_block_size=1",
        "SELECT number AS n FROM numbers(3) FORMAT CSVWithNames",
    )
    .await;
    assert_eq!(reply.text(), "\"n\"\n0\n1\n2\n\n0\n2\n");
}

#[tokio::test]
async fn words_that_only_look_like_a_format_clause_do_not_count() {
    let _places = all_places().read().await;
    for sql in [
        "WITH 5 AS format SELECT format CSV",
        "SELECT ' FORMAT CSV' AS CSV -- FORMAT CSV",
        "SELECT format('{}', 'x') AS CSV /* FORMAT CSV */",
        "SELECT 1 AS `FORMAT CSV`",
    ] {
        let reply = post("default_format=JSON", sql).await;
        assert!(
            ok(&reply).starts_with("{\n\t\"meta\":"),
            "{sql}: {}",
            reply.text()
        );
        assert_eq!(reply.header("x-clickhouse-format").as_deref(), Some("JSON"));
    }
    let reply = query(
        "SELECT number AS n FROM numbers(2) SETTINGS max_block_size = 1 FORMAT `CSVWithNames`",
    )
    .await;
    assert_eq!(reply.text(), "\"n\"\n0\n1\n");
}
