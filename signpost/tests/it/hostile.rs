//! Markup in what owners write, as visitors meet it: every page that the proxy shows or makes has it as text.

use serde_json::{Value, json};

use crate::harness::{Answer, CHROME, SETTLE, Up, eventually};

/// Leaves an attribute and an element, and runs in two ways.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>";

/// Leaves an attribute.
const BREAKING_OUT: &str = "\" onmouseover=alert(1) x=\"&'";

/// A program that makes previews.
const UNFURLER: &str = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)";

#[track_caller]
fn stands_as_text(answer: &Answer) {
    assert!(answer.header("content-type").starts_with("text/html"));
    let body = &answer.body;
    assert!(body.contains("&lt;script&gt;alert(1)"), "{body}");
    stands_nowhere(answer);
}

#[track_caller]
fn stands_nowhere(answer: &Answer) {
    for markup in ["<script>alert(1)", "<img src=x", "\" onmouseover="] {
        assert!(!answer.body.contains(markup), "{}", answer.body);
    }
    // The second line of defence: no script that is not named.
    let policy = answer.header("content-security-policy");
    assert!(
        !policy.is_empty() && !policy.contains("script-src 'unsafe-inline'"),
        "{policy}"
    );
}

/// A thing of the workspace; its answer.
#[track_caller]
fn made(up: &Up, what: &str, body: &Value) -> Value {
    let answer = up.api("POST", &format!("/{what}/add"), Some(body)).json();
    assert_eq!(answer["error"], 0, "{answer}");
    answer
}

#[test]
fn markup_in_what_owners_write_is_text_on_every_page_of_visitors() {
    let up = Up::start();
    let as_unfurler = |slug: &str| up.visit_as(slug, "203.0.113.7", UNFURLER, &[]);
    let to = "https://e.test/?a=\"><script>alert(1)</script>";

    // Splash page and overlay, whose holes the proxy fills with the destination.
    let splash = json!({"name": HOSTILE, "title": HOSTILE, "message": HOSTILE, "button": HOSTILE});
    let splash = made(&up, "splash", &splash)["id"].to_string();
    let overlay = json!({"type": "contact", "email": "a@e.test", "name": HOSTILE, "message": HOSTILE, "subject": HOSTILE, "button": HOSTILE});
    let overlay = made(&up, "overlay", &overlay)["id"].to_string();
    let texts = json!({"url": "https://e.test/", "title": HOSTILE, "description": HOSTILE, "metatitle": HOSTILE, "metadescription": HOSTILE});
    let link = |slug: &str, more: &[(&str, Value)]| {
        let mut body = texts.clone();
        for (name, value) in more {
            body[*name] = value.clone();
        }
        up.link(slug, &body)
    };
    link("splash", &[("type", json!(splash))]);
    stands_as_text(&up.visit("/splash"));
    link("overlay", &[("type", json!(format!("overlay-{overlay}")))]);
    stands_as_text(&up.visit("/overlay"));
    let led = json!(to.replace(['"', '<', '>'], "%22"));
    link("led", &[("type", json!(splash)), ("url", led)]);
    stands_as_text(&up.visit("/led"));
    let refused = json!({ "url": to });
    let refused = up.api("POST", "/url/add", Some(&refused)).json();
    if refused["error"] == 0 {
        let slug = refused["shorturl"].as_str().unwrap().rsplit('/').next();
        let path = format!("/{}", slug.unwrap());
        let live = || Some(up.visit(&path)).filter(|answer| answer.status == 302);
        let answer = eventually(SETTLE, "the link is live", live);
        assert!(!answer.header("location").contains(['<', '"']));
    }

    // What the proxy makes of its own: previews, texts of closed links, the question for a password.
    link("plain", &[]);
    stands_as_text(&as_unfurler("/plain"));
    link(
        "over",
        &[
            ("expires_at", json!("2021-01-01")),
            ("expired_text", json!(HOSTILE)),
        ],
    );
    stands_as_text(&up.visit("/over"));
    link(
        "few",
        &[
            ("max_clicks", json!(1)),
            ("max_clicks_text", json!(HOSTILE)),
        ],
    );
    eventually(SETTLE, "its visit is spent", || {
        (up.visit("/few").status == 410).then_some(())
    });
    stands_as_text(&up.visit("/few"));
    link("closed", &[("password", json!("open sesame"))]);
    stands_nowhere(&up.visit("/closed"));
    stands_nowhere(&as_unfurler("/closed"));
    let wrong = up
        .try_send(
            "POST",
            &format!("http://{}/closed", up.proxy),
            &[
                ("user-agent", CHROME),
                ("content-type", "application/x-www-form-urlencoded"),
            ],
            Some("password=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"),
        )
        .unwrap();
    assert_eq!(wrong.status, 401);
    stands_nowhere(&wrong);

    // Campaign lists and bio pages.
    let campaign = json!({"name": HOSTILE, "slug": "many", "public": true});
    let campaign = made(&up, "campaign", &campaign);
    let assigned = link("listed", &[]);
    let path = format!("/campaign/{}/assign/{assigned}", campaign["id"]);
    assert_eq!(up.api("POST", &path, None).json()["error"], 0);
    let list = campaign["list"].as_str().unwrap();
    let list = format!("/{}", list.splitn(4, '/').nth(3).unwrap());
    let filled = || Some(up.visit(&list)).filter(|answer| answer.body.contains("/listed"));
    stands_as_text(&eventually(SETTLE, "the list is live", filled));
    // Bio pages refuse what looks like a tag.
    let bio = json!({"title": BREAKING_OUT, "description": BREAKING_OUT, "custom": "person"});
    let bio = made(&up, "bio", &bio)["id"].clone();
    let block = json!({"type": "heading", "title": BREAKING_OUT});
    let added = up.api("POST", &format!("/bio/{bio}/blocks"), Some(&block));
    assert_eq!(added.json()["error"], 0);
    let page = eventually(SETTLE, "the page has its block", || {
        let answer = up.visit("/person");
        let texts = answer.body.matches("&quot; onmouseover=alert(1)");
        (texts.count() > 2).then_some(answer)
    });
    stands_nowhere(&page);
    stands_nowhere(&as_unfurler("/person"));

    // A file's preview; its own bytes are nobody's page.
    let path = format!(
        "/files/upload/{}.txt?name={}",
        "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E".replace("%2F", ""),
        "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"
    );
    let file = up.api("POST", &path, Some(&json!(HOSTILE))).json();
    assert_eq!(file["error"], 0, "{file}");
    let slug = file["shorturl"].as_str().unwrap().rsplit('/').next();
    let slug = format!("/{}", slug.unwrap());
    eventually(SETTLE, "the file is live", || {
        (up.head(&slug).status == 200).then_some(())
    });
    stands_as_text(&as_unfurler(&slug));
    let bytes = up.visit(&slug);
    assert_eq!(bytes.header("x-content-type-options"), "nosniff");
    assert!(
        bytes
            .header("content-disposition")
            .starts_with("attachment;")
    );

    // The address bar is nobody's markup either.
    let nowhere = up.visit("/%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E");
    assert_eq!(nowhere.status, 404);
    stands_nowhere(&nowhere);
}
