//! `kill -9` and full disks between a visit handed to a ring and its record in the click log.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::clicks::{Place, Told, config, eventually, start, visit};

/// A real file system of a few hundred KiB, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts a tmpfs; where that is not allowed, says so.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|s| s.success()).then(|| Self(at.into()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_cuts_nothing_in_half_and_is_recovered_from() {
    let place = Place::new();
    let Some(_disk) = SmallDisk::mount(&place.log(), "300k") else {
        // Without the right to mount, the same through a limit on the size of files, in a process of its own.
        return fill_files_in_child(&place);
    };
    fill_disk_and_recover(&place);
}

/// The first half of the test in a process whose files cannot grow beyond 256 KiB; see [`child`].
fn fill_files_in_child(place: &Place) {
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 512; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["crashes::child", "--exact", "--nocapture"])
        .env("SIGNPOST_TEST_CHILD", "small files")
        .env("SIGNPOST_TEST_DATA", &place.data)
        .env("SIGNPOST_TEST_RINGS", &place.rings)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

fn fill_disk_and_recover(place: &Place) {
    let (enricher, mut writers, health) = start(&place.config());
    eventually(|| health.is_ready());
    let slug = "x".repeat(250);
    let mut appended = 0_u64;
    eventually(|| {
        for _ in 0..50 {
            writers[0].append(&visit(&slug));
            appended += 1;
        }
        !health.is_ready()
    });
    for _ in 0..1000 {
        writers[0].append(&visit(&slug));
        appended += 1;
    }
    let full = Told::by(&place.log());
    assert_eq!(full.damage, 0, "half a record was left");
    assert!(!full.clicks.is_empty());

    // Somebody makes room.
    assert!(
        Command::new("mount")
            .args(["-o", "remount,size=16m"])
            .arg(place.log())
            .status()
            .unwrap()
            .success()
    );
    eventually(|| health.is_ready());
    drop(writers);
    enricher.stop().unwrap();
    let told = Told::by(&place.log());
    let streams = told.assert_balanced();
    assert!(
        streams
            .values()
            .any(|(written, closed)| *written == appended && *closed)
    );
    assert!(told.lost()["log_error"] > 0, "{:?}", told.lost());
}

/// Not a test of its own: what the tests below run as another process, to kill it or to limit it.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "how a test tells its child process what to do"
)]
fn child() {
    let Ok(what) = std::env::var("SIGNPOST_TEST_CHILD") else {
        return;
    };
    let data = PathBuf::from(std::env::var("SIGNPOST_TEST_DATA").unwrap());
    let rings = PathBuf::from(std::env::var("SIGNPOST_TEST_RINGS").unwrap());
    let config = config(&data, &rings);
    let (enricher, mut writers, health) = start(&config);
    match what.as_str() {
        // Answers visits for ever: each is told on stdout after it was appended.
        "answer" => {
            let mut out = std::io::stdout().lock();
            for i in 0_u64.. {
                let worker = (i % 2) as usize;
                writers[worker].append(&visit(&format!("s{i}")));
                writeln!(out, "answered {:016x}-{worker}-{}", enricher.epoch(), i / 2).unwrap();
            }
        }
        "small files" => {
            eventually(|| health.is_ready());
            let slug = "x".repeat(250);
            eventually(|| {
                for _ in 0..50 {
                    writers[0].append(&visit(&slug));
                }
                health.report()["click log"].is_some()
            });
            assert_eq!(Told::by(&config.click_log_dir).damage, 0);
            std::process::exit(0);
        }
        other => panic!("{other}"),
    }
}

/// Starts a proxy that answers, waits until it has answered `visits`, and kills it with -9. Returns what it answered.
fn answer_and_die(place: &Place, visits: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crashes::child", "--exact", "--nocapture"])
        .env("SIGNPOST_TEST_CHILD", "answer")
        .env("SIGNPOST_TEST_DATA", &place.data)
        .env("SIGNPOST_TEST_RINGS", &place.rings)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
    let mut answered = Vec::new();
    let mut take = |line: Vec<u8>| {
        if let Some(id) = String::from_utf8(line).unwrap().strip_prefix("answered ") {
            answered.push(id.to_owned());
        }
        answered.len()
    };
    while take(lines.next().expect("the child answers").unwrap()) < visits {}
    child.kill().unwrap();
    // What it still said counts, save a line cut short.
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    child.wait().unwrap();
    let whole = rest.len().saturating_sub(1);
    rest.into_iter().take(whole).for_each(|line| {
        take(line);
    });
    answered
}

#[test]
fn killed_at_any_instant_every_answered_visit_is_in_the_log_once_or_counted() {
    let place = Place::new();
    let mut answered = Vec::new();
    // Early in the start, in the middle of draining, and later.
    for visits in [1, 3, 700, 2, 40, 5000, 1, 311, 2000] {
        answered.extend(answer_and_die(&place, visits));
    }
    let (enricher, writers, _) = start(&place.config());
    drop(writers);
    enricher.stop().unwrap();
    assert!(place.ring_files().is_empty());

    let told = Told::by(&place.log());
    assert_eq!(told.damage, 0);
    // Each position once, as a click or as lost; the killed processes' streams too.
    let streams = told.assert_balanced();
    assert!(streams.values().all(|(_, closed)| *closed));
    for id in &answered {
        let id: schemas::click::ClickId = id.parse().unwrap();
        assert!(
            id.position < streams[&id.stream].0,
            "{id} is not in the books"
        );
    }
    let lost: u64 = told.lost().values().sum();
    assert!(told.clicks.len() as u64 + lost >= answered.len() as u64);
    assert!(
        told.lost().keys().all(|reason| reason == "ring_full"),
        "{:?}",
        told.lost()
    );
}

#[test]
fn killed_while_the_log_refuses_the_visits_wait_in_their_rings() {
    let place = Place::new();
    fs::write(place.log(), "not a folder").unwrap();
    let mut answered = Vec::new();
    for visits in [30, 40] {
        answered.extend(answer_and_die(&place, visits));
    }
    assert_eq!(place.ring_files().len(), 4);
    fs::remove_file(place.log()).unwrap();
    let (enricher, writers, _) = start(&place.config());
    drop(writers);
    enricher.stop().unwrap();
    let told = Told::by(&place.log());
    let streams = told.assert_balanced();
    assert!(streams.len() == 6 && streams.values().all(|(_, closed)| *closed));
    assert!(told.clicks.len() as u64 + told.lost().values().sum::<u64>() >= answered.len() as u64);
}
