//! The operator's commands: they read the same settings as the roles, do one thing, and end.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod clicks;
pub(crate) mod dead;
pub(crate) mod key;
