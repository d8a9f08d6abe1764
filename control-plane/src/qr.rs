//! What every dialect does with QR codes: the rules of [`crate::domain::qr`], logos from outside, images, and the database
//! together.
//!
//! A destination on a short domain of ours is fine, for people print codes of their links; only another code is not: two of
//! them could lead to each other.

use std::time::Duration;

use bytes::Bytes;
use schemas::slug::{Slug, lookup_key};

use crate::app::App;
use crate::destinations::{self, Checks};
use crate::domain::color::Color;
use crate::domain::field::{self, FieldError};
use crate::domain::plan::Feature;
use crate::domain::qr::content::sites;
use crate::domain::qr::style::{Correction, Format, Style};
use crate::domain::qr::{Content, Kind, MAX_NAME, drawn_slug, token};
use crate::error::ApiError;
use crate::fetch::{Overflow, Wanted};
use crate::qr_image::{self, Logo, MAX_LOGO_BYTES};
use crate::store::blobs;
use crate::store::qr::{self, Drawn, Place, QrCode, QrWriteError};
use crate::usage;

/// How a logo is fetched.
const LOGO: Wanted = Wanted {
    accept: "image/png, image/jpeg",
    max_bytes: MAX_LOGO_BYTES,
    overflow: Overflow::Refuse,
    deadline: Duration::from_secs(10),
};

/// Slugs drawn before a free one is given up on, and changes tried when others change the same code.
const TRIES: usize = 10;

/// What a caller wants of how a code looks; `None`: the default, or what it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// See [`Style`].
    pub(crate) size: Option<u32>,
    /// See [`Style`].
    pub(crate) margin: Option<u32>,
    /// See [`Style`].
    pub(crate) foreground: Option<Color>,
    /// See [`Style`].
    pub(crate) background: Option<Color>,
    /// See [`Style`].
    pub(crate) correction: Option<Correction>,
    /// See [`Style`].
    pub(crate) format: Option<Format>,
    /// URL of a logo; `Some(None)`: none.
    pub(crate) logo: Option<Option<String>>,
}

impl Look {
    fn apply(&self, style: Style) -> Result<Style, FieldError> {
        let style = Style {
            size: self.size.unwrap_or(style.size),
            margin: self.margin.unwrap_or(style.margin),
            foreground: self.foreground.unwrap_or(style.foreground),
            background: self.background.unwrap_or(style.background),
            correction: self.correction.unwrap_or(style.correction),
            format: self.format.unwrap_or(style.format),
        };
        style.check()?;
        Ok(style)
    }
}

/// A code to be made.
#[derive(Debug, Clone)]
pub(crate) struct New {
    /// What it holds.
    pub(crate) kind: Kind,
    /// The field its content came from.
    pub(crate) field: &'static str,
    /// What it leads to or holds.
    pub(crate) content: Content,
    /// For lists; empty: not named.
    pub(crate) name: String,
    /// How it looks.
    pub(crate) look: Look,
}

/// A change of a code; `None` leaves things as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// What it leads to or holds, and the field that came from.
    pub(crate) content: Option<(&'static str, Content)>,
    /// For lists.
    pub(crate) name: Option<String>,
    /// How it looks.
    pub(crate) look: Look,
}

