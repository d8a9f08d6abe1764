//! Latency over load: open loop, from the instant at which each request was due, beside the floor and the peers.
//!
//! Loads are parts of each server's own saturation, measured in the same run, so that a fast server is not measured at rest.
//! While Signpost is loaded, links are edited all the time, and enricher and ingest do their work.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::load;
use crate::open::{self, Load, REDIRECT};
use crate::peers::{Links, Peer};
use crate::plot::{self, Line};
use crate::report::{Bound, Report, median};
use crate::system::{System, destination};

/// Connections of the load.
const CONNECTIONS: usize = 256;

/// Links, drawn at random.
const LINKS: usize = 100_000;

/// Rates tried for saturation, each [`STEP`] times the one before, for so long; and the p99 in microseconds from which on a
/// server does not keep up.
const SLOWEST: f64 = 4000.0;
const FASTEST: f64 = 1e6;
const STEP: f64 = 1.15;
const PROBE: Duration = Duration::from_millis(700);
const SWAMPED: f64 = 20_000.0;

/// Parts of saturation. Those in [`GATED`] have a bound.
const LEVELS: [f64; 6] = [0.1, 0.3, 0.5, 0.65, 0.8, 0.9];
const GATED: [f64; 2] = [0.5, 0.8];

/// A link is edited every so often, so that shards are swapped while others are read.
const EDIT_EVERY: Duration = Duration::from_millis(10);

/// What ours is called.
const OURS: &str = "Signpost";

/// What it is compared with.
const FLOOR: &str = "epoll floor";

/// The p99.9 is printed and not gated: on a shared machine it is the machine's.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];

pub(crate) fn run(
    report: &mut Report,
    rounds: usize,
    span: Duration,
    results: &std::path::Path,
) -> anyhow::Result<()> {
    let system = System::start()?;
    report.say("making the links");
    let slugs = system.links("l", LINKS)?;
    let folder = tempfile::tempdir()?;
    let answer = load::one_answer(system.proxy, slugs.first().context("no links")?)?;
    let links = Links {
        slugs: &slugs,
        destination,
    };
    let mut peers = vec![
        Peer::floor(folder.path(), &answer)?,
        Peer::hyper(folder.path(), &answer, &links)?,
    ];
    peers.extend(Peer::nginx(folder.path(), &links)?);
    peers.extend(Peer::haproxy(folder.path(), &links)?);
    let mut servers: Vec<(&str, SocketAddr)> = peers.iter().map(|p| (p.name, p.addr)).collect();
    servers.push((OURS, system.proxy));

    let mut saturation: BTreeMap<&str, f64> = BTreeMap::new();
    // By server and level: one value for each quantile and round.
    let mut taken: BTreeMap<(&str, usize), [Vec<f64>; QUANTILES.len()]> = BTreeMap::new();
    let mut lagged = 0;
    for (name, addr) in &servers {
        saturation.insert(name, saturate(*addr, &slugs)?);
    }
    for _ in 0..rounds {
        for (name, addr) in &servers {
            let most = saturation.get(name).copied().unwrap_or(f64::NAN);
            for (level, part) in LEVELS.iter().enumerate() {
                let load = Load {
                    connections: CONNECTIONS,
                    rate: most * part,
                    span,
                };
                let run = || {
                    open::run(*addr, load, REDIRECT, |number, bytes| {
                        pick(&slugs, number, bytes)
                    })
                };
                let outcome = match *name == OURS {
                    true => beside_edits(&system, &slugs, run)?,
                    false => run()?,
                };
                if outcome.lagged {
                    lagged += 1;
                    continue;
                }
                let values = taken.entry((name, level)).or_default();
                for ((q, _), values) in QUANTILES.iter().zip(values) {
                    values.push(outcome.quantile(*q));
                }
            }
        }
    }
    report.note(
        "rounds in which the generator lagged, left out",
        f64::from(lagged),
        "",
    );
    let mut lines = Vec::new();
    for (name, _) in &servers {
        let most = saturation.get(name).copied().unwrap_or(f64::NAN);
        report.note(format!("{name}, saturation"), most, "/s");
        let mut points = Vec::new();
        for (level, part) in LEVELS.iter().enumerate() {
            let Some(values) = taken.get_mut(&(*name, level)) else {
                continue;
            };
            for ((_, quantile), values) in QUANTILES.iter().zip(values.iter_mut()) {
                let percent = part * 100.0;
                report.note(
                    format!("{name}, {quantile} at {percent} %"),
                    median(values),
                    "µs",
                );
            }
            if let Some(p99) = values.get_mut(1) {
                points.push((part * 100.0, median(p99)));
            }
        }
        lines.push(Line {
            name: (*name).to_owned(),
            points,
        });
    }
    for part in GATED {
        let level = LEVELS.iter().position(|l| *l == part).context("no level")?;
        let mut p99 = |name| {
            let values = taken.get_mut(&(name, level))?.get_mut(1)?;
            Some(median(values))
        };
        let ratio = p99(OURS).unwrap_or(f64::NAN) / p99(FLOOR).unwrap_or(f64::NAN);
        let name = format!("p99 at {} % of saturation / the floor's", part * 100.0);
        report.check(name, ratio, "×", Bound::AtMost(2.0));
    }
    let picture = plot::svg(
        "Latency over load, p99 from the scheduled instant",
        "load, % of the server's own saturation",
        "p99, µs",
        &lines,
    );
    std::fs::create_dir_all(results)?;
    std::fs::write(results.join("latency.svg"), picture)?;
    Ok(())
}

