//! Overlays (calls to action): a message, or a form to write to the link's owner, over the framed destination.

use super::color::Color;
use super::field::{self, FieldError};
use super::splash::{MAX_BUTTON, MAX_MESSAGE, MAX_TITLE, url};

/// Longest e-mail address, in bytes: RFC 5321.
pub const MAX_EMAIL: usize = 254;

/// Longest text a visitor may send, in characters.
pub const MAX_NOTE: usize = 5000;

/// Colour when none is set.
pub const COLOR: Color = Color([0x1f, 0x29, 0x37]);

/// What it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text and perhaps a button.
    Message,
    /// A form.
    Contact,
}

impl Kind {
    /// Reads a name of the API.
    ///
    /// # Errors
    /// Another text.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        match text.trim() {
            "message" => Ok(Self::Message),
            "contact" => Ok(Self::Contact),
            _ => Err(FieldError::new(field, "must be message or contact")),
        }
    }

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Contact => "contact",
        }
    }
}

/// Where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Position {
    /// The whole lower edge.
    #[default]
    Bottom,
    /// The whole upper edge.
    Top,
    /// A corner.
    BottomLeft,
    /// A corner.
    BottomRight,
    /// A corner.
    TopLeft,
    /// A corner.
    TopRight,
}

impl Position {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Bottom, "bottom"),
        (Self::Top, "top"),
        (Self::BottomLeft, "bottom-left"),
        (Self::BottomRight, "bottom-right"),
        (Self::TopLeft, "top-left"),
        (Self::TopRight, "top-right"),
    ];

    /// Reads a name of the API.
    ///
    /// # Errors
    /// Another text; all names are listed.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text.trim());
        found.map(|(position, _)| *position).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(_, name)| *name).collect();
            FieldError::new(field, format!("must be one of {}", names.join(", ")))
        })
    }

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(position, _)| *position == self);
        found.map_or("", |(_, name)| name)
    }
}

/// What is set of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// What it shows.
    pub kind: Kind,
    /// For lists.
    pub name: String,
    /// Lines of text.
    pub message: String,
    /// Text of the button; empty: the usual one, where there is one.
    pub button: String,
    /// Where a message's button leads; empty: to the destination itself.
    pub link: String,
    /// Where it lies.
    pub position: Position,
    /// Of its ground; text on it is black or white.
    pub color: Color,
    /// To whom a contact form's texts belong; shown beside them, never to visitors.
    pub email: String,
    /// Likewise.
    pub subject: String,
}

impl Overlay {
    /// One with nothing set.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            name: String::new(),
            message: String::new(),
            button: String::new(),
            link: String::new(),
            position: Position::default(),
            color: COLOR,
            email: String::new(),
            subject: String::new(),
        }
    }
}

/// A change to [`Overlay`]; `None` leaves a field as it is, an empty text clears it.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// See [`Overlay`].
    pub name: Option<String>,
    /// See [`Overlay`].
    pub message: Option<String>,
    /// See [`Overlay`].
    pub button: Option<String>,
    /// See [`Overlay`].
    pub link: Option<String>,
    /// See [`Overlay`].
    pub position: Option<String>,
    /// See [`Overlay`].
    pub color: Option<String>,
    /// See [`Overlay`].
    pub email: Option<String>,
    /// See [`Overlay`].
    pub subject: Option<String>,
}

impl Overlay {
    /// Applies a change.
    ///
    /// # Errors
    /// The first field that breaks a rule, or is required and empty.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), FieldError> {
        let needed = |field: &str, value: &str| match value {
            "" => Err(FieldError::new(field, "must not be empty")),
            _ => Ok(()),
        };
        if let Some(name) = &edit.name {
            self.name = field::line("name", name, MAX_TITLE)?;
        }
        needed("name", &self.name)?;
        if let Some(message) = &edit.message {
            self.message = field::text("message", message, MAX_MESSAGE)?;
        }
        needed("message", &self.message)?;
        if let Some(button) = &edit.button {
            self.button = field::line("button", button, MAX_BUTTON)?;
        }
        if let Some(link) = &edit.link {
            self.link = url("link", link)?;
        }
        if let Some(position) = &edit.position {
            self.position = match position.trim() {
                "" => Position::default(),
                text => Position::parse("position", text)?,
            };
        }
        if let Some(color) = &edit.color {
            self.color = match color.trim() {
                "" => COLOR,
                text => Color::parse("color", text)?,
            };
        }
        if let Some(address) = &edit.email {
            self.email = match address.trim() {
                "" => String::new(),
                text => email("email", text)?,
            };
        }
        if self.kind == Kind::Contact {
            needed("email", &self.email)?;
        }
        if let Some(subject) = &edit.subject {
            self.subject = field::line("subject", subject, MAX_TITLE)?;
        }
        Ok(())
    }
}

