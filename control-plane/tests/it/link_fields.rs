//! Fields of a link beyond a redirect: what is sent is stored, shown back, and in what proxies hold.

use http::Method;
use schemas::link::Entry;
use schemas::link::plan::{Matches, Net};
use schemas::link::view::{Beyond, Target, Test, View};
use serde_json::{Value, json};

use crate::harness::{TestApp, on_both_engines};
use crate::links::entry;

const URL: &str = "https://e.test/";

async fn details(app: &TestApp, id: i64) -> Value {
    app.get(&format!("/api/url/{id}")).await.ok()["details"].clone()
}

async fn update(app: &TestApp, id: i64, body: Value) {
    app.put(&format!("/api/url/{id}/update"), body).await.ok();
}

/// Calls `look` with the link's plan.
async fn with_plan<T>(app: &TestApp, id: i64, look: impl FnOnce(View<'_>) -> T) -> T {
    let bytes = entry(app, id).await;
    let entry = Entry::parse(&bytes).expect("an entry");
    look(View::parse(entry.plan).expect("a plan"))
}

fn url_of(target: Target<'_>) -> String {
    match target {
        Target::Redirect { url, .. } => String::from_utf8(url.to_vec()).expect("ascii"),
        other => panic!("{other:?}"),
    }
}

async fn is_plain(app: &TestApp, id: i64) -> bool {
    let bytes = entry(app, id).await;
    Entry::parse(&bytes).expect("an entry").plan.is_empty()
}

on_both_engines! {
    async fn a_plain_link_has_no_plan(app) {
        let id = app.link(json!({"url": URL, "utm_source": "a", "expiry": "2030-01-01", "title": "A", "password": "", "rules": [], "variants": [], "max_clicks": 0, "deeplink": {}})).await;
        assert!(is_plain(&app, id).await);
    }

    async fn targets_are_shown_back_as_documented_and_become_rules(app) {
        let id = app.link(json!({
            "url": URL, "utm_source": "news", "parameters": [{"name": "a", "value": "1"}],
            "geotarget": [{"location": "Canada", "link": "https://e.test/ca"}, {"location": "us", "link": "https://e.test/us?utm_source=x"}],
            "devicetarget": [{"device": "iPhone", "link": "https://e.test/iphone"}],
            "languagetarget": [{"language": "pt-BR", "link": "https://e.test/pt"}],
        })).await;
        let shown = details(&app, id).await;
        assert_eq!(shown["location"], json!({"canada": "https://e.test/ca", "united states": "https://e.test/us?utm_source=x"}));
        assert_eq!((&shown["device"], &shown["language"]), (&json!({"iphone": "https://e.test/iphone"}), &json!({"pt-br": "https://e.test/pt"})));
        let urls = with_plan(&app, id, |plan| plan.rules().map(|r| url_of(r.target)).collect::<Vec<_>>()).await;
        assert_eq!(urls, [
            "https://e.test/ca?a=1&utm_source=news", "https://e.test/us?a=1&utm_source=news",
            "https://e.test/iphone?a=1&utm_source=news", "https://e.test/pt?a=1&utm_source=news",
        ]);
        // The form that is shown can be sent.
        update(&app, id, json!({"geotarget": shown["location"], "devicetarget": ""})).await;
        let again = details(&app, id).await;
        assert_eq!((&again["location"], &again["device"], &again["language"]), (&shown["location"], &json!({}), &shown["language"]));
        update(&app, id, json!({"geotarget": [], "languagetarget": {}})).await;
        assert!(is_plain(&app, id).await);
    }

    async fn rules_of_every_kind_come_back_and_reach_the_proxy(app) {
        let rules = json!([
            {"match": "all", "conditions": [
                {"type": "country", "values": ["CA", "US"]}, {"type": "region", "values": ["Bavaria"]}, {"type": "city", "values": ["München"]},
                {"type": "language", "values": ["en", "pt-br"]}, {"type": "device", "values": ["mobile", "tablet"], "not": true},
                {"type": "os", "values": ["iOS"]}, {"type": "browser", "values": ["Chrome"]},
            ], "url": "https://e.test/1"},
            {"match": "any", "conditions": [
                {"type": "query", "name": "ref"}, {"type": "query", "name": "src", "values": ["a", "b"]}, {"type": "ip", "values": ["192.0.2.0/24", "2001:db8::/32"]},
                {"type": "before", "value": "2026-05-01 00:00:00"}, {"type": "after", "value": "2026-01-01 12:00:00"},
                {"type": "clock", "zone": "Europe/Berlin", "weekdays": ["mon", "sun"], "from": "22:00", "to": "06:00"},
            ], "url": "https://e.test/2"},
        ]);
        let id = app.link(json!({"url": URL, "rules": rules})).await;
        assert_eq!(details(&app, id).await["rules"], rules);
        with_plan(&app, id, |plan| {
            let rules: Vec<_> = plan.rules().collect();
            assert_eq!((rules.len(), rules[0].matches, rules[1].matches), (2, Matches::All, Matches::Any));
            let tests: Vec<_> = rules[0].conditions.chain(rules[1].conditions).collect();
            assert_eq!(tests.len(), 13);
            assert_eq!(tests[0].test, Test::Country(b"CAUS"));
            assert!(tests[4].negated && !tests[0].negated);
            let Test::Ip(nets) = tests[9].test else { panic!("{tests:?}") };
            assert_eq!(nets.collect::<Vec<_>>()[0], Net { addr: [192, 0, 2, 0].into(), prefix: 24 });
            assert_eq!(tests[10].test, Test::Before(1_777_593_600_000));
            assert_eq!(tests[12].test, Test::Clock { zone: "Europe/Berlin", weekdays: 0b100_0001, from_minute: 1320, to_minute: 360 });
        }).await;
        // Other spellings come into the same form.
        update(&app, id, json!({"rules": {"conditions": {"type": "country", "value": "united states"}, "link": "https://e.test/3"}})).await;
        assert_eq!(details(&app, id).await["rules"], json!([{"match": "all", "conditions": [{"type": "country", "values": ["US"]}], "url": "https://e.test/3"}]));
    }

    async fn a_plan_that_grows_too_large_is_refused(app) {
        let rule = |n: usize| json!({"conditions": [{"type": "query", "name": format!("n{n}")}], "url": format!("https://e.test/{}", "a".repeat(500))});
        let rules: Vec<Value> = (0..100).map(rule).collect();
        app.post("/api/url/add", json!({"url": URL, "rules": rules})).await.refused("rules and the other targets of the link cannot be served");
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 0);
    }

    async fn variants_have_weights_an_end_and_a_winner(app) {
        let variants = json!([{"name": "a", "url": "https://e.test/a", "weight": 70}, {"name": "", "url": "https://e.test/b", "weight": 1}]);
        let id = app.link(json!({"url": URL, "variants": [variants[0], {"url": "https://e.test/b"}], "variants_end": "2030-01-01", "variants_winner": "2"})).await;
        let shown = details(&app, id).await;
        assert_eq!((&shown["variants"], &shown["variants_end"], &shown["variants_winner"]), (&variants, &json!("2030-01-01 23:59:59"), &json!(2)));
        with_plan(&app, id, |plan| {
            let plan = plan.variants().expect("variants");
            assert_eq!((plan.ends_at_ms, plan.winner), (1_893_542_399_000, 2));
            let list: Vec<_> = plan.list.map(|(weight, target)| (weight, url_of(target))).collect();
            assert_eq!(list, [(70, "https://e.test/a".to_owned()), (1, "https://e.test/b".to_owned())]);
        }).await;
        app.put(&format!("/api/url/{id}/update"), json!({"variants_winner": 3})).await.refused("variants_winner must be the place of a variant, 1 to 2");
        update(&app, id, json!({"variants": []})).await;
        assert!(is_plain(&app, id).await);
        assert_eq!(details(&app, id).await["variants_winner"], 0);
    }

    async fn o_50_a_password_is_hashed_never_shown_and_each_one_has_its_version(app) {
        let id = app.link(json!({"url": URL, "password": "open sesame"})).await;
        let read = async |id| with_plan(&app, id, |plan| plan.password.map(|(version, phc)| (version, String::from_utf8(phc.to_vec()).expect("text")))).await;
        let (version, phc) = read(id).await.expect("a password");
        assert_eq!(version, 1);
        assert!(control_plane::domain::password::verify("open sesame", &phc));
        let shown = app.get(&format!("/api/url/{id}")).await.ok();
        assert_eq!(shown["details"]["password"], true);
        assert!(!shown.to_string().contains("sesame") && !shown.to_string().contains("argon2"), "{shown}");
        // What is not sent stays; a blank one is gone; versions only rise.
        update(&app, id, json!({"title": "x", "password": null})).await;
        assert_eq!(read(id).await.expect("a password"), (1, phc));
        update(&app, id, json!({"password": ""})).await;
        assert!(is_plain(&app, id).await);
        update(&app, id, json!({"password": 1234})).await;
        let (version, phc) = read(id).await.expect("a password");
        assert!(version == 2 && control_plane::domain::password::verify("1234", &phc));
        // In one call equal passwords share a hash, so a thousand of them are no work.
        let urls: Vec<Value> = (0..300).map(|_| json!({"url": URL, "password": "same"})).collect();
        let answer = app.post("/api/urls/bulk", json!({"urls": urls})).await.ok();
        assert!(answer["results"].as_array().expect("a list").iter().all(|r| r["error"] == 0));
    }

    async fn a_click_limit_leads_on_where_its_owner_says(app) {
        let id = app.link(json!({"url": URL, "max_clicks": 5, "max_clicks_url": "https://e.test/over"})).await;
        with_plan(&app, id, |plan| assert_eq!(plan.click_limit, Some((5, Beyond::Url(b"https://e.test/over"))))).await;
        update(&app, id, json!({"max_clicks_url": "", "maxclicks": "7"})).await;
        with_plan(&app, id, |plan| assert_eq!(plan.click_limit, Some((7, Beyond::Expired)))).await;
        assert_eq!(details(&app, id).await["max_clicks"], 7);
        update(&app, id, json!({"clicklimit": 0})).await;
        assert!(is_plain(&app, id).await);
    }

    async fn previews_app_links_and_the_query_are_in_the_plan(app) {
        let id = app.link(json!({
            "url": "https://e.test/a#b", "metatitle": "T <b>", "metadescription": "D\nd", "metaimage": "https://e.test/i.png", "query_passthrough": true,
            "deeplink": {"auto": true, "apple": "https://apps.apple.com/app/id1", "google": "https://play.google.com/store/apps/details?id=a"},
        })).await;
        with_plan(&app, id, |plan| {
            assert_eq!(plan.preview, Some([&b"T <b>"[..], b"D\nd", b"https://e.test/i.png"]));
            assert!(plan.pass_query);
            assert_eq!(plan.apple, b"https://apps.apple.com/app/id1");
            let google = String::from_utf8(plan.google.to_vec()).expect("ascii");
            assert!(google.starts_with("intent://e.test/a#Intent;scheme=https;") && google.contains("fallback_url=https%3A%2F%2Fplay.google.com%2F"), "{google}");
        }).await;
        let shown = details(&app, id).await;
        assert_eq!(shown["deeplink"], json!({"auto": true, "apple": "https://apps.apple.com/app/id1", "google": "https://play.google.com/store/apps/details?id=a"}));
        assert_eq!((&shown["metatitle"], &shown["metadescription"], &shown["query_passthrough"]), (&json!("T <b>"), &json!("D\nd"), &json!(true)));
        update(&app, id, json!({"metatitle": "", "metadescription": "", "metaimage": "", "pass_query": false, "deeplink": ""})).await;
        assert!(is_plain(&app, id).await);
        let id = app.link(json!({"url": URL, "deeplink": {"apple": "myapp://x", "google": "myapp://y"}})).await;
        with_plan(&app, id, |plan| assert_eq!((plan.apple, plan.google), (&b"myapp://x"[..], &b"myapp://y"[..]))).await;
    }

    async fn links_are_filed_by_id_and_groups_of_others_do_not_exist(app) {
        let pool = sqlx::AnyPool::connect(&app.config.database_url.0).await.expect("connects");
        let key = app.other_workspace().await;
        for workspace in [1, 2] {
            for sql in [
                "INSERT INTO channels (workspace_id, name, description, color, is_starred, created_at) VALUES ($1, 'C', '', '#000000', 0, 0)",
                "INSERT INTO campaigns (workspace_id, user_name, name, slug, is_public, created_at, updated_at) VALUES ($1, 'u', 'K', '', 0, 0, 0)",
                "INSERT INTO folders (workspace_id, name, created_at) VALUES ($1, 'F', 0)",
                "INSERT INTO tags (workspace_id, name, color, created_at) VALUES ($1, 'T', '#000000', 0)",
            ] {
                sqlx::query(sql).bind(workspace).execute(&pool).await.expect("inserts");
            }
        }
        let id = app.link(json!({"url": URL, "channel": 1, "campaign": "1", "folder": 1, "tags": [1, "new one"]})).await;
        let shown = details(&app, id).await;
        assert_eq!(shown["channel"], json!([{"id": 1, "name": "C"}]));
        assert_eq!((&shown["campaign"], &shown["folder"]), (&json!({"id": 1, "name": "K"}), &json!({"id": 1, "name": "F"})));
        assert_eq!(shown["tags"].as_array().expect("a list").len(), 2);
        let item = app.get("/api/urls").await.ok()["data"]["urls"][0].clone();
        assert_eq!((&item["channel"], &item["campaign"]), (&json!(["C"]), &json!("K")));
        for (field, value) in [("channel", json!([1, 2])), ("campaign", json!(2)), ("folder", json!(2)), ("tags", json!([2])), ("channel", json!(99))] {
            app.post("/api/url/add", json!({"url": URL, field: value})).await.refused(&format!("{field} '"));
            app.put(&format!("/api/url/{id}/update"), json!({field: value})).await.refused("must be the id of a");
        }
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 1);
        // Lists by folder and tag see the same links; those of others see none.
        app.link(json!({"url": URL})).await;
        for (query, found) in [("folder=1", 1), ("tag=1", 1), ("folder=1&tag=1&q=e.test", 1), ("folder=2", 0), ("tag=2", 0), ("folder=1&q=nothing", 0)] {
            assert_eq!(app.get(&format!("/api/urls?{query}")).await.ok()["data"]["result"], found, "{query}");
        }
        let listed = app.with_key(&key, Method::GET, "/api/urls?folder=1", None).await.ok();
        assert_eq!(listed["data"]["result"], 0);
        app.get("/api/urls?folder=x").await.refused("folder must be a whole number");
        update(&app, id, json!({"channel": "", "campaign": 0, "folder": "", "tags": []})).await;
        let shown = details(&app, id).await;
        assert_eq!((&shown["channel"], &shown["campaign"], &shown["folder"], &shown["tags"]), (&json!([]), &Value::Null, &Value::Null, &json!([])));
        update(&app, id, json!({"channel": [1], "tags": "T"})).await;
        app.delete(&format!("/api/url/{id}/delete")).await.ok();
        let (left,): (i64,) = sqlx::query_as("SELECT (SELECT COUNT(*) FROM channel_items) + (SELECT COUNT(*) FROM link_tags)").fetch_one(&pool).await.expect("counts");
        assert_eq!(left, 0);
    }
}

