//! Visits in, numbers out: the statistics of the OpenMyLink dialect over the whole pipeline.

use serde_json::{Value, json};

use crate::harness::{CHROME, IPHONE, SETTLE, Up, eventually};

const BOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

fn sum(map: &Value) -> i64 {
    map.as_object()
        .expect("an object")
        .values()
        .map(|v| v.as_i64().expect("an integer"))
        .sum()
}

#[test]
fn visits_become_exact_numbers() {
    let up = Up::start();
    let link = up.link("shop", &json!({ "url": "https://e.test/shop" }));

    // o_46, o_55: the id serves analytics calls, before any visit too.
    let empty = up.stats(link, "");
    assert_eq!(
        (&empty["error"], &empty["data"]["total_clicks"]),
        (&json!(0), &json!(0)),
        "{empty}"
    );

    let began = now();
    // Three people, four visits; a HEAD and a bot that do not count.
    let news = [("referer", "https://news.test/x?y=1")];
    let german = [("accept-language", "de-DE,de;q=0.9,en;q=0.5")];
    assert_eq!(
        up.visit_as("/shop", "81.169.145.1", CHROME, &news).status,
        302
    );
    assert_eq!(
        up.visit_as("/shop", "81.169.145.1", CHROME, &german).status,
        302
    );
    assert_eq!(up.visit_as("/shop", "8.8.8.8", IPHONE, &[]).status, 302);
    assert_eq!(
        up.visit_as("/shop?utm_source=mail", "192.168.1.1", CHROME, &[])
            .status,
        302
    );
    assert_eq!(up.head("/shop").status, 302);
    assert_eq!(up.visit_as("/shop", "66.249.66.1", BOT, &[]).status, 302);

    let ended = now();
    // o_59: an integer n.
    let data = up.settled(link, 4);
    assert_eq!(data["unique_clicks"], 3);
    // o_60, o_64: one entry a day that sums to the total, and no events by default.
    let daily = data["daily"].as_array().expect("an array");
    assert_eq!(
        daily
            .iter()
            .map(|d| d["clicks"].as_i64().unwrap())
            .sum::<i64>(),
        4
    );
    assert!(data.get("events").is_none());
    // o_61, o_62, o_63: breakdowns are objects of counts that sum to the total.
    assert_eq!(data["by_country"]["Germany"], 2, "{data}");
    assert_eq!(data["by_country"]["United States"], 1, "{data}");
    assert_eq!(data["by_country"]["Unknown"], 1, "{data}");
    assert_eq!(
        (&data["by_device"]["desktop"], &data["by_device"]["mobile"]),
        (&json!(3), &json!(1))
    );
    for dimension in [
        "by_country",
        "by_device",
        "by_os",
        "by_browser",
        "by_referrer",
        "by_language",
    ] {
        assert_eq!(sum(&data[dimension]), 4, "{dimension}: {data}");
    }
    assert_eq!(data["by_referrer"]["news.test"], 1);
    assert_eq!(data["by_referrer"]["Direct, email and other"], 3);

    // Bots are stored and flagged: with, without and only.
    eventually(SETTLE, "the bot's visit is stored", || {
        (up.stats(link, "?bots=only")["data"]["total_clicks"] == 1).then_some(())
    });
    assert_eq!(up.stats(link, "?bots=include")["data"]["total_clicks"], 5);

    // o_57, o_58: the range bounds the count, `from` alone works.
    let today = daily.last().unwrap()["date"].as_str().unwrap().to_owned();
    assert_eq!(
        up.stats(link, &format!("?from={today}&to={today}"))["data"]["total_clicks"],
        4
    );
    assert_eq!(
        up.stats(link, &format!("?from={today}"))["data"]["total_clicks"],
        4
    );
    assert_eq!(
        up.stats(link, "?from=2020-01-01&to=2020-01-31")["data"]["total_clicks"],
        0
    );
    assert_eq!(up.stats(link, "?from=2026-02-30")["error"], 1);
    assert_eq!(up.stats(link, "?from=2026-02-02&to=2026-02-01")["error"], 1);

    // Hours too.
    let hourly = up.stats(link, "?granularity=hour");
    assert_eq!(hourly["error"], 0, "{hourly}");

    // o_65: every click, through all pages.
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = up.stats(link, &format!("?granularity=event&limit=3{cursor}"));
        assert_eq!(page["data"]["total_clicks"], 4, "{page}");
        events.extend(
            page["data"]["events"]
                .as_array()
                .expect("events")
                .iter()
                .cloned(),
        );
        match page["data"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
        assert!(events.len() < 10, "pages end");
    }
    assert_eq!(events.len(), 4);
    // o_66, o_67, o_68, o_69: the time of the visit, geo, UTM, referrer.
    let is_then = |event: &Value| {
        let time = event["timestamp"].as_str().and_then(|t| t.get(..19));
        let time = time.map(|t| t.replace('T', " "));
        time.is_some_and(|t| (began.as_str()..=ended.as_str()).contains(&t.as_str()))
    };
    assert!(events.iter().all(is_then), "{began} {ended} {events:?}");
    assert_eq!(events.iter().filter(|e| e["country"] == "DE").count(), 2);
    assert_eq!(
        events.iter().filter(|e| e["utm_source"] == "mail").count(),
        1
    );
    assert_eq!(
        events
            .iter()
            .filter(|e| e["referrer"]
                .as_str()
                .is_some_and(|r| r.contains("news.test/x")))
            .count(),
        1
    );
    assert_eq!(events.iter().filter(|e| e["is_unique"] == true).count(), 3);
    let csv = up.api(
        "GET",
        &format!("/url/{link}/stats?granularity=event&format=csv"),
        None,
    );
    assert_eq!(csv.body.lines().count(), 5, "{}", csv.body);
    let ndjson = up.api(
        "GET",
        &format!("/url/{link}/stats?granularity=event&format=ndjson"),
        None,
    );
    assert_eq!(ndjson.body.lines().count(), 4, "{}", ndjson.body);

    // /url/:id and /urls agree.
    let one = up.api("GET", &format!("/url/{link}"), None).json();
    assert_eq!(
        (&one["data"]["clicks"], &one["data"]["uniqueClicks"]),
        (&json!(4), &json!(3)),
        "{one}"
    );
    let list = up.api("GET", "/urls", None).json();
    assert_eq!(list["data"]["urls"][0]["clicks"], 4, "{list}");
}

/// The time of day, UTC, to the second.
fn now() -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M:%S"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn hostile_texts_are_stored_counted_and_shown_escaped() {
    let up = Up::start();
    let link = up.link("hostile", &json!({ "url": "https://e.test/" }));
    let hostile = "<script>alert('\"1\"')</script>";
    up.visit_as(
        "/hostile?utm_source=%3Cscript%3E%00%ff%27%22",
        "203.0.113.9",
        &format!("{CHROME} {hostile}"),
        &[("referer", &format!("https://evil.test/{hostile}"))],
    );
    raw_visit(&up, b"GET /hostile HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0 \xff\xfe\r\nReferer: \xff\xfe\x80\r\nX-Forwarded-For: not an address\r\nConnection: close\r\n\r\n");
    let data = up.settled(link, 2);
    assert_eq!(sum(&data["by_referrer"]), 2, "{data}");
    let events = up.stats(link, "?granularity=event")["data"]["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(2));
    assert!(events.to_string().contains("<script>"), "{events}");
}

fn raw_visit(up: &Up, request: &[u8]) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(up.proxy).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    answer
}
