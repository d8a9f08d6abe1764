//! The enricher's loop: read a ring, make records, append them to the log, and only then give the ring its room back.
//!
//! One ring's batch is one append, so what an earlier process wrote without telling its ring is in the newest segment
//! (see [`crate::log::Accounted`]) and is skipped when that ring is drained. While the log refuses, nothing is taken
//! from the rings: they fill up, and what is lost then is the newest, with the log's reason.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge};
use prost::Message as _;
use schemas::click_log::{Kind, append_record};
use schemas::health::Health;

use super::STOP_DEADLINE;
use super::books::Books;
use super::click::{Clicks, Clock};
use crate::config::Config;
use crate::log::{Log, LogError};
use crate::metrics::clicks as names;
use crate::ring::{Found, Leftover, Loss, Progress, Reader};
use crate::salts::Salts;

/// Pause when no ring holds anything: what a visit waits at most before it is looked at. A worker does not wake the
/// enricher up, since that would cost it a system call.
const IDLE: Duration = Duration::from_millis(5);

/// Pause after the log refused.
const RETRY: Duration = Duration::from_millis(250);

/// How often the log is synced: what a power failure costs at most, besides the rings.
const SYNC_INTERVAL: Duration = Duration::from_millis(200);

/// How often acknowledged segments are deleted and gauges set.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// How often the geo files are looked at.
const GEO_INTERVAL: Duration = Duration::from_secs(5);

const RINGS: &str = super::RINGS;
const LOG: &str = "click log";
const GEO: &str = "geo";

/// One ring being drained.
#[derive(Debug)]
struct Source {
    reader: Reader,
    books: Books,
    /// Positions below this that find no room are lost because the log refused.
    blamed: (u64, &'static str),
    damage_counted: u64,
}

/// What came of draining one ring a little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    Nothing,
    Some,
    /// Complete and in the log; the ring may go.
    Closed,
}

#[derive(Debug)]
pub(super) struct Pipeline {
    log_folder: PathBuf,
    log_bound: u64,
    log: Option<Log>,
    /// Offset behind the log's last record, for whoever reads it in this process.
    log_end: Arc<AtomicU64>,
    clicks: Clicks,
    salts: Salts,
    health: Health,
    live: Vec<Source>,
    leftovers: VecDeque<Leftover>,
    leftover: Option<Source>,
    batch: Vec<u8>,
    payload: Vec<u8>,
    /// The log refuses, for this reason, and is asked again then.
    refused: Option<(&'static str, Instant)>,
    synced_at: Instant,
    /// The last sync failed.
    unsynced: bool,
    tidied_at: Option<Instant>,
    geo_at: Option<Instant>,
    geo_errors: u64,
}

impl Pipeline {
    pub(super) fn new(
        config: &Config,
        clicks: Clicks,
        salts: Salts,
        health: Health,
        readers: Vec<Reader>,
        leftovers: Vec<Leftover>,
    ) -> Self {
        health.not_ready(LOG, "not opened yet");
        if !config.geo_db.is_empty() {
            health.not_ready(GEO, "not read yet");
        }
        Self {
            log_folder: config.click_log_dir.clone(),
            log_bound: config.click_log_bytes,
            log: None,
            log_end: Arc::default(),
            clicks,
            salts,
            health,
            live: readers.into_iter().map(Source::new).collect(),
            leftovers: leftovers.into(),
            leftover: None,
            batch: Vec::new(),
            payload: Vec::new(),
            refused: None,
            synced_at: Instant::now(),
            unsynced: false,
            tidied_at: None,
            geo_at: None,
            geo_errors: 0,
        }
    }

    /// Works until `stopped` is disconnected and all rings are drained, or the deadline has passed.
    pub(super) fn run(mut self, stopped: &Receiver<()>) {
        // Never sent to: a pause that clippy lets pass and that ends when told.
        let (_silent, pause) = mpsc::channel::<()>();
        let mut stopping = None;
        loop {
            let now = Instant::now();
            self.tidy(now);
            let moved = self.drain_all(now);
            let wait = if moved { Duration::ZERO } else { IDLE };
            match stopping {
                None => {
                    if stopped.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                        stopping = Some(now);
                    }
                }
                Some(since) => {
                    if self.is_drained() {
                        break;
                    }
                    if now - since >= STOP_DEADLINE {
                        tracing::warn!(
                            "not all visits are in the click log; the next start goes on with their rings"
                        );
                        break;
                    }
                    let _ = pause.recv_timeout(wait);
                }
            }
        }
        self.sync();
        self.tidied_at = None;
        self.tidy(Instant::now());
    }

