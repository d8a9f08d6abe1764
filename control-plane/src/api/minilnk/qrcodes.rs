//! `/qrcodes` and `/qrcodes/{id}`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::body::Payload;
use super::links::with_counts;
use super::paginator::{Asked, PER_PAGE, Paginator};
use super::wrong::Wrong;
use super::{Done, named, time};
use crate::api::counts::totals;
use crate::api::fields::Fields;
use crate::api::openapi;
use crate::api::reply::{Failure, Reply};
use crate::api::request::{Id, Query};
use crate::app::App;
use crate::domain::color::Color;
use crate::domain::destination::Destination;
use crate::domain::field::FieldError;
use crate::domain::qr::style::{Correction, Format};
use crate::domain::qr::{Content, Kind, MAX_NAME, content};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::qr::{Look, New};
use crate::stats::Totals;
use crate::store::links;
use crate::store::qr::{self as codes, QrCode};

/// What an unknown code is called in errors.
const WHAT: &str = "QR code";

/// Longest content, in characters.
const MAX_CONTENT: usize = 1000;

/// Width and height when none are asked for, and their limits in this dialect.
const SIZE: i64 = 300;
const SIZES: (i64, i64) = (100, 1000);

/// Formats in which every code is served.
const FORMATS: &[Format] = &[Format::Svg, Format::Png];

/// The types there are.
const TYPES: [(&str, Kind); 5] = [
    ("url", Kind::Static),
    ("text", Kind::Text),
    ("email", Kind::Email),
    ("sms", Kind::Sms),
    ("phone", Kind::Phone),
];

/// The types, in the document.
fn types() -> Object {
    openapi::words(TYPES.map(|(name, _)| name))
}

/// The levels of error correction, in the document.
fn corrections() -> Object {
    openapi::words(Correction::names())
}

/// A QR code.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Qr {
    #[schema(example = 11)]
    id: i64,
    /// The user of the key.
    user_id: i64,
    link_id: Option<i64>,
    name: String,
    /// As it was given.
    content: String,
    #[serde(rename = "type")]
    #[schema(schema_with = types)]
    kind: &'static str,
    #[schema(example = "#000000", pattern = "^#[0-9A-F]{6}$")]
    foreground_color: String,
    #[schema(example = "#FFFFFF", pattern = "^#[0-9A-F]{6}$")]
    background_color: String,
    margin: u32,
    size: u32,
    #[schema(schema_with = corrections)]
    error_correction: &'static str,
    /// Whether it has a link.
    is_dynamic: bool,
    #[schema(format = DateTime, example = "2026-05-24T22:05:00.000000Z")]
    created_at: String,
    /// For everyone who has this address.
    download_svg_url: String,
    /// For everyone who has this address.
    download_png_url: String,
    /// To be put into a page as it is.
    preview_svg: String,
    /// Visits that came by it, bots left out.
    scan_count: u64,
}

/// A QR code to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body in the OpenAPI document; `Fields` reads it"
)]
pub(super) struct NewQr {
    #[schema(max_length = 255)]
    name: String,
    #[serde(rename = "type")]
    #[schema(schema_with = types)]
    kind: String,
    /// At most 1000 characters.
    #[schema(max_length = 1000)]
    content: String,
    #[schema(schema_with = corrections)]
    error_correction: String,
    /// Hex; `#000000` when absent. Plan feature `qrcolors`.
    #[schema(pattern = "^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$")]
    foreground_color: Option<String>,
    /// Hex; `#FFFFFF` when absent. Plan feature `qrcolors`.
    #[schema(pattern = "^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$")]
    background_color: Option<String>,
    /// Modules, 0 to 10; 4 when absent.
    #[schema(minimum = 0, maximum = 10)]
    margin: Option<i64>,
    /// Pixels, 100 to 1000; 300 when absent.
    #[schema(minimum = 100, maximum = 1000)]
    size: Option<i64>,
    /// The link it belongs to. Where `content` is its short URL, scans are counted.
    link_id: Option<i64>,
}

