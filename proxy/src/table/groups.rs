//! A set of groups.

use schemas::feed::GROUPS;

/// A set of group numbers below [`GROUPS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSet([u64; GROUPS / 64]);

impl GroupSet {
    /// The empty set.
    pub const fn none() -> Self {
        Self([0; GROUPS / 64])
    }

    /// All groups.
    pub const fn all() -> Self {
        Self([u64::MAX; GROUPS / 64])
    }

    /// Adds a group.
    pub fn insert(&mut self, group: usize) {
        if let Some(word) = self.0.get_mut(group / 64) {
            *word |= 1 << (group % 64);
        }
    }

    /// Takes a group out.
    pub fn remove(&mut self, group: usize) {
        if let Some(word) = self.0.get_mut(group / 64) {
            *word &= !(1 << (group % 64));
        }
    }

    /// Whether a group is in it.
    #[inline]
    pub fn contains(&self, group: usize) -> bool {
        self.0
            .get(group / 64)
            .is_some_and(|word| word & (1 << (group % 64)) != 0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}
