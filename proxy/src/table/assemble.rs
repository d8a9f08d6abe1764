//! Tables made of whole groups: from a snapshot on disk or by the feed, or with another number of shards.

use std::sync::Arc;

use bytes::Bytes;
use schemas::feed::{GROUPS, entry_sum, group_of, key_hash};
use schemas::link::Entry;

use super::shard::Shard;
use super::{
    GroupSet, Invalid, LinkTable, MAX_BITS, SharedTables, Version, bits_for, edit, shard_index,
    spine,
};

/// Bits of a group's number.
const GROUP_BITS: u32 = GROUPS.trailing_zeros();

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

impl LinkTable {
    /// A table of another version whose groups come from `source` (asked once for each group, in order). `sums` and
    /// `links` are what the result adds up to; `missing` are groups that are known not to be whole.
    ///
    /// # Errors
    /// A link stands twice, or the links do not add up to `links`.
    pub fn assemble(
        &self,
        version: Version,
        shared: SharedTables,
        sums: Arc<[u64]>,
        links: u64,
        missing: GroupSet,
        source: impl FnMut(usize) -> Source,
    ) -> Result<Self, Invalid> {
        let bits = bits_for(links, self.bits);
        let shards = self.shards_from(bits, source)?;
        let got = shards.iter().map(|shard| shard.len() as u64).sum();
        if got != links {
            return Err(Invalid::Count {
                expected: links,
                got,
            });
        }
        Ok(Self {
            version,
            loaded: true,
            bits,
            pieces: spine(shards, bits),
            links,
            sums,
            missing: (!missing.is_empty()).then(|| Arc::new(missing)),
            shared: Arc::new(shared),
        })
    }

    /// The same table in another number of shards.
    pub(super) fn with_bits(&self, bits: u32) -> Result<Self, Invalid> {
        let shards = self.shards_from(bits, |_| Source::Keep)?;
        Ok(Self {
            version: self.version,
            loaded: self.loaded,
            bits,
            pieces: spine(shards, bits),
            links: self.links,
            sums: Arc::clone(&self.sums),
            missing: self.missing.clone(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// An empty table that will be assembled into this many shards, as a power of two.
    pub(crate) fn empty_with_bits(bits: u32) -> Self {
        let bits = bits.min(MAX_BITS);
        let shards = (0..1_usize << bits).map(|_| Arc::default()).collect();
        Self {
            bits,
            pieces: spine(shards, bits),
            ..Self::empty()
        }
    }

    fn shards_from(
        &self,
        bits: u32,
        mut source: impl FnMut(usize) -> Source,
    ) -> Result<Vec<Arc<Shard>>, Invalid> {
        let old: Vec<&Arc<Shard>> = self.shards().collect();
        // The key space in units: each is whole groups, whole old and whole new shards.
        let unit_bits = self.bits.min(bits).min(GROUP_BITS);
        let mut shards = Vec::with_capacity(1 << bits);
        let old_units = old.chunks(1 << (self.bits - unit_bits));
        for (unit, old_shards) in old_units.enumerate() {
            let groups = 1 << (GROUP_BITS - unit_bits);
            let first = unit * groups;
            let sources: Vec<Source> = (first..first + groups).map(&mut source).collect();
            let kept = |group: usize| {
                matches!(
                    sources.get(group.wrapping_sub(first)),
                    Some(Source::Keep) | None
                )
            };
            if bits == self.bits && (first..first + groups).all(kept) {
                shards.extend(old_shards.iter().map(|shard| Arc::clone(shard)));
                continue;
            }
            let count = 1_usize << (bits - unit_bits);
            let mut parts: Vec<Vec<(u64, &[u8])>> = vec![Vec::new(); count];
            let mut put = |hash, entry| {
                let place = shard_index(hash, bits) & (count - 1);
                if let Some(part) = parts.get_mut(place) {
                    part.push((hash, entry));
                }
            };
            for entry in old_shards.iter().flat_map(|shard| shard.entries()) {
                let (domain, slug) = Entry::read_key(entry)?;
                let hash = key_hash(domain, slug);
                if kept(group_of(hash)) {
                    put(hash, entry);
                }
            }
            for packed in &sources {
                let Source::Replace(packed) = packed else {
                    continue;
                };
                let mut rest: &[u8] = packed;
                while !rest.is_empty() {
                    let (entry, after) = Entry::read(rest)?;
                    let bytes = rest.get(..rest.len() - after.len()).unwrap_or_default();
                    put(key_hash(entry.domain, entry.slug), bytes);
                    rest = after;
                }
            }
            for part in &parts {
                shards.push(Arc::new(Shard::build(part)?));
            }
        }
        Ok(shards)
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
