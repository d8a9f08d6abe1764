//! Which partition each stream is bound to, for its life: a file in the log's folder.
//!
//! A line a stream, on disk before its first record goes out. So a stream stays in order also when partitions are added
//! while it lives, or while what it left in the log is shipped by a later process. Streams that are complete and
//! acknowledged are forgotten at the next start.
//!
//! ```text
//! at <stream> <partition> <crc32c of the line before it, 8 hex digits>
//! closed <stream> <offset behind its last record> <crc32c>
//! ```

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use schemas::click::{ClickId, Stream};
use schemas::names::files;
use xxhash_rust::xxh3::xxh3_64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    partition: u32,
    /// Offset of the log behind its last record, once that is known.
    closed: Option<u64>,
}

/// Streams and their partitions.
#[derive(Debug)]
pub(super) struct Places {
    path: PathBuf,
    places: HashMap<Stream, Place>,
}

impl Places {
    /// Reads the file of the log in `folder`; lines that are not whole are passed over. Forgets streams that are complete
    /// and acknowledged.
    ///
    /// # Errors
    /// The file is there and cannot be read or replaced.
    pub(super) fn load(folder: &Path, acknowledged: u64) -> io::Result<Self> {
        let path = folder.join(files::STREAMS);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut places: HashMap<Stream, Place> = HashMap::new();
        for line in text.lines() {
            match parse(line) {
                Some((stream, Noted::At(partition))) => {
                    let closed = None;
                    places.insert(stream, Place { partition, closed });
                }
                Some((stream, Noted::Closed(offset))) => {
                    if let Some(place) = places.get_mut(&stream) {
                        place.closed = Some(offset);
                    }
                }
                None => tracing::warn!("a line of the list of streams is damaged"),
            }
        }
        let before = places.len();
        places.retain(|_, place| place.closed.is_none_or(|offset| offset > acknowledged));
        let places = Self { path, places };
        // A torn last line must not swallow the next one.
        if places.places.len() < before || !text.ends_with('\n') && !text.is_empty() {
            places.rewrite()?;
        }
        Ok(places)
    }

    /// Whether the stream is bound.
    pub(super) fn knows(&self, stream: Stream) -> bool {
        self.places.contains_key(&stream)
    }

    /// The partition of a stream, of `count`; noted on disk before this returns.
    ///
    /// # Errors
    /// It cannot be noted; then nothing of the stream may go out.
    pub(super) fn bind(&mut self, stream: Stream, count: u32) -> io::Result<u32> {
        match self.places.get(&stream) {
            Some(place) if place.partition < count => return Ok(place.partition),
            Some(place) => tracing::warn!(
                %stream, partition = place.partition, partitions = count,
                "the partition of a stream is gone; it goes on in another"
            ),
            None => {}
        }
        // The workers of one process follow each other, so that they share partitions evenly.
        let first = xxh3_64(&stream.epoch.to_le_bytes()) % u64::from(count.max(1));
        let chosen = (first + u64::from(stream.worker)) % u64::from(count.max(1));
        let partition = u32::try_from(chosen).unwrap_or(0);
        self.append(&line(stream, Noted::At(partition)))?
            .sync_all()?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        let closed = None;
        self.places.insert(stream, Place { partition, closed });
        Ok(partition)
    }

    /// The stream is complete with the record that ends at `offset`. When this cannot be noted the stream is remembered
    /// for longer, no more.
    pub(super) fn close(&mut self, stream: Stream, offset: u64) {
        if let Some(place) = self.places.get_mut(&stream)
            && place.closed != Some(offset)
            && OpenOptions::new()
                .append(true)
                .open(&self.path)
                .and_then(|mut file| file.write_all(line(stream, Noted::Closed(offset)).as_bytes()))
                .is_ok()
        {
            place.closed = Some(offset);
        }
    }

