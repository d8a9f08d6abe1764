//! Keeps the link table fresh: takes snapshots and changes from a control plane and stores each new table at once.
//!
//! A thread with a runtime of its own, so that nothing here is ever on a serving thread's path: assembling tables,
//! freeing old ones, waiting for a network. A session takes a snapshot where it must (no table yet, damaged groups, a
//! history that the database does not know), then follows the changes in order. Whatever is wrong with a frame ends
//! the session and leaves the table as it was; the next one, with the next control plane of the list, begins after a
//! pause that grows and is never the same for all proxies.
//!
//! The proxy is ready when it has a table, from disk or from here: a feed that is down is a metric and a log line, for
//! redirects go on without it.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod call;
mod client;
mod parts;
mod retired;
mod session;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use metrics::{Gauge, Histogram, counter, gauge, histogram};
use schemas::health::Health;
use schemas::names::files::FEED_TOKEN;
use schemas::settings::Secret;
use tokio::runtime::Builder;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub(crate) use self::call::Caller;
use self::retired::Retired;
use self::session::Ended;
use crate::blobs::Blobs;
use crate::config;
use crate::metrics as names;
use crate::salts::Salts;
use crate::snapshot::Disk;
use crate::table::{Current, Invalid, LinkTable};

/// The part of `/ready` that speaks of the link table.
pub const LINKS: &str = "links";

/// First and longest pause between two sessions. Short enough that a restarted control plane is found at once, long
/// enough that a dead one costs nothing.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(3);

/// Every how many failures in a row one is logged: about once a minute.
const TELL_EVERY: u32 = 20;

/// How often the token's file is looked for.
const TOKEN_EVERY: Duration = Duration::from_millis(200);

/// What the feed client needs.
#[derive(Debug)]
pub struct Parts {
    /// Where from.
    pub config: config::Feed,
    /// Holds the token's file.
    pub data_dir: PathBuf,
    /// Where each new table goes.
    pub table: Current,
    /// Who fetches what the table names.
    pub blobs: Arc<Blobs>,
    /// Where new salts go.
    pub salts: Salts,
    /// Where changes are kept.
    pub disk: Disk,
    /// Where the state of the table is told.
    pub health: Health,
}

/// The running feed client.
#[derive(Debug)]
pub struct Feed {
    stop: CancellationToken,
    thread: thread::JoinHandle<Disk>,
}

impl Feed {
    /// Starts the thread. `ended` is dropped when it ends, however it does.
    ///
    /// # Errors
    /// No runtime or no thread.
    pub fn start(parts: Parts, ended: impl Send + 'static) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        // Before the thread: whoever started us may ask at once how the table is.
        let mut client = Client::new(parts);
        let thread = thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || {
                let _ended = ended;
                runtime.block_on(async {
                    tokio::select! {
                        () = stopped.cancelled() => {}
                        () = client.run() => {}
                    }
                });
                // Tasks of connections end with the runtime.
                drop(runtime);
                client.disk
            })?;
        Ok(Self { stop, thread })
    }

    /// Ends the session and gives the disk back.
    ///
    /// # Errors
    /// The thread has panicked.
    pub fn stop(self) -> anyhow::Result<Disk> {
        self.stop.cancel();
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the feed's thread has panicked"))
    }
}

/// The client's state across sessions.
struct Client {
    config: config::Feed,
    data_dir: PathBuf,
    table: Current,
    blobs: Arc<Blobs>,
    salts: Salts,
    disk: Disk,
    health: Health,
    retired: Retired,
    /// Our history is not the database's: a snapshot is due.
    wants_snapshot: bool,
    /// What we hold does not add up: everything is to be sent.
    wants_all: bool,
    /// What came of a snapshot that broke off.
    parts: Option<parts::Parts>,
    metrics: Metrics,
}

struct Metrics {
    links: Gauge,
    missing: Gauge,
    seq: Gauge,
    lag: Gauge,
    connected: Gauge,
    delay: Histogram,
}

