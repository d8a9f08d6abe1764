//! Reads the click log behind its writer, in the same process: up to the offset the writer has published, so it never
//! meets a record that is being written. Damage is passed over and told.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use bytes::{Buf as _, Bytes, BytesMut};
use schemas::click_log::{
    Kind, MAX_PAYLOAD_BYTES, Next, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, next_record, resync,
    segment_base, segment_name,
};

/// Bytes read at a time; any record fits several times.
const CHUNK_BYTES: u64 = 1 << 20;

const MAX_RECORD_BYTES: usize = RECORD_HEADER_BYTES + MAX_PAYLOAD_BYTES;

const _: () = assert!(CHUNK_BYTES as usize >= 4 * MAX_RECORD_BYTES);

/// What comes next in the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole record, which ends before the offset `end`.
    Record {
        kind: Kind,
        payload: Bytes,
        end: u64,
    },
    /// Bytes that are no record, up to the offset `end`.
    Damage { bytes: u64, end: u64 },
}

/// Where reading stands.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    next: u64,
    /// Bytes from `next` on.
    chunk: Bytes,
    /// Whether a segment, or what is published, ends with the chunk.
    last: bool,
}

impl Reader {
    /// Begins at an offset.
    pub(super) fn new(folder: PathBuf, next: u64) -> Self {
        Self {
            folder,
            next,
            chunk: Bytes::new(),
            last: false,
        }
    }

    /// Offset of what comes next.
    pub(super) fn next_offset(&self) -> u64 {
        self.next
    }

    /// Goes to an offset.
    pub(super) fn seek(&mut self, to: u64) {
        self.next = to;
        self.chunk = Bytes::new();
    }

    /// What comes next below `end`; `None` when there is nothing.
    ///
    /// # Errors
    /// The disk's; the next call tries again.
    pub(super) fn read(&mut self, end: u64) -> io::Result<Option<Step>> {
        loop {
            if self.next >= end {
                return Ok(None);
            }
            if self.chunk.is_empty()
                && let Some(missing) = self.fill(end)?
            {
                return Ok(Some(self.pass_over(missing)));
            }
            let skip = match next_record(&self.chunk) {
                Next::Record {
                    kind,
                    payload,
                    length,
                } => {
                    let payload = self.chunk.slice_ref(payload);
                    self.chunk.advance(length);
                    self.next += length as u64;
                    return Ok(Some(Step::Record {
                        kind,
                        payload,
                        end: self.next,
                    }));
                }
                Next::Incomplete if !self.last => {
                    self.chunk = Bytes::new();
                    continue;
                }
                Next::Damaged | Next::Incomplete => resync(&self.chunk),
            };
            // A whole record may begin in what is not read yet.
            let skip = if skip == self.chunk.len() && !self.last {
                skip.saturating_sub(MAX_RECORD_BYTES).max(1)
            } else {
                skip
            };
            self.chunk.advance(skip);
            return Ok(Some(self.pass_over(skip as u64)));
        }
    }

    fn pass_over(&mut self, bytes: u64) -> Step {
        self.next += bytes;
        Step::Damage {
            bytes,
            end: self.next,
        }
    }

    /// Reads on from `next`, which is below `end`. Returns the number of bytes that are not there, if any.
    fn fill(&mut self, end: u64) -> io::Result<Option<u64>> {
        let mut bases = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            bases.extend(entry?.file_name().to_str().and_then(segment_base));
        }
        bases.sort_unstable();
        let after = bases.partition_point(|base| *base <= self.next);
        let until = bases.get(after).copied().unwrap_or(end).min(end);
        let Some(base) = after.checked_sub(1).and_then(|i| bases.get(i)).copied() else {
            return Ok(Some(until - self.next));
        };
        let wanted = (until - self.next).min(CHUNK_BYTES);
        let file = File::open(self.folder.join(segment_name(base)))?;
        let mut bytes = BytesMut::zeroed(usize::try_from(wanted).unwrap_or(0));
        let at = SEGMENT_HEADER_BYTES as u64 + (self.next - base);
        let length = read_full(&file, &mut bytes, at)?;
        if length == 0 {
            return Ok(Some(until - self.next));
        }
        bytes.truncate(length);
        self.last = (length as u64) < wanted || self.next + wanted == until;
        self.chunk = bytes.freeze();
        Ok(None)
    }
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
mod tests {
    use schemas::click_log::append_record;

    use super::*;
    use crate::log::Log;

    fn record(n: usize) -> Vec<u8> {
        let mut out = Vec::new();
        append_record(&mut out, Kind::Click, format!("{n:0>3000}").as_bytes()).expect("short");
        out
    }

    /// Numbers of all records below `end`, and the bytes passed over.
    fn all(reader: &mut Reader, end: u64) -> (Vec<usize>, u64) {
        let (mut numbers, mut lost) = (Vec::new(), 0);
        while let Some(step) = reader.read(end).expect("readable") {
            match step {
                Step::Record { payload, .. } => {
                    numbers.push(
                        std::str::from_utf8(&payload)
                            .expect("own")
                            .parse()
                            .expect("own"),
                    );
                }
                Step::Damage { bytes, .. } => lost += bytes,
            }
        }
        assert_eq!(reader.next_offset(), end);
        (numbers, lost)
    }

    #[test]
    fn every_record_is_read_once_across_segments_and_never_beyond_the_end() {
        let folder = tempfile::tempdir().expect("folder");
        let mut log = Log::open(folder.path(), 16 << 20).expect("open");
        let mut reader = Reader::new(folder.path().to_owned(), 0);
        let mut ends = vec![0];
        for n in 0..2_000 {
            log.append(&record(n)).expect("room");
            ends.push(log.end());
        }
        assert!(fs::read_dir(folder.path()).expect("list").count() > 3);
        assert_eq!(all(&mut reader, ends[700]), ((0..700).collect(), 0));
        assert_eq!(all(&mut reader, ends[2_000]), ((700..2_000).collect(), 0));
        reader.seek(ends[1_990]);
        assert_eq!(all(&mut reader, ends[2_000]), ((1_990..2_000).collect(), 0));
    }

    #[test]
    fn damage_costs_the_records_it_hits_and_a_missing_segment_its_own() {
        let folder = tempfile::tempdir().expect("folder");
        let mut log = Log::open(folder.path(), 16 << 20).expect("open");
        for n in 0..2_000 {
            log.append(&record(n)).expect("room");
        }
        let path = folder.path().join(segment_name(0));
        let mut bytes = fs::read(&path).expect("read");
        bytes[SEGMENT_HEADER_BYTES + 10 * record(0).len() + 50] ^= 1;
        fs::write(&path, bytes).expect("write");
        let mut reader = Reader::new(folder.path().to_owned(), 0);
        let (numbers, lost) = all(&mut reader, log.end());
        assert_eq!(lost, record(0).len() as u64);
        assert!(numbers.len() == 1_999 && !numbers.contains(&10));
        fs::remove_file(path).expect("removed");
        reader.seek(0);
        let (numbers, lost) = all(&mut reader, log.end());
        assert!(lost > 0 && numbers.first() > Some(&100) && numbers.last() == Some(&1_999));
    }
}
