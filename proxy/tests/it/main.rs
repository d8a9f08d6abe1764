//! The real proxy on free ports.

mod clicks;
