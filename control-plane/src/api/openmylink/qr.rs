//! `/qr`, `/qr/:id`, `/qr/add`, `/qr/:id/update`, `/qr/:id/delete`, `/qr/:id/stats`, and images for those with a key.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::links::{UNAVAILABLE, totals};
use super::reply::{Failure, MessageReply, Paging, Reply};
use super::single::{self, Data};
use super::stats;
use crate::api::request::{Id, Object, Query};
use crate::app::App;
use crate::domain::date;
use crate::domain::key::Scope;
use crate::domain::qr::style::Format;
use crate::middleware::Caller;
use crate::store::qr::{self as codes, QrCode};

mod request;

pub(super) use request::QrRequest;

/// What an unknown code is called in errors.
const WHAT: &str = "QR code";

/// `GET /qr`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QrsReply {
    #[schema(example = 0)]
    error: u8,
    data: QrPage,
}

/// A page of QR codes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QrPage {
    #[serde(flatten)]
    paging: Paging,
    qrs: Vec<QrItem>,
    /// `unavailable` when scans are 0 because they could not be had; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'static str>,
}

/// A QR code.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QrItem {
    id: i64,
    /// Its own address: leads on and counts a scan (types link and dynamic), or shows the image.
    #[schema(example = "https://go.example/qr/a2d5e01f")]
    link: String,
    /// Visits, bots excluded.
    scans: u64,
    name: String,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// `GET /qr/:id`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QrReply {
    #[schema(example = 0)]
    error: u8,
    details: QrDetails,
    data: Data,
    /// `unavailable` when counts are 0 because they could not be had; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'static str>,
}

/// What its owner set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QrDetails {
    #[serde(flatten)]
    item: QrItem,
    /// What it holds.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Its image, for everyone who has this address.
    image_url: String,
}

/// `POST /qr/add`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QrAddReply {
    #[schema(example = 0)]
    error: u8,
    #[schema(example = 3)]
    id: i64,
    #[schema(example = "https://go.example/qr/a2d5e01f")]
    link: String,
    data: QrAdded,
}

/// The same once more, as the other half of clients expects it, and the image.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QrAdded {
    id: i64,
    link: String,
    /// The image: to be embedded or downloaded, without a key.
    image_url: String,
}

/// QR codes of the workspace, newest first.
#[utoipa::path(get, path = "/api/qr", tag = "QR codes", params(
    ("limit" = Option<i64>, Query, description = "codes a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = QrsReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<QrsReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let workspace = caller.workspace();
    let listed = codes::page(&app.store, workspace, "", limit, (page - 1) * limit).await?;
    let count = codes::count(&app.store, workspace, "").await?;
    let ids: Vec<i64> = listed.iter().map(|code| code.link_id).collect();
    let scans = totals(&app, workspace, &ids).await?;
    let none = HashMap::new();
    let known = scans.as_ref().unwrap_or(&none);
    let scans_of = |code: &QrCode| {
        let totals = known.get(&code.link_id.cast_unsigned());
        totals.map_or(0, |totals| totals.clicks)
    };
    let qrs = listed.iter().map(|code| item(code, scans_of(code)));
    Ok(Json(QrsReply {
        error: 0,
        data: QrPage {
            paging: Paging::new(count, limit, page),
            qrs: qrs.collect(),
            stats: scans.is_none().then_some(UNAVAILABLE),
        },
    }))
}

/// One QR code with what came of it.
#[utoipa::path(get, path = "/api/qr/{id}", tag = "QR codes", params(("id" = i64, Path)), responses((status = 200, body = QrReply)))]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<QrReply> {
    caller.need(Scope::Read)?;
    let code = crate::qr::get(&app, caller.workspace(), id.of(WHAT)?).await?;
    let (data, missing) = single::data(&app, caller.workspace(), code.link_id).await?;
    Ok(Json(QrReply {
        error: 0,
        details: QrDetails {
            item: item(&code, data.clicks()),
            kind: code.kind.name(),
            image_url: code.image_url(),
        },
        data,
        stats: missing,
    }))
}

