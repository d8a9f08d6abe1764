//! Brings visits in from an access log in combined log format: original times, no visitors.
//!
//! The records go through the same enricher into a click log of their own, `<data-dir>/clicks-import`, which ingest reads
//! beside the proxy's, or which is shipped to Kafka at once: so the proxy may run meanwhile. The stream's epoch is a hash of host and content and a line's
//! number is its position: the same log brought in twice, or again after a crash, is the same clicks, and ingest stores
//! them once. (So links that were missing the first time are not made up for by a second time.)
//!
//! GET requests of a path that a link answers are visits; every other line is in the books with its reason.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod line;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use prost::Message as _;
use schemas::click::{Outcome, Stream};
use schemas::click_log::{Kind, append_record};
use schemas::names::files;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::line::Line;
use crate::config::Config;
use crate::enrich::{Books, Clicks, Clock, Geo, now_ms};
use crate::log::Log;
use crate::ship::ship_all;
use crate::visit::Visit;

/// Size at which a batch is written, in bytes.
const BATCH_BYTES: usize = 1 << 20;

/// Only the disk bounds a log that an operator brings in by hand.
const NO_BOUND: u64 = u64::MAX;

/// The link that answers a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The link.
    pub link: u64,
    /// Its owner.
    pub workspace: u64,
    /// Its domain.
    pub domain: u32,
    /// Its slug as stored.
    pub slug: String,
}

/// What came of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The stream its clicks are of.
    pub stream: Stream,
    /// Lines that are not empty.
    pub lines: u64,
    /// Clicks written.
    pub clicks: u64,
    /// Requests that are no visits: other methods than GET.
    pub not_visits: u64,
    /// Paths that no link answers.
    pub no_link: u64,
    /// Lines that are not in combined log format.
    pub unreadable: u64,
}

/// Where an import's records go, for ingest to read.
pub fn folder(config: &Config) -> PathBuf {
    config.data_dir.join(files::CLICKS_IMPORT)
}

/// Brings in `content`, a whole access log. `host` is the one it was written for; a line that names its own (the
/// `vhost_combined` format, an absolute target) has that. `resolve` is asked with the host and the path as logged, from
/// its first `/` on and without query, and says which link answers it. When it cannot tell, the import ends there: a
/// line passed over as having no link would be so for good.
///
/// # Errors
/// The log cannot be written, another import is running, or `resolve` failed. What was written stays; starting again is
/// safe and goes on.
pub fn import(
    config: &Config,
    content: &[u8],
    host: &str,
    mut resolve: impl FnMut(&str, &str) -> anyhow::Result<Option<Answered>>,
) -> anyhow::Result<Report> {
    let folder = folder(config);
    let mut log = Log::open(&folder, NO_BOUND).context("opening the log of imported clicks")?;
    log.reclaim().context("deleting what was imported before")?;
    let mut geo = Geo::new(&config.geo_db);
    geo.refresh();
    if let Some(problem) = geo.problem() {
        tracing::warn!(
            problem,
            "geo data is missing: imported clicks have no country"
        );
    }
    let mut clicks = Clicks::new(geo, config.ip_policy, config.unique_period)?;
    let stream = Stream {
        epoch: xxh3_64_with_seed(content, xxh3_64_with_seed(host.as_bytes(), 0)),
        worker: 0,
    };
    let mut report = Report {
        stream,
        lines: 0,
        clicks: 0,
        not_visits: 0,
        no_link: 0,
        unreadable: 0,
    };
    let mut books = Books::new(stream);
    let (mut batch, mut payload) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for text in content.split(|b| *b == b'\n').map(<[u8]>::trim_ascii) {
        if text.is_empty() {
            continue;
        }
        let position = report.lines;
        report.lines += 1;
        let mut lose = |reason, count: &mut u64| {
            books.lose(position, position + 1, reason);
            *count += 1;
        };
        let Some(line) = Line::parse(text) else {
            lose("import_unreadable", &mut report.unreadable);
            continue;
        };
        if line.method != b"GET" {
            lose("import_not_a_visit", &mut report.not_visits);
            continue;
        }
        let host = line.host.as_deref().unwrap_or(host);
        let Some(answered) = resolve(host, &line.path).context("looking a link up")? else {
            lose("import_no_link", &mut report.no_link);
            continue;
        };
        let visit = visit(&line, host, &answered);
        let click = clicks.click(stream, position, &visit, Clock::Any, &[]);
        payload.clear();
        click.encode_raw(&mut payload);
        append_record(&mut batch, Kind::Click, &payload).context("framing a click")?;
        report.clicks += 1;
        if batch.len() >= BATCH_BYTES {
            books.write(&mut batch, report.lines, false, start, now_ms())?;
            log.append(&batch).context("writing imported clicks")?;
            books.commit();
            batch.clear();
        }
    }
    books.write(&mut batch, report.lines, true, start, now_ms())?;
    log.append(&batch).context("writing imported clicks")?;
    log.sync().context("syncing imported clicks")?;
    if let Some(kafka) = &config.kafka {
        // Nobody reads this folder then. The log stays locked meanwhile.
        ship_all(kafka, &folder, log.end(), config.ship_bytes_per_second)?;
    }
    Ok(report)
}

fn visit<'a>(line: &'a Line<'_>, host: &'a str, answered: &'a Answered) -> Visit<'a> {
    Visit {
        time_ms: line.time_ms,
        link: answered.link,
        workspace: answered.workspace,
        domain: answered.domain,
        status: line.status,
        outcome: Outcome::Redirect,
        rule: 0,
        variant: 0,
        scan: false,
        bot: false,
        client_ip: line.ip,
        host: host.as_bytes(),
        slug: answered.slug.as_bytes(),
        target_query: line.query,
        destination_query: b"",
        user_agent: &line.user_agent,
        referrer: &line.referrer,
        accept_language: b"",
        purpose: b"",
    }
}

#[cfg(test)]
mod tests;
