//! What the OpenAPI documents of all dialects have in common: what every operation may answer beside its own success, real
//! answers as examples, names of operations, and a page to read a document. The page needs no script and loads nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use axum::response::Html;
use http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

/// How a dialect refuses.
#[derive(Debug)]
pub(crate) struct Refusals {
    /// Its base, left out of operations' names.
    pub(crate) base: &'static str,
    /// Content type of an error.
    pub(crate) media: &'static str,
    /// Name of an error's schema.
    pub(crate) schema: &'static str,
    /// Answers that the suite has had from operations (`control-plane/tests/it/foreign/answers.rs`), as JSON: status and body
    /// by method and path.
    pub(crate) answers: &'static str,
}

impl Refusals {
    /// A reference to the schema.
    pub(crate) fn reference(&self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", self.schema)})
    }

    /// Completes a document: every operation gets its refusals, and a name that no other has, which generated clients make
    /// their methods of. So an endpoint that is added has them without a line of its own.
    pub(crate) fn complete(&self, document: &mut Value) {
        let answers: Value = serde_json::from_str(self.answers).unwrap_or_default();
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
                let known = &answers[format!("{} {path}", method.to_uppercase())];
                for (status, body) in known.as_object().into_iter().flatten() {
                    let content = responses
                        .get_mut(status)
                        .map(|answer| &mut answer["content"]);
                    if let Some(Value::Object(content)) = content
                        && let Some(json) = content.get_mut("application/json")
                    {
                        json["example"] = body.clone();
                    }
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

/// Says of each property of an answer that it is always there, be it `null`: so clients that are generated strictly check what
/// they get. Left out are those of `sometimes` (`Schema.property`), and schemas that bodies of calls are made of, too.
pub(crate) fn always_there(document: &mut Value, sometimes: &[&str]) {
    let sent = reached(document, "requestBody");
    let answered = reached(document, "responses");
    for name in answered.difference(&sent) {
        let schema = &mut document["components"]["schemas"][name];
        let Some(properties) = schema["properties"].as_object() else {
            continue;
        };
        let always: Vec<Value> = properties
            .keys()
            .filter(|property| !sometimes.contains(&&*format!("{name}.{property}")))
            .map(|property| property.as_str().into())
            .collect();
        schema["required"] = always.into();
    }
}

/// Names of the schemas that this part of operations is made of.
fn reached(document: &Value, part: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left: Vec<&Value> = Vec::new();
    let paths = document["paths"].as_object().into_iter().flatten();
    for (_, methods) in paths {
        let operations = methods.as_object().into_iter().flatten();
        left.extend(operations.map(|(_, operation)| &operation[part]));
    }
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => left.extend(fields.values()),
            _ => {}
        }
        let name = value["$ref"]
            .as_str()
            .and_then(|path| path.rsplit('/').next());
        if let Some(name) = name
            && found.insert(name.to_owned())
        {
            left.push(&document["components"]["schemas"][name]);
        }
    }
    found
}

/// Schema of a text that is one of a few words.
pub(crate) fn words(words: impl IntoIterator<Item = &'static str>) -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.enum_values(Some(words)).build()
}

/// As [`words`], or `null`.
pub(crate) fn words_or_null(words: impl IntoIterator<Item = &'static str>) -> Object {
    let values = words.into_iter().map(Value::from).chain([Value::Null]);
    let text = ObjectBuilder::new();
    text.schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .enum_values(Some(values))
        .build()
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
    let example = ["200", "201"]
        .map(|status| &operation["responses"][status]["content"]["application/json"]["example"])
        .into_iter()
        .find(|example| !example.is_null());
    if let Some(example) = example {
        let text = serde_json::to_string_pretty(example).unwrap_or_default();
        let _ = write!(
            page,
            "<details><summary>An answer</summary><pre>{}</pre></details>",
            escape(&text)
        );
    }
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
        answers: r#"{"GET /api/url/{id}": {"200": {"id": 7}, "418": {}}, "GET /api/gone": {"200": {}}}"#,
    };

    #[test]
    fn what_is_always_there_is_required_of_answers_alone() {
        let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let mut document = json!({
            "paths": {"/x": {"post": {"requestBody": {"content": {"schema": reference("Sent")}}, "responses": {"200": {"items": [reference("List")]}}}}},
            "components": {"schemas": {
                "Sent": {"properties": {"a": reference("Both")}}, "List": {"properties": {"links": {"items": reference("Link")}}},
                "Link": {"properties": {"id": {}, "title": {}, "errors": {}, "geo": reference("Both")}, "required": ["id"]},
                "Both": {"properties": {"b": {}}}, "Unused": {"properties": {"c": {}}},
            }},
        });
        always_there(&mut document, &["Link.errors"]);
        let required = |name: &str| document["components"]["schemas"][name]["required"].clone();
        assert_eq!(required("Link"), json!(["geo", "id", "title"]));
        assert_eq!(required("List"), json!(["links"]));
        for other in ["Sent", "Both", "Unused"] {
            assert_eq!(required(other), Value::Null, "{other}");
        }
    }

    #[test]
    fn words_may_be_null() {
        let shown = |object: Object| serde_json::to_value(object).unwrap();
        assert_eq!(
            shown(words(["a"])),
            json!({"type": "string", "enum": ["a"]})
        );
        assert_eq!(
            shown(words_or_null(["a"])),
            json!({"type": ["string", "null"], "enum": ["a", null]})
        );
    }

    #[test]
    fn answers_of_the_suite_are_examples() {
        let mut document = json!({"paths": {"/api/url/{id}": {
            "get": {"responses": {"200": {"content": {"application/json": {"schema": {}}}}}},
            "put": {"responses": {"200": {"content": {"application/json": {"schema": {}}}}}},
        }}});
        REFUSALS.complete(&mut document);
        let methods = &document["paths"]["/api/url/{id}"];
        let example = |method: &str| {
            methods[method]["responses"]["200"]["content"]["application/json"]["example"].clone()
        };
        assert_eq!(
            (example("get"), example("put")),
            (json!({"id": 7}), json!(null))
        );
        assert!(methods["get"]["responses"]["418"].is_null());
        let page = page(&document, "").0;
        assert_eq!(page.matches("<details>").count(), 1);
    }

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
