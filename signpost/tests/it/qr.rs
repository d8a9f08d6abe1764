//! QR codes over the whole pipeline: scanned by visitors, counted, led elsewhere, their images fetched without a key.

use serde_json::json;

use crate::harness::{CHROME, SETTLE, Up, eventually};

/// What is in the code of an SVG, read by who knows nothing of how it was made.
fn decode(svg: &str) -> String {
    let tree = resvg::usvg::Tree::from_str(svg, &resvg::usvg::Options::default()).expect("an SVG");
    let size = tree.size().to_int_size();
    let mut map = resvg::tiny_skia::Pixmap::new(size.width(), size.height()).expect("small");
    let as_it_is = resvg::tiny_skia::Transform::identity();
    resvg::render(&tree, as_it_is, &mut map.as_mut());
    let (width, height) = (size.width() as usize, size.height() as usize);
    // Black on white: one channel says it.
    let grey = |x: usize, y: usize| map.pixels()[y * width + x].green();
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, grey);
    let grids = image.detect_grids();
    grids.first().expect("a code").decode().expect("readable").1
}

#[test]
fn a_scanned_code_leads_on_and_counts() {
    let up = Up::start();
    let body =
        json!({"name": "Menu", "type": "dynamic", "url": "https://e.test/1", "format": "svg"});
    let made = up.api("POST", "/qr/add", Some(&body)).json();
    assert_eq!(made["error"], 0, "{made}");
    let path = |url: &serde_json::Value| {
        let url = url.as_str().expect("text").to_owned();
        url.splitn(4, '/')
            .nth(3)
            .map(|rest| format!("/{rest}"))
            .expect("a path")
    };
    let (id, slug) = (
        made["id"].as_i64().expect("an integer"),
        path(&made["link"]),
    );
    eventually(SETTLE, "the code is live", || {
        (up.head(&slug).status == 302).then_some(())
    });

    // o_86, o_88: its address leads to what it was made of.
    let scan = up.visit_as(&slug, "203.0.113.7", CHROME, &[]);
    assert_eq!(
        (scan.status, scan.header("location")),
        (302, "https://e.test/1")
    );
    // o_94: led elsewhere after printing.
    let change = up
        .api(
            "PUT",
            &format!("/qr/{id}/update"),
            Some(&json!({"url": "https://e.test/2"})),
        )
        .json();
    assert_eq!(change["message"], "QR has been updated successfully.");
    eventually(SETTLE, "the new destination is live", || {
        (up.head(&slug).header("location") == "https://e.test/2").then_some(())
    });
    assert_eq!(up.visit(&slug).header("location"), "https://e.test/2");

    // o_92: the image, without a key; not without its token.
    let image = path(&made["data"]["image_url"]);
    let shown = eventually(SETTLE, "the image is served", || {
        let answer = up.visit(&image);
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(shown.header("content-type"), "image/svg+xml");
    assert_eq!(shown.header("x-content-type-options"), "nosniff");
    assert!(shown.body.starts_with("<svg xmlns="));
    assert_eq!(decode(&shown.body), made["link"]);
    let bare = image.split('?').next().expect("a path");
    assert_eq!(up.visit(bare).status, 404);
    assert_eq!(
        up.visit(&format!("{bare}?token=0123456789abcdef0123456789abcdef"))
            .status,
        404
    );
    let tag = shown.header("etag").to_owned();
    let again = up.visit_as(&image, "203.0.113.7", CHROME, &[("if-none-match", &tag)]);
    assert_eq!(again.status, 304);
    let with_key = format!("http://{}{bare}?key={}", up.api, up.key());
    assert_eq!(up.try_get(&with_key).expect("an answer").body, shown.body);

    // o_87, o_93: two scans, one visitor; looking at the image counted nothing.
    let scans = |expected: u64| {
        eventually(SETTLE, "scans are counted", || {
            let listed = up.api("GET", "/qr", None).json();
            (listed["data"]["qrs"][0]["scans"] == expected).then_some(())
        });
    };
    scans(2);
    let stats = up.api("GET", &format!("/qr/{id}/stats"), None).json();
    assert_eq!(
        (
            &stats["error"],
            &stats["data"]["total_clicks"],
            &stats["data"]["unique_clicks"]
        ),
        (&json!(0), &json!(2), &json!(1)),
        "{stats}"
    );
    let events = up
        .api("GET", &format!("/qr/{id}/stats?granularity=event"), None)
        .json();
    let events = events["data"]["events"].as_array().expect("events").clone();
    assert!(
        events.len() == 2 && events.iter().all(|event| event["is_scan"] == true),
        "{events:?}"
    );

    // o_73, o_74, o_75: what is said of two scans by a person of whom nothing is known but the browser.
    let shown = up.api("GET", &format!("/qr/{id}"), None).json();
    let data = &shown["data"];
    assert_eq!(
        (&data["clicks"], &data["uniqueClicks"]),
        (&json!(2), &json!(1)),
        "{shown}"
    );
    for (top, label) in [
        ("topCountries", "Unknown"),
        ("topReferrers", "Direct, email and other"),
        ("topBrowsers", "Chrome"),
        ("topOs", "Windows 10"),
    ] {
        assert_eq!(data[top], json!({ label: "2" }), "{shown}");
    }
    // o_76: one more, who saw it on a network.
    let facebook = [("referer", "https://www.facebook.com/")];
    up.visit_as(&slug, "203.0.113.8", CHROME, &facebook);
    scans(3);
    let shown = up.api("GET", &format!("/qr/{id}"), None).json();
    assert_eq!(
        shown["data"]["socialCount"],
        json!({"facebook": 1, "twitter": 0, "instagram": 0}),
        "{shown}"
    );

    // A code that is not tracked: its address shows the image, and nobody is counted.
    let fixed = up
        .api(
            "POST",
            "/qr/add",
            Some(&json!({"type": "text", "data": "x", "format": "svg"})),
        )
        .json();
    let shown = eventually(SETTLE, "the image is served at the code's address", || {
        let answer = up.visit(&path(&fixed["link"]));
        (answer.status == 200).then_some(answer)
    });
    assert!(shown.body.starts_with("<svg xmlns="));
    assert_eq!(decode(&shown.body), "x");

    // o_99: gone.
    up.api("DELETE", &format!("/qr/{id}/delete"), None);
    eventually(SETTLE, "the code is gone", || {
        (up.visit(&slug).status == 404).then_some(())
    });
    assert_eq!(up.visit(&image).status, 404);
    let rest = up.api("GET", "/qr", None).json();
    assert_eq!(rest["data"]["qrs"][0]["scans"], 0, "{rest}");
}
