//! Ids as UUIDs, for dialects that have them: a number and its kind, encrypted. The same number is the same UUID for ever,
//! no two things share one, nobody can tell from one what others there are, and none is stored or looked up in an index.
//!
//! A UUID of version 4 has 122 free bits. Ours hold the kind (6 bits), the id (63) and 53 zeros, put through a Feistel
//! network of 61-bit halves whose round function is SHA-256 under a key of the installation. What was not made so (another
//! installation's, a made-up one) has zeros in all 53 places by a chance of 10^-16.

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid, Variant};

/// Length of the key, in bytes.
pub const KEY_BYTES: usize = 32;

/// Bits of half a block.
const HALF: u32 = 61;

/// The lowest bits of a half.
const MASK: u64 = (1 << HALF) - 1;

/// Rounds: four make a Feistel network a strong permutation (Luby and Rackoff); twice as many cost a microsecond.
const ROUNDS: u8 = 8;

/// Zeros that stand behind kind and id.
const CHECK: u32 = 53;

/// What an id is of. The numbers are in UUIDs that clients keep: never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A link.
    Link = 1,
    /// A workspace.
    Workspace = 2,
    /// A folder.
    Folder = 3,
    /// A domain.
    Domain = 4,
    /// A tag.
    Tag = 5,
}

/// The way there and back.
#[derive(Clone)]
pub struct Uuids {
    /// The state of SHA-256 after the key.
    keyed: Sha256,
}

impl std::fmt::Debug for Uuids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Uuids")
    }
}

impl Uuids {
    /// Under this key.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let mut keyed = Sha256::new();
        keyed.update(key);
        Self { keyed }
    }

    /// The UUID of an id.
    pub fn of(&self, kind: Kind, id: i64) -> Uuid {
        let plain =
            (u128::from(kind as u8) << 63 | u128::from(id.cast_unsigned() & MAX_ID)) << CHECK;
        let (mut left, mut right) = halves(plain);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.round(round, right));
        }
        put(left, right)
    }

    /// The id of a UUID, where it is one of ours and of this kind.
    pub fn id(&self, kind: Kind, uuid: &Uuid) -> Option<i64> {
        if uuid.get_version_num() != 4 || uuid.get_variant() != Variant::RFC4122 {
            return None;
        }
        let (mut left, mut right) = take(uuid);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        let plain = u128::from(left) << HALF | u128::from(right);
        let (head, check) = (plain >> CHECK, plain & ((1 << CHECK) - 1));
        let is_ours = check == 0 && head >> 63 == u128::from(kind as u8);
        is_ours
            .then(|| i64::try_from(head & u128::from(MAX_ID)).ok())
            .flatten()
    }

    fn round(&self, round: u8, half: u64) -> u64 {
        let mut hash = self.keyed.clone();
        hash.update([round]);
        hash.update(half.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first) & MASK
    }
}

/// The 63 bits of an id.
const MAX_ID: u64 = i64::MAX.cast_unsigned();

fn halves(block: u128) -> (u64, u64) {
    let half = |bits: u128| u64::try_from(bits & u128::from(MASK)).unwrap_or_default();
    (half(block >> HALF), half(block))
}

/// 122 bits around the six of version and variant.
fn put(left: u64, right: u64) -> Uuid {
    let block = u128::from(left) << HALF | u128::from(right);
    let (high, middle, low) = (block >> 74, block >> 62 & 0xfff, block & ((1 << 62) - 1));
    let bits = high << 80 | middle << 64 | low;
    Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}

fn take(uuid: &Uuid) -> (u64, u64) {
    let bits = uuid.as_u128();
    let (high, middle, low) = (bits >> 80, bits >> 64 & 0xfff, bits & ((1 << 62) - 1));
    halves(high << 74 | middle << 62 | low)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 5] = [
        Kind::Link,
        Kind::Workspace,
        Kind::Folder,
        Kind::Domain,
        Kind::Tag,
    ];

    #[test]
    fn ids_and_uuids_are_one_to_one() {
        let uuids = Uuids::new(&[7; KEY_BYTES]);
        let other = Uuids::new(&[8; KEY_BYTES]);
        let mut seen = HashSet::new();
        for id in (1..500).chain([i64::MAX]) {
            for kind in KINDS {
                let uuid = uuids.of(kind, id);
                assert!(seen.insert(uuid));
                assert_eq!(uuid.get_version_num(), 4);
                assert_eq!(uuid.get_variant(), Variant::RFC4122);
                for asked in KINDS {
                    let expected = (asked == kind).then_some(id);
                    assert_eq!(uuids.id(asked, &uuid), expected);
                }
                assert_eq!(other.id(kind, &uuid), None);
            }
        }
    }

    #[test]
    fn a_uuid_is_the_same_for_ever() {
        // In clients' databases: a change of the encoding would break them.
        let uuid = Uuids::new(&[7; KEY_BYTES]).of(Kind::Link, 1);
        assert_eq!(uuid.to_string(), FIRST);
    }

    const FIRST: &str = "8a381368-7c55-4a1e-82a4-d89b7ca36031";

    proptest! {
        #[test]
        fn what_was_made_up_is_nobodys(bits: u128) {
            let uuids = Uuids::new(&[7; KEY_BYTES]);
            for kind in KINDS {
                prop_assert_eq!(uuids.id(kind, &Uuid::from_u128(bits)), None);
            }
        }
    }
}
