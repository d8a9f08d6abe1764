//! Stored files through the real proxy.

mod gates;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use schemas::click::Outcome;
use schemas::link::Entry;
use schemas::link::plan::{File, Plan, Preview, Target};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::clicks::Told;
use crate::feed_server::{FeedServer, encode, entry};
use crate::harness::{Dice, TestProxy, eventually};

const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/// Bytes that differ everywhere.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    let mut dice = Dice(length as u64);
    (0..length).map(|_| dice.below(256) as u8).collect()
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The uploads folder of a proxy with its data in `dir`.
pub(crate) fn uploads(dir: &Path) -> PathBuf {
    dir.join("data").join(schemas::names::files::UPLOADS)
}

/// A file of these bytes, in the folder or at the control plane.
pub(crate) fn file(bytes: &[u8], name: &str, folder: Option<&Path>, feed: &FeedServer) -> Plan {
    let hash = hash(bytes);
    let key = format!("{}/{hash}-0a", &hash[..2]);
    match folder {
        Some(folder) => {
            let place = folder.join(&key);
            std::fs::create_dir_all(place.parent().expect("a folder")).expect("made");
            std::fs::write(place, bytes).expect("written");
        }
        None => drop(feed.lock().blobs.insert(hash.clone(), bytes.to_vec())),
    }
    Plan {
        target: Some(Target::File(File {
            key,
            name: name.to_owned(),
            content_type: "application/zip".to_owned(),
            size: bytes.len() as u64,
            etag: hash,
        })),
        preview: Some(Preview {
            title: "The <kit>".to_owned(),
            ..Preview::default()
        }),
        ..Plan::default()
    }
}

fn put(feed: &FeedServer, id: u64, slug: &str, plan: &Plan) {
    let plan = plan.encode().expect("legal");
    let entry = Entry {
        link: id,
        plan: &plan,
        ..entry(slug, "")
    };
    feed.transaction(vec![encode(&entry)], vec![], None);
}

/// Link 5, a file of so many bytes that lies in the uploads folder of a proxy with its data in the folder given back.
pub(crate) fn with_file(slug: &str, length: usize) -> (FeedServer, TempDir, Vec<u8>) {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let bytes = bytes(length);
    let name = format!("{slug}.zip");
    put(
        &feed,
        5,
        slug,
        &file(&bytes, &name, Some(&uploads(dir.path())), &feed),
    );
    (feed, dir, bytes)
}

/// Asks for a file, takes the beginning of the answer and leaves the rest.
pub(crate) fn begin(proxy: &TestProxy, slug: &str, more: &str) -> (bool, TcpStream) {
    let mut stream = proxy.connect();
    stream
        .write_all(request("GET", slug, more).as_bytes())
        .expect("written");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("an answer");
    (first == *b"HTTP/1.1 200", stream)
}

#[derive(Debug)]
pub(crate) struct Got {
    status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().skip(1);
        let mut values = lines.filter_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        values.next().unwrap_or_default()
    }
}

pub(crate) fn request(method: &str, slug: &str, more: &str) -> String {
    format!("{method} /{slug} HTTP/1.1\r\nHost: go.test\r\nUser-Agent: {BROWSER}\r\n{more}\r\n")
}

/// Everything until the connection ends, as answers to downloads have it.
fn ask(proxy: &TestProxy, method: &str, slug: &str, more: &str) -> Got {
    let more = format!("Connection: close\r\n{more}");
    send(proxy, request(method, slug, &more).as_bytes())
}

fn send(proxy: &TestProxy, bytes: &[u8]) -> Got {
    let mut stream = proxy.connect();
    stream.write_all(bytes).expect("written");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    got(&all)
}

pub(crate) fn got(all: &[u8]) -> Got {
    let end = all
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8(all[..end].to_vec()).expect("ascii");
    Got {
        status: head[9..12].parse().expect("a status"),
        head,
        body: all[end + 4..].to_vec(),
    }
}

fn get(proxy: &TestProxy, slug: &str, more: &str) -> Got {
    ask(proxy, "GET", slug, more)
}

/// The clicks in the log once the proxy has ended: link, outcome, status, whether a bot's.
fn clicks(proxy: TestProxy, dir: &Path) -> Vec<(u64, Outcome, u32, bool)> {
    proxy.stop();
    let told = Told::by(&dir.join("data").join(schemas::names::files::CLICKS));
    let of = |c: &schemas::click::Click| (c.link, c.outcome(), c.status, c.bot);
    let mut clicks: Vec<_> = told.clicks.iter().map(of).collect();
    clicks.sort_by_key(|c| (c.0, c.2));
    clicks
}

