//! What a link shows instead of a redirect, from the API to the visitor.

use serde_json::{Value, json};

use crate::harness::{Answer, CHROME, SETTLE, Up, eventually};

/// Each type with a place in its vendor's code.
const PIXELS: [(&str, &str); 13] = [
    ("gtmpixel", "googletagmanager.com/gtm.js"),
    ("gapixel", "googletagmanager.com/gtag/js"),
    ("fbpixel", "connect.facebook.net"),
    ("adwordspixel", "googletagmanager.com/gtag/js"),
    ("linkedinpixel", "snap.licdn.com"),
    ("twitterpixel", "static.ads-twitter.com"),
    ("adrollpixel", "s.adroll.com"),
    ("quorapixel", "a.quora.com"),
    ("pinterest", "s.pinimg.com"),
    ("bing", "bat.bing.com"),
    ("snapchat", "sc-static.net"),
    ("reddit", "www.redditstatic.com"),
    ("tiktok", "analytics.tiktok.com"),
];

/// Where links lead, and how it stands in a page.
const DESTINATION: &str = "https://e.test/page?a=1&b=%27";
const ESCAPED: &str = "href=\"https://e.test/page?a=1&amp;b=%27\"";

#[track_caller]
fn add(up: &Up, what: &str, body: &Value) -> i64 {
    let answer = up.api("POST", &format!("/{what}/add"), Some(body)).json();
    assert_eq!(answer["error"], 0, "{answer}");
    answer["id"].as_i64().unwrap()
}

/// What a visitor of a link meets. A large page may be on its way to the proxy for a moment, which answers 503.
#[track_caller]
fn shown(up: &Up, path: &str) -> Answer {
    let answer = eventually(SETTLE, "the page is there", || {
        let answer = up.visit(path);
        (answer.status != 503).then_some(answer)
    });
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.header("cache-control").contains("no-store"));
    assert_eq!(answer.header("location"), "");
    let policy = answer.header("content-security-policy");
    assert!(
        policy.starts_with("default-src") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(!answer.body.contains('\0'), "a hole is left");
    answer
}

#[test]
fn what_links_show_reaches_visitors_and_follows_its_edits() {
    let up = Up::start();

    // o_172: each type's vendor code with its tag, then on to the destination.
    let mut pixels = Vec::new();
    for (vendor, place) in PIXELS {
        let tag = format!("{vendor}-1/x");
        let pixel = add(
            &up,
            "pixel",
            &json!({ "type": vendor, "name": vendor, "tag": tag }),
        );
        let body = json!({ "url": DESTINATION, "pixels": [pixel] });
        up.link(&format!("pixel-{vendor}"), &body);
        let visit = shown(&up, &format!("/pixel-{vendor}"));
        for part in [
            place,
            &format!("\"{tag}\""),
            ESCAPED,
            "http-equiv=\"refresh\"",
        ] {
            assert!(
                visit.body.contains(part),
                "{vendor}: no {part} in {}",
                visit.body
            );
        }
        assert!(visit.header("content-security-policy").contains("https://"));
        pixels.push(pixel);
    }
    // A visit of a page is a click like any other.
    let all = up.link(
        "pixel-all",
        &json!({ "url": DESTINATION, "pixel_ids": pixels }),
    );
    shown(&up, "/pixel-all");
    up.settled(all, 1);

    // o_176: deleted, the links go on without it.
    let first = pixels[0];
    assert_eq!(
        up.api("DELETE", &format!("/pixel/{first}/delete"), None)
            .json()["error"],
        0
    );
    eventually(SETTLE, "the redirect is back", || {
        (up.visit("/pixel-gtmpixel").header("location") == DESTINATION).then_some(())
    });
    let visit = shown(&up, "/pixel-all");
    assert!(!visit.body.contains("gtm.js") && visit.body.contains("pixel.js"));

    // o_178: a splash page with its name, then the destination.
    let splash = add(
        &up,
        "splash",
        &json!({ "name": "Spring promo", "message": "Soon <b>", "counter": 7 }),
    );
    up.link(
        "splash",
        &json!({ "url": DESTINATION, "type": splash.to_string() }),
    );
    let visit = shown(&up, "/splash");
    for part in [
        "Spring promo",
        "Soon &lt;b&gt;",
        ESCAPED,
        "content=\"7;url=https://e.test/page",
    ] {
        assert!(visit.body.contains(part), "no {part} in {}", visit.body);
    }
    let edit = json!({ "title": "Autumn promo" });
    assert_eq!(
        up.api("PUT", &format!("/splash/{splash}/update"), Some(&edit))
            .json()["error"],
        0
    );
    eventually(SETTLE, "the edit is live", || {
        up.visit("/splash")
            .body
            .contains("Autumn promo")
            .then_some(())
    });

    // o_181: an overlay over the framed destination; its form reaches the owner.
    let contact = json!({ "type": "contact", "name": "Ask", "message": "Write to us", "email": "owner@e.test" });
    let overlay = add(&up, "overlay", &contact);
    let link = up.link(
        "overlay",
        &json!({ "url": DESTINATION, "type": format!("overlay-{overlay}") }),
    );
    let visit = shown(&up, "/overlay");
    for part in [
        "<iframe",
        "src=\"https://e.test/page?a=1&amp;b=%27\"",
        "Write to us",
        "<form method=\"post\">",
    ] {
        assert!(visit.body.contains(part), "no {part} in {}", visit.body);
    }
    let headers = [
        ("user-agent", CHROME),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let form = format!("overlay={overlay}&email=v%40e.test&message=Hello");
    let url = format!("http://{}/overlay", up.proxy);
    let sent = up
        .try_send("POST", &url, &headers, Some(&form))
        .expect("answers");
    assert_eq!(sent.status, 200, "{}", sent.body);
    assert!(sent.body.contains("Thank you"));
    let kept = up
        .api("GET", &format!("/overlay/{overlay}/messages"), None)
        .json();
    let note = &kept["data"]["messages"][0];
    assert_eq!(
        (&note["message"], &note["link"]),
        (&json!("Hello"), &json!(link))
    );

    // A frame, and a frame with pixels: one page.
    up.link(
        "frame",
        &json!({ "url": DESTINATION, "type": "frame", "pixels": [pixels[9]] }),
    );
    let visit = shown(&up, "/frame");
    assert!(visit.body.contains("<iframe") && visit.body.contains("bat.bing.com"));
}
