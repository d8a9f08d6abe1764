//! `/domains`, `/domain/…`, and the proof of ownership.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{TestApp, eventually, on_both_engines};

async fn add(app: &TestApp, domain: &str) -> i64 {
    let json = app
        .post("/api/domain/add", json!({"domain": domain}))
        .await
        .ok();
    json["id"].as_i64().expect("an integer")
}

async fn show(app: &TestApp, id: i64) -> Value {
    app.get(&format!("/api/domain/{id}")).await.ok()["data"].clone()
}

/// Puts the record into the world that proves a domain.
async fn prove(app: &TestApp, id: i64) {
    let proof = show(app, id).await["proof"].clone();
    let text = |name: &str| proof[name].as_str().expect("text").to_owned();
    app.txt(&text("name"), &text("value"));
}

/// A domain that is live.
async fn live(app: &TestApp, domain: &str) -> i64 {
    let id = add(app, domain).await;
    prove(app, id).await;
    app.post(&format!("/api/domain/{id}/check"), json!({}))
        .await
        .ok();
    id
}

on_both_engines! {
    async fn o_128_o_129_domains_are_listed_with_their_scheme(app) {
        assert_eq!(app.get("/api/domains").await.ok()["data"]["domains"], json!([]));
        let body = json!({"domain": "https://domain1.test", "redirectroot": "https://rootdomain.test", "redirect404": "https://rootdomain.test/404"});
        app.post("/api/domain/add", body).await.ok();
        add(&app, "http://domain2.test:8080/").await;
        add(&app, "https://bücher.test").await;
        let json = app.get("/api/domains?limit=2&page=1").await.ok();
        assert_eq!((&json["data"]["result"], &json["data"]["nextpage"], &json["data"]["maxpage"]), (&json!(3), &json!(2), &json!(2)));
        let first = &json["data"]["domains"][0];
        assert_eq!((&first["domain"], &first["unicode"], &first["status"]), (&json!("https://xn--bcher-kva.test"), &json!("bücher.test"), &json!("pending")));
        assert_eq!(json["data"]["domains"][1]["domain"], "http://domain2.test:8080");
        let json = app.get("/api/domains?limit=2&page=2").await.ok();
        let item = &json["data"]["domains"][0];
        assert!(item["id"].is_i64());
        assert_eq!((&item["domain"], &item["redirectroot"]), (&json!("https://domain1.test"), &json!("https://rootdomain.test/")));
        assert_eq!(item["redirect404"], "https://rootdomain.test/404");
        assert_eq!(item["proof"]["name"], "_signpost.domain1.test");
        app.get("/api/domain/99").await.refused("domain '99' does not exist");
    }

    async fn o_130_a_domain_with_its_scheme_is_required(app) {
        for body in [json!({}), json!({"domain": ""}), json!({"domain": " "}), json!({"domain": null})] {
            app.post("/api/domain/add", body).await.refused("domain is required");
        }
        app.post("/api/domain/add", json!({"domain": "go.acme.test"})).await.refused("domain must include http:// or https://");
        app.post("/api/domain/add", json!({"domain": "https://go.acme.test/path"})).await.refused("domain must not hold a path");
        app.post("/api/domain/add", json!({"domain": "https://127.0.0.1"})).await.refused("domain must be a domain name");
        app.post("/api/domain/add", json!({"domain": ["https://go.acme.test"]})).await.refused("domain must be text");
        app.post("/api/domain/add", json!({"domain": "https://p\u{430}ypal.test"})).await.refused("domain must not mix scripts");
        app.post("/api/domain/add", json!({"domain": "https://go.test"})).await.refused("'go.test' is already in use");
        for field in ["redirectroot", "redirect404"] {
            for bad in ["x", "javascript:alert(1)", "https://go.test/a", "https://go.acme.test/", "https://e.test/\r\nX: y"] {
                app.post("/api/domain/add", json!({"domain": "https://go.acme.test", field: bad})).await.refused(&format!("{field} must"));
            }
        }
        assert_eq!(app.get("/api/domains").await.ok()["data"]["result"], 0);
    }

    async fn o_131_a_domain_is_live_once_its_record_is_there(app) {
        let id = add(&app, "https://go.acme.test").await;
        let check = async || app.post(&format!("/api/domain/{id}/check"), json!({})).await;
        check().await.refused("_signpost.go.acme.test has no TXT record");
        let on_it = json!({"url": "https://e.test/", "custom": "sale", "domain": "go.acme.test"});
        app.post("/api/url/add", on_it.clone()).await.refused("domain 'go.acme.test' is not a live domain");
        app.txt("_signpost.go.acme.test", "signpost-domain=0123");
        let message = check().await.refused("no TXT record of _signpost.go.acme.test is 'signpost-domain=")["message"].clone();
        let value = show(&app, id).await["proof"]["value"].as_str().expect("text").to_owned();
        assert!(message.as_str().expect("text").ends_with(&value), "{message}");
        assert_ne!(show(&app, id).await["proof"]["checked"], Value::Null);
        prove(&app, id).await;
        let json = check().await.ok();
        assert_eq!((&json["data"]["status"], &json["data"]["proof"]), (&json!("live"), &Value::Null));
        check().await.ok();
        let json = app.post("/api/url/add", on_it).await.ok();
        assert_eq!(json["shorturl"], "https://go.acme.test/sale");
        app.post("/api/domain/99/check", json!({})).await.refused("domain '99' does not exist");
    }

    async fn proofs_are_looked_for_with_growing_pauses(app) {
        let id = add(&app, "https://go.acme.test").await;
        eventually("the first look", async || {
            (show(&app, id).await["proof"]["checked"] != Value::Null).then_some(())
        }).await;
        prove(&app, id).await;
        // Nobody looks before the pause is over.
        assert_eq!(show(&app, id).await["status"], "pending");
        app.config.clock.advance_ms(61_000);
        eventually("the second look", async || (show(&app, id).await["status"] == "live").then_some(())).await;
    }

    async fn o_132_add_answers_error_and_id_alone(app) {
        let json = app.post("/api/domain/add", json!({"domain": "https://go.acme.test"})).await.ok();
        assert_eq!(json, json!({"error": 0, "id": json["id"].as_i64().expect("an integer")}));
        app.post("/api/domain/add", json!({"domain": "http://GO.acme.test."})).await.refused("'go.acme.test' has been added already");
    }

    async fn o_135_o_136_an_update_changes_what_is_sent(app) {
        let id = live(&app, "https://go.acme.test").await;
        let update = async |body: Value| app.put(&format!("/api/domain/{id}/update"), body).await;
        let json = update(json!({"redirectroot": "https://root.test/", "redirect404": "https://lost.test/"})).await.ok();
        assert_eq!(json, json!({"error": 0, "message": "Domain has been updated successfully."}));
        update(json!({"redirectroot": "https://new.test/"})).await.ok();
        let now = async || { let item = show(&app, id).await; (item["redirectroot"].clone(), item["redirect404"].clone()) };
        assert_eq!(now().await, (json!("https://new.test/"), json!("https://lost.test/")));
        update(json!({})).await.ok();
        update(json!({"redirect404": ""})).await.ok();
        assert_eq!(now().await, (json!("https://new.test/"), json!("")));
        update(json!({"redirectroot": "nonsense"})).await.refused("redirectroot must");
        update(json!({"redirectroot": "https://GO.acme.test/loop"})).await.refused("redirectroot must not lead back");
        app.put("/api/domain/99/update", json!({})).await.refused("domain '99' does not exist");
    }

    async fn o_137_a_deleted_domain_leaves_its_links_and_comes_back_with_them(app) {
        let id = live(&app, "https://go.acme.test").await;
        let link = app.link(json!({"url": "https://e.test/", "custom": "sale", "domain": "https://go.acme.test"})).await;
        let kept = app.link(json!({"url": "https://e.test/", "custom": "kept", "domain": "https://go.acme.test"})).await;
        let json = app.delete(&format!("/api/domain/{id}/delete")).await.ok();
        assert_eq!(json, json!({"error": 0, "message": "Domain has been deleted successfully."}));
        assert_eq!(app.get("/api/domains").await.ok()["data"]["result"], 0);
        app.get(&format!("/api/domain/{id}")).await.refused("does not exist");
        app.delete(&format!("/api/domain/{id}/delete")).await.refused("does not exist");
        // Its links are there and can be moved; no new ones get onto it.
        app.get(&format!("/api/url/{kept}")).await.ok();
        app.post("/api/url/add", json!({"url": "https://e.test/", "domain": "go.acme.test"})).await.refused("not a live domain");
        app.put(&format!("/api/url/{link}/update"), json!({"domain": "go.test"})).await.ok();
        // The record still stands: no more than adding it is needed.
        assert_eq!(add(&app, "https://go.acme.test").await, id);
        eventually("the domain is live again", async || (show(&app, id).await["status"] == "live").then_some(())).await;
        let json = app.get("/api/urls?short=https://go.acme.test/kept").await.ok();
        assert_eq!(json["id"], kept);
        app.get("/api/urls?short=https://go.acme.test/sale").await.refused("does not exist");
    }

    async fn o_48_one_alias_may_stand_on_several_domains(app) {
        live(&app, "https://go.acme.test").await;
        app.link(json!({"url": "https://a.test/", "custom": "same"})).await;
        let other = app.link(json!({"url": "https://b.test/", "custom": "same", "domain": "go.acme.test"})).await;
        app.post("/api/url/add", json!({"url": "https://c.test/", "custom": "same", "domain": "go.acme.test"})).await.refused("already in use");
        assert_eq!(app.get("/api/urls?short=https://go.acme.test/same").await.ok()["id"], other);
    }

    async fn a_claim_blocks_nobody_and_a_proof_does(app) {
        let mine = add(&app, "https://go.acme.test").await;
        let key = app.other_workspace().await;
        let theirs = async |method: Method, path: &str, body: Option<Value>| app.with_key(&key, method, path, body).await;
        let json = theirs(Method::POST, "/api/domain/add", Some(json!({"domain": "https://go.acme.test"}))).await.ok();
        let id = json["id"].as_i64().expect("an id");
        assert_ne!(id, mine);
        let proof = theirs(Method::GET, &format!("/api/domain/{id}"), None).await.ok()["data"]["proof"].clone();
        assert_ne!(proof["value"], show(&app, mine).await["proof"]["value"]);
        app.txt("_signpost.go.acme.test", proof["value"].as_str().expect("text"));
        theirs(Method::POST, &format!("/api/domain/{id}/check"), None).await.ok();
        // Another's record proves nothing, and one's own comes too late.
        app.post(&format!("/api/domain/{mine}/check"), json!({})).await.refused("is not proved");
        prove(&app, mine).await;
        app.post(&format!("/api/domain/{mine}/check"), json!({})).await.refused("another workspace holds this domain");
        app.delete(&format!("/api/domain/{mine}/delete")).await.ok();
        app.post("/api/domain/add", json!({"domain": "https://go.acme.test"})).await.refused("'go.acme.test' is already in use");
        theirs(Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/", "domain": "go.acme.test"}))).await.ok();
        app.post("/api/url/add", json!({"url": "https://e.test/", "domain": "go.acme.test"})).await.refused("not a live domain of this workspace");
    }

    async fn a_plan_may_limit_domains(app) {
        let pool = crate::links::database(&app).await;
        sqlx::query("UPDATE plans SET max_domains = 1 WHERE name = 'free'").execute(&pool).await.expect("updates");
        let id = add(&app, "https://one.test").await;
        app.post("/api/domain/add", json!({"domain": "https://two.test"})).await.refused("1");
        app.delete(&format!("/api/domain/{id}/delete")).await.ok();
        add(&app, "https://two.test").await;
        app.post("/api/domain/add", json!({"domain": "https://one.test"})).await.refused("1");
    }

    async fn another_workspace_sees_nothing_of_a_domain(app) {
        let id = live(&app, "https://go.acme.test").await;
        let key = app.other_workspace().await;
        assert_eq!(app.with_key(&key, Method::GET, "/api/domains", None).await.ok()["data"]["result"], 0);
        for (method, path) in [(Method::GET, ""), (Method::POST, "/check"), (Method::PUT, "/update"), (Method::DELETE, "/delete")] {
            let path = format!("/api/domain/{id}{path}");
            app.with_key(&key, method, &path, None).await.refused(&format!("domain '{id}' does not exist"));
        }
        app.with_key(&key, Method::POST, "/api/domain/add", Some(json!({"domain": "https://go.acme.test"}))).await.refused("is already in use");
        // Nor does anyone of the default domain.
        app.delete("/api/domain/1/delete").await.refused("domain '1' does not exist");
        assert_eq!(show(&app, id).await["status"], "live");
    }
}

#[tokio::test]
async fn an_administrator_may_waive_the_proof() {
    let app = TestApp::start(None, &[("SIGNPOST_DOMAIN_CHECK", "off")]).await;
    let id = add(&app, "https://go.acme.test").await;
    assert_eq!(show(&app, id).await["status"], "live");
    app.link(json!({"url": "https://e.test/", "domain": "go.acme.test"}))
        .await;
    app.delete(&format!("/api/domain/{id}/delete")).await.ok();
    assert_eq!(add(&app, "http://go.acme.test").await, id);
    assert_eq!(show(&app, id).await["domain"], "http://go.acme.test");
}
