//! Pages of links: which page a link shows, and what becomes of pages when a splash page, an overlay or a pixel changes.
//!
//! Links with the same settings share one page, found by [`PageSpec::key`]. An edit renders again the pages it concerns
//! and touches no link; when nothing is left of a page, it is deleted, and proxies redirect where a link names a page
//! that is not there.
//!
//! **Invariant:** a page shows the newest state of its parts. Whoever makes a page for the first time, and whoever
//! changes a part, holds the workspace's row until the transaction ends: a page made from old parts cannot slip past the
//! edit that would have renewed it. So both ask for it before they lock other rows of links.

use crate::domain::field::FieldError;
use crate::domain::overlay::{self, Overlay};
use crate::domain::page::{PageSpec, Rendered, Surface};
use crate::domain::pixel::{Pixel, Tag, Vendor};
use crate::domain::splash::{self, Splash};
use crate::error::ApiError;
use crate::render;
use crate::store::feed::Write;
use crate::store::pages::Kind;
use crate::store::{Store, overlays, pages, pixels, splashes};

/// Most different pages of links in a workspace, so that an edit of a pixel that all of them have stays one change of a
/// few megabytes.
pub const MAX_PAGES: i64 = 1000;

/// Why a link gets no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A field asks for what does not exist, or for too much.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// The database's.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl From<sqlx::Error> for PageError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<PageError> for ApiError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Field(error) => Self::Field(error),
            PageError::Failed(error) => Self::Internal(error),
        }
    }
}

/// Checks that everything a new setting of a link names exists in its workspace.
///
/// # Errors
/// `type` or `pixels` names what does not exist.
pub async fn check(store: &Store, workspace: i64, spec: &PageSpec) -> Result<(), PageError> {
    let mut connection = store.readers().acquire().await?;
    let parts = Parts::read(&mut connection, workspace, spec).await?;
    if !parts.surface_exists {
        let named = match spec.surface() {
            Surface::Overlay(id) => format!("names overlay {id}, which does not exist"),
            Surface::Splash(Some(id)) => format!("names splash page {id}, which does not exist"),
            _ => "does not exist".to_owned(),
        };
        return Err(FieldError::new("type", named).into());
    }
    let missing = spec.pixels().iter().find(|id| !parts.has_pixel(**id));
    match missing {
        None => Ok(()),
        Some(id) => {
            Err(FieldError::new("pixels", format!("names pixel {id}, which does not exist")).into())
        }
    }
}

/// The settings without what does not exist any more, as its owner should see them.
///
/// # Errors
/// The database's.
pub async fn existing(store: &Store, workspace: i64, spec: PageSpec) -> sqlx::Result<PageSpec> {
    if spec.is_plain() {
        return Ok(spec);
    }
    let mut connection = store.readers().acquire().await?;
    let parts = Parts::read(&mut connection, workspace, &spec).await?;
    Ok(parts.settle(spec))
}

/// The page of a link with these settings, made if there is none yet; `None`: a plain redirect does. Parts that do not
/// exist are left out, so a link whose splash page was deleted can be changed like any other.
///
/// Call it before other rows of links are written in this transaction (see the invariant above), put the id into the
/// link's entry, and tell [`pages::show`] once the link's row is there: a page that no link shows is swept after a day.
///
/// # Errors
/// The workspace has [`MAX_PAGES`] other ones; the database's.
pub async fn page_for(
    write: &mut Write,
    workspace: i64,
    spec: &PageSpec,
    now_ms: i64,
) -> Result<Option<i64>, PageError> {
    if spec.is_plain() {
        return Ok(None);
    }
    let parts = Parts::read(write.connection(), workspace, spec).await?;
    let settled = parts.settle(spec.clone());
    if settled.is_plain() {
        return Ok(None);
    }
    let key = settled.key();
    let place = (workspace, Kind::Link, key.as_str());
    if let Some(id) = pages::find(write, place, now_ms).await? {
        return Ok(Some(id));
    }
    pages::lock(write, workspace).await?;
    // What was read before the lock may be old.
    let parts = Parts::read(write.connection(), workspace, spec).await?;
    let settled = parts.settle(spec.clone());
    let Some(page) = parts.render() else {
        return Ok(None);
    };
    let key = settled.key();
    let place = (workspace, Kind::Link, key.as_str());
    if let Some(id) = pages::find(write, place, now_ms).await? {
        return Ok(Some(id));
    }
    if pages::count(write, workspace, Kind::Link).await? >= MAX_PAGES {
        return Err(FieldError::new(
            "type",
            format!("and pixels of links may be combined in {MAX_PAGES} ways, all are in use"),
        )
        .into());
    }
    Ok(Some(pages::put(write, place, &page, now_ms).await?))
}

