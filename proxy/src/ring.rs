//! What survives the process: each worker writes its visits into a ring of its own in tmpfs, the enricher reads them.
//!
//! A ring is a file in memory. It outlives `kill -9`, costs the worker no system call, no lock and no allocation, and
//! never a disk: a mapped file on disk makes redirects wait for writeback and raises SIGBUS when the disk fills up. A
//! power failure loses what is in it.
//!
//! One ring belongs to one stream: (epoch, worker), the epoch drawn at random when the process starts. Each visit gets
//! the next position, whether it finds room or not. Nothing is ever appended to the ring of an earlier process; it is
//! read to its end and deleted.
//!
//! What it deliberately does not do: wait, fail, resize, or wake the reader up. When there is no room the position is
//! spent and the visit lost, which shows as a gap; without a ring at all (no folder, no room in it) every visit is.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod folder;
mod layout;
mod map;
mod read;
mod record;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use schemas::click::Stream;

pub use folder::{Folder, FolderError, Leftover};
pub use read::{Found, Loss, Progress, Reader};

use self::layout::{Cell, RECORD_HEADER_BYTES};
use self::map::Mapping;
use crate::visit::Visit;

/// Smallest and largest size of a ring, in bytes. Below, a few visits with long texts fill it; above, a crash leaves more
/// than can be drained in a minute.
pub const RING_BYTES: std::ops::RangeInclusive<u64> = layout::MIN_CAPACITY as u64..=4 << 30;

/// What worker and enricher of this process share besides the ring's memory.
#[derive(Debug)]
struct Shared {
    stream: Stream,
    mapping: Option<Mapping>,
    /// Positions handed out by a worker without a ring.
    handed_without_ring: AtomicU64,
    /// The worker is gone: nothing will be appended any more.
    finished: AtomicBool,
}

/// The worker's end of its ring. Dropping it says that the stream is complete.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    seed: u32,
    position: u64,
    /// Bytes written since the beginning, skipped ones included.
    head: u64,
    /// Bytes known to be read.
    tail: u64,
    full: u64,
}

impl Writer {
    /// Makes both ends of a stream's ring; `None` for a worker that has to do without.
    fn with(stream: Stream, mapping: Option<Mapping>) -> (Self, Reader) {
        let shared = Arc::new(Shared {
            stream,
            mapping,
            handed_without_ring: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        });
        let writer = Self {
            shared: Arc::clone(&shared),
            seed: layout::seed(stream),
            position: 0,
            head: 0,
            tail: 0,
            full: 0,
        };
        (writer, Reader::live(shared))
    }

    /// The stream this worker writes.
    pub fn stream(&self) -> Stream {
        self.shared.stream
    }

    /// Appends a visit: a copy into memory. No system call, no lock, no allocation; never waits and never fails. A text
    /// beyond its limit is cut; a visit that finds no room is lost and its position spent.
    #[inline]
    pub fn append(&mut self, visit: &Visit<'_>) {
        let position = self.position;
        self.position += 1;
        let Some(mapping) = &self.shared.mapping else {
            self.shared
                .handed_without_ring
                .store(self.position, Ordering::Release);
            return;
        };
        let capacity = mapping.capacity();
        let payload = record::encoded_len(visit);
        let bytes = layout::record_bytes(payload);
        let at = (self.head % capacity as u64) as usize;
        let rest_of_lap = capacity - at;
        // A record never wraps: when the lap's rest is too short, it is skipped.
        let skipped = if rest_of_lap < bytes { rest_of_lap } else { 0 };
        let wanted = (skipped + bytes) as u64;
        if self.head + wanted > self.tail + capacity as u64 {
            self.tail = fresh_tail(mapping, self.tail, self.head);
            if self.head + wanted > self.tail + capacity as u64 {
                self.full += 1;
                mapping.store(Cell::Full, self.full);
                mapping.store(Cell::Handed, self.position);
                mapping.store(Cell::HandedTwin, self.position);
                return;
            }
        }
        #[allow(
            unsafe_code,
            reason = "the writer's side of the shared memory, see map.rs"
        )]
        if skipped > 0 {
            // SAFETY: `Writer` is the ring's only writer and not Clone; the room check above keeps these bytes outside
            // what the reader may read; the slice is gone before the next is made.
            layout::write_skip(unsafe { mapping.free_bytes(at, skipped) });
        }
        let start = if skipped > 0 { 0 } else { at };
        #[allow(
            unsafe_code,
            reason = "the writer's side of the shared memory, see map.rs"
        )]
        // SAFETY: as above.
        let place = unsafe { mapping.free_bytes(start, bytes) };
        if let Some(payload_place) = place.get_mut(RECORD_HEADER_BYTES..) {
            record::encode(visit, payload_place);
        }
        layout::finish_record(place, self.seed, position, payload);
        self.head += wanted;
        // Head first: were the process to die between the two, the record is there and its position known from it. The
        // other way round a visit that was recorded would look lost.
        mapping.store(Cell::Head, self.head / layout::UNIT as u64);
        mapping.store(Cell::Handed, self.position);
        mapping.store(Cell::HandedTwin, self.position);
    }
}

/// How far the reader is. A damaged cell, or one that cannot be, changes nothing: it is written again soon.
#[cold]
fn fresh_tail(mapping: &Mapping, tail: u64, head: u64) -> u64 {
    mapping
        .load(Cell::Tail)
        .map(|units| units * layout::UNIT as u64)
        .filter(|t| (tail..=head).contains(t))
        .unwrap_or(tail)
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.finished.store(true, Ordering::Release);
    }
}
