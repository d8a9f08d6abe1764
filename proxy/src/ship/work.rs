//! The shipper's loop: read the log, hand records over, move the acknowledgement, say how it stands.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka::Key;
use metrics::counter;
use prost::Message as _;
use schemas::click::{Book, ClickId, Drop, Stream};
use schemas::click_log::{ACK_FILE, Kind, RECORD_HEADER_BYTES, decode_ack, encode_ack};
use schemas::health::Health;

use super::flight::Flight;
use super::link::{Link, Sent};
use super::pace::Pace;
use super::reader::{Reader, Step};
use super::report::{KAFKA, report};
use super::{Places, Route, STOP_DEADLINE};
use crate::enrich::now_ms;
use crate::metrics::ship as names;

/// Pause when there is nothing to send: what a click waits at most before it is looked at.
const IDLE: Duration = Duration::from_millis(10);

/// Pause while something is under way or may not go yet.
const BUSY: Duration = Duration::from_millis(2);

/// Records handed over between two looks at deliveries.
const ROUND: usize = 1_000;

/// How often the acknowledgement is written.
const ACK_INTERVAL: Duration = Duration::from_millis(100);

/// How often metrics and health are set.
const TIDY_INTERVAL: Duration = Duration::from_millis(500);

/// First and longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Why positions are missing that a damaged stretch of the log held, as the books name it.
const LOG_DAMAGE: &str = "log_damage";

/// What of a click the shipper has to know.
#[derive(Clone, PartialEq, prost::Message)]
struct Front {
    #[prost(fixed64, tag = "1")]
    epoch: u64,
    #[prost(uint32, tag = "2")]
    worker: u32,
    #[prost(uint64, tag = "3")]
    position: u64,
    #[prost(sint64, tag = "4")]
    time_ms: i64,
}

/// A record that has been read and not been handed over.
#[derive(Debug)]
struct Held {
    stream: Option<Stream>,
    key: String,
    payload: Bytes,
    time_ms: i64,
    end: u64,
    /// It is the stream's last.
    closes: bool,
}

pub(super) struct Work {
    route: Route,
    health: Health,
    link: Option<Link>,
    places: Option<Places>,
    reader: Reader,
    flight: Flight,
    pace: Pace,
    /// Records that wait for room, in order.
    held: std::collections::VecDeque<Held>,
    /// Per stream, the position that comes next and the offset of its last record.
    seen: HashMap<Stream, (u64, u64)>,
    /// Offset of the last damage.
    damaged_at: Option<u64>,
    acknowledged: u64,
    acknowledged_at: Instant,
    tidied_at: Option<Instant>,
    pause: Duration,
    retry_at: Option<Instant>,
}

impl Work {
    pub(super) fn new(route: Route, health: Health) -> Self {
        health.not_ready(KAFKA, "kafka has not been reached yet");
        let reader = Reader::new(route.folder.clone(), 0);
        let pace = Pace::new(route.bytes_per_second);
        Self {
            route,
            health,
            link: None,
            places: None,
            reader,
            flight: Flight::new(0),
            pace,
            held: std::collections::VecDeque::new(),
            seen: HashMap::new(),
            damaged_at: None,
            acknowledged: 0,
            acknowledged_at: Instant::now(),
            tidied_at: None,
            pause: RETRY.0,
            retry_at: None,
        }
    }

    /// Works until `stopped` is disconnected and all is shipped, the deadline has passed, or no broker answers.
    pub(super) fn run(&mut self, stopped: &Receiver<()>) {
        let mut stopping: Option<Instant> = None;
        loop {
            let now = Instant::now();
            self.turn(now);
            if stopping.is_none() && stopped.try_recv() == Err(TryRecvError::Disconnected) {
                stopping = Some(now);
            }
            if let Some(since) = stopping {
                let down = self.link.as_ref().is_some_and(|l| l.brokers().are_down());
                if self.is_done() || down || now - since >= STOP_DEADLINE {
                    break;
                }
            }
        }
        self.acknowledge(true);
        if !self.is_done() {
            tracing::warn!("not all clicks are in kafka; the next start ships the rest of the log");
        }
    }

    /// Works until all is shipped, or nothing has moved for `patience`; whether all is.
    pub(super) fn run_to_end(&mut self, patience: Duration) -> bool {
        let (mut moved, mut at) = (self.flight.acknowledged(), Instant::now());
        loop {
            let now = Instant::now();
            self.turn(now);
            if self.places.is_some() && self.is_done() {
                self.acknowledge(true);
                return true;
            }
            if self.flight.acknowledged() > moved {
                (moved, at) = (self.flight.acknowledged(), now);
            } else if now - at >= patience {
                return false;
            }
        }
    }

    fn end(&self) -> u64 {
        self.route.end.load(Ordering::Acquire)
    }

    fn is_done(&self) -> bool {
        self.flight.acknowledged() >= self.end()
    }

