//! The destination in a frame that fills the page, and overlays on it. Without script: an overlay is a `details` element,
//! which folds by mouse and key in every browser.
//!
//! A destination that forbids framing must not come here, see [`crate::domain::framing`].

use std::fmt::Write as _;

use maud::{Markup, html};

use super::document::{Document, HOST, Hole, URL};
use crate::domain::overlay::{Kind, MAX_EMAIL, MAX_NOTE, Overlay};
use crate::domain::splash::MAX_TITLE;

/// Names of the form's fields.
pub(crate) mod form {
    /// Id of the overlay.
    pub(crate) const OVERLAY: &str = "overlay";
    /// The visitor's name.
    pub(crate) const NAME: &str = "name";
    /// The visitor's address.
    pub(crate) const EMAIL: &str = "email";
    /// The text.
    pub(crate) const MESSAGE: &str = "message";
}

/// Only the frame.
pub(super) fn frame() -> Document {
    let mut document = Document::new(html! { (Hole(HOST)) });
    document.style.push_str(include_str!("frame.css"));
    document.has_frame = true;
    document.is_closed_to_frames = true;
    document.body = html! {
        main {
            h1 { (Hole(HOST)) }
            iframe.whole title=(Hole(HOST)) src=(Hole(URL)) allow="fullscreen" {}
        }
    };
    document
}

/// The frame with an overlay on it.
pub(super) fn overlay(id: i64, overlay: &Overlay) -> Document {
    let mut document = frame();
    document.style.push_str(include_str!("overlay.css"));
    let (ground, ink) = (overlay.color.to_hex(), overlay.color.ink().to_hex());
    let _ = write!(
        document.style,
        "aside{{background:{ground};color:{ink}}}.button,button{{background:{ink};color:{ground}}}"
    );
    document.has_form = overlay.kind == Kind::Contact;
    let label = match overlay.kind {
        Kind::Message => "Message",
        Kind::Contact => "Contact",
    };
    let frame = std::mem::take(&mut document.body);
    document.body = html! {
        (frame)
        aside class=(overlay.position.name()) aria-label=(label) {
            details open {
                summary { (label) }
                p.lines { (overlay.message) }
                @match overlay.kind {
                    Kind::Message => (button(overlay)),
                    Kind::Contact => (contact(id, overlay)),
                }
            }
        }
    };
    document
}

fn button(overlay: &Overlay) -> Markup {
    let text = match (overlay.button.as_str(), overlay.link.as_str()) {
        ("", "") => return html! {},
        ("", _) => "Learn more",
        (text, _) => text,
    };
    html! {
        @if overlay.link.is_empty() {
            a.button href=(Hole(URL)) { (text) }
        } @else {
            a.button href=(overlay.link) { (text) }
        }
    }
}

fn contact(id: i64, overlay: &Overlay) -> Markup {
    let send = if overlay.button.is_empty() {
        "Send"
    } else {
        &overlay.button
    };
    html! {
        form method="post" {
            input type="hidden" name=(form::OVERLAY) value=(id);
            label for="name" { "Your name (optional)" }
            input #name type="text" name=(form::NAME) maxlength=(MAX_TITLE) autocomplete="name";
            label for="email" { "Your e-mail address" }
            input #email type="email" name=(form::EMAIL) required maxlength=(MAX_EMAIL) autocomplete="email";
            label for="message" { "Your message" }
            textarea #message name=(form::MESSAGE) required rows="4" maxlength=(MAX_NOTE) {}
            button type="submit" { (send) }
        }
    }
}
