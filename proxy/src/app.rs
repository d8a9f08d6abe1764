//! Builds every part and owns every task.

use schemas::health::Health;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {}

/// Runs the proxy until `shutdown` is cancelled.
///
/// # Errors
/// The data folder or the address cannot be had, or a part ended early.
pub fn run(_config: Config, _health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .build()?
        .block_on(shutdown.cancelled());
    Ok(())
}
