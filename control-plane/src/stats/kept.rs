//! What was read of busy links, kept as long as it is what the tables hold.
//!
//! Half of what a question costs the server is working out what it means, whatever it reads. So one short question is
//! asked first, for the link's [`Marks`]: how many raw clicks it has, and how many each month. Numbers of a month only grow,
//! so what was read of a month that still has as many is still right, and only what has changed, or was never asked for, is
//! read. Nothing is answered that was not checked against the tables when it was asked for.
//!
//! Before that question comes a shorter one, which costs the server half as much: whether its tables are still made of the
//! parts that they were made of when the link's marks were asked for ([`version`]). So whoever looks at one link from many
//! sides while nobody visits pays for the marks once.
//!
//! Kept are pieces, not answers: the raw clicks, the values of a day, of five days or of a month, the visitors of a month.
//! Any range is made of them. A month's pieces of one mark agree, since ingest writes them by one insert. Visitors are
//! another table, which is filled before the one that has the marks: visitors read after a mark are not behind it.
//! Replicas are: where a server that is behind another answers the second question, what it lacks is missing until the next
//! visit or for [`KEPT_FOR`].

mod raw;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clickhouse::Row;
use moka::sync::Cache;
use serde::Deserialize;

pub(super) use self::raw::{Click, RawClicks, raw};
use self::values::PeriodValues;
pub(super) use self::values::{WholeDays, whole_days};
use super::server::{ANSWER_TIMEOUT, Server};
use super::span::{Period, Span};
use super::visitors::MonthVisitors;
use super::{Of, StatsError};

/// Memory for each of the three kinds of pieces, in bytes: the raw clicks of some 50 links, or the values or the visitors
/// of some 30 link's months.
const MAX_BYTES: u64 = 32 << 20;

/// How long a piece is kept at most.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// How long a link is remembered to be busy, after it was last asked for.
const BUSY_FOR: Duration = Duration::from_secs(3_600);

/// Links that are remembered so.
const MAX_BUSY: u64 = 10_000;

/// Raw clicks that are kept of a link: more than one has that became busy in its time.
const MAX_RAW: u64 = 20_000;

/// Rows of values that are read at once to be kept. Of a link with more, sums are read, each time.
const MAX_ROWS: usize = 100_000;

/// ClickHouse's code for a table that a user may not read.
const ACCESS_DENIED: &str = "Code: 497.";

/// How far the tables are with a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Marks {
    /// Clicks that are not rolled up; `None` where it was not asked for.
    raw: Option<u64>,
    /// Clicks that are, by months, which are their first days since 1970. None: all are raw.
    pub(super) months: BTreeMap<u16, u64>,
}

/// Pieces of busy links.
#[derive(Debug)]
pub(super) struct Kept {
    busy: Cache<Of, Busy>,
    raw: Cache<Of, Marked<RawClicks>>,
    values: Cache<(Of, Period), Marked<PeriodValues>>,
    visitors: Cache<(Of, u16), Marked<MonthVisitors>>,
    /// The server does not say what its tables are made of.
    has_no_version: AtomicBool,
}

/// What is remembered of a busy link.
#[derive(Debug, Clone, Default)]
struct Busy {
    /// Its marks when it was last asked for, and what the tables were made of before that, if that is known.
    marks: Marks,
    version: Option<u64>,
    /// Whether it has too many values to keep.
    has_many_values: bool,
}

/// What was read, and the clicks that the tables had then, or before.
#[derive(Debug)]
struct Marked<T> {
    mark: u64,
    piece: Arc<T>,
}

impl<T> Clone for Marked<T> {
    fn clone(&self) -> Self {
        Self {
            mark: self.mark,
            piece: Arc::clone(&self.piece),
        }
    }
}

/// What takes memory.
pub(super) trait Weighed {
    /// About how much, in bytes.
    fn bytes(&self) -> usize;
}

fn cache<K, T>() -> Cache<K, Marked<T>>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    T: Weighed + Send + Sync + 'static,
{
    Cache::builder()
        .weigher(|_, kept: &Marked<T>| {
            // 200 for the entry itself.
            u32::try_from(kept.piece.bytes() + 200).unwrap_or(u32::MAX)
        })
        .max_capacity(MAX_BYTES)
        .time_to_live(KEPT_FOR)
        .build()
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            busy: Cache::builder()
                .max_capacity(MAX_BUSY)
                .time_to_idle(BUSY_FOR)
                .build(),
            raw: cache(),
            values: cache(),
            visitors: cache(),
            has_no_version: AtomicBool::new(false),
        }
    }
}

impl Kept {
    /// Whether the link was busy when it was last asked for: then all of it is probably here.
    pub(super) fn is_busy(&self, of: Of) -> bool {
        self.busy.contains_key(&of)
    }

    fn has_many_values(&self, of: Of) -> bool {
        self.busy.get(&of).is_some_and(|busy| busy.has_many_values)
    }

