//! What holds for all dialects: each counts, refuses and describes itself in its own form under its own base.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Answer, TestApp, on_both_engines};

/// Base of each dialect, content type of its errors, and the names that lead to the text of one.
const DIALECTS: [(&str, &str, &[&str]); 4] = [
    ("/api", "application/json", &["message"]),
    ("/api/v1", "application/json", &["message"]),
    ("/api/v2", "application/problem+json", &["detail"]),
    ("/v1", "application/json", &["error", "message"]),
];

#[track_caller]
fn refused(answer: &Answer, status: u16, (base, kind, path): (&str, &str, &[&str]), part: &str) {
    assert_eq!(answer.status.as_u16(), status, "{base} {answer:?}");
    assert_eq!(answer.header("content-type"), kind, "{base}");
    let json: Value = serde_json::from_slice(&answer.body).expect("a JSON body");
    let text = path.iter().fold(&json, |value, name| &value[*name]);
    let text = text.as_str().unwrap_or_else(|| panic!("{base} {json}"));
    assert!(text.contains(part), "{base} {text}");
}

on_both_engines! {
    async fn each_base_refuses_in_its_own_form(app) {
        for dialect in DIALECTS {
            let base = dialect.0;
            let nothing = app.get(&format!("{base}/no/such/thing")).await;
            refused(&nothing, 404, dialect, "no such endpoint");
            let wrong = app.delete(&format!("{base}/docs")).await;
            refused(&wrong, 405, dialect, "method");
            assert!(wrong.header("allow").contains("GET"), "{base}");
        }
    }

    async fn each_dialect_has_windows_of_its_own(app) {
        let key = app.key("small", Some(2)).await;
        let call = async |path: &str| {
            let headers = [("authorization", format!("Bearer {key}")), ("x-api-key", key.clone())];
            let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            app.call(Method::GET, path, &headers, "").await
        };
        for (base, limit) in [("/api", 2), ("/api/v1", 2), ("/api/v2", 2), ("/v1", 120)] {
            let answer = call(&format!("{base}/openapi.json")).await;
            assert_eq!(answer.number("x-ratelimit-limit"), limit, "{base}");
            assert_eq!(answer.number("x-ratelimit-remaining"), limit - 1, "{base}");
        }
        for dialect in &DIALECTS[..3] {
            call(&format!("{}/openapi.json", dialect.0)).await;
            let over = call(&format!("{}/openapi.json", dialect.0)).await;
            refused(&over, 429, *dialect, "too many");
            assert!(over.number("retry-after") > 0);
        }
    }
}

/// A page that works offline: no element that would ask for something, and no link but within it and to the document beside it.
#[track_caller]
fn asks_for_nothing(html: &str) {
    let mut rest = html;
    let mut elements = 0;
    while let Some((_, after)) = rest.split_once('<') {
        let (element, after) = after.split_once('>').expect("an end");
        rest = after;
        elements += 1;
        let name = element.split([' ', '/']).find(|name| !name.is_empty());
        let name = name.unwrap_or_default().to_ascii_lowercase();
        let known = [
            "!doctype", "html", "meta", "title", "style", "h1", "h2", "h3", "p", "a", "code",
            "pre", "ul", "li", "details", "summary",
        ];
        assert!(known.contains(&&*name), "<{element}>");
        for (attribute, value) in
            element
                .split('"')
                .collect::<Vec<_>>()
                .chunks(2)
                .filter_map(|pair| {
                    let [before, value] = pair else { return None };
                    Some((before.trim_end_matches('=').rsplit(' ').next()?, *value))
                })
        {
            let is_inside = match attribute {
                "href" => value.starts_with('#') || value == "openapi.json",
                "id" | "lang" | "charset" | "name" | "content" => true,
                _ => false,
            };
            assert!(is_inside, "<{element}>");
        }
        if name == "style" && !element.starts_with('/') {
            let (style, _) = after.split_once('<').expect("an end");
            assert!(
                !style.contains("url(") && !style.contains("@import"),
                "{style}"
            );
        }
    }
    assert!(elements > 50, "{elements}");
}

