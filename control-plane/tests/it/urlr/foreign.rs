//! Every route of the dialect's document, called by a stranger with a victim's ids: nothing is shown, nothing changes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

/// Stands in every text of the victim.
const MARK: &str = "zq7v";

/// Ids of the victim's things.
struct Ids {
    link: String,
    workspace: String,
    folder: String,
    domain: String,
    tag: String,
}

/// Route, path as it is called, body, and whether it names something of the victim.
type Call = (&'static str, String, Option<Value>, bool);

fn calls(ids: &Ids) -> Vec<Call> {
    let Ids {
        link,
        workspace,
        folder,
        domain,
        tag,
    } = ids;
    let url = "https://e.test/";
    vec![
        ("GET /links/{link_id}", format!("/links/{link}"), None, true),
        (
            "PATCH /links/{link_id}",
            format!("/links/{link}"),
            Some(json!({"label": "theirs"})),
            true,
        ),
        (
            "DELETE /links/{link_id}",
            format!("/links/{link}"),
            None,
            true,
        ),
        ("GET /links", "/links".to_owned(), None, false),
        (
            "GET /links",
            format!("/links?workspace_id={workspace}"),
            None,
            true,
        ),
        (
            "GET /links",
            format!("/links?folder_id={folder}"),
            None,
            true,
        ),
        ("GET /links", format!("/links?tag_id={tag}"), None, true),
        (
            "POST /links",
            "/links".to_owned(),
            Some(json!({"url": url, "workspace_id": workspace})),
            true,
        ),
        (
            "POST /links",
            "/links".to_owned(),
            Some(json!({"url": url, "folder_id": folder})),
            true,
        ),
        (
            "POST /links",
            "/links".to_owned(),
            Some(json!({"url": url, "tags": [tag]})),
            true,
        ),
        (
            "POST /links",
            "/links".to_owned(),
            Some(json!({"url": url, "domain": format!("{MARK}.test")})),
            true,
        ),
        (
            "POST /qrcodes",
            "/qrcodes".to_owned(),
            Some(json!({"link_id": link})),
            true,
        ),
        (
            "POST /qrcodes",
            "/qrcodes".to_owned(),
            Some(json!({"url": url, "workspace_id": workspace})),
            true,
        ),
        (
            "GET /statistics",
            format!("/statistics?link_id={link}"),
            None,
            true,
        ),
        (
            "GET /workspaces/{workspace_id}",
            format!("/workspaces/{workspace}"),
            None,
            true,
        ),
        ("GET /workspaces", "/workspaces".to_owned(), None, false),
        (
            "GET /folders/{folder_id}",
            format!("/folders/{folder}"),
            None,
            true,
        ),
        ("GET /folders", "/folders".to_owned(), None, false),
        (
            "GET /folders",
            format!("/folders?workspace_id={workspace}"),
            None,
            true,
        ),
        (
            "POST /folders",
            "/folders".to_owned(),
            Some(json!({"name": "x", "workspace_id": workspace})),
            true,
        ),
        (
            "POST /folders",
            "/folders".to_owned(),
            Some(json!({"name": "x", "parent_id": folder})),
            true,
        ),
        (
            "GET /domains/{domain_id}",
            format!("/domains/{domain}"),
            None,
            true,
        ),
        ("GET /domains", "/domains".to_owned(), None, false),
        (
            "POST /domains",
            "/domains".to_owned(),
            Some(json!({"domain": "mine.test"})),
            false,
        ),
        ("GET /tags", "/tags".to_owned(), None, false),
        (
            "GET /tags",
            format!("/tags?workspace_id={workspace}"),
            None,
            true,
        ),
        (
            "POST /tags",
            "/tags".to_owned(),
            Some(json!({"name": "x", "workspace_id": workspace})),
            true,
        ),
    ]
}

async fn victim(app: &TestApp) -> Ids {
    let folder = post(app, "/folders", json!({"name": format!("{MARK}-folder")}))
        .await
        .done(201);
    let tag = post(app, "/tags", json!({"name": format!("{MARK}-tag")}))
        .await
        .done(201);
    let domain = post(app, "/domains", json!({"domain": format!("{MARK}.test")}))
        .await
        .done(201);
    let made = link(app, json!({
        "url": format!("https://{MARK}.example/"), "code": format!("{MARK}-link"), "label": MARK, "folder_id": folder["id"],
        "tags": [tag["id"]], "qrcode": {},
    }))
    .await;
    Ids {
        link: id(&made).to_owned(),
        workspace: made["workspace_id"].as_str().expect("text").to_owned(),
        folder: id(&folder).to_owned(),
        domain: id(&domain).to_owned(),
        tag: id(&tag).to_owned(),
    }
}

/// Everything its owner sees.
async fn view(app: &TestApp, ids: &Ids) -> Vec<String> {
    let mut seen = Vec::new();
    for (route, path, ..) in calls(ids) {
        if route.starts_with("GET ") {
            let answer = get(app, &path).await;
            seen.push(format!("{path} {} {:?}", answer.status, answer.body));
        }
    }
    seen
}

on_both_engines! {
    async fn no_route_is_left_out(app) {
        let document = app.call(Method::GET, "/api/v2/openapi.json", &[], "").await.json();
        let mut routes = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for method in methods.as_object().expect("methods").keys() {
                let path = path.strip_prefix("/api/v2").expect("the base");
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let ids = victim(&app).await;
        let walked: BTreeSet<String> = calls(&ids).into_iter().map(|(route, ..)| route.to_owned()).collect();
        assert_eq!(walked, routes);
    }

    async fn a_stranger_sees_and_changes_nothing(app) {
        let ids = victim(&app).await;
        let stranger = app.other_workspace().await;
        let before = view(&app, &ids).await;
        assert!(before.iter().filter(|seen| seen.contains(MARK)).count() > 8, "{before:#?}");
        for (route, path, body, names) in calls(&ids) {
            let method: Method = route.split(' ').next().expect("a method").parse().expect("a method");
            let asked = format!("{path}{body:?}");
            let answer = call_as(&app, &stranger, method, &path, body).await;
            let shown = String::from_utf8_lossy(&answer.body).into_owned();
            if names {
                assert!(matches!(answer.status.as_u16(), 404 | 422), "{route} {asked}: {} {shown}", answer.status);
            } else {
                assert!(answer.status.is_success(), "{route} {asked}: {} {shown}", answer.status);
            }
            assert!(asked.contains(MARK) || !shown.contains(MARK), "{route} {asked}: {shown}");
        }
        assert_eq!(view(&app, &ids).await, before);
        // A viewer's key reads and does not write.
        let (_, viewer) = crate::members::add_member_of(&app, ADMIN_KEY, "looker", "viewer").await;
        call_as(&app, &viewer, Method::GET, "/links", None).await.done(200);
        call_as(&app, &viewer, Method::POST, "/links", Some(json!({"url": "https://e.test/"}))).await.problem(403, "");
    }
}
