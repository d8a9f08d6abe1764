//! The connection to ClickHouse: address, user, password, limits, errors.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use clickhouse::error::Error;
use clickhouse::query::Query;
use clickhouse::{Client, Compression};
use schemas::names;
use schemas::settings::Secret;
use url::Url;

use super::StatsError;
use super::kept::Kept;
use crate::config::Config;

/// Longest time for an answer. Busy links answer in milliseconds; a series by the hour of ten million clicks takes a
/// second.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest time for the next piece of an export; the sort before the first one may go over the disk.
pub(super) const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest error text that is passed on, in characters. ClickHouse repeats the whole query in some.
const MAX_ERROR_CHARS: usize = 300;

/// ClickHouse's code for a wrong user or password.
const AUTHENTICATION_FAILED: &str = "Code: 516.";

/// A server to ask. Connects when asked.
#[derive(Debug)]
pub(super) struct Server {
    client: ClientBox,
    password: Password,
    /// What was read of busy links.
    pub(super) kept: Kept,
}

/// The crate's client prints its password.
struct ClientBox(Client);

impl std::fmt::Debug for ClientBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client(…)")
    }
}

#[derive(Debug)]
enum Password {
    /// Part of the client.
    Given,
    /// The embedded engine's, which it makes at its first start: perhaps after ours.
    File {
        path: PathBuf,
        read: Mutex<Option<Secret>>,
    },
}

impl Server {
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let client = Client::default()
            .with_compression(Compression::None)
            // Rows without names and types: what they are stands in each query, and tests read every column of each.
            // The check costs time for each value, and the embedded engine repeats names and types with each block.
            .with_validation(false)
            // A client that goes away takes its query with it.
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
        let Some(url) = &config.clickhouse_url else {
            return Ok(Self {
                client: ClientBox(
                    client
                        .with_url(format!("http://{}", config.clickhouse_addr))
                        .with_user(names::users::SIGNPOST),
                ),
                password: Password::File {
                    path: config.data_dir.join(names::files::CLICKHOUSE_PASSWORD),
                    read: Mutex::new(None),
                },
                kept: Kept::default(),
            });
        };
        let mut url = Url::parse(&url.0).context("SIGNPOST_CLICKHOUSE_URL is not a url")?;
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        let user = decoded(url.username());
        let password = url.password().map(decoded);
        // These fail only for URLs without a host, which have no user either.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let mut client = client.with_url(url.as_str());
        if !user.is_empty() {
            client = client.with_user(user);
        }
        if let Some(password) = password {
            client = client.with_password(password);
        }
        Ok(Self {
            client: ClientBox(client),
            password: Password::Given,
            kept: Kept::default(),
        })
    }

    /// A query of these words. `limit` bounds it on the server too.
    pub(super) fn query(&self, sql: &str, limit: Duration) -> Result<Query, StatsError> {
        let seconds = limit.as_secs().to_string();
        let query = |client: &Client| {
            client
                .query(sql)
                .with_setting("max_execution_time", seconds.as_str())
        };
        let Password::File { path, read } = &self.password else {
            return Ok(query(&self.client.0));
        };
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        let password = match &*read {
            Some(password) => password.0.clone(),
            None => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    StatsError::Unavailable(format!("clickhouse has not started yet: {error}"))
                })?;
                let password = text.trim().to_owned();
                *read = Some(Secret(password.clone()));
                password
            }
        };
        drop(read);
        Ok(query(&self.client.0.clone().with_password(password)))
    }

    /// The answer, if it comes in time.
    pub(super) async fn answer<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StatsError> {
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => {
                crate::metrics::stats_failed("timeout");
                Err(StatsError::Unavailable(format!(
                    "no answer within {} s",
                    limit.as_secs()
                )))
            }
        }
    }

    /// What went wrong, counted and in few words.
    fn failed(&self, error: &Error) -> StatsError {
        let text = error.to_string();
        if text.contains(AUTHENTICATION_FAILED)
            && let Password::File { read, .. } = &self.password
        {
            // Another data folder's engine, or a new password: look again next time.
            *read.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        crate::metrics::stats_failed(match error {
            Error::Network(_) => "network",
            Error::BadResponse(_) => "refused",
            _ => "other",
        });
        let short: String = text.chars().take(MAX_ERROR_CHARS).collect();
        tracing::warn!(error = %short, "clickhouse failed");
        StatsError::Unavailable(short)
    }
}
