//! Receipts: up to where each roll-up holds each stream.
//!
//! A receipt is a row in the same part as the rolled-up rows it vouches for, so both are in the table or neither is.
//! `stream_days` is its own receipt: the highest position that it counts.

use std::collections::HashMap;

use clickhouse::Row;
use schemas::click::Stream;
use schemas::names::{DATABASE, tables};
use serde::Deserialize;

use crate::store::{Store, StoreError};

/// A table filled from `clicks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RollUp {
    /// `clicks_15m`.
    Quarters,
    /// `clicks_by_period`.
    Periods,
    /// `visitors_by_month`.
    Visitors,
    /// `stream_days`.
    Streams,
}

impl RollUp {
    /// In the order in which they are brought up: visitors before periods, since readers take a month's clicks in the
    /// latter as the mark of what both hold.
    pub(crate) const ALL: [Self; 4] =
        [Self::Quarters, Self::Visitors, Self::Periods, Self::Streams];

    /// The table.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Quarters => tables::CLICKS_15M,
            Self::Periods => tables::CLICKS_BY_PERIOD,
            Self::Visitors => tables::VISITORS_BY_MONTH,
            Self::Streams => tables::STREAM_DAYS,
        }
    }

    /// SQL: streams and the position below which the table has them all.
    pub(crate) fn receipts_sql(self) -> String {
        let table = self.table();
        match self {
            Self::Quarters | Self::Periods | Self::Visitors => format!(
                "SELECT epoch, worker, max(rolled_to) AS position FROM {DATABASE}.{table} \
                 WHERE workspace = 0 AND link = 0 GROUP BY epoch, worker"
            ),
            Self::Streams => {
                format!(
                    "SELECT epoch, worker, max(last) + 1 AS position FROM {DATABASE}.{table} GROUP BY epoch, worker"
                )
            }
        }
    }
}

/// A stream and a position, as several questions answer.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
pub(crate) struct StreamPosition {
    pub(crate) epoch: u64,
    pub(crate) worker: u16,
    pub(crate) position: u64,
}

impl StreamPosition {
    pub(crate) fn stream(&self) -> Stream {
        Stream {
            epoch: self.epoch,
            worker: self.worker,
        }
    }
}

/// Reads the receipts of one roll-up.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn load(
    store: &Store,
    roll_up: RollUp,
) -> Result<HashMap<Stream, u64>, StoreError> {
    let rows = store
        .rows::<StreamPosition>(&roll_up.receipts_sql())
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.stream(), row.position))
        .collect())
}
