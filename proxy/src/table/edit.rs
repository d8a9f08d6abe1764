//! A transaction: from one table to the next.

use std::sync::Arc;

use schemas::feed::{Change, MAX_LINKS_PER_CHANGE, key_hash};
use schemas::link::Entry;

use super::shard::{Op, Tally};
use super::{
    CHANGE_ID_BYTES, Invalid, LinkTable, SharedTables, Version, bits_for, shard_index, split,
};

impl LinkTable {
    /// The table after the next transaction. All of it or nothing.
    ///
    /// # Errors
    /// It is not the next one, or breaks a rule.
    pub fn apply(&self, change: &Change) -> Result<Self, Invalid> {
        let (version, shared) = self.step(self.version, &self.shared, change)?;
        let mut ops = read_ops(change)?;
        let before = ops.len();
        keep_last(&mut ops);
        if ops.len() != before {
            return Err(Invalid::Duplicate);
        }
        self.edited(version, shared, &ops)
    }

    /// The table after many transactions in a row, at the price of far fewer copies: for the change log on disk.
    ///
    /// # Errors
    /// As [`Self::apply`]; nothing is applied then.
    pub fn apply_all(&self, changes: &[Change]) -> Result<Self, Invalid> {
        let (mut version, mut shared) = (self.version, Arc::clone(&self.shared));
        let mut ops = Vec::new();
        for change in changes {
            (version, shared) = self.step(version, &shared, change)?;
            ops.append(&mut read_ops(change)?);
        }
        keep_last(&mut ops);
        self.edited(version, shared, &ops)
    }

    /// Checks that `change` follows `version`, and takes what it has beside links.
    fn step(
        &self,
        version: Version,
        shared: &Arc<SharedTables>,
        change: &Change,
    ) -> Result<(Version, Arc<SharedTables>), Invalid> {
        if version.seq.checked_add(1) != Some(change.seq) {
            return Err(Invalid::Gap {
                have: version.seq,
                got: change.seq,
            });
        }
        let shared = match &change.shared {
            Some(message) => Arc::new(shared.apply(message)?),
            None => Arc::clone(shared),
        };
        Ok((Version::new(change.seq, &change.change)?, shared))
    }

    /// The table after effects in the order of [`keep_last`].
    fn edited(
        &self,
        version: Version,
        shared: Arc<SharedTables>,
        ops: &[Op<'_>],
    ) -> Result<Self, Invalid> {
        let mut pieces = self.pieces.clone();
        let mut sums = Arc::clone(&self.sums);
        let mut links = self.links;
        if !ops.is_empty() {
            let mut tally = Tally {
                sums: self.sums.to_vec(),
                links,
            };
            let place_of = |op: &Op<'_>| split(shard_index(op.hash, self.bits), self.bits);
            for ops in ops.chunk_by(|a, b| place_of(a).0 == place_of(b).0) {
                let Some(piece) = ops.first().and_then(|op| pieces.get_mut(place_of(op).0)) else {
                    continue;
                };
                let mut shards = piece.to_vec();
                for ops in ops.chunk_by(|a, b| place_of(a).1 == place_of(b).1) {
                    if let Some(shard) = ops.first().and_then(|op| shards.get_mut(place_of(op).1)) {
                        *shard = Arc::new(shard.edit(ops, &mut tally)?);
                    }
                }
                *piece = shards.into();
            }
            sums = tally.sums.into();
            links = tally.links;
        }
        let edited = Self {
            version,
            loaded: self.loaded,
            bits: self.bits,
            pieces,
            links,
            sums,
            missing: self.missing.clone(),
            shared,
        };
        // Only growing keeps edits fast; shrinking waits for the next time a table is assembled.
        let bits = bits_for(links, self.bits);
        if bits > self.bits {
            return edited.with_bits(bits);
        }
        Ok(edited)
    }
}

/// Sorts by shard and key, and keeps the last effect on each link.
fn keep_last(ops: &mut Vec<Op<'_>>) {
    // Stable: effects on one link stay in order.
    ops.sort_by_key(|op| (op.hash, op.domain, op.slug));
    ops.dedup_by(|later, kept| {
        let same = (later.hash, later.domain, later.slug) == (kept.hash, kept.domain, kept.slug);
        if same {
            *kept = *later;
        }
        same
    });
}

fn read_ops(change: &Change) -> Result<Vec<Op<'_>>, Invalid> {
    let count = change.upsert.len() + change.delete.len();
    if count > MAX_LINKS_PER_CHANGE {
        return Err(Invalid::TooMany(count));
    }
    let mut ops = Vec::with_capacity(count);
    for bytes in &change.upsert {
        let entry = Entry::parse(bytes)?;
        ops.push(Op {
            hash: key_hash(entry.domain, entry.slug),
            domain: entry.domain,
            slug: entry.slug,
            entry: Some(bytes),
        });
    }
    for key in &change.delete {
        ops.push(Op {
            hash: key_hash(key.domain, &key.slug),
            domain: key.domain,
            slug: &key.slug,
            entry: None,
        });
    }
    Ok(ops)
}

pub(super) fn change_id(bytes: &[u8]) -> Result<[u8; CHANGE_ID_BYTES], Invalid> {
    bytes.try_into().map_err(|_| Invalid::ChangeId(bytes.len()))
}
