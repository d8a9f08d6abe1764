//! A statistics call for the busiest link, at one and at ten million clicks of its own.
//!
//! The clicks are made inside the engine, as if a proxy had sent them over 90 days: a tenth are bots', the oldest 5,000
//! are the raw half that every link that became busy has. Ingest itself rolls them up: it is killed, and what its
//! receipts lack it makes good at its next start. So what is read is what ingest writes. Roll-ups of months of ingest that
//! have ended are one part, as the engine makes them a day after; the running month is as merges leave it.
//!
//! Every range of at least 60 days is asked for once, some 500 of them, beginning with nothing in memory: pieces of what was
//! read are kept, and the first calls read most of them. Each total is compared with what the engine counts. The same call again and again is noted beside.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::report::{Bound, Report, quantile};
use crate::system::System;

/// The same call again.
const REPEATED: usize = 50;

/// Days the clicks are spread over.
const DAYS: u64 = 90;

/// Days of the shortest range that is asked for.
const SHORTEST: usize = 60;

/// Clicks that are not rolled up: as many as ingest leaves of a link that comes slowly.
const RAW: u64 = 5_000;

/// Clicks made by one statement.
const SLICE: u64 = 500_000;

/// How long ingest may take to roll up what was made, and the engine to merge it.
const ROLLED_UP: Duration = Duration::from_secs(600);

/// A stream of our own for the made-up clicks.
const EPOCH: u64 = 0xbe;

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let system = System::start()?;
    system.links("s", 1)?;
    let link = system.api("GET", "/urls?limit=1", None)?["data"]["urls"][0]["id"]
        .as_u64()
        .context("no link")?;
    system.visit("s000000")?;
    while system.number("SELECT count() FROM signpost.clicks")? == 0 {
        crate::system::pause();
    }
    let mut times = Vec::new();
    let mut made = 0;
    for size in [1_000_000_u64, 10_000_000] {
        fill(&system, link, made, size)?;
        made = size;
        sizes(&system, report, size)?;
        let days = days(&system, link)?;
        let mut calls = Vec::new();
        for (from, to) in ranges(days.len()) {
            let range = days.get(from..=to).context("no such range")?;
            calls.push(call(&system, link, range)?);
        }
        let first = calls.first().copied().unwrap_or(f64::NAN);
        report.note(
            format!("statistics at {size} clicks, first call"),
            first,
            "ms",
        );
        report.note(
            format!("statistics at {size} clicks, median"),
            quantile(&mut calls, 0.5),
            "ms",
        );
        let p99 = quantile(&mut calls, 0.99);
        report.check(
            format!("statistics at {size} clicks, p99"),
            p99,
            "ms",
            Bound::AtMost(50.0),
        );
        times.push(p99);
        let repeated: Result<Vec<f64>, _> =
            (0..REPEATED).map(|_| call(&system, link, &days)).collect();
        report.note(
            format!("the same call again at {size} clicks, p99"),
            quantile(&mut repeated?, 0.99),
            "ms",
        );
    }
    if let [small, large] = times[..] {
        report.check(
            "statistics, 10 M / 1 M",
            large / small,
            "×",
            Bound::AtMost(1.5),
        );
    }
    Ok(())
}

/// A day, and the clicks of people on it.
type Day = (String, u64);

/// Asks for the days and returns the milliseconds it took.
fn call(system: &System, link: u64, days: &[Day]) -> anyhow::Result<f64> {
    let ([(from, _), ..], [.., (to, _)]) = (days, days) else {
        anyhow::bail!("no days");
    };
    let path = format!("/url/{link}/stats?from={from}&to={to}");
    let since = Instant::now();
    let answer = system.api("GET", &path, None)?;
    let spent = since.elapsed().as_secs_f64() * 1e3;
    let expected: u64 = days.iter().map(|(_, clicks)| clicks).sum();
    let total = answer["data"]["total_clicks"].as_u64().unwrap_or_default();
    anyhow::ensure!(
        total == expected,
        "{from} to {to}: {total} clicks, {expected} expected"
    );
    for by in ["by_country", "by_city", "by_referrer"] {
        let values = answer["data"][by]
            .as_object()
            .context("no object")?
            .values();
        let sum: u64 = values.filter_map(serde_json::Value::as_u64).sum();
        anyhow::ensure!(sum == expected, "{from} to {to}: {by} sums to {sum}");
    }
    Ok(spent)
}

/// Every range of at least [`SHORTEST`] of so many days, first and last, in an order without pattern.
fn ranges(days: usize) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = (0..days)
        .flat_map(|from| (from + SHORTEST - 1..days).map(move |to| (from, to)))
        .collect();
    ranges.sort_by_key(|(from, to)| (from * 1_009 + to * 9_176).wrapping_mul(0x9e37_79b9) % 65_537);
    ranges
}

