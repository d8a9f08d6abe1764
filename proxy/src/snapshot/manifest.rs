//! What a snapshot consists of.
//!
//! ```text
//! manifest := "SPLINKS1" length:u32le crc32c:u32le payload
//! payload  := seq:u64le change:16 links:u64le bits:u8 generation:u64le
//!             (file generation: u64le, 2^min(bits, 8) times)
//!             (length:u64le sum:u64le, a group)
//!             frame with the shared tables (schemas::feed)
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::{Buf as _, BufMut as _};
use schemas::feed::{GROUPS, Kind, Shared, decode_frame, encode_frame};

use crate::table::{CHANGE_ID_BYTES, PIECES, Version};

const MAGIC: &[u8; 8] = b"SPLINKS1";
const HEADER_BYTES: usize = MAGIC.len() + 8;
/// The same twice: it is the one file without which nothing else can be read.
const NAMES: [&str; 2] = ["manifest", "manifest.copy"];

/// Most files, as a power of two: a piece of the table each. At 10 million links they have a few megabytes.
const MAX_FILE_BITS: u32 = PIECES.trailing_zeros();

/// Links from which on a file becomes two.
const LINKS_A_FILE: u64 = 1500;

/// Largest `bits` a manifest may tell of. (Beyond [`MAX_FILE_BITS`] they once told of shards.)
const MAX_BITS: u8 = 20;

/// Length and checksum of a group's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Group {
    pub(super) length: u64,
    pub(super) sum: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Manifest {
    pub(super) version: Version,
    pub(super) links: u64,
    /// Number of files, as a power of two.
    pub(super) bits: u32,
    /// Of the change log; larger than that of any file.
    pub(super) generation: u64,
    /// Generation of each file; 0: it is damaged and must not be used again.
    pub(super) files: Vec<u64>,
    pub(super) groups: Vec<Group>,
    pub(super) shared: Shared,
}

/// Number of files for this many links, as a power of two.
pub(super) fn file_bits(links: u64) -> u32 {
    let files = links / LINKS_A_FILE;
    files
        .checked_ilog2()
        .map_or(0, |bits| (bits + 1).min(MAX_FILE_BITS))
}

/// Pieces of the table in a file.
pub(super) fn pieces_of(file: usize, file_bits: u32) -> std::ops::Range<usize> {
    let count = PIECES >> file_bits;
    file * count..(file + 1) * count
}

/// Groups of a file.
pub(super) fn groups_of(file: usize, file_bits: u32) -> std::ops::Range<usize> {
    let count = GROUPS >> file_bits;
    file * count..(file + 1) * count
}

pub(super) fn links_name(file: usize, generation: u64) -> String {
    format!("{file:03}-{generation}.links")
}

pub(super) fn log_name(generation: u64) -> String {
    format!("changes-{generation}.log")
}

impl Manifest {
    pub(super) fn encode(&self) -> io::Result<Vec<u8>> {
        let mut payload = Vec::with_capacity(16 * GROUPS + 4096);
        payload.put_u64_le(self.version.seq);
        payload.put_slice(&self.version.change);
        payload.put_u64_le(self.links);
        payload.put_u8(self.bits as u8);
        payload.put_u64_le(self.generation);
        for generation in &self.files {
            payload.put_u64_le(*generation);
        }
        for group in &self.groups {
            payload.put_u64_le(group.length);
            payload.put_u64_le(group.sum);
        }
        let shared = encode_frame(Kind::Shared(self.shared.clone())).map_err(io::Error::other)?;
        payload.put_slice(&shared);
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
        out.put_slice(MAGIC);
        out.put_u32_le(length);
        out.put_u32_le(crc32c::crc32c(&payload));
        out.put_slice(&payload);
        Ok(out)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut header = bytes.strip_prefix(MAGIC)?;
        let length = header.try_get_u32_le().ok()? as usize;
        let crc = header.try_get_u32_le().ok()?;
        let mut rest = header;
        if rest.len() != length || crc32c::crc32c(rest) != crc {
            return None;
        }
        let seq = rest.try_get_u64_le().ok()?;
        let mut change = [0; CHANGE_ID_BYTES];
        rest.try_copy_to_slice(&mut change).ok()?;
        let links = rest.try_get_u64_le().ok()?;
        let bits = rest.try_get_u8().ok().filter(|b| *b <= MAX_BITS)?;
        let generation = rest.try_get_u64_le().ok()?;
        let bits = u32::from(bits).min(MAX_FILE_BITS);
        let files = (0..1 << bits)
            .map(|_| rest.try_get_u64_le().ok())
            .collect::<Option<_>>()?;
        let groups = (0..GROUPS)
            .map(|_| {
                Some(Group {
                    length: rest.try_get_u64_le().ok()?,
                    sum: rest.try_get_u64_le().ok()?,
                })
            })
            .collect::<Option<_>>()?;
        let (Kind::Shared(shared), used) = decode_frame(rest).ok()?? else {
            return None;
        };
        (used == rest.len()).then_some(Self {
            version: Version { seq, change },
            links,
            bits,
            generation,
            files,
            groups,
            shared,
        })
    }

    /// Reads the first of the two copies that is whole. The flag says whether one of them was damaged.
    pub(super) fn read(folder: &Path) -> io::Result<(Option<Self>, bool)> {
        let mut damaged = false;
        for name in NAMES {
            match fs::read(folder.join(name)) {
                Ok(bytes) => match Self::decode(&bytes) {
                    Some(manifest) => return Ok((Some(manifest), damaged)),
                    None => damaged = true,
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok((None, damaged))
    }

    /// Writes both copies, each by rename.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let bytes = self.encode()?;
        for name in NAMES {
            let beside = folder.join(format!("{name}.new"));
            let mut file = create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&beside, folder.join(name))?;
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Every file that belongs to it.
    pub(super) fn file_names(&self) -> impl Iterator<Item = String> + '_ {
        let links = self
            .files
            .iter()
            .enumerate()
            .map(|(i, g)| links_name(i, *g));
        let names = NAMES.into_iter().map(str::to_owned);
        links.chain(names).chain([log_name(self.generation)])
    }

    pub(super) fn log_path(&self, folder: &Path) -> PathBuf {
        folder.join(log_name(self.generation))
    }
}

/// Makes an empty file that only we can read: salts are in some of them.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
}