/// Makes a code.
pub(crate) async fn add(app: &App, workspace: i64, new: New) -> Result<QrCode, ApiError> {
    // Before a logo is fetched and an image drawn; the check in the transaction decides.
    usage::plan(app, workspace).await?.need(Feature::Qr)?;
    let name = field::line("name", &new.name, MAX_NAME)?;
    let style = new.look.apply(Style::default())?;
    check_destination(app, new.field, &new.content).await?;
    let logo = match new.look.logo.flatten() {
        None => None,
        Some(url) => Some(fetch_logo(app, &url).await?),
    };
    let token = token().map_err(anyhow::Error::new)?;
    for draw in 0..TRIES {
        let slug = drawn_slug(draw).map_err(anyhow::Error::new)?;
        let slug = Slug::parse(&slug).map_err(anyhow::Error::new)?;
        let text = match &new.content {
            Content::Tracked(_) => format!("{}/{}", app.default_domain.base_url, slug.to_path()),
            Content::Fixed(text) => text.clone(),
        };
        let picture = draw_image(app, new.field, text, style, logo.clone()).await?;
        let place = Place {
            workspace,
            domain: &app.default_domain,
            slug: &slug,
            kind: new.kind,
            token: &token,
        };
        let drawn = Drawn {
            name: &name,
            content: &new.content,
            text: &picture.text,
            style: &style,
            logo: logo.as_deref(),
            image: &picture.bytes,
        };
        match qr::insert(&app.store, &place, &drawn, app.clock.now_ms()).await {
            Ok(id) => return get(app, workspace, id).await,
            Err(QrWriteError::Taken | QrWriteError::Stale) => {}
            Err(error) => return Err(failed(error, "")),
        }
    }
    Err(anyhow::anyhow!("no free slug in {TRIES} draws").into())
}

/// Changes a code. The image of a tracked one stays byte for byte as it is unless its looks change.
pub(crate) async fn update(
    app: &App,
    workspace: i64,
    id: i64,
    change: Change,
) -> Result<(), ApiError> {
    let name = match &change.name {
        None => None,
        Some(name) => Some(field::line("name", name, MAX_NAME)?),
    };
    if let Some((field, content)) = &change.content {
        check_destination(app, field, content).await?;
    }
    let fetched = match change.look.logo.clone().flatten() {
        None => None,
        Some(url) => Some(fetch_logo(app, &url).await?),
    };
    for _ in 0..TRIES {
        let old = get(app, workspace, id).await?;
        let style = change.look.apply(old.style)?;
        let (field, content) = match &change.content {
            Some((field, content)) => (*field, content.clone()),
            None => ("name", kept(&old)?),
        };
        let text = match &content {
            Content::Tracked(_) => old.text.clone(),
            Content::Fixed(text) => text.clone(),
        };
        let old_logo = match old.logo {
            None => None,
            Some(hash) => Some(stored(app, hash).await?),
        };
        let logo = match &change.look.logo {
            None => old_logo,
            Some(_) => fetched.clone(),
        };
        let is_same = text == old.text && style == old.style && change.look.logo.is_none();
        let picture = if is_same {
            // A newer version of us may draw the same in other bytes.
            Picture {
                text,
                bytes: stored(app, old.image).await?,
            }
        } else {
            draw_image(app, field, text, style, logo.clone()).await?
        };
        let drawn = Drawn {
            name: name.as_deref().unwrap_or(&old.name),
            content: &content,
            text: &picture.text,
            style: &style,
            logo: logo.as_deref(),
            image: &picture.bytes,
        };
        match qr::update(&app.store, &old, &drawn, app.clock.now_ms()).await {
            Ok(()) => return Ok(()),
            Err(QrWriteError::Stale) => {}
            Err(error) => return Err(failed(error, &id.to_string())),
        }
    }
    Err(anyhow::anyhow!("a QR code that others change all the time").into())
}

/// Deletes a code: visitors get 404 from now on.
pub(crate) async fn delete(app: &App, workspace: i64, id: i64) -> Result<(), ApiError> {
    for _ in 0..TRIES {
        match qr::delete(&app.store, (workspace, id), app.clock.now_ms()).await {
            Ok(()) => return Ok(()),
            Err(QrWriteError::Stale) => {}
            Err(error) => return Err(failed(error, &id.to_string())),
        }
    }
    Err(anyhow::anyhow!("a QR code that others change all the time").into())
}

/// The code of this id.
pub(crate) async fn get(app: &App, workspace: i64, id: i64) -> Result<QrCode, ApiError> {
    qr::get(&app.store, workspace, id)
        .await?
        .ok_or_else(|| not_found(&id.to_string()))
}

