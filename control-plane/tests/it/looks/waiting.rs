//! Links wait for their look in the database: however many they are, and whoever ends meanwhile.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control_plane::store::looks::{Next, Turn, Wanted, turn};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{HTML, asking, page, title, waits};
use crate::harness::{TestApp, eventually, on_both_engines, postgres};

/// A web server that takes its time, or, until it is opened, answers nobody.
struct SlowSite {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    open: watch::Sender<bool>,
}

impl SlowSite {
    async fn start(delay: Duration, is_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (open, opened) = watch::channel(is_open);
        let paths = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (paths, mut opened) = (paths.clone(), opened.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await?);
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    paths.lock().expect("a list").push(path);
                    let _ = opened.wait_for(|is_open| *is_open).await;
                    tokio::time::sleep(delay).await;
                    stream.write_all(&page(HTML, b"<title>There</title>")).await
                });
            }
        });
        Self { url, asked, open }
    }

    /// How often it was asked, and for how many different pages.
    fn asked(&self) -> (usize, usize) {
        let asked = self.asked.lock().expect("a list");
        let different: BTreeSet<&String> = asked.iter().collect();
        (asked.len(), different.len())
    }

    /// Adds a link to each of these pages.
    async fn link_to(&self, app: &TestApp, pages: std::ops::Range<usize>) {
        let urls: Vec<Value> = pages
            .map(|page| json!({"url": format!("{}/{page}", self.url)}))
            .collect();
        app.post("/api/urls/bulk", json!({"urls": urls})).await.ok();
    }
}

/// Links that wait for a look.
async fn waiting(app: &TestApp) -> i64 {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM looks")
        .fetch_one(app.running.store.readers())
        .await
        .expect("a number");
    count
}

on_both_engines! {
    async fn all_links_are_looked_at_however_many_wait(app) {
        let app = asking(app).await;
        let site = SlowSite::start(Duration::from_millis(5), true).await;
        site.link_to(&app, 0..1000).await;
        site.link_to(&app, 1000..1500).await;
        eventually("all have been looked at", async || (waiting(&app).await == 0).then_some(())).await;
        assert_eq!(site.asked(), (1500, 1500), "each once");
    }

    async fn a_claim_that_another_has_overtaken_settles_nothing(app) {
        // Nobody asks here, but links that frame are noted.
        let id = app.link(json!({"url": "https://e.test/", "type": "frame"})).await;
        let (noted, _) = waits(&app, id).await.expect("waits");
        let turn = async |done: &[_], at: i64| {
            let wanted = Wanted { now_ms: noted + at, until: noted + at + 100, limit: 10 };
            turn(&app.running.store, done, wanted).await.expect("a turn")
        };
        let end = |of: &Turn, next| [(of.claimed[0], next)];
        let first = turn(&[], 1000).await;
        assert_eq!((first.late_ms, first.claimed.len()), (1000, 1));
        assert_eq!(turn(&[], 1099).await, Turn::default());
        // Nothing was heard of it for too long: another has it.
        let second = turn(&[], 1100).await;
        assert_eq!((second.late_ms, second.claimed.len()), (0, 1));
        turn(&end(&first, Next::Never), 1101).await;
        turn(&end(&first, Next::At { due_at: noted, failures: 7 }), 1101).await;
        assert_eq!(waits(&app, id).await, Some((noted + 1200, 0)));
        turn(&end(&second, Next::At { due_at: noted + 5000, failures: 1 }), 1101).await;
        assert_eq!(waits(&app, id).await, Some((noted + 5000, 1)));
        let third = turn(&[], 5000).await;
        assert_eq!(third.claimed[0].failures, 1);
        // Led elsewhere meanwhile, it waits anew.
        app.put(&format!("/api/url/{id}/update"), json!({"url": "https://e.test/2"})).await.ok();
        turn(&end(&third, Next::Never), -1).await;
        let (_, failures) = waits(&app, id).await.expect("waits");
        assert_eq!(failures, 0);
        let last = turn(&[], 60_000).await;
        turn(&end(&last, Next::Never), 60_000).await;
        assert_eq!(waits(&app, id).await, None);
    }
}

/// What is under way, claimed or waiting when a control plane dies is looked at by the next one.
async fn outlives(database: Option<String>) {
    let site = SlowSite::start(Duration::ZERO, false).await;
    // Everything of it ends at once with its threads, and nothing is finished.
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let threads = threads.worker_threads(2).enable_all();
    let threads = threads.build().expect("threads");
    let settings = [("SIGNPOST_ASK_DESTINATIONS", "on")];
    let of = database.clone();
    let app = threads.spawn(async move { TestApp::start(of, &settings).await });
    let app = app.await.expect("starts");
    site.link_to(&app, 0..100).await;
    eventually("some are under way", async || {
        (site.asked().0 > 0).then_some(())
    })
    .await;
    threads.shutdown_background();
    let TestApp { data, running, .. } = app;
    drop(running);
    site.open.send_replace(true);
    let app = TestApp::start_in(data, database, &settings)
        .await
        .expect("starts");
    // Those that nobody had claimed at once, the others when it is sure that nothing comes of them.
    eventually("most are looked at", async || {
        (waiting(&app).await <= 32).then_some(())
    })
    .await;
    app.config.clock.advance_ms(3 * 60_000);
    let last = app.link(json!({"url": &site.url})).await;
    eventually("all are looked at", async || {
        (waiting(&app).await == 0).then_some(())
    })
    .await;
    assert_eq!(title(&app, last).await, "There");
    assert_eq!(site.asked().1, 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_control_planes_looks_are_made_on_sqlite() {
    outlives(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_control_planes_looks_are_made_on_postgres() {
    outlives(Some(postgres::fresh_database().await)).await;
}