fn days(system: &System, link: u64) -> anyhow::Result<Vec<Day>> {
    let sql = format!(
        "SELECT toDate(time) AS day, countIf(NOT is_bot) FROM signpost.clicks WHERE link = {link} GROUP BY day ORDER BY day"
    );
    let answer = String::from_utf8(system.sql(&sql, b"")?)?;
    let day = |line: &str| {
        let (day, clicks) = line.split_once('\t').context("two columns")?;
        Ok((day.to_owned(), clicks.parse()?))
    };
    answer.lines().map(day).collect()
}

/// Bytes on disk.
fn sizes(system: &System, report: &mut Report, size: u64) -> anyhow::Result<()> {
    let bytes = |tables: &str| {
        system.number(&format!(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'signpost' AND table IN ({tables})"
        ))
    };
    let clicks = bytes("'clicks'")? as f64;
    let rolled_up = bytes("'clicks_15m', 'clicks_by_period', 'visitors_by_month'")? as f64;
    report.note(format!("clicks at {size}"), clicks / 1e6, "MB");
    report.note(
        format!("roll-ups at {size} / clicks"),
        rolled_up / clicks,
        "×",
    );
    Ok(())
}

/// Makes clicks `from..to` of the link, oldest first: a third of a million visitors a month, twelve countries, a few
/// hundred referrers.
fn fill(system: &System, link: u64, from: u64, to: u64) -> anyhow::Result<()> {
    for at in (from..to).step_by(usize::try_from(SLICE)?) {
        let sql = format!(
            "INSERT INTO signpost.clicks (epoch, worker, position, ingested, time, workspace, link, rolled_up, domain, host, slug, outcome, status,
                is_bot, visitor, country, region, city, device, os, os_version, browser, language, referrer_host, referrer, utm_source)
             SELECT {EPOCH}, 0, number, toDateTime(now() - toIntervalSecond(intDiv(({to} - number) * {DAYS} * 86400, {to} - {from})) AS came),
                toDateTime64(came, 3) - toIntervalSecond(cityHash64(number) % 3600) AS at,
                (SELECT any(workspace) FROM signpost.clicks), {link}, number >= {RAW}, 1, 'localhost', 's000000', 'redirect', 302,
                cityHash64(number, 11) % 10 = 0, sipHash64(toYYYYMM(at), cityHash64(number, 1) % 333333),
                ['DE','FR','US','GB','IN','JP','BR','CN','ES','IT','PL','NL'][1 + cityHash64(number, 2) % 12],
                concat('region ', toString(cityHash64(number, 3) % 100)), concat('city ', toString(cityHash64(number, 4) % 2000)),
                ['desktop','mobile','tablet'][1 + cityHash64(number, 5) % 3],
                ['Windows','Android','iOS','macOS','Linux'][1 + cityHash64(number, 6) % 5], toString(cityHash64(number, 7) % 8),
                ['Chrome','Safari','Firefox','Edge'][1 + cityHash64(number, 8) % 4],
                ['en','de','fr','es','ja'][1 + cityHash64(number, 9) % 5],
                if(number % 3 = 0, '', concat('site', toString(cityHash64(number, 10) % 300), '.example')), '',
                if(number % 5 = 0, 'newsletter', '')
             FROM numbers({at}, {})",
            SLICE.min(to - at)
        );
        system.sql(&sql, b"")?;
    }
    let ingest = rustix::process::Pid::from_raw(system.role_pid("ingest")?.cast_signed())
        .context("no process id")?;
    rustix::process::kill_process(ingest, rustix::process::Signal::KILL)?;
    // With the one visit by hand, which is not of a busy link.
    let rolled_up = to - RAW;
    let all = [
        ("clicks_15m", "link != 0", to + 1),
        ("clicks_by_period", "dimension = 'total'", rolled_up),
        ("visitors_by_month", "link != 0", rolled_up),
    ];
    for (table, which, clicks) in all {
        let sum = format!("SELECT sum(clicks) FROM signpost.{table} WHERE {which}");
        until(system, &format!("{table} is not rolled up"), || {
            Ok(system.number(&sum)? == clicks)
        })?;
    }
    // The engine does so by itself when the parts are a day old.
    for table in ["clicks_15m", "clicks_by_period", "visitors_by_month"] {
        let ended = system.sql(&format!("SELECT DISTINCT partition FROM system.parts WHERE active AND database = 'signpost' AND table = '{table}' AND toUInt32(partition) < toYYYYMM(now())"), b"")?;
        for partition in String::from_utf8(ended)?.lines() {
            system.sql(
                &format!("OPTIMIZE TABLE signpost.{table} PARTITION {partition} FINAL"),
                b"",
            )?;
        }
    }
    until(system, "the engine does not end merging", || {
        Ok(system.number("SELECT count() FROM system.merges")? == 0)
    })
}

fn until(
    system: &System,
    failed: &str,
    mut done: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + ROLLED_UP;
    while !done()? {
        anyhow::ensure!(Instant::now() < deadline, "{failed}: {}", system.log());
        std::thread::park_timeout(Duration::from_millis(100));
    }
    Ok(())
}
