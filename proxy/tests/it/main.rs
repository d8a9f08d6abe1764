//! The real proxy on free ports.