#[test]
fn a_file_of_this_machine_is_sent_whole_with_its_name_and_runs_nothing() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let bytes = bytes(1_000_000);
    put(
        &feed,
        5,
        "kit",
        &file(&bytes, "Été kit.zip", Some(&uploads(dir.path())), &feed),
    );
    put(
        &feed,
        6,
        "empty",
        &file(b"", "empty.zip", Some(&uploads(dir.path())), &feed),
    );
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let got = get(&proxy, "kit", "");
    assert_eq!(got.status, 200, "{got:?}");
    assert!(got.body == bytes);
    let tag = format!("\"{}\"", hash(&bytes));
    for (name, value) in [
        ("content-length", "1000000"),
        ("content-type", "application/zip"),
        (
            "content-disposition",
            "attachment; filename=\"_t_ kit.zip\"; filename*=UTF-8''%C3%89t%C3%A9%20kit.zip",
        ),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox"),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, no-store"),
        ("etag", &tag),
        ("connection", "close"),
    ] {
        assert_eq!(got.header(name), value, "{name}: {}", got.head);
    }
    assert!(!got.header("date").is_empty());
    let head = ask(&proxy, "HEAD", "kit", "");
    assert_eq!(
        (
            head.status,
            head.header("content-length"),
            head.header("etag"),
            head.body.len()
        ),
        (200, "1000000", &*tag, 0)
    );
    assert_eq!(
        head.header("content-disposition"),
        got.header("content-disposition")
    );
    let empty = get(&proxy, "empty", "");
    assert_eq!(
        (
            empty.status,
            empty.header("content-length"),
            empty.body.len()
        ),
        (200, "0", 0)
    );
    assert_eq!(
        ask(&proxy, "POST", "kit", "Content-Length: 0\r\n").status,
        405
    );
    // Programs that make previews get one, and not the bytes.
    let unfurled = send(&proxy, b"GET /kit HTTP/1.1\r\nHost: go.test\r\nUser-Agent: Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8_lossy(&unfurled.body);
    assert!(
        unfurled.status == 200 && text.contains("The &lt;kit&gt;"),
        "{text}"
    );
    let file = |link, bot| (link, Outcome::File, 200, bot);
    assert_eq!(
        clicks(proxy, dir.path()),
        [
            file(5, false),
            (5, Outcome::Page, 200, true),
            file(6, false)
        ]
    );
}

#[test]
fn parts_of_a_file_are_sent_and_only_its_beginning_counts() {
    let (feed, dir, bytes) = with_file("kit", 200_000);
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let tag = format!("\"{}\"", hash(&bytes));
    let part = |more: &str| get(&proxy, "kit", more);
    // Counted: what begins at the beginning, and what is the whole after all.
    let first = part("Range: bytes=0-99\r\n");
    assert_eq!(
        (
            first.status,
            first.header("content-range"),
            first.header("content-length")
        ),
        (206, "bytes 0-99/200000", "100")
    );
    assert!(first.body == bytes[..100]);
    for whole in [
        "Range: bytes=0-1,5-9\r\n".to_owned(),
        "Range: bytes=9-5\r\n".to_owned(),
        "Range: bytes=5-\r\nIf-Range: \"another\"\r\n".to_owned(),
        format!("Range: bytes=5-\r\nIf-Range: W/{tag}\r\n"),
    ] {
        let got = part(&whole);
        assert!(got.status == 200 && got.body == bytes, "{whole}");
    }
    // Not counted: more of it, what is known already, and what is not there.
    let rest = part(&format!("Range: bytes=150000-\r\nIf-Range: {tag}\r\n"));
    assert_eq!(
        (rest.status, rest.header("content-range")),
        (206, "bytes 150000-199999/200000")
    );
    assert!(rest.body == bytes[150_000..]);
    let last = part("Range: bytes=-10\r\n");
    assert!(last.status == 206 && last.body == bytes[199_990..]);
    let known = part(&format!("If-None-Match: \"x\", {tag}\r\n"));
    assert_eq!((known.status, known.body.len()), (304, 0));
    let beyond = part("Range: bytes=200000-\r\n");
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, "bytes */200000")
    );
    let head = ask(&proxy, "HEAD", "kit", "Range: bytes=5-\r\n");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, "200000")
    );
    let counted: Vec<u32> = clicks(proxy, dir.path()).iter().map(|c| c.2).collect();
    assert_eq!(counted, [200, 200, 200, 200, 206]);
}

