//! From disk to a table, believing nothing.

use std::fs::{self, OpenOptions};
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use metrics::counter;
use schemas::feed::{Change, GROUPS, Kind, decode_frame};

use super::Opened;
use super::manifest::{Group, Manifest, groups_of, links_name, pieces_of};
use super::store::{Log, Store};
use crate::metrics::SNAPSHOT_ERRORS;
use crate::table::{Around, GroupSet, LinkTable, PIECES, Piece, SharedTables, Source, check_group};

/// Reads what is there; an empty table where nothing is. Never fails: what cannot be read or is damaged is counted,
/// logged and left out.
pub fn load(folder: &Path) -> (LinkTable, Opened) {
    let nothing = || {
        let store = Store::new(folder, None, None);
        (LinkTable::empty(), Opened { store })
    };
    let mut manifest = match Manifest::read(folder) {
        Ok((manifest, damaged)) => {
            if damaged {
                damage("the manifest of the links on disk is damaged");
            }
            let Some(manifest) = manifest else {
                return nothing();
            };
            if damaged && let Err(error) = manifest.write(folder) {
                tracing::warn!(%error, "cannot mend the manifest of the links on disk");
            }
            manifest
        }
        Err(error) => {
            read_error(&error);
            return nothing();
        }
    };
    let Some(table) = read_groups(folder, &mut manifest) else {
        damage("the links on disk do not fit together");
        return nothing();
    };
    let (table, log) = replay(folder, &manifest, table);
    tracing::info!(
        links = table.links(),
        seq = table.version().seq,
        missing_groups = table.missing().map_or(0, GroupSet::len),
        "read the links from disk"
    );
    let store = Store::new(folder, Some(manifest), log);
    (table, Opened { store })
}

fn damage(what: &str) {
    counter!(SNAPSHOT_ERRORS, "kind" => "damaged").increment(1);
    tracing::error!("{what}");
}

fn read_error(error: &io::Error) {
    counter!(SNAPSHOT_ERRORS, "kind" => "read").increment(1);
    tracing::error!(%error, "cannot read the links on disk");
}

/// The table as of the manifest; `None` when not even a part of it can be made.
///
/// Files are read, checked and made into pieces of the table by all cores; what a file held is freed before the next is read,
/// so that loading needs little more memory than the table.
fn read_groups(folder: &Path, manifest: &mut Manifest) -> Option<LinkTable> {
    let shared = SharedTables::default().apply(&manifest.shared).ok()?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let known: &Manifest = manifest;
    let read = || {
        let mut read = Vec::new();
        loop {
            let file = next.fetch_add(1, Ordering::Relaxed);
            if file >= known.files.len() {
                return read;
            }
            read.push(read_file(folder, known, file));
        }
    };
    let mut files: Vec<Contents> = thread::scope(|scope| {
        // The last share is this thread's own, so that it goes on where no thread can be had.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, read).ok())
            .collect();
        let own = read();
        let others = others.into_iter().filter_map(|other| other.join().ok());
        others.flatten().chain(own).collect()
    });
    files.sort_unstable_by_key(|contents| contents.file);
    let mut around = Around {
        version: manifest.version,
        shared,
        sums: Arc::default(),
        links: 0,
        missing: GroupSet::none(),
    };
    let mut sums = Vec::with_capacity(GROUPS);
    let mut pieces = Vec::with_capacity(PIECES);
    for contents in files {
        pieces.extend(contents.pieces?);
        around.links += contents.links;
        for (group, sum) in groups_of(contents.file, manifest.bits).zip(contents.sums) {
            sums.push(sum.unwrap_or(0));
            if sum.is_none() {
                around.missing.insert(group);
                // Its file must not be used again.
                if let Some(generation) = manifest.files.get_mut(contents.file) {
                    *generation = 0;
                }
            }
        }
    }
    if pieces.len() != PIECES || sums.len() != GROUPS {
        return None;
    }
    if !around.missing.is_empty() {
        damage("groups of links on disk are damaged and will be fetched again");
    }
    around.sums = sums.into();
    LinkTable::of(around, pieces.into()).ok()
}

