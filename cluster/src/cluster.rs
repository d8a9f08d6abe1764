//! Everything of a [`Plan`], started in order and stopped in order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Signal;

use crate::front;
use crate::http::{Api, ClickHouse, Http};
use crate::parts::{Kafka, Postgres};
use crate::plan::{Plan, free, or_free};
use crate::process::Process;
use crate::relay::Relay;

/// Time for everything to be ready, in a debug build on a busy machine.
const START: Duration = Duration::from_secs(180);

/// How long a process may take to end before it is killed: a proxy lets its connections finish, ingest its batch.
const STOP: Duration = Duration::from_secs(30);

/// Between looks at anything.
const LOOK: Duration = Duration::from_millis(50);

/// What a restarted process is waited for at first, and at most, after it ended unasked.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// A running cluster. Hold it on one thread: processes die with the thread that started them.
#[derive(Debug)]
pub struct Cluster {
    /// Where visitors go.
    pub visitors: SocketAddr,
    /// Where calls of the API go.
    pub api: SocketAddr,
    /// The brokers.
    pub kafka: Kafka,
    /// What lies before each broker, if anything does.
    pub broker_relays: Vec<Relay>,
    /// What lies before ClickHouse, if anything does.
    pub clickhouse_relay: Option<Relay>,
    /// The embedded engine, control planes, proxies and ingest workers, in this order.
    pub processes: Vec<Process>,
    postgres: Postgres,
    balancer: Process,
    folder: PathBuf,
    clickhouse: SocketAddr,
    // What a ring holds when everything has ended is of no use to anybody.
    _rings: tempfile::TempDir,
    paused: BTreeMap<String, (Instant, Duration)>,
}

