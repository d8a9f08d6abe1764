//! The feed client against a feed that is down, silent, torn, forged or restored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use schemas::feed::Shared;

use crate::feed_server::{FeedServer, TOKEN, domain, link};
use crate::harness::{Dice, TestProxy, eventually, links_are_ready};

#[test]
fn without_any_table_visitors_are_asked_to_come_back() {
    let feed = FeedServer::start();
    feed.put("a", "https://dest.test/");
    feed.down();
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::start(dir.path(), &feed, &[]);
    let answer = proxy.get("/a", "go.test");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("5"))
    );
    assert_eq!(proxy.get("/robots.txt", "go.test").status, 200);
    eventually("health says why", || {
        let why = proxy.health.report().get("links").cloned().flatten();
        why.is_some_and(|why| why.starts_with("no link table yet: "))
    });
    feed.up();
    eventually("ready", || links_are_ready(&proxy.health));
    assert_eq!(proxy.follow("a"), "302 https://dest.test/");
    feed.down();
    feed.cut();
    assert_eq!(proxy.follow("a"), "302 https://dest.test/");
    assert!(links_are_ready(&proxy.health), "ready without the feed");
}

#[test]
fn the_token_is_waited_for_and_must_be_right() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::start(dir.path(), &feed, &[("SIGNPOST_FEED_TOKEN", "")]);
    let why = || {
        proxy
            .health
            .report()
            .get("links")
            .cloned()
            .flatten()
            .unwrap_or_default()
    };
    eventually("it waits", || why().contains("waiting for feed.token"));
    let file = dir.path().join("data/feed.token");
    std::fs::write(&file, "wrong\n").expect("written");
    eventually("it is refused", || why().contains("401"));
    std::fs::write(&file, format!("{TOKEN}\n")).expect("written");
    eventually("ready", || links_are_ready(&proxy.health));
}

#[test]
fn a_feed_that_was_cut_is_resumed_without_a_snapshot() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    for round in 0..5 {
        feed.cut();
        let to = format!("https://dest.test/{round}");
        feed.put("a", &to);
        eventually("live", || proxy.follow("a") == format!("302 {to}"));
    }
    assert_eq!(feed.lock().snapshots, 1);
    assert!(feed.lock().follows >= 5);
}

#[test]
fn a_forgotten_history_costs_the_groups_that_differ() {
    let feed = FeedServer::start();
    for batch in 0..5 {
        let links = (0..400).map(|i| link(&format!("s{batch}-{i}"), "https://dest.test/"));
        feed.transaction(links.collect(), vec![], None);
    }
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let before = feed.lock().groups_sent;
    feed.down();
    feed.put("s0-7", "https://dest.test/new");
    feed.transaction(vec![], vec![(1, "s1-1")], None);
    feed.forget_history();
    feed.up();
    eventually("live", || {
        proxy.follow("s0-7") == "302 https://dest.test/new"
    });
    assert_eq!(proxy.follow("s1-1"), "404");
    assert_eq!(proxy.follow("s4-399"), "302 https://dest.test/");
    assert_eq!(feed.lock().groups_sent - before, 2);
}

#[test]
fn a_snapshot_that_breaks_off_is_gone_on_with() {
    let feed = FeedServer::start();
    for batch in 0..8 {
        let links = (0..1000).map(|i| link(&format!("s{batch}-{i}"), "https://dest.test/"));
        feed.transaction(links.collect(), vec![], None);
    }
    let mut cut = false;
    feed.mangle(move |path, mut bytes| {
        if path == "snapshot" && !cut {
            cut = true;
            bytes.truncate(bytes.len() / 4 * 3);
        }
        bytes
    });
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::start(dir.path(), &feed, &[]);
    eventually("the first has broken off", || feed.lock().snapshots == 1);
    let first = feed.lock().groups_sent;
    // What came is not shown before the rest is there, though it may have changed meanwhile.
    feed.put("s0-7", "https://dest.test/new");
    eventually("ready", || links_are_ready(&proxy.health));
    let second = feed.lock().groups_sent - first;
    assert!(second < first / 3, "{second} groups after {first}");
    assert_eq!(proxy.follow("s0-7"), "302 https://dest.test/new");
    for batch in 0..8 {
        let slug = format!("s{batch}-999");
        assert_eq!(proxy.follow(&slug), "302 https://dest.test/");
    }
}

#[test]
fn a_database_restored_to_an_older_state_is_followed_back() {
    let feed = FeedServer::start();
    feed.put("old", "https://dest.test/old");
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    for i in 0..5 {
        feed.put("new", &format!("https://dest.test/{i}"));
    }
    eventually("live", || proxy.follow("new") == "302 https://dest.test/4");
    feed.down();
    {
        // A backup: fewer transactions, none of the later ones known.
        let mut state = feed.lock();
        state.restore(3);
        state.links.remove(&(1, b"new".to_vec()));
    }
    feed.up();
    eventually("followed back", || proxy.follow("new") == "404");
    assert_eq!(proxy.follow("old"), "302 https://dest.test/old");
    feed.put("later", "https://dest.test/later");
    eventually("live", || {
        proxy.follow("later") == "302 https://dest.test/later"
    });
    // And so does what is on disk.
    proxy.stop();
    feed.down();
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    assert_eq!(proxy.follow("new"), "404");
    assert_eq!(proxy.follow("later"), "302 https://dest.test/later");
}

