//! The whole over Kafka: the real brokers between the proxy's click log and ingest.

use std::process::Output;

use serde_json::{Value, json};

use crate::broker::{Cluster, unique};
use crate::harness::{SETTLE, START, Up, eventually};

fn over(bootstrap: &str) -> Up {
    Up::with(&[
        ("SIGNPOST_KAFKA_BROKERS", bootstrap),
        ("SIGNPOST_KAFKA_TOPIC", &unique("clicks")),
        ("SIGNPOST_KAFKA_DEAD_TOPIC", &unique("dead")),
        ("SIGNPOST_KAFKA_GROUP_ID", &unique("group")),
        ("SIGNPOST_KAFKA_PARTITIONS", "3"),
        ("SIGNPOST_KAFKA_SESSION_TIMEOUT_MS", "2000"),
        ("SIGNPOST_KAFKA_HEARTBEAT_INTERVAL_MS", "300"),
        ("SIGNPOST_KAFKA_RECONNECT_BACKOFF_MAX_MS", "300"),
    ])
}

#[track_caller]
fn run(up: &Up, arguments: &[&str]) -> Output {
    up.command().args(arguments).output().unwrap()
}

#[track_caller]
fn audit(up: &Up) -> Value {
    let audit = run(up, &["audit", "--json"]);
    let text = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(
        audit.status.success(),
        "{text}{}\n{}",
        String::from_utf8_lossy(&audit.stderr),
        up.log()
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn visits_through_kafka_become_exact_numbers_through_kills_of_every_part() {
    let mut cluster = Cluster::start(1);
    let mut up = over(&cluster.bootstrap);
    let link = up.link("far", &json!({ "url": "https://e.test/far" }));
    let mut visits = 0;
    let mut visit = |up: &Up, count: u64| -> u64 {
        for _ in 0..count {
            assert_eq!(up.visit("/far").status, 302);
        }
        visits += count;
        visits
    };
    visit(&up, 20);
    up.settled(link, 20);
    assert_eq!(
        up.sql("SELECT countIf(log_partition >= 1000000), count() FROM signpost.clicks")
            .trim(),
        "20\t20"
    );

    for role in ["proxy", "ingest"] {
        visit(&up, 15);
        Up::signal(up.role_pid(role).unwrap(), "KILL");
        up.wait_ready();
        visit(&up, 15);
    }
    // Redirects go on without a broker, and `/ready` says what is missing.
    cluster.signal(1, "KILL");
    let all = visit(&up, 30);
    let why = eventually(SETTLE, "ready says so", || {
        let page = up.try_get(&format!("http://{}/ready", up.admin))?;
        (page.status == 503).then_some(page.body)
    });
    assert!(why.contains("kafka"), "{why}");
    cluster.restart(1);
    up.wait_ready();
    up.settled(link, all);

    let books = audit(&up);
    let stored: u64 = books["streams"]
        .as_object()
        .unwrap()
        .values()
        .map(|stream| {
            assert_eq!(
                (&stream["missing"], &stream["doubled"]),
                (&json!(0), &json!(0)),
                "{books}"
            );
            stream["stored"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(stored, all, "{books}");

    // What an operator sees of dead letters.
    let none = run(&up, &["dead", "list"]);
    assert!(none.status.success() && none.stdout.is_empty(), "{none:?}");
    let topic = up.setting("SIGNPOST_KAFKA_TOPIC");
    produce(
        &cluster.bootstrap,
        &topic,
        "click/2 00000000000000ab-0-0",
        b"newer",
    );
    let list = eventually(START, "a dead letter", || {
        let list = run(&up, &["dead", "list", "--reason", "version"]);
        (!list.stdout.is_empty()).then_some(String::from_utf8(list.stdout).unwrap())
    });
    let columns: Vec<&str> = list.trim_end().split('\t').collect();
    assert_eq!(
        (columns[0].rsplit_once('/').unwrap().0, &columns[2..]),
        (
            &format!("{topic}/0")[..],
            &["version", "5", "00000000000000ab-0-0"][..]
        )
    );
    let replay = run(&up, &["dead", "replay", columns[0]]);
    assert_eq!(replay.status.code(), Some(1), "{replay:?}");
    assert!(String::from_utf8_lossy(&replay.stdout).contains("still dead\tversion"));
    let books = audit(&up);
    assert_eq!(books["streams"]["00000000000000ab-0"]["dead"], 1, "{books}");

    assert_eq!(up.stop("TERM"), Some(0), "{}", up.log());
}

/// Writes a record of a stranger.
fn produce(bootstrap: &str, topic: &str, key: &str, payload: &[u8]) {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()
        .unwrap();
    let record = BaseRecord::to(topic).partition(0).key(key).payload(payload);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(SETTLE).unwrap();
}

#[test]
fn dead_letters_need_kafka_and_bad_settings_are_told_together() {
    let up = Up::stopped(&[]);
    let without = run(&up, &["dead", "list"]);
    assert_eq!(without.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&without.stderr).contains("SIGNPOST_KAFKA_BROKERS"));
    let help = run(&up, &["dead", "replay", "--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("Examples:"));
    let wrong = up
        .command()
        .arg("check")
        .env("SIGNPOST_KAFKA_BROKERS", "nowhere")
        .env("SIGNPOST_KAFKA_ACKS", "0")
        .env("SIGNPOST_KAFKA_NO_SUCH_THING", "hunter2")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(64), "{said}");
    for name in ["KAFKA_BROKERS", "KAFKA_ACKS", "KAFKA_NO_SUCH_THING"] {
        assert!(said.contains(name), "{said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}
