//! `/channels`, `/channel/…`.
//!
//! What the published documents leave open, decided here: `date` of an item is the day it was made, its `title` the alias
//! where it has none, items come in the order they were assigned, the newest first, and `DELETE` on an assignment's path
//! (ours) takes the item out again. An empty name or colour in an update leaves it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::link_request::{text, yes_no};
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Ids, Object, Query, read};
use crate::app::App;
use crate::domain::channel::{Content, Edit, ItemKind};
use crate::domain::date;
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::bio::{self, Bio};
use crate::store::channels::{self, Channel, Item};
use crate::store::links::{self, Link};
use crate::store::qr::{self, QrCode};

/// A channel as a caller wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct ChannelRequest {
    /// Its name; required to add one.
    #[serde(deserialize_with = "text")]
    #[schema(example = "New Channel")]
    name: Option<String>,
    /// For lists.
    #[serde(deserialize_with = "text")]
    description: Option<String>,
    /// Colour of its badge in HEX.
    #[serde(deserialize_with = "text")]
    #[schema(example = "#000000")]
    color: Option<String>,
    /// Starred or not.
    #[serde(deserialize_with = "yes_no")]
    starred: Option<bool>,
}

impl ChannelRequest {
    fn edit(self) -> Result<Edit, ApiError> {
        let given = |text: Option<String>| text.filter(|t| !t.trim().is_empty());
        let edit = Edit {
            name: given(self.name),
            description: self.description,
            color: given(self.color),
            is_starred: self.starred,
        };
        Ok(edit.checked()?)
    }
}

/// `GET /channels`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelsReply {
    #[schema(example = 0)]
    error: u8,
    data: ChannelPage,
}

/// A page of channels.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelPage {
    #[serde(flatten)]
    paging: Paging,
    channels: Vec<ChannelItem>,
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelItem {
    id: i64,
    name: String,
    description: String,
    /// `#RRGGBB`
    color: String,
    starred: bool,
}

impl ChannelItem {
    fn new(id: i64, content: Content) -> Self {
        Self {
            id,
            name: content.name,
            description: content.description,
            color: content.color,
            starred: content.is_starred,
        }
    }
}

/// `POST /channel/add`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelAddReply {
    #[schema(example = 0)]
    error: u8,
    #[serde(flatten)]
    channel: ChannelItem,
}

/// `GET /channel/:id`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChannelReply {
    #[schema(example = 0)]
    error: u8,
    data: ItemPage,
}

/// A page of what is in a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemPage {
    #[serde(flatten)]
    paging: Paging,
    items: Vec<Assigned>,
}

/// Something in a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Assigned {
    /// `links`, `bio` or `qr`.
    #[serde(rename = "type")]
    kind: &'static str,
    id: i64,
    title: String,
    /// Destination of a link, URL of a bio page, image of a QR code.
    preview: String,
    /// Its short URL.
    link: String,
    /// `YYYY-MM-DD` UTC.
    date: String,
}

/// Channels of the workspace.
#[utoipa::path(get, path = "/api/channels", tag = "Channels", params(
    ("limit" = Option<i64>, Query, description = "channels a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = ChannelsReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<ChannelsReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let workspace = caller.workspace();
    let found = channels::page(&app.store, workspace, (limit, (page - 1) * limit)).await?;
    let count = channels::count(&app.store, workspace).await?;
    let item = |channel: Channel| ChannelItem::new(channel.id, channel.content);
    Ok(Json(ChannelsReply {
        error: 0,
        data: ChannelPage {
            paging: Paging::new(count, limit, page),
            channels: found.into_iter().map(item).collect(),
        },
    }))
}

/// What is in a channel.
#[utoipa::path(get, path = "/api/channel/{id}", tag = "Channels", params(
    ("id" = i64, Path),
    ("limit" = Option<i64>, Query, description = "items a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = ChannelReply)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    query: Query,
) -> Reply<ChannelReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let (workspace, id) = (caller.workspace(), id.of("channel")?);
    if channels::get(&app.store, workspace, id).await?.is_none() {
        return Err(ApiError::not_found("channel", id).into());
    }
    let items = channels::items(&app.store, id, (limit, (page - 1) * limit)).await?;
    let count = channels::count_items(&app.store, id).await?;
    Ok(Json(ChannelReply {
        error: 0,
        data: ItemPage {
            paging: Paging::new(count, limit, page),
            items: assigned(&app, workspace, &items).await?,
        },
    }))
}

/// Adds a channel.
#[utoipa::path(post, path = "/api/channel/add", tag = "Channels", request_body = ChannelRequest, responses((status = 200, body = ChannelAddReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<ChannelAddReply> {
    caller.need(Scope::Write)?;
    let content = read::<ChannelRequest>(&body)?.edit()?.into_new()?;
    let now_ms = app.clock.now_ms();
    let id = channels::insert(&app.store, caller.workspace(), &content, now_ms).await?;
    Ok(Json(ChannelAddReply {
        error: 0,
        channel: ChannelItem::new(id, content),
    }))
}

