//! A request's headers: a map of hyper's, or lines as they lie in the buffer they were read into.
//!
//! The direct path keeps lines: with the dozen that a browser sends, comparing lengths beats hashing names, and nothing
//! is allocated or copied.

use std::ops::ControlFlow;

use http::HeaderMap;
use http::header::HeaderName;

/// Name and value of a header, the value without the space around it.
pub type Line<'a> = (&'a [u8], &'a [u8]);

/// The headers of a request.
#[derive(Debug, Clone, Copy)]
pub enum Headers<'a> {
    /// As hyper has them.
    Map(&'a HeaderMap),
    /// As they came, names in any case.
    Lines(&'a [Line<'a>]),
}

impl<'a> Headers<'a> {
    /// The first value of a name.
    #[inline]
    pub fn first(&self, name: &HeaderName) -> Option<&'a [u8]> {
        match self {
            Self::Map(map) => map.get(name).map(|v| v.as_bytes()),
            Self::Lines(lines) => {
                let name = name.as_str().as_bytes();
                let mut lines = lines.iter();
                lines
                    .find(|(other, _)| is(other, name))
                    .map(|(_, value)| *value)
            }
        }
    }

    /// The value of a name that must not come twice.
    ///
    /// # Errors
    /// It came twice.
    #[inline]
    pub fn only(&self, name: &HeaderName) -> Result<Option<&'a [u8]>, Twice> {
        let mut only = None;
        let twice = self.each_from_last(name, |value| match only.replace(value) {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        });
        if twice.is_some() {
            return Err(Twice);
        }
        Ok(only)
    }

    /// Hands all values of a name to `f`, the last one first, until it breaks off with a result.
    #[inline]
    pub fn each_from_last<T>(
        &self,
        name: &HeaderName,
        mut f: impl FnMut(&'a [u8]) -> ControlFlow<T>,
    ) -> Option<T> {
        let flow = match self {
            Self::Map(map) => {
                let mut values = map.get_all(name).iter().rev();
                values.try_for_each(|value| f(value.as_bytes()))
            }
            Self::Lines(lines) => {
                let name = name.as_str().as_bytes();
                let mut values = lines.iter().rev().filter(|(other, _)| is(other, name));
                values.try_for_each(|(_, value)| f(value))
            }
        };
        flow.break_value()
    }
}

/// A header that must not come twice did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twice;

#[inline]
fn is(given: &[u8], name: &[u8]) -> bool {
    // Lengths first: nearly always that is all. To look at the first letter next takes more instructions, not fewer.
    given.len() == name.len() && given.eq_ignore_ascii_case(name)
}
