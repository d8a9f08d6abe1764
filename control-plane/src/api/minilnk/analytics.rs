//! `/links/{id}/analytics`: all time, bots left out, in two questions at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::{links, some, time};
use crate::api::reply::Reply;
use crate::api::request::Id;
use crate::app::App;
use crate::domain::country;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::stats::{Bots, ByValue, Dimension, Event, OTHERS, Range, Step, os_family};
use crate::usage;

/// Visits shown one by one.
const RECENT: usize = 50;

/// What came of a link.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Analytics {
    link: Subject,
    summary: Summary,
    breakdown: Breakdown,
    /// The last 50 visits, newest first.
    recent: Vec<Visit>,
}

/// The link.
#[derive(Debug, Serialize, ToSchema)]
struct Subject {
    id: i64,
    title: Option<String>,
    short_code: String,
    short_url: String,
    original_url: String,
    total_clicks: u64,
    unique_clicks: u64,
}

/// Of all time.
#[derive(Debug, Serialize, ToSchema)]
struct Summary {
    total_clicks: u64,
    unique_clicks: u64,
}

/// Each list adds up to the total.
#[derive(Debug, Serialize, ToSchema)]
struct Breakdown {
    clicks_over_time: Vec<Day>,
    devices: Vec<Device>,
    countries: Vec<Country>,
    browsers: Vec<Browser>,
    os: Vec<System>,
}

/// A day (UTC) that has clicks.
#[derive(Debug, Serialize, ToSchema)]
struct Day {
    #[schema(format = Date, example = "2026-05-24")]
    date: String,
    count: u64,
}

/// A kind of device.
#[derive(Debug, Serialize, ToSchema)]
struct Device {
    device_type: DeviceType,
    count: u64,
}

/// What a visitor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DeviceType {
    /// A computer.
    Desktop,
    /// A phone.
    Mobile,
    /// A tablet.
    Tablet,
    /// A television, a console, or not told.
    Other,
}

/// `Unknown` without a code.
#[derive(Debug, Serialize, ToSchema)]
struct Country {
    #[schema(example = "Germany")]
    country: String,
    #[schema(example = "DE")]
    country_code: Option<String>,
    count: u64,
}

/// A browser with its share of all clicks, in per cent with one decimal: together 100.
#[derive(Debug, Serialize, ToSchema)]
struct Browser {
    #[schema(example = "Firefox")]
    browser: String,
    count: u64,
    percentage: f64,
}

/// An operating system without its version, likewise.
#[derive(Debug, Serialize, ToSchema)]
struct System {
    #[schema(example = "Android")]
    os: String,
    count: u64,
    percentage: f64,
}

/// One visit.
#[derive(Debug, Serialize, ToSchema)]
struct Visit {
    #[schema(format = DateTime, example = "2026-05-24T22:05:00.000000Z")]
    clicked_at: String,
    country: String,
    country_code: Option<String>,
    device_type: DeviceType,
    browser: String,
    os: String,
    referrer: Option<String>,
}

/// What came of a link, of all time, visits of bots left out.
#[utoipa::path(get, path = "/api/v1/links/{id}/analytics", tag = "Analytics", params(("id" = i64, Path)), responses((status = 200, body = Analytics), (status = 503)))]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<Analytics> {
    let link = links::get(&app, &caller, &id).await?;
    usage::check_statistics(&app, link.workspace_id).await?;
    let (workspace, number) = (link.workspace_id.cast_unsigned(), link.id.cast_unsigned());
    let all_time = Range {
        from_ms: None,
        to_ms: None,
        tz: TimeZone::UTC,
    };
    let (stats, recent) = tokio::try_join!(
        app.stats
            .link(workspace, number, &all_time, Bots::Exclude, Step::Day),
        app.stats.recent(workspace, number, Bots::Exclude, RECENT),
    )
    .map_err(ApiError::from)?;
    let (total_clicks, unique_clicks) = (stats.totals.clicks, stats.totals.unique_clicks);
    let day = |bucket: crate::stats::Bucket| Day {
        date: bucket.start,
        count: bucket.totals.clicks,
    };
    let by = &stats.by;
    let devices = ranked(&by[Dimension::Device], device);
    let countries = ranked(&by[Dimension::Country], str::to_owned);
    let browsers = ranked(&by[Dimension::Browser], unknown);
    let systems = ranked(&by[Dimension::Os], |os| unknown(os_family(os)));
    let breakdown = Breakdown {
        clicks_over_time: stats.series.into_iter().map(day).collect(),
        devices: devices
            .into_iter()
            .map(|(device_type, count)| Device { device_type, count })
            .collect(),
        countries: countries
            .into_iter()
            .map(|(code, count)| Country {
                country: country::name(&code).to_owned(),
                country_code: some(&code).filter(|code| code != OTHERS),
                count,
            })
            .collect(),
        browsers: shares(browsers)
            .map(|(browser, count, percentage)| Browser {
                browser,
                count,
                percentage,
            })
            .collect(),
        os: shares(systems)
            .map(|(os, count, percentage)| System {
                os,
                count,
                percentage,
            })
            .collect(),
    };
    Ok(Json(Analytics {
        link: Subject {
            id: link.id,
            title: some(&link.content.title),
            short_code: link.slug.to_string(),
            short_url: link.short_url(),
            original_url: link.content.destination,
            total_clicks,
            unique_clicks,
        },
        summary: Summary {
            total_clicks,
            unique_clicks,
        },
        breakdown,
        recent: recent.into_iter().map(visit).collect(),
    }))
}

