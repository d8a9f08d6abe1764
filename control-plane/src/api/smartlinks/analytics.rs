//! `/analytics/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::ids::What;
use super::{links, time};
use crate::api::range;
use crate::api::reply::Reply;
use crate::api::request::{Ids, Query};
use crate::app::App;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::stats::{Bots, ByValue, Dimension, Step, os_family};
use crate::usage;

/// What came of a link in a range.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Analytics {
    #[schema(example = "link_abc123")]
    link_id: String,
    period: Period,
    metrics: Metrics,
}

/// Its first and last second, UTC.
#[derive(Debug, Serialize, ToSchema)]
struct Period {
    #[schema(format = DateTime, example = "2026-01-01T00:00:00Z")]
    from: String,
    #[schema(format = DateTime, example = "2026-01-31T23:59:59Z")]
    to: String,
}

/// Visits, those of bots left out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    clicks: u64,
    unique_clicks: u64,
    platforms: Platforms,
}

/// Together as many as clicks.
#[derive(Debug, PartialEq, Eq, Default, Serialize, ToSchema)]
struct Platforms {
    /// iPhones and iPads.
    ios: u64,
    android: u64,
    /// Everything else.
    web: u64,
}

impl Platforms {
    fn new(clicks: u64, systems: &ByValue) -> Self {
        let of = |wanted: &str| {
            let known = systems.iter().filter(|(os, _)| os_family(os) == wanted);
            known.map(|(_, clicks)| clicks).sum()
        };
        let (ios, android) = (of("iOS"), of("Android"));
        Self {
            ios,
            android,
            web: clicks.saturating_sub(ios + android),
        }
    }
}

/// What came of a link, of all time when no dates are given.
#[utoipa::path(get, path = "/v1/analytics/{id}", tag = "Analytics", params(
    ("id" = String, Path, example = "link_abc123"),
    ("from" = Option<String>, Query, description = "first day or instant; the link's creation when absent"),
    ("to" = Option<String>, Query, description = "last day or instant, inclusive; now when absent"),
), responses((status = 200, body = Analytics), (status = 400), (status = 503)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    ids: Ids,
    query: Query,
) -> Reply<Analytics> {
    let range = range::read(&query, TimeZone::UTC)?;
    let link = links::get(&app, &caller, ids.text("id")).await?;
    usage::check_statistics(&app, link.workspace_id).await?;
    let (workspace, number) = (link.workspace_id.cast_unsigned(), link.id.cast_unsigned());
    let stats = app
        .stats
        .link(workspace, number, &range, Bots::Exclude, Step::Day)
        .await
        .map_err(ApiError::from)?;
    let clicks = stats.totals.clicks;
    Ok(Json(Analytics {
        link_id: What::Link.id(link.id),
        period: Period {
            from: time(range.from_ms.unwrap_or(link.created_at)),
            to: time(range.to_ms.map_or(app.clock.now_ms(), |to| to - 1)),
        },
        metrics: Metrics {
            clicks,
            unique_clicks: stats.totals.unique_clicks,
            platforms: Platforms::new(clicks, &stats.by[Dimension::Os]),
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_add_up_to_clicks() {
        let systems = [
            ("iOS 17.4", 3),
            ("iOS", 1),
            ("Android 14", 2),
            ("Windows 10", 5),
            ("", 4),
        ];
        let systems: ByValue = systems.map(|(os, n)| (os.to_owned(), n)).into();
        let platforms = Platforms::new(15, &systems);
        assert_eq!(
            platforms,
            Platforms {
                ios: 4,
                android: 2,
                web: 9
            }
        );
    }
}
