//! A shard: an arena of encoded entries and a hash table of offsets into it. Immutable; an edit makes another one.
//!
//! An edit appends to a copy of the arena and leaves what it replaces there as dead bytes, because two plain copies are
//! faster than hashing every entry again. At a quarter of dead bytes the shard is packed anew.

use bytes::Bytes;
use hashbrown::HashTable;
use schemas::feed::{entry_sum, group_of, key_hash};
use schemas::link::Entry;

use super::Invalid;

/// Sizes of arenas that edits make are multiples of this. Each is a little larger than the one it replaces: without sizes in
/// common none would fit where another was, and memory that was freed would lie about in pieces.
const ARENA_STEP: usize = 2048;

#[derive(Debug, Default)]
pub(super) struct Shard {
    offsets: HashTable<u32>,
    arena: Bytes,
    dead: usize,
}

/// One effect of a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op<'a> {
    pub(super) hash: u64,
    pub(super) domain: u32,
    pub(super) slug: &'a [u8],
    /// The new entry; `None`: the link is gone.
    pub(super) entry: Option<&'a [u8]>,
}

/// What effects do to the books of a table.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) sums: Vec<u64>,
    pub(super) links: u64,
}

impl Tally {
    fn add(&mut self, hash: u64, entry: &[u8]) {
        self.links = self.links.wrapping_add(1);
        if let Some(sum) = self.sums.get_mut(group_of(hash)) {
            *sum = sum.wrapping_add(entry_sum(entry));
        }
    }

    fn subtract(&mut self, hash: u64, entry: &[u8]) {
        self.links = self.links.wrapping_sub(1);
        if let Some(sum) = self.sums.get_mut(group_of(hash)) {
            *sum = sum.wrapping_sub(entry_sum(entry));
        }
    }
}

/// All keys of a shard share the top bits of their hash, and the hash table takes its tags from the top bits.
#[inline]
fn table_hash(key_hash: u64) -> u64 {
    key_hash.rotate_left(32)
}

#[inline]
fn is_at(arena: &[u8], offset: u32, domain: u32, slug: &[u8]) -> bool {
    arena
        .get(offset as usize..)
        .is_some_and(|tail| Entry::read_key(tail) == Ok((domain, slug)))
}

fn hash_at(arena: &[u8], offset: u32) -> u64 {
    arena
        .get(offset as usize..)
        .and_then(|tail| Entry::read_key(tail).ok())
        .map_or(0, |(domain, slug)| table_hash(key_hash(domain, slug)))
}

fn entry_at(arena: &[u8], offset: u32) -> Option<&[u8]> {
    let tail = arena.get(offset as usize..)?;
    let (_, rest) = Entry::read(tail).ok()?;
    tail.get(..tail.len() - rest.len())
}

impl Shard {
    /// A shard of these entries (hash of the key, bytes), without a byte to spare.
    pub(super) fn build(entries: &[(u64, &[u8])]) -> Result<Self, Invalid> {
        let length = entries.iter().map(|(_, entry)| entry.len()).sum();
        if u32::try_from(length).is_err() {
            return Err(Invalid::TooLarge);
        }
        let mut arena = Vec::with_capacity(length);
        let mut offsets = HashTable::with_capacity(entries.len());
        for (hash, entry) in entries {
            let offset = arena.len() as u32;
            let (domain, slug) = Entry::read_key(entry)?;
            let slot = offsets.entry(
                table_hash(*hash),
                |o| is_at(&arena, *o, domain, slug),
                |o| hash_at(&arena, *o),
            );
            match slot {
                hashbrown::hash_table::Entry::Occupied(_) => return Err(Invalid::Duplicate),
                hashbrown::hash_table::Entry::Vacant(slot) => slot.insert(offset),
            };
            arena.extend_from_slice(entry);
        }
        Ok(Self {
            offsets,
            arena: arena.into(),
            dead: 0,
        })
    }

    /// The arena from the entry of this key on.
    #[inline]
    pub(super) fn find(&self, hash: u64, domain: u32, slug: &[u8]) -> Option<&[u8]> {
        let offset = self
            .offsets
            .find(table_hash(hash), |o| is_at(&self.arena, *o, domain, slug))?;
        self.arena.get(*offset as usize..)
    }

    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.arena.len() + self.offsets.allocation_size()
    }

    /// All entries, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.offsets
            .iter()
            .filter_map(|o| entry_at(&self.arena, *o))
    }

    /// This shard after these effects.
    pub(super) fn edit(&self, ops: &[Op<'_>], tally: &mut Tally) -> Result<Self, Invalid> {
        let added: usize = ops.iter().filter_map(|op| op.entry).map(<[u8]>::len).sum();
        let length = self.arena.len() + added;
        if u32::try_from(length).is_err() {
            return Err(Invalid::TooLarge);
        }
        let mut arena = Vec::with_capacity(length.next_multiple_of(ARENA_STEP));
        arena.extend_from_slice(&self.arena);
        let mut offsets = self.offsets.clone();
        let mut dead = self.dead;
        for op in ops {
            let hash = table_hash(op.hash);
            let found = offsets.find_entry(hash, |o| is_at(&arena, *o, op.domain, op.slug));
            if let Ok(slot) = found {
                let (offset, _) = slot.remove();
                if let Some(old) = entry_at(&arena, offset) {
                    dead += old.len();
                    tally.subtract(op.hash, old);
                }
            }
            if let Some(entry) = op.entry {
                tally.add(op.hash, entry);
                let offset = arena.len() as u32;
                arena.extend_from_slice(entry);
                offsets.insert_unique(hash, offset, |o| hash_at(&arena, *o));
            }
        }
        let edited = Self {
            offsets,
            arena: arena.into(),
            dead,
        };
        if dead > edited.arena.len() / 4 {
            return edited.packed();
        }
        Ok(edited)
    }

    fn packed(&self) -> Result<Self, Invalid> {
        let entries: Vec<_> = self
            .entries()
            .filter_map(|entry| {
                let (domain, slug) = Entry::read_key(entry).ok()?;
                Some((key_hash(domain, slug), entry))
            })
            .collect();
        Self::build(&entries)
    }
}
