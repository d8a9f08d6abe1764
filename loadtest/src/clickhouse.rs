//! The stored clicks, by SQL over ClickHouse's HTTP interface.
//!
//! Table and columns are those of `schemas/clickhouse/README.md`, spelled out here once more on purpose: an analyst does the same.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::Value;

use crate::expected::{Bots, Found};
use crate::http_client::{Connection, Server};
use crate::labels;

/// Between two tries of a query.
const RETRY_EVERY: Duration = Duration::from_millis(250);

/// A client, one connection.
#[derive(Debug)]
pub struct ClickHouse {
    connection: Connection,
    headers: HeaderMap,
    patience: Duration,
}

/// One stored click, as far as a line of the log can tell what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredClick {
    /// Link id.
    pub link: u64,
    /// Query of the visit as sent.
    pub query: String,
    /// Verdict.
    pub is_bot: bool,
    /// Host of the referrer, empty for none.
    pub referrer_host: String,
    /// Browser's label.
    pub browser: String,
    /// Operating system's label.
    pub os: String,
    /// Device class.
    pub device: String,
}

/// What the product itself says it lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Positions in counted drops.
    pub dropped: u64,
    /// Records that could not be stored.
    pub dead: u64,
}

impl ClickHouse {
    /// A client; `patience` is how long an unanswered query is tried again.
    ///
    /// # Errors
    /// User or password cannot stand in a header.
    pub fn new(
        server: Server,
        user: &str,
        password: &str,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(
            "X-ClickHouse-User",
            HeaderValue::from_str(user).context("the ClickHouse user is no header value")?,
        );
        let mut password = HeaderValue::from_str(password)
            .context("the ClickHouse password is no header value")?;
        password.set_sensitive(true);
        headers.insert("X-ClickHouse-Key", password);
        Ok(Self {
            connection: Connection::new(server),
            headers,
            patience,
        })
    }

    /// How many clicks of these links are stored.
    ///
    /// # Errors
    /// ClickHouse refused, or cannot be reached.
    pub async fn count(&mut self, links: &[u64]) -> anyhow::Result<u64> {
        let rows = self
            .rows(&format!(
                "SELECT count() FROM signpost.clicks WHERE link IN ({})",
                list(links)
            ))
            .await?;
        rows.first()
            .map(|row| int(row, 0))
            .context("count() gave no row")?
    }

    /// All clicks of these links.
    ///
    /// # Errors
    /// ClickHouse refused, or cannot be reached.
    pub async fn clicks(&mut self, links: &[u64]) -> anyhow::Result<Vec<StoredClick>> {
        let sql = format!(
            "SELECT link, query, toUInt8(is_bot), referrer_host, browser, os, device FROM signpost.clicks WHERE link IN ({})",
            list(links)
        );
        let rows = self.rows(&sql).await?;
        rows.iter()
            .map(|row| {
                Ok(StoredClick {
                    link: int(row, 0)?,
                    query: word(row, 1)?,
                    is_bot: int(row, 2)? != 0,
                    referrer_host: word(row, 3)?,
                    browser: word(row, 4)?,
                    os: word(row, 5)?,
                    device: word(row, 6)?,
                })
            })
            .collect()
    }

