//! `/urls` and its export: paging, search, order, formats.

use serde_json::{Value, json};

use crate::harness::{TestApp, on_both_engines};

async fn three(app: &TestApp) {
    for (custom, url) in [
        ("first", "https://alpha.test/100%_sure"),
        ("second", "https://beta.test/"),
        ("Третий", "https://gamma.test/?q=ALPHA"),
    ] {
        app.link(
            json!({"url": url, "custom": custom, "title": format!("Title, \"{custom}\"\nÉTÉ")}),
        )
        .await;
    }
}

fn aliases(json: &Value) -> Vec<&str> {
    json["data"]["urls"]
        .as_array()
        .expect("urls")
        .iter()
        .map(|u| u["alias"].as_str().expect("text"))
        .collect()
}

on_both_engines! {
    async fn o_21_limit_and_page_are_optional(app) {
        three(&app).await;
        assert_eq!(aliases(&app.get("/api/urls?limit=2&page=1").await.ok()).len(), 2);
        assert_eq!(aliases(&app.get("/api/urls?limit=&page=").await.ok()).len(), 3);
        let json = app.get("/api/urls").await.ok();
        assert_eq!((&json["data"]["perpage"], aliases(&json).len()), (&json!(15), 3));
        for bad in ["limit=0", "limit=501", "limit=x", "limit=-1", "page=0", "page=1.5", "limit=99999999999999999999"] {
            app.get(&format!("/api/urls?{bad}")).await.refused("must be a whole number from 1");
        }
    }

    async fn o_22_a_list_says_where_it_stands_in_integers(app) {
        three(&app).await;
        let json = app.get("/api/urls?limit=2&page=1").await.ok();
        let data = &json["data"];
        assert_eq!(
            [&data["result"], &data["perpage"], &data["currentpage"], &data["nextpage"], &data["maxpage"]],
            [&json!(3), &json!(2), &json!(1), &json!(2), &json!(2)]
        );
        assert_eq!(aliases(&json), ["Третий", "second"]);
    }

    async fn o_23_on_the_last_page_nextpage_is_currentpage(app) {
        three(&app).await;
        let json = app.get("/api/urls?limit=2&page=2").await.ok();
        assert_eq!((&json["data"]["nextpage"], &json["data"]["currentpage"]), (&json!(2), &json!(2)));
        assert_eq!(aliases(&json), ["first"]);
        assert!(aliases(&app.get("/api/urls?page=1000000000&limit=500").await.ok()).is_empty());
    }

    async fn search_finds_text_in_any_case_and_takes_it_literally(app) {
        three(&app).await;
        for (q, found) in [
            ("alpha", vec!["Третий", "first"]),
            ("ALPHA.test", vec!["first"]),
            ("%D1%82%D1%80%D0%B5%D1%82%D0%98%D0%99", vec!["Третий"]),
            ("%C3%A9t%C3%A9", vec!["Третий", "second", "first"]),
            ("100%25_", vec!["first"]),
            ("%25", vec!["first"]),
            ("_", vec!["first"]),
            ("!", vec![]),
            ("%27%3B--", vec![]),
        ] {
            let json = app.get(&format!("/api/urls?q={q}")).await.ok();
            assert_eq!(aliases(&json), found, "{q}");
            assert_eq!(json["data"]["result"], found.len());
        }
        app.get("/api/urls?q=a%00b").await.refused("q must not hold control characters");
    }

    async fn short_answers_as_the_link_itself(app) {
        three(&app).await;
        let by_id = app.get("/api/url/1").await.ok();
        for short in ["https://go.test/first", "go.test/first", "http://GO.test:80/first?x=1", "https%3A%2F%2Fgo.test%2Ffirst%2F"] {
            assert_eq!(app.get(&format!("/api/urls?limit=x&short={short}")).await.ok(), by_id, "{short}");
        }
        let third = app.get("/api/urls?short=https://go.test/%25D0%25A2%25D1%2580%25D0%25B5%25D1%2582%25D0%25B8%25D0%25B9").await.ok();
        assert_eq!(third["details"]["alias"], "Третий");
        for bad in ["nothing", "https://go.test/none", "https://other.test/first", "https://go.test/First", "%00", "https://go.test/%25ff"] {
            app.get(&format!("/api/urls?short={bad}")).await.refused("does not exist");
        }
    }

    async fn order_by_click_needs_clicks_and_lists_say_when_they_have_none(app) {
        three(&app).await;
        app.get("/api/urls?order=click").await.failed(503, "statistics are not available");
        app.get("/api/urls?order=name").await.refused("order must be one of date, click");
        let json = app.get("/api/urls?order=date").await.ok();
        assert_eq!(json["data"]["stats"], "unavailable");
        assert_eq!(json["data"]["urls"][0]["clicks"], 0);
        assert_eq!(app.get("/api/url/1").await.ok()["stats"], "unavailable");
    }

    async fn the_export_holds_every_link_in_each_format(app) {
        three(&app).await;
        let csv = app.get("/api/urls/export").await;
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
        let text = String::from_utf8(csv.body.to_vec()).expect("text");
        assert_eq!(text.matches("\r\n").count(), 4);
        assert!(text.contains("\"Title, \"\"first\"\"\nÉTÉ\""), "{text}");
        let lines = app.get("/api/urls/export?format=ndjson").await;
        let lines: Vec<Value> = lines.body.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).expect("JSON")).collect();
        let json = app.get("/api/urls/export?format=json").await.ok();
        assert_eq!(json["data"]["urls"], json!(lines));
        let mut first = lines[2].clone();
        first["date"] = json!("<date>");
        insta::assert_json_snapshot!("export", first);
        app.get("/api/urls/export?format=xml").await.refused("format must be one of csv, ndjson, json");
    }

    async fn an_export_of_many_pages_is_whole(app) {
        let urls: Vec<Value> = (0..1000).map(|n| json!({"url": format!("https://e.test/{n}")})).collect();
        app.post("/api/urls/bulk", json!({"urls": urls})).await.ok();
        let json = app.get("/api/urls/export?format=json").await.ok();
        let urls = json["data"]["urls"].as_array().expect("urls");
        let found: std::collections::BTreeSet<&str> = urls.iter().map(|u| u["longurl"].as_str().expect("text")).collect();
        assert_eq!((urls.len(), found.len()), (1000, 1000));
        let csv = app.get("/api/urls/export").await;
        assert_eq!(csv.body.iter().filter(|b| **b == b'\n').count(), 1001);
    }

    async fn a_statistics_call_is_checked_before_clickhouse_is_asked(app) {
        let id = app.link(json!({"url": "https://e.test/"})).await;
        for (query, part) in [
            ("from=2026-02-30", "from must be a date"),
            ("to=yesterday", "to must be a date"),
            ("from=2026-05-02&to=2026-05-01", "from must not be after to"),
            ("granularity=week", "granularity must be one of day, hour, event"),
            ("tz=Mars/Base", "tz must be"),
            ("tz=../../etc/passwd", "tz must be"),
            ("bots=some", "bots must be one of"),
            ("format=parquet", "format must be one of"),
            ("format=csv", "format must be json unless"),
            ("granularity=event&limit=0", "limit must be"),
            ("granularity=event&limit=1001", "limit must be"),
            ("granularity=event&format=csv&limit=5", "limit must be absent"),
            ("granularity=event&cursor=nonsense", "cursor 'nonsense'"),
        ] {
            app.get(&format!("/api/url/{id}/stats?{query}")).await.refused(part);
        }
        for fine in ["from=2026-05-01", "from=2026-05-01&to=2026-05-01", "to=2026-05-01T10:00:00+0200", "from=&to=&tz=&granularity=hour", "granularity=event&tz=Asia/Kolkata&bots=only", "granularity=event&format=csv", "granularity=event&format=ndjson", "from=0000-01-01&to=9999-12-31"] {
            app.get(&format!("/api/url/{id}/stats?{fine}")).await.failed(503, "statistics are not available");
        }
    }
}