    /// A little of everything.
    fn turn(&mut self, now: Instant) {
        self.tidy(now);
        if self.retry_at.is_some_and(|at| now < at) || !self.is_connected(now) {
            self.rest(IDLE);
            return;
        }
        let wait = match self.ship(now) {
            Ok(true) => Duration::ZERO,
            Ok(false) if self.flight.records() > 0 || !self.held.is_empty() => BUSY,
            Ok(false) => IDLE,
            Err(why) => {
                self.fail(&why, now);
                return;
            }
        };
        let Some(link) = &self.link else { return };
        let deliveries = link.poll(wait);
        let failed = deliveries.failed.or_else(|| link.fatal());
        for number in deliveries.arrived {
            self.flight.arrived(number);
        }
        self.acknowledge(false);
        match failed {
            // Those behind it may have failed too or not: all that is not acknowledged goes again, in order.
            Some(why) => self.fail(&why, now),
            None => {
                let delivered = self.flight.take_delivered();
                if delivered > 0 {
                    counter!(names::RECORDS).increment(delivered);
                    self.pause = RETRY.0;
                }
            }
        }
    }

    /// Waits without work; news of the brokers are taken in meanwhile.
    fn rest(&self, wait: Duration) {
        match &self.link {
            Some(link) => {
                link.poll(wait);
            }
            None => {
                // Never sent to: a pause that clippy lets pass.
                let (_silent, pause) = mpsc::channel::<()>();
                let _ = pause.recv_timeout(wait);
            }
        }
    }

    /// Sees that there is a producer that knows the topic, and a place to read from.
    fn is_connected(&mut self, now: Instant) -> bool {
        if self.end() == 0 {
            return false;
        }
        if self.places.is_none() {
            let acknowledged = read_ack(&self.route.folder.join(ACK_FILE));
            match Places::load(&self.route.folder, acknowledged) {
                Ok(places) => self.places = Some(places),
                Err(error) => {
                    self.fail(&format!("cannot read the list of streams: {error}"), now);
                    return false;
                }
            }
            self.acknowledged = acknowledged;
            self.start_over(acknowledged);
        }
        if self.link.as_ref().is_some_and(|l| l.partitions() > 0) {
            return true;
        }
        let tried = match &mut self.link {
            // Asking would block until the deadline.
            Some(link) if link.brokers().up() == 0 => return false,
            Some(link) => link
                .learn_partitions(&self.route.kafka)
                .map_err(|error| error.to_string()),
            None => match Link::new(&self.route.kafka) {
                Ok(link) => {
                    self.link = Some(link);
                    return false;
                }
                Err(error) => Err(error.to_string()),
            },
        };
        match tried {
            Ok(()) => true,
            Err(why) => {
                // The producer itself goes on trying to connect.
                self.wait_after(&why, now);
                false
            }
        }
    }

