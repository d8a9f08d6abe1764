//! Start, stop, death and restart of the whole.

use serde_json::json;

use crate::harness::{SETTLE, Up, eventually};

const ROLES: [&str; 4] = ["clickhouse", "control-plane", "proxy", "ingest"];

#[test]
fn up_restarts_what_dies_and_takes_its_children_with_it() {
    let mut up = Up::start();
    let welcome = eventually(SETTLE, "the welcome", || {
        Some(up.stdout()).filter(|s| s.contains("Ctrl-C"))
    });
    assert!(
        welcome.contains(&up.key()),
        "the key is shown at the first start: {welcome}"
    );
    let link = up.link("life", &json!({ "url": "https://e.test/" }));

    for role in ROLES {
        let old = up.role_pid(role).expect(role);
        Up::signal(old, "KILL");
        eventually(SETTLE, "the role is started again", || {
            up.role_pid(role).filter(|new| *new != old)
        });
        up.wait_ready();
    }
    assert_eq!(up.visit("/life").status, 302);
    up.settled(link, 1);
    let metrics = up
        .try_get(&format!("http://{}/metrics", up.admin))
        .expect("metrics")
        .body;
    for role in ROLES {
        assert!(
            metrics.contains(&format!("signpost_up_restarts_total{{role=\"{role}\"}} 1")),
            "{role}: {metrics}"
        );
    }

    // A second one on the same folder is refused.
    let second = up.command().arg("up").output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("SIGNPOST_DATA_DIR"));

    // However `up` dies, its children die too, and the next start finds the folder free.
    let children: Vec<_> = ROLES.iter().filter_map(|role| up.role_pid(role)).collect();
    assert_eq!(children.len(), 4);
    up.stop("KILL");
    eventually(SETTLE, "the children die", || {
        children.iter().all(|pid| gone(*pid)).then_some(())
    });
    up.launch();
    up.wait_ready();
    let welcome = eventually(SETTLE, "the welcome", || {
        Some(up.stdout()).filter(|s| s.contains("Ctrl-C"))
    });
    assert!(
        !welcome.contains(&up.key()),
        "the key is shown once: {welcome}"
    );
    assert_eq!(up.visit("/life").status, 302);
    up.settled(link, 2);

    let audit = up.command().args(["audit", "--json"]).output().unwrap();
    assert!(
        audit.status.success(),
        "{}{}",
        String::from_utf8_lossy(&audit.stdout),
        String::from_utf8_lossy(&audit.stderr)
    );
    assert_eq!(up.stop("TERM"), Some(0), "{}", up.log());
}

fn gone(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn keys_are_made_listed_and_revoked_by_command() {
    let up = Up::start();
    let made = up
        .command()
        .args(["key", "create", "--name", "ci"])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let account = |key: &str| {
        let auth = format!("Bearer {key}");
        up.try_send(
            "GET",
            &format!("http://{}/api/account", up.api),
            &[("authorization", &auth)],
            None,
        )
        .expect("an answer")
        .status
    };
    assert_eq!(account(&key), 200);
    let list = up.command().args(["key", "list"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let line = list
        .lines()
        .find(|l| l.contains("ci"))
        .expect("the key is listed");
    assert!(!list.contains(&key), "no key is shown twice");
    let id = line.split_whitespace().next().unwrap();
    assert!(
        up.command()
            .args(["key", "revoke", id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(account(&key), 401);
}
