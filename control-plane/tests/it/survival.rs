//! What one dialect sets and another has no name for survives the other's edits: a link with everything that any dialect knows,
//! edited through each of the four.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, TestApp, on_both_engines};

/// A success of any dialect.
async fn call(app: &TestApp, method: Method, path: &str, body: Value) -> Value {
    let bearer = format!("Bearer {ADMIN_KEY}");
    let headers = [("authorization", &*bearer), ("x-api-key", ADMIN_KEY)];
    let text = match &body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let answer = app.call(method, path, &headers, text).await;
    let json = answer.json();
    let is_error = json["error"].as_u64().is_some_and(|error| error != 0);
    assert!(
        answer.status.is_success() && !is_error,
        "{path} {body}: {json}"
    );
    json
}

/// A link as each dialect names it.
struct Full {
    number: i64,
    urlr: String,
    smart: String,
}

/// A link with everything.
async fn full(app: &TestApp) -> Full {
    let add = async |what: &str, body: Value| {
        let added = call(app, Method::POST, &format!("/api/{what}/add"), body).await;
        added["id"].clone()
    };
    let channels = [
        add("channel", json!({"name": "one"})).await,
        add("channel", json!({"name": "two"})).await,
    ];
    let campaign = add("campaign", json!({"name": "sale"})).await;
    let folder = add("folder", json!({"name": "spring"})).await;
    let pixel = add(
        "pixel",
        json!({"type": "bing", "name": "p", "tag": "12345"}),
    )
    .await;
    let splash = add("splash", json!({"name": "Promo", "title": "Hi"})).await;
    let number = app.link(json!({
        "url": "https://e.test/0", "custom": "full", "title": "T", "description": "D", "type": splash.to_string(), "pixels": [pixel],
        "utm_source": "s", "utm_medium": "m", "utm_campaign": "c", "utm_term": "t", "utm_content": "o",
        "parameters": [{"name": "utm_id", "value": "7"}, {"name": "ref", "value": "x"}], "status": "private", "query_passthrough": true,
        "password": "open sesame", "max_clicks": 500, "max_clicks_url": "https://e.test/full", "max_clicks_text": "Full",
        "starts_at": "2020-01-01 00:00:00", "expiry": "2090-01-01 12:00:00", "expired_url": "https://e.test/over", "expired_text": "Over",
        "geotarget": [{"location": "canada", "link": "https://e.test/ca"}], "devicetarget": [{"device": "iphone", "link": "https://e.test/iphone"}],
        "languagetarget": [{"language": "de", "link": "https://e.test/de"}], "deeplink": {"auto": true, "apple": "https://apps.apple.com/app/id1", "google": "https://play.google.com/store/apps/details?id=x"},
        "rules": [{"match": "all", "conditions": [{"type": "country", "values": ["US"]}], "url": "https://e.test/us"}],
        "variants": [{"name": "a", "url": "https://e.test/a", "weight": 60}, {"name": "b", "url": "https://e.test/b", "weight": 40}],
        "variants_end": "2090-01-01 00:00:00", "variants_winner": 2,
        "metatitle": "M", "metadescription": "MD", "metaimage": "https://i.test/a.png",
        "channel": channels, "campaign": campaign, "folder": folder, "tags": ["a", "b", "c", "d", "e"],
    })).await;
    let urlr = call(app, Method::GET, "/api/v2/links?limit=1", Value::Null).await;
    let smart = call(app, Method::GET, "/v1/links?pageSize=1", Value::Null).await;
    let text = |id: &Value| id.as_str().expect("an id").to_owned();
    let link = Full {
        number,
        urlr: text(&urlr["links"][0]["id"]),
        smart: text(&smart["data"][0]["id"]),
    };
    let more = json!({
        "delete_at": "2091-01-01T00:00:00Z", "delete_after_expiration": true, "expired_title": "Too late", "qrcode": {"size": 200, "format": "svg"},
        "geolinks": [{"conditions": [{"type": "country", "value": "FR", "operator": null}, {"type": "system", "value": "iOS", "operator": "OR"}], "url": "https://e.test/fr"}],
    });
    let path = format!("/api/v2/links/{}", link.urlr);
    call(app, Method::PATCH, &path, more).await;
    let path = format!("/v1/links/{}", link.smart);
    let metadata = json!({"metadata": {"n": 1, "nested": [null, "x"]}});
    call(app, Method::PATCH, &path, metadata).await;
    link
}

