//! What stands between a visitor and a link's target, and lasts longer than one visit: cookies that say a password was
//! given, leased visits, pages and bodies.
//!
//! Shared by all serving threads. What they call here never waits; what does wait has threads of its own.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod door;
mod leases;

use std::sync::Arc;

use bytes::Bytes;
use schemas::link::view::{Body, Content};
use xxhash_rust::xxh3::xxh3_128;

pub use self::door::Door;
pub use self::leases::{Leases, Spent};
use crate::extended::{Asked, Reply, Wait};
use crate::pages::{Page, PageBody, filled};

/// All of it.
#[derive(Debug, Default)]
pub struct Gates {
    /// Visits of click-limited links.
    pub leases: Arc<Leases>,
}

impl Gates {
    /// The door of a link with a password.
    pub(crate) fn door<'a>(&self, asked: &Asked<'a>, link: u64, version: u32) -> Door<'a> {
        Door::new(asked, link, version)
    }

    /// A shared page, filled.
    ///
    /// # Errors
    /// What to wait for; `None`: it has never been fetched.
    pub(crate) fn page(&self, page: &Page, destination: &[u8]) -> Result<Reply, Option<Wait>> {
        let body = match &page.body {
            PageBody::Inline(body) => body.clone(),
            PageBody::Blob(..) => return Err(None),
        };
        Ok(Reply::shared(page, filled(&body, destination)))
    }

    /// A body of a link's own.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub(crate) fn body(&self, body: &Body<'_>) -> Result<Reply, Option<Wait>> {
        match body.content {
            Content::Inline(bytes) => {
                let etag = format!("{:032x}", xxh3_128(bytes));
                Ok(Reply::body(body, Bytes::copy_from_slice(bytes), &etag))
            }
            Content::Blob(..) => Err(None),
        }
    }
}
