//! Visits of click-limited links, handed out to proxies; and the keys of their cookies.

use control_plane::domain::link::Content;
use control_plane::domain::salt::Period;
use control_plane::store::entries::{self, Kind, Row};
use control_plane::store::feed::Write;
use http::Method;
use prost::Message as _;
use schemas::feed::{Lease, LeaseReply, LeaseRequest, paths};
use schemas::link::plan::{Beyond, ClickLimit, Plan};
use schemas::link::{Entry, Status};
use schemas::slug::Slug;

use crate::feed_writes::changes;
use crate::harness::{Answer, TestApp, on_both_engines};

fn token(app: &TestApp) -> String {
    let file = app.data.path().join(schemas::names::files::FEED_TOKEN);
    let token = std::fs::read_to_string(file).expect("a token");
    format!("Bearer {}", token.trim())
}

/// Adds or changes a link with this limit; 0: none.
async fn limit(app: &TestApp, id: Option<i64>, max: u64) -> i64 {
    let mut write = Write::begin(&app.running.store).await.expect("begins");
    let old = id;
    let id = match id {
        Some(id) => id,
        None => entries::reserve_ids(&mut write, 1).await.expect("an id"),
    };
    let slug = Slug::parse(&format!("limited-{id}")).expect("legal");
    let plan = Plan {
        click_limit: (max > 0).then_some(ClickLimit {
            max,
            beyond: Beyond::Expired,
        }),
        ..Plan::default()
    };
    let entry = Entry {
        domain: 1,
        slug: slug.as_str().as_bytes(),
        destination: b"https://e.test/",
        link: id.cast_unsigned(),
        workspace: 1,
        status: Status::Found,
        disabled: false,
        utm: false,
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: &plan.encode().expect("legal"),
    };
    let mut bytes = Vec::new();
    entry.encode(&mut bytes).expect("legal");
    let content = Content::default();
    let row = Row {
        id,
        kind: Kind::Link,
        workspace: 1,
        domain: 1,
        slug: &slug,
        content: &content,
        entry: &bytes,
    };
    match old {
        None => assert!(
            entries::insert(&mut write, &row, &format!("uuid-{id}"), 5)
                .await
                .expect("inserts")
        ),
        Some(_) => {
            // Nothing was written, and on SQLite this one would keep the next from writing.
            write.commit(5).await.expect("commits");
            sqlx::query("UPDATE links SET entry = $2 WHERE id = $1")
                .bind(id)
                .bind(bytes.clone())
                .execute(&mut raw(app).await)
                .await
                .expect("updated");
            return id;
        }
    }
    write.commit(5).await.expect("commits");
    id
}

/// A connection that may write, past everything that keeps the feed's books: enough for what leases read.
async fn raw(app: &TestApp) -> sqlx::AnyConnection {
    use sqlx::Connection as _;
    let connection = sqlx::AnyConnection::connect(&app.config.database_url.0).await;
    connection.expect("connects")
}

async fn call(app: &TestApp, token: &str, body: Vec<u8>) -> Answer {
    let headers = [
        ("authorization", token),
        ("content-type", "application/octet-stream"),
    ];
    app.call(Method::POST, paths::LEASES, &headers, body).await
}

async fn ask(app: &TestApp, proxy: u8, ask: &[i64], unused: &[(i64, u64)]) -> Vec<u64> {
    let request = LeaseRequest {
        proxy: vec![proxy; 16].into(),
        ask: ask.iter().map(|id| id.cast_unsigned()).collect(),
        unused: unused
            .iter()
            .map(|(id, visits)| Lease {
                link: id.cast_unsigned(),
                visits: *visits,
                max: 0,
            })
            .collect(),
    };
    let answer = call(app, &token(app), request.encode_to_vec()).await;
    assert_eq!(answer.status.as_u16(), 200);
    let reply = LeaseReply::decode(&*answer.body).expect("a reply");
    let links: Vec<_> = reply.lease.iter().map(|lease| lease.link).collect();
    assert_eq!(links, request.ask);
    reply.lease.iter().map(|lease| lease.visits).collect()
}

