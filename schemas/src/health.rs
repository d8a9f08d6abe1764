//! Readiness of a role: each part says whether it is ready or why not; `/ready` reads the lot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What the parts of one role say of themselves. Cheap to clone; all clones share one state.
///
/// Not for the hot path: parts write here when their state changes, never per request.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

impl Health {
    /// A role without parts, which is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// `part` is ready.
    pub fn ready(&self, part: &'static str) {
        self.set(part, None);
    }

    /// `part` is not ready, and why: lower case, no full stop, no secrets.
    pub fn not_ready(&self, part: &'static str, why: impl Into<String>) {
        self.set(part, Some(why.into()));
    }

    /// Parts in alphabetical order, each with the reason why it is not ready, if it is not.
    pub fn report(&self) -> BTreeMap<&'static str, Option<String>> {
        self.parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether all parts are ready. A role whose parts have not said anything yet is not.
    pub fn is_ready(&self) -> bool {
        let report = self.report();
        !report.is_empty() && report.values().all(Option::is_none)
    }

    fn set(&self, part: &'static str, why: Option<String>) {
        self.parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(part, why);
    }
}
