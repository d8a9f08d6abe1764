//! What a visitor sent with a form of a page, read by the block that the form belongs to. Visitors are strangers: texts are
//! bounded and kept as texts.

use super::Block;
use super::blocks::forms::FormField;
use super::value::{Email, FieldKind, Line, Phone};
use crate::domain::date::When;
use crate::domain::field::{self, FieldError};

/// Hidden field that names the block.
pub const BLOCK: &str = "bio-block";

/// A field that people do not see. What is in it was put there by a program.
pub const TRAP: &str = "website";

/// Longest text a visitor may send, in characters.
pub const MAX_TEXT: usize = 5000;

/// Longest line a visitor may send, in characters.
pub const MAX_LINE: usize = 255;

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// Names of fields and what was written into them.
    Entry(Vec<(String, String)>),
    /// An option of a poll, counted from 0, and its words.
    Vote(usize, String),
}

/// Reads the fields of a form; `None`: the block has none.
///
/// # Errors
/// The first field that breaks a rule, by the name visitors see.
pub fn read<'a>(
    block: &Block,
    field: impl Fn(&str) -> &'a str,
) -> Option<Result<Sent, FieldError>> {
    Some(match block {
        Block::Newsletter(_) => {
            address(field("email")).map(|email| Sent::Entry(vec![("email".to_owned(), email)]))
        }
        Block::ContactForm(_) => contact(field("name"), field("email"), field("message")),
        Block::Form(form) => answers(&form.fields, field),
        Block::Poll(poll) => vote(&poll.options, field("choice")),
        _ => return None,
    })
}

/// Name of the field of this place in a form of the owner's.
pub fn field_name(place: usize) -> String {
    format!("f{place}")
}

fn address(text: &str) -> Result<String, FieldError> {
    let email = Email::parse(text).map_err(|problem| FieldError::new("email", problem))?;
    Ok(email.as_str().to_owned())
}

fn contact(name: &str, email: &str, message: &str) -> Result<Sent, FieldError> {
    let message = field::text("message", message, MAX_TEXT)?;
    if message.is_empty() {
        return Err(FieldError::new("message", "must not be empty"));
    }
    Ok(Sent::Entry(vec![
        ("name".to_owned(), field::line("name", name, MAX_LINE)?),
        ("email".to_owned(), address(email)?),
        ("message".to_owned(), message),
    ]))
}

fn answers<'a>(fields: &[FormField], sent: impl Fn(&str) -> &'a str) -> Result<Sent, FieldError> {
    let mut entry = Vec::with_capacity(fields.len());
    for (place, wanted) in fields.iter().enumerate() {
        let label = wanted.label.as_str();
        let value = answer(wanted, sent(&field_name(place)))?;
        if wanted.required && value.is_empty() {
            return Err(FieldError::new(label, "is required"));
        }
        entry.push((label.to_owned(), value));
    }
    Ok(Sent::Entry(entry))
}

fn answer(wanted: &FormField, text: &str) -> Result<String, FieldError> {
    let label = wanted.label.as_str();
    let wrong = |problem: String| FieldError::new(label, problem);
    let line = field::line(label, text, MAX_LINE);
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    match wanted.kind.unwrap_or(FieldKind::Text) {
        FieldKind::Text => line,
        FieldKind::Textarea => field::text(label, text, MAX_TEXT),
        FieldKind::Email => Email::parse(text)
            .map(|e| e.as_str().to_owned())
            .map_err(wrong),
        FieldKind::Phone => Phone::parse(text)
            .map(|p| p.as_str().to_owned())
            .map_err(wrong),
        FieldKind::Number => {
            let line = line?;
            match line.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(line),
                _ => Err(wrong("must be a number".to_owned())),
            }
        }
        FieldKind::Date => When::parse(label, text).and(line),
        FieldKind::Select => {
            let line = line?;
            match wanted.options.iter().any(|option| option.as_str() == line) {
                true => Ok(line),
                false => Err(wrong("must be one of the answers".to_owned())),
            }
        }
        FieldKind::Checkbox => Ok("yes".to_owned()),
    }
}

fn vote(options: &[Line], choice: &str) -> Result<Sent, FieldError> {
    let chosen = choice.parse::<usize>().ok();
    let chosen = chosen.and_then(|place| Some((place, options.get(place)?)));
    chosen
        .map(|(place, option)| Sent::Vote(place, option.as_str().to_owned()))
        .ok_or_else(|| FieldError::new("your answer", "must be one of those shown"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn block(name: &str, fields: serde_json::Value) -> Block {
        Block::parse(name, fields.as_object().expect("an object")).expect("legal")
    }

    fn sent(block: &Block, fields: &[(&str, &'static str)]) -> Result<Sent, FieldError> {
        read(block, |name| {
            fields
                .iter()
                .find(|(n, _)| *n == name)
                .map_or("", |(_, v)| *v)
        })
        .expect("a form")
    }

    #[test]
    fn forms_take_what_they_ask_for() {
        let form = block(
            "form",
            json!({"title": "x", "fields": [
                {"label": "Name", "required": true}, {"label": "Size", "type": "select", "options": ["S", "M"]},
                {"label": "Mail", "type": "email"}, {"label": "Number", "type": "number"}, {"label": "Agree", "type": "checkbox"}
            ]}),
        );
        let good = sent(&form, &[("f0", " A "), ("f1", "M"), ("f4", "on")]).expect("legal");
        let Sent::Entry(entry) = good else {
            panic!("{good:?}")
        };
        let values: Vec<&str> = entry.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["A", "M", "", "", "yes"]);
        for (fields, named) in [
            (vec![("f0", "")], "Name"),
            (vec![("f0", "a\0")], "Name"),
            (vec![("f0", "a"), ("f1", "L")], "Size"),
            (vec![("f0", "a"), ("f2", "x")], "Mail"),
            (vec![("f0", "a"), ("f3", "inf")], "Number"),
        ] {
            assert_eq!(sent(&form, &fields).expect_err(named).field, named);
        }
        assert!(read(&block("heading", json!({"title": "x"})), |_| "").is_none());
    }

    #[test]
    fn votes_are_for_what_is_shown() {
        let poll = block("poll", json!({"question": "?", "options": ["a", "b"]}));
        assert_eq!(
            sent(&poll, &[("choice", "1")]),
            Ok(Sent::Vote(1, "b".to_owned()))
        );
        for bad in ["", "2", "-1", "a"] {
            assert!(sent(&poll, &[("choice", bad)]).is_err());
        }
    }
}
