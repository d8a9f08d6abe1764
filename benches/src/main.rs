//! Measurements of a running Signpost, each as a ratio to a floor measured in the same run.
//!
//! Wall time on a shared machine lies; so rounds are interleaved, ratios are per round, and what is printed is their
//! median and minimum. Every bound that is missed ends in a non-zero exit status.

mod api;
mod cpu;
mod floods;
mod floor;
mod freshness;
mod ingest;
mod load;
mod peers;
mod postgres;
mod redirect;
mod report;
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
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum Bench {
    /// CPU per redirect with the visit recorded, beside a bare epoll loop, a bare hyper, nginx and haproxy
    Redirect,
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
        Some(Bench::Floods) => floods::run(&mut report, cli.rounds, cli.seconds)?,
        Some(Bench::Tls) => tls::run(&mut report, cli.rounds, cli.seconds)?,
        Some(Bench::Freshness) => freshness::run(&mut report)?,
        Some(Bench::Stats) => stats::run(&mut report)?,
        Some(Bench::Ingest) => ingest::run(&mut report)?,
        Some(Bench::Api) => api::run(&mut report, cli.seconds)?,
        None => {
            redirect::run(&mut report, plan)?;
            floods::run(&mut report, cli.rounds, cli.seconds)?;
            tls::run(&mut report, cli.rounds, cli.seconds)?;
            freshness::run(&mut report)?;
            stats::run(&mut report)?;
            ingest::run(&mut report)?;
            api::run(&mut report, cli.seconds)?;
        }
    }
    report.print(cli.json)?;
    Ok(if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
