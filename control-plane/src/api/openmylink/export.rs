//! `GET /urls/export`: every link of the workspace, streamed, newest first.
//!
//! It reads page after page by id and holds no connection to the database in between, so a slow client costs nothing. A
//! link made or deleted meanwhile may or may not be in it. Fails the database on the way, the answer breaks off, which a
//! client sees by its missing end.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::links::totals;
use super::reply::Failure;
use crate::api::request::Query;
use crate::app::App;
use crate::domain::date;
use crate::domain::destination::UTM;
use crate::domain::key::Scope;
use crate::domain::link::Extras;
use crate::domain::page::Surface;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::stats::Totals;
use crate::store::links::{self, Link};

/// Links read at a time.
const PAGE: i64 = 500;

/// Content types of streams.
pub(super) const CSV: &str = "text/csv; charset=utf-8";
/// See [`CSV`].
pub(super) const NDJSON: &str = "application/x-ndjson";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Ndjson,
    Json,
}

/// A link in an export: everything needed to make it again, and its counts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExportedLink {
    id: i64,
    alias: String,
    shorturl: String,
    longurl: String,
    title: String,
    description: String,
    /// Status of the redirect.
    redirect: u16,
    private: bool,
    disabled: bool,
    starts_at: Option<String>,
    expires_at: Option<String>,
    expired_url: String,
    utm_source: String,
    utm_medium: String,
    utm_campaign: String,
    utm_term: String,
    utm_content: String,
    /// A JSON list of `{name,value}`.
    parameters: serde_json::Value,
    /// A JSON object of what else was set, under the names of `/url/add`; never a password.
    #[schema(value_type = Object)]
    settings: serde_json::Value,
    /// `null` when counts could not be had.
    clicks: Option<u64>,
    /// `null` when counts could not be had.
    uniqueclicks: Option<u64>,
    /// Brought in from elsewhere, not in `clicks`.
    imported_clicks: i64,
    date: String,
}

/// `GET /urls/export?format=json`
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "describes the answer in the OpenAPI document; it is written link by link"
)]
pub(super) struct ExportReply {
    /// 0
    error: u8,
    data: ExportedLinks,
}

/// All links, oldest first.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "part of ExportReply")]
pub(super) struct ExportedLinks {
    urls: Vec<ExportedLink>,
}

/// Exports all links as CSV (default), NDJSON or JSON.
#[utoipa::path(get, path = "/api/urls/export", tag = "Links", params(("format" = Option<String>, Query, description = "csv (default), ndjson or json")), responses((status = 200, content((ExportReply = "application/json"), (String = "text/csv"), (String = "application/x-ndjson")), description = "csv: a header line and a line a link; ndjson: an object a line; json: {error, data:{urls:[…]}}")))]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Result<Response, Failure> {
    caller.need(Scope::Read)?;
    let format = query.word(
        "format",
        &[
            ("csv", Format::Csv),
            ("ndjson", Format::Ndjson),
            ("json", Format::Json),
        ],
        Format::Csv,
    )?;
    let workspace = caller.workspace();
    let (kind, name) = match format {
        Format::Csv => (CSV, "attachment; filename=\"links.csv\""),
        Format::Ndjson => (NDJSON, "attachment; filename=\"links.ndjson\""),
        Format::Json => ("application/json", "inline"),
    };
    let state = Some((app, i64::MAX, true));
    let text = stream::try_unfold(state, move |state| async move {
        let Some((app, before, first)) = state else {
            return Ok::<_, ApiError>(None);
        };
        let page = links::page_before(&app.store, workspace, before, PAGE).await?;
        let ids: Vec<i64> = page.iter().map(|link| link.id).collect();
        let totals = totals(&app, workspace, &ids).await?;
        let last = page.last().map(|link| link.id);
        let full = page.len() == usize::try_from(PAGE).unwrap_or(0);
        let text = chunk(format, page, totals.as_ref(), first, !full);
        let next = last.filter(|_| full).map(|last| (app, last, false));
        Ok(Some((Bytes::from(text), next)))
    });
    let headers = [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(text)).into_response())
}

fn chunk(
    format: Format,
    page: Vec<Link>,
    totals: Option<&HashMap<u64, Totals>>,
    is_first: bool,
    is_last: bool,
) -> String {
    let mut text = String::new();
    match format {
        Format::Csv if is_first => text.push_str(&csv_line(&COLUMNS.map(str::to_owned))),
        Format::Json if is_first => text.push_str("{\"error\":0,\"data\":{\"urls\":["),
        _ => {}
    }
    for (place, link) in page.into_iter().enumerate() {
        let link = exported(link, totals);
        match format {
            Format::Csv => text.push_str(&csv_line(&link.columns())),
            Format::Ndjson => {
                text.push_str(&serde_json::json!(link).to_string());
                text.push('\n');
            }
            Format::Json => {
                if !is_first || place > 0 {
                    text.push(',');
                }
                text.push_str(&serde_json::json!(link).to_string());
            }
        }
    }
    if is_last && format == Format::Json {
        text.push_str("]}}");
    }
    text
}

