//! A bad field: its name and what is allowed. Every dialect words its errors from this.

/// One field breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct FieldError {
    /// The field as the caller named it.
    pub field: String,
    /// What is allowed, worded to follow the name: "must not be empty".
    pub problem: String,
}

impl FieldError {
    /// An error of `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// Several fields break rules; one at least. Worded as its first, with the number of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// `None`: of none.
    pub fn new(all: Vec<FieldError>) -> Option<Self> {
        (!all.is_empty()).then_some(Self(all))
    }

    /// Each of them.
    pub fn all(&self) -> &[FieldError] {
        &self.0
    }

    /// Each of them.
    pub fn into_all(self) -> Vec<FieldError> {
        self.0
    }
}

impl std::fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, more) = match self.0.split_first() {
            Some((first, more)) => (first, more.len()),
            None => return Ok(()),
        };
        match more {
            0 => write!(f, "{first}"),
            1 => write!(f, "{first} (and 1 more error)"),
            more => write!(f, "{first} (and {more} more errors)"),
        }
    }
}

/// Takes a text a person wrote: trimmed, at most `max` characters, no control characters but line breaks and tabs.
///
/// NUL in particular cannot be stored by PostgreSQL, so no engine takes it.
///
/// # Errors
/// A rule it breaks.
pub fn text(field: &str, text: &str, max: usize) -> Result<String, FieldError> {
    let text = text.trim();
    if text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(FieldError::new(field, "must not hold control characters"));
    }
    if text.chars().nth(max).is_some() {
        return Err(FieldError::new(
            field,
            format!("must be at most {max} characters long"),
        ));
    }
    Ok(text.to_owned())
}

/// Takes a text for a URL's query: as [`text`], on one line.
///
/// # Errors
/// A rule it breaks.
pub fn line(field: &str, value: &str, max: usize) -> Result<String, FieldError> {
    let value = text(field, value, max)?;
    if value.chars().any(char::is_control) {
        return Err(FieldError::new(field, "must not hold control characters"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_errors_are_worded_as_the_first() {
        let errors = |names: &[&str]| {
            let all = names.iter().map(|name| FieldError::new(*name, "is bad"));
            FieldErrors::new(all.collect()).map(|errors| errors.to_string())
        };
        assert_eq!(errors(&[]), None);
        assert_eq!(errors(&["a"]).as_deref(), Some("a is bad"));
        assert_eq!(
            errors(&["a", "b"]).as_deref(),
            Some("a is bad (and 1 more error)")
        );
        assert_eq!(
            errors(&["a", "b", "c"]).as_deref(),
            Some("a is bad (and 2 more errors)")
        );
    }

    #[test]
    fn texts_are_trimmed_and_bounded() {
        assert_eq!(
            text("title", " Été — 30% <b>\n ", 20),
            Ok("Été — 30% <b>".to_owned())
        );
        assert!(text("title", "a\0b", 20).is_err());
        assert!(text("title", &"é".repeat(21), 20).is_err());
        assert!(line("utm_source", "a\nb", 20).is_err());
    }
}
