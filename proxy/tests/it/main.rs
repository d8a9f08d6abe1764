//! The real proxy on free ports.

mod clicks;
mod connections;
mod counting;
mod direct;
mod extended;
mod feed;
mod feed_server;
mod files;
mod harness;
mod http;
mod limits;
mod proxy_protocol;
mod readers;
mod redirect;
mod smuggling;
mod snapshot;
mod tls;
