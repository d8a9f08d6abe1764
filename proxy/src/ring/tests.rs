//! The ring as worker and enricher use it, on a real tmpfs.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;
use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;
use schemas::click::{Outcome, Stream};

use super::*;

const SMALL: usize = layout::MIN_CAPACITY;

fn visit(text: &[u8]) -> Visit<'_> {
    Visit {
        time_ms: 1_700_000_000_000,
        link: 5,
        workspace: 6,
        domain: 7,
        status: 302,
        outcome: Outcome::Redirect,
        rule: 1,
        variant: 2,
        scan: true,
        bot: false,
        client_ip: IpAddr::from([192, 0, 2, 7]),
        host: b"example.com",
        slug: text,
        target_query: b"utm_source=a",
        destination_query: b"",
        user_agent: text,
        referrer: text,
        accept_language: b"en",
        purpose: b"",
    }
}

fn folder() -> (tempfile::TempDir, Folder) {
    let parent = tempfile::tempdir_in("/dev/shm").unwrap();
    let folder = Folder::open(parent.path(), "test").unwrap();
    assert!(folder.is_in_memory());
    (parent, folder)
}

fn stream() -> Stream {
    Stream {
        epoch: 0xfeed,
        worker: 3,
    }
}

/// Everything the reader finds until it has caught up: positions of visits, and losses.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    visits: Vec<u64>,
    lost: Vec<(u64, u64, Loss)>,
}

fn drain(reader: &mut Reader) -> Seen {
    let mut seen = Seen::default();
    loop {
        let progress = reader.read(|found| match found {
            Found::Visit { position, .. } => seen.visits.push(position),
            Found::Lost { from, to, loss } => seen.lost.push((from, to, loss)),
        });
        if progress == Progress::CaughtUp {
            return seen;
        }
    }
}

/// Every position below `to` is a visit or lost, in order, and none twice.
#[track_caller]
fn assert_complete(seen: &Seen, from: u64, to: u64) {
    let mut all: Vec<_> = seen.visits.iter().map(|p| (*p, p + 1)).collect();
    all.extend(seen.lost.iter().map(|(from, to, _)| (*from, *to)));
    all.sort_unstable();
    let mut next = from;
    for (from, to) in all {
        assert_eq!(from, next, "{seen:?}");
        next = to;
    }
    assert_eq!(next, to, "{seen:?}");
}

#[test]
fn a_visit_comes_back_as_it_went_in() {
    let (_parent, folder) = folder();
    let (mut writer, mut reader) = folder.create(stream(), SMALL, 0).unwrap();
    for text in [&b"\0\xff<script>"[..], b"", b"x"] {
        for ip in ["192.0.2.7", "2001:db8::1"] {
            let given = Visit {
                client_ip: ip.parse().unwrap(),
                ..visit(text)
            };
            writer.append(&given);
            let mut seen = 0;
            reader.read(|found| match found {
                Found::Visit { visit, .. } => {
                    assert_eq!(visit, given);
                    seen += 1;
                }
                Found::Lost { .. } => panic!("{found:?}"),
            });
            assert_eq!(seen, 1);
        }
    }
}

#[test]
fn texts_beyond_their_limits_are_cut() {
    let (_parent, folder) = folder();
    let (mut writer, mut reader) = folder.create(stream(), SMALL, 0).unwrap();
    let long = vec![b'x'; 100_000];
    writer.append(&Visit {
        host: &long,
        target_query: &long,
        destination_query: &long,
        accept_language: &long,
        purpose: &long,
        ..visit(&long)
    });
    let mut lengths = Vec::new();
    reader.read(|found| {
        if let Found::Visit { visit: v, .. } = found {
            lengths = [
                v.host,
                v.slug,
                v.target_query,
                v.destination_query,
                v.user_agent,
                v.referrer,
                v.accept_language,
                v.purpose,
            ]
            .map(<[u8]>::len)
            .to_vec();
        }
    });
    assert_eq!(lengths, [255, 255, 2048, 8192, 1024, 2048, 256, 64]);
}

#[test]
fn a_full_ring_loses_the_newest_visits_and_says_how_many() {
    let (_parent, folder) = folder();
    let (mut writer, mut reader) = folder.create(stream(), SMALL, 0).unwrap();
    let text = [b'x'; 100];
    for _ in 0..1000 {
        writer.append(&visit(&text));
    }
    let lost = reader.lost_by_worker();
    assert!(lost > 0);
    let seen = drain(&mut reader);
    assert_eq!(seen.lost, [(1000 - lost, 1000, Loss::Full)]);
    assert_complete(&seen, 0, 1000);

    // Not given back before it is committed.
    writer.append(&visit(&text));
    assert_eq!(reader.lost_by_worker(), lost + 1);
    reader.commit();
    writer.append(&visit(&text));
    let seen = drain(&mut reader);
    assert_eq!(
        seen,
        Seen {
            visits: vec![1001],
            lost: vec![(1000, 1001, Loss::Full)]
        }
    );
}

