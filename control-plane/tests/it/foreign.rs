//! Every route of the OpenAPI document with keys of people it is not for: a stranger, who has a workspace of its own, a
//! viewer and an editor. Nothing is shown that is not theirs, and nothing changes: the victim's whole view is compared
//! before and after. Then its own people make the same calls, which must succeed: so a refusal was one of the stranger.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use schemas::feed::paths;
use serde_json::{Value, json};

use self::table::{Call, calls};
use crate::harness::{ADMIN_KEY, Answer, TestApp, on_both_engines};
use crate::members::add_member_of;
use crate::oauth;
use crate::roles::{EDITOR, May, OWNER, VIEWER, allowed};
use crate::users::add_user;

mod answers;
mod others;
pub(crate) mod table;

/// Stands in every text of the victim, and in none of anybody else's.
pub(crate) const MARK: &str = "zq7v";

/// Ids of the victim's things, by kind.
pub(crate) struct Ids(BTreeMap<&'static str, String>);

impl Ids {
    #[track_caller]
    pub(crate) fn of(&self, kind: &str) -> &str {
        self.0.get(kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    #[track_caller]
    fn number(&self, kind: &str) -> i64 {
        self.of(kind).parse().expect("a number")
    }
}

/// Workspace of somebody who has one of everything.
pub(crate) struct Victim {
    pub(crate) key: String,
    pub(crate) ids: Ids,
}

async fn send(app: &TestApp, key: &str, method: Method, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {key}");
    let text = match body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        json => json.to_string(),
    };
    let kind = match body {
        Value::String(text) if text.starts_with("--form") => "multipart/form-data; boundary=form",
        Value::String(_) => "text/csv",
        _ => "application/json",
    };
    let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
    app.call(method, path, &headers, text).await
}

impl Victim {
    pub(crate) async fn new(app: &TestApp) -> Self {
        app.put("/api/plan/1/update", json!({"rate": 0})).await.ok();
        let (user, key) = add_user(app, &format!("{MARK}-ana")).await;
        let mut ids = BTreeMap::from([("user", user.to_string())]);
        let name = |what: &str| format!("{MARK}-{what}");
        // Kind, what it is added by, and with what.
        for (kind, route, body) in [
            (
                "link",
                "url",
                json!({"url": format!("https://{MARK}.test/secret"), "custom": name("link"), "title": name("title")}),
            ),
            (
                "qr",
                "qr",
                json!({"type": "link", "data": format!("https://{MARK}.test/"), "name": name("code")}),
            ),
            (
                "campaign",
                "campaign",
                json!({"name": name("campaign"), "slug": name("campaign"), "public": true}),
            ),
            ("channel", "channel", json!({"name": name("channel")})),
            ("folder", "folder", json!({"name": name("folder")})),
            ("tag", "tag", json!({"name": name("tag")})),
            (
                "domain",
                "domain",
                json!({"domain": format!("https://{MARK}.test")}),
            ),
            (
                "pixel",
                "pixel",
                json!({"type": "bing", "name": name("pixel"), "tag": MARK}),
            ),
            ("splash", "splash", json!({"name": name("splash")})),
            (
                "overlay",
                "overlay",
                json!({"type": "contact", "name": name("overlay"), "message": "Ask", "email": format!("{MARK}@e.test")}),
            ),
            (
                "bio",
                "bio",
                json!({"title": name("bio"), "custom": name("bio")}),
            ),
            ("client", "oauth/client", json!({"name": name("app")})),
        ] {
            let added = app
                .with_key(&key, Method::POST, &format!("/api/{route}/add"), Some(body))
                .await
                .ok();
            ids.insert(kind, added["id"].to_string());
        }
        let call = async |method: Method, path: String, body: Value| {
            send(app, &key, method, &path, &body).await.ok()
        };
        let file = format!("/api/files/upload/{}.txt", name("file"));
        let file = call(Method::POST, file, json!(format!("{MARK} in a file"))).await;
        ids.insert("file", file["id"].to_string());
        let public =
            json!({"name": name("public"), "redirect_uris": [oauth::CALLBACK], "public": true});
        let public = call(Method::POST, "/api/oauth/client/add".to_owned(), public).await;
        oauth::allow(
            app,
            &name("ana"),
            public["client_id"].as_str().expect("text"),
        )
        .await;
        let proof = call(
            Method::GET,
            format!("/api/domain/{}", ids["domain"]),
            json!(null),
        )
        .await["data"]["proof"]
            .clone();
        app.txt(
            proof["name"].as_str().expect("text"),
            proof["value"].as_str().expect("text"),
        );
        call(
            Method::POST,
            format!("/api/domain/{}/check", ids["domain"]),
            json!({}),
        )
        .await;
        // Somebody fills in the form.
        let token =
            std::fs::read_to_string(app.data.path().join(schemas::names::files::FEED_TOKEN))
                .expect("a token");
        let bearer = format!("Bearer {}", token.trim());
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-signpost-link", &ids["link"]),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let note = format!(
            "overlay={}&name={MARK}&email=v%40e.test&message={MARK}",
            ids["overlay"]
        );
        assert_eq!(
            app.call(
                Method::POST,
                &format!("{}/form", paths::VISITOR),
                &headers,
                note
            )
            .await
            .status,
            200
        );
        let bio = format!("/api/bio/{}", ids["bio"]);
        let form = json!({"type": "contact-form", "title": name("form")});
        let form = call(Method::POST, format!("{bio}/blocks"), form).await;
        ids.insert("block", form["data"]["id"].to_string());
        let link = call(Method::GET, bio.clone(), json!(null)).await["data"]["link_id"].to_string();
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-signpost-link", link.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let note = format!(
            "bio-block={}&name={MARK}&email=v%40e.test&message={MARK}",
            ids["block"]
        );
        let path = format!("{}/form", paths::VISITOR);
        let sent = app.call(Method::POST, &path, &headers, note).await;
        assert_eq!(sent.status, 200);
        let entries = call(Method::GET, format!("{bio}/entries"), json!(null)).await;
        ids.insert("entry", entries["data"]["entries"][0]["id"].to_string());
        let notes = call(
            Method::GET,
            format!("/api/overlay/{}/messages", ids["overlay"]),
            json!(null),
        )
        .await;
        ids.insert("message", notes["data"]["messages"][0]["id"].to_string());
        let keys = call(Method::GET, "/api/keys".to_owned(), json!(null)).await;
        ids.insert("key", keys["data"]["keys"][0]["id"].to_string());
        let apps = call(Method::GET, "/api/oauth/apps".to_owned(), json!(null)).await;
        ids.insert("app", apps["data"][0]["id"].to_string());
        let (member, _) = add_member_of(app, &key, &name("member"), "viewer").await;
        ids.insert("member", member.to_string());
        let invited = call(
            Method::POST,
            "/api/member/invite".to_owned(),
            json!({"email": format!("{MARK}-guest@e.test"), "role": "viewer"}),
        )
        .await;
        ids.insert("invitation", invited["id"].to_string());
        let plan = app
            .post("/api/plan/add", json!({"name": name("plan")}))
            .await
            .ok();
        ids.insert("plan", plan["id"].to_string());
        Self { key, ids: Ids(ids) }
    }

    /// Everything that its owner sees, what an administrator sees of it, and what proxies have of it.
    pub(crate) async fn view(&self, app: &TestApp) -> BTreeMap<String, String> {
        let mut seen = BTreeMap::new();
        let mut see = async |key: &str, path: &str| {
            let answer = send(app, key, Method::GET, path, &json!(null)).await;
            seen.insert(
                path.to_owned(),
                format!("{} {:?}", answer.status, answer.body),
            );
        };
        for call in calls(&self.ids) {
            let administers = call.template().starts_with("/api/user")
                || call.template().starts_with("/api/plan");
            // A URL that signs in is another each time, and an export names its own time.
            if call.method() == Method::GET && !administers {
                see(&self.key, &call.path).await;
            }
        }
        see(ADMIN_KEY, &format!("/api/user/{}", self.ids.of("user"))).await;
        let plans = app.get("/api/plans").await.ok();
        let plan = plans["data"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|plan| plan["id"] == self.ids.number("plan"));
        seen.insert("plan".to_owned(), format!("{plan:?}"));
        let rows: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(
            "SELECT l.id, l.slug, l.entry FROM links l JOIN users u ON u.workspace_id = l.workspace_id WHERE u.id = $1 ORDER BY l.id",
        )
        .bind(self.ids.number("user"))
        .fetch_all(app.running.store.readers())
        .await
        .expect("rows");
        assert!(rows.len() > 3);
        seen.insert("entries".to_owned(), format!("{rows:?}"));
        seen
    }
}

