//! The block list: refused wherever a URL is taken, and links that were there before it answer nobody.

use std::path::Path;

use control_plane::store::Store;
use schemas::link::Entry;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{TestApp, eventually, on_both_engines, scratch};

/// The same control plane with a block list of these lines, and where the list lies.
async fn with_list(app: TestApp, lines: &str) -> (TestApp, TempDir) {
    let folder = scratch();
    std::fs::write(list_of(&folder), lines).expect("written");
    let database = app.database();
    let data = app.stop().await;
    let path = list_of(&folder);
    let setting = [("SIGNPOST_BLOCKLIST", path.to_str().expect("text"))];
    let app = TestApp::start_in(data, database, &setting)
        .await
        .expect("starts");
    (app, folder)
}

fn list_of(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("list")
}

/// As editors do it: a new file under the old name.
fn rewrite(path: &Path, lines: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, lines).expect("written");
    std::fs::rename(new, path).expect("renamed");
}

/// Whether proxies hold this row as switched off.
async fn is_off(app: &TestApp, id: i64) -> bool {
    let store = Store::open(&app.config.database_url.0)
        .await
        .expect("opens");
    let (entry,): (Vec<u8>,) = sqlx::query_as("SELECT entry FROM links WHERE id = $1")
        .bind(id)
        .fetch_one(store.readers())
        .await
        .expect("a row");
    store.close().await;
    Entry::parse(&entry).expect("an entry").disabled
}

async fn until_off(app: &TestApp, id: i64, off: bool) {
    eventually("the list is applied", async || {
        (is_off(app, id).await == off).then_some(())
    })
    .await;
}

