//! A whole cluster on one machine: real Kafka brokers, PostgreSQL, the embedded ClickHouse engine, several control planes,
//! proxies and ingest workers, and haproxy in front; to look at (`make up-cluster`) and to break (`make chaos`).
//!
//! It starts the program and the scripts of `deploy/dev`, and speaks HTTP. It links no other crate of the workspace: what
//! checks the books must not share the code that keeps them.

pub mod books;
pub mod chaos;
pub mod cluster;
pub mod faults;
mod front;
pub mod http;
pub mod parts;
pub mod plan;
pub mod process;
pub mod random;
pub mod relay;
pub mod visitors;
mod welcome;

/// Waits without spinning. Nothing here has an event to wait for: what is waited for happens in other processes.
pub(crate) fn pause(time: std::time::Duration) {
    let until = std::time::Instant::now() + time;
    while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
        std::thread::park_timeout(left);
    }
}
