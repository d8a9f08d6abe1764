//! What visitors fill in. What they wrote is read at `/bio/:id/entries`.

use super::payloads;
use crate::domain::bio::value::{FieldKind, Line, Text};
use crate::domain::field::FieldError;

payloads! {
    /// `newsletter`: asks for an e-mail address.
    Newsletter {
        may { title: Line, description: Text, #[doc = "Text of the button."] button: Line, #[doc = "What is read after sending."] success: Line }
    }
    /// `contact-form`: asks for name, e-mail address and message.
    ContactForm {
        may { title: Line, description: Text, #[doc = "Text of the button."] button: Line, #[doc = "What is read after sending."] success: Line }
    }
    /// `form`: asks for whatever its owner wants.
    Form {
        need { title: Line }
        list { fields: FormField }
        may { description: Text, #[doc = "Text of the button."] button: Line, #[doc = "What is read after sending."] success: Line }
    }
    /// One question of it.
    FormField {
        need { label: Line }
        may { #[serde(rename = "type")] #[doc = "`text` when absent."] kind: FieldKind }
        lists { #[doc = "Of a `select`."] options: Line }
        flags { required }
    }
    /// `poll`: one question with answers to choose from.
    Poll {
        need { question: Line }
        list { #[doc = "At least two, each once."] options: Line }
        may { #[doc = "Text of the button."] button: Line }
    }
}

/// Rules of a poll.
pub(in crate::domain::bio) fn check_poll(poll: &Poll) -> Result<(), FieldError> {
    let mut options: Vec<&str> = poll.options.iter().map(Line::as_str).collect();
    options.sort_unstable();
    options.dedup();
    if options.len() == poll.options.len() && options.len() > 1 {
        return Ok(());
    }
    let problem = "must be at least two answers, each of them once";
    Err(FieldError::new("options", problem))
}

/// Rules of a form.
pub(in crate::domain::bio) fn check_form(form: &Form) -> Result<(), FieldError> {
    for (place, field) in form.fields.iter().enumerate() {
        // What visitors write is kept by it.
        let is_twice = form
            .fields
            .iter()
            .take(place)
            .any(|f| f.label == field.label);
        if is_twice {
            let problem = format!(
                "must be another than those before, not '{}'",
                field.label.as_str()
            );
            return Err(FieldError::new(format!("fields[{place}].label"), problem));
        }
        let is_select = field.kind == Some(FieldKind::Select);
        let problem = match (is_select, field.options.len()) {
            (true, 0) => "is required of a select",
            (false, 1..) => "must be empty but of a select",
            _ => continue,
        };
        return Err(FieldError::new(format!("fields[{place}].options"), problem));
    }
    Ok(())
}