/// Puts a link, bio page or QR code into a channel. One that is in it already stays.
#[utoipa::path(post, path = "/api/channel/{id}/assign/{type}/{itemid}", tag = "Channels", params(
    ("id" = i64, Path),
    ("type" = String, Path, description = "links, bio or qr"),
    ("itemid" = i64, Path),
), responses((status = 200, body = MessageReply)))]
pub(super) async fn assign(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let workspace = caller.workspace();
    let (channel, item) = place(&ids)?;
    let mut tx = app.store.begin().await?;
    if !channels::has_item(&mut tx, workspace, item).await? {
        return Err(ApiError::not_found(item.kind.singular(), item.item).into());
    }
    if !channels::assign(&mut tx, (workspace, channel), item, app.clock.now_ms()).await? {
        return Err(ApiError::not_found("channel", channel).into());
    }
    tx.commit().await?;
    Ok(MessageReply::new("Item successfully added to the channel."))
}

/// Takes a link, bio page or QR code out of a channel.
#[utoipa::path(delete, path = "/api/channel/{id}/assign/{type}/{itemid}", tag = "Channels", params(
    ("id" = i64, Path),
    ("type" = String, Path, description = "links, bio or qr"),
    ("itemid" = i64, Path),
), responses((status = 200, body = MessageReply)))]
pub(super) async fn unassign(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let (channel, item) = place(&ids)?;
    let mut tx = app.store.begin().await?;
    if !channels::unassign(&mut tx, (caller.workspace(), channel), item).await? {
        let what = format!("{}/{}", item.kind.word(), item.item);
        return Err(ApiError::not_found("item of this channel", what).into());
    }
    tx.commit().await?;
    Ok(MessageReply::new(
        "Item successfully removed from the channel.",
    ))
}

/// Changes a channel; what is not sent stays.
#[utoipa::path(put, path = "/api/channel/{id}/update", tag = "Channels", params(("id" = i64, Path)), request_body = ChannelRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let id = id.of("channel")?;
    let edit = read::<ChannelRequest>(&body)?.edit()?;
    if !channels::update(&app.store, (caller.workspace(), id), &edit).await? {
        return Err(ApiError::not_found("channel", id).into());
    }
    Ok(MessageReply::new("Channel has been updated successfully."))
}

/// Deletes a channel; what was in it stays.
#[utoipa::path(delete, path = "/api/channel/{id}/delete", tag = "Channels", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let id = id.of("channel")?;
    if !channels::delete(&app.store, (caller.workspace(), id)).await? {
        return Err(ApiError::not_found("channel", id).into());
    }
    Ok(MessageReply::new("Channel has been deleted successfully."))
}

/// Channel and item of an assignment's path.
fn place(ids: &Ids) -> Result<(i64, Item), ApiError> {
    let kind = ItemKind::parse(ids.text("type"))?;
    let item = ids.of("itemid", kind.singular())?;
    Ok((ids.of("id", "channel")?, Item { kind, item }))
}

/// What is shown of these items, in their order: one question a kind.
async fn assigned(app: &App, workspace: i64, items: &[Item]) -> Result<Vec<Assigned>, ApiError> {
    let of = |kind: ItemKind| -> Vec<i64> {
        let items = items.iter().filter(|item| item.kind == kind);
        items.map(|item| item.item).collect()
    };
    let links: HashMap<i64, Link> = links::by_ids(&app.store, workspace, &of(ItemKind::Link))
        .await?
        .into_iter()
        .map(|link| (link.id, link))
        .collect();
    let bios = bio::by_ids(&app.store, workspace, &of(ItemKind::Bio)).await?;
    let codes = qr::by_ids(&app.store, workspace, &of(ItemKind::Qr)).await?;
    let shown = items.iter().filter_map(|item| match item.kind {
        ItemKind::Link => links.get(&item.item).map(shown_link),
        ItemKind::Bio => bios.iter().find(|bio| bio.id == item.item).map(shown_bio),
        ItemKind::Qr => codes
            .iter()
            .find(|code| code.id == item.item)
            .map(shown_code),
    });
    Ok(shown.collect())
}

fn shown_link(link: &Link) -> Assigned {
    let title = &link.content.title;
    Assigned {
        kind: ItemKind::Link.word(),
        id: link.id,
        title: if title.is_empty() {
            link.slug.to_string()
        } else {
            title.clone()
        },
        preview: link.content.destination.clone(),
        link: link.short_url(),
        date: date::format_day(link.created_at),
    }
}

fn shown_bio(bio: &Bio) -> Assigned {
    Assigned {
        kind: ItemKind::Bio.word(),
        id: bio.id,
        title: bio.link.content.title.clone(),
        preview: bio.link.short_url(),
        link: bio.link.short_url(),
        date: date::format_day(bio.created_at),
    }
}

fn shown_code(code: &QrCode) -> Assigned {
    Assigned {
        kind: ItemKind::Qr.word(),
        id: code.id,
        title: code.shown_name(),
        preview: code.image_url(),
        link: code.link(),
        date: date::format_day(code.created_at),
    }
}
