//! A transaction: from one table to the next.

use std::sync::Arc;

use schemas::feed::{Change, MAX_LINKS_PER_CHANGE, key_hash};
use schemas::link::Entry;

use super::piece::piece_of;
use super::shard::{Op, Tally};
use super::{CHANGE_ID_BYTES, Invalid, LinkTable, SharedTables, Version};

impl LinkTable {
    /// The table after the next transaction. All of it or nothing.
    ///
    /// # Errors
    /// It is not the next one, or breaks a rule.
    pub fn apply(&self, change: &Change) -> Result<Self, Invalid> {
        self.apply_all(std::slice::from_ref(change))
    }

    /// The table after many transactions in a row, at the price of far fewer copies.
    ///
    /// # Errors
    /// As [`Self::apply`]; nothing is applied then.
    pub fn apply_all(&self, changes: &[Change]) -> Result<Self, Invalid> {
        let (mut version, mut shared) = (self.version, Arc::clone(&self.shared));
        let mut ops = Vec::new();
        for change in changes {
            (version, shared) = self.step(version, &shared, change)?;
            let mut own = read_ops(change)?;
            let count = own.len();
            keep_last(&mut own);
            if own.len() != count {
                return Err(Invalid::Duplicate);
            }
            ops.append(&mut own);
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
            for ops in ops.chunk_by(|a, b| piece_of(a.hash) == piece_of(b.hash)) {
                let piece = ops.first().and_then(|op| pieces.get_mut(piece_of(op.hash)));
                if let Some(piece) = piece {
                    *piece = piece.edit(ops, &mut tally)?;
                }
            }
            sums = tally.sums.into();
            links = tally.links;
        }
        Ok(Self {
            version,
            loaded: self.loaded,
            pieces,
            links,
            sums,
            missing: self.missing.clone(),
            shared,
        })
    }
}

/// Sorts by hash and key, and keeps the last effect on each link.
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
