//! What the walk of [`super`] calls, route by route. A new route of the OpenAPI document needs a line here, a new kind of
//! thing one in [`super::Ids`] besides.
//!
//! - [`names`]: the call names something of the victim's workspace, in its path or in its body: strangers are refused, and
//!   its own people are not, which shows that it was the stranger and not the call that was wrong.
//! - [`own`]: the call names nothing: it is about the caller's own workspace, and must show nothing of another.

use serde_json::{Value, json};

use super::{Ids, MARK};

/// A call.
pub(crate) struct Call {
    /// Method and path as the document has them.
    pub(crate) route: &'static str,
    /// Path and query as they are called.
    pub(crate) path: String,
    /// Nothing, JSON, or a text that is sent as it is.
    pub(crate) body: Value,
    /// Whether it names something of the victim.
    pub(crate) names: bool,
}

impl Call {
    pub(crate) fn method(&self) -> http::Method {
        let (method, _) = self.route.split_once(' ').expect("a method");
        method.parse().expect("a method")
    }

    /// The path as it is registered.
    pub(crate) fn template(&self) -> &'static str {
        self.route.split_once(' ').expect("a path").1
    }
}

/// A call that names these things of the victim, in the order of the path.
fn names(route: &'static str, path: &[&str], body: Value) -> Call {
    let mut values = path.iter();
    let (_, template) = route.split_once(' ').expect("a path");
    let mut called = String::new();
    for (place, part) in template.split('{').enumerate() {
        match part.split_once('}') {
            Some((name, rest)) if place > 0 => {
                called += values
                    .next()
                    .unwrap_or_else(|| panic!("no {name} of {route}"));
                called += rest;
            }
            _ => called += part,
        }
    }
    // What is left is a query.
    called += values.next().unwrap_or(&"");
    Call {
        route,
        path: called,
        body,
        names: true,
    }
}

/// A call that names nothing; `query` is empty or begins with `?`.
fn own(route: &'static str, query: &str, body: Value) -> Call {
    Call {
        names: false,
        ..names(route, &[query], body)
    }
}

/// All calls, in an order in which the victim's own people can make them. Routes that end with `delete` come last anyway.
pub(crate) fn calls(ids: &Ids) -> Vec<Call> {
    let mut all = account(ids);
    all.extend(links(ids));
    all.extend(files(ids));
    all.extend(groups(ids));
    all.extend(surfaces(ids));
    all.extend(bios(ids));
    all.extend(people(ids));
    all.sort_by_key(|call| call.route.ends_with("/delete"));
    all
}

fn account(ids: &Ids) -> Vec<Call> {
    let key = ids.of("key");
    vec![
        own("GET /api/account", "", json!(null)),
        own("POST /api/account", "", json!(null)),
        own("PUT /api/account/update", "", json!({})),
        own("GET /api/usage", "", json!(null)),
        own("GET /api/keys", "", json!(null)),
        own("POST /api/keys", "", json!({"name": "another"})),
        names("POST /api/key/{id}/rotate", &[key], json!(null)),
        names("DELETE /api/key/{id}/delete", &[key], json!(null)),
    ]
}

fn files(ids: &Ids) -> Vec<Call> {
    let file = ids.of("file");
    let form = "--form\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nbytes\r\n--form--\r\n";
    vec![
        own("GET /api/files", "", json!(null)),
        own("GET /api/files", &format!("?name={MARK}"), json!(null)),
        own("POST /api/files/upload/{filename}", "a.txt", json!("bytes")),
        own("POST /api/file/upload", "", json!(form)),
        names("PATCH /api/file/{id}", &[file], json!(form)),
        names("DELETE /api/file/{id}/delete", &[file], json!(null)),
    ]
}

