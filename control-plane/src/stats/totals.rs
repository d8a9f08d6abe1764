//! Clicks and visitors without breakdown, of many links or in a range.

use std::collections::{BTreeMap, HashMap, HashSet};

use clickhouse::Row;
use serde::Deserialize;

use super::kept::{self, Ask};
use super::server::{ANSWER_TIMEOUT, Server};
use super::span::Span;
use super::visitors::{self, Level};
use super::{Of, StatsError, Totals};

/// Busy links whose visitors one question is about: each adds conditions to it, and a question has 256 KiB at most.
const LINKS_A_QUESTION: usize = 100;

#[derive(Debug, Row, Deserialize)]
struct OfLink {
    link: u64,
    clicks: u64,
    unique_clicks: u64,
}

#[derive(Debug, Row, Deserialize)]
struct OfMonth {
    link: u64,
    month: u16,
    clicks: u64,
    visitors: u64,
}

/// A month, by its first day since 1970, and which of its visitors are counted.
struct SampledMonth {
    start: u16,
    level: Level,
}

#[derive(Debug, Row, Deserialize)]
struct MonthVisitors {
    link: u64,
    month: u16,
    visitors: u64,
}

/// All time, without bots, by link; of the whole workspace without `links`. A link counts as busy by its bots too.
pub(super) async fn of_links(
    server: &Server,
    workspace: u64,
    links: Option<&[u64]>,
) -> Result<HashMap<u64, Totals>, StatsError> {
    let which = if links.is_some() {
        "workspace = {workspace:UInt64} AND link IN {links:Array(UInt64)}"
    } else {
        "workspace = {workspace:UInt64} AND link != 0"
    };
    let ask = |sql: &str| {
        let query = server
            .query(sql, ANSWER_TIMEOUT)?
            .param("workspace", workspace);
        Ok::<_, StatsError>(match links {
            Some(links) => query.param("links", links),
            None => query,
        })
    };
    let raw = ask(&format!(
        "SELECT link, count() AS clicks, ifNull(uniqExact(visitor), 0) AS unique_clicks
         FROM signpost.clicks WHERE {which} AND NOT rolled_up AND NOT is_bot GROUP BY link"
    ))?;
    let months = ask(&format!(
        "SELECT link, toUInt16(start) AS month, sumIf(clicks, NOT is_bot) AS clicks,
            ifNull(uniqCombined64MergeIf(12)(visitors, NOT is_bot), 0) AS visitors
         FROM signpost.clicks_by_period WHERE {which} AND period = 'month' AND dimension = 'total'
         GROUP BY link, month ORDER BY link, month"
    ))?;
    let (raw, months) = tokio::try_join!(
        server.answer(ANSWER_TIMEOUT, raw.fetch_all::<OfLink>()),
        server.answer(ANSWER_TIMEOUT, months.fetch_all::<OfMonth>()),
    )?;
    let mut totals: HashMap<u64, Totals> = HashMap::new();
    for row in raw {
        let total = totals.entry(row.link).or_default();
        (total.clicks, total.unique_clicks) = (row.clicks, row.unique_clicks);
    }
    let mut busy: BTreeMap<u64, Vec<SampledMonth>> = BTreeMap::new();
    for row in months {
        totals.entry(row.link).or_default().clicks += row.clicks;
        busy.entry(row.link).or_default().push(SampledMonth {
            start: row.month,
            level: Level::of(row.visitors),
        });
    }
    let busy: Vec<(u64, Vec<SampledMonth>)> = busy.into_iter().collect();
    for some in busy.chunks(LINKS_A_QUESTION) {
        for (link, visitors) in visitors_of(server, workspace, some).await? {
            totals.entry(link).or_default().unique_clicks = visitors;
        }
    }
    totals.retain(|_, total| total.clicks > 0);
    Ok(totals)
}

