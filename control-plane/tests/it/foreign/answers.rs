//! What the documents show as answers of their operations: those of the calls of the walks, made by who may make them, kept
//! beside each dialect's document (`SIGNPOST_OPENAPI_UPDATE=1` keeps them anew, `make openapi`). Ids, times and drawn codes
//! differ each time, so they are compared by their shape: an answer that gains, loses or changes a key fails here.

use std::collections::BTreeMap;
use std::path::Path;

use http::Method;
use serde_json::{Map, Value, json};

use super::others::{self, DIALECTS};
use super::table::calls;
use super::{MARK, OWNER, Victim, passes, send};
use crate::engine::engine;
use crate::harness::{ADMIN_KEY, Answer, TestApp};
use crate::schema;

/// What stands in documents for the mark of the walks.
const NAME: &str = "acme";

/// What secrets begin with: those of keys, apps and their tokens.
const SECRETS: [&str; 5] = ["sgn_", "sga_", "sgr_", "sgc_", "sgs_"];

/// Answers by method and path, then by status.
#[derive(Default)]
struct Answers(Map<String, Value>);

impl Answers {
    /// Keeps the first success of each operation that is JSON, and checks every one by the document where there is one to check
    /// by: operations of the main dialect answer in more forms than their schemas tell apart.
    fn keep(&mut self, document: Option<&Value>, route: String, answer: &Answer) {
        let is_json = answer
            .headers
            .get("content-type")
            .is_some_and(|kind| kind == "application/json");
        if !answer.status.is_success() || !is_json {
            return;
        }
        let mut body = answer.json();
        if body["error"].as_u64().is_some_and(|error| error != 0) {
            return;
        }
        let status = answer.status.as_str().to_owned();
        if let Some(document) = document {
            let (method, path) = route.split_once(' ').expect("method and path");
            let operation = &document["paths"][path][method.to_ascii_lowercase()];
            let schema = &operation["responses"][&status]["content"]["application/json"]["schema"];
            assert!(schema.is_object(), "{route} {status} is in no document");
            if let Err(why) = schema::check(document, schema, &body) {
                panic!("{route} answers what its document does not say: {why}\n{body}");
            }
        }
        if self.0.contains_key(&route) {
            return;
        }
        shown(&mut body);
        self.0.insert(route, json!({status: body}));
    }
}

/// Without the mark, and without secrets, though nothing is behind them any more.
fn shown(value: &mut Value) {
    match value {
        Value::String(text) => {
            *text = text.replace(MARK, NAME);
            if let Some(mark) = SECRETS.iter().find(|mark| text.starts_with(**mark)) {
                *text = format!("{mark}{}", "x".repeat(text.len() - mark.len()));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shown),
        Value::Object(fields) => fields.values_mut().for_each(shown),
        _ => {}
    }
}

/// The kinds of value that a value holds, by place.
fn shape(value: &Value, at: &str, found: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(items) => {
            for item in items {
                shape(item, &format!("{at}/*"), found);
            }
            "list"
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                shape(field, &format!("{at}/{name}"), found);
            }
            "object"
        }
    };
    found.insert(at.to_owned(), kind);
}

fn shape_of(value: &Value) -> BTreeMap<String, &'static str> {
    let mut found = BTreeMap::new();
    shape(value, "", &mut found);
    found
}

async fn started() -> TestApp {
    let engine = engine().await;
    TestApp::start(None, &[("SIGNPOST_CLICKHOUSE_URL", &engine.url)]).await
}

async fn openmylink() -> Answers {
    let app = started().await;
    let victim = Victim::new(&app).await;
    let mut answers = Answers::default();
    for call in calls(&victim.ids) {
        // It would end the key that calls.
        if call.template().starts_with("/api/key/{id}/") {
            continue;
        }
        let key = if passes(OWNER, &call) {
            &victim.key
        } else {
            ADMIN_KEY
        };
        let answer = send(&app, key, call.method(), &call.path, &call.body).await;
        answers.keep(None, call.route.to_owned(), &answer);
    }
    answers
}

async fn of_another(base: &str, calls: fn(&others::Ids) -> Vec<others::Call>) -> Answers {
    let app = started().await;
    let plan = others::any_plan(&app).await;
    let (key, ids) = others::victim(&app, &plan).await;
    let document = format!("{base}/openapi.json");
    let document = app.call(Method::GET, &document, &[], "").await;
    let (document, mut answers) = (document.json(), Answers::default());
    for call in calls(&ids) {
        let answer = others::send(&app, &key, base, &call).await;
        let route = call.route.replacen(" /", &format!(" {base}/"), 1);
        answers.keep(Some(&document), route, &answer);
    }
    answers
}

/// Keeps or compares them.
fn check(dialect: &str, answers: Answers) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let file = folder.join(dialect).join("answers.json");
    let today = Value::Object(answers.0);
    if std::env::vars().any(|(name, _)| name == "SIGNPOST_OPENAPI_UPDATE") {
        let text = serde_json::to_string_pretty(&today).expect("JSON");
        std::fs::write(&file, format!("{text}\n")).expect("written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    assert!(
        shape_of(&kept) == shape_of(&today),
        "{} is not current: run `make openapi`",
        file.display()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_documents_show_have_the_shape_of_todays() {
    let answers = openmylink().await;
    assert!(answers.0.len() > 90, "{}", answers.0.len());
    check("openmylink", answers);
    for (dialect, name, least) in [
        (&DIALECTS[0], "minilnk", 10),
        (&DIALECTS[1], "urlr", 16),
        (&DIALECTS[2], "smartlinks", 6),
    ] {
        let answers = of_another(dialect.base, dialect.calls).await;
        assert!(answers.0.len() >= least, "{name}: {}", answers.0.len());
        check(name, answers);
    }
}
