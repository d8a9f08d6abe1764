//! What each write puts into the feed's tables, in the same transaction.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::Method;
use schemas::feed::{self, Change, GROUPS, Kind};
use schemas::link::Entry;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Answer, TestApp, on_both_engines};
use crate::users::add_user;

/// All changes, decoded, oldest first.
pub(crate) async fn changes(app: &TestApp) -> Vec<Change> {
    let rows: Vec<(i64, Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT seq, change_id, frame FROM feed_changes ORDER BY seq")
            .fetch_all(app.running.store.readers())
            .await
            .expect("rows");
    let decode = |(seq, id, frame): (i64, Vec<u8>, Vec<u8>)| {
        let Some((Kind::Change(change), used)) = feed::decode_frame(&frame).expect("a frame")
        else {
            panic!("not a whole change");
        };
        assert_eq!(
            (used, change.seq, &change.change[..]),
            (frame.len(), seq.cast_unsigned(), &id[..])
        );
        change
    };
    rows.into_iter().map(decode).collect()
}

/// Applies all changes to nothing, and compares with the links and the checksums in the database.
pub(crate) async fn check_books(app: &TestApp) {
    let all = changes(app).await;
    let mut held: BTreeMap<(u32, Vec<u8>), Vec<u8>> = BTreeMap::new();
    for (change, seq) in all.iter().zip(1..) {
        assert_eq!(change.seq, seq, "gapless");
        for key in &change.delete {
            held.remove(&(key.domain, key.slug.to_vec()));
        }
        for bytes in &change.upsert {
            let entry = Entry::parse(bytes).expect("an entry");
            held.insert((entry.domain, entry.slug.to_vec()), bytes.to_vec());
        }
    }
    let rows: Vec<(i64, String, i64, Vec<u8>)> =
        sqlx::query_as("SELECT domain_id, slug, group_no, entry FROM links")
            .fetch_all(app.running.store.readers())
            .await
            .expect("rows");
    let mut sums = vec![0u64; GROUPS];
    assert_eq!(rows.len(), held.len());
    for (domain, slug, group, entry) in rows {
        let domain = u32::try_from(domain).expect("small");
        assert_eq!(
            held.get(&(domain, slug.clone().into_bytes())),
            Some(&entry),
            "{slug}"
        );
        assert_eq!(
            usize::try_from(group).expect("small"),
            feed::group_of(feed::key_hash(domain, slug.as_bytes()))
        );
        let sum = &mut sums[usize::try_from(group).expect("small")];
        *sum = sum.wrapping_add(feed::entry_sum(&entry));
    }
    let stored: Vec<(i64, i64)> = sqlx::query_as("SELECT group_no, sum FROM feed_groups")
        .fetch_all(app.running.store.readers())
        .await
        .expect("rows");
    let mut stored_sums = vec![0u64; GROUPS];
    for (group, sum) in stored {
        stored_sums[usize::try_from(group).expect("small")] = sum.cast_unsigned();
    }
    assert_eq!(stored_sums, sums);
    let (seq, id): (i64, Vec<u8>) = sqlx::query_as("SELECT seq, change_id FROM feed_state")
        .fetch_one(app.running.store.readers())
        .await
        .expect("a row");
    let last = all.last().expect("the first start");
    assert_eq!((last.seq, &last.change[..]), (seq.cast_unsigned(), &id[..]));
    assert_eq!(*app.running.store.watch().borrow(), last.seq);
}

on_both_engines! {
    async fn many_new_links_at_once_share_transactions_and_each_fares_as_if_alone(app) {
        let small = app.post("/api/plan/add", json!({"name": "small", "rate": 0, "links": 5})).await.ok()["id"].clone();
        let (user, limited) = add_user(&app, "ana").await;
        app.put(&format!("/api/plan/{small}/user/{user}"), json!({})).await.ok();
        let before = changes(&app).await.len();
        let call = async |key: &str, body: Value| app.with_key(key, Method::POST, "/api/url/add", Some(body)).await;
        let url = "https://e.test/";
        let drawn = join_all((0..30).map(|_| call(ADMIN_KEY, json!({"url": url}))));
        let wanted = join_all((0..10).map(|n| call(ADMIN_KEY, json!({"url": url, "custom": "wanted", "title": format!("{n}")}))));
        let beyond = join_all((0..9).map(|_| call(&limited, json!({"url": url}))));
        // What needs more than itself goes its own way.
        let tagged = join_all((0..3).map(|n| call(ADMIN_KEY, json!({"url": url, "tags": [format!("tag {n}")]}))));
        let (drawn, wanted, beyond, tagged) = tokio::join!(drawn, wanted, beyond, tagged);
        let mut ids: Vec<i64> = Vec::new();
        let mut done = |answers: &[Answer], refusal: &str| {
            let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.json()["error"] == 0);
            ids.extend(made.iter().map(|answer| answer.json()["id"].as_i64().expect("an id")));
            for answer in refused {
                answer.refused(refusal);
            }
            made.len()
        };
        assert_eq!(done(&drawn, "none"), 30);
        assert_eq!(done(&wanted, "'wanted' is already in use"), 1);
        assert_eq!(done(&beyond, "the plan 'small' allows 5 links and this workspace has 5"), 5);
        assert_eq!(done(&tagged, "none"), 3);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 39);
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 34);
        // Each that is there is in the feed, in fewer transactions than calls.
        let later = changes(&app).await.split_off(before);
        assert_eq!(later.iter().map(|change| change.upsert.len()).sum::<usize>(), 39);
        assert!(later.len() < 39, "{} transactions", later.len());
        check_books(&app).await;
    }

    async fn the_first_change_holds_domain_workspace_and_two_salts(app) {
        let all = changes(&app).await;
        assert_eq!(all.len(), 1);
        let shared = all[0].shared.as_ref().expect("shared");
        assert_eq!((shared.domain.len(), shared.domain[0].host.as_str()), (1, "go.test"));
        assert!(shared.domain[0].is_default && shared.domain[0].live);
        assert_eq!(shared.workspace.len(), 1);
        let salts = &shared.salts.as_ref().expect("salts").salt;
        assert_eq!(salts.len(), 2);
        assert_eq!(salts[0].ends_at_ms, salts[1].starts_at_ms);
        assert!(salts.iter().all(|s| s.key.len() == 32) && salts[0].key != salts[1].key);
        let now = app.config.clock.now_ms();
        assert!(salts[0].starts_at_ms <= now && now < salts[0].ends_at_ms);
    }

    async fn every_edit_is_one_change_and_the_books_balance(app) {
        let watch = app.running.store.watch();
        let a = app.link(json!({"url": "https://e.test/a", "custom": "a"})).await;
        let b = app.link(json!({"url": "https://e.test/b", "custom": "b"})).await;
        assert_eq!(*watch.borrow(), 3);
        check_books(&app).await;
        app.put(&format!("/api/url/{a}/update"), json!({"url": "https://e.test/a2"})).await.ok();
        app.put(&format!("/api/url/{b}/update"), json!({"custom": "c", "disabled": true})).await.ok();
        check_books(&app).await;
        // What visitors cannot see is in no change.
        app.put(&format!("/api/url/{b}/update"), json!({"title": "only for lists"})).await.ok();
        app.put(&format!("/api/url/{b}/update"), json!({"custom": "a"})).await.refused("already in use");
        app.post("/api/keys", json!({})).await.ok();
        assert_eq!(changes(&app).await.len(), 5);
        app.delete(&format!("/api/url/{a}/delete")).await.ok();
        check_books(&app).await;
        let last = changes(&app).await.pop().expect("a change");
        assert_eq!((last.upsert.len(), last.delete.len(), &last.delete[0].slug[..]), (0, 1, &b"a"[..]));
    }

    async fn a_bulk_call_is_one_change(app) {
        let urls: Vec<_> = (0..1000).map(|n| json!({"url": format!("https://e.test/{n}")})).collect();
        app.post("/api/urls/bulk", json!({"urls": urls})).await.ok();
        let all = changes(&app).await;
        assert_eq!((all.len(), all[1].upsert.len()), (2, 1000));
        check_books(&app).await;
    }

    async fn edits_at_the_same_time_leave_balanced_books(app) {
        let ids: Vec<i64> = futures_util::future::join_all((0..12).map(|n| app.link(json!({"url": format!("https://e.test/{n}")})))).await;
        let app = &app;
        let mixed = ids.iter().map(|id| async move {
            if id % 3 == 0 {
                app.delete(&format!("/api/url/{id}/delete")).await.ok()
            } else {
                app.put(&format!("/api/url/{id}/update"), json!({"url": format!("https://e.test/x{id}"), "custom": format!("x{id}")})).await.ok()
            }
        });
        let bulk = |name: &'static str| {
            let urls: Vec<_> = (0..100).map(|n| json!({"url": "https://e.test/", "custom": format!("{name}{n}")})).collect();
            app.post("/api/urls/bulk", json!({"urls": urls}))
        };
        // Two that want the same slugs: each slug goes to one of them, and neither fails.
        let (_, x, y) = tokio::join!(futures_util::future::join_all(mixed), bulk("same"), bulk("same"));
        let won = [x.ok(), y.ok()].iter().flat_map(|a| a["results"].as_array().expect("results").clone()).filter(|r| r["error"] == 0).count();
        assert_eq!(won, 100);
        check_books(app).await;
    }

    async fn salts_are_made_ahead_and_deleted_in_time(app) {
        use control_plane::domain::salt::Period;
        use control_plane::store::salts::rotate;
        const DAY: i64 = 24 * 3_600_000;
        let store = &app.running.store;
        rotate(store, Period::Month, app.config.clock.now_ms()).await.expect("rotates");
        let all = changes(&app).await;
        assert_eq!(all.len(), 1, "nothing to do, nothing said");
        let salts = |change: &Change| change.shared.as_ref().and_then(|s| s.salts.clone()).expect("salts").salt;
        let turn = salts(&all[0])[0].ends_at_ms;
        rotate(store, Period::Month, turn).await.expect("rotates");
        let all = changes(&app).await;
        assert_eq!(salts(&all[1])[..2], salts(&all[0])[..], "the old one still serves late clicks");
        assert_eq!(salts(&all[1]).len(), 3);
        rotate(store, Period::Month, turn + 15 * DAY).await.expect("rotates");
        let all = changes(&app).await;
        assert_eq!(salts(&all[2])[..], salts(&all[1])[1..], "the old one is gone");
    }

    async fn old_changes_are_pruned(app) {
        let kept = control_plane::store::feed::KEPT_CHANGES;
        let pool = sqlx::AnyPool::connect(&app.config.database_url.0).await.expect("connects");
        // They are deleted with every 64th.
        for (seq, oldest) in [(kept + 62, 1), (kept + 63, kept + 63)] {
            sqlx::query("UPDATE feed_state SET seq = $1").bind(seq).execute(&pool).await.expect("updates");
            app.link(json!({"url": "https://e.test/"})).await;
            let (found,): (i64,) = sqlx::query_as("SELECT MIN(seq) FROM feed_changes").fetch_one(&pool).await.expect("a row");
            assert_eq!(found, oldest);
        }
    }
}