/// QR codes, newest first.
#[utoipa::path(get, path = "/api/v1/qrcodes", tag = "QR codes", params(
    ("search" = Option<String>, Query, description = "text in the name"),
    ("page" = Option<i64>, Query, description = "from 1, 15 codes each"),
), responses((status = 200, body = Paginator<Qr>)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Failure> {
    let asked = Asked::read(&query);
    let workspace = caller.workspace();
    let (search, offset) = (&asked.search, asked.offset());
    let found = codes::page(&app.store, workspace, search, PER_PAGE, offset).await?;
    let total = codes::count(&app.store, workspace, search).await?;
    let ids: Vec<i64> = found.iter().map(|code| code.link_id).collect();
    let known = totals(&app, workspace, &ids).await?;
    let none = HashMap::new();
    let counts = known.as_ref().unwrap_or(&none);
    let mut data = Vec::with_capacity(found.len());
    for code in found {
        data.push(shown(&app, &caller, code, counts).await?);
    }
    let page = Paginator::new((&app, &headers), "/api/v1/qrcodes", &asked, data, total);
    Ok(with_counts(Json(page), StatusCode::OK, known.is_some()))
}

/// Makes a QR code.
#[utoipa::path(post, path = "/api/v1/qrcodes", tag = "QR codes", request_body = NewQr, responses((status = 201, body = Qr), (status = 422)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    payload: Payload,
) -> Result<(StatusCode, Json<Qr>), Failure> {
    let workspace = caller.workspace();
    let fields = payload.fields::<NewQr>();
    let mut wrong = Wrong::default();
    let new = new(fields, &mut wrong);
    let mut link = None;
    if let Some(id) = wrong.or_note(fields.number("link_id", (1, i64::MAX))) {
        link = links::get(&app.store, workspace, id).await?;
        if link.is_none() {
            wrong.note("link_id", format!("{id} is no link of yours"));
        }
    }
    wrong.end()?;
    let new = New { link, ..new };
    let code = crate::qr::add(&app, workspace, new).await.map_err(named)?;
    let code = shown(&app, &caller, code, &HashMap::new()).await?;
    Ok((StatusCode::CREATED, Json(code)))
}

/// One QR code.
#[utoipa::path(get, path = "/api/v1/qrcodes/{id}", tag = "QR codes", params(("id" = i64, Path)), responses((status = 200, body = Qr)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Result<Response, Failure> {
    let workspace = caller.workspace();
    let code = crate::qr::get(&app, workspace, id.of(WHAT)?).await?;
    let known = totals(&app, workspace, &[code.link_id]).await?;
    let none = HashMap::new();
    let code = shown(&app, &caller, code, known.as_ref().unwrap_or(&none)).await?;
    Ok(with_counts(Json(code), StatusCode::OK, known.is_some()))
}

/// Deletes a QR code. Its link stays; visits by it are no scans any more.
#[utoipa::path(delete, path = "/api/v1/qrcodes/{id}", tag = "QR codes", params(("id" = i64, Path)), responses((status = 200, body = Done)))]
pub(super) async fn delete(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<Done> {
    crate::qr::delete(&app, caller.workspace(), id.of(WHAT)?).await?;
    let message = "QR Code deleted successfully.";
    Ok(Json(Done { message }))
}

async fn shown(
    app: &App,
    caller: &Caller,
    code: QrCode,
    counts: &HashMap<u64, Totals>,
) -> Result<Qr, ApiError> {
    let code = crate::qr::serve(app, code, FORMATS).await?;
    let svg = crate::qr::image(app, &code, Format::Svg).await?;
    let totals = counts.get(&code.link_id.cast_unsigned());
    Ok(Qr {
        id: code.id,
        user_id: caller.key.user_id,
        link_id: code.for_link,
        name: code.shown_name(),
        content: code.shown_content().to_owned(),
        kind: type_of(code.kind),
        foreground_color: code.style.foreground.to_hex().to_uppercase(),
        background_color: code.style.background.to_hex().to_uppercase(),
        margin: code.style.margin,
        size: code.style.size,
        error_correction: code.style.correction.name(),
        is_dynamic: code.for_link.is_some(),
        created_at: time(code.created_at),
        download_svg_url: code.download_url(Format::Svg),
        download_png_url: code.download_url(Format::Png),
        preview_svg: String::from_utf8_lossy(&svg).trim_end().to_owned(),
        scan_count: totals.map_or(0, |totals| totals.clicks),
    })
}

/// The type of a code of any dialect.
fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Link | Kind::Dynamic | Kind::Static => "url",
        Kind::Email => "email",
        Kind::Sms => "sms",
        Kind::Phone => "phone",
        Kind::Text | Kind::Vcard | Kind::Wifi => "text",
    }
}

