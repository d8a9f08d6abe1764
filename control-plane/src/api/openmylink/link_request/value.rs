//! Values of a link's fields, read liberally: numbers as texts, one value for a list of one, an object for a list of pairs.

use serde_json::Value;

use crate::domain::field::FieldError;
use crate::domain::rule::shown;

/// The first of these that is there: its name and value.
pub(super) fn first<'a>(
    fields: &[(&'static str, &'a Option<Value>)],
) -> Option<(&'static str, &'a Value)> {
    let there = fields
        .iter()
        .find_map(|(name, v)| Some((*name, v.as_ref()?)));
    there.filter(|(_, value)| !value.is_null())
}

/// Whether it says: nothing.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// A text, or a number as a text.
pub(super) fn text(field: &str, value: &Value) -> Result<String, FieldError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(FieldError::new(field, "must be text")),
    }
}

/// A whole number from `min` to `max`.
pub(super) fn number(
    field: &str,
    value: &Value,
    (min, max): (u64, u64),
) -> Result<u64, FieldError> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|n| (min..=max).contains(n)).ok_or_else(|| {
        FieldError::new(
            field,
            format!(
                "'{}' must be a whole number from {min} to {max}",
                brief(value)
            ),
        )
    })
}

/// `true`, `false`, 0, 1, or one of these as a text.
pub(super) fn yes_no(field: &str, value: &Value) -> Result<bool, FieldError> {
    let word = match value {
        Value::Bool(yes) => return Ok(*yes),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        _ => String::new(),
    };
    match word.as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        "" if value.is_string() => Ok(false),
        _ => Err(FieldError::new(field, "must be true or false")),
    }
}

/// An id; `None` for a blank or 0.
pub(super) fn id(field: &str, value: &Value) -> Result<Option<i64>, FieldError> {
    let is_list = value.is_array() || value.is_object();
    if is_blank(value) && !is_list {
        return Ok(None);
    }
    let id = number(field, value, (0, i64::MAX.cast_unsigned()))?;
    Ok(Some(id.cast_signed()).filter(|id| *id > 0))
}

/// A list, or one value as a list of one; blank: empty.
pub(super) fn list(value: &Value) -> Vec<&Value> {
    match value {
        _ if is_blank(value) => Vec::new(),
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    }
}

/// Ids in a list, or in a text with commas.
pub(super) fn ids(field: &str, value: &Value, most: usize) -> Result<Vec<i64>, FieldError> {
    let parts: Vec<Value> = match value {
        Value::String(text) => text.split(',').map(|t| Value::from(t.trim())).collect(),
        _ => list(value).into_iter().cloned().collect(),
    };
    let mut ids = Vec::new();
    for part in &parts {
        if let Some(id) = id(field, part)?
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    if ids.len() > most {
        return Err(FieldError::new(field, format!("must hold at most {most}")));
    }
    Ok(ids)
}

/// Pairs `[{<key>:…,"link":…}]`, or `{"…":"…"}`; entries without either are left out.
pub(super) fn pairs(
    field: &str,
    key: &str,
    value: &Value,
) -> Result<Vec<(String, String)>, FieldError> {
    let form = || {
        FieldError::new(
            field,
            format!("must be a list of {{\"{key}\":…,\"link\":…}}"),
        )
    };
    if let (Value::Object(map), false) = (value, is_blank(value))
        && !map.contains_key("link")
    {
        let pair = |(name, link): (&String, &Value)| Ok((name.clone(), text(field, link)?));
        return map.iter().map(pair).collect();
    }
    let mut pairs = Vec::new();
    for item in list(value) {
        let map = item.as_object().ok_or_else(form)?;
        let part = |names: &[&str]| -> Result<String, FieldError> {
            let value = names.iter().find_map(|name| map.get(*name));
            value
                .filter(|v| !v.is_null())
                .map_or(Ok(String::new()), |v| text(field, v))
        };
        let pair = (part(&[key])?, part(&["link", "url"])?);
        match (pair.0.trim().is_empty(), pair.1.trim().is_empty()) {
            (true, true) => {}
            (false, false) => pairs.push(pair),
            _ => return Err(form()),
        }
    }
    Ok(pairs)
}

fn brief(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        other => shown(&other.to_string()),
    }
}