#[test]
fn a_file_of_another_machine_is_fetched_once_and_kept() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let bytes = bytes(300_000);
    put(&feed, 5, "kit", &file(&bytes, "kit.zip", None, &feed));
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let hash = hash(&bytes);
    let kept = dir.path().join("data/blobs").join(&hash[..2]).join(&hash);
    // A part passes through.
    let part = get(&proxy, "kit", "Range: bytes=0-9\r\n");
    assert!(part.status == 206 && part.body == bytes[..10], "{part:?}");
    assert!(!kept.exists());
    assert!(get(&proxy, "kit", "").body == bytes);
    eventually("it is kept", || kept.exists());
    feed.lock().blobs.clear();
    assert!(get(&proxy, "kit", "").body == bytes);
    assert!(get(&proxy, "kit", "Range: bytes=5-9\r\n").body == bytes[5..10]);
    // A start later, with everything else down.
    drop(proxy);
    feed.down();
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    assert!(get(&proxy, "kit", "").body == bytes);
}

#[test]
fn copies_on_their_way_are_few_and_the_other_downloads_go_on_without_one() {
    const FILES: u64 = 7;
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let length = |n: u64| 8_000_000 + n as usize;
    for n in 0..FILES {
        let plan = file(&bytes(length(n)), "kit.zip", None, &feed);
        put(&feed, 5 + n, &format!("kit{n}"), &plan);
    }
    let settings = [("SIGNPOST_PROXY_WRITE_SECONDS", "60")];
    let proxy = TestProxy::ready(dir.path(), &feed, &settings);
    // Readers that leave the rest lying: what is begun stays begun.
    let mut held: Vec<_> = (0..FILES)
        .map(|n| begin(&proxy, &format!("kit{n}"), ""))
        .collect();
    assert!(held.iter().all(|(began, _)| *began));
    let parts = || {
        let folders = std::fs::read_dir(dir.path().join("data/blobs")).expect("a folder");
        let files = folders.flat_map(|two| std::fs::read_dir(two.expect("two").path()));
        let names = files
            .flatten()
            .map(|file| file.expect("a file").file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".part"))
            .count()
    };
    assert_eq!(parts(), 4);
    // One without a copy is whole all the same.
    let (_, mut last) = held.pop().expect("the last");
    let mut all = b"HTTP/1.1 200".to_vec();
    last.read_to_end(&mut all).expect("read");
    assert!(got(&all).body == bytes(length(FILES - 1)));
    // Places are given back.
    drop(held);
    eventually("halves are given up", || parts() == 0);
    let whole = get(&proxy, "kit0", "");
    assert!(whole.body == bytes(length(0)));
    let name = hash(&whole.body);
    let kept = dir.path().join("data/blobs").join(&name[..2]).join(&name);
    eventually("it is kept", || kept.exists());
}

#[test]
fn what_cannot_be_had_is_said_and_not_counted() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let bytes = bytes(1000);
    let folder = uploads(dir.path());
    let plan = file(&bytes, "kit.zip", Some(&folder), &feed);
    put(&feed, 5, "kit", &plan);
    std::fs::remove_dir_all(&folder).expect("removed");
    // A key that leads elsewhere: the token lies in the folder above.
    let mut hostile = plan.clone();
    if let Some(Target::File(file)) = &mut hostile.target {
        file.key = "../feed.token".to_owned();
    }
    put(&feed, 6, "hostile", &hostile);
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    for slug in ["kit", "hostile"] {
        let got = get(&proxy, slug, "");
        assert_eq!((got.status, got.header("retry-after")), (503, "5"));
        assert_eq!(ask(&proxy, "HEAD", slug, "").status, 200);
    }
    // Bytes that are not those are not kept.
    feed.lock().blobs.insert(hash(&bytes), vec![0; 1000]);
    assert_eq!(get(&proxy, "kit", "").body.len(), 1000);
    let cache = dir.path().join("data/blobs").join(&hash(&bytes)[..2]);
    eventually("the copy is given up", || {
        std::fs::read_dir(&cache).is_ok_and(|mut entries| entries.next().is_none())
    });
    feed.lock().blobs.insert(hash(&bytes), vec![0; 999]);
    assert_eq!(get(&proxy, "kit", "").status, 503);
    assert_eq!(clicks(proxy, dir.path()).len(), 1);
}

#[test]
fn a_request_behind_another_on_one_connection_is_answered_in_order() {
    let (feed, dir, bytes) = with_file("kit", 10_000);
    feed.put("a", "https://dest.test/");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let both = format!("{}{}", request("GET", "a", ""), request("GET", "kit", ""));
    let all = {
        let mut stream = proxy.connect();
        stream.write_all(both.as_bytes()).expect("written");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        all
    };
    let first = got(&all);
    assert_eq!(
        (first.status, first.header("location")),
        (302, "https://dest.test/")
    );
    let second = got(&first.body);
    assert!(second.status == 200 && second.body == bytes);
    assert_eq!(clicks(proxy, dir.path()).len(), 2);
}
