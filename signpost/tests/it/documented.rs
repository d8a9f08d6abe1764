//! The examples on the dialects' pages in `docs/api`, run as they are printed: only addresses, keys and ids are replaced.

use std::process::Command;

use serde_json::{Value, json};

use crate::clients::{GENERATOR, URLR};
use crate::harness::{Up, cache};

/// A page with its examples.
struct Page {
    name: &'static str,
    text: String,
}

impl Page {
    fn of(name: &'static str) -> Self {
        let file = format!("{}/../docs/api/{name}.md", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        Self { name, text }
    }

    /// Its one example in a language, with these texts replaced, each of which must be there.
    #[track_caller]
    fn example(&self, language: &str, replaced: &[(&str, &str)]) -> String {
        let fence = format!("```{language}\n");
        let mut parts = self.text.split(&fence);
        let (Some(_), Some(example), None) = (parts.next(), parts.next(), parts.next()) else {
            panic!("{}: not one example in {language}", self.name);
        };
        let (example, _) = example.split_once("\n```").expect("its end");
        let mut example = example.to_owned();
        for (old, new) in replaced {
            assert!(example.contains(old), "{} {language}: no {old}", self.name);
            example = example.replace(old, new);
        }
        example
    }
}

/// What runs examples.
struct Shell<'a> {
    here: &'a Up,
    /// Stands for a hosted service that somebody leaves.
    there: &'a Up,
    folder: tempfile::TempDir,
}

impl Shell<'_> {
    #[track_caller]
    fn run(&self, mut program: Command) -> String {
        let output = program
            .env("API", format!("http://{}", self.here.api))
            .env("KEY", self.here.key())
            .env("OLD_KEY", self.there.key())
            .output()
            .unwrap_or_else(|error| panic!("{program:?}: {error}: make test fetches it"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{program:?} {said}{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.here.log()
        );
        said
    }

    #[track_caller]
    fn sh(&self, example: &str) -> Value {
        let mut shell = Command::new("sh");
        shell.args(["-euc", example]);
        serde_json::from_str(&self.run(shell)).expect("JSON")
    }

    #[track_caller]
    fn python(&self, environment: &str, example: &str) -> String {
        let mut python = Command::new(cache().join(environment).join("bin/python"));
        let key = "import os\nKEY = os.environ['KEY']\n";
        python.args(["-c", &format!("{key}{example}")]);
        self.run(python)
    }

    #[track_caller]
    fn node(&self, example: &str) -> String {
        let file = self.folder.path().join("example.mjs");
        std::fs::write(&file, example).unwrap();
        let mut node = Command::new("node");
        node.arg(&file);
        self.run(node)
    }
}

/// A call in any dialect.
#[track_caller]
fn call(up: &Up, method: &str, path: &str, body: &Value) -> Value {
    let url = format!("http://{}{path}", up.api);
    let (key, bearer) = (up.key(), format!("Bearer {}", up.key()));
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-api-key", key.as_str()),
        ("content-type", "application/json"),
    ];
    let body = (!body.is_null()).then(|| body.to_string());
    let answer = up
        .try_send(method, &url, &headers, body.as_deref())
        .expect("an answer");
    assert!(matches!(answer.status, 200 | 201), "{path} {answer:?}");
    answer.json()
}

#[test]
fn the_examples_of_each_dialects_page_work_as_printed() {
    let settings = [("SIGNPOST_ASK_DESTINATIONS", "off")];
    let (here, there) = (Up::with(&settings), Up::with(&settings));
    let shell = Shell {
        here: &here,
        there: &there,
        folder: tempfile::tempdir().unwrap(),
    };
    let local = ("127.0.0.1:8081", here.api.to_string());
    let local = (local.0, local.1.as_str());

    let page = Page::of("openmylink");
    let made = shell.sh(&page.example("sh", &[local]));
    assert_eq!(made["error"], 0, "{made}");
    let made = page.example("python", &[local, ("spring-sale", "spring-py")]);
    assert!(shell.python(GENERATOR, &made).ends_with("/spring-py\n"));
    let made = page.example("js", &[local, ("spring-sale", "spring-js")]);
    assert!(shell.node(&made).ends_with("/spring-js\n"));

    let page = Page::of("urlr");
    let made = shell.sh(&page.example("sh", &[local]));
    assert_eq!(made["code"], "spring/été", "{made}");
    let newest = URLR.last().expect("a client");
    let said = shell.python(newest, &page.example("python", &[local]));
    assert_eq!(said.split_whitespace().count(), 2, "{said}");
    let said = shell.node(&page.example("js", &[local]));
    assert!(said.contains("https://example.com/"), "{said}");

    let page = Page::of("minilnk");
    let made = shell.sh(&page.example("sh", &[]));
    assert_eq!(made["alias"], "hnnews", "{made}");
    // More than a page of them is over there.
    for n in 0..17 {
        let body = json!({"original_url": format!("https://e.test/{n}"), "alias": format!("old{n}"), "title": format!("Old {n}")});
        call(&there, "POST", "/api/v1/links", &body);
    }
    let hosted = format!("http://{}/api/v1", there.api);
    let moving = page.example("python", &[("https://minilink.at/api/v1", &hosted)]);
    let said = shell.python(GENERATOR, &moving);
    assert_eq!(said.matches(" 201 ").count(), 17, "{said}");
    let found = call(&here, "GET", "/api/v1/links?search=old16", &json!(null));
    assert_eq!(found["data"][0]["title"], "Old 16", "{found}");
    let (url, id) = (made["short_url"].as_str().unwrap(), made["id"].to_string());
    // The id first: there may be such a number in the address.
    let filled = [("43", &*id), ("https://go.example/hnnews", url)];
    let said = shell.node(&page.example("js", &filled));
    assert!(said.starts_with("201 http"), "{said}");

    let page = Page::of("smartlinks");
    let made = shell.sh(&page.example("sh", &[]));
    assert_eq!(made["metadata"]["campaign"], "summer-sale", "{made}");
    for n in 0..100 {
        let body = json!({"url": format!("https://e.test/{n}"), "shortCode": format!("smart{n}"), "metadata": {"n": n}});
        call(&there, "POST", "/v1/links", &body);
    }
    let hosted = format!("http://{}/v1", there.api);
    let moving = page.example("python", &[("https://api.smartlinks.com/v1", &hosted)]);
    let said = shell.python(GENERATOR, &moving);
    // Those that were made by another dialect are over there, too.
    assert_eq!(said.matches(" 201 link_").count(), 100, "{said}");
    let found = call(&here, "GET", "/v1/links", &json!(null));
    assert_eq!(found["data"][0]["metadata"], json!({"n": 0}), "{found}");
    let id = made["id"].as_str().unwrap();
    let said = shell.node(&page.example("js", &[("link_1b", id)]));
    assert_eq!(said, "0 { ios: 0, android: 0, web: 0 }\n");
}
