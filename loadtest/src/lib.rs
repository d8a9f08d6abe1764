//! Traffic for a running Signpost, and the check of every number it leaves behind.
//!
//! `replay` sends a real web server's log through short links and compares what the product says afterwards with what the
//! log says. It speaks HTTP and links no other crate of the workspace: a mistake in shared code would agree with itself.
//!
//! It starts and kills nothing. Crashes are a driver's business; `replay --attempt-ids` keeps the books meanwhile.

pub mod agents;
pub mod api;
pub mod attempts;
pub mod clickhouse;
pub mod compare;
pub mod expected;
pub mod http_client;
pub mod imported;
pub mod labels;
pub mod links;
pub mod log_line;
pub mod replay;
pub mod report;
pub mod sender;
pub mod slug_map;
pub mod traffic;
