use std::fs::OpenOptions;
use std::io::Write as _;

use proptest::prelude::*;
use schemas::click_log::{Kind, append_record, segment_header};

use super::*;

const ALL: Limits = Limits {
    records: usize::MAX,
    bytes: u64::MAX,
};

/// A log as its owner writes it.
struct Writer {
    folder: tempfile::TempDir,
    base: u64,
    length: u64,
}

impl Writer {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut writer = Self {
            folder,
            base: 0,
            length: 0,
        };
        writer.cut();
        writer
    }

    fn path(&self, base: u64) -> PathBuf {
        self.folder.path().join(segment_name(base))
    }

    /// Begins a new segment.
    fn cut(&mut self) {
        self.base += self.length;
        self.length = 0;
        fs::write(self.path(self.base), segment_header(self.base, 0)).expect("write");
    }

    fn raw(&mut self, bytes: &[u8]) {
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.path(self.base))
            .expect("open");
        file.write_all(bytes).expect("write");
        self.length += bytes.len() as u64;
    }

    fn record(&mut self, payload: &[u8]) {
        self.raw(&encoded(payload));
    }

    fn reader(&self) -> ClickLog {
        ClickLog::open(0, self.folder.path().to_owned()).expect("open")
    }
}

fn encoded(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append_record(&mut out, Kind::Click, payload).expect("short");
    out
}

fn payloads(fetched: &Fetched) -> Vec<Vec<u8>> {
    fetched.records.iter().map(|r| r.payload.to_vec()).collect()
}

fn lost(fetched: &Fetched) -> u64 {
    fetched.damage.iter().map(|d| d.bytes).sum()
}

#[test]
fn records_come_in_order_across_segments_and_after_a_restart_from_the_ack() {
    let mut w = Writer::new();
    w.record(b"a");
    w.cut();
    w.record(b"b");
    let mut r = w.reader();
    let first = r.fetch(ALL, Instant::now()).expect("read");
    assert_eq!(payloads(&first), [b"a", b"b"]);
    assert_eq!((first.from, first.to, lost(&first)), (0, 22, 0));
    w.record(b"c");
    w.cut();
    let second = r.fetch(ALL, Instant::now()).expect("read");
    assert_eq!(payloads(&second), [b"c"]);
    assert_eq!(second.records[0].offset, 22);
    r.acknowledge(first.to).expect("ack");
    assert_eq!(r.lag().expect("lag"), 11);
    assert_eq!(
        payloads(&w.reader().fetch(ALL, Instant::now()).expect("read")),
        [b"c"]
    );
    r.rewind().expect("rewind");
    assert_eq!(
        payloads(&r.fetch(ALL, Instant::now()).expect("read")),
        [b"c"]
    );
}

#[test]
fn limits_cut_a_fetch_and_lose_nothing() {
    let mut w = Writer::new();
    for i in 0..10 {
        w.record(&[i]);
    }
    let mut r = w.reader();
    let limits = Limits {
        records: 4,
        bytes: u64::MAX,
    };
    let sizes: Vec<_> = (0..4)
        .map(|_| r.fetch(limits, Instant::now()).expect("read"))
        .map(|f| (f.records.len(), f.more))
        .collect();
    assert_eq!(sizes, [(4, true), (4, true), (2, false), (0, false)]);
    let mut r = w.reader();
    let limits = Limits {
        records: 100,
        bytes: 20,
    };
    assert_eq!(
        r.fetch(limits, Instant::now()).expect("read").records.len(),
        2
    );
}

#[test]
fn half_a_record_at_the_end_is_waited_for() {
    let mut w = Writer::new();
    w.record(b"whole");
    let next = encoded(b"half");
    w.raw(&next[..7]);
    let mut r = w.reader();
    let fetched = r.fetch(ALL, Instant::now()).expect("read");
    assert_eq!(
        (payloads(&fetched), fetched.to),
        (vec![b"whole".to_vec()], 15)
    );
    assert!(
        r.fetch(ALL, Instant::now() + STUCK * 2)
            .expect("read")
            .records
            .is_empty()
    );
    w.raw(&next[7..]);
    assert_eq!(
        payloads(&r.fetch(ALL, Instant::now()).expect("read")),
        [b"half"]
    );
}

