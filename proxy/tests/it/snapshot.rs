//! The links on disk: restarts with everything else down, damage, a disk that refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proxy::table::Lookup;
use schemas::feed::Shared;

use crate::feed_server::{FeedServer, domain, link};
use crate::harness::{Dice, TestProxy, eventually, links_are_ready};

fn files(dir: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("data/links"))
        .into_iter()
        .flatten()
        .map(|e| e.expect("entry").path())
        .filter(|p| p.to_string_lossy().ends_with(extension))
        .collect();
    files.sort();
    files
}

#[test]
fn a_restart_with_the_feed_down_answers_every_link() {
    let feed = FeedServer::start();
    let links = (0..500).map(|i| link(&format!("s{i}"), &format!("https://dest.test/{i}")));
    feed.transaction(links.collect(), vec![], None);
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let mut second = domain(2, "two.test");
    second.not_found_url = "https://lost.test/".to_owned();
    let shared = Shared {
        domain: vec![second],
        ..Default::default()
    };
    feed.transaction(
        vec![link("s7", "https://dest.test/new")],
        vec![(1, "s8")],
        Some(shared),
    );
    eventually("live", || proxy.follow("s7") == "302 https://dest.test/new");
    proxy.stop();
    feed.down();
    for _ in 0..2 {
        let proxy = TestProxy::start(dir.path(), &feed, &[]);
        // At once: nothing has to be waited for.
        assert_eq!(proxy.follow("s7"), "302 https://dest.test/new");
        assert!(links_are_ready(&proxy.health));
        assert_eq!(proxy.follow("s8"), "404");
        for i in (0..500).filter(|i| ![7, 8].contains(i)) {
            assert_eq!(
                proxy.follow(&format!("s{i}")),
                format!("302 https://dest.test/{i}")
            );
        }
        let lost = proxy.get("/nope", "two.test");
        assert_eq!(lost.header("location"), Some("https://lost.test/"));
        proxy.stop();
    }
    feed.up();
    let snapshots = feed.lock().snapshots;
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    feed.put("s9", "https://dest.test/newest");
    eventually("live", || {
        proxy.follow("s9") == "302 https://dest.test/newest"
    });
    assert_eq!(feed.lock().snapshots, snapshots, "resumed from disk");
}

#[test]
fn the_log_of_changes_is_folded_into_the_snapshot() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    eventually("the first snapshot is on disk", || {
        !files(dir.path(), "manifest").is_empty()
    });
    let first = files(dir.path(), ".log");
    let padding = "x".repeat(2000);
    for round in 0..30 {
        let links = (0..100).map(|i| {
            link(
                &format!("s{i}"),
                &format!("https://dest.test/{round}/{padding}"),
            )
        });
        feed.transaction(links.collect(), vec![], None);
    }
    eventually("live", || {
        proxy.follow("s99").starts_with("302 https://dest.test/29/")
    });
    eventually("a new log has begun", || {
        files(dir.path(), ".log").iter().all(|f| !first.contains(f))
    });
    proxy.stop();
    assert_eq!(files(dir.path(), ".log").len(), 1);
    feed.down();
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    for i in 0..100 {
        assert!(
            proxy
                .follow(&format!("s{i}"))
                .starts_with("302 https://dest.test/29/")
        );
    }
}

#[test]
fn damaged_groups_answer_503_until_the_feed_brings_them() {
    let feed = FeedServer::start();
    let links = (0..300).map(|i| link(&format!("s{i}"), &format!("https://dest.test/{i}")));
    feed.transaction(links.collect(), vec![], None);
    let dir = tempfile::tempdir().expect("tempdir");
    TestProxy::ready(dir.path(), &feed, &[]).stop();
    let file = files(dir.path(), ".links").pop().expect("links");
    let mut bytes = fs::read(&file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&file, bytes).expect("written");
    feed.down();
    let proxy = TestProxy::start(dir.path(), &feed, &[]);
    let count = |status: &str| {
        (0..300)
            .filter(|i| {
                let answer = proxy.follow(&format!("s{i}"));
                assert!(
                    answer == "503" || answer == format!("302 https://dest.test/{i}"),
                    "{answer}"
                );
                answer.starts_with(status)
            })
            .count()
    };
    let lost = count("503");
    assert!(
        (1..10).contains(&lost),
        "{lost} links lost by one flipped bit"
    );
    let why = proxy.health.report()["links"].clone().expect("not ready");
    assert_eq!(
        why,
        "1 of 4096 groups of links were damaged on disk and have not come by the feed yet"
    );
    let sent = feed.lock().groups_sent;
    feed.up();
    eventually("whole again", || links_are_ready(&proxy.health));
    assert_eq!(count("302"), 300);
    assert_eq!(feed.lock().groups_sent - sent, 1);
    proxy.stop();
    feed.down();
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    assert_eq!(proxy.follow("s0"), "302 https://dest.test/0");
}

