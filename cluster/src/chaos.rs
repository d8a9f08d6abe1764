//! Visitors through haproxy while everything behind it is hurt, and the books at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use crate::books::Books;
use crate::cluster::{Cluster, LOG_DISK};
use crate::faults::{Faults, SESSION_MS};
use crate::http::{Api, Http};
use crate::plan::Plan;
use crate::visitors::{BROWSER, Link, Visitors, destination};

/// Links that are visited. The first ones are edited meanwhile.
const LINKS: usize = 200;

/// Links that are edited.
const EDITED: usize = 20;

/// Between two edits.
const EDIT_EVERY: Duration = Duration::from_millis(300);

/// Connections of visitors.
const VISITORS: usize = 16;

/// Partitions of the topic at the beginning.
const PARTITIONS: usize = 4;

/// Between looks whether a fault is due.
const STEP: Duration = Duration::from_millis(10);

/// How long after the last fault a proxy may show an old destination.
const FRESH: Duration = Duration::from_secs(30);

/// What is done.
#[derive(Debug, Clone)]
pub struct Chaos {
    /// How long faults come.
    pub time: Duration,
    /// Fixes the faults.
    pub seed: u64,
    /// Visits a second.
    pub rate: u64,
    /// True once somebody asks us to end.
    pub is_over: Arc<AtomicBool>,
}