fn pick(slugs: &[String], number: u64, bytes: &mut Vec<u8>) {
    // Fibonacci hashing: the order must only be without pattern.
    let place = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let slug = slugs.get(place as usize % slugs.len().max(1));
    load::put_request(slug.map_or("", String::as_str), bytes);
}

/// The highest rate, in steps of [`STEP`], that a server keeps up with, open loop. A closed loop would say more: there, answers
/// and requests gather while others are at work, and many are read at once.
fn saturate(addr: SocketAddr, slugs: &[String]) -> anyhow::Result<f64> {
    let mut most = f64::NAN;
    let mut rate = SLOWEST;
    while rate < FASTEST {
        let load = Load {
            connections: CONNECTIONS,
            rate,
            span: PROBE,
        };
        // Once more, since the machine may have been busy with something else.
        let mut keeps_up = false;
        for _ in 0..2 {
            let outcome = open::run(addr, load, REDIRECT, |number, bytes| {
                pick(slugs, number, bytes)
            })?;
            keeps_up |= !outcome.lagged && outcome.quantile(0.99) < SWAMPED;
            if keeps_up {
                break;
            }
        }
        if !keeps_up {
            break;
        }
        most = rate;
        rate *= STEP;
    }
    Ok(most)
}

/// A load while a link is edited every [`EDIT_EVERY`].
fn beside_edits<T>(
    system: &System,
    slugs: &[String],
    load: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let editing = scope.spawn(|| {
            let begin = Instant::now();
            let mut edits = 0_u32;
            while !done.load(Ordering::Relaxed) {
                let slug = slugs
                    .get(edits as usize * 31 % slugs.len())
                    .context("no links")?;
                let url = format!("{}?edit={edits}", destination(slug));
                let body = serde_json::json!({ "url": url });
                let id = edits as usize * 31 % slugs.len() + 1;
                system.api("PUT", &format!("/url/{id}/update"), Some(&body))?;
                edits += 1;
                let next = begin + EDIT_EVERY * edits;
                std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
            }
            anyhow::Ok(())
        });
        let loaded = load();
        done.store(true, Ordering::Relaxed);
        editing
            .join()
            .map_err(|_| anyhow::anyhow!("the edits panicked"))??;
        loaded
    })
}
