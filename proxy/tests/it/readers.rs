//! Readers of files who take their time: they hold up nobody, and do not hold every place.

use std::io::Read as _;
use std::time::{Duration, Instant};

use crate::files::{begin, got, with_file};
use crate::harness::{DEADLINE, TestProxy, eventually};

#[test]
fn slow_readers_of_files_slow_no_redirect() {
    const READERS: usize = 100;
    let (feed, dir, bytes) = with_file("big", 8_000_000);
    feed.put("a", "https://dest.test/");
    let settings = [
        ("SIGNPOST_PROXY_WORKERS", "1"),
        ("SIGNPOST_PROXY_WRITE_SECONDS", "60"),
    ];
    let proxy = TestProxy::ready(dir.path(), &feed, &settings);
    let begin = || begin(&proxy, "big", "");
    let hanging: Vec<_> = (0..READERS).map(|_| begin()).collect();
    assert!(hanging.iter().all(|(began, _)| *began));
    // One thread serves, and it has none of them: each redirect comes as if there were nobody else.
    let slowest = (0..200)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(proxy.follow("a"), "302 https://dest.test/");
            began.elapsed()
        })
        .max();
    assert!(slowest < Some(Duration::from_secs(1)), "{slowest:?}");
    // Whoever reads on gets it whole.
    for (_, mut stream) in hanging.into_iter().take(2) {
        stream.set_read_timeout(Some(DEADLINE)).expect("timeout");
        let mut all = b"HTTP/1.1 200".to_vec();
        stream.read_to_end(&mut all).expect("read");
        assert!(got(&all).body == bytes);
    }
}

#[test]
fn one_address_does_not_take_every_place() {
    let (feed, dir, _) = with_file("big", 8_000_000);
    let settings = [
        ("SIGNPOST_TRUSTED_PROXIES", "127.0.0.1"),
        ("SIGNPOST_PROXY_WRITE_SECONDS", "60"),
    ];
    let proxy = TestProxy::ready(dir.path(), &feed, &settings);
    let begin = |from: &str| begin(&proxy, "big", &format!("X-Forwarded-For: {from}\r\n"));
    // One household's /64, whatever addresses it gives itself.
    let held: Vec<_> = (0..100)
        .map(|n| begin(&format!("2001:db8::{n:x}")))
        .collect();
    assert!(held.iter().all(|(began, _)| *began));
    assert!(!begin("2001:db8::ffff").0);
    assert!(begin("2001:db8:0:1::1").0);
    drop(held);
    eventually("places are given back", || begin("2001:db8::1").0);
}

#[test]
fn a_reader_that_takes_nothing_is_cut_off() {
    let (feed, dir, bytes) = with_file("big", 8_000_000);
    let proxy = TestProxy::ready(dir.path(), &feed, &[("SIGNPOST_PROXY_WRITE_SECONDS", "1")]);
    let began = Instant::now();
    let (_, mut stream) = begin(&proxy, "big", "");
    let mut all = vec![0; 12];
    std::thread::park_timeout(Duration::from_millis(2500));
    // What is left is what the kernels held: the rest never comes.
    while let Ok(got @ 1..) = stream.read(&mut [0; 1 << 16]) {
        all.extend_from_slice(&[0; 1 << 16][..got]);
    }
    assert!(all.len() < bytes.len() && began.elapsed() < DEADLINE);
    // And it holds nobody up at the end.
    let began = Instant::now();
    proxy.stop();
    assert!(began.elapsed() < DEADLINE);
}