#[test]
fn a_damaged_length_at_the_end_does_not_hold_up_what_follows() {
    let mut w = Writer::new();
    let mut bad = encoded(b"bad");
    bad[3] = 0x7f; // claims 32 kB
    w.raw(&bad);
    w.record(b"good");
    let mut r = w.reader();
    let now = Instant::now();
    assert!(r.fetch(ALL, now).expect("read").records.is_empty());
    let fetched = r.fetch(ALL, now + STUCK).expect("read");
    assert_eq!(
        (payloads(&fetched), lost(&fetched)),
        (vec![b"good".to_vec()], bad.len() as u64)
    );
}

#[test]
fn missing_segments_short_segments_and_torn_tails_are_counted_and_passed() {
    let mut w = Writer::new();
    w.record(b"deleted");
    w.cut();
    w.record(b"short");
    w.record(b"cut off");
    w.cut();
    w.record(b"last");
    fs::remove_file(w.path(0)).expect("remove");
    let short = w.path(17);
    let length = fs::metadata(&short).expect("there").len();
    OpenOptions::new()
        .write(true)
        .open(short)
        .expect("open")
        .set_len(length - 3)
        .expect("cut");
    let mut r = w.reader();
    let fetched = r.fetch(ALL, Instant::now()).expect("read");
    assert_eq!(payloads(&fetched), [b"short".to_vec(), b"last".to_vec()]);
    let reasons: Vec<_> = fetched
        .damage
        .iter()
        .map(|d| (d.offset, d.bytes, d.reason))
        .collect();
    assert_eq!(
        reasons,
        [(0, 17, "missing"), (32, 14, "damaged"), (46, 3, "missing")]
    );
}

#[test]
fn a_log_that_ends_before_its_ack_is_read_from_its_beginning() {
    let mut w = Writer::new();
    w.record(b"new");
    w.reader().acknowledge(1_000_000).expect("ack");
    let mut r = w.reader();
    assert_eq!(r.acknowledged(), 1_000_000);
    assert_eq!(
        payloads(&r.fetch(ALL, Instant::now()).expect("read")),
        [b"new"]
    );
    assert_eq!(r.acknowledged(), 0);
}

#[test]
fn a_corrupt_ack_acknowledges_nothing() {
    let mut w = Writer::new();
    w.record(b"a");
    fs::write(w.folder.path().join(ACK_FILE), [0xff, 0, 1]).expect("write");
    assert_eq!(w.reader().acknowledged(), 0);
}

#[test]
fn a_missing_folder_is_an_empty_log() {
    let folder = tempfile::tempdir().expect("folder");
    let mut r = ClickLog::open(0, folder.path().join("none")).expect("open");
    assert!(
        r.fetch(ALL, Instant::now())
            .expect("read")
            .records
            .is_empty()
    );
    assert_eq!(r.lag().expect("lag"), 0);
}

#[test]
fn damage_longer_than_a_chunk_is_passed_over() {
    let mut w = Writer::new();
    w.record(b"a");
    w.raw(&vec![0xc1; 3 * CHUNK_BYTES]);
    w.record(b"b");
    let mut r = w.reader();
    let fetched = r.fetch(ALL, Instant::now()).expect("read");
    assert_eq!(payloads(&fetched), [b"a", b"b"]);
    assert_eq!(lost(&fetched), 3 * CHUNK_BYTES as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_byte_costs_one_record_and_a_cut_costs_the_tail(
        payloads_in in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..60), 2..12),
        cut_after in 0usize..12, at in any::<prop::sample::Index>(), flip in 1u8..,
    ) {
        let mut w = Writer::new();
        for (i, payload) in payloads_in.iter().enumerate() {
            w.record(payload);
            if i == cut_after { w.cut(); }
        }
        let first = w.path(0);
        let mut bytes = fs::read(&first).expect("read");
        prop_assume!(bytes.len() > SEGMENT_HEADER_BYTES);
        let at = SEGMENT_HEADER_BYTES + at.index(bytes.len() - SEGMENT_HEADER_BYTES);
        bytes[at] ^= flip;
        fs::write(&first, &bytes).expect("write");
        let mut r = w.reader();
        let now = Instant::now();
        let mut read = payloads(&r.fetch(ALL, now).expect("read"));
        read.extend(payloads(&r.fetch(ALL, now + STUCK).expect("read")));
        prop_assert_eq!(payloads_in.len() - read.len(), 1);
        prop_assert!(read.iter().all(|p| payloads_in.contains(p)));
    }
}
