//! `/urls/import`, and a domain's apps.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Answer, TestApp, on_both_engines};

async fn import(app: &TestApp, query: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", &*bearer), ("content-type", "text/csv")];
    let path = format!("/api/urls/import{query}");
    app.call(Method::POST, &path, &headers, body.to_owned())
        .await
}

const FILE: &str = "Title,Long URL,Bitlink,Total engagements,Created\n\
    First,https://e.test/1,bit.ly/one,\"1,204\",2024-02-03T04:05:06Z\n\
    Bad,javascript:alert(1),bit.ly/two,3,2024-02-03\n\
    Again,https://e.test/3,bit.ly/one,3,2024-02-03\n\
    ,https://e.test/4,,,\n\
    Count,https://e.test/5,bit.ly/five,many,2024-02-03\n";

on_both_engines! {
    async fn an_import_is_tried_first_and_says_what_becomes_of_each_line(app) {
        let tried = import(&app, "", FILE).await.ok();
        assert_eq!((&tried["dry_run"], &tried["added"], &tried["failed"]), (&json!(true), &json!(2), &json!(3)));
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 0);
        let (changes,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM feed_changes").fetch_one(app.running.store.readers()).await.expect("counts");
        assert_eq!(changes, 1);
        let done = import(&app, "?dry_run=false&format=bitly", FILE).await.ok();
        let results = done["results"].as_array().expect("a list");
        let errors: Vec<&Value> = results.iter().map(|r| &r["error"]).collect();
        assert_eq!(errors, [&json!(0), &json!(1), &json!(1), &json!(0), &json!(1)]);
        assert_eq!((&results[0]["shorturl"], &results[0]["imported_clicks"]), (&json!("https://go.test/one"), &json!(1204)));
        for (line, part) in [(1, "url must begin with http"), (2, "'one' is already in use"), (4, "clicks must be a whole number")] {
            assert!(results[line]["message"].as_str().expect("text").contains(part), "{}", results[line]);
        }
        // What was imported is apart from what is counted here.
        let shown = app.get(&format!("/api/url/{}", results[0]["id"])).await.ok();
        assert_eq!((&shown["details"]["imported_clicks"], &shown["data"]["clicks"]), (&json!(1204), &json!(0)));
        assert_eq!((&shown["details"]["date"], &shown["details"]["title"]), (&json!("2024-02-03 04:05:06"), &json!("First")));
        // Once more: the alias is taken now, and drawn ones are not.
        assert_eq!(import(&app, "?dry_run=false", FILE).await.ok()["added"], 1);
    }

    async fn our_own_export_can_be_imported(app) {
        app.link(json!({"url": "https://e.test/a", "custom": "größe", "title": "A, \"b\"", "utm_source": "s", "parameters": [{"name": "x", "value": "1"}], "status": 301, "expiry": "2030-01-01",
            "type": "frame", "rules": [{"conditions": [{"type": "query", "name": "q"}], "url": "https://e.test/q"}], "geotarget": {"canada": "https://e.test/ca"}, "max_clicks": 9, "metatitle": "M", "deeplink": {"auto": true}})).await;
        let file = String::from_utf8(app.get("/api/urls/export").await.body.to_vec()).expect("text");
        let id = app.get("/api/urls").await.ok()["data"]["urls"][0]["id"].clone();
        let before = app.get(&format!("/api/url/{id}")).await.ok()["details"].clone();
        app.delete(&format!("/api/url/{id}/delete")).await.ok();
        let done = app.post("/api/urls/import", json!({"data": file, "dry_run": false})).await.ok();
        assert_eq!((&done["added"], &done["failed"]), (&json!(1), &json!(0)), "{done}");
        let mut after = app.get(&format!("/api/url/{}", done["results"][0]["id"])).await.ok()["details"].clone();
        after["id"] = before["id"].clone();
        assert_eq!(after, before);
    }

    async fn files_that_make_no_sense_are_refused_whole(app) {
        for (body, part) in [("", "data must"), ("a,b\n1,2\n", "must have a column of destinations"), ("[1", "must be CSV or JSON"), ("{}", "must hold a list"), ("url\n", "at least one link")] {
            import(&app, "?dry_run=false", body).await.refused(part);
        }
        import(&app, "?format=tinyurl", FILE).await.refused("format must be one of auto, csv, bitly");
        import(&app, "?dry_run=perhaps", FILE).await.refused("dry_run must be one of");
        import(&app, "?domain=other.test", FILE).await.ok()["results"].as_array().expect("a list").iter().for_each(|r| assert_eq!(r["error"], 1));
        let bearer = format!("Bearer {ADMIN_KEY}");
        app.call(Method::POST, "/api/urls/import", &[("authorization", &bearer)], &b"url\n\xff"[..]).await.refused("body must be UTF-8");
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 0);
    }

    async fn apps_of_a_domain_are_files_that_visitors_find(app) {
        use control_plane::store::domains::{NewDomain, insert};
        use schemas::link::{Entry, view::{Content, Target, View}};
        let new = NewDomain { host: "go.acme.test".to_owned(), base_url: "https://go.acme.test".to_owned(), is_live: true, workspace_id: Some(1), ..NewDomain::default() };
        let domain = insert(&app.running.store, &new, 0).await.expect("inserts").expect("free").id;
        let path = format!("/api/domain/{domain}/apps");
        assert_eq!(app.get(&path).await.ok()["data"], json!({"apple": [], "android": []}));
        let print = ["AB"; 32].join(":");
        let body = json!({"apple": ["ABCDE12345.com.example.app"], "android": [{"package": "com.example.app", "fingerprints": [print.to_lowercase()]}]});
        app.put(&path, body).await.ok();
        let shown = app.get(&path).await.ok();
        assert_eq!(shown["data"]["android"][0]["fingerprints"], json!([print]));
        let files = || async {
            let rows: Vec<(String, Vec<u8>)> = sqlx::query_as("SELECT slug, entry FROM links WHERE kind = 6 ORDER BY slug").fetch_all(app.running.store.readers()).await.expect("rows");
            rows
        };
        let both = files().await;
        assert_eq!((both.len(), both[0].0.as_str()), (2, ".well-known/apple-app-site-association"));
        let entry = Entry::parse(&both[0].1).expect("an entry");
        let plan = View::parse(entry.plan).expect("a plan");
        assert!(plan.uncounted);
        let Some(Target::Body(body)) = plan.target() else { panic!("{plan:?}") };
        let Content::Inline(bytes) = body.content else { panic!("{body:?}") };
        assert_eq!(body.content_type, b"application/json");
        assert_eq!(serde_json::from_slice::<Value>(bytes).expect("JSON")["applinks"]["details"][0]["appIDs"], json!(["ABCDE12345.com.example.app"]));
        // What is absent stays, an empty list takes its file away.
        app.put(&path, json!({"apple": []})).await.ok();
        let left = files().await;
        assert_eq!((left.len(), left[0].0.as_str()), (1, ".well-known/assetlinks.json"));
        app.put(&path, json!({"android": [{"package": "com.example.other", "fingerprints": [print]}]})).await.ok();
        assert_ne!(files().await, left);
        crate::feed_writes::check_books(&app).await;
        app.put(&path, json!({"apple": ["x"]})).await.refused("apple[0] 'x' must be a team id");
        app.put(&path, json!({"android": "x"})).await.refused("android");
        let key = app.other_workspace().await;
        for (method, body) in [(Method::GET, None), (Method::PUT, Some(json!({"apple": []})))] {
            app.with_key(&key, method, &path, body).await.refused("does not exist");
        }
        app.get("/api/domain/1/apps").await.refused("domain '1' does not exist");
    }
}
