//! `GET /url/:id`: one link with its most frequent values.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use self::details::Details;
use super::labels::{Labels, label};
use super::links::UNAVAILABLE;
use super::reply::Reply;
use crate::api::request::Id;
use crate::app::App;
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::metrics;
use crate::middleware::Caller;
use crate::stats::{Bots, ByValue, Dimension, LinkStats, Range, StatsError, Step};
use crate::store::links::{self, Link};

mod details;

/// Values listed in each `top…`.
const TOP: usize = 10;

/// Hosts of the networks counted in `socialCount`, and everything below them.
const FACEBOOK: [&str; 3] = ["facebook.com", "fb.com", "fb.me"];
const TWITTER: [&str; 3] = ["twitter.com", "x.com", "t.co"];
const INSTAGRAM: [&str; 1] = ["instagram.com"];

/// `GET /url/:id`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UrlReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    details: Details,
    data: Data,
    /// `unavailable` when clicks are 0 because they could not be had; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'static str>,
}

/// What came of it: bots excluded, all time.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data {
    clicks: u64,
    unique_clicks: u64,
    /// The ten most frequent, with counts as texts.
    #[schema(value_type = BTreeMap<String, String>)]
    top_countries: Labels<String>,
    #[schema(value_type = BTreeMap<String, String>)]
    top_referrers: Labels<String>,
    #[schema(value_type = BTreeMap<String, String>)]
    top_browsers: Labels<String>,
    #[schema(value_type = BTreeMap<String, String>)]
    top_os: Labels<String>,
    social_count: SocialCount,
}

impl Data {
    /// Visits.
    pub(super) fn clicks(&self) -> u64 {
        self.clicks
    }
}

/// Visits that came from these networks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SocialCount {
    facebook: u64,
    twitter: u64,
    instagram: u64,
}

/// One link.
#[utoipa::path(get, path = "/api/url/{id}", tag = "Links", params(("id" = i64, Path)), responses((status = 200, body = UrlReply)))]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<UrlReply> {
    caller.need(Scope::Read)?;
    let id = id.of("link")?;
    let link = links::get(&app.store, caller.workspace(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("link", id))?;
    Ok(reply(&app, link).await?)
}

/// The answer about `link`.
pub(super) async fn reply(app: &App, link: Link) -> Result<Json<UrlReply>, ApiError> {
    let (data, missing) = data(app, link.workspace_id, link.id).await?;
    Ok(Json(UrlReply {
        error: 0,
        id: link.id,
        data,
        details: Details::of(app, link).await?,
        stats: missing,
    }))
}

/// What came of the link or QR code whose clicks are counted under `link`; beside it the word for counts that could not be
/// had.
pub(super) async fn data(
    app: &App,
    workspace: i64,
    link: i64,
) -> Result<(Data, Option<&'static str>), ApiError> {
    let always = Range {
        from_ms: None,
        to_ms: None,
        tz: TimeZone::UTC,
    };
    let (workspace, link) = (workspace.cast_unsigned(), link.cast_unsigned());
    let (stats, missing) = match app
        .stats
        .link(workspace, link, &always, Bots::Exclude, Step::Day)
        .await
    {
        Ok(stats) => (stats, None),
        Err(StatsError::Unavailable(why)) => {
            tracing::warn!(why, "a link is shown without its clicks");
            metrics::counts_missing();
            (LinkStats::default(), Some(UNAVAILABLE))
        }
        Err(error) => return Err(error.into()),
    };
    let top = |values: &ByValue, word: fn(&str) -> &str| Labels::new(values, word).top(TOP);
    let data = Data {
        clicks: stats.totals.clicks,
        unique_clicks: stats.totals.unique_clicks,
        top_countries: top(&stats.by[Dimension::Country], label::country),
        top_referrers: top(&stats.by[Dimension::Referrer], label::referrer),
        top_browsers: top(&stats.by[Dimension::Browser], label::unknown),
        top_os: top(&stats.by[Dimension::Os], label::unknown),
        social_count: SocialCount {
            facebook: from_any(&stats.by[Dimension::Referrer], &FACEBOOK),
            twitter: from_any(&stats.by[Dimension::Referrer], &TWITTER),
            instagram: from_any(&stats.by[Dimension::Referrer], &INSTAGRAM),
        },
    };
    Ok((data, missing))
}

fn from_any(referrers: &ByValue, hosts: &[&str]) -> u64 {
    let of = |host: &str| {
        hosts.iter().any(|h| {
            host.strip_suffix(h)
                .is_some_and(|below| below.is_empty() || below.ends_with('.'))
        })
    };
    referrers
        .iter()
        .filter(|(host, _)| of(host))
        .map(|(_, clicks)| clicks)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_its_domain_and_what_is_below_it() {
        let referrers: ByValue = [
            ("facebook.com", 1),
            ("l.facebook.com", 2),
            ("notfacebook.com", 4),
            ("t.co", 8),
            ("att.co", 16),
        ]
        .map(|(host, clicks)| (host.to_owned(), clicks))
        .into();
        assert_eq!(from_any(&referrers, &FACEBOOK), 3);
        assert_eq!(from_any(&referrers, &TWITTER), 8);
    }
}
