//! The walk of [`super`] in the three other dialects, whose routes are fewer: a stranger, who has a workspace of its own, and
//! then a viewer and an owner of the victim's make every call of each dialect's document.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Value, json};

use super::MARK;
use crate::harness::{Answer, TestApp, on_both_engines};
use crate::members::add_member_of;
use crate::users::add_user;

/// What tells dialects apart here.
pub(super) struct Dialect {
    pub(super) base: &'static str,
    /// Statuses with which what is not the caller's is refused: in a path, or in a body.
    refusals: &'static [u16],
    pub(super) calls: fn(&Ids) -> Vec<Call>,
}

pub(super) const DIALECTS: [Dialect; 3] = [
    Dialect {
        base: "/api/v1",
        refusals: &[404, 422],
        calls: minilnk,
    },
    Dialect {
        base: "/api/v2",
        refusals: &[404, 422],
        calls: urlr,
    },
    Dialect {
        base: "/v1",
        refusals: &[404, 400],
        calls: smartlinks,
    },
];

/// Ids of the victim's things, by dialect and kind.
pub(super) struct Ids(BTreeMap<&'static str, String>);

impl Ids {
    #[track_caller]
    fn of(&self, kind: &str) -> &str {
        self.0.get(kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    #[track_caller]
    fn number(&self, kind: &str) -> i64 {
        self.of(kind).parse().expect("a number")
    }
}

/// A call, below its dialect's base.
pub(super) struct Call {
    /// Method and path as the document has them.
    pub(super) route: &'static str,
    path: String,
    body: Value,
    /// Whether it names something of the victim.
    names: bool,
}

impl Call {
    fn method(&self) -> Method {
        let (method, _) = self.route.split_once(' ').expect("a method");
        method.parse().expect("a method")
    }
}

/// A call of one thing of the victim.
fn of(route: &'static str, id: &str, body: Value) -> Call {
    let (_, template) = route.split_once(' ').expect("a path");
    let (start, _) = template.split_once('{').expect("a parameter");
    let (_, end) = template.split_once('}').expect("a parameter");
    Call {
        route,
        path: format!("{start}{id}{end}"),
        body,
        names: true,
    }
}

/// A call that names something of the victim in its query or body.
fn naming(route: &'static str, query: &str, body: Value) -> Call {
    Call {
        names: true,
        ..own(route, query, body)
    }
}

/// A call that names nothing.
fn own(route: &'static str, query: &str, body: Value) -> Call {
    let (_, path) = route.split_once(' ').expect("a path");
    Call {
        route,
        path: format!("{path}{query}"),
        body,
        names: false,
    }
}

const URL: &str = "https://e.test/";

fn minilnk(ids: &Ids) -> Vec<Call> {
    let (link, code) = (ids.of("number"), ids.of("code"));
    let new_code = || json!({"name": "n", "type": "text", "content": "x", "error_correction": "L"});
    let mut linked = new_code();
    linked["link_id"] = json!(ids.number("number"));
    vec![
        own("GET /links", "", json!(null)),
        own("GET /links", &format!("?search={MARK}"), json!(null)),
        own("POST /links", "", json!({"original_url": URL})),
        of("GET /links/{id}", link, json!(null)),
        of("GET /links/{id}/analytics", link, json!(null)),
        of(
            "PUT /links/{id}",
            link,
            json!({"original_url": "https://changed.test/"}),
        ),
        own("GET /qrcodes", "", json!(null)),
        own("GET /qrcodes", &format!("?search={MARK}"), json!(null)),
        own("POST /qrcodes", "", new_code()),
        naming("POST /qrcodes", "", linked),
        of("GET /qrcodes/{id}", code, json!(null)),
        of("DELETE /qrcodes/{id}", code, json!(null)),
        of("DELETE /links/{id}", link, json!(null)),
    ]
}

fn urlr(ids: &Ids) -> Vec<Call> {
    let (link, workspace) = (ids.of("link"), ids.of("workspace"));
    let (folder, domain, tag) = (ids.of("folder"), ids.of("domain"), ids.of("tag"));
    let in_workspace = format!("?workspace_id={workspace}");
    vec![
        of("GET /links/{link_id}", link, json!(null)),
        of("PATCH /links/{link_id}", link, json!({"label": "changed"})),
        own("GET /links", "", json!(null)),
        naming("GET /links", &in_workspace, json!(null)),
        naming("GET /links", &format!("?folder_id={folder}"), json!(null)),
        naming("GET /links", &format!("?tag_id={tag}"), json!(null)),
        own("POST /links", "", json!({"url": URL})),
        naming(
            "POST /links",
            "",
            json!({"url": URL, "workspace_id": workspace}),
        ),
        naming("POST /links", "", json!({"url": URL, "folder_id": folder})),
        naming("POST /links", "", json!({"url": URL, "tags": [tag]})),
        naming(
            "POST /links",
            "",
            json!({"url": URL, "domain": format!("{MARK}.test")}),
        ),
        own("POST /qrcodes", "", json!({"url": URL})),
        naming("POST /qrcodes", "", json!({"link_id": link})),
        naming(
            "POST /qrcodes",
            "",
            json!({"url": URL, "workspace_id": workspace}),
        ),
        naming("GET /statistics", &format!("?link_id={link}"), json!(null)),
        of("GET /workspaces/{workspace_id}", workspace, json!(null)),
        own("GET /workspaces", "", json!(null)),
        of("GET /folders/{folder_id}", folder, json!(null)),
        own("GET /folders", "", json!(null)),
        naming("GET /folders", &in_workspace, json!(null)),
        own("POST /folders", "", json!({"name": "another"})),
        naming(
            "POST /folders",
            "",
            json!({"name": "x", "workspace_id": workspace}),
        ),
        naming(
            "POST /folders",
            "",
            json!({"name": "y", "parent_id": folder}),
        ),
        of("GET /domains/{domain_id}", domain, json!(null)),
        own("GET /domains", "", json!(null)),
        own("POST /domains", "", json!({"domain": "another.test"})),
        own("GET /tags", "", json!(null)),
        naming("GET /tags", &in_workspace, json!(null)),
        own("POST /tags", "", json!({"name": "another"})),
        naming(
            "POST /tags",
            "",
            json!({"name": "x", "workspace_id": workspace}),
        ),
        of("DELETE /links/{link_id}", link, json!(null)),
    ]
}

fn smartlinks(ids: &Ids) -> Vec<Call> {
    let link = ids.of("link_");
    vec![
        own("GET /links", "", json!(null)),
        own("POST /links", "", json!({"url": URL})),
        of("GET /links/{id}", link, json!(null)),
        of("PATCH /links/{id}", link, json!({"title": "changed"})),
        of("GET /analytics/{id}", link, json!(null)),
        naming("POST /qr-codes", "", json!({"linkId": link})),
        of("DELETE /links/{id}", link, json!(null)),
    ]
}

pub(super) async fn send(app: &TestApp, key: &str, base: &str, call: &Call) -> Answer {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str()), ("x-api-key", key)];
    let text = match &call.body {
        Value::Null => String::new(),
        json => json.to_string(),
    };
    if !text.is_empty() {
        headers.push(("content-type", "application/json"));
    }
    let path = format!("{base}{}", call.path);
    app.call(call.method(), &path, &headers, text).await
}

/// A workspace on a plan with everything in it; its owner's key.
async fn customer(app: &TestApp, name: &str, plan: &Value) -> String {
    let (user, key) = add_user(app, name).await;
    app.put(&format!("/api/plan/{plan}/user/{user}"), json!({}))
        .await
        .ok();
    key
}

pub(super) async fn any_plan(app: &TestApp) -> Value {
    let plan = json!({"name": "large", "rate": 0});
    app.post("/api/plan/add", plan).await.ok()["id"].clone()
}

/// A workspace with one of everything; its owner's key.
pub(super) async fn victim(app: &TestApp, plan: &Value) -> (String, Ids) {
    let key = customer(app, &format!("{MARK}-ana"), plan).await;
    let name = |what: &str| format!("{MARK}-{what}");
    let made = async |base: &str, call: Call| {
        let answer = send(app, &key, base, &call).await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer.json()
    };
    let urlr = async |route: &'static str, body: Value| made("/api/v2", own(route, "", body)).await;
    let folder = urlr("POST /folders", json!({"name": name("folder")})).await;
    let tag = urlr("POST /tags", json!({"name": name("tag")})).await;
    let domain = urlr("POST /domains", json!({"domain": format!("{MARK}.test")})).await;
    let owned = app
        .with_key(&key, Method::GET, "/api/domains", None)
        .await
        .ok()["data"]["domains"]
        .clone();
    let number = owned
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["domain"].as_str().is_some_and(|url| url.contains(MARK)))
        .expect("the domain")["id"]
        .clone();
    let path = format!("/api/domain/{number}");
    let proof = app.with_key(&key, Method::GET, &path, None).await.ok()["data"]["proof"].clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    app.txt(&text(&proof["name"]), &text(&proof["value"]));
    app.with_key(&key, Method::POST, &format!("{path}/check"), None)
        .await
        .ok();
    let link = urlr(
        "POST /links",
        json!({"url": format!("https://{MARK}.example/secret"), "code": name("link"), "label": name("title"), "folder_id": folder["id"], "tags": [tag["id"]]}),
    )
    .await;
    let number = made("/api/v1", own("GET /links", "", json!(null))).await["data"][0]["id"].clone();
    let code = json!({"name": name("code"), "type": "text", "content": name("content"), "error_correction": "L", "link_id": number});
    let code = made("/api/v1", own("POST /qrcodes", "", code)).await;
    let smart = made("/v1", own("GET /links", "", json!(null))).await["data"][0]["id"].clone();
    let smart_code = json!({"linkId": smart});
    let smart_code = made("/v1", own("POST /qr-codes", "", smart_code)).await;
    let ids = [
        ("link", text(&link["id"])),
        ("workspace", text(&link["workspace_id"])),
        ("folder", text(&folder["id"])),
        ("tag", text(&tag["id"])),
        ("domain", text(&domain["id"])),
        ("number", number.to_string()),
        ("code", code["id"].to_string()),
        ("link_", text(&smart)),
        ("qr_", text(&smart_code["id"])),
    ];
    (key, Ids(BTreeMap::from(ids)))
}

