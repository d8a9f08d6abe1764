//! `GET /url/:id/stats`: counts by day or hour with every breakdown, or the visits themselves.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::export::{CSV, NDJSON};
use super::labels::{Labels, label};
use super::reply::Failure;
use crate::api::range;
use crate::api::request::{Id, Query};
use crate::app::App;
use crate::domain::date;
use crate::domain::field::FieldError;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::stats::{Bots, Dimension, Event, LinkStats, Range, Step, csv_head, csv_line};
use crate::store::links;
use crate::usage;

/// Largest page of events.
const MAX_EVENTS: i64 = 1000;

/// Events a page when none are asked for.
const DEFAULT_EVENTS: i64 = 100;

/// Longest name of a time zone.
const MAX_ZONE: usize = 64;

/// `GET /url/:id/stats`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsReply {
    #[schema(example = 0)]
    error: u8,
    data: Counts,
}

/// Counts of a range.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Counts {
    total_clicks: u64,
    unique_clicks: u64,
    /// One entry a day that has clicks; with `granularity=day`.
    #[serde(skip_serializing_if = "Option::is_none")]
    daily: Option<Vec<Bucket>>,
    /// One entry an hour that has clicks; with `granularity=hour`.
    #[serde(skip_serializing_if = "Option::is_none")]
    hourly: Option<Vec<Bucket>>,
    /// By name of the country, `Unknown` without one.
    #[schema(value_type = BTreeMap<String, u64>)]
    by_country: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_region: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_city: Labels<u64>,
    /// desktop, mobile, tablet, bot, other.
    #[schema(value_type = BTreeMap<String, u64>)]
    by_device: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_os: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_browser: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_language: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_referrer: Labels<u64>,
    /// Clicks without the parameter are left out here and below.
    #[schema(value_type = BTreeMap<String, u64>)]
    by_utm_source: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_utm_medium: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_utm_campaign: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_utm_term: Labels<u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    by_utm_content: Labels<u64>,
}

/// A day (`YYYY-MM-DD`) or hour (`YYYY-MM-DD HH:00:00`) of the time zone asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Bucket {
    date: String,
    clicks: u64,
    unique_clicks: u64,
}

/// `granularity=event`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventsReply {
    #[schema(example = 0)]
    error: u8,
    data: Events,
}

/// A page of visits, and the counts of the whole range beside it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Events {
    total_clicks: u64,
    unique_clicks: u64,
    events: Vec<Visit>,
    /// Send it as `cursor` for the next page; `null` on the last.
    next_cursor: Option<String>,
}

/// One visit.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Visit {
    id: String,
    /// ISO 8601, UTC, milliseconds.
    timestamp: String,
    /// ISO 3166 code, or empty.
    country: String,
    region: String,
    city: String,
    device: String,
    os: String,
    browser: String,
    language: String,
    referrer: String,
    utm_source: String,
    utm_medium: String,
    utm_campaign: String,
    utm_term: String,
    utm_content: String,
    is_unique: bool,
    is_bot: bool,
    is_scan: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Granularity {
    Day,
    Hour,
    Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Ndjson,
    Csv,
}

/// What every call for statistics takes, for the OpenAPI document; [`question`] reads it.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query in the OpenAPI document")]
pub(super) struct StatsParams {
    /// first day, inclusive; open when absent
    from: Option<String>,
    /// last day, inclusive; open when absent
    to: Option<String>,
    /// day (default), hour or event
    granularity: Option<String>,
    /// time zone of days and hours, UTC when absent
    tz: Option<String>,
    /// exclude (default), include or only
    bots: Option<String>,
    /// next_cursor of the page before (event)
    cursor: Option<String>,
    /// events a page, 1 to 1000, 100 when absent; none for a stream (event)
    limit: Option<i64>,
    /// json (default), ndjson or csv; the latter two stream all events
    format: Option<String>,
}

/// What a call asks.
#[derive(Debug)]
pub(super) struct Question {
    range: Range,
    granularity: Granularity,
    bots: Bots,
    format: Format,
    cursor: Option<String>,
    limit: i64,
}

/// Statistics of a link.
#[utoipa::path(get, path = "/api/url/{id}/stats", tag = "Links", params(("id" = i64, Path), StatsParams), responses((status = 200, body = StatsReply), (status = 503, body = super::reply::ErrorReply)))]
pub(super) async fn stats(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    query: Query,
) -> Result<Response, Failure> {
    let id = id.of("link")?;
    let workspace = caller.workspace();
    let question = question(&query)?;
    links::get(&app.store, workspace, id)
        .await?
        .ok_or_else(|| ApiError::not_found("link", id))?;
    answer(&app, (workspace, id), &question).await
}

/// The answer about the link or QR code whose clicks are counted under `link`. Whether it is there is not asked here.
pub(super) async fn answer(
    app: &App,
    (workspace, link): (i64, i64),
    question: &Question,
) -> Result<Response, Failure> {
    usage::check_statistics(app, workspace).await?;
    let place = (workspace.cast_unsigned(), link.cast_unsigned());
    match (question.granularity, question.format) {
        (Granularity::Event, Format::Json) => events(app, place, question).await,
        (Granularity::Event, _) => streamed(app, place, question).await,
        (Granularity::Day, _) => counts(app, place, question, Step::Day).await,
        (Granularity::Hour, _) => counts(app, place, question, Step::Hour).await,
    }
}

