//! Many machines, on one: several of each role over real Kafka and PostgreSQL behind haproxy, to use and to break.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ::cluster::chaos::settings;
use ::cluster::cluster::Cluster;
use ::cluster::http::Http;
use ::cluster::plan::{Counts, Plan};
use serde_json::json;

use crate::harness::{CHROME, SETTLE, cache, eventually};

/// Time for a process to end when it is asked to.
const STOP: Duration = Duration::from_secs(30);

fn plan(counts: Counts, folder: &Path) -> Plan {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_signpost"));
    let mut plan = Plan::new(counts, &program, &repository, &cache(), folder);
    plan.settings.extend(settings());
    plan
}

#[test]
fn a_cluster_counts_each_visit_and_its_control_planes_are_restarted_without_a_failed_call() {
    let folder = tempfile::tempdir().unwrap();
    let counts = Counts {
        brokers: 1,
        control_planes: 2,
        proxies: 2,
        ingest_workers: 1,
    };
    let mut cluster = Cluster::start(&plan(counts, folder.path())).unwrap();
    let (client, http) = (cluster.client().unwrap(), Http::default());
    let welcome = cluster.welcome().unwrap();
    for part in [
        "curl -sS",
        &cluster.visitors.to_string(),
        "proxy-2",
        &client.key,
    ] {
        assert!(welcome.contains(part), "{part}: {welcome}");
    }

    // Made at one control plane or the other, at home at both proxies, and counted wherever it is visited.
    let made = client.call(
        "POST",
        "/url/add",
        Some(&json!({ "url": "https://e.test/1", "custom": "far" })),
    );
    let id = made.unwrap()["id"].as_i64().unwrap();
    let visitors = cluster.visitors;
    let visit = |method: &str| {
        let url = format!("http://{visitors}/far");
        http.send(method, &url, &[("user-agent", CHROME)], None)
    };
    let leads_to = |destination: &str| {
        // Each proxy in turn.
        eventually(SETTLE, "all proxies lead there", || {
            let seen = [(); 4].map(|()| visit("HEAD").unwrap().location);
            seen.iter()
                .all(|location| location == destination)
                .then_some(())
        });
    };
    leads_to("https://e.test/1");
    for _ in 0..40 {
        assert_eq!(visit("GET").unwrap().status, 302);
    }
    let path = format!("/url/{id}/stats");
    eventually(SETTLE, "all visits are counted", || {
        let stats = client.call("GET", &path, None).ok()?;
        (stats["data"]["total_clicks"] == 40).then_some(())
    });

    // A rolling upgrade: one control plane after the other ends and comes back, and no call fails.
    let (over, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..2)
            .map(|caller| {
                let (client, over, calls) = (&client, &over, &calls);
                scope.spawn(move || {
                    let mut failed = Vec::new();
                    let mut number = 0;
                    while !over.load(Ordering::Relaxed) {
                        number += 1;
                        let url = format!("https://e.test/{caller}/{number}");
                        let slug = format!("rolling-{caller}-{number}");
                        let body = json!({ "url": url, "custom": slug });
                        let made = client.call("POST", "/url/add", Some(&body));
                        failed.extend(made.err().map(|error| format!("{slug}: {error:#}")));
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                    failed
                })
            })
            .collect();
        for name in ["control-plane-1", "control-plane-2"] {
            let before = calls.load(Ordering::Relaxed);
            let process = cluster.named(name).unwrap();
            let status = process.stop(STOP).expect("it ends in time");
            assert!(status.success(), "{name}: {}", process.last_words());
            eventually(SETTLE, "calls go on", || {
                (calls.load(Ordering::Relaxed) > before + 20).then_some(())
            });
            process.start().unwrap();
            cluster.await_ready().unwrap();
            // The balancer has to see that it is back before the other one goes.
            let before = calls.load(Ordering::Relaxed);
            std::thread::park_timeout(Duration::from_secs(1));
            eventually(SETTLE, "calls go on", || {
                (calls.load(Ordering::Relaxed) > before + 20).then_some(())
            });
        }
        over.store(true, Ordering::Relaxed);
        for caller in callers {
            let failed = caller.join().unwrap();
            assert!(failed.is_empty(), "{failed:?}");
        }
    });
    let body = json!({ "url": "https://e.test/2" });
    client
        .call("PUT", &format!("/url/{id}/update"), Some(&body))
        .unwrap();
    leads_to("https://e.test/2");
    let audit = cluster.audit().unwrap();
    assert_eq!(audit["balanced"], true, "{audit}");
    let pids: Vec<u32> = cluster.processes.iter().filter_map(|p| p.pid()).collect();
    assert_eq!(pids.len(), 6);
    cluster.stop();
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{pid} runs");
    }
}
