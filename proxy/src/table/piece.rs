//! A piece of the key space: whole groups of links, in 2^k shards.
//!
//! The number of pieces is fixed, the number of shards in each grows with its links. So a table of any size grows a piece at a
//! time, by 1/256 of its memory and in milliseconds, and can be made piece by piece from what comes off a disk or a network.

use std::ops::Range;
use std::sync::Arc;

use schemas::feed::{GROUPS, group_of, key_hash};
use schemas::link::Entry;

use super::shard::{Op, Shard, Tally};
use super::{Invalid, Source};

/// Pieces of a table, as a power of two: few, since an edit copies a pointer for each; and many, since it is a piece that
/// is made anew when links have become too many for its shards.
const PIECE_BITS: u32 = 8;

/// Pieces of a table.
pub(crate) const PIECES: usize = 1 << PIECE_BITS;

/// Groups of a piece.
const PIECE_GROUPS: usize = GROUPS / PIECES;

/// Mean links a shard at which their number doubles: some 40 kB, which an edit copies in a few microseconds. A transaction of a
/// thousand links copies a thousand shards, so larger ones would make bulk loads slow, and smaller ones make the list of
/// shards, which is copied too, long.
const GROW_AT: usize = 400;

/// Most shards of a piece, as a power of two: enough for 1.6 billion links in all pieces.
const MAX_BITS: u32 = 14;

/// Some links and their shards; immutable, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Piece(Arc<[Arc<Shard>]>);

impl Default for Piece {
    /// No links.
    fn default() -> Self {
        Self(Arc::new([Arc::default()]))
    }
}

/// Piece that a key is in.
#[inline]
pub(super) fn piece_of(hash: u64) -> usize {
    (hash >> (64 - PIECE_BITS)) as usize
}

/// Groups of a piece.
pub(crate) fn groups_of(piece: usize) -> Range<usize> {
    piece * PIECE_GROUPS..(piece + 1) * PIECE_GROUPS
}

/// Piece of a group.
pub(crate) fn piece_of_group(group: usize) -> usize {
    group / PIECE_GROUPS
}

/// Place of a key among this many shards, a power of two: the bits behind the piece's.
#[inline]
fn place(hash: u64, shards: usize) -> usize {
    let bits = shards.trailing_zeros();
    // In two steps, for a shift by all 64 bits is not allowed.
    (((hash << PIECE_BITS) >> 1) >> (63 - bits)) as usize
}

/// Shards for this many links.
fn shards_for(links: usize) -> usize {
    let shards = links.div_ceil(GROW_AT).max(1).next_power_of_two();
    shards.min(1 << MAX_BITS)
}

impl Piece {
    /// A piece of these entries (hash of the key, bytes), which belong in it.
    ///
    /// # Errors
    /// A link stands twice.
    pub(crate) fn build(entries: &[(u64, &[u8])]) -> Result<Self, Invalid> {
        let mut parts: Vec<Vec<(u64, &[u8])>> = vec![Vec::new(); shards_for(entries.len())];
        let count = parts.len();
        for (hash, entry) in entries {
            if let Some(part) = parts.get_mut(place(*hash, count)) {
                part.push((*hash, entry));
            }
        }
        let shards = parts.iter().map(|part| Shard::build(part).map(Arc::new));
        Ok(Self(shards.collect::<Result<_, _>>()?))
    }

    /// The piece with some of its groups replaced; `sources` has one for each group of the piece.
    ///
    /// # Errors
    /// A link stands twice, or bytes are no entries: [`super::check_group`] has not seen them.
    pub(crate) fn with(&self, piece: usize, sources: &[Source]) -> Result<Self, Invalid> {
        let kept = |group: usize| {
            let source = sources.get(group.wrapping_sub(groups_of(piece).start));
            matches!(source, Some(Source::Keep) | None)
        };
        if groups_of(piece).all(kept) {
            return Ok(self.clone());
        }
        let mut entries = self.hashed()?;
        entries.retain(|(hash, _)| kept(group_of(*hash)));
        for packed in sources {
            let Source::Replace(packed) = packed else {
                continue;
            };
            let mut rest: &[u8] = packed;
            while !rest.is_empty() {
                let (entry, after) = Entry::read(rest)?;
                let bytes = rest.get(..rest.len() - after.len()).unwrap_or_default();
                entries.push((key_hash(entry.domain, entry.slug), bytes));
                rest = after;
            }
        }
        Self::build(&entries)
    }

    /// The piece after effects in the order of their hashes.
    pub(super) fn edit(&self, ops: &[Op<'_>], tally: &mut Tally) -> Result<Self, Invalid> {
        let mut shards = self.0.to_vec();
        let count = shards.len();
        let mut crowded = false;
        for ops in ops.chunk_by(|a, b| place(a.hash, count) == place(b.hash, count)) {
            let shard = ops
                .first()
                .and_then(|op| shards.get_mut(place(op.hash, count)));
            if let Some(shard) = shard {
                *shard = Arc::new(shard.edit(ops, tally)?);
                crowded |= shard.len() > GROW_AT;
            }
        }
        let edited = Self(shards.into());
        // Only growing keeps edits fast; shrinking waits for the next time the piece is made.
        if crowded && shards_for(edited.links()) > count {
            return Self::build(&edited.hashed()?);
        }
        Ok(edited)
    }

    /// All entries with the hashes of their keys, in no order.
    fn hashed(&self) -> Result<Vec<(u64, &[u8])>, Invalid> {
        let mut entries = Vec::with_capacity(self.links());
        for entry in self.entries() {
            let (domain, slug) = Entry::read_key(entry)?;
            entries.push((key_hash(domain, slug), entry));
        }
        Ok(entries)
    }

    #[inline]
    pub(super) fn shard(&self, hash: u64) -> Option<&Shard> {
        self.0.get(place(hash, self.0.len())).map(|shard| &**shard)
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.0.iter().map(|shard| &**shard)
    }

    /// All entries, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().flat_map(|shard| shard.entries())
    }

    /// Number of shards.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Number of links.
    pub(crate) fn links(&self) -> usize {
        self.0.iter().map(|shard| shard.len()).sum()
    }
}
