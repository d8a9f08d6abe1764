//! `/splash` and `/splash/…`: pages that visitors read before they go on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::link_request::text;
use super::pixels::IdReply;
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Object, Query, read};
use crate::app::App;
use crate::destinations;
use crate::domain::date;
use crate::domain::field::FieldError;
use crate::domain::key::Scope;
use crate::domain::splash::{Edit, Splash};
use crate::middleware::Caller;
use crate::pages;
use crate::store::splashes;

/// `GET /splash`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SplashesReply {
    #[schema(example = 0)]
    error: u8,
    data: SplashPage,
}

/// A page of splash pages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SplashPage {
    #[serde(flatten)]
    paging: Paging,
    splash: Vec<SplashItem>,
}

/// A splash page. The published list shows id, name and date; the rest is an extension.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SplashItem {
    id: i64,
    name: String,
    title: String,
    message: String,
    image: String,
    button: String,
    link: String,
    /// Seconds.
    counter: u32,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// `POST /splash/add`, `PUT /splash/:id/update`: what is absent stays, an empty text clears.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct SplashRequest {
    /// For lists; the heading where there is no title. Required to add.
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    /// The heading.
    #[serde(deserialize_with = "text")]
    title: Option<String>,
    /// Lines of text, at most 5000 characters.
    #[serde(deserialize_with = "text")]
    message: Option<String>,
    /// URL of an image, `http` or `https`; visitors load it from there.
    #[serde(deserialize_with = "text")]
    image: Option<String>,
    /// Text of the button.
    #[serde(deserialize_with = "text")]
    button: Option<String>,
    /// Where the button leads, `http` or `https`; to the destination when empty.
    #[serde(deserialize_with = "text")]
    link: Option<String>,
    /// Seconds until the visitor goes on, 0 to 600, 10 when absent; 0: when the visitor says so.
    #[serde(deserialize_with = "text")]
    #[schema(example = "10")]
    counter: Option<String>,
}

impl SplashRequest {
    fn edit(self) -> Edit {
        Edit {
            name: self.name,
            title: self.title,
            message: self.message,
            image: self.image,
            button: self.button,
            link: self.link,
            counter: self.counter,
        }
    }
}

/// Splash pages of the workspace, newest first.
#[utoipa::path(get, path = "/api/splash", tag = "Splash pages", params(("limit" = Option<i64>, Query), ("page" = Option<i64>, Query)), responses((status = 200, body = SplashesReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<SplashesReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let place = (limit, (page - 1) * limit);
    let (rows, count) = splashes::page(&app.store, caller.workspace(), place).await?;
    let item = |row: splashes::SplashRow| SplashItem {
        id: row.id,
        name: row.splash.name,
        title: row.splash.title,
        message: row.splash.message,
        image: row.splash.image,
        button: row.splash.button,
        link: row.splash.link,
        counter: row.splash.counter,
        date: date::format(row.created_at),
    };
    Ok(Json(SplashesReply {
        error: 0,
        data: SplashPage {
            paging: Paging::new(count, limit, page),
            splash: rows.into_iter().map(item).collect(),
        },
    }))
}

/// Adds a splash page.
#[utoipa::path(post, path = "/api/splash/add", tag = "Splash pages", request_body = SplashRequest, responses((status = 200, body = IdReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<IdReply> {
    caller.need(Scope::Write)?;
    let body: SplashRequest = read(&body)?;
    let mut splash = Splash::default();
    let edit = body.edit();
    check_urls(&app, &edit)?;
    splash.apply(&edit)?;
    let id = splashes::insert(&app.store, caller.workspace(), &splash, app.clock.now_ms()).await?;
    Ok(Json(IdReply { error: 0, id }))
}

/// Changes a splash page: the next visitor of each link with it meets the new one.
#[utoipa::path(put, path = "/api/splash/{id}/update", tag = "Splash pages", params(("id" = i64, Path)), request_body = SplashRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let place = (caller.workspace(), id.of("splash")?);
    let body: SplashRequest = read(&body)?;
    let edit = body.edit();
    check_urls(&app, &edit)?;
    pages::update_splash(&app.store, place, &edit, app.clock.now_ms()).await?;
    Ok(MessageReply::new("Splash has been updated successfully."))
}

/// Deletes a splash page: links that show it go on without it.
#[utoipa::path(delete, path = "/api/splash/{id}/delete", tag = "Splash pages", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let place = (caller.workspace(), id.of("splash")?);
    pages::delete_splash(&app.store, place, app.clock.now_ms()).await?;
    Ok(MessageReply::new("Splash has been deleted successfully."))
}

/// What a page shows and leads to must not be on the block list.
fn check_urls(app: &App, edit: &Edit) -> Result<(), FieldError> {
    for (field, url) in [("image", &edit.image), ("link", &edit.link)] {
        destinations::check_listed(app, field, url.as_deref().unwrap_or_default())?;
    }
    Ok(())
}
