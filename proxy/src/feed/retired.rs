//! Tables that have been replaced, kept until no worker looks at them any more: whoever drops the last reference frees
//! a table's memory, and that must not be a serving thread.

use std::sync::Arc;

use crate::table::LinkTable;

#[derive(Default)]
pub(super) struct Retired(Vec<Arc<LinkTable>>);

impl Retired {
    /// Adds one, and frees those that nobody looks at.
    pub(super) fn push(&mut self, table: Arc<LinkTable>) {
        self.0.push(table);
        self.sweep();
    }

    /// Frees those that nobody looks at.
    pub(super) fn sweep(&mut self) {
        self.0.retain(|table| Arc::strong_count(table) > 1);
    }
}
