//! Clicks beside things that are listed.

use std::collections::HashMap;

use crate::app::App;
use crate::error::ApiError;
use crate::metrics;
use crate::stats::{StatsError, Totals};

/// Clicks counted under these ids in one question; `None` when ClickHouse is not there.
pub(crate) async fn totals(
    app: &App,
    workspace: i64,
    ids: &[i64],
) -> Result<Option<HashMap<u64, Totals>>, ApiError> {
    if ids.is_empty() {
        return Ok(Some(HashMap::new()));
    }
    let ids: Vec<u64> = ids.iter().map(|id| id.cast_unsigned()).collect();
    match app.stats.totals(workspace.cast_unsigned(), &ids).await {
        Ok(totals) => Ok(Some(totals)),
        Err(StatsError::Unavailable(why)) => {
            tracing::warn!(why, "links are listed without their clicks");
            metrics::counts_missing();
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
