//! CPU per redirect with the visit recorded: of the serving threads and of the whole proxy process, as ratios to the
//! floor.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::report::{Bound, Report, median};
use crate::system::System;
use crate::{cpu, load};

/// Links drawn at random.
const LINKS: usize = 100_000;

/// Name of the proxy's serving threads.
const SERVING: &str = "serve-";

/// How long the clicks of all rounds may take to be stored.
const STORED: Duration = Duration::from_secs(300);

pub(crate) fn run(report: &mut Report, rounds: usize, seconds: u64) -> anyhow::Result<()> {
    let system = System::start()?;
    let slugs = system.links("b", LINKS)?;
    let pid = system.role_pid("proxy")?;
    let floor = Floor::start(&system, &slugs)?;
    let span = Duration::from_secs(seconds);
    let (mut serving, mut whole, mut micros) = (Vec::new(), Vec::new(), Vec::new());
    // The look at the answer's bytes was a visit too.
    let mut visits = 1;
    for round in 0..rounds as u64 {
        let before = cpu::by_thread(floor.process.id())?;
        let answered = load::run(floor.addr, &slugs, span, round + 1)?;
        let floor_cost = (cpu::of(&cpu::by_thread(floor.process.id())?, "") - cpu::of(&before, ""))
            / answered as f64;

        let before = cpu::by_thread(pid)?;
        let answered = load::run(system.proxy, &slugs, span, round + 1)?;
        visits += answered;
        // Enrichment goes on after the last answer; the process has paid only when all clicks are in the log and stored.
        let during = cpu::by_thread(pid)?;
        settle(&system, visits)?;
        let after = cpu::by_thread(pid)?;
        let serving_cost =
            (cpu::of(&during, SERVING) - cpu::of(&before, SERVING)) / answered as f64;
        let whole_cost = (cpu::of(&after, "") - cpu::of(&before, "")) / answered as f64;
        anyhow::ensure!(
            serving_cost > 0.0,
            "no thread of the proxy is named {SERVING}…"
        );
        serving.push(serving_cost / floor_cost);
        whole.push(whole_cost / floor_cost);
        micros.push(serving_cost * 1e6);
    }
    report.note("visits answered, recorded and stored", visits as f64, "");
    report.note(
        "serving threads, CPU per redirect",
        median(&mut micros),
        "µs",
    );
    report.check(
        "serving threads / epoll floor, median",
        median(&mut serving),
        "×",
        Bound::AtMost(1.5),
    );
    report.note(
        "serving threads / epoll floor, least",
        serving.first().copied().unwrap_or(f64::NAN),
        "×",
    );
    report.check(
        "whole proxy process / epoll floor, median",
        median(&mut whole),
        "×",
        Bound::AtMost(2.5),
    );
    report.note(
        "whole proxy process / epoll floor, least",
        whole.first().copied().unwrap_or(f64::NAN),
        "×",
    );
    Ok(())
}

/// Waits until every visit is stored: none may be missing and none too many.
fn settle(system: &System, visits: u64) -> anyhow::Result<()> {
    let until = Instant::now() + STORED;
    loop {
        let stored = system.number("SELECT count() FROM signpost.clicks")?;
        anyhow::ensure!(
            stored <= visits,
            "{stored} clicks stored of {visits} visits"
        );
        if stored == visits {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < until,
            "{stored} clicks stored of {visits} visits: {}",
            system.log()
        );
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

struct Floor {
    addr: SocketAddr,
    process: Child,
}

impl Floor {
    /// Starts the floor with the proxy's own bytes.
    fn start(system: &System, slugs: &[String]) -> anyhow::Result<Self> {
        let slug = slugs.first().context("no links")?;
        let answer = tempfile::NamedTempFile::new()?;
        std::fs::write(answer.path(), load::one_answer(system.proxy, slug)?)?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg("floor")
            .arg(answer.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut port = String::new();
        BufReader::new(process.stdout.as_mut().context("no output")?).read_line(&mut port)?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port.trim().parse()?));
        Ok(Self { addr, process })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