/// The code that the fields describe; where any is wrong, some code.
fn new(fields: Fields<'_>, wrong: &mut Wrong) -> New {
    let mut number = |name: &str, limits| {
        let number = wrong.or_note(fields.number(name, limits));
        number.and_then(|n| u32::try_from(n).ok())
    };
    let (size, margin) = (number("size", SIZES), number("margin", (0, 10)));
    let name = wrong.or_note(name_of(fields));
    let kind = wrong.or_note(kind_of(fields).map(Some));
    let given = wrong.or_note(fields.required("content"));
    // Only a kind says what its content may be.
    let content = kind.filter(|_| !given.is_empty()).and_then(|kind| {
        let content = content_of(kind, given);
        wrong.or_note(content.map(Some))
    });
    let correction = fields.required("error_correction").and_then(|word| {
        let correction = Correction::parse("error_correction", word)?;
        Ok(Some(correction))
    });
    New {
        kind: kind.unwrap_or(Kind::Text),
        field: "content",
        content: content.unwrap_or_else(|| Content::Fixed(String::new())),
        name,
        look: Look {
            size: Some(size.unwrap_or(SIZE as u32)),
            margin,
            foreground: wrong.or_note(color(fields, "foreground_color")),
            background: wrong.or_note(color(fields, "background_color")),
            correction: wrong.or_note(correction),
            format: Some(Format::Svg),
            logo: None,
        },
        given: given.to_owned(),
        link: None,
        downloads: FORMATS,
    }
}

fn name_of(fields: Fields<'_>) -> Result<String, FieldError> {
    let name = fields.required("name")?;
    if name.chars().nth(MAX_NAME).is_some() {
        let problem = format!("must be at most {MAX_NAME} characters long");
        return Err(FieldError::new("name", problem));
    }
    Ok(name.to_owned())
}

fn kind_of(fields: Fields<'_>) -> Result<Kind, FieldError> {
    let word = fields.required("type")?;
    let kind = TYPES.iter().find(|(name, _)| *name == word);
    kind.map(|(_, kind)| *kind).ok_or_else(|| {
        let names = TYPES.map(|(name, _)| name).join(", ");
        FieldError::new("type", format!("must be one of {names}"))
    })
}

/// Texts and URLs are in the image as they were given.
fn content_of(kind: Kind, given: &str) -> Result<Content, FieldError> {
    if given.chars().nth(MAX_CONTENT).is_some() {
        let problem = format!("must be at most {MAX_CONTENT} characters long");
        return Err(FieldError::new("content", problem));
    }
    if given
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        let problem = "must not hold control characters";
        return Err(FieldError::new("content", problem));
    }
    match kind {
        Kind::Text => Ok(Content::Fixed(given.to_owned())),
        Kind::Static => {
            Destination::parse("content", given)?;
            Ok(Content::Fixed(given.trim().to_owned()))
        }
        _ => content::read(kind, "content", &Value::String(given.to_owned())),
    }
}

/// A colour in hex.
fn color(fields: Fields<'_>, name: &str) -> Result<Option<Color>, FieldError> {
    let Some(text) = fields.filled(name)? else {
        return Ok(None);
    };
    match Color::parse(name, text) {
        Ok(color) if text.trim().starts_with('#') => Ok(Some(color)),
        _ => Err(FieldError::new(name, "must be a colour as #RRGGBB")),
    }
}
