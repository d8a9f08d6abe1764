//! The feed between control plane and proxies: messages of `proto/feed.proto`, their framing, and the hash that puts
//! links into groups.
//!
//! A frame on the wire is `length:u32le crc32c:u32le payload`, the payload one encoded [`Frame`]. The length is checked
//! before anything is allocated.
//!
//! Links fall into [`GROUPS`] groups by the top bits of [`key_hash`]. Each group has a checksum, the wrapping sum of
//! [`entry_sum`] over its links: free of order, so that the control plane keeps it up to date in the transaction of
//! each change, and a proxy fetches only groups whose sum differs from its own.

use prost::Message as _;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

#[allow(
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/signpost.feed.v1.rs"));
}

pub use generated::{
    Change, CookieKey, CookieKeys, Domain, Frame, Heartbeat, Hello, Key, Lease, LeaseReply,
    LeaseRequest, Page, Salt, Salts, Shared, SnapshotBegin, SnapshotEnd, SnapshotGroup,
    SnapshotRequest, Workspace, frame::Kind,
};

/// Number of groups. Fixed for ever: it is in databases and snapshots.
pub const GROUPS: usize = 4096;

/// Links one transaction may change, so that a frame stays bounded. A call that touches more is several transactions.
pub const MAX_LINKS_PER_CHANGE: usize = 1000;

/// Largest payload of a frame in bytes: [`MAX_LINKS_PER_CHANGE`] entries of the largest size, and room.
pub const MAX_FRAME_BYTES: usize = 52 << 20;

const _: () = assert!(MAX_LINKS_PER_CHANGE * crate::link::MAX_ENTRY_BYTES < MAX_FRAME_BYTES);

/// Size at which a sender closes a [`SnapshotGroup`] frame and begins the next, in bytes.
pub const SNAPSHOT_FRAME_BYTES: usize = 256 << 10;

/// Bytes before a frame's payload.
pub const FRAME_HEADER_BYTES: usize = 8;

/// Time between heartbeats on an idle feed, in seconds. A proxy that hears nothing for three of them reconnects.
pub const HEARTBEAT_SECONDS: u64 = 2;

/// Paths on the API address; each asks for `Authorization: Bearer <feed token>`.
pub mod paths {
    /// `GET ?after=<seq>&change=<32 hex digits>`: hello, then changes and heartbeats without end.
    pub const FEED: &str = "/internal/v1/feed";
    /// `POST` with an encoded [`super::SnapshotRequest`]: one snapshot.
    pub const SNAPSHOT: &str = "/internal/v1/snapshot";
    /// `GET <BLOBS>/<SHA-256 as 64 lower-case hex digits>`: the bytes of a blob; 404 when there is none.
    pub const BLOBS: &str = "/internal/v1/blobs";
    /// `POST` with an encoded [`super::LeaseRequest`]: an encoded [`super::LeaseReply`].
    pub const LEASES: &str = "/internal/v1/leases";
    /// `POST <VISITOR>/<what>`: a form that a visitor sent to a page, passed on by the proxy with its headers
    /// `Content-Type`, `X-Signpost-Link` (id of the link) and `X-Signpost-Visitor` (the visitor's address). The answer is
    /// passed back.
    pub const VISITOR: &str = "/internal/v1/visitor";
}

/// Holes of a page's body: the byte [`hole::MARK`] and a letter. Everything else is copied as it is; a mark before any
/// other byte is left out together with it.
pub mod hole {
    /// What begins a hole. Never part of HTML text, where it is a parse error.
    pub const MARK: u8 = 0;
    /// The visitor's final destination, escaped for an HTML attribute's value (in double or single quotes) or text.
    pub const ATTRIBUTE: u8 = b'd';
    /// The same as the inside of a JSON or JavaScript string literal, escaped for `<script>`.
    pub const SCRIPT: u8 = b'j';
    /// The destination's host, escaped as an attribute.
    pub const HOST: u8 = b'h';
}

/// Hash of a link's key. Fixed for ever. Group: the top 12 bits; the rest is free for tables in memory.
#[inline]
pub fn key_hash(domain: u32, slug: &[u8]) -> u64 {
    xxh3_64_with_seed(slug, u64::from(domain))
}

/// Group of a key hash, below [`GROUPS`].
#[inline]
pub const fn group_of(key_hash: u64) -> usize {
    (key_hash >> 52) as usize
}

/// A link's share in its group's checksum.
pub fn entry_sum(entry: &[u8]) -> u64 {
    xxh3_64(entry)
}

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME_BYTES`].
    #[error("feed frame of {0} bytes, at most {MAX_FRAME_BYTES} are allowed")]
    TooLong(usize),
    /// The checksum does not fit the payload.
    #[error("feed frame fails its checksum")]
    Checksum,
    /// Not a message of ours.
    #[error("feed frame does not decode: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A frame without content, or of a kind this version does not know.
    #[error("feed frame of an unknown kind")]
    Unknown,
}

/// The frame that carries `kind`, ready for the wire.
///
/// # Errors
/// Longer than [`MAX_FRAME_BYTES`].
pub fn encode_frame(kind: Kind) -> Result<Vec<u8>, FrameError> {
    let frame = Frame { kind: Some(kind) };
    let length = frame.encoded_len();
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    let mut out = Vec::with_capacity(FRAME_HEADER_BYTES + length);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    frame.encode_raw(&mut out);
    let sum = crc32c::crc32c(out.get(FRAME_HEADER_BYTES..).unwrap_or_default());
    if let Some(place) = out.get_mut(4..FRAME_HEADER_BYTES) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    Ok(out)
}

/// Takes the first whole frame off the front of `bytes`: its content and the number of bytes it took, or `None` when
/// more bytes are needed.
///
/// # Errors
/// The stream is not to be trusted any more: hang up.
pub fn decode_frame(bytes: &[u8]) -> Result<Option<(Kind, usize)>, FrameError> {
    let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Ok(None);
    };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    let Some(payload) = rest.get(..length) else {
        return Ok(None);
    };
    if crc32c::crc32c(payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(FrameError::Checksum);
    }
    let kind = Frame::decode(payload)?.kind.ok_or(FrameError::Unknown)?;
    Ok(Some((kind, FRAME_HEADER_BYTES + length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hashes_are_fixed_for_ever() {
        // In databases and snapshots: these numbers must never change.
        assert_eq!(key_hash(1, b"spring-sale"), 16_749_574_388_263_995_736);
        assert_eq!(entry_sum(b"spring-sale"), 16_155_083_866_263_990_698);
        assert!(group_of(u64::MAX) == GROUPS - 1 && group_of(0) == 0);
    }

    #[test]
    fn a_frame_survives_the_wire_in_pieces() {
        let frame = encode_frame(Kind::Heartbeat(Heartbeat {
            seq: 5,
            time_ms: -1,
        }))
        .expect("small");
        for cut in 0..frame.len() {
            assert!(
                decode_frame(&frame[..cut])
                    .expect("not wrong yet")
                    .is_none(),
                "cut at {cut}"
            );
        }
        let (kind, used) = decode_frame(&frame).expect("good").expect("whole");
        assert_eq!(
            kind,
            Kind::Heartbeat(Heartbeat {
                seq: 5,
                time_ms: -1
            })
        );
        assert_eq!(used, frame.len());
    }

    #[test]
    fn a_flipped_bit_is_never_taken_for_a_frame() {
        let frame = encode_frame(Kind::Hello(Hello {
            seq: 9,
            change: vec![7; 16].into(),
            resumed: true,
        }))
        .expect("small");
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode_frame(&bad), Ok(Some(_))), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_frame(&bytes);
        }
    }
}