on_both_engines! {
    async fn racing_proxies_never_get_more_than_the_limit(app) {
        const LIMIT: u64 = 37;
        let link = limit(&app, None, LIMIT).await;
        let app = &app;
        let proxies = (0..8u8).map(|proxy| async move {
            let mut got = 0;
            for _ in 0..20 {
                got += ask(app, proxy, &[link], &[]).await[0];
            }
            got
        });
        let got: Vec<u64> = futures_util::future::join_all(proxies).await;
        assert_eq!(got.iter().sum::<u64>(), LIMIT, "{got:?}");
        assert_eq!(ask(app, 9, &[link], &[]).await, [0]);
        // What comes back unspent is handed out again, and never twice.
        assert!(ask(app, 9, &[], &[(link, 2)]).await.is_empty());
        assert_eq!(ask(app, 9, &[link], &[]).await, [1]);
        assert_eq!(ask(app, 9, &[link], &[]).await, [1]);
        assert_eq!(ask(app, 9, &[link], &[]).await, [0]);
    }

    async fn one_proxy_gets_half_of_what_remains_and_more_of_them_less(app) {
        let (a, b) = (limit(&app, None, 100).await, limit(&app, None, 1_000_000).await);
        assert_eq!(ask(&app, 1, &[a, b, a], &[]).await, [50, 1000, 0]);
        assert_eq!(ask(&app, 2, &[a], &[]).await, [12]);
    }

    async fn an_edit_of_the_limit_counts_at_once(app) {
        let link = limit(&app, None, 10).await;
        assert_eq!(ask(&app, 1, &[link], &[]).await, [5]);
        limit(&app, Some(link), 4).await;
        assert_eq!(ask(&app, 1, &[link], &[]).await, [0]);
        limit(&app, Some(link), 6).await;
        assert_eq!(ask(&app, 1, &[link], &[]).await, [1]);
        limit(&app, Some(link), 0).await;
        assert_eq!(ask(&app, 1, &[link], &[]).await, [0]);
    }

    async fn hostile_lease_requests_are_refused(app) {
        let link = limit(&app, None, 10).await;
        let token = token(&app);
        let request = |proxy: &[u8], count| LeaseRequest {
            proxy: proxy.to_vec().into(),
            ask: vec![link.cast_unsigned(); count],
            unused: vec![],
        }.encode_to_vec();
        call(&app, "Bearer no", request(&[1; 16], 1)).await.failed(401, "token");
        for bad in [vec![0xff; 40], vec![], request(&[1; 15], 1), request(&[1; 16], 1001)] {
            call(&app, &token, bad).await.failed(400, "lease request");
        }
        // Links that are not there, and returns of what was never handed out.
        assert_eq!(ask(&app, 1, &[0, -1, i64::MAX, 999_999], &[(-1, 5), (link, u64::MAX), (link, 1)]).await, [0, 0, 0, 0]);
        assert_eq!(ask(&app, 1, &[link], &[]).await, [5]);
    }

    async fn cookie_keys_are_made_at_the_start_and_ahead(app) {
        let first = changes(&app).await.remove(0).shared.expect("shared");
        let keys = first.cookie_keys.expect("keys").key;
        assert_eq!(keys.len(), 2);
        assert!(keys.iter().all(|k| k.key.len() == 32) && keys[0].key != keys[1].key);
        let salts = first.salts.expect("salts").salt;
        assert!(keys.iter().all(|k| salts.iter().all(|s| s.key != k.key)));
        let later = keys[1].starts_at_ms;
        control_plane::store::salts::rotate(&app.running.store, Period::Month, later).await.expect("rotates");
        let keys = changes(&app).await.pop().expect("a change").shared.expect("shared").cookie_keys.expect("keys").key;
        assert_eq!(keys.len(), 3);
        assert_eq!(keys[1].ends_at_ms, keys[2].starts_at_ms);
    }
}
