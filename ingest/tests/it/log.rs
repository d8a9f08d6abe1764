//! The writing end of a click log, as the proxy's, for tests.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use prost::Message as _;
use schemas::click::{Book, Click, Outcome};
use schemas::click_log::{Kind, append_record, segment_header, segment_name};

/// Bytes of a segment before the next one begins; small, so that tests cross many.
const SEGMENT_BYTES: u64 = 200_000;

pub(crate) struct Log {
    folder: PathBuf,
    base: u64,
    length: u64,
    /// Every click ever written, as (epoch, worker, position).
    pub(crate) ids: Vec<(u64, u16, u64)>,
    next: std::collections::BTreeMap<(u64, u16), u64>,
    random: u64,
}

impl Log {
    pub(crate) fn new(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let mut log = Self {
            folder,
            base: 0,
            length: 0,
            ids: Vec::new(),
            next: std::collections::BTreeMap::new(),
            random: 0x9e37_79b9_7f4a_7c15,
        };
        log.cut();
        log
    }

    pub(crate) fn cut(&mut self) {
        self.base += self.length;
        self.length = 0;
        fs::write(
            self.folder.join(segment_name(self.base)),
            segment_header(self.base, 0),
        )
        .unwrap();
    }

    pub(crate) fn end(&self) -> u64 {
        self.base + self.length
    }

    pub(crate) fn segment(&self) -> PathBuf {
        self.folder.join(segment_name(self.base))
    }

    /// xorshift64: repeatable, and good enough to mix links and times.
    pub(crate) fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        if self.length >= SEGMENT_BYTES {
            self.cut();
        }
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.segment())
            .unwrap();
        file.write_all(bytes).unwrap();
        self.length += bytes.len() as u64;
    }

    /// Uses up a position without writing a record.
    pub(crate) fn skip(&mut self, epoch: u64, worker: u16) -> u64 {
        let next = self.next.entry((epoch, worker)).or_default();
        *next += 1;
        *next - 1
    }

    /// A click as the next of its stream: a busy link 1, and many others.
    pub(crate) fn make(&mut self, epoch: u64, worker: u16) -> Click {
        let position = self.skip(epoch, worker);
        let n = self.random(1_000);
        let pick = |list: &[&str], n: u64| list[(n % list.len() as u64) as usize].to_owned();
        let bot = n.is_multiple_of(10);
        Click {
            epoch,
            worker: worker.into(),
            position,
            time_ms: 1_790_000_000_000 + (self.random(3 * 86_400_000)) as i64,
            workspace: 1,
            link: if n < 500 { 1 } else { 2 + self.random(300) },
            domain: 1,
            host: "s.example".to_owned(),
            slug: format!("slug-{n}"),
            outcome: Outcome::Redirect.into(),
            status: 302,
            variant: (n % 3) as u32,
            bot,
            bot_reason: if bot {
                "crawler-user-agents".to_owned()
            } else {
                String::new()
            },
            scan: n.is_multiple_of(7),
            visitor: (!n.is_multiple_of(5)).then_some(n * 7919),
            country: pick(&["DE", "US", "", "GB"], n),
            region: pick(&["", "Bavaria", "Texas"], n),
            city: pick(&["", "München", "Austin"], n / 3),
            device: pick(&["desktop", "mobile", "tablet"], n),
            os: pick(&["Windows", "Android", ""], n),
            os_version: pick(&["10", "", "14"], n / 2),
            browser: pick(&["Chrome", "Firefox"], n),
            language: pick(&["en", "de", ""], n),
            referrer_host: pick(&["", "news.example", "x.example"], n),
            referrer: pick(&["", "https://news.example/<b>\"'\0"], n),
            utm_source: pick(&["", "newsletter"], n),
            query: "a=1&b=\u{1f600}".to_owned(),
            ip: "203.0.113.0".to_owned(),
            ..Click::default()
        }
    }

    pub(crate) fn write(&mut self, click: &Click) {
        let mut out = Vec::new();
        append_record(&mut out, Kind::Click, &click.encode_to_vec()).unwrap();
        self.raw(&out);
    }

    /// Writes `count` clicks of two workers, each in one piece of a `write`.
    pub(crate) fn clicks(&mut self, epoch: u64, count: usize) {
        let mut out = Vec::new();
        for _ in 0..count {
            let worker = self.random(2) as u16;
            let click = self.make(epoch, worker);
            self.ids.push((epoch, worker, click.position));
            append_record(&mut out, Kind::Click, &click.encode_to_vec()).unwrap();
            if out.len() > 50_000 {
                self.raw(&std::mem::take(&mut out));
            }
        }
        self.raw(&out);
    }

    /// A record that is no click, whole as far as the log can tell.
    pub(crate) fn record(&mut self, payload: &[u8]) {
        let mut out = Vec::new();
        append_record(&mut out, Kind::Click, payload).unwrap();
        self.raw(&out);
    }

    pub(crate) fn book(&mut self, book: &Book) {
        let mut out = Vec::new();
        append_record(&mut out, Kind::Book, &book.encode_to_vec()).unwrap();
        self.raw(&out);
    }
}
