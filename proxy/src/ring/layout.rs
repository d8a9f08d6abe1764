//! What a ring file looks like, as pure bytes.
//!
//! ```text
//! file   := header:4096 data:capacity
//! header := magic:8 epoch:u64le worker:u32le zero:4 capacity:u64le created_ms:i64le crc32c:u32le   (fixed, at 0)
//!           head cell at 128, handed cells at 136 and 152, full cell at 144   (written by the worker alone)
//!           tail cell at 256, accounted cell at 264                    (written by the enricher alone)
//! data   := (record | skip)*      circular; a record never wraps: what is left of a lap is passed over with a skip
//! record := length:u32le crc32c:u32le position:u64le payload padding   (a multiple of 16 bytes)
//! skip   := 0xffffffff
//! ```
//!
//! A cell is a number below 2^52 with 12 check bits above it, in one aligned word: it changes in one store, so the death
//! of the process between two stores leaves each of them whole, and a flipped bit shows. Head and tail count units of 16
//! bytes since the ring's beginning and never wrap. A record's checksum covers stream, length, position and payload, so
//! leftovers of another stream are no records.

use schemas::click::Stream;

/// First bytes of a ring; the last one is the version.
pub(super) const MAGIC: [u8; 8] = *b"SGNRING\x01";
/// Bytes before the data: a page, so that the data is aligned.
pub(super) const HEADER_BYTES: usize = 4096;
/// Records begin and end at multiples of this many bytes.
pub(super) const UNIT: usize = 16;
/// Bytes before a record's payload.
pub(super) const RECORD_HEADER_BYTES: usize = 16;
/// Longest record, header and padding included; see `record.rs` for the sum of its limits.
pub(super) const MAX_RECORD_BYTES: usize = 16 << 10;
/// Smallest ring: room for a few records of the largest size.
pub(super) const MIN_CAPACITY: usize = 4 * MAX_RECORD_BYTES;

const FIXED_BYTES: usize = 40;
const SKIP: u32 = u32::MAX;
const CELL_BITS: u32 = 52;

/// A word of the header that changes while the ring is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// Units written.
    Head,
    /// Positions handed out.
    Handed,
    /// The same once more: records lost at the end show nowhere else.
    HandedTwin,
    /// Positions dropped because the ring was full.
    Full,
    /// Units read and no longer needed.
    Tail,
    /// Positions below this are in the log, as a click or as a drop.
    Accounted,
}

impl Cell {
    pub(super) const ALL: [Self; 6] = [
        Self::Head,
        Self::Handed,
        Self::HandedTwin,
        Self::Full,
        Self::Tail,
        Self::Accounted,
    ];

    /// Offset in the file. Worker and enricher write to cache lines of their own.
    pub(super) const fn offset(self) -> usize {
        match self {
            Self::Head => 128,
            Self::Handed => 136,
            Self::HandedTwin => 152,
            Self::Full => 144,
            Self::Tail => 256,
            Self::Accounted => 264,
        }
    }

    /// The word that stands for `value`.
    pub(super) const fn seal(self, value: u64) -> u64 {
        let value = value & ((1 << CELL_BITS) - 1);
        value | (self.check(value) << CELL_BITS)
    }

    /// The number in a word; `None` when its check bits do not fit.
    pub(super) const fn open(self, word: u64) -> Option<u64> {
        let value = word & ((1 << CELL_BITS) - 1);
        if self.check(value) == word >> CELL_BITS {
            Some(value)
        } else {
            None
        }
    }

    const fn check(self, value: u64) -> u64 {
        // An odd factor carries any single flipped bit into the upper twelve; the offset tells the cells apart.
        (value ^ ((self.offset() as u64 + 1) << CELL_BITS)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> CELL_BITS
    }
}

/// The unchanging front of the header.
pub(super) fn fixed_header(
    stream: Stream,
    capacity: u64,
    created_ms: i64,
) -> [u8; FIXED_BYTES + 4] {
    let mut header = [0; FIXED_BYTES + 4];
    let fields = [
        &MAGIC[..],
        &stream.epoch.to_le_bytes(),
        &u32::from(stream.worker).to_le_bytes(),
        &[0; 4],
        &capacity.to_le_bytes(),
        &created_ms.to_le_bytes(),
    ];
    let mut rest = &mut header[..];
    for field in fields {
        rest = put(rest, field);
    }
    let sum = crc32c::crc32c(header.get(..FIXED_BYTES).unwrap_or_default());
    if let Some(place) = header.get_mut(FIXED_BYTES..) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    header
}

/// The capacity in a header whose unchanging front is whole and of this stream.
pub(super) fn capacity_of(header: &[u8], stream: Stream) -> Option<u64> {
    let capacity = u64::from_le_bytes(*header.get(24..)?.first_chunk()?);
    let created_ms = i64::from_le_bytes(*header.get(32..)?.first_chunk()?);
    let expected = fixed_header(stream, capacity, created_ms);
    (header.get(..expected.len()) == Some(&expected[..])).then_some(capacity)
}

/// Whether `header` begins with the magic of another version of this format.
pub(super) fn is_other_version(header: &[u8]) -> bool {
    header.len() >= 8 && header.get(..7) == MAGIC.get(..7) && header.get(..8) != Some(&MAGIC[..])
}

/// Whether the header was ever finished: before that, no position was handed out.
pub(super) fn is_blank(header: &[u8]) -> bool {
    header.iter().all(|b| *b == 0)
}

/// Writes `bytes` at the front of `out` and returns what follows; does nothing when there is no room.
#[inline]
pub(super) fn put<'a>(out: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    if out.len() < bytes.len() {
        return out;
    }
    let (place, rest) = out.split_at_mut(bytes.len());
    place.copy_from_slice(bytes);
    rest
}

