//! The feed as a proxy sees it.
#![allow(clippy::print_stdout, reason = "what was measured is worth reading")]

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use schemas::feed::{self, Change, GROUPS, Hello, Kind, SnapshotRequest, paths};
use schemas::link::Entry;
use serde_json::json;
use sqlx::Connection as _;

use crate::harness::{TestApp, on_both_engines};

mod page_frames;
mod snapshots;

/// Longest wait for anything here, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// A stream of frames.
pub(crate) struct Frames {
    body: Incoming,
    bytes: BytesMut,
    _driver: tokio_util::task::AbortOnDropHandle<()>,
}

impl Frames {
    /// The next frame; `None` at a clean end.
    async fn next(&mut self) -> Option<Kind> {
        tokio::time::timeout(DEADLINE, self.read())
            .await
            .expect("a frame in time")
            .expect("an unbroken stream")
    }

    async fn read(&mut self) -> Result<Option<Kind>, hyper::Error> {
        loop {
            if let Some((kind, used)) = feed::decode_frame(&self.bytes).expect("legal frames") {
                let _ = self.bytes.split_to(used);
                return Ok(Some(kind));
            }
            match self.body.frame().await.transpose()? {
                Some(frame) => self
                    .bytes
                    .extend_from_slice(&frame.into_data().expect("data")),
                None => {
                    assert!(self.bytes.is_empty(), "ends within a frame");
                    return Ok(None);
                }
            }
        }
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.next().await {
            Some(Kind::Hello(hello)) => hello,
            other => panic!("not a hello: {other:?}"),
        }
    }

    /// The next change, heartbeats left out.
    pub(crate) async fn change(&mut self) -> Change {
        let change = async {
            loop {
                match self.next().await {
                    Some(Kind::Change(change)) => return change,
                    Some(Kind::Heartbeat(_)) => {}
                    other => panic!("not a change: {other:?}"),
                }
            }
        };
        let change = tokio::time::timeout(DEADLINE, change).await;
        change.expect("a change in time")
    }

    /// Reads to the end, heartbeats and changes alike.
    pub(crate) async fn end(mut self) {
        while self.next().await.is_some() {}
    }
}

/// One instant of the database.
pub(crate) struct Snapshot {
    pub(crate) seq: u64,
    pub(crate) change: Bytes,
    pub(crate) sums: Vec<u64>,
    pub(crate) shared: feed::Shared,
    groups: Vec<(usize, Vec<Bytes>)>,
    pub(crate) links: u64,
}

fn token(app: &TestApp) -> String {
    let file = app.data.path().join(schemas::names::files::FEED_TOKEN);
    format!(
        "Bearer {}",
        std::fs::read_to_string(file).expect("a token").trim()
    )
}

async fn send(app: &TestApp, method: Method, path: &str, body: Vec<u8>) -> Frames {
    let stream = tokio::net::TcpStream::connect(app.addr)
        .await
        .expect("connects");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("shakes");
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "api.test")
        .header("authorization", token(app))
        .body(Full::new(Bytes::from(body)))
        .expect("legal");
    let answer = sender.send_request(request).await.expect("answers");
    assert_eq!(answer.status(), StatusCode::OK);
    Frames {
        body: answer.into_body(),
        bytes: BytesMut::new(),
        _driver: tokio_util::task::AbortOnDropHandle::new(driver),
    }
}

pub(crate) async fn follow(app: &TestApp, seq: u64, change: &[u8]) -> Frames {
    let path = format!("{}?after={seq}&change={}", paths::FEED, hex::encode(change));
    send(app, Method::GET, &path, Vec::new()).await
}

