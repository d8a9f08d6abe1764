//! What calls carry: JSON bodies, queries and ids, read liberally.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::reply::Failure;
use crate::domain::field::FieldError;
use crate::error::ApiError;

/// Largest body of a plain call, in bytes: a link with every field at its limit is a tenth of it.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// Largest body of a call with many links, in bytes: 1,000 links of 8 KiB and their fields.
const MAX_BULK_BODY: usize = 16 << 20;

/// Longest time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest `limit` of a list.
const MAX_LIMIT: i64 = 500;

/// `limit` of a list when none is asked for.
const DEFAULT_LIMIT: i64 = 15;

/// Largest `page`: beyond every list, and far from where a product with the limit would overflow.
const MAX_PAGE: i64 = 1_000_000_000;

/// A body that is a JSON object. Nothing at all and `null` are `{}`, whatever the content type says.
#[derive(Debug)]
pub(crate) struct Object(pub(crate) Map<String, Value>);

/// As [`Object`], of a call that carries many links.
#[derive(Debug)]
pub(crate) struct BigObject(pub(crate) Map<String, Value>);

impl<S: Sync> FromRequest<S> for Object {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        Ok(Self(object(request, MAX_BODY).await?))
    }
}

impl<S: Sync> FromRequest<S> for BigObject {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        Ok(Self(object(request, MAX_BULK_BODY).await?))
    }
}

/// A body that is a text file.
#[derive(Debug)]
pub(crate) struct File(pub(crate) String);

impl<S: Sync> FromRequest<S> for File {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let bytes = body(request, MAX_BULK_BODY).await?;
        let text = String::from_utf8(bytes.into())
            .map_err(|_| ApiError::field("body", "must be UTF-8 text"))?;
        Ok(Self(text))
    }
}

/// A body that is no JSON, of at most `limit` bytes.
pub(crate) async fn body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    tokio::time::timeout(BODY_TIMEOUT, read_body(request, limit))
        .await
        .map_err(|_| ApiError::TooSlow)?
}

async fn object(request: Request, limit: usize) -> Result<Map<String, Value>, ApiError> {
    let bytes = body(request, limit).await?;
    let text = bytes.trim_ascii();
    // Some senders put a byte order mark before their JSON.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(ApiError::field("body", "must be a JSON object")),
        Err(error) => Err(ApiError::NotJson(error.to_string())),
    }
}

async fn read_body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = request.into_body();
    if hyper::body::Body::size_hint(&body).lower() > limit as u64 {
        return Err(ApiError::TooLarge(limit));
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::NotJson("the body broke off".to_owned()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(ApiError::TooLarge(limit));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// A value that says something.
pub(super) fn filled(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|text| !text.is_empty())
}

/// A list of texts, or one text that `between` separates; `None`: absent or empty.
///
/// # Errors
/// It is something else.
pub(super) fn texts(
    field: &str,
    value: &Value,
    between: char,
) -> Result<Option<Vec<String>>, ApiError> {
    let wrong = || ApiError::field(field, "must be a list of texts");
    let list: Vec<String> = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text
            .split(between)
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong()),
    };
    Ok(Some(list).filter(|list| !list.is_empty()))
}

/// Reads an object into a type; an error names the field.
pub(crate) fn read<T: DeserializeOwned>(map: &Map<String, Value>) -> Result<T, FieldError> {
    // Through text-free deserialisation of the map, so that the path of an error is known.
    serde_path_to_error::deserialize(Value::Object(map.clone())).map_err(|error| {
        let field = error.path().to_string();
        let problem = error.into_inner().to_string();
        let problem = if problem.starts_with("must") {
            problem
        } else {
            format!("is wrong: {problem}")
        };
        FieldError::new(field, problem)
    })
}

/// A query: the last value of a name wins, an empty one counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        ))
    }
}

impl Query {
    /// The value of `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let last = self.0.iter().rev().find(|(n, _)| n == name);
        last.map(|(_, value)| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The value of `name` as it is, space around it and all.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        let last = self.0.iter().rev().find(|(n, _)| n == name);
        last.map(|(_, value)| value.as_str())
    }

    /// A whole number within `min..=max`.
    pub(crate) fn number(
        &self,
        name: &str,
        default: i64,
        (min, max): (i64, i64),
    ) -> Result<i64, FieldError> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        i64::from_str(text)
            .ok()
            .filter(|n| (min..=max).contains(n))
            .ok_or_else(|| {
                FieldError::new(name, format!("must be a whole number from {min} to {max}"))
            })
    }

    /// An id.
    pub(crate) fn id(&self, name: &str) -> Result<Option<i64>, FieldError> {
        match self.text(name) {
            None => Ok(None),
            Some(_) => self.number(name, 1, (1, i64::MAX)).map(Some),
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
        default: T,
    ) -> Result<T, FieldError> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                FieldError::new(name, format!("must be one of {}", words.join(", ")))
            })
    }

    /// `limit` and `page` of a list.
    pub(crate) fn paging(&self) -> Result<(i64, i64), FieldError> {
        let limit = self.number("limit", DEFAULT_LIMIT, (1, MAX_LIMIT))?;
        let page = self.number("page", 1, (1, MAX_PAGE))?;
        Ok((limit, page))
    }
}

/// The parameters of a path with more than one of them, by name.
#[derive(Debug, Clone)]
pub(crate) struct Ids(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Ids {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path: Result<Path<Vec<(String, String)>>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        Ok(Self(path.map(|Path(all)| all).unwrap_or_default()))
    }
}

impl Ids {
    /// The parameter of this name as a text.
    pub(crate) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }

    /// The parameter of this name as an id.
    pub(crate) fn of(&self, name: &str, what: &'static str) -> Result<i64, ApiError> {
        Id(self.text(name).to_owned()).of(what)
    }
}

/// An id in the path. What is no number is an id that does not exist.
#[derive(Debug, Clone)]
pub(crate) struct Id(String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path: Result<Path<String>, PathRejection> =
            Path::from_request_parts(parts, state).await;
        Ok(Self(path.map(|Path(id)| id).unwrap_or_default()))
    }
}

impl From<String> for Id {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Id {
    /// As it stands in the path.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The number.
    pub(crate) fn of(&self, what: &'static str) -> Result<i64, ApiError> {
        let digits = !self.0.is_empty() && self.0.bytes().all(|b| b.is_ascii_digit());
        digits
            .then(|| self.0.parse().ok())
            .flatten()
            .ok_or_else(|| ApiError::not_found(what, &self.0))
    }
}
