//! `/pixels` and `/pixel/…`: what runs on a link's page before its visitor goes on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::link_request::text;
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Object, Query, read};
use crate::app::App;
use crate::domain::date;
use crate::domain::field::FieldError;
use crate::domain::key::Scope;
use crate::domain::pixel::{self, Pixel, Tag, Vendor};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::pages;
use crate::store::pixels;

/// `GET /pixels`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PixelsReply {
    #[schema(example = 0)]
    error: u8,
    data: PixelPage,
}

/// A page of pixels.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PixelPage {
    #[serde(flatten)]
    paging: Paging,
    pixels: Vec<PixelItem>,
}

/// A pixel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PixelItem {
    id: i64,
    #[serde(rename = "type")]
    #[schema(example = "gtmpixel")]
    kind: &'static str,
    name: String,
    #[schema(example = "GTM-ABCDE")]
    tag: String,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// `POST /pixel/add`, `PUT /pixel/:id/update`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct PixelRequest {
    /// One of `gtmpixel`, `gapixel`, `fbpixel`, `adwordspixel`, `linkedinpixel`, `twitterpixel`, `adrollpixel`,
    /// `quorapixel`, `pinterest`, `bing`, `snapchat`, `reddit`, `tiktok`. Required to add; stays as it is.
    #[serde(rename = "type", deserialize_with = "text")]
    #[schema(example = "gtmpixel")]
    kind: Option<String>,
    /// For lists. Required to add.
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    /// The id the vendor gave: 1 to 255 letters, digits and `- _ . / :`. Required. For `adrollpixel` advertiser and pixel
    /// with a `/` between; for `adwordspixel` a conversion's label may follow a `/`.
    #[serde(deserialize_with = "text")]
    #[schema(example = "GTM-ABCDE")]
    tag: Option<String>,
}

/// A new thing's id.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdReply {
    #[schema(example = 0)]
    pub(super) error: u8,
    pub(super) id: i64,
}

/// Pixels of the workspace, newest first.
#[utoipa::path(get, path = "/api/pixels", tag = "Pixels", params(("limit" = Option<i64>, Query), ("page" = Option<i64>, Query)), responses((status = 200, body = PixelsReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<PixelsReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let place = (limit, (page - 1) * limit);
    let (rows, count) = pixels::page(&app.store, caller.workspace(), place).await?;
    let item = |row: pixels::PixelRow| PixelItem {
        id: row.id,
        kind: row.pixel.vendor.name(),
        name: row.pixel.name,
        tag: row.pixel.tag.as_str().to_owned(),
        date: date::format(row.created_at),
    };
    Ok(Json(PixelsReply {
        error: 0,
        data: PixelPage {
            paging: Paging::new(count, limit, page),
            pixels: rows.into_iter().map(item).collect(),
        },
    }))
}

/// Adds a pixel.
#[utoipa::path(post, path = "/api/pixel/add", tag = "Pixels", request_body = PixelRequest, responses((status = 200, body = IdReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<IdReply> {
    caller.need(Scope::Write)?;
    let body: PixelRequest = read(&body)?;
    let pixel = Pixel {
        vendor: Vendor::parse("type", needed("type", body.kind.as_deref())?)?,
        name: pixel::name(needed("name", body.name.as_deref())?)?,
        tag: Tag::parse("tag", needed("tag", body.tag.as_deref())?)?,
    };
    let id = pixels::insert(&app.store, caller.workspace(), &pixel, app.clock.now_ms()).await?;
    Ok(Json(IdReply { error: 0, id }))
}

/// Changes a pixel's tag and perhaps its name: the next visitor of each link with it meets the new one.
#[utoipa::path(put, path = "/api/pixel/{id}/update", tag = "Pixels", params(("id" = i64, Path)), request_body = PixelRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let place = (caller.workspace(), id.of("pixel")?);
    let body: PixelRequest = read(&body)?;
    let kind = body
        .kind
        .as_deref()
        .map(str::trim)
        .filter(|k| !k.is_empty());
    let vendor = kind.map(|kind| Vendor::parse("type", kind)).transpose()?;
    let name = match body.name.as_deref().map(str::trim) {
        None | Some("") => None,
        Some(name) => Some(pixel::name(name)?),
    };
    let tag = Tag::parse("tag", needed("tag", body.tag.as_deref())?)?;
    let now_ms = app.clock.now_ms();
    pages::update_pixel(&app.store, place, (vendor, name, tag), now_ms).await?;
    Ok(MessageReply::new("Pixel has been updated successfully."))
}

/// Deletes a pixel: links that have it go on without it.
#[utoipa::path(delete, path = "/api/pixel/{id}/delete", tag = "Pixels", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let place = (caller.workspace(), id.of("pixel")?);
    pages::delete_pixel(&app.store, place, app.clock.now_ms()).await?;
    Ok(MessageReply::new("Pixel has been deleted successfully."))
}

/// A field that must be there.
pub(super) fn needed<'a>(field: &str, value: Option<&'a str>) -> Result<&'a str, ApiError> {
    match value.map(str::trim) {
        None | Some("") => Err(FieldError::new(field, "is required").into()),
        Some(text) => Ok(text),
    }
}
