//! The writing side, on its own thread.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use metrics::counter;
use schemas::feed::GROUPS;

use super::Message;
use super::manifest::{Group, Manifest, create, file_bits, groups_of, links_name, pieces_of};
use crate::metrics::{SNAPSHOT_ERRORS, SNAPSHOT_WRITES};
use crate::table::{Current, LinkTable};

/// Pause after a failed write: a full disk does not get better by trying at once.
const RETRY_EVERY: Duration = Duration::from_secs(10);

/// The log may grow to this many bytes, or to an eighth of the snapshot if that is more: below, snapshots would be
/// written all the time; above, starting takes long.
const LOG_BYTES: std::ops::RangeInclusive<u64> = 4 << 20..=64 << 20;

/// Bytes of changes written in one go.
const BATCH_BYTES: usize = 1 << 20;

/// The change log, open for appending.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) file: Arc<File>,
    pub(super) bytes: u64,
    /// Sequence number of the last change in it.
    pub(super) last: u64,
}

#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    manifest: Option<Manifest>,
    log: Option<Log>,
}

impl Store {
    pub(super) fn new(folder: &Path, manifest: Option<Manifest>, log: Option<Log>) -> Self {
        Self {
            folder: folder.to_owned(),
            manifest,
            log,
        }
    }

    /// Writes what comes until the feed's end is gone.
    pub(super) fn run(
        &mut self,
        inbox: &Receiver<Message>,
        waiting: &AtomicUsize,
        table: &Current,
    ) {
        let mut batch = Vec::new();
        let mut retry_at = Instant::now();
        // Without a log to go on with, a snapshot is due as soon as there is something to write.
        let mut due = self.log.is_none();
        loop {
            let mut open = true;
            let mut next = match inbox.recv_timeout(RETRY_EVERY) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => {
                    open = false;
                    None
                }
            };
            let mut last = self.log.as_ref().map_or(0, |log| log.last);
            while let Some(message) = next.take() {
                match message {
                    // From here on the log belongs to another history, or has a hole.
                    Message::Everything => {
                        due = true;
                        batch.clear();
                        self.log = None;
                    }
                    Message::Change(seq, frame) => {
                        waiting.fetch_sub(frame.len(), Ordering::Relaxed);
                        if last.checked_add(1) == Some(seq) {
                            batch.extend_from_slice(&frame);
                            last = seq;
                        } else if seq > last {
                            due = true;
                        }
                    }
                }
                if batch.len() < BATCH_BYTES {
                    next = inbox.try_recv().ok();
                }
            }
            due |= !self.append(&batch, last);
            batch.clear();
            let now = Instant::now();
            let full = self
                .log
                .as_ref()
                .is_some_and(|log| log.bytes > self.log_limit());
            if (due || full) && (now >= retry_at || !open) {
                let table = table.load_full();
                match self.write(&table) {
                    Ok(()) => due = false,
                    Err(error) => {
                        write_error(&error);
                        retry_at = now + RETRY_EVERY;
                    }
                }
            }
            if !open {
                return;
            }
        }
    }

    /// Appends changes to the log; false when a snapshot has to make up for it.
    fn append(&mut self, batch: &[u8], last: u64) -> bool {
        let Some(log) = &mut self.log else {
            return false;
        };
        if batch.is_empty() {
            return true;
        }
        match (&*log.file).write_all(batch) {
            Ok(()) => {
                log.bytes += batch.len() as u64;
                log.last = last;
                true
            }
            Err(error) => {
                write_error(&error);
                // Half a frame may stand at its end now.
                self.log = None;
                false
            }
        }
    }

    fn log_limit(&self) -> u64 {
        let bytes: u64 = self
            .manifest
            .iter()
            .flat_map(|m| &m.groups)
            .map(|g| g.length)
            .sum();
        (bytes / 8).clamp(*LOG_BYTES.start(), *LOG_BYTES.end())
    }

    /// Writes a snapshot of the table, and begins a new log behind it.
    fn write(&mut self, table: &LinkTable) -> io::Result<()> {
        // Half a table must not pass for a whole one: what is on disk stays until the rest has come.
        if !table.is_loaded() || table.missing().is_some() {
            return Ok(());
        }
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let generation = self.next_generation()?;
        let bits = file_bits(table.links());
        let mut manifest = Manifest {
            version: table.version(),
            links: table.links(),
            bits,
            generation,
            files: Vec::with_capacity(1 << bits),
            groups: vec![Group::default(); GROUPS],
            shared: table.shared().to_message(),
        };
        for file in 0..1 << bits {
            let kept = self.unchanged(file, bits, table);
            let groups = groups_of(file, bits);
            if let Some((old_generation, old_groups)) = kept
                && let Some(place) = manifest.groups.get_mut(groups.clone())
            {
                place.copy_from_slice(&old_groups);
                manifest.files.push(old_generation);
                continue;
            }
            let contents = collect(table, file, bits);
            let path = self.folder.join(links_name(file, generation));
            let mut out = create(&path)?;
            let mut bytes = Vec::with_capacity(contents.iter().map(Vec::len).sum());
            for (group, content) in groups.zip(&contents) {
                bytes.extend_from_slice(content);
                if let Some(place) = manifest.groups.get_mut(group) {
                    place.length = content.len() as u64;
                    place.sum = table.sums().get(group).copied().unwrap_or_default();
                }
            }
            out.write_all(&bytes)?;
            out.sync_data()?;
            manifest.files.push(generation);
        }
        let log = create(&manifest.log_path(&self.folder))?;
        manifest.write(&self.folder)?;
        self.log = Some(Log {
            file: Arc::new(log),
            bytes: 0,
            last: manifest.version.seq,
        });
        self.clean_up(&manifest);
        self.manifest = Some(manifest);
        counter!(SNAPSHOT_WRITES).increment(1);
        Ok(())
    }

    /// A generation no file in the folder has, whatever is left of earlier attempts.
    fn next_generation(&self) -> io::Result<u64> {
        let mut newest = self.manifest.as_ref().map_or(0, |m| m.generation);
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|n| {
                let (_, rest) = n.split_once('-')?;
                rest.split_once('.')?.0.parse::<u64>().ok()
            });
            newest = newest.max(number.unwrap_or(0));
        }
        newest
            .checked_add(1)
            .ok_or_else(|| io::Error::other("no generation left"))
    }

    /// The generation of a file on disk that holds just what the table has, and its groups.
    fn unchanged(&self, file: usize, bits: u32, table: &LinkTable) -> Option<(u64, Vec<Group>)> {
        let manifest = self.manifest.as_ref()?;
        if manifest.bits != bits {
            return None;
        }
        let generation = manifest.files.get(file).copied().filter(|g| *g != 0)?;
        let groups = groups_of(file, bits);
        let old = manifest.groups.get(groups.clone())?;
        let sums = table.sums().get(groups)?;
        let same = old.iter().zip(sums).all(|(group, sum)| group.sum == *sum);
        same.then(|| (generation, old.to_vec()))
    }

    /// Deletes what no longer belongs to the snapshot. What cannot be deleted is tried again next time.
    fn clean_up(&self, manifest: &Manifest) {
        let keep: HashSet<String> = manifest.file_names().collect();
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|n| !keep.contains(n)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The entries of each group of a file, end to end.
fn collect(table: &LinkTable, file: usize, bits: u32) -> Vec<Vec<u8>> {
    let first = groups_of(file, bits).start;
    let mut contents = vec![Vec::new(); groups_of(file, bits).len()];
    table.for_each_in(pieces_of(file, bits), |group, entry| {
        if let Some(content) = contents.get_mut(group.wrapping_sub(first)) {
            content.extend_from_slice(entry);
        }
    });
    contents
}

fn write_error(error: &io::Error) {
    counter!(SNAPSHOT_ERRORS, "kind" => "write").increment(1);
    tracing::error!(%error, "cannot write the links to disk; redirects go on");
}
