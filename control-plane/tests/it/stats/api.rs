//! The same numbers over the API.

use std::collections::BTreeSet;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{HOSTILE, clicks, ms};
use crate::engine::{Text, engine};
use crate::harness::{ADMIN_KEY, TestApp, keys, unique};

/// A control plane with this engine, and a link of its first workspace.
async fn app_with_link(alias: &str) -> (TestApp, u64, u64) {
    let engine = engine().await;
    let app = TestApp::start(None, &[("SIGNPOST_CLICKHOUSE_URL", &engine.url)]).await;
    let account = app.get("/api/account").await.ok();
    assert!(account["data"]["id"].is_u64());
    // Ids begin at 1 in each database; the engine is shared, so links of earlier tests are passed over.
    let mut id = 0;
    for _ in 0..unique() {
        let link =
            json!({ "url": "https://example.com/", "custom": format!("{alias}-{}", unique()) });
        id = app.link(link).await.cast_unsigned();
    }
    (app, 1, id)
}

async fn answer(app: &TestApp, link: u64, query: &str) -> Value {
    app.get(&format!("/api/url/{link}/stats{query}")).await.ok()["data"].clone()
}

fn sum(object: &Value) -> u64 {
    object
        .as_object()
        .expect("an object")
        .values()
        .map(|n| n.as_u64().expect("a number"))
        .sum()
}

/// O-55, O-57, O-58, O-59, O-60, O-61, O-62, O-63, O-64.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stats_of_a_link_over_the_api() {
    let (app, workspace, link) = app_with_link("stats").await;
    let mut clicks = clicks(workspace, link, 500, true);
    // One for all: each epoch is rolled up by itself.
    let epoch = u64::from(unique()) << 32;
    for click in &mut clicks {
        click.epoch = epoch;
        click.is_bot = false;
    }
    let people = clicks.len() as u64;
    engine().await.store(&clicks).await;
    // O-55, O-59, O-64: a range, its total, and days when no granularity is asked for.
    let data = answer(&app, link, "?from=2026-10-01&to=2026-10-31").await;
    assert_eq!(data["total_clicks"], json!(people));
    assert!(data.get("events").is_none());
    // O-60: a daily breakdown, one entry a day, that sums to the total.
    let daily = data["daily"].as_array().expect("days");
    let days: BTreeSet<&str> = daily
        .iter()
        .map(|day| day["date"].as_str().expect("a date"))
        .collect();
    assert_eq!(days.len(), daily.len());
    assert_eq!(
        daily
            .iter()
            .map(|day| day["clicks"].as_u64().expect("a number"))
            .sum::<u64>(),
        people
    );
    assert!(daily.iter().all(|day| day["unique_clicks"].is_u64()));
    // Every documented key, and no other.
    let documented = [
        "by_browser",
        "by_city",
        "by_country",
        "by_device",
        "by_language",
        "by_os",
        "by_referrer",
        "by_region",
        "by_utm_campaign",
        "by_utm_content",
        "by_utm_medium",
        "by_utm_source",
        "by_utm_term",
        "daily",
        "total_clicks",
        "unique_clicks",
    ];
    assert_eq!(keys(&data), documented);
    assert!(
        daily
            .iter()
            .all(|day| keys(day) == ["clicks", "date", "unique_clicks"])
    );
    assert!(
        data["unique_clicks"]
            .as_u64()
            .is_some_and(|n| n > 0 && n <= people)
    );
    // O-61: countries by name, summing to the total.
    assert_eq!(sum(&data["by_country"]), people);
    assert!(data["by_country"]["Germany"].is_u64() && data["by_country"]["Unknown"].is_u64());
    // O-62, O-63: devices and the rest are objects too.
    let devices: BTreeSet<&String> = data["by_device"]
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    assert_eq!(devices.len(), 3);
    for by in [
        "by_region",
        "by_city",
        "by_device",
        "by_os",
        "by_browser",
        "by_language",
        "by_referrer",
    ] {
        assert_eq!(sum(&data[by]), people, "{by}");
    }
    // O-57: the range bounds it. O-58: `from` alone works.
    assert_eq!(
        answer(&app, link, "?from=2026-10-01&to=2026-10-02").await["total_clicks"],
        json!(0)
    );
    let late = clicks
        .iter()
        .filter(|click| click.time >= ms("2026-10-24T00:00:00Z"))
        .count();
    assert_eq!(
        answer(&app, link, "?from=2026-10-24").await["total_clicks"],
        json!(late)
    );
    let one_day = clicks
        .iter()
        .filter(|c| (ms("2026-10-24T00:00:00Z")..ms("2026-10-25T00:00:00Z")).contains(&c.time))
        .count();
    assert_eq!(
        answer(&app, link, "?from=2026-10-24&to=2026-10-24").await["total_clicks"],
        json!(one_day)
    );
    for bad in [
        "?from=2026-02-30",
        "?to=2026-13-01",
        "?from=2026-10-02&to=2026-10-01",
        "?from=0000-00-00",
        "?tz=Mars/Base",
    ] {
        app.get(&format!("/api/url/{link}/stats{bad}"))
            .await
            .refused("");
    }
    let hourly = answer(&app, link, "?granularity=hour&tz=Europe/Berlin").await;
    assert_eq!(hourly["total_clicks"], json!(people));
}

