//! Links that would lead in a circle, or through several of ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use schemas::link::Entry;
use serde_json::json;

use crate::harness::{TestApp, eventually, on_both_engines};
use crate::looks::{HTML, page, site};

/// The same control plane with this setting, where a domain is live at once.
async fn with(app: TestApp, setting: (&str, &str)) -> TestApp {
    let database = app.database();
    let data = app.stop().await;
    let settings = [("SIGNPOST_DOMAIN_CHECK", "off"), setting];
    TestApp::start_in(data, database, &settings)
        .await
        .expect("starts")
}

/// The same control plane where a domain is live at once.
async fn without_proof(app: TestApp) -> TestApp {
    with(app, ("SIGNPOST_ASK_DESTINATIONS", "off")).await
}

/// Whether its visitors are led nowhere, and its owner is told why.
async fn is_shut(app: &TestApp, id: i64) -> bool {
    eventually("what visitors meet and what is told is one", async || {
        told(app, id).await
    })
    .await
}

/// `None`: it changed between the two questions.
async fn told(app: &TestApp, id: i64) -> Option<bool> {
    let (entry,): (Vec<u8>,) = sqlx::query_as("SELECT entry FROM links WHERE id = $1")
        .bind(id)
        .fetch_one(app.running.store.readers())
        .await
        .expect("a row");
    let shut = Entry::parse(&entry).expect("an entry").disabled;
    let details = app.get(&format!("/api/url/{id}")).await.ok()["details"].clone();
    // Its owner did not do it.
    assert_eq!(details["disabled"], false);
    (details["leads_back"] == shut).then_some(shut)
}

async fn domain(app: &TestApp, host: &str) {
    app.post(
        "/api/domain/add",
        json!({"domain": format!("https://{host}")}),
    )
    .await
    .ok();
}

on_both_engines! {
    async fn a_destination_that_redirects_back_to_ours_shuts_its_link(app) {
        let app = with(app, ("SIGNPOST_ASK_DESTINATIONS", "on")).await;
        domain(&app, "other.test").await;
        let to = |place: &str| format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n").into_bytes();
        let mended = Arc::new(AtomicBool::new(false));
        let state = mended.clone();
        // Another service's redirector.
        let (site, _) = site(move |path| match path {
            "/home" => to("https://go.test/self"),
            "/two" => to("/home"),
            "/other" => to("//OTHER.test:8443/x"),
            "/address" => to("http://127.0.0.1:8080/self"),
            "/moved" if !state.load(Ordering::SeqCst) => to("https://go.test/self"),
            "/away" => to("/page"),
            _ => page(HTML, b"<title>There</title>"),
        }).await;
        for (path, body) in [
            ("/home", json!({})), ("/two", json!({})), ("/other", json!({})), ("/address", json!({})),
            // One with a title is asked as well, and so is one that is framed.
            ("/home", json!({"title": "Mine"})), ("/two", json!({"title": "Mine", "type": "frame"})),
        ] {
            let mut body = body;
            body["url"] = json!(format!("{site}{path}"));
            let id = app.link(body).await;
            eventually("it is found", async || is_shut(&app, id).await.then_some(())).await;
            // Led elsewhere it is open at once.
            app.put(&format!("/api/url/{id}/update"), json!({"url": format!("{site}/page")})).await.ok();
            assert!(!is_shut(&app, id).await, "{path}");
        }
        // Saved anew after the other service has mended it, it opens.
        let id = app.link(json!({"url": format!("{site}/moved")})).await;
        eventually("it is found", async || is_shut(&app, id).await.then_some(())).await;
        mended.store(true, Ordering::SeqCst);
        app.put(&format!("/api/url/{id}/update"), json!({"url": format!("{site}/moved")})).await.ok();
        eventually("it opens", async || (!is_shut(&app, id).await).then_some(())).await;
        // In a change, and in a list.
        app.put(&format!("/api/url/{id}/update"), json!({"url": format!("{site}/two")})).await.ok();
        eventually("it is found", async || is_shut(&app, id).await.then_some(())).await;
        let bulk = app.post("/api/urls/bulk", json!({"urls": [{"url": format!("{site}/other")}]})).await.ok();
        let id = bulk["results"][0]["id"].as_i64().expect("an id");
        eventually("it is found", async || is_shut(&app, id).await.then_some(())).await;
        // A redirect that leads away is none of our business.
        let id = app.link(json!({"url": format!("{site}/away")})).await;
        eventually("it was looked at", async || (app.get(&format!("/api/url/{id}")).await.ok()["details"]["title"] == "There").then_some(())).await;
        assert!(!is_shut(&app, id).await);
    }

    async fn no_link_leads_to_a_domain_of_ours_however_it_is_written(app) {
        let app = without_proof(app).await;
        domain(&app, "other.test").await;
        domain(&app, "bücher.test").await;
        for url in [
            "https://go.test/self",
            "http://GO.TEST:9999/self?a#b",
            "https://go.test./self",
            "https://g%6f.test/self",
            "https://other.test/x",
            "https://OTHER.test:8443/x",
            "https://bücher.test/x",
            "https://xn--bcher-kva.test/x",
            "http://127.0.0.1:8080/self",
            "http://2130706433:8080/self",
            "http://0x7f.1:8080/self",
            "http://0177.0.0.1:8080/self",
            "http://[::ffff:127.0.0.1]:8080/self",
            "http://localhost:8080/self",
        ] {
            for body in [
                json!({"url": url, "custom": "self"}),
                json!({"url": "https://e.test/", "custom": "self", "rules": [{"conditions": [{"type": "query", "name": "a"}], "url": url}]}),
                json!({"url": "https://e.test/", "custom": "self", "variants": [{"url": "https://e.test/"}, {"url": url}]}),
                json!({"url": "https://e.test/", "custom": "self", "expired_url": url}),
                json!({"url": "https://e.test/", "custom": "self", "max_clicks": 1, "max_clicks_url": url}),
            ] {
                app.post("/api/url/add", body).await.refused("must not lead back to a short domain of ours");
            }
        }
        let id = app.link(json!({"url": "https://e.test/"})).await;
        app.put(&format!("/api/url/{id}/update"), json!({"url": "https://other.test/x"})).await.refused("url must not lead back");
        // Another port of this machine is another server's.
        app.link(json!({"url": "http://127.0.0.1:8082/x"})).await;
    }

    async fn a_domain_that_becomes_ours_later_closes_no_loop(app) {
        let app = without_proof(app).await;
        // a leads to other.test/b before that is ours.
        let a = app.link(json!({"url": "https://other.test/b", "custom": "a"})).await;
        let with_rule = app.link(json!({"url": "https://e.test/", "variants": [{"url": "https://other.test/b"}]})).await;
        domain(&app, "other.test").await;
        app.post("/api/url/add", json!({"url": "https://go.test/a", "custom": "b", "domain": "other.test"})).await.refused("must not lead back");
        // Nor does moving a to where it leads.
        let later = "must not lead to 'other.test', which is a short domain of ours now";
        app.put(&format!("/api/url/{a}/update"), json!({"domain": "other.test", "custom": "b"})).await.refused(&format!("url {later}"));
        app.put(&format!("/api/url/{with_rule}/update"), json!({"custom": "c"})).await.refused(&format!("variants[0].url {later}"));
        // What does not lead it elsewhere is taken, and so is leading it away.
        app.put(&format!("/api/url/{a}/update"), json!({"title": "A"})).await.ok();
        app.put(&format!("/api/url/{a}/update"), json!({"url": "https://e.test/", "domain": "other.test", "custom": "b"})).await.ok();
    }
}
