//! The API dialects: each with its own request and response types and thin handlers over the same model.

pub(crate) mod oauth;
pub(crate) mod openmylink;