async fn counts(
    app: &App,
    (workspace, link): (u64, u64),
    question: &Question,
    step: Step,
) -> Result<Response, Failure> {
    let stats = app
        .stats
        .link(workspace, link, &question.range, question.bots, step)
        .await?;
    let LinkStats { totals, series, by } = stats;
    let series: Vec<Bucket> = series
        .into_iter()
        .map(|bucket| Bucket {
            date: bucket.start,
            clicks: bucket.totals.clicks,
            unique_clicks: bucket.totals.unique_clicks,
        })
        .collect();
    let (daily, hourly) = match step {
        Step::Day => (Some(series), None),
        Step::Hour => (None, Some(series)),
    };
    let data = Counts {
        total_clicks: totals.clicks,
        unique_clicks: totals.unique_clicks,
        daily,
        hourly,
        by_country: Labels::new(&by[Dimension::Country], label::country),
        by_region: Labels::new(&by[Dimension::Region], label::unknown),
        by_city: Labels::new(&by[Dimension::City], label::unknown),
        by_device: Labels::new(&by[Dimension::Device], label::device),
        by_os: Labels::new(&by[Dimension::Os], label::unknown),
        by_browser: Labels::new(&by[Dimension::Browser], label::unknown),
        by_language: Labels::new(&by[Dimension::Language], label::unknown),
        by_referrer: Labels::new(&by[Dimension::Referrer], label::referrer),
        by_utm_source: Labels::of_known(&by[Dimension::UtmSource]),
        by_utm_medium: Labels::of_known(&by[Dimension::UtmMedium]),
        by_utm_campaign: Labels::of_known(&by[Dimension::UtmCampaign]),
        by_utm_term: Labels::of_known(&by[Dimension::UtmTerm]),
        by_utm_content: Labels::of_known(&by[Dimension::UtmContent]),
    };
    Ok(Json(StatsReply { error: 0, data }).into_response())
}

async fn events(
    app: &App,
    (workspace, link): (u64, u64),
    question: &Question,
) -> Result<Response, Failure> {
    let Question {
        range,
        bots,
        cursor,
        ..
    } = question;
    let limit = usize::try_from(question.limit).unwrap_or(1);
    let page = app
        .stats
        .events(workspace, link, range, *bots, cursor.as_deref(), limit)
        .await?;
    let totals = app.stats.totals_in(workspace, link, range, *bots).await?;
    let data = Events {
        total_clicks: totals.clicks,
        unique_clicks: totals.unique_clicks,
        events: page.events.into_iter().map(Visit::from).collect(),
        next_cursor: page.next_cursor,
    };
    Ok(Json(EventsReply { error: 0, data }).into_response())
}

/// All events of the range as they come. What is wrong before the first is still an error; later on the answer breaks
/// off, which a client sees by its missing end.
async fn streamed(
    app: &App,
    (workspace, link): (u64, u64),
    question: &Question,
) -> Result<Response, Failure> {
    let Question { range, bots, .. } = question;
    let export = app.stats.export(workspace, link, range, *bots).await?;
    Ok(match question.format {
        Format::Csv => {
            let pieces = export.into_pieces(csv_head(), csv_line);
            ([(CONTENT_TYPE, CSV)], Body::from_stream(pieces)).into_response()
        }
        Format::Json | Format::Ndjson => {
            let pieces = export.into_pieces("", ndjson_line);
            ([(CONTENT_TYPE, NDJSON)], Body::from_stream(pieces)).into_response()
        }
    })
}

fn ndjson_line(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(
        serde_json::json!(Visit::from(event.clone()))
            .to_string()
            .as_bytes(),
    );
    out.push(b'\n');
}

/// Reads the query of a call.
///
/// # Errors
/// The first parameter that breaks a rule.
pub(super) fn question(query: &Query) -> Result<Question, FieldError> {
    let granularity = query.word(
        "granularity",
        &[
            ("day", Granularity::Day),
            ("hour", Granularity::Hour),
            ("event", Granularity::Event),
        ],
        Granularity::Day,
    )?;
    let format = query.word(
        "format",
        &[
            ("json", Format::Json),
            ("ndjson", Format::Ndjson),
            ("csv", Format::Csv),
        ],
        Format::Json,
    )?;
    if format != Format::Json && granularity != Granularity::Event {
        return Err(FieldError::new(
            "format",
            "must be json unless granularity is event",
        ));
    }
    let bots = query.word(
        "bots",
        &[
            ("exclude", Bots::Exclude),
            ("include", Bots::Include),
            ("only", Bots::Only),
        ],
        Bots::Exclude,
    )?;
    // A stream is whole: it has neither a page to begin after nor an end before the last event.
    for name in ["cursor", "limit"] {
        if format != Format::Json && query.text(name).is_some() {
            return Err(FieldError::new(
                name,
                "must be absent unless format is json",
            ));
        }
    }
    Ok(Question {
        range: asked_range(query)?,
        granularity,
        bots,
        format,
        cursor: query.text("cursor").map(str::to_owned),
        limit: query.number("limit", DEFAULT_EVENTS, (1, MAX_EVENTS))?,
    })
}

fn asked_range(query: &Query) -> Result<Range, FieldError> {
    let tz = match query.text("tz") {
        None => TimeZone::UTC,
        Some(name) if name.len() > MAX_ZONE => return Err(no_zone()),
        Some(name) => TimeZone::get(name).map_err(|_| no_zone())?,
    };
    range::read(query, tz)
}

fn no_zone() -> FieldError {
    FieldError::new("tz", "must be a time zone's name, e.g. Europe/Berlin")
}

impl From<Event> for Visit {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            timestamp: date::format_iso(event.time_ms),
            country: event.country,
            region: event.region,
            city: event.city,
            device: event.device,
            os: event.os,
            browser: event.browser,
            language: event.language,
            referrer: event.referrer,
            utm_source: event.utm_source,
            utm_medium: event.utm_medium,
            utm_campaign: event.utm_campaign,
            utm_term: event.utm_term,
            utm_content: event.utm_content,
            is_unique: event.is_unique,
            is_bot: event.is_bot,
            is_scan: event.is_scan,
        }
    }
}
