//! `/bio…`: pages of blocks at an alias. Blocks are in [`blocks`], what visitors wrote in [`entries`].
//!
//! What the published documents leave open, decided here: everything but adding a block. `alias` may be sent for `custom`.
//! `views` counts visits of the page, `clicks` those of a block's links. Pictures are fetched once, when they are set, and
//! served from the page's own host; to have one fetched again, change its URL. A page's password is not asked for by the
//! addresses of its links and pictures, which nobody can guess.

pub(super) mod blocks;
pub(super) mod entries;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use self::blocks::BlockItem;
use super::link_request::text;
use super::links::{UNAVAILABLE, totals};
use super::reply::{Failure, MessageReply, Paging, Reply};
use super::stats;
use crate::api::request::{Id, Object, Query, read};
use crate::app::App;
use crate::bio::Wish;
use crate::domain::bio::look::Edit as LookEdit;
use crate::domain::bio::value::plain;
use crate::domain::date::{self, When};
use crate::domain::field::FieldError;
use crate::domain::key::Scope;
use crate::domain::link::{Edit as ContentEdit, MAX_DESCRIPTION, MAX_TITLE};
use crate::domain::{alias, password};
use crate::links::Secret;
use crate::middleware::Caller;
use crate::store::bio::{self, Bio};

/// What a page is called in errors.
const WHAT: &str = "bio page";

/// A page as a caller wants it. In updates what is absent stays, an empty text clears.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct BioRequest {
    /// Its heading, at most 255 characters. Required to add.
    #[serde(deserialize_with = "text")]
    #[schema(example = "Ada Lovelace")]
    title: Option<String>,
    /// Lines below it, at most 2000 characters.
    #[serde(deserialize_with = "text")]
    description: Option<String>,
    /// Its alias; a random one when absent.
    #[serde(deserialize_with = "text")]
    #[schema(example = "mybio")]
    custom: Option<String>,
    /// As `custom`, which wins.
    #[serde(deserialize_with = "text")]
    alias: Option<String>,
    /// Domain it answers on, with or without scheme.
    #[serde(deserialize_with = "text")]
    domain: Option<String>,
    /// URL of a PNG or JPEG picture above the title: fetched now, served from here.
    #[serde(deserialize_with = "text")]
    avatar: Option<String>,
    /// `auto` (default: light or dark as the visitor's system is), `light`, `dark`, `paper`, `ocean`, `forest`, `sunset`,
    /// `midnight`, `mono`.
    #[serde(deserialize_with = "text")]
    #[schema(example = "ocean")]
    theme: Option<String>,
    /// Colour of the ground instead of the theme's, as `#RGB`, `#RRGGBB` or `rgb(r,g,b)`.
    #[serde(deserialize_with = "text")]
    background: Option<String>,
    /// Colour of text on it. Refused where it cannot be read.
    #[serde(deserialize_with = "text")]
    text: Option<String>,
    /// Colour of buttons and cards; text on them is black or white, whichever is read better.
    #[serde(deserialize_with = "text")]
    button: Option<String>,
    /// Language of its texts, a BCP 47 tag, `en` when absent.
    #[serde(deserialize_with = "text")]
    language: Option<String>,
    /// Asked for before the page is shown; empty: none.
    #[serde(deserialize_with = "text")]
    password: Option<String>,
    /// Until when it answers, inclusive; empty: always.
    #[serde(deserialize_with = "text")]
    expires_at: Option<String>,
    /// As `expires_at`, which wins.
    #[serde(deserialize_with = "text")]
    expiry: Option<String>,
}

