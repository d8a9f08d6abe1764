//! Keeps the link table fresh.