pub(crate) async fn snapshot(app: &TestApp, held: &[u64]) -> Snapshot {
    let request = SnapshotRequest {
        group_sum: held.to_vec(),
    };
    let mut frames = send(app, Method::POST, paths::SNAPSHOT, request.encode_to_vec()).await;
    let Some(Kind::SnapshotBegin(begin)) = frames.next().await else {
        panic!("no begin")
    };
    let Some(Kind::Shared(mut shared)) = frames.next().await else {
        panic!("no shared tables")
    };
    let mut groups: Vec<(usize, Vec<Bytes>)> = Vec::new();
    let mut is_open = false;
    let links = loop {
        match frames.next().await.expect("an end") {
            Kind::Group(group) => {
                let number = group.group as usize;
                let entries = group.entry.into_iter();
                if is_open {
                    let (last, all) = groups.last_mut().expect("open");
                    assert_eq!(*last, number, "groups do not mix");
                    all.extend(entries);
                } else {
                    groups.push((number, entries.collect()));
                }
                is_open = !group.last;
            }
            Kind::Shared(more) => {
                assert!(groups.is_empty(), "small tables come first");
                shared.page.extend(more.page);
            }
            Kind::SnapshotEnd(end) => break end.links,
            other => panic!("{other:?} in a snapshot"),
        }
    };
    assert!(!is_open && frames.next().await.is_none());
    assert_eq!(begin.group_sum.len(), GROUPS);
    Snapshot {
        seq: begin.seq,
        change: begin.change,
        sums: begin.group_sum,
        shared,
        groups,
        links,
    }
}

/// A proxy with its table: the snapshot, then the feed from there.
pub(crate) async fn proxy(app: &TestApp) -> (Snapshot, Frames) {
    let snapshot = snapshot(app, &[]).await;
    let mut frames = follow(app, snapshot.seq, &snapshot.change).await;
    let hello = frames.hello().await;
    // Others may have written since.
    assert!(hello.resumed && hello.seq >= snapshot.seq, "{hello:?}");
    (snapshot, frames)
}

pub(crate) async fn add(app: &TestApp, slug: &str) -> i64 {
    app.link(json!({ "url": "https://example.com/", "custom": slug }))
        .await
}

pub(crate) fn slug(entry: &[u8]) -> String {
    String::from_utf8(Entry::parse(entry).expect("a legal entry").slug.to_vec()).expect("text")
}

/// Changes the database behind the server's back.
pub(crate) async fn meddle(app: &TestApp, sql: &'static str) {
    sqlx::any::install_default_drivers();
    let url = app.config.database_url.0.clone();
    let mut connection = sqlx::AnyConnection::connect(&url).await.expect("connects");
    sqlx::query(sql)
        .execute(&mut connection)
        .await
        .expect("runs");
    connection.close().await.expect("closes");
}

