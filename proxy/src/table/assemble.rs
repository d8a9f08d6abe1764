//! Tables made of whole groups: from a snapshot on disk or by the feed.

use std::sync::Arc;

use bytes::Bytes;
use schemas::feed::{entry_sum, group_of, key_hash};
use schemas::link::Entry;

use super::piece::{PIECES, Piece, groups_of};
use super::{GroupSet, Invalid, LinkTable, SharedTables, Version, edit};

/// Where a group's links come from.
#[derive(Debug)]
pub enum Source {
    /// As in the table before.
    Keep,
    /// These encoded entries, end to end, as [`check_group`] has accepted them.
    Replace(Bytes),
}

/// What there is to know of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupFacts {
    /// Its checksum.
    pub sum: u64,
    /// Its number of links.
    pub links: u64,
}

/// Checks every entry of a group that lies end to end in `packed`.
///
/// # Errors
/// The first entry that breaks a rule or belongs elsewhere.
pub fn check_group(group: usize, packed: &[u8]) -> Result<GroupFacts, Invalid> {
    let mut facts = GroupFacts { sum: 0, links: 0 };
    let mut rest = packed;
    while !rest.is_empty() {
        let (_, after) = Entry::read(rest)?;
        let (bytes, _) = rest
            .split_at_checked(rest.len() - after.len())
            .ok_or(Invalid::Group(group))?;
        let entry = Entry::parse(bytes)?;
        if group_of(key_hash(entry.domain, entry.slug)) != group {
            return Err(Invalid::Group(group));
        }
        facts.sum = facts.sum.wrapping_add(entry_sum(bytes));
        facts.links += 1;
        rest = after;
    }
    Ok(facts)
}

/// What a table is beside its links.
#[derive(Debug)]
pub struct Around {
    /// Which transaction it shows.
    pub version: Version,
    /// Domains, pages, salts.
    pub shared: SharedTables,
    /// Checksum of each group: what the links add up to.
    pub sums: Arc<[u64]>,
    /// Number of links.
    pub links: u64,
    /// Groups that are known not to be whole.
    pub missing: GroupSet,
}

impl LinkTable {
    /// A table of another version whose groups come from `source` (asked once for each group, in order).
    ///
    /// # Errors
    /// A link stands twice, or the links are not as many as `around` says.
    pub fn assemble(
        &self,
        around: Around,
        mut source: impl FnMut(usize) -> Source,
    ) -> Result<Self, Invalid> {
        let pieces = self.pieces.iter().enumerate().map(|(number, piece)| {
            let sources: Vec<Source> = groups_of(number).map(&mut source).collect();
            piece.with(number, &sources)
        });
        Self::of(around, pieces.collect::<Result<_, _>>()?)
    }

    /// A table of these [`PIECES`], whose links add up to the checksums of `around`.
    ///
    /// # Errors
    /// The links are not as many as `around` says.
    pub(crate) fn of(around: Around, pieces: Box<[Piece]>) -> Result<Self, Invalid> {
        debug_assert_eq!(pieces.len(), PIECES);
        let got = pieces.iter().map(|piece| piece.links() as u64).sum();
        if got != around.links {
            return Err(Invalid::Count {
                expected: around.links,
                got,
            });
        }
        Ok(Self {
            version: around.version,
            loaded: true,
            pieces,
            links: around.links,
            sums: around.sums,
            missing: (!around.missing.is_empty()).then(|| Arc::new(around.missing)),
            shared: Arc::new(around.shared),
        })
    }

    /// Its pieces.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

impl Version {
    /// A version as messages spell it.
    ///
    /// # Errors
    /// The id is not 16 bytes long.
    pub fn new(seq: u64, change: &[u8]) -> Result<Self, Invalid> {
        Ok(Self {
            seq,
            change: edit::change_id(change)?,
        })
    }
}
