//! Ingest against the real engine, each in a process that tests may kill.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests: a panic is the report; children get their orders by environment"
)]

mod audit;
#[path = "../../../kafka/testing/broker.rs"]
mod broker;
mod child;
mod exactly_once;
mod hostile;
mod kills;
mod letters;
mod log;
mod readme;
mod support;
mod takeover;
mod topic;
mod truth;
mod wire;
mod workers;
