//! The system as its users meet it: the real binary, every role a process, the real engine, real HTTP.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod harness;

mod bio;
#[path = "../../../kafka/testing/broker.rs"]
mod broker;
mod clients;
mod deletions;
mod disk;
mod documented;
mod edge;
mod files;
mod groups;
mod hostile;
mod https;
mod life;
mod limits;
mod link_fields;
mod links;
mod many_machines;
mod over_kafka;
mod pages;
mod qr;
mod ranges;
mod recipes;
mod replay;
mod rows;
mod safety;
mod settings;
mod small_dialects;
mod stats;
mod uploads;
mod urlr;