    pub(super) fn log_end(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.log_end)
    }

    fn is_drained(&self) -> bool {
        self.live.is_empty() && self.leftover.is_none() && self.leftovers.is_empty()
    }

    /// Drains each ring a little. Returns whether there may be more at once.
    fn drain_all(&mut self, now: Instant) -> bool {
        if self.refused.is_some_and(|(_, until)| now < until) || !self.open_log(now) {
            return false;
        }
        // What was lost up to this attempt is the log's fault, should it succeed.
        self.blame();
        let mut moved = false;
        let mut live = std::mem::take(&mut self.live);
        let mut kept = Vec::with_capacity(live.len());
        for mut source in live.drain(..) {
            match self.drain(&mut source, now) {
                Ok(Drained::Closed) => {
                    self.close(source);
                    moved = true;
                    continue;
                }
                Ok(drained) => moved |= drained == Drained::Some,
                Err(e) => self.refuse(&e, now),
            }
            kept.push(source);
        }
        self.live = kept;
        if self.refused.is_some() {
            self.blame();
            return false;
        }
        moved | self.drain_leftover(now)
    }

    /// Goes on with the rings of earlier processes, one at a time.
    fn drain_leftover(&mut self, now: Instant) -> bool {
        let Some(mut source) = self.leftover.take() else {
            return self.open_leftover();
        };
        match self.drain(&mut source, now) {
            Ok(Drained::Closed) => {
                counter!(names::RINGS_DRAINED).increment(1);
                self.close(source);
                return true;
            }
            Ok(_) => {}
            Err(e) => {
                self.refuse(&e, now);
                self.blame();
            }
        }
        self.leftover = Some(source);
        self.refused.is_none()
    }

    fn open_leftover(&mut self) -> bool {
        let Some(leftover) = self.leftovers.pop_front() else {
            return false;
        };
        let stream = leftover.stream();
        match leftover.open() {
            Ok(Some(reader)) => {
                tracing::info!(%stream, from = reader.expected(), "draining the ring of an earlier process");
                self.leftover = Some(Source::new(reader));
            }
            Ok(None) => {}
            Err(e) => {
                tracing::error!(%stream, error = %e, "the ring of an earlier process cannot be read and is left where it is");
                counter!(names::RINGS_UNREADABLE).increment(1);
            }
        }
        true
    }

    /// Reads a ring a little and appends what was found. When the log refuses, nothing has happened.
    fn drain(&mut self, source: &mut Source, now: Instant) -> Result<Drained, LogError> {
        let Some(log) = &mut self.log else {
            return Ok(Drained::Nothing);
        };
        let Source {
            reader,
            books,
            blamed,
            ..
        } = source;
        let (clicks, payload, batch) = (&mut self.clicks, &mut self.payload, &mut self.batch);
        batch.clear();
        let salts = self.salts.load();
        let now_ms = now_ms();
        let stream = reader.stream();
        let before = reader.expected();
        let has_ring = reader.has_ring();
        // Asked before reading: what is appended until then will be found.
        let finished = reader.is_finished();
        let progress = reader.read(|found| match found {
            Found::Visit { position, visit } => {
                let click = clicks.click(stream, position, &visit, Clock::Near(now_ms), &salts);
                payload.clear();
                click.encode_raw(payload);
                if append_record(batch, Kind::Click, payload).is_err() {
                    // Cannot be: every text is bounded.
                    books.lose(position, position + 1, "too_long");
                }
            }
            Found::Lost { from, to, loss } => books.lose(from, to, reason(loss, from, *blamed)),
        });
        let closed = finished && progress == Progress::CaughtUp;
        let written = reader.expected();
        let result = books
            .write(batch, written, closed, now, now_ms)
            .map_err(|e| LogError::Io {
                path: self.log_folder.clone(),
                source: std::io::Error::other(e),
            })
            .and_then(|()| log.append(batch));
        let tally = std::mem::take(&mut clicks.tally);
        if let Err(e) = result {
            reader.rewind();
            books.rewind();
            return Err(e);
        }
        self.log_end.store(log.end(), Ordering::Release);
        reader.commit();
        tally.count();
        for drop in books.commit() {
            counter!(names::DROPPED, "reason" => drop.reason.clone())
                .increment(drop.to - drop.from);
        }
        // An empty append says nothing about the log.
        if !self.batch.is_empty() {
            self.accept();
        }
        Ok(
            match (closed, written > before || progress == Progress::More) {
                (true, _) => Drained::Closed,
                (false, true) if has_ring || progress == Progress::More => Drained::Some,
                _ => Drained::Nothing,
            },
        )
    }

    /// A stream is complete. Its ring goes when the log is on disk.
    fn close(&mut self, source: Source) {
        self.sync();
        let stream = source.reader.stream();
        source.count_damage();
        if let Err(e) = source.reader.delete() {
            tracing::warn!(%stream, error = %e, "cannot delete a drained ring; the next start will");
        }
    }

    fn open_log(&mut self, now: Instant) -> bool {
        if self.log.is_some() {
            return true;
        }
        let opened = Log::open(&self.log_folder, self.log_bound).and_then(|log| {
            self.tell_leftovers(&log)?;
            Ok(log)
        });
        match opened {
            Ok(log) => {
                if log.cut_bytes() > 0 {
                    tracing::warn!(bytes = log.cut_bytes(), "cut a torn tail off the click log");
                    counter!(names::LOG_CUT).increment(log.cut_bytes());
                }
                self.log_end.store(log.end(), Ordering::Release);
                self.log = Some(log);
                self.accept();
                self.health.ready(LOG);
                true
            }
            Err(e) => {
                self.refuse(&e, now);
                self.blame();
                false
            }
        }
    }

    /// Tells the rings of earlier processes what of theirs is in the log already. Before anything else is appended: it
    /// may not be in the newest segment any more then.
    fn tell_leftovers(&self, log: &Log) -> Result<(), LogError> {
        if self.leftovers.is_empty() {
            return Ok(());
        }
        let accounted = log.accounted()?;
        for leftover in &self.leftovers {
            if !accounted.knows(leftover.stream()) {
                continue;
            }
            // One that cannot be opened is told of when its turn comes.
            if let Ok(Some(mut reader)) = leftover.open() {
                reader.skip_to(accounted.first_open(leftover.stream(), reader.expected()));
                reader.commit();
            }
        }
        Ok(())
    }

    /// The log takes records (again).
    fn accept(&mut self) {
        if let Some((reason, _)) = self.refused.take() {
            tracing::info!(reason, "the click log takes records again");
            self.health.ready(LOG);
        }
    }

    fn refuse(&mut self, error: &LogError, now: Instant) {
        if self.refused.is_none() {
            tracing::error!(error = %error, "the click log refuses; visits stay in the rings while there is room");
        }
        counter!(names::LOG_FAILURES, "reason" => error.reason()).increment(1);
        self.health.not_ready(LOG, error.to_string());
        self.refused = Some((error.reason(), now + RETRY));
    }

    /// What finds no room in a ring from now on is lost because of the log.
    fn blame(&mut self) {
        let Some((reason, _)) = self.refused else {
            return;
        };
        for source in &mut self.live {
            source.blamed = (source.reader.handed_out(), reason);
        }
    }

    fn sync(&mut self) {
        let Some(log) = &mut self.log else { return };
        match log.sync() {
            Ok(()) => self.unsynced = false,
            Err(e) => {
                if !self.unsynced {
                    tracing::error!(error = %e, "cannot sync the click log: a power failure would cost what is in it");
                }
                counter!(names::LOG_FAILURES, "reason" => "sync").increment(1);
                self.unsynced = true;
            }
        }
    }

    /// What has to be done now and then.
    fn tidy(&mut self, now: Instant) {
        if now - self.synced_at >= SYNC_INTERVAL {
            self.sync();
            self.synced_at = now;
        }
        if self.geo_at.is_none_or(|at| now - at >= GEO_INTERVAL) {
            self.refresh_geo();
            self.geo_at = Some(now);
        }
        if self.tidied_at.is_none_or(|at| now - at >= TIDY_INTERVAL) {
            self.tidied_at = Some(now);
            self.blame();
            self.tidy_log();
            self.tidy_rings();
        }
    }

    fn tidy_log(&mut self) {
        let Some(log) = &mut self.log else { return };
        if let Err(e) = log.reclaim() {
            tracing::warn!(error = %e, "cannot delete an acknowledged segment");
        }
        gauge!(names::LOG_BYTES).set(log.bytes() as f64);
        gauge!(names::LOG_END).set(log.end() as f64);
        gauge!(names::LOG_ACKNOWLEDGED).set(log.acknowledged() as f64);
    }

    fn tidy_rings(&mut self) {
        let mut lost = 0;
        for source in &mut self.live {
            lost += source.reader.lost_by_worker();
            source.damage_counted = source.count_damage();
            if source.reader.is_unlinked() {
                self.health.not_ready(
                    RINGS,
                    "a ring was deleted: its visits would not survive this process",
                );
            }
        }
        gauge!(names::RING_LOST).set(lost as f64);
        if let Some(source) = &mut self.leftover {
            source.damage_counted = source.count_damage();
        }
        let errors = self.clicks.geo.errors();
        counter!(names::GEO_ERRORS).increment(errors - self.geo_errors);
        self.geo_errors = errors;
    }

    fn refresh_geo(&mut self) {
        let tried = self.clicks.geo.refresh();
        match self.clicks.geo.problem() {
            None => self.health.ready(GEO),
            Some(problem) => {
                if tried || self.geo_at.is_none() {
                    tracing::error!(problem, "geo data is missing or old");
                }
                self.health.not_ready(GEO, problem);
            }
        }
    }
}

impl Source {
    fn new(reader: Reader) -> Self {
        Self {
            books: Books::new(reader.stream()),
            reader,
            blamed: (0, ""),
            damage_counted: 0,
        }
    }

    fn count_damage(&self) -> u64 {
        let damage = self.reader.damaged_bytes();
        counter!(names::RING_DAMAGE).increment(damage - self.damage_counted);
        damage
    }
}

fn reason(loss: Loss, from: u64, (blamed_to, blame): (u64, &'static str)) -> &'static str {
    match loss {
        Loss::Full if from < blamed_to => blame,
        Loss::Full => "ring_full",
        Loss::Corrupt => "ring_corrupt",
        Loss::NoRing => "ring_unavailable",
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}
