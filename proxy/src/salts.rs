//! The keys of the visitor hash, as they came by the feed: written by the feed client, read by the enricher.

use std::sync::Arc;

use arc_swap::ArcSwap;
pub use schemas::feed::Salt;

/// All salts there are, replaced as a whole. Empty until the first snapshot.
pub type Salts = Arc<ArcSwap<Vec<Salt>>>;

/// No salts yet.
pub fn none() -> Salts {
    Arc::new(ArcSwap::from_pointee(Vec::new()))
}
