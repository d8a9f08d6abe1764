//! A bio page over the whole pipeline: met by visitors, its views and clicks counted, a form sent and read.

use serde_json::{Value, json};

use crate::harness::{CHROME, SETTLE, Up, eventually};

#[test]
fn a_bio_page_is_met_clicked_and_written_to() {
    let up = Up::start();
    let made = |path: &str, body: Value| {
        let made = up.api("POST", path, Some(&body)).json();
        assert_eq!(made["error"], 0, "{made}");
        made
    };
    let page = made(
        "/bio/add",
        json!({"title": "Ada", "custom": "mybio", "description": "Hello"}),
    )["id"]
        .clone();
    let blocks = format!("/bio/{page}/blocks");
    let link =
        json!({"type": "link", "title": "Shop", "url": "https://e.test/shop", "icon": "tag"});
    made(&blocks, link);
    let form = made(&blocks, json!({"type": "contact-form"}))["data"]["id"].clone();
    made(
        &blocks,
        json!({"type": "event", "title": "Party", "starts_at": "2030-01-01 20:00"}),
    );
    // o_166: served at its alias, with its policy, and asked for anew each time, for each view counts.
    let shown = eventually(SETTLE, "the page is live", || {
        let answer = up.visit_as("/mybio", "203.0.113.7", CHROME, &[]);
        (answer.status == 200 && answer.body.contains("Party")).then_some(answer)
    });
    assert_eq!(shown.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(shown.header("cache-control"), "private, no-store");
    assert!(
        shown
            .header("content-security-policy")
            .contains("default-src 'none'")
    );
    // o_159: its title is a link to where it leads.
    let links: Vec<&str> = shown
        .body
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let ways: Vec<&str> = links
        .into_iter()
        .filter(|href| href.starts_with("/u/bio/"))
        .collect();
    assert_eq!(ways.len(), 2, "{ways:?}");
    for _ in 0..2 {
        let clicked = up.visit(ways[0]);
        assert_eq!(
            (clicked.status, clicked.header("location")),
            (302, "https://e.test/shop")
        );
    }
    let calendar = up.visit(ways[1]);
    assert_eq!(
        (calendar.status, calendar.header("content-type")),
        (200, "text/calendar; charset=utf-8")
    );
    assert!(
        calendar.body.contains("SUMMARY:Party")
            && calendar.header("content-disposition").contains("event.ics")
    );
    // A form is sent to the page itself.
    let body = format!("bio-block={form}&name=Bo&email=bo%40e.test&message=Hi");
    let headers = [
        ("user-agent", CHROME),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let sent = up
        .try_send(
            "POST",
            &format!("http://{}/mybio", up.proxy),
            &headers,
            Some(&body),
        )
        .expect("an answer");
    assert!(
        sent.status == 200 && sent.body.contains("Your message has been sent."),
        "{sent:?}"
    );
    let entries = up.api("GET", &format!("/bio/{page}/entries"), None).json();
    let fields = &entries["data"]["entries"][0]["fields"];
    assert_eq!(
        fields,
        &json!({"name": "Bo", "email": "bo@e.test", "message": "Hi"}),
        "{entries}"
    );
    // Views and clicks, each by itself.
    eventually(SETTLE, "views and clicks are counted", || {
        let json = up.api("GET", &format!("/bio/{page}"), None).json();
        let data = &json["data"];
        let clicks = |place: usize| data["blocks"][place]["clicks"].as_u64();
        let views = data["views"].as_u64().expect("a number");
        (views >= 1 && (clicks(0), clicks(1), clicks(2)) == (Some(2), Some(0), Some(1)))
            .then_some(())
    });
    up.api("DELETE", &format!("/bio/{page}/delete"), None);
    eventually(SETTLE, "the page is gone", || {
        (up.head("/mybio").status == 404 && up.head(ways[0]).status == 404).then_some(())
    });
}
