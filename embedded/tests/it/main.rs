//! The real engine behind the real HTTP interface. One engine per process, so all tests share one server; what needs a
//! process of its own runs this binary again (`child`).
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it should be"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "where the engine lies, and what a child process is to do and has done"
)]

mod child;
mod client;
mod formats;
mod insert;
mod limits;
mod lockdown;
mod protocol;
mod start;
mod support;
