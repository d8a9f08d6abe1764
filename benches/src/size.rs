//! What links cost a proxy: bytes a link, delivery by the feed, loading from disk, an edit until it is live, a bulk load.
//!
//! One proxy, alone, with a feed of made-up links ([`crate::feed`]): so a hundred million can be tried on a machine that
//! has no room for the database they would come from.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::feed::{Feed, destination, slug};
use crate::open::{self, Load, REDIRECT};
use crate::report::{Bound, Report, quantile};
use crate::system::{System, pause};
use crate::{load, system};

/// Edits that are looked for, one each [`EDIT_EVERY`].
const EDITS: u64 = 500;
const EDIT_EVERY: Duration = Duration::from_millis(20);

/// Transactions of the bulk load, and links in each: a million links.
const BULK: u64 = 1000;
const BULK_LINKS: u64 = 1000;

/// Good traffic beside the bulk load: its latency is compared with the same traffic before.
const GOOD: Load = Load {
    connections: 8,
    rate: 800.0,
    span: Duration::from_secs(10),
};

/// Nothing takes longer than this, at a hundred million links on two cores.
const DEADLINE: Duration = Duration::from_secs(1800);

/// Between two looks at memory that falls.
const SETTLED: Duration = Duration::from_secs(2);

struct Proxy {
    process: Child,
    addr: SocketAddr,
    agent: ureq::Agent,
    admin: SocketAddr,
}

