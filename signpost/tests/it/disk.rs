//! What the proxy does when everything else is down.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{SETTLE, Up, eventually, signpost};

#[test]
fn the_proxy_restarts_from_disk_and_answers_every_link_right() {
    let mut up = Up::start();
    let rows: Vec<_> = (0..500)
        .map(|i| json!({ "url": format!("https://e.test/{i}"), "custom": format!("disk/{i}") }))
        .collect();
    let answer = up
        .api("POST", "/urls/bulk", Some(&json!({ "urls": rows })))
        .json();
    assert_eq!(answer["error"], 0, "{answer}");
    eventually(SETTLE, "all links are live", || {
        (up.head("/disk/499").status == 302).then_some(())
    });
    // Made and edited after the bulk, so that the change log beside the snapshot counts too.
    up.link("late", &json!({ "url": "https://e.test/late" }));
    assert_eq!(up.stop("TERM"), Some(0), "{}", up.log());

    let mut proxy = up.command();
    let mut proxy = proxy
        .arg("proxy")
        .env("SIGNPOST_ADMIN_ADDR", up.admin.to_string())
        .spawn()
        .unwrap();
    let ready = format!("http://{}/ready", up.admin);
    eventually(SETTLE, "the proxy is ready alone", || {
        up.try_get(&ready).filter(|a| a.status == 200)
    });
    for i in 0..500 {
        assert_eq!(
            up.visit(&format!("/disk/{i}")).header("location"),
            format!("https://e.test/{i}")
        );
    }
    assert_eq!(up.visit("/late").header("location"), "https://e.test/late");
    assert_eq!(up.visit("/nothing").status, 404);
    Up::signal(proxy.id(), "TERM");
    assert!(proxy.wait().unwrap().success());

    // Back together: the visits made alone are counted.
    up.launch();
    up.wait_ready();
    eventually(SETTLE, "the visits are stored", || {
        (up.sql("SELECT count() FROM signpost.clicks").trim() == "501").then_some(())
    });
    let audit = up.command().arg("audit").output().unwrap();
    assert!(
        audit.status.success(),
        "{}",
        String::from_utf8_lossy(&audit.stdout)
    );
}

#[test]
fn without_the_engine_clicks_wait_and_redirects_go_on() {
    let mut up = Up::start();
    let link = up.link("wait", &json!({ "url": "https://e.test/wait" }));
    assert_eq!(up.stop("INT"), Some(0));

    // A missing engine: everything but the numbers works, and /ready says why.
    let nowhere = up.data.with_file_name("nowhere");
    let mut process = up
        .command()
        .arg("up")
        .env("SIGNPOST_CHDB_LIB", nowhere.join("libchdb.so"))
        .env("SIGNPOST_GEO_DB", nowhere.join("geo.mmdb"))
        .spawn()
        .unwrap();
    eventually(SETTLE, "redirects without an engine", || {
        let answer = up.try_send(
            "GET",
            &format!("http://{}/wait", up.proxy),
            &[("user-agent", crate::harness::CHROME)],
            None,
        )?;
        (answer.status == 302).then_some(())
    });
    let ready = eventually(SETTLE, "/ready names the missing engine", || {
        let page = up.try_get(&format!("http://{}/ready", up.admin))?;
        (page.status == 503 && page.body.contains("geo")).then_some(page)
    });
    assert_eq!(ready.json()["ready"], false);
    Up::signal(process.id(), "TERM");
    process.wait().unwrap();

    up.launch();
    up.wait_ready();
    up.settled(link, 1);
}

#[test]
fn a_port_in_use_is_named_with_its_setting() {
    let taken = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let output = signpost()
        .args(["up", "--api-addr", &addr, "--data-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("SIGNPOST_API_ADDR") && said.contains(&addr),
        "{said}"
    );
}

/// A role, or `up`, on a folder (`$0`) that `mount` has made, in a mount namespace of its own.
pub(crate) fn on_mounted(up: &Up, folder: &Path, mount: &str, role: &str) -> Command {
    std::fs::create_dir_all(folder).unwrap();
    let plain = up.command();
    let mut command = Command::new("unshare");
    command
        .args(["-rm", "sh", "-c", &format!("{mount} && exec \"$@\"")])
        .arg(folder)
        .arg(plain.get_program())
        .arg(role);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn a_read_only_data_folder_is_named() {
    let up = Up::stopped(&[]);
    let mount = "mount -t tmpfs tmpfs \"$0\" && mount -o remount,ro \"$0\"";
    let output = on_mounted(&up, &up.data, mount, "up").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("SIGNPOST_DATA_DIR") && said.contains("Read-only"),
        "{said}"
    );
}

#[test]
fn on_a_full_disk_redirects_go_on_and_ready_says_why_clicks_wait() {
    let up = Up::stopped(&[]);
    let log = std::fs::File::create(up.data.with_file_name("log")).unwrap();
    // Room for the link database of an empty start (about 1 MiB), not for the 1 MiB that the engine reserves for an insert.
    let mount = "mount -t tmpfs -o size=1792k tmpfs \"$0\"";
    let mut process = on_mounted(&up, &up.data, mount, "up")
        .stderr(log)
        .spawn()
        .unwrap();
    let why = eventually(SETTLE, "/ready names the full disk", || {
        let page = up.try_get(&format!("http://{}/ready", up.admin))?;
        (page.status == 503 && page.body.contains("not enough space")).then_some(page.body)
    });
    assert!(why.contains("\"links\":\"ready\""), "{why}");
    // Nothing of the folder can be seen from here, the key included; a visitor needs none.
    let visit = up.visit("/nothing");
    assert_eq!(visit.status, 404);
    Up::signal(process.id(), "TERM");
    assert!(process.wait().unwrap().success(), "{}", up.log());
}
