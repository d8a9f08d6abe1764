//! The click log between proxy and reader: names, framing and acknowledgement, as pure bytes.
//!
//! The log is a sequence of bytes that never ends, cut into segment files. An *offset* counts bytes of it from the
//! first ever written; a segment is named by the offset at which its first record begins. The proxy appends, cuts and
//! deletes; a reader reads and writes its acknowledgement (by rename). Nothing else is shared.
//!
//! ```text
//! segment := magic:8 base:u64le created_ms:i64le crc32c:u32le zero:4   (header, does not count as offset)
//!            record*
//! record  := 0xc1 kind:u8 length:u32le crc32c:u32le payload            (checksum over kind, length and payload)
//! ```
//!
//! A record that is cut short at the end of the newest segment is one being written, or a torn tail, which the proxy
//! cuts off when it starts. Anything else that is not a record is damage: a reader skips to the next record whose
//! checksum holds and counts what it passed over.

/// First bytes of a segment; the last one is the version.
pub const MAGIC: [u8; 8] = *b"SGNCLK\0\x01";

/// Bytes of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = 32;

/// Bytes before a record's payload.
pub const RECORD_HEADER_BYTES: usize = 10;

/// Longest payload of a record, in bytes. A click with every text at its limit stays far below.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 10;

/// Extension of segment files.
pub const SEGMENT_EXTENSION: &str = "clicks";

/// Name of the acknowledgement file in the log's folder.
pub const ACK_FILE: &str = "ack";

const MARK: u8 = 0xc1;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An encoded [`crate::click::Click`].
    Click,
    /// An encoded [`crate::click::Book`].
    Book,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Click => 1,
            Self::Book => 2,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Click),
            2 => Some(Self::Book),
            _ => None,
        }
    }
}

/// File name of the segment whose first record is at `base`: 20 digits, so that names sort like offsets.
pub fn segment_name(base: u64) -> String {
    format!("{base:020}.{SEGMENT_EXTENSION}")
}

/// The offset in a segment's file name; `None` for any other file.
pub fn segment_base(file_name: &str) -> Option<u64> {
    let digits = file_name
        .strip_suffix(SEGMENT_EXTENSION)?
        .strip_suffix('.')?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// The header of a segment.
pub fn segment_header(base: u64, created_ms: i64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0; SEGMENT_HEADER_BYTES];
    let (magic, rest) = header.split_at_mut(8);
    magic.copy_from_slice(&MAGIC);
    let (place, rest) = rest.split_at_mut(8);
    place.copy_from_slice(&base.to_le_bytes());
    let (place, rest) = rest.split_at_mut(8);
    place.copy_from_slice(&created_ms.to_le_bytes());
    let (place, _) = rest.split_at_mut(4);
    let mut sum = crc32c::crc32c(&MAGIC);
    sum = crc32c::crc32c_append(sum, &base.to_le_bytes());
    sum = crc32c::crc32c_append(sum, &created_ms.to_le_bytes());
    place.copy_from_slice(&sum.to_le_bytes());
    header
}

/// Whether `header` is the header of the segment at `base`.
pub fn is_segment_header(header: &[u8], base: u64) -> bool {
    let Some(created) = header.get(16..24).and_then(|b| b.try_into().ok()) else {
        return false;
    };
    header.get(..SEGMENT_HEADER_BYTES)
        == Some(&segment_header(base, i64::from_le_bytes(created))[..])
}

/// Appends one record.
///
/// # Errors
/// A payload longer than [`MAX_PAYLOAD_BYTES`]; nothing is appended then.
pub fn append_record(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) -> Result<(), RecordTooLong> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(RecordTooLong(payload.len()));
    }
    let length = (payload.len() as u32).to_le_bytes();
    out.push(MARK);
    out.push(kind.byte());
    out.extend_from_slice(&length);
    out.extend_from_slice(&checksum(kind.byte(), &length, payload).to_le_bytes());
    out.extend_from_slice(payload);
    Ok(())
}

/// A payload is longer than a record may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("click log record of {0} bytes, at most {MAX_PAYLOAD_BYTES} are allowed")]
pub struct RecordTooLong(pub usize);

/// What stands at the front of some bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole record, and the bytes it took.
    Record {
        /// What it holds.
        kind: Kind,
        /// Its content, not yet decoded.
        payload: &'a [u8],
        /// Header and payload together.
        length: usize,
    },
    /// Perhaps the front of a record: more bytes are needed to tell. Damage, if there will be none.
    Incomplete,
    /// Not a record. [`resync`] finds the next one.
    Damaged,
}