    /// Hands records over while there is room. Whether there may be more at once.
    fn ship(&mut self, now: Instant) -> Result<bool, String> {
        let end = self.end();
        for _ in 0..ROUND {
            if !self.flight.has_room() || !self.pace.allows(now) {
                return Ok(false);
            }
            while self.held.is_empty() {
                let step = self
                    .reader
                    .read(end)
                    .map_err(|error| format!("cannot read the click log: {error}"))?;
                match step {
                    None => return Ok(false),
                    Some(step) => self.take(step),
                }
            }
            if !self.send_held()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes what was read into what is sent.
    fn take(&mut self, step: Step) {
        let (kind, payload, end) = match step {
            Step::Damage { bytes, end } => {
                counter!(names::DAMAGE_BYTES).increment(bytes);
                tracing::warn!(
                    offset = end - bytes,
                    bytes,
                    "passed over part of the click log"
                );
                self.damaged_at = Some(end - bytes);
                self.flight.pass_over(end);
                return;
            }
            Step::Record { kind, payload, end } => (kind, payload, end),
        };
        let mut held = Held {
            stream: None,
            key: String::new(),
            payload,
            time_ms: now_ms(),
            end,
            closes: false,
        };
        match kind {
            Kind::Click => {
                if let Ok(front) = Front::decode(held.payload.clone())
                    && let Ok(worker) = u16::try_from(front.worker)
                {
                    let epoch = front.epoch;
                    let stream = Stream { epoch, worker };
                    let position = front.position;
                    held.stream = Some(stream);
                    held.key = Key::Click(ClickId { stream, position }).to_string();
                    held.time_ms = front.time_ms;
                    self.explain(stream, position, end);
                }
            }
            Kind::Book => {
                if let Ok(book) = Book::decode(held.payload.clone())
                    && let Some(stream) = book.stream()
                {
                    held.stream = Some(stream);
                    held.key = Key::Book(stream).to_string();
                    held.closes = book.closed;
                }
            }
        }
        self.held.push_back(held);
    }

    /// Positions passed over since the stream's last record, with damage between the two, were in the damage: the books
    /// have to say so, since whoever reads the topic cannot know.
    fn explain(&mut self, stream: Stream, position: u64, end: u64) {
        let before = self.seen.insert(stream, (position.saturating_add(1), end));
        let (Some((from, offset)), Some(damaged)) = (before, self.damaged_at) else {
            return;
        };
        if damaged < offset || from >= position {
            return;
        }
        let book = Book {
            epoch: stream.epoch,
            worker: stream.worker.into(),
            written: position,
            time_ms: now_ms(),
            dropped: vec![Drop {
                from,
                to: position,
                reason: LOG_DAMAGE.to_owned(),
            }],
            closed: false,
        };
        self.held.push_back(Held {
            stream: Some(stream),
            key: Key::Book(stream).to_string(),
            payload: book.encode_to_vec().into(),
            time_ms: book.time_ms,
            // Not acknowledged before the record that follows.
            end: offset,
            closes: false,
        });
    }

    /// Hands over what is held, in order; whether all of it went.
    fn send_held(&mut self) -> Result<bool, String> {
        let (Some(link), Some(places)) = (&mut self.link, &mut self.places) else {
            return Ok(false);
        };
        while let Some(held) = self.held.front() {
            let partition = match held.stream {
                Some(stream) => {
                    // Partitions may have been added since. While no broker answers, asking would block, and the number of before
                    // will do.
                    if !places.knows(stream) && (link.brokers().up() > 0 || link.partitions() == 0)
                    {
                        link.learn_partitions(&self.route.kafka)
                            .map_err(|error| error.to_string())?;
                    }
                    places.bind(stream, link.partitions()).map_err(|error| {
                        format!("cannot note the partition of a stream: {error}")
                    })?
                }
                None => 0,
            };
            let number = self.flight.next();
            match link.send(partition, &held.key, &held.payload, number) {
                Sent::Yes => {}
                Sent::Full => return Ok(false),
                Sent::Failed(why) => return Err(why),
            }
            let bytes = (RECORD_HEADER_BYTES + held.payload.len()) as u64;
            self.flight
                .add(held.end.max(self.flight.last_end()), bytes, held.time_ms);
            self.pace.spend(bytes);
            if let (true, Some(stream)) = (held.closes, held.stream) {
                places.close(stream, held.end);
                self.seen.remove(&stream);
            }
            self.held.pop_front();
        }
        Ok(true)
    }

    /// Gives the producer up and begins again at the acknowledgement.
    fn fail(&mut self, why: &str, now: Instant) {
        counter!(names::FAILURES).increment(1);
        self.link = None;
        let acknowledged = self.flight.acknowledged();
        if self.places.is_some() {
            self.start_over(acknowledged);
        }
        self.wait_after(why, now);
    }

    fn start_over(&mut self, from: u64) {
        self.reader.seek(from);
        self.flight = Flight::new(from);
        self.held.clear();
        self.seen.clear();
        self.damaged_at = None;
    }

    fn wait_after(&mut self, why: &str, now: Instant) {
        self.health
            .not_ready(KAFKA, format!("clicks wait in the log: {why}"));
        tracing::warn!(why, retry_in = ?self.pause, "cannot ship clicks; they wait in the log");
        self.retry_at = Some(now + self.pause);
        self.pause = (self.pause * 2).min(RETRY.1);
    }

    /// Writes the acknowledgement, now and then.
    fn acknowledge(&mut self, at_once: bool) {
        let acknowledged = self.flight.acknowledged();
        if acknowledged <= self.acknowledged
            || !at_once && self.acknowledged_at.elapsed() < ACK_INTERVAL
        {
            return;
        }
        self.acknowledged_at = Instant::now();
        // Without fsync: an acknowledgement that is lost costs shipping again.
        let beside = self.route.folder.join("ack.tmp");
        let written = fs::write(&beside, encode_ack(acknowledged))
            .and_then(|()| fs::rename(&beside, self.route.folder.join(ACK_FILE)));
        match written {
            Ok(()) => self.acknowledged = acknowledged,
            Err(error) => tracing::warn!(%error, "cannot acknowledge the click log"),
        }
    }

    /// Says how it stands, now and then.
    fn tidy(&mut self, now: Instant) {
        if self.tidied_at.is_some_and(|at| now - at < TIDY_INTERVAL) {
            return;
        }
        self.tidied_at = Some(now);
        let end = self.end();
        report(
            end,
            &self.reader,
            &self.flight,
            self.link.as_ref(),
            &self.health,
        );
    }
}

fn read_ack(path: &std::path::Path) -> u64 {
    match fs::read_to_string(path) {
        Ok(text) => decode_ack(&text).unwrap_or(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => {
            tracing::warn!(%error, "cannot read the acknowledgement of the click log; shipping all of it");
            0
        }
    }
}
