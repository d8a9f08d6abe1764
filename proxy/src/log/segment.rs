//! One segment file: made, looked through, and its torn tail cut off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use schemas::click_log::{
    Kind, Next, SEGMENT_HEADER_BYTES, is_segment_header, next_record, resync, segment_header,
};

/// Makes the segment at `base`. It gets its name when its header is whole, so that a reader never sees less.
pub(super) fn create(path: &Path, beside: &Path, base: u64) -> io::Result<File> {
    let created = SystemTime::now().duration_since(UNIX_EPOCH);
    let created_ms = created.map_or(0, |d| d.as_millis() as i64);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(beside)?;
    let made = file
        .write_all(&segment_header(base, created_ms))
        .and_then(|()| file.sync_data())
        .and_then(|()| fs::rename(beside, path));
    if let Err(e) = made {
        let _ = fs::remove_file(beside);
        return Err(e);
    }
    // Otherwise a power failure may take the name away and with it what is synced into the file.
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// Closes the newest segment of a log: cuts off what stands behind its last whole record. Returns the offset behind that
/// record, and the number of bytes cut. Damage further up stays for the reader to count, and so does a damaged header.
pub(super) fn close(path: &Path, base: u64) -> io::Result<(u64, u64)> {
    let bytes = fs::read(path)?;
    let Some((header, body)) = bytes.split_at_checked(SEGMENT_HEADER_BYTES) else {
        return Ok((base, bytes.len() as u64));
    };
    let mut records = Records { rest: body, at: 0 };
    let whole = records.by_ref().last().map_or(0, |(end, ..)| end) as u64;
    let cut = body.len() as u64 - whole;
    if cut > 0 && (whole > 0 || is_segment_header(header, base)) {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(SEGMENT_HEADER_BYTES as u64 + whole)?;
        file.sync_data()?;
    }
    Ok((base + whole, cut))
}

/// The records of a segment's bytes; damage is passed over.
pub(super) fn records(segment: &[u8]) -> impl Iterator<Item = (Kind, &[u8])> {
    let rest = segment.get(SEGMENT_HEADER_BYTES..).unwrap_or_default();
    Records { rest, at: 0 }.map(|(_, kind, payload)| (kind, payload))
}

struct Records<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    /// Number of bytes up to the record's end, its kind and payload.
    type Item = (usize, Kind, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (item, length) = match next_record(self.rest) {
                Next::Record {
                    kind,
                    payload,
                    length,
                } => (Some((self.at + length, kind, payload)), length),
                Next::Incomplete | Next::Damaged => (None, resync(self.rest)),
            };
            self.at += length;
            self.rest = self.rest.get(length..).unwrap_or_default();
            if item.is_some() {
                return item;
            }
        }
        None
    }
}
