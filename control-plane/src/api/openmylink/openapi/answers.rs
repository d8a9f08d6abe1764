//! What every operation may answer beside its own success, written into the document in one place: an endpoint that is
//! added has it without a line of its own. And names of operations, which generated clients make their methods of.

use serde_json::{Map, Value, json};

/// Completes a document: every operation gets its refusals, and a name that no other has.
pub(super) fn complete(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    for (path, methods) in paths {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            operation["operationId"] = name(method, path).into();
            let takes_body = operation["requestBody"].is_object();
            let open = operation["security"].as_array().is_some_and(|all| {
                all.iter()
                    .all(|one| one.as_object().is_some_and(Map::is_empty))
            });
            let Some(responses) = operation["responses"].as_object_mut() else {
                continue;
            };
            // In this dialect what is wrong with a call's content is HTTP 200, too.
            if let Some(done) = responses.get_mut("200") {
                let content = &mut done["content"];
                if !content.is_object() {
                    *content = json!({});
                }
                let schema = &mut content["application/json"]["schema"];
                *schema = if schema.is_null() {
                    error()
                } else {
                    json!({"anyOf": [schema.take(), error()]})
                };
            }
            let mut may = |status: &str, why: &str| {
                responses
                    .entry(status)
                    .or_insert_with(|| json!({"description": why, "content": {"application/json": {"schema": error()}}}));
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
        }
    }
}

fn error() -> Value {
    json!({"$ref": "#/components/schemas/ErrorReply"})
}

/// `PUT /api/url/{id}/update` is `put_url_id_update`.
fn name(method: &str, path: &str) -> String {
    let words = path
        .split('/')
        .map(|part| part.trim_matches(['{', '}']).replace(['-', '.', ':'], "_"))
        .filter(|part| !part.is_empty() && part != "api");
    std::iter::once(method.to_owned())
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_stand_beside_what_an_operation_answers() {
        let mut document = json!({"paths": {"/api/url/{id}/update": {
            "put": {"requestBody": {}, "responses": {"200": {"content": {"application/json": {"schema": {"type": "array"}}}}, "401": "own"}},
            "get": {"security": [{}], "responses": {"200": {"content": {"image/png": {}}}}},
        }}});
        complete(&mut document);
        let methods = &document["paths"]["/api/url/{id}/update"];
        let put = &methods["put"];
        assert_eq!(put["operationId"], "put_url_id_update");
        assert_eq!(
            put["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"][0],
            json!({"type": "array"})
        );
        assert_eq!(put["responses"]["401"], "own");
        assert!(put["responses"]["413"].is_object());
        let get = &methods["get"];
        assert!(get["responses"]["401"].is_null() && get["responses"]["429"].is_object());
        assert!(get["responses"]["200"]["content"]["image/png"].is_object());
        assert_eq!(
            get["responses"]["200"]["content"]["application/json"]["schema"],
            error()
        );
    }

    /// Two types of one name are one schema in the document, and one of them is then a lie.
    #[test]
    fn no_two_schemas_share_a_name() {
        let mut seen = std::collections::HashMap::new();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/openmylink");
        for entry in std::fs::read_dir(folder).unwrap() {
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
        assert!(seen.len() > 50, "{seen:?}");
    }
}
