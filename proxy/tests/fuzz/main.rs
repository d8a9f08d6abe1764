//! Hostile bytes at each of the proxy's four doors: requests, records of the click log, links on disk, frames of the feed.
//!
//! Each target takes bytes, and fails by a panic: the target's own, or one of any thread of the proxy. A run replays the
//! corpus (`corpus/<target>`) and goes on with what a plain mutator makes of it and of good examples: a few thousand inputs
//! in the suite, the same each time; with `SIGNPOST_FUZZ_SECONDS` others for so long, from a seed that is printed
//! (`SIGNPOST_FUZZ_SEED`). What fails is written into the corpus, so that it is replayed from then on.
//!
//! Without coverage to guide it, so that it runs on the stable compiler and within the suite; the good examples and the
//! dictionary stand in for that.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../it/feed_server.rs"]
#[allow(dead_code, reason = "shared with the other test binary")]
mod feed_server;
#[path = "../it/harness.rs"]
#[allow(dead_code, reason = "shared with the other test binary")]
mod harness;
mod mutate;

use std::fs;
use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use prost::Message as _;
use proxy::table::{LinkTable, Lookup};
use schemas::click::{Book, Click};
use schemas::click_log::{Kind as Record, Next, append_record, next_record, resync};
use schemas::feed::{Change, Kind, Shared, decode_frame, encode_frame};

use crate::feed_server::{FeedServer, domain, link};
use crate::harness::{Dice, TestProxy, eventually};
use crate::mutate::mutated;

/// Where `a` and `b` lead: nothing else is ever a destination.
const DESTINATIONS: [&str; 2] = ["https://dest.test/a", "https://dest.test/b?x=1"];

/// Panics of any thread.
static PANICS: AtomicU64 = AtomicU64::new(0);
static HOOK: Once = Once::new();
static ALONE: Mutex<()> = Mutex::new(());

/// Replays the corpus, then mutates: `runs` times, or for as long as the environment says.
fn fuzz(target: &str, seeds: &[Vec<u8>], words: &[&[u8]], runs: usize, mut on: impl FnMut(&[u8])) {
    // One target at a time: a panic of a thread is nobody else's.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(info);
        }));
    });
    let variable = |wanted: &str| {
        let found = std::env::vars().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.parse::<u64>().expect("a number"))
    };
    let seconds = variable("SIGNPOST_FUZZ_SECONDS").map(Duration::from_secs);
    let seed = match (variable("SIGNPOST_FUZZ_SEED"), seconds) {
        (Some(seed), _) => seed,
        (None, None) => 1,
        (None, Some(_)) => clock(),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fuzz/corpus")
        .join(target);
    let mut all = seeds.to_vec();
    for path in files(&folder) {
        all.push(fs::read(path).unwrap());
    }
    let mut check = |input: &[u8]| {
        let panics = PANICS.load(Ordering::Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| on(input)));
        if result.is_err() || PANICS.load(Ordering::Relaxed) > panics {
            let name = format!("found-{:08x}", crc32c::crc32c(input));
            let _ = fs::create_dir_all(&folder);
            fs::write(folder.join(&name), input).unwrap();
            panic!("{target}: an input that fails is in {name}");
        }
    };
    all.iter().for_each(|input| check(input));
    let mut dice = Dice(seed);
    let begin = Instant::now();
    let mut made = 0;
    while seconds.map_or(made < runs, |seconds| begin.elapsed() < seconds) {
        check(&mutated(&mut dice, &all, words));
        made += 1;
    }
    eprintln!(
        "{target}: {} seeds, {made} inputs from seed {seed}",
        all.len()
    );
}

/// A number that is another one each time.
fn clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| now.as_nanos() as u64)
}

/// Files of a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|p| p.is_file())
        .collect();
    files.sort();
    files
}

#[test]
fn requests() {
    let feed = FeedServer::start();
    feed.put("a", DESTINATIONS[0]);
    feed.put("b", DESTINATIONS[1]);
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("SIGNPOST_PROXY_WORKERS", "1"),
        ("SIGNPOST_TRUSTED_PROXIES", "127.0.0.1"),
        ("SIGNPOST_PROXY_WRITE_SECONDS", "2"),
    ];
    let proxy = TestProxy::ready(dir.path(), &feed, &settings);
    eventually("both are live", || proxy.follow("b").starts_with("302"));
    let words: [&[u8]; 24] = [
        b"GET /a HTTP/1.1\r\n",
        b"HEAD ",
        b"POST ",
        b"OPTIONS * ",
        b"HTTP/1.0",
        b"HTTP/1.1",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"Host: go.test\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: h2c\r\n",
        b"X-Forwarded-For: 203.0.113.7\r\n",
        b"Forwarded: for=\"[::1]:1\"\r\n",
        b"Accept: application/json\r\n",
        b"http://go.test/b",
        b"%C3%BC",
        b"/..",
        b"5\r\nabcde\r\n0\r\n\r\n",
        b"xn--",
        b"PRI * HTTP/2.0",
    ];
    fuzz("request", &[], &words, 1500, |input| {
        let mut stream = proxy.connect();
        // It may hang up on us at any byte.
        let _ = stream.write_all(input);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || text.starts_with("HTTP/1."),
            "{text:.200}"
        );
        for line in text.lines() {
            if let Some(to) = line.strip_prefix("location: ") {
                assert!(DESTINATIONS.contains(&to), "{to}");
            }
        }
        assert!(!text.contains(" 500 Internal"));
    });
    assert_eq!(proxy.follow("a"), format!("302 {}", DESTINATIONS[0]));
    proxy.stop();
}

