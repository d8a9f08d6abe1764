//! Fields of a file, in a query or in a form.

use std::collections::HashMap;

use utoipa::ToSchema;

use crate::app::App;
use crate::domain::alias;
use crate::domain::date::When;
use crate::domain::field::FieldError;
use crate::domain::file::{FileName, MAX_DOWNLOADS};
use crate::error::ApiError;
use crate::files::multipart::Form;
use crate::files::{self, Room, Source, Wish};
use crate::links::Secret;
use crate::store::objects::Object;

/// Longest field of a form other than its file, in bytes: every field's own limit is below.
const MAX_FIELD: usize = 8 << 10;

/// Most fields of a form that are kept.
const MAX_FIELDS: usize = 32;

/// Fields of a new file.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "read as a form: these are for the document")]
pub(in super::super) struct UploadForm {
    /// The file, with its name.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// For lists; the file's name when absent.
    name: Option<String>,
    /// Alias instead of a random one.
    custom: Option<String>,
    /// Domain of the workspace, with or without scheme.
    domain: Option<String>,
    /// Asked for before the download.
    password: Option<String>,
    /// Date, or date and time; of a date its end.
    expiry: Option<String>,
    /// Number of downloads; 0: any number.
    maxdownloads: Option<u64>,
}

/// Fields of a file that changes; what is absent stays.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "read as a form: these are for the document")]
pub(in super::super) struct ReplaceForm {
    /// The new file; its name and type are the download's from now on.
    #[schema(value_type = Option<String>, format = Binary)]
    file: Option<Vec<u8>>,
    /// For lists.
    name: Option<String>,
    /// Asked for before the download; empty: no password.
    password: Option<String>,
    /// Date, or date and time; empty: never.
    expiry: Option<String>,
    /// Number of downloads, those there were included; 0 or empty: any number.
    maxdownloads: Option<u64>,
}

/// A form that has come.
#[derive(Debug)]
pub(super) struct Received {
    /// Texts by name; of two of one name the last.
    pub(super) fields: HashMap<String, String>,
    /// The file, stored.
    pub(super) file: Option<(FileName, Object)>,
}

/// What a caller wants. An empty field clears what it stands for, but for the alias and the domain, which it leaves.
pub(super) fn wish(get: impl Fn(&str) -> Option<String>) -> Result<Wish, FieldError> {
    let trimmed = |name: &str| get(name).map(|text| text.trim().to_owned());
    let given = |name: &str| trimmed(name).filter(|text| !text.is_empty());
    let expires_at = match trimmed("expiry") {
        None => None,
        Some(text) if text.is_empty() => Some(None),
        Some(text) => Some(Some(When::parse("expiry", &text)?.end_ms())),
    };
    let max_downloads = match trimmed("maxdownloads") {
        None => None,
        Some(text) if text.is_empty() => Some(None),
        Some(text) => {
            let number = text.parse().ok().filter(|n| *n <= MAX_DOWNLOADS);
            let problem = || format!("must be a whole number from 0 to {MAX_DOWNLOADS}");
            let number: u64 = number.ok_or_else(|| FieldError::new("maxdownloads", problem()))?;
            Some(Some(number).filter(|n| *n > 0))
        }
    };
    Ok(Wish {
        name: trimmed("name"),
        slug: given("custom")
            .map(|text| alias::custom("custom", &text))
            .transpose()?,
        domain: given("domain"),
        password: get("password").map(|text| Some(text).filter(|t| !t.is_empty()).map(Secret)),
        expires_at,
        max_downloads,
    })
}

/// Reads a form to its end and stores its file.
pub(super) async fn receive(app: &App, form: &mut Form, room: &Room) -> Result<Received, ApiError> {
    let mut received = Received {
        fields: HashMap::new(),
        file: None,
    };
    let read = read(app, form, room, &mut received).await;
    if let (Err(_), Some((_, object))) = (&read, &received.file) {
        files::forget(app, object).await;
    }
    read.map(|()| received)
}

async fn read(
    app: &App,
    form: &mut Form,
    room: &Room,
    received: &mut Received,
) -> Result<(), ApiError> {
    while let Some(part) = form.part().await.map_err(|e| room.malformed(e))? {
        match part.file_name {
            Some(name) if part.name == "file" => {
                if received.file.is_some() {
                    return Err(ApiError::field("file", "must come once"));
                }
                let name = FileName::parse("file", &name)?;
                let object = files::receive(app, Source::Part(form), room).await?;
                received.file = Some((name, object));
            }
            None if part.name == "file" => {
                return Err(ApiError::field("file", "must be a part with a file name"));
            }
            // A file that nobody asked for is read past.
            Some(_) => {}
            None => {
                let text = form.text(MAX_FIELD).await.map_err(|e| room.malformed(e))?;
                let text = text.ok_or_else(|| {
                    let name: String = part.name.chars().take(80).collect();
                    let problem = format!("must be UTF-8 text of at most {MAX_FIELD} bytes");
                    ApiError::field(&name, problem)
                })?;
                if received.fields.len() < MAX_FIELDS {
                    received.fields.insert(part.name, text);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Result<Wish, FieldError> {
        wish(|name| {
            let found = fields.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn empty_fields_clear_and_absent_ones_leave() {
        let wish = read(&[]).expect("legal");
        assert!(wish.name.is_none() && wish.expires_at.is_none() && wish.max_downloads.is_none());
        let empty = [
            "name",
            "custom",
            "domain",
            "password",
            "expiry",
            "maxdownloads",
        ];
        let wish = read(&empty.map(|name| (name, ""))).expect("legal");
        assert!(wish.slug.is_none() && wish.domain.is_none());
        assert_eq!(
            (wish.password, wish.expires_at, wish.max_downloads),
            (Some(None), Some(None), Some(None))
        );
        let wish = read(&[
            ("password", " x "),
            ("maxdownloads", " 3 "),
            ("expiry", "2021-09-28"),
        ])
        .expect("legal");
        assert_eq!(wish.password, Some(Some(Secret(" x ".to_owned()))));
        assert_eq!(
            (wish.expires_at, wish.max_downloads),
            (Some(Some(1_632_873_599_000)), Some(Some(3)))
        );
    }

    #[test]
    fn bad_fields_are_named() {
        for (name, bad) in [
            ("maxdownloads", "-1"),
            ("maxdownloads", "1.5"),
            ("maxdownloads", "99999999999999999999"),
            ("expiry", "soon"),
            ("expiry", "2021-02-30"),
            ("custom", "qr/x"),
            ("custom", "a b"),
        ] {
            assert_eq!(read(&[(name, bad)]).expect_err(bad).field, name);
        }
    }
}
