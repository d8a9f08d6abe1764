//! The intent: what ingest is about to insert, written down before it does.
//!
//! Whoever starts next reads it, asks the table which of these clicks it has, and inserts the same range with the same
//! deduplication token, so that an insert of the process that died, should it still arrive, is not a second one. The
//! range of roll-ups is not in it: the receipts in the tables say where each roll-up stands.
//!
//! One file, replaced as a whole: written aside, synced, renamed, folder synced. Its text is checksummed; a file that is
//! not whole is taken as doubt (ask the table about all that may have been in flight), never as "nothing was".

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use schemas::click::{ClickId, Stream};

use crate::batch::{Batch, Span};
use crate::failure::Failure;

/// First line of the file; the number is its version.
const TITLE: &str = "signpost-intent 1";

/// Largest file taken for an intent: 20,000 streams. A larger one is not ours.
const MAX_FILE_BYTES: u64 = 2 << 20;

/// An insert of clicks that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) partition: u32,
    /// Offsets of the log.
    pub(crate) offsets: Range<u64>,
    /// The column `ingested` of all its clicks, in seconds since 1970.
    pub(crate) ingested: u32,
    /// Made of the ids of the clicks, since offsets repeat in a log made anew, and of random digits.
    pub(crate) token: String,
    pub(crate) spans: BTreeMap<Stream, Span>,
}

/// Where intents are noted before an insert.
pub(crate) trait Ledger {
    /// Notes the intent for good; nothing of it is inserted before.
    ///
    /// # Errors
    /// [`Failure`]; whether it is noted is unknown then.
    fn note(&self, intent: &Intent) -> Result<(), Failure>;
}

/// What the file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none.
    Nothing,
    /// It cannot be read as one.
    Corrupt,
    Intent(Intent),
}

impl Intent {
    /// The intent to store a batch that has clicks.
    pub(crate) fn of(batch: &Batch, ingested: u32) -> Self {
        Self {
            partition: batch.partition,
            offsets: batch.offsets.clone(),
            ingested,
            token: token(batch.clicks.iter().map(|click| click.id)),
            spans: batch.spans.clone(),
        }
    }

    /// Clicks that it stores.
    pub(crate) fn clicks(&self) -> u64 {
        self.spans.values().map(|span| span.clicks).sum()
    }

    fn encode(&self) -> String {
        let mut text = format!(
            "{TITLE}\npartition {}\noffsets {} {}\ningested {}\ntoken {}\n",
            self.partition, self.offsets.start, self.offsets.end, self.ingested, self.token
        );
        for (stream, span) in &self.spans {
            let Span {
                first,
                last,
                clicks,
            } = span;
            let (epoch, worker) = (stream.epoch, stream.worker);
            text.push_str(&format!(
                "clicks {epoch:016x} {worker} {first} {last} {clicks}\n"
            ));
        }
        let sum = crc32c::crc32c(text.as_bytes());
        text.push_str(&format!("sum {sum:08x}\n"));
        text
    }

    fn decode(text: &str) -> Option<Self> {
        let (body, sum) = text.strip_suffix('\n')?.rsplit_once("sum ")?;
        if sum.len() != 8 || u32::from_str_radix(sum, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != TITLE {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let partition = field("partition")?.parse().ok()?;
        let (from, to) = field("offsets")?.split_once(' ')?;
        let offsets = from.parse().ok()?..to.parse().ok()?;
        let ingested = field("ingested")?.parse().ok()?;
        let token = field("token")?.to_owned();
        let mut spans = BTreeMap::new();
        for line in lines {
            let mut words = line.strip_prefix("clicks ")?.split(' ');
            let stream = Stream {
                epoch: u64::from_str_radix(words.next()?, 16).ok()?,
                worker: words.next()?.parse().ok()?,
            };
            let span = Span {
                first: words.next()?.parse().ok()?,
                last: words.next()?.parse().ok()?,
                clicks: words.next()?.parse().ok()?,
            };
            spans.insert(stream, span);
        }
        Some(Self {
            partition,
            offsets,
            ingested,
            token,
            spans,
        })
    }
}

/// A new token for these clicks. It ends in random digits, so that only who reads the intent makes the same insert: a
/// token that could be guessed from the clicks alone would be used again after the file is lost, and the engine may have
/// noted it without having the part.
pub(crate) fn token(ids: impl Iterator<Item = ClickId>) -> String {
    let mut hash = xxhash_rust::xxh3::Xxh3Default::new();
    for id in ids {
        hash.update(&id.stream.epoch.to_le_bytes());
        hash.update(&id.stream.worker.to_le_bytes());
        hash.update(&id.position.to_le_bytes());
    }
    format!("{:032x}-{}", hash.digest128(), crate::store::unique())
}

/// The file.
#[derive(Debug)]
pub(crate) struct IntentFile {
    path: PathBuf,
}

impl IntentFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It is there and cannot be read at all.
    pub(crate) fn load(&self) -> io::Result<Found> {
        let length = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        if length > MAX_FILE_BYTES {
            return Ok(Found::Corrupt);
        }
        let bytes = fs::read(&self.path)?;
        let intent = std::str::from_utf8(&bytes).ok().and_then(Intent::decode);
        Ok(intent.map_or(Found::Corrupt, Found::Intent))
    }

    /// Replaces the file; it is on disk when this returns.
    ///
    /// # Errors
    /// The disk's; the old file is whole then.
    pub(crate) fn save(&self, intent: &Intent) -> io::Result<()> {
        let temporary = self.path.with_extension("intent.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(intent.encode().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        let folder = self
            .path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Ledger for IntentFile {
    fn note(&self, intent: &Intent) -> Result<(), Failure> {
        Ok(self.save(intent)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn intent(spans: &[(u64, u16, u64, u64)]) -> Intent {
        let span = |(epoch, worker, first, last): &(u64, u16, u64, u64)| {
            let clicks = 1;
            (
                Stream {
                    epoch: *epoch,
                    worker: *worker,
                },
                Span {
                    first: *first,
                    last: *last,
                    clicks,
                },
            )
        };
        Intent {
            partition: 1,
            offsets: 7..u64::MAX,
            ingested: 1_700_000_000,
            token: "0123-4".to_owned(),
            spans: spans.iter().map(span).collect(),
        }
    }

    #[test]
    fn the_file_gives_back_what_was_saved() {
        let folder = tempfile::tempdir().expect("folder");
        let file = IntentFile::new(folder.path().join("ingest.intent"));
        assert_eq!(file.load().expect("read"), Found::Nothing);
        for spans in [&[][..], &[(u64::MAX, 3, 0, 9), (1, 0, 5, 5)]] {
            file.save(&intent(spans)).expect("saved");
            assert_eq!(file.load().expect("read"), Found::Intent(intent(spans)));
        }
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn no_token_is_made_twice() {
        assert_ne!(token(std::iter::empty()), token(std::iter::empty()));
    }

    proptest! {
        #[test]
        fn a_cut_or_flipped_file_is_corrupt(at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<bool>()) {
            let folder = tempfile::tempdir().expect("folder");
            let file = IntentFile::new(folder.path().join("ingest.intent"));
            let mut bytes = intent(&[(5, 1, 2, 3)]).encode().into_bytes();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at); } else { bytes[at] ^= flip; }
            fs::write(&file.path, &bytes).expect("write");
            let found = file.load().expect("read");
            // Hex digits of the sum read the same in either case.
            let same = found == Found::Intent(intent(&[(5, 1, 2, 3)]));
            prop_assert!(found == Found::Corrupt || same);
        }
    }
}