#[test]
fn log_records() {
    let click = Click {
        link: 5,
        slug: "spring".to_owned(),
        country: "DE".to_owned(),
        ..Click::default()
    };
    let payload = click.encode_to_vec();
    let book = Book::default().encode_to_vec();
    let mut whole = Vec::new();
    append_record(&mut whole, Record::Click, &payload).unwrap();
    append_record(&mut whole, Record::Book, &book).unwrap();
    append_record(&mut whole, Record::Click, &payload).unwrap();
    let read = |mut bytes: &[u8]| {
        let mut records = 0;
        while !bytes.is_empty() {
            let taken = match next_record(bytes) {
                Next::Record {
                    kind,
                    payload,
                    length,
                } => {
                    records += 1;
                    match kind {
                        Record::Click => drop(Click::decode(payload)),
                        Record::Book => drop(Book::decode(payload)),
                    }
                    length
                }
                Next::Incomplete => break,
                Next::Damaged => resync(bytes),
            };
            assert!(taken > 0);
            bytes = &bytes[taken.min(bytes.len())..];
        }
        records
    };
    fuzz("log_record", &[whole, payload], &[], 20_000, |input| {
        read(input);
        // With a checksum that fits, so that what is inside is read, too, and so is its neighbour.
        let mut framed = Vec::new();
        if append_record(&mut framed, Record::Click, input).is_ok() {
            append_record(&mut framed, Record::Book, input).unwrap();
            assert_eq!(read(&framed), 2);
            // Damage in front costs no neighbour behind it.
            let behind = [input, &framed].concat();
            assert!(read(&behind) >= 1 || !matches!(next_record(input), Next::Damaged));
        }
    });
}

#[test]
fn feed_frames() {
    let shared = Shared {
        domain: vec![domain(1, "go.test")],
        ..Shared::default()
    };
    let change = |seq, slug: &str| Change {
        seq,
        change: vec![7; 16].into(),
        upsert: vec![link(slug, DESTINATIONS[0]).into()],
        ..Change::default()
    };
    let first = Change {
        shared: Some(shared),
        ..change(1, "a")
    };
    let seeds: Vec<_> = [first.clone(), change(1, "b"), change(2, "c")]
        .iter()
        .flat_map(|change| {
            let frame = encode_frame(Kind::Change(change.clone())).unwrap();
            [frame, change.encode_to_vec()]
        })
        .collect();
    let empty = LinkTable::empty();
    let loaded = empty.apply(&first).expect("legal");
    fuzz("feed_frame", &seeds, &[], 10_000, |input| {
        let mut kinds = Vec::new();
        if let Ok(Some((kind, length))) = decode_frame(input) {
            assert!(length <= input.len());
            kinds.push(kind);
        }
        // As if its checksum fitted.
        kinds.extend(Change::decode(input).ok().map(Kind::Change));
        for kind in kinds {
            if let Kind::Change(change) = kind {
                for table in [&empty, &loaded] {
                    // Refused or applied as a whole; either way the one before is as it was.
                    let _ = table.apply(&change);
                }
            }
        }
        assert!(matches!(loaded.find(1, b"a"), Lookup::Found(_)));
    });
}

#[test]
fn links_on_disk() {
    let feed = FeedServer::start();
    for number in 0..50 {
        feed.put(&format!("a{number}"), DESTINATIONS[0]);
    }
    let dir = tempfile::tempdir().unwrap();
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    feed.put("b", DESTINATIONS[1]);
    eventually("live", || proxy.follow("b").starts_with("302"));
    proxy.stop();
    let snapshot = dir
        .path()
        .join("data")
        .join(schemas::names::files::SNAPSHOT);
    let good: Vec<_> = files(&snapshot)
        .into_iter()
        .map(|path| {
            (
                path.file_name().unwrap().to_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect();
    assert!(!good.is_empty(), "nothing was written");
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    // An input is what one of the files holds; which of them, its first byte says.
    let seeds: Vec<_> = (0_u8..)
        .zip(&good)
        .map(|(index, (_, bytes))| [&[index][..], bytes].concat())
        .collect();
    fuzz("links_on_disk", &seeds, &[], 400, |input| {
        let (index, content) = input.split_first().unwrap_or((&0, &[]));
        for (number, (name, bytes)) in good.iter().enumerate() {
            let bytes = match number == usize::from(*index) % good.len() {
                true => content,
                false => bytes,
            };
            fs::write(place.path().join(name), bytes).unwrap();
        }
        let (table, _) = proxy::snapshot::load(place.path());
        // A link leads where it did, or nowhere.
        for (slug, to) in [("a0", 0), ("a49", 0), ("b", 1)] {
            if let Lookup::Found(entry) = table.find(1, slug.as_bytes()) {
                assert_eq!(entry.destination, DESTINATIONS[to].as_bytes());
            }
        }
    });
}
