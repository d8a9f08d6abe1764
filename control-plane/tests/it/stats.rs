//! Statistics from the real engine, compared with numbers worked out from the same rows by plain code.
#![allow(clippy::print_stdout, reason = "what was measured is worth reading")]

mod api;
mod events;
mod numbers;

use std::time::Duration;

use control_plane::stats::{Bots, Range, Stats};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tempfile::TempDir;

use crate::engine::{Click, Engine, Text};
use crate::harness::{config, unique};

/// Longest wait for anything here, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// What visitors send to break something.
const HOSTILE: [&[u8]; 8] = [
    b"<script>alert(1)</script>",
    b"it's \"quoted\" \\' OR 1=1 --",
    b"nul\0byte",
    b"\xff\xfe not utf-8 \xc3",
    b"=HYPERLINK(\"https://evil.test\")",
    "zw\u{200d}j \u{202e}rtl é 漢字".as_bytes(),
    b"line\r\nbreak,comma\ttab",
    b"{name:String} ? ?? $1",
];

fn stats(engine: &Engine) -> Stats {
    stats_of(&[("SIGNPOST_CLICKHOUSE_URL", &engine.url)])
}

fn stats_of(settings: &[(&str, &str)]) -> Stats {
    let folder = TempDir::new().expect("a folder");
    Stats::new(&config(&folder, None, settings)).expect("legal settings")
}

/// A number that no other test in this or another run of this engine has.
fn workspace() -> u64 {
    1_000_000 + u64::from(unique())
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick(&mut self, from: &[&str]) -> Text {
        from[self.roll(from.len() as u64) as usize].into()
    }

    fn text(&mut self, from: &[&str]) -> Text {
        if self.roll(8) == 0 {
            Text(HOSTILE[self.roll(8) as usize].to_vec())
        } else {
            self.pick(from)
        }
    }
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").as_millisecond()
}

/// Clicks of one link over ten days around the end of summer time in Europe.
fn clicks(workspace: u64, link: u64, count: u64, is_busy: bool) -> Vec<Click> {
    let mut dice = Dice(workspace * 1_000 + link);
    let begin = ms("2026-10-20T00:00:00Z");
    let one = |position| {
        // Near whole hours now and then, where an error of a millisecond shows.
        let hour = begin + dice.roll(240) as i64 * 3_600_000;
        let time = match dice.roll(4) {
            0 => hour,
            1 => hour - 1,
            _ => hour + dice.roll(3_600_000) as i64,
        };
        Click {
            epoch: workspace * 1_000 + link,
            worker: dice.roll(2) as u16,
            position,
            ingested: 1_790_000_000,
            time,
            workspace,
            link,
            rolled_up: is_busy && dice.roll(3) > 0,
            is_bot: dice.roll(5) == 0,
            is_scan: dice.roll(6) == 0,
            visitor: (dice.roll(20) > 0)
                .then(|| dice.roll(count / 3 + 1).wrapping_mul(0x1234_5678_9abc_def1)),
            country: dice.pick(&["DE", "FR", "US", ""]),
            region: dice.text(&["Hesse", "Bavaria", ""]),
            city: dice.text(&["Berlin", "Paris", "Frankfurt am Main", ""]),
            device: dice.pick(&["desktop", "mobile", "tablet"]),
            os: dice.pick(&["Windows", "iOS", "Linux", ""]),
            os_version: dice.pick(&["", "10", "17.5"]),
            browser: dice.pick(&["Chrome", "Firefox", ""]),
            language: dice.pick(&["en", "de", ""]),
            referrer_host: dice.text(&["news.test", "facebook.com", ""]),
            referrer: dice.text(&["https://news.test/x?y=1", ""]),
            utm_source: dice.text(&["newsletter", "", ""]),
            utm_medium: dice.text(&["email", "", ""]),
            utm_campaign: dice.text(&["spring", "", ""]),
            utm_term: dice.text(&["shoes", "", ""]),
            utm_content: dice.text(&["a", "b", ""]),
        }
    };
    (0..count).map(one).collect()
}

/// The clicks that a question is about.
fn asked<'a>(clicks: &'a [Click], range: &Range, bots: Bots) -> Vec<&'a Click> {
    let is_asked = |click: &&Click| {
        range.from_ms.is_none_or(|from| click.time >= from)
            && range.to_ms.is_none_or(|to| click.time < to)
            && match bots {
                Bots::Exclude => !click.is_bot,
                Bots::Include => true,
                Bots::Only => click.is_bot,
            }
    };
    clicks.iter().filter(is_asked).collect()
}

fn range(from: Option<&str>, to: Option<&str>, tz: &str) -> Range {
    Range {
        from_ms: from.map(ms),
        to_ms: to.map(ms),
        tz: TimeZone::get(tz).expect("a zone"),
    }
}

fn ranges() -> Vec<Range> {
    vec![
        range(None, None, "UTC"),
        range(
            Some("2026-10-22T00:00:00Z"),
            Some("2026-10-26T00:00:00Z"),
            "UTC",
        ),
        range(Some("2026-10-25T00:00:00Z"), None, "UTC"),
        range(None, Some("2026-10-20T00:00:00Z"), "UTC"),
        // Days of Berlin, the 25-hour one among them; days of Kolkata, at the half hour; a zone behind.
        range(
            Some("2026-10-21T22:00:00Z"),
            Some("2026-10-26T23:00:00Z"),
            "Europe/Berlin",
        ),
        range(
            Some("2026-10-21T18:30:00Z"),
            Some("2026-10-27T18:30:00Z"),
            "Asia/Kolkata",
        ),
        range(None, None, "America/New_York"),
        // Within one day, across midnight, to the millisecond.
        range(
            Some("2026-10-24T03:00:00Z"),
            Some("2026-10-24T05:00:00Z"),
            "UTC",
        ),
        range(
            Some("2026-10-24T23:00:00.001Z"),
            Some("2026-10-25T01:00:00Z"),
            "UTC",
        ),
    ]
}
