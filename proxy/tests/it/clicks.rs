//! From a visit handed to a ring to its record in the click log, through the real enricher: restarts, full rings and logs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prost::Message as _;
use proxy::Config;
use proxy::enrich::Enricher;
use proxy::ring::Writer;
use proxy::visit::Visit;
use schemas::click::{Book, Click, Outcome, Stream};
use schemas::click_log::{
    ACK_FILE, Kind, Next, SEGMENT_HEADER_BYTES, encode_ack, is_segment_header, next_record,
    segment_base,
};
use schemas::health::Health;
use schemas::settings::Settings;

/// Long enough for a slow machine; only a failing test waits so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/// A data folder, and a ring folder in memory.
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    pub(crate) rings: PathBuf,
    _dirs: [tempfile::TempDir; 2],
}

impl Place {
    pub(crate) fn new() -> Self {
        let dirs = [
            tempfile::tempdir().unwrap(),
            tempfile::tempdir_in("/dev/shm").unwrap(),
        ];
        Self {
            data: dirs[0].path().into(),
            rings: dirs[1].path().into(),
            _dirs: dirs,
        }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.data.join("clicks")
    }

    pub(crate) fn config(&self) -> Config {
        config(&self.data, &self.rings)
    }

    pub(crate) fn ring_files(&self) -> Vec<PathBuf> {
        let Ok(folders) = fs::read_dir(&self.rings) else {
            return Vec::new();
        };
        let files = folders
            .flatten()
            .flat_map(|f| fs::read_dir(f.path()).into_iter().flatten().flatten());
        files
            .map(|f| f.path())
            .filter(|p| p.extension().is_some_and(|e| e == "ring"))
            .collect()
    }
}

pub(crate) fn config(data: &Path, rings: &Path) -> Config {
    let mut settings = Settings::new([
        ("SIGNPOST_DATA_DIR", data.to_str().unwrap()),
        ("SIGNPOST_RING_DIR", rings.to_str().unwrap()),
        ("SIGNPOST_RING_BYTES", "128KiB"),
        ("SIGNPOST_PROXY_WORKERS", "2"),
        ("SIGNPOST_CLICK_LOG_BYTES", "16MiB"),
    ]);
    let config = Config::from_settings(&mut settings);
    settings.check().unwrap();
    config
}

pub(crate) fn start(config: &Config) -> (Enricher, Vec<Writer>, Health) {
    let health = Health::new();
    let (enricher, writers, _) = Enricher::start(config, proxy::salts::none(), &health).unwrap();
    (enricher, writers, health)
}

pub(crate) fn visit(slug: &str) -> Visit<'_> {
    Visit {
        time_ms: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_millis() as i64,
        link: 5,
        workspace: 6,
        domain: 7,
        status: 302,
        outcome: Outcome::Redirect,
        rule: 0,
        variant: 0,
        scan: false,
        bot: false,
        client_ip: [192, 0, 2, 7].into(),
        host: b"example.com",
        slug: slug.as_bytes(),
        target_query: b"",
        destination_query: b"",
        user_agent: CHROME.as_bytes(),
        referrer: b"",
        accept_language: b"",
        purpose: b"",
    }
}

#[track_caller]
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// What a click log says, as a reader of it reads it.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) clicks: Vec<Click>,
    books: Vec<Book>,
    pub(crate) damage: usize,
}

impl Told {
    pub(crate) fn by(folder: &Path) -> Self {
        let mut told = Self::default();
        let mut segments: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .collect();
        segments.sort();
        for path in segments {
            let Some(base) = segment_base(path.file_name().unwrap().to_str().unwrap()) else {
                continue;
            };
            let bytes = fs::read(&path).unwrap();
            assert!(is_segment_header(&bytes, base));
            let mut rest = &bytes[SEGMENT_HEADER_BYTES..];
            while let Next::Record {
                kind,
                payload,
                length,
            } = next_record(rest)
            {
                match kind {
                    Kind::Click => told.clicks.push(Click::decode(payload).unwrap()),
                    Kind::Book => told.books.push(Book::decode(payload).unwrap()),
                }
                rest = &rest[length..];
            }
            told.damage += rest.len();
        }
        told
    }

