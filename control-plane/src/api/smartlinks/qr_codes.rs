//! `/qr-codes`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::body::Payload;
use super::ids::What;
use super::{links, named, time};
use crate::api::fields::Fields;
use crate::api::openapi;
use crate::api::reply::Failure;
use crate::app::App;
use crate::domain::color::Color;
use crate::domain::field::FieldError;
use crate::domain::qr::style::{Format, MAX_SIZE, MIN_SIZE};
use crate::domain::qr::{Content, Kind};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::qr::{Look, New};

/// Width and height when none are asked for.
const SIZE: u32 = 500;

/// The formats there are.
const FORMATS: [Format; 2] = [Format::Png, Format::Svg];

/// These, in the document.
fn formats() -> Object {
    openapi::words(FORMATS.map(Format::name))
}

fn formats_or_null() -> Object {
    openapi::words_or_null(FORMATS.map(Format::name))
}

/// A QR code.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct QrCode {
    #[schema(example = "qr_1z")]
    id: String,
    #[schema(example = "link_abc123")]
    link_id: String,
    size: u32,
    #[schema(schema_with = formats)]
    format: &'static str,
    style: QrStyle,
    /// The image, for everyone who has this address.
    image_url: String,
    #[schema(format = DateTime, example = "2026-02-01T10:00:00Z")]
    created_at: String,
}

/// How a code looks.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct QrStyle {
    #[schema(example = "#000000", pattern = "^#[0-9a-f]{6}$")]
    dots_color: String,
    #[schema(example = "#ffffff", pattern = "^#[0-9a-f]{6}$")]
    background_color: String,
    /// URL of its logo, as it was sent.
    logo: Option<String>,
}

/// How a code is to look.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the body in the OpenAPI document; `Fields` reads it"
)]
pub(super) struct NewStyle {
    /// `#rrggbb`; must be darker than the background by 40 % of relative luminance. `#000000` when absent.
    #[schema(example = "#000000")]
    dots_color: Option<String>,
    /// `#rrggbb`; `#ffffff` when absent.
    #[schema(example = "#ffffff")]
    background_color: Option<String>,
    /// http(s) URL of a PNG or JPEG of at most 2 MiB and 2048 × 2048 pixels, fetched now.
    logo: Option<String>,
}

/// A QR code to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "describes the body in the OpenAPI document; `Fields` reads it"
)]
pub(super) struct NewQrCode {
    #[schema(example = "link_abc123")]
    link_id: String,
    /// Pixels, 100 to 2000; 500 when absent.
    #[schema(minimum = 100, maximum = 2000)]
    size: Option<u32>,
    /// png when absent.
    #[schema(schema_with = formats_or_null)]
    format: Option<String>,
    style: Option<NewStyle>,
}

/// Makes a QR code for a link. Visits by it are known as scans.
#[utoipa::path(post, path = "/v1/qr-codes", tag = "QR codes", request_body = NewQrCode, responses((status = 201, body = QrCode)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    payload: Payload,
) -> Result<(StatusCode, Json<QrCode>), Failure> {
    let fields = payload.fields::<NewQrCode>();
    let id = fields.required("linkId")?;
    let (look, logo) = look(fields)?;
    let link = links::get(&app, &caller, id).await?;
    let new = New {
        kind: Kind::Static,
        field: "linkId",
        content: Content::Fixed(link.short_url()),
        name: String::new(),
        look,
        given: link.short_url(),
        link: Some(link),
        downloads: &[],
    };
    let code = crate::qr::add(&app, caller.workspace(), new).await;
    let code = code.map_err(named)?;
    let link = code.for_link.unwrap_or_default();
    let qr = QrCode {
        id: What::Qr.id(code.id),
        link_id: What::Link.id(link),
        size: code.style.size,
        format: code.style.format.name(),
        style: QrStyle {
            dots_color: code.style.foreground.to_hex(),
            background_color: code.style.background.to_hex(),
            logo,
        },
        image_url: code.image_url(),
        created_at: time(code.created_at),
    };
    Ok((StatusCode::CREATED, Json(qr)))
}

/// How it is to look, and the URL of its logo.
fn look(fields: Fields<'_>) -> Result<(Look, Option<String>), ApiError> {
    let size = fields.number("size", (MIN_SIZE.into(), MAX_SIZE.into()))?;
    let format = match fields.text("format")? {
        None => Some(Format::Png),
        Some(name) => FORMATS.into_iter().find(|format| format.name() == name),
    };
    let format = format.ok_or_else(|| ApiError::field("format", "must be png or svg"))?;
    let none = serde_json::Map::new();
    let style = match fields.value("style") {
        None => Fields::of::<NewStyle>(&none),
        Some(Value::Object(style)) => Fields::of::<NewStyle>(style),
        Some(_) => return Err(ApiError::field("style", "must be an object")),
    };
    let inside = |error: FieldError| FieldError {
        field: format!("style.{}", error.field),
        ..error
    };
    let color = |name: &str| {
        let text = style.filled(name).map_err(inside)?;
        let color = text.map(|text| Color::parse(&format!("style.{name}"), text));
        color.transpose()
    };
    let logo = style.filled("logo").map_err(inside)?.map(str::to_owned);
    let look = Look {
        size: Some(size.and_then(|n| u32::try_from(n).ok()).unwrap_or(SIZE)),
        foreground: color("dotsColor")?,
        background: color("backgroundColor")?,
        format: Some(format),
        logo: logo.clone().map(Some),
        ..Look::default()
    };
    Ok((look, logo))
}
