//! The part of the OpenMyLink API that the replay needs: many links at once, one link, its stats.
//!
//! Every call is a read or may be repeated (a link that is there already is looked up by its short URL), so a call that was not answered is
//! tried again until a deadline: the server may be restarting.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use crate::expected::{Bots, Found};
use crate::http_client::{Connection, Server};
use crate::labels;

/// Most links in one bulk call, as documented.
pub const MAX_BULK: usize = 1_000;
/// Between two tries of a call.
const RETRY_EVERY: Duration = Duration::from_millis(250);

/// A client of the API, one connection.
#[derive(Debug)]
pub struct Api {
    connection: Connection,
    authorization: HeaderValue,
    short_base: String,
    patience: Duration,
}

/// What `GET /api/url/:id` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Destination.
    pub long_url: String,
    /// Clicks of people.
    pub clicks: u64,
    /// Their unique visitors.
    pub unique_clicks: u64,
}

impl Api {
    /// A client with an API key. `short_base` is what short URLs begin with (`http://host:port`), `patience` how long an
    /// unanswered call is tried again.
    ///
    /// # Errors
    /// The key cannot stand in a header.
    pub fn new(
        server: Server,
        key: &str,
        short_base: &str,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))
            .context("the API key is no header value")?;
        authorization.set_sensitive(true);
        Ok(Self {
            connection: Connection::new(server),
            authorization,
            short_base: short_base.to_owned(),
            patience,
        })
    }

    /// Makes links (slug, destination) and returns their ids in the same order. One that exists already is taken as
    /// it is when it leads to the same destination.
    ///
    /// # Errors
    /// The API refused a link, or it cannot be reached.
    pub async fn make_links(&mut self, links: &[(String, String)]) -> anyhow::Result<Vec<u64>> {
        let mut ids = Vec::with_capacity(links.len());
        for chunk in links.chunks(MAX_BULK) {
            let urls: Vec<Value> = chunk
                .iter()
                .map(|(slug, url)| json!({"url": url, "custom": slug}))
                .collect();
            let answer = self
                .call(
                    Method::POST,
                    "/api/urls/bulk",
                    &json!({"urls": urls}).to_string(),
                )
                .await?;
            let results = answer
                .get("results")
                .and_then(Value::as_array)
                .context("the bulk call's answer has no 'results'")?;
            ensure!(
                results.len() == chunk.len(),
                "{} results for {} links",
                results.len(),
                chunk.len()
            );
            let results = results.clone();
            for ((slug, url), row) in chunk.iter().zip(&results) {
                ids.push(match row.get("error").and_then(Value::as_u64) {
                    Some(0) => {
                        let short = row
                            .get("shorturl")
                            .and_then(Value::as_str)
                            .unwrap_or_default();
                        ensure!(
                            short.ends_with(&format!("/{slug}")),
                            "link '{slug}' got the short URL '{short}'"
                        );
                        number(row.get("id")).with_context(|| format!("link '{slug}' got no id"))?
                    }
                    _ => {
                        let message = row
                            .get("message")
                            .and_then(Value::as_str)
                            .unwrap_or("no message")
                            .to_owned();
                        self.existing(slug, url)
                            .await
                            .with_context(|| format!("link '{slug}' was refused: {message}"))?
                    }
                });
            }
        }
        Ok(ids)
    }

    /// The id of a link that is there already, found by its short URL.
    async fn existing(&mut self, slug: &str, url: &str) -> anyhow::Result<u64> {
        // Nothing of a slug of ours, or of the base, needs escaping in a query.
        let path = format!("/api/urls?short={}/{slug}", self.short_base);
        let found = self.call(Method::GET, &path, "").await?;
        ensure!(
            found.pointer("/details/longurl").and_then(Value::as_str) == Some(url),
            "the link with that alias leads elsewhere"
        );
        number(found.get("id").or_else(|| found.pointer("/details/id")))
            .context("the link with that alias has no id")
    }

    /// What the API says of one link.
    ///
    /// # Errors
    /// The answer lacks a field, or the API cannot be reached.
    pub async fn details(&mut self, id: u64) -> anyhow::Result<Details> {
        let answer = self
            .call(Method::GET, &format!("/api/url/{id}"), "")
            .await?;
        let count = |name: &str| {
            number(answer.pointer(&format!("/data/{name}")))
                .with_context(|| format!("/api/url/{id} has no data.{name}"))
        };
        Ok(Details {
            long_url: answer
                .pointer("/details/longurl")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            clicks: count("clicks")?,
            unique_clicks: count("uniqueClicks")?,
        })
    }

    /// The stats of one link, over all time, per day.
    ///
    /// # Errors
    /// The answer lacks a field, or the API cannot be reached.
    pub async fn stats(&mut self, id: u64, bots: Bots) -> anyhow::Result<Found> {
        let path = format!("/api/url/{id}/stats?bots={}", bots.name());
        let answer = self.call(Method::GET, &path, "").await?;
        let data = answer
            .get("data")
            .with_context(|| format!("{path} has no data"))?;
        let count =
            |name: &str| number(data.get(name)).with_context(|| format!("{path} has no {name}"));
        let map = |name: &str, fold: fn(&str) -> &str| -> anyhow::Result<BTreeMap<String, u64>> {
            let mut out = BTreeMap::new();
            // PHP's way of an empty map is an empty list; take it as one.
            let Some(entries) = data.get(name) else {
                bail!("{path} has no {name}")
            };
            for (label, clicks) in entries.as_object().into_iter().flatten() {
                *out.entry(fold(label).to_owned()).or_default() += number(Some(clicks))
                    .with_context(|| format!("{path}: {name} of '{label}' is no number"))?;
            }
            Ok(out)
        };
        let clicks = count("total_clicks")?;
        let mut found = Found {
            clicks,
            uniques: Some(count("unique_clicks")?),
            referrers: map("by_referrer", labels::referrer)?,
            browsers: map("by_browser", labels::browser)?,
            systems: map("by_os", labels::os)?,
            devices: map("by_device", labels::device)?,
            days: Some(periods(data, &["daily"], DAY_CHARACTERS).with_context(|| path.clone())?),
            hours: None,
        };
        found.count_unnamed();
        Ok(found)
    }

    /// Clicks of one link per hour (`YYYY-MM-DD HH`, UTC), over all time.
    ///
    /// # Errors
    /// The answer lacks a field, or the API cannot be reached.
    pub async fn hours(&mut self, id: u64, bots: Bots) -> anyhow::Result<BTreeMap<String, u64>> {
        let path = format!("/api/url/{id}/stats?granularity=hour&bots={}", bots.name());
        let answer = self.call(Method::GET, &path, "").await?;
        let data = answer
            .get("data")
            .with_context(|| format!("{path} has no data"))?;
        periods(data, &["hourly", "daily"], HOUR_CHARACTERS).with_context(|| path.clone())
    }

    async fn call(&mut self, method: Method, path: &str, body: &str) -> anyhow::Result<Value> {
        let until = Instant::now() + self.patience;
        loop {
            match self.call_once(method.clone(), path, body).await {
                Ok(value) => return Ok(value),
                Err(error)
                    if error.downcast_ref::<Refused>().is_some() || Instant::now() >= until =>
                {
                    return Err(error.context(format!("{method} {path}")));
                }
                Err(_) => tokio::time::sleep(RETRY_EVERY).await,
            }
        }
    }

    async fn call_once(&mut self, method: Method, path: &str, body: &str) -> anyhow::Result<Value> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        if !body.is_empty() {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer = self.connection.send(method, path, headers, body).await?;
        let status = answer.status;
        let value: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let message = value
            .as_ref()
            .and_then(|v| v.get("message"))
            .and_then(Value::as_str);
        let message = message.unwrap_or("no message in JSON").to_owned();
        // Too fast, or something behind the API is not there for now.
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            bail!("status {status}: {message}");
        }
        match value {
            // The integer is authoritative; a string '0' would be a deviation that clients stumble over.
            Some(value) if value.get("error").and_then(Value::as_u64) == Some(0) => Ok(value),
            _ => Err(Refused(format!("status {status}: {message}")).into()),
        }
    }
}

/// The API answered, and said no.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

const DAY_CHARACTERS: usize = "2015-05-17".len();
const HOUR_CHARACTERS: usize = "2015-05-17 10".len();

/// `[{date, clicks}]` under the first of `names` that is there, as a map; periods without clicks are left out.
fn periods(
    data: &Value,
    names: &[&str],
    characters: usize,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let rows = names
        .iter()
        .find_map(|n| data.get(n))
        .and_then(Value::as_array)
        .with_context(|| format!("no list '{}'", names.join("' or '")))?;
    let mut out = BTreeMap::new();
    for row in rows {
        let date = row
            .get("date")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .replace('T', " ");
        let date = date
            .get(..characters)
            .with_context(|| format!("date '{date}' is too short"))?
            .to_owned();
        let clicks = number(row.get("clicks")).with_context(|| format!("no clicks on {date}"))?;
        if clicks > 0 {
            *out.entry(date).or_default() += clicks;
        }
    }
    Ok(out)
}

/// A count: a JSON number, or a string of digits as `top*` values are.
fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(n) => n.as_u64(),
        Value::String(s) => s.parse().ok(),
        _ => None,
    }
}
