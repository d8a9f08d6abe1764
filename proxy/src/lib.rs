//! The proxy: answers short links from memory and records each visit before its answer leaves.
//!
//! Direction inside the crate: `app` → edges (`server`, `feed`, `snapshot`, `ring`, `log`, `ship`) → core (`handler`, `table`,
//! `request`, `answer`, `rules`, `extended`, `gates`,
//! `pages`, `enrich`). The redirect path is synchronous and cannot fail; everything that can wait has
//! threads of its own.

pub mod answer;
pub mod app;
pub mod blobs;
pub mod client_ip;
pub mod config;
pub mod data_folder;
mod descriptors;
mod domains;
pub mod enrich;
pub mod extended;
pub mod feed;
pub mod files;
pub mod gates;
pub mod handler;
pub mod import;
pub mod log;
mod mark;
pub mod metrics;
pub mod pages;
pub mod request;
pub mod ring;
pub mod rules;
pub mod salts;
pub mod server;
pub mod ship;
pub mod snapshot;
pub mod table;
pub mod tls;
mod transport;
pub mod visit;

pub use app::{Proxy, run};
pub use config::Config;
pub use domains::Domains;