/// The image of a code: the stored one, or in another format one that is drawn now.
pub(crate) async fn image(app: &App, code: &QrCode, format: Format) -> Result<Bytes, ApiError> {
    if format == code.style.format {
        return stored(app, code.image).await;
    }
    let logo = match code.logo {
        None => None,
        Some(hash) => Some(stored(app, hash).await?),
    };
    let style = Style {
        format,
        ..code.style
    };
    let picture = draw_image(app, "format", code.text.clone(), style, logo).await?;
    Ok(picture.bytes)
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found("QR code", id)
}

fn failed(error: QrWriteError, id: &str) -> ApiError {
    match error {
        QrWriteError::NotFound => not_found(id),
        QrWriteError::Plan(error) => error.into(),
        other => ApiError::Internal(other.into()),
    }
}

/// What a code leads to or holds already.
fn kept(code: &QrCode) -> anyhow::Result<Content> {
    if code.kind.is_tracked() {
        qr::destination(code).map(Content::Tracked)
    } else {
        Ok(Content::Fixed(code.text.clone()))
    }
}

async fn stored(app: &App, hash: blobs::BlobHash) -> Result<Bytes, ApiError> {
    let bytes = blobs::get(&app.store, hash).await?;
    let bytes = bytes.ok_or_else(|| anyhow::anyhow!("a blob of a QR code is not there"))?;
    Ok(bytes.into())
}

async fn check_destination(app: &App, field: &str, content: &Content) -> Result<(), ApiError> {
    let url = match content {
        Content::Tracked(url) => url,
        Content::Fixed(text) => {
            for site in sites(text) {
                destinations::check_listed(app, field, site)?;
            }
            return Ok(());
        }
    };
    destinations::check_listed(app, field, url.as_str())?;
    let is_code =
        lookup_key(url.path().trim_start_matches('/')).is_ok_and(|slug| slug.starts_with("qr/"));
    let checks = Checks::of(app, url.host().into_iter().collect()).await?;
    if is_code && checks.is_ours(app, url) {
        return Err(ApiError::field(
            field,
            "must not lead to another QR code of ours",
        ));
    }
    Ok(())
}

/// A logo from outside, as we keep it.
async fn fetch_logo(app: &App, url: &str) -> Result<Bytes, ApiError> {
    let fetched = app.fetcher.get(url, &LOGO).await;
    let fetched = fetched
        .and_then(crate::fetch::Fetched::successful)
        .map_err(|error| ApiError::field("logo", error.to_string()))?;
    let _turn = turn(app).await?;
    let png =
        tokio::task::spawn_blocking(move || Logo::decode(&fetched.body).map(|logo| logo.to_png()));
    let png = png.await.map_err(anyhow::Error::new)?;
    let png = png.map_err(|error| ApiError::field("logo", error.to_string()))?;
    Ok(png.into())
}

/// An image and what is in it.
struct Picture {
    text: String,
    bytes: Bytes,
}

async fn draw_image(
    app: &App,
    field: &'static str,
    text: String,
    style: Style,
    logo: Option<Bytes>,
) -> Result<Picture, ApiError> {
    let _turn = turn(app).await?;
    let drawing = tokio::task::spawn_blocking(move || {
        let logo = logo.map(|png| Logo::decode(&png)).transpose()?;
        let drawn = qr_image::render(field, &text, &style, logo.as_ref());
        Ok::<_, anyhow::Error>((text, drawn))
    });
    let (text, drawn) = drawing.await.map_err(anyhow::Error::new)??;
    Ok(Picture {
        text,
        bytes: drawn?.into(),
    })
}

/// A turn at the images: a large one takes 30 MB and some 100 ms of a core.
async fn turn(app: &App) -> Result<tokio::sync::SemaphorePermit<'_>, ApiError> {
    let turn = app.drawing.acquire().await.map_err(anyhow::Error::new)?;
    Ok(turn)
}
