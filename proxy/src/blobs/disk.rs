//! Copies of blobs on disk: one file each, named by its hash, in 256 folders by its first byte.
//!
//! A file is written beside and renamed, so a name stands for whole bytes or for none; a damaged one is found by its hash
//! when it is read, and deleted. Nothing is synced: what a power failure takes is fetched again.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use metrics::counter;
use schemas::link::plan::MAX_BLOB_BYTES;
use sha2::{Digest as _, Sha256};

use crate::metrics as names;
use crate::pages::BlobHash;

/// The folder, and what is in it.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    bound: u64,
    total: u64,
    files: HashMap<BlobHash, File>,
    turn: u64,
}

#[derive(Debug, Clone, Copy)]
struct File {
    bytes: u64,
    /// Rises with each use; in the order of their times for what was there at the start.
    used: u64,
}

/// Whether these are the blob's bytes.
pub(super) fn is_whole(hash: &BlobHash, bytes: &[u8]) -> bool {
    bytes.len() as u64 <= MAX_BLOB_BYTES && Sha256::digest(bytes).as_slice() == hash
}

impl Disk {
    /// Looks what is there. Files of other names are deleted: halves of an earlier process.
    pub(super) fn open(dir: PathBuf, bound: u64) -> Self {
        let mut found = Vec::new();
        for folder in entries(&dir) {
            for path in entries(&folder) {
                let meta = fs::metadata(&path);
                let name = path
                    .file_name()
                    .and_then(|n| n.to_str())
                    .unwrap_or_default();
                let mut hash = BlobHash::default();
                match meta {
                    Ok(meta) if hex::decode_to_slice(name, &mut hash).is_ok() => {
                        let time = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                        found.push((time, hash, meta.len()));
                    }
                    _ => drop(fs::remove_file(&path)),
                }
            }
        }
        found.sort_unstable();
        let total = found.iter().map(|(.., bytes)| bytes).sum();
        let turn = found.len() as u64;
        let files = (0..)
            .zip(found)
            .map(|(used, (_, hash, bytes))| (hash, File { bytes, used }));
        Self {
            dir,
            bound,
            total,
            files: files.collect(),
            turn,
        }
    }

    pub(super) fn has(&self, hash: &BlobHash) -> bool {
        self.files.contains_key(hash)
    }

    /// Whether it is there; it counts as used then.
    pub(super) fn touch(&mut self, hash: &BlobHash) -> bool {
        self.turn += 1;
        let turn = self.turn;
        self.files
            .get_mut(hash)
            .map(|file| file.used = turn)
            .is_some()
    }

    /// Reads a blob; `None` when it is not there or damaged, and then it is gone.
    pub(super) fn read(&mut self, hash: &BlobHash) -> Option<Bytes> {
        self.turn += 1;
        self.files.get_mut(hash)?.used = self.turn;
        match fs::read(self.path(hash)) {
            Ok(bytes) if is_whole(hash, &bytes) => Some(bytes.into()),
            _ => {
                counter!(names::BLOB_ERRORS, "kind" => "damaged").increment(1);
                self.remove(hash);
                None
            }
        }
    }

    /// Keeps a blob, and lets go of others when there is too much: first of those that are not `wanted`, then of those
    /// not used for longest.
    pub(super) fn write(&mut self, hash: &BlobHash, bytes: &[u8], wanted: &HashSet<BlobHash>) {
        let path = self.path(hash);
        let beside = path.with_extension("part");
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&beside, bytes))
            .and_then(|()| fs::rename(&beside, &path));
        if let Err(error) = written {
            counter!(names::BLOB_ERRORS, "kind" => "write").increment(1);
            tracing::warn!(%error, "a blob cannot be kept on disk");
            return;
        }
        self.adopt(hash, bytes.len() as u64, wanted);
    }

    /// Counts a blob that lies in its place.
    pub(super) fn adopt(&mut self, hash: &BlobHash, bytes: u64, wanted: &HashSet<BlobHash>) {
        self.turn += 1;
        let file = File {
            bytes,
            used: self.turn,
        };
        if let Some(old) = self.files.insert(*hash, file) {
            self.total = self.total.saturating_sub(old.bytes);
        }
        self.total += file.bytes;
        if self.total <= self.bound {
            return;
        }
        let mut order: Vec<_> = self
            .files
            .iter()
            .filter(|(other, _)| *other != hash)
            .map(|(other, file)| (wanted.contains(other), file.used, *other))
            .collect();
        order.sort_unstable();
        for (.., other) in order {
            if self.total <= self.bound / 10 * 9 {
                break;
            }
            self.remove(&other);
        }
    }

    fn remove(&mut self, hash: &BlobHash) {
        if let Some(file) = self.files.remove(hash) {
            self.total = self.total.saturating_sub(file.bytes);
        }
        // Gone already, or it will be read as damaged again.
        let _ = fs::remove_file(self.path(hash));
    }

    fn path(&self, hash: &BlobHash) -> PathBuf {
        path_in(&self.dir, hash)
    }
}

/// Where a blob lies in the folder of copies.
pub(super) fn path_in(dir: &Path, hash: &BlobHash) -> PathBuf {
    let name = hex::encode(hash);
    dir.join(name.get(..2).unwrap_or_default()).join(name)
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    // A folder that is not there is empty.
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(n: u8, length: usize) -> (BlobHash, Vec<u8>) {
        let bytes = vec![n; length];
        (Sha256::digest(&bytes).into(), bytes)
    }

    #[test]
    fn blobs_survive_a_start_and_damage_is_found() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("blobs");
        let mut disk = Disk::open(path.clone(), 1000);
        let (a, a_bytes) = blob(1, 100);
        let (b, b_bytes) = blob(2, 100);
        disk.write(&a, &a_bytes, &HashSet::new());
        disk.write(&b, &b_bytes, &HashSet::new());
        fs::write(path.join(&hex::encode(a)[..2]).join("half.part"), b"x").expect("written");
        let mut disk = Disk::open(path.clone(), 1000);
        assert_eq!(disk.total, 200);
        assert_eq!(disk.read(&a).as_deref(), Some(&*a_bytes));
        fs::write(disk.path(&b), b"other").expect("damaged");
        assert_eq!(disk.read(&b), None);
        assert!(!disk.has(&b) && !disk.path(&b).exists());
        assert_eq!(Disk::open(path, 1000).files.len(), 1);
    }

    #[test]
    fn too_much_lets_go_of_what_nobody_wants_first() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut disk = Disk::open(dir.path().join("blobs"), 1000);
        let blobs: Vec<_> = (0..10).map(|n| blob(n, 200)).collect();
        let wanted = HashSet::from([blobs[0].0]);
        for (hash, bytes) in &blobs {
            disk.write(hash, bytes, &wanted);
            assert!(disk.has(hash) && disk.total <= 1000);
        }
        assert!(disk.has(&blobs[0].0), "wanted");
        assert!(!disk.has(&blobs[1].0), "oldest of the others");
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_no_end() {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = dir.path().join("blobs");
        fs::write(&file, b"a file where the folder should be").expect("written");
        let mut disk = Disk::open(file, 1000);
        let (hash, bytes) = blob(1, 10);
        disk.write(&hash, &bytes, &HashSet::new());
        assert_eq!(disk.read(&hash), None);
    }
}
