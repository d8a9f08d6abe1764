//! `/campaigns`, `/campaign/…`, and the entries that proxies get of rotators and lists.

use http::Method;
use schemas::link::Entry;
use schemas::link::view::{Target, View};
use serde_json::{Value, json};

use crate::feed_writes::check_books;
use crate::harness::{SHORT, TestApp, on_both_engines};

async fn campaign(app: &TestApp, body: Value) -> i64 {
    let json = app.post("/api/campaign/add", body).await.ok();
    json["id"].as_i64().expect("an integer")
}

async fn assign(app: &TestApp, campaign: i64, link: i64) {
    let json = app
        .post(
            &format!("/api/campaign/{campaign}/assign/{link}"),
            json!({}),
        )
        .await
        .ok();
    assert_eq!(json["message"], "Link successfully added to the campaign.");
}

async fn link(app: &TestApp, alias: &str) -> i64 {
    app.link(json!({"url": format!("https://{alias}.test/"), "custom": alias}))
        .await
}

/// What proxies hold at a path of the default domain.
async fn entry(app: &TestApp, slug: &str) -> Option<Vec<u8>> {
    let row: Option<(Vec<u8>,)> =
        sqlx::query_as("SELECT entry FROM links WHERE domain_id = 1 AND slug = $1")
            .bind(slug.to_owned())
            .fetch_optional(app.running.store.readers())
            .await
            .expect("reads");
    row.map(|(entry,)| entry)
}

/// The links a rotator leads to, with their weights, the newest first; none when it answers 404.
async fn rotation(app: &TestApp, slug: &str) -> Vec<(String, u32)> {
    let bytes = entry(app, &format!("r/{slug}")).await.expect("a rotator");
    let entry = Entry::parse(&bytes).expect("an entry");
    let view = View::parse(entry.plan).expect("a plan");
    let Some(Target::Pick(picks)) = view.target() else {
        assert!(entry.disabled);
        return Vec::new();
    };
    assert!(!entry.disabled);
    let name = |slug: &[u8]| String::from_utf8(slug.to_vec()).expect("text");
    picks.map(|pick| (name(pick.slug), pick.weight)).collect()
}

/// The page that proxies show at a list's path; `None`: they answer 404.
async fn list(app: &TestApp, slug: &str) -> Option<String> {
    let bytes = entry(app, slug).await.expect("a list");
    let entry = Entry::parse(&bytes).expect("an entry");
    if entry.disabled {
        return None;
    }
    let view = View::parse(entry.plan).expect("a plan");
    let Some(Target::Page { page, .. }) = view.target() else {
        panic!("{view:?}");
    };
    let (body,): (Vec<u8>,) = sqlx::query_as(
        "SELECT b.bytes FROM pages p JOIN blobs b ON b.hash = p.hash WHERE p.id = $1",
    )
    .bind(page.cast_signed())
    .fetch_one(app.running.store.readers())
    .await
    .expect("the page");
    Some(String::from_utf8(body).expect("text"))
}

fn once(slugs: &[&str]) -> Vec<(String, u32)> {
    slugs.iter().map(|slug| ((*slug).to_owned(), 1)).collect()
}

