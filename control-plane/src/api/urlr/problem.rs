//! Errors of this dialect: problems of RFC 9457, with the fields that are wrong beside them.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, KeyRefusal};

/// Content type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// A failed call.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The problem has no page of its own: its title is that of the status.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Unprocessable Content")]
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What went wrong, for people.
    #[schema(example = "url is required")]
    detail: String,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<WrongField>,
}

/// A field that is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct WrongField {
    /// Where it stands in the body, as a JSON pointer, or its name in the query.
    #[schema(example = "#/url")]
    pointer: String,
    /// What is wrong with it.
    #[schema(example = "url is required")]
    detail: String,
}

impl WrongField {
    fn new(field: &str, detail: &str) -> Self {
        Self {
            pointer: pointer(field),
            detail: detail.to_owned(),
        }
    }
}

/// Something of that name is there already. Only this dialect tells it from other wrong fields.
pub(super) fn conflict(field: &str, detail: String) -> Response {
    let wrong = WrongField::new(field, &detail);
    answer(StatusCode::CONFLICT, detail, vec![wrong])
}

/// An error in this dialect's form.
pub(super) fn render(error: &ApiError) -> Response {
    let detail = match error {
        ApiError::Key(KeyRefusal::Missing) => {
            "an API key is needed: send it as 'X-API-KEY: KEY'".to_owned()
        }
        _ => error.public_message(),
    };
    let wrong = match error {
        ApiError::Field(error) => vec![WrongField::new(&error.field, &detail)],
        ApiError::Fields(errors) => {
            let each = errors.all().iter();
            each.map(|error| WrongField::new(&error.field, &error.to_string()))
                .collect()
        }
        ApiError::AliasTaken(_) | ApiError::AliasRests { .. } => {
            vec![WrongField::new("code", &detail)]
        }
        _ => Vec::new(),
    };
    answer(error.status(), detail, wrong)
}

fn answer(status: StatusCode, detail: String, errors: Vec<WrongField>) -> Response {
    let problem = Problem {
        kind: "about:blank",
        title: title(status),
        status: status.as_u16(),
        detail,
        errors,
    };
    let mut response = (status, Json(problem)).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// RFC 9110 renamed two of those that the `http` crate names.
fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Content",
        StatusCode::PAYLOAD_TOO_LARGE => "Content Too Large",
        other => other.canonical_reason().unwrap_or("Error"),
    }
}

/// `geolinks[0].url` as `#/geolinks/0/url`.
fn pointer(field: &str) -> String {
    let mut text = String::from("#/");
    for c in field.chars() {
        match c {
            '.' | '[' => text.push('/'),
            ']' => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_pointed_at() {
        assert_eq!(pointer("url"), "#/url");
        assert_eq!(
            pointer("geolinks[0].conditions[1].type"),
            "#/geolinks/0/conditions/1/type"
        );
    }
}