fn exported(link: Link, totals: Option<&HashMap<u64, Totals>>) -> ExportedLink {
    let totals = totals.map(|all| {
        all.get(&link.id.cast_unsigned())
            .copied()
            .unwrap_or_default()
    });
    let shorturl = link.short_url();
    let content = link.content;
    let parameters = content
        .parameters
        .iter()
        .map(|(name, value)| serde_json::json!({"name": name, "value": value}));
    let [utm_source, utm_medium, utm_campaign, utm_term, utm_content] = content.utm;
    ExportedLink {
        id: link.id,
        alias: link.slug.to_string(),
        shorturl,
        longurl: content.destination,
        title: content.title,
        description: content.description,
        redirect: content.status.code(),
        private: content.is_private,
        disabled: content.is_disabled,
        starts_at: content.starts_at.map(date::format),
        expires_at: content.expires_at.map(date::format),
        expired_url: content.expired_url,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
        parameters: parameters.collect(),
        settings: settings(&content.extras),
        clicks: totals.map(|t| t.clicks),
        uniqueclicks: totals.map(|t| t.unique_clicks),
        imported_clicks: link.imported_clicks,
        date: date::format(link.created_at),
    }
}

/// What was set beyond a redirect.
fn settings(extras: &Extras) -> serde_json::Value {
    let pairs = |key: &str, list: &[(String, String)]| {
        let pair = |(name, link): &(String, String)| json!({key: name, "link": link});
        list.iter().map(pair).collect::<Vec<_>>()
    };
    let spec = extras.wanted_page();
    let kind = Some(spec.surface()).filter(|s| *s != Surface::Direct);
    let deeplink =
        json!({"auto": extras.app_auto, "apple": extras.app_apple, "google": extras.app_google});
    let has_app = extras.app_auto || !extras.app_apple.is_empty() || !extras.app_google.is_empty();
    let all = json!({
        "type": kind.map(Surface::to_text),
        "pixels": spec.pixels(),
        "expired_text": extras.expired_text,
        "max_clicks": extras.max_clicks,
        "max_clicks_url": extras.max_clicks_url,
        "max_clicks_text": extras.max_clicks_text,
        "geotarget": pairs("location", &extras.countries),
        "devicetarget": pairs("device", &extras.devices),
        "languagetarget": pairs("language", &extras.languages),
        "rules": extras.rules,
        "variants": extras.variants,
        "variants_end": extras.variants_end.map(date::format),
        "variants_winner": Some(extras.winner).filter(|w| *w > 0),
        "query_passthrough": Some(true).filter(|_| extras.pass_query),
        "metatitle": extras.meta_title,
        "metadescription": extras.meta_description,
        "metaimage": extras.meta_image,
        "deeplink": Some(deeplink).filter(|_| has_app),
    });
    let Value::Object(mut all) = all else {
        return Value::Null;
    };
    all.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    });
    Value::Object(all)
}

const COLUMNS: [&str; 23] = [
    "id",
    "alias",
    "shorturl",
    "longurl",
    "title",
    "description",
    "redirect",
    "private",
    "disabled",
    "starts_at",
    "expires_at",
    "expired_url",
    UTM[0],
    UTM[1],
    UTM[2],
    UTM[3],
    UTM[4],
    "parameters",
    "settings",
    "clicks",
    "uniqueclicks",
    "imported_clicks",
    "date",
];

impl ExportedLink {
    fn columns(&self) -> [String; 23] {
        let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        [
            self.id.to_string(),
            self.alias.clone(),
            self.shorturl.clone(),
            self.longurl.clone(),
            self.title.clone(),
            self.description.clone(),
            self.redirect.to_string(),
            self.private.to_string(),
            self.disabled.to_string(),
            self.starts_at.clone().unwrap_or_default(),
            self.expires_at.clone().unwrap_or_default(),
            self.expired_url.clone(),
            self.utm_source.clone(),
            self.utm_medium.clone(),
            self.utm_campaign.clone(),
            self.utm_term.clone(),
            self.utm_content.clone(),
            self.parameters.to_string(),
            self.settings.to_string(),
            number(self.clicks),
            number(self.uniqueclicks),
            self.imported_clicks.to_string(),
            self.date.clone(),
        ]
    }
}

/// A line of CSV (RFC 4180); texts with a comma, a quote or a line break are quoted.
fn csv_line(fields: &[String]) -> String {
    let mut line = String::new();
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            line.push('"');
            line.push_str(&field.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(field);
        }
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_would_break_it() {
        let fields = ["a", "b,c", "d\"e", "f\ng", ""].map(str::to_owned);
        assert_eq!(csv_line(&fields), "a,\"b,c\",\"d\"\"e\",\"f\ng\",\r\n");
    }
}
