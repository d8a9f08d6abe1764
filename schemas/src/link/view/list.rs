//! Things of one kind, end to end, read one after the other.

use crate::link::EntryError;
use crate::link::bytes::Rest;

/// Things of one kind, end to end. An iterator over what is left; copies are cheap.
pub struct List<'a, T> {
    rest: Rest<'a>,
    get: fn(&mut Rest<'a>) -> Result<T, EntryError>,
}

impl<'a, T> List<'a, T> {
    pub(super) fn new(bytes: &'a [u8], get: fn(&mut Rest<'a>) -> Result<T, EntryError>) -> Self {
        Self {
            rest: Rest(bytes),
            get,
        }
    }

    /// Checks that everything can be read and that there are at least one and at most `limit`.
    pub(super) fn check(
        &self,
        limit: usize,
        mut each: impl FnMut(T) -> Result<(), EntryError>,
    ) -> Result<(), EntryError> {
        let mut rest = self.rest;
        let mut count = 0;
        while !rest.0.is_empty() {
            each((self.get)(&mut rest)?)?;
            count += 1;
        }
        if (1..=limit).contains(&count) {
            return Ok(());
        }
        Err(EntryError::Limit)
    }
}

impl<T> Iterator for List<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        if self.rest.0.is_empty() {
            return None;
        }
        let item = (self.get)(&mut self.rest).ok();
        if item.is_none() {
            self.rest = Rest(&[]);
        }
        item
    }
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<T> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.rest == other.rest
    }
}

impl<T> Eq for List<'_, T> {}

impl<T> std::fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "List({} bytes)", self.rest.0.len())
    }
}
