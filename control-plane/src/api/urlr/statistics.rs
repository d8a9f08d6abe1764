//! `/statistics`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::ids::Uuid;
use super::{ids, links};
use crate::api::range;
use crate::api::reply::Reply;
use crate::api::request::Query;
use crate::app::App;
use crate::domain::key::Scope;
use crate::domain::uuids::Kind;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::stats::Bots;
use crate::usage;

/// Visits of a link, bots left out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Statistics {
    #[schema(value_type = Uuid, inline)]
    link_id: String,
    /// Clicks and scans.
    #[schema(example = 51)]
    visits: u64,
    /// Visitors.
    #[schema(example = 32)]
    unique_visits: u64,
    /// Visits by anything but its QR code.
    #[schema(example = 42)]
    clicks: u64,
    /// Visits by its QR code.
    #[schema(example = 9)]
    scans: u64,
}

/// Get statistics of a link.
#[utoipa::path(get, path = "/api/v2/statistics", tag = "Statistics", params(
    ("link_id" = inline(Uuid), Query), ("from" = Option<String>, Query, description = "a date and time, or a day from its beginning; from the first visit on when absent"),
    ("to" = Option<String>, Query, description = "a date and time, its second included, or a day to its end; until now when absent"),
), responses((status = 200, body = Statistics), (status = 404, description = "No such link"), (status = 422, description = "A parameter is missing or wrong"), (status = 503, description = "Counts cannot be had at the moment")))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<Statistics> {
    caller.need(Scope::Read)?;
    let id = query
        .text("link_id")
        .ok_or_else(|| ApiError::field("link_id", "is required"))?;
    let link = links::find(&app, &caller, "link_id", id).await?;
    let range = range::read(&query, TimeZone::UTC)?;
    usage::check_statistics(&app, link.workspace_id).await?;
    let (workspace, number) = (link.workspace_id.cast_unsigned(), link.id.cast_unsigned());
    let (totals, scans) = app
        .stats
        .totals_with_scans(workspace, number, &range, Bots::Exclude)
        .await?;
    Ok(Json(Statistics {
        link_id: ids::shown(&app, Kind::Link, link.id),
        visits: totals.clicks,
        unique_visits: totals.unique_clicks,
        clicks: totals.clicks.saturating_sub(scans),
        scans,
    }))
}