/// Statistics of a QR code's scans, in the form of those of a link.
#[utoipa::path(get, path = "/api/qr/{id}/stats", tag = "QR codes", params(("id" = i64, Path), stats::StatsParams), responses((status = 200, body = stats::StatsReply), (status = 503, body = super::reply::ErrorReply)))]
pub(super) async fn stats(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    query: Query,
) -> Result<Response, Failure> {
    caller.need(Scope::Read)?;
    let question = stats::question(&query)?;
    let code = crate::qr::get(&app, caller.workspace(), id.of(WHAT)?).await?;
    stats::answer(&app, (caller.workspace(), code.link_id), &question).await
}

/// Makes a QR code: of `data` (text, vcard, link, email, phone, sms, wifi) or of `url` (dynamic, static). Codes of type
/// link and dynamic hold their own address, count scans and can be led elsewhere later; all others hold the content itself.
#[utoipa::path(post, path = "/api/qr/add", tag = "QR codes", request_body = QrRequest, responses((status = 200, body = QrAddReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<QrAddReply> {
    caller.need(Scope::Write)?;
    let code = crate::qr::add(&app, caller.workspace(), request::new(&body)?).await?;
    Ok(Json(QrAddReply {
        error: 0,
        id: code.id,
        link: code.link(),
        data: QrAdded {
            id: code.id,
            link: code.link(),
            image_url: code.image_url(),
        },
    }))
}

/// Changes a QR code; its type stays. `data` is required where the code was made of `data`.
#[utoipa::path(put, path = "/api/qr/{id}/update", tag = "QR codes", params(("id" = i64, Path)), request_body = QrRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let workspace = caller.workspace();
    let code = crate::qr::get(&app, workspace, id.of(WHAT)?).await?;
    let change = request::change(&body, &code)?;
    crate::qr::update(&app, workspace, code.id, change).await?;
    Ok(MessageReply::new("QR has been updated successfully."))
}

/// Deletes a QR code: scans of it get 404 from now on.
#[utoipa::path(delete, path = "/api/qr/{id}/delete", tag = "QR codes", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    crate::qr::delete(&app, caller.workspace(), id.of(WHAT)?).await?;
    Ok(MessageReply::new("QR Code has been deleted successfully."))
}

/// The image of a QR code, in any format. (On the visitors' address the same path takes the token of `image_url`.)
#[utoipa::path(get, path = "/dashboard/qrcodes/{id}/download/{format}", tag = "QR codes", params(
    ("id" = i64, Path),
    ("format" = String, Path, description = "png, svg or webp"),
), responses((status = 200, description = "the image", content_type = "image/png"), (status = 304, description = "as `If-None-Match` says")))]
pub(super) async fn image(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, format)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    caller.need(Scope::Read)?;
    let format = Format::parse("format", &format)?;
    let code = crate::qr::get(&app, caller.workspace(), Id::from(id).of(WHAT)?).await?;
    let bytes = crate::qr::image(&app, &code, format).await?;
    let tag = format!("\"{}\"", hex::encode(Sha256::digest(&bytes)));
    // Only for this key, and asked for anew each time: then most answers are a 304.
    let caching = [
        (ETAG, tag.clone()),
        (CACHE_CONTROL, "private, no-cache".to_owned()),
    ];
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| {
        let text = value.to_str().unwrap_or_default();
        let mut tags = text.split(',').map(str::trim);
        tags.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
    });
    if known {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let kind = [
        (CONTENT_TYPE, format.media_type()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            http::header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; img-src data:; sandbox",
        ),
    ];
    Ok((kind, caching, bytes).into_response())
}

fn item(code: &QrCode, scans: u64) -> QrItem {
    QrItem {
        id: code.id,
        link: code.link(),
        scans,
        name: code.shown_name(),
        date: date::format(code.created_at),
    }
}
