//! CPU per redirect with the visit recorded: of the serving threads and of the whole proxy process, beside the floor, a bare
//! hyper, nginx and haproxy with the same links.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::peers::{Links, Peer};
use crate::report::{Bound, Report, median};
use crate::system::{System, destination};
use crate::{cpu, load};

/// Name of the proxy's serving threads.
const SERVING: &str = "serve-";

/// How long the clicks of all rounds may take to be stored.
const STORED: Duration = Duration::from_secs(300);

/// How a run is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Interleaved rounds.
    pub(crate) rounds: usize,
    /// Load of each server in a round.
    pub(crate) span: Duration,
    /// Links, drawn at random.
    pub(crate) links: usize,
}

pub(crate) fn run(report: &mut Report, plan: Plan) -> anyhow::Result<()> {
    let system = System::start()?;
    let slugs = system.links("b", plan.links)?;
    let pid = system.role_pid("proxy")?;
    let folder = tempfile::tempdir()?;
    let peers = start_peers(&system, &slugs, folder.path())?;
    let mut costs: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let (mut serving, mut whole) = (Vec::new(), Vec::new());
    // The look at the answer's bytes was a visit too.
    let mut visits = 1;
    for round in 0..plan.rounds as u64 {
        for peer in &peers {
            let before = peer.cpu()?;
            let answered = load::run(peer.addr, &slugs, plan.span, round + 1)
                .with_context(|| peer.name.to_owned())?;
            let cost = (peer.cpu()? - before) / answered as f64;
            costs.entry(peer.name).or_default().push(cost);
        }
        let before = cpu::by_thread(pid)?;
        let answered = load::run(system.proxy, &slugs, plan.span, round + 1)?;
        visits += answered;
        // Enrichment goes on after the last answer; the process has paid only when all clicks are in the log and stored.
        let during = cpu::by_thread(pid)?;
        settle(&system, visits)?;
        let after = cpu::by_thread(pid)?;
        let serving_cost = cpu::of(&during, SERVING) - cpu::of(&before, SERVING);
        anyhow::ensure!(
            serving_cost > 0.0,
            "no thread of the proxy is named {SERVING}…"
        );
        serving.push(serving_cost / answered as f64);
        whole.push((cpu::of(&after, "") - cpu::of(&before, "")) / answered as f64);
    }
    report.note("links", plan.links as f64, "");
    report.note("visits answered, recorded and stored", visits as f64, "");
    for (name, costs) in &mut costs {
        report.note(format!("{name}, CPU per redirect"), micros(costs), "µs");
    }
    report.note("serving threads, CPU per redirect", micros(&serving), "µs");
    for (ours, name, base, bound) in [
        (&serving, "serving threads", "epoll floor", 1.5),
        (&serving, "serving threads", "bare hyper", 1.08),
        (&whole, "whole proxy process", "epoll floor", 2.5),
        (&whole, "whole proxy process", "nginx with its log", 0.95),
    ] {
        let Some(costs) = costs.get(base) else {
            continue;
        };
        let mut ratios: Vec<f64> = ours.iter().zip(costs).map(|(a, b)| a / b).collect();
        let name = format!("{name} / {base}");
        let bound = Bound::AtMost(bound);
        report.check(format!("{name}, median"), median(&mut ratios), "×", bound);
        let least = ratios.first().copied().unwrap_or(f64::NAN);
        let most = ratios.last().copied().unwrap_or(f64::NAN);
        report.note(format!("{name}, least"), least, "×");
        report.note(format!("{name}, most"), most, "×");
    }
    Ok(())
}

fn micros(costs: &[f64]) -> f64 {
    median(&mut costs.to_vec()) * 1e6
}

fn start_peers(
    system: &System,
    slugs: &[String],
    folder: &std::path::Path,
) -> anyhow::Result<Vec<Peer>> {
    let answer = load::one_answer(system.proxy, slugs.first().context("no links")?)?;
    let links = Links { slugs, destination };
    let mut peers = vec![
        Peer::floor(folder, &answer)?,
        Peer::hyper(folder, &answer, &links)?,
    ];
    peers.extend(Peer::nginx(folder, &links)?);
    peers.extend(Peer::haproxy(folder, &links)?);
    Ok(peers)
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
