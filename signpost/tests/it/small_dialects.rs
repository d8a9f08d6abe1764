//! Minilnk and SmartLinks from the API to the visitor and back to the numbers, one process for all.

use serde_json::{Value, json};

use crate::harness::{Answer, CHROME, IPHONE, SETTLE, Up, eventually};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";

/// A call at a path of any dialect.
#[track_caller]
fn call(up: &Up, method: &str, path: &str, body: Option<Value>) -> Answer {
    let url = format!("http://{}{path}", up.api);
    let auth = format!("Bearer {}", up.key());
    let headers = [
        ("authorization", auth.as_str()),
        ("content-type", "application/json"),
    ];
    let body = body.map(|body| body.to_string());
    up.try_send(method, &url, &headers, body.as_deref())
        .expect("an answer")
}

#[track_caller]
fn json_of(up: &Up, method: &str, path: &str, body: Option<Value>) -> Value {
    let answer = call(up, method, path, body);
    assert!(matches!(answer.status, 200 | 201), "{path} {answer:?}");
    answer.json()
}

/// Path and query of a URL on the proxy.
fn path(url: &Value) -> String {
    let url = url.as_str().expect("text");
    let rest = url.splitn(4, '/').nth(3).expect("a path");
    format!("/{rest}")
}

#[track_caller]
fn leads_to(up: &Up, path: &str, location: &str) {
    eventually(SETTLE, &format!("{path} leads to {location}"), || {
        (up.head(path).header("location") == location).then_some(())
    });
}

/// The mark in a code's image: what follows `?qr=` at the short URL.
fn marked(up: &Up, code: &Value) -> String {
    let rows = call(up, "GET", "/api/qr", None).json();
    let rows = rows["data"]["qrs"].as_array().expect("codes").clone();
    let row = rows.iter().find(|row| row["id"] == code["id"]);
    let link = row.expect("the code")["link"]
        .as_str()
        .expect("text")
        .to_owned();
    link.rsplit('/').next().expect("digits").to_owned()
}