impl Full {
    /// Its places in the dialects: path, method of an edit, names of its URL and title.
    fn places(&self) -> [(String, Method, [&'static str; 2]); 4] {
        [
            (
                format!("/api/url/{}", self.number),
                Method::PUT,
                ["url", "title"],
            ),
            (
                format!("/api/v2/links/{}", self.urlr),
                Method::PATCH,
                ["url", "label"],
            ),
            (
                format!("/api/v1/links/{}", self.number),
                Method::PUT,
                ["original_url", "title"],
            ),
            (
                format!("/v1/links/{}", self.smart),
                Method::PATCH,
                ["url", "title"],
            ),
        ]
    }

    /// Everything that is known of it, but for its URL, its title and when it was changed: what each dialect shows, and what is
    /// stored of fields that are not shown.
    async fn known(&self, app: &TestApp) -> Value {
        let mut all = Vec::new();
        for (path, ..) in self.places() {
            let mut shown = call(app, Method::GET, &path, Value::Null).await;
            for name in [
                "url",
                "original_url",
                "title",
                "label",
                "updated_at",
                "updatedAt",
            ] {
                if let Some(object) = shown.as_object_mut() {
                    object.remove(name);
                }
            }
            for part in ["data", "details"] {
                for name in ["longurl", "title", "url", "long_url"] {
                    if let Some(Value::Object(object)) = shown.get_mut(part) {
                        object.remove(name);
                    }
                }
            }
            all.push(shown);
        }
        let (extras, parameters): (String, String) =
            sqlx::query_as("SELECT extras, parameters FROM links WHERE id = $1")
                .bind(self.number)
                .fetch_one(app.running.store.readers())
                .await
                .expect("a row");
        all.push(json!([extras, parameters]));
        all.into()
    }
}

/// What two states of a link differ in, by place.
fn differences(before: &Value, after: &Value, at: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            for (name, value) in a {
                differences(value, &b[name], &format!("{at}/{name}"), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (a, b)) in a.iter().zip(b).enumerate() {
                differences(a, b, &format!("{at}/{n}"), found);
            }
        }
        _ if before == after => {}
        _ => found.push(format!("{at}: {before} became {after}")),
    }
}

on_both_engines! {
    async fn everything_that_another_dialect_set_survives_an_edit(app) {
        let link = full(&app).await;
        let before = link.known(&app).await;
        // Nothing of what was asked for is missing to begin with.
        let [details, urlr] = [&before[0]["details"], &before[1]];
        for name in ["pixels", "location", "device", "language", "rules", "variants", "parameters", "channel", "tags"] {
            assert!(!matches!(details[name].to_string().as_str(), "[]" | "{}" | "null"), "{name} {details}");
        }
        for name in ["expiry", "starts_at", "campaign", "folder", "max_clicks", "variants_end"] {
            assert!(!details[name].is_null(), "{name} {details}");
        }
        for (name, value) in urlr.as_object().expect("a link") {
            assert!(!value.is_null() && *value != json!([]), "{name}");
        }
        assert_eq!((&details["tags"].as_array().map(Vec::len), &urlr["tags"].as_array().map(Vec::len)), (&Some(5), &Some(3)));
        assert_eq!(before[3]["metadata"]["nested"], json!([null, "x"]));

        for (round, (path, method, [url, title])) in link.places().into_iter().enumerate() {
            let edit = async |body: Value| {
                let path = if round == 0 { format!("{path}/update") } else { path.clone() };
                call(&app, method.clone(), &path, body.clone()).await;
                let mut lost = Vec::new();
                differences(&before, &link.known(&app).await, "", &mut lost);
                assert!(lost.is_empty(), "{method} {path} {body}: {lost:#?}");
            };
            let new = json!(format!("https://e.test/moved/{round}"));
            edit(json!({ url: new })).await;
            edit(json!({ url: new, title: format!("Title {round}") })).await;
            // A call of nothing, where a dialect has it.
            if round != 2 {
                edit(json!({})).await;
                edit(json!({ title: "Again" })).await;
            }
            for (path, _, [url, _]) in link.places().into_iter().skip(1) {
                assert_eq!(call(&app, Method::GET, &path, Value::Null).await[url], new, "{path}");
            }
        }
    }

    async fn what_a_dialect_changes_leaves_the_rest_of_its_own_and_of_the_others(app) {
        let link = full(&app).await;
        let [oml, urlr, minilnk, smart] = link.places().map(|(path, ..)| path);
        let oml = format!("{oml}/update");
        // Call, and the parts that may change by it: all others must not.
        for (method, path, body, parts) in [
            (Method::PATCH, &urlr, json!({"utm": {"source": "other"}}), &["utm_source", "utm"][..]),
            (Method::PATCH, &urlr, json!({"metatag": {"title": "Other"}}), &["metatitle", "metatag", "/4/"]),
            (Method::PATCH, &urlr, json!({"geolinks": []}), &["geolinks", "/4/"]),
            (Method::PATCH, &urlr, json!({"qrcode": null}), &["qrcode", "/4/"]),
            (Method::PATCH, &urlr, json!({"delete_at": "2092-01-01T00:00:00Z"}), &["delete_at", "/4/"]),
            (Method::PATCH, &urlr, json!({"expired_title": "Gone"}), &["expired_title", "/4/"]),
            (Method::PATCH, &urlr, json!({"tags": []}), &["tags"]),
            (Method::PATCH, &urlr, json!({"folder_id": null}), &["folder"]),
            (Method::PUT, &minilnk, json!({"original_url": "https://e.test/0", "expires_at": "2089-01-01T00:00:00Z"}), &["expiry", "expired_at"]),
            (Method::PUT, &minilnk, json!({"original_url": "https://e.test/0", "remove_password": true}), &["password", "/4/"]),
            (Method::PATCH, &smart, json!({"metadata": null}), &["metadata", "/4/"]),
            (Method::PUT, &oml, json!({"rules": []}), &["rules", "/4/"]),
            (Method::PUT, &oml, json!({"variants": []}), &["variants", "/4/"]),
            (Method::PUT, &oml, json!({"pixels": []}), &["pixels", "/4/"]),
            (Method::PUT, &oml, json!({"description": "Other"}), &["description"]),
            (Method::PATCH, &smart, json!({"shortCode": "renamed"}), &["alias", "short", "code", "Code", "qrcode"]),
        ] {
            let before = link.known(&app).await;
            call(&app, method, path, body.clone()).await;
            let mut changed = Vec::new();
            differences(&before, &link.known(&app).await, "", &mut changed);
            assert!(!changed.is_empty(), "{body}");
            let place = |change: &String| change.split(": ").next().unwrap_or_default().to_owned();
            changed.retain(|change| !parts.iter().any(|part| place(change).contains(part)));
            assert!(changed.is_empty(), "{path} {body}: {changed:#?}");
        }
    }
}
