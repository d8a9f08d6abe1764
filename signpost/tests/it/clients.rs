//! Clients that we did not write, against Signpost: those of the hosted URLR, unchanged but for the host, and those that a
//! generator makes of the OpenAPI documents.

use std::process::Command;

use serde_json::json;

use crate::harness::{Up, cache};

/// URLR's own clients: the last one of its 2.0 generation and the newest (`deploy/dev/versions`).
pub(crate) const URLR: [&str; 2] = ["urlr-3.0.2", "urlr-3.3.0"];

/// The generator (`deploy/dev/versions`).
pub(crate) const GENERATOR: &str = "openapi-python-client-0.29.1";

/// Runs a program of the folder `clients` to its end, with the Python of an environment in the cache.
#[track_caller]
fn python(up: &Up, environment: &str, program: &str, arguments: &[&str]) {
    let python = cache().join(environment).join("bin/python");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clients");
    let output = Command::new(&python)
        .arg(format!("{folder}/{program}"))
        .args(arguments)
        .arg(up.key())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}: make test fetches it", python.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("done"),
        "{environment}: {said}{why}\n{}",
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