#[test]
fn a_minilnk_link_is_met_by_visitors_and_counted() {
    let up = Up::start();
    // m_25, m_26, m_29: the short URL leads to the original.
    let made = json_of(
        &up,
        "POST",
        "/api/v1/links",
        Some(json!({"original_url": "https://e.test/1", "alias": "hnnews", "title": "News"})),
    );
    assert_eq!(path(&made["short_url"]), "/hnnews");
    leads_to(&up, "/hnnews", "https://e.test/1");
    let link = format!("/api/v1/links/{}", made["id"]);
    let put = |body: Value| json_of(&up, "PUT", &link, Some(body));

    // m_54: a code's image carries its mark; what it encodes leads on, without the mark, and is a scan.
    let code = json_of(
        &up,
        "POST",
        "/api/v1/qrcodes",
        Some(json!({
            "name": "HN", "type": "url", "content": made["short_url"], "error_correction": "H", "link_id": made["id"],
        })),
    );
    let mark = format!("/hnnews?qr={}", marked(&up, &code));
    let code_path = format!("/api/v1/qrcodes/{}", code["id"]);
    eventually(SETTLE, "the code is live", || {
        (up.head(&path(&code["download_png_url"])).status == 200).then_some(())
    });
    // m_57: both images, for everybody who has their addresses and for nobody else.
    for (name, kind) in [
        ("download_svg_url", "image/svg+xml"),
        ("download_png_url", "image/png"),
    ] {
        let address = path(&code[name]);
        let head = up.head(&address);
        assert_eq!((head.status, head.header("content-type")), (200, kind));
        assert_eq!(up.head(address.split('?').next().unwrap()).status, 404);
    }
    let german = [
        ("accept-language", "de"),
        ("referer", "https://news.test/x"),
    ];
    assert_eq!(
        up.visit_as(&mark, "81.169.145.1", IPHONE, &german)
            .header("location"),
        "https://e.test/1"
    );
    assert_eq!(
        up.visit_as("/hnnews", "81.169.145.1", CHROME, &[]).status,
        302
    );
    assert_eq!(
        up.visit_as("/hnnews", "81.169.145.1", CHROME, &[]).status,
        302
    );
    assert_eq!(
        up.visit_as("/hnnews?qr=00000000", "8.8.8.8", FIREFOX, &[])
            .status,
        302
    );
    let id = made["id"].as_i64().unwrap();
    up.settled(id, 4);
    eventually(SETTLE, "one scan is counted", || {
        (json_of(&up, "GET", &code_path, None)["scan_count"] == 1).then_some(())
    });
    let scans = "SELECT count() FROM signpost.clicks WHERE is_scan AND outcome = 'redirect' AND slug = 'hnnews'";
    assert_eq!(up.sql(scans).trim(), "1");

    // m_60, m_61, m_62, m_63, m_64, m_65, m_66, m_67, m_68.
    let seen = json_of(&up, "GET", &format!("{link}/analytics"), None);
    let subject = &seen["link"];
    assert_eq!(subject.as_object().unwrap().len(), 7);
    assert_eq!(
        (&subject["id"], &subject["title"], &subject["short_code"]),
        (&made["id"], &json!("News"), &json!("hnnews"))
    );
    assert_eq!(
        (&subject["short_url"], &subject["original_url"]),
        (&made["short_url"], &made["original_url"])
    );
    assert_eq!(
        seen["summary"],
        json!({"total_clicks": 4, "unique_clicks": 3})
    );
    assert_eq!(
        (&subject["total_clicks"], &subject["unique_clicks"]),
        (&json!(4), &json!(3))
    );
    let shown = json_of(&up, "GET", &link, None);
    assert_eq!(
        (&shown["total_clicks"], &shown["unique_clicks"]),
        (&json!(4), &json!(3))
    );
    let breakdown = &seen["breakdown"];
    for list in ["clicks_over_time", "devices", "countries", "browsers", "os"] {
        let rows = breakdown[list].as_array().unwrap();
        let sum: i64 = rows.iter().map(|row| row["count"].as_i64().unwrap()).sum();
        assert_eq!(sum, 4, "{list} {seen}");
    }
    let date = breakdown["clicks_over_time"][0]["date"].as_str().unwrap();
    assert!(date.len() == 10 && date.as_bytes()[4] == b'-', "{date}");
    assert_eq!(
        breakdown["devices"],
        json!([{"device_type": "desktop", "count": 3}, {"device_type": "mobile", "count": 1}])
    );
    assert_eq!(
        breakdown["countries"],
        json!([
            {"country": "Germany", "country_code": "DE", "count": 3}, {"country": "United States", "country_code": "US", "count": 1},
        ])
    );
    let browsers = breakdown["browsers"].as_array().unwrap();
    assert!(
        browsers.contains(&json!({"browser": "Chrome", "count": 2, "percentage": 50.0})),
        "{seen}"
    );
    assert!(
        browsers.contains(&json!({"browser": "Firefox", "count": 1, "percentage": 25.0})),
        "{seen}"
    );
    for list in ["browsers", "os"] {
        let rows = breakdown[list].as_array().unwrap();
        let sum: f64 = rows
            .iter()
            .map(|row| row["percentage"].as_f64().unwrap())
            .sum();
        assert!((sum - 100.0).abs() < 1e-9, "{seen}");
    }
    let recent = seen["recent"].as_array().unwrap();
    let times: Vec<&str> = recent
        .iter()
        .map(|v| v["clicked_at"].as_str().unwrap())
        .collect();
    assert!(
        recent.len() == 4 && times.is_sorted_by(|a, b| a >= b),
        "{seen}"
    );
    // Visits of one millisecond are in no order that a visitor could tell, so the scan is not always the last.
    let scan = recent.iter().find(|visit| visit["os"] == "iOS").unwrap();
    assert_eq!(
        (
            &scan["country"],
            &scan["country_code"],
            &scan["device_type"],
            &scan["os"],
            &scan["referrer"]
        ),
        (
            &json!("Germany"),
            &json!("DE"),
            &json!("mobile"),
            &json!("iOS"),
            &json!("https://news.test/x")
        )
    );
    assert!(!seen.to_string().contains("81.169"), "{seen}");
    // The same numbers in the other dialects.
    assert_eq!(up.stats(id, "")["data"]["total_clicks"], 4);
    let listed = json_of(&up, "GET", "/v1/links", None);
    let other = json_of(
        &up,
        "GET",
        &format!(
            "/v1/analytics/{}",
            listed["data"][0]["id"].as_str().unwrap()
        ),
        None,
    );
    assert_eq!(
        other["metrics"],
        json!({"clicks": 4, "uniqueClicks": 3, "platforms": {"ios": 1, "android": 0, "web": 3}})
    );

    // m_58, m_59: after the code is gone, its mark says nothing, and the link answers as before.
    json_of(&up, "DELETE", &code_path, None);
    eventually(SETTLE, "the image is gone", || {
        (up.head(&path(&code["download_png_url"])).status == 404).then_some(())
    });
    assert_eq!(up.visit(&mark).header("location"), "https://e.test/1");
    up.settled(id, 5);
    assert_eq!(up.sql(scans).trim(), "1");

    // m_39: what a change does not name stays: code, alias and counts.
    let before = json_of(&up, "GET", &link, None);
    assert_eq!(
        (&before["total_clicks"], &before["unique_clicks"]),
        (&json!(5), &json!(4))
    );
    let mut after = put(json!({"original_url": "https://e.test/39"}));
    assert_eq!(after["original_url"], "https://e.test/39");
    after["original_url"] = before["original_url"].clone();
    assert_eq!(after, before);

    // m_32, m_35, m_37: another destination, a password, and none again.
    let locked = put(json!({"original_url": "https://e.test/2", "password": "open sesame"}));
    assert!(!locked.to_string().contains("sesame"));
    eventually(SETTLE, "the password is asked for", || {
        (up.head("/hnnews").status == 200).then_some(())
    });
    let asked = up.visit("/hnnews");
    assert!(
        asked.header("location").is_empty() && asked.body.contains("name=\"password\""),
        "{asked:?}"
    );
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("user-agent", CHROME),
    ];
    let url = format!("http://{}/hnnews", up.proxy);
    let given = up
        .try_send("POST", &url, &form, Some("password=open+sesame"))
        .unwrap();
    assert_eq!(given.header("location"), "https://e.test/2");
    put(json!({"original_url": "https://e.test/2", "remove_password": true}));
    leads_to(&up, "/hnnews", "https://e.test/2");

    // m_33, m_38: it expires, shows so, and goes on when the expiry is taken away.
    let soon = up.sql("SELECT formatDateTime(now() + 3, '%Y-%m-%dT%H:%i:%SZ', 'UTC')");
    put(json!({"original_url": "https://e.test/2", "expires_at": soon.trim()}));
    eventually(SETTLE, "the link expires", || {
        (up.head("/hnnews").status == 410).then_some(())
    });
    put(json!({"original_url": "https://e.test/2", "remove_expiration": true}));
    leads_to(&up, "/hnnews", "https://e.test/2");

    // m_41: deleted, visitors read a page with 404.
    json_of(&up, "DELETE", &link, None);
    eventually(SETTLE, "the link is gone", || {
        (up.head("/hnnews").status == 404).then_some(())
    });
    let gone = up.visit("/hnnews");
    assert!(
        gone.header("content-type").starts_with("text/html") && gone.body.contains("<html"),
        "{gone:?}"
    );
}

