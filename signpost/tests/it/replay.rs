//! The real log through the whole system: exact without trouble, and exact while every role is killed at random moments.

use std::time::Duration;

use loadtest::agents::Agents;
use loadtest::http_client::Server;
use loadtest::replay::{self, Settings};
use loadtest::report::Report;
use loadtest::sender::Plan;
use loadtest::traffic::Traffic;
use loadtest::{imported, links};

use crate::harness::{SETTLE, Up, eventually};

/// Seed of the moments at which roles are killed. Fresh ones are drawn by `make replay`.
const SEED: u64 = 0x5109_9057;

/// Seconds over which the log is spread while roles are killed.
const CRASH_SECONDS: f64 = 40.0;

fn settings(up: &Up) -> Settings {
    let server = |addr: std::net::SocketAddr| Server::parse(&format!("http://{addr}")).unwrap();
    Settings {
        api: server(up.api),
        proxy: server(up.proxy),
        clickhouse: server(up.clickhouse),
        api_key: up.key(),
        clickhouse_user: "signpost".to_owned(),
        clickhouse_password: std::fs::read_to_string(up.data.join("clickhouse.password"))
            .unwrap()
            .trim()
            .to_owned(),
        deadline: Duration::from_secs(120),
        settle: Duration::from_secs(2),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[track_caller]
fn check(up: &Up, report: &Report) {
    let mut text = Vec::new();
    report.print(&mut text).unwrap();
    assert!(
        report.is_clean(),
        "{}\n{}",
        String::from_utf8_lossy(&text),
        up.log()
    );
    // Ingest moves its books on a little after the last row.
    let audit = eventually(SETTLE, "books balance", || {
        let audit = up.command().arg("audit").output().unwrap();
        audit.status.success().then_some(audit)
    });
    drop(audit);
}

#[test]
fn every_number_of_a_real_log_is_right_live_and_imported() {
    let up = Up::start();
    let (traffic, agents, settings) = (
        Traffic::embedded().unwrap(),
        Agents::embedded().unwrap(),
        settings(&up),
    );
    let plan = Plan {
        connections: 6,
        per_second: None,
        seed: None,
        attempt_ids: false,
        patience: settings.deadline,
    };
    let report = block_on(replay::run(&settings, &traffic, &agents, "live", &plan)).unwrap();
    check(&up, &report);

    // The same lines with their own times.
    let made = block_on(async {
        links::make(&mut settings.connect_api().unwrap(), &traffic, "imported").await
    })
    .unwrap();
    block_on(links::wait_until_live(&settings.proxy, &made)).unwrap();
    let file = up.data.with_file_name("imported.log");
    std::fs::write(&file, imported::rewrite(&traffic, "imported")).unwrap();
    let import = up
        .command()
        .args(["clicks", "import"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        import.status.success(),
        "{}",
        String::from_utf8_lossy(&import.stderr)
    );
    let report = block_on(imported::run(&settings, &traffic, &agents, "imported")).unwrap();
    check(&up, &report);
}

#[test]
fn every_answered_visit_is_stored_once_though_every_role_is_killed() {
    let mut up = Up::start();
    let (traffic, agents, settings) = (
        Traffic::embedded().unwrap(),
        Agents::embedded().unwrap(),
        settings(&up),
    );
    let plan = Plan {
        connections: 6,
        per_second: Some(traffic.lines.len() as f64 / CRASH_SECONDS),
        seed: Some(SEED),
        attempt_ids: true,
        patience: settings.deadline,
    };
    let replay = std::thread::spawn({
        let (settings, plan) = (settings, plan);
        move || block_on(replay::run(&settings, &traffic, &agents, "crash", &plan))
    });
    let mut random = SEED;
    let mut draw = |below: u64| {
        // splitmix64
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % below
    };
    for role in [
        "proxy",
        "ingest",
        "clickhouse",
        "control-plane",
        "proxy",
        "ingest",
        "clickhouse",
        "proxy",
    ] {
        // The moment is the point here, not the end of something.
        std::thread::park_timeout(Duration::from_millis(1500 + draw(4000)));
        if let Some(pid) = up.role_pid(role) {
            eprintln!("kill -9 {role} (seed {SEED:#x})");
            Up::signal(pid, "KILL");
        }
    }
    up.wait_ready();
    let report = replay.join().unwrap().unwrap();
    check(&up, &report);
}