/// The class of what is called, by the words of the table of roles.
fn passes(may: May, call: &Call) -> bool {
    allowed(may, &call.method(), call.template())
}

/// Whether it is about the caller's own sign-in or keys, of which every member has some.
fn is_personal(call: &Call) -> bool {
    let nothing = May {
        account: true,
        keys: true,
        ..May::NOTHING
    };
    passes(nothing, call)
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// Whether it did what it was asked. Nothing counts clicks here, so statistics of what is there say so.
fn is_done(answer: &Answer) -> bool {
    let is_json = answer.header("content-type") == "application/json";
    match answer.status.as_u16() {
        200 => !is_json || answer.json()["error"] == 0,
        status => status == 503,
    }
}

#[track_caller]
fn is_refused(answer: &Answer, call: &Call, who: &str) {
    let shown = format!(
        "{who}: {} {} {}: {}",
        call.route,
        call.path,
        answer.status,
        text(answer)
    );
    assert!(!is_done(answer), "{shown}");
    assert!(matches!(answer.status.as_u16(), 200 | 403), "{shown}");
    if answer.status == 200
        && call.path.chars().any(|c| c.is_ascii_digit())
        && !call.route.ends_with("/add")
    {
        assert!(text(answer).contains("does not exist"), "{shown}");
    }
}

#[track_caller]
pub(crate) fn same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>, who: &str) {
    assert_eq!(before.len(), after.len());
    for (path, seen) in before {
        assert_eq!(Some(seen), after.get(path), "{who} changed {path}");
    }
}