#[test]
fn a_smart_link_is_met_by_visitors_and_counted() {
    let up = Up::start();
    let made = json_of(
        &up,
        "POST",
        "/v1/links",
        Some(
            json!({"url": "https://e.test/1", "shortCode": "custom-code", "metadata": {"campaign": "summer-sale"}}),
        ),
    );
    // s_16: the short URL leads to the URL.
    assert_eq!(path(&made["shortUrl"]), "/custom-code");
    leads_to(&up, "/custom-code", "https://e.test/1");
    let link = format!("/v1/links/{}", made["id"].as_str().unwrap());

    // s_24, s_25: the image works without a key.
    let code = json_of(
        &up,
        "POST",
        "/v1/qr-codes",
        Some(json!({"linkId": made["id"], "size": 500, "format": "png"})),
    );
    let image = path(&code["imageUrl"]);
    eventually(SETTLE, "the image is there", || {
        (up.head(&image).header("content-type") == "image/png").then_some(())
    });
    let rows = call(&up, "GET", "/api/v1/qrcodes", None).json();
    let mark = format!("/custom-code?qr={}", marked(&up, &rows["data"][0]));

    for (address, agent, at) in [
        ("81.169.145.1", IPHONE, mark.as_str()),
        ("81.169.145.1", IPHONE, "/custom-code"),
        ("8.8.8.8", ANDROID, "/custom-code"),
        ("8.8.4.4", CHROME, "/custom-code"),
    ] {
        assert_eq!(
            up.visit_as(at, address, agent, &[]).header("location"),
            "https://e.test/1"
        );
    }
    let listed = call(&up, "GET", "/api/v1/links", None).json();
    let id = listed["data"][0]["id"].as_i64().unwrap();
    up.settled(id, 4);
    eventually(SETTLE, "the scan is counted", || {
        (call(&up, "GET", "/api/v1/qrcodes", None).json()["data"][0]["scan_count"] == 1)
            .then_some(())
    });

    // s_27, s_28, s_29, s_30: a range, its last day included, and platforms that add up.
    let analytics = format!("/v1/analytics/{}", made["id"].as_str().unwrap());
    let numbers =
        json!({"clicks": 4, "uniqueClicks": 3, "platforms": {"ios": 2, "android": 1, "web": 1}});
    let all = json_of(&up, "GET", &analytics, None);
    assert_eq!(
        (&all["linkId"], &all["metrics"], &all["period"]["from"]),
        (&made["id"], &numbers, &made["createdAt"])
    );
    let today = &all["period"]["to"].as_str().unwrap()[..10];
    let day = json_of(
        &up,
        "GET",
        &format!("{analytics}?from=2026-01-01&to={today}"),
        None,
    );
    assert_eq!(day["metrics"], numbers);
    assert_eq!(
        day["period"],
        json!({"from": "2026-01-01T00:00:00Z", "to": format!("{today}T23:59:59Z")})
    );
    let past = json_of(
        &up,
        "GET",
        &format!("{analytics}?from=2026-01-01&to=2026-01-31"),
        None,
    );
    assert_eq!(
        past["period"],
        json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-31T23:59:59Z"})
    );
    assert_eq!(
        past["metrics"],
        json!({"clicks": 0, "uniqueClicks": 0, "platforms": {"ios": 0, "android": 0, "web": 0}})
    );

    // s_20: another destination, the rest stays.
    let changed = json_of(
        &up,
        "PATCH",
        &link,
        Some(json!({"url": "https://e.test/2"})),
    );
    assert_eq!(
        (&changed["metadata"], &changed["shortCode"]),
        (&made["metadata"], &made["shortCode"])
    );
    leads_to(&up, "/custom-code", "https://e.test/2");
    // s_21: gone.
    assert_eq!(call(&up, "DELETE", &link, None).status, 204);
    eventually(SETTLE, "the link is gone", || {
        (up.head("/custom-code").status == 404).then_some(())
    });
}
