//! Tags: names with a colour. A link has any number of them up to a limit.

use super::channel;
use super::field::FieldError;

/// Longest name that is taken, in characters.
pub use super::channel::MAX_NAME;

/// Most tags of a link.
pub const MAX_TAGS_OF_LINK: usize = 50;

/// Most tags of a workspace: lists of them stay something a person can choose from.
pub const MAX_TAGS: i64 = 10_000;

/// A tag as its owner wants it; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Its name: one line, no comma, for lists of names are written with commas.
    pub name: Option<String>,
    /// `#RRGGBB`.
    pub color: Option<String>,
}

impl Edit {
    /// Checks every field that is set.
    ///
    /// # Errors
    /// The first that breaks a rule.
    pub fn checked(self) -> Result<Self, FieldError> {
        Ok(Self {
            name: self.name.map(|text| name("name", &text)).transpose()?,
            color: self
                .color
                .map(|text| channel::color("color", &text))
                .transpose()?,
        })
    }
}

/// Takes a tag's name.
///
/// # Errors
/// A rule it breaks.
pub fn name(field: &str, text: &str) -> Result<String, FieldError> {
    let name = channel::name(field, text)?;
    if name.contains(',') {
        return Err(FieldError::new(field, "must not hold commas"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_no_commas() {
        assert_eq!(name("name", " Sale "), Ok("Sale".to_owned()));
        assert!(name("name", "a,b").is_err());
        assert!(name("name", "").is_err());
    }
}
