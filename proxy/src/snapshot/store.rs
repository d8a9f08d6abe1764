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

/// Where changes come from.
pub(super) struct Inbox<'a> {
    pub(super) messages: &'a Receiver<Message>,
    /// Bytes of changes in it.
    pub(super) waiting: &'a AtomicUsize,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Nothing, for a while.
    Nothing,
    /// Changes, and they are in the log.
    Changes,
    /// Something that only a snapshot can make up for.
    Due,
    /// Nothing will come any more.
    Closed,
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
    pub(super) fn run(&mut self, inbox: &Inbox<'_>, table: &Current) {
        let mut retry_at = Instant::now();
        // Without a log to go on with, a snapshot is due as soon as there is something to write.
        let mut due = self.log.is_none();
        loop {
            let taken = self.take(inbox, RETRY_EVERY);
            due |= taken == Taken::Due;
            let open = taken != Taken::Closed;
            let now = Instant::now();
            let full = self
                .log
                .as_ref()
                .is_some_and(|log| log.bytes > self.log_limit());
            if (due || full) && (now >= retry_at || !open) {
                match self.write(table, inbox) {
                    Ok(written) => due = !written,
                    Err(error) => {
                        write_error(&error);
                        due = true;
                        retry_at = now + RETRY_EVERY;
                    }
                }
            }
            if !open {
                return;
            }
        }
    }

    /// Appends what comes to the log, waiting for the first of it.
    fn take(&mut self, inbox: &Inbox<'_>, patience: Duration) -> Taken {
        let mut next = match inbox.messages.recv_timeout(patience) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => return Taken::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Taken::Closed,
        };
        let mut due = false;
        let mut batch = Vec::new();
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
                    inbox.waiting.fetch_sub(frame.len(), Ordering::Relaxed);
                    if last.checked_add(1) == Some(seq) {
                        batch.extend_from_slice(&frame);
                        last = seq;
                    } else if seq > last {
                        due = true;
                    }
                }
            }
            if batch.len() < BATCH_BYTES {
                next = inbox.messages.try_recv().ok();
            }
        }
        due |= !self.append(&batch, last);
        if due { Taken::Due } else { Taken::Changes }
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

    /// Writes a snapshot, and begins a new log behind it. False: the table has become another one meanwhile, and it is to be
    /// tried again.
    ///
    /// Each file is of the table as it is when the file is written, for to hold one table all the while would keep twice its
    /// memory when links change quickly. So a file may be ahead of the snapshot's version; the log goes on from that
    /// version, and the manifest is not written before the log has what the files are ahead by. Applying a change to what has it
    /// already changes nothing, so that files and log together are one instant again.
    fn write(&mut self, current: &Current, inbox: &Inbox<'_>) -> io::Result<bool> {
        let table = current.load_full();
        // Half a table must not pass for a whole one: what is on disk stays until the rest has come.
        if !table.is_loaded() || table.missing().is_some() {
            return Ok(true);
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
        let history = table.history();
        drop(table);
        let log = Log {
            file: Arc::new(create(&manifest.log_path(&self.folder))?),
            bytes: 0,
            last: manifest.version.seq,
        };
        let mut ahead = manifest.version.seq;
        for file in 0..1 << bits {
            let table = current.load_full();
            if !table.is_of(&history) {
                return Ok(false);
            }
            ahead = table.version().seq;
            self.write_file((file, bits), &table, &mut manifest)?;
        }
        // Up to here a failure leaves the old log as it was.
        self.log = Some(log);
        while let Some(log) = &self.log {
            if log.last >= ahead {
                log.file.sync_data()?;
                manifest.write(&self.folder)?;
                self.clean_up(&manifest);
                self.manifest = Some(manifest);
                counter!(SNAPSHOT_WRITES).increment(1);
                return Ok(true);
            }
            match self.take(inbox, RETRY_EVERY) {
                Taken::Changes => {}
                Taken::Nothing | Taken::Closed | Taken::Due => self.log = None,
            }
        }
        Ok(false)
    }

    /// Writes a file of the snapshot, unless it is on disk already.
    fn write_file(
        &self,
        (file, bits): (usize, u32),
        table: &LinkTable,
        manifest: &mut Manifest,
    ) -> io::Result<()> {
        let kept = self.unchanged(file, bits, table);
        let groups = groups_of(file, bits);
        if let Some((old_generation, old_groups)) = kept
            && let Some(place) = manifest.groups.get_mut(groups.clone())
        {
            place.copy_from_slice(&old_groups);
            manifest.files.push(old_generation);
            return Ok(());
        }
        let contents = collect(table, file, bits);
        let path = self.folder.join(links_name(file, manifest.generation));
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
        manifest.files.push(manifest.generation);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::sync_channel;

    use bytes::Bytes;
    use schemas::feed::{Change, Kind, encode_frame};
    use schemas::link::{Entry, Status};

    use super::super::load;
    use super::*;
    use crate::table::{Around, GroupSet, Lookup, SharedTables, Source};

    /// Links that never change, so that there are many files, and links that always do.
    const STILL: usize = 20_000;
    const EDITED: u64 = 50;

    fn entry(slug: &str, destination: &str) -> Bytes {
        let mut out = Vec::new();
        let entry = Entry {
            domain: 1,
            slug: slug.as_bytes(),
            destination: destination.as_bytes(),
            link: 1,
            workspace: 1,
            status: Status::Found,
            disabled: false,
            utm: false,
            starts_at_ms: i64::MIN,
            expires_at_ms: i64::MAX,
            expired_url: b"",
            plan: b"",
        };
        entry.encode(&mut out).expect("legal");
        out.into()
    }

    fn change(seq: u64, upsert: Vec<Bytes>) -> Change {
        Change {
            seq,
            change: vec![7; 16].into(),
            upsert,
            ..Change::default()
        }
    }

    /// The `seq`th change leads link `seq % EDITED` to where its number says.
    fn edit(seq: u64) -> Change {
        let slug = format!("e{}", seq % EDITED);
        change(seq, vec![entry(&slug, &format!("h:{seq}"))])
    }

    #[test]
    fn what_changes_while_it_is_written_is_one_instant_when_it_is_read() {
        let folder = tempfile::tempdir().expect("tempdir");
        let empty = LinkTable::empty();
        let around = Around {
            version: empty.version(),
            shared: SharedTables::default(),
            sums: empty.sums().into(),
            links: 0,
            missing: GroupSet::none(),
        };
        let mut table = empty.assemble(around, |_| Source::Keep).expect("empty");
        let mut seq = 0;
        let still: Vec<Bytes> = (0..STILL)
            .map(|i| entry(&format!("s{i}"), "h:still"))
            .collect();
        for part in still.chunks(1000) {
            seq += 1;
            table = table.apply(&change(seq, part.to_vec())).expect("legal");
        }
        let first = seq;
        let current: Current = Arc::new(arc_swap::ArcSwap::from_pointee(table));
        let (queue, messages) = sync_channel(1 << 20);
        let waiting = AtomicUsize::new(0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut seq = first;
                while !done.load(Ordering::Relaxed) {
                    seq += 1;
                    let change = edit(seq);
                    let next = current.load().apply(&change).expect("legal");
                    current.store(Arc::new(next));
                    let frame = encode_frame(Kind::Change(change)).expect("small");
                    waiting.fetch_add(frame.len(), Ordering::Relaxed);
                    let _ = queue.send(Message::Change(seq, frame.into()));
                }
            });
            let inbox = Inbox {
                messages: &messages,
                waiting: &waiting,
            };
            let mut store = Store::new(folder.path(), None, None);
            let mut ahead = false;
            for _ in 0..5 {
                while !store.write(&current, &inbox).expect("written") {}
                let (read, _) = load(folder.path());
                let version = read.version().seq;
                assert_eq!(read.links(), (STILL as u64) + EDITED.min(version - first));
                for link in 0..EDITED {
                    let newest = (first + 1..=version).rev().find(|seq| seq % EDITED == link);
                    let found = read.find(1, format!("e{link}").as_bytes());
                    let to = match found {
                        Lookup::Found(found) => Some(found.destination.to_vec()),
                        _ => None,
                    };
                    let expected = newest.map(|seq| format!("h:{seq}").into_bytes());
                    assert_eq!(to, expected, "link {link} at {version}");
                }
                let manifest = store.manifest.as_ref().expect("written");
                ahead |= version > manifest.version.seq;
            }
            assert!(ahead, "nothing changed while it was written");
            done.store(true, Ordering::Relaxed);
        });
    }
}
