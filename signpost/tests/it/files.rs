//! Files over the whole pipeline: uploaded, downloaded by visitors, counted, replaced behind the same address.

use serde_json::Value;

use crate::harness::{Answer, CHROME, SETTLE, Up, eventually};

/// Sends a form with one file.
fn send(up: &Up, method: &str, path: &str, name: &str, text: &str, more: &str) -> Value {
    let body = format!(
        "--b7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{text}\r\n{more}--b7--\r\n"
    );
    let key = format!("Bearer {}", up.key());
    let headers = [
        ("authorization", key.as_str()),
        ("content-type", "multipart/form-data; boundary=b7"),
    ];
    let url = format!("http://{}/api{path}", up.api);
    let answer = up.try_send(method, &url, &headers, Some(&body));
    let json = answer.expect("an answer").json();
    assert_eq!(json["error"], 0, "{json}");
    json
}

fn field(name: &str, value: &str) -> String {
    format!("--b7\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

fn path(json: &Value) -> String {
    let url = json["data"]["download_url"].as_str().expect("text");
    let slug = url.rsplit('/').next().expect("a slug");
    format!("/{slug}")
}

fn downloads(up: &Up, name: &str, expected: u64) {
    eventually(SETTLE, "downloads are counted", || {
        let listed = up.api("GET", &format!("/files?name={name}"), None).json();
        (listed["list"][0]["downloads"] == expected).then_some(())
    });
}

#[test]
fn a_file_is_downloaded_counted_and_replaced() {
    let up = Up::start();
    // o_153, o_155: its address gives the bytes, with type and name.
    let made = send(
        &up,
        "POST",
        "/file/upload",
        "d.pdf",
        "first bytes",
        &field("name", "deck"),
    );
    let slug = path(&made);
    let live = || -> Option<Answer> {
        let head = up.head(&slug);
        (head.status == 200).then_some(head)
    };
    let head = eventually(SETTLE, "the file is live", live);
    assert_eq!(head.header("content-type"), "application/pdf");
    let first = up.visit(&slug);
    assert_eq!((first.status, first.body.as_str()), (200, "first bytes"));
    assert_eq!(
        first.header("content-disposition"),
        "attachment; filename=\"d.pdf\"; filename*=UTF-8''d.pdf"
    );
    // o_152: case matters.
    assert_eq!(up.head(&slug.to_lowercase()).status, 404);
    // o_156: two downloads; what only looks or goes on is none.
    let tag = first.header("etag").to_owned();
    let rest = up.visit_as(
        &slug,
        "203.0.113.7",
        CHROME,
        &[("range", "bytes=6-"), ("if-range", &tag)],
    );
    assert_eq!((rest.status, rest.body.as_str()), (206, "bytes"));
    assert_eq!(up.visit(&slug).status, 200);
    downloads(&up, "deck", 2);

    // o_157: other bytes, the same address, and the count goes on.
    let id = made["id"].as_i64().expect("an integer");
    let replaced = send(
        &up,
        "PATCH",
        &format!("/file/{id}"),
        "new.txt",
        "second bytes",
        "",
    );
    assert_eq!(
        (&replaced["id"], &replaced["shorturl"]),
        (&made["id"], &made["shorturl"])
    );
    eventually(SETTLE, "the new bytes are live", || {
        (up.head(&slug)
            .header("content-type")
            .starts_with("text/plain"))
        .then_some(())
    });
    assert_eq!(up.visit(&slug).body, "second bytes");
    downloads(&up, "deck", 3);

    // o_149, o_150: past its date, and beyond its number.
    let late = send(
        &up,
        "POST",
        "/file/upload",
        "late.txt",
        "x",
        &field("expiry", "2021-09-28"),
    );
    let once = send(
        &up,
        "POST",
        "/file/upload",
        "once.txt",
        "only once",
        &field("maxdownloads", "1"),
    );
    eventually(SETTLE, "the last file is live", || {
        (up.head(&path(&once)).status == 200).then_some(())
    });
    assert_eq!(up.visit(&path(&late)).status, 410);
    // A lease that comes too late on a busy machine is 503, and spends nothing.
    let patient = || {
        eventually(SETTLE, "a lease comes in time", || {
            let answer = up.visit(&path(&once));
            (answer.status != 503).then_some(answer)
        })
    };
    let first = patient();
    assert_eq!((first.status, first.body.as_str()), (200, "only once"));
    assert_eq!(patient().status, 410);

    // Deleted: nobody answers there.
    up.api("DELETE", &format!("/file/{id}/delete"), None);
    eventually(SETTLE, "the file is gone", || {
        (up.head(&slug).status == 404).then_some(())
    });
}
