//! Clients that we did not write, against Signpost: those of the hosted URLR, unchanged but for the host, those that a
//! generator makes of the OpenAPI documents, and ClickHouse's own, as an analyst uses them.

use std::path::Path;
use std::process::Command;

use schemas::names::files;
use serde_json::json;

use crate::harness::{CHROME, SETTLE, Up, cache, eventually};

/// URLR's own clients: the last one of its 2.0 generation and the newest (`deploy/dev/versions`).
pub(crate) const URLR: [&str; 2] = ["urlr-3.0.2", "urlr-3.3.0"];

/// The generator (`deploy/dev/versions`).
pub(crate) const GENERATOR: &str = "openapi-python-client-0.29.1";

/// ClickHouse's client for Python, an environment in the cache (`deploy/dev/versions`).
const CLICKHOUSE_CONNECT: &str = "clickhouse-connect-1.12.0";

/// ClickHouse's client for Node, a package in the cache.
const CLICKHOUSE_JS: &str = "clickhouse-client";

/// Runs a program of the folder `clients` to its end, with the Python of an environment in the cache.
#[track_caller]
fn python(up: &Up, environment: &str, program: &str, arguments: &[&str]) {
    let python = cache().join(environment).join("bin/python");
    let key = up.key();
    let arguments = [arguments, &[key.as_str()]].concat();
    run(up, &python, program, &arguments);
}

#[track_caller]
fn run(up: &Up, interpreter: &Path, program: &str, arguments: &[&str]) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients");
    let interpreter_name = interpreter.display();
    let output = Command::new(interpreter)
        .arg(format!("{folder}/{program}"))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{interpreter_name}: {error}: make test fetches it"));
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("done"),
        "{interpreter_name}: {said}{why}\n{}",
        up.log()
    );
}

#[test]
fn u_08_urlrs_own_clients_work() {
    for environment in URLR {
        let up = Up::with(&[("SIGNPOST_DOMAIN_CHECK", "off")]);
        let base = format!("http://{}/api/v2", up.api);
        python(&up, environment, "urlr_client.py", &[&base]);

        // Links of other dialects whose codes these clients refuse are theirs all the same, and keep their codes.
        let codes = [
            "x",
            "ok",
            &"l".repeat(50),
            &"l".repeat(51),
            &"m".repeat(120),
        ];
        let mut arguments = vec![base];
        for (n, code) in codes.iter().enumerate() {
            let url = format!("https://e.test/{n}");
            up.link(code, &json!({ "url": url }));
            arguments.push(format!("{url}={code}"));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        python(&up, environment, "urlr_codes.py", &arguments);
        let listed = up.api("GET", "/urls?limit=50", None).json();
        let links = listed["data"]["urls"].as_array().expect("links");
        let mut left: Vec<&str> = links
            .iter()
            .filter_map(|link| link["alias"].as_str())
            .collect();
        left.sort_unstable_by_key(|code| code.chars().count());
        // The program has deleted the newest of those without a code.
        assert_eq!(left, &codes[..4], "{listed}");
    }
}

#[test]
fn s_31_clients_generated_from_the_documents_work() {
    let up = Up::start();
    let address = format!("http://{}", up.api);
    python(&up, GENERATOR, "generated.py", &[&address]);
}

#[test]
fn clickhouses_own_clients_read_as_the_analyst() {
    let up = Up::start();
    let link = up.link("asked", &json!({"url": "https://e.test/"}));
    for address in ["81.169.145.1", "81.169.145.2", "8.8.8.8"] {
        up.visit_as("/asked", address, CHROME, &[]);
    }
    up.settled(link, 3);
    eventually(SETTLE, "the quarters are rolled up", || {
        let sum = format!("SELECT sum(clicks) FROM signpost.clicks_15m WHERE link = {link}");
        (up.sql(&sum).trim() == "3").then_some(())
    });
    let password = std::fs::read_to_string(up.data.join(files::ANALYST_PASSWORD)).unwrap();
    let (port, link) = (up.clickhouse.port().to_string(), link.to_string());
    let arguments = [port.as_str(), password.trim(), &link];
    let python = cache().join(CLICKHOUSE_CONNECT).join("bin/python");
    run(&up, &python, "analyst.py", &arguments);
    let package = cache().join(CLICKHOUSE_JS);
    let package = package.to_str().unwrap();
    let arguments = [&[package], &arguments[..]].concat();
    run(&up, Path::new("node"), "analyst.mjs", &arguments);
}