    /// Positions lost, by reason.
    pub(crate) fn lost(&self) -> BTreeMap<String, u64> {
        let mut lost = BTreeMap::new();
        for drop in self.books.iter().flat_map(|b| &b.dropped) {
            *lost.entry(drop.reason.clone()).or_default() += drop.to - drop.from;
        }
        lost
    }

    /// Every stream's books balance: each position below what is written is a click or in a dropped range, once, clicks
    /// are in order, and nothing is above. Returns what is written, by stream, and whether it is closed.
    #[track_caller]
    pub(crate) fn assert_balanced(&self) -> BTreeMap<Stream, (u64, bool)> {
        let mut streams: BTreeMap<Stream, (u64, bool)> = BTreeMap::new();
        for book in &self.books {
            let entry = streams.entry(book.stream().unwrap()).or_default();
            entry.0 = entry.0.max(book.written);
            entry.1 |= book.closed;
        }
        for (stream, (written, _)) in &streams {
            let of_stream = |epoch: u64, worker: u32| {
                epoch == stream.epoch && worker == u32::from(stream.worker)
            };
            let clicks = self.clicks.iter().filter(|c| of_stream(c.epoch, c.worker));
            let mut all: Vec<_> = clicks.map(|c| (c.position, c.position + 1)).collect();
            assert!(all.is_sorted(), "{stream}");
            let books = self.books.iter().filter(|b| of_stream(b.epoch, b.worker));
            all.extend(books.flat_map(|b| &b.dropped).map(|d| (d.from, d.to)));
            all.sort_unstable();
            let mut next = 0;
            for (from, to) in all {
                assert_eq!(from, next, "{stream}");
                next = to;
            }
            assert_eq!(next, *written, "{stream}");
        }
        streams
    }
}

#[test]
fn visits_reach_the_log_and_the_books_are_closed() {
    let place = Place::new();
    let (enricher, mut writers, health) = start(&place.config());
    for i in 0..100 {
        writers[i % 2].append(&visit(&format!("s{i}")));
    }
    eventually(|| Told::by(&place.log()).clicks.len() == 100);
    assert!(health.is_ready(), "{:?}", health.report());
    let epoch = enricher.epoch();
    drop(writers);
    enricher.stop().unwrap();

    let told = Told::by(&place.log());
    let streams = told.assert_balanced();
    assert_eq!(streams.len(), 2);
    assert!(
        streams
            .iter()
            .all(|(s, (written, closed))| s.epoch == epoch && *written == 50 && *closed)
    );
    assert!(
        told.clicks
            .iter()
            .all(|c| c.browser == "Chrome" && c.ip == "192.0.2.0" && c.visitor.is_none())
    );
    assert_eq!(fs::read_dir(&place.rings).unwrap().count(), 0);
}

#[test]
fn a_full_log_keeps_visits_back_counts_what_is_lost_and_goes_on() {
    let place = Place::new();
    let config = place.config();
    let (enricher, mut writers, health) = start(&config);
    eventually(|| health.is_ready());
    let slug = "x".repeat(250);
    let mut appended = 0_u64;
    eventually(|| {
        for _ in 0..200 {
            writers[0].append(&visit(&slug));
            appended += 1;
        }
        !health.is_ready()
    });
    assert!(
        health.report()["click log"]
            .as_ref()
            .unwrap()
            .contains("full")
    );
    // More than the ring holds.
    for _ in 0..2000 {
        writers[0].append(&visit(&slug));
        appended += 1;
    }
    let before = Told::by(&place.log()).clicks.len();

    fs::write(place.log().join("ack.new"), encode_ack(u64::MAX)).unwrap();
    fs::rename(place.log().join("ack.new"), place.log().join(ACK_FILE)).unwrap();
    eventually(|| health.is_ready());
    writers[0].append(&visit("last"));
    appended += 1;
    drop(writers);
    enricher.stop().unwrap();

    // What was acknowledged is gone, so only the rest can be checked: the end of the stream, and the losses.
    let told = Told::by(&place.log());
    assert_eq!(told.clicks.last().unwrap().slug, "last");
    assert_eq!(told.clicks.last().unwrap().position, appended - 1);
    assert!(
        told.books
            .iter()
            .any(|b| b.worker == 0 && b.closed && b.written == appended)
    );
    let lost = told.lost();
    assert!(
        lost["log_full"] > 0,
        "{lost:?} of {appended}, {before} before"
    );
}

