//! What every operation may answer beside its own success, written into the document in one place. In this dialect what is
//! wrong with a call's content is HTTP 200, too.

use serde_json::{Value, json};

use crate::api::openapi::Refusals;

/// How this dialect refuses.
const REFUSALS: Refusals = Refusals {
    base: "/api",
    media: "application/json",
    schema: "ErrorReply",
    answers: include_str!("../answers.json"),
};

/// Completes a document: every operation gets its refusals, and a name that no other has.
pub(super) fn complete(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, methods) in paths {
        for (_, operation) in methods.as_object_mut().into_iter().flatten() {
            let Some(done) = operation["responses"]
                .as_object_mut()
                .and_then(|all| all.get_mut("200"))
            else {
                continue;
            };
            let content = &mut done["content"];
            if !content.is_object() {
                *content = json!({});
            }
            let schema = &mut content["application/json"]["schema"];
            *schema = if schema.is_null() {
                REFUSALS.reference()
            } else {
                json!({"anyOf": [schema.take(), REFUSALS.reference()]})
            };
        }
    }
    REFUSALS.complete(document);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_may_be_an_error_in_http_200() {
        let mut document = json!({"paths": {"/api/url/{id}/update": {
            "put": {"responses": {"200": {"content": {"application/json": {"schema": {"type": "array"}}}}}},
            "get": {"responses": {"200": {"content": {"image/png": {}}}}},
        }}});
        complete(&mut document);
        let methods = &document["paths"]["/api/url/{id}/update"];
        let schema = |method: &str| {
            methods[method]["responses"]["200"]["content"]["application/json"]["schema"].clone()
        };
        assert_eq!(schema("put")["anyOf"][0], json!({"type": "array"}));
        assert_eq!(schema("get"), REFUSALS.reference());
        assert!(methods["get"]["responses"]["200"]["content"]["image/png"].is_object());
    }
}
