//! Several control planes over one PostgreSQL database: they start, write, hear of each other and do once what is to be
//! done once.
#![allow(clippy::print_stdout, reason = "what was measured is worth reading")]

use std::time::{Duration, Instant};

use control_plane::store::{domains, looks};
use futures_util::future::join_all;
use serde_json::json;
use sqlx::{AnyConnection, Connection as _};

use crate::feed::{Frames, add, follow, meddle, proxy, slug, snapshot};
use crate::harness::{TestApp, eventually, postgres};

/// How long a control plane may not know what was committed without a word: a look a second, and a busy machine.
const FOUND: Duration = Duration::from_secs(10);

async fn two() -> (TestApp, TestApp) {
    let one = TestApp::on_postgres().await;
    let other = one.beside().await;
    (one, other)
}

async fn count(app: &TestApp, sql: &'static str) -> i64 {
    let (count,): (i64,) = sqlx::query_as(sql)
        .fetch_one(app.running.store.readers())
        .await
        .expect("counts");
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_planes_that_start_at_once_on_an_empty_database_make_one_of_everything() {
    let database = Some(postgres::fresh_database().await);
    let starts = (0..3).map(|_| TestApp::start(database.clone(), &[]));
    let apps = join_all(starts).await;
    for app in &apps {
        app.get("/api/account").await.ok();
    }
    for (sql, expected) in [
        ("SELECT COUNT(*) FROM workspaces", 1),
        ("SELECT COUNT(*) FROM users", 1),
        ("SELECT COUNT(*) FROM api_keys", 1),
        ("SELECT COUNT(*) FROM domains", 1),
        ("SELECT COUNT(*) FROM id_keys", 1),
    ] {
        assert_eq!(count(&apps[0], sql).await, expected, "{sql}");
    }
    let [first, .., last] = &apps[..] else {
        panic!("three")
    };
    let (first, last) = (snapshot(first, &[]).await, snapshot(last, &[]).await);
    assert!(first.shared.salts.is_some());
    assert_eq!(first.shared.salts, last.shared.salts);
    assert_eq!(first.shared.cookie_keys, last.shared.cookie_keys);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_race_on_two_control_planes_reach_every_proxy_in_one_order_without_a_gap() {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let (one, other) = two().await;
    let ((at, mut left), (_, mut right)) = (proxy(&one).await, proxy(&other).await);
    let writers = (0..WRITERS).map(|writer| {
        let app = if writer % 2 == 0 { &one } else { &other };
        async move {
            for n in 0..EACH {
                add(app, &format!("race-{writer}-{n}")).await;
            }
        }
    });
    let take = async |frames: &mut Frames| {
        let mut seen = Vec::new();
        while seen.len() < WRITERS * EACH {
            // Links of calls that came at once share a change.
            let change = frames.change().await;
            seen.extend(change.upsert.iter().map(|entry| (change.seq, slug(entry))));
        }
        seen
    };
    let (seen, same, _) = tokio::join!(take(&mut left), take(&mut right), join_all(writers));
    assert_eq!(seen, same);
    let mut numbers: Vec<u64> = seen.iter().map(|(seq, _)| *seq).collect();
    numbers.dedup();
    assert!(
        numbers
            .iter()
            .copied()
            .eq(at.seq + 1..=at.seq + numbers.len() as u64),
        "{numbers:?}"
    );
    // What one writer wrote comes in the order it wrote it.
    for writer in 0..WRITERS {
        let own = seen
            .iter()
            .filter(|(_, s)| s.starts_with(&format!("race-{writer}-")));
        let expected = (0..EACH).map(|n| format!("race-{writer}-{n}"));
        assert!(own.map(|(_, slug)| slug.clone()).eq(expected), "{writer}");
    }
    let (left, right) = (snapshot(&one, &[]).await, snapshot(&other, &[]).await);
    assert_eq!(left.links, (WRITERS * EACH) as u64);
    assert_eq!(left.sums, right.sums);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_one_control_plane_is_pushed_by_another() {
    let (one, other) = two().await;
    let (_, mut frames) = proxy(&other).await;
    let mut waits = Vec::new();
    for n in 0..100 {
        let name = format!("other-{n}");
        add(&one, &name).await;
        let answered = Instant::now();
        assert_eq!(slug(&frames.change().await.upsert[0]), name);
        waits.push(answered.elapsed());
    }
    waits.sort();
    println!(
        "between two control planes: median {:?}, p99 {:?}, largest {:?}",
        waits[50], waits[98], waits[99]
    );
    assert!(waits[50] < Duration::from_millis(100), "{waits:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_whose_connection_is_cut_misses_nothing() {
    let (one, other) = two().await;
    let (_, mut frames) = proxy(&other).await;
    for round in 0..3 {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        meddle(&one, cut).await;
        let name = format!("cut-{round}");
        add(&one, &name).await;
        let answered = Instant::now();
        assert_eq!(slug(&frames.change().await.upsert[0]), name);
        assert!(answered.elapsed() < FOUND, "{:?}", answered.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_nobody_told_of_is_found() {
    let app = TestApp::on_postgres().await;
    add(&app, "told").await;
    // No proxy follows, so there is no heartbeat that would look.
    let mut newest = app.running.store.watch();
    let known = *newest.borrow_and_update();
    let quietly = "WITH made AS (UPDATE feed_state SET seq = seq + 1, change_id = decode(md5('quiet'), 'hex') \
                   RETURNING seq, change_id) INSERT INTO feed_changes (seq, change_id, committed_at, frame) \
                   SELECT made.seq, made.change_id, 0, f.frame FROM made JOIN feed_changes f ON f.seq = made.seq - 1";
    meddle(&app, quietly).await;
    let found = tokio::time::timeout(FOUND, newest.wait_for(|seq| *seq > known));
    found.await.expect("in time").expect("alive");
    // And whoever listens in vain listens anew: the next change is heard of again.
    add(&app, "told-again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_database_is_noticed_and_nothing_of_the_lost_history_is_sent() {
    let (one, other) = two().await;
    add(&one, "kept").await;
    let (kept, behind) = proxy(&other).await;
    for table in ["feed_state", "feed_groups"] {
        let save = format!("CREATE TABLE saved_{table} AS SELECT * FROM {table}");
        execute(&one, &[save]).await;
    }
    add(&one, "lost-1").await;
    add(&other, "lost-2").await;
    let (lost, ahead) = proxy(&other).await;
    // What was kept in memory for proxies is there.
    behind.has(&["lost-1", "lost-2"]).await;
    let restore = [
        "DELETE FROM links WHERE slug LIKE 'lost-%'",
        "DELETE FROM feed_changes WHERE seq > (SELECT seq FROM saved_feed_state)",
        "DELETE FROM feed_groups",
        "INSERT INTO feed_groups SELECT * FROM saved_feed_groups",
        "DELETE FROM feed_state",
        "INSERT INTO feed_state SELECT * FROM saved_feed_state",
    ];
    execute(&one, &restore.map(str::to_owned)).await;

    // A proxy that was behind, and one that comes with what was restored, get what comes now and not what was lost.
    let mut resumed = follow(&other, kept.seq, &kept.change).await;
    assert!(resumed.hello().await.resumed);
    let mut gone = follow(&other, lost.seq, &lost.change).await;
    assert!(!gone.hello().await.resumed);
    add(&one, "new").await;
    assert_eq!(slug(&resumed.change().await.upsert[0]), "new");
    ahead.end().await;
    // As many changes as were lost: numbers alone tell nothing any more.
    add(&other, "new-2").await;
    assert_eq!(slug(&resumed.change().await.upsert[0]), "new-2");
    let mut gone = follow(&one, lost.seq, &lost.change).await;
    assert!(!gone.hello().await.resumed);
    let now = snapshot(&one, &lost.sums).await;
    assert_eq!(now.links, 3);
    assert_eq!(now.sums, snapshot(&other, &[]).await.sums);
}

impl Frames {
    /// Reads so many changes and checks what they add; the stream is given up then.
    async fn has(mut self, slugs: &[&str]) {
        for expected in slugs {
            assert_eq!(slug(&self.change().await.upsert[0]), *expected);
        }
    }
}

/// Runs statements as one transaction, behind the servers' backs.
async fn execute(app: &TestApp, statements: &[String]) {
    let mut connection = AnyConnection::connect(&app.config.database_url.0)
        .await
        .expect("connects");
    let mut tx = connection.begin().await.expect("begins");
    for statement in statements {
        sqlx::query(sqlx::AssertSqlSafe(statement.clone()))
            .execute(&mut *tx)
            .await
            .expect("runs");
    }
    tx.commit().await.expect("commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_control_plane_took_to_do_no_other_does() {
    let (one, other) = two().await;
    let (stores, hour) = ([&one.running.store, &other.running.store], 3_600_000);
    let far = 4_000_000_000_000_i64;
    let link = one
        .link(json!({"url": "https://e.test/", "type": "frame", "title": "F"}))
        .await;
    // Both want the same row at once: one waits for the other's lock, and then finds it taken.
    let due = format!("UPDATE looks SET due_at = {far} WHERE link_id = {link}");
    execute(&one, &[due]).await;
    let wanted = looks::Wanted {
        now_ms: far,
        until: far + hour,
        limit: 10,
    };
    let claims = stores.map(|store| looks::turn(store, &[], wanted));
    let claimed: Vec<i64> = join_all(claims)
        .await
        .into_iter()
        .flat_map(|turn| turn.expect("asks").claimed)
        .map(|claimed| claimed.link)
        .collect();
    assert_eq!(claimed, [link]);

    let claim = format!(
        "INSERT INTO domains (workspace_id, host, name, base_url, root_url, not_found_url, is_live, is_default, \
         created_at, check_token, check_at) VALUES (1, 'go.acme.test#x', 'go.acme.test', 'https://go.acme.test', '', '', \
         0, 0, 0, 'x', {far})"
    );
    execute(&one, &[claim]).await;
    let due = domains::due(stores[0], far, 10).await.expect("asks");
    let [due] = &due[..] else {
        panic!("one is due: {due:?}")
    };
    let claims = stores.map(|store| domains::claim_look(store, due, far + hour));
    let mut claimed: Vec<bool> = join_all(claims)
        .await
        .into_iter()
        .map(|claimed| claimed.expect("asks"))
        .collect();
    claimed.sort_unstable();
    assert_eq!(claimed, [false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_control_plane_changes_holds_at_the_other_at_once() {
    let (one, other) = two().await;
    let key = one.key("short-lived", Some(7)).await;
    let get = async |app: &TestApp| {
        app.with_key(&key, http::Method::GET, "/api/account", None)
            .await
    };
    // A key: made, known, revoked.
    assert_eq!(get(&other).await.number("x-ratelimit-limit"), 7);
    let (id,): (i64,) = sqlx::query_as("SELECT MAX(id) FROM api_keys")
        .fetch_one(one.running.store.readers())
        .await
        .expect("an id");
    assert!(
        control_plane::keys::revoke(&one.config, id)
            .await
            .expect("revokes")
    );
    assert_eq!(get(&other).await.status, 401);
    // A link: made here, changed there, shown and deleted here.
    let id = add(&one, "mine").await;
    let path = format!("/api/url/{id}");
    other
        .put(
            &format!("{path}/update"),
            json!({"url": "https://e.test/2"}),
        )
        .await
        .ok();
    let shown = one.get(&path).await.ok();
    assert_eq!(shown["details"]["longurl"], "https://e.test/2", "{shown}");
    one.delete(&format!("{path}/delete")).await.ok();
    other.get(&path).await.refused("does not exist");
    // Its slug is free for nobody else, whoever is asked, and for its owner at once.
    add(&other, "mine").await;
    eventually("both know the newest change", async || {
        let [one, other] = [&one, &other].map(|app| *app.running.store.watch().borrow());
        (one == other).then_some(())
    })
    .await;
}
