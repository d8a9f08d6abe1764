//! Scans, as the statistics of a code have them.

use super::*;

/// O-56, O-71, O-73, O-74, O-75, O-76.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scans_are_counted_in_the_words_of_the_dialect() {
    let engine = engine().await;
    let app = TestApp::start(None, &[("SIGNPOST_CLICKHOUSE_URL", &engine.url)]).await;
    // The engine is shared by all tests and ids begin at 1 in each database: this one's lie far from theirs.
    let pool = sqlx::AnyPool::connect(&app.config.database_url.0)
        .await
        .expect("connects");
    let first = 5_000_000 + i64::from(unique());
    sqlx::query("UPDATE link_ids SET next_id = $1")
        .bind(first)
        .execute(&pool)
        .await
        .expect("updates");
    let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/"})).await;
    let scan = |position: u64, referrer: &str| Click {
        epoch: u64::from(unique()) << 32,
        worker: 0,
        position,
        ingested: 1_790_000_000,
        time: 1_790_000_000_000,
        workspace: 1,
        link: first.cast_unsigned(),
        rolled_up: false,
        is_bot: false,
        is_scan: true,
        visitor: Some(7),
        country: "".into(),
        region: "".into(),
        city: "".into(),
        device: "desktop".into(),
        os: "Windows".into(),
        os_version: "10".into(),
        browser: "Chrome".into(),
        language: "en".into(),
        referrer_host: referrer.into(),
        referrer: "".into(),
        utm_source: "".into(),
        utm_medium: "".into(),
        utm_campaign: "".into(),
        utm_term: "".into(),
        utm_content: "".into(),
    };
    engine
        .store(&[scan(0, ""), scan(1, "www.facebook.com")])
        .await;
    let json = app.get(&format!("/api/qr/{}", made.id)).await.ok();
    // O-73: two scans of one visitor.
    let data = &json["data"];
    assert_eq!(
        (&data["clicks"], &data["uniqueClicks"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(json["details"]["scans"], 2);
    // O-74, O-75: labels, counts as texts.
    assert_eq!(data["topCountries"], json!({"Unknown": "2"}));
    assert_eq!(data["topBrowsers"], json!({"Chrome": "2"}));
    assert_eq!(data["topOs"], json!({"Windows 10": "2"}));
    assert_eq!(data["topReferrers"]["Direct, email and other"], "1");
    // O-76: networks as integers.
    assert_eq!(
        data["socialCount"],
        json!({"facebook": 1, "twitter": 0, "instagram": 0})
    );
    // O-71: the list has them too.
    let listed = app.get("/api/qr").await.ok();
    assert_eq!(listed["data"]["qrs"][0]["scans"], 2);
    assert!(listed["data"].get("stats").is_none());
    // O-56: statistics in the form of those of a link.
    let stats = app
        .get(&format!(
            "/api/qr/{}/stats?from=2026-01-01&to=2026-12-31",
            made.id
        ))
        .await
        .ok();
    assert_eq!(
        (
            &stats["data"]["total_clicks"],
            &stats["data"]["unique_clicks"]
        ),
        (&json!(2), &json!(1))
    );
    assert_eq!(stats["data"]["daily"].as_array().expect("days").len(), 1);
    let events = app
        .get(&format!("/api/qr/{}/stats?granularity=event", made.id))
        .await
        .ok();
    assert!(
        events["data"]["events"]
            .as_array()
            .expect("events")
            .iter()
            .all(|event| event["is_scan"] == true)
    );
    app.get(&format!("/api/qr/{}/stats?from=no", made.id))
        .await
        .refused("from");
}
