//! How fast a worker appends to its ring, and how fast the enricher makes records of it: real rings, real log, user
//! agents of the replay's log. Prints both; ends by itself.
//!
//! `cargo run --release -p proxy --example enrich_throughput [visits] [geo.mmdb …]`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement, printed"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Instant;

use proxy::Config;
use proxy::enrich::Enricher;
use proxy::visit::Visit;
use schemas::click::Outcome;
use schemas::health::Health;
use schemas::settings::Settings;

const AGENTS: &str = include_str!("../../loadtest/data/user_agents.tsv");

fn main() {
    let mut args = std::env::args().skip(1);
    let visits: u64 = args.next().map_or(200_000, |a| a.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let rings = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut settings = Settings::new([
        ("SIGNPOST_DATA_DIR", data.path().to_str().unwrap()),
        ("SIGNPOST_RING_DIR", rings.path().to_str().unwrap()),
        ("SIGNPOST_RING_BYTES", "512MiB"),
        ("SIGNPOST_PROXY_WORKERS", "1"),
    ]);
    let mut config = Config::from_settings(&mut settings);
    settings.check().unwrap();
    config.geo_db = args.map(PathBuf::from).collect();

    // Each agent as often as the log has it.
    let agents: Vec<&str> = AGENTS
        .lines()
        .skip(1)
        .flat_map(|line| {
            let mut fields = line.split('\t');
            let (agent, lines) = (fields.next().unwrap(), fields.next().unwrap());
            std::iter::repeat_n(agent, lines.parse().unwrap())
        })
        .collect();
    let salt = schemas::feed::Salt {
        starts_at_ms: i64::MIN,
        ends_at_ms: i64::MAX,
        key: vec![7; 32].into(),
    };
    let salts = proxy::salts::none();
    salts.store(std::sync::Arc::new(vec![salt]));
    let start = Instant::now();
    let (enricher, mut writers, _) = Enricher::start(&config, salts, &Health::new()).unwrap();
    println!("start: {:?}", start.elapsed());

    let now = std::time::SystemTime::now();
    let time_ms = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let start = Instant::now();
    for i in 0..visits {
        // A step that is no multiple of anything spreads agents and addresses.
        let step = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let agent = agents[(step >> 32) as usize % agents.len()];
        writers[0].append(&Visit {
            time_ms,
            link: i % 10_000,
            workspace: 1,
            domain: 1,
            status: 302,
            outcome: Outcome::Redirect,
            rule: 0,
            variant: 0,
            scan: false,
            bot: false,
            client_ip: IpAddr::V4(Ipv4Addr::from_bits((step >> 20) as u32)),
            host: b"go.example.com",
            slug: b"spring-sale",
            target_query: b"utm_source=newsletter&utm_medium=email&utm_campaign=spring+sale&x=1",
            destination_query: b"",
            user_agent: agent.as_bytes(),
            referrer: b"https://www.example.org/some/page?with=query#fragment",
            accept_language: b"de-CH,de;q=0.9,en;q=0.8",
            purpose: b"",
        });
    }
    let appended = start.elapsed();
    drop(writers);
    enricher.stop().unwrap();
    let drained = start.elapsed();
    let per = |d: std::time::Duration| d.as_secs_f64() * 1e9 / visits as f64;
    println!("append: {:.0} ns a visit", per(appended));
    println!(
        "enrich and log: {:.0} ns a record, {:.0} records/s",
        per(drained),
        visits as f64 / drained.as_secs_f64()
    );
}
