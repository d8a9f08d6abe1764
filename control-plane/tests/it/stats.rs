//! Statistics from the real engine, compared with numbers worked out from the same rows by plain code.
#![allow(clippy::print_stdout, reason = "what was measured is worth reading")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use control_plane::stats::{
    Bots, ByValue, Dimensions, Event, OTHERS, Range, Stats, StatsError, Step, Totals, csv_head,
    csv_line,
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::{Click, Engine, Text, engine};
use crate::harness::{TestApp, config, unique};

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

fn totals(clicks: &[&Click]) -> Totals {
    let visitors: HashSet<u64> = clicks.iter().filter_map(|click| click.visitor).collect();
    Totals {
        clicks: clicks.len() as u64,
        unique_clicks: visitors.len() as u64,
    }
}

fn series(clicks: &[&Click], range: &Range, step: Step) -> BTreeMap<String, Totals> {
    let mut buckets: BTreeMap<String, Vec<&Click>> = BTreeMap::new();
    for click in clicks {
        let zoned = Timestamp::from_millisecond(click.time)
            .expect("a time")
            .to_zoned(range.tz.clone());
        let name = match step {
            Step::Day => zoned.strftime("%Y-%m-%d"),
            Step::Hour => zoned.strftime("%Y-%m-%d %H:00:00"),
        };
        buckets.entry(name.to_string()).or_default().push(click);
    }
    buckets
        .into_iter()
        .map(|(name, clicks)| (name, totals(&clicks)))
        .collect()
}

fn by(clicks: &[&Click], value: impl Fn(&Click) -> String) -> ByValue {
    let mut by = ByValue::new();
    for click in clicks {
        *by.entry(value(click)).or_default() += 1;
    }
    by
}

