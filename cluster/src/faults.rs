//! What is broken, when, and how it is mended: drawn from a seed, printed with its time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rustix::process::Signal;

use crate::chaos::Disk;
use crate::cluster::Cluster;
use crate::random::Random;
use crate::relay::Mode;

/// Time between two faults, in milliseconds: longer than some take to heal and shorter than others, so that they overlap.
const BETWEEN_MS: (u64, u64) = (600, 3000);

/// How long something that was killed stays away.
const AWAY_MS: (u64, u64) = (200, 3000);

/// How long something is stopped: beyond the session's timeout, so that the group goes on without it.
const STOPPED_MS: (u64, u64) = (SESSION_MS + 1000, SESSION_MS + 4000);

/// How long a network is broken.
const BROKEN_MS: (u64, u64) = (1000, 6000);

/// Session timeout of ingest workers here.
pub const SESSION_MS: u64 = 2000;

/// Partitions that each addition brings, and how often there is one.
const ADDED: (usize, usize) = (2, 2);

/// Time for Kafka to add partitions.
const ADMIN: Duration = Duration::from_secs(5);

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    Kill(String),
    Stop(String),
    KillBroker(u32),
    StopBroker(u32),
    Broker(u32, Mode),
    ClickHouse(Mode),
    Partitions,
    FullDisk,
}

/// What ends it.
#[derive(Debug)]
enum Cure {
    Start(String),
    Continue(String),
    StartBroker(u32),
    ContinueBroker(u32),
    OpenBroker(u32),
    OpenClickHouse,
    FreeDisk,
}

impl Cure {
    /// What is hurt until then.
    fn place(&self) -> String {
        match self {
            Self::Start(name) | Self::Continue(name) => name.clone(),
            // Brokers are hurt one at a time: with two of three away nothing could be written, which is a matter of the
            // network's faults.
            Self::StartBroker(_) | Self::ContinueBroker(_) => "broker".to_owned(),
            Self::OpenBroker(number) => format!("network of broker {number}"),
            Self::OpenClickHouse => "network of ClickHouse".to_owned(),
            Self::FreeDisk => "disk".to_owned(),
        }
    }
}

/// Breaks and mends a cluster.
pub struct Faults {
    random: Random,
    began: Instant,
    next: Instant,
    hurt: BTreeSet<String>,
    cures: Vec<(Instant, Cure)>,
    partitions: usize,
    added: usize,
    topic: String,
    /// What may be full: the first proxy's click log.
    pub disk: Option<Disk>,
    /// When proxies were killed: requests under way then have no answer.
    pub proxies_killed: Vec<Instant>,
    /// How many faults there were.
    pub count: usize,
}

impl Faults {
    /// Of this seed, for a cluster whose topic has so many partitions.
    pub fn new(seed: u64, topic: &str, partitions: usize) -> Self {
        let now = Instant::now();
        Self {
            random: Random::new(seed),
            began: now,
            next: now + Duration::from_millis(BETWEEN_MS.0),
            hurt: BTreeSet::new(),
            cures: Vec::new(),
            partitions,
            added: 0,
            topic: topic.to_owned(),
            disk: None,
            proxies_killed: Vec::new(),
            count: 0,
        }
    }

    /// Does what is due. To be called every few milliseconds.
    ///
    /// # Errors
    /// What was killed cannot be started again.
    pub fn step(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        let now = Instant::now();
        self.cure(cluster, |at| at <= now)?;
        if now >= self.next {
            let pause = self.random.between(BETWEEN_MS.0, BETWEEN_MS.1);
            self.next = now + Duration::from_millis(pause);
            self.hurt(cluster);
        }
        Ok(())
    }

    /// Mends everything at once.
    ///
    /// # Errors
    /// What was killed cannot be started again.
    pub fn end(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        self.say("the end: everything is mended");
        self.cure(cluster, |_| true)
    }

    fn say(&self, what: &str) {
        eprintln!("{:8.2} s  {what}", self.began.elapsed().as_secs_f64());
    }

    fn cure(
        &mut self,
        cluster: &mut Cluster,
        is_due: impl Fn(Instant) -> bool,
    ) -> anyhow::Result<()> {
        let (due, later) = std::mem::take(&mut self.cures)
            .into_iter()
            .partition(|(at, _)| is_due(*at));
        self.cures = later;
        for (_, cure) in due {
            match &cure {
                Cure::Start(name) => {
                    let process = cluster.named(name).context("no such process")?;
                    process.start()?;
                }
                Cure::Continue(name) => {
                    let process = cluster.named(name).context("no such process")?;
                    process.signal(Signal::CONT);
                }
                Cure::StartBroker(number) => cluster.kafka.restart(*number)?,
                Cure::ContinueBroker(number) => cluster.kafka.signal(*number, Signal::CONT),
                Cure::OpenBroker(number) => set(&cluster.broker_relays, *number, Mode::Open),
                Cure::OpenClickHouse => cluster
                    .clickhouse_relay
                    .iter()
                    .for_each(|relay| relay.set(Mode::Open)),
                Cure::FreeDisk => self.disk.iter().for_each(Disk::free),
            }
            self.hurt.remove(&cure.place());
        }
        Ok(())
    }