/// Reads the record at the front of `bytes`.
pub fn next_record(bytes: &[u8]) -> Next<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>() else {
        return match bytes.first() {
            None | Some(&MARK) => Next::Incomplete,
            Some(_) => Next::Damaged,
        };
    };
    let [mark, kind_byte, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let size = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let Some(kind) =
        Kind::from_byte(kind_byte).filter(|_| mark == MARK && size <= MAX_PAYLOAD_BYTES)
    else {
        return Next::Damaged;
    };
    let Some(payload) = rest.get(..size) else {
        return Next::Incomplete;
    };
    if checksum(kind_byte, &[l0, l1, l2, l3], payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Next::Damaged;
    }
    Next::Record {
        kind,
        payload,
        length: RECORD_HEADER_BYTES + size,
    }
}

/// After damage: the number of bytes to pass over until a whole record begins; all of them when none does.
pub fn resync(bytes: &[u8]) -> usize {
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        if *byte == MARK
            && matches!(
                next_record(bytes.get(at..).unwrap_or_default()),
                Next::Record { .. }
            )
        {
            return at;
        }
    }
    bytes.len()
}

fn checksum(kind: u8, length: &[u8; 4], payload: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&[kind]);
    crc32c::crc32c_append(crc32c::crc32c_append(sum, length), payload)
}

/// The content of the acknowledgement file: everything below `offset` is stored for good and may be deleted.
pub fn encode_ack(offset: u64) -> String {
    let line = format!("signpost-ack 1 {offset}");
    let sum = crc32c::crc32c(line.as_bytes());
    format!("{line} {sum:08x}\n")
}

/// Reads an acknowledgement; `None` when it is not a whole one (then nothing is acknowledged).
pub fn decode_ack(content: &str) -> Option<u64> {
    let (line, sum) = content.strip_suffix('\n')?.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(line.as_bytes()) {
        return None;
    }
    line.strip_prefix("signpost-ack 1 ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(records: &[(Kind, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (kind, payload) in records {
            append_record(&mut out, *kind, payload).expect("short");
        }
        out
    }

    /// Reads all records as a reader of a sealed segment does; returns them and the bytes passed over.
    fn read_all(mut bytes: &[u8]) -> (Vec<(Kind, Vec<u8>)>, usize) {
        let (mut records, mut lost) = (Vec::new(), 0);
        while !bytes.is_empty() {
            match next_record(bytes) {
                Next::Record {
                    kind,
                    payload,
                    length,
                } => {
                    records.push((kind, payload.to_vec()));
                    bytes = &bytes[length..];
                }
                Next::Incomplete | Next::Damaged => {
                    let skip = resync(bytes);
                    lost += skip;
                    bytes = &bytes[skip..];
                }
            }
        }
        (records, lost)
    }

    #[test]
    fn names_and_headers_are_told_from_others() {
        assert_eq!(segment_name(42), "00000000000000000042.clicks");
        assert_eq!(segment_base("00000000000000000042.clicks"), Some(42));
        for other in [
            "ack",
            "42.clicks",
            "0000000000000000004x.clicks",
            "00000000000000000042.clicks.tmp",
            "99999999999999999999.clicks",
        ] {
            assert_eq!(segment_base(other), None, "{other}");
        }
        let header = segment_header(42, 7);
        assert!(
            is_segment_header(&header, 42)
                && !is_segment_header(&header, 43)
                && !is_segment_header(&header[..31], 42)
        );
    }

    #[test]
    fn an_ack_is_whole_or_nothing() {
        let text = encode_ack(u64::MAX);
        assert_eq!(decode_ack(&text), Some(u64::MAX));
        for cut in 0..text.len() {
            assert_eq!(decode_ack(&text[..cut]), None);
        }
        assert_eq!(decode_ack(&text.replace("184", "284")), None);
    }

    #[test]
    fn too_long_a_payload_is_refused() {
        let mut out = Vec::new();
        assert_eq!(
            append_record(&mut out, Kind::Click, &vec![0; MAX_PAYLOAD_BYTES + 1]),
            Err(RecordTooLong(MAX_PAYLOAD_BYTES + 1))
        );
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn records_survive_and_damage_costs_only_its_neighbourhood(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..12), at: prop::sample::Index, flip in 1u8..) {
            let records: Vec<_> = payloads.into_iter().map(|p| (Kind::Click, p)).collect();
            let good = log(&records);
            prop_assert_eq!(read_all(&good), (records.clone(), 0));

            let mut bad = good.clone();
            let at = at.index(bad.len());
            bad[at] ^= flip;
            let (read, lost) = read_all(&bad);
            // Exactly the record that was hit is gone.
            prop_assert_eq!(read.len(), records.len() - 1);
            prop_assert!(lost >= RECORD_HEADER_BYTES);
            prop_assert!(read.iter().all(|r| records.contains(r)));
        }

        #[test]
        fn any_bytes_are_read_or_passed_over(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let (_, lost) = read_all(&bytes);
            prop_assert!(lost <= bytes.len());
        }
    }
}
