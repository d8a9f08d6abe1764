//! Statistics of links from ClickHouse: what the API asks, and the plain results it gets.
//!
//! No axum and no API names here: each dialect names the numbers in its own way.
//!
//! Where numbers come from. A click is in one of two halves: the clicks of busy links are flagged `rolled_up` and are in
//! `clicks_by_period`, by UTC day, five days, month and dimension, and in `visitors_by_month`; all others, of which a link
//! has some 5,000 at most, are read raw. What a call costs is therefore bounded by the months of its range, not by the
//! clicks. What was read of a busy link is kept as long as the tables hold no more of it, which each call asks them (see
//! `kept`). Days that a range cuts (time zones other than UTC) are read raw too. Only a series
//! of a busy link by the hour, or by the days of another zone, reads all clicks of the range: its visitors must be counted
//! by other bounds than the roll-up's.
//!
//! Uniques are distinct hashes within a month, added over months: hashes differ between the periods of a salt, which are
//! months or days. A link that was never busy is counted exactly; a busy one exactly up to 65,536 visitors a month, and
//! beyond from a sample of them, with a standard error of 0.55 to 0.8 % for a month and more for parts of it (see
//! `visitors`). Buckets of a series that is read raw are `uniqCombined64(17)`: exact up to some 4,000, then 0.3 %. Visits
//! without a visitor hash (no salt for their time) are clicks and no visitors.
//!
//! Every value that was ever a visitor's goes to the server as a parameter or not at all; SQL is put together from
//! constants of this module, dates and numbers only.

mod dimensions;
mod events;
mod export;
mod kept;
mod link;
mod server;
mod span;
mod text;
mod totals;
mod visitors;

use std::collections::HashMap;
use std::sync::Arc;

use clickhouse::query::Query;
use jiff::tz::TimeZone;

use crate::config::Config;
use server::Server;
use span::Span;

pub use dimensions::{ByValue, Dimension, Dimensions, OTHERS, os_family};
pub use export::{Export, csv_head, csv_line};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// First visit of this visitor to the link among the visits asked for (range and bots): as many as `unique_clicks`,
    /// where that is exact. False without a visitor hash.
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
pub struct Stats {
    server: Arc<Server>,
}

impl Stats {
    /// Connects when first asked, not before.
    ///
    /// # Errors
    /// The configuration names no usable server.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            server: Arc::new(Server::new(config)?),
        })
    }

    /// Clicks (bots excluded, all time) of these links; one without clicks is absent.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn totals(
        &self,
        workspace: u64,
        links: &[u64],
    ) -> Result<HashMap<u64, Totals>, StatsError> {
        if links.is_empty() {
            return Ok(HashMap::new());
        }
        totals::of_links(&self.server, workspace, Some(links)).await
    }

    /// Clicks (bots excluded, all time) of every link of the workspace that has any.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn totals_of_workspace(
        &self,
        workspace: u64,
    ) -> Result<HashMap<u64, Totals>, StatsError> {
        totals::of_links(&self.server, workspace, None).await
    }

    /// Clicks (bots excluded) of all links of a workspace since an instant, to the quarter of an hour.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn clicks_since(&self, workspace: u64, from_ms: i64) -> Result<u64, StatsError> {
        totals::since(&self.server, workspace, from_ms).await
    }

    /// Everything about one link.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn link(
        &self,
        workspace: u64,
        link: u64,
        range: &Range,
        bots: Bots,
        step: Step,
    ) -> Result<LinkStats, StatsError> {
        let Some(span) = Span::new(range) else {
            return Ok(LinkStats::default());
        };
        let of = Of {
            workspace,
            link,
            bots,
        };
        // Several questions at once: a large future.
        Box::pin(link::stats(&self.server, of, &span, step)).await
    }

    /// Clicks and visitors of one link in a range, without any breakdown.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn totals_in(
        &self,
        workspace: u64,
        link: u64,
        range: &Range,
        bots: Bots,
    ) -> Result<Totals, StatsError> {
        let both = self.totals_with_scans(workspace, link, range, bots);
        Ok(both.await?.0)
    }

    /// As [`Self::totals_in`], and how many of the clicks are scans of QR codes.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn totals_with_scans(
        &self,
        workspace: u64,
        link: u64,
        range: &Range,
        bots: Bots,
    ) -> Result<(Totals, u64), StatsError> {
        let Some(span) = Span::new(range) else {
            return Ok((Totals::default(), 0));
        };
        let of = Of {
            workspace,
            link,
            bots,
        };
        totals::in_range(&self.server, of, &span).await
    }

    /// One page of visits: at most `limit`, after `cursor`.
    ///
    /// # Errors
    /// ClickHouse is not there; the cursor is none of ours.
    pub async fn events(
        &self,
        workspace: u64,
        link: u64,
        range: &Range,
        bots: Bots,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<EventPage, StatsError> {
        let of = Of {
            workspace,
            link,
            bots,
        };
        let after = cursor
            .map(|text| events::Cursor::read(text, link))
            .transpose()?;
        let Some(span) = Span::new(range) else {
            return Ok(EventPage::default());
        };
        events::page(&self.server, of, &span, after, limit).await
    }

    /// The last visits of a link, newest first, at most `limit`. [`Event::is_unique`] is not told.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn recent(
        &self,
        workspace: u64,
        link: u64,
        bots: Bots,
        limit: usize,
    ) -> Result<Vec<Event>, StatsError> {
        let of = Of {
            workspace,
            link,
            bots,
        };
        events::recent(&self.server, of, limit).await
    }

    /// All visits of a range, oldest first, as they come: memory does not depend on their number.
    ///
    /// # Errors
    /// ClickHouse is not there.
    pub async fn export(
        &self,
        workspace: u64,
        link: u64,
        range: &Range,
        bots: Bots,
    ) -> Result<Export, StatsError> {
        let of = Of {
            workspace,
            link,
            bots,
        };
        export::open(&self.server, of, Span::new(range).as_ref()).await
    }
}

/// Which clicks: those of one link, with or without bots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Of {
    workspace: u64,
    link: u64,
    bots: Bots,
}

impl Of {
    /// Conditions on every table of clicks.
    const LINK: &'static str = "workspace = {workspace:UInt64} AND link = {link:UInt64}";

    /// As [`Self::LINK`], with the choice of bots.
    fn conditions(self) -> String {
        format!("{} AND {}", Self::LINK, self.bots.condition())
    }

    /// Gives the parameters of the conditions.
    fn bind(self, query: Query) -> Query {
        query
            .param("workspace", self.workspace)
            .param("link", self.link)
    }
}

impl Bots {
    /// The choice in SQL.
    const fn condition(self) -> &'static str {
        match self {
            Self::Exclude => "NOT is_bot",
            Self::Include => "is_bot IN (false, true)",
            Self::Only => "is_bot",
        }
    }
}
