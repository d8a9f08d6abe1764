//! Minutes of mixed traffic: hits, misses, rules, bots, slow clients, edits. Memory stays flat, the books balance, nothing fails.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::open::{self, Load, REDIRECT_OR_MISS};
use crate::report::{Bound, Report, median};
use crate::system::{System, destination};
use crate::{kinds, load};

/// Plain links.
const LINKS: usize = 10_000;

/// Requests a second, on so many connections; the load comes in parts of this length, each with new connections.
const RATE: f64 = 1000.0;
const CONNECTIONS: usize = 64;
const PART: Duration = Duration::from_secs(20);

/// Of 16 requests, so many are misses, so many for links with rules, so many by bots.
const MISSES: u64 = 2;
const RULES: u64 = 4;
const BOTS: u64 = 2;

/// A crawler that names itself.
const BOT: &str =
    "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)\r\n\r\n";

/// Clients that send a byte every [`SLOWLY`].
const SLOW_CLIENTS: usize = 16;
const SLOWLY: Duration = Duration::from_millis(20);

/// A link is edited and one is made every so often.
const EDIT_EVERY: Duration = Duration::from_millis(100);

/// Roles whose memory is looked at.
const ROLES: [&str; 4] = ["proxy", "control-plane", "ingest", "clickhouse"];

/// How long the last clicks may take to be stored.
const SETTLE: Duration = Duration::from_secs(60);

pub(crate) fn run(report: &mut Report, minutes: u64) -> anyhow::Result<()> {
    let system = System::start()?;
    report.say("making the links");
    let plain = system.links("s", LINKS)?;
    let ruled = kinds::with_rules(&system)?;
    let done = AtomicBool::new(false);
    let (slow, edits) = (AtomicU64::new(0), AtomicU64::new(0));
    let span = Duration::from_secs(minutes * 60);
    let mut memory: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let (mut sent, mut visits, mut lagged) = (0, 0, 0_u32);
    let mut p99 = Vec::new();
    std::thread::scope(|scope| {
        let beside: Vec<_> = (0..SLOW_CLIENTS)
            .map(|n| {
                let slug = plain.get(n).cloned().unwrap_or_default();
                let (slow, done, addr) = (&slow, &done, system.proxy);
                scope.spawn(move || slowly(addr, &slug, slow, done))
            })
            .chain(std::iter::once(
                scope.spawn(|| edit(&system, &plain, &edits, &done)),
            ))
            .collect();
        let begin = Instant::now();
        let loaded = (|| {
            while begin.elapsed() < span {
                let load = Load {
                    connections: CONNECTIONS,
                    rate: RATE,
                    span: PART.min(span.saturating_sub(begin.elapsed())),
                };
                let outcome = open::run(system.proxy, load, REDIRECT_OR_MISS, |number, bytes| {
                    mixed(sent + number, &plain, &ruled, bytes);
                })?;
                sent += outcome.micros.len() as u64;
                visits += outcome.first;
                lagged += u32::from(outcome.lagged);
                p99.push(outcome.quantile(0.99));
                for role in ROLES {
                    let bytes = system.memory(role)?;
                    memory.entry(role).or_default().push(bytes as f64);
                }
                let minutes = begin.elapsed().as_secs_f64() / 60.0;
                report.say(&format!("{minutes:.1} minutes, {sent} requests"));
            }
            anyhow::Ok(())
        })();
        done.store(true, Ordering::Relaxed);
        for beside in beside {
            beside
                .join()
                .map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        loaded
    })?;
    visits += slow.load(Ordering::Relaxed);
    report.note("requests", sent as f64, "");
    report.note("… of slow clients", slow.into_inner() as f64, "");
    report.note("edits", edits.into_inner() as f64, "");
    report.note("p99, median of all parts", median(&mut p99), "µs");
    report.note("parts in which the generator lagged", f64::from(lagged), "");
    for (role, values) in &memory {
        // The first third warms caches.
        let third = values.len() / 3;
        let middle = values.get(third..2 * third).unwrap_or_default().to_vec();
        let end = values.get(2 * third..).unwrap_or_default().to_vec();
        let (middle, end) = (median(&mut { middle }), median(&mut { end }));
        report.note(format!("memory of {role}"), end / 1e6, "MB");
        let name = format!("memory of {role}, last third / middle third");
        report.check(name, end / middle, "×", Bound::AtMost(1.05));
    }
    let until = Instant::now() + SETTLE;
    let mut stored = system.number("SELECT count() FROM signpost.clicks")?;
    while stored < visits && Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(200));
        stored = system.number("SELECT count() FROM signpost.clicks")?;
    }
    report.note("visits answered", visits as f64, "");
    report.check(
        "visits stored / answered",
        stored as f64 / visits as f64,
        "×",
        Bound::AtLeast(1.0),
    );
    report.check(
        "visits stored / answered, at most",
        stored as f64 / visits as f64,
        "×",
        Bound::AtMost(1.0),
    );
    let audit = system.command()?.arg("audit").output()?;
    let problems = if audit.status.success() { 0.0 } else { 1.0 };
    report.check(
        "audits that found something",
        problems,
        "",
        Bound::AtMost(0.0),
    );
    anyhow::ensure!(
        audit.status.success(),
        "{}{}",
        String::from_utf8_lossy(&audit.stdout),
        String::from_utf8_lossy(&audit.stderr)
    );
    Ok(())
}

/// The nth request of the mix.
fn mixed(number: u64, plain: &[String], ruled: &[String], bytes: &mut Vec<u8>) {
    let place = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
    let from = |slugs: &[String]| {
        let slug = slugs.get(place % slugs.len().max(1));
        slug.cloned().unwrap_or_default()
    };
    let kind = number % 16;
    if kind < MISSES {
        return load::put_request(&format!("none{number}"), bytes);
    }
    if kind < MISSES + RULES {
        return load::put_request(&from(ruled), bytes);
    }
    if kind < MISSES + RULES + BOTS {
        let head = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n{BOT}", from(plain));
        return bytes.extend_from_slice(head.as_bytes());
    }
    load::put_request(&from(plain), bytes);
}

/// A client that sends its request a byte at a time, again and again.
fn slowly(
    addr: SocketAddr,
    slug: &str,
    answered: &AtomicU64,
    done: &AtomicBool,
) -> anyhow::Result<()> {
    while !done.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let head = format!("GET /{slug} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        for byte in head.as_bytes() {
            stream.write_all(&[*byte])?;
            std::thread::park_timeout(SLOWLY);
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        anyhow::ensure!(
            answer.starts_with(b"HTTP/1.1 302"),
            "a slow client got {}",
            String::from_utf8_lossy(&answer)
        );
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Edits links and makes new ones.
fn edit(
    system: &System,
    slugs: &[String],
    edits: &AtomicU64,
    done: &AtomicBool,
) -> anyhow::Result<()> {
    while !done.load(Ordering::Relaxed) {
        let number = edits.fetch_add(1, Ordering::Relaxed);
        let id = number as usize * 31 % slugs.len() + 1;
        let slug = slugs.get(id - 1).context("no links")?;
        let url = format!("{}?edit={number}", destination(slug));
        let body = serde_json::json!({ "url": url });
        system.api("PUT", &format!("/url/{id}/update"), Some(&body))?;
        system.api("POST", "/url/add", Some(&body))?;
        std::thread::park_timeout(EDIT_EVERY);
    }
    Ok(())
}