/// Start value of a stream's record checksums.
pub(super) fn seed(stream: Stream) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&stream.epoch.to_le_bytes()),
        &stream.worker.to_le_bytes(),
    )
}

/// Bytes a record with a payload of this length takes.
#[inline]
pub(super) const fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER_BYTES + payload).next_multiple_of(UNIT)
}

/// Writes a record's header in front of its payload, which is already in place at `record[16..][..length]`.
#[inline]
pub(super) fn finish_record(record: &mut [u8], seed: u32, position: u64, length: usize) {
    let Some((header, payload)) = record.split_at_mut_checked(RECORD_HEADER_BYTES) else {
        return;
    };
    let length_le = (length as u32).to_le_bytes();
    let position = position.to_le_bytes();
    let sum = record_sum(
        seed,
        &length_le,
        &position,
        payload.get(..length).unwrap_or_default(),
    );
    let rest = put(header, &length_le);
    let rest = put(rest, &sum.to_le_bytes());
    put(rest, &position);
}

/// Writes the mark that the rest of this lap is empty.
#[inline]
pub(super) fn write_skip(rest_of_lap: &mut [u8]) {
    put(rest_of_lap, &SKIP.to_le_bytes());
}

fn record_sum(seed: u32, length: &[u8; 4], position: &[u8; 8], payload: &[u8]) -> u32 {
    let sum = crc32c::crc32c_append(crc32c::crc32c_append(seed, length), position);
    crc32c::crc32c_append(sum, payload)
}

/// What stands at the front of some bytes of a ring.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front<'a> {
    /// A whole record.
    Record {
        position: u64,
        payload: &'a [u8],
        /// Bytes it took, padding included.
        bytes: usize,
    },
    /// The rest of the lap is empty.
    Skip,
    /// The front of what may be a record; the bytes end before it does.
    Cut,
    /// Anything else.
    Damaged,
}

/// Reads what stands at the front of `bytes`.
pub(super) fn front(bytes: &[u8], seed: u32) -> Front<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>() else {
        return Front::Cut;
    };
    let [
        l0,
        l1,
        l2,
        l3,
        c0,
        c1,
        c2,
        c3,
        p0,
        p1,
        p2,
        p3,
        p4,
        p5,
        p6,
        p7,
    ] = *header;
    let length_le = [l0, l1, l2, l3];
    let length = u32::from_le_bytes(length_le);
    if length == SKIP {
        return Front::Skip;
    }
    let length = length as usize;
    if length > MAX_RECORD_BYTES - RECORD_HEADER_BYTES {
        return Front::Damaged;
    }
    let Some(payload) = rest.get(..length) else {
        return Front::Cut;
    };
    let position = [p0, p1, p2, p3, p4, p5, p6, p7];
    if record_sum(seed, &length_le, &position, payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Front::Damaged;
    }
    Front::Record {
        position: u64::from_le_bytes(position),
        payload,
        bytes: record_bytes(length),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cell_shows_any_flipped_bit(value in 0u64..1 << CELL_BITS, bit in 0u32..64) {
            for cell in Cell::ALL {
                let word = cell.seal(value);
                prop_assert_eq!(cell.open(word), Some(value));
                prop_assert_eq!(cell.open(word ^ (1 << bit)), None);
            }
            prop_assert_eq!(Cell::Head.open(Cell::Tail.seal(value)), None);
        }

        #[test]
        fn a_record_shows_any_flipped_bit(payload in proptest::collection::vec(any::<u8>(), 0..200), position: u64, at: prop::sample::Index, bit in 0u32..8) {
            let seed = seed(Stream { epoch: 7, worker: 1 });
            let bytes = record_bytes(payload.len());
            let mut record = vec![0; bytes];
            record[RECORD_HEADER_BYTES..][..payload.len()].copy_from_slice(&payload);
            finish_record(&mut record, seed, position, payload.len());
            prop_assert_eq!(front(&record, seed), Front::Record { position, payload: &payload, bytes });
            prop_assert_eq!(front(&record, seed ^ 1), Front::Damaged);
            let at = at.index(RECORD_HEADER_BYTES + payload.len());
            record[at] ^= 1 << bit;
            let is_record = matches!(front(&record, seed), Front::Record { .. });
            prop_assert!(!is_record);
        }

        #[test]
        fn any_bytes_are_something(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = front(&bytes, 0);
        }
    }

    #[test]
    fn zeros_are_no_cells() {
        for cell in Cell::ALL {
            assert_eq!(cell.open(0), None);
        }
    }
}