/// Visitors of busy links, without bots, all time: counted as [`visitors::by_month`] counts them.
async fn visitors_of(
    server: &Server,
    workspace: u64,
    links: &[(u64, Vec<SampledMonth>)],
) -> Result<HashMap<u64, u64>, StatsError> {
    let (mut read, mut left_out) = (Vec::new(), Vec::new());
    for (link, months) in links {
        for same in months.chunk_by(|a, b| a.level == b.level) {
            let ([first, ..], [.., last]) = (same, same) else {
                continue;
            };
            let (from, to, largest) = (first.start, last.start, first.level.largest());
            let run = |month, visitor| {
                format!(
                    "link = {link} AND {month} >= toDate({from}) AND {month} <= toDate({to}) AND {visitor} {largest}"
                )
            };
            read.push(run("month", "visitor <="));
            if first.level.weight() > 1 {
                // Raw clicks of a sampled month are sampled like the others.
                left_out.push(run("of", "who >"));
            }
        }
    }
    let left_out = if left_out.is_empty() {
        "false".to_owned()
    } else {
        left_out.join(" OR ")
    };
    let sql = format!(
        "SELECT link, toUInt16(of) AS month, uniqExact(who) AS visitors FROM (
            SELECT link, month AS of, visitor AS who FROM signpost.visitors_by_month
            WHERE workspace = {{workspace:UInt64}} AND NOT is_bot AND ({read})
            UNION ALL
            SELECT link, of, who FROM (
                SELECT link, toStartOfMonth(time) AS of, assumeNotNull(visitor) AS who FROM signpost.clicks
                WHERE workspace = {{workspace:UInt64}} AND link IN {{links:Array(UInt64)}}
                    AND NOT rolled_up AND NOT is_bot AND visitor IS NOT NULL
            ) WHERE NOT ({left_out})
         )
         GROUP BY link, of",
        read = read.join(" OR ")
    );
    let ids: Vec<u64> = links.iter().map(|(link, _)| *link).collect();
    let query = server
        .query(&sql, ANSWER_TIMEOUT)?
        .param("workspace", workspace)
        .param("links", ids);
    let rows = server
        .answer(ANSWER_TIMEOUT, query.fetch_all::<MonthVisitors>())
        .await?;
    let weights: HashMap<(u64, u16), u64> = links
        .iter()
        .flat_map(|(link, months)| months.iter().map(|m| ((*link, m.start), m.level.weight())))
        .collect();
    let mut visitors: HashMap<u64, u64> = HashMap::new();
    for row in rows {
        let weight = weights.get(&(row.link, row.month)).copied().unwrap_or(1);
        *visitors.entry(row.link).or_default() += row.visitors * weight;
    }
    Ok(visitors)
}

#[derive(Debug, Row, Deserialize)]
struct Visit {
    time_ms: i64,
    visitor: Option<u64>,
    is_scan: bool,
}

#[derive(Debug, Row, Deserialize)]
struct Part {
    clicks: u64,
    scans: u64,
}

/// Of a whole workspace since an instant, without bots: quarters of an hour, which are there for every link.
pub(super) async fn since(
    server: &Server,
    workspace: u64,
    from_ms: i64,
) -> Result<u64, StatsError> {
    let sql = "SELECT sum(clicks) FROM signpost.clicks_15m
         WHERE workspace = {workspace:UInt64} AND link != 0 AND NOT is_bot AND bucket >= toDateTime({from:Int64}, 'UTC')";
    let query = server
        .query(sql, ANSWER_TIMEOUT)?
        .param("workspace", workspace)
        .param("from", from_ms.div_euclid(1000));
    server
        .answer(ANSWER_TIMEOUT, query.fetch_one::<u64>())
        .await
}

/// Of one link in a range, and how many of the clicks are scans.
pub(super) async fn in_range(
    server: &Server,
    of: Of,
    span: &Span,
) -> Result<(Totals, u64), StatsError> {
    let (conditions, time) = (of.conditions(), Span::TIME);
    let ask = |sql: &str| Ok(span.bind(of.bind(server.query(sql, ANSWER_TIMEOUT)?)));
    let raw = ask(&format!(
        "SELECT toUnixTimestamp64Milli(time) AS time_ms, visitor, is_scan
         FROM signpost.clicks WHERE {conditions} AND {time} AND NOT rolled_up"
    ))?;
    let (raw, marks) = tokio::try_join!(
        server.answer(ANSWER_TIMEOUT, raw.fetch_all::<Visit>()),
        kept::marks(server, of, Ask::Months),
    )?;
    let clicks = raw.len() as u64;
    let scans = raw.iter().filter(|visit| visit.is_scan).count() as u64;
    if marks.months.is_empty() {
        let visitors: HashSet<u64> = raw.into_iter().filter_map(|visit| visit.visitor).collect();
        let totals = Totals {
            clicks,
            unique_clicks: visitors.len() as u64,
        };
        return Ok((totals, scans));
    }
    let (days, whole) = (Span::DAYS, Span::WHOLE_DAYS);
    let mut sql = format!(
        "SELECT sum(p.clicks) AS clicks, sum(p.scans) AS scans FROM signpost.clicks_by_period p
         WHERE {conditions} AND {days} AND {whole}"
    );
    if let Some(cut_days) = span.cut_days() {
        sql += &format!(
            " UNION ALL SELECT count() AS clicks, countIf(is_scan) AS scans FROM signpost.clicks WHERE {conditions} AND {cut_days}"
        );
    }
    let rolled_up = ask(&sql)?;
    let (rolled_up, months, mut came) = tokio::try_join!(
        server.answer(ANSWER_TIMEOUT, rolled_up.fetch_all::<Part>()),
        visitors::by_month(server, of, span, &marks),
        visitors::of_cut_days(server, of, span),
    )?;
    came.extend(
        raw.iter()
            .filter_map(|visit| Some(visitors::came(visit.visitor?, visit.time_ms))),
    );
    let totals = Totals {
        clicks: clicks + rolled_up.iter().map(|part| part.clicks).sum::<u64>(),
        unique_clicks: visitors::count(months, came, span).await?.total,
    };
    Ok((
        totals,
        scans + rolled_up.iter().map(|part| part.scans).sum::<u64>(),
    ))
}
