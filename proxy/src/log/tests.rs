//! The log on a real file system.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use prost::Message as _;
use schemas::click::{Book, Click, Drop, Stream};
use schemas::click_log::{Kind, append_record, encode_ack};

use super::*;

const BOUND: u64 = 1 << 20;

fn click(position: u64) -> Vec<u8> {
    let click = Click {
        epoch: 1,
        worker: 2,
        position,
        slug: "s".repeat(200),
        ..Click::default()
    };
    record(Kind::Click, &click.encode_to_vec())
}

fn record(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append_record(&mut out, kind, payload).unwrap();
    out
}

/// Every position in the log, segment by segment.
fn positions(folder: &Path) -> Vec<u64> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    let mut all = Vec::new();
    for path in names {
        let Some(base) = segment_base(path.file_name().unwrap().to_str().unwrap()) else {
            continue;
        };
        let bytes = fs::read(&path).unwrap();
        assert!(schemas::click_log::is_segment_header(&bytes, base));
        for (kind, payload) in segment::records(&bytes) {
            if kind == Kind::Click {
                all.push(Click::decode(payload).unwrap().position);
            }
        }
    }
    all
}

fn acknowledge(folder: &Path, offset: u64) {
    fs::write(folder.join("ack.new"), encode_ack(offset)).unwrap();
    fs::rename(folder.join("ack.new"), folder.join(ACK_FILE)).unwrap();
}

#[test]
fn records_go_on_where_the_last_process_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a/b");
    let mut log = Log::open(&folder, BOUND).unwrap();
    log.append(&click(0)).unwrap();
    log.append(&[click(1), click(2)].concat()).unwrap();
    log.sync().unwrap();
    let end = log.end();
    drop(log);

    let mut log = Log::open(&folder, BOUND).unwrap();
    assert_eq!(log.end(), end);
    log.append(&click(3)).unwrap();
    assert_eq!(positions(&folder), [0, 1, 2, 3]);
}

#[test]
fn a_second_process_does_not_get_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let _log = Log::open(dir.path(), BOUND).unwrap();
    assert!(matches!(
        Log::open(dir.path(), BOUND),
        Err(LogError::Locked(_))
    ));
}

#[test]
fn a_full_log_refuses_until_its_reader_acknowledges() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), BOUND).unwrap();
    let mut position = 0;
    let error = loop {
        match log.append(&click(position)) {
            Ok(()) => position += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(error.reason(), "log_full");
    assert!(log.bytes() <= BOUND && position > 1000);

    // An acknowledgement that covers no whole segment frees nothing; nor does one that is not whole.
    acknowledge(dir.path(), 1000);
    assert!(log.append(&click(position)).is_err());
    fs::write(dir.path().join(ACK_FILE), encode_ack(log.end()).trim()).unwrap();
    assert!(log.append(&click(position)).is_err());

    acknowledge(dir.path(), log.end());
    log.append(&click(position)).unwrap();
    assert!(log.bytes() < BOUND / 4);
    assert_eq!(positions(dir.path()).last(), Some(&position));
}

#[test]
fn offsets_never_come_again_even_when_all_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    acknowledge(dir.path(), 5000);
    let mut log = Log::open(dir.path(), BOUND).unwrap();
    assert_eq!(log.end(), 5000);
    log.append(&click(0)).unwrap();
    assert!(dir.path().join(segment_name(5000)).exists());
}

#[test]
fn a_folder_that_is_deleted_or_read_only_is_made_again_when_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("clicks");
    let mut log = Log::open(&folder, BOUND).unwrap();
    log.append(&click(0)).unwrap();
    let end = log.end();
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "not a folder").unwrap();
    assert_eq!(log.append(&click(1)).unwrap_err().reason(), "log_error");
    fs::remove_file(&folder).unwrap();
    log.append(&click(1)).unwrap();
    assert!(folder.join(segment_name(end)).exists());
    assert_eq!(positions(&folder), [1]);
}

#[test]
fn what_the_newest_segment_accounts_for_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), BOUND).unwrap();
    let stream = Stream {
        epoch: 1,
        worker: 2,
    };
    let dropped = vec![Drop {
        from: 12,
        to: 20,
        reason: "ring_full".to_owned(),
    }];
    let book = Book {
        epoch: 1,
        worker: 2,
        written: 22,
        dropped,
        ..Book::default()
    };
    log.append(
        &[
            click(10),
            click(11),
            click(20),
            record(Kind::Book, &book.encode_to_vec()),
            click(25),
        ]
        .concat(),
    )
    .unwrap();
    drop(log);
    let accounted = Log::open(dir.path(), BOUND).unwrap().accounted().unwrap();
    assert_eq!(accounted.first_open(stream, 10), 21);
    assert_eq!(accounted.first_open(stream, 5), 5);
    assert_eq!(accounted.first_open(stream, 25), 26);
    assert_eq!(
        accounted.first_open(
            Stream {
                epoch: 2,
                worker: 2
            },
            7
        ),
        7
    );
}

#[test]
fn empty_and_unfinished_segments_are_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), BOUND).unwrap();
    log.append(&click(0)).unwrap();
    let end = log.end();
    drop(log);
    fs::write(
        dir.path().join(segment_name(end)),
        schemas::click_log::segment_header(end, 0),
    )
    .unwrap();
    fs::write(dir.path().join(segment_name(end + 1)), b"x").unwrap();
    fs::write(dir.path().join(format!("{end:020}.new")), b"x").unwrap();
    let mut log = Log::open(dir.path(), BOUND).unwrap();
    assert_eq!(log.end(), end);
    log.append(&click(1)).unwrap();
    assert_eq!(positions(dir.path()), [0, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_torn_tail_is_cut_and_nothing_else(cut in 0u64..2000, garbage in proptest::collection::vec(any::<u8>(), 0..50)) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), BOUND).unwrap();
        let one = click(1).len() as u64;
        for position in 1..=10 {
            log.append(&click(position)).unwrap();
        }
        drop(log);
        let path = dir.path().join(segment_name(0));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let left = SEGMENT_HEADER_BYTES as u64 + cut.min(10 * one);
        file.set_len(left).unwrap();
        file.write_all_at(&garbage, left).unwrap();
        drop(file);

        let mut log = Log::open(dir.path(), BOUND).unwrap();
        let whole = cut.min(10 * one) / one;
        prop_assert_eq!(log.end(), whole * one);
        prop_assert_eq!(log.cut_bytes() > 0, !cut.min(10 * one).is_multiple_of(one) || !garbage.is_empty());
        log.append(&click(100)).unwrap();
        let expected: Vec<_> = (1..=whole).chain([100]).collect();
        prop_assert_eq!(positions(dir.path()), expected);
    }

    #[test]
    fn any_folder_content_is_opened_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), base in 0u64..3) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(segment_name(base)), &bytes).unwrap();
        fs::write(dir.path().join(ACK_FILE), &bytes).unwrap();
        let mut log = Log::open(dir.path(), BOUND).unwrap();
        log.accounted().unwrap();
        log.append(&click(0)).unwrap();
        log.reclaim().unwrap();
    }
}