/// Settings with which groups notice within seconds what else takes a minute.
pub fn settings() -> impl Iterator<Item = (String, String)> {
    [
        ("SIGNPOST_KAFKA_PARTITIONS", PARTITIONS.to_string()),
        ("SIGNPOST_KAFKA_SESSION_TIMEOUT_MS", SESSION_MS.to_string()),
        ("SIGNPOST_KAFKA_HEARTBEAT_INTERVAL_MS", "300".to_owned()),
        ("SIGNPOST_KAFKA_RECONNECT_BACKOFF_MAX_MS", "500".to_owned()),
        // Or new partitions are seen after five minutes.
        (
            "SIGNPOST_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS",
            "1000".to_owned(),
        ),
        ("SIGNPOST_KAFKA_TOPIC", TOPIC.to_owned()),
        // Destinations are nobody's.
        ("SIGNPOST_ASK_DESTINATIONS", "off".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
}

const TOPIC: &str = "signpost.clicks.v1";

impl Chaos {
    /// Runs it on a cluster of its own and returns the books.
    ///
    /// # Errors
    /// Something could not be started, or asked; somebody asked us to end.
    pub fn run(self, mut plan: Plan) -> anyhow::Result<Books> {
        plan.relayed = true;
        plan.settings.extend(settings());
        let disk = Disk::small(&plan.folder.join("proxy-1").join(LOG_DISK));
        let mut cluster = Cluster::start(&plan)?;
        let client = cluster.client()?;
        let links = Arc::new(make_links(&client)?);
        await_links(&mut cluster, &links)?;
        eprintln!(
            "seed {}, {} s, {} visits a second, everything in {}",
            self.seed,
            self.time.as_secs(),
            self.rate,
            cluster.folder().display()
        );
        let visitors = Visitors::send(
            cluster.visitors,
            links.clone(),
            (VISITORS, self.rate),
            self.seed,
        );
        let editor = Editor::begin(client, links.clone());
        let mut faults = Faults::new(self.seed, TOPIC, PARTITIONS);
        faults.disk = disk;
        let until = Instant::now() + self.time;
        while Instant::now() < until {
            anyhow::ensure!(!self.is_over.load(Ordering::Relaxed), "asked to end");
            faults.step(&mut cluster)?;
            crate::pause(STEP);
        }
        faults.end(&mut cluster)?;
        cluster.await_ready()?;
        let edits = editor.end();
        let attempts = visitors.end();
        let mut books = Books::close(&cluster, &attempts, &links, &faults.proxies_killed)?;
        books.differences.extend(
            await_links(&mut cluster, &links)
                .err()
                .map(|e| e.to_string()),
        );
        eprintln!(
            "{} faults, {} edits ({} were refused)",
            faults.count, edits.0, edits.1
        );
        cluster.stop();
        Ok(books)
    }
}

fn make_links(client: &Api) -> anyhow::Result<Vec<Link>> {
    let links = (0..LINKS).map(|number| {
        let slug = format!("chaos-{number}");
        let body = json!({ "url": destination(&slug, 0), "custom": slug });
        let made = client.call("POST", "/url/add", Some(&body))?;
        let id = made["id"].as_i64();
        Ok(Link {
            id: id.with_context(|| format!("no id: {made}"))?,
            slug,
            tried: AtomicU64::new(0),
        })
    });
    links.collect()
}

/// Waits until each proxy leads each link to its newest destination.
fn await_links(cluster: &mut Cluster, links: &[Link]) -> anyhow::Result<()> {
    let (http, until) = (Http::default(), Instant::now() + FRESH);
    let proxies = cluster.of("proxy").map(|process| {
        let addr = process.environment().get("SIGNPOST_PROXY_ADDR").cloned();
        (process.name().to_owned(), addr.unwrap_or_default())
    });
    let proxies: Vec<_> = proxies.collect();
    for (name, addr) in proxies {
        for link in links {
            let url = format!("http://{addr}/{}", link.slug);
            let expected = destination(&link.slug, link.tried.load(Ordering::Relaxed));
            loop {
                // HEAD is not counted.
                let answer = http.send("HEAD", &url, &[("user-agent", BROWSER)], None);
                let location = answer.map_or_else(|error| format!("{error:#}"), |a| a.location);
                if location == expected {
                    break;
                }
                anyhow::ensure!(
                    Instant::now() < until,
                    "{name} leads {} to '{location}' and not to {expected}",
                    link.slug
                );
                crate::pause(STEP);
            }
        }
    }
    Ok(())
}

/// Whoever edits links meanwhile.
struct Editor {
    over: Arc<AtomicBool>,
    thread: JoinHandle<(u64, u64)>,
}

impl Editor {
    fn begin(client: Api, links: Arc<Vec<Link>>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let thread = std::thread::spawn(move || {
            let (mut edits, mut refused) = (0, 0);
            for link in links.iter().take(EDITED).cycle() {
                // The last edit is made until it is: only then is it known what is right.
                let version = link.tried.fetch_add(1, Ordering::Relaxed) + 1;
                let body = json!({ "url": destination(&link.slug, version) });
                let path = format!("/url/{}/update", link.id);
                edits += 1;
                while client.call("PUT", &path, Some(&body)).is_err() {
                    refused += 1;
                    crate::pause(EDIT_EVERY);
                }
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                crate::pause(EDIT_EVERY);
            }
            (edits, refused)
        });
        Self { over, thread }
    }

    /// How many edits there were, and how many tries of them failed.
    fn end(self) -> (u64, u64) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// A small disk that can be filled up, where mounting is allowed.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Bytes of it: some segments of a click log.
    const SIZE: &'static str = "size=64m";

    fn small(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).ok()?;
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", Self::SIZE, "none"])
            .arg(folder)
            .status();
        let disk = status.is_ok_and(|status| status.success()).then(|| Self {
            folder: folder.to_owned(),
        });
        if disk.is_none() {
            eprintln!("no disk can be mounted here: none will be full");
        }
        disk
    }

    /// Leaves no room on it.
    pub(crate) fn fill(&self) {
        if let Ok(mut file) = std::fs::File::create(self.filler()) {
            let zeros = [0; 64 << 10];
            // To the last byte.
            for size in [zeros.len(), 512, 1] {
                let piece = zeros.get(..size).unwrap_or_default();
                while std::io::Write::write_all(&mut file, piece).is_ok() {}
            }
        }
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        let _ = std::fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it until he ends.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
