//! What keeps visitors from harm, through the real proxy.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use serde_json::json;

use crate::harness::{SETTLE, Up, eventually};

/// A destination that has a title and forbids to be framed. It ends with the test's process.
fn closed_site() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let body = "<title>Closed &amp; quiet</title>";
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Frame-Options: DENY\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{addr}/page")
}

#[test]
fn visitors_are_kept_from_listed_hosts_and_from_empty_frames() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("blocked");
    std::fs::write(&list, "# nothing yet\n").unwrap();
    let up = Up::with(&[
        ("SIGNPOST_BLOCKLIST", list.to_str().unwrap()),
        ("SIGNPOST_ASK_DESTINATIONS", "on"),
        ("SIGNPOST_FETCH_ALLOW", "127.0.0.1/32"),
    ]);

    // Listed: nobody is led there any more. Taken from the list: as before.
    up.link(
        "listed",
        &json!({ "url": "https://bad.test/", "title": "B" }),
    );
    up.link(
        "other",
        &json!({ "url": "https://good.test/", "title": "G" }),
    );
    assert_eq!(up.visit("/listed").header("location"), "https://bad.test/");
    std::fs::write(&list, "bad.test\n").unwrap();
    let off = eventually(SETTLE, "the list is applied", || {
        Some(up.visit("/listed")).filter(|answer| answer.header("location").is_empty())
    });
    assert!((400..500).contains(&off.status), "{off:?}");
    assert_eq!(up.visit("/other").header("location"), "https://good.test/");
    let refused = json!({ "url": "https://bad.test/2" });
    let refused = up.api("POST", "/url/add", Some(&refused)).json();
    assert_eq!(
        refused["message"],
        "url must not lead to 'bad.test', which is on the block list of this server"
    );
    std::fs::write(&list, "").unwrap();
    eventually(SETTLE, "the link answers again", || {
        (up.visit("/listed").header("location") == "https://bad.test/").then_some(())
    });

    // A destination that forbids it is not framed, and gives the link its title.
    let site = closed_site();
    let framed = up.link("framed", &json!({ "url": site, "type": "frame" }));
    eventually(SETTLE, "the frame becomes a redirect", || {
        (up.visit("/framed").header("location") == site).then_some(())
    });
    eventually(SETTLE, "the title is there", || {
        let details = up.api("GET", &format!("/url/{framed}"), None).json();
        (details["details"]["title"] == "Closed & quiet").then_some(())
    });
}
