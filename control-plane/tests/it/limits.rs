//! What a plan limits: each limit to its last unit and one beyond, in turn and by many calls at once; and what a plan does
//! not include. Clicks a month need the real engine and are in `plans.rs`.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::files::{form, send};
use crate::harness::{Answer, TestApp, on_both_engines};
use crate::storage::strays;
use crate::users::add_user;

/// Somebody with a workspace on a plan of its own.
struct Customer {
    key: String,
    plan: i64,
}

impl Customer {
    /// On a plan with these limits; any number of calls a minute unless they say so.
    async fn new(app: &TestApp, plan: Value) -> Self {
        let mut body = json!({"name": "small", "rate": 0});
        for (name, value) in plan.as_object().expect("limits") {
            body[name] = value.clone();
        }
        let plan = app.post("/api/plan/add", body).await.ok()["id"]
            .as_i64()
            .expect("id");
        let (user, key) = add_user(app, "ana").await;
        app.put(&format!("/api/plan/{plan}/user/{user}"), json!({}))
            .await
            .ok();
        Self { key, plan }
    }

    async fn post(&self, app: &TestApp, path: &str, body: Value) -> Answer {
        app.with_key(&self.key, Method::POST, path, Some(body))
            .await
    }

    async fn used(&self, app: &TestApp, limit: &str) -> Value {
        app.with_key(&self.key, Method::GET, "/api/usage", None)
            .await
            .ok()["data"][limit]
            .clone()
    }

    /// `limit` is 3 and `path` makes one of what it counts, of which `there` are there: goes to the limit, one beyond it,
    /// and, with one more in the plan, there by many calls at once.
    async fn meets(
        &self,
        app: &TestApp,
        limit: &str,
        there: i64,
        path: &str,
        body: impl Fn(i64) -> Value,
    ) {
        let refusal = |most: i64| {
            let unit = if limit == "qrcodes" {
                "QR codes"
            } else {
                limit
            };
            format!(
                "the plan 'small' allows {most} {unit} and this workspace has {most}: remove some or change the plan"
            )
        };
        for n in there..3 {
            self.post(app, path, body(n)).await.ok();
        }
        assert_eq!(self.used(app, limit).await, json!({"used": 3, "limit": 3}));
        self.post(app, path, body(3)).await.refused(&refusal(3));
        app.put(
            &format!("/api/plan/{}/update", self.plan),
            json!({limit: 5}),
        )
        .await
        .ok();
        let answers = join_all((0..7).map(|n| self.post(app, path, body(10 + n)))).await;
        let (done, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|a| a.json()["error"] == 0);
        assert_eq!((done.len(), refused.len()), (2, 5), "{limit}: {answers:?}");
        for answer in refused {
            answer.refused(&refusal(5));
        }
        assert_eq!(self.used(app, limit).await, json!({"used": 5, "limit": 5}));
        // A smaller plan takes nothing away, and nothing more is made.
        app.put(
            &format!("/api/plan/{}/update", self.plan),
            json!({limit: 1}),
        )
        .await
        .ok();
        self.post(app, path, body(20)).await.refused(&format!(
            "allows 1 {} and this workspace has 5",
            if limit == "qrcodes" {
                "QR codes"
            } else {
                limit
            }
        ));
        assert_eq!(self.used(app, limit).await, json!({"used": 5, "limit": 1}));
    }
}