/// Adds an object and returns its id, straight into the database.
async fn add(app: &TestApp, sql: &'static str, workspace: i64) -> i64 {
    let pool = sqlx::AnyPool::connect(&app.config.database_url.0)
        .await
        .expect("connects");
    let (id,): (i64,) = sqlx::query_as(sql)
        .bind(workspace)
        .fetch_one(&pool)
        .await
        .expect("inserts");
    id
}

const PIXEL: &str = "INSERT INTO pixels (workspace_id, type, name, tag, created_at) VALUES ($1, 'fbpixel', 'P', '123', 0) RETURNING id";
const SPLASH: &str = "INSERT INTO splashes (workspace_id, name, title, message, image, button, link, counter, created_at) VALUES ($1, 'S', 'T', 'M', '', '', '', 5, 0) RETURNING id";

on_both_engines! {
    async fn o_52_pixels_and_types_are_one_page_that_links_share(app) {
        let (pixel, splash) = (add(&app, PIXEL, 1).await, add(&app, SPLASH, 1).await);
        let a = app.link(json!({"url": URL, "pixel_ids": [pixel]})).await;
        let b = app.link(json!({"url": URL, "pixels": pixel.to_string(), "geotarget": [{"location": "CA", "link": "https://e.test/ca"}]})).await;
        let page = |target: Option<Target<'_>>| match target {
            Some(Target::Page { page, destination, .. }) => (page, String::from_utf8(destination.to_vec()).expect("ascii")),
            other => panic!("{other:?}"),
        };
        let (shared, empty) = with_plan(&app, a, |plan| page(plan.target())).await;
        assert_eq!(empty, "", "the entry's own destination");
        // Every way through the link shows the page.
        with_plan(&app, b, |plan| {
            assert_eq!(page(plan.target()).0, shared);
            assert_eq!(page(plan.rules().next().map(|r| r.target)), (shared, "https://e.test/ca".to_owned()));
        }).await;
        let shown = details(&app, b).await;
        assert_eq!((&shown["pixels"], &shown["type"]), (&json!([pixel]), &json!("direct")));
        for (kind, text) in [(json!("frame"), "frame"), (json!("splash"), "splash"), (json!(splash), &*splash.to_string())] {
            update(&app, a, json!({"type": kind})).await;
            assert_eq!(details(&app, a).await["type"], text);
            with_plan(&app, a, |plan| assert_ne!(page(plan.target()).0, shared)).await;
        }
        // What is gone is left out, and the link can be changed as before.
        let pool = sqlx::AnyPool::connect(&app.config.database_url.0).await.expect("connects");
        for sql in ["DELETE FROM pixels", "DELETE FROM splashes"] {
            sqlx::query(sql).execute(&pool).await.expect("deletes");
        }
        let shown = details(&app, a).await;
        assert_eq!((&shown["pixels"], &shown["type"]), (&json!([]), &json!("direct")));
        update(&app, a, json!({"title": "A"})).await;
        assert!(is_plain(&app, a).await);
        update(&app, b, json!({"pixels": [], "geotarget": []})).await;
        assert!(is_plain(&app, b).await);
    }

    async fn parts_of_others_do_not_exist(app) {
        app.other_workspace().await;
        let (pixel, splash) = (add(&app, PIXEL, 2).await, add(&app, SPLASH, 2).await);
        for (field, value) in [("pixels", json!([pixel])), ("pixel_ids", json!([99])), ("type", json!(splash)), ("type", json!("overlay-1"))] {
            app.post("/api/url/add", json!({"url": URL, field: value})).await.refused("does not exist");
        }
        let id = app.link(json!({"url": URL})).await;
        app.put(&format!("/api/url/{id}/update"), json!({"pixels": [pixel]})).await.refused("does not exist");
        let answer = app.post("/api/urls/bulk", json!({"urls": [{"url": URL, "pixels": [pixel]}, {"url": URL}]})).await.ok();
        assert_eq!((&answer["results"][0]["error"], &answer["results"][1]["error"]), (&json!(1), &json!(0)));
    }

    async fn texts_are_bounded_since_every_proxy_holds_them(app) {
        let link = |n: usize| json!({"url": URL, "expired_text": format!("text {n}")});
        let urls: Vec<Value> = (0..1000).map(link).collect();
        let added = app.post("/api/urls/bulk", json!({"urls": urls})).await.ok();
        assert!(added["results"].as_array().expect("a list").iter().all(|r| r["error"] == 0));
        app.post("/api/url/add", link(1000)).await.refused("expired_text must be one of the 1000 texts");
        app.link(link(7)).await;
    }

    async fn texts_of_expired_and_used_up_links_are_pages(app) {
        let id = app.link(json!({"url": URL, "expired_text": "Sorry <b>", "max_clicks": 3, "max_clicks_text": "All gone"})).await;
        let (expired, beyond) = with_plan(&app, id, |plan| (plan.expired_page, plan.click_limit.map(|(_, beyond)| match beyond {
            Beyond::Page(page) => page,
            other => panic!("{other:?}"),
        }))).await;
        assert!(expired.is_some() && beyond.is_some() && expired != beyond);
        let other = app.link(json!({"url": URL, "expired_text": "Sorry <b>"})).await;
        with_plan(&app, other, |plan| assert_eq!(plan.expired_page, expired)).await;
        let (bytes,): (Vec<u8>,) = sqlx::query_as("SELECT b.bytes FROM pages p JOIN blobs b ON b.hash = p.hash WHERE p.id = $1")
            .bind(expired.unwrap().cast_signed()).fetch_one(app.running.store.readers()).await.expect("a page");
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains("Sorry &lt;b&gt;") && !text.contains("Sorry <b>"), "{text}");
        let shown = details(&app, id).await;
        assert_eq!((&shown["expired_text"], &shown["max_clicks_text"]), (&json!("Sorry <b>"), &json!("All gone")));
        update(&app, id, json!({"expired_text": "", "max_clicks": 0, "max_clicks_text": ""})).await;
        assert!(is_plain(&app, id).await);
        // No link shows it any more: it goes, after a while.
        update(&app, other, json!({"expired_text": ""})).await;
        let later = app.config.clock.now_ms() + 2 * control_plane::store::pages::KEEP_UNUSED_MS;
        assert_eq!(control_plane::store::pages::sweep(&app.running.store, later).await.expect("sweeps"), 2);
    }
}
