//! `POST /urls/import`: links from the exports of other systems, see [`crate::domain::import`]. A dry run unless
//! `dry_run=false` is said, with an outcome for each line, so that nothing is added by surprise.
//!
//! The file comes as the body itself (`text/csv`, or a JSON list), or as `data` in a JSON object. Lines are added in
//! transactions of at most 1,000, so of a large file those before a failure of ours stay, and a dry run sees an alias that
//! comes twice only within one of them. Counts of other systems become
//! `imported_clicks` and are in no other number.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemas::feed::MAX_LINKS_PER_CHANGE;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::link_request::{wish, yes_no};
use super::reply::Reply;
use crate::api::request::{File, Query, read};
use crate::app::App;
use crate::domain::field::FieldError;
use crate::domain::import::{self, FORMATS, Line};
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::links::Wish;
use crate::middleware::Caller;
use crate::store::links::Together;

/// `POST /urls/import`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct ImportRequest {
    /// The file: CSV with a header line, or JSON; at most 10,000 links and 16 MiB.
    #[schema(example = "url,alias,clicks\nhttps://example.com/,spring-sale,17\n")]
    data: Option<String>,
    /// `auto` (default), `csv`, `bitly`, `dub`, `shlink`, `kutt`, `yourls` or `rebrandly`: where it comes from. Columns are
    /// found by their names in each case.
    format: Option<String>,
    /// Only says what would become of each line; true unless `false` is said.
    #[serde(deserialize_with = "yes_no")]
    dry_run: Option<bool>,
    /// Domain of all its links; the default one when absent.
    domain: Option<String>,
}

/// Outcomes in the order of the lines.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportReply {
    /// 0: the file was understood; each line has its own.
    #[schema(example = 0)]
    error: u8,
    /// Nothing was added.
    dry_run: bool,
    /// Lines that were added, or could be.
    added: usize,
    /// Lines that were not.
    failed: usize,
    results: Vec<LineOutcome>,
}

/// What became of a line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LineOutcome {
    /// Place in the file, from 1, without the header line.
    line: usize,
    /// 0 or 1.
    error: u8,
    /// Id of the link; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    /// Its short URL; a drawn one differs when the dry run is repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    shorturl: Option<String>,
    /// Clicks it brings.
    imported_clicks: i64,
    /// Why it was not added.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Brings links in from another system.
#[utoipa::path(post, path = "/api/urls/import", tag = "Links", params(
    ("format" = Option<String>, Query, description = "as in the body, for a file that is the body itself"),
    ("dry_run" = Option<bool>, Query, description = "as in the body"),
    ("domain" = Option<String>, Query, description = "as in the body"),
), request_body = ImportRequest, responses((status = 200, body = ImportReply)))]
pub(super) async fn import(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
    File(text): File,
) -> Reply<ImportReply> {
    caller.need(Scope::Write)?;
    let request = request(&query, text)?;
    let format = request.format.as_deref().unwrap_or("auto");
    if !FORMATS.contains(&format) {
        return Err(
            ApiError::field("format", format!("must be one of {}", FORMATS.join(", "))).into(),
        );
    }
    let dry_run = request.dry_run.unwrap_or(true);
    let together = if dry_run {
        Together::DryRun
    } else {
        Together::No
    };
    let data = request.data.unwrap_or_default();
    let lines = import::read("data", &data)?;
    let mut results = Vec::with_capacity(lines.len());
    for part in lines.chunks(MAX_LINKS_PER_CHANGE) {
        let clicks = part
            .iter()
            .map(|line| line.as_ref().map_or(0, |l| l.clicks));
        let wishes = part
            .iter()
            .map(|line| wanted(line, request.domain.as_deref()));
        let outcomes =
            crate::links::add_all(&app, caller.workspace(), wishes.collect(), together).await?;
        for (outcome, imported_clicks) in outcomes.into_iter().zip(clicks) {
            results.push(match outcome {
                Ok(link) => LineOutcome {
                    line: results.len() + 1,
                    error: 0,
                    id: (!dry_run).then_some(link.id),
                    shorturl: Some(link.short_url()),
                    imported_clicks,
                    message: None,
                },
                Err(error) => LineOutcome {
                    line: results.len() + 1,
                    error: 1,
                    id: None,
                    shorturl: None,
                    imported_clicks,
                    message: Some(error.public_message()),
                },
            });
        }
    }
    let failed = results.iter().filter(|r| r.error != 0).count();
    Ok(Json(ImportReply {
        error: 0,
        dry_run,
        added: results.len() - failed,
        failed,
        results,
    }))
}

/// The options beside a file that is the body, or the body's own.
fn request(query: &Query, text: String) -> Result<ImportRequest, FieldError> {
    if let Ok(Value::Object(map)) = serde_json::from_str::<Value>(&text)
        && (map.contains_key("dry_run") || map.get("data").is_some_and(Value::is_string))
    {
        return read(&map);
    }
    Ok(ImportRequest {
        data: Some(text),
        format: query.text("format").map(str::to_owned),
        dry_run: Some(query.word(
            "dry_run",
            &[("true", true), ("1", true), ("false", false), ("0", false)],
            true,
        )?),
        domain: query.text("domain").map(str::to_owned),
    })
}

fn wanted(line: &Result<Line, FieldError>, domain: Option<&str>) -> Result<Wish, ApiError> {
    let line = line.as_ref().map_err(|error| error.clone())?;
    let mut fields = line.fields.clone();
    if let Some(domain) = domain {
        fields.insert("domain".to_owned(), Value::from(domain));
    }
    Ok(Wish {
        imported_clicks: line.clicks,
        created_at: line.created_at,
        ..wish(&fields)?
    })
}
