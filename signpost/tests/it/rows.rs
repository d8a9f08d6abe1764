//! `docs/api/rows.md`: every promise of the API documents, and the tests that name it. Generated; this test fails when it
//! is not current (`make rows` writes it anew).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[test]
fn the_table_of_promises_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let promises =
        std::fs::read_to_string(root.join("docs/api/promises.md")).expect("the promises");
    let table = table(&promises, &tests(root));
    let file = root.join("docs/api/rows.md");
    if std::env::vars().any(|(name, _)| name == "SIGNPOST_ROWS_UPDATE") {
        std::fs::write(&file, &table).expect("written");
    }
    let current = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        current == table,
        "docs/api/rows.md is not current: run `make rows`"
    );
}

/// Which tests name which row: a test names row O-07 when `o_07` is a part of its name, or when a comment in it is headed by
/// it (`// o_07, o_08: what is checked here`).
fn tests(root: &Path) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in rust_files(root) {
        let relative = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .display()
            .to_string();
        if relative.ends_with("tests/it/rows.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let mut test = String::new();
        let mut is_test = false;
        let mut rows = Vec::new();
        // A macro that makes tests of functions: there each function with a row in its name is one.
        let made = text.contains("on_both_engines! {");
        for line in text.lines() {
            let trimmed = line.trim_start();
            if trimmed.starts_with("#[") {
                is_test |= trimmed.contains("test");
                rows.clear();
            } else if let Some(name) = function_name(trimmed) {
                let named = of_name(name);
                is_test |= made && !named.is_empty();
                test = if is_test {
                    name.to_owned()
                } else {
                    String::new()
                };
                is_test = false;
                rows = named;
            } else {
                rows = of_comment(trimmed);
            }
            if test.is_empty() {
                continue;
            }
            for id in rows.drain(..) {
                let entry = format!("`{relative}` {test}");
                let tests = found.entry(id).or_default();
                if !tests.contains(&entry) {
                    tests.push(entry);
                }
            }
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ").unwrap_or(line);
    let rest = rest
        .strip_prefix("async ")
        .unwrap_or(rest)
        .strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// Row ids in a test's name: `o_07_what_it_shows`.
fn of_name(name: &str) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let pairs = words.windows(2);
    pairs.filter_map(|pair| id(pair[0], pair[1])).collect()
}

/// Row ids that head a part of a comment: `// O-07, o_08: …`. One that is spoken of, as `o_09` in here, is none, and neither
/// is what looks like one in code (`\u{16}`, `m=64`).
fn of_comment(line: &str) -> Vec<String> {
    let Some(text) = line.strip_prefix("// ") else {
        return Vec::new();
    };
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let heads = after.is_empty() || after.starts_with([',', ':', ';', '.', ')']);
        let parts = word.split_once(['_', '-']);
        if let Some(row) = parts.and_then(|(document, number)| id(document, number))
            && heads
        {
            found.push(row);
        }
        rest = after;
    }
    found
}

/// `o` and `07` are row O-07.
fn id(document: &str, number: &str) -> Option<String> {
    let document = document.to_ascii_uppercase();
    let is_row = matches!(&*document, "O" | "U" | "M" | "S")
        && (2..=3).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_digit());
    is_row.then(|| format!("{document}-{number}"))
}

#[test]
fn a_row_is_named_and_not_merely_mentioned() {
    let none: [&str; 0] = [];
    assert_eq!(of_name("o_07_u_108_both"), ["O-07", "U-108"]);
    assert_eq!(of_name("video_07_x"), none);
    for (line, expected) in [
        ("// o_07: what it shows.", &["O-07"][..]),
        ("// O-133, O-134: two; m_48.", &["O-133", "O-134", "M-48"]),
        ("// Both stay (o_112, o_113).", &["O-112", "O-113"]),
        ("// As o_12 does, but for s_7: nothing.", &[]),
        ("/// O-65: of what follows.", &[]),
        ("\"\\u{16}\\u{3}\",", &[]),
        ("\"$argon2id$v=19$m=64,t=1\", // o_07: no", &[]),
        ("\"http://u@127.0.0.1/\",", &[]),
    ] {
        assert_eq!(of_comment(line), expected, "{line}");
    }
}

fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for member in [
        "signpost",
        "proxy",
        "control-plane",
        "ingest",
        "schemas",
        "embedded",
        "loadtest",
    ] {
        let mut folders = vec![root.join(member)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    files.push(path);
                }
            }
        }
    }
    files.sort();
    files
}

fn table(promises: &str, tests: &BTreeMap<String, Vec<String>>) -> String {
    let mut rows = Vec::new();
    for line in promises.lines() {
        let cells: Vec<&str> = line
            .trim()
            .trim_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect();
        let Some((id, capability)) = cells.first().zip(cells.get(1)) else {
            continue;
        };
        let is_row = id.len() >= 4
            && id.as_bytes()[1] == b'-'
            && id[2..].bytes().all(|b| b.is_ascii_digit());
        if is_row {
            rows.push((*id, *capability));
        }
    }
    let held = rows
        .iter()
        .filter(|(id, _)| tests.contains_key(*id))
        .count();
    let mut out = String::from(
        "# Promises of the API and the tests that hold them\n\n\
         Generated by `make rows` from [promises.md](promises.md) and the names of the tests. Do not edit.\n\n",
    );
    let _ = writeln!(
        out,
        "{held} of {} rows are held by a test; the others are open.\n",
        rows.len()
    );
    out.push_str("| row | promise | held by |\n| --- | --- | --- |\n");
    for (id, capability) in rows {
        let by = tests
            .get(id)
            .map_or_else(|| "open".to_owned(), |t| t.join("<br>"));
        let _ = writeln!(out, "| {id} | {capability} | {by} |");
    }
    out
}