impl BioRequest {
    fn wish(self) -> Result<Wish, FieldError> {
        let words = |field: &str, text: Option<String>, max: usize, may_break: bool| match text {
            None => Ok(None),
            Some(text) if text.trim().is_empty() => Ok(Some(String::new())),
            Some(text) => match plain(&text, max, may_break) {
                Ok(text) => Ok(Some(text)),
                Err(problem) => Err(FieldError::new(field, problem)),
            },
        };
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let slug = match (given(self.custom), given(self.alias)) {
            (Some(custom), _) => Some(alias::custom("custom", &custom)?),
            (None, Some(text)) => Some(alias::custom("alias", &text)?),
            (None, None) => None,
        };
        let password = match self.password.as_deref() {
            None => None,
            Some("") => Some(None),
            Some(text) => {
                password::check_gate("password", text)?;
                Some(Some(Secret(text.to_owned())))
            }
        };
        let (field, expiry) = match self.expires_at {
            Some(text) => ("expires_at", Some(text)),
            None => ("expiry", self.expiry),
        };
        let expires_at = match expiry.as_deref().map(str::trim) {
            None => None,
            Some("") => Some(None),
            Some(text) => Some(Some(When::parse(field, text)?.end_ms())),
        };
        Ok(Wish {
            slug,
            domain: given(self.domain),
            password,
            content: ContentEdit {
                title: words("title", self.title, MAX_TITLE, false)?,
                description: words("description", self.description, MAX_DESCRIPTION, true)?,
                expires_at,
                ..ContentEdit::default()
            },
            look: LookEdit {
                theme: self.theme,
                background: self.background,
                text: self.text,
                button: self.button,
                avatar: self.avatar,
                language: self.language,
            },
        })
    }
}

/// `GET /bio`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BiosReply {
    #[schema(example = 0)]
    error: u8,
    data: BioPage,
}

/// A page of bio pages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BioPage {
    #[serde(flatten)]
    paging: Paging,
    bios: Vec<BioItem>,
    /// `unavailable` when views are 0 because they could not be had; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'static str>,
}

/// A bio page in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BioItem {
    id: i64,
    title: String,
    alias: String,
    /// Where visitors find it.
    shorturl: String,
    /// Number of its blocks.
    blocks: i64,
    /// Visits, bots excluded.
    views: u64,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// `GET /bio/:id`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BioReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    data: BioDetails,
    /// `unavailable` when counts are 0 because they could not be had; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'static str>,
}

/// A bio page with its blocks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BioDetails {
    id: i64,
    /// What its views are counted under in statistics.
    link_id: i64,
    title: String,
    description: String,
    alias: String,
    /// Scheme and host.
    domain: String,
    shorturl: String,
    /// URL its picture was fetched from; may be empty.
    avatar: String,
    #[schema(example = "auto")]
    theme: &'static str,
    background: String,
    text: String,
    button: String,
    language: String,
    /// Whether a password is asked for.
    password: bool,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    expires_at: Option<String>,
    /// Visits, bots excluded.
    views: u64,
    /// Visitors among them.
    unique_views: u64,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
    /// In their order.
    blocks: Vec<BlockItem>,
}

/// `POST /bio/add`, `PUT /bio/:id/update`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BioAddReply {
    #[schema(example = 0)]
    error: u8,
    #[schema(example = 789)]
    id: i64,
    #[schema(example = "https://go.example/mybio")]
    shorturl: String,
    data: BioAdded,
}

/// The same once more.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BioAdded {
    id: i64,
    shorturl: String,
}

fn added(bio: &Bio) -> Json<BioAddReply> {
    let shorturl = bio.link.short_url();
    Json(BioAddReply {
        error: 0,
        id: bio.id,
        shorturl: shorturl.clone(),
        data: BioAdded {
            id: bio.id,
            shorturl,
        },
    })
}

/// Bio pages of the workspace, newest first.
#[utoipa::path(get, path = "/api/bio", tag = "Bio pages", params(
    ("limit" = Option<i64>, Query, description = "pages a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = BiosReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<BiosReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let workspace = caller.workspace();
    let place = (limit, (page - 1) * limit);
    let (rows, count) = bio::page(&app.store, workspace, place).await?;
    let ids: Vec<i64> = rows.iter().map(|(bio, _)| bio.link.id).collect();
    let views = totals(&app, workspace, &ids).await?;
    let views_of = |link: i64| {
        let known = views
            .as_ref()
            .and_then(|all| all.get(&link.cast_unsigned()));
        known.map_or(0, |totals| totals.clicks)
    };
    let item = |(bio, blocks): &(Bio, i64)| BioItem {
        id: bio.id,
        title: bio.link.content.title.clone(),
        alias: bio.link.slug.to_string(),
        shorturl: bio.link.short_url(),
        blocks: *blocks,
        views: views_of(bio.link.id),
        date: date::format(bio.created_at),
    };
    Ok(Json(BiosReply {
        error: 0,
        data: BioPage {
            paging: Paging::new(count, limit, page),
            bios: rows.iter().map(item).collect(),
            stats: views.is_none().then_some(UNAVAILABLE),
        },
    }))
}

