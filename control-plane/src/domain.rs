//! The model and its rules: no HTTP, no SQL, no clock.

pub mod salt;
