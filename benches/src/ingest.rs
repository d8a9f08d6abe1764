//! Ingest with roll-ups: rows a second from a click log on disk, as a ratio to the engine's own insert of the same rows.

use std::io::Write as _;
use std::time::{Duration, Instant};

use prost::Message as _;
use schemas::click::{Click, Outcome};
use schemas::click_log::{self, Kind};

use crate::report::{Bound, Report, median};
use crate::system::{System, pause};

/// Clicks in the log.
const CLICKS: u64 = 1_000_000;

/// Links they are spread over, the busiest first (Zipf 1.0).
const LINKS: usize = 100_000;

/// Size at which a segment is closed.
const SEGMENT_BYTES: usize = 64 << 20;

/// How long it may take.
const DEADLINE: Duration = Duration::from_secs(300);

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let mut system = System::start()?;
    system.stop()?;
    write_log(&system)?;
    // The roles start, ingest finds the log. What counts is from the first row stored to the last roll-up.
    let since = Instant::now();
    system.launch()?;
    let rolled = "SELECT if(count() = 0, 0, sum(clicks)) FROM signpost.clicks_15m";
    let mut first = None;
    let mut rolled_at_first = 0;
    let spent = loop {
        let done = system.number(rolled)?;
        let begun = *first.get_or_insert_with(|| {
            rolled_at_first = done;
            Instant::now()
        });
        if done == CLICKS {
            break begun.elapsed();
        }
        anyhow::ensure!(
            since.elapsed() < DEADLINE,
            "{done} of {CLICKS} clicks after {DEADLINE:?}: {}",
            system.log()
        );
        pause();
    };
    let ours = (CLICKS - rolled_at_first) as f64 / spent.as_secs_f64();

    // The same rows as the engine takes them fastest, in blocks of the size ingest uses, into a table of the same shape.
    let rows = system.sql(
        "SELECT * FROM signpost.clicks ORDER BY position FORMAT RowBinary",
        b"",
    )?;
    let mut own = Vec::new();
    for round in 0..3 {
        let table = format!("signpost.bench_{round}");
        system.sql(&format!("CREATE TABLE {table} AS signpost.clicks"), b"")?;
        let begun = Instant::now();
        system.sql(&format!("INSERT INTO {table} FORMAT RowBinary"), &rows)?;
        own.push(CLICKS as f64 / begun.elapsed().as_secs_f64());
        let stored = system.number(&format!("SELECT count() FROM {table}"))?;
        anyhow::ensure!(stored == CLICKS, "the engine stored {stored} rows");
        system.sql(&format!("DROP TABLE {table}"), b"")?;
    }
    let own = median(&mut own);
    report.note("ingest with roll-ups", ours, "rows/s");
    report.note("the engine's own insert of the same rows", own, "rows/s");
    report.check(
        "ingest with roll-ups / the engine's own insert",
        ours / own,
        "×",
        Bound::AtLeast(0.3),
    );
    Ok(())
}

/// Writes the clicks into the click log as a proxy would have.
fn write_log(system: &System) -> anyhow::Result<()> {
    let folder = system.data_dir().join("clicks");
    std::fs::create_dir_all(&folder)?;
    let last = std::fs::read_dir(&folder)?
        .flatten()
        .filter_map(|entry| {
            let base = click_log::segment_base(entry.file_name().to_str()?)?;
            Some(
                base + entry
                    .metadata()
                    .ok()?
                    .len()
                    .saturating_sub(click_log::SEGMENT_HEADER_BYTES as u64),
            )
        })
        .max();
    let acknowledged = std::fs::read_to_string(folder.join(click_log::ACK_FILE))
        .ok()
        .and_then(|t| click_log::decode_ack(&t));
    let mut base = last.unwrap_or(0).max(acknowledged.unwrap_or(0));
    let zipf = Zipf::new(LINKS);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_millis() as i64;
    let mut segment = Vec::new();
    for position in 0..CLICKS {
        let click = click(position, now, &zipf);
        click_log::append_record(&mut segment, Kind::Click, &click.encode_to_vec())?;
        if segment.len() > SEGMENT_BYTES || position + 1 == CLICKS {
            let mut file = std::fs::File::create(folder.join(click_log::segment_name(base)))?;
            file.write_all(&click_log::segment_header(base, now))?;
            file.write_all(&segment)?;
            base += segment.len() as u64;
            segment.clear();
        }
    }
    Ok(())
}

/// A number without pattern for each (position, purpose) (splitmix64).
fn hash(position: u64, purpose: u64) -> u64 {
    let mut x = position
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(purpose.wrapping_mul(0xd1b5_4a32_d192_ed03));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn pick<'a>(position: u64, purpose: u64, from: &[&'a str]) -> &'a str {
    from.get(hash(position, purpose) as usize % from.len())
        .copied()
        .unwrap_or_default()
}

fn click(position: u64, now: i64, zipf: &Zipf) -> Click {
    let link = zipf.draw(hash(position, 1));
    let bot = hash(position, 2).is_multiple_of(5);
    let referrer = hash(position, 3) % 500;
    Click {
        epoch: 0xbe9c,
        worker: 0,
        position,
        time_ms: now - 3_600_000 + position as i64,
        workspace: 1,
        link,
        domain: 1,
        host: "localhost".to_owned(),
        slug: format!("z{link:06}"),
        outcome: Outcome::Redirect as i32,
        status: 302,
        bot,
        bot_reason: if bot {
            "crawler-user-agents".to_owned()
        } else {
            String::new()
        },
        visitor: Some(hash(hash(position, 4) % 200_000, 5)),
        country: pick(
            position,
            6,
            &["DE", "FR", "US", "GB", "IN", "JP", "BR", "CN", "ES", "IT"],
        )
        .to_owned(),
        region: format!("region {}", hash(position, 7) % 100),
        city: format!("city {}", hash(position, 8) % 2000),
        device: pick(position, 9, &["desktop", "mobile", "tablet"]).to_owned(),
        os: pick(position, 10, &["Windows", "Android", "iOS", "macOS"]).to_owned(),
        os_version: pick(position, 11, &["10", "11", "14", "17"]).to_owned(),
        browser: pick(position, 12, &["Chrome", "Safari", "Firefox", "Edge"]).to_owned(),
        browser_version: pick(position, 13, &["120", "121", "126"]).to_owned(),
        language: pick(position, 14, &["en", "de", "fr"]).to_owned(),
        referrer_host: if referrer < 250 {
            String::new()
        } else {
            format!("site{referrer}.example")
        },
        referrer: if referrer < 250 {
            String::new()
        } else {
            format!("https://site{referrer}.example/page")
        },
        ip: format!("198.51.{}.0", hash(position, 15) % 256),
        ..Click::default()
    }
}

/// Ranks 1..=n with probability proportional to 1/rank.
struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    fn new(n: usize) -> Self {
        let mut sum = 0.0;
        let cumulative = (1..=n)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self { cumulative }
    }

    fn draw(&self, random: u64) -> u64 {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let at = random as f64 / u64::MAX as f64 * total;
        self.cumulative.partition_point(|c| *c < at) as u64 + 1
    }
}
