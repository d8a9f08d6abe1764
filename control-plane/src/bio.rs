//! What dialects do with bio pages: the rules of [`crate::domain::bio`], pictures from outside, and the database together.
//!
//! A link of a page may lead to a short link of ours, as people want; only what could lead back to a way out is refused:
//! QR codes, and ways out themselves.

use std::time::Duration;

use schemas::slug::{Slug, lookup_key};
use serde_json::{Map, Value};

use crate::app::App;
use crate::destinations::{self, Checks};
use crate::domain::bio::look::Edit as LookEdit;
use crate::domain::bio::{Block, Look, PREFIX};
use crate::domain::destination::Destination;
use crate::domain::link::{Content, Edit as ContentEdit, ExtrasEdit};
use crate::domain::qr::content::sites;
use crate::error::ApiError;
use crate::fetch::{Overflow, Wanted};
use crate::links::{Secret, taken, usable_domain};
use crate::qr_image::{self, MAX_LOGO_BYTES};
use crate::render::bio::{self as page, Ledger, Target};
use crate::store::bio::{self, Bio, BioError, Change, Fetched, NewBio};
use crate::store::domains::{self, Domain};
use crate::store::entries;

/// How a picture is fetched.
const PICTURE: Wanted = Wanted {
    accept: "image/png, image/jpeg",
    max_bytes: MAX_LOGO_BYTES,
    overflow: Overflow::Refuse,
    deadline: Duration::from_secs(10),
};

/// Pictures of one call that are fetched at the same time.
const FETCHED_AT_ONCE: usize = 4;

/// Slugs drawn before a free one is given up on, and changes tried when others change the same page.
const TRIES: usize = 10;

/// What a caller wants of a page; `None` leaves things as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// The alias; `None`: a random one, or the one it has.
    pub(crate) slug: Option<Slug>,
    /// The domain, with or without scheme.
    pub(crate) domain: Option<String>,
    /// The password; `Some(None)`: none.
    pub(crate) password: Option<Option<Secret>>,
    /// Title, description, expiry.
    pub(crate) content: ContentEdit,
    /// Theme, colours, picture, language.
    pub(crate) look: LookEdit,
}

/// Makes a page.
pub(crate) async fn add(app: &App, workspace: i64, mut wish: Wish) -> Result<Bio, ApiError> {
    hash_password(app, &mut wish).await?;
    let mut content = Content::default();
    content.apply(&wish.content)?;
    if content.title.is_empty() {
        return Err(ApiError::field("title", "is required"));
    }
    let mut look = Look::default();
    look.apply(&wish.look)?;
    let domain = domain(app, workspace, wish.domain.as_deref()).await?;
    let domain = domain.as_ref().unwrap_or(&app.default_domain);
    let urls = look.avatar.iter().map(|url| url.as_str().to_owned());
    let fetched = fetch(app, ("avatar", urls.collect())).await?;
    for draw in 0..TRIES {
        let drawn;
        let slug = match &wish.slug {
            Some(slug) => slug,
            None => {
                drawn = entries::drawn_slug("", draw)?;
                &drawn
            }
        };
        let new = NewBio {
            workspace,
            domain,
            slug,
            content: &content,
            look: &look,
        };
        match bio::insert(&app.store, &new, &fetched, app.clock.now_ms()).await {
            Ok(id) => return get(app, workspace, id).await,
            Err(BioError::Stale) => {}
            Err(BioError::Taken(_)) if wish.slug.is_none() => {}
            Err(BioError::Taken(slug)) => {
                return Err(taken(app, workspace, (domain.id, slug)).await?);
            }
            Err(error) => return Err(failed(error, 0)),
        }
    }
    Err(anyhow::anyhow!("no free slug in {TRIES} draws").into())
}

/// Changes a page.
pub(crate) async fn update(
    app: &App,
    workspace: i64,
    id: i64,
    mut wish: Wish,
) -> Result<Bio, ApiError> {
    hash_password(app, &mut wish).await?;
    let wanted = match &wish.domain {
        None => None,
        Some(text) => Some(
            domain(app, workspace, Some(text))
                .await?
                .unwrap_or_else(|| app.default_domain.clone()),
        ),
    };
    for _ in 0..TRIES {
        let old = get(app, workspace, id).await?;
        let mut content = old.link.content.clone();
        content.apply(&wish.content)?;
        if content.title.is_empty() {
            return Err(ApiError::field("title", "must not be empty"));
        }
        let mut look = old.look.clone();
        look.apply(&wish.look)?;
        let urls: Vec<String> = look
            .avatar
            .iter()
            .map(|url| url.as_str().to_owned())
            .collect();
        let missing = missing(app, id, urls).await?;
        let fetched = fetch(app, ("avatar", missing)).await?;
        let domain = match &wanted {
            Some(domain) => domain.clone(),
            None => own_domain(app, old.link.domain_id).await?,
        };
        let change = Change {
            domain: &domain,
            slug: wish.slug.as_ref().unwrap_or(&old.link.slug),
            content: &content,
            look: &look,
        };
        match bio::update(&app.store, &old, &change, &fetched, app.clock.now_ms()).await {
            Ok(()) => return get(app, workspace, id).await,
            Err(BioError::Stale) => {}
            Err(BioError::Taken(slug)) => {
                return Err(taken(app, workspace, (domain.id, slug)).await?);
            }
            Err(error) => return Err(failed(error, id)),
        }
    }
    Err(busy())
}