#[test]
fn without_a_ring_folder_visits_are_counted_as_lost_and_health_says_so() {
    let place = Place::new();
    let mut config = place.config();
    config.ring_dir = "/dev/null".into();
    let (enricher, mut writers, health) = start(&config);
    assert!(health.report()["rings"].is_some());
    for _ in 0..10 {
        writers[1].append(&visit("a"));
    }
    drop(writers);
    enricher.stop().unwrap();
    let told = Told::by(&place.log());
    assert!(told.assert_balanced().values().all(|(_, closed)| *closed));
    assert_eq!(told.lost()["ring_unavailable"], 10);
    assert!(told.clicks.is_empty());
}

#[test]
fn a_ring_deleted_in_use_works_on_and_health_says_so() {
    let place = Place::new();
    let (enricher, mut writers, health) = start(&place.config());
    eventually(|| health.is_ready());
    for file in place.ring_files() {
        fs::remove_file(file).unwrap();
    }
    eventually(|| health.report()["rings"].is_some());
    writers[0].append(&visit("a"));
    drop(writers);
    enricher.stop().unwrap();
    let told = Told::by(&place.log());
    told.assert_balanced();
    assert_eq!(told.clicks.len(), 1);
}

#[test]
fn a_missing_geo_file_is_told_and_clicks_go_on() {
    let place = Place::new();
    let mut config = place.config();
    config.geo_db = vec![place.data.join("none.mmdb")];
    let (enricher, mut writers, health) = start(&config);
    writers[0].append(&visit("a"));
    eventually(|| Told::by(&place.log()).clicks.len() == 1);
    assert!(
        health.report()["geo"]
            .as_ref()
            .unwrap()
            .contains("none.mmdb")
    );
    drop(writers);
    enricher.stop().unwrap();
}

#[test]
fn a_log_folder_that_cannot_be_keeps_visits_back_until_it_can() {
    let place = Place::new();
    fs::write(place.log(), "not a folder").unwrap();
    let (enricher, mut writers, health) = start(&place.config());
    for _ in 0..20 {
        writers[0].append(&visit("a"));
    }
    eventually(|| {
        health.report()["click log"]
            .as_ref()
            .is_some_and(|why| why != "not opened yet")
    });
    fs::remove_file(place.log()).unwrap();
    eventually(|| Told::by(&place.log()).clicks.len() == 20);
    eventually(|| health.is_ready());
    drop(writers);
    enricher.stop().unwrap();
    Told::by(&place.log()).assert_balanced();
}

#[test]
fn two_proxies_never_drain_each_others_rings() {
    let place = Place::new();
    let (first, mut writers, _) = start(&place.config());
    // The same data folder under another name, say a copy: same id, own log.
    let mut config = place.config();
    config.click_log_dir = place.data.join("other");
    let (second, second_writers, health) = start(&config);
    assert!(
        health.report()["rings"]
            .as_ref()
            .unwrap()
            .contains("in use")
    );
    drop(second_writers);
    second.stop().unwrap();
    writers[0].append(&visit("a"));
    drop(writers);
    first.stop().unwrap();
    assert_eq!(Told::by(&place.log()).clicks.len(), 1);
    assert!(Told::by(&place.data.join("other")).clicks.is_empty());
}
