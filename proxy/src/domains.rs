//! Whether a domain is ours, for whoever gets certificates on demand.

use std::sync::{Arc, OnceLock};

use schemas::host::Host;

use crate::table::Current;

/// The domains that links are served under; known once the proxy has started. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Domains(Arc<OnceLock<Current>>);

impl Domains {
    /// Whether links are served under this name; `None`: there is no link table yet.
    pub fn has(&self, name: &str) -> Option<bool> {
        let table = self.0.get()?.load();
        if !table.is_loaded() {
            return None;
        }
        // No certificate is for an address or a port.
        Some(match Host::parse(name) {
            Ok(Host::Name(normal)) if !name.contains(':') => {
                table.domain(normal.as_bytes()).is_some()
            }
            _ => false,
        })
    }

    /// This table says.
    pub(crate) fn know(&self, table: &Current) {
        // Set once: a process has one proxy.
        let _ = self.0.set(Arc::clone(table));
    }
}
