//! The control plane: REST API, link database, feed to the proxies, statistics.
//!
//! Read [`router`] for everything it answers, [`domain`] for the rules, [`store`] for the SQL.

pub mod app;
mod clock;
pub mod config;
pub mod domain;
pub mod feed;
mod metrics;
mod router;
pub mod stats;
pub mod store;

pub use clock::Clock;
pub use config::Config;
