//! `cluster`: a whole cluster on one machine. See `cluster help`.
//!
//! Exit status: 0 all right, 1 the books do not balance, 2 it could not be run.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use cluster::books::Books;
use cluster::chaos::Chaos;
use cluster::cluster::Cluster;
use cluster::plan::{Counts, Plan};

/// Exit status of a run that could not be made.
const CANNOT_RUN: u8 = 2;

/// Between looks whether something has ended.
const LOOK: Duration = Duration::from_millis(100);

/// A whole cluster on one machine, with real Kafka, PostgreSQL and haproxy; its data goes when it ends.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run it until Ctrl-C
    Up {
        /// Where visitors go
        #[arg(long, default_value = "127.0.0.1:8080")]
        visitors_addr: SocketAddr,
        /// Where calls of the API go
        #[arg(long, default_value = "127.0.0.1:8081")]
        api_addr: SocketAddr,
    },
    /// Send visitors, hurt everything behind haproxy at random moments, and compare every visit with what is stored
    Chaos {
        /// How long faults come
        #[arg(long, default_value_t = 300)]
        seconds: u64,
        /// Fixes the faults [default: a new one, which is printed]
        #[arg(long)]
        seed: Option<u64>,
        /// Visits a second
        #[arg(long, default_value_t = 300)]
        rate: u64,
    },
}

/// What it is made of.
#[derive(Debug, Args)]
struct Of {
    /// Kafka brokers
    #[arg(long, global = true, default_value_t = Counts::USUAL.brokers)]
    brokers: u32,
    /// Control planes
    #[arg(long, global = true, default_value_t = Counts::USUAL.control_planes)]
    control_planes: usize,
    /// Proxies
    #[arg(long, global = true, default_value_t = Counts::USUAL.proxies)]
    proxies: usize,
    /// Ingest workers
    #[arg(long, global = true, default_value_t = Counts::USUAL.ingest_workers)]
    ingest_workers: usize,
    /// The program `signpost` [default: the one beside this one]
    #[arg(long, global = true)]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let Of {
        brokers,
        control_planes,
        proxies,
        ingest_workers,
        program,
    } = arguments.of;
    anyhow::ensure!(
        brokers > 0 && control_planes > 0 && proxies > 0 && ingest_workers > 0,
        "there must be one of each at least"
    );
    let counts = Counts {
        brokers,
        control_planes,
        proxies,
        ingest_workers,
    };
    let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("signpost"));
    let program = program.map_or_else(beside, Ok)?;
    let program = program
        .canonicalize()
        .with_context(|| format!("no program {}: make build", program.display()))?;
    // Settings of whoever starts this go to all processes.
    let mut settings: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, _)| name.starts_with("SIGNPOST_"))
        .collect();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cache = settings.remove("SIGNPOST_CACHE_DIR");
    let cache = cache.map_or_else(|| repository.join(".cache"), PathBuf::from);
    let cache = cache.canonicalize().context("no cache: make fetch")?;
    let folder = tempfile::Builder::new()
        .prefix("signpost-cluster-")
        .tempdir()?;
    let mut plan = Plan::new(counts, &program, &repository, &cache, folder.path());
    plan.settings = settings;
    match arguments.what {
        What::Up {
            visitors_addr,
            api_addr,
        } => {
            (plan.visitors, plan.api) = (visitors_addr, api_addr);
            up(&plan)?;
            Ok(true)
        }
        What::Chaos {
            seconds,
            seed,
            rate,
        } => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
            let seed = seed.unwrap_or_else(|| u64::from(now.subsec_nanos()));
            let chaos = Chaos {
                time: Duration::from_secs(seconds),
                seed,
                rate,
                is_over: watch_signals()?,
            };
            let ran = chaos.run(plan);
            let is_clean = ran.as_ref().is_ok_and(Books::balance);
            if !is_clean {
                // What happened can be read in the logs.
                eprintln!("everything is kept in {}", folder.keep().display());
            }
            write!(std::io::stdout().lock(), "seed {seed}\n{}", ran?)?;
            Ok(is_clean)
        }
    }
}

fn up(plan: &Plan) -> anyhow::Result<()> {
    let is_over = watch_signals()?;
    eprintln!(
        "starting: brokers, PostgreSQL, the engine, control planes, proxies, ingest workers, haproxy"
    );
    let mut cluster = Cluster::start(plan)?;
    let mut out = std::io::stdout().lock();
    out.write_all(cluster.welcome()?.as_bytes())?;
    out.flush()?;
    while !is_over.load(Ordering::Relaxed) {
        cluster.mend()?;
        std::thread::park_timeout(LOOK);
    }
    eprintln!("stopping");
    cluster.stop();
    Ok(())
}

/// True once somebody asks us to end.
fn watch_signals() -> anyhow::Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};

    let is_over = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(guard);
    let told = is_over.clone();
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        told.store(true, Ordering::Relaxed);
    });
    Ok(is_over)
}
