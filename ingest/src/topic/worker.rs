//! The loop of one worker: poll → decode → skip what is known → batch → intent → insert → roll up → commit.
//!
//! As with the click log there are two states. A partition that has come is in doubt until it is settled. An error
//! anywhere ends the membership: the partitions go to workers that can store, and we begin anew after a pause.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kafka::{Kafka, Key};
use metrics::{counter, gauge};
use schemas::click::Stream;
use schemas::health::Health;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::dead::Sender;
use super::group::{Group, last_of};
use super::holes::Holes;
use super::mark::{Last, Mark};
use super::settle::{Notes, Settler};
use super::{Reader, log_partition};
use crate::attempts::{Attempts, CLICKHOUSE, KAFKA, drained};
use crate::batch::Judge;
use crate::busy::Busy;
use crate::config::Config;
use crate::failure::Failure;
use crate::metrics as m;
use crate::migrate::migrate;
use crate::pipeline::{age_seconds, connect};
use crate::recover;
use crate::source::{Claim, Record};
use crate::writer::{Behind, Writer};

/// Longest time in one poll: what a stop waits.
const POLL: Duration = Duration::from_millis(50);

/// How long a partition is silent before its offset is committed without an intent, so that lag reads 0.
const IDLE: Duration = Duration::from_millis(500);

/// How long a partition that is not silent goes without a commit.
const BUSY: Duration = Duration::from_secs(5);

/// How long the group's word is good. A worker that was stopped for longer than its session asks before it rolls up what
/// it stored: another one may have done so.
const LEASE: Duration = Duration::from_millis(500);

/// Everything a worker works on.
pub(crate) struct Worker {
    pub(crate) config: Config,
    pub(crate) kafka: Kafka,
    pub(crate) health: Health,
    pub(crate) shutdown: CancellationToken,
}

/// A partition that is held and settled.
struct Part {
    judge: Judge,
    behind: Behind,
    /// All below this offset is stored.
    next: u64,
    last: Option<Last>,
    /// `next` is committed, without an intent.
    clean: bool,
    stored_at: Instant,
    committed_at: Instant,
}

impl Part {
    /// Commits how far all is stored, without an intent.
    fn commit(&mut self, group: &Group, partition: i32) -> Result<(), Failure> {
        let mark = Mark {
            last: self.last,
            planned: None,
        };
        block_in_place(|| group.commit(partition, self.next, &mark))?;
        self.clean = true;
        self.committed_at = Instant::now();
        Ok(())
    }
}

/// The stream that a record says it is of.
fn stream_of(record: &Record) -> Option<Stream> {
    match record.claim {
        Claim::Key(Key::Click(id)) => Some(id.stream),
        Claim::Key(Key::Book(stream)) => Some(stream),
        _ => None,
    }
}

/// One membership.
struct Session<'a> {
    group: Group,
    writer: Writer,
    busy: Busy,
    parts: BTreeMap<i32, Part>,
    dead: Sender<'a>,
}

impl Worker {
    /// Runs until shutdown. Errors are retried for ever: clicks are safe in Kafka, and `health` says why they wait.
    pub(crate) async fn run(self) {
        let shutdown = self.shutdown.clone();
        drained(shutdown, async move { self.attempts().await }).await;
    }

    async fn attempts(&self) {
        let mut attempts = Attempts::new(&self.health, &self.shutdown);
        let holes = Arc::default();
        while !self.shutdown.is_cancelled() {
            let mut went_well = false;
            if let Err(failure) = self.attempt(&holes, &mut went_well).await {
                attempts.failed(failure, went_well).await;
            } else {
                return;
            }
        }
    }

    async fn attempt(
        &self,
        holes: &Arc<Mutex<Holes>>,
        went_well: &mut bool,
    ) -> Result<(), Failure> {
        // Who cannot store does not take partitions from those who can.
        let Some(store) = connect(&self.config.clickhouse, &self.health, &self.shutdown).await?
        else {
            return Ok(());
        };
        counter!(m::DOUBTS).increment(1);
        migrate(&store).await?;
        let busy = recover::busy(&store).await?;
        let ingested = recover::newest_ingested(&store).await?;
        self.health.ready(CLICKHOUSE);
        let holes = Arc::clone(holes);
        let group = block_in_place(|| Group::join(&self.kafka, self.config.limits(), holes))?;
        let mut session = Session {
            group,
            writer: Writer::new(store, ingested),
            busy,
            parts: BTreeMap::new(),
            dead: Sender::new(&self.kafka),
        };
        while !self.shutdown.is_cancelled() {
            self.read(&session.group)?;
            session.forget();
            let came = session.group.take_came();
            if !came.is_empty() {
                session.settle(&self.kafka, &came).await?;
                *went_well = true;
                continue;
            }
            let more = session.turn().await?;
            session.roll_up(more).await?;
            session.commit_idle(IDLE)?;
            self.report(&session);
            // Nothing above need have waited for anything, and the end of the runtime does.
            tokio::task::yield_now().await;
        }
        session.roll_up(false).await?;
        // Leaving: whoever takes over begins at once where we stopped.
        session.commit_idle(Duration::ZERO)
    }

    /// Reads for as long as batches may wait, or until one is whole.
    fn read(&self, group: &Group) -> Result<(), Failure> {
        let until = Instant::now() + self.config.batch_pause.max(Duration::from_millis(5));
        loop {
            let left = until.saturating_duration_since(Instant::now()).min(POLL);
            if block_in_place(|| group.pump(left))?
                || self.shutdown.is_cancelled()
                || Instant::now() >= until
            {
                return Ok(());
            }
        }
    }