on_both_engines! {
    async fn o_100_o_101_o_102_campaigns_are_listed_with_both_names(app) {
        assert_eq!(app.get("/api/campaigns").await.ok()["data"]["campaigns"], json!([]));
        campaign(&app, json!({"name": "Sample Campaign"})).await;
        campaign(&app, json!({"name": "Facebook Campaign", "slug": "test", "public": true})).await;
        campaign(&app, json!({"name": "Third"})).await;
        let json = app.get("/api/campaigns?limit=2&page=1").await.ok();
        let data = &json["data"];
        assert_eq!((&data["result"], &data["perpage"], &data["nextpage"], &data["maxpage"]), (&json!(3), &json!(2), &json!(2), &json!(2)));
        assert_eq!(data["campaigns"][1], json!({
            "id": 2, "name": "Facebook Campaign", "domain": "Facebook Campaign", "campaign": "Facebook Campaign", "public": true,
            "rotator": format!("{SHORT}/r/test"), "list": format!("{SHORT}/u/admin/test-2"), "views": 0,
        }));
        // Nobody counts in this test.
        assert_eq!(data["stats"], "unavailable");
        let json = app.get("/api/campaigns?limit=2&page=2").await.ok();
        assert_eq!(json["data"]["campaigns"][0]["name"], "Sample Campaign");
        app.get("/api/campaigns?limit=0").await.refused("limit must");
    }

    async fn o_103_o_104_a_slug_makes_a_rotator_and_names_the_list(app) {
        let json = app.post("/api/campaign/add", json!({"name": "A"})).await.ok();
        assert_eq!((&json["rotator"], &json["list"]), (&json!(false), &json!(format!("{SHORT}/u/admin/list-1"))));
        let json = app.post("/api/campaign/add", json!({"name": "B", "slug": "new-campaign"})).await.ok();
        assert_eq!((&json["rotator"], &json["list"]), (&json!(format!("{SHORT}/r/new-campaign")), &json!(format!("{SHORT}/u/admin/new-campaign-2"))));
        for bad in ["a b", "a//b", "../x", "u/x", "x?y", "\0", &"s".repeat(101)] {
            app.post("/api/campaign/add", json!({"slug": bad})).await.refused("slug ");
        }
        app.post("/api/campaign/add", json!({"slug": "new-campaign"})).await.refused("Custom alias 'new-campaign' is already in use");
        assert_eq!(app.get("/api/campaigns").await.ok()["data"]["result"], 2);
        check_books(&app).await;
    }

    async fn o_105_o_106_everything_is_optional_and_the_answer_is_flat(app) {
        let json = app.post("/api/campaign/add", json!({})).await.ok();
        assert_eq!(json, json!({
            "error": 0, "id": 1, "name": "Campaign 1", "domain": "Campaign 1", "campaign": "Campaign 1", "public": false,
            "rotator": false, "list": format!("{SHORT}/u/admin/list-1"),
        }));
        let json = app.post("/api/campaign/add", json!({"name": "New Campaign", "slug": "new-campaign", "public": "1"})).await.ok();
        assert_eq!((&json["name"], &json["public"]), (&json!("New Campaign"), &json!(true)));
        app.post("/api/campaign/add", json!({"public": "maybe"})).await.refused("public must be true or false");
        app.post("/api/campaign/add", json!({"name": "a\u{7}b"})).await.refused("name must not");
        app.post("/api/campaign/add", json!({"name": {}})).await.refused("name must be text");
    }

    async fn o_107_o_109_o_110_assigned_links_are_in_the_rotation(app) {
        let id = campaign(&app, json!({"slug": "sale"})).await;
        assert_eq!(rotation(&app, "sale").await, []);
        let (a, b) = (link(&app, "a").await, link(&app, "b").await);
        assign(&app, id, a).await;
        assert_eq!(rotation(&app, "sale").await, once(&["a"]));
        assign(&app, id, b).await;
        assign(&app, id, b).await;
        assert_eq!(rotation(&app, "sale").await, once(&["b", "a"]));
        app.post(&format!("/api/campaign/{id}/assign/{b}"), json!({"weight": 3})).await.ok();
        assert_eq!(rotation(&app, "sale").await[0], ("b".to_owned(), 3));
        for bad in [0, -1, 1_000_001] {
            app.post(&format!("/api/campaign/{id}/assign/{b}"), json!({"weight": bad})).await.refused("weight must be");
        }
        app.post(&format!("/api/campaign/{id}/assign/{b}"), json!({"weight": "x"})).await.refused("weight");
        app.post(&format!("/api/campaign/{id}/assign/999"), json!({})).await.refused("link '999' does not exist");
        app.post(&format!("/api/campaign/99/assign/{a}"), json!({})).await.refused("campaign '99' does not exist");
        let json = app.get(&format!("/api/campaign/{id}?limit=1")).await.ok();
        assert_eq!(json["data"]["result"], 2);
        assert_eq!(json["data"]["links"], json!([{"id": b, "title": "", "shorturl": format!("{SHORT}/b"), "longurl": "https://b.test/", "weight": 3}]));
        // A rotator is no link of the others' kind.
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 2);
        check_books(&app).await;
    }

    async fn a_link_is_in_one_campaign_at_most(app) {
        let (first, second) = (campaign(&app, json!({"slug": "one"})).await, campaign(&app, json!({"slug": "two"})).await);
        let (a, b) = (link(&app, "a").await, link(&app, "b").await);
        assign(&app, first, a).await;
        assign(&app, first, b).await;
        assign(&app, second, a).await;
        assert_eq!((rotation(&app, "one").await, rotation(&app, "two").await), (once(&["b"]), once(&["a"])));
        app.delete(&format!("/api/campaign/{first}/assign/{a}")).await.refused("does not exist");
        app.delete(&format!("/api/campaign/{first}/assign/{b}")).await.ok();
        assert_eq!(rotation(&app, "one").await, []);
        check_books(&app).await;
    }

    async fn a_rotator_follows_its_links(app) {
        let id = campaign(&app, json!({"slug": "sale"})).await;
        let (a, b) = (link(&app, "a").await, link(&app, "b").await);
        assign(&app, id, a).await;
        assign(&app, id, b).await;
        app.put(&format!("/api/url/{a}/update"), json!({"custom": "c"})).await.ok();
        assert_eq!(rotation(&app, "sale").await, once(&["b", "c"]));
        app.delete(&format!("/api/url/{b}/delete")).await.ok();
        assert_eq!(rotation(&app, "sale").await, once(&["c"]));
        app.delete(&format!("/api/url/{a}/delete")).await.ok();
        assert_eq!(rotation(&app, "sale").await, []);
        check_books(&app).await;
    }

    async fn o_111_o_112_an_update_needs_a_name_and_keeps_the_rest(app) {
        let id = campaign(&app, json!({"name": "A", "slug": "old", "public": true})).await;
        let a = link(&app, "a").await;
        assign(&app, id, a).await;
        let update = async |body: Value| app.put(&format!("/api/campaign/{id}/update"), body).await;
        for body in [json!({}), json!({"name": ""}), json!({"slug": "x"})] {
            update(body).await.refused("name is required");
        }
        let json = update(json!({"name": "Twitter Campaign"})).await.ok();
        assert_eq!(json, json!({
            "error": 0, "id": id, "name": "Twitter Campaign", "domain": "Twitter Campaign", "campaign": "Twitter Campaign",
            "public": true, "rotator": format!("{SHORT}/r/old"), "list": format!("{SHORT}/u/admin/old-{id}"),
        }));
        let json = update(json!({"name": "B", "slug": "new", "public": false})).await.ok();
        assert_eq!((&json["rotator"], &json["public"]), (&json!(format!("{SHORT}/r/new")), &json!(false)));
        assert_eq!(rotation(&app, "new").await, once(&["a"]));
        assert!(entry(&app, "r/old").await.is_none() && entry(&app, &format!("u/admin/old-{id}")).await.is_none());
        campaign(&app, json!({"slug": "taken"})).await;
        update(json!({"name": "B", "slug": "taken"})).await.refused("Custom alias 'taken' is already in use");
        assert_eq!(rotation(&app, "new").await, once(&["a"]));
        assert_eq!(update(json!({"name": "B", "slug": ""})).await.ok()["rotator"], false);
        assert!(entry(&app, "r/new").await.is_none());
        app.put("/api/campaign/99/update", json!({"name": "x"})).await.refused("campaign '99' does not exist");
        check_books(&app).await;
    }

    async fn o_113_a_deleted_campaign_leaves_its_links(app) {
        let id = campaign(&app, json!({"slug": "sale"})).await;
        let a = link(&app, "a").await;
        assign(&app, id, a).await;
        let json = app.delete(&format!("/api/campaign/{id}/delete")).await.ok();
        assert_eq!(json, json!({"error": 0, "message": "Campaign has been deleted successfully."}));
        assert!(entry(&app, "r/sale").await.is_none() && entry(&app, &format!("u/admin/sale-{id}")).await.is_none());
        app.get(&format!("/api/url/{a}")).await.ok();
        assert!(entry(&app, "a").await.is_some());
        app.delete(&format!("/api/campaign/{id}/delete")).await.refused("campaign '1' does not exist");
        app.get(&format!("/api/campaign/{id}")).await.refused("does not exist");
        check_books(&app).await;
    }

    async fn o_108_a_public_list_shows_public_links_and_a_private_one_nothing(app) {
        let id = campaign(&app, json!({"name": "Spring <sale>", "slug": "sale", "public": true})).await;
        let path = format!("u/admin/sale-{id}");
        let shown = async || list(&app, &path).await;
        assert!(shown().await.expect("a page").contains("no links here yet"));
        let (a, b) = (link(&app, "a").await, link(&app, "b").await);
        assign(&app, id, a).await;
        assign(&app, id, b).await;
        let page = shown().await.expect("a page");
        assert!(page.contains("Spring &lt;sale&gt;") && page.contains("href=\"https://go.test/a\"") && page.contains("href=\"https://go.test/b\""), "{page}");
        assert!(page.find("/b\"") < page.find("/a\""));
        // Private, switched off and expired links are left out, and what is renamed follows.
        app.put(&format!("/api/url/{a}/update"), json!({"status": "private"})).await.ok();
        assert!(!shown().await.expect("a page").contains("https://go.test/a"));
        app.put(&format!("/api/url/{a}/update"), json!({"status": "public", "title": "The & A", "custom": "c"})).await.ok();
        let page = shown().await.expect("a page");
        assert!(page.contains("The &amp; A") && page.contains("https://go.test/c") && !page.contains("https://go.test/a"), "{page}");
        app.put(&format!("/api/url/{a}/update"), json!({"disabled": true})).await.ok();
        app.put(&format!("/api/url/{b}/update"), json!({"expires_at": "2001-01-01"})).await.ok();
        assert!(shown().await.expect("a page").contains("no links here yet"));
        app.put(&format!("/api/url/{b}/update"), json!({"expires_at": ""})).await.ok();
        app.delete(&format!("/api/url/{a}/delete")).await.ok();
        assert!(shown().await.expect("a page").contains("https://go.test/b"));
        app.put(&format!("/api/campaign/{id}/update"), json!({"name": "x", "public": false})).await.ok();
        assert_eq!(shown().await, None);
        app.put(&format!("/api/campaign/{id}/update"), json!({"name": "x", "public": true})).await.ok();
        assert!(shown().await.is_some());
        app.delete(&format!("/api/campaign/{id}/delete")).await.ok();
        assert!(entry(&app, &path).await.is_none());
        let (pages,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM pages").fetch_one(app.running.store.readers()).await.expect("reads");
        assert_eq!(pages, 0);
        check_books(&app).await;
    }

    async fn a_rotation_of_ten_thousand_links_is_bounded(app) {
        let id = campaign(&app, json!({"slug": "big", "public": true})).await;
        let first = link(&app, "first").await;
        // Straight into the tables: the calls are tested above.
        let pool = crate::links::database(&app).await;
        let mut tx = pool.begin().await.expect("begins");
        for number in 0..10_000_i64 {
            let row = first + 1 + number;
            sqlx::query(
                "INSERT INTO links (id, uuid, workspace_id, domain_id, slug, destination, title, description, redirect_status, \
                 is_private, is_disabled, expired_url, utm_source, utm_medium, utm_campaign, utm_term, utm_content, parameters, \
                 search, imported_clicks, created_at, updated_at, group_no, entry) \
                 SELECT $1, $2, workspace_id, domain_id, $3, destination, title, description, redirect_status, is_private, \
                 is_disabled, expired_url, utm_source, utm_medium, utm_campaign, utm_term, utm_content, parameters, search, \
                 imported_clicks, created_at, updated_at, group_no, entry FROM links WHERE id = $4",
            )
            .bind(row).bind(format!("uuid-{number}")).bind(format!("n{number}")).bind(first)
            .execute(&mut *tx).await.expect("inserts");
            sqlx::query("INSERT INTO campaign_links (link_id, campaign_id, weight, created_at) VALUES ($1, $2, 1, 0)")
                .bind(row).bind(id).execute(&mut *tx).await.expect("inserts");
        }
        tx.commit().await.expect("commits");
        assign(&app, id, first).await;
        let links = rotation(&app, "big").await;
        assert!((800..=1000).contains(&links.len()), "{}", links.len());
        assert_eq!(links[0], ("n9999".to_owned(), 1));
        assert_eq!(app.get(&format!("/api/campaign/{id}")).await.ok()["data"]["result"], 10_001);
        let page = list(&app, &format!("u/admin/big-{id}")).await.expect("a page");
        assert_eq!(page.matches("<li>").count(), 500);
        assert!(page.contains("The newest 500 links are shown.") && page.contains("https://go.test/n9999") && !page.contains("https://go.test/n9499"));
    }

    async fn another_workspace_sees_nothing_of_a_campaign(app) {
        let id = campaign(&app, json!({"name": "mine", "slug": "mine"})).await;
        let a = link(&app, "a").await;
        assign(&app, id, a).await;
        let key = app.other_workspace().await;
        let theirs = async |method: Method, path: &str, body: Option<Value>| app.with_key(&key, method, path, body).await;
        assert_eq!(theirs(Method::GET, "/api/campaigns", None).await.ok()["data"]["result"], 0);
        let missing = format!("campaign '{id}' does not exist");
        theirs(Method::GET, &format!("/api/campaign/{id}"), None).await.refused(&missing);
        theirs(Method::PUT, &format!("/api/campaign/{id}/update"), Some(json!({"name": "x"}))).await.refused(&missing);
        theirs(Method::PUT, &format!("/api/campaign/{id}/update"), Some(json!({}))).await.refused(&missing);
        theirs(Method::DELETE, &format!("/api/campaign/{id}/delete"), None).await.refused(&missing);
        let own = theirs(Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.ok()["id"].as_i64().expect("an id");
        theirs(Method::POST, &format!("/api/campaign/{id}/assign/{own}"), None).await.refused(&missing);
        theirs(Method::DELETE, &format!("/api/campaign/{id}/assign/{own}"), None).await.refused(&missing);
        theirs(Method::DELETE, &format!("/api/campaign/{id}/assign/{a}"), None).await.refused("does not exist");
        let json = theirs(Method::POST, "/api/campaign/add", Some(json!({"name": "theirs"}))).await.ok();
        assert_eq!(json["list"], format!("{SHORT}/u/other/list-{}", json["id"]));
        theirs(Method::POST, &format!("/api/campaign/{}/assign/{a}", json["id"]), None).await.refused(&format!("link '{a}' does not exist"));
        theirs(Method::POST, "/api/campaign/add", Some(json!({"slug": "mine"}))).await.refused("already in use");
        assert_eq!(rotation(&app, "mine").await, once(&["a"]));
    }
}