/// Deletes a page.
pub(crate) async fn delete(app: &App, workspace: i64, id: i64) -> Result<(), ApiError> {
    for _ in 0..TRIES {
        match bio::delete(&app.store, (workspace, id), app.clock.now_ms()).await {
            Ok(()) => return Ok(()),
            Err(BioError::Stale) => {}
            Err(error) => return Err(failed(error, id)),
        }
    }
    Err(busy())
}

/// The page of this id.
pub(crate) async fn get(app: &App, workspace: i64, id: i64) -> Result<Bio, ApiError> {
    let mut connection = app.store.readers().acquire().await?;
    let bio = bio::get(&mut connection, workspace, id).await?;
    bio.ok_or_else(|| ApiError::not_found("bio page", id))
}

/// Adds a block; its id and position.
pub(crate) async fn add_block(
    app: &App,
    (workspace, id): (i64, i64),
    (kind, fields, position): (&str, &Map<String, Value>, Option<i64>),
) -> Result<(i64, i64), ApiError> {
    let block = Block::parse(kind, fields)?;
    let fetched = prepare(app, id, &block).await?;
    let wanted = (&block, position);
    for _ in 0..TRIES {
        let place = (workspace, id);
        match bio::add_block(&app.store, place, wanted, &fetched, app.clock.now_ms()).await {
            Ok(added) => return Ok(added),
            Err(BioError::Stale) => {}
            Err(error) => return Err(failed(error, id)),
        }
    }
    Err(busy())
}

/// Changes a block: what is not sent stays, blank texts clear. Its position.
pub(crate) async fn change_block(
    app: &App,
    (workspace, id, block): (i64, i64, i64),
    (kind, fields, position): (Option<&str>, &Map<String, Value>, Option<i64>),
) -> Result<i64, ApiError> {
    get(app, workspace, id).await?;
    for _ in 0..TRIES {
        let mut connection = app.store.readers().acquire().await?;
        let rows = bio::blocks(&mut connection, id).await?;
        drop(connection);
        let row = rows.into_iter().find(|row| row.id == block);
        let old = row
            .ok_or_else(|| ApiError::not_found("block", block))?
            .block;
        let name = old.name();
        if kind.is_some_and(|kind| kind.trim().to_lowercase() != name) {
            return Err(ApiError::field("type", format!("must stay {name}")));
        }
        let mut merged = old.fields();
        let given = fields.iter().filter(|(_, value)| !value.is_null());
        merged.extend(given.map(|(name, value)| (name.clone(), value.clone())));
        let new = Block::parse(name, &merged)?;
        let fetched = prepare(app, id, &new).await?;
        let place = (workspace, id, block);
        let change = (&old, &new, position);
        match bio::change_block(&app.store, place, change, &fetched, app.clock.now_ms()).await {
            Ok(position) => return Ok(position),
            Err(BioError::Stale) => {}
            Err(error) => return Err(failed_block(error, id, block)),
        }
    }
    Err(busy())
}

/// Deletes a block.
pub(crate) async fn delete_block(
    app: &App,
    (workspace, id, block): (i64, i64, i64),
) -> Result<(), ApiError> {
    for _ in 0..TRIES {
        let place = (workspace, id, block);
        match bio::delete_block(&app.store, place, app.clock.now_ms()).await {
            Ok(()) => return Ok(()),
            Err(BioError::Stale) => {}
            Err(error) => return Err(failed_block(error, id, block)),
        }
    }
    Err(busy())
}

fn busy() -> ApiError {
    anyhow::anyhow!("a bio page that others change all the time").into()
}

fn failed(error: BioError, id: i64) -> ApiError {
    match error {
        BioError::NotFound => ApiError::not_found("bio page", id),
        BioError::NoBlock => ApiError::not_found("block", id),
        BioError::Taken(slug) => ApiError::AliasTaken(slug.to_string()),
        BioError::Plan(refusal) => refusal.into(),
        BioError::Refused(error) => error.into(),
        other => ApiError::Internal(other.into()),
    }
}

fn failed_block(error: BioError, id: i64, block: i64) -> ApiError {
    match error {
        BioError::NoBlock => ApiError::not_found("block", block),
        other => failed(other, id),
    }
}

