//! Whether an answer is what an OpenAPI document says of it, as strictly as a generated client reads it: every key that is required
//! is there, every key that is there is described, and types, enumerations, formats, patterns and limits hold.

use regex::Regex;
use serde_json::Value;

/// Checks an answer.
///
/// # Errors
/// The first place at which it is something else.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    Reader { document }.value(schema, value, "", Others::Refused)
}

struct Reader<'a> {
    document: &'a Value,
}

/// Keys that a schema does not name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    Refused,
    /// The schema is one part of what describes the object.
    Taken,
}

impl<'a> Reader<'a> {
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            None => schema,
            Some(path) => self
                .document
                .pointer(path.trim_start_matches('#'))
                .unwrap_or_else(|| panic!("{path} leads nowhere")),
        }
    }

    fn value(
        &self,
        schema: &'a Value,
        value: &Value,
        at: &str,
        others: Others,
    ) -> Result<(), String> {
        let schema = self.resolved(schema);
        for several in ["oneOf", "anyOf"] {
            if let Some(all) = schema[several].as_array() {
                let tried: Vec<_> = all
                    .iter()
                    .map(|one| self.value(one, value, at, others))
                    .collect();
                if !tried.iter().any(Result::is_ok) {
                    return Err(format!("{at}: none of {several}: {tried:?}"));
                }
            }
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.value(part, value, at, Others::Taken)?;
        }
        let wrong = |what: &str| Err(format!("{at}: {value} is not {what}"));
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            return wrong(&format!("one of {words:?}"));
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !types.is_empty() && !types.iter().any(|name| is(value, name)) {
            return wrong(&types.join(" or "));
        }
        match value {
            Value::String(text) => text_fits(schema, text).or_else(|what| wrong(&what)),
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
                match min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
                    true => wrong(&format!("from {min:?} to {max:?}")),
                    false => Ok(()),
                }
            }
            Value::Array(items) => {
                let each = items.iter().enumerate();
                let mut each = each.map(|(n, item)| (format!("{at}/{n}"), item));
                each.try_for_each(|(at, item)| {
                    self.value(&schema["items"], item, &at, Others::Refused)
                })
            }
            Value::Object(fields) => {
                for name in schema["required"].as_array().into_iter().flatten() {
                    let name = name.as_str().unwrap_or_default();
                    if !fields.contains_key(name) {
                        return Err(format!("{at}: no {name}"));
                    }
                }
                for (name, field) in fields {
                    let at = format!("{at}/{name}");
                    let known = &schema["properties"][name];
                    let rest = &schema["additionalProperties"];
                    match (known.is_object(), rest.is_object()) {
                        (true, _) => self.value(known, field, &at, Others::Refused)?,
                        (false, true) => self.value(rest, field, &at, Others::Refused)?,
                        // What has no properties is described as any object.
                        (false, false)
                            if schema["properties"].is_object() && others == Others::Refused =>
                        {
                            return Err(format!("{at} is not described"));
                        }
                        (false, false) => {}
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn text_fits(schema: &Value, text: &str) -> Result<(), String> {
    let is_good = match schema["format"].as_str() {
        Some("date-time") => text.parse::<jiff::Timestamp>().is_ok(),
        Some("date") => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        Some("uuid") => text.len() == 36 && text.parse::<uuid::Uuid>().is_ok(),
        _ => true,
    };
    if !is_good {
        return Err(format!("a {}", schema["format"]));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && !Regex::new(pattern).expect("a pattern").is_match(text)
    {
        return Err(format!("like {pattern}"));
    }
    let length = text.chars().count() as u64;
    let (min, max) = (schema["minLength"].as_u64(), schema["maxLength"].as_u64());
    match min.is_some_and(|min| length < min) || max.is_some_and(|max| length > max) {
        true => Err(format!("{min:?} to {max:?} characters long")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    #[test]
    fn a_check_that_answers_could_fail() {
        let document = json!({"components": {"schemas": {"Link": {
            "type": "object", "required": ["id", "at"],
            "properties": {"id": {"type": "integer"}, "at": {"type": ["string", "null"], "format": "date-time"}, "kind": {"enum": ["a", null]}},
        }}}});
        let schema = json!({"type": "array", "items": {"$ref": "#/components/schemas/Link"}});
        let fits = |link| check(&document, &schema, &json!([link]));
        assert_eq!(
            fits(json!({"id": 1, "at": "2026-01-01T00:00:00Z", "kind": null})),
            Ok(())
        );
        assert_eq!(fits(json!({"id": 1, "at": null, "kind": "a"})), Ok(()));
        for (link, part) in [
            (json!({"id": 1}), "/0: no at"),
            (
                json!({"id": "1", "at": null}),
                "/0/id: \"1\" is not integer",
            ),
            (
                json!({"id": 1, "at": "today"}),
                "/0/at: \"today\" is not a \"date-time\"",
            ),
            (
                json!({"id": 1, "at": null, "kind": "b"}),
                "/0/kind: \"b\" is not one of",
            ),
            (
                json!({"id": 1, "at": null, "more": 1}),
                "/0/more is not described",
            ),
        ] {
            let why = fits(link).expect_err("wrong");
            assert!(why.contains(part), "{why}");
        }
    }
}