#[test]
fn a_silent_feed_is_left_after_three_heartbeats() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    eventually("following", || feed.lock().follows == 1);
    let begin = Instant::now();
    feed.lock().mute = true;
    eventually("it connects anew", || feed.lock().follows == 2);
    assert!(begin.elapsed() >= Duration::from_secs(5));
    feed.lock().mute = false;
    feed.put("a", "https://dest.test/");
    eventually("live", || proxy.follow("a") == "302 https://dest.test/");
}

/// Cut, flipped, doubled and reordered bytes: the table stays one that was true, and is the newest in the end.
#[test]
fn broken_frames_never_make_a_wrong_table() {
    for seed in 0..6 {
        eprintln!("seed {seed}");
        let feed = FeedServer::start();
        feed.put("a", "https://dest.test/0");
        feed.put("b", "https://dest.test/b");
        let dir = tempfile::tempdir().expect("tempdir");
        let mut rng = Dice(seed);
        let broken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&broken);
        feed.mangle(move |_, mut bytes| {
            // A few, each at a place of its own, then the truth.
            let nth = counter.load(Ordering::Relaxed);
            if bytes.is_empty() || nth >= 4 || rng.below(2) == 0 {
                return bytes;
            }
            counter.store(nth + 1, Ordering::Relaxed);
            let at = rng.below(bytes.len());
            match rng.below(4) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << rng.below(8),
                2 => bytes.extend_from_within(..at),
                _ => bytes.rotate_left(at),
            }
            bytes
        });
        let proxy = TestProxy::start(dir.path(), &feed, &[]);
        for round in 1..=8 {
            let to = format!("https://dest.test/{round}");
            feed.put("a", &to);
            eventually("live in the end", || {
                if round % 2 == 0 {
                    feed.cut();
                }
                let now = proxy.follow("a");
                let known = (0..=round).any(|r| now == format!("302 https://dest.test/{r}"));
                assert!(known || now == "503", "{now}");
                now == format!("302 {to}")
            });
            assert_eq!(proxy.follow("b"), "302 https://dest.test/b");
        }
    }
}

#[test]
fn changes_out_of_order_are_not_applied() {
    let feed = FeedServer::start();
    feed.put("a", "https://dest.test/0");
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    eventually("following", || feed.lock().follows == 1);
    // Whole frames, each good in itself: two changes swapped, one left out, one sent twice.
    for (round, how) in [[1, 0, 2], [0, 2, 2], [0, 0, 1]].into_iter().enumerate() {
        let mut done = false;
        feed.mangle(move |path, bytes| {
            let frames = split_frames(&bytes);
            if path != "feed" || done || frames.len() != 3 {
                return bytes;
            }
            done = true;
            how.iter().flat_map(|i| frames[*i].clone()).collect()
        });
        feed.down();
        feed.put("a", &format!("https://dest.test/{round}-1"));
        feed.put("a", &format!("https://dest.test/{round}-2"));
        feed.put("a", &format!("https://dest.test/{round}-3"));
        feed.up();
        let newest = format!("302 https://dest.test/{round}-3");
        eventually("live in the end", || proxy.follow("a") == newest);
    }
    assert_eq!(feed.lock().snapshots, 1);
}

#[test]
fn a_change_that_breaks_a_rule_is_left_out_and_what_follows_taken() {
    let feed = FeedServer::start();
    feed.put("a", "https://dest.test/");
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    eventually("following", || feed.lock().follows == 1);
    // The same link twice in one transaction: nobody can tell which one is meant.
    let twice = vec![
        link("b", "https://one.test/"),
        link("b", "https://two.test/"),
    ];
    feed.transaction(twice, vec![], None);
    feed.put("c", "https://dest.test/c");
    eventually("live", || proxy.follow("c") == "302 https://dest.test/c");
    assert_eq!(
        proxy.follow("b"),
        "302 https://two.test/",
        "as the database has it"
    );
    assert_eq!(feed.lock().snapshots, 2);
}

fn split_frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Ok(Some((_, used))) = schemas::feed::decode_frame(bytes) {
        frames.push(bytes[..used].to_vec());
        bytes = &bytes[used..];
    }
    frames
}

#[test]
fn what_lies_beside_links_changes_with_them() {
    let feed = FeedServer::start();
    let mut second = crate::feed_server::entry("a", "https://second.test/");
    second.domain = 2;
    feed.transaction(vec![link("a", "https://first.test/")], vec![], None);
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let shared = Shared {
        domain: vec![domain(2, "new.test")],
        ..Default::default()
    };
    feed.transaction(
        vec![crate::feed_server::encode(&second)],
        vec![],
        Some(shared),
    );
    let at = |host: &str| proxy.get("/a", host).header("location").map(str::to_owned);
    eventually("the domain is live", || {
        at("new.test").as_deref() == Some("https://second.test/")
    });
    let suspend = |suspended| Shared {
        workspace: vec![schemas::feed::Workspace { id: 1, suspended }],
        ..Default::default()
    };
    feed.transaction(vec![], vec![], Some(suspend(true)));
    eventually("all its links are off", || {
        at("new.test").is_none() && at("go.test").is_none()
    });
    feed.transaction(vec![], vec![], Some(suspend(false)));
    eventually("and on again", || {
        at("new.test").is_some() && at("go.test").is_some()
    });
}
