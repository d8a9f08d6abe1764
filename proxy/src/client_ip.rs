//! The visitor's address.
