//! Follows a click log on disk: from the acknowledgement on, across segments, through damage, never past what is whole.
//!
//! Only whole records are given. A record cut short at the end of the newest segment is one being written; it is waited
//! for. Anywhere else it is damage, which is passed over and counted. The log is read, never written, save for the
//! acknowledgement beside it, by rename and without fsync: an acknowledgement that is lost costs reading again, and
//! what was stored is known by its id.
//!
//! Segments may be deleted at any time by their owner; what is missing counts as damage. A log that ends before its
//! acknowledgement was cut or made anew: it is read from its beginning, since a duplicate is harmless and a gap is not.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use metrics::counter;
use schemas::click_log::{
    ACK_FILE, MAX_PAYLOAD_BYTES, Next, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, decode_ack,
    encode_ack, is_segment_header, next_record, resync, segment_base, segment_name,
};

use super::{Claim, Damage, Fetched, Limits, Record, Source};
use crate::metrics as m;

/// Bytes read at a time. Many records fit, and a chunk that holds none whole is surely damaged.
const CHUNK_BYTES: usize = 1 << 20;

/// Longest record in the log, header included.
const MAX_RECORD_BYTES: usize = RECORD_HEADER_BYTES + MAX_PAYLOAD_BYTES;

/// How long the end of the newest segment may stay half a record before what follows is searched for a whole one. The
/// owner writes whole records, so half a one is there for moments only, unless its length is damaged.
const STUCK: Duration = Duration::from_secs(1);

const _: () = assert!(CHUNK_BYTES >= 4 * MAX_RECORD_BYTES);

/// A click log in a folder.
#[derive(Debug)]
pub(crate) struct ClickLog {
    partition: u32,
    folder: PathBuf,
    acknowledged: u64,
    next: u64,
    open: Option<Open>,
    stuck: Option<Stuck>,
}

#[derive(Debug)]
struct Open {
    base: u64,
    file: File,
}

/// The end of the newest segment is no whole record.
#[derive(Debug, Clone, Copy)]
struct Stuck {
    offset: u64,
    length: u64,
    since: Instant,
}

/// Where reading stands.
enum Place {
    /// No segment holds the offset: the log begins after it.
    Before(u64),
    /// The log ends before it.
    Beyond(u64),
    /// In the segment at `base`, which ends at `end` if another follows.
    In { base: u64, end: Option<u64> },
    /// There is no segment.
    Nowhere,
}

impl ClickLog {
    /// Opens the log in `folder`, which need not exist yet, at its acknowledgement.
    ///
    /// # Errors
    /// The folder or the acknowledgement cannot be read.
    pub(crate) fn open(partition: u32, folder: PathBuf) -> io::Result<Self> {
        let mut log = Self {
            partition,
            folder,
            acknowledged: 0,
            next: 0,
            open: None,
            stuck: None,
        };
        log.rewind()?;
        Ok(log)
    }

