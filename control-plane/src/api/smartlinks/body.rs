//! Bodies: a JSON object, of which one field is kept as it was sent. Nothing at all is `{}`, as most clients mean by it.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::fields::Fields;
use crate::api::reply::Failure;
use crate::api::request;
use crate::domain::field::FieldError;
use crate::error::ApiError;

/// The object that a call carries.
#[derive(Debug)]
pub(super) struct Payload {
    map: Map<String, Value>,
    /// The same, each value as it was sent.
    raw: BTreeMap<String, Box<RawValue>>,
}

impl Payload {
    /// Its fields, documented as `T`.
    pub(super) fn fields<T: ToSchema>(&self) -> Fields<'_> {
        Fields::of::<T>(&self.map)
    }

    /// An object, as it was sent; `Some("")`: `null`.
    ///
    /// # Errors
    /// Something else than an object.
    pub(super) fn object(&self, name: &str) -> Result<Option<&str>, FieldError> {
        match self.map.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some("")),
            Some(Value::Object(_)) => Ok(self.raw.get(name).map(|raw| raw.get())),
            Some(_) => Err(FieldError::new(name, "must be an object")),
        }
    }
}

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let bytes = request::body(request, request::MAX_BODY).await?;
        let refused = |why: &str| Err(ApiError::NotJson(why.to_owned()).into());
        let text = match bytes.trim_ascii() {
            b"" => b"{}",
            text => text,
        };
        match serde_json::from_slice(text) {
            Ok(Value::Object(map)) => {
                let raw = serde_json::from_slice(text).map_err(anyhow::Error::new)?;
                Ok(Self { map, raw })
            }
            Ok(_) => refused("an object is needed"),
            Err(error) => refused(&error.to_string()),
        }
    }
}
