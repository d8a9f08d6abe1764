//! The real proxy on free ports.

#[path = "../../../kafka/testing/broker.rs"]
mod broker;
mod clicks;
mod connections;
mod counting;
mod crashes;
mod direct;
mod extended;
mod feed;
mod feed_server;
mod files;
mod harness;
mod http;
mod http2;
mod limits;
mod proxy_protocol;
mod readers;
mod redirect;
mod ship;
mod smuggling;
mod snapshot;
mod tls;