    fn read_ack(&self) -> io::Result<u64> {
        match fs::read(self.folder.join(ACK_FILE)) {
            Ok(content) => Ok(std::str::from_utf8(&content)
                .ok()
                .and_then(decode_ack)
                .unwrap_or(0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Offsets of the segments' first records, in order.
    fn segments(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut bases = Vec::new();
        for entry in entries {
            bases.extend(entry?.file_name().to_str().and_then(segment_base));
        }
        bases.sort_unstable();
        Ok(bases)
    }

    /// Length of the newest segment's records.
    fn end_of(&self, base: u64) -> io::Result<u64> {
        let length = fs::metadata(self.folder.join(segment_name(base)))?.len();
        Ok(base.saturating_add(length.saturating_sub(SEGMENT_HEADER_BYTES as u64)))
    }

    fn locate(&self) -> io::Result<Place> {
        let bases = self.segments()?;
        let after = bases.partition_point(|base| *base <= self.next);
        let Some(base) = after.checked_sub(1).and_then(|i| bases.get(i)).copied() else {
            return Ok(bases
                .first()
                .map_or(Place::Nowhere, |first| Place::Before(*first)));
        };
        let end = bases.get(after).copied();
        if end.is_none() && self.end_of(base)? < self.next {
            return Ok(Place::Beyond(bases.first().copied().unwrap_or(base)));
        }
        Ok(Place::In { base, end })
    }

    fn file(&mut self, base: u64) -> io::Result<&File> {
        let fits = self.open.as_ref().is_some_and(|open| open.base == base);
        if !fits {
            let file = File::open(self.folder.join(segment_name(base)))?;
            self.open = Some(Open { base, file });
        }
        match &self.open {
            Some(open) => Ok(&open.file),
            None => Err(io::Error::other("no open segment")),
        }
    }

    fn pass_over(&mut self, out: &mut Fetched, bytes: u64, reason: &'static str) {
        if bytes > 0 {
            out.damage.push(Damage {
                offset: self.next,
                bytes,
                reason,
            });
            self.next += bytes;
        }
    }

    /// Reads one chunk; `false` when there is nothing (more) to read now.
    fn step(&mut self, out: &mut Fetched, limits: Limits, now: Instant) -> io::Result<bool> {
        let (base, end) = match self.locate()? {
            Place::Nowhere => return Ok(false),
            Place::Before(first) => {
                self.pass_over(out, first - self.next, "missing");
                return Ok(true);
            }
            Place::Beyond(first) => {
                counter!(m::RESTARTS).increment(1);
                tracing::warn!(
                    partition = self.partition,
                    at = self.next,
                    "the click log ends before its acknowledgement; reading it from its beginning"
                );
                (self.next, self.acknowledged) = (first, first);
                out.from = first;
                self.open = None;
                return Ok(true);
            }
            Place::In { base, end } => (base, end),
        };
        let at = self.next;
        let mut bytes = BytesMut::zeroed(chunk_length(at, end));
        let file = self.file(base)?;
        if at == base {
            let mut header = [0; SEGMENT_HEADER_BYTES];
            let length = read_full(file, &mut header, 0)?;
            if length < SEGMENT_HEADER_BYTES && end.is_none() {
                return Ok(false);
            }
            if !is_segment_header(&header, base) {
                tracing::warn!(
                    segment = segment_name(base),
                    "the header of a segment of the click log is damaged"
                );
                counter!(m::DAMAGE_BYTES, "reason" => "header")
                    .increment(SEGMENT_HEADER_BYTES as u64);
            }
        }
        let length = read_full(file, &mut bytes, SEGMENT_HEADER_BYTES as u64 + (at - base))?;
        let at_end = length < bytes.len() || end.is_some_and(|end| at + length as u64 >= end);
        bytes.truncate(length);
        let bytes = bytes.freeze();
        let sealed = end.is_some();
        self.take_records(out, &bytes, limits, at_end, sealed, now);
        if self.next > at {
            return Ok(true);
        }
        if let (true, Some(end)) = (at_end, end) {
            self.pass_over(out, end - at, "missing");
            return Ok(true);
        }
        Ok(false)
    }

    fn take_records(
        &mut self,
        out: &mut Fetched,
        bytes: &Bytes,
        limits: Limits,
        at_end: bool,
        sealed: bool,
        now: Instant,
    ) {
        let mut taken = 0;
        loop {
            if out.records.len() >= limits.records || self.next - out.from >= limits.bytes {
                out.more = true;
                return;
            }
            let rest = bytes.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
            let skip = match next_record(rest) {
                Next::Record {
                    kind,
                    payload,
                    length,
                } => {
                    let payload = bytes.slice_ref(payload);
                    out.records.push(Record {
                        offset: self.next,
                        kind,
                        claim: Claim::None,
                        payload,
                    });
                    self.next += length as u64;
                    taken += length;
                    continue;
                }
                // The rest of it is in the next chunk, or not written yet.
                Next::Incomplete if !at_end => return,
                Next::Incomplete if !sealed => match self.search_behind(rest, now) {
                    Some(skip) => skip,
                    None => return,
                },
                Next::Damaged | Next::Incomplete => match resync(rest) {
                    skip if skip < rest.len() => skip,
                    // A record may begin in what is not read yet, or not written yet.
                    _ if !at_end && rest.len() > MAX_RECORD_BYTES => rest.len() - MAX_RECORD_BYTES,
                    _ if !at_end => return,
                    all if sealed => all,
                    _ => return,
                },
            };
            self.pass_over(out, skip as u64, "damaged");
            taken += skip;
        }
    }

    /// A half record at the very end: after a while, looks for a whole one inside what its length claims.
    fn search_behind(&mut self, rest: &[u8], now: Instant) -> Option<usize> {
        let (offset, length) = (self.next, rest.len() as u64);
        match self.stuck {
            Some(stuck) if stuck.offset == offset && stuck.length == length => {
                (now.saturating_duration_since(stuck.since) >= STUCK)
                    .then(|| resync(rest))
                    .filter(|skip| *skip < rest.len())
            }
            _ => {
                self.stuck = Some(Stuck {
                    offset,
                    length,
                    since: now,
                });
                None
            }
        }
    }
}

impl Source for ClickLog {
    fn partition(&self) -> u32 {
        self.partition
    }

    fn fetch(&mut self, limits: Limits, now: Instant) -> io::Result<Fetched> {
        let mut out = Fetched {
            from: self.next,
            ..Fetched::default()
        };
        while !out.more && self.step(&mut out, limits, now)? {}
        out.to = self.next;
        for damage in &out.damage {
            counter!(m::DAMAGE_BYTES, "reason" => damage.reason).increment(damage.bytes);
            tracing::warn!(
                partition = self.partition,
                offset = damage.offset,
                bytes = damage.bytes,
                reason = damage.reason,
                "passed over part of the click log"
            );
        }
        Ok(out)
    }

    fn reread(&mut self, offsets: Range<u64>) -> io::Result<Fetched> {
        let mut again = Self {
            partition: self.partition,
            folder: self.folder.clone(),
            acknowledged: self.acknowledged,
            next: offsets.start,
            open: None,
            stuck: None,
        };
        let limits = Limits {
            records: usize::MAX,
            bytes: offsets.end.saturating_sub(offsets.start),
        };
        let mut out = Fetched {
            from: offsets.start,
            ..Fetched::default()
        };
        let now = Instant::now();
        while !out.more && again.step(&mut out, limits, now)? {}
        out.to = again.next;
        Ok(out)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.acknowledged = self.read_ack()?;
        self.next = self.acknowledged;
        self.open = None;
        self.stuck = None;
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn acknowledge(&mut self, to: u64) -> io::Result<()> {
        let temporary = self.folder.join("ack.tmp");
        fs::write(&temporary, encode_ack(to))?;
        fs::rename(temporary, self.folder.join(ACK_FILE))?;
        self.acknowledged = to;
        Ok(())
    }

    fn lag(&self) -> io::Result<u64> {
        let bases = self.segments()?;
        let Some(last) = bases.last() else {
            return Ok(0);
        };
        Ok(self.end_of(*last)?.saturating_sub(self.acknowledged))
    }
}

fn chunk_length(at: u64, end: Option<u64>) -> usize {
    let left = end.map_or(u64::MAX, |end| end.saturating_sub(at));
    usize::try_from(left)
        .unwrap_or(CHUNK_BYTES)
        .min(CHUNK_BYTES)
}

/// Reads until `buffer` is full or the file ends.
fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + length as u64) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
