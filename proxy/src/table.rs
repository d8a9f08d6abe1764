//! The link table: every link and everything beside it, immutable, swapped as a whole.
//!
//! Links lie in small shards by the top bits of their key's hash, some shards to a piece, 256 pieces under the root. An edit
//! copies one shard and the pointers of one piece, the rest is shared with the table before, so a transaction costs
//! microseconds however many links there are and its effects appear in one store of one pointer. Domains, suspended
//! workspaces and salts hang on the same root for that reason.
//!
//! A shard is an arena of encoded entries and a hash table of offsets into it: less than 31 bytes a link beyond slug and
//! destination (a test holds that), where a map of owned strings takes 200.
//!
//! What it deliberately does not do: lock, read a clock, or free anything. Old tables are dropped by the thread that
//! replaces them (see `feed`), never by one that serves.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod assemble;
mod edit;
mod groups;
mod piece;
mod shard;
mod shared;

use std::sync::Arc;

use arc_swap::ArcSwap;
use schemas::feed::{CookieKey, GROUPS, Salt, group_of, key_hash};
use schemas::link::{Entry, EntryError};

pub use assemble::{Around, GroupFacts, Source, check_group};
pub use groups::GroupSet;
pub(crate) use piece::{PIECES, Piece, groups_of, piece_of_group};
pub use shared::{Domain, SharedTables};

use self::piece::piece_of;
use self::shard::Shard;
use crate::pages::Page;

/// Where workers find the newest table.
pub type Current = Arc<ArcSwap<LinkTable>>;

/// One part of this many of the table's shards may be copied at once.
const COPIED_AT_ONCE: usize = 8;

/// Length of a change's id in bytes.
pub const CHANGE_ID_BYTES: usize = 16;

/// Which transaction of the control plane's database a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version {
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub change: [u8; CHANGE_ID_BYTES],
}

/// Why a message cannot be applied. The table it was meant for is as before.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// A link entry breaks a rule.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Not the next transaction.
    #[error("change {got} does not follow {have}")]
    Gap {
        /// What the table shows.
        have: u64,
        /// What came.
        got: u64,
    },
    /// A change's id is not 16 bytes long.
    #[error("change id of {0} bytes")]
    ChangeId(usize),
    /// More links than one transaction may touch.
    #[error("change of {0} links")]
    TooMany(usize),
    /// A group number out of range, a link in the wrong group, or groups out of order.
    #[error("group {0} is not what it should be")]
    Group(usize),
    /// A group's links do not add up to its checksum.
    #[error("group {0} fails its checksum")]
    Sum(usize),
    /// A link stands twice in one message.
    #[error("the same link stands twice")]
    Duplicate,
    /// The number of links is not what the sender says.
    #[error("{got} links instead of {expected}")]
    Count {
        /// What the sender says.
        expected: u64,
        /// What there is.
        got: u64,
    },
    /// A domain that breaks a rule.
    #[error("domain {id}: {why}")]
    Domain {
        /// Its id.
        id: u32,
        /// The rule.
        why: &'static str,
    },
    /// A page that breaks a rule.
    #[error("page {id}: {why}")]
    Page {
        /// Its id.
        id: u64,
        /// The rule.
        why: &'static str,
    },
    /// A shard beyond 4 GiB.
    #[error("too many bytes in one part of the table")]
    TooLarge,
}

/// All links at one instant.
pub struct LinkTable {
    version: Version,
    /// False until a first snapshot has come from disk or feed.
    loaded: bool,
    pieces: Box<[Piece]>,
    links: u64,
    sums: Arc<[u64]>,
    missing: Option<Arc<GroupSet>>,
    shared: Arc<SharedTables>,
}

impl std::fmt::Debug for LinkTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkTable")
            .field("version", &self.version)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

/// What a look-up ends in.
#[derive(Debug)]
pub enum Lookup<'a> {
    /// There it is.
    Found(Entry<'a>),
    /// There is no such link.
    Unknown,
    /// This part of the table was damaged on disk and has not come by the feed yet: nobody can tell.
    Missing,
}

