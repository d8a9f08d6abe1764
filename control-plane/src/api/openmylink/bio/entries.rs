//! `/bio/:id/entries…`: what visitors wrote into forms of a page.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::WHAT;
use crate::api::openmylink::export::{CSV, NDJSON};
use crate::api::openmylink::reply::{Failure, MessageReply, Paging};
use crate::api::request::{Id, Ids, Query};
use crate::app::App;
use crate::domain::date;
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::bio::entries::{self, EntryRow};

/// Entries read at a time for a stream.
const PAGE: i64 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
    Ndjson,
}

/// `GET /bio/:id/entries`
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct EntriesReply {
    #[schema(example = 0)]
    error: u8,
    data: EntryPage,
}

/// A page of entries.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct EntryPage {
    #[serde(flatten)]
    paging: Paging,
    entries: Vec<EntryItem>,
}

/// What a visitor wrote.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::openmylink) struct EntryItem {
    id: i64,
    /// The block it was written into; it may be gone.
    block: i64,
    /// That block's type.
    #[serde(rename = "type")]
    #[schema(example = "contact-form")]
    kind: String,
    /// Names of fields and what was written into them.
    #[schema(value_type = Object)]
    fields: Map<String, Value>,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// What visitors wrote, newest first. 10,000 of each block are kept; beyond that visitors are told that it is full. Votes of
/// polls stand at their blocks.
#[utoipa::path(get, path = "/api/bio/{id}/entries", tag = "Bio pages", params(
    ("id" = i64, Path),
    ("block" = Option<i64>, Query, description = "of this block alone"),
    ("limit" = Option<i64>, Query, description = "entries a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
    ("format" = Option<String>, Query, description = "json (default), csv or ndjson; the latter two stream all"),
), responses((status = 200, body = EntriesReply)))]
pub(in crate::api::openmylink) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    query: Query,
) -> Result<Response, Failure> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let block = query.id("block")?;
    let formats = [
        ("json", Format::Json),
        ("csv", Format::Csv),
        ("ndjson", Format::Ndjson),
    ];
    let format = query.word("format", &formats, Format::Json)?;
    let bio = crate::bio::get(&app, caller.workspace(), id.of(WHAT)?).await?;
    let of = (bio.id, block);
    if format != Format::Json {
        return Ok(streamed(app, of, format));
    }
    let place = (limit, (page - 1) * limit);
    let (rows, count) = entries::page(&app.store, of, place).await?;
    let reply = EntriesReply {
        error: 0,
        data: EntryPage {
            paging: Paging::new(count, limit, page),
            entries: rows.into_iter().map(item).collect(),
        },
    };
    Ok(Json(reply).into_response())
}

/// Deletes what a visitor wrote.
#[utoipa::path(delete, path = "/api/bio/{id}/entries/{entry}/delete", tag = "Bio pages", params(("id" = i64, Path), ("entry" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(in crate::api::openmylink) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
) -> Result<Json<MessageReply>, Failure> {
    caller.need(Scope::Write)?;
    let bio = crate::bio::get(&app, caller.workspace(), ids.of("id", WHAT)?).await?;
    let entry = ids.of("entry", "entry")?;
    if !entries::delete(&app.store, bio.id, entry).await? {
        return Err(ApiError::not_found("entry", entry).into());
    }
    Ok(MessageReply::new("Entry has been deleted successfully."))
}

fn item(row: EntryRow) -> EntryItem {
    EntryItem {
        id: row.id,
        block: row.block_id,
        kind: row.kind,
        fields: row
            .fields
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect(),
        date: date::format(row.created_at),
    }
}

/// All entries, read page after page: no connection to the database is held in between.
fn streamed(app: Arc<App>, of: (i64, Option<i64>), format: Format) -> Response {
    let (kind, name) = match format {
        Format::Csv => (CSV, "attachment; filename=\"entries.csv\""),
        _ => (NDJSON, "attachment; filename=\"entries.ndjson\""),
    };
    let head = match format {
        Format::Csv => "id,block,type,date,fields\r\n",
        _ => "",
    };
    let state = Some((app, i64::MAX, head));
    let text = stream::try_unfold(state, move |state| async move {
        let Some((app, before, head)) = state else {
            return Ok::<_, ApiError>(None);
        };
        let rows = entries::before(&app.store, of, before, PAGE).await?;
        let last = rows.last().map(|row| row.id);
        let full = rows.len() as i64 == PAGE;
        let mut text = head.to_owned();
        for row in rows {
            text.push_str(&line(row, format));
        }
        let next = last.filter(|_| full).map(|last| (app, last, ""));
        Ok(Some((Bytes::from(text), next)))
    });
    let headers = [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)];
    (headers, Body::from_stream(text)).into_response()
}

/// An entry as a line. In CSV its fields are one column of JSON, since forms differ and change: so nothing a visitor wrote
/// begins a cell, where programs would take `=` for a formula.
fn line(row: EntryRow, format: Format) -> String {
    let item = item(row);
    match format {
        Format::Csv => {
            let fields = Value::Object(item.fields).to_string().replace('"', "\"\"");
            format!(
                "{},{},{},{},\"{fields}\"\r\n",
                item.id, item.block, item.kind, item.date
            )
        }
        _ => format!("{}\n", serde_json::json!(item)),
    }
}
