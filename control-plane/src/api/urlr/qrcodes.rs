//! `/qrcodes`: the answer is the image itself. Nothing is kept of one that was made of a `url`; of a link the address is
//! kept that its scans are counted by ([`crate::store::links::code`]).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::Uuid;
use super::{ids, links};
use crate::api::openapi;
use crate::api::reply::Failure;
use crate::api::request::{Object, read};
use crate::app::App;
use crate::destinations;
use crate::domain::destination::Destination;
use crate::domain::field::FieldError;
use crate::domain::key::Scope;
use crate::domain::plan::Feature;
use crate::domain::qr::look::ImageLook;
use crate::domain::qr::style::Format;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::qr_image;
use crate::store::links::{Link, code};
use crate::usage;

/// How an image looks.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(super) struct LookRequest {
    /// Width and height in pixels.
    #[schema(minimum = 100, maximum = 1000, default = 600)]
    size: Option<i64>,
    /// `png` when absent.
    #[schema(schema_with = formats)]
    format: Option<String>,
    /// Pixels of background on each side.
    #[schema(minimum = 0, default = 0)]
    margin: Option<i64>,
    /// Hexadecimal.
    #[schema(default = "#ffffff", pattern = "^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$")]
    background_color: Option<String>,
    /// Hexadecimal.
    #[schema(default = "#000000", pattern = "^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$")]
    foreground_color: Option<String>,
}

/// The formats, in the document.
fn formats() -> utoipa::openapi::schema::Object {
    openapi::words_or_null(Format::names())
}

/// An image as a caller wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct QrcodeRequest {
    /// What the image holds. Either this or `link_id`, which wins.
    #[schema(example = "https://example.com/")]
    url: Option<String>,
    /// The key's own when absent.
    #[schema(value_type = Option<Uuid>, inline)]
    workspace_id: Option<String>,
    /// The link whose short URL it holds.
    #[schema(value_type = Option<Uuid>, inline)]
    link_id: Option<String>,
    #[serde(flatten)]
    look: LookRequest,
}

impl LookRequest {
    /// Checked, with its defaults; `prefix` stands before names of fields.
    pub(super) fn look(self, prefix: &str) -> Result<ImageLook, FieldError> {
        let usual = ImageLook::default();
        // A number that is none is beyond every limit.
        let number = |value: Option<i64>, usual: u32| {
            value.map_or(usual, |value| u32::try_from(value).unwrap_or(u32::MAX))
        };
        let look = ImageLook {
            size: number(self.size, usual.size),
            format: self.format.unwrap_or(usual.format),
            margin: number(self.margin, usual.margin),
            background_color: self.background_color.unwrap_or(usual.background_color),
            foreground_color: self.foreground_color.unwrap_or(usual.foreground_color),
        };
        look.style()
            .map_err(|error| FieldError::new(format!("{prefix}{}", error.field), error.problem))?;
        Ok(look)
    }
}

/// Create a QR code.
#[utoipa::path(post, path = "/api/v2/qrcodes", tag = "QR codes", request_body = QrcodeRequest, responses(
    (status = 201, description = "The image", content((Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (String = "image/svg+xml"))),
    (status = 404, description = "No such link or workspace"), (status = 422, description = "A field is missing or wrong")))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Result<Response, Failure> {
    caller.need(Scope::Write)?;
    let request: QrcodeRequest = read(&body)?;
    let workspace = ids::workspace(&app, &caller, request.workspace_id.as_deref())?;
    usage::plan(&app, workspace).await?.need(Feature::Qr)?;
    let text = match (&request.link_id, &request.url) {
        (Some(id), _) => {
            let link = links::find(&app, &caller, "link_id", id).await?;
            text_of(&app, &link).await?
        }
        (None, Some(url)) => {
            let url = Destination::parse("url", url)?;
            destinations::check_listed(&app, "url", url.as_str())?;
            url.as_str().to_owned()
        }
        (None, None) => {
            return Err(ApiError::field("url", "is required, or link_id").into());
        }
    };
    let look = request.look.look("")?;
    let (media_type, image) = draw(&app, "url", text, &look).await?;
    Ok((StatusCode::CREATED, [(CONTENT_TYPE, media_type)], image).into_response())
}

/// What the image of a link holds: its short URL with the mark that makes a visit a scan.
pub(super) async fn text_of(app: &App, link: &Link) -> Result<String, ApiError> {
    let digits = code::of_link(&app.store, link, app.clock.now_ms()).await?;
    Ok(format!("{}?qr={digits}", link.short_url()))
}

/// An image and its type.
pub(super) async fn draw(
    app: &App,
    field: &'static str,
    text: String,
    look: &ImageLook,
) -> Result<(&'static str, Vec<u8>), ApiError> {
    let (style, margin) = (look.style()?, look.margin);
    let draw = move || qr_image::render_within(field, &text, &style, margin);
    let image = app.drawing.run(draw).await??;
    Ok((style.format.media_type(), image))
}
