//! What is asked of destinations after the call: titles, and whether they let themselves be framed.

mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemas::link::Entry;
use schemas::link::plan::{Plan, Target};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{TestApp, eventually, on_both_engines};

/// A web server that answers by path, and how often it was asked.
pub(crate) async fn site(
    answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let addr = listener.local_addr().expect("bound");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let _ = stream.write_all(&answer(&path)).await;
        }
    });
    (format!("http://{addr}"), asked)
}

pub(crate) fn page(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

pub(crate) const HTML: &str = "Content-Type: text/html\r\n";

/// The same control plane, asking.
pub(crate) async fn asking(app: TestApp) -> TestApp {
    let database = app.database();
    let data = app.stop().await;
    TestApp::start_in(data, database, &[("SIGNPOST_ASK_DESTINATIONS", "on")])
        .await
        .expect("starts")
}

async fn title(app: &TestApp, id: i64) -> Value {
    app.get(&format!("/api/url/{id}")).await.ok()["details"]["title"].clone()
}

/// Whether visitors of a link meet a page.
async fn shows_a_page(app: &TestApp, id: i64) -> bool {
    let (entry,): (Vec<u8>,) = sqlx::query_as("SELECT entry FROM links WHERE id = $1")
        .bind(id)
        .fetch_one(app.running.store.readers())
        .await
        .expect("a row");
    let entry = Entry::parse(&entry).expect("an entry");
    let plan = Plan::decode(entry.plan).expect("a plan");
    matches!(plan.target, Some(Target::Page { .. }))
}

/// From when a link waits for its next look, and how many have failed.
async fn waits(app: &TestApp, id: i64) -> Option<(i64, i64)> {
    sqlx::query_as("SELECT due_at, failures FROM looks WHERE link_id = $1")
        .bind(id)
        .fetch_optional(app.running.store.readers())
        .await
        .expect("reads")
}

on_both_engines! {
    async fn a_link_without_a_title_gets_its_pages(app) {
        let app = asking(app).await;
        let (site, asked) = site(|path| match path {
            "/latin" => page("Content-Type: text/html; charset=iso-8859-1\r\n", b"<title>Gr\xf6\xdfe &amp; Co \n <b></title>"),
            "/moved" => b"HTTP/1.1 302 Found\r\nLocation: /latin\r\nContent-Length: 0\r\n\r\n".to_vec(),
            "/text" => page("Content-Type: text/plain\r\n", b"<title>no</title>"),
            "/gone" => b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 23\r\n\r\n<title>not here</title> ".to_vec(),
            "/endless" => page(HTML, &[&b"<title>first</title>"[..], &vec![b' '; 10 << 20]].concat()),
            _ => page(HTML, "<title>\u{202e}Page\u{200b}\u{0}</title>".as_bytes()),
        }).await;
        for (path, expected) in [("/latin", "Größe & Co <b>"), ("/moved", "Größe & Co <b>"), ("/", "Page"), ("/endless", "first")] {
            let id = app.link(json!({"url": format!("{site}{path}")})).await;
            eventually("the title is found", async || (title(&app, id).await == expected).then_some(())).await;
        }
        let listed = app.get("/api/urls?q=gr%C3%B6%C3%9Fe").await.ok();
        assert_eq!(listed["data"]["result"], 2, "a title found is looked up like any other");
        // Those that have none stay without, and one that was given stays: it was only asked where it leads.
        let before = asked.load(Ordering::SeqCst);
        let given = app.link(json!({"url": format!("{site}/latin"), "title": "Mine"})).await;
        let text = app.link(json!({"url": format!("{site}/text")})).await;
        let gone = app.link(json!({"url": format!("{site}/gone")})).await;
        eventually("all are asked", async || (asked.load(Ordering::SeqCst) == before + 3).then_some(())).await;
        let last = app.link(json!({"url": format!("{site}/")})).await;
        eventually("those before are done", async || (title(&app, last).await == "Page").then_some(())).await;
        assert_eq!((title(&app, given).await, title(&app, text).await, title(&app, gone).await), (json!("Mine"), json!(""), json!("")));
    }

    async fn a_destination_that_forbids_framing_is_redirected_to(app) {
        let app = asking(app).await;
        let (site, _) = site(|path| match path {
            "/deny" => page(&format!("{HTML}X-Frame-Options: DENY\r\n"), b""),
            "/policy" => page(&format!("{HTML}Content-Security-Policy: default-src *; frame-ancestors 'self'\r\n"), b""),
            _ => page(HTML, b"<title>open</title>"),
        }).await;
        let overlay = app.post("/api/overlay/add", json!({"type": "message", "name": "M", "message": "m"})).await.ok()["id"].clone();
        let types = [json!("frame"), json!(format!("overlay-{overlay}"))];
        for (kind, path) in [(&types[0], "/deny"), (&types[1], "/policy")] {
            let id = app.link(json!({"url": format!("{site}{path}"), "type": kind})).await;
            eventually("it redirects", async || (!shows_a_page(&app, id).await).then_some(())).await;
            // Its owner sees what was asked for.
            assert_eq!(&app.get(&format!("/api/url/{id}")).await.ok()["details"]["type"], kind);
            // Led elsewhere, it is asked anew; until the answer is there it frames.
            app.put(&format!("/api/url/{id}/update"), json!({"url": format!("{site}/open")})).await.ok();
            assert!(shows_a_page(&app, id).await);
            app.put(&format!("/api/url/{id}/update"), json!({"url": format!("{site}{path}")})).await.ok();
            eventually("it redirects again", async || (!shows_a_page(&app, id).await).then_some(())).await;
        }
        // A splash page frames nothing, and what cannot be asked frames as its owner wished.
        let splash = app.link(json!({"url": format!("{site}/deny"), "type": "splash", "title": "S"})).await;
        let nowhere = app.link(json!({"url": "http://127.0.0.1:1/", "type": "frame", "title": "N"})).await;
        for failures in 1..=3 {
            eventually("it is to be tried again", async || (waits(&app, nowhere).await?.1 == failures).then_some(())).await;
            app.config.clock.advance_ms(2 * 3_600_000);
            // Any other link makes it look what is due.
            app.link(json!({"url": format!("{site}/open")})).await;
        }
        // Given up, for a day.
        let tomorrow = app.config.clock.now_ms() + 23 * 3_600_000;
        let (_, failures) = eventually("it is given up", async || waits(&app, nowhere).await.filter(|(due, _)| *due > tomorrow)).await;
        assert_eq!(failures, 3);
        assert!(shows_a_page(&app, splash).await && shows_a_page(&app, nowhere).await);
    }

    async fn an_answer_that_is_no_success_says_nothing_of_framing(app) {
        let app = asking(app).await;
        let closed = Arc::new(AtomicUsize::new(0));
        let state = closed.clone();
        let denied = format!("{HTML}X-Frame-Options: DENY\r\n");
        let error = |headers: &str| format!("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n{headers}\r\n").into_bytes();
        let (site, asked) = site(move |path| match (path, state.load(Ordering::SeqCst)) {
            // Who guards a site denies framing of his error pages, and says nothing of the site.
            ("/open", _) => error(&denied),
            ("/denied", 0) => page(&denied, b""),
            ("/denied", _) => error(HTML),
            _ => page(HTML, b"<title>open</title>"),
        }).await;
        let link = async |path: &str| app.link(json!({"url": format!("{site}{path}"), "type": "frame", "title": "F"})).await;
        let (open, denied) = (link("/open").await, link("/denied").await);
        eventually("it redirects", async || (!shows_a_page(&app, denied).await).then_some(())).await;
        eventually("both were asked", async || (asked.load(Ordering::SeqCst) == 2).then_some(())).await;
        closed.store(1, Ordering::SeqCst);
        app.config.clock.advance_ms(25 * 3_600_000);
        // Any other framed link makes it look what is due.
        let last = link("/deny-nothing").await;
        eventually("all are asked again", async || (asked.load(Ordering::SeqCst) >= 5).then_some(())).await;
        let due = async || {
            let (due,): (i64,) = sqlx::query_as("SELECT MIN(due_at) FROM looks").fetch_one(app.running.store.readers()).await.expect("a row");
            (due > app.config.clock.now_ms()).then_some(())
        };
        eventually("nothing is due", due).await;
        assert!(shows_a_page(&app, open).await && shows_a_page(&app, last).await);
        assert!(!shows_a_page(&app, denied).await, "what a site said itself counts on");
    }

    async fn framing_is_asked_again_each_day(app) {
        let app = asking(app).await;
        let closed = Arc::new(AtomicUsize::new(0));
        let state = closed.clone();
        let (site, asked) = site(move |_| match state.load(Ordering::SeqCst) {
            0 => page(HTML, b"<title>open</title>"),
            _ => page(&format!("{HTML}X-Frame-Options: sameorigin\r\n"), b""),
        }).await;
        let id = app.link(json!({"url": format!("{site}/"), "type": "frame", "title": "F"})).await;
        eventually("it was asked", async || (asked.load(Ordering::SeqCst) == 1).then_some(())).await;
        assert!(shows_a_page(&app, id).await);
        closed.store(1, Ordering::SeqCst);
        app.config.clock.advance_ms(25 * 3_600_000);
        // Any other framed link makes it look what is due.
        app.link(json!({"url": format!("{site}/2"), "type": "frame", "title": "G"})).await;
        eventually("it redirects", async || (!shows_a_page(&app, id).await).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_asked_when_it_is_switched_off() {
    let app = TestApp::start(None, &[]).await;
    let (site, asked) = site(|_| page(HTML, b"<title>T</title>")).await;
    let id = app
        .link(json!({"url": format!("{site}/"), "type": "frame"}))
        .await;
    // The same process asks for a logo, so the way out is open.
    let logo = json!({"type": "text", "data": "x", "logo": format!("{site}/logo")});
    app.post("/api/qr/add", logo).await.refused("logo ");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(title(&app, id).await, "");
}
