//! The control plane as its callers see it: the real program on port 0, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod account;
mod bad_input;
mod blobs;
mod campaigns;
mod channels;
mod conventions;
mod domains;
mod engine;
mod entries;
mod feed;
mod feed_writes;
mod fetch;
mod files;
mod folders;
mod foreign;
mod harness;
mod import;
mod keys;
mod leases;
mod limits;
mod link_fields;
mod links;
mod lists;
mod members;
mod oauth;
mod plans;
mod qr;
mod roles;
mod s3;
mod start;
mod stats;
mod storage;
mod surfaces;
mod users;