fn links(ids: &Ids) -> Vec<Call> {
    let (link, qr) = (ids.of("link"), ids.of("qr"));
    let to = "https://e.test/";
    let number = |kind: &str| ids.number(kind);
    let mut all = vec![
        own("GET /api/urls", "", json!(null)),
        own("GET /api/urls", &format!("?q={MARK}"), json!(null)),
        names(
            "GET /api/urls",
            &[&format!("?short=https://go.test/{MARK}-link")],
            json!(null),
        ),
        own("GET /api/urls/export", "?format=ndjson", json!(null)),
        own("POST /api/urls/bulk", "", json!({"urls": [{"url": to}]})),
        own(
            "POST /api/urls/import",
            "?dry_run=false",
            json!("url\nhttps://e.test/imported\n"),
        ),
        own("POST /api/url/add", "", json!({"url": to})),
        names("GET /api/url/{id}", &[link], json!(null)),
        names("GET /api/url/{id}/stats", &[link], json!(null)),
        names(
            "PUT /api/url/{id}/update",
            &[link],
            json!({"url": "https://changed.test/", "title": "changed"}),
        ),
        names("DELETE /api/url/{id}/delete", &[link], json!(null)),
        own("GET /api/qr", "", json!(null)),
        own(
            "POST /api/qr/add",
            "",
            json!({"type": "text", "data": "hello"}),
        ),
        names("GET /api/qr/{id}", &[qr], json!(null)),
        names("GET /api/qr/{id}/stats", &[qr], json!(null)),
        names(
            "GET /dashboard/qrcodes/{id}/download/{format}",
            &[qr, "png"],
            json!(null),
        ),
        names(
            "PUT /api/qr/{id}/update",
            &[qr],
            json!({"data": "https://changed.test/"}),
        ),
        names("DELETE /api/qr/{id}/delete", &[qr], json!(null)),
    ];
    // What a link is made of must be the caller's too.
    for more in [
        json!({"pixels": [number("pixel")]}),
        json!({"type": ids.of("splash")}),
        json!({"type": format!("overlay-{}", ids.of("overlay"))}),
        json!({"domain": format!("https://{MARK}.test")}),
        json!({"campaign": number("campaign")}),
        json!({"channel": [number("channel")]}),
        json!({"folder": number("folder")}),
        json!({"tags": [number("tag")]}),
    ] {
        let mut body = json!({"url": to});
        for (name, value) in more.as_object().expect("fields") {
            body[name] = value.clone();
        }
        all.push(names("POST /api/url/add", &[], body));
    }
    all
}

fn groups(ids: &Ids) -> Vec<Call> {
    let link = ids.of("link");
    let (campaign, channel) = (ids.of("campaign"), ids.of("channel"));
    let (folder, tag, domain) = (ids.of("folder"), ids.of("tag"), ids.of("domain"));
    let renamed = || json!({"name": "changed"});
    vec![
        own("GET /api/campaigns", "", json!(null)),
        own("POST /api/campaign/add", "", json!({"name": "another"})),
        names("GET /api/campaign/{id}", &[campaign], json!(null)),
        names(
            "POST /api/campaign/{id}/assign/{linkid}",
            &[campaign, link],
            json!(null),
        ),
        names(
            "DELETE /api/campaign/{id}/assign/{linkid}",
            &[campaign, link],
            json!(null),
        ),
        names("PUT /api/campaign/{id}/update", &[campaign], renamed()),
        names("DELETE /api/campaign/{id}/delete", &[campaign], json!(null)),
        own("GET /api/channels", "", json!(null)),
        own("POST /api/channel/add", "", json!({"name": "another"})),
        names("GET /api/channel/{id}", &[channel], json!(null)),
        names(
            "POST /api/channel/{id}/assign/{type}/{itemid}",
            &[channel, "links", link],
            json!(null),
        ),
        names(
            "DELETE /api/channel/{id}/assign/{type}/{itemid}",
            &[channel, "links", link],
            json!(null),
        ),
        names("PUT /api/channel/{id}/update", &[channel], renamed()),
        names("DELETE /api/channel/{id}/delete", &[channel], json!(null)),
        own("GET /api/folders", "", json!(null)),
        own("POST /api/folder/add", "", json!({"name": "another"})),
        names(
            "POST /api/folder/{id}/assign/{linkid}",
            &[folder, link],
            json!(null),
        ),
        names(
            "DELETE /api/folder/{id}/assign/{linkid}",
            &[folder, link],
            json!(null),
        ),
        names("PUT /api/folder/{id}/update", &[folder], renamed()),
        names("DELETE /api/folder/{id}/delete", &[folder], json!(null)),
        own("GET /api/tags", "", json!(null)),
        own("POST /api/tag/add", "", json!({"name": "another"})),
        names(
            "POST /api/tag/{id}/assign/{linkid}",
            &[tag, link],
            json!(null),
        ),
        names(
            "DELETE /api/tag/{id}/assign/{linkid}",
            &[tag, link],
            json!(null),
        ),
        names("PUT /api/tag/{id}/update", &[tag], renamed()),
        names("DELETE /api/tag/{id}/delete", &[tag], json!(null)),
        own("GET /api/domains", "", json!(null)),
        own(
            "POST /api/domain/add",
            "",
            json!({"domain": "https://another.test"}),
        ),
        names("GET /api/domain/{id}", &[domain], json!(null)),
        names("GET /api/domain/{id}/apps", &[domain], json!(null)),
        names("PUT /api/domain/{id}/apps", &[domain], json!({"apple": []})),
        names("POST /api/domain/{id}/check", &[domain], json!(null)),
        names(
            "PUT /api/domain/{id}/update",
            &[domain],
            json!({"redirectroot": "https://changed.test/"}),
        ),
        names("DELETE /api/domain/{id}/delete", &[domain], json!(null)),
    ]
}

