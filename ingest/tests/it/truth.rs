//! Whether the tables hold exactly what was written: worked out from what the test wrote and from raw rows, by SQL of
//! its own.

use clickhouse::Row;
use serde::Deserialize;

use crate::support::{World, eventually};

#[derive(Debug, Row, Deserialize)]
struct Id {
    epoch: u64,
    worker: u16,
    position: u64,
}

/// (dimension, expression) as documented in `schemas/clickhouse/README.md`.
const DIMENSIONS: &str = "[('country', toString(country)), ('region', toString(region)), ('city', toString(city)), \
    ('device', toString(device)), ('os', if(os = '', '', trimRight(os || ' ' || os_version))), \
    ('browser', toString(browser)), ('language', toString(language)), ('referrer_host', toString(referrer_host)), \
    ('utm_source', toString(utm_source)), ('utm_medium', toString(utm_medium)), \
    ('utm_campaign', toString(utm_campaign)), ('utm_term', toString(utm_term)), \
    ('utm_content', toString(utm_content)), ('variant', if(variant = 0, '', toString(variant)))]";

impl World {
    /// Every click that was written is stored once and no other is; all roll-ups agree with raw rows.
    pub(crate) async fn is_exact(&self) {
        let mut expected = self.log.ids.clone();
        expected.sort_unstable();
        self.holds(&expected).await;
        self.roll_ups_agree().await;
    }

    /// Waits until each roll-up has something.
    pub(crate) async fn rolled_up(&self) {
        eventually("all rolled up", async || {
        let receipts = "SELECT countIf(n = 0) FROM (SELECT count() AS n FROM signpost.clicks_15m WHERE link = 0 \
                        UNION ALL SELECT count() FROM signpost.clicks_by_period WHERE link = 0 \
                        UNION ALL SELECT count() FROM signpost.visitors_by_month WHERE link = 0 \
                        UNION ALL SELECT count() FROM signpost.stream_days)";
        (self.number(receipts).await == 0).then_some(())
    })
    .await;
    }

    pub(crate) async fn holds(&self, expected: &[(u64, u16, u64)]) {
        let stored = self.rows::<Id>("SELECT epoch, worker, position FROM signpost.clicks ORDER BY epoch, worker, position").await;
        let stored: Vec<_> = stored
            .into_iter()
            .map(|id| (id.epoch, id.worker, id.position))
            .collect();
        if stored == expected {
            return;
        }
        let missing = expected.iter().filter(|id| !stored.contains(id)).count();
        let foreign = stored.iter().filter(|id| !expected.contains(id)).count();
        panic!(
            "{} expected, {} stored, {missing} missing, {foreign} foreign",
            expected.len(),
            stored.len()
        );
    }

    pub(crate) async fn roll_ups_agree(&self) {
        self.same(
            "SELECT workspace, link, bucket, is_bot, sum(clicks), sum(scans) FROM signpost.clicks_15m \
             WHERE link != 0 GROUP BY ALL",
            "SELECT workspace, link, toStartOfFifteenMinutes(time), is_bot, count(), countIf(is_scan) \
             FROM signpost.clicks GROUP BY ALL",
        )
        .await;
        for (period, start) in [
            ("day", "toDate(time)"),
            (
                "five_days",
                "toStartOfMonth(time) + [0, 5, 10, 15, 20, 25, 25][1 + intDiv(toDayOfMonth(time) - 1, 5)]",
            ),
            ("month", "toStartOfMonth(time)"),
        ] {
            self.same(
                &format!(
                    "SELECT workspace, link, toString(dimension), start, value, is_bot, sum(clicks), sum(scans) \
                     FROM signpost.clicks_by_period \
                     WHERE link != 0 AND period = '{period}' AND dimension NOT IN ('total', 'day') GROUP BY ALL"
                ),
                &format!(
                    "SELECT workspace, link, d.1, {start}, d.2, is_bot, count(), countIf(is_scan) \
                     FROM signpost.clicks ARRAY JOIN {DIMENSIONS} AS d WHERE rolled_up AND d.2 != '' GROUP BY ALL"
                ),
            )
            .await;
        }
        self.same(
            "SELECT workspace, link, start, toDate(value), is_bot, sum(clicks), sum(scans) \
             FROM signpost.clicks_by_period WHERE link != 0 AND period = 'month' AND dimension = 'day' GROUP BY ALL",
            "SELECT workspace, link, toStartOfMonth(time), toDate(time), is_bot, count(), countIf(is_scan) \
             FROM signpost.clicks WHERE rolled_up GROUP BY ALL",
        )
        .await;
        self.same(
            "SELECT workspace, link, start, is_bot, sum(clicks), sum(scans), uniqCombined64Merge(12)(visitors) \
             FROM signpost.clicks_by_period WHERE link != 0 AND period = 'month' AND dimension = 'total' GROUP BY ALL",
            "SELECT workspace, link, toStartOfMonth(time), is_bot, count(), countIf(is_scan), \
             uniqCombined64(12)(visitor) FROM signpost.clicks WHERE rolled_up GROUP BY ALL",
        )
        .await;
        self.same(
            "SELECT workspace, link, month, is_bot, visitor, groupBitOr(days), sum(clicks) \
             FROM signpost.visitors_by_month WHERE link != 0 GROUP BY ALL",
            "SELECT workspace, link, toStartOfMonth(time), is_bot, assumeNotNull(visitor), \
             groupBitOr(bitShiftLeft(toUInt32(1), toDayOfMonth(time) - 1)), count() \
             FROM signpost.clicks WHERE rolled_up AND visitor IS NOT NULL GROUP BY ALL",
        )
        .await;
        self.same(
            "SELECT epoch, worker, day, sum(stored), min(first), max(last) FROM signpost.stream_days GROUP BY ALL",
            "SELECT epoch, worker, toDate(ingested), count(), min(position), max(position) FROM signpost.clicks GROUP BY ALL",
        )
        .await;
    }

    async fn same(&self, left: &str, right: &str) {
        for (a, b) in [(left, right), (right, left)] {
            let differing = self
                .number(&format!("SELECT count() FROM ({a} EXCEPT {b})"))
                .await;
            assert_eq!(differing, 0, "rows of\n{a}\nthat are not in\n{b}");
        }
    }
}
