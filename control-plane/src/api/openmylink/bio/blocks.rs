//! `/bio/:id/blocks…` and `/bio/block-types`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::WHAT;
use crate::api::openmylink::reply::{MessageReply, Reply};
use crate::api::request::{Id, Ids, Object};
use crate::app::App;
use crate::domain::bio::value::Theme;
use crate::domain::bio::{Block, MAX_BLOCKS, icon};
use crate::domain::field::FieldError;
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::stats::Totals;
use crate::store::bio::{self, Bio, BlockRow, TargetRow, entries};

/// A block to be: `type`, perhaps `position`, and the fields of its type.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a body that is read as an object")]
pub(in crate::api::openmylink) struct BlockRequest {
    /// One of `/bio/block-types`.
    r#type: String,
    /// Place on the page, from 1: later blocks move on. Last when absent or past the end.
    position: Option<i64>,
}

/// What a block is to become: any of the fields of its type, see the schemas `bio.…` of this document.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"title": "Spring Sale — 40% off", "position": 1}))]
#[expect(dead_code, reason = "describes a body that is read as an object")]
pub(in crate::api::openmylink) struct BlockChange {
    /// Stays as it is.
    r#type: Option<String>,
    /// Place on the page, from 1: later blocks move on.
    position: Option<i64>,
}

/// A block of a page, with the fields of its type.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct BlockItem {
    id: i64,
    #[serde(rename = "type")]
    #[schema(example = "link")]
    kind: &'static str,
    /// From 1.
    position: i64,
    /// Clicks of its links together, bots excluded.
    clicks: u64,
    /// Its links one by one.
    targets: Vec<BlockTarget>,
    /// Votes in a poll; else absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<PollResult>,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    fields: Map<String, Value>,
}

/// A link of a block.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct BlockTarget {
    /// Where in the block it stands.
    #[schema(example = "url")]
    part: String,
    /// What its clicks are counted under in statistics.
    link_id: i64,
    /// Its address on the page.
    link: String,
    /// Bots excluded.
    clicks: u64,
}

/// Votes for an answer of a poll.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct PollResult {
    option: String,
    votes: i64,
}

/// `POST /bio/:id/blocks`, `PUT /bio/:id/blocks/:block_id`
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct BlockReply {
    #[schema(example = 0)]
    error: u8,
    data: BlockAdded,
}

/// Which and where.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct BlockAdded {
    #[schema(example = 12)]
    id: i64,
    #[schema(example = 2)]
    position: i64,
}

/// `GET /bio/block-types`
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct BlockTypesReply {
    #[schema(example = 0)]
    error: u8,
    data: BlockTypes,
}

/// All types of blocks.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct BlockTypes {
    /// Number of types.
    result: usize,
    /// Most blocks of a page.
    max_blocks: usize,
    types: Vec<BlockType>,
    /// Names that `icon` takes beside emoji.
    icons: Vec<&'static str>,
    /// Themes of pages.
    themes: Vec<&'static str>,
}

/// A type of blocks.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct BlockType {
    #[serde(rename = "type")]
    #[schema(example = "video")]
    kind: &'static str,
    /// Fields that must be there.
    required: Vec<String>,
    /// Fields that may be there.
    optional: Vec<String>,
    /// Its schema in the OpenAPI document, below `components.schemas`.
    #[schema(example = "bio.Video")]
    schema: String,
    /// A payload with all fields.
    #[schema(value_type = Object)]
    example: Value,
}

/// What a page's blocks are and where they lead.
pub(super) struct Parts {
    blocks: Vec<BlockRow>,
    pub(super) targets: Vec<TargetRow>,
    votes: Vec<(i64, String, i64)>,
}

/// Reads them.
pub(super) async fn read(app: &App, page: i64) -> Result<Parts, ApiError> {
    let mut connection = app.store.readers().acquire().await?;
    Ok(Parts {
        blocks: bio::blocks(&mut connection, page).await?,
        targets: bio::targets(&mut connection, page).await?,
        votes: entries::votes(&mut connection, page).await?,
    })
}

