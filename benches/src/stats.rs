//! A statistics call for the busiest link, at one and at ten million clicks of its own.
//!
//! The clicks are made inside the engine, as if a proxy had sent them, and rolled up by ingest itself: it is killed, and
//! what its receipts lack it makes good at its next start. So what is read is what ingest writes.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::report::{Bound, Report, quantile};
use crate::system::System;

/// Calls measured at each size.
const CALLS: usize = 200;

/// Days the clicks are spread over.
const DAYS: u64 = 90;

/// How long ingest may take to roll up what was made.
const ROLLED_UP: Duration = Duration::from_secs(240);

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
        let mut calls = Vec::new();
        for call in 0..CALLS {
            let since = Instant::now();
            let answer = system.api("GET", &format!("/url/{link}/stats"), None)?;
            calls.push(since.elapsed().as_secs_f64() * 1e3);
            let total = answer["data"]["total_clicks"].as_u64().unwrap_or_default();
            anyhow::ensure!(
                total == size + 1,
                "call {call}: {total} clicks, {} expected",
                size + 1
            );
        }
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

/// Makes clicks `from..to` of the link: a third of a million visitors, twelve countries, a few hundred referrers.
fn fill(system: &System, link: u64, from: u64, to: u64) -> anyhow::Result<()> {
    let sql = format!(
        "INSERT INTO signpost.clicks (epoch, worker, position, ingested, time, workspace, link, rolled_up, domain, host, slug, outcome, status,
            visitor, country, region, city, device, os, os_version, browser, language, referrer_host, referrer, utm_source)
         SELECT {EPOCH}, 0, number, now(), now64(3) - toIntervalSecond(cityHash64(number) % ({DAYS} * 86400)),
            (SELECT any(workspace) FROM signpost.clicks), {link}, 1, 1, 'localhost', 's000000', 'redirect', 302,
            cityHash64(number, 1) % 333333,
            ['DE','FR','US','GB','IN','JP','BR','CN','ES','IT','PL','NL'][1 + cityHash64(number, 2) % 12],
            concat('region ', toString(cityHash64(number, 3) % 100)), concat('city ', toString(cityHash64(number, 4) % 2000)),
            ['desktop','mobile','tablet'][1 + cityHash64(number, 5) % 3],
            ['Windows','Android','iOS','macOS','Linux'][1 + cityHash64(number, 6) % 5], toString(cityHash64(number, 7) % 8),
            ['Chrome','Safari','Firefox','Edge'][1 + cityHash64(number, 8) % 4],
            ['en','de','fr','es','ja'][1 + cityHash64(number, 9) % 5],
            if(number % 3 = 0, '', concat('site', toString(cityHash64(number, 10) % 300), '.example')), '',
            if(number % 5 = 0, 'newsletter', '')
         FROM numbers({from}, {})",
        to - from
    );
    system.sql(&sql, b"")?;
    let ingest = rustix::process::Pid::from_raw(system.role_pid("ingest")?.cast_signed())
        .context("no process id")?;
    rustix::process::kill_process(ingest, rustix::process::Signal::KILL)?;
    let until = Instant::now() + ROLLED_UP;
    for table in ["clicks_15m", "clicks_by_day"] {
        let total = match table {
            "clicks_15m" => {
                format!("SELECT sum(clicks) FROM signpost.clicks_15m WHERE link = {link}")
            }
            // The one visit by hand is not of a busy link.
            _ => format!(
                "SELECT sum(clicks) + 1 FROM signpost.clicks_by_day WHERE link = {link} AND dimension = 'total'"
            ),
        };
        while system.number(&total)? != to + 1 {
            anyhow::ensure!(
                Instant::now() < until,
                "{table} is not rolled up: {}",
                system.log()
            );
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
    Ok(())
}
