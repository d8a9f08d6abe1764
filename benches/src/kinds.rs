//! What other requests cost beside a plain redirect: a link with rules and variants, a slug that is not there; and how
//! evenly few connections use the serving threads.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::report::{Bound, Report, median};
use crate::system::{System, destination};
use crate::{cpu, load};

/// Links of each kind.
const LINKS: usize = 10_000;

/// Links with rules made by one call.
const PART: usize = 500;

/// Name of the proxy's serving threads.
const SERVING: &str = "serve-";

/// Connections whose spread over the serving threads is looked at.
const FEW: [usize; 2] = [8, 64];

/// Requests of a kind, and what they cost.
struct Kind {
    name: &'static str,
    requests: Vec<Vec<u8>>,
    /// What each answer begins with.
    expected: &'static [u8; 12],
    /// Most that it may cost, as a ratio to a plain link.
    bound: Option<f64>,
    /// CPU seconds of the serving threads a request, in each round.
    costs: Vec<f64>,
}

pub(crate) fn run(report: &mut Report, rounds: usize, span: Duration) -> anyhow::Result<()> {
    let system = System::start()?;
    report.say("making the links");
    let plain = system.links("p", LINKS)?;
    let ruled = with_rules(&system)?;
    let missing: Vec<String> = (0..LINKS).map(|n| format!("m{n:06}")).collect();
    let kind = |name, slugs: &[String], expected, bound| Kind {
        name,
        requests: requests(slugs),
        expected,
        bound,
        costs: Vec::new(),
    };
    let mut kinds = [
        kind("plain link", &plain, b"HTTP/1.1 302", None),
        kind(
            "link with rules and variants",
            &ruled,
            b"HTTP/1.1 302",
            Some(1.5),
        ),
        kind("miss", &missing, b"HTTP/1.1 404", Some(1.1)),
    ];
    let pid = system.role_pid("proxy")?;
    let serving = || anyhow::Ok(cpu::of(&cpu::by_thread(pid)?, SERVING));
    for round in 0..rounds as u64 {
        for kind in &mut kinds {
            let before = serving()?;
            let load = (load::CONNECTIONS, span, round + 1);
            let answered = load::run_requests(system.proxy, &kind.requests, load, kind.expected)?;
            kind.costs.push((serving()? - before) / answered as f64);
        }
    }
    let [plain, ..] = &kinds;
    let (base, requests) = (plain.costs.clone(), plain.requests.clone());
    for kind in &mut kinds {
        let mut ratios: Vec<f64> = kind.costs.iter().zip(&base).map(|(c, b)| c / b).collect();
        let name = format!("{}, CPU of the serving threads", kind.name);
        report.note(&name, median(&mut kind.costs) * 1e6, "µs");
        if let Some(bound) = kind.bound {
            let name = format!("{name} / a plain link's, median");
            report.check(name, median(&mut ratios), "×", Bound::AtMost(bound));
        }
    }
    for connections in FEW {
        let before = cpu::by_thread(pid)?;
        let load = (connections, span, 1);
        load::run_requests(system.proxy, &requests, load, b"HTTP/1.1 302")?;
        let used = difference(&before, &cpu::by_thread(pid)?);
        let most = used.iter().copied().fold(f64::MIN, f64::max);
        let mean = used.iter().sum::<f64>() / used.len() as f64;
        let name = format!("busiest serving thread / their mean, {connections} connections");
        report.check(name, most / mean, "×", Bound::AtMost(1.25));
    }
    Ok(())
}

/// CPU seconds that each serving thread has used in between.
fn difference(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> Vec<f64> {
    after
        .iter()
        .filter(|(name, _)| name.starts_with(SERVING))
        .map(|(name, used)| used - before.get(name).copied().unwrap_or(0.0))
        .collect()
}

/// The requests for slugs, each from another address, so that look-ups by address are what they are in life.
fn requests(slugs: &[String]) -> Vec<Vec<u8>> {
    slugs
        .iter()
        .enumerate()
        .map(|(n, slug)| {
            let mut bytes = load::request(slug);
            bytes.truncate(bytes.len() - 2);
            let mixed = (n as u32).wrapping_mul(0x9e37_79b9);
            let [a, b, c, d] = mixed.to_be_bytes();
            // Public unicast addresses, most of them.
            let address = format!("{}.{b}.{c}.{d}", 1 + u32::from(a) % 220);
            bytes.extend_from_slice(format!("X-Forwarded-For: {address}\r\n\r\n").as_bytes());
            bytes
        })
        .collect()
}

/// Links with a rule about country, device and language, which hardly anyone meets, and three variants for the rest.
pub(crate) fn with_rules(system: &System) -> anyhow::Result<Vec<String>> {
    let slugs: Vec<String> = (0..LINKS).map(|n| format!("r{n:06}")).collect();
    for part in slugs.chunks(PART) {
        let urls: Vec<_> = part
            .iter()
            .map(|slug| {
                let to = destination(slug);
                json!({
                    "custom": slug, "url": to,
                    "rules": [{"match": "all", "url": format!("{to}?rule"), "conditions": [
                        {"type": "language", "values": ["en"]},
                        {"type": "device", "values": ["desktop"]},
                        {"type": "country", "values": ["CA"]},
                    ]}],
                    "variants": [
                        {"name": "a", "url": format!("{to}?a"), "weight": 50},
                        {"name": "b", "url": format!("{to}?b"), "weight": 30},
                        {"name": "c", "url": format!("{to}?c"), "weight": 20},
                    ],
                })
            })
            .collect();
        let answer = system.api("POST", "/urls/bulk", Some(&json!({ "urls": urls })))?;
        let all = answer["results"].as_array();
        let all = all.is_some_and(|r| r.iter().all(|row| row["error"] == 0));
        anyhow::ensure!(all, "links were refused: {answer}");
    }
    let last = slugs.last().context("no links")?;
    while system.location(last)?.is_none() {
        crate::system::pause();
    }
    Ok(slugs)
}
