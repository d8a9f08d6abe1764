//! `/overlay` and `/overlay/…`: messages and forms over the framed destination, and what visitors wrote into them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::link_request::text;
use super::pixels::{IdReply, needed};
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Object, Query, read};
use crate::app::App;
use crate::destinations;
use crate::domain::date;
use crate::domain::field::FieldError;
use crate::domain::key::Scope;
use crate::domain::overlay::{Edit, Kind, Overlay};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::pages;
use crate::store::overlays;

/// `GET /overlay`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OverlaysReply {
    #[schema(example = 0)]
    error: u8,
    data: OverlayPage,
}

/// A page of overlays.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OverlayPage {
    #[serde(flatten)]
    paging: Paging,
    cta: Vec<OverlayItem>,
}

/// An overlay. The published list shows id, type, name and date; the rest is an extension.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OverlayItem {
    id: i64,
    #[serde(rename = "type")]
    #[schema(example = "message")]
    kind: &'static str,
    name: String,
    message: String,
    button: String,
    link: String,
    #[schema(example = "bottom")]
    position: &'static str,
    #[schema(example = "#1f2937")]
    color: String,
    email: String,
    subject: String,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// `POST /overlay/add`, `PUT /overlay/:id/update`: what is absent stays, an empty text clears.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct OverlayRequest {
    /// `message` or `contact`. Required to add; stays as it is.
    #[serde(rename = "type", deserialize_with = "text")]
    #[schema(example = "message")]
    kind: Option<String>,
    /// For lists. Required to add.
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    /// Lines of text, at most 5000 characters. Required to add.
    #[serde(deserialize_with = "text")]
    message: Option<String>,
    /// Text of the button.
    #[serde(deserialize_with = "text")]
    button: Option<String>,
    /// Where a message's button leads, `http` or `https`; to the destination itself when empty.
    #[serde(deserialize_with = "text")]
    link: Option<String>,
    /// `bottom` (default), `top`, `bottom-left`, `bottom-right`, `top-left`, `top-right`.
    #[serde(deserialize_with = "text")]
    position: Option<String>,
    /// Of its ground: `#RGB`, `#RRGGBB` or `rgb(r,g,b)`. Text on it is black or white, whichever is read better.
    #[serde(deserialize_with = "text")]
    #[schema(example = "#1f2937")]
    color: Option<String>,
    /// Whom a contact form's texts are for. Required for `contact`. Nothing is sent there: read them at
    /// `/overlay/:id/messages`.
    #[serde(deserialize_with = "text")]
    email: Option<String>,
    /// Of a contact form's texts.
    #[serde(deserialize_with = "text")]
    subject: Option<String>,
}

impl OverlayRequest {
    /// The type, if it is given, and the rest.
    fn parts(self) -> Result<(Option<Kind>, Edit), ApiError> {
        let kind = self
            .kind
            .as_deref()
            .map(str::trim)
            .filter(|k| !k.is_empty());
        let kind = kind.map(|kind| Kind::parse("type", kind)).transpose()?;
        let edit = Edit {
            name: self.name,
            message: self.message,
            button: self.button,
            link: self.link,
            position: self.position,
            color: self.color,
            email: self.email,
            subject: self.subject,
        };
        Ok((kind, edit))
    }
}

/// `GET /overlay/:id/messages`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotesReply {
    #[schema(example = 0)]
    error: u8,
    data: NotePage,
}

/// A page of what visitors wrote.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotePage {
    #[serde(flatten)]
    paging: Paging,
    messages: Vec<NoteItem>,
}

/// What a visitor wrote.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NoteItem {
    id: i64,
    /// The link it was written on.
    link: i64,
    /// May be empty.
    name: String,
    email: String,
    /// The overlay's subject.
    subject: String,
    message: String,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// Overlays of the workspace, newest first.
#[utoipa::path(get, path = "/api/overlay", tag = "Overlays", params(("limit" = Option<i64>, Query), ("page" = Option<i64>, Query)), responses((status = 200, body = OverlaysReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<OverlaysReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let place = (limit, (page - 1) * limit);
    let (rows, count) = overlays::page(&app.store, caller.workspace(), place).await?;
    let item = |row: overlays::OverlayRow| OverlayItem {
        id: row.id,
        kind: row.overlay.kind.name(),
        name: row.overlay.name,
        message: row.overlay.message,
        button: row.overlay.button,
        link: row.overlay.link,
        position: row.overlay.position.name(),
        color: row.overlay.color.to_hex(),
        email: row.overlay.email,
        subject: row.overlay.subject,
        date: date::format(row.created_at),
    };
    Ok(Json(OverlaysReply {
        error: 0,
        data: OverlayPage {
            paging: Paging::new(count, limit, page),
            cta: rows.into_iter().map(item).collect(),
        },
    }))
}

