//! UUIDs of this dialect, and how dates are written.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::domain::date;
use crate::domain::field::FieldError;
use crate::domain::uuids::Kind;
use crate::error::ApiError;
use crate::middleware::Caller;

/// Stands for a UUID in the OpenAPI document.
pub(super) enum Uuid {}

impl PartialSchema for Uuid {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::Custom("uuid".to_owned());
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.format(Some(format)).into()
    }
}

impl ToSchema for Uuid {}

/// Characters of a UUID with its hyphens: the only form that is taken.
const LENGTH: usize = 36;

/// The UUID of a thing of ours.
pub(super) fn shown(app: &App, kind: Kind, id: i64) -> String {
    app.uuids.of(kind, id).to_string()
}

/// A text that must be a UUID; `None`: it is nobody's, or of another kind.
pub(super) fn read(
    app: &App,
    kind: Kind,
    field: &str,
    text: &str,
) -> Result<Option<i64>, FieldError> {
    let uuid = Some(text.trim())
        .filter(|text| text.len() == LENGTH)
        .and_then(|text| uuid::Uuid::try_parse(text).ok())
        .ok_or_else(|| FieldError::new(field, "must be a UUID"))?;
    Ok(app.uuids.id(kind, &uuid))
}

/// An id in a path or query: the thing it names, or 404.
pub(super) fn needed(
    app: &App,
    (kind, what): (Kind, &'static str),
    field: &str,
    text: &str,
) -> Result<i64, ApiError> {
    read(app, kind, field, text)?.ok_or_else(|| ApiError::not_found(what, text))
}

/// The workspace of a call: the key's, which `workspace_id` may name and nothing else.
pub(super) fn workspace(app: &App, caller: &Caller, text: Option<&str>) -> Result<i64, ApiError> {
    let own = caller.workspace();
    match text {
        None => Ok(own),
        Some(text) => match read(app, Kind::Workspace, "workspace_id", text)? {
            Some(id) if id == own => Ok(own),
            _ => Err(ApiError::not_found("workspace", text)),
        },
    }
}

/// `2030-01-02T03:04:05Z`.
pub(super) fn instant(ms: i64) -> String {
    date::worded(ms, "%Y-%m-%dT%H:%M:%SZ")
}