    fn report(&self, session: &Session<'_>) {
        for (partition, part) in &session.parts {
            let lag = session.group.lag(*partition, part.next);
            gauge!(m::LAG_RECORDS, "partition" => partition.to_string()).set(lag as f64);
        }
        gauge!(m::PARTITIONS).set(session.parts.len() as f64);
        gauge!(m::BROKERS_UP).set(session.group.brokers().up() as f64);
        match session.group.brokers().problem() {
            None => self.health.ready(KAFKA),
            Some(why) => self.health.not_ready(KAFKA, why),
        }
    }
}

impl Session<'_> {
    /// Drops all that is known of partitions that are not ours any more.
    fn forget(&mut self) {
        let group = &self.group;
        self.parts.retain(|partition, _| {
            let held = group.holds(*partition);
            if !held {
                for name in [m::LAG_RECORDS, m::LAG_SECONDS] {
                    gauge!(name, "partition" => partition.to_string()).set(0.0);
                }
            }
            held
        });
    }

    async fn settle(&mut self, kafka: &Kafka, came: &[i32]) -> Result<(), Failure> {
        let settler = Settler {
            store: &self.writer.store,
            group: &self.group,
            reader: Reader::new(kafka, &kafka.topic)?,
        };
        let settled = settler.settle(came, &mut self.busy).await;
        let (known, places) = match settled {
            Ok(settled) => settled,
            // It went while it was settled; the others come again at the next attempt.
            Err(Failure::Lost(partition)) => {
                return Err(Failure::Kafka(format!(
                    "partition {partition} went while it was settled"
                )));
            }
            Err(failure) => return Err(failure),
        };
        for place in places {
            block_in_place(|| {
                self.group
                    .start_at(place.partition, place.next, place.lost.clone())
            })?;
            tracing::info!(
                partition = place.partition,
                offset = place.next,
                "holding a partition"
            );
            let part = Part {
                judge: Judge::new(known.clone()),
                behind: Behind::new(),
                next: place.next,
                last: place.last,
                clean: false,
                stored_at: Instant::now(),
                committed_at: Instant::now(),
            };
            self.parts.insert(place.partition, part);
        }
        Ok(())
    }

    /// One batch of each partition that has something; whether there is more.
    async fn turn(&mut self) -> Result<bool, Failure> {
        let mut any_more = false;
        for partition in self.group.held() {
            let Some(part) = self.parts.get_mut(&partition) else {
                continue;
            };
            let Some(fetched) = self.group.take(partition) else {
                continue;
            };
            let last = last_of(&fetched);
            let known = &mut part.judge.known;
            let new: BTreeSet<Stream> = fetched.records.iter().filter_map(stream_of).collect();
            let new: Vec<Stream> = new.into_iter().filter(|s| !known.knows(*s)).collect();
            // Another partition may have had it: its clicks are sent again, and partitions were added since.
            for (stream, mark) in recover::stored_of(&self.writer.store, &new).await? {
                known.stored_below(stream, mark);
            }
            let busy = &mut self.busy;
            let batch =
                block_in_place(|| part.judge.batch(log_partition(partition), fetched, busy));
            any_more |= batch.more;
            let oldest = batch.clicks.first().map_or(0, |c| c.click.time_ms);
            gauge!(m::LAG_SECONDS, "partition" => partition.to_string()).set(age_seconds(oldest));
            let notes = Notes {
                group: &self.group,
                partition,
                last: part.last,
            };
            if !batch.dead.is_empty() {
                block_in_place(|| self.dead.send(partition, &batch.dead))?;
            }
            match self.writer.store_batch(&notes, &batch).await {
                Ok(ranges) => {
                    if !ranges.is_empty() {
                        // With its intent.
                        part.committed_at = Instant::now();
                    }
                    ranges.into_iter().for_each(|range| part.behind.add(range));
                    part.next = batch.offsets.end;
                    part.last = last.or(part.last);
                    part.clean = false;
                    part.stored_at = Instant::now();
                }
                // Nothing of it was inserted; its new owner reads it from where we were.
                Err(Failure::Lost(lost)) => {
                    tracing::info!(
                        partition = lost,
                        "a partition went before its batch was noted"
                    );
                    self.forget();
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(any_more)
    }

    /// Rolls up what is due.
    async fn roll_up(&mut self, more: bool) -> Result<(), Failure> {
        for (partition, part) in &mut self.parts {
            if !part.behind.is_due(more) {
                continue;
            }
            while !part.behind.is_empty() {
                if self.group.since_commit() >= LEASE {
                    // Asks the group by saying what it knows already.
                    match part.commit(&self.group, *partition) {
                        Ok(()) => {}
                        Err(Failure::Lost(_)) => break,
                        Err(failure) => return Err(failure),
                    }
                }
                // A commit of another partition may have brought the news that this one went: its new owner rolls up what we
                // stored, and both would count it.
                if !self.group.holds(*partition) {
                    break;
                }
                part.behind.roll_up_one(&self.writer.store).await?;
            }
        }
        self.forget();
        Ok(())
    }

    /// Commits the offsets of partitions that have been silent for a while.
    fn commit_idle(&mut self, silent: Duration) -> Result<(), Failure> {
        for (partition, part) in &mut self.parts {
            let is_silent = part.stored_at.elapsed() >= silent;
            // Records that hold nothing new write no intent, and a long stretch of them would be read again.
            if part.clean || !is_silent && part.committed_at.elapsed() < BUSY {
                continue;
            }
            match part.commit(&self.group, *partition) {
                Ok(()) if is_silent => {
                    gauge!(m::LAG_SECONDS, "partition" => partition.to_string()).set(0.0);
                }
                Ok(()) => {}
                Err(Failure::Lost(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        self.forget();
        Ok(())
    }
}
