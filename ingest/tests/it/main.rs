//! Ingest against the real engine, each in a process that tests may kill.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests: a panic is the report; children get their orders by environment"
)]

mod audit;
mod child;
mod exactly_once;
mod kills;
mod log;
mod readme;
mod support;
mod truth;
mod wire;
