//! Rows of kinds that no `/url*` endpoint shows: they share slugs, ids, checksums and the feed with plain links.

use control_plane::domain::link::Content;
use control_plane::store::entries::{self, Kind, Row, Taken};
use control_plane::store::feed::Write;
use schemas::link::{Entry, Status};
use schemas::slug::Slug;
use serde_json::json;

use crate::feed_writes::check_books;
use crate::harness::{TestApp, on_both_engines};

fn slug(text: &str) -> Slug {
    Slug::parse(text).expect("legal")
}

fn entry(id: i64, slug: &Slug, destination: &str) -> Vec<u8> {
    let entry = Entry {
        domain: 1,
        slug: slug.as_str().as_bytes(),
        destination: destination.as_bytes(),
        link: id.cast_unsigned(),
        workspace: 1,
        status: Status::Found,
        disabled: false,
        utm: false,
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: b"",
    };
    let mut bytes = Vec::new();
    entry.encode(&mut bytes).expect("legal");
    bytes
}

/// Adds a row and returns its id; `None`: the slug is taken.
async fn add(app: &TestApp, kind: Kind, text: &str) -> Option<i64> {
    let mut write = Write::begin(&app.running.store).await.expect("begins");
    let id = entries::reserve_ids(&mut write, 1).await.expect("an id");
    let slug = slug(text);
    let entry = entry(id, &slug, "https://e.test/");
    let row = Row {
        id,
        kind,
        workspace: 1,
        domain: 1,
        slug: &slug,
        content: &Content::default(),
        entry: &entry,
    };
    let uuid = format!("uuid-{id}");
    let added = entries::insert(&mut write, &row, &uuid, 5).await;
    if !added.expect("inserts") {
        return None;
    }
    write.commit(5).await.expect("commits");
    Some(id)
}

on_both_engines! {
    async fn kinds_share_slugs_and_ids_and_books(app) {
        let link = app.link(json!({"url": "https://e.test/", "custom": "page"})).await;
        let code = add(&app, Kind::Qr, "qr/abc").await.expect("free");
        assert!(code > link);
        assert_eq!(add(&app, Kind::Bio, "page").await, None);
        assert_eq!(add(&app, Kind::Bio, "qr/abc").await, None);
        let bio = add(&app, Kind::Bio, "me").await.expect("free");
        app.post("/api/url/add", json!({"url": "https://e.test/", "custom": "me"})).await.refused("already in use");
        assert!(app.link(json!({"url": "https://e.test/"})).await > bio);
        let store = &app.running.store;
        assert!(!entries::slug_is_free(store, 1, &slug("me")).await.expect("reads"));
        assert!(entries::slug_is_free(store, 1, &slug("you")).await.expect("reads"));
        assert!(entries::slug_is_free(store, 2, &slug("me")).await.expect("reads"));
        check_books(&app).await;
    }

    async fn url_endpoints_see_plain_links_alone(app) {
        let bio = add(&app, Kind::Bio, "me").await.expect("free");
        app.get(&format!("/api/url/{bio}")).await.refused("does not exist");
        app.put(&format!("/api/url/{bio}/update"), json!({"title": "x"})).await.refused("does not exist");
        app.delete(&format!("/api/url/{bio}/delete")).await.refused("does not exist");
        app.get("/api/urls?short=https://go.test/me").await.refused("does not exist");
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 0);
        assert_eq!(app.get("/api/urls?q=me").await.ok()["data"]["result"], 0);
        assert_eq!(app.get("/api/urls/export?format=json").await.ok()["data"]["urls"], json!([]));
    }

    async fn a_row_is_changed_and_deleted_under_its_own_kind(app) {
        let id = add(&app, Kind::File, "a").await.expect("free");
        let other = add(&app, Kind::File, "b").await.expect("free");
        let store = &app.running.store;
        let mut write = Write::begin(store).await.expect("begins");
        assert_eq!(entries::lock(&mut write, (1, Kind::Bio, id), 6).await.expect("reads"), None);
        assert_eq!(entries::lock(&mut write, (2, Kind::File, id), 6).await.expect("reads"), None);
        let locked = entries::lock(&mut write, (1, Kind::File, id), 6).await.expect("reads").expect("is there");
        assert_eq!((locked.domain, locked.slug.as_str()), (1, "a"));
        let renamed = slug("c");
        let bytes = entry(id, &renamed, "https://e.test/2");
        let content = Content { title: "C".to_owned(), ..Content::default() };
        let row = Row { id, kind: Kind::File, workspace: 1, domain: 1, slug: &renamed, content: &content, entry: &bytes };
        assert_eq!(entries::update(&mut write, &locked, &row).await.expect("writes"), Ok(()));
        write.commit(6).await.expect("commits");
        check_books(&app).await;
        assert!(entries::slug_is_free(store, 1, &slug("a")).await.expect("reads"));

        let mut write = Write::begin(store).await.expect("begins");
        let locked = entries::lock(&mut write, (1, Kind::File, other), 7).await.expect("reads").expect("is there");
        assert_eq!(entries::update(&mut write, &locked, &Row { id: other, ..row }).await.expect("writes"), Err(Taken));
        drop(write);

        let mut write = Write::begin(store).await.expect("begins");
        let locked = entries::lock(&mut write, (1, Kind::File, other), 8).await.expect("reads").expect("is there");
        entries::update_entry(&mut write, &locked, &entry(other, &slug("b"), "https://e.test/3")).await.expect("writes");
        assert!(!entries::delete(&mut write, (1, Kind::Bio, id)).await.expect("writes"));
        assert!(entries::delete(&mut write, (1, Kind::File, id)).await.expect("writes"));
        write.commit(8).await.expect("commits");
        check_books(&app).await;
    }

    async fn drawn_slugs_stand_behind_their_prefix(_app) {
        let drawn = entries::drawn_slug("qr/", 0).expect("random");
        assert!(drawn.as_str().starts_with("qr/") && drawn.as_str().len() == 10, "{drawn}");
        assert!(entries::drawn_slug("", 9).expect("random").as_str().len() > 7);
    }
}
