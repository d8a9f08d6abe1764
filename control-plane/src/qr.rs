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
use crate::domain::qr::{Content, Kind, MAX_NAME, Marked, drawn_slug, token, with_mark};
use crate::error::ApiError;
use crate::fetch::{Overflow, Wanted};
use crate::qr_image::{self, Logo, MAX_LOGO_BYTES};
use crate::store::blobs;
use crate::store::domains::{self, Domain};
use crate::store::entries::domain_number;
use crate::store::links::Link;
use crate::store::qr::{self, Download, Drawn, Place, QrCode, QrWriteError};
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
    /// What it holds as its owner gave it, where the dialect shows that; empty: what is in the image.
    pub(crate) given: String,
    /// The link it is made for. A URL that is the link's short one gets the code's mark, see [`crate::domain::qr`].
    pub(crate) link: Option<Link>,
    /// Formats in which its image is served beside its own.
    pub(crate) downloads: &'static [Format],
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
    let content = match &new.link {
        Some(link) => marked(new.content, link),
        None => new.content,
    };
    let domain = match (&content, &new.link) {
        // The mark is looked for where the link answers.
        (Content::Marked(_), Some(link)) => domain_of(app, link).await?,
        _ => app.default_domain.clone(),
    };
    for draw in 0..TRIES {
        let slug = drawn_slug(draw).map_err(anyhow::Error::new)?;
        let slug = Slug::parse(&slug).map_err(anyhow::Error::new)?;
        let text = match &content {
            Content::Tracked(_) => format!("{}/{}", domain.base_url, slug.to_path()),
            Content::Fixed(text) => text.clone(),
            Content::Marked(link) => with_mark(&link.url, &slug),
        };
        let picture = draw_image(app, new.field, text, style, logo.clone()).await?;
        let more = draw_downloads(app, &picture.text, style, &logo, new.downloads).await?;
        let place = Place {
            workspace,
            domain: &domain,
            slug: &slug,
            kind: new.kind,
            token: &token,
            for_link: new.link.as_ref().map(|link| link.id),
        };
        let drawn = Drawn {
            name: &name,
            content: &content,
            text: &picture.text,
            style: &style,
            logo: logo.as_deref(),
            image: &picture.bytes,
            given: &new.given,
            downloads: &more,
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
            // What it holds already is no change: it stays what it is.
            Some((field, Content::Fixed(text))) if *text == old.text => (*field, old.content()?),
            Some((field, content)) => (*field, content.clone()),
            None => ("name", old.content()?),
        };
        let text = match &content {
            Content::Tracked(_) | Content::Marked(_) => old.text.clone(),
            Content::Fixed(text) => text.clone(),
        };
        let given = if text == old.text { &*old.given } else { "" };
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
        let served = qr::downloads(&app.store, id).await?;
        let more = if is_same {
            let mut more = Vec::with_capacity(served.len());
            for (format, hash) in served {
                let image = stored(app, hash).await?;
                more.push(Download { format, image });
            }
            more
        } else {
            // The format that a code had is served on where several are.
            let had = (!served.is_empty()).then_some(old.style.format);
            let mut formats: Vec<Format> = served.into_iter().map(|(format, _)| format).collect();
            formats.extend(had);
            draw_downloads(app, &picture.text, style, &logo, &formats).await?
        };
        let drawn = Drawn {
            name: name.as_deref().unwrap_or(&old.name),
            content: &content,
            text: &picture.text,
            style: &style,
            logo: logo.as_deref(),
            image: &picture.bytes,
            given,
            downloads: &more,
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

/// The short URL of this link, where the content is that and nothing else; else the content as it is.
fn marked(content: Content, link: &Link) -> Content {
    let bare = |url: &str| {
        let url = url.trim_end_matches('/');
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.to_owned()
    };
    match content {
        Content::Fixed(url) if bare(&url) == bare(&link.short_url()) => Content::Marked(Marked {
            url,
            domain: domain_number(link.domain_id),
            slug: link.slug.clone(),
        }),
        other => other,
    }
}

async fn domain_of(app: &App, link: &Link) -> Result<Domain, ApiError> {
    if link.domain_id == app.default_domain.id {
        return Ok(app.default_domain.clone());
    }
    Ok(domains::by_id(&app.store, link.domain_id).await?)
}

/// Sees to it that a code's image is served in all these formats: of codes from before, or from another dialect, it may
/// not be.
pub(crate) async fn serve(
    app: &App,
    code: QrCode,
    formats: &'static [Format],
) -> Result<QrCode, ApiError> {
    let served = qr::downloads(&app.store, code.id).await?;
    let is_served = |format: &Format| {
        *format == code.style.format || served.iter().any(|(known, _)| known == format)
    };
    if formats.iter().all(is_served) {
        return Ok(code);
    }
    for _ in 0..TRIES {
        let old = get(app, code.workspace_id, code.id).await?;
        let logo = match old.logo {
            None => None,
            Some(hash) => Some(stored(app, hash).await?),
        };
        let served = qr::downloads(&app.store, code.id).await?;
        let mut wanted: Vec<Format> = served.into_iter().map(|(format, _)| format).collect();
        // Those that are there twice are drawn once.
        wanted.extend(formats);
        let more = draw_downloads(app, &old.text, old.style, &logo, &wanted).await?;
        let drawn = Drawn {
            name: &old.name,
            content: &old.content()?,
            text: &old.text,
            style: &old.style,
            logo: logo.as_deref(),
            image: &stored(app, old.image).await?,
            given: &old.given,
            downloads: &more,
        };
        match qr::update(&app.store, &old, &drawn, app.clock.now_ms()).await {
            Ok(()) => return get(app, code.workspace_id, code.id).await,
            Err(QrWriteError::Stale) => {}
            Err(error) => return Err(failed(error, &code.id.to_string())),
        }
    }
    Err(anyhow::anyhow!("a QR code that others change all the time").into())
}

/// The image in these formats but its own.
async fn draw_downloads(
    app: &App,
    text: &str,
    style: Style,
    logo: &Option<Bytes>,
    formats: &[Format],
) -> Result<Vec<Download>, ApiError> {
    let mut drawn: Vec<Download> = Vec::new();
    for format in formats.iter().copied() {
        if format == style.format || drawn.iter().any(|one| one.format == format) {
            continue;
        }
        let style = Style { format, ..style };
        let picture = draw_image(app, "format", text.to_owned(), style, logo.clone()).await?;
        let image = picture.bytes;
        drawn.push(Download { format, image });
    }
    Ok(drawn)
}

async fn stored(app: &App, hash: blobs::BlobHash) -> Result<Bytes, ApiError> {
    let bytes = blobs::get(&app.store, hash).await?;
    let bytes = bytes.ok_or_else(|| anyhow::anyhow!("a blob of a QR code is not there"))?;
    Ok(bytes.into())
}

async fn check_destination(app: &App, field: &str, content: &Content) -> Result<(), ApiError> {
    let url = match content {
        Content::Tracked(url) => url,
        // A link of the workspace, whose own destination was looked at.
        Content::Marked(_) => return Ok(()),
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
    let read = move || Logo::decode(&fetched.body).map(|logo| logo.to_png());
    let png = app.drawing.run(read).await?;
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
    let draw = move || {
        let logo = logo.map(|png| Logo::decode(&png)).transpose()?;
        let drawn = qr_image::render(field, &text, &style, logo.as_ref());
        Ok::<_, anyhow::Error>((text, drawn))
    };
    let (text, drawn) = app.drawing.run(draw).await??;
    Ok(Picture {
        text,
        bytes: drawn?.into(),
    })
}
