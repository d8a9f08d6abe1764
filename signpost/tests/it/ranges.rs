//! One range, four dialects: whatever the words for its ends, each counts the same visits of a link, to the click.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{SETTLE, Up, eventually};

/// Visits in the past: when, by whom (whoever comes again in another month has another hash), whether by a bot, whether by a QR code. Some on each side of every end below.
const VISITS: [(&str, u64, bool, bool); 11] = [
    ("2026-02-28 23:59:59.999", 6, false, false),
    ("2026-03-09 23:59:59.999", 1, false, true),
    ("2026-03-10 00:00:00.000", 1, false, false),
    ("2026-03-10 12:34:55.999", 2, false, false),
    ("2026-03-10 12:34:56.000", 2, false, true),
    ("2026-03-10 12:34:56.500", 3, true, false),
    ("2026-03-10 12:34:56.999", 4, false, false),
    ("2026-03-10 12:34:57.000", 4, false, false),
    ("2026-03-10 23:59:59.999", 5, false, true),
    ("2026-03-11 00:00:00.000", 5, false, false),
    ("2026-03-31 10:00:00.000", 1, true, true),
];

/// `from` and `to` as they are sent, and the instants between which a visit then counts, the second left out.
const RANGES: [(&str, &str, &str, &str); 10] = [
    ("", "", "", "~"),
    (
        "2026-03-10",
        "2026-03-10",
        "2026-03-10 00:00:00.000",
        "2026-03-11 00:00:00.000",
    ),
    (
        "2026-03-01",
        "2026-03-31",
        "2026-03-01 00:00:00.000",
        "2026-04-01 00:00:00.000",
    ),
    ("2026-03-11", "", "2026-03-11 00:00:00.000", "~"),
    ("", "2026-03-09", "", "2026-03-10 00:00:00.000"),
    (
        "2026-03-10T12:34:56Z",
        "2026-03-10T12:34:56Z",
        "2026-03-10 12:34:56.000",
        "2026-03-10 12:34:57.000",
    ),
    (
        "2026-03-10T14:34:56.7%2B02:00",
        "2026-03-10%2012:34:56",
        "2026-03-10 12:34:56.000",
        "2026-03-10 12:34:57.000",
    ),
    (
        "2026-03-10T14:34:57+0200",
        "2026-03-11T00:00:00",
        "2026-03-10 12:34:57.000",
        "2026-03-11 00:00:01.000",
    ),
    ("2026-03-12", "2026-03-20", "~", "~"),
    ("2020-01-01", "2020-12-31", "~", "~"),
];

/// What a dialect answers.
#[track_caller]
fn get(up: &Up, path: &str) -> Value {
    let (key, bearer) = (up.key(), format!("Bearer {}", up.key()));
    let headers = [("authorization", &*bearer), ("x-api-key", &*key)];
    let url = format!("http://{}{path}", up.api);
    let answer = up.try_send("GET", &url, &headers, None).expect("an answer");
    assert_eq!(answer.status, 200, "{path} {answer:?}");
    answer.json()
}

#[test]
fn numbers_of_one_range_agree_to_the_click_in_all_four_dialects() {
    let up = Up::start();
    let id = up.link("ranged", &json!({ "url": "https://e.test/" }));
    let urlr = get(&up, "/api/v2/links")["links"][0]["id"].clone();
    let smart = get(&up, "/v1/links")["data"][0]["id"].clone();
    let (urlr, smart) = (urlr.as_str().expect("text"), smart.as_str().expect("text"));

    // A visit of today, and others like it at other times: they come as they would be stored.
    assert_eq!(up.visit("/ranged").status, 302);
    up.settled(id, 1);
    for (place, (time, visitor, bot, scan)) in VISITS.iter().enumerate() {
        up.sql(&format!(
            "INSERT INTO signpost.clicks SELECT * REPLACE (toDateTime64('{time}', 3, 'UTC') AS time, toUInt64(1000 + {place}) AS position, \
             toNullable(toUInt64({visitor})) AS visitor, {bot} AS is_bot, {scan} AS is_scan) \
             FROM (SELECT * FROM signpost.clicks WHERE slug = 'ranged' AND position < 1000)"
        ));
    }
    let people = 1 + VISITS.iter().filter(|(_, _, bot, _)| !bot).count();
    eventually(SETTLE, "all are there", || {
        (up.stats(id, "")["data"]["total_clicks"] == people).then_some(())
    });

    // Every range that ends ends before it.
    let today = "2026-12-31 00:00:00.000";
    for (from, to, first, end) in RANGES {
        let within = |time: &str| first <= time && time < end;
        let counted: Vec<_> = VISITS
            .iter()
            .filter(|(time, _, bot, _)| !bot && within(time))
            .collect();
        let visitors: BTreeSet<_> = counted.iter().map(|(_, who, ..)| who).collect();
        let now = usize::from(within(today));
        let (clicks, unique) = (counted.len() + now, visitors.len() + now);
        let scans = counted.iter().filter(|(.., scan)| *scan).count();
        let query: Vec<String> = [("from", from), ("to", to)]
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let query = query.join("&");
        let about = format!("{from} to {to}");

        let main = get(&up, &format!("/api/url/{id}/stats?{query}"))["data"].clone();
        assert_eq!(
            (&main["total_clicks"], &main["unique_clicks"]),
            (&json!(clicks), &json!(unique)),
            "{about}"
        );
        let statistics = get(&up, &format!("/api/v2/statistics?link_id={urlr}&{query}"));
        assert_eq!(
            statistics,
            json!({"link_id": urlr, "visits": clicks, "unique_visits": unique, "clicks": clicks - scans, "scans": scans}),
            "{about}"
        );
        let metrics = get(&up, &format!("/v1/analytics/{smart}?{query}"))["metrics"].clone();
        assert_eq!(
            (&metrics["clicks"], &metrics["uniqueClicks"]),
            (&json!(clicks), &json!(unique)),
            "{about}"
        );
        // Minilnk knows no ranges: its days are those of any range of days.
        let analytics = get(&up, &format!("/api/v1/links/{id}/analytics"));
        let days = analytics["breakdown"]["clicks_over_time"]
            .as_array()
            .expect("days");
        if !from.contains('T') && !to.contains('T') {
            let days = days.iter().filter(|day| {
                let date = day["date"].as_str().expect("a date");
                (from.is_empty() || from <= date) && (to.is_empty() || date <= to)
            });
            let sum: u64 = days
                .map(|day| day["count"].as_u64().expect("a number"))
                .sum();
            assert_eq!(sum, clicks as u64, "{about}");
        }
        if query.is_empty() {
            let all = json!({"total_clicks": clicks, "unique_clicks": unique});
            assert_eq!(analytics["summary"], all);
        }
    }
}
