//! The last instant of a link, kept by each proxy alone: the control plane is gone by then, and one of the proxies has started
//! again from what lies on its disk.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::harness::{CHROME, Role, START, Up, eventually, free_addr};
use crate::urlr::{after, now, urlr};

/// A second, in milliseconds: dates of this dialect are no finer.
const SECOND_MS: u128 = 1000;

/// Milliseconds until the links end. A machine on which a proxy does not start again so soon tries with more.
const WAITS: [u64; 3] = [12_000, 40_000, 120_000];

/// Time between two looks.
const BETWEEN: Duration = Duration::from_millis(15);

/// How long is looked after the instant.
const AFTERWARDS_MS: u128 = 2 * SECOND_MS;

/// One visit: when it was sent, its status, when its answer was there. Status 0: nobody answered.
fn look(proxy: SocketAddr, slug: &str) -> (u128, u16, u128) {
    let ask = || -> std::io::Result<u16> {
        let mut stream = TcpStream::connect(proxy)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let request = format!(
            "GET /{slug} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {CHROME}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0))
    };
    let sent = now();
    let status = ask().unwrap_or(0);
    (sent, status, now())
}

/// The processes, each with its log beside the data.
struct Machine {
    up: Up,
    feed: String,
}

impl Machine {
    fn started(&self, command: &mut Command, name: &str) -> Role {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.up.data.with_file_name(name))
            .unwrap();
        Role(command.stderr(log).spawn().unwrap())
    }

    fn proxy(&self, number: usize, addr: SocketAddr) -> Role {
        let name = format!("proxy-{number}");
        let mut command = self.up.command();
        command
            .arg("proxy")
            .env("SIGNPOST_DATA_DIR", self.up.data.with_file_name(&name))
            .env("SIGNPOST_PROXY_ADDR", addr.to_string())
            .env("SIGNPOST_ADMIN_ADDR", free_addr().to_string())
            .env("SIGNPOST_FEED_URL", &self.feed);
        self.started(&mut command, &format!("{name}.log"))
    }
}

/// Whether the links were seen to end to the second; `false`: the machine was too slow to look before.
fn ends_in_time(wait_ms: u64) -> bool {
    let up = Up::stopped(&[("SIGNPOST_FEED_TOKEN", "a-token-of-the-feed-for-tests")]);
    let feed = format!("http://{}", up.api);
    let machine = Machine { up, feed };
    let control_plane = machine.started(machine.up.command().arg("control-plane"), "log");
    machine.up.wait_api();
    let addrs = [free_addr(), free_addr()];
    let [first, second] = [0, 1].map(|number| machine.proxy(number, addrs[number]));
    let live = |proxy: SocketAddr, slug: &str| {
        eventually(START, "the link is live", || {
            (look(proxy, slug).1 == 302).then_some(())
        });
    };
    let (date, instant) = after(wait_ms);
    let bodies = [
        ("doomed", json!({"delete_at": date})),
        (
            "ending",
            json!({"expired_at": date, "delete_after_expiration": true, "expired_url": "https://late.test/"}),
        ),
    ];
    for (slug, mut body) in bodies {
        body["url"] = json!("https://e.test/");
        body["code"] = json!(slug);
        let made = urlr(&machine.up, "POST", "/links", Some(&body));
        assert_eq!(made.status, 201, "{made:?}");
        for proxy in addrs {
            live(proxy, slug);
        }
    }

    // From here on the proxies are alone, and one of them knows only what it kept.
    drop(control_plane);
    drop(second);
    let _second = machine.proxy(1, addrs[1]);
    live(addrs[1], "doomed");
    let end = instant.as_millis();
    if now() >= end {
        return false;
    }
    let mut seen_before = 0;
    while now() < end + AFTERWARDS_MS {
        for proxy in addrs {
            for slug in ["doomed", "ending"] {
                let (sent, status, answered) = look(proxy, slug);
                let about = format!("{proxy} /{slug}: {status}, {sent} to {answered}, end {end}");
                match status {
                    302 => assert!(sent < end + SECOND_MS, "still there: {about}"),
                    404 => assert!(answered >= end, "gone before its time: {about}"),
                    _ => panic!("{about}"),
                }
                seen_before += usize::from(status == 302);
            }
        }
        std::thread::park_timeout(BETWEEN);
    }
    drop(first);
    assert!(seen_before > 0);
    true
}

#[test]
fn u_32_u_36_each_proxy_keeps_the_last_instant_to_the_second_without_a_control_plane() {
    assert!(
        WAITS.into_iter().any(ends_in_time),
        "no proxy starts again within {WAITS:?} ms"
    );
}