impl Parts {
    pub(super) fn items(&self, page: &Bio, known: &HashMap<u64, Totals>) -> Vec<BlockItem> {
        let target = |row: &TargetRow| BlockTarget {
            part: row.part.clone(),
            link_id: row.link_id,
            link: format!("{}/{}", page.link.base_url, row.slug),
            clicks: known
                .get(&row.link_id.cast_unsigned())
                .map_or(0, |t| t.clicks),
        };
        let item = |row: &BlockRow| {
            let own = self.targets.iter().filter(|t| t.block_id == row.id);
            let targets: Vec<BlockTarget> = own.map(target).collect();
            let tally = entries::tally((row.id, &row.block), &self.votes);
            let result = |(option, votes)| PollResult { option, votes };
            BlockItem {
                id: row.id,
                kind: row.block.name(),
                position: row.position,
                clicks: targets.iter().map(|target| target.clicks).sum(),
                targets,
                results: tally.into_iter().map(result).collect(),
                fields: row.block.fields(),
            }
        };
        self.blocks.iter().map(item).collect()
    }
}

/// Types of blocks: the fields each needs and may have, with an example. The same for everybody.
#[utoipa::path(get, path = "/api/bio/block-types", tag = "Bio pages", responses((status = 200, body = BlockTypesReply)))]
pub(in crate::api::openmylink) async fn types(caller: Caller) -> Reply<BlockTypesReply> {
    caller.need(Scope::Read)?;
    let kinds = Block::kinds().into_iter().map(|kind| BlockType {
        kind: kind.name,
        required: kind.required,
        optional: kind.optional,
        schema: kind.schema,
        example: Block::example(kind.name),
    });
    let types: Vec<BlockType> = kinds.collect();
    Ok(Json(BlockTypesReply {
        error: 0,
        data: BlockTypes {
            result: types.len(),
            max_blocks: MAX_BLOCKS,
            types,
            icons: icon::names().collect(),
            themes: Theme::ALL.iter().map(|(_, word)| *word).collect(),
        },
    }))
}

/// Adds a block to a page.
#[utoipa::path(post, path = "/api/bio/{id}/blocks", tag = "Bio pages", params(("id" = i64, Path)), request_body = BlockRequest, responses((status = 200, body = BlockReply)))]
pub(in crate::api::openmylink) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<BlockReply> {
    caller.need(Scope::Write)?;
    let place = (caller.workspace(), id.of(WHAT)?);
    crate::bio::get(&app, place.0, place.1).await?;
    let (kind, position) = common(&body)?;
    let kind = kind.ok_or_else(|| ApiError::field("type", "is required"))?;
    let (id, position) = crate::bio::add_block(&app, place, (kind, &body, position)).await?;
    Ok(Json(BlockReply {
        error: 0,
        data: BlockAdded { id, position },
    }))
}

/// Changes a block: what is not sent stays, an empty text clears. `position` moves it.
#[utoipa::path(put, path = "/api/bio/{id}/blocks/{block_id}", tag = "Bio pages", params(("id" = i64, Path), ("block_id" = i64, Path)), request_body = BlockChange, responses((status = 200, body = BlockReply)))]
pub(in crate::api::openmylink) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
    Object(body): Object,
) -> Reply<BlockReply> {
    caller.need(Scope::Write)?;
    let (page, id) = (ids.of("id", WHAT)?, ids.of("block_id", "block")?);
    let place = (caller.workspace(), page, id);
    let (kind, position) = common(&body)?;
    let position = crate::bio::change_block(&app, place, (kind, &body, position)).await?;
    Ok(Json(BlockReply {
        error: 0,
        data: BlockAdded { id, position },
    }))
}

/// Deletes a block: those behind it move up.
#[utoipa::path(delete, path = "/api/bio/{id}/blocks/{block_id}", tag = "Bio pages", params(("id" = i64, Path), ("block_id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(in crate::api::openmylink) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let (page, id) = (ids.of("id", WHAT)?, ids.of("block_id", "block")?);
    crate::bio::delete_block(&app, (caller.workspace(), page, id)).await?;
    Ok(MessageReply::new("Block has been deleted successfully."))
}

/// What all types have: the type and the position.
fn common(body: &Map<String, Value>) -> Result<(Option<&str>, Option<i64>), FieldError> {
    let kind = match body.get("type") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.trim()).filter(|text| !text.is_empty()),
        Some(_) => return Err(FieldError::new("type", "must be text")),
    };
    let wrong = || FieldError::new("position", "must be a whole number from 1");
    let position = match body.get("position") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(text.trim().parse::<i64>().map_err(|_| wrong())?),
        Some(value) => Some(value.as_i64().ok_or_else(wrong)?),
    };
    if position.is_some_and(|position| position < 1) {
        return Err(wrong());
    }
    Ok((kind, position))
}
