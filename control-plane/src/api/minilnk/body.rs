//! Bodies: a JSON object, or 400.

use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::fields::Fields;
use crate::api::reply::Failure;
use crate::api::request;
use crate::error::ApiError;

/// The object that a call carries.
#[derive(Debug)]
pub(super) struct Payload(Map<String, Value>);

impl Payload {
    /// Its fields, documented as `T`.
    pub(super) fn fields<T: ToSchema>(&self) -> Fields<'_> {
        Fields::of::<T>(&self.0)
    }
}

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let bytes = request::body(request, request::MAX_BODY).await?;
        let refused = |why: &str| Err(ApiError::NotJson(why.to_owned()).into());
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => refused("an object is needed"),
            Err(_) if bytes.trim_ascii().is_empty() => refused("nothing was sent"),
            Err(error) => refused(&error.to_string()),
        }
    }
}