on_both_engines! {
    async fn a_link_is_pushed_at_commit_within_milliseconds(app) {
        let (_, mut frames) = proxy(&app).await;
        let mut waits = Vec::new();
        for n in 0..30 {
            let name = format!("quick-{n}");
            let id = add(&app, &name).await;
            let answered = Instant::now();
            let change = frames.change().await;
            waits.push(answered.elapsed());
            assert_eq!(slug(&change.upsert[0]), name);
            assert_eq!(Entry::parse(&change.upsert[0]).expect("legal").link, id as u64);
            assert!(change.committed_at_ms > 1_700_000_000_000);
        }
        waits.sort();
        println!("answer of the call to frame at the proxy: median {:?}, largest {:?}", waits[15], waits[29]);
        assert!(waits[15] < Duration::from_millis(50), "{waits:?}");
    }

    async fn changes_come_in_order_without_a_gap_to_many_proxies(app) {
        let mut proxies = Vec::new();
        for _ in 0..60 {
            proxies.push(proxy(&app).await);
        }
        let (from, ids) = (proxies[0].0.seq, 8 * 10);
        let writers = (0..8).map(|w| {
            let app = &app;
            async move {
                for n in 0..10 {
                    add(app, &format!("many-{w}-{n}")).await;
                }
            }
        });
        futures_util::future::join_all(writers).await;
        let mut first: Option<Vec<(u64, Bytes)>> = None;
        for (_, frames) in &mut proxies {
            let (mut seen, mut links) = (Vec::new(), 0);
            // Links that are made at once may share a change.
            while links < ids {
                let change = frames.change().await;
                links += change.upsert.len();
                seen.push((change.seq, change.change));
            }
            assert_eq!(links, ids);
            let seqs: Vec<u64> = seen.iter().map(|(seq, _)| *seq).collect();
            let last = from + seqs.len() as u64;
            assert_eq!(seqs, (from + 1..=last).collect::<Vec<_>>());
            assert_eq!(first.get_or_insert_with(|| seen.clone()), &seen);
        }
    }

    async fn a_proxy_resumes_where_it_was(app) {
        let (before, frames) = proxy(&app).await;
        drop(frames);
        let mut seen = vec![(before.seq, before.change.clone())];
        for n in 0..5 {
            add(&app, &format!("resume-{n}")).await;
        }
        let mut frames = follow(&app, before.seq, &before.change).await;
        assert!(frames.hello().await.resumed);
        for n in 0..5 {
            let change = frames.change().await;
            assert_eq!(slug(&change.upsert[0]), format!("resume-{n}"));
            seen.push((change.seq, change.change));
        }
        drop(frames);
        // From the middle, from the newest, and after a restart of the control plane.
        for (seq, change) in &seen[3..] {
            let mut frames = follow(&app, *seq, change).await;
            let hello = frames.hello().await;
            assert!(hello.resumed && hello.seq == before.seq + 5);
            if *seq < hello.seq {
                assert_eq!(frames.change().await.seq, seq + 1);
            }
        }
    }

    async fn an_idle_feed_has_a_pulse(app) {
        let (at, mut frames) = proxy(&app).await;
        for _ in 0..2 {
            let Some(Kind::Heartbeat(beat)) = frames.next().await else {
                panic!("no heartbeat")
            };
            assert!(beat.seq == at.seq && beat.time_ms > 1_700_000_000_000);
        }
    }

    async fn only_the_feed_token_opens(app) {
        let path = format!("{}?after=0&change={}", paths::FEED, "0".repeat(32));
        let key = format!("Bearer {}", crate::harness::ADMIN_KEY);
        let good = token(&app);
        let cut = good[..good.len() - 1].to_owned();
        for headers in [vec![], vec![("authorization", key.as_str())], vec![("authorization", "Bearer ")], vec![("authorization", cut.as_str())]] {
            let answer = app.call(Method::GET, &path, &headers, "").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
            let answer = app.call(Method::POST, paths::SNAPSHOT, &headers, "").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{headers:?}");
        }
    }

    async fn hostile_calls_are_refused_with_a_reason(app) {
        let good = token(&app);
        let headers = [("authorization", good.as_str())];
        for query in ["", "?after=1", "?after=x&change=00", "?after=-1&change=00112233445566778899aabbccddeeff", "?after=1&change=%ff%fe", "?after=1&after=2&change=00"] {
            let answer = app.call(Method::GET, &format!("{}{query}", paths::FEED), &headers, "").await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
            assert!(answer.json()["message"].as_str().expect("a reason").contains("change"));
        }
        let bodies = [vec![0xff; 50], b"{}".to_vec(), SnapshotRequest { group_sum: vec![1; 17] }.encode_to_vec()];
        for body in bodies {
            let answer = app.call(Method::POST, paths::SNAPSHOT, &headers, body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        }
        let answer = app.call(Method::POST, paths::SNAPSHOT, &headers, vec![0; 100_000]).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    async fn the_end_of_the_process_ends_the_streams(app) {
        let (_, one) = proxy(&app).await;
        let (_, two) = proxy(&app).await;
        let began = Instant::now();
        let (_, (), ()) = tokio::join!(app.stop(), one.end(), two.end());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