/// Adds an overlay.
#[utoipa::path(post, path = "/api/overlay/add", tag = "Overlays", request_body = OverlayRequest, responses((status = 200, body = IdReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<IdReply> {
    caller.need(Scope::Write)?;
    let body: OverlayRequest = read(&body)?;
    needed("type", body.kind.as_deref())?;
    let (kind, edit) = body.parts()?;
    let mut overlay = Overlay::new(kind.unwrap_or(Kind::Message));
    check_link(&app, &edit)?;
    overlay.apply(&edit)?;
    let id = overlays::insert(&app.store, caller.workspace(), &overlay, app.clock.now_ms()).await?;
    Ok(Json(IdReply { error: 0, id }))
}

/// Changes an overlay: the next visitor of each link with it meets the new one.
#[utoipa::path(put, path = "/api/overlay/{id}/update", tag = "Overlays", params(("id" = i64, Path)), request_body = OverlayRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let place = (caller.workspace(), id.of("overlay")?);
    let body: OverlayRequest = read(&body)?;
    let (kind, edit) = body.parts()?;
    check_link(&app, &edit)?;
    pages::update_overlay(&app.store, place, (kind, &edit), app.clock.now_ms()).await?;
    Ok(MessageReply::new("Overlay has been updated successfully."))
}

/// Deletes an overlay and what visitors wrote: links that show it go on without it.
#[utoipa::path(delete, path = "/api/overlay/{id}/delete", tag = "Overlays", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let place = (caller.workspace(), id.of("overlay")?);
    pages::delete_overlay(&app.store, place, app.clock.now_ms()).await?;
    Ok(MessageReply::new("Overlay has been deleted successfully."))
}

/// What visitors wrote into a contact overlay, newest first. 10,000 are kept; beyond that visitors are told that it is
/// full.
#[utoipa::path(get, path = "/api/overlay/{id}/messages", tag = "Overlays", params(("id" = i64, Path), ("limit" = Option<i64>, Query), ("page" = Option<i64>, Query)), responses((status = 200, body = NotesReply)))]
pub(super) async fn messages(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    query: Query,
) -> Reply<NotesReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let overlay = owned(&app, &caller, id.of("overlay")?).await?;
    let place = (limit, (page - 1) * limit);
    let (rows, count) = overlays::notes(&app.store, overlay.id, place).await?;
    let item = |row: overlays::NoteRow| NoteItem {
        id: row.id,
        link: row.link_id,
        name: row.note.name,
        email: row.note.email,
        subject: overlay.overlay.subject.clone(),
        message: row.note.message,
        date: date::format(row.created_at),
    };
    Ok(Json(NotesReply {
        error: 0,
        data: NotePage {
            paging: Paging::new(count, limit, page),
            messages: rows.into_iter().map(item).collect(),
        },
    }))
}

/// Deletes what a visitor wrote.
#[utoipa::path(delete, path = "/api/overlay/{id}/messages/{message}/delete", tag = "Overlays", params(("id" = i64, Path), ("message" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete_message(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Result<Path<(String, String)>, PathRejection>,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let (overlay, message) = ids.map(|Path(ids)| ids).unwrap_or_default();
    let overlay = owned(&app, &caller, Id::from(overlay).of("overlay")?).await?;
    let message = Id::from(message).of("message")?;
    if !overlays::delete_note(&app.store, overlay.id, message).await? {
        return Err(ApiError::not_found("message", message).into());
    }
    Ok(MessageReply::new("Message has been deleted successfully."))
}

async fn owned(app: &App, caller: &Caller, id: i64) -> Result<overlays::OverlayRow, ApiError> {
    let mut connection = app.store.readers().acquire().await?;
    let row = overlays::get(&mut connection, caller.workspace(), id).await?;
    row.ok_or_else(|| ApiError::not_found("overlay", id))
}

/// What a button leads to must not be on the block list.
fn check_link(app: &App, edit: &Edit) -> Result<(), FieldError> {
    destinations::check_listed(app, "link", edit.link.as_deref().unwrap_or_default())
}
