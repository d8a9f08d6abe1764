//! The API dialects: each with its own request and response types and thin handlers over the same model. What a dialect
//! is to the gate is said in [`dialect`]; [`reply`], [`request`] and [`openapi`] are what all of them are written with.

pub(crate) mod counts;
pub(crate) mod dialect;
pub(crate) mod fields;
pub(crate) mod minilnk;
pub(crate) mod oauth;
pub(crate) mod openapi;
pub(crate) mod openmylink;
pub(crate) mod range;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod smartlinks;
pub(crate) mod urlr;