impl Cluster {
    /// Starts everything and waits until all of it is ready.
    ///
    /// # Errors
    /// Something does not come up; its last words are in the error.
    pub fn start(plan: &Plan) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&plan.folder)
            .with_context(|| format!("cannot make {}", plan.folder.display()))?;
        let folder = plan.folder.canonicalize()?;
        let relays = if plan.relayed { plan.counts.brokers } else { 0 };
        let broker_relays = (0..relays)
            .map(|_| Relay::listen())
            .collect::<anyhow::Result<Vec<_>>>()?;
        let shown: Vec<SocketAddr> = broker_relays.iter().map(|relay| relay.addr).collect();
        let brokers = plan.counts.brokers;
        let kafka = Kafka::start(&plan.scripts, &plan.cache, brokers, &shown)?;
        for (number, relay) in (1..).zip(&broker_relays) {
            relay.lead_to(kafka.addr(number).context("a broker without address")?);
        }
        let postgres = Postgres::start(&plan.scripts, &plan.cache)?;
        let clickhouse = free()?;
        let clickhouse_relay = plan.relayed.then(Relay::listen).transpose()?;
        if let Some(relay) = &clickhouse_relay {
            relay.lead_to(clickhouse);
        }
        let (visitors, api) = (or_free(plan.visitors)?, or_free(plan.api)?);
        let rings = tempfile::Builder::new()
            .prefix("signpost-cluster-")
            .tempdir_in(RINGS)
            .context("no folder for rings")?;
        let mut making = Making {
            plan,
            folder: &folder,
            common: common(plan, &postgres, &kafka, (visitors, api))?,
        };
        making.set("SIGNPOST_RING_DIR", rings.path().display().to_string());
        // The engine takes the password that lies there.
        let data = folder.join("clickhouse-1");
        std::fs::create_dir_all(&data)?;
        let password = secret(&data.join(PASSWORD))?;
        let asked = clickhouse_relay.as_ref().map_or(clickhouse, |r| r.addr);
        let url = format!("http://signpost:{password}@{asked}");
        making.set("SIGNPOST_CLICKHOUSE_URL", url);
        making.set("SIGNPOST_CLICKHOUSE_ADDR", clickhouse.to_string());
        let mut processes = vec![making.process("clickhouse", 1)?];
        let counts = plan.counts;
        let roles = [
            ("control-plane", counts.control_planes),
            ("proxy", counts.proxies),
            ("ingest", counts.ingest_workers),
        ];
        let feeds = (0..counts.control_planes).map(|_| free());
        let feeds = feeds.collect::<anyhow::Result<Vec<_>>>()?;
        let urls: Vec<String> = feeds.iter().map(|addr| format!("http://{addr}")).collect();
        making.set("SIGNPOST_FEED_URL", urls.join(","));
        for (role, count) in roles {
            for number in 1..=count {
                let own = match (role, feeds.get(number - 1)) {
                    ("control-plane", Some(addr)) => Some(("SIGNPOST_API_ADDR", *addr)),
                    ("proxy", _) => Some(("SIGNPOST_PROXY_ADDR", free()?)),
                    _ => None,
                };
                if let Some((name, addr)) = own {
                    making.set(name, addr.to_string());
                }
                processes.push(making.process(role, number)?);
            }
        }
        let balancer = making.balancer((visitors, api), &processes)?;
        let mut cluster = Self {
            visitors,
            api,
            kafka,
            broker_relays,
            clickhouse_relay,
            processes,
            postgres,
            balancer,
            folder,
            clickhouse,
            _rings: rings,
            paused: BTreeMap::new(),
        };
        for process in &mut cluster.processes {
            process.start()?;
        }
        await_ready(&mut cluster.processes)?;
        cluster.balancer.start()?;
        cluster.await_front()?;
        Ok(cluster)
    }

    /// The REST API, through haproxy.
    ///
    /// # Errors
    /// There is no key.
    pub fn client(&self) -> anyhow::Result<Api> {
        let key = std::fs::read_to_string(self.folder.join(KEY)).context("there is no key")?;
        Ok(Api {
            http: Http::default(),
            addr: self.api,
            key: key.trim().to_owned(),
        })
    }

    /// ClickHouse itself, whatever lies before it.
    ///
    /// # Errors
    /// There is no password.
    pub fn clickhouse(&self) -> anyhow::Result<ClickHouse> {
        let password = self.folder.join("clickhouse-1").join(PASSWORD);
        let password = std::fs::read_to_string(password).context("there is no password")?;
        Ok(ClickHouse {
            http: Http::default(),
            addr: self.clickhouse,
            password: password.trim().to_owned(),
        })
    }

    /// URL of the link database.
    pub fn database(&self) -> &str {
        &self.postgres.url
    }

    /// Processes of a role.
    pub fn of<'a>(&'a mut self, role: &str) -> impl Iterator<Item = &'a mut Process> {
        let prefix = format!("{role}-");
        let all = self.processes.iter_mut();
        all.filter(move |process| process.name().starts_with(&prefix))
    }

    /// A process by its name.
    pub fn named(&mut self, name: &str) -> Option<&mut Process> {
        self.processes.iter_mut().find(|p| p.name() == name)
    }

    /// Where everything is kept, with a log for each process.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `signpost audit --json`, over the click logs of all proxies.
    ///
    /// # Errors
    /// It cannot be run. Books that do not balance are in its answer.
    pub fn audit(&self) -> anyhow::Result<serde_json::Value> {
        let worker = self.processes.iter().find(|p| p.name() == "ingest-1");
        let logs = self.processes.iter().filter_map(|p| {
            let is_proxy = p.name().starts_with("proxy-");
            is_proxy.then(|| p.environment().get("SIGNPOST_CLICK_LOG_DIR").cloned())?
        });
        let output = worker
            .context("no ingest worker")?
            .command()
            .args(["audit", "--json"])
            .env("SIGNPOST_CLICK_LOG_DIR", logs.collect::<Vec<_>>().join(","))
            .output()?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("audit: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Starts again what ended unasked, after a pause that grows with each time. To be called now and then.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn mend(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let all = self.processes.iter_mut().chain([&mut self.balancer]);
        for process in all {
            let name = process.name().to_owned();
            if let Some(status) = process.ended() {
                let before = self.paused.get(&name).map_or(PAUSES.0, |(_, p)| *p * 2);
                let pause = before.min(PAUSES.1);
                eprintln!("{name} ended unasked ({status}), starting it again");
                self.paused.insert(name, (now + pause, pause));
            } else if process.pid().is_none()
                && self.paused.get(&name).is_some_and(|(at, _)| now >= *at)
            {
                process.start()?;
            }
        }
        Ok(())
    }

    /// Waits until haproxy finds servers for visitors and for the API.
    fn await_front(&mut self) -> anyhow::Result<()> {
        let (http, until) = (Http::default(), Instant::now() + START);
        for (addr, path) in [(self.visitors, "/robots.txt"), (self.api, "/api/docs")] {
            let url = format!("http://{addr}{path}");
            while !matches!(http.send("GET", &url, &[], None), Ok(answer) if answer.status < 500) {
                let ended = self.balancer.ended();
                anyhow::ensure!(
                    ended.is_none() && Instant::now() < until,
                    "haproxy finds nobody behind {url} ({ended:?}):\n{}",
                    self.balancer.last_words()
                );
                crate::pause(LOOK);
            }
        }
        Ok(())
    }

    /// Waits until every process is ready.
    ///
    /// # Errors
    /// One of them does not get ready.
    pub fn await_ready(&mut self) -> anyhow::Result<()> {
        await_ready(&mut self.processes)
    }

    /// Stops everything in order: visitors first, so that the last clicks reach Kafka while it is there.
    pub fn stop(mut self) {
        self.balancer.signal(Signal::USR1);
        for role in ["proxy", "ingest", "control-plane", "clickhouse"] {
            // All of a role at once.
            self.of(role).for_each(Process::ask_to_end);
            self.of(role).for_each(|process| {
                let _ = process.stop(STOP);
            });
        }
        let _ = self.balancer.stop(Duration::from_secs(1));
        self.kafka.stop();
        self.postgres.stop();
    }
}

