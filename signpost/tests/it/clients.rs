//! Clients that we did not write, against Signpost: those of the hosted URLR, unchanged but for the host, and those that a
//! generator makes of the OpenAPI documents.

use std::process::Command;

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
    }
}

#[test]
fn s_31_clients_generated_from_the_documents_work() {
    let up = Up::start();
    let address = format!("http://{}", up.api);
    python(&up, GENERATOR, "generated.py", &[&address]);
}
