//! A table in the making: groups of links as they come in, put together a piece at a time.
//!
//! So a snapshot needs little more memory than the table it becomes, and what came whole before a connection broke is kept
//! for the next.

use std::collections::BTreeMap;

use schemas::feed::{GROUPS, SnapshotGroup};

use super::session::Ended;
use crate::table::{
    Invalid, LinkTable, PIECES, Piece, Source, check_group, groups_of, piece_of_group,
};

/// Pieces that are whole, each as of one snapshot or another.
pub(super) struct Parts {
    pub(super) pieces: Vec<Piece>,
    /// Checksum of each group in them.
    pub(super) sums: Vec<u64>,
}

impl Parts {
    /// No links.
    pub(super) fn nothing() -> Self {
        Self {
            pieces: vec![Piece::default(); PIECES],
            sums: vec![0; GROUPS],
        }
    }

    /// Those of a table.
    pub(super) fn of(table: &LinkTable) -> Self {
        Self {
            pieces: table.pieces().to_vec(),
            sums: table.sums().to_vec(),
        }
    }
}

/// A group as it comes in.
#[derive(Default)]
struct Packed {
    bytes: Vec<u8>,
    whole: bool,
}

/// Groups that are not in a piece yet.
pub(super) struct Coming {
    /// Checksum that each group must have.
    sums: Vec<u64>,
    packed: BTreeMap<usize, Packed>,
    /// Groups that came whole.
    groups: usize,
}

impl Coming {
    /// Nothing yet of a snapshot with these checksums.
    pub(super) fn new(sums: Vec<u64>) -> Self {
        Self {
            sums,
            packed: BTreeMap::new(),
            groups: 0,
        }
    }

    /// Takes a part of a group, and makes the piece when it was the last that this lacks.
    pub(super) fn group(
        &mut self,
        message: &SnapshotGroup,
        parts: &mut Parts,
    ) -> Result<(), Ended> {
        let number = message.group as usize;
        let expected = *self.sums.get(number).ok_or(Invalid::Group(number))?;
        // What is here already must not come again.
        if parts.sums.get(number) == Some(&expected) {
            return Err(Invalid::Group(number).into());
        }
        let packed = self.packed.entry(number).or_default();
        if packed.whole {
            return Err(Invalid::Group(number).into());
        }
        // Looked at when the group is whole, all of them at once.
        for bytes in &message.entry {
            packed.bytes.extend_from_slice(bytes);
        }
        if !message.last {
            return Ok(());
        }
        packed.whole = true;
        if check_group(number, &packed.bytes)?.sum != expected {
            return Err(Ended::Incomplete(Invalid::Sum(number)));
        }
        self.groups += 1;
        self.make(piece_of_group(number), parts)
    }

    /// Makes a piece if all its groups are here.
    fn make(&mut self, number: usize, parts: &mut Parts) -> Result<(), Ended> {
        let is_here = |group: usize| {
            self.packed.get(&group).is_some_and(|packed| packed.whole)
                || parts.sums.get(group) == self.sums.get(group)
        };
        if !groups_of(number).all(is_here) {
            return Ok(());
        }
        let sources: Vec<Source> = groups_of(number)
            .map(|group| match self.packed.remove(&group) {
                Some(packed) => Source::Replace(packed.bytes.into()),
                None => Source::Keep,
            })
            .collect();
        if let Some(piece) = parts.pieces.get_mut(number) {
            *piece = piece.with(number, &sources).map_err(Ended::Incomplete)?;
        }
        let groups = groups_of(number);
        if let (Some(have), Some(new)) = (parts.sums.get_mut(groups.clone()), self.sums.get(groups))
        {
            have.copy_from_slice(new);
        }
        Ok(())
    }

    /// How many groups came, once nothing is lacking.
    pub(super) fn finish(self, parts: &Parts) -> Result<usize, Ended> {
        let lacking = |(have, expected): &(&u64, &u64)| have != expected;
        match parts
            .sums
            .iter()
            .zip(&self.sums)
            .position(|pair| lacking(&pair))
        {
            None => Ok(self.groups),
            Some(group) => Err(Ended::Incomplete(Invalid::Sum(group))),
        }
    }
}