#[test]
fn many_laps_lose_nothing_while_the_reader_keeps_up() {
    let (_parent, folder) = folder();
    let (mut writer, mut reader) = folder.create(stream(), SMALL, 0).unwrap();
    let text = [b'x'; 900];
    let mut all = Seen::default();
    for i in 0..5000_usize {
        writer.append(&visit(&text[..i * 7 % 900]));
        if i % 10 == 0 {
            all.visits.extend(drain(&mut reader).visits);
            reader.commit();
        }
    }
    all.visits.extend(drain(&mut reader).visits);
    assert_complete(&all, 0, 5000);
    assert!(all.lost.is_empty());
}

#[test]
fn rewound_visits_are_read_again() {
    let (_parent, folder) = folder();
    let (mut writer, mut reader) = folder.create(stream(), SMALL, 0).unwrap();
    writer.append(&visit(b"a"));
    assert_eq!(drain(&mut reader).visits, [0]);
    reader.rewind();
    assert_eq!(drain(&mut reader).visits, [0]);
    reader.commit();
    reader.rewind();
    assert_eq!(drain(&mut reader), Seen::default());
}

#[test]
fn reader_and_worker_run_side_by_side() {
    let (_parent, folder) = folder();
    let (mut writer, mut reader) = folder.create(stream(), SMALL, 0).unwrap();
    let worker = std::thread::spawn(move || {
        for i in 0..100_000_usize {
            writer.append(&visit(&[b'y'; 300][..i % 300]));
        }
    });
    let mut all = Seen::default();
    loop {
        let finished = reader.is_finished();
        let seen = drain(&mut reader);
        reader.commit();
        all.visits.extend(seen.visits);
        all.lost.extend(seen.lost);
        if finished {
            break;
        }
    }
    worker.join().unwrap();
    assert_complete(&all, 0, 100_000);
    assert!(all.lost.iter().all(|(_, _, loss)| *loss == Loss::Full));
}

#[test]
fn without_a_ring_every_visit_is_counted_as_lost() {
    let (mut writer, mut reader) = Folder::without_ring(stream());
    for _ in 0..5 {
        writer.append(&visit(b""));
    }
    assert_eq!(drain(&mut reader).lost, [(0, 5, Loss::NoRing)]);
    writer.append(&visit(b""));
    reader.commit();
    assert_eq!(drain(&mut reader).lost, [(5, 6, Loss::NoRing)]);
    assert!(!reader.is_finished());
    drop(writer);
    assert!(reader.is_finished());
}

#[test]
fn a_second_process_does_not_get_the_folder() {
    let (parent, folder) = folder();
    assert!(matches!(
        Folder::open(parent.path(), "test"),
        Err(FolderError::Locked(_))
    ));
    drop(folder);
    assert!(Folder::open(parent.path(), "test").is_ok());
}

#[test]
fn an_empty_folder_is_cleared_away_and_one_with_rings_stays() {
    let (parent, folder) = folder();
    let path = folder.path().to_owned();
    drop(folder);
    assert!(!path.exists());
    let folder = Folder::open(parent.path(), "test").unwrap();
    std::mem::forget(folder.create(stream(), SMALL, 0).unwrap());
    drop(folder);
    assert!(path.exists());
    let folder = Folder::open(parent.path(), "test").unwrap();
    assert_eq!(folder.leftovers().unwrap().len(), 1);
}

#[test]
fn a_folder_that_cannot_be_is_an_error() {
    for path in ["/dev/null", "/proc/nowhere", "/nowhere/at/all"] {
        assert!(matches!(
            Folder::open(std::path::Path::new(path), "test"),
            Err(FolderError::Io { .. })
        ));
    }
}