/// Rings lie in memory.
const RINGS: &str = "/dev/shm";

/// Folder of a proxy that holds the folder of its click log: a disk of its own may be there.
pub(crate) const LOG_DISK: &str = "log";

/// File of the API key, in the cluster's folder.
pub(crate) const KEY: &str = "admin.key";

/// File of the password of ClickHouse's user `signpost`, in the engine's folder.
const PASSWORD: &str = "clickhouse.password";

/// Settings that the caller may change: three proxies share the cores and the memory.
const USUAL: [(&str, &str); 2] = [
    ("SIGNPOST_PROXY_WORKERS", "1"),
    ("SIGNPOST_RING_BYTES", "8MiB"),
];

/// Makes processes: all have the common settings, and folders and addresses of their own.
struct Making<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    common: BTreeMap<String, String>,
}

impl Making<'_> {
    fn set(&mut self, name: &str, value: String) {
        self.common.insert(name.to_owned(), value);
    }

    fn process(&self, role: &str, number: usize) -> anyhow::Result<Process> {
        let name = format!("{role}-{number}");
        let data = self.folder.join(&name);
        let mut settings = BTreeMap::from(USUAL.map(|(n, v)| (n.to_owned(), v.to_owned())));
        // Where things are is ours to say, all else the caller's.
        settings.extend(self.plan.settings.clone());
        settings.extend(self.common.clone());
        let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
        set("SIGNPOST_DATA_DIR", data.display().to_string());
        set("SIGNPOST_ADMIN_ADDR", free()?.to_string());
        if role == "proxy" {
            let log = data.join(LOG_DISK).join("clicks").display().to_string();
            set("SIGNPOST_CLICK_LOG_DIR", log);
        }
        let log = self.folder.join(format!("{name}.log"));
        Ok(Process::new(
            name,
            &self.plan.program,
            &[role],
            settings,
            log,
        ))
    }

    fn balancer(
        &self,
        (visitors, api): (SocketAddr, SocketAddr),
        processes: &[Process],
    ) -> anyhow::Result<Process> {
        let servers = |role: &str, own: &str, asks: bool| {
            let all = processes.iter().filter(|p| p.name().starts_with(role));
            let server = |process: &Process| {
                let addr = |name: &str| -> anyhow::Result<SocketAddr> {
                    let text = process.environment().get(name).context("no address")?;
                    text.parse().context("no address")
                };
                let asked = asks.then(|| addr("SIGNPOST_ADMIN_ADDR")).transpose()?;
                Ok((process.name().to_owned(), addr(own)?, asked))
            };
            all.map(server).collect::<anyhow::Result<Vec<_>>>()
        };
        let config = front::configure(
            self.folder,
            (visitors, &servers("proxy-", "SIGNPOST_PROXY_ADDR", false)?),
            (api, &servers("control-plane-", "SIGNPOST_API_ADDR", true)?),
        )?;
        // setpriv: it does not outlive us. Debian keeps haproxy in /usr/sbin, which may not be in PATH.
        let config = config.display().to_string();
        let haproxy = "PATH=$PATH:/usr/sbin exec setpriv --pdeathsig TERM haproxy -db -f \"$0\"";
        Ok(Process::new(
            "haproxy".to_owned(),
            Path::new("/bin/sh"),
            &["-c", haproxy, &config],
            BTreeMap::new(),
            self.folder.join("haproxy.log"),
        ))
    }
}