    /// Draws one and does it, if what it would hurt is well.
    fn hurt(&mut self, cluster: &mut Cluster) {
        let fault = self.draw(cluster);
        let ms = |random: &mut Random, (from, to)| Duration::from_millis(random.between(from, to));
        let (cure, time) = match &fault {
            Fault::Kill(name) => (Cure::Start(name.clone()), ms(&mut self.random, AWAY_MS)),
            Fault::Stop(name) => (
                Cure::Continue(name.clone()),
                ms(&mut self.random, STOPPED_MS),
            ),
            Fault::KillBroker(number) => {
                (Cure::StartBroker(*number), ms(&mut self.random, AWAY_MS))
            }
            Fault::StopBroker(number) => (
                Cure::ContinueBroker(*number),
                ms(&mut self.random, STOPPED_MS),
            ),
            Fault::Broker(number, _) => {
                (Cure::OpenBroker(*number), ms(&mut self.random, BROKEN_MS))
            }
            Fault::ClickHouse(_) => (Cure::OpenClickHouse, ms(&mut self.random, BROKEN_MS)),
            Fault::FullDisk => (Cure::FreeDisk, ms(&mut self.random, BROKEN_MS)),
            Fault::Partitions => {
                self.add_partitions(cluster);
                return;
            }
        };
        if fault == Fault::FullDisk && self.disk.is_none() {
            return;
        }
        // A broker that is being started is not well yet.
        let is_broker = cure.place() == "broker";
        if (is_broker && !cluster.kafka.is_ready()) || !self.hurt.insert(cure.place()) {
            return;
        }
        self.count += 1;
        let seconds = time.as_secs_f64();
        match &fault {
            Fault::Kill(name) => {
                self.say(&format!("kill -9 {name}, back in {seconds:.1} s"));
                if name.starts_with("proxy-") {
                    self.proxies_killed.push(Instant::now());
                }
                if let Some(process) = cluster.named(name) {
                    process.kill();
                }
            }
            Fault::Stop(name) => {
                self.say(&format!("SIGSTOP {name} for {seconds:.1} s"));
                if let Some(process) = cluster.named(name) {
                    process.signal(Signal::STOP);
                }
            }
            Fault::KillBroker(number) => {
                self.say(&format!("kill -9 broker {number}, back in {seconds:.1} s"));
                cluster.kafka.signal(*number, Signal::KILL);
            }
            Fault::StopBroker(number) => {
                self.say(&format!("SIGSTOP broker {number} for {seconds:.1} s"));
                cluster.kafka.signal(*number, Signal::STOP);
            }
            Fault::Broker(number, mode) => {
                self.say(&format!("broker {number}: {mode:?} for {seconds:.1} s"));
                set(&cluster.broker_relays, *number, *mode);
            }
            Fault::ClickHouse(mode) => {
                self.say(&format!("ClickHouse: {mode:?} for {seconds:.1} s"));
                if let Some(relay) = &cluster.clickhouse_relay {
                    relay.set(*mode);
                }
            }
            Fault::FullDisk => {
                self.say(&format!(
                    "the disk of proxy-1's log: full for {seconds:.1} s"
                ));
                self.disk.iter().for_each(Disk::fill);
            }
            Fault::Partitions => {}
        }
        self.cures.push((Instant::now() + time, cure));
    }

    fn draw(&mut self, cluster: &Cluster) -> Fault {
        let random = &mut self.random;
        let mut name = |role: &str| {
            let all = cluster.processes.iter().map(|p| p.name().to_owned());
            let all: Vec<String> = all.filter(|name| name.starts_with(role)).collect();
            random.one_of(&all).clone()
        };
        let [proxy, worker, control, engine] =
            ["proxy-", "ingest-", "control-plane-", "clickhouse-"].map(&mut name);
        let broker = u32::try_from(random.between(1, 1 + cluster.broker_relays.len() as u64));
        let broker = broker.unwrap_or(1);
        let network = *random.one_of(&[Mode::Cut, Mode::Slow]);
        let server = *random.one_of(&[Mode::Cut, Mode::Slow, Mode::Refuse, Mode::Mute]);
        let faults = [
            Fault::Kill(proxy),
            Fault::Kill(worker.clone()),
            Fault::Kill(control),
            Fault::Kill(engine.clone()),
            Fault::Stop(worker),
            Fault::Stop(engine),
            Fault::KillBroker(broker),
            Fault::StopBroker(broker),
            Fault::Broker(broker, network),
            Fault::ClickHouse(server),
            Fault::ClickHouse(server),
            Fault::FullDisk,
            Fault::Partitions,
        ];
        random.one_of(&faults).clone()
    }

    fn add_partitions(&mut self, cluster: &Cluster) {
        if self.added == ADDED.1 {
            return;
        }
        let wanted = self.partitions + ADDED.0;
        match add_partitions(&cluster.kafka.bootstrap, &self.topic, wanted) {
            Ok(()) => {
                self.say(&format!("the topic has {wanted} partitions"));
                self.partitions = wanted;
                self.added += 1;
                self.count += 1;
            }
            Err(error) => self.say(&format!("no partitions were added: {error:#}")),
        }
    }
}

fn set(relays: &[crate::relay::Relay], broker: u32, mode: Mode) {
    let place = usize::try_from(broker).unwrap_or(0);
    if let Some(relay) = place.checked_sub(1).and_then(|place| relays.get(place)) {
        relay.set(mode);
    }
}

fn add_partitions(bootstrap: &str, topic: &str, wanted: usize) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let options = AdminOptions::new()
        .request_timeout(Some(ADMIN))
        .operation_timeout(Some(ADMIN));
    let new = NewPartitions::new(topic, wanted);
    let made = runtime.block_on(admin.create_partitions([&new], &options))?;
    match made.into_iter().next() {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => anyhow::bail!("{code}"),
        None => anyhow::bail!("Kafka says nothing of it"),
    }
}
