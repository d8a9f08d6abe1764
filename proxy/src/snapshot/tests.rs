//! Snapshots on disk, damaged ones above all.
