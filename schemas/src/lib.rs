//! What crosses a process boundary in Signpost, and nothing else.
//!
//! Roles never call each other's code; they meet in the types and byte formats of this crate. It does no I/O, has no
//! clock and draws no random numbers: bytes in, values out.

pub mod click;
pub mod click_log;
pub mod clickhouse;
pub mod feed;
pub mod health;
pub mod host;
pub mod link;
pub mod names;
pub mod settings;
pub mod slug;
pub mod sql;
