//! What the two ends of the Kafka topics share: settings, librdkafka clients, topics, and the keys of records.
//!
//! A library below the roles, no role: it starts no thread and keeps no state. The proxy's shipper writes the topic,
//! ingest reads it; neither knows the other.

mod client;
mod key;
pub mod raw;
mod settings;
mod topic;

pub use client::{Brokers, forward_log};
pub use key::{Key, KeyError, Unread};
pub use settings::Kafka;
pub use topic::{TopicError, ensure};
