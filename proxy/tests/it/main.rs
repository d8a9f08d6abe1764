//! The real proxy on free ports.

mod clicks;
mod feed_server;
mod harness;
mod redirect;
