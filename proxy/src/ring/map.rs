//! The memory a worker and the enricher share: one mapped ring file. The only unsafe code of the proxy.
//!
//! Why unsafe at all: the ring must survive the death of the process and cost the worker no system call, which only
//! shared memory does. What keeps it sound:
//! - the file is fully allocated in tmpfs before it is mapped and lies in a folder locked by this process, so no access
//!   raises SIGBUS unless somebody truncates it by hand;
//! - there is one [`super::Writer`] and one [`super::Reader`] a mapping. The writer touches only bytes from head to
//!   tail + capacity, the reader only bytes from tail to head; head and tail are passed on with release and acquire;
//! - the reader copies bytes out before it looks at them and trusts none of them.
#![allow(
    unsafe_code,
    reason = "shared memory cannot be had without; each use says why it is sound"
)]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use super::layout::{Cell, HEADER_BYTES};

/// A mapped ring.
#[derive(Debug)]
pub(super) struct Mapping {
    memory: MmapRaw,
    capacity: usize,
}

impl Mapping {
    /// Maps a file that is `HEADER_BYTES + capacity` long, and brings its pages in.
    ///
    /// # Errors
    /// What the system says, and a file that is shorter.
    pub(super) fn new(file: &File, capacity: usize) -> io::Result<Self> {
        let length = HEADER_BYTES + capacity;
        if file.metadata()?.len() < length as u64 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let memory = MmapOptions::new().len(length).populate().map_raw(file)?;
        Ok(Self { memory, capacity })
    }

    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Reads a cell; what was written before it was stored can be read afterwards.
    #[inline]
    pub(super) fn load(&self, cell: Cell) -> Option<u64> {
        cell.open(self.word(cell).load(Ordering::Acquire))
    }

    /// Stores a cell after everything written before.
    #[inline]
    pub(super) fn store(&self, cell: Cell, value: u64) {
        self.word(cell).store(cell.seal(value), Ordering::Release);
    }

    #[inline]
    fn word(&self, cell: Cell) -> &AtomicU64 {
        // SAFETY: all offsets lie in the header, which `new` mapped whole, and are multiples of 8; a mapping begins at a
        // page. The words are only ever accessed as atomics through this function, for as long as `self` lives.
        unsafe { AtomicU64::from_ptr(self.memory.as_mut_ptr().add(cell.offset()).cast()) }
    }

    /// The bytes `at..at + length` of the data, to be written; empty when they are not all within.
    ///
    /// # Safety
    /// The caller is the ring's one writer, these bytes are outside what the reader may read (not between tail and
    /// head), and it holds no other such slice.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "the contract above makes it exclusive")]
    pub(super) unsafe fn free_bytes(&self, at: usize, length: usize) -> &mut [u8] {
        if at > self.capacity || length > self.capacity - at {
            return &mut [];
        }
        // SAFETY: within the mapping (checked above); exclusive by the contract of this function.
        unsafe {
            std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().add(HEADER_BYTES + at), length)
        }
    }

    /// Copies data from `at` on into `out`; the part beyond the ring's end is left as it is.
    pub(super) fn copy_out(&self, at: usize, out: &mut [u8]) {
        let length = out.len().min(self.capacity.saturating_sub(at));
        // SAFETY: within the mapping; `out` is a buffer of the caller's own. The writer does not touch bytes between
        // tail and head, which is all a reader asks for; were it to read others, it would get bytes whose checksum fails.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.memory
                    .as_mut_ptr()
                    .add(HEADER_BYTES + at.min(self.capacity)),
                out.as_mut_ptr(),
                length,
            );
        }
    }
}