impl LinkTable {
    /// A table that has never been loaded.
    pub fn empty() -> Self {
        Self {
            version: Version::default(),
            loaded: false,
            pieces: vec![Piece::default(); PIECES].into(),
            links: 0,
            sums: Arc::new([0; GROUPS]),
            missing: None,
            shared: Arc::default(),
        }
    }

    /// Whether it shows a state of the database at all.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Which transaction it shows.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Number of links.
    pub fn links(&self) -> u64 {
        self.links
    }

    /// Checksum of each group, [`GROUPS`] of them.
    pub fn sums(&self) -> &[u64] {
        &self.sums
    }

    /// Groups that are not all there, if any.
    pub fn missing(&self) -> Option<&GroupSet> {
        self.missing.as_deref()
    }

    /// Salts of the visitor hash.
    pub fn salts(&self) -> &Arc<Vec<Salt>> {
        &self.shared.salts
    }

    /// Keys of the cookies that say a password was given.
    pub fn cookie_keys(&self) -> &[CookieKey] {
        &self.shared.cookie_keys
    }

    /// A shared page.
    pub fn page(&self, id: u64) -> Option<&Arc<Page>> {
        self.shared.page(id)
    }

    /// What lies beside the links.
    pub fn shared(&self) -> &SharedTables {
        &self.shared
    }

    /// The live domain of a normalised host name.
    #[inline]
    pub fn domain(&self, host: &[u8]) -> Option<&Domain> {
        self.shared.by_host(host)
    }

    /// The domain that stands for IP literals, `localhost` and requests without a host.
    #[inline]
    pub fn default_domain(&self) -> Option<&Domain> {
        self.shared.default_domain()
    }

    /// Whether all links of a workspace are switched off.
    #[inline]
    pub fn is_suspended(&self, workspace: u64) -> bool {
        self.shared.is_suspended(workspace)
    }

    /// The link of exactly this slug, else of the slug without one trailing slash.
    #[inline]
    pub fn find(&self, domain: u32, slug: &[u8]) -> Lookup<'_> {
        match (self.find_exact(domain, slug), slug.strip_suffix(b"/")) {
            (Lookup::Unknown, Some(shorter)) => self.find_exact(domain, shorter),
            (found, _) => found,
        }
    }

    #[inline]
    fn find_exact(&self, domain: u32, slug: &[u8]) -> Lookup<'_> {
        let hash = key_hash(domain, slug);
        if let Some(shard) = self.shard(hash)
            && let Some(tail) = shard.find(hash, domain, slug)
            && let Ok((entry, _)) = Entry::read(tail)
        {
            return Lookup::Found(entry);
        }
        match &self.missing {
            Some(missing) if missing.contains(group_of(hash)) => Lookup::Missing,
            _ => Lookup::Unknown,
        }
    }

    #[inline]
    fn shard(&self, hash: u64) -> Option<&Shard> {
        self.pieces.get(piece_of(hash))?.shard(hash)
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.pieces.iter().flat_map(Piece::shards)
    }

    /// Calls `f` with group and bytes of every link of these pieces, in no order.
    pub(crate) fn for_each_in(
        &self,
        pieces: std::ops::Range<usize>,
        mut f: impl FnMut(usize, &[u8]),
    ) {
        for entry in self
            .pieces
            .get(pieces)
            .into_iter()
            .flatten()
            .flat_map(Piece::entries)
        {
            if let Ok((domain, slug)) = Entry::read_key(entry) {
                f(group_of(key_hash(domain, slug)), entry);
            }
        }
    }

    /// How many links of transactions may be applied at once, so that only a small part of the table is there twice.
    pub(crate) fn links_at_once(&self) -> usize {
        let shards: usize = self.pieces.iter().map(Piece::count).sum();
        shards / COPIED_AT_ONCE
    }

    /// Bytes in arenas, dead ones included, and in hash tables.
    pub fn memory_bytes(&self) -> usize {
        self.shards().map(|shard| shard.memory_bytes()).sum()
    }

    /// Links in the fullest shard.
    pub fn fullest_shard(&self) -> usize {
        self.shards().map(|shard| shard.len()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