/// What pages are made of, with its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Pixel(i64),
    Splash(i64),
    Overlay(i64),
}

impl Part {
    fn is_in(self, spec: &PageSpec) -> bool {
        match self {
            Self::Pixel(id) => spec.pixels().contains(&id),
            Self::Splash(id) => spec.surface() == Surface::Splash(Some(id)),
            Self::Overlay(id) => spec.surface() == Surface::Overlay(id),
        }
    }
}

/// Changes a pixel's name and tag, not its vendor, who may be repeated; links that have it follow.
///
/// # Errors
/// No such pixel in the workspace, another vendor; the database's.
pub async fn update_pixel(
    store: &Store,
    (workspace, id): (i64, i64),
    (vendor, name, tag): (Option<Vendor>, Option<String>, Tag),
    now_ms: i64,
) -> Result<(), ApiError> {
    let mut write = Write::begin(store).await?;
    pages::lock(&mut write, workspace).await?;
    let rows = pixels::by_ids(write.connection(), workspace, &[id]).await?;
    let row = rows.into_iter().next();
    let old = row.ok_or_else(|| ApiError::not_found("pixel", id))?.pixel;
    if vendor.is_some_and(|vendor| vendor != old.vendor) {
        let stays = format!("must stay {}", old.vendor.name());
        return Err(ApiError::field("type", stays));
    }
    let new = Pixel {
        vendor: old.vendor,
        name: name.unwrap_or(old.name),
        tag,
    };
    pixels::update(write.connection(), id, &new).await?;
    renew(write, workspace, Part::Pixel(id), now_ms).await
}