/// O-65, O-66, O-67, O-68, O-69.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_link_over_the_api() {
    let (app, workspace, link) = app_with_link("events").await;
    let mut clicks = clicks(workspace, link, 250, true);
    let epoch = u64::from(unique()) << 32;
    for (n, click) in clicks.iter_mut().enumerate() {
        click.epoch = epoch;
        click.is_bot = false;
        click.time = ms("2026-10-20T10:00:00Z") + n as i64 * 1_000;
        click.country = "DE".into();
        click.utm_source = "newsletter".into();
        click.referrer = Text(HOSTILE[n % HOSTILE.len()].to_vec());
    }
    clicks[0].referrer = "https://news.test/x".into();
    engine().await.store(&clicks).await;
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = answer(&app, link, &format!("?granularity=event&limit=100{cursor}")).await;
        assert_eq!(page["total_clicks"], json!(250));
        assert_eq!(
            keys(&page),
            ["events", "next_cursor", "total_clicks", "unique_clicks"]
        );
        events.extend(page["events"].as_array().expect("events").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    // O-65: all of them, through all pages.
    assert_eq!(events.len(), 250);
    let documented = [
        "browser",
        "city",
        "country",
        "device",
        "id",
        "is_bot",
        "is_scan",
        "is_unique",
        "language",
        "os",
        "referrer",
        "region",
        "timestamp",
        "utm_campaign",
        "utm_content",
        "utm_medium",
        "utm_source",
        "utm_term",
    ];
    assert!(events.iter().all(|event| keys(event) == documented));
    let ids: BTreeSet<&str> = events.iter().filter_map(|e| e["id"].as_str()).collect();
    assert_eq!(ids.len(), 250);
    for (event, click) in events.iter().zip(&clicks) {
        // O-66: a time in ISO form, to the second.
        let time: Timestamp = event["timestamp"]
            .as_str()
            .expect("a time")
            .parse()
            .expect("ISO 8601");
        assert_eq!(time.as_second(), click.time / 1_000);
        // O-67, O-68, O-69: country, UTM tags, referrer, the latter whole however hostile.
        assert_eq!(event["country"], json!("DE"));
        assert_eq!(event["utm_source"], json!("newsletter"));
        assert_eq!(event["referrer"], json!(click.referrer.shown()));
    }
    assert_eq!(events[0]["referrer"], json!("https://news.test/x"));
    let streamed = app
        .get(&format!(
            "/api/url/{link}/stats?granularity=event&format=ndjson"
        ))
        .await;
    let lines: Vec<Value> = streamed
        .body
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).expect("JSON"))
        .collect();
    assert_eq!(lines, events);
    app.get(&format!(
        "/api/url/{link}/stats?granularity=event&cursor=nonsense"
    ))
    .await
    .refused("cursor");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stats_without_clickhouse_are_a_clear_error_over_the_api() {
    let app = TestApp::on_sqlite().await;
    let link = app.link(json!({ "url": "https://example.com/" })).await;
    let answer = app.get(&format!("/api/url/{link}/stats")).await;
    assert_eq!(answer.status.as_u16(), 503);
    assert!(answer.json()["error"].as_u64().expect("an integer") != 0);
}

/// A link of which most clicks are rolled up, in ranges that cut days: each dialect puts its numbers together by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_a_busy_link_agree_in_all_four_dialects() {
    let (app, workspace, link) = app_with_link("agree").await;
    let mut clicks = clicks(workspace, link, 2_000, true);
    // One for all: each epoch is rolled up by itself.
    let epoch = u64::from(unique()) << 32;
    for click in &mut clicks {
        click.epoch = epoch;
    }
    engine().await.store(&clicks).await;
    let get = async |path: &str| {
        let bearer = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", &*bearer), ("x-api-key", ADMIN_KEY)];
        app.call(Method::GET, path, &headers, "").await.json()
    };
    let urlr = get("/api/v2/links?limit=1").await["links"][0]["id"].clone();
    let smart = get("/v1/links?pageSize=1").await["data"][0]["id"].clone();
    let (urlr, smart) = (urlr.as_str().expect("text"), smart.as_str().expect("text"));
    for query in [
        "",
        "from=2026-10-21",
        "to=2026-10-25",
        "from=2026-10-22&to=2026-10-27",
        "from=2026-10-22T10:00:00Z&to=2026-10-27T09:59:59Z",
        "from=2026-10-21T23:59:59Z&to=2026-10-22T00:00:00Z",
    ] {
        let main = answer(&app, link, &format!("?{query}")).await;
        let statistics = get(&format!("/api/v2/statistics?link_id={urlr}&{query}")).await;
        let metrics = get(&format!("/v1/analytics/{smart}?{query}")).await["metrics"].clone();
        let number = |value: &Value| value.as_u64().expect("a number");
        let all = [
            &main["total_clicks"],
            &statistics["visits"],
            &metrics["clicks"],
        ]
        .map(number);
        assert_eq!(all, [all[0]; 3], "{query}");
        let parts = number(&statistics["clicks"]) + number(&statistics["scans"]);
        assert_eq!(
            (parts, sum(&metrics["platforms"])),
            (all[0], all[0]),
            "{query}"
        );
        let unique = [
            &main["unique_clicks"],
            &statistics["unique_visits"],
            &metrics["uniqueClicks"],
        ]
        .map(number);
        assert_eq!(unique, [unique[0]; 3], "{query}");
        if query.is_empty() {
            let people = clicks.iter().filter(|click| !click.is_bot).count();
            assert_eq!(all[0], people as u64);
            let there = get(&format!("/api/v1/links/{link}/analytics")).await;
            assert_eq!(
                there["summary"],
                json!({"total_clicks": all[0], "unique_clicks": unique[0]})
            );
        }
    }
}