on_both_engines! {
    async fn no_route_is_left_out_of_the_walk(app) {
        let ids = Victim::new(&app).await.ids;
        let document = app.call(Method::GET, "/api/openapi.json", &[], "").await.json();
        let mut routes = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for method in methods.as_object().expect("methods").keys() {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let walked: BTreeSet<String> = calls(&ids).iter().map(|call| call.route.to_owned()).collect();
        let missing: Vec<_> = routes.difference(&walked).collect();
        assert!(missing.is_empty(), "the walk must learn of these, see foreign/table.rs: {missing:#?}");
        let gone: Vec<_> = walked.difference(&routes).collect();
        assert!(gone.is_empty(), "these are not in the document: {gone:#?}");
    }

    async fn a_stranger_sees_and_changes_nothing(app) {
        let victim = Victim::new(&app).await;
        let (_, stranger) = add_user(&app, "mallory").await;
        let before = victim.view(&app).await;
        assert!(before.values().filter(|seen| seen.contains(MARK)).count() > 20, "{before:#?}");
        for call in calls(&victim.ids) {
            let answer = send(&app, &stranger, call.method(), &call.path, &call.body).await;
            if call.names {
                is_refused(&answer, &call, "a stranger");
            } else {
                assert!(is_done(&answer), "{} {}: {}", call.route, call.path, text(&answer));
            }
            // Its own words come back to it in an error, and nothing else of the victim.
            let asked = call.body.to_string() + &call.path;
            assert!(asked.contains(MARK) || !text(&answer).contains(MARK), "{} {}: {}", call.route, call.path, text(&answer));
            if call.method() == Method::GET && !call.names {
                let shown = text(&answer);
                assert!(!shown.contains(&format!("{MARK}-title")) && !shown.contains("/secret"), "{}: {shown}", call.path);
            }
        }
        same(&before, &victim.view(&app).await, "a stranger");
        // What anybody else has is not to be had by an address or a name either.
        send(&app, &stranger, Method::PUT, "/api/account/update", &json!({"email": format!("{MARK}-ana@e.test")})).await.refused("belongs to another account");
        send(&app, &stranger, Method::POST, "/api/url/add", &json!({"url": "https://e.test/", "custom": format!("{MARK}-link")})).await.refused("already in use");
        send(&app, &stranger, Method::POST, "/api/domain/add", &json!({"domain": format!("https://{MARK}.test")})).await.refused("");
        same(&before, &victim.view(&app).await, "a stranger");
    }

    async fn a_viewer_reads_and_changes_nothing(app) {
        let victim = Victim::new(&app).await;
        let (_, viewer) = add_member_of(&app, &victim.key, "viewer", "viewer").await;
        let before = victim.view(&app).await;
        for call in calls(&victim.ids) {
            let personal = is_personal(&call);
            // Its own keys and sign-in it may change, those of others are not there.
            if personal && !call.names {
                continue;
            }
            let answer = send(&app, &viewer, call.method(), &call.path, &call.body).await;
            if personal {
                is_refused(&answer, &call, "a viewer");
            } else {
                let passed = passes(VIEWER, &call);
                assert_eq!(answer.status == 403, !passed, "{} {}: {}", call.route, call.path, text(&answer));
                assert_eq!(is_done(&answer), passed, "{} {}: {}", call.route, call.path, text(&answer));
            }
        }
        same(&before, &victim.view(&app).await, "a viewer");
    }

    async fn an_editor_an_owner_and_an_administrator_do_each_their_part(app) {
        let victim = Victim::new(&app).await;
        let (_, editor) = add_member_of(&app, &victim.key, "editor", "editor").await;
        let all = calls(&victim.ids);
        let is_links = |call: &Call| passes(May { read: true, write: true, ..May::NOTHING }, call);
        let before = victim.view(&app).await;
        // What is not its part first, while everything is there.
        for call in all.iter().filter(|call| !is_links(call)) {
            if is_personal(call) && !call.names {
                continue;
            }
            let answer = send(&app, &editor, call.method(), &call.path, &call.body).await;
            is_refused(&answer, call, "an editor");
            assert_eq!(answer.status == 403, !passes(EDITOR, call), "{} {}: {}", call.route, call.path, text(&answer));
        }
        same(&before, &victim.view(&app).await, "an editor");
        for call in &all {
            let (who, key) = if is_links(call) {
                ("an editor", editor.as_str())
            } else if passes(OWNER, call) {
                ("an owner", victim.key.as_str())
            } else {
                ("an administrator", ADMIN_KEY)
            };
            // It would end itself.
            if call.template() == "/api/key/{id}/rotate" || call.template() == "/api/key/{id}/delete" {
                continue;
            }
            let answer = send(&app, key, call.method(), &call.path, &call.body).await;
            assert!(is_done(&answer), "{who}: {} {}: {} {}", call.route, call.path, answer.status, text(&answer));
        }
    }
}
