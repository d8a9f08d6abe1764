//! A click limit whose visits are spread over several proxies.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::{CHROME, Role, SETTLE, START, Up, eventually, free_addr};

/// Visits that the link has.
const LIMIT: usize = 500;

/// Visits that come, at once and over all proxies.
const VISITS: usize = 2000;

/// Proxies, and visitors at the same time on each.
const PROXIES: usize = 3;
const VISITORS: usize = 6;

/// The status of one visit; 0: nobody answered.
fn visit(proxy: SocketAddr, method: &str) -> u16 {
    let ask = || -> std::io::Result<u16> {
        let mut stream = TcpStream::connect(proxy)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let request = format!(
            "{method} /few HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {CHROME}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0))
    };
    ask().unwrap_or(0)
}

#[test]
fn proxies_that_race_for_the_last_visits_together_keep_to_the_limit() {
    let up = Up::stopped(&[("SIGNPOST_FEED_TOKEN", "a-token-of-the-feed-for-tests")]);
    let started = |command: &mut std::process::Command, name: &str| {
        let log = std::fs::File::create(up.data.with_file_name(name)).unwrap();
        Role(command.stderr(log).spawn().unwrap())
    };
    let _control_plane = started(up.command().arg("control-plane"), "log");
    up.wait_api();
    let feed = format!("http://{}", up.api);
    let proxies: Vec<(SocketAddr, Role)> = (0..PROXIES)
        .map(|number| {
            let addr = free_addr();
            let name = format!("proxy-{number}");
            let mut command = up.command();
            command
                .arg("proxy")
                .env("SIGNPOST_DATA_DIR", up.data.with_file_name(&name))
                .env("SIGNPOST_PROXY_ADDR", addr.to_string())
                .env("SIGNPOST_ADMIN_ADDR", free_addr().to_string())
                .env("SIGNPOST_FEED_URL", &feed);
            (addr, started(&mut command, &format!("{name}.log")))
        })
        .collect();
    let body = json!({ "url": "https://e.test/few", "custom": "few", "clicklimit": LIMIT });
    let made = up.api("POST", "/url/add", Some(&body)).json();
    assert_eq!(made["error"], 0, "{made}");
    for (proxy, _) in &proxies {
        eventually(START, "the link is live everywhere", || {
            (visit(*proxy, "HEAD") == 302).then_some(())
        });
    }

    let (served, refused, left) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(VISITS),
    );
    let take = || {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_ok()
    };
    let (take, up, counts) = (&take, &up, (&served, &refused));
    std::thread::scope(|scope| {
        for (proxy, _) in &proxies {
            for _ in 0..VISITORS {
                scope.spawn(move || {
                    let (served, refused) = counts;
                    while take() {
                        match visit(*proxy, "GET") {
                            302 => served.fetch_add(1, Ordering::Relaxed),
                            // A lease that comes too late is 503, and spends nothing.
                            410 | 503 => refused.fetch_add(1, Ordering::Relaxed),
                            other => panic!("{proxy} answered {other}\n{}", up.log()),
                        };
                    }
                });
            }
        }
    });
    assert_eq!(
        served.load(Ordering::Relaxed) + refused.load(Ordering::Relaxed),
        VISITS
    );
    // What is left with one of them its next visitors have.
    for (proxy, _) in &proxies {
        eventually(SETTLE, "each says that it is over", || {
            match visit(*proxy, "GET") {
                410 => Some(()),
                302 => {
                    served.fetch_add(1, Ordering::Relaxed);
                    None
                }
                _ => None,
            }
        });
    }
    let served = served.load(Ordering::Relaxed);
    // Answers of the control plane that came too late take their visits with them.
    assert!(
        (LIMIT * 9 / 10..=LIMIT).contains(&served),
        "{served} of {LIMIT} were served"
    );
}