/// Checks where a block leads, and fetches the pictures it shows that the page does not have.
async fn prepare(app: &App, bio: i64, block: &Block) -> Result<Vec<Fetched>, ApiError> {
    let ledger = page::needs(&Look::default(), std::slice::from_ref(&(0, block.clone())));
    check_ways(app, &ledger).await?;
    // What leads on without being a way out of the page: in an image, and in a file.
    let named: Vec<(&str, &str)> = match block {
        Block::Qr(qr) => sites(qr.data.as_str()).map(|site| ("data", site)).collect(),
        Block::Vcard(card) => card.url.iter().map(|url| ("url", url.as_str())).collect(),
        _ => Vec::new(),
    };
    for (field, url) in named {
        destinations::check_listed(app, field, url)?;
    }
    let missing = missing(app, bio, ledger.wanted).await?;
    fetch(app, (picture_field(block), missing)).await
}

/// The field that pictures of a block come from, for errors.
fn picture_field(block: &Block) -> &'static str {
    match block {
        Block::Image(_) => "url",
        Block::Gallery(_) | Block::Carousel(_) => "images",
        Block::ProductList(_) => "products",
        _ => "image",
    }
}

async fn check_ways(app: &App, ledger: &Ledger) -> Result<(), ApiError> {
    let urls = ledger.ways.iter().filter_map(|way| match &way.target {
        // What is not of the web was made of checked values.
        Target::Url(url) => Some((way.part.as_str(), Destination::parse(&way.part, url).ok()?)),
        Target::File { .. } => None,
    });
    let urls: Vec<(&str, Destination)> = urls.collect();
    let hosts = urls.iter().filter_map(|(_, url)| url.host()).collect();
    let checks = Checks::of(app, hosts).await?;
    for (part, url) in &urls {
        destinations::check_listed(app, part, url.as_str())?;
        let path = lookup_key(url.path().trim_start_matches('/'));
        let leads_on = path.is_ok_and(|slug| slug.starts_with("qr/") || slug.starts_with(PREFIX));
        if leads_on && checks.is_ours(app, url) {
            let problem = format!(
                "must not lead to a QR code or a bio page's link of ours, not '{}'",
                crate::domain::rule::shown(url.as_str())
            );
            return Err(ApiError::field(part, problem));
        }
    }
    Ok(())
}

/// Those of these URLs that the page has no picture of.
async fn missing(app: &App, bio: i64, urls: Vec<String>) -> Result<Vec<String>, ApiError> {
    if urls.is_empty() {
        return Ok(urls);
    }
    let mut connection = app.store.readers().acquire().await?;
    let known = bio::pictures(&mut connection, bio).await?;
    let is_new = |url: &String| !known.iter().any(|row| row.url == *url);
    Ok(urls.into_iter().filter(is_new).collect())
}

/// Fetches pictures, a few at a time.
async fn fetch(
    app: &App,
    (field, urls): (&'static str, Vec<String>),
) -> Result<Vec<Fetched>, ApiError> {
    let mut fetched = Vec::with_capacity(urls.len());
    for some in urls.chunks(FETCHED_AT_ONCE) {
        let some = some.iter().map(|url| fetch_one(app, field, url));
        fetched.extend(futures_util::future::try_join_all(some).await?);
    }
    Ok(fetched)
}

async fn fetch_one(app: &App, field: &'static str, url: &str) -> Result<Fetched, ApiError> {
    let refuse = |why: String| {
        let shown = crate::domain::rule::shown(url);
        ApiError::field(
            field,
            format!("must be a PNG or JPEG picture that can be fetched, and '{shown}' {why}"),
        )
    };
    destinations::check_listed(app, field, url)?;
    let answer = app.fetcher.get(url, &PICTURE).await;
    let answer = answer
        .and_then(crate::fetch::Fetched::successful)
        .map_err(|error| refuse(error.to_string()))?;
    let bytes = answer.body.clone();
    let looked = app.drawing.run(move || qr_image::inspect(&bytes)).await?;
    let (content_type, width, height) = looked.map_err(|error| refuse(error.to_string()))?;
    Ok(Fetched {
        url: url.to_owned(),
        content_type,
        width,
        height,
        bytes: answer.body,
    })
}

/// The domain of this text; `None` for the default one.
async fn domain(app: &App, workspace: i64, text: Option<&str>) -> Result<Option<Domain>, ApiError> {
    match text {
        None => Ok(None),
        Some(text) => usable_domain(app, workspace, text).await,
    }
}

async fn own_domain(app: &App, id: i64) -> Result<Domain, ApiError> {
    Ok(domains::by_id(&app.store, id).await?)
}

/// Replaces a password by its hash.
async fn hash_password(app: &App, wish: &mut Wish) -> Result<(), ApiError> {
    let phc = match wish.password.take() {
        None => return Ok(()),
        Some(None) => None,
        Some(Some(secret)) => Some(app.passwords.digest(secret.0).await?),
    };
    wish.content.extras = ExtrasEdit {
        password_phc: Some(phc),
        ..ExtrasEdit::default()
    };
    Ok(())
}
