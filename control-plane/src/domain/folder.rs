//! Folders: a link is in one or in none. A folder may lie in another; that says nothing of the links in it.

use super::channel;
use super::field::FieldError;

/// Most folders of a workspace.
pub const MAX_FOLDERS: i64 = 10_000;

/// Takes a folder's name: one line, not empty.
///
/// # Errors
/// A rule it breaks.
pub fn name(text: &str) -> Result<String, FieldError> {
    channel::name("name", text)
}
