//! Clicks and visitors without breakdown, of many links or in a range.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use super::link::Version;
use super::server::{ANSWER_TIMEOUT, Server};
use super::span::Span;
use super::{Of, StatsError, Totals};

#[derive(Debug, Row, Deserialize)]
struct OfLink {
    link: u64,
    clicks: u64,
    unique_clicks: u64,
}

#[derive(Debug, Row, Deserialize)]
struct OfRange {
    clicks: u64,
    unique_clicks: u64,
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
    let sql = format!(
        "SELECT link, sum(part) AS clicks,
            if(max(busy), ifNull(uniqCombined64Merge(17)(state), 0), sum(exact)) AS unique_clicks
         FROM (
            SELECT link, sumIf(clicks, NOT is_bot) AS part, toUInt64(0) AS exact,
                uniqCombined64MergeStateIf(17)(visitors, NOT is_bot) AS state, true AS busy
            FROM signpost.clicks_by_day WHERE {which} AND dimension = 'total' GROUP BY link
            UNION ALL
            SELECT link, count() AS part, ifNull(uniqExact(visitor), 0) AS exact,
                uniqCombined64State(17)(visitor) AS state, false AS busy
            FROM signpost.clicks WHERE {which} AND NOT rolled_up AND NOT is_bot GROUP BY link
         )
         GROUP BY link HAVING clicks > 0"
    );
    let mut query = server
        .query(&sql, ANSWER_TIMEOUT)?
        .param("workspace", workspace);
    if let Some(links) = links {
        query = query.param("links", links);
    }
    let rows = server
        .answer(ANSWER_TIMEOUT, query.fetch_all::<OfLink>())
        .await?;
    let totals = |row: OfLink| Totals {
        clicks: row.clicks,
        unique_clicks: row.unique_clicks,
    };
    Ok(rows
        .into_iter()
        .map(|row| (row.link, totals(row)))
        .collect())
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

/// Of one link in a range.
pub(super) async fn in_range(
    server: &Server,
    of: Of,
    span: &Span,
    version: Version,
) -> Result<Totals, StatsError> {
    let conditions = of.conditions();
    let raw = span.not_rolled_up();
    let sql = if version.is_busy() {
        let days = Span::DAYS;
        format!(
            "SELECT sum(part) AS clicks, ifNull(uniqCombined64Merge(17)(state), 0) AS unique_clicks FROM (
                SELECT clicks AS part, visitors AS state
                FROM signpost.clicks_by_day WHERE {conditions} AND dimension = 'total' AND {days}
                UNION ALL
                SELECT count() AS part, uniqCombined64State(17)(visitor) AS state
                FROM signpost.clicks WHERE {conditions} AND {raw}
             )"
        )
    } else {
        format!(
            "SELECT count() AS clicks, ifNull(uniqExact(visitor), 0) AS unique_clicks
             FROM signpost.clicks WHERE {conditions} AND {raw}"
        )
    };
    let query = span.bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?));
    let row = server
        .answer(ANSWER_TIMEOUT, query.fetch_one::<OfRange>())
        .await?;
    Ok(Totals {
        clicks: row.clicks,
        unique_clicks: row.unique_clicks,
    })
}
