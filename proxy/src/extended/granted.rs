//! What a request must wait for, and what waiting has got for it so far.

use bytes::Bytes;

use crate::files::{Opened, Wanted};
use crate::gates::Gates;
use crate::pages::BlobHash;

/// What waiting has got for a request so far.
#[derive(Debug, Default)]
pub struct Granted {
    /// The link whose password was given with this request.
    pub password: Option<u64>,
    /// Links of which a visit was spent for this request.
    pub(super) spent: Vec<u64>,
    /// Its turn at a rotator: the same after waiting.
    pub(super) turn: Option<u64>,
    /// Blobs that were waited for, and what came.
    blobs: Vec<(BlobHash, Option<Bytes>)>,
    /// The file that was waited for.
    pub(super) file: Option<Box<Opened>>,
}

impl Granted {
    /// A blob was waited for.
    pub(crate) fn add_blob(&mut self, hash: BlobHash, bytes: Option<Bytes>) {
        self.blobs.push((hash, bytes));
    }

    /// What came of a blob that was waited for.
    pub(crate) fn blob(&self, hash: &BlobHash) -> Option<Option<Bytes>> {
        let found = self.blobs.iter().find(|(other, _)| other == hash)?;
        Some(found.1.clone())
    }

    /// A file was waited for.
    pub(crate) fn add_file(&mut self, opened: Opened) {
        self.file = Some(Box::new(opened));
    }

    /// Whether exactly this can be sent now.
    pub(super) fn has_opened(&self, wanted: &Wanted) -> bool {
        self.file
            .as_ref()
            .is_some_and(|opened| opened.wanted == *wanted)
    }

    /// The visit is recorded: what was spent for it is spent.
    pub(crate) fn used(&mut self) {
        self.spent.clear();
    }

    /// The visit is not let through after all.
    pub(crate) fn give_back(&mut self, gates: &Gates) {
        for link in self.spent.drain(..) {
            gates.leases.give_back(link);
        }
    }
}

/// What must be waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// The form's password is to be checked against this argon2id hash.
    Password {
        /// The link.
        link: u64,
        /// PHC text.
        phc: Box<str>,
    },
    /// A visit of this link is to be leased.
    Lease {
        /// The link.
        link: u64,
    },
    /// The form is to be passed on to the control plane: it was sent to a page of this link.
    Form {
        /// The link.
        link: u64,
    },
    /// This blob is to be read from disk.
    Blob {
        /// Its SHA-256.
        hash: BlobHash,
    },
    /// This file is to be opened.
    File(Wanted),
}
