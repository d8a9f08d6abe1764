//! What the OpenAPI documents of all dialects have in common: what every operation may answer beside its own success,
//! names of operations, and a page to read a document. The page needs no script and loads nothing.

use std::fmt::Write as _;

use axum::response::Html;
use http::StatusCode;
use serde_json::{Map, Value, json};

/// How a dialect refuses.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Its base, left out of operations' names.
    pub(crate) base: &'static str,
    /// Content type of an error.
    pub(crate) media: &'static str,
    /// Name of an error's schema.
    pub(crate) schema: &'static str,
}

impl Refusals {
    /// A reference to the schema.
    pub(crate) fn reference(&self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", self.schema)})
    }

    /// Completes a document: every operation gets its refusals, and a name that no other has, which generated clients make
    /// their methods of. So an endpoint that is added has them without a line of its own.
    pub(crate) fn complete(&self, document: &mut Value) {
        let Some(paths) = document["paths"].as_object_mut() else {
            return;
        };
        for (path, methods) in paths {
            for (method, operation) in methods.as_object_mut().into_iter().flatten() {
                operation["operationId"] = self.name(method, path).into();
                let takes_body = operation["requestBody"].is_object();
                let open = operation["security"].as_array().is_some_and(|all| {
                    all.iter()
                        .all(|one| one.as_object().is_some_and(Map::is_empty))
                });
                let Some(responses) = operation["responses"].as_object_mut() else {
                    continue;
                };
                let mut may = |status: &str, why: &str| {
                    let answer = responses
                        .entry(status)
                        .or_insert_with(|| json!({"description": why}));
                    if answer.is_object() && answer["content"].is_null() {
                        answer["content"] = json!({self.media: {"schema": self.reference()}});
                    }
                };
                may(
                    "404",
                    "There is no such endpoint: an id or name is missing in the path",
                );
                may("408", "The request took too long to arrive");
                may("429", "Too many calls: wait for the seconds in Retry-After");
                if takes_body {
                    may("400", "The body is not JSON");
                    may("413", "The body is too large");
                }
                if !open {
                    may("401", "No key, or one that is unknown, revoked or expired");
                    may("403", "The key may not do this");
                }
                for (status, answer) in responses {
                    // The standard wants one, and generators refuse a document without.
                    let reason = status
                        .parse()
                        .ok()
                        .and_then(|status: StatusCode| status.canonical_reason());
                    if answer.is_object()
                        && answer["description"].as_str().is_none_or(str::is_empty)
                    {
                        answer["description"] = reason.unwrap_or("Another answer").into();
                    }
                }
            }
        }
    }

    /// `PUT /api/url/{id}/update` is `put_url_id_update`.
    fn name(&self, method: &str, path: &str) -> String {
        let path = path.strip_prefix(self.base).unwrap_or(path);
        let words = path
            .split('/')
            .map(|part| part.trim_matches(['{', '}']).replace(['-', '.', ':'], "_"))
            .filter(|part| !part.is_empty());
        std::iter::once(method.to_owned())
            .chain(words)
            .collect::<Vec<_>>()
            .join("_")
    }
}

/// A document as a page. `key` says in HTML how a key is sent.
pub(crate) fn page(document: &Value, key: &str) -> Html<String> {
    let mut page = String::from(HEAD);
    let info = |name: &str| escape(document["info"][name].as_str().unwrap_or_default());
    let _ = write!(
        page,
        "<h1>{}</h1><p>{}</p>",
        info("title"),
        info("description")
    );
    let _ = write!(
        page,
        "<p>{key} <a href=\"openapi.json\">OpenAPI 3.1</a></p>"
    );
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            operation_text(&mut page, method, path, operation);
        }
    }
    page.push_str("<h2>Types</h2>");
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let text = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ = write!(
            page,
            "<h3 id=\"{0}\">{0}</h3><pre>{1}</pre>",
            escape(name),
            escape(&text)
        );
    }
    Html(page)
}

fn operation_text(page: &mut String, method: &str, path: &str, operation: &Value) {
    let text = |value: &Value| escape(value.as_str().unwrap_or_default());
    let _ = write!(
        page,
        "<h2><code>{} {}</code></h2><p>{}</p><ul>",
        method.to_uppercase(),
        escape(path),
        text(&operation["summary"])
    );
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let _ = write!(
            page,
            "<li><code>{}</code> {}</li>",
            text(&parameter["name"]),
            text(&parameter["description"])
        );
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    let answer = ["200", "201"]
        .map(|status| &operation["responses"][status]["content"]["application/json"]["schema"])
        .into_iter()
        .find(|schema| !schema.is_null())
        .unwrap_or(&Value::Null);
    let answer = match &answer["anyOf"][0]["$ref"] {
        Value::Null => &answer["$ref"],
        reference => reference,
    };
    for (what, reference) in [("takes", body), ("answers", answer)] {
        if let Some(name) = reference.as_str().and_then(|r| r.rsplit('/').next()) {
            let _ = write!(
                page,
                "<li>{what} <a href=\"#{0}\">{0}</a></li>",
                escape(name)
            );
        }
    }
    page.push_str("</ul>");
}

/// Start of the page.
const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>API</title>\
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}pre{background:#f4f4f4;padding:1rem;overflow:auto}h2{margin-top:2rem}</style>";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSALS: Refusals = Refusals {
        base: "/api",
        media: "application/problem+json",
        schema: "Problem",
    };

    #[test]
    fn refusals_stand_beside_what_an_operation_answers() {
        let mut document = json!({"paths": {"/api/url/{id}/update": {
            "put": {"requestBody": {}, "responses": {"200": {"content": {}}, "401": "own", "404": {"description": "no such link"}}},
            "get": {"security": [{}], "responses": {}},
        }}});
        REFUSALS.complete(&mut document);
        let methods = &document["paths"]["/api/url/{id}/update"];
        let put = &methods["put"];
        assert_eq!(put["operationId"], "put_url_id_update");
        assert_eq!(put["responses"]["401"], "own");
        assert_eq!(
            put["responses"]["200"],
            json!({"description": "OK", "content": {}})
        );
        assert_eq!(
            put["responses"]["404"],
            json!({"description": "no such link", "content": {"application/problem+json": {"schema": REFUSALS.reference()}}})
        );
        assert!(put["responses"]["413"].is_object());
        let get = &methods["get"];
        assert!(get["responses"]["401"].is_null() && get["responses"]["429"].is_object());
    }

    /// Two types of one name are one schema in the document, and one of them is then a lie.
    #[test]
    fn no_two_schemas_of_a_dialect_share_a_name() {
        for (dialect, least) in [
            ("openmylink", 50),
            ("urlr", 0),
            ("minilnk", 0),
            ("smartlinks", 0),
        ] {
            let mut seen = std::collections::HashMap::new();
            let folder = format!("{}/src/api/{dialect}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(folder).into_iter().flatten();
            for entry in files {
                let file = entry.unwrap().path();
                if !file.is_file() {
                    continue;
                }
                let text = std::fs::read_to_string(&file).unwrap();
                for part in text.split("ToSchema)]").skip(1) {
                    let words: Vec<&str> = part.split_whitespace().collect();
                    let named = words
                        .windows(2)
                        .find(|pair| matches!(pair[0], "struct" | "enum"));
                    let name = named.expect("a type")[1].trim_end_matches(['{', '(', ';']);
                    let other = seen.insert(name.to_owned(), file.clone());
                    assert!(
                        other.is_none(),
                        "{name} is in {} and {}",
                        file.display(),
                        other.unwrap().display()
                    );
                }
            }
            assert!(seen.len() >= least, "{seen:?}");
        }
    }
}
