//! Splash pages: what a visitor reads before going on to the destination.

use super::destination::Destination;
use super::field::{self, FieldError};

/// Longest name and title, in characters.
pub const MAX_TITLE: usize = 255;

/// Longest message, in characters.
pub const MAX_MESSAGE: usize = 5000;

/// Longest text of a button, in characters.
pub const MAX_BUTTON: usize = 100;

/// Seconds until the visitor goes on, when none are set.
pub const COUNTER: u32 = 10;

/// Most seconds until the visitor goes on.
pub const MAX_COUNTER: u32 = 600;

/// What is set of a splash page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splash {
    /// For lists; the page's heading where there is no title.
    pub name: String,
    /// The page's heading.
    pub title: String,
    /// Lines of text.
    pub message: String,
    /// URL of an image, loaded from there; empty: none.
    pub image: String,
    /// Text of the button; empty: none, unless there is a link.
    pub button: String,
    /// Where the button leads; empty: to the destination.
    pub link: String,
    /// Seconds until the visitor goes on; 0: when the visitor says so.
    pub counter: u32,
}

impl Default for Splash {
    fn default() -> Self {
        Self {
            name: String::new(),
            title: String::new(),
            message: String::new(),
            image: String::new(),
            button: String::new(),
            link: String::new(),
            counter: COUNTER,
        }
    }
}

/// A change to [`Splash`]; `None` leaves a field as it is, an empty text clears it.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// See [`Splash`].
    pub name: Option<String>,
    /// See [`Splash`].
    pub title: Option<String>,
    /// See [`Splash`].
    pub message: Option<String>,
    /// See [`Splash`].
    pub image: Option<String>,
    /// See [`Splash`].
    pub button: Option<String>,
    /// See [`Splash`].
    pub link: Option<String>,
    /// See [`Splash`]; empty: [`COUNTER`].
    pub counter: Option<String>,
}

impl Splash {
    /// Applies a change.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), FieldError> {
        if let Some(name) = &edit.name {
            self.name = field::line("name", name, MAX_TITLE)?;
        }
        if self.name.is_empty() {
            return Err(FieldError::new("name", "must not be empty"));
        }
        if let Some(title) = &edit.title {
            self.title = field::line("title", title, MAX_TITLE)?;
        }
        if let Some(message) = &edit.message {
            self.message = field::text("message", message, MAX_MESSAGE)?;
        }
        if let Some(image) = &edit.image {
            self.image = url("image", image)?;
        }
        if let Some(button) = &edit.button {
            self.button = field::line("button", button, MAX_BUTTON)?;
        }
        if let Some(link) = &edit.link {
            self.link = url("link", link)?;
        }
        if let Some(counter) = &edit.counter {
            self.counter = seconds(counter)?;
        }
        Ok(())
    }
}

/// A URL, or nothing.
pub(super) fn url(field: &str, text: &str) -> Result<String, FieldError> {
    match text.trim_matches(' ') {
        "" => Ok(String::new()),
        text => Ok(Destination::parse(field, text)?.as_str().to_owned()),
    }
}

fn seconds(text: &str) -> Result<u32, FieldError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(COUNTER);
    }
    let seconds = text.parse().ok().filter(|s| *s <= MAX_COUNTER);
    seconds.ok_or_else(|| {
        FieldError::new(
            "counter",
            format!("must be a whole number of seconds from 0 to {MAX_COUNTER}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_checked_by_name() {
        let text = |text: &str| Some(text.to_owned());
        let named = || Edit {
            name: text("Promo"),
            ..Edit::default()
        };
        let mut splash = Splash::default();
        assert_eq!(
            splash.apply(&Edit::default()).expect_err("no name").field,
            "name"
        );
        splash
            .apply(&Edit {
                message: text("a\nb"),
                link: text("https://e.test"),
                counter: text(" 5 "),
                ..named()
            })
            .expect("legal");
        assert_eq!(
            (splash.link.as_str(), splash.counter),
            ("https://e.test/", 5)
        );
        splash
            .apply(&Edit {
                link: text(""),
                counter: text(""),
                ..Edit::default()
            })
            .expect("legal");
        assert_eq!(
            (
                splash.link.as_str(),
                splash.counter,
                splash.message.as_str()
            ),
            ("", COUNTER, "a\nb")
        );
        for (field, edit) in [
            (
                "name",
                Edit {
                    name: text(" "),
                    ..named()
                },
            ),
            (
                "title",
                Edit {
                    title: text("a\nb"),
                    ..named()
                },
            ),
            (
                "title",
                Edit {
                    title: text("a\0d"),
                    ..named()
                },
            ),
            (
                "message",
                Edit {
                    message: text("a\0d"),
                    ..named()
                },
            ),
            (
                "message",
                Edit {
                    message: Some("é".repeat(5001)),
                    ..named()
                },
            ),
            (
                "image",
                Edit {
                    image: text("javascript:alert(1)"),
                    ..named()
                },
            ),
            (
                "image",
                Edit {
                    image: text("data:image/svg+xml,x"),
                    ..named()
                },
            ),
            (
                "link",
                Edit {
                    link: text("javascript:alert(1)"),
                    ..named()
                },
            ),
            (
                "counter",
                Edit {
                    counter: text("601"),
                    ..named()
                },
            ),
            (
                "counter",
                Edit {
                    counter: text("-1"),
                    ..named()
                },
            ),
            (
                "counter",
                Edit {
                    counter: text("soon"),
                    ..named()
                },
            ),
        ] {
            assert_eq!(
                Splash::default().apply(&edit).expect_err(field).field,
                field
            );
        }
    }
}
