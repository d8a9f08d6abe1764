//! Fields of a JSON object, read one by one, for dialects whose rules for a field are few. `null` is as good as absent.
//!
//! What the OpenAPI document says of a body is a type of its own, which nothing is read into. So the two cannot part, a debug
//! build, and with it every test, panics when a field is read that the type has not got; that each field of the type is read,
//! a test asks over HTTP (`dialects::every_documented_field_of_a_body_is_read`).

use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::domain::field::FieldError;

/// The fields of a call's body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// Whether the document knows a name.
    documents: fn(&str) -> bool,
}

fn documents<T: ToSchema>(name: &str) -> bool {
    matches!(T::schema(), RefOr::T(Schema::Object(object)) if object.properties.contains_key(name))
}

impl<'a> Fields<'a> {
    /// The fields of a body that is documented as `T`.
    pub(crate) fn of<T: ToSchema>(map: &'a Map<String, Value>) -> Self {
        let documents = documents::<T>;
        Self { map, documents }
    }

    /// The value, if there is one.
    pub(crate) fn value(self, name: &str) -> Option<&'a Value> {
        debug_assert!((self.documents)(name), "{name} is read and in no document");
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Whether it was sent, be it as `null`.
    pub(crate) fn has(self, name: &str) -> bool {
        debug_assert!((self.documents)(name), "{name} is read and in no document");
        self.map.contains_key(name)
    }

    /// A text, as it is.
    ///
    /// # Errors
    /// Anything but a text.
    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, FieldError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(FieldError::new(name, "must be a text")),
        }
    }

    /// A text with something in it; an empty one counts as absent.
    ///
    /// # Errors
    /// Anything but a text.
    pub(crate) fn filled(self, name: &str) -> Result<Option<&'a str>, FieldError> {
        Ok(self.text(name)?.filter(|text| !text.trim().is_empty()))
    }

    /// As [`Self::filled`], of a field that must be there.
    ///
    /// # Errors
    /// It is not, or no text.
    pub(crate) fn required(self, name: &str) -> Result<&'a str, FieldError> {
        self.filled(name)?
            .ok_or_else(|| FieldError::new(name, "is required"))
    }

    /// A whole number, also as a text of digits.
    ///
    /// # Errors
    /// Anything else, or one beyond the limits.
    pub(crate) fn number(
        self,
        name: &str,
        (min, max): (i64, i64),
    ) -> Result<Option<i64>, FieldError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let number = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if text.trim().is_empty() => return Ok(None),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|n| (min..=max).contains(n)) {
            Some(number) => Ok(Some(number)),
            None => {
                let problem = if max == i64::MAX {
                    "must be a whole number".to_owned()
                } else {
                    format!("must be a whole number from {min} to {max}")
                };
                Err(FieldError::new(name, problem))
            }
        }
    }

    /// True or false, also as 1, 0 and texts of these.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn is_set(self, name: &str) -> Result<bool, FieldError> {
        let word = match self.value(name) {
            None => return Ok(false),
            Some(Value::Bool(yes)) => return Ok(*yes),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) => text.trim().to_ascii_lowercase(),
            Some(_) => String::new(),
        };
        match word.as_str() {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(FieldError::new(name, "must be true or false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(ToSchema)]
    #[expect(dead_code, reason = "only described")]
    struct Body {
        t: String,
        empty: String,
        null: String,
        none: String,
        n: i64,
        yes: bool,
        no: bool,
        bad: String,
        big: i64,
    }

    #[test]
    #[should_panic(expected = "other is read and in no document")]
    fn a_field_that_no_document_has_is_not_read() {
        let body = Map::new();
        let _ = Fields::of::<Body>(&body).text("other");
    }

    #[test]
    fn fields_are_read_and_named_when_they_are_wrong() {
        let body = json!({"t": " x ", "empty": "", "null": null, "n": "7", "yes": 1, "no": "false", "bad": [], "big": 1e9});
        let fields = Fields::of::<Body>(body.as_object().expect("an object"));
        assert_eq!(fields.text("t"), Ok(Some(" x ")));
        assert_eq!(fields.filled("empty"), Ok(None));
        assert_eq!(fields.text("null"), Ok(None));
        assert!(fields.has("null") && !fields.has("none"));
        assert_eq!(fields.number("n", (1, 7)), Ok(Some(7)));
        assert_eq!(fields.number("empty", (1, 7)), Ok(None));
        assert_eq!(
            (fields.is_set("yes"), fields.is_set("no")),
            (Ok(true), Ok(false))
        );
        assert_eq!(fields.is_set("none"), Ok(false));
        for (error, text) in [
            (fields.text("bad").map(drop), "bad must be a text"),
            (fields.required("empty").map(drop), "empty is required"),
            (
                fields.number("n", (8, 9)).map(drop),
                "n must be a whole number from 8 to 9",
            ),
            (
                fields.number("big", (1, i64::MAX)).map(drop),
                "big must be a whole number",
            ),
            (fields.is_set("t").map(drop), "t must be true or false"),
        ] {
            assert_eq!(error.expect_err(text).to_string(), text);
        }
    }
}
