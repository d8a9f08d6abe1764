//! Forms. They are sent to the page itself, with the block's id in a hidden field and one that people do not see: what is
//! in that was put there by a program.

use maud::{Markup, html};

use super::ink::{Ink, heading};
use crate::domain::bio::blocks::forms::{ContactForm, Form, FormField, Newsletter, Poll};
use crate::domain::bio::form::{BLOCK, MAX_LINE, MAX_TEXT, TRAP, field_name};
use crate::domain::bio::value::{FieldKind, Line, Text};

pub(super) fn newsletter(ink: &Ink<'_>, newsletter: &Newsletter) -> Markup {
    let text = (newsletter.title.as_ref(), newsletter.description.as_ref());
    let id = ink.block();
    let fields = input(id, ("email", "E-mail"), FieldKind::Email, true);
    whole(ink, text, &fields, newsletter.button.as_ref(), "Subscribe")
}

pub(super) fn contact(ink: &Ink<'_>, form: &ContactForm) -> Markup {
    let id = ink.block();
    let fields = html! {
        (input(id, ("name", "Name"), FieldKind::Text, false))
        (input(id, ("email", "E-mail"), FieldKind::Email, true))
        (input(id, ("message", "Message"), FieldKind::Textarea, true))
    };
    let text = (form.title.as_ref(), form.description.as_ref());
    whole(ink, text, &fields, form.button.as_ref(), "Send")
}

pub(super) fn form(ink: &Ink<'_>, form: &Form) -> Markup {
    let fields = html! {
        @for (place, field) in form.fields.iter().enumerate() { (owned(ink.block(), place, field)) }
    };
    let text = (Some(&form.title), form.description.as_ref());
    whole(ink, text, &fields, form.button.as_ref(), "Send")
}

pub(super) fn poll(ink: &Ink<'_>, poll: &Poll) -> Markup {
    let fields = html! {
        fieldset {
            legend .title dir="auto" { (poll.question.as_str()) }
            @for (place, option) in poll.options.iter().enumerate() {
                label .choice {
                    input type="radio" name="choice" value=(place) required;
                    span dir="auto" { (option.as_str()) }
                }
            }
        }
    };
    whole(ink, (None, None), &fields, poll.button.as_ref(), "Vote")
}

fn whole(
    ink: &Ink<'_>,
    (title, description): (Option<&Line>, Option<&Text>),
    fields: &Markup,
    button: Option<&Line>,
    usual: &str,
) -> Markup {
    html! {
        (heading(title))
        form .panel method="post" {
            @if let Some(text) = description { p .lines dir="auto" { (text.as_str()) } }
            input type="hidden" name=(BLOCK) value=(ink.block());
            (fields)
            div hidden { label { "Leave this empty" input name=(TRAP) tabindex="-1" autocomplete="off"; } }
            button .button type="submit" { (button.map_or(usual, Line::as_str)) }
        }
    }
}

/// A question of the owner's.
fn owned(block: i64, place: usize, field: &FormField) -> Markup {
    let kind = field.kind.unwrap_or(FieldKind::Text);
    let name = field_name(place);
    let label = field.label.as_str();
    let id = format!("b{block}-{name}");
    match kind {
        FieldKind::Checkbox => html! {
            label .choice {
                input type="checkbox" name=(name) required[field.required];
                span dir="auto" { (label) }
            }
        },
        FieldKind::Select => html! {
            label for=(id) dir="auto" { (label) }
            select id=(id) name=(name) required[field.required] {
                option value="" { "Please choose" }
                @for option in &field.options { option value=(option.as_str()) { (option.as_str()) } }
            }
        },
        kind => input(block, (&name, label), kind, field.required),
    }
}

fn input(block: i64, (name, label): (&str, &str), kind: FieldKind, required: bool) -> Markup {
    let id = format!("b{block}-{name}");
    let (form, complete) = match kind {
        FieldKind::Email => ("email", "email"),
        FieldKind::Phone => ("tel", "tel"),
        FieldKind::Number => ("number", "off"),
        FieldKind::Date => ("date", "off"),
        _ if name == "name" => ("text", "name"),
        _ => ("text", "off"),
    };
    let step = (kind == FieldKind::Number).then_some("any");
    html! {
        label for=(id) dir="auto" { (label) @if !required { span .more { " (optional)" } } }
        @if kind == FieldKind::Textarea {
            textarea id=(id) name=(name) rows="4" maxlength=(MAX_TEXT) required[required] {}
        } @else {
            input id=(id) name=(name) type=(form) autocomplete=(complete) maxlength=(MAX_LINE) step=[step] required[required];
        }
    }
}
