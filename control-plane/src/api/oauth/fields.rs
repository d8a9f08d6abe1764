//! Parameters of a query or a form: each at most once, an empty one counts as absent (RFC 6749 §3.1, §3.2).

use axum::extract::Request;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use crate::api::request::body;
use crate::domain::oauth::OAuthError;
use crate::error::ApiError;

/// Largest form, in bytes: a request to authorize with everything at its limit is a quarter of it.
const MAX_FORM: usize = 64 << 10;

/// Parameters in their order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// From a query.
    pub(super) fn of_query(query: &str) -> Self {
        Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// From a body: a form, or a JSON object of texts, which many clients send.
    pub(super) async fn of_body(request: Request) -> Result<Self, ApiError> {
        let is_json = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"));
        let bytes = body(request, MAX_FORM).await?;
        if !is_json {
            return Ok(Self::of_query(&String::from_utf8_lossy(&bytes)));
        }
        let object: serde_json::Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|e| ApiError::NotJson(e.to_string()))?;
        let texts = object.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) => Some((name, text)),
            Value::Number(number) => Some((name, number.to_string())),
            _ => None,
        });
        Ok(Self(texts.collect()))
    }

    /// The value of `name`.
    ///
    /// # Errors
    /// It is there twice.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, OAuthError> {
        let mut values = self.0.iter().filter(|(n, _)| n == name).map(|(_, v)| v);
        let value = values.next();
        if values.next().is_some() {
            return Err(OAuthError::InvalidRequest(format!(
                "{name} must be there only once"
            )));
        }
        let value = value.map(String::as_str).filter(|text| !text.is_empty());
        // No engine stores NUL, and nothing of ours holds one.
        if value.is_some_and(|text| text.contains('\0')) {
            return Err(OAuthError::InvalidRequest(format!(
                "{name} must not hold control characters"
            )));
        }
        Ok(value)
    }

    /// The value of `name` in a form of ours; twice or with NUL counts as absent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.one(name).ok().flatten().unwrap_or_default()
    }

    /// The whole as a query, written anew: nothing in it can end a header.
    pub(super) fn to_query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }
}