fn surfaces(ids: &Ids) -> Vec<Call> {
    let (pixel, splash) = (ids.of("pixel"), ids.of("splash"));
    let (overlay, message) = (ids.of("overlay"), ids.of("message"));
    vec![
        own("GET /api/pixels", "", json!(null)),
        own(
            "POST /api/pixel/add",
            "",
            json!({"type": "bing", "name": "another", "tag": "7"}),
        ),
        names(
            "PUT /api/pixel/{id}/update",
            &[pixel],
            json!({"name": "changed", "tag": "8"}),
        ),
        names("DELETE /api/pixel/{id}/delete", &[pixel], json!(null)),
        own("GET /api/splash", "", json!(null)),
        own("POST /api/splash/add", "", json!({"name": "another"})),
        names(
            "PUT /api/splash/{id}/update",
            &[splash],
            json!({"name": "changed"}),
        ),
        names("DELETE /api/splash/{id}/delete", &[splash], json!(null)),
        own("GET /api/overlay", "", json!(null)),
        own(
            "POST /api/overlay/add",
            "",
            json!({"type": "message", "name": "another", "message": "x"}),
        ),
        names("GET /api/overlay/{id}/messages", &[overlay], json!(null)),
        names(
            "PUT /api/overlay/{id}/update",
            &[overlay],
            json!({"name": "changed"}),
        ),
        names(
            "DELETE /api/overlay/{id}/messages/{message}/delete",
            &[overlay, message],
            json!(null),
        ),
        names("DELETE /api/overlay/{id}/delete", &[overlay], json!(null)),
    ]
}

fn bios(ids: &Ids) -> Vec<Call> {
    let (bio, block, entry) = (ids.of("bio"), ids.of("block"), ids.of("entry"));
    let heading = || json!({"type": "heading", "title": "another"});
    vec![
        own("GET /api/bio", "", json!(null)),
        own("GET /api/bio/block-types", "", json!(null)),
        own("POST /api/bio/add", "", json!({"title": "another"})),
        names("GET /api/bio/{id}", &[bio], json!(null)),
        names("GET /api/bio/{id}/stats", &[bio], json!(null)),
        names("GET /api/bio/{id}/entries", &[bio], json!(null)),
        names(
            "GET /api/bio/{id}/entries",
            &[bio, "?format=csv"],
            json!(null),
        ),
        names(
            "PUT /api/bio/{id}/update",
            &[bio],
            json!({"title": "changed"}),
        ),
        names("POST /api/bio/{id}/blocks", &[bio], heading()),
        names(
            "PUT /api/bio/{id}/blocks/{block_id}",
            &[bio, block],
            json!({"button": "changed"}),
        ),
        names(
            "POST /api/channel/{id}/assign/{type}/{itemid}",
            &[ids.of("channel"), "bio", bio],
            json!(null),
        ),
        names(
            "DELETE /api/bio/{id}/entries/{entry}/delete",
            &[bio, entry],
            json!(null),
        ),
        names(
            "DELETE /api/bio/{id}/blocks/{block_id}",
            &[bio, block],
            json!(null),
        ),
        names("DELETE /api/bio/{id}/delete", &[bio], json!(null)),
    ]
}

fn people(ids: &Ids) -> Vec<Call> {
    let (member, user, plan) = (ids.of("member"), ids.of("user"), ids.of("plan"));
    let person = |name: &str| json!({"username": name, "email": format!("{name}@e.test"), "password": "correct horse", "role": "viewer"});
    vec![
        own("GET /api/members", "", json!(null)),
        own(
            "POST /api/member/invite",
            "",
            json!({"email": "another@e.test", "role": "viewer"}),
        ),
        own("POST /api/member/add", "", person("another")),
        names(
            "PUT /api/member/{id}/update",
            &[member],
            json!({"role": "editor"}),
        ),
        names("DELETE /api/member/{id}/delete", &[member], json!(null)),
        names(
            "DELETE /api/member/invite/{id}/delete",
            &[ids.of("invitation")],
            json!(null),
        ),
        own("GET /api/oauth/clients", "", json!(null)),
        own("POST /api/oauth/client/add", "", json!({"name": "another"})),
        names(
            "POST /api/oauth/client/{id}/rotate",
            &[ids.of("client")],
            json!(null),
        ),
        names(
            "DELETE /api/oauth/client/{id}/delete",
            &[ids.of("client")],
            json!(null),
        ),
        own("GET /api/oauth/apps", "", json!(null)),
        names(
            "DELETE /api/oauth/app/{id}/delete",
            &[ids.of("app")],
            json!(null),
        ),
        names("GET /api/plans", &[], json!(null)),
        names("POST /api/plan/add", &[], json!({"name": "another"})),
        names("PUT /api/plan/{id}/update", &[plan], json!({"links": 7})),
        names(
            "PUT /api/plan/{planid}/user/{userid}",
            &["3", user],
            json!({}),
        ),
        names("DELETE /api/plan/{id}/delete", &[plan], json!(null)),
        names("GET /api/users", &[], json!(null)),
        names("GET /api/user/{id}", &[user], json!(null)),
        names("GET /api/user/login/{id}", &[user], json!(null)),
        names("POST /api/user/add", &[], person("somebody")),
        names("DELETE /api/user/{id}/delete", &[user], json!(null)),
    ]
}
