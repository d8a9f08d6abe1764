//! Rebuilds a roll-up's month from raw clicks.
//!
//! The month is built anew beside the table and put in place of the old one by one statement, so a crash leaves either
//! the old or the new. It needs ingest stopped, since a roll-up that runs meanwhile would be lost; and it is refused
//! where raw clicks of the month are not all there, since what is built from them would be less than what is.

use anyhow::Context as _;
use schemas::names::{DATABASE, tables};

use super::compare::expired_months;
use super::{Report, RollUpBooks, Verdict};
use crate::app::connect;
use crate::config::Config;
use crate::lock::RoleLock;
use crate::pipeline::catch_up_from_receipts;
use crate::receipt::{RollUp, StreamPosition};
use crate::recover;
use crate::roll_up::{periods, quarters, visitors};
use crate::store::{Store, unique};

/// What became of a month of a roll-up that differed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The table.
    pub table: &'static str,
    /// Month of ingest, e.g. 202611.
    pub month: u32,
    /// Why it was refused; `None` when it was rebuilt.
    pub refused: Option<String>,
}

/// Rebuilds every month that the report found to differ. Ingest must be stopped.
///
/// # Errors
/// Ingest is running, or ClickHouse cannot do it. A month that is refused is in the answer.
pub async fn repair(config: &Config, report: &Report) -> anyhow::Result<Vec<Repaired>> {
    let _lock = RoleLock::take(&config.data_dir).context("stop ingest before a repair")?;
    let store = connect(&config.clickhouse)?;
    recover::quiesce(&store).await?;
    // A receipt of the rebuilt month would otherwise vouch for what an earlier month still lacks.
    let marks: Vec<_> = recover::known(&store).await?.marks().collect();
    catch_up_from_receipts(&store, &marks).await?;
    let expired = expired_months(&store).await?;
    let mut repaired = Vec::new();
    for RollUpBooks {
        table,
        month,
        verdict,
        ..
    } in &report.roll_ups
    {
        let refused = match verdict {
            Verdict::Agrees => continue,
            Verdict::Differs if !expired.contains(month) => {
                let roll_up = RollUp::ALL
                    .into_iter()
                    .find(|r| r.table() == *table)
                    .context("no such roll-up")?;
                rebuild(&store, roll_up, *month)
                    .await
                    .with_context(|| format!("cannot rebuild {month} of {table}"))?;
                None
            }
            Verdict::Differs | Verdict::Unknown => {
                Some("raw clicks of that month are not all there".to_owned())
            }
        };
        repaired.push(Repaired {
            table,
            month: *month,
            refused,
        });
    }
    Ok(repaired)
}

async fn rebuild(store: &Store, roll_up: RollUp, month: u32) -> anyhow::Result<()> {
    let table = roll_up.table();
    let beside = format!("{table}_rebuilt");
    store
        .define(&format!("DROP TABLE IF EXISTS {DATABASE}.{beside}"))
        .await?;
    store
        .define(&format!(
            "CREATE TABLE {DATABASE}.{beside} AS {DATABASE}.{table}"
        ))
        .await?;
    let clicks = format!("toYYYYMM(ingested) = {month}");
    let streams = format!(
        "SELECT epoch, worker, max(position) + 1 AS position FROM {DATABASE}.{} WHERE {clicks} GROUP BY epoch, worker",
        tables::CLICKS
    );
    let receipts: Vec<String> = store
        .rows::<StreamPosition>(&streams)
        .await?
        .iter()
        .map(|row| {
            format!(
                "(toUInt64({}), toUInt16({}), toUInt64({}))",
                row.epoch, row.worker, row.position
            )
        })
        .collect();
    if !receipts.is_empty() {
        let receipts = receipts.join(", ");
        let fill = match roll_up {
            RollUp::Periods => periods(month, &clicks, &receipts),
            RollUp::Visitors => visitors(month, &clicks, &receipts),
            RollUp::Quarters | RollUp::Streams => quarters(month, &clicks, &receipts),
        };
        let into = format!("INSERT INTO {DATABASE}.{table} ");
        let fill = fill.replacen(&into, &format!("INSERT INTO {DATABASE}.{beside} "), 1);
        store.insert_select(&fill, &unique()).await?;
    }
    store
        .define(&format!(
            "ALTER TABLE {DATABASE}.{table} REPLACE PARTITION {month} FROM {DATABASE}.{beside}"
        ))
        .await?;
    store
        .define(&format!("DROP TABLE {DATABASE}.{beside}"))
        .await?;
    Ok(())
}