impl Proxy {
    fn start(feed: &Feed, folder: &std::path::Path) -> anyhow::Result<Self> {
        let (addr, admin) = (System::free()?, System::free()?);
        let program = std::env::current_exe()?.with_file_name("signpost");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("log"))?;
        let process = Command::new(&program)
            .arg("proxy")
            .env("SIGNPOST_DATA_DIR", folder.join("data"))
            .env("SIGNPOST_PROXY_ADDR", addr.to_string())
            .env("SIGNPOST_ADMIN_ADDR", admin.to_string())
            .env("SIGNPOST_FEED_URL", format!("http://{}", feed.addr))
            .env("SIGNPOST_FEED_TOKEN", "bench")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not start: make build", program.display()))?;
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .new_agent();
        Ok(Self {
            process,
            addr,
            agent,
            admin,
        })
    }

    /// Where a link leads, looked up with HEAD, so that nothing is counted.
    fn location(&self, link: u64) -> Option<String> {
        let url = format!("http://{}/{}", self.addr, slug(link));
        let answer = self.agent.head(url).call().ok()?;
        Some(answer.headers().get("location")?.to_str().ok()?.to_owned())
    }

    /// Waits until a link leads where its `edit`th edit says.
    fn wait_for(&self, link: u64, edit: u64) -> anyhow::Result<()> {
        let expected = destination(link, edit);
        let until = Instant::now() + DEADLINE;
        while self.location(link).as_deref() != Some(&expected) {
            anyhow::ensure!(Instant::now() < until, "link {link} does not go live");
            pause();
        }
        Ok(())
    }

    /// A counter of its metrics page.
    fn counter(&self, name: &str) -> Option<f64> {
        let url = format!("http://{}/metrics", self.admin);
        let page = self
            .agent
            .get(url)
            .call()
            .ok()?
            .body_mut()
            .read_to_string()
            .ok()?;
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Private memory in bytes.
    fn memory(&self) -> anyhow::Result<u64> {
        system::memory(self.process.id())
    }

    /// Memory once it has stopped falling.
    fn settled(&self) -> anyhow::Result<u64> {
        let mut memory = self.memory()?;
        loop {
            std::thread::park_timeout(SETTLED);
            let now = self.memory()?;
            if now + (now >> 8) >= memory {
                return Ok(now);
            }
            memory = now;
        }
    }

    fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn run(report: &mut Report, links: usize) -> anyhow::Result<()> {
    let links = u32::try_from(links).context("at most four billion links")?;
    let base = empty()?;
    report.say("making up the links");
    let feed = Feed::start(links)?;
    report.note("links", f64::from(links), "");
    let per_link = |bytes: u64| bytes as f64 / f64::from(links);
    report.note("payload a link", per_link(feed.payload()), "bytes");
    let memory = |report: &mut Report, how: &str, steady: u64, peak: u64| {
        let over = per_link(steady.saturating_sub(base)) - per_link(feed.payload());
        let name = format!("memory a link beyond its payload, {how}");
        report.check(name, over, "bytes", Bound::AtMost(36.0));
        let ratio = peak as f64 / steady as f64;
        report.note("… peak of memory / steady", ratio, "×");
    };
    let folder = tempfile::tempdir()?;

    let begin = Instant::now();
    let proxy = Proxy::start(&feed, folder.path())?;
    let mut peak = 0;
    while proxy.location(0).is_none() {
        anyhow::ensure!(begin.elapsed() < DEADLINE, "the links do not come");
        peak = peak.max(proxy.memory()?);
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let took = begin.elapsed().as_secs_f64();
    // The bound is for ten million; a larger number may take as much longer.
    let allowed = 60.0 * (f64::from(links) / 1e7).max(1.0);
    report.check(
        "from nothing by the feed to the first answer",
        took,
        "s",
        Bound::AtMost(allowed),
    );
    while proxy
        .counter("signpost_proxy_snapshot_writes_total")
        .unwrap_or(0.0)
        < 1.0
    {
        anyhow::ensure!(
            begin.elapsed() < DEADLINE,
            "the links are not written to disk"
        );
        std::thread::park_timeout(Duration::from_millis(50));
    }
    report.note(
        "… until they are on disk",
        begin.elapsed().as_secs_f64(),
        "s",
    );
    let steady = proxy.settled()?;
    memory(report, "by the feed", steady, peak);
    proxy.stop()?;

    feed.set_down(true);
    let begin = Instant::now();
    let proxy = Proxy::start(&feed, folder.path())?;
    let mut peak = 0;
    while proxy.location(u64::from(links) / 2).is_none() {
        anyhow::ensure!(
            begin.elapsed() < DEADLINE,
            "the links do not come from disk"
        );
        peak = peak.max(proxy.memory()?);
        pause();
    }
    let took = begin.elapsed().as_secs_f64();
    let allowed = 3.0 * (f64::from(links) / 1e7).max(1.0);
    report.check(
        "from disk to the first right answer",
        took,
        "s",
        Bound::AtMost(allowed),
    );
    proxy.wait_for(u64::from(links) - 1, 0)?;
    let steady = proxy.settled()?;
    memory(report, "from disk", steady, peak);

    feed.set_down(false);
    while !feed.is_followed() {
        pause();
    }
    edits(report, (&proxy, &feed), u64::from(links), steady)?;
    bulk(report, (&proxy, &feed), u64::from(links), steady)?;
    proxy.stop()
}

/// Memory of a proxy with one link.
fn empty() -> anyhow::Result<u64> {
    let (feed, folder) = (Feed::start(1)?, tempfile::tempdir()?);
    let proxy = Proxy::start(&feed, folder.path())?;
    proxy.wait_for(0, 0)?;
    proxy.settled()
}

/// Single edits under full load.
fn edits(
    report: &mut Report,
    (proxy, feed): (&Proxy, &Feed),
    links: u64,
    steady: u64,
) -> anyhow::Result<()> {
    let slugs: Vec<String> = (0..10_000).map(|n| slug(n * 997 % links)).collect();
    let peak = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let mut live = Vec::new();
    let answered = std::thread::scope(|scope| {
        let loading = scope.spawn(|| {
            let mut answered = 0;
            while !done.load(Ordering::Relaxed) {
                answered += load::run(proxy.addr, &slugs, Duration::from_secs(1), answered + 1)?;
                peak.fetch_max(proxy.memory()?, Ordering::Relaxed);
            }
            anyhow::Ok(answered)
        });
        let edited = (1..=EDITS).try_for_each(|edit| {
            let link = edit * 7919 % links;
            let sent = Instant::now();
            feed.change(std::iter::once((link, edit)))?;
            proxy.wait_for(link, edit)?;
            live.push(sent.elapsed().as_secs_f64() * 1e3);
            std::thread::park_timeout(EDIT_EVERY.saturating_sub(sent.elapsed()));
            anyhow::Ok(())
        });
        done.store(true, Ordering::Relaxed);
        let answered = loading
            .join()
            .map_err(|_| anyhow::anyhow!("the load panicked"))?;
        edited.and(answered)
    })?;
    report.note("redirects beside the edits", answered as f64, "");
    report.note(
        "edit to live under full load, p50",
        quantile(&mut live, 0.5),
        "ms",
    );
    report.check(
        "edit to live under full load, p99",
        quantile(&mut live, 0.99),
        "ms",
        Bound::AtMost(100.0),
    );
    report.note(
        "edit to live under full load, max",
        quantile(&mut live, 1.0),
        "ms",
    );
    let most = peak.into_inner() as f64 / steady as f64;
    report.check(
        "memory while editing / steady",
        most,
        "×",
        Bound::AtMost(1.1),
    );
    Ok(())
}

/// A million new links, as fast as they are taken.
fn bulk(
    report: &mut Report,
    (proxy, feed): (&Proxy, &Feed),
    links: u64,
    steady: u64,
) -> anyhow::Result<()> {
    let good = || {
        open::run(proxy.addr, GOOD, REDIRECT, |number, bytes| {
            load::put_request(&slug(number * 997 % links), bytes);
        })
    };
    let before = good()?.quantile(0.99);
    let begin = Instant::now();
    let mut peak = 0;
    let (sent, live, beside) = std::thread::scope(|scope| {
        let beside = scope.spawn(good);
        for part in 0..BULK {
            let first = links + part * BULK_LINKS;
            feed.change((first..first + BULK_LINKS).map(|link| (link, 0)))?;
            if part % 16 == 0 {
                peak = peak.max(proxy.memory()?);
            }
        }
        let sent = begin.elapsed();
        proxy.wait_for(links + BULK * BULK_LINKS - 1, 0)?;
        let live = begin.elapsed();
        peak = peak.max(proxy.memory()?);
        let beside = beside
            .join()
            .map_err(|_| anyhow::anyhow!("good traffic panicked"))??;
        anyhow::Ok((sent, live, beside))
    })?;
    let rate = (BULK * BULK_LINKS) as f64 / live.as_secs_f64();
    report.note("bulk load of a million links, links a second", rate, "");
    let after = live.saturating_sub(sent).as_secs_f64();
    report.check(
        "… all live after the last was sent",
        after,
        "s",
        Bound::AtMost(1.0),
    );
    let ratio = beside.quantile(0.99) / before;
    report.check(
        "… p99 of redirects meanwhile / before",
        ratio,
        "×",
        Bound::AtMost(2.0),
    );
    let more = 1.0 + (BULK * BULK_LINKS) as f64 / links as f64;
    report.check(
        "… peak of memory / steady, for as many links",
        peak as f64 / (steady as f64 * more),
        "×",
        Bound::AtMost(1.25),
    );
    Ok(())
}