/// Whatever byte of whatever file is flipped, cut off or added: no panic, and each link answers as it did at some time,
/// or not at all.
#[test]
fn damage_anywhere_on_disk_never_makes_a_wrong_redirect() {
    let feed = FeedServer::start();
    let mut ever: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
    let links: Vec<_> = (0..300)
        .map(|i| {
            let (slug, to) = (format!("s{i}"), format!("https://dest.test/{i}"));
            let bytes = link(&slug, &to);
            ever.entry(slug).or_default().insert(Some(to));
            bytes
        })
        .collect();
    feed.transaction(links, vec![], None);
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    for i in 0..20 {
        let (slug, to) = (format!("s{}", i * 3), format!("https://dest.test/new/{i}"));
        let fresh = format!("fresh{i}");
        let deleted = format!("s{}", 200 + i);
        feed.transaction(
            vec![link(&slug, &to), link(&fresh, &to)],
            vec![(1, &deleted)],
            None,
        );
        ever.entry(slug).or_default().insert(Some(to.clone()));
        ever.entry(fresh).or_default().extend([None, Some(to)]);
        ever.entry(deleted).or_default().insert(None);
    }
    eventually("live", || proxy.follow("fresh19").starts_with("302"));
    proxy.stop();
    let good: Vec<_> = files(dir.path(), "")
        .into_iter()
        .map(|f| {
            (
                f.file_name().expect("name").to_owned(),
                fs::read(&f).expect("read"),
            )
        })
        .collect();
    let (mut served, mut refused) = (0, 0);
    for seed in 0..150 {
        let mut rng = Dice(seed);
        let broken = tempfile::tempdir().expect("tempdir");
        let victim = rng.below(good.len());
        for (i, (name, bytes)) in good.iter().enumerate() {
            let mut bytes = bytes.clone();
            if i == victim && !bytes.is_empty() {
                let at = rng.below(bytes.len());
                match rng.below(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.extend_from_within(at..),
                    2 => bytes[at] = rng.below(256) as u8,
                    _ => bytes[at] ^= 1 << rng.below(8),
                }
            }
            if i != victim || rng.below(10) > 0 {
                fs::write(broken.path().join(name), bytes).expect("written");
            }
        }
        let (table, _opened) = proxy::snapshot::load(broken.path());
        for (slug, known) in &ever {
            match table.find(1, slug.as_bytes()) {
                Lookup::Found(found) => {
                    let to = String::from_utf8(found.destination.to_vec()).expect("ascii");
                    assert!(
                        known.contains(&Some(to.clone())),
                        "seed {seed}: {slug} leads to {to}"
                    );
                    served += 1;
                }
                Lookup::Missing => refused += 1,
                Lookup::Unknown => {
                    assert!(
                        known.contains(&None) || !table.is_loaded(),
                        "seed {seed}: {slug} is called unknown"
                    );
                }
            }
        }
    }
    assert!(served > refused * 10, "{served} served, {refused} refused");
}

#[test]
fn a_disk_that_refuses_does_not_stop_redirects() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    fs::create_dir(dir.path().join("data")).expect("folder");
    // A file where the folder should be: nothing can be written there.
    fs::write(dir.path().join("data/links"), "in the way").expect("written");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    for i in 0..20 {
        feed.put("a", &format!("https://dest.test/{i}"));
    }
    eventually("live", || proxy.follow("a") == "302 https://dest.test/19");
    proxy.stop();
}

#[test]
fn a_second_proxy_on_the_same_folder_is_refused() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let _proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let data = dir.path().join("data").to_string_lossy().into_owned();
    let mut settings = schemas::settings::Settings::new([
        ("SIGNPOST_DATA_DIR", data.as_str()),
        ("SIGNPOST_PROXY_ADDR", "127.0.0.1:0"),
    ]);
    let config = proxy::Config::from_settings(&mut settings);
    let health = schemas::health::Health::new();
    let error = proxy::Proxy::start(&config, &health).expect_err("refused");
    assert!(
        error.to_string().contains("in use by another proxy"),
        "{error}"
    );
}
