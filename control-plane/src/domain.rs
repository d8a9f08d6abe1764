//! The model and its rules: no HTTP, no SQL, no clock.

pub mod alias;
pub mod app_link;
pub mod campaign;
pub mod channel;
pub mod color;
pub mod country;
pub mod date;
pub mod destination;
pub mod field;
pub mod folder;
pub mod framing;
pub mod key;
pub mod language;
pub mod link;
pub mod oauth;
pub mod overlay;
pub mod page;
pub mod password;
pub mod pixel;
pub mod plan;
pub mod role;
pub mod rule;
pub mod salt;
pub mod splash;
pub mod tag;
pub mod user;