    fn append(&self, text: &str) -> io::Result<File> {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)?;
        file.write_all(text.as_bytes())?;
        Ok(file)
    }

    fn rewrite(&self) -> io::Result<()> {
        let mut text = String::new();
        for (stream, place) in &self.places {
            text += &line(*stream, Noted::At(place.partition));
            if let Some(offset) = place.closed {
                text += &line(*stream, Noted::Closed(offset));
            }
        }
        let beside = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)
    }
}

enum Noted {
    At(u32),
    Closed(u64),
}

fn line(stream: Stream, noted: Noted) -> String {
    let text = match noted {
        Noted::At(partition) => format!("at {stream} {partition}"),
        Noted::Closed(offset) => format!("closed {stream} {offset}"),
    };
    let sum = crc32c::crc32c(text.as_bytes());
    format!("{text} {sum:08x}\n")
}

fn parse(line: &str) -> Option<(Stream, Noted)> {
    let (text, sum) = line.rsplit_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(text.as_bytes()) {
        return None;
    }
    let mut words = text.split(' ');
    let (word, stream, number) = (words.next()?, words.next()?, words.next()?);
    // A stream is written like the front of a click's id.
    let stream = format!("{stream}-0").parse::<ClickId>().ok()?.stream;
    let noted = match word {
        "at" => Noted::At(number.parse().ok()?),
        "closed" => Noted::Closed(number.parse().ok()?),
        _ => return None,
    };
    Some((stream, noted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Stream = Stream {
        epoch: 1,
        worker: 0,
    };
    const B: Stream = Stream {
        epoch: 1,
        worker: 1,
    };

    #[test]
    fn a_stream_keeps_its_partition_when_partitions_are_added_also_across_restarts() {
        let folder = tempfile::tempdir().expect("folder");
        let mut places = Places::load(folder.path(), 0).expect("none yet");
        let first = places.bind(A, 3).expect("noted");
        assert_ne!(places.bind(B, 3).expect("noted"), first);
        for count in 4..40 {
            assert_eq!(places.bind(A, count).expect("known"), first);
            let mut again = Places::load(folder.path(), 0).expect("read");
            assert_eq!(again.bind(A, count).expect("known"), first);
        }
    }

    #[test]
    fn complete_streams_are_forgotten_once_acknowledged() {
        let folder = tempfile::tempdir().expect("folder");
        let mut places = Places::load(folder.path(), 0).expect("none yet");
        places.bind(A, 3).expect("noted");
        places.bind(B, 3).expect("noted");
        places.close(A, 500);
        assert_eq!(
            Places::load(folder.path(), 499).expect("read").places.len(),
            2
        );
        let left = Places::load(folder.path(), 500).expect("read").places;
        assert!(left.len() == 1 && left.contains_key(&B));
    }

    #[test]
    fn a_torn_or_damaged_line_costs_itself_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let mut places = Places::load(folder.path(), 0).expect("none yet");
        let (a, b) = (
            places.bind(A, 9).expect("noted"),
            places.bind(B, 9).expect("noted"),
        );
        let path = folder.path().join(files::STREAMS);
        let whole = fs::read(&path).expect("read");
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).expect("write");
            let mut places = Places::load(folder.path(), 0).expect("read");
            // What is chosen anew is what was chosen before, while partitions stay as many.
            assert_eq!(
                (
                    places.bind(A, 9).expect("noted"),
                    places.bind(B, 9).expect("noted")
                ),
                (a, b)
            );
        }
        fs::write(&path, [b"\xff\xfe nonsense\n".as_slice(), &whole].concat()).expect("write");
        assert_eq!(
            Places::load(folder.path(), 0).expect("read").places.len(),
            2
        );
    }

    #[test]
    fn a_partition_that_is_gone_is_chosen_anew() {
        let folder = tempfile::tempdir().expect("folder");
        let mut places = Places::load(folder.path(), 0).expect("none yet");
        for worker in 0..20 {
            let stream = Stream { epoch: 1, worker };
            places.bind(stream, 20).expect("noted");
            assert_eq!(places.bind(stream, 1).expect("noted"), 0);
        }
        let mut again = Places::load(folder.path(), 0).expect("read");
        assert_eq!(again.bind(A, 20).expect("known"), 0);
    }
}
