//! The command line; what it runs is tested in `signpost/tests/it/many_machines.rs`.

use std::process::Command;

#[track_caller]
fn refused(arguments: &[&str], why: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_cluster"))
        .args(arguments)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(why), "{said}");
}

#[test]
fn what_cannot_be_run_is_said_before_anything_starts() {
    refused(&["up", "--brokers", "0"], "one of each");
    refused(&["chaos", "--program", "/nowhere"], "make build");
    refused(&["chaos", "--seconds", "soon"], "--seconds");
}