/// A bio page with its blocks.
#[utoipa::path(get, path = "/api/bio/{id}", tag = "Bio pages", params(("id" = i64, Path)), responses((status = 200, body = BioReply)))]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<BioReply> {
    caller.need(Scope::Read)?;
    let workspace = caller.workspace();
    let page = crate::bio::get(&app, workspace, id.of(WHAT)?).await?;
    let parts = blocks::read(&app, page.id).await?;
    let ids = parts.targets.iter().map(|target| target.link_id);
    let ids: Vec<i64> = ids.chain([page.link.id]).collect();
    let counts = totals(&app, workspace, &ids).await?;
    let none = std::collections::HashMap::new();
    let known = counts.as_ref().unwrap_or(&none);
    let views = known.get(&page.link.id.cast_unsigned()).copied();
    let views = views.unwrap_or_default();
    let blocks = parts.items(&page, known);
    let content = page.link.content;
    Ok(Json(BioReply {
        error: 0,
        id: page.id,
        data: BioDetails {
            id: page.id,
            link_id: page.link.id,
            shorturl: format!("{}/{}", page.link.base_url, page.link.slug.to_path()),
            alias: page.link.slug.to_string(),
            domain: page.link.base_url,
            title: content.title,
            description: content.description,
            avatar: page
                .look
                .avatar
                .map_or_else(String::new, |url| url.as_str().to_owned()),
            theme: page.look.theme.word(),
            background: page.look.background,
            text: page.look.text,
            button: page.look.button,
            language: page.look.language,
            password: content.extras.password.is_some(),
            expires_at: content.expires_at.map(date::format),
            views: views.clicks,
            unique_views: views.unique_clicks,
            date: date::format(page.created_at),
            blocks,
        },
        stats: counts.is_none().then_some(UNAVAILABLE),
    }))
}

/// Statistics of a page's views, in the form of those of a link.
#[utoipa::path(get, path = "/api/bio/{id}/stats", tag = "Bio pages", params(("id" = i64, Path), stats::StatsParams), responses((status = 200, body = stats::StatsReply), (status = 503, body = super::reply::ErrorReply)))]
pub(super) async fn page_stats(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    query: Query,
) -> Result<Response, Failure> {
    caller.need(Scope::Read)?;
    let question = stats::question(&query)?;
    let page = crate::bio::get(&app, caller.workspace(), id.of(WHAT)?).await?;
    stats::answer(&app, (caller.workspace(), page.link.id), &question).await
}

/// Makes a bio page, without blocks yet.
#[utoipa::path(post, path = "/api/bio/add", tag = "Bio pages", request_body = BioRequest, responses((status = 200, body = BioAddReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<BioAddReply> {
    caller.need(Scope::Write)?;
    let wish = wish(&body)?;
    Ok(added(
        &crate::bio::add(&app, caller.workspace(), wish).await?,
    ))
}

/// Changes a bio page: the next visitor meets the new one.
#[utoipa::path(put, path = "/api/bio/{id}/update", tag = "Bio pages", params(("id" = i64, Path)), request_body = BioRequest, responses((status = 200, body = BioAddReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<BioAddReply> {
    caller.need(Scope::Write)?;
    let id = id.of(WHAT)?;
    let wish = wish(&body)?;
    Ok(added(
        &crate::bio::update(&app, caller.workspace(), id, wish).await?,
    ))
}

/// Deletes a bio page with its blocks and what visitors wrote: its alias answers 404 and is free again.
#[utoipa::path(delete, path = "/api/bio/{id}/delete", tag = "Bio pages", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    crate::bio::delete(&app, caller.workspace(), id.of(WHAT)?).await?;
    Ok(MessageReply::new("Bio page has been deleted successfully."))
}

fn wish(body: &Map<String, Value>) -> Result<Wish, FieldError> {
    read::<BioRequest>(body)?.wish()
}
