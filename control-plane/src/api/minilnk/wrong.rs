//! What is wrong with a call, found field by field and named all at once, as Laravel's validator does.

use crate::domain::field::{FieldError, FieldErrors};
use crate::error::ApiError;

/// Fields in the order in which they are named, whichever was found to be wrong first.
const ORDER: [&str; 16] = [
    "original_url",
    "alias",
    "title",
    "password",
    "expires_at",
    "remove_password",
    "remove_expiration",
    "name",
    "type",
    "content",
    "error_correction",
    "foreground_color",
    "background_color",
    "margin",
    "size",
    "link_id",
];

/// The fields that are wrong so far.
#[derive(Debug, Default)]
pub(super) struct Wrong(Vec<FieldError>);

impl Wrong {
    /// The fields that an error names; others are given back.
    pub(super) fn of(error: ApiError) -> Result<Self, ApiError> {
        match error {
            ApiError::Field(error) => Ok(Self(vec![error])),
            ApiError::Fields(errors) => Ok(Self(errors.into_all())),
            other => Err(other),
        }
    }

    /// What was read, or, where that is wrong, nothing and a note.
    pub(super) fn or_note<T: Default>(&mut self, read: Result<T, FieldError>) -> T {
        read.unwrap_or_else(|error| {
            self.0.push(error);
            T::default()
        })
    }

    /// Notes that a field is wrong.
    pub(super) fn note(&mut self, field: &str, problem: impl Into<String>) {
        self.0.push(FieldError::new(field, problem));
    }

    /// Whether a field is among them.
    pub(super) fn names(&self, field: &str) -> bool {
        self.0.iter().any(|error| error.field == field)
    }

    /// # Errors
    /// There are any.
    pub(super) fn end(mut self) -> Result<(), ApiError> {
        let place = |error: &FieldError| ORDER.iter().position(|name| *name == error.field);
        self.0
            .sort_by_key(|error| place(error).unwrap_or(ORDER.len()));
        match FieldErrors::new(self.0) {
            None => Ok(()),
            Some(errors) => Err(ApiError::Fields(errors)),
        }
    }
}
