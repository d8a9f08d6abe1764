//! Links that would lead in a circle, or through several of ours.

use serde_json::json;

use crate::harness::{TestApp, on_both_engines};

/// The same control plane where a domain is live at once.
async fn without_proof(app: TestApp) -> TestApp {
    let database = app.database();
    let data = app.stop().await;
    TestApp::start_in(data, database, &[("SIGNPOST_DOMAIN_CHECK", "off")])
        .await
        .expect("starts")
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
