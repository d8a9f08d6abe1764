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

/// Which tests name which row: a test names row O-07 when `o_07` stands in its name or in its text.
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
        // A macro that makes tests of functions: there each function with a row in its name is one.
        let made = text.contains("on_both_engines! {");
        for line in text.lines() {
            let trimmed = line.trim_start();
            if trimmed.starts_with("#[") {
                is_test |= trimmed.contains("test");
            } else if let Some(name) = function_name(trimmed) {
                is_test |= made && !ids(name).is_empty();
                test = if is_test {
                    name.to_owned()
                } else {
                    String::new()
                };
                is_test = false;
            }
            if test.is_empty() {
                continue;
            }
            for id in ids(trimmed) {
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

/// Row ids in a line: `o_07` as a word of its own or as part of a test's name.
fn ids(line: &str) -> Vec<String> {
    let lower = line.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    words
        .windows(2)
        .filter(|pair| {
            matches!(pair[0], "o" | "u" | "m" | "s")
                && (2..=3).contains(&pair[1].len())
                && pair[1].bytes().all(|b| b.is_ascii_digit())
        })
        .map(|pair| format!("{}-{}", pair[0].to_ascii_uppercase(), pair[1]))
        .collect()
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
