//! The enricher's end of a ring: visits in order, and the positions that are missing between them.
//!
//! Reads rings of this process while they are written, and those an earlier process left, with the same code: bytes are
//! copied out, every record is checked, and what is not a record is passed over. A lost position is never guessed at:
//! it shows as a jump between two records, or between the last one and the number handed out.
//!
//! Nothing is given back to the writer before [`Reader::commit`]; until then [`Reader::rewind`] reads it again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use schemas::click::Stream;

use super::layout::{self, Cell, Front, HEADER_BYTES, MAX_RECORD_BYTES, UNIT, front};
use super::{Shared, record};
use crate::visit::Visit;

/// Most bytes read at once: some hundreds of visits, so that the writer gets room back often.
const WINDOW_BYTES: u64 = 256 << 10;

/// Why positions are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The ring had no room.
    Full,
    /// What stood in the ring was no record.
    Corrupt,
    /// There was no ring.
    NoRing,
}

/// What is next in a ring.
#[derive(Debug)]
pub enum Found<'a> {
    /// A visit.
    Visit {
        /// Its position in the stream.
        position: u64,
        /// The visit, its texts borrowed from the reader.
        visit: Visit<'a>,
    },
    /// Positions `from..to` are missing.
    Lost {
        /// First missing position.
        from: u64,
        /// First position after them.
        to: u64,
        /// Why.
        loss: Loss,
    },
}

/// Whether there is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More can be read at once.
    More,
    /// All there was when reading began has been read.
    CaughtUp,
}

#[derive(Debug)]
enum Store {
    /// A ring of this process. The file is kept to see whether it is still there, and to delete it.
    Live {
        shared: Arc<Shared>,
        file: Option<(File, PathBuf)>,
    },
    /// What an earlier process left: read whole, so that a file cut short cannot raise SIGBUS.
    Left {
        file: File,
        path: PathBuf,
        bytes: Vec<u8>,
    },
}

/// How far a ring has been read.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Bytes since the ring's beginning.
    tail: u64,
    /// The next position: all below are accounted for.
    expected: u64,
    /// Bytes that are no record have been passed over since the last visit.
    damaged: bool,
}

/// The reading end of one stream's ring.
#[derive(Debug)]
pub struct Reader {
    stream: Stream,
    seed: u32,
    store: Store,
    place: Place,
    committed: Place,
    /// Where reading ends, for a ring whose header cannot tell.
    end: Option<u64>,
    window: Vec<u8>,
    damaged_bytes: u64,
}

impl Reader {
    pub(super) fn live(shared: Arc<Shared>) -> Self {
        let stream = shared.stream;
        Self::new(stream, Store::Live { shared, file: None })
    }

    pub(super) fn set_file(&mut self, new: File, path: PathBuf) {
        if let Store::Live { file, .. } = &mut self.store {
            *file = Some((new, path));
        }
    }

