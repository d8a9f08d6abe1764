//! Builds every part and owns every task.

use std::sync::Arc;

use schemas::settings::Secret;

use crate::clock::Clock;
use crate::config::Config;
use crate::stats::Stats;
use crate::store::Store;

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// The settings.
    pub config: Config,
    /// The link database.
    pub store: Store,
    /// Statistics.
    pub stats: Stats,
    /// Token of the feed.
    pub feed_token: Secret,
    /// The time of day.
    pub clock: Clock,
    /// Cancelled when the process is to end: streams without an end of their own stop then.
    pub shutdown: tokio_util::sync::CancellationToken,
}

/// Placeholder until the API is there.
pub fn router(app: Arc<App>) -> axum::Router {
    crate::router::router(app)
}
