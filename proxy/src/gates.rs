//! What stands between a visitor and a link's target, and lasts longer than one visit: cookies that say a password was
//! given, leased visits, pages and bodies.
//!
//! Shared by all serving threads. What `extended` calls here never waits; what does wait has threads of its own.

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
mod passwords;

use std::sync::Arc;

use bytes::Bytes;
use schemas::link::view::{Body, Content};
use xxhash_rust::xxh3::xxh3_128;

pub use self::door::Door;
pub use self::leases::{Leases, Lessee, Spent};
pub use self::passwords::{Checked, Passwords};
use crate::blobs::Blobs;
use crate::extended::{Asked, Granted, Reply, Wait};
use crate::feed::Caller;
use crate::files::Files;
use crate::pages::{BlobHash, Page, PageBody, filled};

/// All of it.
#[derive(Debug)]
pub struct Gates {
    /// Visits of click-limited links.
    pub leases: Arc<Leases>,
    /// Checks of passwords.
    pub passwords: Passwords,
    /// Large bodies.
    pub blobs: Arc<Blobs>,
    /// Stored files.
    pub files: Files,
    /// Passes forms on.
    pub(crate) caller: Option<Caller>,
}

impl Gates {
    /// Gates that stay shut: no control plane, no pool, no blobs.
    pub fn shut() -> Self {
        Self {
            leases: Arc::default(),
            passwords: Passwords::none(),
            blobs: Arc::default(),
            files: Files::default(),
            caller: None,
        }
    }

    /// The door of a link with a password.
    pub(crate) fn door<'a>(&self, asked: &Asked<'a>, link: u64, version: u32) -> Door<'a> {
        Door::new(asked, link, version)
    }

    /// A shared page, filled.
    ///
    /// # Errors
    /// What to wait for; `None`: it could not be had.
    pub(crate) fn page(
        &self,
        page: &Page,
        destination: &[u8],
        granted: &Granted,
    ) -> Result<Reply, Option<Wait>> {
        let body = match &page.body {
            PageBody::Inline(body) => body.clone(),
            PageBody::Blob(hash, _) => self.blob(hash, granted)?,
        };
        Ok(Reply::shared(page, filled(&body, destination)))
    }

    /// A body of a link's own.
    ///
    /// # Errors
    /// As [`Self::page`].
    pub(crate) fn body(&self, body: &Body<'_>, granted: &Granted) -> Result<Reply, Option<Wait>> {
        match body.content {
            Content::Inline(bytes) => {
                let etag = format!("{:032x}", xxh3_128(bytes));
                Ok(Reply::body(body, Bytes::copy_from_slice(bytes), &etag))
            }
            Content::Blob(hash, _) => {
                let bytes = self.blob(hash, granted)?;
                Ok(Reply::body(body, bytes, &hex::encode(hash)))
            }
        }
    }

    fn blob(&self, hash: &BlobHash, granted: &Granted) -> Result<Bytes, Option<Wait>> {
        if let Some(bytes) = self.blobs.get(hash) {
            return Ok(bytes);
        }
        match granted.blob(hash) {
            Some(Some(bytes)) => Ok(bytes),
            Some(None) => Err(None),
            None => Err(Some(Wait::Blob { hash: *hash })),
        }
    }
}
