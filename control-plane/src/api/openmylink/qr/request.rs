//! Body of `/qr/add` and `/qr/:id/update`, in both published forms: `type` and `data`, or `type` and `url`. What is beside
//! them (name, size, colours, logo …) both take.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::openmylink::link_request::text;
use crate::api::request::{filled, read};
use crate::domain::color::Color;
use crate::domain::field::FieldError;
use crate::domain::qr::style::{Correction, Format};
use crate::domain::qr::{Content, Kind, content};
use crate::qr::{Change, Look, New};
use crate::store::qr::QrCode;

/// A QR code as a caller wants it. Unknown fields are ignored.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct QrRequest {
    /// text, vcard, link, email, phone, sms or wifi with `data`; dynamic or static with `url`. Cannot change later.
    #[serde(rename = "type", deserialize_with = "text")]
    #[schema(example = "dynamic")]
    kind: Option<String>,
    /// What is in the code: a text, or an object: vcard {fname,lname,phone,email,org,title,site,street,city,zip,country,
    /// version}, wifi {ssid,encryption,password,hidden}, email {email,subject,body}, phone {phone}, sms {phone,message}.
    #[schema(value_type = Object)]
    data: Option<Value>,
    /// Where the code leads (dynamic), or what is in it (static; cannot change later).
    #[schema(value_type = Option<String>, example = "https://example.com/menu")]
    url: Option<Value>,
    /// For lists, at most 255 characters.
    #[serde(deserialize_with = "text")]
    #[schema(example = "Q2 menu")]
    name: Option<String>,
    /// Width and height in pixels, 100 to 2000; 600 when absent.
    #[serde(deserialize_with = "text")]
    #[schema(value_type = Option<u32>, example = 600)]
    size: Option<String>,
    /// Modules of background on each side, 0 to 10; 4 when absent.
    #[serde(deserialize_with = "text")]
    #[schema(value_type = Option<u32>, example = 4)]
    margin: Option<String>,
    /// `#RRGGBB` or `rgb(r,g,b)`; must be darker than the background by 40 % of relative luminance.
    #[serde(deserialize_with = "text")]
    #[schema(example = "#07111F")]
    foreground: Option<String>,
    /// `#RRGGBB` or `rgb(r,g,b)`.
    #[serde(deserialize_with = "text")]
    #[schema(example = "#FFFFFF")]
    background: Option<String>,
    /// png, svg or webp.
    #[serde(deserialize_with = "text")]
    #[schema(example = "png")]
    format: Option<String>,
    /// L, M, Q or H, M when absent; H with a logo.
    #[serde(deserialize_with = "text")]
    #[schema(example = "M")]
    error_correction: Option<String>,
    /// http(s) URL of a PNG or JPEG of at most 2 MiB and 2048 × 2048 pixels, fetched now; in an update an empty text takes
    /// the logo away.
    #[serde(deserialize_with = "text")]
    logo: Option<String>,
}

/// A code to be made.
///
/// # Errors
/// The first field that breaks a rule.
pub(super) fn new(map: &Map<String, Value>) -> Result<New, FieldError> {
    let body: QrRequest = read(map)?;
    let kind =
        filled(body.kind.as_deref()).ok_or_else(|| FieldError::new("type", "is required"))?;
    let kind = Kind::parse("type", kind)?;
    let (field, content) = content_of(&body, kind)?.ok_or_else(|| required(kind))?;
    let mut look = look(&body)?;
    look.logo = look.logo.filter(Option::is_some);
    Ok(New {
        kind,
        field,
        content,
        name: body.name.unwrap_or_default(),
        look,
        given: String::new(),
        link: None,
        downloads: &[],
    })
}

/// A change of `code`.
///
/// # Errors
/// The first field that breaks a rule.
pub(super) fn change(map: &Map<String, Value>, code: &QrCode) -> Result<Change, FieldError> {
    let body: QrRequest = read(map)?;
    if filled(body.kind.as_deref()).is_some_and(|kind| kind != code.kind.name()) {
        let name = code.kind.name();
        return Err(FieldError::new(
            "type",
            format!("must stay {name}: a code's type cannot change"),
        ));
    }
    let content = content_of(&body, code.kind)?;
    if content.is_none() && !code.kind.is_by_url() {
        return Err(required(code.kind));
    }
    let content = content.filter(|(field, content)| {
        // The URL that is in the image already, in whatever form it was given then.
        let held = Value::String(code.text.clone());
        let same = || content::read(Kind::Static, field, &held).is_ok_and(|held| held == *content);
        code.kind != Kind::Static || !same()
    });
    if let (Kind::Static, Some((field, Content::Fixed(_)))) = (code.kind, &content) {
        return Err(FieldError::new(
            *field,
            "of a static code cannot change: it is in the image; make a dynamic code for that",
        ));
    }
    Ok(Change {
        content,
        name: body.name.clone(),
        look: look(&body)?,
    })
}

fn required(kind: Kind) -> FieldError {
    FieldError::new(if kind.is_by_url() { "url" } else { "data" }, "is required")
}

/// The content, from the field of its form; where both hold a URL, from the other one too.
fn content_of(body: &QrRequest, kind: Kind) -> Result<Option<(&'static str, Content)>, FieldError> {
    let fields = match kind {
        Kind::Dynamic | Kind::Static => vec![("url", &body.url), ("data", &body.data)],
        Kind::Link => vec![("data", &body.data), ("url", &body.url)],
        _ => vec![("data", &body.data)],
    };
    let found = fields
        .into_iter()
        .find_map(|(name, value)| Some((name, value.as_ref().filter(|v| !v.is_null())?)));
    found
        .map(|(name, value)| Ok((name, content::read(kind, name, value)?)))
        .transpose()
}

fn look(body: &QrRequest) -> Result<Look, FieldError> {
    let number = |field: &str, text: &Option<String>| {
        let number = filled(text.as_deref()).map(|text| text.trim().parse::<u32>());
        let number = number.transpose();
        number.map_err(|_| FieldError::new(field, "must be a whole number"))
    };
    let color = |field: &str, text: &Option<String>| {
        filled(text.as_deref())
            .map(|text| Color::parse(field, text))
            .transpose()
    };
    Ok(Look {
        size: number("size", &body.size)?,
        margin: number("margin", &body.margin)?,
        foreground: color("foreground", &body.foreground)?,
        background: color("background", &body.background)?,
        correction: filled(body.error_correction.as_deref())
            .map(|text| Correction::parse("error_correction", text))
            .transpose()?,
        format: filled(body.format.as_deref())
            .map(|text| Format::parse("format", text))
            .transpose()?,
        logo: body
            .logo
            .as_deref()
            .map(|url| Some(url.trim().to_owned()).filter(|url| !url.is_empty())),
    })
}