/// Settings that all processes share; keys and tokens are made at the first start and kept.
fn common(
    plan: &Plan,
    postgres: &Postgres,
    kafka: &Kafka,
    (visitors, api): (SocketAddr, SocketAddr),
) -> anyhow::Result<BTreeMap<String, String>> {
    let folder = plan.folder.canonicalize()?;
    let values = [
        ("SIGNPOST_CACHE_DIR", plan.cache.display().to_string()),
        ("SIGNPOST_PARENT_PID", std::process::id().to_string()),
        ("SIGNPOST_DATABASE_URL", postgres.url.clone()),
        ("SIGNPOST_KAFKA_BROKERS", kafka.bootstrap.clone()),
        ("SIGNPOST_PUBLIC_URL", format!("http://{visitors}")),
        ("SIGNPOST_API_URL", format!("http://{api}")),
        ("SIGNPOST_PROXY_ADDR", visitors.to_string()),
        (
            "SIGNPOST_FILES",
            folder.join("uploads").display().to_string(),
        ),
        ("SIGNPOST_TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
        ("SIGNPOST_ADMIN_KEY", secret(&folder.join(KEY))?),
        ("SIGNPOST_FEED_TOKEN", secret(&folder.join("feed.token"))?),
    ];
    Ok(values.map(|(n, v)| (n.to_owned(), v)).into())
}

/// The secret in a file that only its owner may read, made when absent.
fn secret(path: &Path) -> anyhow::Result<String> {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::OpenOptionsExt as _;

    if let Ok(text) = std::fs::read_to_string(path) {
        return Ok(text.trim().to_owned());
    }
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let mut options = std::fs::File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")?;
    Ok(text)
}

/// Waits until all of them say so.
fn await_ready(processes: &mut [Process]) -> anyhow::Result<()> {
    let (http, until) = (Http::default(), Instant::now() + START);
    for process in processes {
        let admin = process.environment().get("SIGNPOST_ADMIN_ADDR");
        let url = format!("http://{}/ready", admin.context("no admin page")?);
        loop {
            let answer = http.send("GET", &url, &[], None);
            let why = match answer {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) => answer.body,
                Err(error) => format!("{error:#}"),
            };
            let ended = process.ended();
            anyhow::ensure!(
                ended.is_none() && Instant::now() < until,
                "{} does not get ready ({ended:?}): {why}\n{}",
                process.name(),
                process.last_words()
            );
            crate::pause(LOOK);
        }
    }
    Ok(())
}