/// Everything that its owner sees, in all dialects.
async fn view(app: &TestApp, key: &str, ids: &Ids) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for dialect in DIALECTS {
        for call in (dialect.calls)(ids) {
            if call.method() == Method::GET {
                let answer = send(app, key, dialect.base, &call).await;
                let shown = format!("{} {:?}", answer.status, answer.body);
                seen.insert(format!("{}{}", dialect.base, call.path), shown);
            }
        }
    }
    for path in [
        "/api/urls",
        "/api/qr",
        "/api/folders",
        "/api/tags",
        "/api/domains",
    ] {
        let answer = app.with_key(key, Method::GET, path, None).await;
        seen.insert(path.to_owned(), format!("{:?}", answer.body));
    }
    seen
}

/// Whether it did what it was asked. Nothing counts clicks here, so statistics of what is there say so.
fn is_done(answer: &Answer) -> bool {
    answer.status.is_success() || answer.status == 503
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// Routes of a dialect's document.
async fn routes(app: &TestApp, base: &str) -> BTreeSet<String> {
    let path = format!("{base}/openapi.json");
    let document = app.call(Method::GET, &path, &[], "").await.json();
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let path = path.strip_prefix(base).expect("the base");
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    routes
}

on_both_engines! {
    async fn a_stranger_sees_and_changes_nothing_in_any_dialect(app) {
        let plan = any_plan(&app).await;
        let (key, ids) = victim(&app, &plan).await;
        let stranger = customer(&app, "mallory", &plan).await;
        let before = view(&app, &key, &ids).await;
        assert!(before.values().filter(|seen| seen.contains(MARK)).count() > 15, "{before:#?}");
        for Dialect { base, refusals, calls } in DIALECTS {
            let calls = calls(&ids);
            let walked: BTreeSet<String> = calls.iter().map(|call| call.route.to_owned()).collect();
            assert_eq!(walked, routes(&app, base).await, "the walk must know each route of {base}");
            for call in &calls {
                let answer = send(&app, &stranger, base, call).await;
                let shown = format!("{base} {} {} {}: {} {}", call.route, call.path, call.body, answer.status, text(&answer));
                if call.names {
                    assert!(refusals.contains(&answer.status.as_u16()), "{shown}");
                } else {
                    assert!(answer.status.is_success(), "{shown}");
                }
                // Its own words come back to it, in an error or an address of a page, and nothing else of the victim.
                let asked = call.body.to_string() + &call.path;
                assert!(asked.contains(MARK) || !text(&answer).contains(MARK), "{shown}");
                assert!(!text(&answer).contains("/secret"), "{shown}");
            }
            // Ids of every kind at every place for one.
            for call in calls.iter().filter(|call| call.route.contains('{')) {
                for id in ids.0.values() {
                    let call = of(call.route, id, call.body.clone());
                    let answer = send(&app, &stranger, base, &call).await;
                    assert!(refusals.contains(&answer.status.as_u16()), "{base} {} {id}: {}", call.route, text(&answer));
                }
            }
        }
        assert_eq!(view(&app, &key, &ids).await, before);
    }

    async fn a_viewer_reads_and_an_owner_does_all_of_it_in_any_dialect(app) {
        let plan = any_plan(&app).await;
        let (key, ids) = victim(&app, &plan).await;
        let (_, viewer) = add_member_of(&app, &key, "looker", "viewer").await;
        let before = view(&app, &key, &ids).await;
        for Dialect { base, calls, .. } in DIALECTS {
            for call in calls(&ids) {
                let answer = send(&app, &viewer, base, &call).await;
                let shown = format!("{base} {} {}: {} {}", call.route, call.path, answer.status, text(&answer));
                if call.method() == Method::GET {
                    assert!(is_done(&answer), "{shown}");
                } else {
                    assert_eq!(answer.status, 403, "{shown}");
                }
            }
        }
        assert_eq!(view(&app, &key, &ids).await, before);
        // It was the stranger that was refused, and not the call. What deletes comes last, and each dialect's has its own.
        let dialects = DIALECTS.map(|dialect| (dialect.base, (dialect.calls)(&ids)));
        let is_last = |call: &&Call| call.method() == Method::DELETE;
        for (base, calls) in &dialects {
            for call in calls.iter().filter(|call| !is_last(call)) {
                let answer = send(&app, &key, base, call).await;
                assert!(is_done(&answer), "{base} {} {}: {} {}", call.route, call.path, answer.status, text(&answer));
            }
        }
        let code = of("DELETE /qrcodes/{id}", ids.of("code"), json!(null));
        assert_eq!(send(&app, &key, "/api/v1", &code).await.status, 200);
        for (base, route, status) in [("/api/v1", "DELETE /links/{id}", 200), ("/api/v2", "DELETE /links/{link_id}", 200), ("/v1", "DELETE /links/{id}", 204)] {
            let made = send(&app, &key, "/api/v2", &own("POST /links", "", json!({"url": URL}))).await.json();
            let uuid = made["id"].as_str().expect("an id").to_owned();
            let newest = own("GET /links", "", json!(null));
            let id = match base {
                "/api/v2" => uuid,
                _ => send(&app, &key, base, &newest).await.json()["data"][0]["id"].to_string().replace('"', ""),
            };
            assert_eq!(send(&app, &key, base, &of(route, &id, json!(null))).await.status, status);
        }
    }
}