on_both_engines! {
    async fn a_listed_host_is_refused_wherever_a_url_is_taken(app) {
        let (app, _folder) = with_list(app, "bad.test\n*.evil.test\nglob.test/login*\n203.0.113.0/24\n").await;
        let bad = "https://BAD.test./x";
        let listed = "must not lead to 'bad.test', which is on the block list";
        for (field, body) in [
            ("url", json!({"url": bad})),
            ("expired_url", json!({"expired_url": bad})),
            ("max_clicks_url", json!({"max_clicks": 1, "max_clicks_url": bad})),
            ("metaimage", json!({"metaimage": bad})),
            ("geotarget[0].link", json!({"geotarget": [{"location": "canada", "link": bad}]})),
            ("devicetarget[0].link", json!({"devicetarget": [{"device": "ipad", "link": bad}]})),
            ("languagetarget[0].link", json!({"languagetarget": [{"language": "fr", "link": bad}]})),
            ("rules[0].url", json!({"rules": [{"conditions": [{"type": "query", "name": "a"}], "url": bad}]})),
            ("variants[1].url", json!({"variants": [{"url": "https://e.test/"}, {"url": bad}]})),
            ("deeplink.apple", json!({"deeplink": {"apple": bad}})),
            ("deeplink.google", json!({"deeplink": {"google": "intent://e.test/#Intent;scheme=https;S.browser_fallback_url=https%3A%2F%2Fbad.test%2F;end"}})),
        ] {
            let mut add = json!({"url": "https://e.test/"});
            add.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
            let refused = app.post("/api/url/add", add).await.refused(listed);
            assert!(refused["message"].as_str().expect("text").starts_with(field), "{refused}");
        }
        let id = app.link(json!({"url": "https://e.test/"})).await;
        app.put(&format!("/api/url/{id}/update"), json!({"url": bad})).await.refused(listed);
        let bulk = app.post("/api/urls/bulk", json!({"urls": [{"url": bad}, {"url": "https://e.test/"}]})).await.ok();
        assert_eq!((&bulk["results"][0]["error"], &bulk["results"][1]["error"]), (&json!(1), &json!(0)));
        for data in [json!({"type": "link", "data": bad}), json!({"type": "static", "data": bad}), json!({"type": "vcard", "data": {"fname": "A", "site": bad}})] {
            app.post("/api/qr/add", data).await.refused(listed);
        }
        app.post("/api/domain/add", json!({"domain": "https://d.test", "redirectroot": bad})).await.refused(listed);
        app.post("/api/domain/add", json!({"domain": "https://d.test", "redirect404": bad})).await.refused(listed);
        app.post("/api/splash/add", json!({"name": "S", "title": "S", "link": bad})).await.refused(listed);
        app.post("/api/splash/add", json!({"name": "S", "title": "S", "image": bad})).await.refused(listed);
        app.post("/api/overlay/add", json!({"type": "message", "name": "M", "message": "m", "link": bad})).await.refused(listed);
        for (url, host) in [
            ("https://a.evil.test/", "a.evil.test"),
            ("https://glob.test/login", "glob.test"),
            ("http://0xcb007109/", "203.0.113.9"),
        ] {
            app.post("/api/url/add", json!({"url": url})).await.refused(&format!("'{host}'"));
        }
        app.link(json!({"url": "https://www.bad.test/"})).await;
    }

    async fn links_to_a_host_that_is_listed_later_answer_nobody_until_it_is_not(app) {
        let plain = app.link(json!({"url": "https://bad.test/", "custom": "plain"})).await;
        let rule = app.link(json!({"url": "https://e.test/", "rules": [{"conditions": [{"type": "query", "name": "a"}], "url": "https://bad.test/"}]})).await;
        let own = app.link(json!({"url": "https://bad.test/", "disabled": true})).await;
        let good = app.link(json!({"url": "https://e.test/"})).await;
        let (app, folder) = with_list(app, "# nothing yet\n").await;
        let list = list_of(&folder);
        assert!(!is_off(&app, plain).await);
        rewrite(&list, "bad.test\n");
        for id in [plain, rule] {
            until_off(&app, id, true).await;
        }
        assert!(is_off(&app, own).await && !is_off(&app, good).await);
        // Its owner sees it as it was set, may change it, and cannot switch it on by that.
        let details = app.get(&format!("/api/url/{plain}")).await.ok()["details"].clone();
        assert_eq!((&details["longurl"], &details["disabled"], &details["blocked"]), (&json!("https://bad.test/"), &json!(false), &json!("bad.test")));
        app.put(&format!("/api/url/{plain}/update"), json!({"title": "Sorry", "disabled": false})).await.ok();
        assert!(is_off(&app, plain).await);
        // Led elsewhere, it answers at once.
        app.put(&format!("/api/url/{rule}/update"), json!({"rules": []})).await.ok();
        assert!(!is_off(&app, rule).await);
        // A list that is none leaves the one before in force, and the next good one counts.
        rewrite(&list, "other.test\nno host at all\n");
        app.post("/api/url/add", json!({"url": "https://bad.test/2"})).await.refused("block list");
        rewrite(&list, "other.test\n");
        until_off(&app, plain, false).await;
        assert!(is_off(&app, own).await, "its owner switched it off");
        app.link(json!({"url": "https://bad.test/2"})).await;
        app.post("/api/url/add", json!({"url": "https://other.test/"})).await.refused("'other.test'");
        let title = app.get(&format!("/api/url/{plain}")).await.ok()["details"]["title"].clone();
        assert_eq!(title, "Sorry");
    }

    async fn a_write_that_began_before_the_list_changed_is_found_behind_it(app) {
        let (app, folder) = with_list(app, "# nothing yet\n").await;
        let id = app.link(json!({"url": "https://bad.test/"})).await;
        let pool = sqlx::AnyPool::connect(&app.config.database_url.0).await.expect("connects");
        let (before,): (Vec<u8>,) = sqlx::query_as("SELECT entry FROM links WHERE id = $1").bind(id).fetch_one(&pool).await.expect("a row");
        rewrite(&list_of(&folder), "bad.test\n");
        until_off(&app, id, true).await;
        // As a write leaves it that read the list before and is committed behind the look at all rows.
        sqlx::query("UPDATE links SET entry = $1 WHERE id = $2").bind(before).bind(id).execute(&pool).await.expect("updates");
        sqlx::query("DELETE FROM blocked_links WHERE link_id = $1").bind(id).execute(&pool).await.expect("deletes");
        until_off(&app, id, true).await;
        eventually("all rows are as the list says", async || {
            let (applied,): (String,) = sqlx::query_as("SELECT fingerprint FROM blocklist_state").fetch_one(&pool).await.expect("a row");
            (applied == app.running.store.guard().blocklist().fingerprint()).then_some(())
        }).await;
    }

    async fn a_change_that_was_not_finished_is_made_undone_at_a_start_without_the_list(app) {
        let id = app.link(json!({"url": "https://bad.test/"})).await;
        let (app, folder) = with_list(app, "# nothing yet\n").await;
        rewrite(&list_of(&folder), "bad.test\n");
        until_off(&app, id, true).await;
        // Ended before the second look, with the list in force that was applied before.
        let database = app.database();
        let app = TestApp::start_in(app.stop().await, database, &[]).await.expect("starts");
        until_off(&app, id, false).await;
    }

    async fn a_listed_host_is_refused_in_codes_and_contacts_of_bio_pages(app) {
        let (app, _folder) = with_list(app, "bad.test\n").await;
        let page = app.post("/api/bio/add", json!({"title": "Ana"})).await.ok()["id"].clone();
        let listed = "must not lead to 'bad.test', which is on the block list";
        for body in [
            json!({"type": "qr", "data": "https://bad.test/"}),
            json!({"type": "vcard", "name": "Ana", "url": "https://bad.test/"}),
        ] {
            app.post(&format!("/api/bio/{page}/blocks"), body).await.refused(listed);
        }
        app.post(&format!("/api/bio/{page}/blocks"), json!({"type": "qr", "data": "a text of bad.test"})).await.ok();
    }

    async fn a_start_with_the_list_of_last_time_keeps_links_off_and_one_without_frees_them(app) {
        let id = app.link(json!({"url": "https://bad.test/"})).await;
        let (app, folder) = with_list(app, "bad.test\n").await;
        until_off(&app, id, true).await;
        let database = app.database();
        let data = app.stop().await;
        let app = TestApp::start_in(data, database.clone(), &[]).await.expect("starts");
        until_off(&app, id, false).await;
        let data = app.stop().await;
        std::fs::write(list_of(&folder), "/(/").expect("written");
        let path = list_of(&folder);
        let setting = [("SIGNPOST_BLOCKLIST", path.to_str().expect("text"))];
        let error = TestApp::start_in(data, database, &setting).await.map(|_| ()).expect_err("no list");
        assert!(format!("{error:#}").contains("line 1: '(' is no regular expression"), "{error:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_not_there_stops_the_start() {
    let data = scratch();
    let setting = [("SIGNPOST_BLOCKLIST", "/no/such/list")];
    let error = TestApp::start_in(data, None, &setting)
        .await
        .map(|_| ())
        .expect_err("no list");
    let text = format!("{error:#}");
    assert!(text.contains("SIGNPOST_BLOCKLIST=/no/such/list"), "{text}");
}
