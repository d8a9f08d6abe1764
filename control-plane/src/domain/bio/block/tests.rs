//! Every type by its published example: it is read, each field it needs is missed by name, hostile values are refused.

use serde_json::json;

use super::*;

fn example(name: &str) -> Map<String, Value> {
    match Block::example(name) {
        Value::Object(map) => map,
        other => panic!("no example of {name}: {other}"),
    }
}

/// Calls `change` with each value in a payload that is no list or object, one at a time, and the path of it.
fn each_leaf(
    payload: &Map<String, Value>,
    mut see: impl FnMut(&str, &dyn Fn(Value) -> Map<String, Value>),
) {
    fn paths(value: &Value, path: &str, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, v)| paths(v, &format!("{path}/{key}"), out)),
            Value::Array(list) => list
                .iter()
                .enumerate()
                .for_each(|(n, v)| paths(v, &format!("{path}/{n}"), out)),
            _ => out.push(path.to_owned()),
        }
    }
    let whole = Value::Object(payload.clone());
    let mut all = Vec::new();
    paths(&whole, "", &mut all);
    for path in all {
        let with = |new: Value| {
            let mut changed = whole.clone();
            *changed.pointer_mut(&path).expect("the path is there") = new;
            changed.as_object().expect("an object").clone()
        };
        see(&path, &with);
    }
}

#[test]
fn every_type_is_known_by_an_example_of_all_its_fields() {
    assert!(Block::NAMES.len() >= 48, "{}", Block::NAMES.len());
    assert_eq!(EXAMPLES.len(), Block::NAMES.len());
    let kinds = Block::kinds();
    for (name, kind) in Block::NAMES.iter().zip(&kinds) {
        assert_eq!(*name, kind.name);
        let fields = example(name);
        let block = Block::parse(name, &fields).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(block.name(), *name);
        // What is published is what is read.
        let mut published: Vec<&String> = kind.required.iter().chain(&kind.optional).collect();
        published.sort();
        let mut held: Vec<&String> = fields.keys().collect();
        held.sort();
        assert_eq!(published, held, "{name}");
        let again = Block::from_json(name, &block.to_json()).expect("reads its own");
        assert_eq!(again, block);
        assert_eq!(Block::parse(name, &block.fields()), Ok(block), "{name}");
    }
}

#[test]
fn a_missing_field_is_named_and_an_optional_one_is_not_missed() {
    for kind in Block::kinds() {
        let name = kind.name;
        let full = example(name);
        for field in &kind.required {
            let mut fields = full.clone();
            fields.remove(field);
            let error = Block::parse(name, &fields).expect_err(name);
            assert_eq!(error.to_string(), format!("{field} is required"), "{name}");
            for empty in [json!(""), json!([]), Value::Null] {
                fields.insert(field.clone(), empty);
                let error = Block::parse(name, &fields).expect_err(name);
                assert_eq!(error.field, *field, "{name}: {error}");
            }
        }
        let mut least = full.clone();
        for field in &kind.optional {
            if name != "map" {
                let mut fields = full.clone();
                fields.insert(field.clone(), Value::Null);
                Block::parse(name, &fields).unwrap_or_else(|e| panic!("{name}: {e}"));
            }
            least.remove(field);
        }
        Block::parse(name, &least).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn wrong_values_are_refused_and_named() {
    for name in Block::NAMES {
        each_leaf(&example(name), |path, with| {
            // `/items/0/url` is `items[0].url` in an error.
            let last = path
                .rsplit('/')
                .find(|part| part.parse::<usize>().is_err())
                .expect("a name");
            let wrong = |value: Value| match Block::parse(name, &with(value.clone())) {
                Err(error) => assert!(error.field.contains(last), "{name}{path}: {error}"),
                Ok(_) => panic!("{name}{path} takes {value}"),
            };
            if path.ends_with("/ordered") || path.ends_with("/required") {
                wrong(json!("perhaps"));
                return;
            }
            for hostile in [
                json!("<script>alert(1)</script>"),
                json!("</title><b>"),
                json!("a\u{0}b"),
                json!("a\u{202e}b"),
                json!("x".repeat(70_000)),
                json!({"a": 1}),
                json!([[1]]),
                json!(true),
            ] {
                wrong(hostile);
            }
            if last == "url" || last == "link" || last == "image" {
                for bad in [
                    "javascript:alert(1)",
                    "data:text/html,x",
                    "//e.test/",
                    "e.test",
                    "https://u:p@e.test/",
                ] {
                    wrong(json!(bad));
                }
            }
        });
    }
}

#[test]
fn errors_say_what_there_was_and_what_is_allowed() {
    #[track_caller]
    fn check(name: &str, fields: Value, expected: &str) {
        let error = Block::parse(name, fields.as_object().expect("an object")).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
    check("video", json!({"title": "x"}), "url is required");
    check(
        "video",
        json!({"url": "ftp://e.test/"}),
        "url must begin with http:// or https://, not 'ftp://e.test/'",
    );
    check(
        "faq",
        json!({"items": [{"question": "?"}]}),
        "items[0].answer is required",
    );
    check(
        "rating",
        json!({"rating": 6}),
        "rating must be a number from 0 to 5, not '6'",
    );
    check(
        "poll",
        json!({"question": "?", "options": ["a", "a"]}),
        "options must be at least two answers, each of them once",
    );
    check(
        "instagram",
        json!({"url": "https://e.test/"}),
        "url must be on instagram.com or instagr.am or ig.me, not on 'e.test'",
    );
    check(
        "opening-hours",
        json!({"days": [{"day": "monday", "opens": "09:00"}]}),
        "days[0].closes is required beside the other, or neither: then it is closed",
    );
    check(
        "list",
        json!({"items": vec!["x"; 31]}),
        "items must be a list of 1 to 30, not 31",
    );
    check(
        "event",
        json!({"title": "x", "starts_at": "2030-01-02", "ends_at": "2030-01-01"}),
        "ends_at must not be before starts_at, not '2030-01-01'",
    );
    check(
        "map",
        json!({"address": "x", "latitude": 1}),
        "longitude is required beside the other",
    );
    check(
        "form",
        json!({"title": "x", "fields": [{"label": "a"}, {"label": "a"}]}),
        "fields[1].label must be another than those before, not 'a'",
    );
    let error = Block::parse("no-such", &Map::new())
        .expect_err("unknown")
        .to_string();
    assert!(
        error.starts_with("type must be one of link, featured-link, heading")
            && error.ends_with("not 'no-such'"),
        "{error}"
    );
    // Numbers are taken for texts, unknown fields are ignored.
    let fields = json!({"title": 2026, "url": "https://e.test/", "colour": "red"});
    let block = Block::parse(" LINK ", fields.as_object().expect("an object")).expect("legal");
    assert_eq!(
        block.to_json(),
        r#"{"title":"2026","url":"https://e.test/"}"#
    );
}