#[test]
fn what_a_dead_process_left_is_drained_from_where_it_was() {
    let (_parent, folder) = folder();
    let (mut writer, mut reader) = folder.create(stream(), SMALL, 0).unwrap();
    for _ in 0..3 {
        writer.append(&visit(b"a"));
    }
    drain(&mut reader);
    reader.commit();
    for _ in 0..4 {
        writer.append(&visit(b"b"));
    }
    // A dead process runs no destructors and deletes nothing.
    std::mem::forget((writer, reader));

    let leftovers = folder.leftovers().unwrap();
    assert_eq!(leftovers.len(), 1);
    let mut reader = leftovers[0].open().unwrap().unwrap();
    assert_eq!((reader.stream(), reader.expected()), (stream(), 3));
    assert_eq!(drain(&mut reader).visits, [3, 4, 5, 6]);
    reader.commit();
    drop(reader);
    let mut reader = leftovers[0].open().unwrap().unwrap();
    assert_eq!(drain(&mut reader), Seen::default());
    reader.delete().unwrap();
    assert!(folder.leftovers().unwrap().is_empty());
}

#[test]
fn visits_known_to_be_in_the_log_are_skipped() {
    let (_parent, folder) = folder();
    let (mut writer, mut reader) = folder.create(stream(), SMALL, 0).unwrap();
    for _ in 0..5 {
        writer.append(&visit(b"a"));
    }
    reader.skip_to(3);
    assert_eq!(
        drain(&mut reader),
        Seen {
            visits: vec![3, 4],
            lost: vec![]
        }
    );
}

/// A ring with laps behind it, visits that are read and visits that are not: its bytes, and where it stands.
fn used_ring(seed: u64) -> (tempfile::TempDir, Folder, std::path::PathBuf, u64, u64) {
    let (parent, folder) = folder();
    let (mut writer, mut reader) = folder.create(stream(), SMALL, 0).unwrap();
    let text = [b'x'; 500];
    let mut accounted = 0;
    for i in 0..400 + seed % 97 {
        writer.append(&visit(&text[..(i * 31 % 500) as usize]));
        if i % 20 == 0 && i < 350 {
            drain(&mut reader);
            reader.commit();
            accounted = i + 1;
        }
    }
    let handed = writer.position;
    std::mem::forget((writer, reader));
    let path = folder.leftovers().unwrap().remove(0).path;
    (parent, folder, path, accounted, handed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_flipped_ring_costs_what_was_hit_and_counts_it(seed in 0u64..1000, at in 0usize..layout::HEADER_BYTES + SMALL, near_header in any::<bool>(), flip in 1u8..) {
        let (_parent, folder, path, accounted, handed) = used_ring(seed);
        let at = if near_header { at % 512 } else { at };
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at as u64).unwrap();
        file.write_all_at(&[byte[0] ^ flip], at as u64).unwrap();

        match folder.leftovers().unwrap()[0].open() {
            Ok(Some(mut reader)) => {
                let from = reader.expected();
                let seen = drain(&mut reader);
                let first = if at / 8 == Cell::Accounted.offset() / 8 { from } else { accounted };
                let last = seen.visits.last().map_or(from, |p| p + 1);
                let last = seen.lost.last().map_or(last, |(_, to, _)| last.max(*to));
                assert_complete(&seen, first, last);
                prop_assert!(seen.lost.iter().map(|(from, to, _)| to - from).sum::<u64>() <= handed);
                prop_assert_eq!(last, handed);
            }
            Ok(None) => prop_assert!(false, "taken for blank"),
            // Only the version byte makes it unreadable.
            Err(e) => prop_assert!(at == 7 && e.kind() == std::io::ErrorKind::Unsupported),
        }
    }

    #[test]
    fn a_cut_ring_never_panics_and_counts(seed in 0u64..1000, length in 0usize..layout::HEADER_BYTES + SMALL) {
        let (_parent, folder, path, accounted, handed) = used_ring(seed);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
        if let Some(mut reader) = folder.leftovers().unwrap()[0].open().unwrap() {
            let seen = drain(&mut reader);
            if length > 300 {
                assert_complete(&seen, accounted, handed);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..20_000), with_header: bool) {
        let (_parent, folder) = folder();
        let (writer, reader) = folder.create(stream(), SMALL, 0).unwrap();
        std::mem::forget((writer, reader));
        let leftover = folder.leftovers().unwrap().remove(0);
        let file = std::fs::OpenOptions::new().write(true).open(&leftover.path).unwrap();
        file.write_all_at(&bytes, if with_header { layout::HEADER_BYTES as u64 } else { 0 }).unwrap();
        if let Ok(Some(mut reader)) = leftover.open() {
            drain(&mut reader);
            reader.commit();
        }
    }
}

#[test]
fn appending_takes_no_time_to_speak_of() {
    // Not a benchmark: it fails when an append blocks or allocates in the milliseconds.
    let (_parent, folder) = folder();
    let (mut writer, _reader) = folder.create(stream(), 1 << 20, 0).unwrap();
    let start = std::time::Instant::now();
    for _ in 0..10_000 {
        writer.append(&visit(b"some text"));
    }
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
}