fn visit(event: Event) -> Visit {
    Visit {
        clicked_at: time(event.time_ms),
        country: country::name(&event.country).to_owned(),
        country_code: some(&event.country),
        device_type: device(&event.device),
        browser: unknown(&event.browser),
        os: unknown(os_family(&event.os)),
        referrer: some(&event.referrer),
    }
}

fn device(value: &str) -> DeviceType {
    match value {
        "desktop" => DeviceType::Desktop,
        "mobile" => DeviceType::Mobile,
        "tablet" => DeviceType::Tablet,
        _ => DeviceType::Other,
    }
}

fn unknown(value: &str) -> String {
    if value.is_empty() { "Unknown" } else { value }.to_owned()
}

/// Clicks by label, most frequent first, then by label; values of one label are added up.
fn ranked<T: Ord>(values: &ByValue, label: impl Fn(&str) -> T) -> Vec<(T, u64)> {
    let mut by_label = BTreeMap::new();
    for (value, clicks) in values {
        *by_label.entry(label(value)).or_default() += clicks;
    }
    let mut list: Vec<(T, u64)> = by_label.into_iter().collect();
    list.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
    list
}

/// With shares in per cent that have one decimal and add up to 100: what rounding down leaves goes to the largest rests.
fn shares(list: Vec<(String, u64)>) -> impl Iterator<Item = (String, u64, f64)> {
    const TENTHS: u64 = 1000;
    let total: u64 = list.iter().map(|(_, count)| count).sum();
    let parts = |count: u64| {
        let (count, total) = (
            u128::from(count) * u128::from(TENTHS),
            u128::from(total.max(1)),
        );
        (count / total, count % total)
    };
    let tenths = list.iter().map(|(_, count)| parts(*count).0);
    let mut tenths: Vec<u64> = tenths.map(|n| u64::try_from(n).unwrap_or(0)).collect();
    let mut order: Vec<usize> = (0..list.len()).collect();
    order.sort_by_key(|at| {
        list.get(*at)
            .map(|(_, count)| std::cmp::Reverse(parts(*count).1))
    });
    let left = TENTHS.saturating_sub(tenths.iter().sum());
    let left = usize::try_from(left).unwrap_or(0);
    for at in order.into_iter().take(left) {
        if let Some(share) = tenths.get_mut(at) {
            *share += 1;
        }
    }
    let with = |((name, count), tenths): ((String, u64), u64)| (name, count, tenths as f64 / 10.0);
    list.into_iter().zip(tenths).map(with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_one_decimal_and_add_up() {
        for counts in [vec![1, 1, 1], vec![5], vec![7, 2, 2, 1, 1], vec![1000, 1]] {
            let list = counts.iter().map(|n| (n.to_string(), *n)).collect();
            let shares: Vec<f64> = shares(list).map(|(_, _, share)| share).collect();
            assert!(
                (shares.iter().sum::<f64>() - 100.0).abs() < 1e-9,
                "{shares:?}"
            );
            assert!(shares.iter().all(|s| (s * 10.0).fract().abs() < 1e-9));
        }
        assert_eq!(shares(Vec::new()).count(), 0);
        let thirds = ["a", "b", "c"].map(|name| (name.to_owned(), 1));
        let thirds: Vec<f64> = shares(thirds.into()).map(|(_, _, share)| share).collect();
        assert_eq!(thirds, [33.4, 33.3, 33.3]);
    }
}