/// Deletes a pixel; links that have it go on without it.
///
/// # Errors
/// No such pixel in the workspace; the database's.
pub async fn delete_pixel(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<(), ApiError> {
    let mut write = Write::begin(store).await?;
    pages::lock(&mut write, workspace).await?;
    if !pixels::delete(write.connection(), workspace, id).await? {
        return Err(ApiError::not_found("pixel", id));
    }
    renew(write, workspace, Part::Pixel(id), now_ms).await
}

/// Changes a splash page; links that show it follow.
///
/// # Errors
/// No such splash page in the workspace, a field; the database's.
pub async fn update_splash(
    store: &Store,
    (workspace, id): (i64, i64),
    edit: &splash::Edit,
    now_ms: i64,
) -> Result<(), ApiError> {
    let mut write = Write::begin(store).await?;
    pages::lock(&mut write, workspace).await?;
    let row = splashes::get(write.connection(), workspace, id).await?;
    let mut splash = row.ok_or_else(|| ApiError::not_found("splash", id))?.splash;
    splash.apply(edit)?;
    splashes::update(write.connection(), id, &splash).await?;
    renew(write, workspace, Part::Splash(id), now_ms).await
}

/// Deletes a splash page; links that show it go on without it.
///
/// # Errors
/// No such splash page in the workspace; the database's.
pub async fn delete_splash(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<(), ApiError> {
    let mut write = Write::begin(store).await?;
    pages::lock(&mut write, workspace).await?;
    if !splashes::delete(write.connection(), workspace, id).await? {
        return Err(ApiError::not_found("splash", id));
    }
    renew(write, workspace, Part::Splash(id), now_ms).await
}

/// Changes an overlay, but for its type, which may be repeated; links that show it follow.
///
/// # Errors
/// No such overlay in the workspace, a field; the database's.
pub async fn update_overlay(
    store: &Store,
    (workspace, id): (i64, i64),
    (kind, edit): (Option<overlay::Kind>, &overlay::Edit),
    now_ms: i64,
) -> Result<(), ApiError> {
    let mut write = Write::begin(store).await?;
    pages::lock(&mut write, workspace).await?;
    let row = overlays::get(write.connection(), workspace, id).await?;
    let mut overlay = row
        .ok_or_else(|| ApiError::not_found("overlay", id))?
        .overlay;
    if kind.is_some_and(|kind| kind != overlay.kind) {
        let stays = format!("must stay {}", overlay.kind.name());
        return Err(ApiError::field("type", stays));
    }
    overlay.apply(edit)?;
    overlays::update(write.connection(), id, &overlay).await?;
    renew(write, workspace, Part::Overlay(id), now_ms).await
}

/// Deletes an overlay with what visitors wrote; links that show it go on without it.
///
/// # Errors
/// No such overlay in the workspace; the database's.
pub async fn delete_overlay(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<(), ApiError> {
    let mut write = Write::begin(store).await?;
    pages::lock(&mut write, workspace).await?;
    if !overlays::delete(write.connection(), workspace, id).await? {
        return Err(ApiError::not_found("overlay", id));
    }
    renew(write, workspace, Part::Overlay(id), now_ms).await
}

/// Renders again the pages that have this part, or had it, and commits: all of it one change.
async fn renew(mut write: Write, workspace: i64, part: Part, now_ms: i64) -> Result<(), ApiError> {
    for (page, key) in pages::of_kind(&mut write, workspace, Kind::Link).await? {
        // A key of a newer version is none of ours to change.
        let Ok(spec) = PageSpec::from_key(&key) else {
            continue;
        };
        if !part.is_in(&spec) {
            continue;
        }
        let parts = Parts::read(write.connection(), workspace, &spec).await?;
        match parts.render() {
            Some(rendered) => {
                pages::replace(&mut write, page, &rendered, now_ms).await?;
            }
            None => pages::delete(&mut write, page, now_ms).await?,
        }
    }
    write.commit(now_ms).await?;
    Ok(())
}

/// The parts a spec names, as far as they exist.
struct Parts {
    surface: Shown,
    surface_exists: bool,
    pixels: Vec<(i64, Pixel)>,
}

/// A surface with its content.
enum Shown {
    Direct,
    Frame,
    Splash(Option<Box<Splash>>),
    Overlay(i64, Box<Overlay>),
}

impl Parts {
    async fn read(
        connection: &mut sqlx::AnyConnection,
        workspace: i64,
        spec: &PageSpec,
    ) -> sqlx::Result<Self> {
        let pixels = pixels::by_ids(&mut *connection, workspace, spec.pixels()).await?;
        let surface = match spec.surface() {
            Surface::Direct => Some(Shown::Direct),
            Surface::Frame => Some(Shown::Frame),
            Surface::Splash(None) => Some(Shown::Splash(None)),
            Surface::Splash(Some(id)) => splashes::get(connection, workspace, id)
                .await?
                .map(|row| Shown::Splash(Some(Box::new(row.splash)))),
            Surface::Overlay(id) => overlays::get(connection, workspace, id)
                .await?
                .map(|row| Shown::Overlay(id, Box::new(row.overlay))),
        };
        Ok(Self {
            surface_exists: surface.is_some(),
            surface: surface.unwrap_or(Shown::Direct),
            pixels: pixels.into_iter().map(|row| (row.id, row.pixel)).collect(),
        })
    }

    fn has_pixel(&self, id: i64) -> bool {
        self.pixels.iter().any(|(other, _)| *other == id)
    }

    fn settle(&self, spec: PageSpec) -> PageSpec {
        spec.settled(self.surface_exists, |id| self.has_pixel(id))
    }

    fn render(&self) -> Option<Rendered> {
        let pixels: Vec<Pixel> = self.pixels.iter().map(|(_, pixel)| pixel.clone()).collect();
        let surface = match &self.surface {
            Shown::Direct => render::Surface::Direct,
            Shown::Frame => render::Surface::Frame,
            Shown::Splash(splash) => render::Surface::Splash(splash.as_deref()),
            Shown::Overlay(id, overlay) => render::Surface::Overlay(*id, overlay),
        };
        render::link(surface, &pixels)
    }
}
