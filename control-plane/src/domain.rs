//! The model and its rules: no HTTP, no SQL, no clock.

pub mod alias;
pub mod country;
pub mod date;
pub mod destination;
pub mod field;
pub mod key;
pub mod link;
pub mod password;
pub mod salt;