    /// The numbers of each link in one view, by the raw table.
    ///
    /// # Errors
    /// ClickHouse refused, or cannot be reached.
    pub async fn numbers(
        &mut self,
        links: &[u64],
        bots: Bots,
    ) -> anyhow::Result<HashMap<u64, Found>> {
        let which = match bots {
            Bots::Include => "1",
            Bots::Exclude => "NOT is_bot",
            Bots::Only => "is_bot",
        };
        let filter = format!(
            "FROM signpost.clicks WHERE link IN ({}) AND {which}",
            list(links)
        );
        let mut out: HashMap<u64, Found> = HashMap::new();
        for row in self
            .rows(&format!(
                "SELECT link, count(), uniqExact(visitor) {filter} GROUP BY link"
            ))
            .await?
        {
            let found = Found {
                clicks: int(&row, 1)?,
                uniques: Some(int(&row, 2)?),
                days: Some(BTreeMap::new()),
                hours: Some(BTreeMap::new()),
                ..Found::default()
            };
            out.insert(int(&row, 0)?, found);
        }
        for row in self
            .rows(&format!(
                "SELECT link, referrer_host, browser, os, device, count() {filter} GROUP BY ALL"
            ))
            .await?
        {
            let Some(found) = out.get_mut(&int(&row, 0)?) else {
                continue;
            };
            let clicks = int(&row, 5)?;
            for (map, label) in [
                (&mut found.referrers, labels::referrer(&word(&row, 1)?)),
                (&mut found.browsers, labels::browser(&word(&row, 2)?)),
                (&mut found.systems, labels::os(&word(&row, 3)?)),
                (&mut found.devices, labels::device(&word(&row, 4)?)),
            ] {
                *map.entry(label.to_owned()).or_default() += clicks;
            }
        }
        // formatDateTime's %H is the hour in 24; the column's own time zone is UTC.
        for row in self
            .rows(&format!(
                "SELECT link, formatDateTime(time, '%Y-%m-%d %H'), count() {filter} GROUP BY ALL"
            ))
            .await?
        {
            let Some(found) = out.get_mut(&int(&row, 0)?) else {
                continue;
            };
            let (hour, clicks) = (word(&row, 1)?, int(&row, 2)?);
            let day = hour
                .get(..10)
                .context("an hour is shorter than its day")?
                .to_owned();
            *found.days.get_or_insert_default().entry(day).or_default() += clicks;
            found.hours.get_or_insert_default().insert(hour, clicks);
        }
        Ok(out)
    }

    /// All losses that the product has booked so far.
    ///
    /// # Errors
    /// ClickHouse refused, or cannot be reached.
    pub async fn losses(&mut self) -> anyhow::Result<Losses> {
        let dropped = self
            .rows("SELECT sum(to_position - from_position) FROM signpost.drops FINAL")
            .await?;
        let dead = self
            .rows("SELECT count() FROM signpost.dead_letters FINAL")
            .await?;
        Ok(Losses {
            dropped: dropped
                .first()
                .map(|row| int(row, 0))
                .context("sum() gave no row")??,
            dead: dead
                .first()
                .map(|row| int(row, 0))
                .context("count() gave no row")??,
        })
    }

    async fn rows(&mut self, sql: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        let until = std::time::Instant::now() + self.patience;
        let sql = format!("{sql} FORMAT JSONCompactEachRow");
        loop {
            match self
                .connection
                .send(
                    Method::POST,
                    "/",
                    self.headers.clone(),
                    Bytes::copy_from_slice(sql.as_bytes()),
                )
                .await
            {
                Ok(answer) if answer.status == StatusCode::OK => {
                    let text = String::from_utf8_lossy(&answer.body);
                    return text
                        .lines()
                        .map(|line| {
                            serde_json::from_str(line).with_context(|| {
                                format!(
                                    "a row of ClickHouse is not JSON: '{}'",
                                    line.chars().take(200).collect::<String>()
                                )
                            })
                        })
                        .collect();
                }
                // Starting, stopping, out of memory for now: the query is a read and may be asked again.
                Ok(answer)
                    if answer.status.is_server_error() && std::time::Instant::now() < until => {}
                Ok(answer) => {
                    ensure!(
                        answer.status == StatusCode::OK,
                        "ClickHouse refused a query with {}: {}",
                        answer.status,
                        String::from_utf8_lossy(&answer.body).trim()
                    );
                }
                Err(error) if std::time::Instant::now() >= until => {
                    return Err(error.context("asking ClickHouse"));
                }
                Err(_) => {}
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }
}

fn list(links: &[u64]) -> String {
    // An empty IN () is no SQL; no link has the id 0.
    if links.is_empty() {
        "0".to_owned()
    } else {
        links
            .iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }
}

fn int(row: &[Value], at: usize) -> anyhow::Result<u64> {
    let value = row.get(at).context("a row of ClickHouse is too short")?;
    match value {
        Value::Number(n) => n.as_u64(),
        Value::String(s) => s.parse().ok(),
        Value::Null => Some(0),
        _ => None,
    }
    .with_context(|| format!("ClickHouse gave {value} for a number"))
}

fn word(row: &[Value], at: usize) -> anyhow::Result<String> {
    let value = row.get(at).context("a row of ClickHouse is too short")?;
    value
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("ClickHouse gave {value} for a text"))
}
