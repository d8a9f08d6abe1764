//! The model and its rules: no HTTP, no SQL, no clock.

pub mod alias;
pub mod campaign;
pub mod channel;
pub mod country;
pub mod date;
pub mod destination;
pub mod field;
pub mod folder;
pub mod key;
pub mod link;
pub mod oauth;
pub mod page;
pub mod password;
pub mod plan;
pub mod role;
pub mod salt;
pub mod tag;
pub mod user;
