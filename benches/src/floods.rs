//! What floods do to others: the p99 of good traffic beside one, as a ratio to the p99 beside as many good requests.
//!
//! Good traffic is open loop, measured from the instant at which each request was due. A flood is paced, not as fast as it
//! can be: beside a generator that takes all of the machine's cores, nothing is measured but the generator. So that its own
//! cost is on both sides, the base is no quiet machine but the same number of good requests a second from the same thread; the
//! quiet machine is printed beside it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::load;
use crate::report::{Bound, Report, median};
use crate::system::System;

/// Links drawn by good traffic.
const LINKS: usize = 1000;

/// Connections of good traffic, a thread each, and its requests a second on each of them.
const CONNECTIONS: u64 = 8;
const RATE: u64 = 100;

/// Requests a second of a flood.
const FLOOD: u64 = 2000;

/// What floods are made of.
const FLOODS: [(&str, Flood); 5] = [
    ("nothing", Flood::Nothing),
    ("good requests", Flood::Good),
    ("distinct unknown slugs", Flood::Unknown),
    ("malformed requests", Flood::Malformed),
    ("new connections", Flood::Connections),
];

/// The one that others are compared to.
const BASE: usize = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flood {
    Nothing,
    Good,
    Unknown,
    Malformed,
    Connections,
}

pub(crate) fn run(report: &mut Report, rounds: usize, seconds: u64) -> anyhow::Result<()> {
    let system = System::start()?;
    let slugs = system.links("f", LINKS)?;
    let span = Duration::from_secs(seconds);
    let mut p99 = [const { Vec::new() }; FLOODS.len()];
    let mut sent = [0; FLOODS.len()];
    for _ in 0..rounds {
        for (index, (_, flood)) in FLOODS.iter().enumerate() {
            let (late, flooded) = beside(system.proxy, &slugs, *flood, span)?;
            if let (Some(p99), Some(sent)) = (p99.get_mut(index), sent.get_mut(index)) {
                p99.push(late.as_secs_f64() * 1e6);
                *sent += flooded;
            }
        }
    }
    let base = p99.get(BASE).cloned().context("no base")?;
    for (index, (name, _)) in FLOODS.iter().enumerate() {
        let (Some(values), Some(sent)) = (p99.get_mut(index), sent.get(index)) else {
            continue;
        };
        let mut ratios: Vec<f64> = values.iter().zip(&base).map(|(v, b)| v / b).collect();
        report.note(
            format!("p99 beside {name} ({sent} sent)"),
            median(values),
            "µs",
        );
        if index > BASE {
            let name = format!("p99 beside {name} / beside as many good requests, median");
            report.check(name, median(&mut ratios), "×", Bound::AtMost(3.0));
        }
    }
    Ok(())
}

/// The p99 of good traffic beside a flood, and how many requests the flood had.
fn beside(
    addr: SocketAddr,
    slugs: &[String],
    flood: Flood,
    span: Duration,
) -> anyhow::Result<(Duration, u64)> {
    let over = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let mut late = std::thread::scope(|scope| {
        let flooding = scope.spawn(|| flooding(addr, slugs, flood, &over, &sent));
        let good: Vec<_> = (0..CONNECTIONS)
            .map(|seed| scope.spawn(move || good(addr, slugs, seed, span)))
            .collect();
        let late: anyhow::Result<Vec<_>> = good
            .into_iter()
            .map(|good| {
                good.join()
                    .map_err(|_| anyhow::anyhow!("a client panicked"))?
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        let flooded = flooding.join();
        flooded.map_err(|_| anyhow::anyhow!("the flood panicked"))??;
        anyhow::Ok(late?.concat())
    })?;
    late.sort_unstable();
    let p99 = late.get(late.len() * 99 / 100).copied();
    Ok((p99.context("no requests")?, sent.into_inner()))
}

/// Requests at their instants on one connection; how late each answer was.
fn good(
    addr: SocketAddr,
    slugs: &[String],
    seed: u64,
    span: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let mut stream = connect(addr)?;
    let every = Duration::from_secs(1) / u32::try_from(RATE)?;
    // Not all of them at the same instants.
    let begin = Instant::now() + every * u32::try_from(seed)? / u32::try_from(CONNECTIONS)?;
    let requests = u32::try_from(span.as_secs() * RATE)?;
    let mut late = Vec::with_capacity(requests as usize);
    for number in 0..requests {
        let due = begin + every * number;
        wait_until(due);
        let pick = (u64::from(number) * 7 + seed) as usize % slugs.len();
        let slug = slugs.get(pick).context("no slugs")?;
        stream.write_all(&load::request(slug))?;
        anyhow::ensure!(
            answer(&mut stream)?.starts_with(b"HTTP/1.1 302"),
            "no redirect"
        );
        late.push(due.elapsed());
    }
    Ok(late)
}

fn flooding(
    addr: SocketAddr,
    slugs: &[String],
    flood: Flood,
    over: &AtomicBool,
    sent: &AtomicU64,
) -> anyhow::Result<()> {
    if flood == Flood::Nothing {
        return Ok(());
    }
    let mut kept = connect(addr)?;
    let begin = Instant::now();
    for number in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        wait_until(begin + Duration::from_nanos(1_000_000_000 / FLOOD * number));
        let slug = slugs
            .get(number as usize % slugs.len())
            .context("no slugs")?;
        match flood {
            Flood::Nothing => {}
            Flood::Good => {
                kept.write_all(&load::request(slug))?;
                answer(&mut kept)?;
            }
            Flood::Unknown => {
                kept.write_all(&load::request(&format!("none{number}")))?;
                read_to(&mut kept, b"</html>\n")?;
            }
            Flood::Malformed => {
                let mut stream = connect(addr)?;
                stream.write_all(b"GET / HTTP/1.1\nHost: localhost\n\n")?;
                anyhow::ensure!(
                    answer(&mut stream)?.starts_with(b"HTTP/1.1 400"),
                    "not refused"
                );
            }
            Flood::Connections => {
                let mut stream = connect(addr)?;
                stream.write_all(&load::request(slug))?;
                answer(&mut stream)?;
            }
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn connect(addr: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(addr).context("nobody is there")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// One answer without a body.
fn answer(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    read_to(stream, b"\r\n\r\n")
}

fn read_to(stream: &mut TcpStream, end: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut piece = [0; 2048];
    while !answer.ends_with(end) {
        let got = stream.read(&mut piece)?;
        anyhow::ensure!(got > 0, "connection closed");
        answer.extend_from_slice(piece.get(..got).unwrap_or_default());
    }
    Ok(answer)
}

fn wait_until(instant: Instant) {
    while let Some(left) = instant.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}