    pub(super) fn leftover(path: &Path, stream: Stream) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = fs::read(path)?;
        let header = bytes.get(..HEADER_BYTES).unwrap_or(&bytes);
        if layout::is_other_version(header) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "ring of another version",
            ));
        }
        if layout::is_blank(header) {
            return Ok(None);
        }
        // A file cut short is read as if zeros followed, so that what is left of it stays where it was. When the header
        // is damaged too, the file's own length has to do.
        let data = layout::capacity_of(header, stream)
            .filter(|c| super::RING_BYTES.contains(c))
            .unwrap_or(bytes.len().saturating_sub(HEADER_BYTES) as u64);
        bytes.resize(HEADER_BYTES + data as usize / UNIT * UNIT, 0);
        let path = path.to_owned();
        let mut reader = Self::new(stream, Store::Left { file, path, bytes });
        reader.begin();
        Ok(Some(reader))
    }

    fn new(stream: Stream, store: Store) -> Self {
        Self {
            stream,
            seed: layout::seed(stream),
            store,
            place: Place::default(),
            committed: Place::default(),
            end: None,
            window: Vec::new(),
            damaged_bytes: 0,
        }
    }

    /// The stream it reads.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// The next position: all below have been found or reported lost, or were before.
    pub fn expected(&self) -> u64 {
        self.place.expected
    }

    /// Whether nothing will ever be appended. Ask before the [`Self::read`] that is to be the last one.
    pub fn is_finished(&self) -> bool {
        match &self.store {
            Store::Live { shared, .. } => shared.finished.load(Ordering::Acquire),
            Store::Left { .. } => true,
        }
    }

    /// Whether the file was deleted under a ring in use: it works on, but would not survive the process.
    pub fn is_unlinked(&self) -> bool {
        match &self.store {
            Store::Live {
                file: Some((file, _)),
                ..
            } => file.metadata().is_ok_and(|m| m.nlink() == 0),
            _ => false,
        }
    }

    /// Positions lost so far for want of room or of a ring, as the worker counts them; for metrics, since gaps are only
    /// found once there is something behind them.
    pub fn lost_by_worker(&self) -> u64 {
        match &self.store {
            Store::Live { shared, .. } if shared.mapping.is_none() => {
                shared.handed_without_ring.load(Ordering::Relaxed)
            }
            _ => self.load(Cell::Full).unwrap_or_default(),
        }
    }

    /// Positions handed out so far; what is known when the ring cannot tell.
    pub fn handed_out(&self) -> u64 {
        self.handed().unwrap_or(self.place.expected)
    }

    /// Whether the stream has a ring at all.
    pub fn has_ring(&self) -> bool {
        !matches!(&self.store, Store::Live { shared, .. } if shared.mapping.is_none())
    }

    /// Bytes passed over so far because they were no record.
    pub fn damaged_bytes(&self) -> u64 {
        self.damaged_bytes
    }

    /// Positions below `position` are known to be in the log: they are not reported again.
    pub fn skip_to(&mut self, position: u64) {
        self.place.expected = self.place.expected.max(position);
    }

    /// Reads on, calling `on` for each thing found, in order.
    pub fn read(&mut self, mut on: impl FnMut(Found<'_>)) -> Progress {
        // Handed out before head: every position below `handed` is in a record below `head`, or lost.
        let handed = self.handed();
        let Some(end) = self.end() else {
            return Progress::CaughtUp;
        };
        let mut place = self.place;
        let from = place.tail;
        let window_end = end.min(from + WINDOW_BYTES);
        let mut window = std::mem::take(&mut self.window);
        window.resize((window_end - from) as usize, 0);
        self.copy(from, &mut window);

        while place.tail < window_end {
            let bytes = window
                .get((place.tail - from) as usize..)
                .unwrap_or_default();
            match front(bytes, self.seed) {
                Front::Record {
                    position,
                    payload,
                    bytes,
                } => {
                    place.tail += bytes as u64;
                    if position < place.expected {
                        // Known to be in the log, or of an earlier lap.
                        continue;
                    }
                    let Some(visit) = record::decode(payload) else {
                        place.damaged = true;
                        continue;
                    };
                    if position > place.expected {
                        on(lost(place, position));
                    }
                    on(Found::Visit { position, visit });
                    place.expected = position + 1;
                    place.damaged = false;
                }
                Front::Skip if self.rest_of_lap(place.tail) < MAX_RECORD_BYTES as u64 => {
                    place.tail += self.rest_of_lap(place.tail);
                }
                Front::Cut if window_end < end && place.tail > from => break,
                Front::Skip | Front::Cut | Front::Damaged => {
                    place.damaged = true;
                    place.tail += UNIT as u64;
                    self.damaged_bytes += UNIT as u64;
                }
            }
        }
        place.tail = place.tail.min(end);
        let progress = if place.tail < end {
            Progress::More
        } else {
            if let Some(handed) = handed.filter(|h| *h > place.expected) {
                on(match self.has_ring() {
                    true => lost(place, handed),
                    false => Found::Lost {
                        from: place.expected,
                        to: handed,
                        loss: Loss::NoRing,
                    },
                });
                place.expected = handed;
            }
            place.damaged = false;
            Progress::CaughtUp
        };
        self.window = window;
        self.place = place;
        progress
    }

    /// What has been read is in the log: the writer may have its room.
    pub fn commit(&mut self) {
        if (self.place.tail, self.place.expected) != (self.committed.tail, self.committed.expected)
        {
            // Position first: were the process to die between the two, the next one would read records again that it
            // knows by their positions. The other way round it would take them for lost.
            self.store_cell(Cell::Accounted, self.place.expected);
            self.store_cell(Cell::Tail, self.place.tail / UNIT as u64);
        }
        self.committed = self.place;
    }

    /// What has been read since the last commit did not get into the log: it will be read again.
    pub fn rewind(&mut self) {
        self.place = self.committed;
    }

    /// Deletes the ring's file. For streams that are complete and in the log.
    ///
    /// # Errors
    /// What the system says.
    pub fn delete(self) -> io::Result<()> {
        match &self.store {
            Store::Live {
                file: Some((_, path)),
                ..
            }
            | Store::Left { path, .. } => match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            },
            Store::Live { file: None, .. } => Ok(()),
        }
    }

    /// Finds out where to begin in a ring that was left.
    fn begin(&mut self) {
        let accounted = self.load(Cell::Accounted);
        self.place.expected = accounted.unwrap_or_default();
        let tail = self.load(Cell::Tail).map(|units| units * UNIT as u64);
        let head = self.load(Cell::Head).map(|units| units * UNIT as u64);
        let sane = |tail: u64, head: u64| tail <= head && head - tail <= self.capacity();
        match (tail, head, accounted) {
            (Some(tail), Some(head), Some(_)) if sane(tail, head) => self.place.tail = tail,
            _ => self.search(accounted),
        }
        self.committed = self.place;
    }

    /// The header cannot tell what is in the ring: begins at the earliest record that is not in the log yet, and goes
    /// once around. Records of earlier laps are told by their positions.
    fn search(&mut self, accounted: Option<u64>) {
        let mut all = vec![0; self.capacity() as usize];
        self.copy(0, &mut all);
        let mut first: Option<(u64, u64)> = None;
        let mut at = 0;
        while let Some(bytes) = all.get(at..).filter(|b| !b.is_empty()) {
            match front(bytes, self.seed) {
                Front::Record {
                    position, bytes, ..
                } => {
                    if accounted.is_none_or(|a| position >= a)
                        && first.is_none_or(|(p, _)| position < p)
                    {
                        first = Some((position, at as u64));
                    }
                    at += bytes;
                }
                _ => at += UNIT,
            }
        }
        match first {
            Some((position, at)) => {
                self.place.tail = at;
                self.place.expected = accounted.unwrap_or(position);
                self.end = Some(at + self.capacity());
            }
            None => {
                self.place.tail = 0;
                self.end = Some(0);
                // Without it nothing is known to be missing.
                if accounted.is_none() {
                    self.place.expected = self.handed().unwrap_or_default();
                }
            }
        }
    }

    /// Positions handed out; `None` when the ring cannot tell.
    fn handed(&self) -> Option<u64> {
        match &self.store {
            Store::Live { shared, .. } if shared.mapping.is_none() => {
                Some(shared.handed_without_ring.load(Ordering::Acquire))
            }
            _ => self
                .load(Cell::Handed)
                .or_else(|| self.load(Cell::HandedTwin)),
        }
    }

    /// Where the records end; `None` when that cannot be told now.
    fn end(&mut self) -> Option<u64> {
        if self.end.is_some() || !self.has_ring() {
            return Some(self.end.unwrap_or(self.place.tail));
        }
        let head = self.load(Cell::Head).map(|units| units * UNIT as u64);
        let capacity = self.capacity();
        let sane = head.filter(|h| self.place.tail <= *h && *h - self.place.tail <= capacity);
        // A live ring's worker writes its head again with the next visit; when there is none to come, it is searched.
        if sane.is_none() && self.is_finished() {
            self.search(Some(self.place.expected));
            return self.end;
        }
        sane
    }

    fn capacity(&self) -> u64 {
        match &self.store {
            Store::Live { shared, .. } => {
                shared.mapping.as_ref().map_or(0, |m| m.capacity() as u64)
            }
            Store::Left { bytes, .. } => (bytes.len() - HEADER_BYTES) as u64,
        }
    }

    fn rest_of_lap(&self, at: u64) -> u64 {
        let capacity = self.capacity().max(UNIT as u64);
        capacity - at % capacity
    }

    /// Copies the bytes from `from` on, around the ring's end if need be.
    fn copy(&self, from: u64, out: &mut [u8]) {
        let capacity = self.capacity();
        if capacity == 0 {
            return;
        }
        let at = (from % capacity) as usize;
        let split = out.len().min(capacity as usize - at);
        let (front, back) = out.split_at_mut(split);
        for (at, part) in [(at, front), (0, back)] {
            match &self.store {
                Store::Live { shared, .. } => {
                    if let Some(mapping) = &shared.mapping {
                        mapping.copy_out(at, part);
                    }
                }
                Store::Left { bytes, .. } => {
                    let from = bytes.get(HEADER_BYTES + at..).unwrap_or_default();
                    let length = part.len().min(from.len());
                    layout::put(part, from.get(..length).unwrap_or_default());
                }
            }
        }
    }

    fn load(&self, cell: Cell) -> Option<u64> {
        match &self.store {
            Store::Live { shared, .. } => shared.mapping.as_ref()?.load(cell),
            Store::Left { bytes, .. } => {
                let word = bytes.get(cell.offset()..)?.first_chunk::<8>()?;
                cell.open(u64::from_le_bytes(*word))
            }
        }
    }

    fn store_cell(&self, cell: Cell, value: u64) {
        match &self.store {
            Store::Live { shared, .. } => {
                if let Some(mapping) = &shared.mapping {
                    mapping.store(cell, value);
                }
            }
            // Should this fail, a later process reads the same visits again and knows them by their ids.
            Store::Left { file, .. } => {
                let _ = file.write_all_at(&cell.seal(value).to_le_bytes(), cell.offset() as u64);
            }
        }
    }
}

fn lost(place: Place, to: u64) -> Found<'static> {
    let loss = if place.damaged {
        Loss::Corrupt
    } else {
        Loss::Full
    };
    Found::Lost {
        from: place.expected,
        to,
        loss,
    }
}
