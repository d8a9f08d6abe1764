//! Measurements of a running Signpost, each as a ratio to a floor measured in the same run.
//!
//! Wall time on a shared machine lies; so rounds are interleaved, ratios are per round, and what is printed is their
//! median and minimum. Every bound that is missed ends in a non-zero exit status.

mod api;
mod cpu;
mod feed;
mod floods;
mod floor;
mod freshness;
mod ingest;
mod kinds;
mod latency;
mod load;
mod open;
mod peers;
mod plot;
mod postgres;
mod redirect;
mod report;
mod size;
mod soak;
mod stats;
mod system;
mod tls;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use report::Report;

/// Measure Signpost.
#[derive(Debug, Parser)]
#[command(
    name = "benches",
    after_help = "Example:\n  cargo run --release -p benches -- redirect --rounds 9"
)]
struct Cli {
    #[command(subcommand)]
    bench: Option<Bench>,
    /// Interleaved rounds of the redirect bench
    #[arg(long, global = true, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in each half of a round
    #[arg(long, global = true, default_value_t = 4)]
    seconds: u64,
    /// Links of the redirect bench
    #[arg(long, global = true, default_value_t = 1_000_000)]
    links: usize,
    /// Folder for the numbers as JSON, and for plots
    #[arg(long, global = true, default_value = "benches/results")]
    results: std::path::PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum Bench {
    /// CPU per redirect with the visit recorded, beside a bare epoll loop, a bare hyper, nginx and haproxy
    Redirect,
    /// Latency over load, open loop, beside the same peers; also as a plot
    Latency,
    /// CPU of a link with rules and of a miss, against a plain link; the spread of few connections
    Kinds,
    /// Minutes of mixed traffic: flat memory, balanced books
    Soak {
        /// For how long
        #[arg(long, default_value_t = 10)]
        minutes: u64,
    },
    /// Create to live, visit to statistics
    Freshness,
    /// A statistics call for the busiest link
    Stats,
    /// Ingest with roll-ups, against the engine's own insert of the same rows
    Ingest,
    /// The p99 of good traffic beside floods
    Floods,
    /// CPU per redirect over TLS, against cleartext
    Tls,
    /// Bytes a link, loading, edits and a bulk load at many links
    Size {
        /// Links; a hundred million take 12 GiB
        #[arg(long, default_value_t = 10_000_000)]
        count: usize,
    },
    /// Creates through the API in all dialects, on SQLite and on PostgreSQL
    Api,
    /// The bare epoll loop (started by `redirect`)
    #[command(hide = true)]
    Floor {
        /// File with the bytes of each answer
        answer: std::path::PathBuf,
    },
    /// The bare hyper (started by `redirect`)
    #[command(hide = true)]
    Hyper {
        /// File with a path and a destination on each line
        file: std::path::PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let mut report = Report::default();
    let plan = redirect::Plan {
        rounds: cli.rounds,
        span: std::time::Duration::from_secs(cli.seconds),
        links: cli.links,
    };
    let name = match &cli.bench {
        None => "all",
        Some(Bench::Redirect) => "redirect",
        Some(Bench::Latency) => "latency",
        Some(Bench::Kinds) => "kinds",
        Some(Bench::Size { .. }) => "size",
        Some(Bench::Soak { .. }) => "soak",
        Some(Bench::Freshness) => "freshness",
        Some(Bench::Stats) => "stats",
        Some(Bench::Ingest) => "ingest",
        Some(Bench::Floods) => "floods",
        Some(Bench::Tls) => "tls",
        Some(Bench::Api) => "api",
        Some(Bench::Floor { .. } | Bench::Hyper { .. }) => "",
    };
    match &cli.bench {
        Some(Bench::Floor { answer }) => {
            floor::serve(answer)?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Bench::Hyper { file }) => {
            peers::serve_hyper(file)?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(Bench::Redirect) => redirect::run(&mut report, plan)?,
        Some(Bench::Latency) => latency::run(&mut report, cli.rounds, plan.span, &cli.results)?,
        Some(Bench::Kinds) => kinds::run(&mut report, cli.rounds, plan.span)?,
        Some(Bench::Soak { minutes }) => soak::run(&mut report, *minutes)?,
        Some(Bench::Floods) => floods::run(&mut report, cli.rounds, cli.seconds)?,
        Some(Bench::Tls) => tls::run(&mut report, cli.rounds, cli.seconds)?,
        Some(Bench::Size { count }) => size::run(&mut report, *count)?,
        Some(Bench::Freshness) => freshness::run(&mut report)?,
        Some(Bench::Stats) => stats::run(&mut report)?,
        Some(Bench::Ingest) => ingest::run(&mut report)?,
        Some(Bench::Api) => api::run(&mut report, cli.seconds)?,
        None => {
            redirect::run(&mut report, plan)?;
            kinds::run(&mut report, cli.rounds, plan.span)?;
            latency::run(&mut report, cli.rounds, plan.span, &cli.results)?;
            floods::run(&mut report, cli.rounds, cli.seconds)?;
            tls::run(&mut report, cli.rounds, cli.seconds)?;
            freshness::run(&mut report)?;
            stats::run(&mut report)?;
            ingest::run(&mut report)?;
            api::run(&mut report, cli.seconds)?;
        }
    }
    report.save(&cli.results, name)?;
    report.print(cli.json)?;
    Ok(if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