/// What the documents of dialects whose bodies are read field by field say that a body may hold is read: a value that no field
/// may have is refused, by the field's name. That nothing else is read, `api/fields.rs` sees to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_field_of_a_body_is_read() {
    let app = TestApp::on_sqlite().await;
    let made = app
        .post("/v1/links", json!({"url": "https://e.test/"}))
        .await;
    let smart = made.json()["id"].as_str().expect("an id").to_owned();
    let number = app.get("/api/v1/links").await.json()["data"][0]["id"].to_string();
    let mut asked = Vec::new();
    for (base, id) in [("/api/v1", &number), ("/v1", &smart)] {
        let document = app
            .call(Method::GET, &format!("{base}/openapi.json"), &[], "")
            .await
            .json();
        let fields_of = |schema: &Value| {
            let name = schema["$ref"]
                .as_str()
                .and_then(|path| path.rsplit('/').next());
            let fields = &document["components"]["schemas"][name.expect("a schema")]["properties"];
            fields.as_object().expect("fields").clone()
        };
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                if schema.is_null() {
                    continue;
                }
                let mut places: Vec<(Option<String>, String)> = Vec::new();
                for (name, field) in fields_of(schema) {
                    // An object in the body that has fields of its own.
                    let inside = &field["oneOf"][1];
                    if inside["$ref"].is_string() {
                        let all = fields_of(inside);
                        places.extend(all.keys().map(|field| (Some(name.clone()), field.clone())));
                    }
                    places.push((None, name));
                }
                for (outer, name) in places {
                    let mut body = json!({"url": "https://e.test/", "original_url": "https://e.test/", "linkId": smart});
                    let (wrong, shown) = match &outer {
                        None => (json!({ &name: [[]] }), name.clone()),
                        Some(outer) => {
                            (json!({ outer: { &name: [[]] } }), format!("{outer}.{name}"))
                        }
                    };
                    for (name, value) in wrong.as_object().expect("an object") {
                        body[name] = value.clone();
                    }
                    let method: Method = method.to_uppercase().parse().expect("a method");
                    let path = path.replace("{id}", id);
                    let answer = app
                        .with_key(ADMIN_KEY, method, &path, Some(body.clone()))
                        .await;
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    assert!(
                        matches!(answer.status.as_u16(), 400 | 422),
                        "{path} {body}: {text}"
                    );
                    assert!(
                        text.contains(&format!("{shown} must be")),
                        "{path} {body}: {text}"
                    );
                    asked.push(format!("{path} {shown}"));
                }
            }
        }
    }
    assert!(asked.len() >= 30, "{asked:?}");
}

/// `docs/openapi/<dialect>.json` is what is served (`SIGNPOST_OPENAPI_UPDATE=1` writes it anew).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_in_the_repository_are_current() {
    let app = TestApp::on_sqlite().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi");
    for (base, name) in [
        ("/api", "openmylink"),
        ("/api/v1", "minilnk"),
        ("/api/v2", "urlr"),
        ("/v1", "smartlinks"),
        ("/oauth", "oauth"),
    ] {
        // Without a key, and so is the page.
        let served = app
            .call(Method::GET, &format!("{base}/openapi.json"), &[], "")
            .await;
        let document = served.json();
        assert_eq!(document["openapi"], "3.1.0", "{base}");
        for path in document["paths"].as_object().expect("paths").keys() {
            assert!(
                path.starts_with(base) || matches!(name, "openmylink" | "oauth"),
                "{path}"
            );
        }
        let page = app
            .call(Method::GET, &format!("{base}/docs"), &[], "")
            .await;
        assert_eq!(page.status.as_u16(), 200, "{base}");
        let html = String::from_utf8_lossy(&page.body).into_owned();
        assert!(html.contains("<h1>"), "{base}");
        asks_for_nothing(&html);
        let file = folder.join(format!("{name}.json"));
        let text = format!(
            "{}\n",
            serde_json::to_string_pretty(&document).expect("JSON")
        );
        if std::env::vars().any(|(name, _)| name == "SIGNPOST_OPENAPI_UPDATE") {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(&file, &text).expect("written");
        }
        let current = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            current == text,
            "{} is not current: run `make openapi`",
            file.display()
        );
    }
}
