//! The link table on disk.
