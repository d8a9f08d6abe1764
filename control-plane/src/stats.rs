//! Statistics of links from ClickHouse: what the API asks, and the plain results it gets.
//!
//! No axum and no API names here: each dialect names the numbers in its own way.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;

use crate::config::Config;

/// An answer is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// ClickHouse cannot be reached or does not answer; worth trying again.
    #[error("statistics are not available: {0}")]
    Unavailable(String),
    /// The cursor is none of ours.
    #[error("cursor '{0}' is not one that a page ended with")]
    Cursor(String),
}

/// Which span of time. Open on a side that is `None`.
#[derive(Debug, Clone)]
pub struct Range {
    /// First instant, milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// First instant after the range, milliseconds since 1970.
    pub to_ms: Option<i64>,
    /// Whose days and hours.
    pub tz: TimeZone,
}

/// Whether visits of bots count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bots {
    /// They do not.
    #[default]
    Exclude,
    /// They do.
    Include,
    /// Nothing else does.
    Only,
}

/// Size of a bucket in a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A day of the time zone: `2026-05-01`.
    Day,
    /// An hour of the time zone: `2026-05-01 13:00:00`.
    Hour,
}

/// Clicks and visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Visits.
    pub clicks: u64,
    /// Distinct visitors within a period of a salt, added over periods.
    pub unique_clicks: u64,
}

/// One bucket of a series. Buckets without clicks are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its beginning in the time zone asked for, in the form [`Step`] says.
    pub start: String,
    /// What it holds.
    pub totals: Totals,
}

/// Clicks by value of one dimension. What is not known is `""`; each dialect has its word for it.
pub type ByValue = BTreeMap<String, u64>;

/// Clicks by dimension. Each map sums to the total.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dimensions {
    /// ISO 3166 country code.
    pub country: ByValue,
    /// Region (state, province), name.
    pub region: ByValue,
    /// City, name.
    pub city: ByValue,
    /// desktop, mobile, tablet, bot, other.
    pub device: ByValue,
    /// Operating system with its version (`Windows 10`).
    pub os: ByValue,
    /// Browser without version.
    pub browser: ByValue,
    /// Primary language.
    pub language: ByValue,
    /// Host of the referrer.
    pub referrer: ByValue,
    /// utm_source
    pub utm_source: ByValue,
    /// utm_medium
    pub utm_medium: ByValue,
    /// utm_campaign
    pub utm_campaign: ByValue,
    /// utm_term
    pub utm_term: ByValue,
    /// utm_content
    pub utm_content: ByValue,
}

/// Everything about one link in a range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkStats {
    /// Of the whole range.
    pub totals: Totals,
    /// In order of time.
    pub series: Vec<Bucket>,
    /// By dimension.
    pub by: Dimensions,
}

/// One visit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its id for ever: epoch, worker and position.
    pub id: String,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// ISO 3166 country code, or "".
    pub country: String,
    /// Region.
    pub region: String,
    /// City.
    pub city: String,
    /// desktop, mobile, tablet, bot, other.
    pub device: String,
    /// Operating system with its version.
    pub os: String,
    /// Browser without version.
    pub browser: String,
    /// Primary language.
    pub language: String,
    /// URL of the referrer.
    pub referrer: String,
    /// utm_source
    pub utm_source: String,
    /// utm_medium
    pub utm_medium: String,
    /// utm_campaign
    pub utm_campaign: String,
    /// utm_term
    pub utm_term: String,
    /// utm_content
    pub utm_content: String,
    /// First visit of this visitor to the link in the range's period.
    pub is_unique: bool,
    /// A bot's.
    pub is_bot: bool,
    /// Came by a QR code.
    pub is_scan: bool,
}

/// One page of events, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page begins; `None` after the last.
    pub next_cursor: Option<String>,
}

/// The way to ask. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stats;

impl Stats {
    /// Connects when first asked, not before.
    ///
    /// # Errors
    /// The configuration names no usable server.
    pub fn new(_config: &Config) -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// Clicks (bots excluded, all time) of these links; one without clicks is absent.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn totals(
        &self,
        _workspace: u64,
        _links: &[u64],
    ) -> Result<HashMap<u64, Totals>, StatsError> {
        Err(StatsError::Unavailable("not connected".to_owned()))
    }

    /// Clicks (bots excluded, all time) of every link of the workspace that has any.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn totals_of_workspace(
        &self,
        _workspace: u64,
    ) -> Result<HashMap<u64, Totals>, StatsError> {
        Err(StatsError::Unavailable("not connected".to_owned()))
    }

    /// Everything about one link.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn link(
        &self,
        _workspace: u64,
        _link: u64,
        _range: &Range,
        _bots: Bots,
        _step: Step,
    ) -> Result<LinkStats, StatsError> {
        Err(StatsError::Unavailable("not connected".to_owned()))
    }

    /// One page of visits: at most `limit`, after `cursor`.
    ///
    /// # Errors
    /// ClickHouse is not there; the cursor is none of ours.
    pub async fn events(
        &self,
        _workspace: u64,
        _link: u64,
        _range: &Range,
        _bots: Bots,
        _cursor: Option<&str>,
        _limit: usize,
    ) -> Result<EventPage, StatsError> {
        Err(StatsError::Unavailable("not connected".to_owned()))
    }
}