/// What a file holds.
struct Contents {
    file: usize,
    /// `None` when its links do not fit together.
    pieces: Option<Vec<Piece>>,
    /// Checksum of each group; `None`: it is damaged.
    sums: Vec<Option<u64>>,
    links: u64,
}

fn read_file(folder: &Path, manifest: &Manifest, file: usize) -> Contents {
    let generation = manifest.files.get(file).copied().unwrap_or_default();
    let bytes = match fs::read(folder.join(links_name(file, generation))) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => {
            read_error(&error);
            Bytes::new()
        }
    };
    let mut contents = Contents {
        file,
        pieces: None,
        sums: Vec::new(),
        links: 0,
    };
    let mut at = 0;
    let mut sources = Vec::new();
    for group in groups_of(file, manifest.bits) {
        let expected = manifest.groups.get(group).copied().unwrap_or_default();
        let slice = slice(&bytes, at, expected);
        at = at.saturating_add(expected.length);
        let facts = slice.as_ref().and_then(|s| check_group(group, s).ok());
        match (slice, facts) {
            (Some(slice), Some(facts)) if facts.sum == expected.sum => {
                contents.links += facts.links;
                contents.sums.push(Some(facts.sum));
                sources.push(Source::Replace(slice));
            }
            _ => {
                contents.sums.push(None);
                sources.push(Source::Replace(Bytes::new()));
            }
        }
    }
    let groups = GROUPS / PIECES;
    let pieces = pieces_of(file, manifest.bits).zip(sources.chunks(groups));
    let pieces = pieces.map(|(piece, sources)| Piece::default().with(piece, sources));
    contents.pieces = pieces.collect::<Result<_, _>>().ok();
    contents
}

fn slice(bytes: &Bytes, at: u64, group: Group) -> Option<Bytes> {
    let start = usize::try_from(at).ok()?;
    let end = start.checked_add(usize::try_from(group.length).ok()?)?;
    (end <= bytes.len()).then(|| bytes.slice(start..end))
}

/// Applies the change log, and opens it where it can be gone on with.
fn replay(folder: &Path, manifest: &Manifest, table: LinkTable) -> (LinkTable, Option<Log>) {
    let path = manifest.log_path(folder);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            read_error(&error);
            return (table, None);
        }
    };
    let (changes, good) = read_changes(&bytes, table.version().seq);
    let replayed = match table.apply_all(&changes) {
        Ok(replayed) => replayed,
        Err(_) => {
            // One of them is wrong in itself: find out how far it goes.
            let mut replayed = table;
            for change in &changes {
                match replayed.apply(change) {
                    Ok(next) => replayed = next,
                    Err(_) => break,
                }
            }
            damage("a change on disk cannot be applied; what follows it is left out");
            return (replayed, None);
        }
    };
    if good < bytes.len() {
        damage("the log of changes on disk is cut or damaged; what follows is left out");
    }
    let last = replayed.version().seq;
    let log = OpenOptions::new()
        .append(true)
        .open(&path)
        .and_then(|file| file.set_len(good as u64).map(|()| file));
    let log = log.ok().map(|file| Log {
        file: Arc::new(file),
        bytes: good as u64,
        last,
    });
    (replayed, log)
}

/// Changes in order up to the first that is damaged or does not follow, and the number of good bytes.
fn read_changes(bytes: &[u8], after: u64) -> (Vec<Change>, usize) {
    let (mut changes, mut good, mut last) = (Vec::new(), 0, after);
    while let Some(rest) = bytes.get(good..)
        && let Ok(Some((Kind::Change(change), used))) = decode_frame(rest)
    {
        if change.seq > last {
            if last.checked_add(1) != Some(change.seq) {
                break;
            }
            last = change.seq;
            changes.push(change);
        }
        good += used;
    }
    (changes, good)
}