on_both_engines! {
    async fn links_end_at_the_limit(app) {
        let ana = Customer::new(&app, json!({"links": 3})).await;
        let link = |n: i64| json!({"url": format!("https://e.test/{n}")});
        // Many in one call are counted together: none of them is made.
        let many = json!({"urls": [link(0), link(1), link(2), link(3)]});
        ana.post(&app, "/api/urls/bulk", many).await.refused("allows 3 links and this workspace has 0");
        assert_eq!(ana.used(&app, "links").await["used"], 0);
        ana.post(&app, "/api/urls/bulk", json!({"urls": [link(0), link(1)]})).await.ok();
        ana.meets(&app, "links", 2, "/api/url/add", link).await;
    }

    async fn qr_codes_end_at_the_limit(app) {
        let ana = Customer::new(&app, json!({"qrcodes": 3})).await;
        ana.meets(&app, "qrcodes", 0, "/api/qr/add", |n| json!({"type": "text", "data": format!("text {n}"), "size": 100})).await;
        // They are no links.
        assert_eq!(ana.used(&app, "links").await, json!({"used": 0, "limit": null}));
    }

    async fn domains_end_at_the_limit(app) {
        let ana = Customer::new(&app, json!({"domains": 3})).await;
        ana.meets(&app, "domains", 0, "/api/domain/add", |n| json!({"domain": format!("https://d{n}.test")})).await;
        // One that was deleted makes room, and needs room to come back.
        app.put(&format!("/api/plan/{}/update", ana.plan), json!({"domains": 5})).await.ok();
        let domains = app.with_key(&ana.key, Method::GET, "/api/domains", None).await.ok();
        let first = &domains["data"]["domains"][4];
        assert_eq!(first["domain"], "https://d0.test");
        app.with_key(&ana.key, Method::DELETE, &format!("/api/domain/{}/delete", first["id"]), None).await.ok();
        ana.post(&app, "/api/domain/add", json!({"domain": "https://new.test"})).await.ok();
        ana.post(&app, "/api/domain/add", json!({"domain": "https://d0.test"})).await.refused("allows 5 domains and this workspace has 5");
    }

    async fn members_and_invitations_end_at_the_limit(app) {
        let ana = Customer::new(&app, json!({"members": 3})).await;
        // An open invitation holds its place.
        ana.meets(&app, "members", 1, "/api/member/invite", |n| json!({"email": format!("m{n}@e.test"), "role": "viewer"})).await;
        app.put(&format!("/api/plan/{}/update", ana.plan), json!({"members": 6})).await.ok();
        let calls = (0..4).map(|n| ana.post(&app, "/api/member/add", json!({"username": format!("n{n}"), "email": format!("n{n}@e.test"), "password": "correct horse", "role": "editor"})));
        let answers = join_all(calls).await;
        assert_eq!(answers.iter().filter(|a| a.json()["error"] == 0).count(), 1, "{answers:?}");
        // One that nobody took in its week holds none.
        app.config.clock.advance_ms(7 * 86_400_000);
        assert_eq!(ana.used(&app, "members").await, json!({"used": 2, "limit": 6}));
    }

    async fn calls_end_at_the_rate_of_the_plan(app) {
        let ana = Customer::new(&app, json!({"rate": 5})).await;
        let call = async || app.with_key(&ana.key, Method::GET, "/api/urls", None).await;
        for left in (0..5).rev() {
            assert_eq!(call().await.number("x-ratelimit-remaining"), left);
        }
        let refused = call().await;
        assert_eq!(refused.status, 429);
        assert!(refused.number("retry-after") > 0);
        app.config.clock.advance_ms(60_000);
        let answers = join_all((0..9).map(|_| call())).await;
        assert_eq!(answers.iter().filter(|a| a.status == 200).count(), 5);
        // A new key begins no new allowance beyond the plan's, and another plan holds at once.
        app.put(&format!("/api/plan/{}/update", ana.plan), json!({"rate": 7})).await.ok();
        app.config.clock.advance_ms(60_000);
        assert_eq!(call().await.number("x-ratelimit-limit"), 7);
    }

    async fn bytes_of_files_end_at_the_limit(app) {
        let ana = Customer::new(&app, json!({"filebytes": 100})).await;
        let bearer = format!("Bearer {}", ana.key);
        let upload = async |name: usize, size: usize| {
            let path = format!("/api/files/upload/f{name}.bin");
            let byte = u8::try_from(name).expect("a byte");
            app.call(Method::POST, &path, &[("authorization", &bearer)], vec![byte; size]).await
        };
        let refusal = |used: i64| format!("the plan 'small' allows 100 bytes of files and this workspace has {used}");
        upload(1, 101).await.refused(&refusal(0));
        let taken = join_all((2..9).map(|name| upload(name, 30))).await;
        let (done, refused): (Vec<_>, Vec<_>) = taken.iter().partition(|a| a.json()["error"] == 0);
        assert_eq!((done.len(), refused.len()), (3, 4), "{taken:?}");
        for answer in refused {
            answer.refused("the plan 'small' allows 100 bytes of files");
        }
        upload(10, 11).await.refused(&refusal(90));
        upload(11, 10).await.ok();
        upload(12, 1).await.refused(&refusal(100));
        assert_eq!(ana.used(&app, "filebytes").await, json!({"used": 100, "limit": 100}));
    }

    async fn one_file_is_no_larger_than_the_plan_says_however_it_comes(app) {
        let ana = Customer::new(&app, json!({"filesize": 1000, "filebytes": 5000})).await;
        let kind = "multipart/form-data; boundary=boundary7";
        let refusal = |most: i64| format!("the plan 'small' allows {most} bytes a file: send a smaller file or change the plan");
        let call = async |method: Method, path: &str, kind: &str, body: Vec<u8>| send(&app, &ana.key, (method, path), kind, body).await;
        let file = |size: usize| form(&[("file", Some("a.bin"), &vec![7; size])]);
        let raw = "/api/files/upload/a.bin";
        // More than a form may hold beside its file is refused before it is read, less when the file has too much.
        for size in [1001, 200_000] {
            call(Method::POST, raw, "", vec![1; size]).await.refused(&refusal(1000));
            call(Method::POST, "/api/file/upload", kind, file(size)).await.refused(&refusal(1000));
        }
        let first = call(Method::POST, raw, "", vec![1; 1000]).await.ok()["id"].clone();
        call(Method::POST, "/api/file/upload", kind, file(1000)).await.ok();
        let path = format!("/api/file/{first}");
        for size in [1001, 200_000] {
            call(Method::PATCH, &path, kind, file(size)).await.refused(&refusal(1000));
        }
        call(Method::PATCH, &path, kind, file(999)).await.ok();
        assert_eq!(ana.used(&app, "filesize").await, 1000);
        assert_eq!(ana.used(&app, "filebytes").await, json!({"used": 1999, "limit": 5000}));
        // A smaller plan takes nothing away: what is there can be named anew, and swapped for what the plan allows.
        app.put(&format!("/api/plan/{}/update", ana.plan), json!({"filesize": "500"})).await.ok();
        call(Method::PATCH, &path, kind, form(&[("name", None, b"other")])).await.ok();
        call(Method::PATCH, &path, kind, file(501)).await.refused(&refusal(500));
        call(Method::PATCH, &path, kind, file(500)).await.ok();
        // The smaller of two limits is named; without any the server's own is left.
        app.put(&format!("/api/plan/{}/update", ana.plan), json!({"filesize": 4000, "filebytes": 1600})).await.ok();
        call(Method::POST, raw, "", vec![3; 3000]).await.refused("allows 1600 bytes of files");
        app.put(&format!("/api/plan/{}/update", ana.plan), json!({"filesize": null, "filebytes": null})).await.ok();
        call(Method::POST, raw, "", vec![3; 200_000]).await.ok();
        assert_eq!(ana.used(&app, "filesize").await, Value::Null);
        assert_eq!(strays(&app).await, 0);
        let bad = app.put(&format!("/api/plan/{}/update", ana.plan), json!({"filesize": -1})).await;
        bad.refused("filesize must be a whole number");
    }

    async fn what_a_plan_does_not_include_is_refused_by_name_and_what_is_there_stays(app) {
        let ana = Customer::new(&app, json!({})).await;
        let only = async |features: &str| {
            app.put(&format!("/api/plan/{}/update", ana.plan), json!({"features": features})).await.ok();
        };
        let url = "https://e.test/";
        let all = [
            ("password", "url", json!({"url": url, "password": "secret-1"})),
            ("rules", "url", json!({"url": url, "rules": [{"conditions": [{"type": "country", "values": ["CA"]}], "url": url}]})),
            ("rules", "url", json!({"url": url, "geotarget": [{"location": "canada", "link": url}]})),
            ("rules", "url", json!({"url": url, "devicetarget": [{"device": "iphone", "link": url}]})),
            ("rules", "url", json!({"url": url, "languagetarget": [{"language": "de", "link": url}]})),
            ("variants", "url", json!({"url": url, "variants": [{"name": "a", "url": url, "weight": 1}, {"name": "b", "url": url, "weight": 1}]})),
            ("clicklimit", "url", json!({"url": url, "max_clicks": 5})),
            ("deeplink", "url", json!({"url": url, "deeplink": {"auto": true}})),
            ("pixels", "pixel", json!({"type": "bing", "name": "x", "tag": "1"})),
            ("splash", "splash", json!({"name": "x"})),
            ("overlay", "overlay", json!({"type": "message", "name": "x", "message": "y"})),
            ("qr", "qr", json!({"type": "text", "data": "x", "size": 100})),
            ("campaigns", "campaign", json!({"name": "x"})),
            ("channels", "channel", json!({"name": "x"})),
            ("bio", "bio", json!({"title": "x"})),
        ];
        for (feature, what, body) in all {
            let path = format!("/api/{what}/add");
            let others: Vec<&str> = ["password", "rules", "variants", "clicklimit", "deeplink", "pixels", "splash", "overlay", "qr", "campaigns", "channels", "bio", "files"]
                .into_iter().filter(|other| *other != feature).collect();
            only(&others.join(",")).await;
            ana.post(&app, &path, body.clone()).await.refused(&format!("the plan 'small' does not include '{feature}': change the plan"));
            if what == "url" {
                // Nor by a change of a link, nor with many others.
                let plain = ana.post(&app, "/api/url/add", json!({"url": url})).await.ok()["id"].clone();
                let change = app.with_key(&ana.key, Method::PUT, &format!("/api/url/{plain}/update"), Some(body.clone())).await;
                change.refused(&format!("does not include '{feature}'"));
                ana.post(&app, "/api/urls/bulk", json!({"urls": [{"url": url}, body.clone()]})).await.refused(&format!("does not include '{feature}'"));
            }
            only(feature).await;
            let made = ana.post(&app, &path, body.clone()).await.ok()["id"].clone();
            only("").await;
            if what == "url" {
                // What it has it keeps, whatever else of it changes.
                let path = format!("/api/url/{made}/update");
                app.with_key(&ana.key, Method::PUT, &path, Some(json!({"url": "https://e.test/2", "title": "t"}))).await.ok();
            }
        }
    }
}