    /// Notes something of a busy link.
    fn remember(&self, of: Of, change: impl FnOnce(&mut Busy)) {
        self.busy.entry(of).and_upsert_with(|known| {
            let mut busy = known.map(moka::Entry::into_value).unwrap_or_default();
            change(&mut busy);
            busy
        });
    }

    /// The raw clicks, if they are those of the marks.
    fn raw(&self, of: Of, marks: &Marks) -> Option<Arc<RawClicks>> {
        let kept = self.raw.get(&of)?;
        (Some(kept.mark) == marks.raw).then_some(kept.piece)
    }

    /// A month's visitors, if they are those of its mark.
    pub(super) fn visitors(&self, of: Of, month: u16, mark: u64) -> Option<Arc<MonthVisitors>> {
        let kept = self.visitors.get(&(of, month))?;
        (kept.mark == mark).then_some(kept.piece)
    }

    /// Keeps a month's visitors that were read after its mark.
    pub(super) fn keep_visitors(&self, of: Of, month: u16, mark: u64, piece: &Arc<MonthVisitors>) {
        let piece = Arc::clone(piece);
        self.visitors.insert((of, month), Marked { mark, piece });
    }
}

#[derive(Debug, Row, Deserialize)]
struct MonthRow {
    month: u16,
    clicks: u64,
}

/// What of a link is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask<'a> {
    /// Its months: most links have none.
    Months,
    /// Also how many raw clicks it has; and what of this span was never read is read along.
    All(&'a Span),
}

/// Asks how far the tables are with a link. Numbers of clicks and nothing else: the states of visitors beside them doubled
/// what the question costs.
pub(super) async fn marks(server: &Server, of: Of, ask: Ask<'_>) -> Result<Marks, StatsError> {
    let Ask::All(span) = ask else {
        let months = months(server, of).await?;
        let marks = Marks { raw: None, months };
        if !marks.months.is_empty() {
            server.kept.remember(of, |busy| {
                if busy.version.is_none() {
                    busy.marks = marks.clone();
                }
            });
        }
        return Ok(marks);
    };
    let never_read = values::never_read(server, of, span);
    let version = if never_read.is_empty() {
        // Before the marks: what changes between both is found to have changed by the next call.
        version(server).await?
    } else {
        None
    };
    if version.is_some()
        && let Some(busy) = server.kept.busy.get(&of)
        && busy.version == version
    {
        return Ok(busy.marks);
    }
    let months = async {
        // With the marks of its instant, by one question.
        if !never_read.is_empty()
            && let Some(read) = values::read_periods(server, of, &never_read).await?
        {
            return Ok(read.months);
        }
        months(server, of).await
    };
    let (months, raw) = tokio::try_join!(months, count_raw(server, of))?;
    let raw = Some(raw);
    let marks = Marks { raw, months };
    if !marks.months.is_empty() {
        server.kept.remember(of, |busy| {
            if version.is_some() || busy.marks != marks {
                (busy.marks, busy.version) = (marks.clone(), version);
            }
        });
    }
    Ok(marks)
}

/// What the tables with the marks are made of: a number that is another one when any of their parts is. `None` when the
/// server does not say: it may hide its parts from this user, or have none where the tables only pass questions on.
async fn version(server: &Server) -> Result<Option<u64>, StatsError> {
    if server.kept.has_no_version.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let sql = "SELECT sum(cityHash64(table, name, hash_of_all_files)) FROM system.parts
         WHERE active AND database = 'signpost' AND table IN ('clicks', 'clicks_by_period')";
    let query = server.query(sql, ANSWER_TIMEOUT)?;
    let read = server.answer(ANSWER_TIMEOUT, query.fetch_one::<u64>());
    match read.await {
        Ok(version) => Ok((version != 0).then_some(version)),
        Err(StatsError::Unavailable(text)) if text.contains(ACCESS_DENIED) => {
            tracing::info!("statistics of busy links cost more: system.parts cannot be read");
            server.kept.has_no_version.store(true, Ordering::Relaxed);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn months(server: &Server, of: Of) -> Result<BTreeMap<u16, u64>, StatsError> {
    let sql = format!(
        "SELECT toUInt16(start), sum(clicks) FROM signpost.clicks_by_period
         WHERE {} AND period = 'month' AND dimension = 'total' GROUP BY start",
        of.conditions()
    );
    let query = of.bind(server.query(&sql, ANSWER_TIMEOUT)?);
    let rows = query.fetch_all::<MonthRow>();
    let rows = server.answer(ANSWER_TIMEOUT, rows).await?.into_iter();
    let months = rows.map(|row| (row.month, row.clicks));
    Ok(months.filter(|(_, clicks)| *clicks > 0).collect())
}

async fn count_raw(server: &Server, of: Of) -> Result<u64, StatsError> {
    let sql = format!(
        "SELECT count() FROM signpost.clicks WHERE {} AND NOT rolled_up",
        of.conditions()
    );
    let query = of.bind(server.query(&sql, ANSWER_TIMEOUT)?);
    server
        .answer(ANSWER_TIMEOUT, query.fetch_one::<u64>())
        .await
}
