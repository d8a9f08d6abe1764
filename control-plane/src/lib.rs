//! The control plane: REST API, link database, feed to the proxies, statistics.
//!
//! Read [`router`] for everything it answers, [`middleware`] for what every call goes through, [`domain`] for the rules,
//! [`links`] for what dialects do with links, [`store`] for the SQL. The dialects under [`api`] are thin.

mod adding;
mod api;
pub mod app;
mod bio;
pub mod blocklist;
mod clock;
pub mod config;
mod data_dir;
mod destinations;
pub mod dns;
pub mod domain;
mod domains;
pub mod error;
pub mod feed;
pub mod fetch;
mod files;
pub mod keys;
mod links;
mod looks;
mod metrics;
mod middleware;
mod own_url;
mod ownership;
pub mod pages;
mod passwords;
mod qr;
pub mod qr_image;
mod rate;
pub mod render;
pub mod resolve;
mod router;
mod server;
mod sign_in;
pub mod stats;
pub mod storage;
pub mod store;
mod usage;
mod visitor;
mod workers;

pub use app::{Running, run, start};
pub use clock::Clock;
pub use config::Config;