impl Client {
    fn new(parts: Parts) -> Self {
        let client = Self {
            config: parts.config,
            data_dir: parts.data_dir,
            table: parts.table,
            blobs: parts.blobs,
            salts: parts.salts,
            disk: parts.disk,
            health: parts.health,
            retired: Retired::default(),
            wants_snapshot: false,
            wants_all: false,
            parts: None,
            metrics: Metrics {
                links: gauge!(names::LINKS),
                missing: gauge!(names::MISSING_GROUPS),
                seq: gauge!(names::FEED_SEQ),
                lag: gauge!(names::FEED_LAG),
                connected: gauge!(names::FEED_CONNECTED),
                delay: histogram!(names::FEED_DELAY),
            },
        };
        client.tell(&client.table.load(), None);
        client
    }

    /// Session after session, without end.
    async fn run(&mut self) {
        let mut pause = PAUSE.start;
        let (mut round, mut failures) = (0_usize, 0_u32);
        loop {
            let token = self.token().await;
            let urls = &self.config.urls;
            let Some(url) = urls.get(round % urls.len().max(1)).cloned() else {
                return std::future::pending().await;
            };
            let (ended, greeted) = self.session(&url, &token).await;
            self.metrics.connected.set(0.0);
            counter!(names::FEED_ENDED, "reason" => ended.reason()).increment(1);
            self.tell(&self.table.load(), Some(&ended));
            match ended {
                Ended::Unknown => self.wants_snapshot = true,
                Ended::Incomplete(_) => self.wants_all = true,
                // A change that breaks a rule would come again with each session; the state behind it may be legal.
                Ended::Invalid(ref why) if !matches!(why, Invalid::Gap { .. }) => {
                    self.wants_snapshot = true;
                    round += 1;
                }
                _ => round += 1,
            }
            if greeted {
                pause = PAUSE.start;
                failures = 0;
            }
            // Once when it begins and now and then, not at every try: it may be down for hours.
            if failures % TELL_EVERY == 0 {
                tracing::warn!(reason = ended.reason(), error = %ended, url = %url.authority, "the feed's session has ended");
            }
            failures += 1;
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(PAUSE.end);
        }
    }

    /// The token: given, or from its file as soon as the control plane has made it. Read anew for each session, for it
    /// may have been replaced.
    async fn token(&self) -> Secret {
        if let Some(token) = &self.config.token {
            return token.clone();
        }
        let path = self.data_dir.join(FEED_TOKEN);
        let mut told = false;
        loop {
            // Blocking, but tiny, rare and on the feed's own thread.
            match std::fs::read_to_string(&path) {
                Ok(text) if !text.trim().is_empty() => return Secret(text.trim().to_owned()),
                _ => {}
            }
            if !told {
                told = true;
                tracing::info!(
                    file = FEED_TOKEN,
                    "waiting for the control plane to make the feed's token"
                );
                if !self.table.load().is_loaded() {
                    self.health.not_ready(
                        LINKS,
                        format!("no link table yet: waiting for {FEED_TOKEN} in the data folder"),
                    );
                }
            }
            sleep(TOKEN_EVERY).await;
        }
    }

    /// Makes a table the one that workers see.
    fn publish(&mut self, table: LinkTable) {
        if !Arc::ptr_eq(table.salts(), self.table.load().salts()) {
            self.salts.store(Arc::clone(table.salts()));
        }
        let table = Arc::new(table);
        let old = self.table.swap(Arc::clone(&table));
        self.retired.push(old);
        self.tell(&table, None);
    }

    /// Says how the table is.
    fn tell(&self, table: &LinkTable, ended: Option<&Ended>) {
        let missing = table.missing().map_or(0, |groups| groups.len());
        self.metrics.links.set(table.links() as f64);
        self.metrics.missing.set(missing as f64);
        self.metrics.seq.set(table.version().seq as f64);
        if !table.is_loaded() {
            let why = match ended {
                Some(ended) => format!("no link table yet: {ended}"),
                None => "no link table yet, neither on disk nor from the feed".to_owned(),
            };
            self.health.not_ready(LINKS, why);
        } else if missing > 0 {
            self.health.not_ready(
                LINKS,
                format!("{missing} of 4096 groups of links were damaged on disk and have not come by the feed yet"),
            );
        } else {
            self.health.ready(LINKS);
        }
    }
}

/// Between half of a pause and all of it.
fn jittered(pause: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}
