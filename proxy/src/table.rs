//! The link table in memory.