fn dimensions(clicks: &[&Click]) -> Dimensions {
    Dimensions {
        country: by(clicks, |c| c.country.shown()),
        region: by(clicks, |c| c.region.shown()),
        city: by(clicks, |c| c.city.shown()),
        device: by(clicks, |c| c.device.shown()),
        os: by(clicks, |c| {
            match (c.os.shown().as_str(), c.os_version.shown().as_str()) {
                ("", _) => String::new(),
                (os, "") => os.to_owned(),
                (os, version) => format!("{os} {version}"),
            }
        }),
        browser: by(clicks, |c| c.browser.shown()),
        language: by(clicks, |c| c.language.shown()),
        referrer: by(clicks, |c| c.referrer_host.shown()),
        utm_source: by(clicks, |c| c.utm_source.shown()),
        utm_medium: by(clicks, |c| c.utm_medium.shown()),
        utm_campaign: by(clicks, |c| c.utm_campaign.shown()),
        utm_term: by(clicks, |c| c.utm_term.shown()),
        utm_content: by(clicks, |c| c.utm_content.shown()),
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_number_is_what_plain_code_counts() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    for (link, is_busy) in [(1, false), (2, true)] {
        let clicks = clicks(workspace, link, 3_000, is_busy);
        engine.store(&clicks).await;
        // Neighbours that must not be counted.
        let mut other = clicks.clone();
        other.truncate(50);
        for click in &mut other {
            (click.link, click.epoch) = (link + 10, click.epoch + 1_000_000_000);
        }
        engine.store(&other).await;
        for range in ranges() {
            for bots in [Bots::Exclude, Bots::Include, Bots::Only] {
                let asked = asked(&clicks, &range, bots);
                let about = format!("link {link}, {range:?}, {bots:?}");
                let found = stats
                    .totals_in(workspace, link, &range, bots)
                    .await
                    .expect("totals");
                assert_eq!(found, totals(&asked), "{about}");
                for step in [Step::Day, Step::Hour] {
                    let found = stats
                        .link(workspace, link, &range, bots, step)
                        .await
                        .expect("stats");
                    assert_eq!(found.totals, totals(&asked), "{about}");
                    let buckets: Vec<_> = found
                        .series
                        .iter()
                        .map(|b| (b.start.clone(), b.totals))
                        .collect();
                    let expected: Vec<_> = series(&asked, &range, step).into_iter().collect();
                    assert_eq!(buckets, expected, "{about}, {step:?}");
                    assert_eq!(found.by, dimensions(&asked), "{about}");
                    let again = stats
                        .link(workspace, link, &range, bots, step)
                        .await
                        .expect("stats");
                    assert_eq!(again, found, "the same question has the same answer");
                }
            }
        }
        let whole = totals(&asked(&clicks, &range(None, None, "UTC"), Bots::Exclude));
        let listed = stats.totals(workspace, &[link, 99]).await.expect("totals");
        assert_eq!(listed.into_iter().collect::<Vec<_>>(), [(link, whole)]);
        let all = stats.totals_of_workspace(workspace).await.expect("totals");
        assert_eq!(all.get(&link), Some(&whole));
        assert!(all.contains_key(&(link + 10)));
        // A number of its own: the next one may be another test's.
        assert_eq!(
            stats
                .totals(self::workspace(), &[link])
                .await
                .expect("totals")
                .len(),
            0
        );
    }
    assert_eq!(stats.totals(workspace, &[]).await.expect("totals").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_visits_are_in_the_next_answer() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    let open = range(None, None, "UTC");
    let mut all = Vec::new();
    for (round, is_busy) in [(1, false), (2, false), (3, true), (4, true), (5, false)] {
        let mut more = clicks(workspace, 1, 40, is_busy);
        for click in &mut more {
            click.epoch = click.epoch * 10 + round;
        }
        engine.store(&more).await;
        all.extend(more);
        let found = stats
            .link(workspace, 1, &open, Bots::Include, Step::Day)
            .await
            .expect("stats");
        assert_eq!(
            found.totals,
            totals(&asked(&all, &open, Bots::Include)),
            "round {round}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rare_values_are_counted_together() {
    let (engine, workspace) = (engine().await, workspace());
    for (link, is_busy) in [(1, false), (2, true)] {
        let mut clicks = clicks(workspace, link, 6_000, is_busy);
        for (n, click) in clicks.iter_mut().enumerate() {
            click.referrer_host = if n % 2 == 0 {
                "often.test".into()
            } else {
                format!("r{n}.test").as_str().into()
            };
            click.rolled_up = is_busy;
        }
        engine.store(&clicks).await;
        let open = range(None, None, "UTC");
        let found = stats(engine)
            .link(workspace, link, &open, Bots::Include, Step::Day)
            .await
            .expect("stats");
        let referrers = found.by.referrer;
        assert_eq!(referrers.values().sum::<u64>(), 6_000);
        assert_eq!(referrers.get("often.test"), Some(&3_000));
        assert_eq!(referrers.get(OTHERS), Some(&2_001));
        assert_eq!(referrers.len(), 1_001);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uniques_of_busy_links_are_exact_up_to_four_thousand_and_close_beyond() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    for (link, visitors) in [(1, 4_000_u64), (2, 20_000), (3, 200_000)] {
        let epoch = workspace * 1_000 + link;
        let sql = format!(
            "INSERT INTO signpost.clicks (epoch, position, time, workspace, link, rolled_up, visitor)
             SELECT {epoch}, number, toDateTime64('2026-10-20 00:00:00', 3, 'UTC') + number % 864000, {workspace}, {link}, number % 5 > 0, sipHash64(number % {visitors}, {link})
             FROM numbers({})",
            visitors * 2
        );
        engine.client().query(&sql).execute().await.expect("clicks");
        engine.roll_up(epoch).await;
        let open = range(None, None, "UTC");
        let found = stats
            .link(workspace, link, &open, Bots::Exclude, Step::Day)
            .await
            .expect("stats")
            .totals;
        assert_eq!(found.clicks, visitors * 2);
        let off = found.unique_clicks.abs_diff(visitors) as f64 / visitors as f64;
        println!(
            "{visitors} visitors: {} counted, {:.3} % off",
            found.unique_clicks,
            off * 100.0
        );
        assert!(if visitors <= 4_000 {
            off == 0.0
        } else {
            off < 0.01
        });
        assert_eq!(
            stats
                .totals(workspace, &[link])
                .await
                .expect("totals")
                .get(&link),
            Some(&found)
        );
        assert_eq!(
            stats
                .totals_in(workspace, link, &open, Bots::Exclude)
                .await
                .expect("totals"),
            found
        );
    }
}

async fn all_pages(
    stats: &Stats,
    (workspace, link): (u64, u64),
    range: &Range,
    bots: Bots,
    limit: usize,
) -> Vec<Event> {
    let (mut events, mut cursor) = (Vec::new(), None);
    loop {
        let page = stats
            .events(workspace, link, range, bots, cursor.as_deref(), limit)
            .await
            .expect("a page");
        assert!(page.events.len() == limit || page.next_cursor.is_none());
        events.extend(page.events);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return events;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_all_visits_in_order_whatever_the_page() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    for (link, is_busy) in [(1, false), (2, true)] {
        let clicks = clicks(workspace, link, 700, is_busy);
        engine.store(&clicks).await;
        for range in ranges() {
            for bots in [Bots::Exclude, Bots::Include, Bots::Only] {
                let mut expected = asked(&clicks, &range, bots);
                expected.sort_by_key(|c| (c.time, c.epoch, c.worker, c.position));
                let events = all_pages(&stats, (workspace, link), &range, bots, 1_000).await;
                assert_eq!(events.len(), expected.len());
                let mut seen = BTreeSet::new();
                for (event, click) in events.iter().zip(&expected) {
                    assert_eq!(
                        event.id,
                        format!("{:016x}-{}-{}", click.epoch, click.worker, click.position)
                    );
                    assert_eq!(event.time_ms, click.time);
                    assert_eq!((event.is_bot, event.is_scan), (click.is_bot, click.is_scan));
                    assert_eq!(
                        event.is_unique,
                        click.visitor.is_some_and(|v| seen.insert(v)),
                        "{}",
                        event.id
                    );
                    assert_eq!(
                        (&event.city, &event.referrer),
                        (&click.city.shown(), &click.referrer.shown())
                    );
                    assert_eq!(event.country, click.country.shown());
                }
                let mut export = stats
                    .export(workspace, link, &range, bots)
                    .await
                    .expect("an export");
                let mut exported = Vec::new();
                while let Some(event) = export.next().await.expect("an event") {
                    exported.push(event);
                }
                assert_eq!(exported, events);
            }
        }
        let open = range(None, None, "UTC");
        let whole = all_pages(&stats, (workspace, link), &open, Bots::Include, 1_000).await;
        for limit in [1, 7, 699, 700] {
            let some = if limit == 1 {
                range(None, Some("2026-10-21T00:00:00Z"), "UTC")
            } else {
                open.clone()
            };
            let paged = all_pages(&stats, (workspace, link), &some, Bots::Include, limit).await;
            assert_eq!(paged[..], whole[..paged.len()], "pages of {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_none_of_ours_is_refused() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    engine.store(&clicks(workspace, 1, 20, false)).await;
    let open = range(None, None, "UTC");
    let page = stats
        .events(workspace, 1, &open, Bots::Include, None, 5)
        .await
        .expect("a page");
    let cursor = page.next_cursor.expect("more");
    let other = stats
        .events(workspace, 2, &open, Bots::Include, Some(&cursor), 5)
        .await;
    assert!(matches!(other, Err(StatsError::Cursor(_))), "{other:?}");
    for bad in ["", "x", "'; DROP TABLE clicks; --", &cursor[1..]] {
        let refused = stats
            .events(workspace, 1, &open, Bots::Include, Some(bad), 5)
            .await;
        assert!(matches!(refused, Err(StatsError::Cursor(_))), "{bad}");
    }
    let nothing = stats
        .events(workspace, 1, &open, Bots::Include, None, 0)
        .await
        .expect("a page");
    assert!(nothing.events.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_csv_that_a_spreadsheet_may_open() {
    let (engine, workspace) = (engine().await, workspace());
    let clicks = clicks(workspace, 1, 2_000, true);
    engine.store(&clicks).await;
    let export = stats(engine)
        .export(workspace, 1, &range(None, None, "UTC"), Bots::Include)
        .await
        .expect("an export");
    let pieces: Vec<_> = export.into_pieces(csv_head(), csv_line).collect().await;
    assert!(pieces.len() > 1, "in pieces");
    let text: Vec<u8> = pieces
        .into_iter()
        .flat_map(|piece| piece.expect("a piece"))
        .collect();
    let text = String::from_utf8(text).expect("text");
    let records = records(&text);
    assert_eq!(records.len(), 2_001);
    let columns = records[0].len();
    for record in &records {
        assert_eq!(record.len(), columns, "{record:?}");
        assert!(
            record
                .iter()
                .all(|cell| !cell.starts_with(['=', '+', '-', '@'])),
            "{record:?}"
        );
    }
    assert!(
        records
            .iter()
            .flatten()
            .any(|cell| cell == "'=HYPERLINK(\"https://evil.test\")")
    );
    assert!(records.iter().flatten().any(|cell| cell == "nul\0byte"));
}

/// CSV by RFC 4180.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut cell, mut is_quoted) =
        (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => assert_eq!(chars.peek(), Some(&'\n')),
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            c => cell.push(c),
        }
    }
    assert!(!is_quoted && record.is_empty() && cell.is_empty());
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_ends_its_queries() {
    let (engine, workspace) = (engine().await, workspace());
    // More than all buffers between a query and its reader hold: some 200 MB a half.
    for batch in 0..8 {
        let sql = format!(
            "INSERT INTO signpost.clicks (epoch, position, time, workspace, link, rolled_up, visitor, referrer)
             SELECT {workspace}, number, toDateTime64('2026-10-20 00:00:00', 3, 'UTC') + number % 864000, {workspace}, 1, number % 2, number % 1000, repeat('x', 500)
             FROM numbers({}, 100000)",
            batch * 100_000
        );
        engine.client().query(&sql).execute().await.expect("clicks");
    }
    let running = || async {
        let mut mine = Vec::new();
        let query = engine
            .client()
            .with_validation(false)
            .query("SELECT query FROM system.processes")
            .fetch_all::<String>();
        for query in query.await.expect("a list") {
            if query.contains("FROM signpost.clicks WHERE")
                && query.contains(&workspace.to_string())
            {
                mine.push(query);
            }
        }
        mine.len()
    };
    let mut export = stats(engine)
        .export(workspace, 1, &range(None, None, "UTC"), Bots::Include)
        .await
        .expect("an export");
    for _ in 0..10 {
        assert!(export.next().await.expect("an event").is_some());
    }
    assert!(running().await > 0, "they run while they are read");
    drop(export);
    let began = Instant::now();
    while running().await > 0 {
        assert!(began.elapsed() < DEADLINE, "its queries go on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_clickhouse_there_is_an_error_at_once() {
    let open = range(None, None, "UTC");
    let engine = engine().await;
    let wrong_password = engine
        .url
        .replacen(':', "://x:y@", 0)
        .replace("signpost:", "signpost:wrong");
    for stats in [
        stats_of(&[("SIGNPOST_CLICKHOUSE_URL", "http://127.0.0.1:1")]),
        stats_of(&[("SIGNPOST_CLICKHOUSE_ADDR", "127.0.0.1:1")]),
        stats_of(&[("SIGNPOST_CLICKHOUSE_URL", &wrong_password)]),
    ] {
        let began = Instant::now();
        let error = stats
            .link(1, 1, &open, Bots::Exclude, Step::Day)
            .await
            .expect_err("not there");
        assert!(
            matches!(&error, StatsError::Unavailable(text) if !text.is_empty() && text.len() < 1_000),
            "{error}"
        );
        assert!(
            !format!("{stats:?}").contains("wrong"),
            "secrets are not printed"
        );
        for failed in [
            stats.totals(1, &[1]).await.is_err(),
            stats
                .events(1, 1, &open, Bots::Exclude, None, 5)
                .await
                .is_err(),
            stats.export(1, 1, &open, Bots::Exclude).await.is_err(),
        ] {
            assert!(failed);
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

/// A control plane with this engine, and a link of its first workspace.
async fn app_with_link(alias: &str) -> (TestApp, u64, u64) {
    let engine = engine().await;
    let app = TestApp::start(None, &[("SIGNPOST_CLICKHOUSE_URL", &engine.url)]).await;
    let account = app.get("/api/account").await.ok();
    assert!(account["data"]["id"].is_u64());
    // Ids begin at 1 in each database; the engine is shared, so links of earlier tests are passed over.
    let mut id = 0;
    for _ in 0..unique() {
        let link =
            json!({ "url": "https://example.com/", "custom": format!("{alias}-{}", unique()) });
        id = app.link(link).await.cast_unsigned();
    }
    (app, 1, id)
}

async fn answer(app: &TestApp, link: u64, query: &str) -> Value {
    app.get(&format!("/api/url/{link}/stats{query}")).await.ok()["data"].clone()
}

fn sum(object: &Value) -> u64 {
    object
        .as_object()
        .expect("an object")
        .values()
        .map(|n| n.as_u64().expect("a number"))
        .sum()
}

/// O-55, O-57, O-58, O-59, O-60, O-61, O-62, O-63, O-64.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stats_of_a_link_over_the_api() {
    let (app, workspace, link) = app_with_link("stats").await;
    let mut clicks = clicks(workspace, link, 500, true);
    for click in &mut clicks {
        click.epoch = u64::from(unique()) << 32;
        click.is_bot = false;
    }
    let people = clicks.len() as u64;
    engine().await.store(&clicks).await;
    // O-55, O-59, O-64: a range, its total, and days when no granularity is asked for.
    let data = answer(&app, link, "?from=2026-10-01&to=2026-10-31").await;
    assert_eq!(data["total_clicks"], json!(people));
    assert!(data.get("events").is_none());
    // O-60: a daily breakdown, one entry a day, that sums to the total.
    let daily = data["daily"].as_array().expect("days");
    let days: BTreeSet<&str> = daily
        .iter()
        .map(|day| day["date"].as_str().expect("a date"))
        .collect();
    assert_eq!(days.len(), daily.len());
    assert_eq!(
        daily
            .iter()
            .map(|day| day["clicks"].as_u64().expect("a number"))
            .sum::<u64>(),
        people
    );
    assert!(daily.iter().all(|day| day["unique_clicks"].is_u64()));
    // O-61: countries by name, summing to the total.
    assert_eq!(sum(&data["by_country"]), people);
    assert!(data["by_country"]["Germany"].is_u64() && data["by_country"]["Unknown"].is_u64());
    // O-62, O-63: devices and the rest are objects too.
    let devices: BTreeSet<&String> = data["by_device"]
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    assert_eq!(devices.len(), 3);
    for by in [
        "by_region",
        "by_city",
        "by_device",
        "by_os",
        "by_browser",
        "by_language",
        "by_referrer",
    ] {
        assert_eq!(sum(&data[by]), people, "{by}");
    }
    // O-57: the range bounds it. O-58: `from` alone works.
    assert_eq!(
        answer(&app, link, "?from=2026-10-01&to=2026-10-02").await["total_clicks"],
        json!(0)
    );
    let late = clicks
        .iter()
        .filter(|click| click.time >= ms("2026-10-24T00:00:00Z"))
        .count();
    assert_eq!(
        answer(&app, link, "?from=2026-10-24").await["total_clicks"],
        json!(late)
    );
    let one_day = clicks
        .iter()
        .filter(|c| (ms("2026-10-24T00:00:00Z")..ms("2026-10-25T00:00:00Z")).contains(&c.time))
        .count();
    assert_eq!(
        answer(&app, link, "?from=2026-10-24&to=2026-10-24").await["total_clicks"],
        json!(one_day)
    );
    for bad in [
        "?from=2026-02-30",
        "?to=2026-13-01",
        "?from=2026-10-02&to=2026-10-01",
        "?from=0000-00-00",
        "?tz=Mars/Base",
    ] {
        app.get(&format!("/api/url/{link}/stats{bad}"))
            .await
            .refused("");
    }
    let hourly = answer(&app, link, "?granularity=hour&tz=Europe/Berlin").await;
    assert_eq!(hourly["total_clicks"], json!(people));
}

/// O-65, O-66, O-67, O-68, O-69.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_link_over_the_api() {
    let (app, workspace, link) = app_with_link("events").await;
    let mut clicks = clicks(workspace, link, 250, true);
    for (n, click) in clicks.iter_mut().enumerate() {
        click.epoch = u64::from(unique()) << 32;
        click.is_bot = false;
        click.time = ms("2026-10-20T10:00:00Z") + n as i64 * 1_000;
        click.country = "DE".into();
        click.utm_source = "newsletter".into();
        click.referrer = Text(HOSTILE[n % HOSTILE.len()].to_vec());
    }
    clicks[0].referrer = "https://news.test/x".into();
    engine().await.store(&clicks).await;
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = answer(&app, link, &format!("?granularity=event&limit=100{cursor}")).await;
        assert_eq!(page["total_clicks"], json!(250));
        events.extend(page["events"].as_array().expect("events").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    // O-65: all of them, through all pages.
    assert_eq!(events.len(), 250);
    for (event, click) in events.iter().zip(&clicks) {
        // O-66: a time in ISO form, to the second.
        let time: Timestamp = event["timestamp"]
            .as_str()
            .expect("a time")
            .parse()
            .expect("ISO 8601");
        assert_eq!(time.as_second(), click.time / 1_000);
        // O-67, O-68, O-69: country, UTM tags, referrer, the latter whole however hostile.
        assert_eq!(event["country"], json!("DE"));
        assert_eq!(event["utm_source"], json!("newsletter"));
        assert_eq!(event["referrer"], json!(click.referrer.shown()));
    }
    assert_eq!(events[0]["referrer"], json!("https://news.test/x"));
    let streamed = app
        .get(&format!(
            "/api/url/{link}/stats?granularity=event&format=ndjson"
        ))
        .await;
    let lines: Vec<Value> = streamed
        .body
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).expect("JSON"))
        .collect();
    assert_eq!(lines, events);
    app.get(&format!(
        "/api/url/{link}/stats?granularity=event&cursor=nonsense"
    ))
    .await
    .refused("cursor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stats_without_clickhouse_are_a_clear_error_over_the_api() {
    let app = TestApp::on_sqlite().await;
    let link = app.link(json!({ "url": "https://example.com/" })).await;
    let answer = app.get(&format!("/api/url/{link}/stats")).await;
    assert_eq!(answer.status.as_u16(), 503);
    assert!(answer.json()["error"].as_u64().expect("an integer") != 0);
}