/// What a visitor wrote into a contact form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Who; may be empty.
    pub name: String,
    /// Where to answer.
    pub email: String,
    /// What.
    pub message: String,
}

impl Note {
    /// Checks a form's fields.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn new(name: &str, address: &str, message: &str) -> Result<Self, FieldError> {
        let note = Self {
            name: field::line("name", name, MAX_TITLE)?,
            email: email("email", address)?,
            message: field::text("message", message, MAX_NOTE)?,
        };
        if note.message.is_empty() {
            return Err(FieldError::new("message", "must not be empty"));
        }
        Ok(note)
    }
}

/// An e-mail address: something, an `@`, and a host. Whether it exists is known only by writing to it.
fn email(field: &str, text: &str) -> Result<String, FieldError> {
    let text = field::line(field, text, MAX_EMAIL)?;
    let fits = text.len() <= MAX_EMAIL
        && !text.contains(char::is_whitespace)
        && !text.contains(['<', '>', ',', ';', '"'])
        && text.rsplit_once('@').is_some_and(|(user, host)| {
            !user.is_empty()
                && !user.contains('@')
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
        });
    if fits {
        Ok(text)
    } else {
        Err(FieldError::new(field, "must be an e-mail address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn fields_are_checked_by_name() {
        let good = || Edit {
            name: text("Ask"),
            message: text("Hello"),
            ..Edit::default()
        };
        Overlay::new(Kind::Message).apply(&good()).expect("legal");
        let mut contact = Overlay::new(Kind::Contact);
        contact
            .apply(&Edit {
                email: text("a@e.test"),
                color: text("#fff"),
                position: text("top-left"),
                ..good()
            })
            .expect("legal");
        assert_eq!(
            (contact.position, contact.color),
            (Position::TopLeft, Color([255; 3]))
        );
        contact
            .apply(&Edit {
                color: text(""),
                position: text(" "),
                ..Edit::default()
            })
            .expect("legal");
        assert_eq!((contact.position, contact.color), (Position::Bottom, COLOR));
        assert_eq!(
            contact
                .apply(&Edit {
                    email: text(""),
                    ..Edit::default()
                })
                .expect_err("needed")
                .field,
            "email"
        );
        for (field, edit) in [
            (
                "name",
                Edit {
                    name: None,
                    ..good()
                },
            ),
            (
                "message",
                Edit {
                    message: text(""),
                    ..good()
                },
            ),
            (
                "message",
                Edit {
                    message: text("\0d"),
                    ..good()
                },
            ),
            (
                "link",
                Edit {
                    link: text("data:x"),
                    ..good()
                },
            ),
            (
                "position",
                Edit {
                    position: text("middle"),
                    ..good()
                },
            ),
            (
                "color",
                Edit {
                    color: text("red;}"),
                    ..good()
                },
            ),
            (
                "email",
                Edit {
                    email: text("nobody"),
                    ..good()
                },
            ),
            (
                "email",
                Edit {
                    email: text("a@b@e.test"),
                    ..good()
                },
            ),
            ("email", good()),
            (
                "subject",
                Edit {
                    email: text("a@e.test"),
                    subject: text("a\nBcc: b"),
                    ..good()
                },
            ),
        ] {
            assert_eq!(
                Overlay::new(Kind::Contact)
                    .apply(&edit)
                    .expect_err(field)
                    .field,
                field
            );
        }
    }

    #[test]
    fn notes_of_visitors_are_bounded() {
        Note::new("", "v@e.test", "Hi\nthere").expect("legal");
        for (field, name, email, message) in [
            ("email", "", "", "x"),
            ("email", "", "v@e", "x"),
            ("message", "", "v@e.test", " "),
            ("message", "", "v@e.test", "\0"),
            ("name", "a\nb", "v@e.test", "x"),
        ] {
            assert_eq!(
                Note::new(name, email, message).expect_err(field).field,
                field
            );
        }
        assert_eq!(
            Note::new("", "v@e.test", &"x".repeat(5001))
                .expect_err("long")
                .field,
            "message"
        );
    }
}
